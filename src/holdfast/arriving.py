"""What a request came with: the caller's own marks, and old messages that came as other bytes than before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from operator import is_

from holdfast.blocks import Mark
from holdfast.frozen import Json, same_form
from holdfast.heads import given_head
from holdfast.line import Line
from holdfast.lineages import Found
from holdfast.marks import Own
from holdfast.wire import Wire, breakpoints


def marks(wire: Wire, body: Mapping[str, Json], line: Line, messages: Sequence[Json], suspects: Sequence[int]) -> Own:
    """The caller's marks. Of the messages only ``suspects`` are read: one that equals its snapshot, which has none, has none either."""
    implicit = not wire.dialect.startswith("openai") or breakpoints.implicit(body)
    if isinstance(body.get(wire.messages_key), str):
        return Own(wire.read_marks(body), None, implicit)
    key, head = wire.messages_key, len(line.head)
    leading = (body.get(key) or ())[: wire.leading(body)]
    places = [*range(head), *(head + line.starts[n] + index for n in suspects for index in range(len(line.source[n].blocks)))]
    found = wire.read_marks({**body, key: [*leading, *(messages[n] for n in suspects)]})
    return Own(tuple(replace(mark, position=places[mark.position]) for mark in found), _automatic(body, line), implicit)


def _automatic(body: Mapping[str, Json], line: Line) -> Mark | None:
    """The mark that the API itself sets on the last block, for a top-level ``cache_control``; it takes one of the four slots."""
    control = body.get("cache_control")
    if not isinstance(control, dict):
        return None
    return Mark(len(line.head) + line.size - 1, 3600 if control.get("ttl") == "1h" else 300)


def repaired(wire: Wire, found: Found, body: Mapping[str, Json], messages: Sequence[Json], suspects: Iterable[int]) -> int:
    """How many old messages (and head blocks) came as other bytes than they were first sent in."""
    live = found.live
    given = given_head(body, wire)
    known = live.given_head
    live.given_head = given
    same = isinstance(suspects, list) and len(known) == len(given) and all(map(is_, known, given))
    changed = 0 if same else live.head.changed(body, wire)
    for ordinal in suspects:
        first, raw = live.wires[ordinal], messages[ordinal]
        changed += not (same_form(first, raw) or same_form(first, wire.read_message(raw).wire))
    return changed

"""What a request came with: the caller's own marks, and old messages that came as other bytes than before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


WINDOW = 10
"""How many of the newest messages, and of the older ones in turn, are looked at for other bytes where ours go out anyway."""


def repaired(wire: Wire, found: Found, body: Mapping[str, Json], messages: Sequence[Json], untouched: bool) -> int:
    """How many old messages (and head blocks) came as other bytes than they were first sent in.

    Where the caller's own object would go out (``untouched``) each that could be is compared. Where our own forms go out, they are right
    whatever came, and this only counts: an SDK that copies the whole history for each call would have all of it compared at each.
    """
    live = found.live
    given = given_head(body, wire)
    known = live.given_head
    live.given_head = given
    places = range(found.common) if untouched else _some(found.moved, live.used)
    seldom = len(found.moved) > 2 * WINDOW and live.used % WINDOW != 0
    same = not untouched and (seldom or (len(known) == len(given) and all(map(is_, known, given))))
    changed = 0 if same else live.head.changed(body, wire)
    for ordinal in places:
        first, raw = live.wires[ordinal], messages[ordinal]
        changed += not (same_form(first, raw) or same_form(first, wire.read_message(raw).wire))
    return changed


def _some(moved: Sequence[int], turn: int) -> Sequence[int]:
    """The newest of these, and a stretch of the others that goes round."""
    if len(moved) <= 2 * WINDOW:
        return moved
    older = moved[:-WINDOW]
    start = turn * WINDOW % len(older)
    return [*older[start : start + WINDOW], *moved[-WINDOW:]]

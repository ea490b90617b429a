"""A lineage written as the provider's JSON, and what is not legal in a request as it came."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import pairwise

from holdfast.blocks import Kind, Mark
from holdfast.edits import Piece
from holdfast.frozen import Json
from holdfast.line import Line
from holdfast.lineages import Live, as_list
from holdfast.marks import Own
from holdfast.wire import Wire

MARKS = 4
"""The most cache marks that a request may carry (platform.claude.com, prompt caching, 2026-08-21)."""

DROP_BLOCK = {"prefix_mismatch_behavior": "drop_block"}
"""Asks the API to drop thinking whose prefix has changed (platform.claude.com, preserved thinking, 2026-10)."""


def fault(line: Line, own: Own) -> str | None:
    """What is not legal in a request as it came: such a request goes out as it is."""
    if not line.source:
        return "a request without messages"
    if line.grammar.fault or line.grammar.open_calls:
        return line.grammar.fault or f"tool calls without results: {', '.join(sorted(line.grammar.open_calls))}"
    openai = line.grammar.dialect.startswith("openai")  # takes any number in any order: only the newest four are written
    if not openai and len({mark.position for mark in own.all}) > MARKS:
        return f"more than {MARKS} cache marks"
    if not openai and any(later.ttl > earlier.ttl for earlier, later in pairwise(own.marks)):
        return "a cache mark that lives longer than one before it"
    for mark in own.marks:
        index = mark.position - len(line.head)
        if index >= 0:
            message = bisect_right(line.starts, index) - 1
            block = line.source[message].blocks[index - line.starts[message]]
            if block.kind is Kind.THINKING or (block.kind is Kind.TEXT and not block.text):
                return f"a cache mark on {block.kind} where none may stand"
    return None


def write(wire: Wire, body: Mapping[str, Json], live: Live, line: Line, marks: Sequence[Mark]) -> dict[str, Json]:
    """``body`` with the history as ``line`` sends it and these marks; every other key as it was.

    What is written without marks is remembered in ``live``, so that only new messages are written.
    """
    written = live.written if line is live.line else []
    head = len(line.head)
    written.extend(_form(wire, piece, line.listed, head) for piece in line.pieces[len(written) :])
    places = {mark.position: mark.ttl for mark in marks}
    out = live.head.over(body)
    out.update(wire.write_head(out, line.head, {place: ttl for place, ttl in places.items() if place < head}))
    if isinstance(out.get("system"), str) and head - 1 in line.listed:
        out["system"] = as_list(out["system"])
    leading = wire.leading(body)
    start = list(out[wire.messages_key][:leading]) if leading else []
    if start and head - 1 in line.listed:
        start[-1] = wire.listed(start[-1])
    messages = list(written)
    for ordinal, inside in _by_message(marks, line).items():
        message = line.pieces[ordinal].message
        messages[ordinal] = wire.write_message(message, inside)
        written[ordinal] = wire.listed(wire.write_message(message, {}))
    out[wire.messages_key] = start + messages if start else messages
    if line.drops_thinking:
        thinking = body.get("thinking")
        out["thinking"] = {**(thinking if isinstance(thinking, Mapping) else {"type": "adaptive"}), "block_binding": DROP_BLOCK}
    return out


def _form(wire: Wire, piece: Piece, listed: set[int], head: int) -> Json:
    """A message as it goes out without marks: the form it first had."""
    own = not piece.folded and not piece.inserted
    form = wire.write_message(piece.message, {})
    return wire.listed(form) if own and any(head + index in listed for index in piece.indices) else form


def _by_message(marks: Sequence[Mark], line: Line) -> dict[int, dict[int, int]]:
    """Marks on message blocks, by the ordinal of the message and of the block in it. Marks stand near the end: search from there."""
    wanted = sorted((mark.position, mark.ttl) for mark in marks if mark.position >= len(line.head))
    found: dict[int, dict[int, int]] = {}
    position = line.chain.length
    for ordinal in range(len(line.pieces) - 1, -1, -1):
        if not wanted:
            break
        position -= len(line.pieces[ordinal].message.blocks)
        while wanted and wanted[-1][0] >= position:
            place, ttl = wanted.pop()
            found.setdefault(ordinal, {})[place - position] = ttl
    return found

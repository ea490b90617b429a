"""Views for testing strategies, built from Anthropic messages without any of the pipeline."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from holdfast.blocks import Block, Kind, Message, Role
from holdfast.edits import Clear, Drop, Edit, Fold, Insert
from holdfast.strategy import Entry, Goal, View
from holdfast.wire import anthropic


def count(text: str) -> int:
    """A stand-in for a tokenizer: four characters a token."""
    return len(text) // 4


def weigh(block: Block) -> Block:
    """A block with a weight that grows with its text."""
    return block.weighed(len(block.text) // 4 + 4)


def read(messages: Iterable[dict[str, Any]]) -> list[Message]:
    """Weighed messages from their JSON."""
    return weighed(map(anthropic.read_message, messages))


def weighed(messages: Iterable[Message]) -> list[Message]:
    """The same messages with weights."""
    return [replace(message, blocks=tuple(map(weigh, message.blocks))) for message in messages]


def view_of(messages: Sequence[Message], tail_messages: int = 2, pins: Iterable[int] = (), head_tokens: int = 100) -> View:
    """The view of a conversation of which nothing has been edited yet."""
    source = [block for message in messages for block in message.blocks]
    starts, cuts, entries, at = [], [], [], 0
    open_calls: set[str | None] = set()
    for ordinal, message in enumerate(messages):
        if ordinal and not open_calls:
            cuts.append(at)
        starts.append(at)
        for block in message.blocks:
            entries.append(Entry(at, at + 1, block, ordinal))
            at += 1
            if block.kind is Kind.TOOL_USE:
                open_calls.add(block.call)
            elif block.kind is Kind.TOOL_RESULT:
                open_calls.discard(block.call)
    if not open_calls:
        cuts.append(at)
    first = next((n for n, message in enumerate(messages) if message.role is Role.USER), 0)
    pinned = {starts[first] + n for n in range(len(messages[first].blocks))} | set(pins) if messages else set()
    tail = starts[max(len(messages) - tail_messages, 0)] if messages else 0
    tokens = head_tokens + sum(block.tokens for block in source)
    return View(entries, source, starts, cuts, frozenset(pinned), tail, tokens, head_tokens, count)


def applied(view: View, edits: Sequence[Edit], tail: int | None = None) -> View:
    """The view after these edits were committed."""
    entries: list[Entry] = []
    for entry in view.entries:
        edit = next((one for one in edits if one.start < entry.stop and entry.start < one.stop), None)
        if edit is None:
            entries.append(entry)
        elif isinstance(edit, Clear):
            entries.append(replace(entry, block=weigh(anthropic.cleared(entry.block, edit.text)), state="cleared"))
        elif isinstance(edit, Fold) and not (entries and entries[-1].start == edit.start):
            entries.append(Entry(edit.start, edit.stop, weigh(anthropic.note(edit.text).blocks[0]), entry.message, "folded"))
    tokens = view.head_tokens + sum(entry.block.tokens for entry in entries)
    return replace(view, entries=entries, tokens=tokens, tail=view.tail if tail is None else tail)


def broken_rules(view: View, edits: Sequence[Edit]) -> list[str]:
    """What is wrong with a plan's edits: written apart from the pipeline's own check, from the contract."""
    wrong: list[str] = []
    ends = [edit.stop for edit in edits]
    if any(edit.start < end for edit, end in zip(edits[1:], ends, strict=False)):
        wrong.append("edits overlap or are out of order")
    for edit in edits:
        blocks = view.source[edit.start : edit.stop]
        if not blocks or edit.stop > view.tail:
            wrong.append(f"{edit} reaches into the tail or holds nothing")
        if any(index in view.pinned for index in range(edit.start, edit.stop)):
            wrong.append(f"{edit} touches a pinned block")
        if any(block.kind in (Kind.UNKNOWN, Kind.OPAQUE) for block in blocks):
            wrong.append(f"{edit} touches a block nobody understands")
        if isinstance(edit, Insert):
            wrong.append(f"{edit}: a strategy inserts nothing")
        else:
            wrong += _broken_clear(view, edit) if isinstance(edit, Clear) else _broken_span(view, edit)
    return wrong


def _broken_clear(view: View, edit: Clear) -> list[str]:
    entry = next((entry for entry in view.entries if entry.start == edit.block), None)
    fine = entry and entry.state == "verbatim" and entry.block.kind is not Kind.THINKING and edit.text.strip()
    return [] if fine else [f"{edit} clears what it must not"]


def _broken_span(view: View, edit: Fold | Drop) -> list[str]:
    wrong = []
    if isinstance(edit, Drop) and all(block.kind is Kind.THINKING for block in view.source[edit.start : edit.stop]):
        return []
    if edit.start not in view.cuts or edit.stop not in view.cuts:
        wrong.append(f"{edit} does not start and stop at cuts")
    torn = [e for e in view.entries if e.start < edit.stop and edit.start < e.stop and not (edit.start <= e.start and e.stop <= edit.stop)]
    if torn:
        wrong.append(f"{edit} tears {torn[0]}")
    if isinstance(edit, Fold) and not edit.text.strip():
        wrong.append(f"{edit} has no text")
    return wrong


def goal(view: View, share: float = 0.5) -> Goal:
    """Down to a share of the messages' tokens."""
    target = int(view.head_tokens + (view.tokens - view.head_tokens) * share)
    return Goal(target, int(view.tokens))


def user(text: str) -> dict[str, Any]:
    """A user's message."""
    return {"role": "user", "content": text}


def says(text: str) -> dict[str, Any]:
    """An assistant's plain answer."""
    return {"role": "assistant", "content": [{"type": "text", "text": text}]}


def does(number: int, tool: str, inputs: dict[str, Any], result: str, error: bool = False) -> list[dict[str, Any]]:
    """A tool call and its result."""
    call = f"toolu_{number}"
    back: dict[str, Any] = {"type": "tool_result", "tool_use_id": call, "content": result}
    if error:
        back["is_error"] = True
    return [
        {"role": "assistant", "content": [{"type": "tool_use", "id": call, "name": tool, "input": inputs}]},
        {"role": "user", "content": [back]},
    ]

"""What makes one request legal, seen alone.

Sources: platform.claude.com/docs, Messages, "tool use" and "prompt caching" (2026-08-21): each ``tool_use`` is answered in
the user turn that directly follows, consecutive messages of one role are one turn, at most 4 marks, none on
thinking or empty text, 1h before 5m. developers.openai.com, function calling, Chat Completions and Responses (2026-10).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

from holdfast.checker.reading import Body, Part, Piece
from holdfast.checker.values import Dialect

Fault: TypeAlias = tuple[str, str, str]  # rule, where, detail
MAX_MARKS = 4


def _close(waiting: dict[str, str]) -> Iterator[Fault]:
    for call, where in waiting.items():
        yield "pair", where, f"call {call} has no result directly behind it"
    waiting.clear()


def _turnwise_pairs(messages: Sequence[Piece], merges: bool) -> Iterator[Fault]:
    """Calls are answered in what directly follows. ``merges``: consecutive assistant messages are one turn."""
    if [(), *(message.calls for message in messages)] == [*(message.results for message in messages), ()]:
        return  # every message answers exactly the one before it
    waiting: dict[str, str] = {}
    before = ""
    for index, message in enumerate(messages):
        if waiting and not message.results and not (merges and before == message.role == "assistant"):
            yield from _close(waiting)
        for call in message.calls:
            if call in waiting:
                yield "duplicate-id", f"messages[{index}]", f"call id {call} is used twice"
            waiting[call] = f"messages[{index}]"
        for call in message.results:
            if waiting.pop(call, None) is None:
                yield "orphan", f"messages[{index}]", f"result for {call}, which was not called directly before"
        before = message.role
    yield from _close(waiting)


def _itemwise_pairs(messages: Sequence[Piece], continued: bool) -> Iterator[Fault]:
    """Responses: a call is answered once, anywhere behind it."""
    waiting: dict[str, str] = {}
    for index, message in enumerate(messages):
        for call in message.calls:
            if call in waiting:
                yield "duplicate-id", f"messages[{index}]", f"call id {call} is used twice"
            waiting[call] = f"messages[{index}]"
        for call in message.results:
            if waiting.pop(call, None) is None and not continued:
                yield "orphan", f"messages[{index}]", f"output for {call}, which was not called before"
    yield from _close(waiting)


def _unique_ids(messages: Sequence[Piece]) -> Iterator[Fault]:
    calls = [call for message in messages for call in message.calls]
    if len(set(calls)) == len(calls):
        return
    seen: set[str] = set()
    for index, message in enumerate(messages):
        for call in message.calls:
            if call in seen:
                yield "duplicate-id", f"messages[{index}]", f"call id {call} was used before"
            seen.add(call)


def _server_pairs(messages: Sequence[Piece]) -> Iterator[Fault]:
    """A result that the provider itself made stands behind its call, in the same assistant turn."""
    if not any(message.answers for message in messages):
        return
    known: set[str] = set()
    for index, message in enumerate(messages):
        if message.role != "assistant":
            known.clear()
        for kind, call in message.answers:
            if kind == "server call":
                known.add(call)
            elif call not in known:
                yield "orphan", f"messages[{index}]", f"server tool result for {call} without its call"


def _marks(body: Body) -> Iterator[Fault]:
    places: list[tuple[str, Part]] = [(f"tools[{n}]", part) for n, part in enumerate(body.head.tools) if part.marks]
    places += [(f"system[{n}]", part) for n, part in enumerate(body.head.system) if part.marks]
    for index, message in [(index, message) for index, message in enumerate(body.messages) if message.marked]:
        places += [(f"messages[{index}].content[{n}]", part) for n, part in enumerate(message.parts) if part.marks]
    flat = [(where, ttl) for where, part in places for ttl in part.marks]
    last = body.messages[-1].parts[-1:] if body.messages else ()
    automatic = body.head.automatic and not any(part.marks for part in last)
    if len(flat) + bool(automatic) > MAX_MARKS:
        yield "marks", flat[-1][0], f"{len(flat) + bool(automatic)} cache marks, at most {MAX_MARKS} are allowed"
    shorter = None
    for where, ttl in flat:
        if ttl < 3600:
            shorter = shorter or where
        elif shorter:
            yield "mark-order", where, f"a 1h mark behind the 5m mark at {shorter}"


def _head_faults(body: Body) -> Iterator[Fault]:
    for name, parts in (("tools", body.head.tools), ("system", body.head.system)):
        for n, part in enumerate(parts):
            if part.fault:
                yield part.fault[0], f"{name}[{n}]", part.fault[1]


def _message_faults(body: Body, last_may_be_empty: bool) -> Iterator[Fault]:
    final = len(body.messages) - 1
    for index, message in [(index, message) for index, message in enumerate(body.messages) if message.faults]:
        lenient = last_may_be_empty and index == final and message.role == "assistant"
        for rule, suffix, detail in message.faults:
            if not (lenient and rule == "empty"):
                yield rule, f"messages[{index}]{suffix}", detail


def faults(body: Body, dialect: Dialect) -> list[Fault]:
    """Every way in which this body is not a legal request. Places name the history ``messages`` in every dialect."""
    found: list[Fault] = []
    messages = body.messages
    if dialect == "openai-responses":
        found += _message_faults(body, last_may_be_empty=False)
        found += _itemwise_pairs(messages, body.head.continued)
        return found
    found += _message_faults(body, last_may_be_empty=dialect == "anthropic")
    found += _turnwise_pairs(messages, merges=dialect == "anthropic")
    if dialect == "anthropic":
        if not messages or messages[0].role != "user":
            found.append(("first-role", "messages[0]", "the first message is not the user's"))
        found += _head_faults(body)
        found += _marks(body)
        found += _server_pairs(messages)
        if not any(rule == "duplicate-id" for rule, _, _ in found):
            found += _unique_ids(messages)
    return found

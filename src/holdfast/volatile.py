"""What changes from request to request moved out of the system prompt: a clock, an id. It is said with the user's newest words instead."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from holdfast.frozen import Json
from holdfast.wire import Wire

ELSEWHERE = "[said with the user's newest message]"


def hoisted(body: Mapping[str, Json], wire: Wire, patterns: Sequence[re.Pattern[str]]) -> tuple[Mapping[str, Json], str]:
    """``body`` with every match in its system texts replaced by one fixed phrase, and what stood there, a line each.

    The same object where nothing matches. Tool definitions are left alone.
    """
    found: list[str] = []
    changed: dict[str, Json] = {}
    for key in ("system", "instructions"):
        if key in body and (text := _moved(body[key], patterns, found)) is not body[key]:
            changed[key] = text
    leading = wire.leading(body)
    if leading:
        items = body[wire.messages_key]
        head = [_moved_message(item, patterns, found) for item in items[:leading]]
        if any(one is not other for one, other in zip(head, items, strict=False)):
            changed[wire.messages_key] = [*head, *items[leading:]]
    return ({**body, **changed} if changed else body), "\n".join(dict.fromkeys(found))


def _taken(match: re.Match[str], found: list[str]) -> str:
    """What stands for a match: nothing is moved that says nothing."""
    if not match.group(0).strip():
        return match.group(0)
    found.append(match.group(0))
    return ELSEWHERE


def _moved_message(item: Json, patterns: Sequence[re.Pattern[str]], found: list[str]) -> Json:
    content = item.get("content") if isinstance(item, Mapping) else None
    moved = _moved(content, patterns, found)
    return item if moved is content else {**item, "content": moved}


def _moved(value: Json, patterns: Sequence[re.Pattern[str]], found: list[str]) -> Json:
    if isinstance(value, str):
        text = value
        for pattern in patterns:
            text = pattern.sub(lambda match: _taken(match, found), text)
        return value if text == value else text
    if isinstance(value, list):
        parts = [_moved(part, patterns, found) for part in value]
        return value if all(one is other for one, other in zip(parts, value, strict=True)) else parts
    if isinstance(value, Mapping) and isinstance(value.get("text"), str):
        text = _moved(value["text"], patterns, found)
        return value if text is value["text"] else {**value, "text": text}
    return value

"""Finished conversations as lists of messages: whose form they are in, and the calls that must have made them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from holdfast.blocks import Kind, Role
from holdfast.frozen import Json
from holdfast.readers.fields import Lineage
from holdfast.transcript import Dialect, Turn
from holdfast.wire import of

_OPENAI_ROLES = ("developer", "tool", "function")
_OPENAI_PARTS = ("image_url", "input_audio", "file")
_ANTHROPIC_PARTS = ("tool_use", "tool_result", "thinking", "redacted_thinking", "server_tool_use", "image", "document")


def is_messages(value: Json) -> bool:
    """Whether this is a list of chat messages."""
    return isinstance(value, list) and bool(value) and all(isinstance(raw, dict) and isinstance(raw.get("role"), str) for raw in value)


def _message_form(raw: Mapping[str, Any], first: bool) -> Dialect | None:
    if raw.get("role") in _OPENAI_ROLES or raw.get("tool_calls") or (first and raw.get("role") == "system"):
        return "openai-chat"
    content = raw.get("content")
    for part in content if isinstance(content, list) else ():
        kind = part.get("type") if isinstance(part, dict) else None
        if kind in _ANTHROPIC_PARTS:
            return "anthropic"
        if kind in _OPENAI_PARTS:
            return "openai-chat"
    return None


def form(body: Mapping[str, Any]) -> Dialect | None:
    """Whose form a body with ``messages`` is in, by what only one of the two has; ``None`` where both would write it so."""
    if "system" in body:
        return "anthropic"
    for tool in body.get("tools") or ():
        if isinstance(tool, dict):
            return "openai-chat" if "function" in tool or "custom" in tool else "anthropic"
    found = (_message_form(raw, index == 0) for index, raw in enumerate(body.get("messages") or ()))
    return next((dialect for dialect in found if dialect), None)


def likely_form(body: Mapping[str, Any]) -> Dialect:
    """``form``, or where both would write it so: OpenAI's if it names a model that is not Claude, else Anthropic's."""
    model = str(body.get("model") or "claude").lower()
    return form(body) or ("anthropic" if "claude" in model or "anthropic" in model else "openai-chat")


def turns_of(body: Mapping[str, Any], dialect: Dialect) -> tuple[Turn, ...]:
    """One turn for each of the assistant's messages, which the messages before it were the prompt of.

    Consecutive messages of the assistant are one answer. Where the assistant says nothing, the whole is one request without an answer.
    """
    wire = of(dialect)
    lineage = Lineage("main", wire.read_head(body))
    settings = wire.read_settings(body)
    turns: list[Turn] = []
    for raw in wire.history(body):
        message = wire.read_message(raw)
        if message.role is Role.ASSISTANT and lineage.log and lineage.log[-1].role is not Role.ASSISTANT:
            turns.append(Turn(lineage.name, lineage.prompt(settings, len(lineage.log)), answer=message))
        lineage.log.append(message)
    if not turns and lineage.log and lineage.log[0].role is Role.USER:
        turns.append(Turn(lineage.name, lineage.prompt(settings, len(lineage.log))))
    return tuple(turns)


def lacks_tools(turns: tuple[Turn, ...]) -> bool:
    """Whether the assistant calls tools that are defined nowhere."""
    if not turns or any(block.kind is Kind.TOOL for block in turns[-1].prompt.head):
        return False
    answers = (turn.answer for turn in turns)
    return any(block.kind is Kind.TOOL_USE for answer in answers if answer for block in answer.blocks)

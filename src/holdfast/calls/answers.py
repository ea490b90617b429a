"""What a model said to a question of a strategy: a text, or why there is none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from holdfast.calls.values import Received
from holdfast.errors import AskFailed
from holdfast.frozen import Json
from holdfast.session import READERS
from holdfast.strategy import Answer
from holdfast.transcript import Dialect
from holdfast.usage import Usage, from_openai

_CUT = ("max_tokens", "length", "max_output_tokens", "model_context_window_exceeded")
_DECLINED = ("refusal", "content_filter")
_CALLS = ("tool_use", "server_tool_use", "mcp_tool_use", "function_call", "custom_tool_call")


def usage_of(body: Mapping[str, Json] | None, dialect: Dialect) -> Usage | None:
    """What a response was billed, ``None`` where it does not say."""
    raw = body.get("usage") if body is not None else None
    if not isinstance(raw, Mapping):
        return None
    return READERS.get(dialect, from_openai)(raw)


def answer_of(received: Received, dialect: Dialect) -> Answer:
    """The model's words. Raises ``AskFailed``, with what it cost, if it called a tool, said nothing, was cut off or declined."""
    body = received.body
    usage = usage_of(body, dialect)
    if not received.ok or body is None:
        raise AskFailed(f"the model could not be asked: HTTP {received.status}", usage)
    text, stop, called = _parts(body, dialect)
    why = (
        "it called a tool"
        if called
        else "it was cut off"
        if stop in _CUT
        else "it declined"
        if stop in _DECLINED
        else "it said nothing"
        if not text.strip()
        else ""
    )
    if why:
        raise AskFailed(f"the model's answer is of no use: {why}", usage)
    return Answer(text, usage or Usage())


def _parts(body: Mapping[str, Json], dialect: Dialect) -> tuple[str, str, bool]:
    """The text, why it ended, and whether a tool was called."""
    if dialect == "anthropic":
        blocks = _dicts(body.get("content"))
        texts = [str(block.get("text", "")) for block in blocks if block.get("type") == "text"]
        return "".join(texts), str(body.get("stop_reason") or ""), any(block.get("type") in _CALLS for block in blocks)
    if dialect == "openai-chat":
        choice = next(iter(_dicts(body.get("choices"))), {})
        message = choice.get("message")
        message = message if isinstance(message, Mapping) else {}
        stop = "refusal" if message.get("refusal") else str(choice.get("finish_reason") or "")
        return str(message.get("content") or ""), stop, bool(message.get("tool_calls"))
    items = _dicts(body.get("output"))
    parts = [part for item in items if item.get("type") == "message" for part in _dicts(item.get("content"))]
    details = body.get("incomplete_details")
    stop = str(details.get("reason") or "") if isinstance(details, Mapping) else ""
    stop = "refusal" if any(part.get("type") == "refusal" for part in parts) else stop
    return "".join(str(part.get("text", "")) for part in parts), stop, any(item.get("type") in _CALLS for item in items)


def _dicts(value: Json) -> list[Mapping[str, Json]]:
    return list(_only_dicts(value)) if isinstance(value, list) else []


def _only_dicts(values: list[Json]) -> Iterator[Mapping[str, Json]]:
    return (value for value in values if isinstance(value, Mapping))

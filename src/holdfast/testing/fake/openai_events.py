"""OpenAI's responses as server-sent events, in the order in which its API sends them (openai 3.54.0 types, 2026-11-17)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeAlias

from holdfast.frozen import Json

Event: TypeAlias = "tuple[str, Mapping[str, Json] | str]"

_EMPTY: Mapping[str, Mapping[str, Json]] = {
    "message": {"content": []},
    "function_call": {"arguments": ""},
    "custom_tool_call": {"input": ""},
    "reasoning": {"summary": []},
}
DONE = "[DONE]"
_LEAST, _MOST = 12, 64
"""A delta is at least so many characters, and a text at most about so many deltas."""


def pieces(text: str) -> Iterator[str]:
    """A text in the parts in which it is streamed; together they are the text."""
    size = max(_LEAST, -(-len(text) // _MOST))
    for start in range(0, len(text), size):
        yield text[start : start + size]


def chat_events(body: Mapping[str, Json], response: Mapping[str, Json]) -> Iterator[Event]:
    """A ``chat.completion`` as chunks. Usage comes in a last chunk without choices, only where the request asks for it."""
    options = body.get("stream_options")
    told = isinstance(options, dict) and bool(options.get("include_usage"))
    base = {key: response[key] for key in ("id", "created", "model", "service_tier", "system_fingerprint")}
    base["object"] = "chat.completion.chunk"
    nothing: dict[str, Json] = {"usage": None} if told else {}
    for choice in response["choices"]:
        for delta, finish in _deltas(choice):
            part = {"index": choice["index"], "delta": delta, "logprobs": None, "finish_reason": finish}
            yield "", {**base, "choices": [part], **nothing}
    if told:
        yield "", {**base, "choices": [], "usage": response["usage"]}
    yield "", DONE


def _deltas(choice: Mapping[str, Json]) -> Iterator[tuple[dict[str, Json], str | None]]:
    message = choice["message"]
    content, refusal = message.get("content"), message.get("refusal")
    opening = None if content is None and (message.get("tool_calls") or refusal) else ""
    yield {"role": "assistant", "content": opening, "refusal": None}, None
    for piece in pieces(message.get("reasoning_content") or ""):
        yield {"reasoning_content": piece}, None
    for piece in pieces(content or ""):
        yield {"content": piece}, None
    for piece in pieces(refusal or ""):
        yield {"refusal": piece}, None
    for index, call in enumerate(message.get("tool_calls") or ()):
        inner = call.get("function") or {}
        begun = {"name": inner.get("name"), "arguments": ""}
        yield {"tool_calls": [{"index": index, "id": call.get("id"), "type": "function", "function": begun}]}, None
        for piece in pieces(inner.get("arguments") or ""):
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}, None
    yield {}, choice["finish_reason"]


def response_events(response: Mapping[str, Json]) -> Iterator[Event]:
    """A ``response`` as the events of the Responses API, numbered from 0. The last one's type says how it ended."""
    begun = {**response, "status": "in_progress", "output": [], "usage": None, "incomplete_details": None, "completed_at": None}
    listed: list[dict[str, Json]] = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
    ]
    for index, item in enumerate(response["output"]):
        listed += _item_events(item, index)
    listed.append({"type": f"response.{response['status']}", "response": response})
    yield from numbered(listed)


def overflow_events(response: Mapping[str, Json], error: Mapping[str, Json]) -> Iterator[Event]:
    """How a stream tells that its prompt is too long: the HTTP status is 200, and the third event is the error.

    So the public API did in 2025 and 2026 (dyad-sh/dyad 1672, maximhq/bifrost 4413).
    """
    begun = {**response, "status": "in_progress", "output": [], "usage": None}
    yield from numbered(
        [
            {"type": "response.created", "response": begun},
            {"type": "response.in_progress", "response": begun},
            {"type": "error", "error": dict(error)},
        ]
    )


def numbered(listed: list[dict[str, Json]]) -> Iterator[Event]:
    """Events under the names of their types, each with its ``sequence_number``."""
    for number, event in enumerate(listed):
        yield event["type"], {"type": event["type"], "sequence_number": number, **event}


def _item_events(item: Mapping[str, Json], index: int) -> Iterator[dict[str, Json]]:
    kind = item.get("type")
    place: dict[str, Json] = {"output_index": index}
    inside: dict[str, Json] = {"item_id": item.get("id"), "output_index": index}
    yield {"type": "response.output_item.added", **place, "item": _opened(item)}
    if kind == "message":
        for number, part in enumerate(item.get("content") or ()):
            yield from _part_events(part, {**inside, "content_index": number})
    elif kind == "reasoning":
        for number, part in enumerate(item.get("summary") or ()):
            yield from _summary_events(part, {**inside, "summary_index": number})
    elif kind in ("function_call", "custom_tool_call"):
        name, key = ("function_call_arguments", "arguments") if kind == "function_call" else ("custom_tool_call_input", "input")
        for piece in pieces(item.get(key) or ""):
            yield {"type": f"response.{name}.delta", **inside, "delta": piece}
        yield {"type": f"response.{name}.done", **inside, key: item.get(key) or ""}
    yield {"type": "response.output_item.done", **place, "item": item}


def _opened(item: Mapping[str, Json]) -> dict[str, Json]:
    """The item as it is when nothing of it has been said yet."""
    return {**item, **({"status": "in_progress"} if "status" in item else {}), **_EMPTY.get(str(item.get("type")), {})}


def _part_events(part: Mapping[str, Json], place: Mapping[str, Json]) -> Iterator[dict[str, Json]]:
    key = "refusal" if part.get("type") == "refusal" else "text"
    extra: dict[str, Json] = {} if key == "refusal" else {"logprobs": []}
    name = "refusal" if key == "refusal" else "output_text"
    yield {"type": "response.content_part.added", **place, "part": {**part, key: ""}}
    for piece in pieces(part.get(key) or ""):
        yield {"type": f"response.{name}.delta", **place, "delta": piece, **extra}
    yield {"type": f"response.{name}.done", **place, key: part.get(key) or "", **extra}
    yield {"type": "response.content_part.done", **place, "part": part}


def _summary_events(part: Mapping[str, Json], place: Mapping[str, Json]) -> Iterator[dict[str, Json]]:
    text = part.get("text") or ""
    yield {"type": "response.reasoning_summary_part.added", **place, "part": {**part, "text": ""}}
    for piece in pieces(text):
        yield {"type": "response.reasoning_summary_text.delta", **place, "delta": piece}
    yield {"type": "response.reasoning_summary_text.done", **place, "text": text}
    yield {"type": "response.reasoning_summary_part.done", **place, "part": part}

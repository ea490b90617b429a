"""Streamed responses put together again: server-sent events in, the body out that the same request would have got unstreamed.

Formats by what their first event holds: Anthropic Messages (``message_start``; platform.claude.com, streaming, 2026-08-21), OpenAI
Responses (``response.*``) and Chat Completions chunks (OpenAI API reference, 2026-10), Gemini chunks (ai.google.dev,
``streamGenerateContent``, 2026-10) and Cohere's chat events (docs.cohere.com, 2026).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

_AS_IT_CAME = frozenset({"role", "id", "type", "name", "index", "object", "format"})


def events(text: str) -> Iterator[dict[str, Any]]:
    """The JSON objects of a stream's ``data`` fields, in order. Comments, ``[DONE]`` and what is no JSON object are passed over."""
    for chunk in text.replace("\r\n", "\n").replace("\r", "\n").split("\n\n"):
        data = "\n".join(line[5:].removeprefix(" ") for line in chunk.split("\n") if line.startswith("data:"))
        try:
            found = json.loads(data)
        except ValueError:
            continue
        if isinstance(found, dict):
            yield found


def is_stream(text: str) -> bool:
    """Whether a body looks like server-sent events."""
    return text.lstrip("\ufeff \r\n").startswith(("data:", "event:", ":", "id:", "retry:"))


def assembled(text: str) -> dict[str, Any]:
    """A stream's response as one body, ``{}`` where its format is not known or it holds nothing."""
    return put_together(list(events(text)))


def put_together(found: list[dict[str, Any]]) -> dict[str, Any]:
    """A response from its events, which are of whichever format the first telling one is. ``{}``: they are not as that format has them."""
    try:
        return _put_together(found)
    except (AttributeError, TypeError, KeyError, ValueError):
        return {}


def _put_together(found: list[dict[str, Any]]) -> dict[str, Any]:
    for event in found:
        kind = str(event.get("type") or "")
        if kind == "message_start":
            return _anthropic(found)
        if kind.startswith("response."):
            return _responses(found)
        if kind == "message-start":
            return _cohere(found)
        if "choices" in event:
            return _chat(found)
        if "candidates" in event or "usageMetadata" in event:
            return _gemini(found)
        if event.get("error"):
            return {"error": event["error"]}
    return {}


def grow(target: dict[str, Any], delta: Mapping[str, Any]) -> None:
    """Lay a delta over what came before it: texts are appended, objects grow, list items find their own by ``index``."""
    for key, value in delta.items():
        old = target.get(key)
        if isinstance(value, str) and isinstance(old, str) and key not in _AS_IT_CAME:
            target[key] = old + value
        elif isinstance(value, dict) and isinstance(old, dict):
            grow(old, value)
        elif isinstance(value, list) and (isinstance(old, list) or old is None):
            target[key] = _grown_list(old or [], value)
        elif value is not None or key not in target:
            target[key] = _copied(value)


def _copied(value: Any) -> Any:
    return dict(value) if isinstance(value, dict) else list(value) if isinstance(value, list) else value


def _grown_list(old: list[Any], new: list[Any]) -> list[Any]:
    out = list(old)
    for item in new:
        place = item.get("index") if isinstance(item, dict) else None
        same = next((have for have in out if isinstance(have, dict) and place is not None and have.get("index") == place), None)
        if same is None:
            out.append(_copied(item))
        else:
            grow(same, item)
    return out


def raised(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Usage after another report: counts are cumulative and never fall, and a report that leaves one out does not erase it."""
    out = dict(old)
    for key, value in new.items():
        known = out.get(key)
        if isinstance(value, int) and isinstance(known, int):
            out[key] = max(known, value)
        elif isinstance(value, dict) and isinstance(known, dict):
            out[key] = raised(known, value)
        elif value is not None:
            out[key] = value
    return out


def _anthropic(found: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    message: dict[str, Any] = {}
    blocks: dict[int, dict[str, Any]] = {}
    inputs: dict[int, str] = {}
    for event in found:
        kind, place = event.get("type"), event.get("index", 0)
        if kind == "message_start":
            message = dict(event.get("message") or {})
        elif kind == "content_block_start":
            blocks[place] = dict(event.get("content_block") or {})
        elif kind == "content_block_delta":
            _anthropic_delta(blocks.setdefault(place, {"type": "text"}), event.get("delta") or {}, inputs, place)
        elif kind == "message_delta":
            message.update({key: value for key, value in (event.get("delta") or {}).items() if value is not None})
            message["usage"] = raised(message.get("usage") or {}, event.get("usage") or {})
        elif kind == "error":
            message["error"] = event.get("error")
    for place, text in inputs.items():
        blocks[place]["input"] = _parsed(text)
    message["content"] = [blocks[place] for place in sorted(blocks)]
    return message


def _anthropic_delta(block: dict[str, Any], delta: Mapping[str, Any], inputs: dict[int, str], place: int) -> None:
    if "partial_json" in delta:
        inputs[place] = inputs.get(place, "") + str(delta["partial_json"] or "")
    elif "citation" in delta:
        block["citations"] = [*(block.get("citations") or []), delta["citation"]]
    else:
        grow(block, {key: value for key, value in delta.items() if key != "type"})


def _parsed(text: str) -> Any:
    try:
        return json.loads(text) if text else {}
    except ValueError:
        return {"unparsed": text}


def _chat(found: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    choices: dict[int, dict[str, Any]] = {}
    for event in found:
        out.update({key: value for key, value in event.items() if key not in ("choices", "usage") and value is not None})
        if isinstance(event.get("usage"), dict):
            out["usage"] = raised(out.get("usage") or {}, event["usage"])
        for raw in event.get("choices") or ():
            choice = choices.setdefault(raw.get("index", 0), {"index": raw.get("index", 0), "message": {}, "finish_reason": None})
            grow(choice["message"], raw.get("delta") or raw.get("message") or {})
            choice["finish_reason"] = raw.get("finish_reason") or choice["finish_reason"]
            if isinstance(raw.get("usage"), dict):  # Moonshot reports it here
                out["usage"] = raised(out.get("usage") or {}, raw["usage"])
    for choice in choices.values():
        for call in choice["message"].get("tool_calls") or ():
            call.pop("index", None)
    return {**out, "object": "chat.completion", "choices": [choices[place] for place in sorted(choices)]}


def _responses(found: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    items: list[Any] = []
    for event in found:
        if isinstance(event.get("response"), dict):
            out = dict(event["response"])
        elif event.get("type") == "response.output_item.done":
            items.append(event.get("item"))
    return out if out.get("output") or not items else {**out, "output": items}


def _gemini(found: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    parts: list[Any] = []
    role = "model"
    for event in found:
        for candidate in event.get("candidates") or ():
            content = candidate.get("content") or {}
            parts += content.get("parts") or []
            role = content.get("role") or role
        out.update({key: value for key, value in event.items() if key not in ("candidates", "usageMetadata")})
        out["usageMetadata"] = raised(out.get("usageMetadata") or {}, event.get("usageMetadata") or {})
    return {**out, "candidates": [{"content": {"role": role, "parts": parts}}]}


def _cohere(found: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    text = ""
    for event in found:
        delta = event.get("delta") or {}
        message = delta.get("message") or {}
        content = message.get("content")
        text += str(content.get("text") or "") if isinstance(content, dict) else ""
        out.update({key: value for key, value in {"id": event.get("id"), "usage": delta.get("usage")}.items() if value})
    return {**out, "message": {"role": "assistant", "content": [{"type": "text", "text": text}]}}

"""Request bodies in forms that Holdfast does not send, as bodies in a form whose blocks it can read.

Only what a cache compares must survive: the order of blocks, their content, the marks and the settings. Bedrock Converse
(docs.aws.amazon.com, Converse API and prompt caching, 2026), Gemini (ai.google.dev, ``generateContent``, 2026-10) and Chat Completions with
``cache_control`` (openrouter.ai/docs, prompt caching, 2026) become Anthropic bodies, whose marks stand on blocks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from holdfast.wire.openai_chat import leading

_CONVERSE_KINDS = {"toolUse": "tool_use", "toolResult": "tool_result", "reasoningContent": "thinking"}
_NO_MARK = ("thinking", "redacted_thinking")


def plain_anthropic(body: Mapping[str, Any]) -> dict[str, Any]:
    """An Anthropic body with every text as a block, and the top-level ``cache_control`` where it acts: the last block that may carry it."""
    messages = [_listed(message) for message in _dicts(body.get("messages"))]
    out = {**body, "messages": messages, "system": _texts(body.get("system"))}
    automatic = out.pop("cache_control", None)
    blocks = [block for message in messages for block in message["content"] if isinstance(block, dict)]
    last = next((block for block in reversed(blocks) if block.get("type") not in _NO_MARK), None)
    if automatic and last is not None:
        last.setdefault("cache_control", automatic)
    return out


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _texts(content: Any) -> list[dict[str, Any]]:
    """A content as a list of its own, a string as its one text block."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return [ordered(block) if isinstance(block, dict) else {"type": "text", "text": str(block)} for block in content or ()]


def ordered(block: Mapping[str, Any]) -> dict[str, Any]:
    """A block with its type first: recordings sort the keys, and no provider renders them."""
    first = {key: block[key] for key in ("type", "text") if key in block}
    return {**first, **block}


def _listed(message: Mapping[str, Any]) -> dict[str, Any]:
    return {**message, "content": _texts(message.get("content"))}


def from_converse(body: Mapping[str, Any]) -> dict[str, Any]:
    """A Bedrock Converse body. A ``cachePoint`` marks the block before it; one before any block marks nothing."""
    config = body.get("toolConfig") or {}
    extra = body.get("additionalModelRequestFields") or {}
    choice = config.get("toolChoice")
    return {
        "model": body.get("model"),
        "tools": _converse_blocks(config.get("tools") or ()),
        "system": _converse_blocks(body.get("system") or ()),
        "messages": [{**message, "content": _converse_blocks(message.get("content") or ())} for message in _dicts(body.get("messages"))],
        **({} if choice in (None, {"auto": {}}) else {"tool_choice": choice}),
        **{key: extra[key] for key in ("thinking", "output_config") if key in extra},
    }


def _converse_blocks(raw: Iterable[Any]) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []
    for item in raw:
        if not isinstance(item, dict):
            continue
        point = item.get("cachePoint")
        if point is None:
            out.append(_converse_block(item))
        elif out and isinstance(point, dict):
            out[-1] = {**out[-1], "cache_control": {"type": "ephemeral", "ttl": point.get("ttl") or "5m"}}
    return out


def _converse_block(item: Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(item.get("text"), str):
        return {"type": "text", "text": item["text"]}
    if isinstance(item.get("toolSpec"), dict):
        return dict(item["toolSpec"])
    key = next(iter(item), "unknown")
    inner = item[key] if isinstance(item.get(key), dict) else {"value": item.get(key)}
    return {"type": _CONVERSE_KINDS.get(key, key), **inner}


def from_gemini(body: Mapping[str, Any]) -> dict[str, Any]:
    """A Gemini body. The implicit cache has no marks."""
    instruction = body.get("systemInstruction") or body.get("system_instruction") or {}
    return {
        "model": body.get("model"),
        "tools": _dicts(body.get("tools")),
        "system": [_gemini_part(part) for part in _dicts(instruction.get("parts"))],
        "messages": [
            {
                "role": "assistant" if content.get("role") == "model" else "user",
                "content": [_gemini_part(part) for part in _dicts(content.get("parts"))],
            }
            for content in _dicts(body.get("contents"))
        ],
        **({"tool_choice": body["toolConfig"]} if body.get("toolConfig") else {}),
    }


def _gemini_part(part: Mapping[str, Any]) -> dict[str, Any]:
    kinds = {"text": "text", "functionCall": "tool_use", "functionResponse": "tool_result", "inlineData": "image"}
    return {"type": next((kind for key, kind in kinds.items() if key in part), "document"), **part}


def has_marks(body: Mapping[str, Any]) -> bool:
    """Whether a Chat Completions body carries Anthropic's marks."""
    parts = [part for message in _dicts(body.get("messages")) for part in _dicts(message.get("content"))]
    return any("cache_control" in item for item in [body, *parts, *_dicts(body.get("tools")), *_dicts(body.get("messages"))])


def from_chat(body: Mapping[str, Any]) -> dict[str, Any]:
    """A Chat Completions body for a model whose cache goes by ``cache_control``, as a gateway hands it on."""
    first = leading(body)
    messages = _dicts(body.get("messages"))
    out = {
        "model": body.get("model"),
        "tools": _dicts(body.get("tools")),
        "system": [block for message in messages[:first] for block in _chat_blocks(message)],
        "messages": [{"role": _side(message), "content": _chat_blocks(message)} for message in messages[first:]],
    }
    kept = {"cache_control": "cache_control", "tool_choice": "tool_choice", "reasoning": "thinking"}
    return plain_anthropic({**out, **{new: body[key] for key, new in kept.items() if body.get(key) not in (None, "auto")}})


def _side(message: Mapping[str, Any]) -> str:
    return "assistant" if message.get("role") == "assistant" else "user"


def _chat_blocks(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    blocks = _texts(message.get("content"))
    if message.get("role") == "tool":
        mark = next((block["cache_control"] for block in blocks if "cache_control" in block), None)
        bare = [{key: value for key, value in block.items() if key != "cache_control"} for block in blocks]
        result = {"type": "tool_result", "tool_use_id": message.get("tool_call_id"), "content": bare}
        return [{**result, "cache_control": mark} if mark else result]
    return blocks + [{**call, "type": "tool_use"} for call in _dicts(message.get("tool_calls"))]


def plain_openai(body: Mapping[str, Any], key: str, text: str) -> dict[str, Any]:
    """An OpenAI body whose messages, under ``key``, all have a list for their content: a mark needs one, and the prompt is the same."""
    items = body.get(key)
    raw: Sequence[Any] = [{"role": "user", "content": items}] if isinstance(items, str) else items if isinstance(items, list) else []
    return {**body, key: [_openai_listed(item, text) for item in raw]}


def _openai_listed(item: Any, text: str) -> Any:
    content = item.get("content") if isinstance(item, dict) else None
    if isinstance(content, list):
        return {**item, "content": [ordered(part) if isinstance(part, dict) else part for part in content]}
    if not isinstance(content, str) or not content or item.get("role") in ("tool", "function"):
        return item
    kind = "output_text" if text == "input_text" and item.get("role") == "assistant" else text
    return {**item, "content": [{"type": kind, "text": content}]}

"""What stands where in each dialect's JSON: marks, calls, results, and what of a block a clear may change."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from holdfast.checker.values import Dialect

THINKING = ("thinking", "redacted_thinking")
MARKS: Mapping[Dialect, str] = {
    "anthropic": "cache_control",
    "openai-chat": "prompt_cache_breakpoint",
    "openai-responses": "prompt_cache_breakpoint",
}
HISTORY: Mapping[Dialect, str] = {"anthropic": "messages", "openai-chat": "messages", "openai-responses": "input"}
SYSTEM: Mapping[Dialect, str] = {"anthropic": "system", "openai-chat": "", "openai-responses": "instructions"}
CALL_INPUTS = ("input", "arguments", "action", "operation")


def ttl_of(mark: Any) -> int:
    """The lifetime of an Anthropic mark, in seconds."""
    return 3600 if isinstance(mark, dict) and mark.get("ttl") == "1h" else 300


def unmarked(block: Any, key: str) -> tuple[Any, tuple[int, ...]]:
    """A block without its marks, and their lifetimes; the blocks inside a tool result may carry some too."""
    if not isinstance(block, dict):
        return block, ()
    marks: tuple[int, ...] = ()
    for name in ("content", "output"):
        inner = block.get(name)
        if isinstance(inner, list) and any(isinstance(item, dict) and key in item for item in inner):
            pairs = [unmarked(item, key) for item in inner]
            block = {**block, name: [item for item, _ in pairs]}
            marks += tuple(ttl for _, found in pairs for ttl in found)
    if key in block:
        marks += (ttl_of(block[key]),) if block[key] else ()
        block = {name: value for name, value in block.items() if name != key}
    return block, marks


def _empty_text(block: Any) -> bool:
    return block == "" or (isinstance(block, dict) and block.get("type") == "text" and not block.get("text"))


@dataclass(frozen=True, slots=True)
class Grammar:
    """What a block is, the call it belongs to, and which of its keys a clear may change."""

    kind: str
    call: str = ""
    cleared: tuple[str, ...] = ()


def _anthropic(block: Any, role: str) -> Grammar:
    type_ = block.get("type", "") if isinstance(block, dict) else "text"
    if type_ in THINKING:
        return Grammar("thinking")
    if type_ == "tool_use":
        return Grammar("call", str(block.get("id")), ("input",))
    if type_ == "tool_result":
        return Grammar("result", str(block.get("tool_use_id")), ("content",))
    if role == "assistant" and isinstance(block, dict) and "tool_use_id" in block:
        return Grammar("server result", str(block["tool_use_id"]))
    if str(type_).endswith("_tool_use"):
        return Grammar("server call", str(block.get("id")))
    return Grammar(str(type_))


def _responses(item: Any, role: str) -> Grammar:
    type_ = str(item.get("type", "")) if isinstance(item, dict) else "text"
    if type_ == "reasoning":
        return Grammar("thinking")
    # What the client runs has a call_id, what the provider runs has none (developers.openai.com, Responses, 2026-10).
    if isinstance(item, dict) and item.get("call_id") and type_.endswith("_call"):
        return Grammar("call", str(item["call_id"]), CALL_INPUTS)
    if isinstance(item, dict) and item.get("call_id") and type_.endswith("_output"):
        return Grammar("result", str(item["call_id"]), ("output",))
    return Grammar(type_)


def _chat(block: Any, role: str) -> Grammar:
    if isinstance(block, dict) and role == "tool":
        return Grammar("result", str(block.get("tool_call_id")), ("content",))
    if isinstance(block, dict) and ("function" in block or "custom" in block) and "id" in block:
        return Grammar("call", str(block["id"]), ("arguments", "input"))
    return Grammar(str(block.get("type", "")) if isinstance(block, dict) else "text")


GRAMMARS: Mapping[Dialect, Callable[[Any, str], Grammar]] = {"anthropic": _anthropic, "openai-chat": _chat, "openai-responses": _responses}


def as_blocks(block: Any, role: str, dialect: Dialect) -> Any:
    """The block in the form it has where a mark stands on it: a bare string becomes a text block."""
    kind = "text" if dialect != "openai-responses" else "output_text" if role == "assistant" else "input_text"
    if isinstance(block, str):
        return {"type": kind, "text": block}
    if dialect != "anthropic" and role == "tool":
        return {
            name: [{"type": kind, "text": value}] if name in ("content", "output") and isinstance(value, str) else value
            for name, value in block.items()
        }
    return block


def masked(block: Any, names: tuple[str, ...]) -> Any:
    """The block without what a clear may change."""
    if not isinstance(block, dict):
        return block
    out = {}
    for name, value in block.items():
        if name in ("function", "custom"):
            out[name] = masked(value, names)
        else:
            out[name] = None if name in names else value
    return out


def loose(value: Any) -> Any:
    """A value of which all equal values (``==``) have one JSON, when keys are sorted: ``True`` and ``1.0`` are ``1``."""
    if isinstance(value, dict):
        return {key: loose(item) for key, item in value.items()}
    if isinstance(value, list):
        return [loose(item) for item in value]
    if isinstance(value, bool) or (isinstance(value, float) and value.is_integer()):
        return int(value)
    return value


def fault(block: Any, kind: str, marks: tuple[int, ...], dialect: Dialect) -> tuple[str, str] | None:
    """What is illegal about a block of its own: rule and detail. Anthropic's API only."""
    if dialect != "anthropic":
        return None
    if marks and kind == "thinking":
        return ("mark-place", "a cache mark on a thinking block")
    if marks and isinstance(block, dict) and block.get("defer_loading"):
        return ("mark-place", "a cache mark on a tool with defer_loading")
    if _empty_text(block):
        return ("mark-place", "a cache mark on an empty text") if marks else ("empty", "an empty text")
    if kind == "call" and not isinstance(block.get("input"), dict):
        return ("input-type", "a tool call whose input is not an object")
    return None


def contents(message: Any, dialect: Dialect) -> tuple[Any, list[Any], bool]:
    """The message with its blocks taken out, the blocks, and whether the content was a bare string.

    In OpenAI's dialects what has no parts is itself one block.
    """
    if not isinstance(message, dict):
        return None, [message], isinstance(message, str)
    if dialect == "openai-chat" and message.get("role") in ("tool", "function"):
        return {}, [message], False
    if dialect == "openai-responses" and message.get("type", "message") != "message":
        return {}, [message], False
    content = message.get("content")
    blocks = content if isinstance(content, list) else [] if content is None else [content]
    if dialect != "anthropic" and content == "":
        blocks = []
    calls = message.get("tool_calls") or [] if dialect == "openai-chat" else []
    if dialect != "anthropic" and not blocks and not calls:
        return {}, [message], False
    taken = {name: None if (name == "content" and blocks) or (name == "tool_calls" and calls) else value for name, value in message.items()}
    return taken, [*blocks, *calls], isinstance(content, str)


def role_of(message: Any) -> str:
    """Who speaks. Items of a Responses request that are no messages are the model's, their outputs the tool's."""
    if not isinstance(message, dict):
        return "user"
    type_ = str(message.get("type", "message"))
    if "role" in message or type_ == "message":
        return str(message.get("role", ""))
    return "tool" if type_.endswith("_output") else "assistant"


def empty(message: Any, dialect: Dialect) -> bool:
    """Whether the API would refuse the message for want of content (an empty text block is another matter)."""
    if not isinstance(message, dict) or (dialect == "openai-responses" and message.get("type", "message") != "message"):
        return False
    content = message.get("content")
    if dialect == "anthropic":
        return content is None or content == []
    if content == []:
        return True
    silent = content is None and not message.get("tool_calls") and "function_call" not in message
    return dialect == "openai-chat" and message.get("role") == "assistant" and silent

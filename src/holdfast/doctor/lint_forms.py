"""Reads a request body into items, in the order in which a provider renders them: Anthropic's Messages, OpenAI's Chat Completions (as
OpenRouter and others speak it) and Responses, and Bedrock's Converse.

Unlike ``holdfast.wire`` it takes any JSON: what has not the form of a block is passed over, so that a body with a mistake in it
can still be looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from holdfast.blocks import Block, Kind, Role, make_block
from holdfast.errors import InputError
from holdfast.frozen import Json
from holdfast.readers.conversations import likely_form
from holdfast.transcript import Dialect

Form: TypeAlias = Dialect | Literal["converse"]

_KINDS = {
    "text": Kind.TEXT,
    "input_text": Kind.TEXT,
    "output_text": Kind.TEXT,
    "thinking": Kind.THINKING,
    "redacted_thinking": Kind.THINKING,
    "reasoning": Kind.THINKING,
    "reasoningContent": Kind.THINKING,
    "tool_use": Kind.TOOL_USE,
    "toolUse": Kind.TOOL_USE,
    "tool_result": Kind.TOOL_RESULT,
    "toolResult": Kind.TOOL_RESULT,
    "image": Kind.IMAGE,
    "image_url": Kind.IMAGE,
    "input_image": Kind.IMAGE,
    "document": Kind.DOCUMENT,
    "input_file": Kind.DOCUMENT,
    "file": Kind.DOCUMENT,
    "document_url": Kind.DOCUMENT,
    "video_url": Kind.DOCUMENT,
    "input_audio": Kind.DOCUMENT,
    "compaction": Kind.THINKING,
}
_ROLES = {"assistant": Role.ASSISTANT, "system": Role.SYSTEM, "developer": Role.SYSTEM}
_LEADING = ("system", "developer")
_CONVERSE_PARTS = ("text", "image", "document", "toolUse", "toolResult", "reasoningContent")
_MARK_KEYS = ("cache_control", "prompt_cache_breakpoint")
_MAXIMUM_DEPTH = 40


class NotABody(InputError):
    """Not a request body that lint can read. The message says what was expected and what was seen."""

    def __init__(self, seen: str) -> None:
        super().__init__(
            "not a request body: expected a JSON object with a list under 'messages' (Anthropic Messages, OpenAI Chat Completions, "
            f"Bedrock Converse) or a text or list under 'input' (OpenAI Responses), got {seen}"
        )


@dataclass(frozen=True, slots=True)
class Item:
    """One block of the body.

    ``message`` is the number of its message, -1 for tools and system. ``mark`` is the cache mark as written, ``None``
    without one, and ``mark_path`` where it stands.
    """

    path: str
    block: Block
    message: int
    raw: Json
    mark: Json = None
    mark_path: str = ""

    @property
    def in_head(self) -> bool:
        """Whether it belongs to the tools or the system prompt."""
        return self.message < 0


def form_of(body: Json, provider: str) -> Form:
    """Which API a body is for. Raises ``NotABody`` where it is for none of them."""
    if not isinstance(body, Mapping):
        raise NotABody(f"{type(body).__name__}")
    if not isinstance(body.get("messages"), list):
        if isinstance(body.get("input"), str | list):
            return "openai-responses"
        raise NotABody(f"an object with {', '.join(map(repr, list(body)[:6])) or 'no keys'}")
    if _is_converse(body):
        return "converse"
    if provider == "anthropic":
        return "anthropic"
    if provider in ("openai", "azure", "openrouter") and "system" not in body:
        return "openai-chat"
    model = body.get("model")
    known = {"model": model if isinstance(model, str) else "", "tools": _dicts(body.get("tools")), "messages": _dicts(body["messages"])}
    return likely_form({**known, "system": ""} if "system" in body or "anthropic_version" in body else known)


def _is_converse(body: Mapping[str, Json]) -> bool:
    if "toolConfig" in body or "inferenceConfig" in body:
        return True
    texts = [*_dicts(body.get("system")), *(part for raw in _dicts(body["messages"]) for part in _dicts(raw.get("content")))]
    return any("type" not in part and any(key in part for key in (*_CONVERSE_PARTS, "cachePoint")) for part in texts)


def _dicts(value: Json) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _items(value: Json, path: str) -> Iterator[tuple[str, Json]]:
    """The blocks under a key: a list's items that are objects or texts, or one text."""
    if isinstance(value, str) and value:
        yield path, value
    elif isinstance(value, list):
        yield from ((f"{path}[{index}]", item) for index, item in enumerate(value) if isinstance(item, dict | str))


def _find_mark(raw: Json, path: str, depth: int = 3) -> tuple[Json, str]:
    """The mark on a block: its own, or that of a part of its content."""
    if not isinstance(raw, dict):
        return None, ""
    for key in _MARK_KEYS:
        if raw.get(key) is not None:
            return raw[key], f"{path}.{key}"
    for key in ("content", "output", "function"):
        inner = raw.get(key)
        parts = [(f"{path}.{key}", inner)] if isinstance(inner, dict) else list(_items(inner, f"{path}.{key}"))
        for place, part in reversed(parts) if depth else ():
            mark, where = _find_mark(part, place, depth - 1)
            if mark is not None:
                return mark, where
    return None, ""


def strings(value: Json, path: str, skip: frozenset[str] = frozenset(), depth: int = 0) -> Iterator[tuple[str, str]]:
    """Every text in a JSON value with its path, but those under the keys to skip and those nested deeper than 40 levels."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, list) and depth < _MAXIMUM_DEPTH:
        for index, item in enumerate(value):
            yield from strings(item, f"{path}[{index}]", skip, depth + 1)
    elif isinstance(value, dict) and depth < _MAXIMUM_DEPTH:
        for key, item in value.items():
            if key not in skip:
                yield from strings(item, f"{path}.{key}", skip, depth + 1)


_NOT_READ = frozenset(
    {
        *_MARK_KEYS,
        "bytes",
        "document_url",
        "file_data",
        "url",
        "signature",
        "data",
        "source",
        "image_url",
        "encrypted_content",
        "id",
        "tool_use_id",
        "call_id",
        "type",
    }
)


def _kind(raw: Json) -> Kind:
    if isinstance(raw, str):
        return Kind.TEXT
    name = raw.get("type")
    if isinstance(name, str):
        if name.endswith(("_call_output", "_tool_result")):
            return Kind.TOOL_RESULT
        return _KINDS.get(name, Kind.TOOL_USE if name.endswith("_call") else Kind.UNKNOWN)
    return next((_KINDS.get(key, Kind.UNKNOWN) for key in _CONVERSE_PARTS if key in raw), Kind.UNKNOWN)


def _item(path: str, raw: Json, kind: Kind, role: Role, message: int = -1) -> Item:
    """A block of the body. Its text is what a model reads of it, put together from whatever it holds."""
    mark, where = _find_mark(raw, path)
    return Item(path, make_block(kind, role, raw, _text(raw, kind)), message, raw, mark, where)


def _text(raw: Json, kind: Kind) -> str:
    plain = raw.get("text") if isinstance(raw, dict) else raw
    if isinstance(plain, str):
        return plain
    if kind is Kind.DOCUMENT:
        source = raw.get("source")
        readable = isinstance(source, dict) and source.get("type") in ("text", "content")
        return "\n".join(text for key in ("data", "content") for _, text in strings(source.get(key), "")) if readable else ""
    return "" if kind is Kind.TOOL else "\n".join(text for _, text in strings(raw, "", _NOT_READ))


def _tools(body: Mapping[str, Json], key: str = "tools") -> Iterator[Item]:
    for path, raw in _items(body.get(key), key):
        if isinstance(raw, dict):
            yield _item(path, raw, Kind.TOOL, Role.TOOLS)


def _system(value: Json, path: str) -> Iterator[Item]:
    yield from (_item(place, raw, Kind.SYSTEM, Role.SYSTEM) for place, raw in _items(value, path))


def _message(raw: Mapping[str, Json], path: str, number: int) -> Iterator[Item]:
    name = raw.get("role")
    role = _ROLES.get(name, Role.USER) if isinstance(name, str) else Role.USER
    if name in ("tool", "function"):
        yield _item(path, raw, Kind.TOOL_RESULT, role, number)
        return
    for place, part in _items(raw.get("content"), f"{path}.content"):
        yield _item(place, part, _kind(part), role, number)
    for place, call in _items(raw.get("tool_calls"), f"{path}.tool_calls"):
        yield _item(place, call, Kind.TOOL_USE, Role.ASSISTANT, number)


def _anthropic(body: Mapping[str, Json]) -> Iterator[Item]:
    yield from _tools(body)
    yield from _system(body.get("system"), "system")
    for number, (path, raw) in enumerate(_items(body.get("messages"), "messages")):
        if isinstance(raw, dict):
            yield from _message(raw, path, number)


def _chat(body: Mapping[str, Json]) -> Iterator[Item]:
    yield from _tools(body, "tools" if body.get("tools") else "functions")
    leading = True
    for number, (path, raw) in enumerate(_items(body.get("messages"), "messages")):
        if isinstance(raw, dict):
            leading = leading and raw.get("role") in _LEADING
            yield from _system(raw.get("content"), f"{path}.content") if leading else _message(raw, path, number)


def _responses(body: Mapping[str, Json]) -> Iterator[Item]:
    yield from _tools(body)
    yield from _system(body.get("instructions"), "instructions")
    leading = True
    for number, (path, raw) in enumerate(_items(body.get("input"), "input")):
        message = isinstance(raw, dict) and "role" in raw
        leading = leading and message and raw.get("role") in _LEADING
        if leading:
            yield from _system(raw.get("content"), f"{path}.content")
        elif message:
            yield from _message(raw, path, number)
        else:
            kind = _kind(raw)
            yield _item(path, raw, kind, Role.ASSISTANT if kind in (Kind.THINKING, Kind.TOOL_USE) else Role.USER, number)


def _pointed(items: Iterator[Item]) -> Iterator[Item]:
    """Converse writes a mark as a block of its own, ``cachePoint``, behind the block that it is for."""
    held: Item | None = None
    for item in items:
        point = item.raw.get("cachePoint") if isinstance(item.raw, dict) else None
        if point is not None and held is not None:
            held = Item(held.path, held.block, held.message, held.raw, point, item.path)
        elif point is None:
            if held is not None:
                yield held
            held = item
    if held is not None:
        yield held


def _converse(body: Mapping[str, Json]) -> Iterator[Item]:
    def blocks() -> Iterator[Item]:
        config = body.get("toolConfig")
        for path, raw in _items(config.get("tools") if isinstance(config, dict) else None, "toolConfig.tools"):
            yield _item(path, raw, Kind.TOOL, Role.TOOLS)
        yield from _system(body.get("system"), "system")
        for number, (path, raw) in enumerate(_items(body.get("messages"), "messages")):
            if isinstance(raw, dict):
                yield from _message(raw, path, number)

    return _pointed(blocks())


READERS: dict[Form, Callable[[Mapping[str, Json]], Iterator[Item]]] = {
    "anthropic": _anthropic,
    "openai-chat": _chat,
    "openai-responses": _responses,
    "converse": _converse,
}

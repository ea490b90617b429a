"""OpenAI's Chat Completions, as DeepSeek, OpenRouter, vLLM and others speak it too (OpenAI API reference, 2026-10).

The system and developer messages at the start are head blocks. Of an assistant message each content part and each
element of ``tool_calls`` is a block; a ``tool`` message is one block, in a message of the user's side. What else stands
in a message (``reasoning_content``, ``name``, a provider's extras) is kept in its ``wire`` and comes out as it was.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from holdfast.blocks import Block, Kind, Mark, Message, Role, Settings, make_block
from holdfast.frozen import FrozenDict, Json, freeze
from holdfast.wire import Wire, breakpoints

_LEADING = ("system", "developer")
_RESULTS = ("tool", "function")
_ROLES = {"assistant": Role.ASSISTANT, "system": Role.SYSTEM, "developer": Role.SYSTEM}
_KINDS = {"text": Kind.TEXT, "image_url": Kind.IMAGE, "file": Kind.DOCUMENT}
_NO_PREFIX_CHANGE = ("none", "allowed_tools")


def part_text(part: Json) -> str:
    """The text of a content part, ``""`` where it is not text."""
    value = part.get("text") if isinstance(part, dict) else part
    return value if isinstance(value, str) else ""


def content_text(content: Json) -> str:
    """The text of a content: a string, or the text parts of a list."""
    return "\n".join(filter(None, map(part_text, content))) if isinstance(content, list) else part_text(content)


def _parts(raw: Mapping[str, Json]) -> Sequence[Json]:
    """The JSON that stands for each block of a message, in order; the message itself where it is one block."""
    content, calls = raw.get("content"), raw.get("tool_calls")
    if raw.get("role") in _RESULTS:
        return (raw,)
    parts = list(content) if isinstance(content, list) else [content] if isinstance(content, str) and content else []
    return parts + list(calls) if isinstance(calls, list) and calls else parts or (raw,)


def _read_call(raw: Mapping[str, Json]) -> Block:
    inner = raw.get("function") or raw.get("custom") or {}
    inner = inner if isinstance(inner, dict) else {}
    text = inner.get("arguments", inner.get("input", ""))
    return make_block(
        Kind.TOOL_USE, Role.ASSISTANT, raw, text if isinstance(text, str) else json.dumps(text), call=raw.get("id"), tool=inner.get("name")
    )


def _read_part(raw: Json, role: Role) -> Block:
    kind = Kind.TEXT if isinstance(raw, str) else _KINDS.get(raw.get("type", ""), Kind.UNKNOWN) if isinstance(raw, dict) else Kind.UNKNOWN
    return make_block(kind, role, raw, part_text(raw) if kind is Kind.TEXT else "")


def _unmarked(raw: Mapping[str, Json]) -> Mapping[str, Json]:
    """The message without the marks that ``read_marks`` reads: on a tool result only the last part stands for the block."""
    if raw.get("role") == "assistant":
        return raw
    content = raw.get("content")
    last = len(content) - 1 if raw.get("role") in _RESULTS and isinstance(content, list) else 0
    return breakpoints.stripped(raw, "content", max(0, last))


def read_message(raw: Mapping[str, Json]) -> Message:
    """One message without its marks. One with neither content nor calls is a single ``UNKNOWN`` block."""
    wire = freeze(_unmarked(raw))
    role = _ROLES.get(wire.get("role", ""), Role.USER)
    if wire.get("role") in _RESULTS:
        text = content_text(wire.get("content"))
        block = make_block(Kind.TOOL_RESULT, role, wire, text, call=wire.get("tool_call_id"), tool=wire.get("name"))
        return Message(role, (block,), wire)
    parts = _parts(wire)
    calls = len(wire.get("tool_calls") or ()) if isinstance(wire.get("tool_calls"), list) else 0
    texts = len(parts) - calls
    blocks = [_read_part(part, role) for part in parts[:texts]]
    blocks += [_read_call(part) if isinstance(part, dict) else _read_part(part, role) for part in parts[texts:]]
    return Message(role, tuple(blocks), wire)


def leading(body: Mapping[str, Json]) -> int:
    """How many system and developer messages stand before the first other one."""
    for index, raw in enumerate(body.get("messages") or ()):
        if not isinstance(raw, dict) or raw.get("role") not in _LEADING:
            return index
    return len(body.get("messages") or ())


def _tools(body: Mapping[str, Json]) -> Sequence[Json]:
    tools = body.get("tools") or body.get("functions")
    return tools if isinstance(tools, list) else ()


def tool_name(raw: Json) -> str | None:
    """The name of a tool definition in either of OpenAI's forms."""
    inner = (raw.get("function") or raw.get("custom") or raw) if isinstance(raw, dict) else {}
    return inner.get("name") if isinstance(inner, dict) else None


def system_blocks(raw: Mapping[str, Json]) -> list[Block]:
    """A leading system or developer message as head blocks, one a content part; each says in its ``wire`` whose words it is."""
    bare = breakpoints.stripped(raw, "content")
    content = bare.get("content")
    if not isinstance(content, list) or not content:
        return [make_block(Kind.SYSTEM, Role.SYSTEM, bare, part_text(content))]
    return [make_block(Kind.SYSTEM, Role.SYSTEM, {**bare, "content": [part]}, part_text(part)) for part in content]


def read_head(body: Mapping[str, Json]) -> tuple[Block, ...]:
    """Tool definitions, then the leading system and developer messages."""
    head = [make_block(Kind.TOOL, Role.TOOLS, tool, tool=tool_name(tool)) for tool in _tools(body)]
    for raw in (body.get("messages") or ())[: leading(body)]:
        head += system_blocks(raw)
    return tuple(head)


def canonical_setting(value: Json) -> str | None:
    """A setting as canonical JSON text."""
    return None if value is None else json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def tool_choice(body: Mapping[str, Json]) -> str | None:
    """The tool choice, but for those that do not change the prefix: ``none`` and ``allowed_tools`` (prompt caching guide, 2026-10)."""
    value = body.get("tool_choice")
    kind = value.get("type") if isinstance(value, dict) else value
    return None if kind in _NO_PREFIX_CHANGE else canonical_setting(value)


def read_settings(body: Mapping[str, Json]) -> Settings:
    """The settings that break the prefix when they change (OpenAI prompt caching guide, 2026-10)."""
    keys = ("parallel_tool_calls", "response_format", "verbosity", "prompt_cache_key", "reasoning")
    return Settings(
        model=str(body.get("model") or ""),
        tool_choice=tool_choice(body),
        thinking=canonical_setting(body.get("thinking")),
        effort=canonical_setting(body.get("reasoning_effort")),
        speed=canonical_setting(body.get("service_tier")),
        other=tuple((key, canonical_setting(body[key]) or "") for key in keys if body.get(key) is not None),
    )


def _mark_parts(raw: Json) -> list[Json]:
    """For each block of a message, the part on which its mark would stand."""
    if not isinstance(raw, dict):
        return [None]
    content = raw.get("content")
    if raw.get("role") in _RESULTS:
        return [content[-1] if isinstance(content, list) and content else None]
    if raw.get("role") == "assistant":
        return [None] * len(_parts(raw))
    return list(_parts(raw))


def read_marks(body: Mapping[str, Json]) -> tuple[Mark, ...]:
    """The caller's explicit marks, by block position over tools and messages; the implicit one is not among them."""
    default = breakpoints.inherited(body)
    parts: list[Json] = [None] * len(_tools(body))
    for raw in body.get("messages") or ():
        parts += _mark_parts(raw)
    found = ((position, breakpoints.ttl(part, default)) for position, part in enumerate(parts))
    return tuple(Mark(position, ttl) for position, ttl in found if ttl is not None)


def _is_whole(message: Message) -> bool:
    """Whether the message is a single block whose JSON is the message."""
    wire = message.blocks[0].wire if len(message.blocks) == 1 else None
    return wire is message.wire or (isinstance(wire, dict) and "role" in wire)


def _write_whole(block: Block, marks: Mapping[int, int]) -> Json:
    content = block.wire.get("content")
    if not marks or not content:
        return block.wire
    last = 0 if isinstance(content, str) else len(content) - 1
    return {**block.wire, "content": breakpoints.marked_content(content, {last: marks[0]}, "text")}


def _content(message: Message, parts: Sequence[tuple[int, Block]], marks: Mapping[int, int]) -> Json:
    own = message.wire.get("content")
    if not parts:
        return None if own is None or any(block.kind is Kind.TOOL_USE for block in message.blocks) else ""
    if len(parts) == 1 and isinstance(parts[0][1].wire, str) and not marks:
        return parts[0][1].wire
    wires = [{"type": "text", "text": block.wire} if isinstance(block.wire, str) else block.wire for _, block in parts]
    return breakpoints.marked_content(wires, {place: marks[index] for place, (index, _) in enumerate(parts) if index in marks}, "text")


def write_message(message: Message, marks: Mapping[int, int]) -> Json:
    """The message's own JSON; rebuilt only where it was edited or must carry a mark. An assistant's message carries none."""
    if message.role is Role.ASSISTANT:
        marks = {}
    if (not message.edited and not marks) or not message.blocks:
        return message.wire
    if _is_whole(message):
        return _write_whole(message.blocks[0], marks)
    parts = [(index, block) for index, block in enumerate(message.blocks) if block.kind is not Kind.TOOL_USE]
    out = dict(message.wire)
    if parts or out.get("content"):
        out["content"] = _content(message, parts, marks)
    calls = [block.wire for block in message.blocks if block.kind is Kind.TOOL_USE]
    if calls:
        out["tool_calls"] = calls
    else:
        out.pop("tool_calls", None)
    return out


def write_leading(items: Sequence[Json], position: int, marks: Mapping[int, int], text_type: str = "text") -> list[Json]:
    """The leading messages with these marks and no others. ``position`` is the head position of their first block."""
    out: list[Json] = []
    for raw in items:
        bare = breakpoints.stripped(raw, "content")
        content = bare.get("content")
        count = len(content) if isinstance(content, list) and content else 1
        places = {p - position: ttl for p, ttl in marks.items() if position <= p < position + count}
        out.append({**bare, "content": breakpoints.marked_content(content, places, text_type)} if places and content else bare)
        position += count
    return out


def write_head(body: Mapping[str, Json], head: Sequence[Block], marks: Mapping[int, int]) -> dict[str, Json]:
    """The leading messages with these marks. Tools carry none: a mark on one is not written."""
    items = (body.get("messages") or ())[: leading(body)]
    return {"messages": write_leading(items, len(_tools(body)), marks)} if items else {}


def carrier(block: Block, key: str = "content") -> Json:
    """The content part on which a mark of this block would stand, a bare string itself; ``None`` where there is none.

    A leading system message and a tool's result are whole messages whose content is under ``key``; neither tool definitions nor what
    the model said carry marks.
    """
    if block.role in (Role.ASSISTANT, Role.TOOLS):
        return None
    if block.kind not in (Kind.SYSTEM, Kind.TOOL_RESULT):
        return block.wire
    content = block.wire.get(key) if isinstance(block.wire, dict) else None
    return content[-1] if isinstance(content, list) and content else content


def takes_mark(block: Block) -> bool:
    """Whether a ``prompt_cache_breakpoint`` may stand on a block."""
    return breakpoints.takes(carrier(block))


def is_bare(block: Block) -> bool:
    """Whether a mark would make a list of a bare string."""
    return isinstance(carrier(block), str)


def listed(raw: Json) -> Json:
    """A message as it is once a mark has stood on it."""
    return raw if raw.get("role") == "assistant" else breakpoints.listed(raw, "content", "text")


def cleared_call(inner: Mapping[str, Json], text: str) -> Json:
    """A call's name and input with ``text`` in the place of the input; a function's arguments stay JSON."""
    key = "input" if "input" in inner else "arguments"
    return {**inner, key: text if key == "input" else json.dumps({"cleared": text}, ensure_ascii=False, separators=(",", ":"))}


def cleared(block: Block, text: str) -> Block:
    """The block with ``text`` in the place of its content: a result's content, a call's input, a plain text."""
    if block.kind is Kind.TOOL_USE:
        key = "custom" if "custom" in block.wire else "function"
        wire: Json = {**block.wire, key: cleared_call(block.wire.get(key) or {}, text)}
    elif block.kind is Kind.TOOL_RESULT:
        wire = {**block.wire, "content": text}
    elif block.kind is Kind.TEXT:
        wire = text if isinstance(block.wire, str) else {**block.wire, "text": text}
    else:
        raise ValueError(f"a {block.kind} block cannot be cleared")
    return make_block(block.kind, block.role, wire, text, call=block.call, tool=block.tool)


def note(text: str) -> Message:
    """A user message, as folds and summaries are written; a string, which every server of this dialect takes."""
    wire = FrozenDict({"role": "user", "content": text})
    return Message(Role.USER, (make_block(Kind.TEXT, Role.USER, text, text),), wire)


WIRE = Wire(
    dialect="openai-chat",
    messages_key="messages",
    read_head=read_head,
    read_message=read_message,
    read_settings=read_settings,
    read_marks=read_marks,
    write_message=write_message,
    write_head=write_head,
    cleared=cleared,
    note=note,
    leading=leading,
    takes_mark=takes_mark,
    is_bare=is_bare,
    listed=listed,
)

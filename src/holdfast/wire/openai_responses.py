"""OpenAI's Responses API (OpenAI API reference, 2026-10; openai 3.54.0 types, 2026-11-17).

``instructions``, the tools and the system and developer messages at the start of ``input`` are head blocks. Each other
item of ``input`` is one message: a message item has a block for each content part, any other item is one block.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from holdfast.blocks import Block, Kind, Mark, Message, Role, Settings, make_block
from holdfast.frozen import FrozenDict, Json, freeze
from holdfast.wire import Wire, breakpoints
from holdfast.wire.openai_chat import (
    canonical_setting,
    carrier,
    cleared_call,
    content_text,
    part_text,
    system_blocks,
    tool_choice,
    tool_name,
    write_leading,
)

_LEADING = ("system", "developer")
_ROLES = {"assistant": Role.ASSISTANT, "system": Role.SYSTEM, "developer": Role.SYSTEM}
_KINDS = {
    "input_text": Kind.TEXT,
    "output_text": Kind.TEXT,
    "text": Kind.TEXT,
    "input_image": Kind.IMAGE,
    "input_file": Kind.DOCUMENT,
}
_MARKABLE = ("function_call_output", "custom_tool_call_output")
_CLEARED_AS_STRING = ("function_call_output", "custom_tool_call_output", "local_shell_call_output", "apply_patch_call_output")


def _is_message(raw: Mapping[str, Json]) -> bool:
    return raw.get("type", "message") == "message" and "role" in raw


def item_kind(raw: Mapping[str, Json]) -> Kind:
    """What an item that is no message is.

    Tools that the client runs have a ``call_id``, which ties an output to its call; what the provider runs has none.
    """
    name = str(raw.get("type") or "")
    if name == "reasoning":
        return Kind.THINKING
    if raw.get("call_id") and name.endswith("_output"):
        return Kind.TOOL_RESULT
    if raw.get("call_id") and name.endswith("_call"):
        return Kind.TOOL_USE
    return Kind.SERVER if name.endswith("_call") else Kind.UNKNOWN


def _as_text(value: Json) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _call_text(raw: Mapping[str, Json]) -> str:
    return _as_text(next((raw[key] for key in ("arguments", "input", "action", "operation") if key in raw), None))


def _result_text(raw: Mapping[str, Json]) -> str:
    output = raw.get("output")
    if isinstance(output, list):
        return content_text(output) or _as_text(output)
    return "" if isinstance(output, dict) and "image_url" in output else _as_text(output)


def _thinking_text(raw: Mapping[str, Json]) -> str:
    parts = [*(raw.get("summary") or ()), *(raw.get("content") or ())]
    return "\n".join(filter(None, map(part_text, parts)))


_TEXTS = {Kind.THINKING: _thinking_text, Kind.TOOL_USE: _call_text, Kind.TOOL_RESULT: _result_text}


def _read_item(wire: Mapping[str, Json]) -> Block:
    kind = item_kind(wire)
    text = _TEXTS[kind](wire) if kind in _TEXTS else ""
    role = Role.USER if kind in (Kind.TOOL_RESULT, Kind.UNKNOWN) else Role.ASSISTANT
    paired = kind in (Kind.TOOL_USE, Kind.TOOL_RESULT)
    tool = wire.get("name") or (str(wire["type"]).removesuffix("_call") if kind is Kind.TOOL_USE else None)
    return make_block(kind, role, wire, text, call=wire.get("call_id") if paired else None, tool=tool)


def _read_part(raw: Json, role: Role) -> Block:
    kind = Kind.TEXT if isinstance(raw, str) else _KINDS.get(raw.get("type", ""), Kind.UNKNOWN) if isinstance(raw, dict) else Kind.UNKNOWN
    return make_block(kind, role, raw, part_text(raw) if kind is Kind.TEXT else "")


def _parts(raw: Mapping[str, Json]) -> Sequence[Json]:
    """The JSON that stands for each block of an item; the item itself where it is one block."""
    content = raw.get("content") if _is_message(raw) else None
    if isinstance(content, list) and content:
        return content
    return (content,) if isinstance(content, str) and content else (raw,)


def _output(raw: Mapping[str, Json]) -> Json:
    """The output of an item that may carry a mark."""
    return raw.get("output") if raw.get("type") in _MARKABLE else None


def _unmarked(raw: Mapping[str, Json]) -> Mapping[str, Json]:
    """The item without the marks that ``read_marks`` reads: on an output only the last part stands for the block."""
    if _is_message(raw):
        return raw if raw.get("role") == "assistant" else breakpoints.stripped(raw, "content")
    output = _output(raw)
    return breakpoints.stripped(raw, "output", max(0, len(output) - 1)) if isinstance(output, list) else raw


def read_message(raw: Mapping[str, Json]) -> Message:
    """One item of ``input`` without its marks."""
    wire = freeze(_unmarked(raw))
    parts = _parts(wire)
    if _is_message(wire):
        role = _ROLES.get(wire["role"], Role.USER)
        whole = parts[0] is wire
        blocks = (make_block(Kind.UNKNOWN, role, wire),) if whole else tuple(_read_part(part, role) for part in parts)
        return Message(role, blocks, wire)
    block = _read_item(wire)
    return Message(block.role, (block,), wire)


def _items(body: Mapping[str, Json]) -> Sequence[Json]:
    """``input`` where it is a list of items."""
    items = body.get("input")
    return items if isinstance(items, list) else ()


def leading(body: Mapping[str, Json]) -> int:
    """How many system and developer messages stand before the first other item."""
    items = _items(body)
    for index, raw in enumerate(items):
        if not isinstance(raw, dict) or not _is_message(raw) or raw.get("role") not in _LEADING:
            return index
    return len(items)


def _opening(body: Mapping[str, Json]) -> list[Block]:
    """Tools, then ``instructions``: the head blocks that can carry no mark."""
    tools = body.get("tools")
    head = [make_block(Kind.TOOL, Role.TOOLS, tool, tool=tool_name(tool)) for tool in (tools if isinstance(tools, list) else ())]
    instructions = body.get("instructions")
    if instructions:
        head.append(make_block(Kind.SYSTEM, Role.SYSTEM, instructions, content_text(instructions)))
    return head


def read_head(body: Mapping[str, Json]) -> tuple[Block, ...]:
    """Tool definitions, ``instructions``, then the leading system and developer messages."""
    head = _opening(body)
    for raw in _items(body)[: leading(body)]:
        head += system_blocks(raw)
    return tuple(head)


def read_settings(body: Mapping[str, Json]) -> Settings:
    """The settings that break the prefix when they change (OpenAI prompt caching guide, 2026-10)."""
    reasoning = body.get("reasoning")
    text = body.get("text")
    text = text if isinstance(text, dict) else {}
    other = {
        "parallel_tool_calls": body.get("parallel_tool_calls"),
        "format": text.get("format"),
        "verbosity": text.get("verbosity"),
        "prompt_cache_key": body.get("prompt_cache_key"),
        "context_management": body.get("context_management"),
    }
    return Settings(
        model=str(body.get("model") or ""),
        tool_choice=tool_choice(body),
        effort=canonical_setting(reasoning.get("effort")) if isinstance(reasoning, dict) else None,
        speed=canonical_setting(body.get("service_tier")),
        other=tuple((key, canonical_setting(value) or "") for key, value in other.items() if value is not None),
    )


def _mark_parts(raw: Json) -> Sequence[Json]:
    """For each block of an item, the part on which its mark would stand."""
    if not isinstance(raw, dict):
        return [None]
    if _is_message(raw):
        parts = _parts(raw)
        return [None] * len(parts) if raw.get("role") == "assistant" else parts
    output = _output(raw)
    return [output[-1] if isinstance(output, list) and output else None]


def read_marks(body: Mapping[str, Json]) -> tuple[Mark, ...]:
    """The caller's explicit marks, by block position over head and items; the implicit one is not among them."""
    default = breakpoints.inherited(body)
    parts: list[Json] = [None] * len(_opening(body))
    for raw in _items(body):
        parts += _mark_parts(raw)
    found = ((position, breakpoints.ttl(part, default)) for position, part in enumerate(parts))
    return tuple(Mark(position, ttl) for position, ttl in found if ttl is not None)


def _write_item(block: Block, marks: Mapping[int, int]) -> Json:
    output = _output(block.wire)
    if not marks or not isinstance(output, str | list) or not output:
        return block.wire
    last = 0 if isinstance(output, str) else len(output) - 1
    return {**block.wire, "output": breakpoints.marked_content(output, {last: marks[0]}, "input_text")}


def write_message(message: Message, marks: Mapping[int, int]) -> Json:
    """The item's own JSON; rebuilt only where it was edited or must carry a mark. What the model said carries none."""
    if message.role is Role.ASSISTANT:
        marks = {}
    if (not message.edited and not marks) or not message.blocks:
        return message.wire
    first = message.blocks[0]
    if not _is_message(message.wire) or first.wire is message.wire:
        return _write_item(first, marks)
    if len(message.blocks) == 1 and isinstance(first.wire, str) and not marks:
        return {**message.wire, "content": first.wire}
    text_type = "output_text" if message.role is Role.ASSISTANT else "input_text"
    wires = [{"type": text_type, "text": block.wire} if isinstance(block.wire, str) else block.wire for block in message.blocks]
    return {**message.wire, "content": breakpoints.marked_content(wires, marks, text_type)}


def write_head(body: Mapping[str, Json], head: Sequence[Block], marks: Mapping[int, int]) -> dict[str, Json]:
    """The leading messages with these marks. Tools and ``instructions`` carry none: a mark on one is not written."""
    items = _items(body)[: leading(body)]
    return {"input": write_leading(items, len(_opening(body)), marks, "input_text")} if items else {}


def _carrier(block: Block) -> Json:
    """The content part on which a mark of this block would stand; ``None`` where there is none."""
    if block.kind is not Kind.TOOL_RESULT:
        return carrier(block)
    output = _output(block.wire)
    return output[-1] if isinstance(output, list) and output else output


def takes_mark(block: Block) -> bool:
    """Whether a ``prompt_cache_breakpoint`` may stand on a block; on ``instructions`` it may not."""
    return breakpoints.takes(_carrier(block))


def is_bare(block: Block) -> bool:
    """Whether a mark would make a list of a bare string."""
    return isinstance(_carrier(block), str)


def listed(raw: Json) -> Json:
    """An item as it is once a mark has stood on it."""
    if _is_message(raw):
        return raw if raw.get("role") == "assistant" else breakpoints.listed(raw, "content", "input_text")
    return breakpoints.listed(raw, "output", "input_text") if raw.get("type") in _MARKABLE else raw


def _cleared_call(wire: Mapping[str, Json], text: str) -> Json:
    if wire.get("type") in ("function_call", "custom_tool_call"):
        return cleared_call(wire, text)
    action = wire.get("action")
    if wire.get("type") == "local_shell_call" and isinstance(action, dict):
        return {**wire, "action": {**action, "command": [text]}}
    raise ValueError(f"a {wire.get('type')} item cannot be cleared")


def _cleared_result(wire: Mapping[str, Json], text: str) -> Json:
    if wire.get("type") in _CLEARED_AS_STRING:
        return {**wire, "output": text}
    if wire.get("type") == "shell_call_output":
        return {**wire, "output": [{"stdout": text, "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}]}
    raise ValueError(f"a {wire.get('type')} item cannot be cleared")


def cleared(block: Block, text: str) -> Block:
    """The block with ``text`` in the place of its content. Raises ``ValueError`` for items whose content cannot be text, as screenshots."""
    if block.kind is Kind.TOOL_USE:
        wire = _cleared_call(block.wire, text)
    elif block.kind is Kind.TOOL_RESULT:
        wire = _cleared_result(block.wire, text)
    elif block.kind is Kind.TEXT:
        wire = text if isinstance(block.wire, str) else {**block.wire, "text": text}
    else:
        raise ValueError(f"a {block.kind} block cannot be cleared")
    return make_block(block.kind, block.role, wire, text, call=block.call, tool=block.tool)


def note(text: str) -> Message:
    """A user message with one text part, as folds and summaries are written."""
    wire = FrozenDict({"type": "message", "role": "user", "content": freeze([{"type": "input_text", "text": text}])})
    return Message(Role.USER, (_read_part(wire["content"][0], Role.USER),), wire)


WIRE = Wire(
    dialect="openai-responses",
    messages_key="input",
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

"""Anthropic's Messages API (platform.claude.com/docs, messages and prompt caching, 2026-08-21)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from holdfast.blocks import Block, Kind, Mark, Message, Role, Settings, make_block
from holdfast.frozen import FrozenDict, Json, freeze
from holdfast.wire import Wire

SECONDS = {"5m": 300, "1h": 3600}
_NAMES = {seconds: name for name, seconds in SECONDS.items()}
_KINDS = {
    "text": Kind.TEXT,
    "thinking": Kind.THINKING,
    "redacted_thinking": Kind.THINKING,
    "tool_use": Kind.TOOL_USE,
    "tool_result": Kind.TOOL_RESULT,
    "image": Kind.IMAGE,
    "document": Kind.DOCUMENT,
    "server_tool_use": Kind.SERVER,
    "mcp_tool_use": Kind.SERVER,
    "mcp_tool_result": Kind.SERVER,
    "web_search_tool_result": Kind.SERVER,
    "web_fetch_tool_result": Kind.SERVER,
    "code_execution_tool_result": Kind.SERVER,
    "bash_code_execution_tool_result": Kind.SERVER,
    "text_editor_code_execution_tool_result": Kind.SERVER,
    "tool_search_tool_result": Kind.SERVER,
}


def _without_mark(raw: Json) -> Json:
    """A block without its mark, and a tool result without those inside it: they too end at a block, this one."""
    if not isinstance(raw, dict):
        return raw
    if "cache_control" in raw:
        raw = {key: value for key, value in raw.items() if key != "cache_control"}
    if raw.get("type") == "tool_result" and _inner_mark(raw) is not None:
        raw = {**raw, "content": [_without_mark(part) for part in raw["content"]]}
    return raw


def _inner_mark(raw: Mapping[str, Json]) -> Json:
    """The last mark inside a tool result's content, ``None`` where there is none."""
    content = raw.get("content")
    parts = content if raw.get("type") == "tool_result" and isinstance(content, list) else ()
    marks = [part["cache_control"] for part in parts if isinstance(part, dict) and part.get("cache_control")]
    return marks[-1] if marks else None


def _mark(item: Json) -> Json:
    return (item.get("cache_control") or _inner_mark(item)) if isinstance(item, dict) else None


def _ttl(mark: Json) -> int:
    return SECONDS.get(mark.get("ttl") or "5m", 300) if isinstance(mark, dict) else 300


def result_text(content: Json) -> str:
    """The text of a tool result's content: a string, or the text parts of a list."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    parts = (part.get("text") for part in content if isinstance(part, dict))
    return "\n".join(part for part in parts if isinstance(part, str))


def _text(kind: Kind, raw: Mapping[str, Any]) -> str:
    if kind is Kind.TEXT:
        value = raw.get("text")
    elif kind is Kind.THINKING:
        value = raw.get("thinking")
    elif kind is Kind.TOOL_USE:
        return json.dumps(raw.get("input"), ensure_ascii=False, separators=(",", ":"))
    elif kind is Kind.TOOL_RESULT:
        return result_text(raw.get("content"))
    else:
        return ""
    return value if isinstance(value, str) else ""


def read_block(raw: Json, role: Role) -> Block:
    """One content block. What the grammar does not know becomes ``UNKNOWN`` and keeps its JSON."""
    if isinstance(raw, str):
        return make_block(Kind.TEXT, role, raw, raw)
    if not isinstance(raw, dict):
        return make_block(Kind.UNKNOWN, role, raw)
    raw = _without_mark(raw)
    kind = _KINDS.get(raw.get("type", ""), Kind.UNKNOWN)
    call = raw.get("id") if kind is Kind.TOOL_USE else raw.get("tool_use_id") if kind is Kind.TOOL_RESULT else None
    return make_block(kind, role, raw, _text(kind, raw), call=call, tool=raw.get("name"))


def read_message(raw: Mapping[str, Json]) -> Message:
    """One message. ``wire`` keeps it without marks; a string content is one block and stays a string."""
    role = Role.ASSISTANT if raw.get("role") == "assistant" else Role.SYSTEM if raw.get("role") == "system" else Role.USER
    content = raw.get("content")
    if isinstance(content, list):
        blocks = tuple(read_block(item, role) for item in content)
        if any(_mark(item) is not None or (isinstance(item, dict) and "cache_control" in item) for item in content):
            raw = {**raw, "content": [_without_mark(item) for item in content]}
    else:
        blocks = (read_block(content, role),) if content is not None else ()
    return Message(role, blocks, freeze(raw))


def read_head(body: Mapping[str, Json]) -> tuple[Block, ...]:
    """Tool definitions, then system texts."""
    tools = [
        make_block(Kind.TOOL, Role.TOOLS, _without_mark(tool), tool=tool.get("name") if isinstance(tool, dict) else None)
        for tool in body.get("tools") or ()
    ]
    system = body.get("system")
    texts = [system] if isinstance(system, str) and system else system if isinstance(system, list) else []
    for raw in texts:
        text = raw if isinstance(raw, str) else raw.get("text", "")
        tools.append(make_block(Kind.SYSTEM, Role.SYSTEM, _without_mark(raw), text))
    return tuple(tools)


def _canonical(value: Json) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def read_settings(body: Mapping[str, Json]) -> Settings:
    """The settings that are part of the cache key (prompt caching, "what invalidates the cache", 2026-08-21)."""
    config = body.get("output_config")
    config = config if isinstance(config, dict) else {}
    other = {
        "citations_or_search": any(
            isinstance(tool, dict) and str(tool.get("type", "")).startswith("web_search") for tool in body.get("tools") or ()
        ),
        "format": config.get("format"),
        "task_budget": config.get("task_budget"),
    }
    return Settings(
        model=str(body.get("model", "")),
        tool_choice=_canonical(body.get("tool_choice")),
        thinking=_canonical(body.get("thinking")),
        effort=_canonical(config.get("effort")),
        speed=_canonical(body.get("speed")),
        other=tuple((key, _canonical(value) or "") for key, value in other.items() if value),
    )


def read_marks(body: Mapping[str, Json]) -> tuple[Mark, ...]:
    """The caller's marks, by block position over tools, system and messages; the automatic one is not among them."""
    items: list[Json] = list(body.get("tools") or ())
    system = body.get("system")
    items += system if isinstance(system, list) else [system] if system else []
    for message in body.get("messages") or ():
        content = message.get("content") if isinstance(message, dict) else None
        items += content if isinstance(content, list) else [] if content is None else [content]
    return tuple(Mark(position, _ttl(_mark(item))) for position, item in enumerate(items) if _mark(item))


def _control(ttl: int) -> Json:
    name = _NAMES.get(ttl, "5m")
    return {"type": "ephemeral"} if name == "5m" else {"type": "ephemeral", "ttl": name}


def _marked(block: Block, ttl: int | None) -> Json:
    if ttl is None:
        return block.wire
    raw = {"type": "text", "text": block.wire} if isinstance(block.wire, str) else block.wire
    return {**raw, "cache_control": _control(ttl)}


def write_message(message: Message, marks: Mapping[int, int]) -> Json:
    """The message's own JSON; rebuilt only where it was edited or must carry a mark."""
    if not message.edited and not marks:
        return message.wire
    if len(message.blocks) == 1 and isinstance(message.blocks[0].wire, str) and not marks:
        content: Json = message.blocks[0].wire
    else:
        content = [
            _marked(block, marks.get(index)) if not isinstance(block.wire, str) or index in marks else {"type": "text", "text": block.wire}
            for index, block in enumerate(message.blocks)
        ]
    return {**message.wire, "content": content}


def write_head(body: Mapping[str, Json], head: Sequence[Block], marks: Mapping[int, int]) -> dict[str, Json]:
    """``tools`` and ``system`` with these marks and no others, where that changes them; a string system becomes a one-block list."""
    out: dict[str, Json] = {}
    for key, role in (("tools", Role.TOOLS), ("system", Role.SYSTEM)):
        places = [index for index, block in enumerate(head) if block.role is role]
        given = body.get(key)
        marked = isinstance(given, list) and any(isinstance(item, dict) and "cache_control" in item for item in given)
        if marked or any(index in marks for index in places):
            out[key] = [_marked(head[index], marks.get(index)) for index in places]
    return out


def cleared(block: Block, text: str) -> Block:
    """The block with ``text`` in the place of its content: a result's content, a call's input, a plain text."""
    if block.kind is Kind.TOOL_USE:
        wire: Json = {**block.wire, "input": {"cleared": text}}
    elif block.kind is Kind.TOOL_RESULT:
        wire = {**block.wire, "content": text}
    elif block.kind is Kind.TEXT:
        wire = text if isinstance(block.wire, str) else {**block.wire, "text": text}
    else:
        raise ValueError(f"a {block.kind} block cannot be cleared")
    return make_block(block.kind, block.role, wire, text, call=block.call, tool=block.tool)


def note(text: str) -> Message:
    """A user message with one text block, as folds and summaries are written."""
    wire = FrozenDict({"role": "user", "content": freeze([{"type": "text", "text": text}])})
    return Message(Role.USER, (read_block(wire["content"][0], Role.USER),), wire)


WIRE = Wire(
    dialect="anthropic",
    messages_key="messages",
    read_head=read_head,
    read_message=read_message,
    read_settings=read_settings,
    read_marks=read_marks,
    write_message=write_message,
    write_head=write_head,
    cleared=cleared,
    note=note,
)

"""Amazon Bedrock's Converse and ConverseStream (botocore 1.44.5, ``bedrock-runtime`` 2023-09-30; AWS, *Prompt caching*, 2026).

A body is the request's JSON with ``modelId`` in it, binary data as base64 text. Each block is an object with one key that says what
it is. A ``cachePoint`` stands in a list of its own, behind the block that it marks: here it is a mark and no block, and it
comes back where the marks stand. One that marks nothing (the first of its list, or a second in a row) is kept as it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from holdfast.blocks import Block, Kind, Mark, Message, Role, Settings, make_block
from holdfast.frozen import FrozenDict, Json, freeze, same_form
from holdfast.wire import Wire

SECONDS = {"5m": 300, "1h": 3600}
_NAMES = {seconds: name for name, seconds in SECONDS.items()}
_ROLES = {"assistant": Role.ASSISTANT, "system": Role.SYSTEM}
_KINDS = {
    "text": Kind.TEXT,
    "image": Kind.IMAGE,
    "document": Kind.DOCUMENT,
    "reasoningContent": Kind.THINKING,
    "toolUse": Kind.TOOL_USE,
    "toolResult": Kind.TOOL_RESULT,
}


def _is_point(raw: Json) -> bool:
    return isinstance(raw, dict) and len(raw) == 1 and isinstance(raw.get("cachePoint"), dict)


def _ttl(point: Mapping[str, Json]) -> int:
    return SECONDS.get(point["cachePoint"].get("ttl") or "5m", 300)


def _point(ttl: int) -> Json:
    name = _NAMES.get(ttl, "5m")
    return {"cachePoint": {"type": "default"} if name == "5m" else {"type": "default", "ttl": name}}


def _parted(items: Json) -> tuple[list[Json], dict[int, int]]:
    """The blocks of a list, and the lifetimes of the points behind some of them by ordinal."""
    blocks: list[Json] = []
    marks: dict[int, int] = {}
    markable = False
    for item in items if isinstance(items, list) else ():
        if markable and _is_point(item):
            marks[len(blocks) - 1] = _ttl(item)
            markable = False
        else:
            blocks.append(item)
            markable = not _is_point(item)
    return blocks, marks


def _joined(blocks: Sequence[Json], marks: Mapping[int, int]) -> list[Json]:
    out: list[Json] = []
    for index, block in enumerate(blocks):
        out.append(block)
        if index in marks:
            out.append(_point(marks[index]))
    return out


def _tools(body: Mapping[str, Json]) -> Json:
    config = body.get("toolConfig")
    return config.get("tools") if isinstance(config, dict) else None


def _compact(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _part_text(part: Json) -> str:
    if not isinstance(part, dict):
        return ""
    return part["text"] if isinstance(part.get("text"), str) else _compact(part["json"]) if "json" in part else ""


def _text(kind: Kind, value: Any) -> str:
    if kind is Kind.TEXT:
        return value if isinstance(value, str) else ""
    if not isinstance(value, dict):
        return ""
    if kind is Kind.THINKING:
        return _part_text(value.get("reasoningText"))
    if kind is Kind.TOOL_USE:
        return _compact(value.get("input"))
    if kind is Kind.TOOL_RESULT:
        content = value.get("content")
        return "\n".join(filter(None, map(_part_text, content))) if isinstance(content, list) else ""
    return ""


def read_block(raw: Json, role: Role) -> Block:
    """One content block. What is not known, and what the provider's own tools did, is kept and never edited."""
    key = next((key for key in _KINDS if key in raw), "") if isinstance(raw, dict) else ""
    kind, value = _KINDS.get(key, Kind.UNKNOWN), raw[key] if key else None
    inner = value if isinstance(value, dict) else {}
    if kind in (Kind.TOOL_USE, Kind.TOOL_RESULT) and inner.get("type"):
        kind = Kind.SERVER
    paired = kind in (Kind.TOOL_USE, Kind.TOOL_RESULT)
    return make_block(kind, role, raw, _text(kind, value), call=inner.get("toolUseId") if paired else None, tool=inner.get("name"))


def read_message(raw: Mapping[str, Json]) -> Message:
    """One message without its cache points."""
    role = _ROLES.get(str(raw.get("role")), Role.USER)
    blocks, marks = _parted(raw.get("content"))
    wire = freeze({**raw, "content": blocks} if marks else raw)
    return Message(role, tuple(read_block(block, role) for block in blocks), wire)


def read_head(body: Mapping[str, Json]) -> tuple[Block, ...]:
    """Tool definitions, then system texts."""
    head = []
    for raw in _parted(_tools(body))[0]:
        spec = raw.get("toolSpec") or raw.get("systemTool") if isinstance(raw, dict) else None
        head.append(make_block(Kind.TOOL, Role.TOOLS, raw, tool=spec.get("name") if isinstance(spec, dict) else None))
    head += [make_block(Kind.SYSTEM, Role.SYSTEM, raw, _part_text(raw)) for raw in _parted(body.get("system"))[0]]
    return tuple(head)


def _canonical(value: Json) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def _inside(body: Mapping[str, Json], key: str) -> Mapping[str, Json]:
    value = body.get(key)
    return value if isinstance(value, dict) else {}


def read_settings(body: Mapping[str, Json]) -> Settings:
    """What the model's maker counts to the cache key, under Converse's names; of Claude's own fields thinking stands apart."""
    extra, output = _inside(body, "additionalModelRequestFields"), _inside(body, "outputConfig")
    other = {
        "fields": {key: value for key, value in extra.items() if key != "thinking"} or None,
        "format": output.get("textFormat"),
        "service_tier": body.get("serviceTier"),
        "guardrail": body.get("guardrailConfig"),
    }
    return Settings(
        model=str(body.get("modelId") or ""),
        tool_choice=_canonical(_inside(body, "toolConfig").get("toolChoice")),
        thinking=_canonical(extra.get("thinking")),
        effort=_canonical(output.get("effort")),
        speed=_canonical(_inside(body, "performanceConfig").get("latency")),
        other=tuple((key, _canonical(value) or "") for key, value in other.items() if value is not None),
    )


def read_marks(body: Mapping[str, Json]) -> tuple[Mark, ...]:
    """The caller's cache points, by the position of the block they stand behind, over tools, system and messages."""
    lists = [_tools(body), body.get("system")]
    lists += [raw.get("content") if isinstance(raw, dict) else None for raw in body.get("messages") or ()]
    found: list[Mark] = []
    position = 0
    for items in lists:
        blocks, marks = _parted(items)
        found += [Mark(position + index, ttl) for index, ttl in marks.items()]
        position += len(blocks)
    return tuple(found)


def takes_mark(block: Block) -> bool:
    """Whether Bedrock lets a cache point stand behind a block.

    Not behind reasoning ("Cache point cannot be inserted after reasoning block": anomalyco/opencode issue 36517, 2026-07), nor behind a
    document that is no PDF (strands-agents/harness-sdk issue 1966, 2026-03). Of what is not known nothing is assumed.
    """
    if block.kind is Kind.DOCUMENT:
        return isinstance(block.wire, dict) and _inside(block.wire, "document").get("format") == "pdf"
    if block.kind in (Kind.TEXT, Kind.SYSTEM):
        return bool(block.text.strip())
    if block.kind is Kind.TOOL:
        return isinstance(block.wire, dict) and "toolSpec" in block.wire
    return block.kind in (Kind.TOOL_USE, Kind.TOOL_RESULT, Kind.IMAGE)


def write_message(message: Message, marks: Mapping[int, int]) -> Json:
    """The message's own JSON; rebuilt only where it was edited or a cache point must stand in it."""
    if not message.edited and not marks:
        return message.wire
    return {**message.wire, "content": _joined([block.wire for block in message.blocks], marks)}


def write_head(body: Mapping[str, Json], head: Sequence[Block], marks: Mapping[int, int]) -> dict[str, Json]:
    """``toolConfig`` and ``system`` with these cache points and no others, where that changes them; the tool choice stays the body's."""
    out: dict[str, Json] = {}
    for key, role in (("toolConfig", Role.TOOLS), ("system", Role.SYSTEM)):
        places = [index for index, block in enumerate(head) if block.role is role]
        written = _joined([head[index].wire for index in places], {n: marks[index] for n, index in enumerate(places) if index in marks})
        given = _tools(body) if key == "toolConfig" else body.get(key)
        if isinstance(given, list) and not same_form(written, given):
            out[key] = {**body["toolConfig"], "tools": written} if key == "toolConfig" else written
    return out


def cleared(block: Block, text: str) -> Block:
    """The block with ``text`` in the place of its content: a result's content, a call's input, a plain text."""
    if block.kind is Kind.TOOL_USE:
        wire: Json = {**block.wire, "toolUse": {**block.wire["toolUse"], "input": {"cleared": text}}}
    elif block.kind is Kind.TOOL_RESULT:
        wire = {**block.wire, "toolResult": {**block.wire["toolResult"], "content": [{"text": text}]}}
    elif block.kind is Kind.TEXT:
        wire = {**block.wire, "text": text}
    else:
        raise ValueError(f"a {block.kind} block cannot be cleared")
    return make_block(block.kind, block.role, wire, text, call=block.call, tool=block.tool)


def note(text: str) -> Message:
    """A user message with one text block, as folds and summaries are written."""
    wire = FrozenDict({"role": "user", "content": freeze([{"text": text}])})
    return Message(Role.USER, (read_block(wire["content"][0], Role.USER),), wire)


def _as_it_is(raw: Json) -> Json:
    return raw


WIRE = Wire(
    dialect="bedrock-converse",
    messages_key="messages",
    read_head=read_head,
    read_message=read_message,
    read_settings=read_settings,
    read_marks=read_marks,
    write_message=write_message,
    write_head=write_head,
    cleared=cleared,
    note=note,
    takes_mark=takes_mark,
    listed=_as_it_is,
)

"""Places: the path into a request's body at which a block stands, in the words of its dialect."""

from __future__ import annotations

from typing import Any

from holdfast.blocks import Block, Kind, Role
from holdfast.doctor.record import Record
from holdfast.wire import of


def place_of(record: Record, position: int) -> str:
    """The path of the block at ``position``: ``tools[3]``, ``system[0]``, ``messages[12].content[0]``."""
    blocks = record.blocks
    if position >= len(blocks):
        return _end(record)
    if position < record.chain.tools:
        return f"tools[{position}]"
    if position < record.chain.head:
        return _system(record, position)
    message = record.message_at(position)
    return _in_message(record, message, position - record.spans[message])


def message_place(record: Record, message: int) -> str:
    """The path of a message of the history (the leading system messages of OpenAI's dialects not counted in ``message``)."""
    wire = of(record.obs.dialect)
    leading = wire.leading(record.obs.body) if record.obs.body else 0
    return f"{wire.messages_key}[{leading + message}]"


def _end(record: Record) -> str:
    return message_place(record, len(record.spans))


def _system(record: Record, position: int) -> str:
    body, ordinal = record.obs.body, position - record.chain.tools
    if record.obs.dialect == "anthropic":
        return "system" if isinstance(body.get("system"), str) else f"system[{ordinal}]"
    if record.obs.dialect == "openai-responses" and body.get("instructions"):
        if ordinal == 0:
            return "instructions"
        ordinal -= 1
    key = of(record.obs.dialect).messages_key
    for index, raw in enumerate(body.get(key) or ()):
        content: Any = raw.get("content") if isinstance(raw, dict) else None
        count = len(content) if isinstance(content, list) and content else 1
        if ordinal < count:
            return f"{key}[{index}].content[{ordinal}]" if isinstance(content, list) else f"{key}[{index}].content"
        ordinal -= count
    return f"system[{position - record.chain.tools}]"


def _in_message(record: Record, message: int, inside: int) -> str:
    base = message_place(record, message)
    found = record.prompt.messages[message]
    block = found.blocks[inside]
    raw = found.wire if isinstance(found.wire, dict) else {}
    if record.obs.dialect == "openai-responses" and raw.get("type", "message") != "message":
        return base
    if block.kind is Kind.TOOL_RESULT and record.obs.dialect == "openai-chat":
        return f"{base}.content"
    if block.kind is Kind.THINKING and record.obs.dialect == "openai-chat":
        return f"{base}.{next(iter(block.wire), 'reasoning_content')}"
    before = [other for other in found.blocks[:inside] if not _apart(record, other)]
    if block.kind is Kind.TOOL_USE and record.obs.dialect == "openai-chat":
        return f"{base}.tool_calls[{sum(other.kind is Kind.TOOL_USE for other in before)}]"
    return f"{base}.content[{len(before)}]" if isinstance(raw.get("content"), list) else f"{base}.content"


def _apart(record: Record, block: Block) -> bool:
    """Whether a block stands beside its message's content."""
    return record.obs.dialect == "openai-chat" and block.kind is Kind.THINKING and block.role is Role.ASSISTANT

"""A Messages response as the events of a stream (platform.claude.com, *Streaming Messages*, 2026-08; types of anthropic 2.12.0)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TypeAlias

from holdfast.frozen import Json

Event: TypeAlias = tuple[str, Mapping[str, Json]]

_PIECE = 48
"""Characters of one delta."""
_FINAL = ("stop_reason", "stop_sequence", "stop_details")
_CUMULATIVE = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens", "iterations")


def message_events(response: Mapping[str, Json]) -> Iterator[Event]:
    """Start, one start, deltas and stop a block, the final reason with the cumulative usage, stop."""
    usage = response["usage"]
    start = {**response, "content": [], "stop_reason": None, "stop_sequence": None, "stop_details": None}
    start.pop("context_management", None)
    first = {key: value for key, value in usage.items() if key != "iterations"}
    start["usage"] = {**first, "output_tokens": min(1, usage["output_tokens"])}
    yield _event("message_start", message=start)
    for index, block in enumerate(response["content"]):
        yield _event("content_block_start", index=index, content_block=_opening(block))
        if index == 0:
            yield _event("ping")
        for delta in _deltas(block):
            yield _event("content_block_delta", index=index, delta=delta)
        yield _event("content_block_stop", index=index)
    final: dict[str, Json] = {
        "delta": {key: response.get(key) for key in _FINAL},
        "usage": {key: usage[key] for key in _CUMULATIVE if key in usage},
    }
    if "context_management" in response:
        final["context_management"] = response["context_management"]
    yield _event("message_delta", **final)
    yield _event("message_stop")


def error_event(body: Mapping[str, Json]) -> Event:
    """An error in the middle of a stream."""
    return "error", body


def _event(kind: str, **fields: Json) -> Event:
    return kind, {"type": kind, **fields}


def _opening(block: Mapping[str, Json]) -> dict[str, Json]:
    """A block before anything of it has come."""
    kind = block.get("type")
    if kind == "text":
        return {**block, "text": ""}
    if kind == "thinking":
        return {**block, "thinking": "", "signature": ""}
    if kind in ("tool_use", "server_tool_use", "mcp_tool_use"):
        return {**block, "input": {}}
    if kind == "compaction":
        return {**block, "content": None}
    return dict(block)


def _deltas(block: Mapping[str, Json]) -> Iterator[dict[str, Json]]:
    kind = block.get("type")
    if kind == "text":
        yield from ({"type": "text_delta", "text": piece} for piece in _pieces(block["text"]))
    elif kind == "thinking":
        yield from ({"type": "thinking_delta", "thinking": piece} for piece in _pieces(block["thinking"]))
        yield {"type": "signature_delta", "signature": block["signature"]}
    elif kind in ("tool_use", "server_tool_use", "mcp_tool_use"):
        yield {"type": "input_json_delta", "partial_json": ""}
        written = json.dumps(block["input"], ensure_ascii=False) if block["input"] else ""
        yield from ({"type": "input_json_delta", "partial_json": piece} for piece in _pieces(written))
    elif kind == "compaction":
        yield {"type": "compaction_delta", "content": block.get("content"), "encrypted_content": block.get("encrypted_content")}


def _pieces(text: str) -> Iterator[str]:
    return (text[start : start + _PIECE] for start in range(0, len(text), _PIECE))

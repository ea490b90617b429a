"""Amazon's binary event streams, as Bedrock streams its responses (docs.aws.amazon.com, "Amazon event stream encoding", 2026).

A frame is: total length, length of the headers, a checksum (4 bytes each, big-endian), headers, payload, checksum. The checksums are not
verified: a recording is evidence of what was received.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from holdfast.readers.streams import grow, put_together

_PRELUDE = 12
_STRING = 7
_WIDTHS = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}


def frames(data: bytes) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each frame's event type and JSON payload. Ends where the bytes are no frame any more."""
    start = 0
    while start + _PRELUDE + 4 <= len(data):
        total = int.from_bytes(data[start : start + 4], "big")
        headers = int.from_bytes(data[start + 4 : start + 8], "big")
        if total < _PRELUDE + headers + 4 or start + total > len(data):
            return
        body = start + _PRELUDE + headers
        payload = _json(data[body : start + total - 4])
        if isinstance(payload, dict):
            yield _headers(data[start + _PRELUDE : body]).get(":event-type", ""), payload
        start += total


def _headers(data: bytes) -> dict[str, str]:
    out: dict[str, str] = {}
    place = 0
    while place < len(data):
        name = data[place + 1 : place + 1 + data[place]].decode("utf-8", "replace")
        place += 1 + data[place]
        kind = data[place] if place < len(data) else -1
        place += 1
        if kind in (6, _STRING):
            length = int.from_bytes(data[place : place + 2], "big")
            out[name] = data[place + 2 : place + 2 + length].decode("utf-8", "replace")
            place += 2 + length
        elif kind in _WIDTHS:
            place += _WIDTHS[kind]
        else:
            return out
    return out


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return None


def assembled(data: bytes) -> dict[str, Any]:
    """A streamed response as one body: Converse events, or chunks that wrap Anthropic's own events; ``{}`` where it is neither."""
    found = list(frames(data))
    inner = [event for _, payload in found if isinstance(event := _unwrapped(payload), dict)]
    try:
        return put_together(inner) if inner else _converse(found) if found else {}
    except (AttributeError, TypeError, KeyError, ValueError):
        return {}


def _unwrapped(payload: Mapping[str, Any]) -> Any:
    raw = payload.get("bytes")
    if not isinstance(raw, str):
        return None
    try:
        return _json(base64.b64decode(raw))
    except binascii.Error:
        return None


def _converse(found: Iterable[tuple[str, Mapping[str, Any]]]) -> dict[str, Any]:
    blocks: dict[int, dict[str, Any]] = {}
    out: dict[str, Any] = {}
    role = "assistant"
    for kind, payload in found:
        place = payload.get("contentBlockIndex", 0)
        if kind == "messageStart":
            role = payload.get("role", role)
        elif kind == "contentBlockStart":
            blocks[place] = dict(payload.get("start") or {})
        elif kind == "contentBlockDelta":
            grow(blocks.setdefault(place, {}), payload.get("delta") or {})
        elif kind in ("messageStop", "metadata"):
            out.update({key: value for key, value in payload.items() if key != "p"})
        elif kind.endswith("Exception"):
            out["error"] = dict(payload)
    for block in blocks.values():
        use = block.get("toolUse")
        if isinstance(use, dict) and isinstance(use.get("input"), str):
            use["input"] = _json(use["input"].encode()) or {}
    return {"output": {"message": {"role": role, "content": [blocks[place] for place in sorted(blocks)]}}, **out}

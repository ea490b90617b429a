"""How many tokens a picture is, from the first bytes of its file: no image library, nothing decoded but a header."""

from __future__ import annotations

import base64
import binascii
import math
import struct

from holdfast.frozen import Json

UNKNOWN_IMAGE = 1600
"""Tokens of an image whose size cannot be read: the most that one costs before it is scaled down (same page)."""

_LONG_EDGE = 1568
_PIXELS_PER_TOKEN = 750
_HEAD = 88_000  # base64 characters, 66 kB: a JPEG's size may stand behind its embedded thumbnail


def image_tokens(wire: Json) -> int:
    """The tokens of an image block, in any of the dialects.

    Width times height / 750 after scaling to at most 1,568 pixels on the long edge and about 1,600 tokens
    (platform.claude.com/docs/build-with-claude/vision, 2026-08). Other providers have rules of their own that come to the same order;
    where usage was recorded the difference is settled by calibration.
    """
    size = _size(_data(wire))
    if size is None:
        return UNKNOWN_IMAGE
    width, height = size
    scale = min(1.0, _LONG_EDGE / max(width, height))
    return max(1, min(UNKNOWN_IMAGE, math.ceil(width * height * scale * scale / _PIXELS_PER_TOKEN)))


def _data(wire: Json) -> bytes:
    """The first bytes of the picture: Anthropic's ``source.data``, pi's ``data``, OpenAI's ``image_url`` as a data URL."""
    if not isinstance(wire, dict):
        return b""
    source = wire.get("source")
    text = source.get("data") if isinstance(source, dict) else wire.get("data")
    if text is None:
        url = wire.get("image_url")
        url = url.get("url") if isinstance(url, dict) else url
        text = url.partition("base64,")[2] if isinstance(url, str) else ""
    if not isinstance(text, str):
        return b""
    head = text[: min(len(text), _HEAD)]
    try:
        return base64.b64decode(head[: len(head) - len(head) % 4])
    except (binascii.Error, ValueError):
        return b""


def _size(data: bytes) -> tuple[int, int] | None:
    size = None
    if data[:8] == b"\x89PNG\r\n\x1a\n" and len(data) >= 24:
        size = struct.unpack(">II", data[16:24])
    elif data[:4] == b"GIF8" and len(data) >= 10:
        size = struct.unpack("<HH", data[6:10])
    elif data[:2] == b"\xff\xd8":
        size = _jpeg(data)
    elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        size = _webp(data)
    return size if size and all(size) else None


def _jpeg(data: bytes) -> tuple[int, int] | None:
    """Walks the segments to the frame header (ITU T.81, B.2.2)."""
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return width, height
        at += 2 + length
    return None


def _webp(data: bytes) -> tuple[int, int] | None:
    """The three kinds of first chunk (developers.google.com/speed/webp/docs/riff_container)."""
    if len(data) < 30:
        return None
    if data[12:16] == b"VP8X":
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    if data[12:16] == b"VP8 ":
        width, height = struct.unpack("<HH", data[26:30])
        return width & 0x3FFF, height & 0x3FFF
    bits = int.from_bytes(data[21:25], "little")
    return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1

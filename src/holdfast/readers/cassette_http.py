"""The recordings of HTTP that VCR and its kin write: the file's parts as plain JSON values.

Known forms: vcrpy (``interactions``: ``request`` with ``uri``, ``body``, ``headers``; ``response`` with ``status``, ``body.string``) and
what test suites lay over it (``parsed_body``, the body as YAML); Ruby's VCR (``http_interactions``, ``recorded_at``); go-vcr (``url``,
``code``). YAML or JSON; bodies as text, bytes, base64, gzip or deflate. (vcrpy.readthedocs.io, 2026.)
"""

from __future__ import annotations

import base64
import binascii
import gzip
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from holdfast.errors import Unreadable
from holdfast.readers import event_stream, lines, streams
from holdfast.readers.fields import seconds

KEYS = ("interactions", "http_interactions")
TOP = re.compile(rb"^(?:http_)?interactions:", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Recorded:
    """One interaction. ``request`` and ``response`` are the bodies, ``{}`` where they are no JSON object; header names are in lower case.

    ``index`` is its place in the file, from 0. ``recorded_at`` is when the recorder noted it, in POSIX seconds.
    """

    index: int
    method: str
    url: str
    sent: Mapping[str, str]
    request: Mapping[str, Any]
    status: int | None
    received: Mapping[str, str]
    response: Mapping[str, Any]
    recorded_at: float | None


def load(path: Path) -> Mapping[str, Any]:
    """The recording as plain JSON values. Raises ``Unreadable`` if it is too long, no YAML, or no recording."""
    with lines.opened(path) as stream:
        try:
            data = stream.read(lines.DOCUMENT_LIMIT + 1)
        except lines.BROKEN as error:
            raise Unreadable(str(path), f"the file cannot be read to its end: {error}") from error
    if len(data) > lines.DOCUMENT_LIMIT:
        raise Unreadable(str(path), f"a document over {lines.DOCUMENT_LIMIT:,} bytes")
    parsed = _json(data) if data.lstrip()[:1] == b"{" else None
    found = _yaml(path, data) if parsed is None else parsed
    if not isinstance(found, dict) or not any(isinstance(found.get(key), list) for key in KEYS):
        raise Unreadable(str(path), "not a recording of HTTP: it has no list of interactions")
    return found


def _yaml(path: Path, data: bytes) -> Any:
    import yaml  # only a recording needs it

    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    def plain(loader: Any, suffix: str, node: Any) -> Any:
        """A tag of another language (``!!python/unicode``) is read as what it is written as."""
        if isinstance(node, yaml.MappingNode):
            return loader.construct_mapping(node, deep=True)
        return loader.construct_sequence(node, deep=True) if isinstance(node, yaml.SequenceNode) else loader.construct_scalar(node)

    loader: Any = type("Loader", (base,), {})
    loader.add_multi_constructor("", plain)
    try:
        return yaml.load(data, Loader=loader)  # a subclass of the safe loader
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise Unreadable(str(path), f"no YAML: {' '.join(str(error).split())[:200]}") from error


def raw_interactions(document: Mapping[str, Any]) -> list[Any]:
    """The interactions as they stand in the file."""
    return next((document[key] for key in KEYS if isinstance(document.get(key), list)), [])


def interactions(document: Mapping[str, Any]) -> Iterator[Recorded | str]:
    """Every interaction in order; a sentence where one is no request and response over HTTP."""
    for index, item in enumerate(raw_interactions(document)):
        request, response = (item.get("request"), item.get("response")) if isinstance(item, dict) else (None, None)
        if not isinstance(request, dict) or not isinstance(response, dict):
            yield f"interaction {index}: no request with its response"
            continue
        sent, received = headers(request.get("headers")), headers(response.get("headers"))
        yield Recorded(
            index=index,
            method=str(request.get("method") or "POST").upper(),
            url=str(request.get("uri") or request.get("url") or ""),
            sent=sent,
            request=_body(request, sent),
            status=_status(response),
            received=received,
            response=_body(response, received),
            recorded_at=moment(item.get("recorded_at")),
        )


def headers(raw: Any) -> dict[str, str]:
    """Headers by name in lower case, the values of a repeated one joined."""
    out: dict[str, str] = {}
    for name, value in raw.items() if isinstance(raw, dict) else ():
        values = value if isinstance(value, list) else [value]
        out[_text(name).lower()] = ", ".join(map(_text, values))
    return out


def moment(value: Any) -> float | None:
    """POSIX seconds of an HTTP date, an ISO-8601 time or a date that YAML has read as one."""
    if isinstance(value, date):
        return seconds(value.isoformat())
    if isinstance(value, str) and "," in value:
        try:
            return parsedate_to_datetime(value).timestamp()
        except ValueError:
            return None
    return seconds(value)


def _status(response: Mapping[str, Any]) -> int | None:
    raw = response.get("status")
    found = raw.get("code") if isinstance(raw, dict) else response.get("status_code", response.get("code", raw))
    text = str(found or "").split(" ")[0]
    return int(text) if text.isdigit() else None


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else "" if value is None else str(value)


def _body(part: Mapping[str, Any], found: Mapping[str, str]) -> Mapping[str, Any]:
    """The body as a JSON object; a streamed response is put together."""
    raw = part.get("body", part.get("content"))
    given = part["parsed_body"] if isinstance(part.get("parsed_body"), dict) else raw
    if isinstance(given, dict) and (given is not raw or not ("string" in raw or "base64_string" in raw)):
        seen: dict[int, Any] = {}
        return {_text(key): _plain(item, seen) for key, item in given.items()}
    data = _unpacked(_bytes(raw))
    if "vnd.amazon.eventstream" in found.get("content-type", ""):
        return event_stream.assembled(data)
    text = data.decode("utf-8", "replace")
    if streams.is_stream(text):
        return streams.assembled(text)
    parsed = _json(data)
    if isinstance(parsed, list):  # Gemini streams a JSON array where it is not asked for events
        return streams.put_together([item for item in parsed if isinstance(item, dict)])
    return parsed if isinstance(parsed, dict) else {}


def _bytes(raw: Any) -> bytes:
    packed = isinstance(raw, dict) and raw.get("string") is None
    inner = (raw.get("base64_string") if packed else raw["string"]) if isinstance(raw, dict) else raw
    data = inner if isinstance(inner, bytes) else _text(inner).encode("utf-8", "surrogatepass")
    if not packed:
        return data
    try:
        return base64.b64decode(data)
    except binascii.Error:
        return b""


def _unpacked(data: bytes) -> bytes:
    if data[:2] == b"\x1f\x8b" or data[:1] == b"\x78":
        try:
            return gzip.decompress(data) if data[:1] == b"\x1f" else zlib.decompress(data)
        except lines.BROKEN:
            return data
    return data


def _json(data: bytes) -> Any:
    parsed = lines.parse(data)
    return None if isinstance(parsed, lines.Bad) else parsed


def _plain(value: Any, seen: dict[int, Any]) -> Any:
    """YAML's values as JSON's: texts for keys, dates and bytes. What an alias repeats is shared; what holds itself is ``None`` there."""
    if isinstance(value, bytes):
        return _text(value)
    if not isinstance(value, dict | list):
        return value.isoformat() if isinstance(value, date) else value
    if id(value) in seen:
        return seen[id(value)]
    seen[id(value)] = None
    if isinstance(value, dict):
        seen[id(value)] = {_text(key): _plain(item, seen) for key, item in value.items()}
    else:
        seen[id(value)] = [_plain(item, seen) for item in value]
    return seen[id(value)]

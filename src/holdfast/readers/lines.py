"""Streaming lines of JSON, plain or gzip, in bounded memory."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from holdfast.errors import Unreadable
from holdfast.transcript import Skipped

LINE_LIMIT = 64 << 20
"""The longest line that is read, in bytes after unpacking, its end included."""
DOCUMENT_LIMIT = 64 << 20
"""The longest file that is read as one JSON document, in bytes after unpacking."""

BROKEN = (EOFError, zlib.error, OSError)
"""What reading a damaged archive or disk raises."""

_CHUNK = 1 << 20
_GZIP = b"\x1f\x8b"


class Line(NamedTuple):
    """One line: its number from 1, its bytes, and how many bytes of the file have been read when it ends."""

    number: int
    data: bytes
    end: int


class Bad(NamedTuple):
    """Why a line is not JSON."""

    why: str


def opened(path: Path) -> BinaryIO:
    """The file's bytes, unpacked if it is gzip by its first two bytes. Raises ``Unreadable``."""
    try:
        with path.open("rb") as stream:
            packed = stream.read(2) == _GZIP
        return cast(BinaryIO, gzip.GzipFile(path)) if packed else path.open("rb", _CHUNK)
    except OSError as error:
        raise Unreadable(str(path), error.strerror or str(error)) from error


def first_bytes(path: Path, count: int) -> bytes:
    """The first ``count`` bytes, unpacked; fewer where the file is shorter or broken. Raises ``Unreadable``."""
    with opened(path) as stream:
        try:
            return stream.read(count)
        except BROKEN:
            return b""


def raw(path: Path, *, skipped: list[Skipped], strict: bool = False, limit: int = LINE_LIMIT) -> Iterator[Line]:
    """The file's lines but blank ones and ``//`` comments.

    A line longer than ``limit`` bytes is passed over without being kept, and an archive that ends early ends the lines; both are
    noted in ``skipped``, or raise ``Unreadable`` if ``strict``.
    """

    def note(number: int, why: str) -> None:
        if strict:
            raise Unreadable(str(path), why, number)
        skipped.append(Skipped(str(path), number, why))

    number = end = 0
    with opened(path) as stream:
        try:
            while length := (found := _line(stream, limit))[1]:
                number += 1
                end += length
                if length > limit:
                    note(number, f"a line over {limit:,} bytes, not read")
                elif (start := found[0][:64].lstrip()) and not start.startswith(b"//"):
                    yield Line(number, found[0], end)
        except BROKEN as error:
            note(number + 1, f"the file cannot be read any further: {error}")


def _line(stream: BinaryIO, limit: int) -> tuple[bytes, int]:
    """The next line and its length; of a line longer than ``limit`` only the length is kept. 0 is the end."""
    data = stream.readline(_CHUNK)
    length = len(data)
    if length < _CHUNK or data.endswith(b"\n"):
        return data, length
    pieces = bytearray(data)
    while piece := stream.readline(_CHUNK):
        length += len(piece)
        if length <= limit:
            pieces += piece
        else:
            pieces.clear()
        if piece.endswith(b"\n"):
            break
    return bytes(pieces), length


def parse(data: bytes) -> Any:
    """One line's JSON, or ``Bad``."""
    try:
        return json.loads(data)
    except RecursionError:
        return Bad("JSON nested too deeply")
    except ValueError:
        if b"\0" in data:
            return Bad("binary data")
        return Bad("not JSON" if data.endswith(b"\n") else "not JSON: the file ends inside the line")


def records(
    path: Path,
    *,
    strict: bool = False,
    skipped: list[Skipped],
    limit: int = LINE_LIMIT,
    ignore: Callable[[bytes], bool] | None = None,
) -> Iterator[tuple[int, Any]]:
    """Each line's number and parsed JSON.

    Lines that are not JSON go to ``skipped``; with ``strict`` the first one raises ``Unreadable``. ``ignore`` tells from its bytes
    a line that nobody needs, before it is parsed.
    """
    for line in raw(path, skipped=skipped, strict=strict, limit=limit):
        if ignore is not None and ignore(line.data):
            continue
        parsed = parse(line.data)
        if not isinstance(parsed, Bad):
            yield line.number, parsed
        elif strict:
            raise Unreadable(str(path), parsed.why, line.number)
        else:
            skipped.append(Skipped(str(path), line.number, parsed.why))


def document(path: Path, *, limit: int = DOCUMENT_LIMIT) -> Any:
    """A file that is one JSON document. Raises ``Unreadable`` if it is longer than ``limit`` bytes or not JSON."""
    with opened(path) as stream:
        try:
            data = stream.read(limit + 1)
        except BROKEN as error:
            raise Unreadable(str(path), f"the file cannot be read to its end: {error}") from error
    if len(data) > limit:
        raise Unreadable(str(path), f"a document over {limit:,} bytes")
    parsed = parse(data)
    if isinstance(parsed, Bad):
        raise Unreadable(str(path), parsed.why)
    return parsed

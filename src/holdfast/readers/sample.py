"""The beginning of a file, as the readers' ``sniff`` functions see it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from holdfast.errors import Unreadable
from holdfast.frozen import Json
from holdfast.readers import lines
from holdfast.transcript import Skipped

RECORDS = 20
RECORD_BYTES = 4 << 20  # no more records are looked at once this much has been read
RAW_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Sample:
    """What is known of a file before it is read.

    ``first`` are its first bytes (at most 4,096, unpacked if the file is gzip). ``records`` are its first JSON lines (at most
    20), empty where the file is not JSON lines. ``document`` is the whole file parsed, where it is one JSON
    document: on many lines (then ``records`` is empty) or on a single one (then ``records`` holds just that). Otherwise ``None``.
    ``problem`` says what stood in the way of the first line that could not be used.
    """

    path: Path
    first: bytes = b""
    records: tuple[Json, ...] = ()
    document: Json = None
    problem: str = ""

    @property
    def objects(self) -> list[dict[str, Json]]:
        """Those of ``records`` that are JSON objects."""
        return [record for record in self.records if isinstance(record, dict)]

    @property
    def seen(self) -> str:
        """One phrase for the user: what the file looks like."""
        if self.records:
            keys = sorted({key for record in self.objects for key in record})
            return f"JSON lines with the keys {_few(keys)}" if keys else "JSON lines that are not objects"
        if isinstance(self.document, dict):
            return f"one JSON object with the keys {_few(sorted(self.document))}"
        if isinstance(self.document, list):
            first = self.document[0] if self.document else None
            return f"a JSON array of objects with the keys {_few(sorted(first))}" if isinstance(first, dict) else "a JSON array"
        if not self.first:
            return self.problem or "an empty file"
        if b"\0" in self.first:
            return "binary data"
        return f"it begins with {self.first[:40]!r}{self.problem and '; '}{self.problem}"


def _few(keys: list[str]) -> str:
    return ", ".join(keys[:8]) + (" …" if len(keys) > 8 else "") if keys else "(none)"


def take(path: Path) -> Sample:
    """The sample of a file. Raises ``Unreadable`` if it cannot be opened; a file that is no JSON has no records and no document."""
    first = lines.first_bytes(path, RAW_BYTES)
    skipped: list[Skipped] = []
    records: list[Json] = []
    whole = True
    for line in lines.raw(path, skipped=skipped):
        parsed = lines.parse(line.data)
        if isinstance(parsed, lines.Bad):
            skipped.append(Skipped(str(path), line.number, parsed.why))
        else:
            records.append(parsed)
        if len(records) >= RECORDS or line.end > RECORD_BYTES or len(skipped) >= RECORDS:
            whole = False
            break
    if any(isinstance(record, dict) for record in records) and len(records) >= len(skipped):
        return Sample(path, first, tuple(records), records[0] if whole and len(records) == 1 and not skipped else None)
    problem = f"line {skipped[0].line}: {skipped[0].why}" if skipped else ""
    return Sample(path, first, (), _document(path, first), problem)


def _document(path: Path, first: bytes) -> Json:
    if first.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] not in (b"{", b"["):
        return None
    try:
        return lines.document(path)
    except Unreadable:
        return None

"""Traces of block hashes: what was sent, as ids of equal blocks, without any text.

*weka*: one conversation a file, one JSON document (``block_size``, ``requests``; kv-cache-tester, 2026-07). A subagent stands among the
requests with ``requests`` of its own, timed from its start; it shares the conversation's ids.
*mooncake*: one request a line (``timestamp`` in milliseconds, ``input_length``, ``output_length``, ``hash_ids``; traces of Mooncake,
FAST'25). A whole service's traffic: the file does not say which requests belong together, nor that a block has 512 tokens.

An id stands for a block and all before it. *weka* lists full blocks only; *mooncake* gives the last, partial block an id too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Literal, TypeAlias

from holdfast.errors import Unreadable
from holdfast.frozen import Json
from holdfast.readers import lines
from holdfast.readers.sample import Sample, take
from holdfast.transcript import Skipped

Format: TypeAlias = Literal["weka", "mooncake"]

MOONCAKE_BLOCK = 512
"""Tokens of a block in Mooncake's traces (FAST'25, 2025-02): every request of the conversation trace has an id for each 512 begun."""


@dataclass(frozen=True, slots=True)
class BlockRequest:
    """One request: its prompt as ids of blocks.

    ``at`` is seconds from the trace's beginning (``None``: not recorded). ``output_tokens`` is ``None`` where not recorded. ``agent`` names
    the subagent that sent it, ``""`` for the main line. ``line`` is its place: the line, or in a document its number from 1.
    """

    hashes: tuple[int, ...]
    input_tokens: int
    output_tokens: int | None = None
    at: float | None = None
    model: str = ""
    agent: str = ""
    line: int = 0


@dataclass(frozen=True, slots=True)
class BlockTrace:
    """Requests in the order in which they were sent, those of subagents among the others.

    ``block_tokens`` is the size of a block. ``conversation`` is the id of the one conversation it holds, ``""`` where the trace is a
    mixture.
    ``skipped`` are requests that could not be used, ``notes`` sentences for the user.
    """

    path: str
    format: Format
    block_tokens: int
    requests: tuple[BlockRequest, ...]
    conversation: str = ""
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()


def is_block_trace(head: Sample) -> bool:
    """Whether a file is a trace of either format, by its content."""
    return _format(head) is not None


def read_blocks(path: Path) -> BlockTrace:
    """The trace in a file, plain or gzip.

    A request that cannot be used is skipped and named; of a truncated file what came before the end is used. Raises ``Unreadable`` if the
    file cannot be opened or is of neither format.
    """
    head = take(path)
    found = _format(head)
    if found is None:
        raise Unreadable(str(path), f"no trace of block hashes ({head.seen})")
    return _read_weka(path, _document(head)) if found == "weka" else _read_mooncake(path)


def _format(head: Sample) -> Format | None:
    if _is_weka(_document(head)):
        return "weka"
    if any({"hash_ids", "input_length"} <= record.keys() for record in head.objects):
        return "mooncake"
    cut_off = head.document is None and not head.records and head.first.lstrip()[:1] == b"{"
    return "weka" if cut_off and b'"block_size"' in head.first and b'"hash_ids"' in head.first else None


def _document(head: Sample) -> Json:
    """The file as one document; a single long line is sampled as a record."""
    return head.records[0] if head.document is None and len(head.records) == 1 else head.document


def _is_weka(document: Json) -> bool:
    if not isinstance(document, dict) or not {"block_size", "requests"} <= document.keys():
        return False
    requests = document["requests"]
    items = [item for item in requests if isinstance(item, dict)] if isinstance(requests, list) else []
    return any("hash_ids" in item or "requests" in item for item in items)


class _Rows:
    """Requests as they are found good, and what was wrong with the others."""

    def __init__(self, path: Path, block: int) -> None:
        self.path, self.block = str(path), block
        self.requests: list[BlockRequest] = []
        self.skipped: list[Skipped] = []
        self._ids: dict[int, int] = {}

    def skip(self, line: int, why: str) -> None:
        self.skipped.append(Skipped(self.path, line, why))

    def add(self, line: int, prompt: Json, output: Json, hashes: Json) -> BlockRequest | None:
        """The request, kept; ``None`` where it cannot be used."""
        why = self._problem(prompt, output, hashes)
        if why:
            self.skip(line, why)
            return None
        shared = tuple(map(self._ids.setdefault, hashes, hashes))  # one int object an id: prompts repeat each other
        made = BlockRequest(shared, prompt, output, line=line)
        self.requests.append(made)
        return made

    def _problem(self, prompt: Json, output: Json, hashes: Json) -> str:
        if not isinstance(hashes, list):
            return "no list of block hashes" if hashes is None else "block hashes that are not a list"
        if not set(map(type, hashes)) <= {int}:
            return "block hashes that are not integers"
        if type(prompt) is not int:
            return "no number of input tokens"
        if output is not None and type(output) is not int:
            return "output tokens that are not a number"
        if prompt < 0 or (output or 0) < 0:
            return "negative tokens"
        if len(hashes) > -(-prompt // self.block):
            return f"{len(hashes)} hashes for {prompt} tokens: more than blocks of {self.block}"
        return ""

    def trace(self, form: Format, conversation: str = "", notes: tuple[str, ...] = ()) -> BlockTrace:
        return BlockTrace(self.path, form, self.block, tuple(self.requests), conversation, tuple(self.skipped), notes)


def _seconds(value: Json) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and -1e15 < value < 1e15 else None


def _read_mooncake(path: Path) -> BlockTrace:
    rows = _Rows(path, MOONCAKE_BLOCK)
    for number, record in lines.records(path, skipped=rows.skipped):
        if not isinstance(record, dict):
            rows.skip(number, "not a JSON object")
            continue
        made = rows.add(number, record.get("input_length"), record.get("output_length"), record.get("hash_ids"))
        at = _seconds(record.get("timestamp"))
        if made is not None and at is not None:
            rows.requests[-1] = replace(made, at=at / 1000)
    times = [request.at for request in rows.requests if request.at is not None]
    back = sum(later < earlier for earlier, later in pairwise(times))
    return rows.trace("mooncake", notes=_clock_note(back))


def _clock_note(back: int) -> tuple[str, ...]:
    return (f"the clock runs backwards {back} times: requests are taken in the order of the file",) if back else ()


def _read_weka(path: Path, document: Json) -> BlockTrace:
    problem = ""
    if document is None:
        document, problem = _cut_off(path)
    size = document.get("block_size")
    if type(size) is not int or size < 1:
        raise Unreadable(str(path), f"a block size of {size!r}")
    rows = _Rows(path, size)
    back = _weka_requests(rows, document["requests"])
    if problem:
        rows.skip(0, problem)
    return rows.trace("weka", str(document.get("id") or path.name), _clock_note(back))


def _weka_requests(rows: _Rows, items: Json) -> int:
    """Every request, a subagent's where its time puts them; how often the main line's clock ran backwards."""
    clock, back, number = 0.0, 0, 0
    for item in items:
        if not isinstance(item, dict):
            number += 1
            rows.skip(number, "not a JSON object")
            continue
        at = _seconds(item.get("t"))
        back += at is not None and at < clock
        clock = max(clock, at or 0.0)
        inner = item.get("requests")
        agent = str(item.get("agent_id") or "subagent") if isinstance(inner, list) else ""
        for request in inner if isinstance(inner, list) else [item]:
            number += 1
            _weka_request(rows, request, number, (clock, agent))
    rows.requests.sort(key=lambda request: request.at or 0.0)
    return back


def _weka_request(rows: _Rows, item: Json, number: int, sender: tuple[float, str]) -> None:
    """``sender`` is the time at which the main line stands, and the subagent's name (``""``: the main line itself)."""
    clock, agent = sender
    if not isinstance(item, dict):
        rows.skip(number, "not a JSON object")
        return
    made = rows.add(number, item.get("in"), item.get("out"), item.get("hash_ids"))
    if made is not None:
        at = clock + max(0.0, _seconds(item.get("t")) or 0.0) if agent else clock
        rows.requests[-1] = replace(made, at=at, agent=agent, model=str(item.get("model") or ""))


def _cut_off(path: Path) -> tuple[Json, str]:
    """What can be read of a document that breaks off: its keys before ``requests``, and the requests that are whole."""
    text = _text(path)
    start = text.find('"requests"')
    opening = text.find("[", start)
    if min(start, opening) < 0:
        raise Unreadable(str(path), "the document breaks off before its first request")
    try:
        document = json.loads(text[:start].rstrip().rstrip(",") + "}")
    except ValueError as error:
        raise Unreadable(str(path), f"not JSON: {error}") from error
    document["requests"] = list(_whole_items(text, opening + 1))
    return document, "not JSON to its end: the file breaks off or is damaged; what follows is not read"


def _text(path: Path) -> str:
    data = bytearray()
    with lines.opened(path) as stream:
        try:
            while len(data) < lines.DOCUMENT_LIMIT and (piece := stream.read(1 << 14)):
                data += piece
        except lines.BROKEN:
            pass
    return data.decode("utf-8", "replace")


def _whole_items(text: str, place: int) -> Iterator[Json]:
    decoder = json.JSONDecoder()
    while True:
        while text[place : place + 1] in (" ", "\n", "\r", "\t", ","):
            place += 1
        try:
            item, place = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            return
        yield item

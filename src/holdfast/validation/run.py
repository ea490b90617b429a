"""Validating many files: groups of them go to worker processes, what they give comes back in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from holdfast.caches.block_pool import Eviction
from holdfast.errors import UnknownFormat
from holdfast.parallel import gathered
from holdfast.pricing import Prices
from holdfast.readers import Failure, Group, discover, group, read_group
from holdfast.readers.block_hashes import BlockTrace, is_block_trace, read_blocks
from holdfast.readers.formats import reader_of
from holdfast.readers.sample import take
from holdfast.transcript import Skipped
from holdfast.validation.block_hits import BlockReport, measure
from holdfast.validation.check import check
from holdfast.validation.exchanged import FORMATS, check_file
from holdfast.validation.results import ValidatedSession, Validation, figures

CAPACITIES = (1_000, 3_000, 5_859, 10_000, 30_000, 50_000)
"""Blocks a cache holds, for the capacity curve of a trace of many conversations; 5,859 of 512 tokens are 3 million."""


@dataclass(frozen=True, slots=True)
class ValidateRequest:
    """Which transcripts to validate. The fields mean what they mean in ``simulator.requests.CompareRequest``."""

    paths: tuple[str, ...]
    jobs: int = 0
    limit: int | None = None
    prices: Path | None = None
    strict: bool = False


@dataclass(frozen=True, slots=True)
class Checked:
    """What one group of files gave. ``traces`` are those of its files that hold hashes of blocks, and no text."""

    sessions: tuple[ValidatedSession, ...] = ()
    traces: tuple[Path, ...] = ()
    skipped: tuple[Skipped, ...] = ()


def validate(request: ValidateRequest, progress: Callable[[int, int], None] = lambda done, total: None) -> Validation:
    """Every recorded session beside its prediction. ``progress`` is told how many groups of files are done, and of how many.

    A ``KeyboardInterrupt`` ends it early: what is done so far is returned, marked as interrupted. Raises ``InputError`` for anything
    the user gave that cannot be used.
    """
    Prices.load(request.prices)
    groups = group(discover(request.paths))
    limit = request.limit
    ordered, interrupted = gathered(
        groups,
        partial(check_group, request=request),
        request.jobs,
        progress=progress,
        enough=None if limit is None else lambda done: _whole(done) >= limit,
    )
    sessions = tuple(session for result in ordered for session in result.sessions)
    return Validation(
        sessions=sessions,
        sets=figures(sessions),
        blocks=_measured([path for result in ordered for path in result.traces]),
        skipped=tuple(line for result in ordered for line in result.skipped),
        interrupted=interrupted,
    )


def check_group(files: Group, request: ValidateRequest) -> Checked:
    """One group of files, read and checked. Runs in a worker process: everything it needs is in its arguments."""
    prices = Prices.load(request.prices)
    sessions: list[ValidatedSession] = []
    skipped: list[Skipped] = []
    kinds = {path: kind_of(path) for path in files.paths}
    traces = tuple(path for path, kind in kinds.items() if kind == "blocks")
    for path, kind in kinds.items():
        if kind in FORMATS:
            session, lines = check_file(path, kind, prices, strict=request.strict)
            sessions.append(session)
            skipped += lines
    rest = tuple(path for path, kind in kinds.items() if kind != "blocks" and kind not in FORMATS)
    for item in read_group(Group(rest, files.size), strict=request.strict) if rest else ():
        if isinstance(item, Failure):
            sessions.append(ValidatedSession(item.path, "", "", "", skipped=item.why))
            continue
        skipped += item.skipped
        sessions.append(check(item, prices))
    return Checked(tuple(sessions), traces, tuple(skipped))


def kind_of(path: Path) -> str:
    """The format's name, ``"blocks"`` for hashes of blocks, ``""`` where no reader knows it or it cannot be opened."""
    try:
        head = take(path)
    except (UnknownFormat, OSError):
        return ""
    if is_block_trace(head):
        return "blocks"
    reader = reader_of(head)
    return reader.NAME if reader is not None else ""


def _measured(paths: list[Path]) -> BlockReport | None:
    """Traces of one conversation each are measured without end; those of many also by capacity, which one cache for all of them has."""
    if not paths:
        return None
    single: list[BlockTrace] = []
    many: list[BlockTrace] = []
    for path in paths:
        trace = read_blocks(path)
        (single if trace.conversation else many).append(trace)
    alone = measure(single)
    shared = measure(many, CAPACITIES, (Eviction.LRU, Eviction.LFU, Eviction.LENGTH_AWARE))
    return BlockReport(alone.traces + shared.traces, alone.totals + shared.totals, alone.spread)


def _whole(done: Iterable[Checked]) -> int:
    return sum(session.skipped is None for result in done for session in result.sessions)

"""The doctor over many files: groups of them go to worker processes, what they give comes back in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path

from holdfast.doctor.diagnose import Diagnosis, diagnose
from holdfast.doctor.findings import Cause
from holdfast.doctor.transcripts import diagnose_transcript
from holdfast.errors import InputError
from holdfast.parallel import gathered
from holdfast.pricing import Prices
from holdfast.readers import Failure, Group, cassette, discover, group, read_group, request_log
from holdfast.transcript import Skipped
from holdfast.validation.exchanged import FORMATS
from holdfast.validation.run import kind_of


@dataclass(frozen=True, slots=True)
class DoctorRequest:
    """Which transcripts and logs to examine. The fields mean what they mean in ``simulator.requests.CompareRequest``."""

    paths: tuple[str, ...]
    jobs: int = 0
    limit: int | None = None
    prices: Path | None = None
    strict: bool = False


@dataclass(frozen=True, slots=True)
class Examined:
    """One session or log. ``skipped`` says why nothing could be examined, where so."""

    path: str
    format: str
    diagnosis: Diagnosis | None = None
    skipped: str | None = None


@dataclass(frozen=True, slots=True)
class CauseTotal:
    """What one cause came to over the whole input. ``usd`` leaves out findings whose model has no price: ``unpriced`` counts those."""

    cause: Cause
    count: int
    tokens_rewritten: int
    usd: Decimal
    unpriced: int = 0


@dataclass(frozen=True, slots=True)
class Examination:
    """Everything the doctor found. ``interrupted`` is true where the user stopped it half-way."""

    sessions: tuple[Examined, ...]
    skipped: tuple[Skipped, ...] = ()
    interrupted: bool = False

    @property
    def diagnoses(self) -> list[Diagnosis]:
        """Those of the sessions that could be examined."""
        return [each.diagnosis for each in self.sessions if each.diagnosis is not None]

    @property
    def hit_rate(self) -> float | None:
        """The share of all prompt tokens that was read; ``None`` where nothing was billed."""
        prompt = sum(each.prompt_tokens for each in self.diagnoses)
        return sum(each.read_tokens for each in self.diagnoses) / prompt if prompt else None

    @property
    def total(self) -> list[CauseTotal]:
        """By cause, the dearest first."""
        sums: dict[Cause, CauseTotal] = {}
        for finding in (finding for each in self.diagnoses for finding in each.findings):
            old = sums.get(finding.cause, CauseTotal(finding.cause, 0, 0, Decimal(0)))
            sums[finding.cause] = CauseTotal(
                finding.cause,
                old.count + 1,
                old.tokens_rewritten + finding.tokens_rewritten,
                old.usd + (finding.usd or Decimal(0)),
                old.unpriced + (finding.usd is None),
            )
        return sorted(sums.values(), key=lambda each: (-each.usd, -each.tokens_rewritten, each.cause))


def examine(request: DoctorRequest, progress: Callable[[int, int], None] = lambda done, total: None) -> Examination:
    """Every session and log. ``progress`` is told how many groups of files are done, and of how many.

    A ``KeyboardInterrupt`` ends it early: what is done so far is returned, marked as interrupted. Raises ``InputError`` for anything
    the user gave that cannot be used.
    """
    Prices.load(request.prices)
    groups = group(discover(request.paths))
    limit = request.limit
    ordered, interrupted = gathered(
        groups,
        partial(examine_group, request=request),
        request.jobs,
        progress=progress,
        enough=None if limit is None else lambda done: _whole(sessions for sessions, _ in done) >= limit,
    )
    sessions = tuple(session for found, _ in ordered for session in found)
    return Examination(sessions, tuple(line for _, skipped in ordered for line in skipped), interrupted)


def examine_group(files: Group, request: DoctorRequest) -> tuple[list[Examined], list[Skipped]]:
    """One group of files. Runs in a worker process: everything it needs is in its arguments."""
    prices = Prices.load(request.prices)
    skipped: list[Skipped] = []
    kinds = {path: kind_of(path) for path in files.paths}
    found = [_of_exchanges(path, kind, prices, request.strict) for path, kind in kinds.items() if kind in FORMATS]
    traces = [path for path, kind in kinds.items() if kind == "blocks"]
    found += [
        Examined(str(path), "block hashes", skipped="it holds hashes of blocks and no bill: `holdfast validate` measures it")
        for path in traces
    ]
    rest = tuple(path for path, kind in kinds.items() if kind not in FORMATS and kind != "blocks")
    for item in read_group(Group(rest, files.size), strict=request.strict) if rest else ():
        if isinstance(item, Failure):
            found.append(Examined(item.path, "", skipped=item.why))
            continue
        skipped += item.skipped
        diagnosis = diagnose_transcript(item, prices)
        billed = diagnosis.prompt_tokens > 0
        found.append(Examined(item.path, item.format, diagnosis if billed else None, None if billed else "no usage was recorded"))
    return found, skipped


def _of_exchanges(path: Path, kind: str, prices: Prices, strict: bool) -> Examined:
    try:
        calls = cassette.exchanges(path) if kind == "cassette" else request_log.exchanges(path, strict=strict)
    except InputError as error:
        if strict:
            raise
        return Examined(str(path), kind, skipped=str(error))
    return Examined(str(path), kind, diagnose(calls, prices))


def _whole(done: Iterable[list[Examined]]) -> int:
    return sum(session.skipped is None for sessions in done for session in sessions)

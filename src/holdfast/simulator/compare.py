"""Comparing strategies over many sessions: groups of files go to worker processes, results come back in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial

from holdfast.calibrate import weigh
from holdfast.parallel import gathered
from holdfast.pricing import Prices
from holdfast.readers import Failure, Group, discover, group, read_group
from holdfast.simulator.judged import agreement_of, judge_session
from holdfast.simulator.replay import ANSWER_TOKENS, Conditions
from holdfast.simulator.requests import CompareRequest, ReplayRequest
from holdfast.simulator.results import Comparison, Result, SessionResult, ranked
from holdfast.strategies import named, registered
from holdfast.tokens import Counter
from holdfast.transcript import Skipped

SECONDS = {"5m": 300, "1h": 3600}


@dataclass(frozen=True, slots=True)
class Judged:
    """What one group of files gave."""

    sessions: tuple[SessionResult, ...] = ()
    skipped: tuple[Skipped, ...] = ()


def conditions_of(request: CompareRequest | ReplayRequest) -> Conditions:
    """The conditions a request asks for. Raises ``BadPrices``, ``UnknownModel``."""
    prices = Prices.load(request.prices)
    if request.model is not None:
        prices.find(request.model)
    return Conditions(
        prices=prices,
        model=request.model,
        trigger=request.trigger,
        target=request.target,
        ttl=SECONDS[request.ttl] if request.ttl else None,
        keep_tail_tokens=request.keep_tail_tokens,
    )


def compare(request: CompareRequest, progress: Callable[[int, int], None] = lambda done, total: None) -> Comparison:
    """Every session under every strategy. ``progress`` is told how many groups of files are done, and of how many.

    A ``KeyboardInterrupt`` ends it early: what is done so far is returned, marked as interrupted. Raises ``InputError`` for
    anything the user gave that cannot be used.
    """
    conditions = conditions_of(request)
    for name in request.strategies:
        named(name)
    groups = group(discover(request.paths))
    limit = request.limit
    ordered, interrupted = gathered(
        groups,
        partial(judge_group, request=request),
        request.jobs,
        progress=progress,
        enough=None if limit is None else lambda done: _whole(done) >= limit,
    )
    sessions = tuple(session for result in ordered for session in result.sessions)
    return Comparison(
        settings=_settings(request, conditions),
        sessions=sessions,
        total=total(ranked(sessions, request.any)),
        skipped=tuple(line for result in ordered for line in result.skipped),
        interrupted=interrupted,
    )


def total(sessions: Iterable[SessionResult]) -> tuple[Result, ...]:
    """Each strategy's results summed over sessions, in the order of the first."""
    sums: dict[str, Result] = {}
    for session in sessions:
        for result in session.results:
            sums[result.strategy] = sums[result.strategy] + result if result.strategy in sums else result
    return tuple(sums.values())


def judge_group(files: Group, request: CompareRequest) -> Judged:
    """One group of files, read, weighed and judged. Runs in a worker process: everything it needs is in its arguments."""
    conditions = conditions_of(request)
    strategies = [named(name) for name in request.strategies or registered()]
    counter = Counter()
    sessions: list[SessionResult] = []
    skipped: list[Skipped] = []
    for item in read_group(files, strict=request.strict):
        if isinstance(item, Failure):
            sessions.append(SessionResult(item.path, "", "", 0, skipped=item.why))
            continue
        skipped.extend(item.skipped)
        weighed = weigh(item, counter, model=request.model)
        session = judge_session(weighed, strategies, conditions)
        if session.results:
            session = replace(session, agreement=agreement_of(item, conditions.prices))
        sessions.append(session)
    return Judged(tuple(sessions), tuple(skipped))


def _whole(judged: Iterable[Judged]) -> int:
    return sum(session.skipped is None for result in judged for session in result.sessions)


def _settings(request: CompareRequest, conditions: Conditions) -> dict[str, str | int | float | None]:
    return {
        "model": request.model,
        "schedule": "simple",
        "trigger": request.trigger,
        "target": request.target,
        "ttl": request.ttl,
        "keep_tail_tokens": request.keep_tail_tokens,
        "prices_as_of": conditions.prices.as_of,
        "answer_tokens": ANSWER_TOKENS,
        "any": request.any,
    }

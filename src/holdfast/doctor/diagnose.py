"""The diagnosis of a sequence of requests: every one that read less than it could have, with its cause.

A read is short where it is over ``max(50 tokens, 1 % of the prompt)`` below what earlier requests had left to be read, by the rules of the
provider's cache (``holdfast.caches``). What was never sent before cannot have been read: a first request is never a finding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from holdfast.doctor.book import Book
from holdfast.doctor.case import Explanation
from holdfast.doctor.changes import volatile_removed
from holdfast.doctor.findings import Finding
from holdfast.doctor.fixes import fix_for
from holdfast.doctor.habits import habits
from holdfast.doctor.investigate import investigate
from holdfast.doctor.marks import refused
from holdfast.doctor.money import lost_usd, mispriced
from holdfast.doctor.observation import Observation, Read, observed
from holdfast.doctor.reasons import agrees
from holdfast.doctor.record import Record
from holdfast.doctor.routes import Route, route_of
from holdfast.doctor.signatures import Bill, explain_bill, never_read, shorts
from holdfast.exchange import Exchange
from holdfast.pricing import Prices
from holdfast.usage import Usage


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What the doctor found in one session or log.

    ``requests`` were seen, ``checked`` had a bill and something before them to compare with. ``read_tokens`` of ``prompt_tokens`` were read
    over all requests with a bill. ``findings`` stand in the order of the requests. ``agreement``: of how many findings the provider's own
    reason says the same, and how many have one that can be compared.
    """

    requests: int
    checked: int
    read_tokens: int
    prompt_tokens: int
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
    agreement: tuple[int, int] = (0, 0)

    @property
    def hit_rate(self) -> float | None:
        """The share of all prompt tokens that was read, 0 to 1; ``None`` where nothing was billed."""
        return self.read_tokens / self.prompt_tokens if self.prompt_tokens else None


def diagnose(exchanges: Sequence[Exchange], prices: Prices) -> Diagnosis:
    """Requests with their bodies, as logs and recorded HTTP hold them, in the order of their file."""
    read = Read()
    return diagnose_observed([observed(exchange, read) for exchange in exchanges], prices)


def diagnose_observed(observations: Sequence[Observation], prices: Prices) -> Diagnosis:
    """Requests however they were recorded. ``Finding.turn`` is the place in ``observations``."""
    session = _Session(prices, frozenset(obs.model for obs in observations if obs.usage and (obs.usage.read or obs.usage.written)))
    for index, obs in session.in_order(observations):
        session.see(index, obs)
    return session.diagnosis(len(observations))


@dataclass(slots=True)
class _Session:
    prices: Prices
    cached_models: frozenset[str]
    book: Book = field(default_factory=Book)
    bills: dict[tuple[str, str], list[Bill]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    checked: int = 0
    read: int = 0
    prompt: int = 0
    counted: dict[str, int] = field(default_factory=dict)
    _routes: dict[tuple[str, str], Route] = field(default_factory=dict)

    def in_order(self, observations: Sequence[Observation]) -> list[tuple[int, Observation]]:
        """Each request once, by its start where all have one; rows of one streamed response are one request."""
        last = {obs.response: index for index, obs in enumerate(observations) if obs.response}
        once = [(index, obs) for index, obs in enumerate(observations) if not obs.response or last[obs.response] == index]
        if len(once) < len(observations):
            self.notes.append(f"{len(observations)} rows are {len(once)} requests: a streamed response is logged as several rows")
        times = [obs.at for _, obs in once]
        if any(time is None for time in times):
            if any(time is not None for time in times):
                self.notes.append("some requests have no time: they are taken in the order of the file")
            return once
        if any((first or 0.0) > (second or 0.0) for first, second in pairwise(times)):
            self.notes.append("requests stand out of order, or the clock jumped: they are taken by their start")
            once.sort(key=lambda pair: pair[1].at or 0.0)
        return once

    def see(self, index: int, obs: Observation) -> None:
        """One more request."""
        for fault in obs.faults:
            self._count(fault)
        if obs.failed or obs.usage is None:
            self._unbilled(index, obs)
            return
        self.read += obs.usage.read
        self.prompt += obs.usage.prompt
        route = self._route(obs)
        if (wrong := mispriced(obs, obs.usage, route.price)) is not None:
            self._find(index, obs, wrong, 0)
        if obs.prompt is None:
            self.bills.setdefault((obs.lineage, obs.model), []).append(Bill(index, obs, obs.usage, route))
            return
        record = Record(index, obs, obs.prompt, obs.usage, route, self.book.sizes)
        self.book.add(record)
        self.checked += len(self.book.records) > 1
        # Where no rules are published and nothing was ever read, nothing shows that there is a cache.
        loss = investigate(record, self.book) if route.rules or obs.model in self.cached_models else None
        if loss is None:
            return
        if volatile_removed(loss.why):
            self.notes.append(
                f"request {index}: what changed was taken out of {loss.why.where}; that writes once, so judge from the next one on"
            )
            return
        self._find(index, obs, loss.why, loss.tokens)

    def _unbilled(self, index: int, obs: Observation) -> None:
        if obs.failed:
            self._count("requests that failed")
            if obs.prompt is not None and (found := refused(obs.prompt.marks)):
                self._find(index, obs, found, 0)
        elif not obs.faults:
            self._count("requests without usage: not known is not zero")

    def _route(self, obs: Observation) -> Route:
        key = (obs.provider or ("anthropic" if obs.body and obs.dialect == "anthropic" and not obs.model else ""), obs.model)
        if key not in self._routes:
            self._routes[key] = route_of(*key, self.prices)
        return self._routes[key]

    def _count(self, what: str) -> None:
        self.counted[what] = self.counted.get(what, 0) + 1

    def _find(self, index: int, obs: Observation, why: Explanation, tokens: int) -> None:
        usage = obs.usage or Usage()
        self.findings.append(
            Finding(
                turn=index,
                at=obs.at,
                cause=why.cause,
                detail=why.detail,
                verdict=why.verdict,
                where=why.where,
                diff=why.diff,
                tokens_rewritten=tokens,
                usd=lost_usd(tokens, usage, self._route(obs).price, obs.at),
                fix=fix_for(why),
                excluded=why.excluded,
                provider_reason=obs.reason,
                agrees=agrees(obs.reason, why.cause),
                lineage=obs.lineage,
            )
        )

    def diagnosis(self, requests: int) -> Diagnosis:
        """All of it, the requests known by their bills alone looked at last."""
        for bills in self.bills.values():
            self.checked += len(bills) - 1
            if never_read(bills):
                self.notes.append(
                    f"{len(bills)} requests wrote {sum(bill.usage.written for bill in bills)} tokens to the cache and read none"
                )
            for short in shorts(bills):
                self._find(short.bill.index, short.bill.obs, explain_bill(short), short.could - short.bill.usage.read)
        self.findings.sort(key=lambda finding: finding.turn)
        compared = [finding.agrees for finding in self.findings if finding.agrees is not None]
        notes = [*self.notes, *(f"{count} x {what}" for what, count in self.counted.items()), *habits(self.book.records, self.findings)]
        return Diagnosis(
            requests, self.checked, self.read, self.prompt, tuple(self.findings), tuple(notes), (sum(map(bool, compared)), len(compared))
        )

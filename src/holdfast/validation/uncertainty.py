"""How far a computed cost may lie from the bill: as far as it lay where the bill is known.

A session's *error* is what was billed ÷ what is computed for the same session with its history left alone, less 1: it holds all that the
computation leaves out (entries lost by chance, heads kept warm by others, machines that do not share a cache) and all that it gets wrong of
recorded prompts. ``measured_errors.json`` holds what was measured by format and provider; ``benchmarks/measure_errors.py`` makes it.
It does not hold the error of the weight of prompts that were never sent, which no bill can tell.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import lru_cache
from importlib.resources import files

COVERED = Decimal("0.9")
"""The share of sessions whose bill lies within the interval of one."""
LEAST_SESSIONS = 10
"""Below this a set is not measured: of ten sessions the outermost two enclose the next one with a probability of 9 in 11."""
LEAST_REQUESTS = 10
"""A session. A set of shorter ones stands in for no other: they are mostly their first requests, warm from what nobody recorded."""
_MICRODOLLAR = Decimal("1e-6")


@dataclass(frozen=True, slots=True)
class Interval:
    """From where to where an amount in USD may lie."""

    low: Decimal
    high: Decimal

    @property
    def half(self) -> Decimal:
        """Half its width."""
        return (self.high - self.low) / 2


@dataclass(frozen=True, slots=True)
class Errors:
    """The errors of the sessions of one format and provider: their 5 % and 95 % quantiles ``low`` and ``high``, their ``mean`` by money.

    ``measured`` is false where these are other sets' outermost ones, because this one was never measured, or on too few ``sessions``.
    ``requests`` are those of all sessions together. ``effective`` is of how many sessions of equal cost the mean would be known as well.
    """

    format: str
    provider: str
    sessions: int
    requests: int
    low: Decimal
    mean: Decimal
    high: Decimal
    effective: Decimal = Decimal(1)
    measured: bool = True

    @classmethod
    def of(cls, format: str, provider: str, requests: int, bills: Sequence[tuple[Decimal, Decimal]]) -> Errors:
        """From (computed, billed) USD, a pair a session, none computed as 0. Raises ``ValueError`` where there is none.

        The quantile *p* stands at place *p* (n + 1) of n ordered errors, so that the next session falls below it with probability *p*
        (Hyndman and Fan, Sample Quantiles in Statistical Packages, 1996, definition 6); the outermost where n is too small for that.
        """
        if not bills:
            raise ValueError("no session to measure")
        ordered = sorted(billed / computed - 1 for computed, billed in bills)
        beyond = (1 - COVERED) / 2
        whole = sum((computed for computed, _ in bills), Decimal(0))
        mean = sum((billed for _, billed in bills), Decimal(0)) / whole - 1
        effective = whole**2 / sum((computed**2 for computed, _ in bills), Decimal(0))
        return cls(format, provider, len(bills), requests, _quantile(ordered, beyond), mean, _quantile(ordered, 1 - beyond), effective)

    @property
    def centre(self) -> Decimal:
        """The mean, or the nearer quantile where one large session lies beyond it."""
        return min(max(self.mean, self.low), self.high)


def _quantile(ordered: Sequence[Decimal], share: Decimal) -> Decimal:
    place = min(max(share * (len(ordered) + 1) - 1, Decimal(0)), Decimal(len(ordered) - 1))
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


@dataclass(frozen=True, slots=True)
class Part:
    """Sessions whose errors are those of one set: the sum of their computed costs in USD, and of the squares of these."""

    errors: Errors
    usd: Decimal
    squares: Decimal


@dataclass(frozen=True, slots=True)
class Estimate:
    """A computed cost of one session or more, as far as its interval depends on it. Estimates of different sessions add up."""

    parts: tuple[Part, ...] = ()

    @classmethod
    def of(cls, usd: Decimal, errors: Errors) -> Estimate:
        """One session's cost."""
        return cls((Part(errors, usd, usd * usd),))

    def __add__(self, other: Estimate) -> Estimate:
        sums = {part.errors: part for part in self.parts}
        for part in other.parts:
            known = sums.get(part.errors, Part(part.errors, Decimal(0), Decimal(0)))
            sums[part.errors] = replace(known, usd=known.usd + part.usd, squares=known.squares + part.squares)
        return Estimate(tuple(sums.values()))

    @property
    def interval(self) -> Interval | None:
        """Where nine bills of ten lie; ``None`` of nothing.

        For one session these are the quantiles of its set. For several, the means add up, and the distances from mean to quantile as
        root of the sum of squares: the errors of two sessions are taken to be independent but for what they share, the mean, which is
        itself known from ``n`` effective sessions only. So two of one set have the covariance ``distance²/n``, and a set's part is
        ``distance² (Σ cost² + ((Σ cost)² - Σ cost²)/n)``. The more sessions, the less lopsided their sum: with ``m = (Σ cost)²/Σ cost²``
        sessions, both distances² have come all but ``1/m`` of the way to their average. Where nothing was measured all errors are
        taken to be one and the same (n = m = 1): they add up and never average out.

        On sessions that the sets had not seen (halves, 300 draws) it held 90 to 92 % of the bills of one session and 84 to 98 % of those of
        five and of twenty together, in the agents' sets of 60 sessions and more; of Codex's 18, 80 % and 96 %.
        """
        if not self.parts:
            return None
        centre = sum((part.usd * (1 + part.errors.centre) for part in self.parts), Decimal(0))
        down, up = (sum((_squared(part)[side] for part in self.parts), Decimal(0)).sqrt() for side in (0, 1))
        return Interval(max(centre - down, Decimal(0)).quantize(_MICRODOLLAR), (centre + up).quantize(_MICRODOLLAR))


def _squared(part: Part) -> tuple[Decimal, Decimal]:
    """The squares of a part's distances down and up, in USD²."""
    errors = part.errors
    known_from, many = (errors.effective, part.usd**2 / part.squares) if errors.measured and part.squares else (Decimal(1), Decimal(1))
    down, up = (errors.centre - errors.low) ** 2, (errors.high - errors.centre) ** 2
    even = (down + up) / 2
    size = part.squares + (part.usd**2 - part.squares) / known_from
    return (even + (down - even) / many) * size, (even + (up - even) / many) * size


class Uncertainty:
    """What was measured, by format and provider."""

    def __init__(self, sets: Iterable[Errors]) -> None:
        self._sets = {(each.format, each.provider): each for each in sets if each.sessions >= LEAST_SESSIONS}

    @classmethod
    def load(cls) -> Uncertainty:
        """What travels with the package."""
        return _shipped()

    def errors(self, format: str, provider: str) -> Errors | None:
        """The errors of a set; where it was not measured, the outermost ones of the provider's other formats, else of all sets.

        ``None`` only where nothing at all was measured.
        """
        known = self._sets.get((format, provider))
        if known is not None:
            return known
        others = [each for each in self._sets.values() if each.requests >= LEAST_REQUESTS * each.sessions]
        near = [each for each in others if each.provider == provider] or others
        if not near:
            return None
        low, high = min(each.low for each in near), max(each.high for each in near)
        return Errors(format, provider, 0, 0, low, (low + high) / 2, high, measured=False)


@lru_cache(maxsize=1)
def _shipped() -> Uncertainty:
    text = files("holdfast.validation").joinpath("measured_errors.json").read_text(encoding="utf-8")
    return Uncertainty(read_sets(text))


def read_sets(text: str) -> tuple[Errors, ...]:
    """The sets of a file as ``benchmarks/measure_errors.py`` writes it."""
    return tuple(Errors(**each) for each in json.loads(text, parse_float=Decimal)["sets"])

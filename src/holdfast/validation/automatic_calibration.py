"""Calibration: where single outcomes are chance, whether the predicted shares are right on average."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from holdfast.usage import Usage
from holdfast.validation.sight import Prediction, Sight

EDGES = (0.0, 0.25, 0.5, 0.75, 0.85, 0.9, 0.95, 0.975)
"""Where bins of predicted shares begin: most requests of an agent are predicted to be read almost whole."""


@dataclass(frozen=True, slots=True)
class Bin:
    """Requests whose predicted cached share is at least ``low`` and below ``high``: how many, and the means of both shares (0 to 1)."""

    low: float
    high: float
    requests: int
    predicted: float
    recorded: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """Bins in rising order, those without requests left out."""

    bins: tuple[Bin, ...]

    @classmethod
    def of(cls, points: Iterable[tuple[float, float]], edges: Sequence[float] = EDGES) -> Calibration:
        """From (expected, recorded) cached shares; ``edges`` rise from 0."""
        gathered: list[list[tuple[float, float]]] = [[] for _ in edges]
        for point in points:
            gathered[bisect_right(edges, point[0]) - 1].append(point)
        ends = [*edges[1:], 1.0]
        return cls(tuple(_bin(low, high, pairs) for low, high, pairs in zip(edges, ends, gathered, strict=True) if pairs))

    @property
    def requests(self) -> int:
        """All requests."""
        return sum(one.requests for one in self.bins)

    @property
    def bias(self) -> float:
        """Mean predicted less mean recorded share; 0 where there is no request."""
        return self._mean(one.requests * (one.predicted - one.recorded) for one in self.bins)

    @property
    def error(self) -> float:
        """How far the bins' means lie apart, weighted by their requests (expected calibration error)."""
        return self._mean(one.requests * abs(one.predicted - one.recorded) for one in self.bins)

    def _mean(self, parts: Iterable[float]) -> float:
        return sum(parts) / self.requests if self.requests else 0.0


def calibration(billed: Iterable[tuple[Sight, Prediction, Usage]], edges: Sequence[float] = EDGES) -> Calibration:
    """Expected against recorded cached share of the prompt. Requests without a prompt are left out; ``edges`` rise from 0."""
    shares = [
        (prediction.expected.read / prediction.expected.prompt, usage.read / usage.prompt)
        for _, prediction, usage in billed
        if usage.prompt and prediction.expected.prompt
    ]
    return Calibration.of(shares, edges)


def _bin(low: float, high: float, pairs: Sequence[tuple[float, float]]) -> Bin:
    count = len(pairs)
    return Bin(low, high, count, sum(share for share, _ in pairs) / count, sum(share for _, share in pairs) / count)

"""A circuit breaker for questions to the model: after three failures in a row it is left in peace for a while."""

from __future__ import annotations

from dataclasses import dataclass

FAILURES = 3
REST = 900.0


@dataclass(slots=True)
class Breaker:
    """Counts failures in a row. After three nothing is asked for 15 minutes; then one question is let through, and decides."""

    failures: int = 0
    until: float = float("-inf")

    def why(self, now: float) -> str:
        """Why nothing may be asked at ``now`` (seconds on any clock), ``""`` where it may."""
        return f"the model failed {self.failures} times in a row" if now < self.until else ""

    def failed(self, now: float) -> None:
        """One more failure."""
        self.failures += 1
        if self.failures >= FAILURES:
            self.until = now + REST

    def worked(self) -> None:
        """An answer that could be used."""
        self.failures, self.until = 0, float("-inf")

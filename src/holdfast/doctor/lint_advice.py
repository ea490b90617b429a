"""What lint says of a request body before it is sent."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How sure it is that something is lost, as far as a single body can tell.

    ``CERTAIN``: by the provider's published rules. ``LIKELY``: it is lost unless the text is not what it looks like.
    ``POSSIBLE``: a hint, for whoever knows how the body is made to judge.
    """

    CERTAIN = "certain"
    LIKELY = "likely"
    POSSIBLE = "possible"

    @property
    def rank(self) -> int:
        """0 for the most certain."""
        return _RANKS.index(self)


_RANKS = tuple(Severity)


@dataclass(frozen=True, slots=True)
class Advice:
    """One thing that will keep a prompt cache from being read.

    ``where`` is a path into the body (``system[0] characters 12-31``, ``tools[3].description``), with characters counted from 0 and the
    last not included; ``""`` is the body as a whole. ``tokens`` is about how many tokens of each request are at stake, counted
    offline. ``source`` is the rule's page and its date.
    """

    code: str
    where: str
    what: str
    fix: str
    severity: Severity
    tokens: int = 0
    source: str = ""

    @property
    def at_stake(self) -> str:
        """``tokens`` as it is shown."""
        return about(self.tokens)


def about(tokens: int) -> str:
    """An estimate with the two figures that an offline count is good for: ``~85``, ``~1.2k``, ``~34k``, ``~1.1M``."""
    if tokens < 1000:
        return f"~{float(f'{tokens:.2g}'):.0f}" if tokens < 995 else "~1.0k"
    value, unit = (tokens / 1000, "k") if tokens < 995_000 else (tokens / 1e6, "M")
    return f"~{value:.1f}{unit}" if value < 9.95 else f"~{float(f'{value:.2g}'):.0f}{unit}"

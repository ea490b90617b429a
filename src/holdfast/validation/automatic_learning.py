"""What one transcript's own bills teach about its cache: where its hits end, what it counts beside the prompt, how often it loses."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.validation.automatic_rules import End, Odds, Shape
from holdfast.validation.sight import Sight

FADE = 0.95
"""What a request counts against the one after it: a provider's bad hour ends from one call to the next (DeepSeek, 2026-04-10)."""
_LEAD = 1.5  # one hit is chance, two speak against what is documented
_LEAST, _MOST = 1.0, 12.0  # tokens a message; seen were 3 to 8


class Ends:
    """Which of a shape's ways to end a hit a transcript shows: those that foretold its hits to the token."""

    def __init__(self, ends: Sequence[End]) -> None:
        self._ends = ends
        self._scores = [_LEAD] + [0.0] * (len(ends) - 1)

    @property
    def best(self) -> End:
        """The end with the highest score, the first of equals."""
        return self._ends[self._scores.index(max(self._scores))]

    def learn(self, told: Sequence[int], read: int) -> None:
        """A request that read ``read`` tokens where these ends foretold ``told``. A hit that none foretold says nothing of them."""
        if read and read in told:
            self._scores = [score * FADE + (read == end) for score, end in zip(self._scores, told, strict=True)]


class Wrapping:
    """How many tokens a message the cache counts and the bill does not.

    Hits are whole blocks of the tokens that the cache counts, and are billed in proportion: ``read / prompt`` is ``held / counted``.
    """

    def __init__(self, tokens: float) -> None:
        self.tokens = tokens

    def counted(self, sight: Sight) -> float:
        """The prompt as the cache counts it."""
        return sight.prompt_tokens + self.tokens * len(sight.turn.prompt.messages)

    def billed(self, sight: Sight, held: int) -> int:
        """The tokens billed as read where the cache found ``held`` of those that it counts."""
        counted = self.counted(sight)
        return round(held * sight.prompt_tokens / counted) if self.tokens and counted else held

    def held(self, sight: Sight, read: int, step: int) -> int:
        """What the cache found where so many tokens were billed as read."""
        return round(read * self.counted(sight) / sight.prompt_tokens / step) * step if self.tokens and read else read

    def learn(self, sight: Sight, read: int, step: int) -> None:
        """One hit: the number of blocks that fits what is known is taken for the true one."""
        held = self.held(sight, read, step)
        if not self.tokens or held <= step:
            return
        seen = (held * sight.prompt_tokens / read - sight.prompt_tokens) / len(sight.turn.prompt.messages)
        if _LEAST < seen < _MOST:
            self.tokens = (self.tokens + seen) / 2


class Losses:
    """How often requests of this transcript read all they could, in each case that the shape's odds tell apart; those are the start."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._counts: dict[Odds, tuple[float, ...]] = {}
        self._missed = False

    def shares(self, pause: float, reads: Sequence[int]) -> tuple[float, ...]:
        """The share of each outcome after a pause in seconds, in the order of ``Odds.shares``; ``reads`` is what each would read."""
        odds, weight = self._shape.at(pause, reads[0], self._missed), self._shape.weight
        counts = self._counts.get(odds, (0.0,) * len(odds.shares))
        total = sum(counts) + weight
        return tuple((count + weight * share) / total for count, share in zip(counts, odds.shares, strict=True))

    def learn(self, pause: float, reads: Sequence[int], read: int) -> None:
        """A request that read ``read`` tokens: the outcome that is nearest is taken for what happened, in parts where several are."""
        nearest = min(abs(told - read) for told in reads)
        shares = [share * (abs(told - read) == nearest) for share, told in zip(self.shares(pause, reads), reads, strict=True)]
        odds, total = self._shape.at(pause, reads[0], self._missed), sum(shares)
        self._missed = read < 0.95 * reads[0]
        if total:
            counts = self._counts.get(odds, (0.0,) * len(shares))
            self._counts[odds] = tuple(count * FADE + share / total for count, share in zip(counts, shares, strict=True))

"""Predicting what the caches without marks are recorded to have read, request by request.

Such a cache reads the longest prefix that it holds, up to a step. Both are known here: what an earlier bill counted, and which steps the
transcript's own hits have shown. What nobody can know beforehand is whether the request reaches a machine that holds it: so four
outcomes are foretold, with odds that start from what was measured (``automatic_rules``) and follow the transcript.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from holdfast.transcript import Turn
from holdfast.usage import Usage
from holdfast.validation import automatic_rules as rules
from holdfast.validation.automatic_learning import Ends, Losses, Wrapping
from holdfast.validation.automatic_memory import Kept, Memory
from holdfast.validation.automatic_rules import End, Shape
from holdfast.validation.sight import Prediction, Predictor, Sight

_BASES = ("all that was sent before", "what an earlier request read", "the head that other sessions keep warm", "nothing")


class Reads(NamedTuple):
    """What a request reads, in tokens, by outcome: all it could, only what an earlier request read, only the head, or nothing."""

    full: int
    older: int
    head: int
    nothing: int = 0


class Automatic:
    """A cache that finds the longest prefix by itself, and may lose it."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._memory = Memory()
        self._drops_thinking = shape.drops_thinking
        self._ends = Ends(shape.ends)
        self._losses = Losses(shape)
        self._wrapping = Wrapping(shape.wrapping)
        self._head = 0
        self._writes = shape.writes

    def predict(self, sight: Sight) -> Prediction:
        """What this request will be billed. Changes nothing."""
        kept = self._kept(sight)
        if kept is None:
            head = self._billed(sight, self._read(sight, self._head))
            return Prediction(head, head, _BASES[2] if head.read else _BASES[3])
        reads = self._reads(sight, kept)
        shares = self._losses.shares(sight.now - kept.sent.ended, reads)
        odds = [sum(share for share, other in zip(shares, reads, strict=True) if other == read) for read in reads]
        likely = odds.index(max(odds))
        mean = sum(share * read for share, read in zip(shares, reads, strict=True))
        return Prediction(self._billed(sight, reads[likely]), self._billed(sight, round(mean)), _BASES[likely])

    def outcomes(self, sight: Sight) -> Reads | None:
        """What each outcome would read; ``None`` where the request continues none of the transcript. Tells which one a record was."""
        kept = self._kept(sight)
        return None if kept is None else self._reads(sight, kept)

    def learn(self, sight: Sight, turn: Turn) -> None:
        """The request as it was recorded, with its usage if there is one."""
        if turn.usage is None or not turn.usage.prompt:
            return
        read = turn.usage.read
        kept = self._learn_thinking(sight, read)
        if kept is not None:
            self._ends.learn([self._hit(sight, kept, end) for end in self._shape.ends], read)
            self._losses.learn(sight.now - kept.sent.ended, self._reads(sight, kept), read)
            self._wrapping.learn(sight, read, self._ends.best.step)
        held = self._wrapping.held(sight, read, self._ends.best.step)
        self._head = min(self._head or held, held) or self._head
        self._writes = self._shape.writes and (turn.usage.written > 0 or turn.usage.fresh == 0)
        self._memory.add(sight, turn, held)

    def _kept(self, sight: Sight) -> Kept | None:
        return self._memory.longest(sight, self._drops_thinking)

    def _learn_thinking(self, sight: Sight, read: int) -> Kept | None:
        """What was kept for this request; where it makes a difference, the hit tells whether thinking of earlier rounds is dropped."""
        kept, other = self._kept(sight), self._memory.longest(sight, not self._drops_thinking)
        if kept is None or other is None or kept == other:
            return kept
        near = max(50, sight.prompt_tokens // 100)
        told, otherwise = (abs(self._hit(sight, one, self._ends.best) - read) for one in (kept, other))
        if otherwise <= near < told:
            self._drops_thinking = not self._drops_thinking
            return other
        return kept

    def _reads(self, sight: Sight, kept: Kept) -> Reads:
        full = self._hit(sight, kept, self._ends.best)
        older, head = (min(full, self._read(sight, held)) for held in (self._memory.most_held(kept), self._head))
        return Reads(full, older, head)

    def _hit(self, sight: Sight, kept: Kept, end: End) -> int:
        shared = kept.tokens(end.answer) + self._wrapping.tokens * kept.sent.messages
        return self._read(sight, end.before(int(min(shared, self._wrapping.counted(sight)))))

    def _read(self, sight: Sight, held: int) -> int:
        """The tokens billed as read where the cache finds ``held``; never more than the prompt."""
        read = min(self._wrapping.billed(sight, held), sight.prompt_tokens)
        return read if read >= self._shape.minimum else 0

    def _billed(self, sight: Sight, read: int) -> Usage:
        rest = sight.prompt_tokens - read
        writes = self._writes and sight.prompt_tokens >= self._shape.minimum
        return Usage(read=read, write_30m=rest) if writes else Usage(read=read, fresh=rest)


def _openai(model: str) -> Shape:
    found = re.search(r"gpt-(\d+)(?:\.(\d+))?", model)
    version = (int(found[1]), int(found[2] or 0)) if found else (0, 0)
    if version >= (5, 6):
        return rules.OPENAI_MARKS
    return rules.OPENAI_DAY if version == (5, 5) else rules.OPENAI


def _deepseek(model: str) -> Shape:
    return rules.DEEPSEEK_REASONER if re.search(r"reasoner|\br1\b", model) else rules.DEEPSEEK


_SHAPES: dict[str, Callable[[str], Shape]] = {
    "openai": _openai,
    "azure": _openai,
    "deepseek": _deepseek,
    "google": lambda model: rules.GOOGLE,
    "xai": lambda model: rules.XAI,
}


def predictor_for(provider: str, model: str) -> Predictor:
    """A predictor that has seen nothing yet, for a cache without marks.

    OpenRouter's caches are those of the model's maker. A provider that is not known gets the assumptions of ``automatic_rules.OTHER``.
    """
    provider, model = provider.lower(), model.lower()
    if provider == "openrouter":
        provider = {"x-ai": "xai"}.get(maker := model.partition("/")[0], maker)
    shape = _SHAPES.get(provider)
    return Automatic(shape(model) if shape else rules.OTHER)

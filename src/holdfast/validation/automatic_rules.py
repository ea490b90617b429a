"""What is known of the caches without marks: where a hit ends, and how often it is the full one, by provider.

The odds were fitted on one half of the recorded sessions (those whose file name has an even first byte in SHA-256); on the other half the
mean expected share is off by 0.2 points (deepseek, google) and 1.0 (openai, of which it has only 285 requests). How hits end was found on
all sessions, so that no half is a test of it. Requests behind another one of the same conversation, and dates:

- *openai*: 18 Codex rollouts with gpt-5.4 and gpt-5.5, 1,274 requests, 2026-04 to 2026-06.
- *deepseek*: 64 mini-swe-agent runs with deepseek-chat and -reasoner, 4,655 requests, 2026-04.
- *google*: 134 mini-swe-agent runs with Gemini 3 Pro, most through OpenRouter, 5,214 requests, 2025-11.
- all others: nothing was measured. Steps of 1 token, ten minutes and nine hits in ten are assumed, until the transcript shows its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

FOREVER = float("inf")
DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class End:
    """Where a hit ends: at a multiple of ``step`` plus ``offset``, the last one ``tail`` tokens or more before the end of what is shared.

    ``answer``: what the model wrote is cached with the prompt that it answers.
    """

    step: int = 1
    offset: int = 0
    tail: int = 0
    answer: bool = False

    def before(self, tokens: int) -> int:
        """The tokens of a hit where ``tokens`` are shared."""
        return max(0, (tokens - self.tail - self.offset) // self.step * self.step + self.offset)


@dataclass(frozen=True, slots=True)
class Odds:
    """How often a request reads all it could (``full``), only what an earlier one read (``older``), only the head that other sessions keep
    warm (``head``), or nothing. They add up to 1.

    They hold after a pause of less than ``pause`` seconds where a full read would be of fewer than ``tokens`` and, if ``missed`` is given,
    where the request before did (not) read less than it could.
    """

    pause: float
    full: float
    older: float = 0.0
    head: float = 0.0
    tokens: float = FOREVER
    missed: bool | None = None

    @property
    def shares(self) -> tuple[float, float, float, float]:
        """All four, in the order full, older, head, nothing."""
        return self.full, self.older, self.head, 1.0 - self.full - self.older - self.head


@dataclass(frozen=True, slots=True)
class Shape:
    """A provider's cache.

    ``ends``: how hits may end, the likeliest first; a transcript's own hits choose among them. ``odds``: the first that apply hold.
    ``weight``: for how many requests of the transcript itself the odds stand. ``minimum`` tokens of a hit.
    ``wrapping``: tokens a message that the cache counts and the bill does not, 0 where both count the same. ``drops_thinking``: the first
    message of a user's new round takes all thinking before it out of the prompt, until hits show otherwise. ``writes``: what is not read
    is written, and billed so.
    """

    ends: tuple[End, ...]
    odds: tuple[Odds, ...]
    weight: float
    minimum: int = 1
    wrapping: float = 0.0
    drops_thinking: bool = False
    writes: bool = False

    def at(self, pause: float, tokens: int, missed: bool) -> Odds:
        """The odds after a pause (seconds), for a full read of so many tokens, and whether the request before read less than it could."""
        return next(odds for odds in self.odds if pause < odds.pause and tokens < odds.tokens and odds.missed in (None, missed))


# gpt-5.4 reads the last answer too, in steps of 128 up to 51 tokens before its end; gpt-5.5, and 5.4 from May on, read the last prompt in
# steps of 512, in most sessions offset by 384. So 757 of 830 and 149 of 158 requests of one half read to the token. Documented are
# steps of 128 and, for 5.5, 2,048 (prompt caching guide, 2026-10).
_LAST_ANSWER, _OFFSET, _STEPS = End(128, 0, 51, True), End(512, 384, 4), End(512, 0, 4)
_OTHERS = (End(128, 0, 51), End(128, 0, 0, True), End(128))

OPENAI = Shape(
    ends=(_LAST_ANSWER, _OFFSET, _STEPS, *_OTHERS),
    odds=(
        Odds(60, 0.965, 0.015, 0.02),
        Odds(300, 0.85, 0.1, 0.05),
        Odds(1200, 0.65, 0.1, 0.25),
        Odds(3600, 0.15, 0.05, 0.8),
        Odds(FOREVER, 0.0, 0.05, 0.95),
    ),
    weight=30.0,
    minimum=1024,
    drops_thinking=True,
)
"""Up to GPT-5.4: the ``in_memory`` retention. That
reasoning from before a user's new round is left out was seen: 36 prompts shrank
although messages were added, and 38 hits ended, to the token, before the first such reasoning, one behind it."""

OPENAI_DAY = replace(
    OPENAI,
    ends=(_OFFSET, _STEPS, _LAST_ANSWER, *_OTHERS),
    odds=(Odds(60, 0.97, 0.01, 0.02), Odds(DAY, 0.95, 0.01, 0.04), Odds(FOREVER, 0.0, 0.0, 1.0)),
)
"""GPT-5.5: ``24h`` only (prompt caching guide, 2026-10)."""

OPENAI_MARKS = replace(
    OPENAI,
    ends=(End(1), End(1, 0, 0, True), *OPENAI.ends),
    odds=(Odds(1800, 0.97, 0.01, 0.02), Odds(3600, 0.5, 0.0, 0.5), Odds(FOREVER, 0.0, 0.0, 1.0)),
    drops_thinking=False,
    writes=True,
)
"""From GPT-5.6 on with the implicit mark: exact ends, 30 minutes or more since the last use, writes billed (same guide). The odds are
assumed, as is that reasoning stays (preserved reasoning guide, developers.openai.com, 2026-11: the model decides)."""

DEEPSEEK = Shape(
    ends=(End(64, 0, 1, True), End(64), End(1, 0, 1, True), End(1)),
    odds=(Odds(DAY, 0.85, 0.15), Odds(FOREVER, 0.5)),
    weight=4.0,
    minimum=64,
)
"""Whole units of 64 tokens of prompt and answer, the last token of which is not kept. The 15 % are one spell: from 06:25 to 08:00 UTC on
2026-04-10 half of the requests (428 of 828) read no more than the one before, whatever pause, length or place; after it 4 of 2,347 did.
Hence the small weight: a transcript's own last requests tell in which time it falls."""

DEEPSEEK_REASONER = replace(
    DEEPSEEK,
    ends=(End(64), End(64, 0, 1, True), End(1), End(1, 0, 1, True)),
    odds=(Odds(DAY, 0.99, 0.01), Odds(FOREVER, 0.5)),
)
"""The reasoning is not sent again, so nothing behind the last prompt is the same."""

GOOGLE = Shape(
    ends=(End(2048), End(2048, 0, 0, True)),
    odds=(
        Odds(FOREVER, 0.77, 0.12, 0.02, 4096),
        Odds(FOREVER, 0.75, 0.12, 0.02, 8192, missed=False),
        Odds(FOREVER, 0.67, 0.2, 0.02, 8192),
        Odds(FOREVER, 0.725, 0.2, 0.01, 16_384, missed=False),
        Odds(FOREVER, 0.4, 0.55, 0.0, 16_384),
        Odds(FOREVER, 0.76, 0.21, 0.005, missed=False),
        Odds(FOREVER, 0.44, 0.54, 0.0),
    ),
    weight=30.0,
    wrapping=5.0,
)
"""Blocks of 2,048 tokens of the prompt as the cache counts it, some 4 (AI Studio) to 6 (Vertex AI) tokens a message more than is billed;
the hit is billed in proportion. Losses do not depend on the pause. A block less than there could be is common, and mostly stays so until
the next one is full; nothing at all is rarer the longer the prompt. No minimum beyond one block was seen (documented: 2,048 to 4,096).
Of the tokens lost, 54 % were lost by the 17 % of requests that OpenRouter sent another way than the one before."""

_GUESSED = (Odds(600, 0.9, 0.05), Odds(3600, 0.4), Odds(FOREVER, 0.1))
_SIZES = (1, 16, 64, 128)

XAI = Shape(ends=tuple(End(step, 0, 0, answer) for step in (128, 64, 16, 1) for answer in (True, False)), odds=_GUESSED, weight=8.0)
"""Steps of 128 tokens are a third party's measurement (grok-4.6, 2026-08)."""

OTHER = Shape(ends=tuple(End(step, 0, 0, answer) for answer in (False, True) for step in _SIZES), odds=_GUESSED, weight=8.0)

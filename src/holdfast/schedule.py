"""When: the simple schedule. Act above a trigger, free down to a target well below it, and act for free when the cache is cold."""

from __future__ import annotations

import math
from dataclasses import dataclass

from holdfast.errors import InputError
from holdfast.strategy import Goal

TRIGGER_TOKENS = 100_000
"""Default trigger: the middle of the main-chain peaks of real coding sessions (quartiles 72k, 120k, 164k)."""

TRIGGER_SHARE = 0.5
"""The trigger never stands above this share of the window, unless asked for."""

TARGET_SHARE = 0.6
"""Default target as a share of the trigger: measured in benchmarks/README.md."""

ROOM_TOKENS = 24_000
"""Kept free of the window for an ``Ask``, its answer and the model's next reply."""


@dataclass(frozen=True, slots=True)
class Tariff:
    """What input tokens cost in one unit (USD per token, say): fresh, read from the cache, written to it."""

    fresh: float = 1.0
    read: float = 0.1
    write: float = 1.25


@dataclass(frozen=True, slots=True)
class Schedule:
    """Thresholds in tokens of the whole prompt.

    Nothing happens at or below ``trigger``; plans aim at ``target``; ``limit`` is what the prompt must not exceed.
    After a commit that could not reach the target the next plan waits for ``step`` more tokens, so that a session which cannot
    be shortened further is not broken again at every turn.
    """

    trigger: int
    target: int
    limit: int

    @property
    def step(self) -> int:
        """Growth that re-arms the schedule after a plan fell short."""
        return max(1, (self.trigger - self.target) // 2)

    def rearmed(self, tokens: int) -> int:
        """The size at which the next plan is wanted after one that left ``tokens``.

        Rewriting grows with what is left and pays with what has come since, so a prompt that stays large waits for more.
        """
        return max(self.trigger, tokens + max(self.step, tokens // 3))

    def goal(self, tokens: int, rearmed_at: int, now: float, cold: bool) -> Goal | None:
        """What to aim at for a prompt of ``tokens``, or ``None`` to leave it alone.

        ``rearmed_at`` is the size below which the last plan forbids another one while the cache is warm.
        """
        if tokens <= self.trigger or (tokens <= rearmed_at and not cold and tokens <= self.limit):
            return None
        return Goal(self.target, self.limit, now, cold)


def schedule_for(window: int, trigger: float | None = None, target: float | None = None) -> Schedule:
    """A schedule for a model's window of so many tokens.

    ``trigger`` and ``target`` are tokens, or shares of the window below 1. Raises ``InputError`` if they do not leave
    room for an answer or do not fit each other.
    """
    limit = window - min(ROOM_TOKENS, window // 4)
    wanted = min(TRIGGER_TOKENS, int(window * TRIGGER_SHARE)) if trigger is None else int(trigger * window if trigger < 1 else trigger)
    start = min(wanted, limit)
    aim = int(start * TARGET_SHARE) if target is None else int(target * window if target < 1 else target)
    if start <= 0 or aim <= 0:
        raise InputError("trigger and target must be above 0")
    if aim >= start:
        raise InputError(f"the target ({aim:,} tokens) must be below the trigger ({start:,} tokens)")
    return Schedule(start, aim, limit)


def break_even(removed: int, rewritten: int, call: float, rates: Tariff, cold: bool = False) -> int | None:
    """The turns after this one until a commit has paid for itself, 0 if at once, ``None`` if never.

    It costs ``rewritten`` tokens at the write price in the place of the read price, and ``call``; it saves ``removed`` tokens at the
    read price on every turn, this one included, or, where the cache is ``cold``, at the write price on this one (rent or buy).
    """
    owed = rewritten * (rates.write - rates.read) + call - removed * (rates.write if cold else rates.read)
    if owed <= 0:
        return 0
    saved = removed * rates.read
    return math.ceil(owed / saved) if saved > 0 else None

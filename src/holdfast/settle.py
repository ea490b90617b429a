"""Making expected weights add up to a recorded total, exactly and in whole tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from holdfast.blocks import Block, Kind

SLACK = 100
SLACK_SHARE = 0.3
"""A step of the prompt may exceed what its new text is expected to weigh by 100 tokens or 30 %, whichever is more, before the rest is taken
for text that was never recorded (496 of 8,333 steps of Claude Code: loaded tool definitions, re-attached files, reminders)."""
SURE = 0.05
"""How much of its share of a residual a block takes whose weight was itself billed (as the output of the turn before)."""


def allocate(weights: Sequence[float], total: int) -> list[int]:
    """``total`` in whole, non-negative parts proportional to ``weights``; the largest remainders are rounded up, the earlier first."""
    scale = sum(weights)
    if not weights:
        return []
    exact = [weight * total / scale for weight in weights] if scale > 0 else [total / len(weights)] * len(weights)
    parts = [int(value) for value in exact]
    missing = total - sum(parts)
    order = sorted(range(len(parts)), key=lambda index: (parts[index] - exact[index], index))
    for turn in range(abs(missing)):
        index = order[turn % len(order)]
        parts[index] += 1 if missing > 0 else -1
    return parts


@dataclass(frozen=True, slots=True)
class Expected:
    """What a block should weigh before the bill is looked at.

    ``base`` is by the family's factor alone, before what was learned. ``sure``: it was billed as output, so it takes little of a residual.
    """

    block: Block
    weight: float
    base: float
    sure: bool = False


@dataclass(frozen=True, slots=True)
class Settled:
    """Whole tokens for each expected block, and what is left over for text that was not recorded."""

    weights: list[int]
    unlogged: int = 0


def settle(expected: Sequence[Expected], total: int) -> Settled:
    """Weights that add up, with ``unlogged``, to ``total`` (not negative).

    A small residual is spread over the blocks, first over those whose weight is a guess; a surplus beyond the slack is ``unlogged``.
    """
    guess = sum(item.weight for item in expected)
    surplus = total - guess
    if not expected or surplus > max(SLACK, SLACK_SHARE * guess):
        unlogged = round(surplus)
        return Settled(allocate([item.weight for item in expected], total - unlogged), unlogged)
    pliant = [item.weight * (SURE if item.sure else 1.0) for item in expected]
    share = surplus / sum(pliant) if any(pliant) else 0.0
    if share < -1.0:  # more is missing than the guesses hold: all give way alike
        return Settled(allocate([item.weight for item in expected], total))
    return Settled(allocate([item.weight + weight * share for item, weight in zip(expected, pliant, strict=True)], total))


def billed_as(items: list[Expected], output: int) -> list[Expected]:
    """An answer's blocks, so that together they weigh its output; thinking whose text is withheld weighs what the rest leaves."""
    visible = sum(item.weight for item in items)
    hidden = [item.base == 0 for item in items]
    if any(hidden) and output > visible:
        each = (output - visible) / sum(hidden)
        return [replace(item, weight=each if blank else item.weight, sure=True) for item, blank in zip(items, hidden, strict=True)]
    return [replace(item, weight=item.weight * output / visible, sure=True) for item in items] if visible else items


def stripped(blocks: Sequence[Block], missing: int) -> list[int]:
    """The blocks' weights without ``missing`` tokens of thinking, the newest first; empty where thinking does not hold as many."""
    if sum(block.tokens for block in blocks if block.kind is Kind.THINKING) < missing:
        return []
    weights = [block.tokens for block in blocks]
    for index in range(len(blocks) - 1, -1, -1):
        if blocks[index].kind is Kind.THINKING:
            taken = min(missing, weights[index])
            weights[index] -= taken
            missing -= taken
    return weights


def rescaled(head: Sequence[Block], blocks: Sequence[Block], old: int, billed: int, kept: tuple[int, bool]) -> tuple[list[int], list[int]]:
    """Weights of head and log that add up to ``billed``: blocks from ``old`` on are new and stay, if there is room.

    ``kept``: how many leading tokens stay because they were read; and whether the head is scaled too.
    """
    top, log = [block.tokens for block in head], [block.tokens for block in blocks]
    read, with_head = kept
    if with_head or sum(top) > billed:
        both = allocate([*top, *log], billed)
        return both[: len(top)], both[len(top) :]
    first, reach = 0, sum(top)
    while first < old and reach + log[first] <= read:
        reach += log[first]
        first += 1
    room = billed - reach - sum(log[old:])
    if room >= 0 and old > first:
        return top, [*log[:first], *allocate(log[first:old], room), *log[old:]]
    return top, [*log[:first], *allocate(log[first:], billed - reach)]


PRIOR_TOKENS = 20_000.0
_ODD = 0.35


@dataclass(slots=True)
class Ratios:
    """How the bills so far compare with the family's factors, by kind of block: settled over expected, from 1 at the start."""

    _seen: dict[Kind, list[float]] = field(default_factory=dict)

    def of(self, kind: Kind) -> float:
        """The ratio learned for a kind so far."""
        settled, expected = self._seen.get(kind, (0.0, 0.0))
        return (PRIOR_TOKENS + settled) / (PRIOR_TOKENS + expected)

    def learn(self, kind: Kind, settled: float, expected: float) -> None:
        """One more block of a kind; ``expected`` is by the family's factor alone. A block that is off by a third teaches nothing."""
        if expected > 0 and abs(settled - expected) <= _ODD * expected:
            sums = self._seen.setdefault(kind, [0.0, 0.0])
            sums[0] += settled
            sums[1] += expected

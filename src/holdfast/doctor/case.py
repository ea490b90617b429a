"""Cases: one request that read less than it could have, beside what was sent before it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from holdfast.blocks import Block
from holdfast.doctor.differences import common_prefix, likeness
from holdfast.doctor.findings import Cause, Diff, Verdict
from holdfast.doctor.record import Record

TOLERANCE = 50
"""Tokens; with one per cent of the prompt the measure within which a predicted and a recorded read agree."""

_RECENT = 8
_LIKE = 0.5
HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a detector found: the parts of a ``Finding`` that are not counted. ``fix`` overrides the sentence that goes with ``detail``."""

    cause: Cause
    detail: str
    verdict: Verdict
    where: str = ""
    diff: Diff | None = None
    excluded: tuple[str, ...] = ()
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Kin:
    """An earlier request beside this one: the leading blocks they share, and the tokens of this one that it had, shared or not."""

    record: Record
    shared: int
    kept: int


@dataclass(frozen=True, slots=True)
class Case:
    """A request that read ``read`` tokens and could have read ``could``.

    ``parent`` is the earlier request that it most likely goes on from, ``source`` the one with the longest shared prefix, which lives
    ``lifetime`` seconds. ``kin`` are all earlier requests whose entries must still have been there: alive by the clock, of the
    same account, model and settings, their answers begun; newest last. ``slack`` is by how many tokens a read may fall short.
    """

    now: Record
    kin: Sequence[Kin]
    parent: Kin
    source: Kin
    read: int
    could: int
    slack: int
    lifetime: float = 300.0

    @property
    def marks_known(self) -> bool:
        """Whether it is recorded where the request's marks stood."""
        return self.now.obs.marks_known

    @property
    def shared(self) -> int:
        """Tokens of the longest prefix that an earlier request had."""
        return self.now.size(self.source.shared)

    def gap(self, other: Record) -> float | None:
        """Seconds from the start of an earlier request to this one's; ``None`` where one is not recorded."""
        if self.now.clock is None or other.clock is None:
            return None
        return self.now.clock - other.clock


def slack_of(record: Record) -> int:
    """By how many tokens a read may fall short without being a loss: the tolerance, or the unit in which reads are counted."""
    return max(TOLERANCE, record.usage.prompt // 100, record.route.step)


def kin_of(now: Record, before: Record, known: int | None = None) -> Kin:
    """How much of an earlier request stands in this one. ``known`` are the leading blocks they share, if already counted."""
    shared = now.shares(before) if known is None else known
    left = Counter(before.keys[shared:])
    goes_on = _goes_on(now, before, shared)
    kept = now.size(shared)
    for place in range(shared, len(now.keys)):
        key = now.keys[place]
        weight = now.size(place + 1) - now.size(place)
        if left[key] > 0 or (goes_on and place < now.chain.head):
            left[key] -= 1
            kept += weight
        elif (
            place < len(before.blocks) and (place == shared or place < now.chain.head) and _edited(before.blocks[place], now.blocks[place])
        ):
            kept += weight
    return Kin(before, shared, min(kept, before.usage.prompt, now.usage.prompt))


def _goes_on(now: Record, before: Record, shared: int) -> bool:
    """Whether a request continues the messages of one with another head: then that head could have been the same."""
    if shared >= min(now.chain.head, before.chain.head):
        return False
    ours = set(now.keys[now.chain.head :])
    head = before.chain.head
    history = before.usage.prompt - before.size(head)
    same = sum(before.size(place + 1) - before.size(place) for place in range(head, len(before.keys)) if before.keys[place] in ours)
    return 2 * same > history


def _edited(before: Block, now: Block) -> bool:
    """Whether two blocks at the same place are versions of one another."""
    if before.kind is not now.kind or before.role is not now.role or before.call or now.call:
        return False
    return bool(before.text and now.text) and likeness(before.text, now.text) >= _LIKE


def stable_part(before: Block, now: Block) -> float:
    """The share of a block's text that both begin with."""
    return common_prefix(before.text, now.text) / len(now.text) if now.text else 0.0


def candidates(now: Record, earlier: Sequence[Record]) -> list[Kin]:
    """The earlier requests that this one may go on from: the latest, and those with the longest shared prefixes."""
    shares = [(now.shares(before), index) for index, before in enumerate(earlier)]
    best = sorted(shares, reverse=True)[:3]
    chosen = {index for _, index in best} | set(range(max(0, len(earlier) - _RECENT), len(earlier)))
    return [
        kin_of(now, before, count) if index in chosen else Kin(before, count, 0)
        for before, (count, index) in zip(earlier, shares, strict=True)
    ]

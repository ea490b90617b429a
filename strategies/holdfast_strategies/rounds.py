"""Rounds: the smallest stretches of a conversation that may leave it as a whole.

A round reaches from one legal cut to the next: a plain message, or calls together with their results.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from holdfast.blocks import Kind, Role
from holdfast.edits import Drop, Edit, Fold
from holdfast.strategy import Entry, View
from holdfast_strategies.words import is_observation, own_words


@dataclass(frozen=True, slots=True)
class Round:
    """Blocks ``start`` to ``stop - 1`` of the history, as ``entries`` send them now, in ``tokens``.

    ``free`` says that an edit may take all of it away; ``spoken`` that it holds words of the user.
    """

    start: int
    stop: int
    entries: tuple[Entry, ...]
    tokens: int
    free: bool
    spoken: bool

    @property
    def folded(self) -> bool:
        """Whether an earlier fold stands here."""
        return any(entry.state == "folded" for entry in self.entries)


def rounds(view: View) -> list[Round]:
    """The rounds before the tail, oldest first. What was dropped earlier belongs to the round before it."""
    bounds = _bounds(view)
    starts = [entry.start for entry in view.entries]
    found = []
    for start, stop in pairwise(bounds):
        entries = tuple(view.entries[bisect_left(starts, start) : bisect_left(starts, stop)])
        if entries:
            found.append(_round(view, start, stop, entries))
        elif found:
            found[-1] = replace(found[-1], stop=stop)
    return found


def _bounds(view: View) -> list[int]:
    """The cuts before or at the tail at which no earlier fold or drop would be torn, and no command from what it gave back."""
    starts = [entry.start for entry in view.entries]
    bounds = []
    for cut in view.cuts:
        if cut > view.tail:
            break
        index = bisect_left(starts, cut)
        before = view.entries[index - 1].stop if index else 0
        after = starts[index] if index < len(starts) else len(view.source)
        if before <= cut and cut in (before, after) and not _observed(view, cut):
            bounds.append(cut)
    return bounds


def _observed(view: View, cut: int) -> bool:
    """Whether what stands behind a cut is the answer to a command before it, for an agent without tool calls."""
    if cut >= len(view.source):
        return False
    block = view.source[cut]
    return block.role is Role.USER and block.kind is Kind.TEXT and is_observation(block.text)


def _round(view: View, start: int, stop: int, entries: tuple[Entry, ...]) -> Round:
    free = all(view.editable(entry) and entry.block.role is not Role.SYSTEM for entry in entries)
    return Round(start, stop, entries, sum(entry.block.tokens for entry in entries), free, any(map(_spoken, entries)))


def _spoken(entry: Entry) -> bool:
    block = entry.block
    if entry.state == "folded" or block.role is not Role.USER:
        return False
    if block.kind is Kind.TEXT:
        return not is_observation(block.text) and bool(own_words(block.text))
    return block.kind in (Kind.IMAGE, Kind.DOCUMENT)


def spans(items: Iterable[Round]) -> Iterator[list[Round]]:
    """Runs of neighbouring rounds, split wherever one is not free or something pinned lies between."""
    run: list[Round] = []
    for item in items:
        if run and (not item.free or item.start != run[-1].stop):
            yield run
            run = []
        if item.free:
            run.append(item)
    if run:
        yield run


def replaced(runs: Sequence[Sequence[Round]], text: str) -> tuple[Edit, ...]:
    """One text in the place of all these runs: the first is folded into it, the others are dropped."""
    edits: list[Edit] = []
    for run in runs:
        start, stop = run[0].start, run[-1].stop
        edits.append(Drop(start, stop) if edits else Fold(start, stop, text))
    return tuple(edits)

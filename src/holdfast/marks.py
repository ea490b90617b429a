"""Where the cache marks go: a pure plan over a prompt's chain.

The layout is the one several projects settled on (microsoft/vscode pull 315505, huggingface/tau issue 502, both 2026):
*last tool · end of system · previous tail (at a commit: the edit frontier) · new tail*. The mark at the previous tail finds
the entry of the request before exactly, however many blocks a turn has added, where a lone mark at the new tail would look
back only 20 positions. A request takes at most four marks, 1h marks stand before 5m marks, and none stands on
thinking (Anthropic, *Prompt caching*, 2026-08-21).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from holdfast.blocks import Kind, Mark
from holdfast.prefix import Chain


def _any(position: int) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Layout:
    """What the planner goes by. Positions count blocks over head and messages, as in ``Mark``; lifetimes are seconds.

    ``caller_marks`` are the caller's own; they keep their slots unless ``keep_caller`` is false. ``previous_tail`` is where
    the last request had its last mark; ``frontier`` stands in for it when this request commits an edit (``edit_frontier``).
    ``markable(position)`` says whether a block may carry a mark: an empty text may not, and of thinking the planner knows by
    itself. ``minimum`` is the least number of tokens that can be cached: a shorter prefix gets no mark of ours. ``limit`` is
    4, less what the caller has set otherwise, such as an automatic mark.
    """

    chain: Chain
    caller_marks: tuple[Mark, ...] = ()
    previous_tail: int | None = None
    frontier: int | None = None
    ttl: int = 300
    head_ttl: int | None = None
    markable: Callable[[int], bool] = _any
    limit: int = 4
    minimum: int = 0
    keep_caller: bool = True


def edit_frontier(entries: Sequence[int], first_edit: int) -> int | None:
    """The last of ``entries`` (rising positions of entries believed warm) before block ``first_edit``; ``None`` if there is none."""
    index = bisect_left(entries, first_edit)
    return entries[index - 1] if index else None


def plan_marks(layout: Layout) -> tuple[Mark, ...]:
    """All marks this request should carry, the caller's among them, in order of position.

    Where slots are scarce, the new tail comes first, then the frontier or previous tail, the end of the system, the last tool. A caller
    that has set more than ``limit`` gets its own marks back: whatever the provider says to them is not made worse.
    """
    kept = {mark.position: mark for mark in layout.caller_marks} if layout.keep_caller else {}
    ours: list[Mark] = []
    for wanted in _wanted(layout):
        if len(kept) + len(ours) >= layout.limit:
            break
        if wanted is not None and wanted.position not in kept and all(wanted.position != mark.position for mark in ours):
            ours.append(wanted)
    return _ordered(sorted(kept.values(), key=_place), sorted(ours, key=_place))


def _place(mark: Mark) -> int:
    return mark.position


def _wanted(layout: Layout) -> list[Mark | None]:
    """The marks of the layout by priority; ``None`` where no block can carry one."""
    chain = layout.chain
    head_ttl = max(layout.head_ttl or layout.ttl, layout.ttl)  # the head stands first, so it may not live shorter
    earlier = layout.previous_tail if layout.frontier is None else layout.frontier
    return [
        _mark(layout, chain.length - 1, chain.head, layout.ttl),
        _mark(layout, -1 if earlier is None else earlier, chain.head, layout.ttl),
        _mark(layout, chain.head - 1, chain.tools, head_ttl),
        _mark(layout, chain.tools - 1, 0, head_ttl),
    ]


def _mark(layout: Layout, position: int, first: int, ttl: int) -> Mark | None:
    """A mark at the last block from ``position`` back to ``first`` that may carry one, if enough tokens stand before it."""
    chain = layout.chain
    for place in range(min(position, chain.length - 1), first - 1, -1):
        if chain.kinds[place] is not Kind.THINKING and layout.markable(place):
            return Mark(place, ttl) if chain.tokens(place + 1) >= layout.minimum else None
    return None


def _ordered(kept: list[Mark], ours: list[Mark]) -> tuple[Mark, ...]:
    """All marks, with lifetimes that never rise along the prompt: ours give way to the caller's, which are raised where they break it."""
    if not kept:
        return tuple(ours)
    longest = 0
    fixed: list[Mark] = []
    for mark in reversed(kept):
        longest = max(longest, mark.ttl)
        fixed.insert(0, mark if mark.ttl == longest else replace(mark, ttl=longest))
    fitted = []
    for mark in ours:
        ttl = max([mark.ttl, *(other.ttl for other in fixed if other.position > mark.position)])
        ttl = min([ttl, *(other.ttl for other in fixed if other.position < mark.position)])
        fitted.append(mark if mark.ttl == ttl else replace(mark, ttl=ttl))
    return tuple(sorted(fixed + fitted, key=_place))

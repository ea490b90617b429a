"""Where the cache marks go: a pure plan over a prompt's chain.

The layout is the one several projects settled on (microsoft/vscode pull 315505, huggingface/tau issue 502, both 2026):
*last tool · end of system · previous tail (at a commit: the edit frontier) · new tail*. The mark at the previous tail finds
the entry of the request before exactly, however many blocks a turn has added, where a lone mark at the new tail would look
back only 20 positions. A request takes at most four marks, 1h marks stand before 5m marks, and none stands on
thinking (Anthropic, *Prompt caching*, 2026-08-21). A ``cachePoint`` of Bedrock follows the same rules (AWS, *Prompt caching*, 2026).

OpenAI from GPT-5.6 on marks the end of the newest message by itself and finds exactly what is named, nothing between
(``plan_breakpoints``). There the layout is *end of the system messages · previous tail or frontier · new tail*:

- the first, because prompts that differ behind it find nothing else (openai/codex issue 35300, 2026-07: 0 % of a 9k prefix was read;
  coder/mux pull 3712 places the same one). It costs nothing: what stands before it is written in any case.
- the second, because the API by itself looks at 20 earlier ends only, and at those where a message ends as it did.
- the third, because a message that went out as a bare string cannot carry a mark later without becoming another.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from holdfast.blocks import Kind, Mark, Role
from holdfast.caches.openai_marks import message_ends
from holdfast.prefix import Chain

BREAKPOINT_MINIMUM = 1024
"""The shortest prefix, in tokens, that OpenAI caches (prompt caching guide, 2026-10)."""


def _any(position: int) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Own:
    """The caller's marks on one request: those that stand on blocks, the one that the API sets for a top-level ``cache_control``, and
    whether OpenAI marks the newest message by itself. ``alone``: none of ours may stand beside them.
    """

    marks: tuple[Mark, ...] = ()
    automatic: Mark | None = None
    implicit: bool = True
    alone: bool = False

    @property
    def all(self) -> tuple[Mark, ...]:
        """All that take one of the slots."""
        return self.marks if self.automatic is None else (*self.marks, self.automatic)


NO_MARKS = Own()


@dataclass(frozen=True, slots=True)
class Layout:
    """What the planner goes by. Positions count blocks over head and messages, as in ``Mark``; lifetimes are seconds.

    ``caller_marks`` are the caller's own; they keep their slots unless ``keep_caller`` is false. ``previous_tail`` is where
    the last request had its last mark; ``frontier`` stands in for it when this request commits an edit (``edit_frontier``).
    ``markable(position)`` says whether a block may carry a mark: an empty text may not, and of thinking the planner knows by
    itself. ``minimum`` is the least number of tokens that can be cached: a shorter prefix gets no mark of ours. ``limit`` is
    how many marks a request may have. ``automatic`` is the mark that the API sets by itself for a top-level ``cache_control``: it takes
    one of them, and nobody can take it away. ``implicit``: OpenAI marks the newest message by itself, as it does unless the
    caller has said ``prompt_cache_options: {"mode": "explicit"}``.
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
    automatic: Mark | None = None
    implicit: bool = True


def edit_frontier(entries: Sequence[int], first_edit: int) -> int | None:
    """The last of ``entries`` (rising positions of entries believed warm) before block ``first_edit``; ``None`` if there is none."""
    index = bisect_left(entries, first_edit)
    return entries[index - 1] if index else None


def plan_marks(layout: Layout) -> tuple[Mark, ...]:
    """All marks this request should carry, the caller's and the automatic one among them, in order of position.

    Where slots are scarce, the new tail comes first, then the frontier or previous tail, the end of the system, the last tool. A caller
    that has set more than ``limit`` gets its own marks back: whatever the provider says to them is not made worse.
    """
    kept = _kept(layout)
    return _ordered(sorted(kept.values(), key=_place), _fill(layout, kept, _wanted(layout)))


def plan_breakpoints(layout: Layout) -> tuple[Mark, ...]:
    """All explicit marks this request should carry on OpenAI's models from GPT-5.6 on, the caller's among them, in order of position.

    Lifetimes may stand in any order there. Where slots are scarce, the frontier or previous tail comes first, then the new tail, the end
    of the system messages. In explicit mode without a mark nothing is cached, and a caller who has asked for that gets it.
    """
    kept = _kept(layout)
    if not (kept or layout.implicit) and layout.keep_caller:
        return ()
    return tuple(sorted([*kept.values(), *_fill(layout, kept, _wanted_breakpoints(layout))], key=_place))


def breakpoint_entries(chain: Chain, marks: Sequence[Mark], implicit: bool = True, minimum: int = BREAKPOINT_MINIMUM) -> list[int]:
    """The chain lengths at which a request with these explicit marks leaves an entry, in order: the newest three, and the implicit one.

    Without the implicit one, the newest four. What is shorter than ``minimum`` tokens leaves none.
    """
    newest = sorted({mark.position + 1 for mark in marks})[-3 if implicit else -4 :]
    end = next(message_ends(chain), -1) if implicit else -1
    return [length for length in sorted({*newest, end + 1} - {0}) if chain.tokens(length) >= minimum]


def _kept(layout: Layout) -> dict[int, Mark]:
    """The marks that stay whatever is planned, by position."""
    kept = {mark.position: mark for mark in layout.caller_marks} if layout.keep_caller else {}
    return kept if layout.automatic is None else {**kept, layout.automatic.position: layout.automatic}


def _fill(layout: Layout, kept: Mapping[int, Mark], wanted: Sequence[Mark | None]) -> list[Mark]:
    """As many of the wanted marks, by priority, as there are slots, in order of position."""
    ours: dict[int, Mark] = {}
    for mark in wanted:
        if len(kept) + len(ours) >= layout.limit:
            break
        if mark is not None and mark.position not in kept:
            ours.setdefault(mark.position, mark)
    return sorted(ours.values(), key=_place)


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


def _wanted_breakpoints(layout: Layout) -> list[Mark | None]:
    """The explicit marks of the layout by priority. An entry is found at its very place or not at all: none moves back."""
    chain = layout.chain
    earlier = layout.previous_tail if layout.frontier is None else layout.frontier
    return [
        None if earlier is None else _breakpoint(layout, earlier),
        _breakpoint(layout, next(message_ends(chain), -1)),
        _breakpoint(layout, chain.head - 1),
    ]


def _breakpoint(layout: Layout, position: int) -> Mark | None:
    """An explicit mark at this very block, if it may carry one: neither a tool definition nor what the model said."""
    chain = layout.chain
    if not 0 <= position < chain.length or chain.roles[position] not in (Role.SYSTEM, Role.USER) or not layout.markable(position):
        return None
    return Mark(position, layout.ttl) if chain.tokens(position + 1) >= layout.minimum else None


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

"""The mark planner keeps to the rules of the wire, and its marks find what earlier requests wrote."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.blocks import Block, Kind, Mark, Role
from holdfast.caches.anthropic import AnthropicCache, AnthropicRules
from holdfast.marks import Layout, edit_frontier, plan_marks
from holdfast.usage import Usage
from tests.caches.chains import KINDS, a_block, ask, chain, texts

HEAD = [
    a_block("tool0", 800, Kind.TOOL, Role.TOOLS),
    a_block("tool1", 800, Kind.TOOL, Role.TOOLS),
    a_block("system", 800, Kind.SYSTEM, Role.SYSTEM),
]
marks = st.builds(Mark, st.integers(0, 60), st.sampled_from((300, 3600)))


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    """Any layout, sensible or not."""
    kinds = draw(st.lists(st.sampled_from(KINDS), max_size=40))
    made = chain(HEAD[draw(st.integers(0, 3)) :] + [a_block(str(index), 100, kind) for index, kind in enumerate(kinds)])
    blocked = draw(st.sets(st.integers(0, 45)))
    place = st.none() | st.integers(-1, 60)
    caller = {mark.position: mark for mark in draw(st.lists(marks, max_size=5)) if mark.position < made.length}
    return Layout(
        made,
        tuple(caller[position] for position in sorted(caller)),
        draw(place),
        draw(place),
        draw(st.sampled_from((300, 3600))),
        draw(st.sampled_from((None, 300, 3600))),
        lambda position: position not in blocked,
        draw(st.integers(0, 4)),
        draw(st.sampled_from((0, 1024))),
        draw(st.booleans()),
    )


@given(layouts())
def test_plans_are_legal(layout: Layout) -> None:
    """At most the limit, each place once, 1h before 5m, none on thinking or a block that may carry none, the caller's all there."""
    planned = plan_marks(layout)
    caller = {mark.position for mark in layout.caller_marks} if layout.keep_caller else set()
    assert len(planned) <= max(layout.limit, len(caller))
    assert all(one.position < other.position and one.ttl >= other.ttl for one, other in pairwise(planned))
    assert caller <= {mark.position for mark in planned}
    for mark in planned:
        if mark.position not in caller:
            assert 0 <= mark.position < layout.chain.length
            assert layout.chain.kinds[mark.position] is not Kind.THINKING
            assert layout.markable(mark.position)
            assert layout.chain.tokens(mark.position + 1) >= layout.minimum


@given(layouts())
def test_a_callers_legal_marks_stay_as_they_are(layout: Layout) -> None:
    """Where the caller's own lifetimes are in order, none of its marks changes."""
    in_order = all(one.ttl >= other.ttl for one, other in pairwise(layout.caller_marks))
    if in_order and layout.keep_caller:
        assert set(layout.caller_marks) <= set(plan_marks(layout))


def positions(layout: Layout) -> list[int]:
    """Where the marks of a plan stand."""
    return [mark.position for mark in plan_marks(layout)]


def test_the_layout_is_last_tool_system_previous_tail_new_tail() -> None:
    """Four marks, where every place exists and the caller has none; at a commit the frontier stands in for the previous tail."""
    made = chain([*HEAD, *texts(20)])
    assert positions(Layout(made, previous_tail=15)) == [1, 2, 15, 22]
    assert positions(Layout(made, previous_tail=15, frontier=7)) == [1, 2, 7, 22]


@pytest.mark.parametrize(("limit", "expected"), [(3, [2, 15, 22]), (2, [15, 22]), (1, [22]), (0, [])])
def test_scarce_slots_go_to_the_tail_first(limit: int, expected: list[int]) -> None:
    """With fewer slots the last tool goes first, then the end of the system, then the previous tail."""
    assert positions(Layout(chain([*HEAD, *texts(20)]), previous_tail=15, limit=limit)) == expected


def test_the_callers_marks_take_their_slots() -> None:
    """Two marks of the caller leave two for the tails; told to, the planner puts its own in their place."""
    made = chain([*HEAD, *texts(20)])
    caller = (Mark(0), Mark(9))
    assert positions(Layout(made, caller, previous_tail=15)) == [0, 9, 15, 22]
    assert positions(Layout(made, caller, previous_tail=15, keep_caller=False)) == [1, 2, 15, 22]


def test_marks_move_back_to_a_block_that_may_carry_one() -> None:
    """Not on thinking, not on an empty text, not on an opaque block that stands in for the messages; an opaque head may be marked."""
    opaque = a_block("head", 5000, Kind.OPAQUE, Role.SYSTEM)
    made = chain([opaque, *texts(5), a_block("thought", 50, Kind.THINKING, Role.ASSISTANT), a_block("", 0)])
    assert positions(Layout(made, markable=lambda position: position != 7)) == [0, 5]


def test_lifetimes_never_rise_along_the_prompt() -> None:
    """The head may live an hour before five-minute tails, never the reverse; a caller's 5m head shortens what follows."""
    made = chain([*HEAD, *texts(20)])
    assert [mark.ttl for mark in plan_marks(Layout(made, previous_tail=15, head_ttl=3600))] == [3600, 3600, 300, 300]
    assert [mark.ttl for mark in plan_marks(Layout(made, previous_tail=15, ttl=3600, head_ttl=300))] == [3600] * 4
    assert plan_marks(Layout(made, (Mark(2, 300),), ttl=3600)) == (Mark(1, 3600), Mark(2, 300), Mark(22, 300))
    assert plan_marks(Layout(made, (Mark(9, 3600),)))[0] == Mark(1, 3600)
    assert plan_marks(Layout(made, (Mark(2, 300), Mark(9, 3600))))[1:3] == (Mark(2, 3600), Mark(9, 3600))


def test_a_prefix_too_short_to_be_cached_gets_no_mark() -> None:
    """Two tools of 1,600 tokens take no slot where 2,048 are needed."""
    assert positions(Layout(chain([*HEAD, *texts(3)]), minimum=2048)) == [2, 5]


@pytest.mark.parametrize("blocks", [19, 20, 21, 60, 300])
def test_a_turn_of_many_blocks_still_reads_all_that_was_written(blocks: int) -> None:
    """The mark at the previous tail hits exactly, however far the tail moved; a lone mark at the tail reads the head at best beyond 20."""
    cache = AnthropicCache(AnthropicRules())
    first = chain([*HEAD, *texts(10)])
    cache.send(ask(first, 0, *plan_marks(Layout(first))))
    grown = chain([*HEAD, *texts(10 + blocks)])
    planned = plan_marks(Layout(grown, previous_tail=12))
    assert cache.peek(ask(grown, 1, *planned)).read == first.tokens()
    lone = cache.peek(ask(grown, 1, grown.length - 1)).read
    assert lone == (first.tokens() if blocks < 20 else 0)


@st.composite
def warm_sessions(draw: st.DrawFn) -> list[list[Block]]:
    """The turns of a conversation of 200 blocks, each one to 30 blocks long, thinking first and calls in runs."""
    turns: list[list[Block]] = []
    left = 200
    while left:
        size = min(left, draw(st.integers(1, 30)))
        kinds = draw(st.lists(st.sampled_from(KINDS), min_size=size - 1, max_size=size - 1))
        turns.append([a_block(f"{left}.{n}", draw(st.integers(1, 900)), kind) for n, kind in enumerate([*kinds, Kind.TEXT])])
        left -= size
    return turns


@settings(max_examples=12, deadline=None)
@given(warm_sessions(), st.integers(1, 500))
def test_a_commit_reads_up_to_the_last_entry_before_the_edit(turns: list[list[Block]], tokens: int) -> None:
    """Committing an edit at any block of a warm prompt reads everything up to the last entry before that block, and writes the rest."""
    cache = AnthropicCache(AnthropicRules())
    whole, entries = chain(HEAD), [1, 2]
    now, tail = 0.0, None
    for turn in turns:
        for block in turn:
            whole.append(block, block is turn[0])
        now += 30
        planned = plan_marks(Layout(whole, previous_tail=tail))
        cache.send(ask(whole.upto(whole.length), now, *planned))
        tail = planned[-1].position
        entries.append(tail)
    blocks = [*HEAD, *(block for turn in turns for block in turn)]
    edited, new = a_block("edited", tokens), a_block("new", 10)
    for first in range(len(HEAD), whole.length):
        frontier = edit_frontier(entries, first)
        assert frontier is not None
        changed = whole.fork(first)
        for block in (edited, *blocks[first + 1 :], new):
            changed.append(block)
        usage = cache.peek(ask(changed, now + 30, *plan_marks(Layout(changed, frontier=frontier))))
        assert usage == Usage(read=whole.tokens(frontier + 1), write_5m=changed.tokens() - whole.tokens(frontier + 1))

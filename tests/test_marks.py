"""The mark planner keeps to the rules of the wire, and its marks find what earlier requests wrote."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.blocks import Block, Kind, Mark, Role
from holdfast.caches.anthropic import AnthropicCache, AnthropicRules
from holdfast.caches.openai_marks import OpenAIMarkRules, OpenAIMarksCache, message_ends
from holdfast.marks import Layout, breakpoint_entries, edit_frontier, plan_breakpoints, plan_marks
from holdfast.prefix import Chain, chain_of
from holdfast.transcript import Dialect
from holdfast.usage import Usage
from holdfast.wire import of
from tests.caches.chains import KINDS, a_block, ask, chain, texts
from tests.wire.bodies import KEYS, TTLS, any_body
from tests.wire.test_round_trip import without_marks

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
        draw(st.none() | st.builds(Mark, st.just(max(0, made.length - 1)), st.sampled_from((300, 3600)))),
        draw(st.booleans()),
    )


@given(layouts())
def test_plans_are_legal(layout: Layout) -> None:
    """At most the limit, each place once, 1h before 5m, none on thinking or a block that may carry none, the caller's all there."""
    planned = plan_marks(layout)
    caller = {mark.position for mark in layout.caller_marks} if layout.keep_caller else set()
    caller |= {layout.automatic.position} if layout.automatic else set()
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
    in_order = layout.automatic is None and all(one.ttl >= other.ttl for one, other in pairwise(layout.caller_marks))
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


# -- the caller's word


def test_told_otherwise_our_marks_replace_the_callers() -> None:
    """A caller's badly placed marks are gone, so that ours have all four slots; what the API sets by itself nobody can take away."""
    made = chain([*HEAD, *texts(20)])
    caller = (Mark(3, 3600), Mark(4, 3600), Mark(5, 3600), Mark(6, 3600))
    assert positions(Layout(made, caller, previous_tail=15)) == [3, 4, 5, 6]
    assert positions(Layout(made, caller, previous_tail=15, keep_caller=False)) == [1, 2, 15, 22]
    automatic = Layout(made, caller[:2], previous_tail=15, keep_caller=False, automatic=Mark(22, 3600))
    assert plan_marks(automatic) == (Mark(1, 3600), Mark(2, 3600), Mark(15, 3600), Mark(22, 3600))


def test_the_automatic_mark_takes_a_slot_and_stays() -> None:
    """With it and three of the caller's, nothing is added; with two, one is."""
    made = chain([*HEAD, *texts(20)])
    three = (Mark(0), Mark(5), Mark(9))
    assert positions(Layout(made, three, previous_tail=15, automatic=Mark(22))) == [0, 5, 9, 22]
    assert positions(Layout(made, three[:2], previous_tail=15, automatic=Mark(22))) == [0, 5, 15, 22]


@settings(max_examples=50, deadline=None)
@given(any_body(), st.booleans(), st.integers(0, 30))
def test_every_planned_mark_stands_in_what_is_written(made: tuple[Dialect, dict[str, Any]], keep: bool, earlier: int) -> None:
    """In every dialect: no mark of a plan is dropped on the way to the wire, and none is put elsewhere."""
    dialect, body = made
    wire, ttl = of(dialect), TTLS[dialect][0]
    prompt = wire.read(body)
    blocks = list(prompt.blocks)
    plan = plan_breakpoints if dialect.startswith("openai") else plan_marks
    offered = tuple(mark for mark in prompt.marks if wire.takes_mark(blocks[mark.position]))[:4]
    planned = plan(
        Layout(chain_of(prompt), offered, earlier, ttl=ttl, markable=lambda place: wire.takes_mark(blocks[place]), keep_caller=keep)
    )
    assert wire.read_marks(wire.write(body, prompt, planned)) == planned


# -- what went wrong elsewhere: each check fails on a planner that has the bug

Planner = Callable[[Layout], Sequence[Mark]]
TALK = chain([*HEAD, *texts(20)])


def first_reads_then_tail(planner: Planner) -> None:
    """A caller's mark on its system does not take the others away: the tail is marked and the next request reads it."""
    cache = AnthropicCache(AnthropicRules())
    cache.send(ask(TALK, 0, *planner(Layout(TALK, (Mark(2),)))))
    grown = chain([*HEAD, *texts(30)])
    assert cache.peek(ask(grown, 1, *planner(Layout(grown, (Mark(2),), previous_tail=22)))).read == TALK.tokens()


def lifetimes_fall(planner: Planner) -> None:
    """Behind a caller's 5m mark nothing lives longer, even if longer lives were asked for."""
    planned = planner(Layout(TALK, (Mark(2, 300),), previous_tail=15, ttl=3600))
    assert all(one.ttl >= other.ttl for one, other in pairwise(planned))


def four_at_most(planner: Planner) -> None:
    """The caller's marks and the API's own count."""
    layout = Layout(TALK, (Mark(0), Mark(5)), previous_tail=15, automatic=Mark(22))
    assert len({mark.position for mark in planner(layout)} | {22}) <= 4


def none_where_none_may_stand(planner: Planner) -> None:
    """A message that ends with thinking is marked before it."""
    made = chain([*HEAD, *texts(5), a_block("thought", 50, Kind.THINKING, Role.ASSISTANT)])
    assert all(made.kinds[mark.position] is not Kind.THINKING for mark in planner(Layout(made)))


def stands_down(layout: Layout) -> Sequence[Mark]:
    """Drops its own marks as soon as the caller has one."""
    return layout.caller_marks or plan_marks(layout)


def appends(layout: Layout) -> Sequence[Mark]:
    """Adds its marks to the caller's, whatever those are."""
    ours = plan_marks(replace(layout, caller_marks=(), automatic=None))
    return sorted({mark.position: mark for mark in (*ours, *layout.caller_marks)}.values(), key=lambda mark: mark.position)


def at_the_end(layout: Layout) -> Sequence[Mark]:
    """Marks the last block, whatever it is."""
    return (Mark(layout.chain.length - 1),)


@pytest.mark.parametrize(
    ("check", "bug"),
    [
        pytest.param(first_reads_then_tail, stands_down, id="litellm-25335-29810-30319-38718-40675-injection-dropped"),
        pytest.param(none_where_none_may_stand, at_the_end, id="litellm-injection-misplaced"),
        pytest.param(lifetimes_fall, appends, id="headroom-2939-1h-after-5m"),
        pytest.param(four_at_most, appends, id="pydantic-ai-3467-more-than-four"),
    ],
)
def test_bugs_that_others_had(check: Callable[[Planner], None], bug: Planner) -> None:
    """Our planner passes, and a planner with the bug does not: the check would have caught it."""
    check(plan_marks)
    with pytest.raises(AssertionError):
        check(bug)


@settings(max_examples=40, deadline=None)
@given(any_body(), st.data())
def test_pydantic_ai_4121_a_mark_that_moves_on_leaves_no_trace(made: tuple[Dialect, dict[str, Any]], data: st.DataObject) -> None:
    """Wherever marks stand, what is written apart from them is the same, and nothing is added to hold one: a bare string apart."""
    dialect, raw = made
    wire = of(dialect)
    prompt = wire.read(raw)
    places = [place for place, block in enumerate(prompt.blocks) if wire.takes_mark(block) and not wire.is_bare(block)]
    chosen = st.lists(st.sampled_from(places), max_size=4, unique=True) if places else st.just([])
    written = []
    for marks in (data.draw(chosen), data.draw(chosen)):
        out = wire.write(raw, prompt, tuple(Mark(place, TTLS[dialect][0]) for place in sorted(marks)))
        written.append(json.dumps(without_marks(out, KEYS[dialect])))
    assert written[0] == written[1] == json.dumps(without_marks(raw, KEYS[dialect]))


# -- OpenAI from GPT-5.6 on

CALL, RESULT = (Kind.TOOL_USE, Role.ASSISTANT), (Kind.TOOL_RESULT, Role.USER)
GPT_HEAD = [a_block("tool", 1500, Kind.TOOL, Role.TOOLS), a_block("developer", 1500, Kind.SYSTEM, Role.SYSTEM)]


def loop(rounds: int, tokens: int = 200, name: str = "r", first: str = "task") -> list[Block]:
    """A task, then rounds of a call and its result."""
    made = [a_block(first, 300)]
    for number in range(rounds):
        made += [a_block(f"{name}c{number}", 30, *CALL), a_block(f"{name}r{number}", tokens, *RESULT)]
    return made


@given(layouts())
def test_breakpoint_plans_are_legal(layout: Layout) -> None:
    """The caller's all as they are; of ours none on a tool definition, on what the model said, or where none may stand."""
    planned = plan_breakpoints(layout)
    kept = {mark.position: mark for mark in layout.caller_marks} if layout.keep_caller else {}
    kept |= {layout.automatic.position: layout.automatic} if layout.automatic else {}
    assert len(planned) <= max(layout.limit, len(kept))
    assert all(one.position < other.position for one, other in pairwise(planned))
    assert set(kept.values()) <= set(planned)
    for mark in planned:
        if mark.position not in kept:
            assert layout.chain.roles[mark.position] in (Role.SYSTEM, Role.USER)
            assert layout.markable(mark.position)
            assert layout.chain.tokens(mark.position + 1) >= layout.minimum


def test_the_layout_of_breakpoints_is_head_earlier_tail() -> None:
    """The end of the system messages, the last request's tail or the frontier of an edit, and the new tail; never a tool."""
    made = chain([*GPT_HEAD, *loop(4)])
    assert [mark.position for mark in plan_breakpoints(Layout(made, previous_tail=8, ttl=1800))] == [1, 8, 10]
    assert [mark.position for mark in plan_breakpoints(Layout(made, previous_tail=8, frontier=4, ttl=1800))] == [1, 4, 10]
    assert [mark.position for mark in plan_breakpoints(Layout(made, previous_tail=8, limit=1))] == [8]


def test_a_breakpoint_stands_at_its_very_place_or_not_at_all() -> None:
    """An entry is found exactly or not: a place that can carry none is not replaced by another."""
    made = chain([*GPT_HEAD, *loop(4)])
    assert [mark.position for mark in plan_breakpoints(Layout(made, previous_tail=7))] == [1, 10]
    assert [mark.position for mark in plan_breakpoints(Layout(made, previous_tail=8, markable=lambda place: place != 8))] == [1, 10]


def test_who_asks_for_no_caching_gets_none() -> None:
    """Explicit mode without a mark caches nothing; with one of the caller's, or told otherwise, ours stand beside it or in its place."""
    made = chain([*GPT_HEAD, *loop(4)])
    assert plan_breakpoints(Layout(made, implicit=False)) == ()
    assert [mark.position for mark in plan_breakpoints(Layout(made, (Mark(4, 43_200),), implicit=False))] == [1, 4, 10]
    assert [mark.position for mark in plan_breakpoints(Layout(made, (Mark(4),), keep_caller=False, implicit=False))] == [1, 10]


def test_a_shared_developer_block_is_read_by_the_next_conversation() -> None:
    """Codex issue 35300: the same developer message before another task is read, even where the cache sets no entry there by itself."""
    one, other = chain([*GPT_HEAD, *loop(2)]), chain([*GPT_HEAD, *loop(2, first="another task")])
    for planner, read in ((plan_breakpoints, 3000), (no_marks, 0)):
        cache = OpenAIMarksCache(OpenAIMarkRules(writes_head=False))
        cache.send(ask(one, 0, *planner(Layout(one, ttl=1800))))
        assert cache.peek(ask(other, 1, *planner(Layout(other, ttl=1800)))).read == read


def no_marks(layout: Layout) -> Sequence[Mark]:
    """What a bare client sends."""
    return ()


@pytest.mark.parametrize("rounds", [5, 19, 20, 21, 45])
def test_a_commit_reads_up_to_the_frontier_however_deep_it_is(rounds: int) -> None:
    """An edit that many message ends ago still reads all before it; OpenAI's own look-up goes back 20 ends."""
    cache = OpenAIMarksCache()
    blocks = [*GPT_HEAD, *loop(50)]
    for length in range(5, len(blocks) + 1, 2):
        part = chain(blocks[:length])
        cache.send(ask(part, length, *plan_breakpoints(Layout(part, previous_tail=length - 3, ttl=1800))))
    first = len(blocks) - 1 - 2 * rounds
    new = [a_block("next", 30, *CALL), a_block("new", 50, *RESULT)]
    edited = chain([*blocks[:first], a_block("cleared", 10, *RESULT), *blocks[first + 1 :], *new])
    marks = plan_breakpoints(Layout(edited, frontier=first - 2, ttl=1800))
    assert cache.peek(ask(edited, 200, *marks)).read == edited.tokens(first - 1)
    alone = cache.peek(ask(edited, 200)).read
    assert alone == (edited.tokens(first - 1) if rounds < 19 else 3000)


def cost(usage: Usage, read: float) -> float:
    """Input in units of the fresh price; a write is a quarter dearer."""
    return usage.fresh + 1.25 * usage.written + read * usage.read


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 30), st.none() | st.floats(0, 1)), min_size=2, max_size=14),
    st.booleans(),
    st.sampled_from((0.1, 0.05)),
)
def test_breakpoints_are_never_dearer_than_none(turns: list[tuple[int, float | None]], writes_head: bool, read: float) -> None:
    """A loop that grows by some rounds a turn and is edited now and then costs no more with our marks than without, turn by turn summed."""
    spent = {planner.__name__: _spent(planner, turns, writes_head, read) for planner in (plan_breakpoints, no_marks)}
    assert spent["plan_breakpoints"] <= spent["no_marks"]


def _spent(planner: Planner, turns: Sequence[tuple[int, float | None]], writes_head: bool, read: float) -> float:
    cache = OpenAIMarksCache(OpenAIMarkRules(writes_head=writes_head))
    blocks, entries, spent, tail = [*GPT_HEAD, a_block("task", 300)], list[int](), 0.0, None
    for turn, (rounds, edit) in enumerate(turns):
        frontier = None
        if edit is not None:
            first = 3 + round(edit * (len(blocks) - 3))
            blocks[first:] = [replace(block, fingerprint=block.fingerprint[:-1] + bytes([turn])) for block in blocks[first:]]
            entries = entries[: max(0, sum(place < first for place in entries))]
            frontier, tail = edit_frontier(entries, first), None
        blocks += loop(rounds, name=f"{turn}.")[1:]
        made = chain(blocks)
        marks = planner(Layout(made, previous_tail=tail, frontier=frontier, ttl=1800))
        spent += cost(cache.send(ask(made, 30.0 * turn, *marks)), read)
        entries = sorted({*entries, *(length - 1 for length in breakpoint_entries(made, marks))})
        tail = entries[-1]
    return spent


@settings(max_examples=50)
@given(st.lists(st.integers(1, 60), max_size=6, unique=True), st.integers(0, 30), st.booleans())
def test_the_entries_are_those_that_the_cache_holds(places: list[int], rounds: int, implicit: bool) -> None:
    """Where a request is said to leave entries, the model of the cache finds one, and nowhere else."""
    made = chain([*GPT_HEAD, *loop(rounds)])
    marks = tuple(Mark(place, 1800) for place in sorted(places) if place < made.length)
    cache = OpenAIMarksCache(OpenAIMarkRules(implicit=implicit, writes_head=False))
    cache.send(ask(made, 0, *marks))
    held = [length for length in range(made.head, made.length + 1) if _reads(cache, made, length)]
    assert breakpoint_entries(made, marks, implicit) == held


def _reads(cache: OpenAIMarksCache, made: Chain, length: int) -> bool:
    """Whether an entry of exactly this length is there, asked with nothing but a mark at its end."""
    return cache.reach(ask(made.upto(length), 1, Mark(length - 1, 1800))) == length


def test_the_tail_is_the_end_of_the_newest_message_of_the_users_side() -> None:
    """As for the mark that OpenAI sets by itself: of a run of results the last, and nothing that the model said behind it."""
    made = chain([*GPT_HEAD, *loop(3), a_block("said", 20, Kind.TEXT, Role.ASSISTANT)])
    (head, tail) = plan_breakpoints(Layout(made, ttl=1800))
    assert (head.position, tail.position) == (1, next(message_ends(made))) == (1, 8)

"""What a transcript shows of its cache: entries by prefix, how long they live, and how each line was read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.blocks import Kind, Role, make_block
from holdfast.prefix import Chain, shared
from holdfast.usage import Usage
from holdfast.validation.entries import Entries, Entry, positions
from holdfast.validation.history import HEAD_MOST, HOUR, MINUTES, SLACK, History, chain_name, slack
from holdfast.validation.sight import BETWEEN_TURNS, Sight, sights
from tests.validation.sessions import HAIKU, OPUS, START, Step, recorded, sessions

KINDS = [Kind.TEXT, Kind.TOOL_USE, Kind.TOOL_RESULT, Kind.THINKING, Kind.IMAGE]


def chain(*texts: str, kinds: Sequence[Kind] = ()) -> Chain:
    """A chain of small blocks."""
    made = Chain()
    for text, kind in zip(texts, kinds or [Kind.TEXT] * len(texts), strict=True):
        made.append(make_block(kind, Role.USER, {"type": kind.value, "text": text}, text))
    return made


def line_of(*tokens: int, used: float = 0.0, lifetime: float = MINUTES) -> Entry:
    """The longest of entries that extend each other."""
    entry: Entry | None = None
    for number, count in enumerate(tokens):
        entry = Entry(count, number + 1, used, lifetime, entry)
    assert entry is not None
    return entry


def told(steps: Sequence[Step]) -> tuple[History, Sight]:
    """The history of all requests but the last, and the last before its bill."""
    history = History()
    *before, (newest, _) = sights(recorded(steps))
    for sight, turn in before:
        history.learn(sight, turn)
    return history, newest


# Entries.


@given(st.lists(st.text("ab", min_size=1, max_size=6), min_size=1, max_size=8), st.text("ab", max_size=8))
def test_the_deepest_entry_is_the_longest_prefix(prompts: list[str], asked: str) -> None:
    """Of all prompts put in, the one found is the longest that the asked one begins with, itself included."""
    entries, made = Entries(), {text: chain(*text) for text in prompts}
    for text, links in made.items():
        entries.put(links, Entry(len(text), len(text), 0.0, MINUTES))
    links = chain(*asked)
    held = max((len(text) for text in made if shared(made[text].ids, links.ids) == len(text)), default=0)
    found = entries.deepest(links)
    assert (found.tokens if found else 0) == held
    assert len(entries) == len(set(prompts))


@given(st.floats(0, 1e9), st.sampled_from([MINUTES, HOUR]), st.floats(0, 1e5))
def test_an_entry_lives_shorter_than_its_lifetime(used: float, lifetime: float, pause: float) -> None:
    """It is held while less than its lifetime has passed since it was used, and not once it is known to be gone."""
    entry = Entry(1, 1, used, lifetime)
    assert entry.alive(used + pause) == (used + pause < used + lifetime)
    entry.gone = True
    assert not entry.alive(used)


@pytest.mark.parametrize(("pause", "alive"), [(299.9, True), (300.0, False)])
def test_the_lifetime_ends_at_its_very_second(pause: float, alive: bool) -> None:
    """Five minutes after the last use a five-minute entry is no longer held."""
    assert Entry(1, 1, START, MINUTES).alive(START + pause) is alive


def test_a_read_keeps_the_shorter_prefixes_that_still_live() -> None:
    """Reading an entry uses every prefix of it again, but brings none back that was over."""
    over = Entry(10, 1, 0.0, MINUTES)
    entry = Entry(30, 3, 250.0, MINUTES, Entry(20, 2, 200.0, MINUTES, over))
    entry.found(400.0, 410.0)
    middle = entry.parent
    assert middle is not None
    assert (entry.used, middle.used, over.used) == (410.0, 410.0, 0.0)


def test_a_read_brings_back_what_was_thought_gone() -> None:
    """An entry that is read was there."""
    entry = line_of(10)
    entry.gone = True
    entry.found(10.0, 10.0)
    assert entry.alive(11.0)


def test_a_shorter_entry_is_found_by_its_size() -> None:
    """An entry of the same line is known by its tokens; neither the newest itself nor a size between two is one."""
    entry = line_of(10, 20, 30)
    found = entry.behind(20)
    assert found is not None
    assert found.length == 2
    assert entry.behind(30) is None
    assert entry.behind(15) is None


@given(st.lists(st.integers(1, 100), min_size=1, max_size=6, unique=True).map(sorted), st.integers(0, 110))
def test_what_lies_above_a_short_read_is_lost(sizes: list[int], read: int) -> None:
    """Every prefix longer than what was read is gone, every other stays."""
    entry: Entry | None = line_of(*sizes)
    assert entry is not None
    entry.lose(read)
    while entry is not None:
        assert entry.gone == (entry.tokens > read)
        entry = entry.parent


@given(st.lists(st.sampled_from(KINDS), max_size=12), st.integers(0, 12))
def test_runs_of_calls_and_of_results_are_one_position(kinds: list[Kind], start: int) -> None:
    """The look-back counts blocks, but a run of tool calls once, and a run of results once."""
    links = chain(*map(str, range(len(kinds))), kinds=kinds)
    behind = kinds[start:]
    runs = sum(one is other and one in (Kind.TOOL_USE, Kind.TOOL_RESULT) for one, other in pairwise(behind))
    assert positions(links, start) == len(behind) - runs


# Counts and names.


@pytest.mark.parametrize(("tokens", "most"), [(0, 50), (4_999, 50), (5_000, 50), (5_100, 51), (200_000, 2_000)])
def test_slack_is_fifty_tokens_or_a_hundredth(tokens: int, most: int) -> None:
    """Two counts may be 50 tokens apart, on prompts over 5,000 tokens a hundredth."""
    assert slack(tokens) == most


def test_what_a_client_begins_anew_stays_the_same_chain() -> None:
    """A lineage after a compaction or a fork is of the chain it left; an agent is a chain of its own."""
    assert [chain_name(name) for name in ("main", "main/2", "agent:a", "agent:a/3")] == ["main", "main", "agent:a", "agent:a"]


# Sights.


@settings(max_examples=50)
@given(sessions())
def test_a_sight_shows_the_total_of_the_bill_and_nothing_else_of_it(steps: list[Step]) -> None:
    """Before a request is billed its prompt and total are known, but neither usage, charge, answer, end nor id."""
    for sight, turn in sights(recorded(steps)):
        assert turn.usage is not None
        assert sight.prompt_tokens == turn.usage.prompt
        blind = replace(turn, usage=None, charged=None, answer=None, ended=None, request="", output_final=True)
        assert sight.turn == blind
        assert sight.chain.length == sum(1 for _ in turn.prompt.blocks)


def test_the_clock_of_sights_never_runs_backwards() -> None:
    """A request stamped earlier than the one before it counts as made at the same time; one without a time, ten seconds later."""
    transcript = recorded([Step(user=True), Step(pause=-500.0), Step(), Step()])
    turns = transcript.turns
    bare = transcript.with_turns((*turns[:3], replace(turns[3], at=None)))
    times = [sight.now for sight, _ in sights(bare)]
    assert times == sorted(times)
    assert times[1] == times[0]
    assert times[3] == times[2] + BETWEEN_TURNS


# Histories.


@settings(max_examples=50)
@given(sessions())
def test_a_request_leaves_what_it_read_and_wrote(steps: list[Step]) -> None:
    """The entry at the end of each prompt has the tokens that were read and written, on the lifetime of the newest write of its line."""
    history = History()
    for sight, turn in sights(recorded(steps)):
        history.learn(sight, turn)
        usage = turn.usage
        assert usage is not None
        if usage.read + usage.written:
            entry = history.deepest(sight)
            assert entry is not None
            assert (entry.tokens, entry.length) == (usage.read + usage.written, sight.chain.length)
            assert (entry.written, entry.used) == (sight.now, max(sight.now, turn.ended or 0.0))
        if usage.written:
            assert history.lifetime == (HOUR if usage.write_1h >= usage.write_5m else MINUTES)


def test_entries_of_one_model_are_not_those_of_another() -> None:
    """A prompt that one model has cached is new to the next."""
    history, sight = told([Step(user=True, grow=9_000), Step(), Step(model=HAIKU)])
    assert history.deepest(sight) is None
    assert history.line(sight) is None
    history, sight = told([Step(user=True, grow=9_000), Step(), Step(model=OPUS)])
    assert history.deepest(sight) is not None


def test_a_request_without_a_bill_leaves_nothing() -> None:
    """Neither a request without usage nor one of no tokens is remembered."""
    history = History()
    for sight, turn in sights(recorded([Step(user=True, grow=9_000)])):
        history.learn(sight, replace(turn, usage=None))
        history.learn(sight, replace(turn, usage=Usage()))
        assert history.deepest(sight) is None


def test_a_fork_finds_the_entry_up_to_where_it_left() -> None:
    """A line that begins with another's first messages finds what that one's request left there."""
    history, sight = told([Step(user=True, grow=9_000), Step(), Step(line="main/2", fork="main", kept=2)])
    found = history.deepest(sight)
    assert found is not None
    assert found.length == 1


def test_the_head_is_what_a_request_reads_that_cannot_read_its_history() -> None:
    """After the lifetime the read shows the head; a read larger than any head shows none."""
    history, sight = told([Step(user=True, grow=40_000), Step(pause=4_000, read=16_500), Step()])
    line = history.line(sight)
    assert line is not None
    assert line.head.tokens == 16_500
    history, sight = told([Step(user=True, grow=300_000), Step(pause=4_000, read=HEAD_MOST + 1), Step()])
    line = history.line(sight)
    assert line is not None
    assert line.head.tokens == 0


@pytest.mark.parametrize(("pause", "gone"), [(2.0, False), (100.0, True)])
def test_a_late_entry_is_not_lost(pause: float, gone: bool) -> None:
    """Who reads exactly the entry before the newest came too early if that is seconds old, and found it lost if it is older."""
    history, asked = History(), list(sights(recorded([Step(user=True, grow=9_000), Step(), Step(pause=pause, read=8_997)])))
    for sight, turn in asked:
        history.learn(sight, turn)
    newest = history.deepest(asked[1][0])
    assert newest is not None
    assert newest.gone is gone


def test_few_fresh_tokens_are_remembered_and_many_are_not() -> None:
    """The tokens behind the last mark are those lately seen, unless there were more than a mark leaves out."""
    history, sight = told([Step(user=True, grow=9_000), Step(), Step()])
    line = history.line(sight)
    assert line is not None
    assert 0 < line.fresh <= SLACK
    transcript = recorded([Step(user=True, grow=9_000)])
    many = replace(transcript.turns[0], usage=Usage(fresh=9_000))
    history = History()
    for found, turn in sights(transcript.with_turns((many,))):
        history.learn(found, turn)
        line = history.line(found)
        assert line is not None
        assert line.fresh == 0

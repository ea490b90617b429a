"""What later turns needed, and what a shortened prompt still held of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.blocks import Block, Message, Prompt, Role, Settings, Window
from holdfast.edits import Piece, untouched
from holdfast.readers import read
from holdfast.simulator.atoms import Vocabulary, atoms_in, shown, spoken
from holdfast.simulator.kept import Index, Judge
from holdfast.simulator.results import Kept
from holdfast.tail import tail_start
from holdfast.transcript import Turn
from holdfast.wire.anthropic import read_block, read_message

KEEP = 20
ATOMS = [
    "src/app/main_loop.py",
    "/srv/src/app/main_loop.py",
    "main_loop.py",
    "parseConfig",
    "user_id",
    "48213",
    "3f9a2c1",
    '"cannot open it"',
]
FILLERS = ["the value of", "was changed in", "returns", "if it fails then", "\n", "because"]
TEXT = st.lists(st.sampled_from([*ATOMS, *FILLERS]), min_size=1, max_size=12).map(" ".join)


def weighed(role: str, *texts: str) -> Message:
    """A message of text blocks; a block weighs its words."""
    message = read_message({"role": role, "content": [{"type": "text", "text": text} for text in texts]})
    return Message(message.role, tuple(block.weighed(len(block.text.split())) for block in message.blocks), message.wire)


def lineage(texts: Sequence[str], system: str = "") -> list[Turn]:
    """Turns whose prompts share one log: user and assistant in turn."""
    log: list[Message] = []
    turns: list[Turn] = []
    head = (read_block({"type": "text", "text": system}, Role.SYSTEM),) if system else ()
    for ordinal, text in enumerate(texts):
        message = weighed("assistant" if ordinal % 2 else "user", text)
        if ordinal % 2:
            turns.append(Turn("main", Prompt(Settings("m"), head, Window(log, len(log))), answer=message))
        log.append(message)
    return turns


def blocks_of(turns: Sequence[Turn]) -> list[Block]:
    """The blocks of the longest prompt, by block index."""
    return [block for message in turns[-1].prompt.messages for block in message.blocks]


def total(judge: Judge, turns: Sequence[Turn]) -> Kept:
    """The sum over all turns."""
    return sum((judge.turn(ordinal) for ordinal in range(len(turns))), Kept())


CONVERSATION = st.lists(TEXT, min_size=2, max_size=24).map(lineage)


@given(CONVERSATION)
def test_the_control_keeps_exactly_what_was_needed(turns: list[Turn]) -> None:
    """Where nothing is removed, kept, kept in context and recoverable equal needed."""
    index = Index.build(turns, KEEP)
    judge = Judge(index)
    for ordinal in range(len(turns)):
        count = len(index.needs(ordinal))
        assert judge.turn(ordinal) == Kept(count, count, count, count)


@given(CONVERSATION)
def test_needs_are_what_the_answer_uses_from_before_the_tail(turns: list[Turn]) -> None:
    """A need is an atom of the answer that blocks before the tail hold and none of the tail."""
    index = Index.build(turns, KEEP)
    for ordinal, turn in enumerate(turns):
        messages = list(turn.prompt.messages)
        tail = tail_start([message.tokens for message in messages], KEEP)
        before, inside = ("\n".join(block.text for m in part for block in m.blocks) for part in (messages[:tail], messages[tail:]))
        assert turn.answer is not None
        vocabulary = Vocabulary(atoms_in(turn.answer.blocks[0].text))
        assert {need.atom for need in index.needs(ordinal)} == vocabulary.held(before) - vocabulary.held(inside)
        assert all(need.occurrences[-1] < tail for need in index.needs(ordinal))


@given(CONVERSATION, st.sets(st.integers(0, 24)), st.sets(st.integers(0, 24)), st.lists(TEXT, max_size=3))
def test_removing_more_never_keeps_more(turns: list[Turn], one: set[int], other: set[int], texts: list[str]) -> None:
    """Counts fall when blocks leave, rise when texts come, and in context <= kept <= recoverable <= needed."""
    index = Index.build(turns, KEEP)
    counts = []
    for removed, given_texts in ((one, texts), (one | other, texts), (one | other, [])):
        judge = Judge(index)
        judge.committed(removed, given_texts, frozenset())
        counts.append(total(judge, turns))
    for kept in counts:
        assert kept.in_context <= kept.kept <= kept.recoverable <= kept.needed
    assert counts[0].kept >= counts[1].kept >= counts[2].kept
    assert counts[0].in_context >= counts[1].in_context >= counts[2].in_context


@given(CONVERSATION)
def test_what_is_dropped_is_lost_and_in_the_store(turns: list[Turn]) -> None:
    """With every block removed nothing is kept; all is recoverable if the prompt names the blocks, nothing if not."""
    everything = set(range(len(blocks_of(turns))))
    index = Index.build(turns, KEEP)
    judge = Judge(index)
    judge.committed(everything, [], everything)
    kept = total(judge, turns)
    assert (kept.kept, kept.in_context, kept.recoverable) == (0, 0, kept.needed)
    judge.committed(everything, [])
    assert total(judge, turns).recoverable == 0


@given(CONVERSATION)
def test_a_block_quoted_whole_keeps_its_atoms(turns: list[Turn]) -> None:
    """Replacing every block by its own words loses no atom."""
    blocks = blocks_of(turns)
    judge = Judge(Index.build(turns, KEEP))
    judge.committed(set(range(len(blocks))), [block.text for block in blocks])
    kept = total(judge, turns)
    assert kept.in_context <= kept.kept == kept.needed


PADDING = "word " * 30


def needing(first: str, answer: str, system: str = "") -> Index:
    """One lineage whose last answer needs what the first message said."""
    return Index.build(lineage([first, "yes", PADDING, "yes", PADDING, answer], system), KEEP)


def last(judge: Judge) -> Kept:
    """The counts of that last turn."""
    return judge.turn(2)


@pytest.mark.parametrize(
    ("text", "kept", "in_context"),
    [
        ("nothing of it", 0, 0),
        ("it is user_id", 1, 0),
        ("the limit of user_id is ninety", 1, 1),
        ("limit user_id ninety", 1, 1),
        ("user_id\nlimit ninety", 1, 0),
    ],
)
def test_context_is_half_of_the_line_it_first_stood_on(text: str, kept: int, in_context: int) -> None:
    """An atom alone is kept; with half of the other words of its line beside it, it is kept in context."""
    judge = Judge(needing("Look:\nlimit for user_id: ninety\nGood.", "set user_id"))
    judge.committed({0}, [text], frozenset())
    assert last(judge) == Kept(1, kept, in_context, kept)


def test_a_block_that_says_it_again_keeps_it() -> None:
    """An atom is kept while any verbatim block holds it, in context if that block's line shares half of the words."""
    turns = lineage(["limit for user_id: ninety", "a user_id", "limit: user_id = ninety", "yes", PADDING, "yes", PADDING, "set user_id"])
    judge = Judge(Index.build(turns, KEEP))
    judge.committed({0}, [], frozenset())
    assert judge.turn(3) == Kept(1, 1, 1, 1)
    judge.committed({0, 2}, [], frozenset())
    assert judge.turn(3) == Kept(1, 1, 0, 1)


def test_what_the_head_says_is_not_needed() -> None:
    """An atom of the system prompt is always there, so that no history is needed for it."""
    assert not needing("user_id", "set user_id", "The column is user_id.").needs(2)
    assert needing("user_id", "set user_id", "The column is another.").needs(2)


def test_a_placeholder_that_names_the_block_makes_it_recoverable() -> None:
    """The first eight hex digits of a removed block's fingerprint are enough to ask for it."""
    index = needing("limit for user_id", "set user_id")
    judge = Judge(index)
    name = weighed("user", "limit for user_id").blocks[0].fingerprint.hex()[:12]
    judge.committed({0}, [f"[cleared, {name}]"])
    assert last(judge) == Kept(1, 0, 0, 1)


def test_what_is_sent_tells_what_was_removed() -> None:
    """A cleared block is fetchable, a dropped one is not, and a folded one is kept by what the fold says."""
    turns = lineage(
        ["limit for user_id", "sees main_loop.py", "as 48213", "yes", PADDING, "yes", PADDING, "set user_id main_loop.py 48213"]
    )
    blocks = blocks_of(turns)
    messages = list(turns[-1].prompt.messages)
    clear = [untouched(message, place) for place, message in enumerate(messages)]
    clear[0] = Piece(weighed("user", "[cleared]"), 0, 1, [0], cleared=frozenset({0}))
    clear[2:3] = []
    judge = Judge(Index.build(turns, KEEP))
    judge.sent(clear, len(blocks))
    assert judge.turn(3) == Kept(3, 1, 1, 2)
    fold = Piece(weighed("user", "summary: main_loop.py"), 0, 3, [0], folded=True)
    judge.sent([fold, *clear[2:]], len(blocks))
    assert judge.turn(3) == Kept(3, 1, 0, 1)


def test_a_new_commit_replaces_the_one_before() -> None:
    """Texts that no longer stand in the prompt keep nothing."""
    judge = Judge(needing("limit for user_id", "set user_id"))
    judge.committed({0}, ["limit for user_id"], frozenset())
    assert last(judge).in_context == 1
    judge.committed({0}, ["gone"], frozenset())
    assert last(judge).kept == 0


def test_no_turn_needs_nothing() -> None:
    """A lineage without turns has an index."""
    assert Index.build([], KEEP).vocabulary.held("user_id") == set()


SESSIONS = [
    "entireio-cli/2026-01-22-0cf3db51-1c73-43bb-8d05-dc02739514a5.jsonl.gz",
    "entireio-cli/2026-01-13-dc577197-3905-4039-9b27-8ab77a6b087f.jsonl.gz",
]


@pytest.fixture(scope="module", params=SESSIONS)
def session(request: pytest.FixtureRequest, corpus: Path) -> list[list[Turn]]:
    """A recorded session's lineages; a block weighs a quarter of its characters."""
    turns = [turn for transcript in read(corpus / "claude-code" / request.param) for turn in transcript.turns]
    return [list(reweighed([turn for turn in turns if turn.lineage == name])) for name in dict.fromkeys(turn.lineage for turn in turns)]


def reweighed(turns: Sequence[Turn]) -> Iterator[Turn]:
    """The turns of one lineage over one log of weighed messages."""
    log = [Message(m.role, tuple(b.weighed(len(b.text) // 4) for b in m.blocks), m.wire) for m in turns[-1].prompt.messages]
    for turn in turns:
        yield Turn(turn.lineage, Prompt(turn.prompt.settings, turn.prompt.head, Window(log, len(turn.prompt.messages))), answer=turn.answer)


def shortened(turns: Sequence[Turn], say: str) -> Kept:
    """The counts where at each turn everything that was needed from is gone, and a text stands in its place."""
    index = Index.build(turns, 10_000)
    judge = Judge(index)
    blocks = blocks_of(turns)
    kept = Kept()
    for ordinal in range(len(turns)):
        needs = index.needs(ordinal)
        gone: Set[int] = set(range(1 + max((need.occurrences[-1] for need in needs), default=-1)))
        atoms = dict.fromkeys(atom for index in sorted(gone) for atom in atoms_in(spoken(blocks[index])))
        atoms.update(dict.fromkeys(need.atom for need in needs))
        texts = {"list": ["\n".join(atoms)], "line": [" ".join(atoms)], "all": [shown(blocks[index]) for index in sorted(gone)]}
        judge.committed(gone, texts[say], frozenset())
        kept += judge.turn(ordinal)
    return kept


@pytest.mark.parametrize("say", ["list", "line"])
def test_a_list_of_atoms_is_no_memory(session: list[list[Turn]], say: str) -> None:
    """A digest that merely lists all atoms keeps every one, and at most a fifth in context."""
    kept = sum((shortened(turns, say) for turns in session), Kept())
    assert kept.needed > 30
    assert kept.kept == kept.needed
    assert kept.in_context <= 0.2 * kept.needed


def test_a_whole_history_is_a_memory(session: list[list[Turn]]) -> None:
    """A digest that repeats everything keeps everything in context."""
    kept = sum((shortened(turns, "all") for turns in session), Kept())
    assert kept.in_context == kept.kept == kept.needed

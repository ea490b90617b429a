"""A lineage grown, committed and forked in steps is the one built at once."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from holdfast.blocks import Message
from holdfast.edits import Edit, Plan, apply
from holdfast.line import Line
from holdfast.prefix import chain_head
from holdfast.wire import of
from tests.generators import opening
from tests.test_edits import SCRIBE, edited, texts

HEAD = of("anthropic").read_head(opening("anthropic"))


def line_of(messages: Sequence[Message], edits: Sequence[Sequence[Edit]] = ()) -> Line:
    """A line with these messages and one plan after another."""
    line = Line.begin(HEAD)
    line.grow(messages)
    for plan in edits:
        line = line.committed(Plan("test", tuple(plan)), SCRIBE)
    return line


def agrees(line: Line) -> None:
    """What the line keeps at hand is what its ledger gives from the beginning."""
    pieces = apply(line.source, 0, line.ledger.edits, SCRIBE)
    assert [texts(piece) for piece in line.pieces] == [texts(piece) for piece in pieces]
    assert [(piece.start, piece.stop) for piece in line.pieces] == [(piece.start, piece.stop) for piece in pieces]
    blocks = [block for piece in pieces for block in piece.message.blocks]
    assert [block.fingerprint for block in line.sent] == [block.fingerprint for block in (*HEAD, *blocks)]
    chain = chain_head(HEAD)
    for piece in pieces:
        for ordinal, block in enumerate(piece.message.blocks):
            chain.append(block, ordinal == 0)
    assert line.chain.ids[: line.chain.length] == chain.ids
    assert (line.chain.length, len(line.origin), line.tokens) == (chain.length, chain.length, chain.tokens())
    assert line.size == sum(len(message.blocks) for message in line.source)


@given(edited())
def test_a_commit_is_a_replay_of_the_ledger(drawn: tuple[list[Message], list[Edit]]) -> None:
    """All edits at once, or one plan after another in any order of place: the same bytes, and the line before is as it was."""
    messages, edits = drawn
    if not edits:
        return
    before = line_of(messages)
    ids = list(before.chain.ids)
    agrees(line_of(messages, [edits]))
    agrees(line_of(messages, [[edit] for edit in edits]))
    agrees(line_of(messages, [[edit] for edit in reversed(edits)]))
    before.committed(Plan("test", tuple(edits)), SCRIBE)
    assert before.chain.ids == ids
    agrees(before)


@given(edited(), st.integers(1, 20), st.integers(0, 20))
def test_a_fork_shares_and_then_goes_its_own_way(drawn: tuple[list[Message], list[Edit]], at: int, more: int) -> None:
    """It holds the shared messages under the edits that lie in them, and growing it leaves the parent as it was."""
    messages, edits = drawn
    at = min(at, len(messages))
    parent = line_of(messages, [edits] if edits else [])
    ids, pieces = list(parent.chain.ids), list(parent.pieces)
    fork = parent.fork(at, SCRIBE)
    size = sum(len(message.blocks) for message in messages[:at])
    assert fork.ledger.edits == tuple(edit for edit in parent.ledger.edits if edit.stop <= size)
    agrees(fork)
    fork.grow(messages[: min(more, len(messages))])
    agrees(fork)
    assert (parent.chain.ids, parent.pieces) == (ids, pieces)


@given(edited())
def test_places_are_where_blocks_of_the_caller_went(drawn: tuple[list[Message], list[Edit]]) -> None:
    """For each block that is still sent, its ordinal among those sent; what is gone has none."""
    messages, edits = drawn
    line = line_of(messages, [edits] if edits else [])
    wanted = range(len(HEAD) + line.size)
    assert line.places(wanted) == {origin: place for place, origin in enumerate(line.origin) if origin >= 0}


@given(st.lists(st.tuples(st.integers(1, 40), st.floats(0, 1000)), max_size=6), st.integers(0, 40))
def test_the_frontier_is_the_longest_entry_alive(marked: list[tuple[int, float]], length: int) -> None:
    """Entries live until the newest request's lifetime is over, then it begins anew; a mark at or before what is read writes none."""
    line = Line.begin(HEAD)
    alive: set[int] = set()
    until = float("-inf")
    for place, now in sorted(marked, key=lambda pair: pair[1]):
        alive = {place} if now > until else alive | ({place} if place > max(alive) else set())
        until = now + 300
        line.marked([place], now, 300)
        assert line.frontier(length, now + 1) == max((one for one in alive if one <= length), default=None)
        assert line.frontier(length, now + 300) is None

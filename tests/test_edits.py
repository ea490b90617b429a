"""Edits against a naive reference, and the laws of merging and of the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.blocks import Block, Kind, Message
from holdfast.edits import Clear, Drop, Edit, Fold, Piece, Plan, Scribe, apply, untouched
from holdfast.ledger import Committed, Ledger, Withdrawn, merge
from holdfast.wire import of
from tests.generators import Body, conversations

WIRE = of("anthropic")
SCRIBE = Scribe(WIRE.cleared, WIRE.note, lambda block: len(block.text))


def read(body: Body) -> list[Message]:
    """The messages of a body."""
    return [WIRE.read_message(raw) for raw in body["messages"]]


def starts_of(messages: Sequence[Message]) -> list[int]:
    """The block index of each message, and the end."""
    starts = [0]
    for message in messages:
        starts.append(starts[-1] + len(message.blocks))
    return starts


@st.composite
def edited(draw: st.DrawFn) -> tuple[list[Message], list[Edit]]:
    """A history and edits in order that do not overlap: whole messages are folded or dropped, single blocks cleared."""
    messages = read(draw(conversations(max_turns=4))[-1])
    starts, edits, at = starts_of(messages), list[Edit](), 0
    while at < len(messages):
        what = draw(st.sampled_from(["keep", "keep", "fold", "drop", "clear"]))
        stop = min(len(messages), at + draw(st.integers(1, 3)))
        if what == "clear":
            stop = at + 1
            edits += [
                Clear(starts[at] + n, f"[cleared {n}]")
                for n, block in enumerate(messages[at].blocks)
                if block.kind in (Kind.TEXT, Kind.TOOL_USE, Kind.TOOL_RESULT) and draw(st.booleans())
            ]
        elif what != "keep":
            edits.append(Fold(starts[at], starts[stop], f"folded {at}") if what == "fold" else Drop(starts[at], starts[stop]))
        at = stop
    return messages, edits


def naive(messages: Sequence[Message], edits: Sequence[Edit]) -> list[list[str]]:
    """The text of every block that is sent, by message, found block by block."""
    sent: list[list[str]] = []
    index = 0
    for message in messages:
        texts: list[str] = []
        for block in message.blocks:
            hit = next((edit for edit in edits if edit.start <= index < edit.stop), None)
            if hit is None:
                texts.append(block.text)
            elif isinstance(hit, Clear) or (isinstance(hit, Fold) and index == hit.start):
                texts.append(hit.text)
            index += 1
        if texts:
            sent.append(texts)
    return sent


@given(edited())
def test_applying_is_what_the_naive_way_gives(drawn: tuple[list[Message], list[Edit]]) -> None:
    """Message by message the same texts, and each piece stands for the blocks that it says."""
    messages, edits = drawn
    pieces = apply(messages, 0, edits, SCRIBE)
    assert [[block.text for block in piece.message.blocks] for piece in pieces] == naive(messages, edits)
    blocks = [block for message in messages for block in message.blocks]
    for piece in pieces:
        for index, block in zip(piece.indices, piece.message.blocks, strict=True):
            verbatim = not piece.folded and index not in piece.cleared
            assert (block is blocks[index]) == verbatim


@given(edited())
def test_what_no_edit_touches_is_the_same_object(drawn: tuple[list[Message], list[Edit]]) -> None:
    """Untouched messages are not copied."""
    messages, edits = drawn
    for piece in apply(messages, 0, edits, SCRIBE):
        if not any(edit.start < piece.stop and piece.start < edit.stop for edit in edits):
            assert any(piece.message is message for message in messages)
            assert not piece.message.edited


@given(edited(), st.integers(0, 20))
def test_applying_from_a_later_message_gives_the_end(drawn: tuple[list[Message], list[Edit]], cut: int) -> None:
    """The rest of a history can be edited by itself where no edit reaches over the gap."""
    messages, edits = drawn
    starts = starts_of(messages)
    at = min(cut, len(messages))
    if any(edit.start < starts[at] < edit.stop for edit in edits):
        return
    whole, rest = (
        apply(messages, 0, edits, SCRIBE),
        apply(messages[at:], starts[at], [edit for edit in edits if edit.start >= starts[at]], SCRIBE),
    )
    assert [texts(piece) for piece in whole if piece.start >= starts[at]] == [texts(piece) for piece in rest]


def texts(piece: Piece) -> list[str]:
    """The texts of a piece."""
    return [block.text for block in piece.message.blocks]


def test_thinking_alone_can_be_dropped_from_a_message() -> None:
    """The rest of the message stays."""
    message = WIRE.read_message(
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "text", "text": "yes"}]}
    )
    (piece,) = apply([message], 5, [Drop(5, 6)], SCRIBE)
    assert texts(piece) == ["yes"]
    assert (piece.start, piece.stop, list(piece.indices)) == (5, 7, [6])
    assert apply([message], 5, [Drop(5, 7)], SCRIBE) == []
    assert untouched(message, 5).indices == range(5, 7)


# -- the ledger


def spanned(start: int) -> st.SearchStrategy[Edit]:
    """Edits that begin at a block."""
    choices: list[Edit] = [Clear(start, "x"), Fold(start, start + 4, "y"), Drop(start, start + 2), Fold(start, start + 9, "z")]
    return st.sampled_from(choices)


def nested(edits: Sequence[Edit]) -> bool:
    """Whether of any two edits one holds the other or they are apart, as plans guarantee."""
    return all(
        a.stop <= b.start or b.stop <= a.start or (b.start <= a.start and a.stop <= b.stop) for n, b in enumerate(edits) for a in edits[:n]
    )


def nests(most: int, least: int = 0) -> st.SearchStrategy[list[Edit]]:
    """Edits as plans make them, one after another."""
    edit: st.SearchStrategy[Edit] = st.integers(0, 30).flatmap(spanned)
    return st.lists(edit, min_size=least, max_size=most).filter(nested)


@given(nests(8))
def test_merged_edits_are_in_order_and_apart(edits: list[Edit]) -> None:
    """Where each later edit holds or avoids the earlier ones, the result never overlaps, and merging it again changes nothing."""
    merged = merge(edits)
    assert all(a.stop <= b.start for a, b in pairwise(merged))
    assert merge(merged) == merged
    covered = {index for edit in edits for index in range(edit.start, edit.stop)}
    assert {index for edit in merged for index in range(edit.start, edit.stop)} == covered
    assert all(edits[-1] in merged for _ in edits[:1])


@given(nests(8), st.integers(0, 8))
def test_committing_in_steps_is_committing_at_once(edits: list[Edit], cut: int) -> None:
    """Ledgers only grow, and their edits depend on the order of edits alone."""
    ledger = Ledger()
    for edit in edits:
        longer = ledger.commit(Plan("x", (edit,)))
        assert longer.entries[:-1] == ledger.entries
        ledger = longer
    assert ledger.edits == merge(edits)
    assert [entry.number for entry in ledger.entries] == list(range(len(edits)))


@given(nests(6, 1), st.data())
def test_a_withdrawal_is_an_entry_and_gives_back_what_was_before(edits: list[Edit], data: st.DataObject) -> None:
    """The record grows; the edits are those of the other plans."""
    ledger = Ledger()
    for edit in edits:
        ledger = ledger.commit(Plan("x", (edit,)))
    number = data.draw(st.integers(0, len(edits) - 1))
    after = ledger.withdraw(number)
    assert after.entries == (*ledger.entries, Withdrawn(number))
    assert after.edits == merge(edit for n, edit in enumerate(edits) if n != number)
    assert after.commit(Plan("y", (edits[0],))).entries[-1].number == len(edits) + 1


def test_only_a_plan_can_be_withdrawn() -> None:
    """A number nobody has is an error."""
    with pytest.raises(LookupError):
        Ledger().withdraw(0)
    twice = Ledger().commit(Plan("x", (Clear(1, "x"),))).withdraw(0)
    with pytest.raises(LookupError):
        twice.withdraw(1)


@given(nests(8), st.integers(0, 40))
def test_a_fork_inherits_what_lies_within_it(edits: list[Edit], length: int) -> None:
    """Wholly within the shared blocks, and nothing else."""
    ledger = Ledger(tuple(Committed(n, Plan("x", (edit,))) for n, edit in enumerate(edits)))
    inherited = ledger.inherited(length)
    assert inherited.edits == tuple(edit for edit in ledger.edits if edit.stop <= length)
    assert len(inherited.entries) <= 1


def test_a_block_knows_its_weight_after_an_edit() -> None:
    """Placeholders and notes are weighed as they are written."""
    block: Block = WIRE.read_message({"role": "user", "content": "a long story"}).blocks[0]
    assert SCRIBE.clear(block, "short").tokens == 5
    assert [block.tokens for block in SCRIBE.fold("a note").blocks] == [6]

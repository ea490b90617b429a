"""Saved lineages: what is written comes back equal, and what was damaged is refused, never half read."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.edits import Clear, Drop, Edit, Fold, Insert, Plan
from holdfast.errors import StoreError
from holdfast.ledger import Ledger
from holdfast.saved import EDITS, FORMAT, Saved
from holdfast.transcript import Dialect

texts = st.text(st.characters(codec=None, exclude_categories=()), max_size=12)  # lone surrogates too
places = st.integers(0, 10**6)
edits: st.SearchStrategy[Edit] = st.one_of(
    st.builds(Clear, places, texts),
    st.builds(Fold, places, places, texts),
    st.builds(Drop, places, places),
    st.builds(Insert, places, texts, st.booleans()),
)


@st.composite
def ledgers(draw: st.DrawFn) -> Ledger:
    """Commits, and now and then one taken back."""
    ledger = Ledger()
    for _ in range(draw(st.integers(0, 4))):
        number = len(ledger.entries)
        ledger = ledger.commit(Plan(draw(texts), tuple(draw(st.lists(edits, max_size=4))), draw(texts)))
        if draw(st.booleans()):
            ledger = ledger.withdraw(number)
    return ledger


lineages: st.SearchStrategy[Saved] = st.builds(
    Saved,
    root=st.binary(max_size=16).map(bytes.hex),
    messages=places,
    ledger=ledgers(),
    listed=st.lists(places, max_size=3).map(tuple),
    warm=st.lists(places, max_size=3).map(tuple),
    warm_until=st.floats(allow_nan=False),
    sent_length=places,
    rearmed_at=places,
    turns=places,
    model=texts,
    dialect=st.sampled_from(get_args(Dialect)),
    version=st.integers(1, 100),
    lineage=texts,
    drops_thinking=st.booleans(),
)

LEDGER = (
    Ledger().commit(Plan("micro", (Clear(3, "gone"), Drop(4, 6)))).commit(Plan("full", (Fold(7, 9, "told"), Insert(9, "new")))).withdraw(0)
)
SAVED = Saved("ab" * 16, 9, LEDGER, (1,), (4, 8), 1_760_000_300.5, 12, 900, 5, "claude-opus-5-5", "anthropic", 3, "l1")


@given(lineages)
def test_what_was_written_comes_back(saved: Saved) -> None:
    """Equal in every field and of the same types, through ASCII text."""
    text = saved.to_json()
    assert text.isascii()
    again = Saved.from_json(text)
    assert again == saved
    assert again.to_json() == text
    assert again.ledger.edits == saved.ledger.edits


def test_the_text_is_what_other_programs_call_json() -> None:
    """Also a lineage that has nothing warm, whose time is before all time, has no number in it that JSON does not know."""

    def refused(name: str) -> Any:
        raise AssertionError(name)

    never = Saved("", 0, Ledger(), (), (), float("-inf"), 0, 0, 0, "", "openai-chat", 1, "")
    assert json.loads(never.to_json(), parse_constant=refused)["warm_until"] == "-inf"


def test_every_kind_of_edit_can_be_saved() -> None:
    """A new kind needs its line in the table."""
    assert set(EDITS.values()) == set(get_args(Edit))


@given(st.data())
def test_a_text_cut_short_is_refused(data: st.DataObject) -> None:
    """Wherever it ends."""
    text = SAVED.to_json()
    with pytest.raises(StoreError):
        Saved.from_json(text[: data.draw(st.integers(0, len(text) - 1))])


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every value in a document, lists and objects included."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(way for name, item in items for way in leaves(item, (*path, name)))]


DOCUMENT: Any = SAVED.document()
WAYS = [way for way in leaves(DOCUMENT) if way]
WRONG: st.SearchStrategy[Any] = st.sampled_from([None, True, -1, 0.5, "x", [], {}, [None], float("nan")])


def at(document: Any, way: tuple[Any, ...]) -> Any:
    """What stands there."""
    for name in way:
        document = document[name]
    return document


@given(way=st.sampled_from(WAYS), wrong=WRONG)
def test_a_value_of_another_type_is_refused(way: tuple[Any, ...], wrong: Any) -> None:
    """In any place of the document; a flag is no number, and a number no flag."""
    document = json.loads(SAVED.to_json())
    if type(at(document, way)) is type(wrong) and wrong == wrong:
        return
    at(document, way[:-1])[way[-1]] = wrong
    with pytest.raises(StoreError):
        Saved.from_json(json.dumps(document))


@given(way=st.sampled_from([way for way in WAYS if isinstance(at(DOCUMENT, way), dict)] + [()]), data=st.data())
def test_a_field_too_many_or_too_few_is_refused(way: tuple[Any, ...], data: st.DataObject) -> None:
    """Nothing is filled in, and nothing is passed over."""
    document = json.loads(SAVED.to_json())
    inside = at(document, way)
    name = data.draw(st.sampled_from([*inside, "more"]))
    if name in inside:
        del inside[name]
    else:
        inside[name] = 1
    with pytest.raises(StoreError):
        Saved.from_json(json.dumps(document))


@pytest.mark.parametrize(
    ("way", "value", "why"),
    [
        (("format",), FORMAT + 1, "newer Holdfast"),
        (("format",), 0, "never was"),
        (("dialect",), "esperanto", "no dialect"),
        (("warm_until",), "soon", "warm_until"),
        (("ledger", 0, "edits", 0, "edit"), "twist", "no edit is known as 'twist'"),
        (("ledger", 0, "commit"), 1, "cannot be"),
        (("ledger", 2, "withdraw"), 2, "cannot be"),
    ],
)
def test_what_cannot_be_is_refused(way: tuple[Any, ...], value: Any, why: str) -> None:
    """A newer format, an unknown word, a number that does not fit its place; the message says which."""
    document = json.loads(SAVED.to_json())
    at(document, way[:-1])[way[-1]] = value
    with pytest.raises(StoreError, match=why):
        Saved.from_json(json.dumps(document))


def test_what_the_provider_wrote_is_kept_and_older_folds_are_still_read() -> None:
    """A fold keeps the provider's own JSON; one that was saved before folds had any is read as one without."""
    own = Fold(0, 9, "told", '{"role":"assistant","content":[{"type":"compaction","signature":"ä"}]}')
    saved = replace(SAVED, ledger=Ledger().commit(Plan("full", (own,))))
    assert Saved.from_json(saved.to_json()) == saved
    plain = replace(SAVED, ledger=Ledger().commit(Plan("full", (Fold(0, 9, "told"),))))
    assert '"wire"' not in plain.to_json()
    assert Saved.from_json(plain.to_json()) == plain

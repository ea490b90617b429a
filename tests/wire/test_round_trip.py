"""What every dialect's reading and writing must hold to: bytes that came in go out."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast.blocks import Block, Kind, Mark, Message, Prompt, Role
from holdfast.frozen import FrozenDict, FrozenList
from holdfast.transcript import Dialect
from holdfast.wire import Wire, of
from tests.wire.bodies import KEYS, TTLS, any_body

Body = dict[str, Any]
quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def text(value: object) -> str:
    """JSON with its keys in their order."""
    return json.dumps(value, ensure_ascii=False)


def without_marks(value: object, key: str) -> Any:
    """The JSON without this key, wherever it stands; an object that holds nothing else (a cache point) is gone."""
    if isinstance(value, dict):
        return {name: without_marks(item, key) for name, item in value.items() if name != key}
    return [without_marks(item, key) for item in value if not _only(item, key)] if isinstance(value, list) else value


def _only(item: object, key: str) -> bool:
    return isinstance(item, dict) and [*item] == [key]


def carriers(wire: Wire, prompt: Prompt) -> list[int]:
    """The positions of blocks that may carry a mark."""
    return [place for place, block in enumerate(prompt.blocks) if wire.takes_mark(block)]


@quick
@given(any_body())
def test_a_body_that_is_read_and_written_keeps_its_bytes(made: tuple[Dialect, Body]) -> None:
    """Reading a body and writing it with its own marks gives the same JSON text, key by key, and leaves the caller's object alone."""
    dialect, body = made
    wire, before = of(dialect), copy.deepcopy(body)
    out = wire.write(body, wire.read(body), wire.read_marks(body))
    assert text(out) == text(body)
    assert text(body) == text(before)


@quick
@given(any_body())
def test_an_unmarked_message_goes_out_as_the_frozen_object_it_was_read_into(made: tuple[Dialect, Body]) -> None:
    """What was neither edited nor marked is not copied."""
    dialect, body = made
    wire = of(dialect)
    prompt = wire.read(body)
    out = wire.write(body, prompt)[wire.messages_key]
    if isinstance(out, list):
        for message, written in zip(prompt.messages, out[wire.leading(body) :], strict=True):
            assert written is message.wire
            assert isinstance(written, FrozenDict)


@quick
@given(any_body())
def test_writing_without_marks_leaves_none_and_changes_nothing_else(made: tuple[Dialect, Body]) -> None:
    """The caller's marks are gone from head and messages alike, so that a planner's marks are all there are."""
    dialect, body = made
    wire = of(dialect)
    assistant_keeps = dialect.startswith("openai")  # OpenAI's marks cannot stand on an answer, where the key is somebody else's
    out = wire.write(body, wire.read(body))
    expected = without_marks(body, KEYS[dialect])
    if assistant_keeps and isinstance(body[wire.messages_key], list):
        out = without_marks(out, KEYS[dialect])
    assert text(out) == text(expected)
    assert wire.read_marks(out) == ()


@quick
@given(any_body(), st.data())
def test_a_mark_is_read_where_it_was_written(made: tuple[Dialect, Body], data: st.DataObject) -> None:
    """Marks put on any blocks that may carry one come back at the same positions with the same lifetimes; the texts stay."""
    dialect, raw = made
    wire = of(dialect)
    body = without_marks(raw, KEYS[dialect])
    prompt = wire.read(body)
    ttls = st.sampled_from(TTLS[dialect])
    places = data.draw(st.lists(st.sampled_from(found), max_size=4, unique=True)) if (found := carriers(wire, prompt)) else []
    marks = tuple(Mark(place, data.draw(ttls)) for place in sorted(places))
    out = wire.write(body, prompt, marks)
    assert wire.read_marks(out) == marks
    assert [block.text for block in wire.read(out).blocks] == [block.text for block in prompt.blocks]
    assert [block.kind for block in wire.read(out).blocks] == [block.kind for block in prompt.blocks]


@quick
@given(any_body())
def test_a_mark_makes_a_list_of_a_bare_string_and_of_nothing_else(made: tuple[Dialect, Body]) -> None:
    """A message that carries a mark is, the mark apart, its listed form; that is another form only where a string bore it."""
    dialect, raw = made
    wire = of(dialect)
    for message in wire.read(without_marks(raw, KEYS[dialect])).messages:
        for index, block in enumerate(message.blocks):
            if wire.takes_mark(block):
                marked = wire.write_message(message, {index: TTLS[dialect][0]})
                assert text(without_marks(marked, KEYS[dialect])) == text(wire.listed(message.wire))
                assert wire.is_bare(block) == (text(wire.listed(message.wire)) != text(message.wire))


@quick
@given(any_body())
def test_what_takes_no_mark_is_written_without_one(made: tuple[Dialect, Body]) -> None:
    """Neither thinking nor an empty text, and in OpenAI's dialects nothing that the model said and no tool, is offered a mark."""
    dialect, body = made
    wire = of(dialect)
    for block in wire.read(body).blocks:
        if block.kind is Kind.THINKING or (block.kind is Kind.TEXT and not block.text.strip()):
            assert not wire.takes_mark(block)
        if dialect.startswith("openai") and block.role in (Role.ASSISTANT, Role.TOOLS):
            assert not wire.takes_mark(block)


@quick
@given(any_body())
def test_a_prompt_has_a_block_for_everything(made: tuple[Dialect, Body]) -> None:
    """All blocks are frozen and told apart by their bytes, and bodies with equal bytes give equal prompts."""
    dialect, body = made
    wire = of(dialect)
    one, two = wire.read(body), wire.read(json.loads(text(body)))
    assert [block.fingerprint for block in one.blocks] == [block.fingerprint for block in two.blocks]
    assert one == two
    for block in one.blocks:
        assert isinstance(block.wire, FrozenDict | FrozenList | str | None)


def clearable(message: Message) -> list[int]:
    """The blocks of a message whose content a strategy may clear."""
    return [i for i, block in enumerate(message.blocks) if block.kind in (Kind.TOOL_USE, Kind.TOOL_RESULT, Kind.TEXT)]


def others(message: Message, index: int) -> Sequence[Block]:
    """The blocks but one."""
    return [*message.blocks[:index], *message.blocks[index + 1 :]]


@quick
@given(any_body(), st.text("[cleared: 1,234 tokens…]", min_size=1, max_size=8))
def test_a_cleared_message_keeps_all_but_the_content(made: tuple[Dialect, Body], placeholder: str) -> None:
    """Clearing a block keeps its kind, its ids, its neighbours and everything else in the message; the placeholder is in it."""
    dialect, body = made
    wire = of(dialect)
    for message in wire.read(body).messages:
        for index in clearable(message):
            block = wire.cleared(message.blocks[index], placeholder)
            edited = replace(message, blocks=(*message.blocks[:index], block, *message.blocks[index + 1 :]), edited=True)
            written = wire.write_message(edited, {})
            again = wire.read_message(written)
            found = again.blocks[index]
            assert (found.kind, found.role, found.call, found.tool) == (block.kind, block.role, block.call, message.blocks[index].tool)
            assert placeholder in text(found.wire)
            assert [b.text for b in others(again, index)] == [b.text for b in others(message, index)]
            assert list(written) == list(message.wire)
            changed = {key for key in written if text(written[key]) != text(message.wire[key])}
            assert len(changed) <= 1


@quick
@given(any_body().map(lambda made: made[0]), st.text(min_size=1, max_size=20))
def test_a_note_is_a_users_message_with_that_text(dialect: Dialect, words: str) -> None:
    """A note reads back as one text block of the user's, whatever is in it, and can carry a mark."""
    wire = of(dialect)
    note = wire.note(words)
    again = wire.read_message(json.loads(text(note.wire)))
    assert again == note
    assert (note.role, [block.kind for block in note.blocks], note.blocks[0].text) == (Role.USER, [Kind.TEXT], words)
    marked = wire.write_message(note, {0: 1800})
    assert KEYS[dialect] in text(marked)

"""The recall tool: by the names in what a strategy left behind, the originals come back word for word."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from typing import Any, get_args

import pytest
from anthropic.types import ToolParam
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionFunctionToolParam
from openai.types.responses import FunctionToolParam
from pydantic import TypeAdapter

from holdfast import checker, recall
from holdfast.blocks import Block, Kind, Role, make_block
from holdfast.edits import Clear, Drop
from holdfast.errors import InputError, StoreError
from holdfast.recall import PAGE
from holdfast.store import FileStore, MemoryStore, key, stretch
from holdfast.strategies import named
from holdfast.transcript import Dialect
from holdfast.wire import of
from tests.generators import PIXEL
from tests.generators import conversations as bodies_of
from tests.strategies.conversations import conversations
from tests.strategies.test_contract import SLOW, every_strategy, proposed
from tests.strategies.views import goal, read, view_of

DIALECTS: tuple[Dialect, ...] = get_args(Dialect)
GENERATED: tuple[checker.Dialect, ...] = ("anthropic", "openai-chat", "openai-responses")
NAMED = re.compile(r"\bhash ([0-9a-f]+)")
NOTE = re.compile(r"\n\[holdfast: this is ([\d,]+) to ([\d,]+) of [\d,]+ characters(?:; to read on, .* start (\d+))?\]\Z")
LEFT_OUT = "\n[holdfast: 1 image or document left out]"
every_dialect = pytest.mark.parametrize("dialect", DIALECTS)


def block(wire: Any) -> Block:
    """A block of this JSON."""
    return make_block(Kind.TEXT, Role.USER, wire)


def kept(*wires: Any) -> tuple[MemoryStore, list[str]]:
    """A store that holds these, and their names."""
    store, blocks = MemoryStore(), list(map(block, wires))
    store.put(blocks)
    return store, [key(one) for one in blocks]


def whole(store: MemoryStore, name: str) -> str:
    """All pages of a content, put together as the notes say."""
    ask, text, start = recall.handler(store), "", 0
    while True:
        page = ask({"id": name, "start": start})
        note = NOTE.search(page)
        text += page[: note.start()] if note else page
        if note is None or note[3] is None:
            return text
        assert len(page) <= PAGE + 200
        assert int(note[1].replace(",", "")) == start < int(note[3]) == int(note[2].replace(",", "")) == len(text)
        start = int(note[3])


# -- what strategies leave


@every_strategy
@SLOW
@given(messages=conversations(), share=st.sampled_from([0.05, 0.3, 0.6]))
def test_the_names_in_what_a_strategy_left_bring_back_what_stood_there(
    name: str, config: dict[str, Any], messages: list[dict[str, Any]], share: float
) -> None:
    """A cleared block comes back word for word by the one name in its placeholder; so does each block that a fold names."""
    view = view_of(read(messages))
    plan = proposed(named(name, **config), view, goal(view, share))
    store = MemoryStore()
    store.put(view.source)
    for edit in plan.edits if plan else ():
        names = [] if isinstance(edit, Drop) else NAMED.findall(edit.text)
        if isinstance(edit, Clear):
            assert names == [key(view.source[edit.block])]
        originals = {key(one): one for one in (view.source if "as last read" in str(edit) else view.source[edit.start : edit.stop])}
        for one in names:
            assert whole(store, one).removesuffix(LEFT_OUT) == originals[one].text


@pytest.mark.parametrize("dialect", GENERATED)
@settings(max_examples=15)
@given(data=st.data())
def test_every_text_comes_back_as_it_stood(dialect: checker.Dialect, data: st.DataObject) -> None:
    """Whatever block a dialect reads: words, thinking, the input of a call, a result; what is no text says at least what it was."""
    body = data.draw(bodies_of(dialect, max_turns=4))[-1]
    store = MemoryStore()
    blocks = [one for message in of(dialect).read(body).messages for one in message.blocks]
    store.put(blocks)
    for one in blocks:
        text = whole(store, key(one))
        assert text == one.text if one.text else text


def test_a_stretch_brings_back_all_that_it_names() -> None:
    """In order, each under its own name; what is gone says so."""
    store, names = kept("first words", {"type": "tool_result", "tool_use_id": "t", "content": "found"})
    gone = block("never put")
    folded = stretch([block("first words"), block({"type": "tool_result", "tool_use_id": "t", "content": "found"}), gone])
    store.put([folded])
    text = recall.handler(store)({"id": key(folded)})
    assert text.startswith(f"[hash {names[0]}]\nfirst words\n\n[hash {names[1]}]\nfound\n\n[hash {key(gone)}]\n[holdfast: no longer")


# -- long contents


@given(lines=st.lists(st.integers(0, 3 * PAGE), min_size=1, max_size=6))
def test_long_contents_come_in_pages_that_make_the_whole(lines: list[int]) -> None:
    """Whether they have lines or not; a page ends where a line does, if it can."""
    text = "\n".join("x" * length for length in lines) or "x"
    store, (name,) = kept(text)
    assert whole(store, name) == text
    page = recall.handler(store)({"id": name})
    if len(text) > PAGE:
        stop = int(NOTE.search(page)[3])  # type: ignore[index]
        assert stop == PAGE or text[stop - 1] == "\n"


def test_a_query_gives_its_lines_and_where_they_are() -> None:
    """Whatever their case; the position leads to the line."""
    text = "\n".join(f"{n}: nothing" if n % 7 else f"{n}: The Kelp lets go" for n in range(50))
    store, (name,) = kept(text)
    *lines, note = recall.handler(store)({"id": name, "query": " kelp "}).splitlines()
    assert [line.split(": ", 1)[1] for line in lines] == [f"{n}: The Kelp lets go" for n in range(0, 50, 7)]
    place = int(lines[3].split(":")[0])
    assert recall.handler(store)({"id": name, "start": place}).startswith("21: The Kelp lets go\n22: nothing")
    assert "8 lines hold 'kelp'" in note
    assert recall.handler(store)({"id": name, "query": "otter"}).startswith("[holdfast: 0 lines hold 'otter'")
    store, (name,) = kept("kelp " * 100_000 + "\n" + "kelp\n" * 10_000)
    answer = recall.handler(store)({"id": name, "query": "kelp"})
    assert len(answer) < PAGE + 500
    assert "10,001 lines hold 'kelp'; the first 1," in answer


# -- what is no text


IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
SHOT = {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "the reef"}, IMAGE]}


def test_images_come_back_as_images_where_the_dialect_has_them() -> None:
    """Elsewhere a note says that something is missing; nobody gets base64 as text."""
    store, (shot, image) = kept(SHOT, IMAGE)
    call = {"type": "tool_use", "id": "c", "name": "recall", "input": {"id": shot}}
    assert recall.answer(store, call, "anthropic")["content"] == SHOT["content"]
    assert recall.answer(store, {**call, "input": {"id": image}}, "anthropic")["content"] == [IMAGE]
    assert recall.handler(store)({"id": shot}) == "the reef\n[holdfast: 1 image or document left out]"
    assert recall.handler(store)({"id": image}) == "[holdfast: 1 image or document left out]"
    shown = {"toolResult": {"toolUseId": "t", "content": [{"text": "the reef"}, {"image": {"format": "png", "source": {"bytes": PIXEL}}}]}}
    store, (name,) = kept(shown)
    given = {"toolUse": {"toolUseId": "c", "name": "recall", "input": {"id": name}}}
    assert recall.answer(store, given, "bedrock-converse")["toolResult"]["content"] == shown["toolResult"]["content"]
    assert recall.answer(store, {**call, "input": {"id": name}}, "anthropic")["content"] == f"the reef{LEFT_OUT}"
    seen = {
        "type": "function_call_output",
        "call_id": "x",
        "output": [{"type": "input_image", "image_url": f"data:image/png;base64,{PIXEL}"}],
    }
    store, (name,) = kept(seen)
    item = {"type": "function_call", "call_id": "c", "name": "recall", "arguments": json.dumps({"id": name})}
    assert recall.answer(store, item, "openai-responses")["output"] == seen["output"]


def test_an_unknown_block_comes_back_as_its_json() -> None:
    """Without the data that nobody reads; an empty content says that it is."""
    store, names = kept({"type": "hologram", "payload": {"data": "A" * 5_000, "n": 1}}, "")
    assert json.loads(recall.handler(store)({"id": names[0]})) == {
        "type": "hologram",
        "payload": {"data": "[5,000 characters of data]", "n": 1},
    }
    assert recall.handler(store)({"id": names[1]}) in ('""', "[holdfast: the content is empty]")


# -- what models and stores do


class Failing(MemoryStore):
    """A third party's store on a bad day."""

    def get(self, name: str) -> Any:
        """Fails with an error that is none of ours."""
        raise OSError(f"/home/someone/{name}: no")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5), lambda one: st.lists(one, max_size=2)
)
inputs = json_values | st.dictionaries(st.sampled_from(["id", "query", "start", "more"]), json_values | st.just("0123456789ab"), max_size=4)


@given(given=inputs, as_text=st.booleans())
def test_no_input_makes_it_raise(given: Any, as_text: bool) -> None:
    """The model is told what is wrong, in a sentence."""
    for store in (MemoryStore(), Failing(), kept("the reef\n" * 5)[0]):
        assert recall.handler(store)(json.dumps(given) if as_text else given).startswith("[holdfast: ")


@pytest.mark.parametrize("form", ["{}", " {} ", "hash {}", "[holdfast: cleared · hash {} · read it again]", "#{}."])
def test_the_name_may_stand_in_what_a_model_makes_of_it(form: str) -> None:
    """As it stands in the placeholder, or with words around it, in capitals, or in full."""
    store, (name,) = kept("the reef")
    whole_name = block("the reef").fingerprint.hex()
    for one in (name, name.upper(), whole_name):
        assert recall.handler(store)({"id": form.format(one)}) == "the reef"


def test_what_is_not_there_is_said() -> None:
    """An unknown name, none at all, a place behind the end, a store that fails: each its own sentence, and no path in it."""
    store, (name,) = kept("the reef")
    ask = recall.handler(store)
    assert "nothing is kept under 000000000000" in ask({"id": "0" * 12})
    assert "needs an id" in ask({"id": "the second file"})
    assert f"the content {name} has 8 characters" in ask({"id": name, "start": 8})
    said = recall.handler(Failing())({"id": name})
    assert f"{name} could not be read" in said
    assert "/home" not in said


def test_a_closed_file_is_said_too(tmp_path: Any) -> None:
    """Our own errors reach the model as a sentence like everybody's."""
    store = FileStore(tmp_path / "s.sqlite")
    store.close()
    with pytest.raises(StoreError):
        store.get("0" * 12)
    assert "could not be read" in recall.handler(store)({"id": "0" * 12})


# -- on the wire

TYPES: Mapping[Dialect, Any] = {
    "anthropic": ToolParam,
    "openai-chat": ChatCompletionFunctionToolParam,
    "openai-responses": FunctionToolParam,
    "bedrock-converse": dict[str, dict[str, Any]],  # botocore has no types
}


def walked(value: Any) -> list[Any]:
    """An object and all objects in it."""
    return [value, *(inside for item in value.values() for inside in walked(item))] if isinstance(value, dict) else []


@every_dialect
def test_the_definition_is_a_tool_of_the_dialect_and_always_the_same(dialect: Dialect) -> None:
    """The SDK's own type takes it, and whoever changes one copy changes no other."""
    tool = recall.definition(dialect)
    before = json.dumps(tool)
    assert TypeAdapter(TYPES[dialect]).validate_python(tool)
    schema = next(inside for inside in walked(tool) if "required" in inside)
    assert schema["required"] == ["id"]
    schema["properties"].clear()
    assert json.dumps(recall.definition(dialect)) == before


CALLS: Mapping[Dialect, Any] = {
    "anthropic": lambda given: {"type": "tool_use", "id": "c1", "name": "recall", "input": given},
    "openai-chat": lambda given: {"id": "c1", "type": "function", "function": {"name": "recall", "arguments": json.dumps(given)}},
    "openai-responses": lambda given: {"type": "function_call", "call_id": "c1", "name": "recall", "arguments": json.dumps(given)},
    "bedrock-converse": lambda given: {"toolUse": {"toolUseId": "c1", "name": "recall", "input": given}},
}


class Made:
    """An SDK's object for a call."""

    def __init__(self, call: Mapping[str, Any]) -> None:
        self._call = call

    def model_dump(self) -> Mapping[str, Any]:
        """Its JSON."""
        return self._call


@every_dialect
def test_an_answer_closes_its_call(dialect: Dialect) -> None:
    """The wire takes it for the result of that call, with the content as its text; for JSON and for the SDK's object."""
    store, (name,) = kept("the reef")
    call = CALLS[dialect]({"id": name})
    result = recall.answer(store, call, dialect)
    assert recall.answer(store, Made(call), dialect) == result
    message = {"role": "user", "content": [result]} if dialect in ("anthropic", "bedrock-converse") else result
    (read_back,) = of(dialect).read_message(message).blocks
    assert (read_back.kind, read_back.call, read_back.text) == (Kind.TOOL_RESULT, "c1", "the reef")
    lost = recall.answer(store, CALLS[dialect]({"id": "0" * 12}), dialect)
    assert ("error" in json.dumps(lost)) == (dialect in ("anthropic", "bedrock-converse"))
    assert "nothing is kept" in json.dumps(lost)


@every_dialect
@pytest.mark.parametrize(
    "call", [{}, {"name": "Read", "id": "c1", "call_id": "c1", "function": {"name": "Read"}}, {"name": "recall"}, {"toolUse": 7}]
)
def test_what_is_no_call_of_it_gets_no_answer(dialect: Dialect, call: Mapping[str, Any]) -> None:
    """A result for another tool's call would be a lie."""
    with pytest.raises(InputError, match="no call of the tool 'recall'"):
        recall.answer(MemoryStore(), call, dialect)


def test_the_sdks_tool_runner_takes_it() -> None:
    """Both kinds, with the definition's own bytes."""
    store, (name,) = kept("the reef\nthe kelp")
    tool, later = recall.runnable(store), recall.async_runnable(store)
    assert tool.to_dict() == later.to_dict() == recall.definition("anthropic")
    assert tool.call({"id": name}) == asyncio.run(later.call({"id": name})) == "the reef\nthe kelp"
    assert str(tool.call({"id": name, "query": "kelp"})).startswith("9: the kelp\n")

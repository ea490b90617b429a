"""Plain conversations in either form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from holdfast.blocks import Kind
from holdfast.errors import Unreadable
from holdfast.readers import plain
from holdfast.readers.conversations import turns_of
from holdfast.readers.sample import take
from holdfast.wire.anthropic import WIRE
from tests.wire.bodies import ANTHROPIC

HELLO = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]
RESULT = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "x"}]}


def save(folder: Path, *documents: Any) -> Path:
    """One document a line."""
    path = folder / "file"
    path.write_text("".join(json.dumps(document) + "\n" for document in documents))
    return path


@settings(max_examples=60, deadline=None)
@given(ANTHROPIC)
def test_each_answer_is_a_turn_of_what_stood_before_it(body: dict[str, Any]) -> None:
    """A turn's prompt is the conversation up to its answer, byte for byte, with the system and the tools as its head."""
    for turn in turns_of(body, "anthropic"):
        sent = {**body, "messages": body["messages"][: len(turn.prompt.messages)]}
        assert json.dumps(WIRE.write(sent, turn.prompt, WIRE.read_marks(sent))) == json.dumps(sent)
        assert turn.prompt.head == WIRE.read_head(body)


@pytest.mark.parametrize(
    ("body", "dialect"),
    [
        ({"messages": HELLO}, "anthropic"),
        ({"messages": HELLO, "model": "claude-sonnet-4-5"}, "anthropic"),
        ({"messages": HELLO, "model": "gpt-5.5"}, "openai-chat"),
        ({"messages": HELLO, "model": "gpt-5.5", "system": "x"}, "anthropic"),
        ({"messages": [*HELLO, RESULT], "model": "glm-5"}, "anthropic"),
        ({"messages": [{"role": "developer", "content": "x"}, *HELLO], "model": "claude-sonnet-4-5"}, "openai-chat"),
        ({"messages": HELLO, "tools": [{"name": "f", "input_schema": {}}], "model": "glm-5"}, "anthropic"),
        ({"messages": HELLO, "tools": [{"type": "function", "function": {"name": "f"}}]}, "openai-chat"),
    ],
)
def test_the_form_shows_in_what_only_one_api_has(body: Any, dialect: str, tmp_path: Path) -> None:
    """System, tools, roles and block types decide; then the model's name; then it is Anthropic's."""
    (transcript,) = plain.read(save(tmp_path, body))
    assert transcript.dialect == dialect
    assert transcript.model == body.get("model", "")
    assert len(transcript.turns) == 1


def test_a_document_and_lines_are_read_alike(tmp_path: Path) -> None:
    """A pretty-printed document is one transcript, lines are one each; bad lines are counted, or errors in strict mode."""
    path = save(tmp_path, {"messages": HELLO, "id": "a"}, {"messages": 3}, {"messages": HELLO})
    assert plain.sniff(take(path))
    found = plain.read(path)
    assert [transcript.session for transcript in found] == ["a", "line 3"]
    assert [skip.line for skip in found[0].skipped] == [2]
    with pytest.raises(Unreadable):
        plain.read(path, strict=True)
    path.write_text(json.dumps({"messages": HELLO}, indent=2))
    assert plain.sniff(take(path))
    assert len(plain.read(path)) == 1


def test_answers_in_a_row_are_one(tmp_path: Path) -> None:
    """A second message of the assistant's was not asked for; it stands in the prompts after it."""
    more = [*HELLO, {"role": "assistant", "content": "And ho"}, HELLO[0], HELLO[1]]
    (transcript,) = plain.read(save(tmp_path, {"messages": more}))
    assert [len(turn.prompt.messages) for turn in transcript.turns] == [1, 4]


def test_a_request_nobody_answered_is_one_turn(tmp_path: Path) -> None:
    """A conversation without an answer is a prompt all the same; tools it calls but does not define are said to be missing."""
    (transcript,) = plain.read(save(tmp_path, {"messages": HELLO[:1]}))
    assert [(len(turn.prompt.messages), turn.answer) for turn in transcript.turns] == [(1, None)]
    assert transcript.head_recorded
    called = {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}}]}
    (transcript,) = plain.read(save(tmp_path, {"messages": [HELLO[0], called, RESULT]}))
    assert transcript.head_recorded is False
    assert transcript.turns[0].answer is not None
    assert transcript.turns[0].answer.blocks[0].kind is Kind.TOOL_USE


def test_a_file_without_conversations_is_an_error(tmp_path: Path) -> None:
    """The message says what was wrong with the first thing in it."""
    path = save(tmp_path, {"messages": []}, {"text": "x"})
    assert not plain.sniff(take(path))
    with pytest.raises(Unreadable, match="no list of messages"):
        plain.read(path)

"""Conversations in OpenAI's chat form: trajectories, lists and documents of messages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from holdfast.blocks import Kind, Role
from holdfast.errors import Unreadable
from holdfast.readers import openai_chat
from holdfast.readers.conversations import turns_of
from holdfast.readers.sample import take
from holdfast.wire.openai_chat import WIRE
from tests.readers.legality import every_fault
from tests.wire.bodies import CHAT

SPOKEN = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Ho"},
    {"role": "user", "content": "And?"},
    {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
    {"role": "tool", "tool_call_id": "c1", "content": "42"},
    {"role": "assistant", "content": "42."},
]


def save(folder: Path, document: Any) -> Path:
    """The file, under a name that says nothing."""
    path = folder / "file"
    path.write_text(document if isinstance(document, str) else json.dumps(document, indent=1))
    return path


@settings(max_examples=60, deadline=None)
@given(CHAT)
def test_each_answer_is_a_turn_of_what_stood_before_it(body: dict[str, Any]) -> None:
    """A turn's prompt is the conversation up to its answer, byte for byte, and prompts grow."""
    turns = turns_of(body, "openai-chat")
    leading = WIRE.leading(body)
    stops = [len(turn.prompt.messages) for turn in turns]
    assert stops == sorted(set(stops))
    for turn, stop in zip(turns, stops, strict=True):
        sent = {**body, "messages": body["messages"][: leading + stop]}
        assert json.dumps(WIRE.write(sent, turn.prompt, WIRE.read_marks(sent))) == json.dumps(sent)
        if turn.answer is not None:
            assert body["messages"][leading + stop]["role"] == "assistant"


def test_the_corpus_file_is_200_legal_conversations(corpus: Path) -> None:
    """2,454 answers, each a turn; the policy is the head, the tools' definitions are missing, usage and times too."""
    found = openai_chat.read(corpus / "chat-no-usage/tau-bench/gpt-4o-airline.json.gz")
    assert len(found) == 200
    assert sum(len(transcript.turns) for transcript in found) == 2454
    assert len({transcript.session for transcript in found}) == 200
    for transcript in found:
        assert every_fault(transcript) == []
        assert not transcript.head_recorded or not any(
            block.kind is Kind.TOOL_USE for turn in transcript.turns if turn.answer for block in turn.answer.blocks
        )
        assert all(turn.usage is None and turn.at is None for turn in transcript.turns)
        assert [block.role for block in transcript.turns[0].prompt.head] == [Role.SYSTEM]


@pytest.mark.parametrize("document", [SPOKEN, {"messages": SPOKEN, "model": "gpt-4o"}, [{"traj": SPOKEN, "model": "gpt-4o"}]])
def test_all_three_shapes_are_read_alike(document: Any, tmp_path: Path) -> None:
    """A bare list, an object and a list of trajectories hold the same three turns."""
    path = save(tmp_path, document)
    assert openai_chat.sniff(take(path))
    (transcript,) = openai_chat.read(path)
    assert [len(turn.prompt.messages) for turn in transcript.turns] == [1, 3, 5]
    assert [turn.answer and turn.answer.blocks[0].text for turn in transcript.turns] == ["Ho", "{}", "42."]
    assert transcript.model == ("" if document is SPOKEN else "gpt-4o")
    assert transcript.head_recorded is False


def test_an_anthropic_conversation_is_not_taken_for_one(tmp_path: Path) -> None:
    """Neither by a top-level system, nor by content blocks, nor where both would write it so."""
    for document in (
        {"system": "x", "messages": [{"role": "user", "content": "Hi"}]},
        {"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": ""}]}]},
        {"messages": [{"role": "user", "content": "Hi"}]},
        [1, 2],
        [],
        {},
    ):
        assert not openai_chat.sniff(take(save(tmp_path, document)))


def test_a_bad_trajectory_is_counted(tmp_path: Path) -> None:
    """The others are read; in strict mode it is an error, and so is a file of nothing else."""
    path = save(tmp_path, [{"traj": SPOKEN}, {"traj": "lost"}])
    (transcript,) = openai_chat.read(path)
    assert [skip.line for skip in transcript.skipped] == [2]
    with pytest.raises(Unreadable):
        openai_chat.read(path, strict=True)
    with pytest.raises(Unreadable, match="neither"):
        openai_chat.read(save(tmp_path, {"no": 1}))

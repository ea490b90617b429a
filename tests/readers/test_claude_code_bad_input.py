"""Claude Code sessions that are cut off, empty, odd or out of order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from holdfast.errors import Unreadable
from holdfast.readers import claude_code
from tests.readers.legality import every_fault
from tests.readers.sessions import Session, read, texts


def small() -> Session:
    """Two turns."""
    session = Session()
    session.user("one")
    session.say("msg_1", "hi")
    session.user("two")
    session.say("msg_2", "ho")
    return session


def test_a_cut_off_last_line_is_counted_and_the_rest_used(tmp_path: Path) -> None:
    """A file that ends inside a line gives the turns before it; strict reading names file and line."""
    session = small()
    session.lines[-1] = session.lines[-1][:50]
    path = session.write(tmp_path / "s.jsonl", tail="")
    (transcript,) = claude_code.read(path)
    assert [turn.request for turn in transcript.turns] == ["msg_1"]
    assert [(skip.path, skip.line, skip.why) for skip in transcript.skipped] == [(str(path), 4, "not JSON: the file ends inside the line")]
    with pytest.raises(Unreadable, match=r"s\.jsonl:4"):
        claude_code.read(path, strict=True)


def test_an_unknown_type_of_line_is_counted_and_passed_through(tmp_path: Path) -> None:
    """A line type nobody knows is named with its line; the chain runs through it."""
    session = small()
    session.line("telepathy")
    session.user("three")
    session.say("msg_3", "hm")
    transcript = read(session, tmp_path)
    assert len(transcript.turns[-1].prompt.messages) == 5
    assert [(skip.line, skip.why) for skip in transcript.skipped] == [(5, "an unknown type of line: telepathy")]
    with pytest.raises(Unreadable, match="telepathy"):
        read(session, tmp_path, strict=True)


def test_a_session_of_one_turn_is_a_transcript(tmp_path: Path) -> None:
    """One prompt and one answer are one turn."""
    session = Session()
    session.user("hello")
    session.say("msg_1", "hi")
    transcript = read(session, tmp_path)
    assert [texts(turn) for turn in transcript.turns] == [["hello"]]
    assert (transcript.session, transcript.head_recorded, transcript.dialect) == (session.session, False, "anthropic")


def test_a_session_without_a_call_has_no_turns(tmp_path: Path) -> None:
    """A prompt that was never answered is no turn."""
    session = Session()
    session.user("hello")
    assert read(session, tmp_path).turns == ()


def test_a_clock_that_runs_backwards_is_held(tmp_path: Path) -> None:
    """Turns never start before the one they follow; the notes count the times that did."""
    session = small()
    session.clock -= 1000
    session.user("three")
    session.say("msg_3", "hm")
    transcript = read(session, tmp_path)
    assert [turn.request for turn in transcript.turns] == ["msg_1", "msg_2", "msg_3"]
    assert every_fault(transcript) == []
    assert "times that ran backwards: 1." in transcript.notes


def test_lines_without_times_are_turns_without_times(tmp_path: Path) -> None:
    """Where no time was recorded, none is made up, and the turns keep the order of the file."""
    session = small()
    session.lines = [json.dumps({key: value for key, value in json.loads(line).items() if key != "timestamp"}) for line in session.lines]
    transcript = read(session, tmp_path)
    assert [(turn.request, turn.at, turn.ended) for turn in transcript.turns] == [("msg_1", None, None), ("msg_2", None, None)]


@pytest.mark.parametrize("message", [None, "text", 3, [], {"content": None}, {"content": 5}, {"content": [None, 3, {"type": None}, "x"]}])
def test_messages_of_any_shape_are_read(tmp_path: Path, message: Any) -> None:
    """A message that is no message adds nothing that is illegal."""
    session = Session()
    session.user("one")
    session.line("user", message=message)
    session.line("assistant", message=message)
    session.line("attachment", attachment=message)
    session.line("progress", data={"type": "agent_progress", "message": message})
    session.user("two")
    session.say("msg_1", "hi")
    transcript = read(session, tmp_path)
    assert transcript.turns[-1].request == "msg_1"
    assert every_fault(transcript) == []

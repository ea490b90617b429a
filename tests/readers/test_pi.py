"""pi sessions: calls, costs, compactions, branches, aborted answers."""

from __future__ import annotations

import json
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.blocks import Kind, Role
from holdfast.errors import Unreadable
from holdfast.readers import pi
from holdfast.readers.sample import take
from holdfast.transcript import Turn
from holdfast.usage import Usage
from tests.readers.legality import every_fault

Json = Any
HEADER = {"type": "session", "id": "s1", "timestamp": "2025-12-09T00:53:29.825Z", "cwd": "/tmp", "thinkingLevel": "off"}
STAMP = "2025-12-09T01:00:{:02d}.000Z"


def said(role: str, *content: Json, **more: Json) -> Json:
    """A message entry."""
    return {"type": "message", "message": {"role": role, "content": list(content), **more}}


def text(words: str) -> Json:
    """A text part."""
    return {"type": "text", "text": words}


def call(name: str) -> Json:
    """A tool call part."""
    return {"type": "toolCall", "id": name, "name": "bash", "arguments": {"command": "ls"}}


def result(name: str, words: str = "done") -> Json:
    """A tool result entry."""
    return said("toolResult", text(words), toolCallId=name, toolName="bash", isError=False)


def answer(*content: Json, usage: tuple[int, int, int, int] = (5, 100, 20, 7), cost: float = 0.25, **more: Json) -> Json:
    """An assistant entry with its bill."""
    names = ("input", "cacheRead", "cacheWrite", "output")
    bill = {**dict(zip(names, usage, strict=True)), "cost": {"total": cost}}
    return said("assistant", *content, model="claude-opus-4-5", usage=bill, **{"stopReason": "stop", **more})


def save(folder: Path, *entries: Json) -> Path:
    """The file, a second between lines."""
    stamped = [{**entry, "timestamp": STAMP.format(second)} for second, entry in enumerate(entries)]
    path = folder / "session.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in [HEADER, *stamped]))
    return path


def turns(folder: Path, *entries: Json) -> tuple[Turn, ...]:
    """The turns of a session with these entries; all is legal."""
    (transcript,) = pi.read(save(folder, *entries))
    assert every_fault(transcript) == []
    return transcript.turns


def words(turn: Turn) -> list[str]:
    """What stands in a turn's prompt."""
    return [block.text for message in turn.prompt.messages for block in message.blocks]


ROUNDS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 3), st.sampled_from(["stop", "aborted"]), st.booleans()), min_size=1, max_size=8
)


@settings(max_examples=60, deadline=None)
@given(ROUNDS)
def test_every_session_gives_legal_prompts(rounds: list[tuple[int, int, str, bool]]) -> None:
    """Calls with all, some or no results, aborted answers and commands of the user's: each prompt is legal and each billed call a turn."""
    entries: list[Json] = []
    billed = 0
    for number, (calls, answered, stop, command) in enumerate(rounds):
        ids = [f"c{number}-{index}" for index in range(calls)]
        entries.append(said("user", text(f"Round {number}.")))
        if command:
            entries.append({"type": "message", "message": {"role": "bashExecution", "command": "ls", "output": "a.txt", "exitCode": 1}})
        bill = (0, 0, 0, 0) if stop == "aborted" else (5, 100, 20, 7)
        billed += stop != "aborted"
        entries.append(answer(*map(call, ids), usage=bill, stopReason=stop))
        entries += [result(name) for name in ids[:answered]]
    with tempfile.TemporaryDirectory() as folder:
        assert len(turns(Path(folder), *entries)) == billed


def test_the_corpus_session_has_the_bill_its_source_states(corpus: Path) -> None:
    """471 calls, $42.60, two compactions, three legal lineages, and the thinking budgets of the recorded levels."""
    (transcript,) = pi.read(corpus / "pi/pi-mono/before-compaction.jsonl.gz")
    assert len(transcript.turns) == 471
    total = sum((turn.usage for turn in transcript.turns if turn.usage), Usage())
    assert total == Usage(fresh=3689, read=54_693_675, write_5m=1_685_320, output=187_895)
    assert round(sum((turn.charged for turn in transcript.turns if turn.charged), Decimal()), 2) == Decimal("42.60")
    assert transcript.turns[0].charged == Decimal("0.017400000000000002")
    assert len({turn.lineage for turn in transcript.turns}) == 3
    assert [call.lineage for call in transcript.unlogged] == ["main", "main-2"]
    assert every_fault(transcript) == []
    assert not transcript.skipped
    assert {turn.prompt.settings.thinking for turn in transcript.turns} == {None, '{"budget_tokens":16384,"type":"enabled"}'}


def test_each_call_costs_what_the_list_price_says(corpus: Path) -> None:
    """The recorded cost of every call is its usage at $5, $0.50, $6.25 and $25 a million: usage and cost belong together."""
    (transcript,) = pi.read(corpus / "pi/pi-mono/before-compaction.jsonl.gz")
    for turn in transcript.turns:
        assert turn.usage is not None
        assert turn.charged is not None
        parts = (
            Decimal(turn.usage.fresh * 5),
            turn.usage.read * Decimal("0.5"),
            turn.usage.write_5m * Decimal("6.25"),
            Decimal(turn.usage.output * 25),
        )
        assert abs(turn.charged - sum(parts, Decimal()) / 1_000_000) < Decimal("1e-12")


def test_a_kept_entry_is_the_same_message_behind_the_summary(tmp_path: Path) -> None:
    """A compaction begins a lineage with its summary and the entries from the first kept one on."""
    before, after = turns(
        tmp_path,
        said("user", text("One.")),
        answer(text("Re: one.")),
        said("user", text("Two.")),
        {"type": "compaction", "summary": "They counted.", "firstKeptEntryIndex": 3, "tokensBefore": 9},
        answer(text("Re: two.")),
    )
    assert [line for line in words(after) if "Re" in line] == []
    assert "They counted." in words(after)[0]
    assert words(after)[1:] == ["Two."]
    assert (before.lineage, after.lineage) == ("main", "main-2")


def test_a_branch_of_the_tree_is_a_lineage(tmp_path: Path) -> None:
    """Going back to an earlier entry begins a lineage that shares the messages up to there."""
    first, second, third = turns(
        tmp_path,
        {"id": "a", "parentId": None, **said("user", text("One."))},
        {"id": "b", "parentId": "a", **answer(text("Re: one."))},
        {"id": "c", "parentId": "b", **said("user", text("Left."))},
        {"id": "d", "parentId": "c", **answer(text("Re: left."))},
        {"id": "e", "parentId": "b", **said("user", text("Right."))},
        {"id": "f", "parentId": "e", **answer(text("Re: right."))},
    )
    assert (first.lineage, second.lineage) == ("main", "main")
    assert third.lineage != "main"
    assert words(third) == ["One.", "Re: one.", "Right."]
    assert third.prompt.messages[1] is second.prompt.messages[1]


def test_asking_again_from_further_back_does_not_shrink_a_lineage(tmp_path: Path) -> None:
    """A second answer to an early message, after the conversation went on, is a call of another lineage."""
    found = turns(
        tmp_path,
        {"id": "a", "parentId": None, **said("user", text("One."))},
        {"id": "b", "parentId": "a", **answer(text("Re: one."))},
        {"id": "c", "parentId": "b", **said("user", text("Two."))},
        {"id": "d", "parentId": "c", **answer(text("Re: two."))},
        {"id": "e", "parentId": "a", **answer(text("Once more."))},
    )
    assert [len(turn.prompt.messages) for turn in found] == [1, 3, 1]
    assert found[2].lineage != found[0].lineage


def test_content_is_written_as_anthropic_takes_it(tmp_path: Path) -> None:
    """Calls, results with their error flag, signed thinking, images; thinking without signature is text, and results share one message."""
    thoughts = [
        {"type": "thinking", "thinking": "Hm.", "thinkingSignature": "sig"},
        {"type": "thinking", "thinking": "Cut", "thinkingSignature": ""},
    ]
    image = {"type": "image", "data": "aGk=", "mimeType": "image/png"}
    failed = said("toolResult", text("no"), image, toolCallId="c2", toolName="bash", isError=True)
    *_, last = turns(
        tmp_path,
        said("user", text("Go."), text(" ")),
        answer(*thoughts, call("c1"), call("c2")),
        result("c1"),
        failed,
        answer(text("Done.")),
    )
    _, spoke, results = last.prompt.messages
    assert [block.kind for block in spoke.blocks] == [Kind.THINKING, Kind.TEXT, Kind.TOOL_USE, Kind.TOOL_USE]
    assert spoke.blocks[2].wire == {"type": "tool_use", "id": "c1", "name": "bash", "input": {"command": "ls"}}
    assert [(block.call, block.text, block.wire["is_error"]) for block in results.blocks] == [("c1", "done", False), ("c2", "no", True)]
    assert results.blocks[1].wire["content"][1]["source"]["media_type"] == "image/png"
    assert results.role is Role.USER


def test_calls_without_usage_are_left_out_and_counted(tmp_path: Path) -> None:
    """An aborted call is no turn, what it said before stays in the history, and the user is told."""
    path = save(
        tmp_path,
        said("user", text("One.")),
        answer(text("Half a"), usage=(0, 0, 0, 0), stopReason="aborted"),
        said("user", text("Again.")),
        answer(text("Whole.")),
    )
    (transcript,) = pi.read(path)
    (turn,) = transcript.turns
    assert words(turn) == ["One.", "Half a", "Again."]
    assert any(note.startswith("1 calls that were aborted") for note in transcript.notes)


def test_bad_lines_are_counted(tmp_path: Path) -> None:
    """A line that is no entry is named, or an error in strict mode."""
    path = save(tmp_path, said("user", text("One.")), answer(text("Re.")))
    path.write_text(path.read_text() + '[1]\n{"type": "mess')
    (transcript,) = pi.read(path)
    assert [skip.line for skip in transcript.skipped] == [4, 5]
    assert len(transcript.turns) == 1
    with pytest.raises(Unreadable):
        pi.read(path, strict=True)


def test_it_knows_its_own(corpus: Path, tmp_path: Path) -> None:
    """Sessions are recognised by content, rollouts and trajectories are not taken for one."""
    assert pi.sniff(take(save(tmp_path)))
    assert pi.sniff(take(corpus / "pi/pi-mono/before-compaction.jsonl.gz"))
    assert not any(pi.sniff(take(path)) for path in [*corpus.glob("codex/*/*.gz"), *corpus.glob("chat-no-usage/*/*.gz")])

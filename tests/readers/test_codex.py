"""Codex rollouts: which bill is which call's, and what a call's prompt held."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.blocks import Kind, Message, Role, Window
from holdfast.errors import Unreadable
from holdfast.readers import codex
from holdfast.readers.sample import take
from holdfast.transcript import Transcript, Turn
from holdfast.usage import Usage
from tests.readers.rollouts import Rollout


def texts(turn: Turn) -> list[str]:
    """What stands in a turn's prompt, behind its head."""
    return [block.text for message in turn.prompt.messages for block in message.blocks]


def unpaired(messages: list[Message]) -> set[str | None]:
    """Tool calls without a result and results without a call."""
    blocks = [block for message in messages for block in message.blocks]
    calls = {block.call for block in blocks if block.kind is Kind.TOOL_USE}
    return calls ^ {block.call for block in blocks if block.kind is Kind.TOOL_RESULT}


def grows(transcript: Transcript) -> bool:
    """Whether the prompts of each lineage are growing windows on one log."""
    last: dict[str, Window] = {}
    for turn in transcript.turns:
        window = turn.prompt.messages
        assert isinstance(window, Window)
        before = last.setdefault(turn.lineage, window)
        if before.log is not window.log or before.stop > window.stop:
            return False
        last[turn.lineage] = window
    return True


def tokens(transcript: Transcript) -> Usage:
    """All that was billed."""
    return sum((turn.usage for turn in transcript.turns if turn.usage), Usage())


COUNTS = st.integers(1, 50_000)
CALLS = st.lists(st.tuples(st.integers(0, 3), COUNTS, st.integers(0, 1000), COUNTS, st.booleans(), st.booleans()), min_size=1, max_size=8)


@settings(max_examples=60, deadline=None)
@given(CALLS)
def test_every_bill_finds_its_call(calls: list[tuple[int, int, int, int, bool, bool]]) -> None:
    """Whatever tools a call uses, wherever its bill stands and however often counts are repeated, each is a turn, and the sums hold."""
    made = Rollout()
    made.meta()
    made.says("developer", "Rules.")
    made.says("user", "Start.")
    for number, (tools, prompt, cached, output, late, repeats) in enumerate(calls):
        made.row("response_item", type="reasoning", summary=[])
        ids = [f"c{number}-{tool}" for tool in range(tools)]
        made.calls(*ids) if ids else made.says("assistant", "Well.")
        if late:
            made.answers(*ids)
        made.bill(prompt + cached, cached, output)
        if not late:
            made.answers(*ids)
        if repeats:
            made.count(prompt + cached, cached, output)
            made.row("event_msg", type="token_count", info=None)
        if not ids:
            made.says("user", "Go on.")
    with tempfile.TemporaryDirectory() as folder:
        (transcript,) = codex.read(made.save(Path(folder)))
    assert [(turn.usage and (turn.usage.prompt, turn.usage.read, turn.usage.output)) for turn in transcript.turns] == made.bills
    assert grows(transcript)
    for turn in transcript.turns:
        assert turn.prompt.messages[0].blocks[0].text == "Start."
        assert turn.prompt.messages[-1].role is Role.USER
        assert not unpaired(list(turn.prompt.messages))


def test_the_corpus_has_the_bills_its_source_states(corpus: Path) -> None:
    """1,296 calls, as SOURCE.md counts them, each with its times and a legal prompt; forks' copies of their parents are not among them."""
    found = [transcript for path in sorted(corpus.glob("codex/*/*.jsonl.gz")) for transcript in codex.read(path)]
    assert len(found) == 18
    assert sum(len(transcript.turns) for transcript in found) == 1296
    assert sum(map(tokens, found), Usage()) == Usage(fresh=9_852_019, read=145_167_872, output=458_671)
    assert sum(len(transcript.unlogged) for transcript in found) == 4
    assert {turn.model for transcript in found for turn in transcript.turns} == {"gpt-5.4", "gpt-5.5"}
    for transcript in found:
        assert grows(transcript)
        assert not transcript.skipped
        for turn in transcript.turns:
            assert turn.at is not None
            assert turn.ended is not None
            assert turn.at <= turn.ended
            assert turn.prompt.messages[0].role is Role.USER
            assert [block.kind for block in turn.prompt.head[:1]] == [Kind.SYSTEM]
        last = {turn.lineage: turn.prompt for turn in transcript.turns}
        assert not any(unpaired(list(prompt.messages)) for prompt in last.values())


def test_recorded_forks_say_what_they_repeat(corpus: Path) -> None:
    """A fork's first prompt holds its parent's history, and only its own two calls are billed."""
    (fork,) = codex.read(corpus / "codex/entireio-git-sync/019d7e2f-0041-7310-951c-94020254dfc9.jsonl.gz")
    assert len(fork.turns) == 2
    assert len(fork.turns[0].prompt.messages) > 150
    assert "a fork: 43 calls of its parent are repeated in the file and not counted" in fork.notes


def test_a_compaction_begins_a_lineage_with_the_history_it_left(tmp_path: Path) -> None:
    """The new lineage shares the messages it kept; the summary's call is noted as unlogged, the estimate behind it is no bill."""
    made = Rollout()
    made.meta()
    made.says("user", "Start.")
    made.says("assistant", "Well.")
    made.bill(1000, 0, 10)
    made.says("user", "Go on.")
    kept = [row["payload"] for row in made.rows if row["type"] == "response_item" and row["payload"]["role"] == "user"]
    made.row("compacted", message="", replacement_history=[*kept, {"type": "compaction", "encrypted_content": "x"}])
    made.count(0, 0, 0)
    made.says("assistant", "After.")
    made.bill(300, 0, 20)
    (transcript,) = codex.read(made.save(tmp_path))
    before, after = transcript.turns
    assert (before.lineage, after.lineage) == ("main", "main-2")
    assert texts(after) == ["Start.", "Go on.", ""]
    assert after.prompt.messages[0] is before.prompt.messages[0]
    assert [call.lineage for call in transcript.unlogged] == ["main"]
    assert after.usage == Usage(fresh=300, output=20)


def test_a_compaction_in_clear_text_keeps_the_users_words(tmp_path: Path) -> None:
    """Without a replacement history the new lineage is the user's own messages and the summary."""
    made = Rollout()
    made.meta()
    made.says("user", "Start.")
    made.says("assistant", "Well.")
    made.bill(1000, 0, 10)
    made.row("compacted", message="They started well.")
    made.says("user", "Go on.")
    made.says("assistant", "After.")
    made.bill(300, 0, 20)
    (transcript,) = codex.read(made.save(tmp_path))
    assert texts(transcript.turns[-1]) == ["Start.", "They started well.", "Go on."]


def test_a_rewind_begins_a_lineage(tmp_path: Path) -> None:
    """What the user took back is not in the prompts after it; what stays are the same objects."""
    made = Rollout()
    made.meta()
    for words in ("One.", "Two."):
        made.says("user", words)
        made.says("assistant", f"Re: {words}")
        made.bill(1000, 0, 10)
    made.row("event_msg", type="thread_rolled_back", num_turns=1)
    made.says("user", "Three.")
    made.says("assistant", "Re: Three.")
    made.bill(1000, 0, 10)
    (transcript,) = codex.read(made.save(tmp_path))
    assert texts(transcript.turns[-1]) == ["One.", "Re: One.", "Three."]
    assert transcript.turns[-1].lineage != transcript.turns[0].lineage
    assert transcript.turns[-1].prompt.messages[1] is transcript.turns[1].prompt.messages[1]


def test_a_forks_copies_are_not_billed(tmp_path: Path) -> None:
    """Lines written in one go behind a forked session's first are its parent's; what comes after a pause is its own."""
    made = Rollout()
    made.meta(forked_from_id="s0")
    made.says("user", "Parent's.")
    made.says("assistant", "Well.")
    made.bill(1000, 0, 10)
    made.calls("c1")
    made.answers("c1")
    made.pause(2)
    made.says("user", "Child's.")
    made.says("assistant", "Done.")
    made.bill(2000, 900, 30)
    (transcript,) = codex.read(made.save(tmp_path))
    (turn,) = transcript.turns
    assert turn.usage == Usage(fresh=1100, read=900, output=30)
    assert texts(turn) == ["Parent's.", "Well.", "{}", "result of c1", "Child's."]


def test_an_interrupted_call_gets_a_result(tmp_path: Path) -> None:
    """A tool call that was aborted is answered before the next prompt, and a call without a bill is a turn without usage."""
    made = Rollout()
    made.meta()
    made.says("user", "Start.")
    made.calls("c1", "c2")
    made.answers("c1")
    made.row("event_msg", type="turn_aborted")
    made.says("user", "Stop that.")
    made.says("assistant", "Stopped.")
    made.bill(500, 0, 5)
    (transcript,) = codex.read(made.save(tmp_path))
    assert [turn.usage for turn in transcript.turns] == [None, Usage(fresh=500, output=5)]
    assert not unpaired(list(transcript.turns[-1].prompt.messages))
    assert texts(transcript.turns[-1])[-1] == "aborted"
    assert "1 interrupted tool calls have the result 'aborted', as the client sends them" in transcript.notes


def test_what_is_not_of_the_format_is_counted(tmp_path: Path) -> None:
    """A line that is no record, a truncated one and a bill without a call are named; in strict mode the first is an error."""
    made = Rollout()
    made.meta()
    made.bill(7, 0, 1)
    path = made.save(tmp_path)
    path.write_text(path.read_text() + '{"type": "weather"}\n{"type": "event_m')
    (transcript,) = codex.read(path)
    assert [skip.line for skip in transcript.skipped] == [3, 4, 5]
    with pytest.raises(Unreadable):
        codex.read(path, strict=True)


def test_it_knows_its_own(corpus: Path, tmp_path: Path) -> None:
    """Rollouts are recognised by content, others are not."""
    made = Rollout()
    made.meta()
    assert codex.sniff(take(made.save(tmp_path)))
    assert all(codex.sniff(take(path)) for path in corpus.glob("codex/*/*.gz"))
    assert not any(codex.sniff(take(path)) for path in [*corpus.glob("pi/*/*.gz"), *corpus.glob("chat-no-usage/*/*.gz")])

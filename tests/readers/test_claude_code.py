"""Claude Code sessions: calls, prompts, lineages."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.blocks import Kind
from holdfast.readers import claude_code, discover, read_all
from holdfast.readers.claude_code_tree import NO_MESSAGE, NO_RESULT
from holdfast.transcript import Transcript
from holdfast.usage import Usage
from tests.readers.legality import every_fault
from tests.readers.sessions import START, Session, read, texts

# --- Properties over generated sessions ---------------------------------------------------------------------------------


@dataclass
class Model:
    """A session and, beside it, what each call's prompt must hold."""

    session: Session = field(default_factory=Session)
    path: list[str] = field(default_factory=list)
    expected: dict[str, list[str]] = field(default_factory=dict)
    points: list[tuple[str | None, list[str]]] = field(default_factory=list)
    number: int = 0

    def fresh(self, prefix: str) -> str:
        self.number += 1
        return f"{prefix}{self.number}"

    def step(self, kind: str, size: int, order: list[int]) -> None:
        getattr(self, f"_{kind}")(size, order)

    def _user(self, size: int, order: list[int]) -> None:
        for _ in range(size):
            self.session.line("progress", data={"type": "hook_progress"})
            self.path.append(text := self.fresh("user "))
            self.session.user(text)

    def _answer(self, size: int, order: list[int]) -> None:
        """A text and ``size`` parallel tool calls; the results come in any order, each behind its own call's line."""
        self._user(1, order)
        name = self.fresh("msg_")
        self.expected[name] = list(self.path)
        self.path.append(text := self.fresh("answer "))
        self.session.say(name, text)
        tools = {tool: self.session.call(name, tool) for tool in [self.fresh("tool_") for _ in range(size)]}
        if not tools:
            self.points.append((self.session.last, list(self.path)))
            return
        self.path += tools
        arrived = sorted(tools, key=lambda tool: (order[int(tool[5:]) % len(order)], tool))
        for tool in arrived:
            self.session.result(tool, f"result of {tool}", parent=tools[tool])
            self.path.append(f"result of {tool}")
        self.points.append((self.session.last, list(self.path)))

    def _rewind(self, size: int, order: list[int]) -> None:
        """The user goes back to an earlier point and says something else."""
        if self.points:
            self.session.last, path = self.points[-1 - size % len(self.points)]
            self.path = list(path)
        self._answer(0, order)

    def _compact(self, size: int, order: list[int]) -> None:
        if not self.expected:
            return
        self.session.line("system", subtype="compact_boundary", parent=None, logicalParentUuid=self.session.last, compactMetadata={})
        self.path = [self.fresh("summary ")]
        self.session.user(self.path[0], isCompactSummary=True, isVisibleInTranscriptOnly=True)
        self._answer(size, order)


STEPS = st.tuples(
    st.sampled_from(["user", "answer", "answer", "rewind", "compact"]), st.integers(0, 3), st.lists(st.integers(0, 9), min_size=1)
)


@settings(max_examples=60, deadline=None)
@given(st.lists(STEPS, min_size=1, max_size=12))
def test_every_prompt_holds_what_its_chain_says_and_no_more(steps: list[tuple[str, int, list[int]]]) -> None:
    """Over any session of parallel calls, rewinds and compactions each prompt is its ancestors' content in order, and legal."""
    model = Model()
    for kind, size, order in steps:
        model.step(kind, size, order)
    with tempfile.TemporaryDirectory() as folder:
        transcript = read(model.session, Path(folder))
    assert {turn.request: texts(turn) for turn in transcript.turns} == model.expected
    assert every_fault(transcript) == []


@settings(max_examples=60, deadline=None)
@given(st.lists(STEPS, min_size=3, max_size=12), st.sets(st.integers(0, 60), max_size=6), st.binary(max_size=30))
def test_lost_and_garbled_lines_leave_legal_prompts(steps: list[tuple[str, int, list[int]]], lost: set[int], noise: bytes) -> None:
    """Whatever lines are missing or overwritten, every call is still read and every prompt is still legal."""
    model = Model()
    for kind, size, order in steps:
        model.step(kind, size, order)
    lines = [noise.replace(b"\n", b"") if i in lost else line.encode() for i, line in enumerate(model.session.lines)]
    calls = {json.loads(line)["message"]["id"] for i, line in enumerate(model.session.lines) if i not in lost and '"id": "msg_' in line}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s.jsonl"
        path.write_bytes(b"\n".join(lines))
        (transcript,) = claude_code.read(path)
    assert {turn.request for turn in transcript.turns} == calls
    assert every_fault(transcript) == []


# --- Calls --------------------------------------------------------------------------------------------------------------


def test_the_lines_of_one_answer_are_one_call(tmp_path: Path) -> None:
    """Usage repeated on each line of an id is billed once, with the largest output count."""
    session = Session()
    session.user("hello")
    session.block("msg_1", {"type": "thinking", "thinking": "", "signature": "s"}, output=3)
    session.say("msg_1", "hi", output=3)
    session.call("msg_1", "tool_1", output=420)
    (turn,) = read(session, tmp_path).turns
    assert turn.usage == Usage(fresh=3, read=100, write_1h=20, output=420)
    assert turn.answer is not None
    assert [block.kind for block in turn.answer.blocks] == [Kind.THINKING, Kind.TEXT, Kind.TOOL_USE]
    assert (turn.at, turn.ended, turn.model) == (START + 1, START + 4, "claude-opus-4-5-20251101")


@pytest.mark.parametrize(
    ("output", "stop", "length", "final"),
    [
        (1, None, 20, False),
        (27, None, 20, False),
        (31, None, 200, True),
        (31, None, 400, False),
        (1, "end_turn", 400, True),
        (900, None, 3000, True),
    ],
)
def test_a_placeholder_is_not_taken_for_the_output(tmp_path: Path, output: int, stop: str | None, length: int, final: bool) -> None:
    """Without a stop reason a count of 30 or less, or of under half the visible size, is not final."""
    session = Session()
    session.user("hello")
    session.say("msg_1", "x" * length, output=output, stop=stop)
    assert read(session, tmp_path).turns[0].output_final is final


def test_an_answer_without_usage_has_none(tmp_path: Path) -> None:
    """A call without recorded usage is a turn without usage, and its output is not final."""
    session = Session()
    session.user("hello")
    session.say("msg_1", "hi", message={"usage": None})
    (turn,) = read(session, tmp_path).turns
    assert turn.usage is None
    assert not turn.output_final


def test_client_made_answers_are_no_calls(tmp_path: Path) -> None:
    """Lines of the model ``<synthetic>`` and API errors are neither calls nor part of a prompt."""
    session = Session()
    session.user("one")
    session.say("e-1", "No response requested.", message={"model": "<synthetic>"})
    session.say("e-2", "API Error", isApiErrorMessage=True)
    session.user("two")
    session.say("msg_1", "hi")
    transcript = read(session, tmp_path)
    assert [texts(turn) for turn in transcript.turns] == [["one", "two"]]


def test_a_count_over_iterations_is_their_sum(tmp_path: Path) -> None:
    """Where one request took two iterations, the bill is their sum; an empty list changes nothing."""
    session = Session()
    session.user("hello")
    step = {"input_tokens": 5, "output_tokens": 7, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0}
    session.say("msg_1", "hi", message={"usage": step | {"iterations": [step, step]}})
    session.user("more")
    session.say("msg_2", "hi", message={"usage": step | {"iterations": []}})
    assert [turn.usage for turn in read(session, tmp_path).turns] == [Usage(fresh=10, output=14), Usage(fresh=5, output=7)]


# --- Prompts ------------------------------------------------------------------------------------------------------------


def test_what_the_user_side_adds_is_one_message_with_results_first(tmp_path: Path) -> None:
    """A result, a meta line, an attachment and a queued prompt become one user message; progress and hooks' messages do not."""
    session = Session()
    session.user("start")
    session.call("msg_1", "tool_1")
    session.line("progress", data={"type": "bash_progress", "output": "not for the model"})
    session.line("attachment", attachment={"type": "edited_text_file", "filename": "a.py", "snippet": "1 x"})
    session.line("attachment", attachment={"type": "hook_system_message", "content": "not for the model"})
    session.line("attachment", attachment={"type": "queued_command", "prompt": "also this"})
    session.user("caveat", isMeta=True)
    session.user("not for the model", isVisibleInTranscriptOnly=True)
    session.result("tool_1", "done")
    session.say("msg_2", "ok")
    last = read(session, tmp_path).turns[-1].prompt.messages[-1]
    reminder = '<system-reminder>\nedited_text_file: {"filename":"a.py","snippet":"1 x"}\n</system-reminder>'
    assert [block.text for block in last.blocks] == ["done", reminder, "also this", "caveat"]


def test_blocks_keep_their_own_json(tmp_path: Path) -> None:
    """Images, unknown blocks and empty thinking stay as they were recorded; texts of white space do not."""
    session = Session()
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QUJD"}}
    odd = {"type": "hologram", "z": 1, "a": [1]}
    thinking = {"type": "thinking", "thinking": "", "signature": "c2ln"}
    session.user([image, odd, {"type": "text", "text": " \n"}])
    session.block("msg_1", thinking)
    session.say("msg_1", "\n\n")
    session.user("next")
    session.say("msg_2", "hi")
    messages = read(session, tmp_path).turns[-1].prompt.messages
    assert [[block.wire for block in message.blocks] for message in messages] == [[image, odd], [thinking], ["next"]]


def test_an_interrupted_tool_call_gets_a_stated_placeholder(tmp_path: Path) -> None:
    """A tool call without a recorded result is answered by a placeholder, and the notes count it."""
    session = Session()
    session.user("start")
    session.call("msg_1", "tool_1")
    session.user("never mind")
    session.say("msg_2", "ok")
    transcript = read(session, tmp_path)
    assert texts(transcript.turns[-1]) == ["start", "tool_1", NO_RESULT, "never mind"]
    assert "tool calls without a recorded result: 1." in transcript.notes


def test_each_chain_has_the_result_that_it_saw(tmp_path: Path) -> None:
    """Where a tool call was answered twice, on two chains, each prompt holds its own chain's result."""
    session = Session()
    session.user("start")
    point = session.call("msg_1", "tool_1")
    session.result("tool_1", "refused")
    session.say("msg_2", "sorry")
    session.result("tool_1", "done", parent=point)
    session.say("msg_3", "good")
    turns = read(session, tmp_path).turns
    assert [texts(turn)[-1] for turn in turns] == ["start", "refused", "done"]


def test_a_lost_line_does_not_lose_the_conversation(tmp_path: Path) -> None:
    """A line whose parent is gone is taken to follow the line before it, and the notes say so."""
    session = Session()
    session.user("one")
    session.say("msg_1", "hi")
    session.user("two")
    session.say("msg_2", "ho")
    del session.lines[2]
    transcript = read(session, tmp_path)
    assert texts(transcript.turns[-1]) == ["one", "hi", NO_MESSAGE]
    assert any(note.startswith("1 lines follow a line that is not in the file") for note in transcript.notes)


def test_repeated_lines_change_nothing(tmp_path: Path) -> None:
    """A session that repeats its own lines, as a resumed one may, reads as if it did not."""
    session = Session()
    session.user("one")
    session.line("attachment", attachment={"type": "date_change", "newDate": "2026-05-19"})
    session.say("msg_1", "hi")
    once = read(session, tmp_path)
    session.lines *= 2
    twice = read(session, tmp_path)
    assert twice == once


def test_what_is_said_while_an_answer_comes_in_is_kept(tmp_path: Path) -> None:
    """An attachment between two lines of one answer stands in the next prompt, once; what stood before the answer does not."""
    session = Session()
    session.user("start")
    session.call("msg_1", "tool_1")
    session.result("tool_1", "done")
    session.line("attachment", attachment={"type": "queued_command", "prompt": "meanwhile"})
    session.call("msg_1", "tool_2")
    session.result("tool_2", "too")
    session.say("msg_2", "ok")
    assert texts(read(session, tmp_path).turns[-1]) == ["start", "tool_1", "tool_2", "done", "too", "meanwhile"]


def test_a_session_without_its_beginning_is_mended_and_says_so(tmp_path: Path) -> None:
    """A file that begins with an answer, or follows a line it does not hold, gives legal prompts and notes."""
    session = Session()
    session.say("msg_1", "hi", parent="elsewhere")
    session.result("tool_0", "an orphan")
    session.say("msg_2", "ho")
    transcript = read(session, tmp_path)
    assert [texts(turn) for turn in transcript.turns] == [[NO_MESSAGE], [NO_MESSAGE, "hi", NO_MESSAGE]]
    assert every_fault(transcript) == []
    assert "results without their tool call: 1." in transcript.notes


def test_a_circle_of_parents_ends(tmp_path: Path) -> None:
    """Lines that follow each other in a circle are read, each call once."""
    session = Session()
    session.say("msg_1", "hi", uuid="a", parent="b")
    session.say("msg_2", "ho", uuid="b", parent="a")
    transcript = read(session, tmp_path)
    assert len(transcript.turns) == 2
    assert every_fault(transcript) == []


# --- Lineages -----------------------------------------------------------------------------------------------------------


def test_a_rewind_is_a_lineage_that_shares_its_prefix(tmp_path: Path) -> None:
    """Two calls that follow the same call grow apart; up to there they hold the same message objects."""
    session = Session()
    session.user("start")
    point = session.say("msg_1", "hi")
    session.user("one way")
    session.say("msg_2", "ok")
    session.user("another way", parent=point)
    session.say("msg_3", "ok")
    first, second, third = read(session, tmp_path).turns
    assert [turn.lineage for turn in (first, second, third)] == ["main", "main", "main/2"]
    assert texts(third) == ["start", "hi", "another way"]
    assert all(one is two for one, two in zip(second.prompt.messages[:2], third.prompt.messages[:2], strict=True))


@pytest.mark.parametrize("linked", [False, True])
def test_a_compaction_begins_a_lineage_and_an_unlogged_call(tmp_path: Path, linked: bool) -> None:
    """After a compact boundary the prompt begins with the summary; the call that wrote it is on the old lineage, at the line before."""
    session = Session()
    session.user("start")
    before = session.say("msg_1", "hi")
    asked = session.clock
    session.clock += 60
    boundary = {"subtype": "compact_boundary", "logicalParentUuid": before, "compactMetadata": {"trigger": "auto"}}
    session.line("system", parent=before if linked else None, **boundary)
    session.user("s" * 400, isCompactSummary=True, isVisibleInTranscriptOnly=True)
    session.say("msg_2", "on")
    transcript = read(session, tmp_path)
    assert [(turn.lineage, len(turn.prompt.messages)) for turn in transcript.turns] == [("main", 1), ("main/2", 1)]
    (call,) = transcript.unlogged
    assert (call.lineage, call.at, call.output_tokens) == ("main", asked, 100)


def test_a_micro_compaction_clears_results_on_a_new_lineage(tmp_path: Path) -> None:
    """Behind a microcompact boundary the named results are cleared, and only there."""
    session = Session()
    session.user("start")
    session.call("msg_1", "tool_1")
    session.result("tool_1", "a long result")
    session.call("msg_2", "tool_2")
    session.result("tool_2", "another")
    session.line("system", subtype="microcompact_boundary", microcompactMetadata={"compactedToolIds": ["tool_1"]})
    session.say("msg_3", "ok")
    session.user("go on")
    session.say("msg_4", "ok")
    turns = read(session, tmp_path).turns
    assert [turn.lineage for turn in turns] == ["main", "main", "main/2", "main/2"]
    assert "a long result" in texts(turns[1])
    assert texts(turns[3])[:5] == ["start", "tool_1", "[Old tool result content cleared]", "tool_2", "another"]


def test_sub_agents_in_progress_lines_are_lineages(tmp_path: Path) -> None:
    """A sub-agent's messages inside progress lines are turns of its own lineage; the main chain runs through them."""
    session = Session()
    session.user("start")
    session.call("msg_1", "tool_1")
    inner = {"id": "msg_a1", "model": "claude-haiku-4-5", "role": "assistant", "content": [{"type": "text", "text": "found"}]}
    for number, (kind, message) in enumerate(
        [("user", {"role": "user", "content": "look"}), ("assistant", inner | {"usage": {"input_tokens": 9}})]
    ):
        data = {"type": "agent_progress", "agentId": "a7", "message": {"type": kind, "message": message, "uuid": f"in{number}"}}
        session.line("progress", data=data, parentToolUseID="tool_1")
    session.result("tool_1", "found")
    session.say("msg_2", "ok")
    transcript = read(session, tmp_path)
    found = {turn.request: (turn.lineage, texts(turn)) for turn in transcript.turns}
    assert found["msg_a1"] == ("agent:a7", ["look"])
    assert found["msg_2"] == ("main", ["start", "tool_1", "found"])


def test_sub_agent_files_belong_to_their_session(tmp_path: Path) -> None:
    """Files in ``<session>/subagents`` are read with the session, once, and alone where the session is not there."""
    session, agent = Session(), Session(agent="a9")
    session.user("start")
    session.say("msg_1", "hi")
    agent.user("look")
    agent.say("msg_2", "found")
    main = session.write(tmp_path / "p" / "x.jsonl.gz")
    side = agent.write(tmp_path / "p" / "x" / "subagents" / "agent-a9.jsonl")
    (transcript,) = (item for item in read_all(discover([str(tmp_path)])) if isinstance(item, Transcript))
    assert sorted((turn.lineage, turn.request) for turn in transcript.turns) == [("agent:a9", "msg_2"), ("main", "msg_1")]
    main.unlink()
    (alone,) = (item for item in read_all([side]) if isinstance(item, Transcript))
    assert [turn.lineage for turn in alone.turns] == ["agent:a9"]


def test_a_fork_inside_a_file_copies_lines_but_not_calls(tmp_path: Path) -> None:
    """Lines copied under new ids into the same file neither double an answer's blocks nor its bill."""
    session = Session()
    session.user("start")
    session.call("msg_1", "tool_1")
    session.result("tool_1", "done")
    session.say("msg_2", "ok")
    session.last = None
    session.user("start")
    session.call("msg_1", "tool_1")
    session.result("tool_1", "done")
    session.say("msg_2", "ok")
    session.user("and now")
    session.say("msg_3", "well")
    transcript = read(session, tmp_path)
    assert [texts(turn) for turn in transcript.turns][-1] == ["start", "tool_1", "done", "ok", "and now"]
    assert [turn.request for turn in transcript.turns] == ["msg_1", "msg_2", "msg_3"]
    assert {turn.lineage for turn in transcript.turns} == {"main"}

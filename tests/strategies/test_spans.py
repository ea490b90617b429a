"""Strategies that fold or drop: collapse, memory, full, truncate, ladder."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from holdfast.blocks import Role
from holdfast.drive import drive
from holdfast.edits import Clear, Drop, Fold, Plan
from holdfast.errors import AskFailed
from holdfast.strategy import Ask, Goal, Proposal, Strategy, View
from holdfast.testing import ScriptedModel
from holdfast_strategies.collapse import Collapse
from holdfast_strategies.digest import Session
from holdfast_strategies.estimate import excess, freed
from holdfast_strategies.full import Full
from holdfast_strategies.full.restore import restored
from holdfast_strategies.full.summary import usable_summary
from holdfast_strategies.ladder import Ladder
from holdfast_strategies.memory import Memory
from holdfast_strategies.micro import Micro
from holdfast_strategies.truncate import Truncate
from tests.strategies.sessions import session
from tests.strategies.views import applied, broken_rules, does, goal, read, view_of

GOOD = "<summary>" + "The parser's header size was fixed in /app/src/parser.py. " * 8 + "</summary>"


def planned(strategy: Strategy, view: View, wanted: Goal, model: ScriptedModel | None = None) -> Plan | None:
    """The plan, with a model that fails unless one is given."""
    return drive(strategy.plan(view, wanted), model or ScriptedModel([]))[0]


def texts_after(view: View, plan: Plan | None) -> list[str]:
    """What is sent after a plan."""
    assert plan is not None
    assert broken_rules(view, plan.edits) == []
    return [entry.block.text for entry in applied(view, plan.edits).entries]


def test_collapse_keeps_every_word_of_the_user() -> None:
    """Whatever the target, only the assistant's side is folded."""
    view = view_of(read(session()))
    said = [block.text for block in view.source if block.role is Role.USER and block.kind == "text"]
    assert said
    for share in (0.01, 0.3, 0.6, 0.9):
        texts = texts_after(view, planned(Collapse(keep_rounds=0), view, goal(view, share)))
        assert all(text in texts for text in said)


def test_collapse_keeps_reports_while_folding_work_is_enough() -> None:
    """How a finished request ended stays word for word."""
    view = view_of(read(session()))
    texts = texts_after(view, planned(Collapse(keep_rounds=0), view, goal(view, 0.35)))
    assert any("finished sub-task" in text for text in texts)
    assert any(text.startswith("The root cause was") for text in texts)
    assert "Committed as 3f2a91c." in texts


def test_a_stub_tells_what_was_done_and_how_it_went() -> None:
    """Tools, inputs in short, the error, the change, the size and the reason stand in it."""
    view = view_of(read(session()))
    texts = texts_after(view, planned(Collapse(keep_rounds=0), view, goal(view, 0.35)))
    stubs = "\n".join(text for text in texts if text.startswith("[holdfast"))
    for part in (
        "finished sub-task",
        "Read",
        "parser.py",
        "ValueError: bad header",
        "12 passed",
        "`x = 1` → `x = HEADER_SIZE`",
        "messages (",
    ):
        assert part in stubs


def test_collapse_takes_lookups_before_finished_work() -> None:
    """A small excess costs one fold of rounds that only looked around, the newest there is."""
    view = view_of(read(session()))
    plan = planned(Collapse(keep_rounds=0), view, Goal(view.tokens - 200, view.tokens))
    assert plan is not None
    (fold,) = plan.edits
    assert isinstance(fold, Fold)
    assert "looking around" in fold.text
    assert fold.start > 15


def test_collapse_asks_one_question_for_all_spans() -> None:
    """Answers are told apart by their number; a span without one keeps its built-in stub."""
    view = view_of(read(session()))
    model = ScriptedModel(["[[1]]\nThe model's own words on the first span.\n\n[[7]] nothing\n"])
    plan = planned(Collapse(keep_rounds=0, ask_model=True), view, goal(view, 0.01), model)
    built_in = planned(Collapse(keep_rounds=0), view, goal(view, 0.01))
    assert plan is not None
    assert built_in is not None
    assert len(model.asked) == 1
    assert "The model's own words" in plan.edits[0].text  # type: ignore[union-attr]
    assert plan.edits[1:] == built_in.edits[1:]
    assert planned(Collapse(keep_rounds=0, ask_model=True), view, goal(view, 0.01)) == built_in


def test_memory_puts_notes_behind_the_first_message() -> None:
    """One fold up to the newest rounds, with what the user said word for word."""
    view = view_of(read(session()))
    plan = planned(Memory(keep_share=0), view, goal(view, 0.3))
    texts = texts_after(view, plan)
    assert plan is not None
    assert [type(edit) for edit in plan.edits] == [Fold]
    assert texts[0] == "Make the tests of the parser pass."
    assert "“Never touch the public API. Now document parse_header in docs/parser.md.”" in texts[1]


def test_memory_keeps_more_rounds_where_there_is_room() -> None:
    """A higher share keeps later rounds verbatim, and still meets the target."""
    view = view_of(read(session() * 4), tail_messages=2)
    wanted = goal(view, 0.5)
    stops = []
    for share in (0.0, 0.5, 1.0):
        plan = planned(Memory(notes_tokens=400, keep_share=share), view, wanted)
        assert plan is not None
        assert applied(view, plan.edits).tokens <= wanted.target
        stops.append(plan.edits[-1].stop)
    assert stops[0] > stops[1] > stops[2]


def test_notes_upon_notes_lose_nothing_of_the_first() -> None:
    """The second notes are made from the same history, not from the first notes."""
    messages = read(session())
    early = view_of(messages[:16])
    first = planned(Memory(keep_share=0), early, goal(early, 0.3))
    assert first is not None
    view = view_of(messages)
    again = planned(Memory(keep_share=0), applied(view, first.edits), goal(view, 0.2))
    fresh = planned(Memory(keep_share=0), view, goal(view, 0.2))
    assert again is not None
    assert fresh is not None
    assert again.edits[0].stop == fresh.edits[0].stop
    assert "“yes”" in again.edits[0].text  # type: ignore[union-attr]


def test_pins_split_the_fold() -> None:
    """Notes stand in the first gap, the other gaps are dropped, the pinned message stays."""
    messages = read(session())
    at = next(index for index, block in enumerate(block for message in messages for block in message.blocks) if block.text == "yes")
    view = view_of(messages, pins=[at])
    plan = planned(Memory(keep_share=0), view, goal(view, 0.3))
    texts = texts_after(view, plan)
    assert plan is not None
    assert [type(edit) for edit in plan.edits] == [Fold, Drop]
    assert texts[2] == "yes"


def test_full_asks_on_top_of_the_live_prompt() -> None:
    """One question, with the caller's focus in it; the answer becomes the fold, with the user's words behind it."""
    view = view_of(read(session()))
    model = ScriptedModel([GOOD])
    wanted = Goal(view.tokens // 2, view.tokens, focus="the header size")
    texts = texts_after(view, planned(Full(keep_share=0), view, wanted, model))
    assert len(model.asked) == 1
    assert "the header size" in model.asked[0].instruction
    assert "do not call any tool" in model.asked[0].instruction
    assert "The parser's header size was fixed" in texts[1]
    assert "<summary>" not in texts[1]
    assert "“Never touch the public API." in texts[1]


@pytest.mark.parametrize(
    "bad", [None, "", "too short", "I'm sorry, but I cannot do that. " * 20, '{"name": "Read", "input": {"file_path": "x"}}' * 20]
)
def test_a_bad_summary_leaves_the_history_whole(bad: str | None) -> None:
    """Nothing, a stump, a refusal and a tool call are failures; the digest stands in only if that was asked for."""
    view = view_of(read(session()))
    with pytest.raises(AskFailed):
        planned(Full(), view, goal(view), ScriptedModel([bad]))
    assert planned(Full(fall_back=True), view, goal(view), ScriptedModel([bad])) == planned(Full(ask_model=False), view, goal(view))


def test_a_summary_is_taken_from_its_tags() -> None:
    """What a model says around the summary does not enter the history."""
    assert (
        usable_summary(f"Sure! <analysis>hm</analysis>\n{GOOD}\nAnything else?")
        == GOOD.removeprefix("<summary>").removesuffix("</summary>").strip()
    )


def test_full_puts_back_the_files_last_read() -> None:
    """The newest content of a file stands behind the summary as far as the budget reaches."""
    view = view_of(read(session()))
    wanted = Goal(view.tokens - 100, view.tokens)
    with_files = texts_after(view, planned(Full(keep_share=0, restore_tokens=4_000), view, wanted, ScriptedModel([GOOD])))
    without = texts_after(view, planned(Full(keep_share=0, restore_tokens=0), view, wanted, ScriptedModel([GOOD])))
    assert "## Files as last read" in with_files[1]
    assert "step 7 finished" in with_files[1]
    assert "step 7 finished" not in without[1]


def test_truncate_drops_the_fewest_oldest_rounds() -> None:
    """Behind the first user message, up to the target and not further; a note says how much."""
    view = view_of(read(session()))
    plan = planned(Truncate(), view, Goal(view.tokens - 600, view.tokens))
    assert plan is not None
    (fold,) = plan.edits
    assert isinstance(fold, Fold)
    assert fold.start == 1
    assert "4 earlier messages" in fold.text


def test_truncate_without_a_note_only_drops() -> None:
    """Then nothing stands in the place of the rounds."""
    view = view_of(read(session()))
    plan = planned(Truncate(note=False), view, Goal(view.tokens - 600, view.tokens))
    assert plan is not None
    assert [type(edit) for edit in plan.edits] == [Drop]


def test_the_ladder_takes_the_cheapest_step_that_is_enough() -> None:
    """A small excess is micro's, a large one is not."""
    view = view_of(read(session()))
    ladder = Ladder((Micro(keep_results=2), Memory(notes_tokens=300, keep_share=0)))
    small, large = planned(ladder, view, Goal(view.tokens - 100, view.tokens)), planned(ladder, view, goal(view, 0.2))
    assert small is not None
    assert large is not None
    assert all(isinstance(edit, Clear) for edit in small.edits)
    assert [type(edit) for edit in large.edits] == [Fold]


def test_the_ladder_stacks_steps_where_none_is_enough() -> None:
    """The combination frees more than any step alone and its edits do not overlap."""
    view = view_of(read(session()))
    steps = (Micro(keep_results=0), Collapse(keep_rounds=0))
    plan = planned(Ladder(steps), view, goal(view, 0.01))
    assert plan is not None
    assert broken_rules(view, plan.edits) == []
    assert plan.why == "micro + collapse"
    alone = [planned(step, view, goal(view, 0.01)) for step in steps]
    assert all(one and applied(view, plan.edits).tokens <= applied(view, one.edits).tokens for one in alone)


@dataclass(frozen=True)
class Failing:
    """A step whose model always fails."""

    name: str = "failing"

    def plan(self, view: View, goal: Goal) -> Proposal:
        """Ask in vain."""
        yield Ask("please")
        return Plan(self.name, ())


def test_the_ladder_skips_a_step_whose_model_fails() -> None:
    """The next step gets its turn."""
    view = view_of(read(session()))
    wanted = Goal(view.tokens - 100, view.tokens)
    assert planned(Ladder((Failing(), Micro(keep_results=2))), view, wanted) == planned(Ladder((Micro(keep_results=2),)), view, wanted)


def test_collapse_leaves_a_result_in_which_the_user_speaks() -> None:
    """Words that came together with a tool's result are the user's as well."""
    messages = session()
    messages[2]["content"].append({"type": "text", "text": "stop, look at the lexer instead"})
    view = view_of(read(messages))
    assert "stop, look at the lexer instead" in texts_after(view, planned(Collapse(keep_rounds=0), view, goal(view, 0.01)))


@pytest.mark.parametrize("percent", range(30, 95, 5))
def test_collapse_gives_back_the_folds_it_does_not_need(percent: int) -> None:
    """When a later stage frees more than was missing, other spans stay as they were."""
    view = view_of(read(session() * 3))
    wanted = goal(view, percent / 100)
    plan = planned(Collapse(keep_rounds=0), view, wanted)
    assert plan is not None
    spare = freed(view, plan.edits) - excess(view, wanted)
    assert spare >= 0
    assert all(freed(view, [edit]) > spare for edit in plan.edits)


@pytest.mark.parametrize(
    ("path", "error", "changed"),
    [
        ("/app/docs/parser.md", False, True),
        ("docs/parser.md", False, True),
        ("docs/parser.md", True, False),
        ("tools/parser.md", False, False),
    ],
)
def test_a_file_changed_in_the_tail_is_put_back_with_a_word_on_it(path: str, error: bool, changed: bool) -> None:
    """Also where the change names it by a relative path; a change that failed is none."""
    history = [message for message in session() if "toolu_10" not in str(message)]
    late = does(12, "Edit", {"file_path": path, "old_string": "step 7", "new_string": "step 8"}, "done", error)
    view = view_of(read([*history, *late]))
    text = restored(view, Session(view.source, view.tail), 4_000)
    assert "step 7 finished" in text
    part = next(line for line in text.splitlines() if line.startswith("### ") and "docs/parser.md" in line)
    assert ("changed after this" in part) is changed


def test_a_file_read_again_in_the_tail_is_not_put_back() -> None:
    """Whichever of its paths it is read by."""
    view = view_of(read([*session(), *does(12, "Read", {"file_path": "docs/parser.md"}, "spelled")]))
    assert "step 7 finished" not in restored(view, Session(view.source, view.tail), 4_000)

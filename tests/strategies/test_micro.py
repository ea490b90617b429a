"""Clearing tool results."""

from __future__ import annotations

from dataclasses import replace

import pytest

from holdfast.blocks import Kind
from holdfast.drive import drive
from holdfast.edits import Clear, Drop, Plan
from holdfast.strategy import Goal, View
from holdfast.testing import ScriptedModel
from holdfast_strategies.acts import acts_of
from holdfast_strategies.micro import Micro
from holdfast_strategies.placeholders import cleared_result, short_hash
from tests.strategies.sessions import LOG, session
from tests.strategies.views import applied, does, goal, read, says, user, view_of


def planned(strategy: Micro, view: View, wanted: Goal) -> Plan | None:
    """The plan, with no model to ask."""
    return drive(strategy.plan(view, wanted), ScriptedModel([]))[0]


def test_the_newest_results_that_may_go_are_cleared_first() -> None:
    """A target that is nearly met costs one late edit, and everything before it stays warm."""
    view = view_of(read(session()))
    plan = planned(Micro(keep_results=2), view, Goal(view.tokens - 100, view.tokens))
    assert plan is not None
    (edit,) = plan.edits
    assert isinstance(edit, Clear)
    assert "/app/src/parser.py" in edit.text
    assert edit.block == 20


def test_the_newest_results_stay() -> None:
    """With as many results to keep as there are, nothing is proposed."""
    view = view_of(read(session()))
    assert planned(Micro(keep_results=11), view, goal(view, 0.1)) is None


def test_a_placeholder_says_what_was_there() -> None:
    """It names the tool, its input, the size and the hash, and how the command ended."""
    view = view_of(read(session()))
    plan = planned(Micro(keep_results=0), view, goal(view, 0.01))
    assert plan is not None
    texts = {edit.block: edit.text for edit in plan.edits if isinstance(edit, Clear)}
    block, text = next((block, text) for block, text in texts.items() if "pytest" in text)
    source = view.source[block]
    for part in (
        "Bash `pytest -q tests/test_parser.py`",
        f"{source.tokens:,} tokens",
        f"{source.text.count(chr(10)) + 1} lines",
        short_hash(source),
        "ValueError",
    ):
        assert part in text
    assert all(view.count(text) * 3 < view.source[block].tokens for block, text in texts.items())


@pytest.mark.parametrize("tool", ["TodoWrite", "AskUserQuestion", "Secret"])
def test_protected_tools_keep_their_results_and_inputs(tool: str) -> None:
    """Whatever the target, a protected name is not touched."""
    view = view_of(read([user("go"), *does(1, tool, {"x": LOG}, LOG), says("done"), user("on"), says("ok")]))
    strategy = Micro(keep_results=0, clear_inputs=True, protect_tools=frozenset({"TodoWrite", "AskUserQuestion", "Secret"}))
    assert planned(strategy, view, goal(view, 0.01)) is None
    assert planned(replace(strategy, protect_tools=frozenset()), view, goal(view, 0.01)) is not None


def test_inputs_go_only_when_asked_and_needed() -> None:
    """Big inputs are cleared where results are not enough, and only with the option."""
    view = view_of(read(session()))
    calls = [index for index, block in enumerate(view.source) if block.kind is Kind.TOOL_USE]
    without, with_inputs = (planned(Micro(keep_results=0, clear_inputs=flag), view, goal(view, 0.01)) for flag in (False, True))
    assert without is not None
    assert with_inputs is not None
    assert not any(edit.start in calls for edit in without.edits)
    assert any(edit.start in calls for edit in with_inputs.edits)
    assert applied(view, with_inputs.edits).tokens < applied(view, without.edits).tokens


def test_thinking_is_dropped_only_beside_something_else() -> None:
    """A message that holds nothing but thinking keeps it, so that no message becomes empty."""
    thought = {"type": "thinking", "thinking": "hm " * 200, "signature": "s"}
    lonely = {"role": "assistant", "content": [thought]}
    both = {"role": "assistant", "content": [thought, {"type": "text", "text": "yes"}]}
    view = view_of(read([user("a"), lonely, user("b"), both, user("c"), *does(1, "Read", {"file_path": "x"}, "y"), says("z"), user("d")]))
    plan = planned(Micro(keep_results=0, clear_thinking=True), view, goal(view, 0.01))
    assert plan is not None
    assert plan.edits == (Drop(3, 4),)


def test_what_a_fenced_command_gave_back_is_a_result() -> None:
    """Agents without tool calls are served too."""
    shell = [says("THOUGHT: look\n\n```bash\ncat src/a.py\n```"), user(f"<returncode>0</returncode>\n<output>\n{LOG}\n</output>")]
    view = view_of(read([user("fix it"), *shell, says("```bash\nls\n```"), user("<returncode>0</returncode>"), says("done"), user("ok")]))
    plan = planned(Micro(keep_results=0), view, goal(view, 0.01))
    assert plan is not None
    assert [edit.start for edit in plan.edits] == [2]
    assert isinstance(plan.edits[0], Clear)
    assert "src/a.py" in plan.edits[0].text


@pytest.mark.parametrize(
    ("tool", "inputs", "error", "said"),
    [
        ("Read", {"file_path": "/a.py"}, False, "read it again if needed"),
        ("exec_command", {"cmd": "cat src/a.py"}, False, "read it again if needed"),
        ("Grep", {"pattern": "x"}, False, "search again if needed"),
        ("WebFetch", {"url": "https://a.b"}, False, "fetch it again if needed"),
        ("Edit", {"file_path": "/a.py", "old_string": "x"}, False, "the change was made"),
        ("Edit", {"file_path": "/a.py", "old_string": "x"}, True, "can be asked for by this hash"),
        ("Bash", {"command": "git push --force"}, False, "can be asked for by this hash"),
        ("Task", {"prompt": "deploy"}, False, "can be asked for by this hash"),
        ("mcp__db__execute", {"query": "DELETE FROM users"}, False, "can be asked for by this hash"),
        ("mcp__mail__fetch", {"url": "x"}, False, "can be asked for by this hash"),
        ("charge", {"path": "cards/1"}, False, "can be asked for by this hash"),
    ],
)
def test_only_looking_is_invited_again(tool: str, inputs: dict[str, str], error: bool, said: str) -> None:
    """A push, an agent or a tool of unknown effect is never asked to be done twice."""
    view = view_of(read([user("go"), *does(1, tool, inputs, LOG, error)]))
    text = cleared_result(view.source[2], acts_of(view.source)[0])
    assert text.endswith(f"{said}]")
    assert ("again" in text) == ("again" in said)

"""Every strategy on recorded sessions of four agents."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from holdfast.drive import drive
from holdfast.readers import read as read_transcripts
from holdfast.rules import check_plan
from holdfast.strategies import named, registered
from holdfast.strategy import View
from holdfast.testing import ScriptedModel
from holdfast_strategies.digest import Session, digest
from tests.strategies.views import applied, broken_rules, count, goal, view_of, weighed

SESSIONS = [
    "claude-code/entireio-cli/8ef64fdd-df8c-41f2-ac32-d9471671f062.jsonl.gz",
    "codex/entireio-git-sync/019d7d08-46c9-7f73-affe-4e6ca9852d56.jsonl.gz",
    "pi/pi-mono/before-compaction.jsonl.gz",
    "mini-swe-agent/gemini-3-pro-openrouter/django__django-14373.traj.json.gz",
]
SUMMARY = "<summary>" + "The port is 8443 and the tests in /app/src pass. " * 8 + "</summary>"


@cache
def longest(path: Path) -> View:
    """The view of a file's longest prompt."""
    prompts = [turn.prompt for transcript in read_transcripts(path) for turn in transcript.turns]
    prompt = max(prompts, key=lambda prompt: len(prompt.messages))
    return view_of(weighed(prompt.messages), tail_messages=6)


@pytest.mark.parametrize("path", SESSIONS)
@pytest.mark.parametrize("name", sorted(registered()))
def test_plans_are_legal_and_free_something(corpus: Path, name: str, path: str) -> None:
    """By the tests' own check and by the pipeline's; only ``none`` proposes nothing."""
    view = longest(corpus / path)
    plan, _ = drive(named(name).plan(view, goal(view, 0.4)), ScriptedModel(lambda ask: SUMMARY))
    assert (plan is None) == (name == "none")
    if plan is not None:
        check_plan(plan, view)
        assert broken_rules(view, plan.edits) == []
        assert applied(view, plan.edits).tokens < view.tokens


@pytest.mark.parametrize("path", SESSIONS)
def test_the_digest_tells_the_newest_instructions_and_files(corpus: Path, path: str) -> None:
    """What the user said last and the file that was changed last stand in it, within the budget."""
    view = longest(corpus / path)
    text = digest(view, view.tail, 4_000)
    session = Session(view.source, view.tail)
    spoken = [request.words for request in session.requests if request.index not in view.pinned]
    assert count(text) <= 4_400
    if spoken:
        assert spoken[-1].split("\n")[0][:100] in text
    changed = [path for act in session.acts if act.verb in ("edit", "write") for path in act.paths]
    if changed:
        assert session.brief(changed[-1]) in text

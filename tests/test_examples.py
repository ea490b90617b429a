"""The examples run as they are, without a network, and show what they say they show."""

from __future__ import annotations

import os
import re
import runpy
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from tests.conftest import ROOT

pytest_plugins = ("pytester",)

EXAMPLES = ROOT / "examples"
RUN = ("observe_and_record", "session_without_a_client", "test_with_fake", "wrap_anthropic", "wrap_openai")
LINES = 42


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[[str], str]:
    """Runs an example as its docstring says, in an empty folder, and gives what it printed."""

    def running(name: str) -> str:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        for variable in [each for each in os.environ if each.startswith(("HOLDFAST_", "ANTHROPIC_", "OPENAI_"))]:
            monkeypatch.delenv(variable)
        runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
        out, err = capfd.readouterr()
        assert err == ""
        return out

    return running


def numbers(line: str) -> list[int]:
    """The whole numbers of a line, behind its turn."""
    return [int(word.replace(",", "")) for word in re.findall(r"(?<!\S)\d[\d,]*(?= )", line.partition(":")[2])]


def test_every_example_is_short_and_is_run_here() -> None:
    """One screen each; ``scrub.py`` is a tool and no example."""
    assert sorted(path.stem for path in EXAMPLES.glob("*.py") if path.stem != "scrub") == sorted(RUN)
    for name in RUN:
        text = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8")
        assert len(text.splitlines()) <= LINES
        assert f"{'pytest' if name.startswith('test') else 'python'} examples/{name}.py" in text


def test_an_anthropic_agent_is_shortened_and_told_what_it_saved(run: Callable[[str], str]) -> None:
    """Its cache is read as soon as the prompt is long enough, old tool results are cut now and then, and the account says so."""
    out = run("wrap_anthropic")
    turns = [numbers(line) for line in out.splitlines() if line.endswith(" written")]
    assert len(turns) == 36
    commits = sum(before[0] + before[1] > now[0] for before, now in pairwise(turns))
    assert commits == 1
    assert [read for read, _ in turns].count(0) == 2 + commits
    assert "36 requests, 1 commit\n" in out
    assert "no unplanned break (35 of 35 " in out
    assert re.search(r"^  net +\$", out, re.MULTILINE), "more was saved than spent"


def test_an_openai_conversation_is_shortened_and_keeps_what_is_pinned(run: Callable[[str], str]) -> None:
    """The oldest rounds go, the pinned page does not, and reading never stops."""
    out = run("wrap_openai")
    turns = [line for line in out.splitlines() if line.startswith("turn")]
    assert sum("; truncate: " in line for line in turns) == 1
    assert all(numbers(line)[0] > 1000 for line in turns[1:])
    assert re.search(r"^  net +\$", out, re.MULTILINE), "more was saved than spent"
    assert out.endswith("page 3 is still there\n")


def test_observing_changes_nothing_and_its_record_is_a_transcript(run: Callable[[str], str]) -> None:
    """The report says what would have been; the replay of the record commits what the report has counted on."""
    out = run("observe_and_record")
    assert out.startswith("Only observed, nothing was saved: 40 requests, ")
    assert "40 turns, $" in out
    assert "; truncate" not in out
    assert len(re.findall(r"^ +\d+ .* truncate ", out, re.MULTILINE)) == int(out.split(" commits, ")[-2].split()[-1])


def test_a_session_without_a_client_shortens_and_then_sends_the_same_bytes(run: Callable[[str], str]) -> None:
    """Between two plans each request begins with the whole of the one before."""
    turns = run("session_without_a_client").splitlines()
    assert len(turns) == 30
    commits = [line for line in turns if "; truncate: " in line]
    assert 1 <= len(commits) <= 5
    sent = 0
    for line in turns:
        _, now, stable = numbers(line)[:3]
        if line not in commits:
            assert stable == sent
        sent = now


def test_the_tests_of_an_agent_pass(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the plug-in, in a project of their own."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makepyfile((EXAMPLES / "test_with_fake.py").read_text(encoding="utf-8"))
    pytester.runpytest_subprocess("-p", "holdfast.testing.plugin").assert_outcomes(passed=2)

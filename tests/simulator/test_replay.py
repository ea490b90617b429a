"""Replays of real transcripts: every strategy legal, no break that was not announced, and the control as it was recorded."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import pytest

from holdfast.calibrate import Weighed, weigh
from holdfast.errors import IllegalPlan, UnknownModel
from holdfast.pricing import Prices
from holdfast.simulator.judged import judge_session
from holdfast.simulator.replay import Conditions, Replay, Step
from holdfast.simulator.replay_file import replay_file
from holdfast.simulator.requests import ReplayRequest
from holdfast.strategies import named, registered
from holdfast.tokens import Counter
from tests.simulator.bodies import Judge, transcripts

EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "examples" / "transcripts").glob("*.gz"))
NAMES = sorted(registered())
COUNTER = Counter()
LOW = Conditions(Prices.load(), trigger=30_000, target=15_000, keep_tail_tokens=4_000)
"""Thresholds that small transcripts exceed as well."""


@lru_cache
def weighed(path: Path) -> tuple[Weighed, ...]:
    """The transcripts of a file, weighed."""
    return tuple(weigh(transcript, COUNTER) for transcript in transcripts([path]))


def replayed(weighed: Weighed, name: str, conditions: Conditions = LOW) -> list[Step]:
    """All turns under one strategy."""
    return list(Replay(weighed.transcript, named(name), conditions).steps())


def judged(weighed: Weighed, names: Sequence[str], conditions: Conditions) -> tuple[list[str], int, int]:
    """What is wrong with the replays, the number of commits, and of plans that were refused."""
    wrong, commits, illegal = [], 0, 0
    for name in names:
        replay = Replay(weighed.transcript, named(name), conditions)
        judge = Judge(weighed.transcript, lambda step, replay=replay: replay.price(step.turn).binds_thinking == "prefix")  # type: ignore[misc]
        for number, step in enumerate(replay.steps()):
            wrong += [f"{name} turn {number}: {violation}" for violation in judge.judge(step)]
            wrong += [f"{name} turn {number}: broken"] if step.broken else []
            commits += step.outcome.trace.commit is not None
            illegal += sum(isinstance(error, IllegalPlan) for error in step.outcome.trace.errors)
    return wrong, commits, illegal


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_control_sends_what_was_recorded(path: Path) -> None:
    """Without a strategy every prompt weighs what was billed, nothing is committed and nothing breaks."""
    for session in weighed(path):
        for step in replayed(session, "none"):
            if step.turn.usage is not None:
                assert step.outcome.trace.sent_tokens == step.turn.usage.prompt == step.usage.prompt
            assert step.outcome.trace.sent_tokens == step.outcome.trace.given_tokens
            assert step.outcome.trace.commit is None
            assert not step.broken
            assert step.asked == 0


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_controls_bill_is_near_the_recorded_one(path: Path) -> None:
    """What the simulated cache bills for the recorded prompts is within a tenth of what was really billed."""
    for session in weighed(path):
        result = judge_session(session, [named("none")], Conditions(LOW.prices))
        assert result.recorded is not None
        assert abs(float(result.results[0].usd / result.recorded.usd) - 1) < 0.1


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_strategy_is_legal_on_real_transcripts(path: Path) -> None:
    """The checker finds nothing in the bodies of a whole replay, every break was announced, and strategies do act."""
    for session in weighed(path):
        wrong, commits, illegal = judged(session, NAMES, LOW)
        assert wrong == []
        assert illegal == 0
        assert commits >= len(NAMES) - 2


@pytest.mark.parametrize("name", NAMES)
def test_a_replay_gives_the_same_twice(name: str) -> None:
    """Two replays of one transcript agree in every number."""
    session = weighed(EXAMPLES[0])[0]
    first, second = (replayed(session, name) for _ in range(2))
    assert [(step.usage, step.usd, step.outcome.trace) for step in first] == [(step.usage, step.usd, step.outcome.trace) for step in second]


@pytest.mark.parametrize("name", NAMES)
def test_the_bill_adds_up(name: str) -> None:
    """The classes of each turn's usage add up to what was sent, and a session's price to that of its turns."""
    session = weighed(EXAMPLES[0])[0]
    steps = replayed(session, name)
    assert all(step.usage.prompt == step.outcome.trace.sent_tokens for step in steps)
    result = judge_session(session, [named(name)], LOW).results[0]
    assert result.usd == sum(step.usd for step in steps)
    assert result.model_calls_usd == sum(step.asked for step in steps)
    assert result.commits == sum(step.outcome.trace.commit is not None for step in steps)
    assert result.unplanned_breaks == 0


def test_a_file_is_told_turn_by_turn() -> None:
    """Each commit of the story carries the predicted and, once known, the measured break-even."""
    request = ReplayRequest(str(EXAMPLES[0]), "truncate", trigger=30_000, target=15_000, keep_tail_tokens=4_000)
    turns = list(replay_file(request))
    commits = [turn.commit for turn in turns if turn.commit]
    assert [turn.turn for turn in turns] == list(range(len(turns)))
    assert commits
    assert any(commit.measured_break_even_turn is not None for commit in commits)
    assert all(turn.note != "unplanned break" for turn in turns)
    assert {turn.usage.prompt == turn.prompt_tokens for turn in turns} == {True}


def sample(corpus: Path) -> list[Path]:
    """A fixed choice of sessions over all formats: every so many by name, none of them huge."""
    claude = [path for path in sorted((corpus / "claude-code").rglob("*.jsonl*")) if 40_000 < path.stat().st_size < 360_000]
    others = [
        sorted(path for path in (corpus / name).rglob("*.json*") if 20_000 < path.stat().st_size < most)
        for name, most in (("codex", 200_000), ("pi", 500_000), ("mini-swe-agent", 200_000))
    ]
    return claude[:: max(1, len(claude) // 10)][:10] + [path for paths in others for path in paths[:: max(1, len(paths) // 2)][:2]]


@pytest.mark.parametrize("part", range(4))
def test_every_strategy_is_legal_on_a_sample_of_the_corpus(corpus: Path, part: int) -> None:
    """Over sessions of all formats: nothing illegal, nothing broken that was not announced, no plan refused."""
    commits = 0
    for path in sample(corpus)[part::4]:
        for session in (weigh(transcript, COUNTER) for transcript in transcripts([path])):
            if not session.transcript.turns:
                continue
            model = None if known(session) else "claude-sonnet-4-5"
            wrong, made, illegal = judged(session, NAMES, Conditions(LOW.prices, model, 30_000, 15_000, None, 4_000))
            assert wrong == [], path
            assert illegal == 0, path
            commits += made
    assert commits > 15


def known(session: Weighed) -> bool:
    """Whether every model of a session has a price."""
    try:
        for turn in session.transcript.turns:
            LOW.prices.find(turn.model)
    except UnknownModel:
        return False
    return True

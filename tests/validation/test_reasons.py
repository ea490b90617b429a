"""A reason stands on evidence in the transcript: taken out, the same numbers are unexplained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given, settings

from holdfast.blocks import Message
from holdfast.pricing import Prices
from holdfast.readers import Failure, discover, group, read_group
from holdfast.transcript import Transcript, Turn
from holdfast.usage import Usage
from holdfast.validation.check import check
from holdfast.validation.history import chain_name, slack
from holdfast.validation.reasons import NOT_OURS, Explainer, Reason
from holdfast.validation.results import Disagreement
from holdfast.validation.sight import Prediction, sights
from holdfast.wire import of
from tests.validation.sessions import AUTOMATIC_MODELS, HAIKU, MARKED_MODELS, SONNET, Step, judged, last, recorded, results, sessions

pytestmark = pytest.mark.xdist_group("test_reasons")  # what all of these tests need is read once

BEGUN = [Step(user=True, grow=20_000), Step(), Step()]
"""A first prompt of 20,000 tokens and two rounds of a tool loop: the newest entry has 21,997 tokens, the one before 20,997."""
HOUR = [replace(step, hour=True) for step in BEGUN]
WARM = [replace(HOUR[0], read=10_000), *HOUR[1:]]
"""The same with an hour's entries, and a head of 10,000 tokens that was found warm."""
OFF, ON = ("client 2.1.30", "thinking off"), ("client 2.1.30", "thinking on")


@dataclass(frozen=True)
class Case:
    """Requests whose last is given ``reason``, with ``words`` in its evidence, and the same without what shows it."""

    reason: Reason
    words: str
    shown: Sequence[Step]
    hidden: Sequence[Step]


CASES = {
    "a longer lifetime below": Case(
        Reason.LIFETIME_CLASS,
        "written for 3600 s; idle 999 s",
        [*HOUR[:2], Step(), Step(pause=1_000, read=20_997)],
        [*HOUR[:2], Step(), Step(read=20_997)],
    ),
    "more than was left, at a user's turn": Case(
        Reason.UNLOGGED_CALL,
        "read 23,000, but the logged requests left 21,997",
        [*BEGUN, Step(user=True, grow=1_500, read=23_000)],
        [*BEGUN, Step(grow=1_500, read=23_000)],
    ),
    "more than was left, after the user broke a call off": Case(
        Reason.UNLOGGED_CALL,
        "read 23,000, but the logged requests left 21,997",
        [*BEGUN, Step(grow=1_500, read=23_000, signs=(*OFF, "interrupted"))],
        [*BEGUN, Step(grow=1_500, read=23_000)],
    ),
    "alive after its lifetime, at a user's turn": Case(
        Reason.UNLOGGED_CALL,
        "something used it in between",
        [*BEGUN, Step(user=True, pause=1_000, read=21_997)],
        [*BEGUN, Step(pause=1_000, read=21_997)],
    ),
    "a shrunk history was read": Case(
        Reason.UNLOGGED_CALL,
        "read 19,900, but the logged requests left 21,997",
        [*BEGUN, Step(user=True, total=20_000, read=19_900)],
        [*BEGUN, Step(total=23_000, read=19_900)],
    ),
    "a deferred tool": Case(
        Reason.HEAD_CHANGED, "tools: the newest message refers", [*BEGUN, Step(loads=True, read=5_000)], [*BEGUN, Step(read=5_000)]
    ),
    "other tools": Case(
        Reason.HEAD_CHANGED,
        "tools or system",
        [*(replace(step, tools=("A", "B")) for step in BEGUN), Step(tools=("B", "A"), read=5_000)],
        [*(replace(step, tools=("A", "B")) for step in BEGUN), Step(tools=("A", "B"), read=5_000)],
    ),
    "another model": Case(
        Reason.HEAD_CHANGED, f"{BEGUN[0].model} before, {HAIKU} now", [*BEGUN, Step(model=HAIKU, read=5_000)], [*BEGUN, Step(read=5_000)]
    ),
    "another effort": Case(
        Reason.HEAD_CHANGED,
        'settings: effort not set before, "low" now',
        [*BEGUN, Step(effort='"low"', read=5_000)],
        [*BEGUN, Step(read=5_000)],
    ),
    "thinking switched on": Case(
        Reason.HEAD_CHANGED,
        "thinking switched on",
        [*BEGUN, Step(user=True, signs=ON, read=5_000)],
        [*BEGUN, Step(user=True, signs=OFF, read=5_000)],
    ),
    "a compaction is noted": Case(
        Reason.HISTORY_REWRITTEN,
        "the client notes: compacted",
        [*BEGUN, Step(user=True, line="main/2", total=21_950, read=5_000, signs=(*OFF, "compacted"))],
        [*BEGUN, Step(user=True, total=21_950, read=5_000)],
    ),
    "a clearing is noted": Case(
        Reason.HISTORY_REWRITTEN,
        "the client notes: old tool results cleared",
        [*BEGUN, Step(line="main/2", fork="main", kept=3, read=5_000, signs=(*OFF, "old tool results cleared"))],
        [*BEGUN, Step(read=5_000)],
    ),
    "a restart is noted": Case(
        Reason.HISTORY_REWRITTEN,
        "the client notes: resumed",
        [*BEGUN, Step(user=True, read=5_000, signs=(*OFF, "resumed"))],
        [*BEGUN, Step(user=True, read=5_000)],
    ),
    "the prompt shrank": Case(
        Reason.HISTORY_REWRITTEN,
        "the prompt shrank from 22,000 to 18,000",
        [*BEGUN, Step(total=18_000, read=5_000)],
        [*BEGUN, Step(read=5_000)],
    ),
    "a history with another beginning": Case(
        Reason.HISTORY_REWRITTEN,
        "does not begin with what was sent before",
        [*BEGUN, Step(line="main/2", total=23_000, read=5_000)],
        [*BEGUN, Step(total=23_000, read=5_000)],
    ),
    "the head was warm after its lifetime": Case(
        Reason.HEAD_SHARED,
        "idle 999 s, lifetime 300 s; the head of 15,000 tokens was still warm",
        [*BEGUN, Step(pause=1_000, read=15_000)],
        [*BEGUN, Step(pause=100, read=15_000)],
    ),
    "the head was cold after its lifetime": Case(
        Reason.HEAD_SHARED,
        "idle 3999 s, lifetime 3600 s; the head was cold",
        [*WARM, Step(user=True, hour=True, pause=4_000, read=0)],
        [*WARM, Step(user=True, hour=True, pause=3_000, read=0)],
    ),
    "the pause was too long": Case(
        Reason.LIFETIME_PASSED,
        "idle 999 s, lifetime 300 s",
        [*BEGUN, Step(pause=1_000, read=20_000)],
        [*BEGUN, Step(pause=100, read=20_000)],
    ),
    "an earlier entry, too soon": Case(
        Reason.LATE,
        "read exactly an earlier entry; the newest was 2.0 s old",
        [*BEGUN, Step(pause=2, read=20_997)],
        [*BEGUN, Step(pause=20, read=20_997)],
    ),
    "an earlier entry of that size": Case(
        Reason.LATE,
        "read exactly an earlier entry",
        [*BEGUN, Step(pause=2, read=20_997)],
        [BEGUN[0], Step(grow=700), Step(grow=1_300), Step(pause=2, read=20_997)],
    ),
    "nothing was read in a tool loop": Case(
        Reason.PROVIDER_LOST,
        "nothing read 19 s after the same prefix was used, lifetime 300 s",
        [*BEGUN, Step(read=0)],
        [*BEGUN, Step(user=True, read=0)],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_reason_is_given_where_the_transcript_shows_it(name: str) -> None:
    """A wrong prediction has the reason that its evidence supports, told in its figures."""
    case = CASES[name]
    turn, prediction, explanation = last(case.shown)
    assert turn.usage is not None
    assert abs(prediction.likely.read - turn.usage.read) > slack(turn.usage.prompt)
    assert explanation.reason is case.reason
    assert case.words in explanation.evidence


@pytest.mark.parametrize("name", CASES)
def test_without_its_evidence_the_same_read_is_unexplained(name: str) -> None:
    """The pause, note, boundary, setting, user's turn or earlier entry taken out, as much is read and nothing says why."""
    case = CASES[name]
    turn, _, explanation = last(case.hidden)
    assert turn.usage is not None
    assert turn.usage.read == case.shown[-1].read
    assert (explanation.reason, explanation.evidence) == (Reason.UNEXPLAINED, "")


def test_every_reason_has_a_case() -> None:
    """The list is closed: each reason is shown above, but rounding, which is shown below."""
    assert {case.reason for case in CASES.values()} == set(Reason) - {Reason.ROUNDING, Reason.UNEXPLAINED}


@pytest.mark.parametrize("models", [MARKED_MODELS, AUTOMATIC_MODELS], ids=["marked", "automatic"])
def test_evidence_goes_with_a_reason(models: Sequence[str]) -> None:
    """Whatever happens, a reason has evidence, and what is unexplained has none."""

    @settings(max_examples=50)
    @given(sessions(models))
    def explained(steps: list[Step]) -> None:
        for _, _, explanation in judged(recorded(steps)):
            assert bool(explanation.evidence) == (explanation.reason is not Reason.UNEXPLAINED)

    explained()


@settings(max_examples=50)
@given(sessions(AUTOMATIC_MODELS))
def test_where_nothing_is_promised_nothing_is_lost(steps: list[Step]) -> None:
    """A cache that promises neither marks nor lifetimes is never said to have lost an entry, nor a call to have gone unlogged."""
    promised = {*NOT_OURS, Reason.LIFETIME_CLASS, Reason.LIFETIME_PASSED}
    assert not any(explanation.reason in promised for _, _, explanation in judged(recorded(steps)))


# Of two pieces of evidence the more particular counts.


def test_without_the_longer_lifetime_the_pause_is_left() -> None:
    """A read of older parts after five minutes is misjudged where they were written for an hour, else over by its lifetime."""
    found = last([*BEGUN, Step(pause=1_000, read=20_997)])[2]
    assert found.reason is Reason.LIFETIME_PASSED


def test_a_read_of_all_that_was_left_has_not_outlived_it() -> None:
    """In a tool loop nothing unlogged can have used an entry: read whole after its lifetime, it is no evidence for any reason."""
    found = last([*BEGUN, Step(pause=1_000)])[2]
    assert found.reason is Reason.UNEXPLAINED


def test_as_logged_is_not_unlogged() -> None:
    """Where unlogged calls had extended entries before, a turn that reads just what was logged shows none."""
    habit = [Step(user=True, grow=1_500, read=total - 60) for total in (23_500, 25_000, 26_500)]
    assert last([*BEGUN, *habit, Step(user=True, grow=1_500)])[2].reason is Reason.UNEXPLAINED


def test_a_switch_that_lost_nothing_is_no_reason() -> None:
    """Thinking is noted as switched, but all that was left is read: the switch explains nothing."""
    assert last([*BEGUN, Step(user=True, signs=ON)])[2].reason is Reason.UNEXPLAINED


def test_a_restart_after_the_lifetime_is_no_reason() -> None:
    """What had outlived its lifetime would not have been read without a restart either."""
    found = last([*WARM, Step(user=True, hour=True, pause=4_000, read=0, signs=(*OFF, "resumed"))])[2]
    assert found.reason is Reason.HEAD_SHARED


def test_a_switch_of_model_matters_once() -> None:
    """Back at a model that has its own entries, what it reads has its own reasons."""
    other = Step(user=True, model=HAIKU, read=0, pause=5)
    more = last([*BEGUN, other, Step(user=True, grow=1_500, read=23_000, pause=5)])[2]
    assert more.reason is Reason.UNLOGGED_CALL
    warm = last([*BEGUN, other, Step(user=True, read=15_000, pause=1_000)])[2]
    assert warm.reason is Reason.HEAD_SHARED


def test_late_visibility_comes_before_a_loaded_tool() -> None:
    """A request that loads a deferred tool, but reads exactly an earlier entry seconds after the newest, has lost nothing by the tool."""
    assert last([*BEGUN, Step(loads=True, pause=3, read=20_997)])[2].reason is Reason.LATE


def test_a_deferred_tool_is_news_once() -> None:
    """Only the first reference to deferred tools changes the head."""
    assert last([*BEGUN, Step(loads=True, read=10_000), Step(loads=True, read=5_000)])[2].reason is Reason.UNEXPLAINED


def test_models_that_drop_thinking_say_so() -> None:
    """A shrunk prompt at a user's turn is put to the dropped thinking where the model drops it."""
    for model, dropped in ((SONNET, True), (BEGUN[0].model, False)):
        steps = [*(replace(step, model=model) for step in BEGUN), Step(user=True, total=20_000, read=5_000, model=model)]
        found = last(steps)[2]
        assert found.reason is Reason.HISTORY_REWRITTEN
        assert ("drops earlier thinking" in found.evidence) is dropped


@pytest.mark.parametrize(
    ("step", "apart", "reason"),
    [
        (2_200, 2_200, Reason.ROUNDING),
        (2_200, 2_201, Reason.UNEXPLAINED),
        (2_200, 4_400, Reason.UNEXPLAINED),
        (1_980, 1_980, Reason.UNEXPLAINED),
        (1, 1, Reason.UNEXPLAINED),
    ],
)
def test_rounding_is_one_step_at_its_edge(step: int, apart: int, reason: Reason) -> None:
    """One step apart is rounding where what was left ends within two tokens of a step's edge; single tokens are not rounded."""
    explainer = Explainer(step, best_effort=True)
    *before, (sight, turn) = sights(recorded([*BEGUN, Step(read=19_800)]))
    for one, told in before:
        explainer.learn(one, told)
    assert before[-1][0].prompt_tokens == 22_000
    usage = Usage(read=19_800 + apart)
    assert explainer.explain(sight, turn, Prediction(usage, usage, "")).reason is reason


def test_explaining_changes_nothing() -> None:
    """Asked once, twice or never about a request, the explainer says the same of the next."""
    steps = CASES["nothing was read in a tool loop"].shown
    found = []
    for asked in range(3):
        explainer = Explainer()
        for sight, turn in sights(recorded([*steps, Step(user=True, pause=2, read=24_000)])):
            usage = Usage(read=1)
            for _ in range(asked if sight.index < len(steps) else 1):
                said = explainer.explain(sight, turn, Prediction(usage, usage, ""))
            explainer.learn(sight, turn)
        found.append(said)
    assert found[0].reason is Reason.UNLOGGED_CALL
    assert found[0] == found[1] == found[2]


# Real sessions, doctored.

Doctor = Callable[[Turn, Turn], Turn]
"""Takes the evidence out of a request; the second is the request before it on its chain."""


def _soon(turn: Turn, before: Turn) -> Turn:
    return replace(turn, at=(before.at or 0.0) + 60)


def _as_results(turn: Turn, before: Turn) -> Turn:
    loop = of("anthropic").read_message(results(0))
    return _with(replace(turn, signs=tuple(sign for sign in turn.signs if sign != "interrupted")), loop)


def _with(turn: Turn, newest: Message) -> Turn:
    *earlier, _ = turn.prompt.messages
    return replace(turn, prompt=replace(turn.prompt, messages=[*earlier, newest]))


DOCTORS: dict[Reason, tuple[str, Doctor]] = {
    Reason.LATE: ("read exactly", _soon),
    Reason.HEAD_SHARED: ("idle", _soon),
    Reason.UNLOGGED_CALL: ("the logged requests left", _as_results),
    Reason.HEAD_CHANGED: ("deferred tools", _as_results),
}


@pytest.fixture(scope="module")
def disagreements(corpus: Path) -> list[tuple[Disagreement, list[Turn], Transcript]]:
    """Those of some real sessions, each with the requests of its chain up to it."""
    prices = Prices.load()
    found = []
    for files in group(discover([str(corpus / "claude-code" / "entireio-git-sync")])):
        for transcript in read_group(files):
            if not isinstance(transcript, Failure):
                for each in check(transcript, prices).disagreements:
                    chain = [turn for turn in transcript.turns[: each.turn + 1] if chain_name(turn.lineage) == chain_name(each.lineage)]
                    found.append((each, chain, transcript))
    return found


@pytest.mark.parametrize("reason", DOCTORS)
def test_a_real_reason_falls_with_its_evidence(disagreements: list[tuple[Disagreement, list[Turn], Transcript]], reason: Reason) -> None:
    """A recorded request without the pause, the user's turn or the tool that explain its read is no more explained by them.

    Nothing else is made up instead, but that nothing read within a tool loop, with nothing noted, is a loss.
    """
    words, doctor = DOCTORS[reason]
    found = 0
    for each, (*_, before, turn), transcript in disagreements:
        shrunk = before.usage is None or each.prompt_tokens < before.usage.prompt
        if each.explanation.reason is not reason or words not in each.explanation.evidence or shrunk or found == 4:
            continue
        found += 1
        doctored = doctor(turn, before)
        explanation = list(judged(transcript.with_turns((*transcript.turns[: each.turn], doctored))))[-1][2]
        lost = each.read_recorded == 0 and not doctored.prompt.messages[-1].is_plain_user
        assert explanation.reason is (Reason.PROVIDER_LOST if lost else Reason.UNEXPLAINED)
    assert found

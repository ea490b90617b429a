"""Caches with marks are foretold from what came before, and from nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.blocks import Message, Role
from holdfast.transcript import Transcript, Turn
from holdfast.usage import Usage
from holdfast.validation.check import predictor_of
from holdfast.validation.explicit import ExplicitPredictor, client
from holdfast.validation.history import slack
from holdfast.validation.reasons import Reason
from holdfast.validation.sight import Prediction, sights
from tests.validation.sessions import AUTOMATIC_MODELS, HAIKU, MARKED_MODELS, OPUS, SONNET, Step, judged, recorded, sessions

PROVIDERS = dict(zip(AUTOMATIC_MODELS, ("openai", "deepseek", "google"), strict=True))


def foretold(steps: Sequence[Step]) -> tuple[Prediction, Turn]:
    """The prediction of the last request, and its record."""
    turn, prediction, _ = list(judged(recorded(steps)))[-1]
    return prediction, turn


def all_said(transcript: Transcript) -> list[tuple[Prediction, object]]:
    """Every prediction and explanation."""
    return [(prediction, explanation) for _, prediction, explanation in judged(transcript)]


# Nothing later, and nothing of its own bill.


@pytest.mark.parametrize("models", [MARKED_MODELS, AUTOMATIC_MODELS], ids=["marked", "automatic"])
def test_nothing_later_matters(models: Sequence[str]) -> None:
    """What is said of a request, prediction and reason, is the same in a transcript that ends with it."""

    @settings(max_examples=50)
    @given(sessions(models), st.data())
    def cut_anywhere(steps: list[Step], data: st.DataObject) -> None:
        until = data.draw(st.integers(1, len(steps)))
        assert all_said(recorded(steps))[:until] == all_said(recorded(steps[:until]))

    cut_anywhere()


@settings(max_examples=50)
@given(sessions(), sessions(), st.integers(0, 11))
def test_another_future_changes_nothing(steps: list[Step], others: list[Step], until: int) -> None:
    """Whatever follows a request, what is said of it stays."""
    known = {step.line for step in steps[:until]}
    future = [step for step in others if step.line in known or not step.fork]
    assert all_said(recorded(steps))[:until] == all_said(recorded([*steps[:until], *future]))[: len(steps[:until])]


@pytest.mark.parametrize("models", [MARKED_MODELS, AUTOMATIC_MODELS], ids=["marked", "automatic"])
def test_a_requests_own_bill_is_not_seen(models: Sequence[str]) -> None:
    """Any split of the same prompt into read, written and fresh, any output, charge, answer, end and id: the prediction is the same."""

    @settings(max_examples=50)
    @given(sessions(models), st.floats(0, 1), st.floats(0, 1), st.integers(0, 9_000), st.booleans())
    def billed_otherwise(steps: list[Step], read: float, written: float, output: int, hour: bool) -> None:
        transcript = recorded(steps)
        last = transcript.turns[-1]
        assert last.usage is not None
        total = last.usage.prompt
        reads = int(total * read)
        writes = int((total - reads) * written)
        usage = Usage(total - reads - writes, reads, 0 if hour else writes, writes if hour else 0, output=output)
        answer = Message(Role.ASSISTANT, (), {"role": "assistant", "content": []})
        turn = replace(last, usage=usage, charged=Decimal(output), answer=answer, ended=None, request="other", output_final=False)
        other = transcript.with_turns((*transcript.turns[:-1], turn))
        assert all_said(other)[-1][0] == all_said(transcript)[-1][0]

    billed_otherwise()


@settings(max_examples=50)
@given(sessions())
def test_a_prediction_is_a_bill_of_the_whole_prompt(steps: list[Step]) -> None:
    """Its classes add up to the prompt's recorded total, none is negative, the output is left out, and asking twice changes nothing."""
    predictor = ExplicitPredictor()
    for sight, turn in sights(recorded(steps)):
        prediction = predictor.predict(sight)
        assert prediction == predictor.predict(sight)
        for usage in (prediction.likely, prediction.expected):
            assert usage.prompt == sight.prompt_tokens
            assert min(usage.as_dict().values()) >= 0
            assert usage.output == 0
        predictor.learn(sight, turn)


@settings(max_examples=50)
@given(sessions())
def test_a_provider_has_one_predictor_for_every_marked_cache(steps: list[Step]) -> None:
    """Bedrock, Vertex and Foundry sell Anthropic's cache: they are foretold as Anthropic is."""
    transcript = recorded(steps)
    for provider in ("anthropic", "bedrock", "vertex", "foundry"):
        predictor = predictor_of(provider, OPUS)
        assert isinstance(predictor, ExplicitPredictor)
        said = []
        for sight, turn in sights(transcript):
            said.append(predictor.predict(sight))
            predictor.learn(sight, turn)
        assert said == [prediction for _, prediction, _ in judged(transcript)]


# The rules, one by one.

BEGUN = [Step(user=True, grow=20_000), Step(), Step()]
"""Three requests of a tool loop: what they leave has 21,997 tokens."""
LEFT = 21_997


def test_inside_its_lifetime_the_entry_before_is_read() -> None:
    """A request reads all that the one before has left, up to the last second of the five minutes, and of the hour."""
    for pause, hour in ((1, False), (299, False), (3_599, True)):
        prediction, _ = foretold([*(replace(step, hour=hour) for step in BEGUN), Step(pause=pause)])
        assert (prediction.likely.read, prediction.basis) == (LEFT, "the entry before")


def test_after_its_lifetime_it_is_not() -> None:
    """Five minutes after the last answer ended the history is written anew, and an hour after where it was written for an hour."""
    for pause, hour in ((300, False), (3_600, True)):
        prediction, _ = foretold([*(replace(step, hour=hour) for step in BEGUN), Step(pause=pause + 0.5)])
        assert prediction.likely.read == LEFT  # the answer before took a second
        prediction, _ = foretold([*(replace(step, hour=hour) for step in BEGUN), Step(pause=pause + 1)])
        assert prediction.basis == "lifetime passed"
        assert prediction.likely.read < LEFT


def test_a_use_begins_the_lifetime_anew() -> None:
    """Four requests, each four minutes after the one before: the entry is always read."""
    prediction, _ = foretold([*BEGUN, *[Step(pause=240)] * 4])
    assert prediction.likely.read == LEFT + 3_000


def test_the_lifetime_is_that_of_the_earlier_writes() -> None:
    """What is not read is foretold to be written for as long as the request before wrote, whatever this one does."""
    for hour in (True, False):
        prediction, _ = foretold([*(replace(step, hour=hour) for step in BEGUN), Step(hour=not hour)])
        assert (prediction.likely.write_1h > 0) == hour
        assert (prediction.likely.write_5m > 0) == (not hour)


def test_a_compaction_leaves_the_head() -> None:
    """A new history reads the head, as large as a read has shown it."""
    steps = [Step(user=True, grow=40_000, hour=True), Step(hour=True, pause=4_000, read=16_500), Step(hour=True)]
    prediction, _ = foretold([*steps, Step(user=True, line="main/2", total=30_000, pause=60)])
    assert (prediction.likely.read, prediction.basis) == (16_500, "history rewritten")


def test_a_fork_reads_what_both_lines_begin_with() -> None:
    """A line forked from a request's prompt reads the entry that this request left."""
    prediction, _ = foretold([*BEGUN, Step(user=True, line="main/2", fork="main", kept=3, total=25_000)])
    assert prediction.likely.read == 20_997


def test_no_model_reads_anothers_entry() -> None:
    """After a change of model the history is new; back at the first, within its lifetime, it is not."""
    prediction, _ = foretold([*BEGUN, Step(model=HAIKU, pause=5)])
    assert prediction.basis == "first request"
    prediction, _ = foretold([*BEGUN, Step(model=HAIKU, pause=5, read=0), Step(pause=5)])
    assert prediction.likely.read == LEFT


def test_an_entry_over_twenty_positions_behind_is_not_found() -> None:
    """A lookup goes back over 20 positions; an entry further behind the newest block is not found."""
    found = []
    for more in (19, 20):
        transcript = recorded([*BEGUN, Step(user=True)])
        turn = transcript.turns[-1]
        *before, newest = turn.prompt.messages
        long = replace(newest, blocks=newest.blocks * more)
        transcript = transcript.with_turns((*transcript.turns[:-1], replace(turn, prompt=replace(turn.prompt, messages=[*before, long]))))
        found.append(list(judged(transcript))[-1][1].basis)
    assert found == ["the entry before", "history rewritten"]


def test_a_prompt_below_the_minimum_is_not_cached() -> None:
    """Opus 4.5 caches from 4,096 tokens on: a shorter prompt is fresh, whatever is held."""
    prediction, turn = foretold([Step(user=True, grow=2_000), Step(grow=500)])
    assert prediction.likely == Usage(fresh=2_500)
    assert prediction.basis == "below the minimum"
    assert turn.usage is not None
    prediction, _ = foretold([Step(user=True, grow=4_200), Step(grow=500)])
    assert prediction.likely.read == 4_197


def test_a_head_below_the_minimum_is_not_cached() -> None:
    """Behind a first prompt that was too short to be cached there is nothing to read, however long the second is."""
    steps = [Step(user=True, grow=2_700, read=0), Step(grow=30_000, read=0)]
    turns = recorded(steps).turns
    bare = (replace(turns[0], usage=Usage(fresh=2_700)), turns[1])
    (_, _, _), (turn, prediction, explanation) = judged(recorded(steps).with_turns(bare))
    assert turn.usage is not None
    assert prediction.likely.read == 0
    assert explanation.reason is Reason.UNEXPLAINED


def test_a_client_that_starts_anew_reads_the_head() -> None:
    """Where the client notes that it was started anew on the session, its history is written anew."""
    prediction, _ = foretold([*BEGUN, Step(user=True, signs=("client 2.1.30", "thinking off", "resumed"))])
    assert prediction.basis == "resumed"
    assert prediction.likely.read < LEFT


def test_the_first_deferred_tool_changes_the_head() -> None:
    """The request that first refers to a deferred tool is not foretold to read the history, the second one that does is."""
    prediction, _ = foretold([*BEGUN, Step(loads=True)])
    assert prediction.basis == "a deferred tool is loaded"
    assert prediction.likely.read < LEFT
    prediction, _ = foretold([*BEGUN, Step(loads=True, read=0), Step(loads=True)])
    assert prediction.basis == "the entry before"


@pytest.mark.parametrize(("version", "lost"), [("2.1.19", False), ("2.1.20", True), ("2.1.38", True), ("2.1.39", False)])
def test_switching_thinking_loses_messages_in_some_versions(version: str, lost: bool) -> None:
    """Claude Code from 2.1.20 to 2.1.38 loses the messages when thinking is switched, the versions before and after do not."""
    off, on = ((f"client {version}", f"thinking {state}") for state in ("off", "on"))
    prediction, _ = foretold([*(replace(step, signs=off) for step in BEGUN), Step(user=True, signs=on)])
    assert (prediction.basis == "settings changed") is lost
    assert (prediction.likely.read < LEFT) is lost


def test_a_transcript_teaches_what_a_switch_does() -> None:
    """Where a switch was seen to keep the messages, the next is foretold to, whatever the version's odds."""
    off, on = (("client 2.1.30", f"thinking {state}") for state in ("off", "on"))
    switches = [Step(user=True, signs=on if number % 2 else off) for number in range(8)]
    prediction, _ = foretold([*(replace(step, signs=off) for step in BEGUN), *switches])
    assert prediction.basis == "the entry before"
    assert prediction.likely.read == LEFT + 7_000


def test_models_that_drop_thinking_shrink_at_a_users_turn() -> None:
    """A shrunk prompt at a user's turn has lost its thinking where the model drops it, and was rewritten where it keeps it."""
    for model, basis in ((SONNET, "thinking stripped"), (OPUS, "history rewritten")):
        begun = [replace(step, model=model) for step in BEGUN]
        assert foretold([*begun, Step(user=True, total=20_000, model=model)])[0].basis == basis
        assert foretold([*begun, Step(total=20_000, model=model)])[0].basis == "history rewritten"


def test_the_agents_of_a_session_share_a_head() -> None:
    """The second agent's first request reads the head that the first agent's has left, the first one's reads what nobody knows."""
    agent = Step(user=True, line="agent:a", grow=15_000, read=9_300)
    prediction, _ = foretold([*BEGUN, agent, replace(agent, line="agent:b", read=0)])
    assert (prediction.likely.read, prediction.basis) == (9_300, "the head of an earlier agent")
    prediction, _ = foretold([*BEGUN, agent])
    assert prediction.basis == "first request"


def test_an_entry_that_came_late_is_read_the_next_time() -> None:
    """Who reads an older entry two seconds after the newest was written has not lost it: the next request is foretold as usual."""
    prediction, _ = foretold([*BEGUN, Step(pause=2, read=20_997), Step()])
    assert prediction.likely.read == LEFT + 1_000


def test_a_lost_entry_stays_lost() -> None:
    """After a request that read nothing, a fork back to before it is not foretold to read what was not found."""
    prediction, _ = foretold([*BEGUN, Step(read=0), Step(user=True, line="main/2", fork="main", kept=5, total=23_000)])
    assert prediction.likely.read < LEFT


@given(st.lists(st.integers(1, 9_000), min_size=2, max_size=15), st.booleans())
def test_a_tool_loop_is_foretold_to_the_token(grows: list[int], hour: bool) -> None:
    """In a loop without pauses every request but the first reads, writes and pays what is foretold."""
    steps = [Step(user=True, grow=20_000, hour=hour), *[Step(grow=grow, hour=hour) for grow in grows]]
    for turn, prediction, _ in list(judged(recorded(steps)))[1:]:
        assert turn.usage is not None
        assert prediction.likely == prediction.expected == replace(turn.usage, output=0)
        assert abs(prediction.likely.read - turn.usage.read) <= slack(turn.usage.prompt)


@pytest.mark.parametrize(
    ("sign", "version"),
    [("client 2.1.37", (2, 1, 37)), ("client 2.1.199", (2, 1, 199)), ("client ", ()), ("thinking on", ()), ("client x.2", (2,))],
)
def test_versions_are_numbers(sign: str, version: tuple[int, ...]) -> None:
    """The client's version is compared as numbers; without one there is none."""
    (turn,) = recorded([Step(user=True, signs=(sign,))]).turns
    assert client(turn) == version

"""The driver: answers go in, a plan or nothing comes out, and the generator is always closed."""

from __future__ import annotations

import asyncio

import pytest

from holdfast.drive import adrive, drive
from holdfast.edits import Clear, Plan
from holdfast.errors import AskFailed
from holdfast.strategy import Answer, Ask, Proposal
from holdfast.testing import ScriptedModel

PLAN = Plan("test", (Clear(0, "gone"),))


def asking(times: int, closed: list[str]) -> Proposal:
    """Asks, then plans with what it was told."""
    try:
        texts = []
        for number in range(times):
            answer = yield Ask(f"question {number}")
            texts.append(answer.text)
        return Plan("test", (Clear(0, " ".join(texts)),))
    finally:
        closed.append("closed")


def recovering() -> Proposal:
    """Asks once, and plans without an answer if there is none."""
    try:
        yield Ask("please")
    except AskFailed as failure:
        return Plan("test", (Clear(0, str(failure)),))
    return None


def test_a_strategy_that_asks_nothing_costs_nothing() -> None:
    """The plan comes at once and no answer was paid for."""
    assert drive(asking(0, []), ScriptedModel([])) == (Plan("test", (Clear(0, ""),)), [])


def test_answers_are_sent_in_order_and_counted() -> None:
    """Each question gets the next answer, and all answers come back with the plan."""
    model = ScriptedModel(["one", "two"])
    plan, answers = drive(asking(2, []), model)
    assert plan == Plan("test", (Clear(0, "one two"),))
    assert [answer.text for answer in answers] == ["one", "two"]
    assert [ask.instruction for ask in model.asked] == ["question 0", "question 1"]


@pytest.mark.parametrize("script", [[], [None], [""], ["  \n"]])
def test_a_model_that_fails_leaves_no_plan(script: list[str | None]) -> None:
    """An empty or missing answer ends in AskFailed, and the generator is closed."""
    closed: list[str] = []
    with pytest.raises(AskFailed):
        drive(asking(1, closed), ScriptedModel(script))
    assert closed == ["closed"]


def test_an_empty_answer_was_paid_for() -> None:
    """It is among the answers although the strategy never saw it."""
    plan, answers = drive(recovering(), ScriptedModel([""]))
    assert plan is not None
    assert [answer.text for answer in answers] == [""]


def test_a_strategy_may_recover() -> None:
    """What is raised into it can be caught, and its own plan counts."""
    plan, answers = drive(recovering(), ScriptedModel([None]))
    assert plan == Plan("test", (Clear(0, "the script has no answer to question 1"),))
    assert answers == []


def test_endless_questions_end() -> None:
    """A strategy that never stops asking is stopped."""
    closed: list[str] = []
    with pytest.raises(AskFailed, match="more questions"):
        drive(asking(1_000, closed), ScriptedModel(lambda ask: "again"), limit=3)
    assert closed == ["closed"]


def test_an_error_of_the_caller_closes_the_generator_too() -> None:
    """Whatever else the callable raises goes up unchanged."""

    def interrupted(ask: Ask) -> Answer:
        raise KeyboardInterrupt

    closed: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        drive(asking(1, closed), interrupted)
    assert closed == ["closed"]


def test_the_awaiting_driver_does_the_same() -> None:
    """The same script gives the same plan and the same answers."""
    model = ScriptedModel(["one", "two"])

    async def ask(question: Ask) -> Answer:
        return model(question)

    assert asyncio.run(adrive(asking(2, []), ask)) == drive(asking(2, []), ScriptedModel(["one", "two"]))


def test_a_function_can_be_the_script() -> None:
    """It sees each question."""
    answer = ScriptedModel(lambda ask: ask.instruction.upper())(Ask("why"))
    assert answer.text == "WHY"
    assert answer.usage.output == 1

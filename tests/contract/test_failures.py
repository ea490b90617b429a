"""All or nothing: whatever fails, the request goes out as the committed ledger would have sent it, and nothing reaches the caller."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from holdfast.blocks import Block, Kind
from holdfast.checker import check_body
from holdfast.edits import Clear, Drop, Edit, Fold, Plan
from holdfast.errors import AskFailed, BudgetUnreachable, HoldfastError, IllegalPlan, StoreError
from holdfast.frozen import Json
from holdfast.line import Line
from holdfast.options import Options
from holdfast.pipeline import StrategyRaised
from holdfast.saved import Saved
from holdfast.schedule import Schedule
from holdfast.session import Session
from holdfast.store import MemoryStore
from holdfast.strategy import Answer, Ask, Goal, Proposal, View
from holdfast.usage import Usage
from tests.contract.subjects import OPTIONS, SMALL, canonical, eager, run, scripted, session, working
from tests.generators import Body, Step, dumps
from tests.mutants import unmarked

Planner = Callable[[View, Goal], Any]
STEPS = 30
"""Requests of the conversation that all failures happen in."""


@dataclass
class Turning:
    """A good strategy until it has committed ``good`` plans; from then on, what ``bad`` does."""

    bad: Planner
    good: int = 1
    name: str = "turning"
    calls: list[View] = field(default_factory=list)

    def plan(self, view: View, goal: Goal) -> Proposal:
        """Turn bad when the conversation holds enough stand-ins."""
        if len({entry.state for entry in view.entries}) <= 1:
            return eager("micro").plan(view, goal)
        self.calls.append(view)
        made: Proposal = self.bad(view, goal)
        return made


def generator(make: Callable[[View], Iterable[Edit]]) -> Planner:
    """A strategy that returns a plan with these edits."""

    def plan(view: View, goal: Goal) -> Iterator[Ask]:
        yield from ()
        return Plan("turning", tuple(make(view)))  # type: ignore[return-value]  # a generator's return

    return plan


def result(view: View) -> int:
    """The first result that is still sent verbatim."""
    return next(entry.start for entry in view.entries if entry.block.kind is Kind.TOOL_RESULT and entry.state == "verbatim")


def of_kind(view: View, kind: Kind) -> int:
    """The first block of a kind."""
    return next(index for index, block in enumerate(view.source) if block.kind is kind)


def span(view: View) -> tuple[int, int]:
    """Two legal cuts with something between them."""
    return view.cuts[0], view.cuts[3]


ILLEGAL: dict[str, tuple[str, Callable[[View], Iterable[Edit]]]] = {
    "nothing": ("not-empty", lambda view: ()),
    "the first user message": ("pinned", lambda view: (Clear(0, "x"),)),
    "a negative place": ("ordered", lambda view: (Clear(-1, "x"),)),
    "an empty span": ("ordered", lambda view: (Drop(view.cuts[1], view.cuts[1]),)),
    "the tail": ("tail", lambda view: (Drop(view.cuts[1], len(view.source)),)),
    "beyond the end": ("tail", lambda view: (Clear(10**6, "x"),)),
    "overlap": ("ordered", lambda view: (Fold(*span(view), "x"), Clear(span(view)[1] - 1, "x"))),
    "out of order": ("ordered", lambda view: (Clear(result(view), "x"), Drop(view.cuts[0], view.cuts[1]))),
    "no cut": ("legal-cuts", lambda view: (Fold(view.cuts[0] + 1, view.cuts[2], "x"),)),
    "half a pair": ("legal-cuts", lambda view: (Drop(of_kind(view, Kind.TOOL_RESULT), of_kind(view, Kind.TOOL_RESULT) + 1),)),
    "an empty placeholder": ("no-empty-content", lambda view: (Clear(result(view), " "),)),
    "an empty fold": ("no-empty-content", lambda view: (Fold(*span(view), ""),)),
    "cleared thinking": ("clearable", lambda view: (Clear(of_kind(view, Kind.THINKING), "x"),)),
    "cleared again": ("clearable", lambda view: (Clear(next(e.start for e in view.entries if e.state == "cleared"), "x"),)),
}


def raising(view: View, goal: Goal) -> Proposal:
    """A strategy with a bug."""
    raise ZeroDivisionError("a bug")


def raising_late(view: View, goal: Goal) -> Iterator[Ask]:
    """A strategy whose bug shows after the answer."""
    yield Ask("why?")
    raise KeyError("a bug")


def endless(view: View, goal: Goal) -> Iterator[Ask]:
    """A strategy that never has enough."""
    while True:
        yield Ask("and then?")


def asking(view: View, goal: Goal) -> Iterator[Ask]:
    """A strategy that depends on its model."""
    answer: Answer = yield Ask("sum up")  # type: ignore[assignment]  # a generator is sent answers
    return Plan("turning", (Fold(view.cuts[0], view.cuts[3], answer.text),))  # type: ignore[return-value]


def nothing_at_all(view: View, goal: Goal) -> None:
    """Not even a generator."""


def a_list(view: View, goal: Goal) -> Iterator[Ask]:
    """A generator that returns something else than a plan."""
    yield from ()
    return [Clear(result(view), "x")]  # type: ignore[return-value]


FAILING: dict[str, tuple[type[HoldfastError], Planner]] = {
    "raises": (StrategyRaised, raising),
    "raises after an answer": (StrategyRaised, raising_late),
    "endless questions": (AskFailed, endless),
    "no generator": (StrategyRaised, nothing_at_all),
    "no plan": (StrategyRaised, a_list),
    **{f"plan: {name}": (IllegalPlan, generator(make)) for name, (_, make) in ILLEGAL.items()},
}


def none_after_first(view: View, goal: Goal) -> Iterator[Ask]:
    """Has nothing to offer: what the failing ones are measured against."""
    yield from ()
    return None


def replies(bad: Planner, **changes: Any) -> list[Body]:
    """What goes out under a strategy that turns bad."""
    return [sent.body for sent in run(session(Turning(bad), **changes), steps())]


def steps() -> list[Step]:
    """One conversation with thinking and calls."""
    return working(STEPS, thinking=True)


@pytest.mark.parametrize("how", FAILING)
def test_a_strategy_that_fails_changes_nothing(how: str) -> None:
    """The request goes out as the ledger sends it, the error is in the trace, and the conversation goes on."""
    kind, bad = FAILING[how]
    subject = session(Turning(bad))
    told = run(subject, steps())
    errors = [error for sent in told for error in sent.trace.errors]
    assert errors
    assert {type(error) for error in errors} == {kind}
    assert sum(sent.trace.commit is not None for sent in told) == 1
    assert [canonical(sent.body) for sent in told] == list(map(canonical, replies(none_after_first)))


@pytest.mark.parametrize("how", ILLEGAL)
def test_the_error_names_the_rule(how: str) -> None:
    """An illegal plan is refused by the rule it broke."""
    rule, make = ILLEGAL[how]
    told = run(session(Turning(generator(make))), steps())
    refused = [error for sent in told for error in sent.trace.errors if isinstance(error, IllegalPlan)]
    assert refused[-1].rule == rule  # while the conversation is short, the same places may still lie in the tail


@pytest.mark.parametrize("how", FAILING)
def test_a_failure_is_raised_only_when_asked_for(how: str) -> None:
    """With ``on_error="raise"`` it reaches the caller, and the next request is served as if that one had not been."""
    kind, bad = FAILING[how]
    subject = session(Turning(bad), on_error="raise")
    raised = 0
    for step in steps():
        try:
            subject.prepare(step.body, step.now)
        except kind:
            raised += 1
        subject.observe()
    assert raised


def test_unknown_blocks_are_never_edited() -> None:
    """A plan that touches a block whose meaning is not known is refused."""
    bodies = steps()
    for step in bodies:
        for message in step.body["messages"][1:2]:
            message["content"] = [{"type": "hologram", "payload": 1}, *message["content"]]
    told = run(session(Turning(generator(lambda view: (Clear(of_kind(view, Kind.UNKNOWN), "x"),)))), bodies)
    assert {error.rule for sent in told for error in sent.trace.errors if isinstance(error, IllegalPlan)} == {"unknown-blocks"}


def test_content_that_cannot_be_text_is_refused_not_lost() -> None:
    """A screenshot of a Responses request has no textual form: the plan is refused by name, the request goes out."""
    call = {"type": "computer_call", "call_id": "c1", "action": {"type": "screenshot"}}
    image = {"type": "computer_call_output", "call_id": "c1", "output": {"type": "computer_screenshot", "image_url": "data:x"}}
    long = {"role": "user", "content": "word " * 3000}
    body = {"model": "gpt-5.6", "input": [{"role": "user", "content": "hi"}, call, image, long, {"role": "user", "content": "go on"}]}
    clears = generator(lambda view: (Clear(of_kind(view, Kind.TOOL_RESULT), "x"),))

    class Clears:
        """Clears the screenshot."""

        name = "clears"

        def plan(self, view: View, goal: Goal) -> Proposal:
            """One clear."""
            made: Proposal = clears(view, goal)
            return made

    sent, trace = session(Clears(), "openai-responses", keep_tail_tokens=10).prepare(body, 0.0)
    assert sent is body
    assert [error.rule for error in trace.errors if isinstance(error, IllegalPlan)] == ["clearable"]


# -- models, stores, clocks


def failing_model(ask: Ask, line: Line) -> Answer:
    """The provider is down."""
    raise ConnectionError("down")


def silent_model(ask: Ask, line: Line) -> Answer:
    """An answer without text."""
    return Answer("  ", Usage(read=10, output=1))


def refusing_model(ask: Ask, line: Line) -> Answer:
    """A model that says so itself."""
    raise AskFailed("no")


@pytest.mark.parametrize("model", [failing_model, silent_model, refusing_model, None])
@pytest.mark.parametrize("bad", [asking, lambda view, goal: eager("full").plan(view, goal)])
def test_a_model_that_fails_leaves_the_history_whole(model: Any, bad: Planner) -> None:
    """No answer, no plan; what was paid for is in the trace."""
    subject = session(Turning(bad), ask=model)
    told = run(subject, steps())
    errors = [error for sent in told for error in sent.trace.errors]
    assert errors
    assert {type(error) for error in errors} == {AskFailed}
    assert [canonical(sent.body) for sent in told] == list(map(canonical, replies(none_after_first)))
    paid = sum(len(sent.trace.asked) for sent in told)
    assert (paid > 0) == (model is silent_model)


class FailingStore:
    """A full disk, from the second write on."""

    def __init__(self, error: Exception, good: int = 1) -> None:
        self.error, self.good = error, good

    def put(self, blocks: Iterable[Block]) -> None:
        """Raise."""
        self.good -= 1
        if self.good < 0:
            raise self.error

    def get(self, name: str) -> Json | None:
        """Nothing is kept."""
        return None

    def save(self, saved: Saved, expected: int) -> bool:
        """As if it were."""
        return True

    def find(self, roots: Sequence[str]) -> Saved | None:
        """Nothing is known."""
        return None

    def load(self, lineage: str) -> Saved | None:
        """Nor here."""
        return None

    def close(self) -> None:
        """There is nothing to close."""


@pytest.mark.parametrize("error", [StoreError("full"), OSError("full"), RuntimeError("bug")])
@pytest.mark.parametrize("name", ["micro", "truncate", "full"])
def test_a_store_that_fails_means_no_plan(error: Exception, name: str) -> None:
    """What cannot be kept is not taken out: the request goes out under the ledger as it is."""
    told = run(session(name, store=FailingStore(error)), steps())
    failed = [number for number, sent in enumerate(told) if sent.trace.errors]
    assert {type(error) for sent in told for error in sent.trace.errors} == {StoreError}
    assert [sent.trace.commit is not None for sent in told].count(True) == 1
    whole = run(session(name, store=MemoryStore()), steps())
    assert [canonical(sent.body) for sent in told[: failed[0]]] == [canonical(sent.body) for sent in whole[: failed[0]]]
    count = len(told[failed[0] - 1].body["messages"])
    assert texts(told[failed[0]].body)[:count] == texts(told[failed[0] - 1].body)


def texts(body: Body) -> list[bytes]:
    """The messages of a body without marks."""
    return [dumps(unmarked(message)) for message in body["messages"]]


@pytest.mark.parametrize("value", [OSError("no clock"), None, "noon"])
def test_a_clock_that_fails_means_no_plan(value: Any) -> None:
    """The request goes out, every turn says so, and nothing is committed."""

    def clock() -> float:
        if isinstance(value, Exception):
            raise value
        return value  # type: ignore[no-any-return]

    subject = session("truncate", clock=clock)
    for step in steps():
        sent, trace = subject.prepare(step.body)
        subject.observe()
        assert len(trace.errors) == 1
        assert trace.commit is None
        assert texts(dict(sent)) == texts(step.body) or "text" in str(sent)
    with pytest.raises(HoldfastError):
        session("truncate", clock=clock, on_error="raise").prepare(steps()[0].body)


def test_a_limit_out_of_reach_is_raised_only_when_asked_for() -> None:
    """The typed failure names the pinned blocks."""
    tight = Schedule(50, 25, 60)
    body = steps()[1].body
    _, trace = session("ladder", schedule=tight).prepare(body, 0.0)
    assert trace.unreachable is not None
    assert 0 in trace.unreachable.pinned
    with pytest.raises(BudgetUnreachable):
        session("ladder", schedule=tight, on_error="raise").prepare(body, 0.0)


# -- attempts


@pytest.mark.parametrize("name", ["micro", "full", "truncate", "collapse", "memory", "ladder"])
def test_a_failed_request_discards_its_plan_and_a_retry_before_that_reuses_it(name: str) -> None:
    """Until a request is answered its retries carry the same bytes; once it has failed, the plan never happened."""
    made: list[int] = []

    class Counting:
        """Counts how often it is asked."""

        def __init__(self) -> None:
            self.name = name

        def plan(self, view: View, goal: Goal) -> Proposal:
            """Ask the real one."""
            made.append(len(view.source))
            return eager(name).plan(view, goal)

    subject, number = session(Counting(), schedule=Schedule(2500, 800, 1_000_000)), 0
    for number, step in enumerate(steps()):  # noqa: B007 - used after the loop
        sent, trace = subject.prepare(step.body, step.now)
        if trace.commit:
            break
        subject.observe()
        before = sent
    assert trace.commit
    asked = len(made)
    again, retried = subject.prepare(step.body, step.now + 1)
    assert canonical(dict(again)) == canonical(dict(sent))
    assert retried.commit == trace.commit
    assert len(made) == asked
    subject.observe(failed=True)
    fresh, after = subject.prepare(step.body, step.now + 2)
    assert len(made) == asked + 1
    assert after.commit is not None
    assert after.commit.number == trace.commit.number
    assert canonical(dict(fresh)) == canonical(dict(sent))
    assert check_body(dumps(fresh)) == []
    assert texts(dict(before))[0] == texts(dict(fresh))[0]
    subject.observe()
    later, told = subject.prepare(steps()[number + 1].body, step.now + 20)
    assert told.commit is None
    assert texts(dict(later))[: len(texts(dict(fresh)))] == texts(dict(fresh))


def test_the_default_options_never_raise() -> None:
    """``on_error`` is ``"pass"`` unless set, and the model is none."""
    assert Options(SMALL).on_error == "pass"
    assert Options(SMALL).ask is None
    assert OPTIONS.ask is scripted
    assert isinstance(session("none"), Session)

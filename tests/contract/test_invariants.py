"""The invariants of the design, for every registered strategy, over generated conversations, judged by the independent checker."""

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from holdfast.checker import Announced, Checker
from holdfast.pipeline import Trace
from holdfast.schedule import Schedule
from holdfast.session import Options, Session
from holdfast.store import MemoryStore, key
from holdfast.strategies import named, registered
from holdfast.strategy import Answer, Ask
from holdfast.usage import Usage
from holdfast.line import Line
from tests.generators import Body, Script, dumps, scripts

NAMES = sorted(registered())
KEEP_USER_TEXT = frozenset({"none", "micro", "collapse"})
SMALL = Schedule(trigger=900, target=450, limit=1_000_000)
PATIENT = settings(deadline=None, max_examples=25, phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink], suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def scripted(ask: Ask, line: Line) -> Answer:
    """A model that always gives the same summary."""
    return Answer("The user wants to know why the kelp lets go. " * 12, Usage(read=line.tokens, output=120))


def session(name: str, script: Script, marking: bool = True) -> Session:
    """A session with thresholds that generated conversations reach."""
    options = Options(
        SMALL, keep_tail_tokens=120, marking=marking, binds_thinking=script.binds is not None, ask=scripted, clock=lambda: 0.0, family="o200k"
    )
    return Session(named(name), options, script.dialect)


def run(name: str, script: Script, in_place: bool = False) -> list[tuple[Body, Body, Trace]]:
    """What the caller gave, what went out, and the story, for each step."""
    subject = session(name, script)
    told = []
    for step in script.in_place() if in_place else script.steps:
        original = copy.deepcopy(step.body)
        sent, trace = subject.prepare(step.body, step.now)
        subject.observe()
        told.append((original, json.loads(dumps(sent)), trace))
        assert dumps(step.body) == dumps(original), "the caller's own body was changed"
    return told


@pytest.mark.parametrize("name", NAMES)
class TestEveryStrategy:
    """What every strategy must do."""

    @given(script=scripts())
    @PATIENT
    def test_what_goes_out_is_legal_and_breaks_only_as_announced(self, name: str, script: Script) -> None:
        """The checker finds nothing in what a session sends."""
        judges = {0: Checker(script.dialect, script.binds, keeps_user_text=name in KEEP_USER_TEXT)}
        trunk = 0
        for step, (original, sent, trace) in zip(script.steps, told := run(name, script), strict=True):
            if step.branch not in judges:
                judges[step.branch] = judges[trunk].fork()
            announced = Announced(trace.commit.first_block) if trace.commit else None
            found = judges[step.branch].sent(dumps(sent), dumps(original), announced)
            if found: open("/tmp/env/found","w").write(repr(found)+repr(trace)+"\n"+"\n".join([dumps(original).decode()]+[dumps(x[1]).decode() for x in told[max(0,script.steps.index(step)-2):script.steps.index(step)]])+"\n"+dumps(sent).decode())
            assert found == []
            trunk = trunk if step.event == "fork" else step.branch

    @given(script=scripts(), in_place=st.booleans())
    @PATIENT
    def test_the_same_history_gives_the_same_bytes(self, name: str, script: Script, in_place: bool) -> None:
        """Another session sends the same bytes, also for a caller that changes its lists in place."""
        first = run(name, script)
        second = run(name, script, in_place)
        assert [canonical(sent) for _, sent, _ in first] == [canonical(sent) for _, sent, _ in second]


def canonical(body: Body) -> list[tuple[str, bytes]]:
    """A body by its top-level keys, whose order is no part of the prompt."""
    return sorted((name, dumps(value)) for name, value in body.items())

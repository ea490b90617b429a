"""What the contract is tested on: sessions with thresholds that generated conversations reach, and a record of what they send."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import HealthCheck, settings

from holdfast.checker import Announced, Checker, Dialect
from holdfast.line import Line
from holdfast.options import Options
from holdfast.schedule import Schedule
from holdfast.session import Session
from holdfast.store import Store
from holdfast.strategies import named, registered
from holdfast.strategy import Answer, Ask, Strategy
from holdfast.trace import Trace
from holdfast.usage import Usage
from tests.generators import Body, Reply, Script, Step, dumps, start

NAMES = sorted(registered())
ACTIVE = [name for name in NAMES if name != "none"]
KEEP_USER_TEXT = frozenset({"none", "micro", "collapse"})
SMALL = Schedule(trigger=900, target=450, limit=1_000_000)
NEVER = Schedule(trigger=10**9, target=10**8, limit=10**9)
patient = settings(max_examples=14, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])

EAGER: dict[str, dict[str, Any]] = {
    "micro": {"keep_results": 0, "clear_inputs": True, "clear_thinking": True},
    "collapse": {"keep_rounds": 0},
}
"""Options under which a strategy has something to offer on a short conversation."""


def eager(name: str) -> Strategy:
    """A registered strategy that acts on short conversations too."""
    return named(name, **EAGER.get(name, {}))


def scripted(ask: Ask, line: Line) -> Answer:
    """A model that always gives the same summary."""
    return Answer("The user wants to know why the kelp lets go. " * 12, Usage(read=line.tokens, output=120))


OPTIONS = Options(SMALL, keep_tail_tokens=120, ask=scripted, clock=lambda: 0.0, family="o200k")


def session(strategy: str | Strategy, dialect: Dialect = "anthropic", store: Store | None = None, **changes: Any) -> Session:
    """A session with small thresholds; marks only where the dialect has them. ``changes`` are other options."""
    options = replace(OPTIONS, **{"marking": dialect == "anthropic", **changes})
    return Session(eager(strategy) if isinstance(strategy, str) else strategy, options, dialect, store)


def of_script(name: str | Strategy, script: Script, **changes: Any) -> Session:
    """A session for a script's dialect and model."""
    return session(name, script.dialect, binds_thinking=script.binds is not None, **changes)


@dataclass(frozen=True)
class Sent:
    """One request: as the caller gave it, as it went out (both as they were at that moment), and the story."""

    given: Body
    body: Body
    trace: Trace
    step: Step

    @property
    def announced(self) -> Announced | None:
        """What the trace says was committed."""
        return Announced(self.trace.commit.first_block) if self.trace.commit else None


def run(subject: Session, steps: Iterable[Step]) -> list[Sent]:
    """Send every step and have it answered. The caller's own body stays as it was."""
    told = []
    for step in steps:
        given = copy.deepcopy(step.body)
        sent, trace = subject.prepare(step.body, step.now)
        subject.observe()
        told.append(Sent(given, json.loads(dumps(sent)), trace, step))
        assert dumps(step.body) == dumps(given), "the caller's own body was changed"
    return told


def faults(told: Sequence[Sent], script: Script, keeps_user_text: bool = False, pinned: Sequence[int] = ()) -> list[Any]:
    """What the independent checker finds in the requests of a script, each branch judged as the fork it is."""
    judges = {0: Checker(script.dialect, script.binds, keeps_user_text=keeps_user_text)}
    trunk, found = 0, []
    for sent in told:
        branch = sent.step.branch
        if branch not in judges:
            judges[branch] = judges[trunk].fork()
        found += judges[branch].sent(dumps(sent.body), dumps(sent.given), sent.announced, pinned=pinned)
        trunk = trunk if sent.step.event == "fork" else branch
    return found


def canonical(body: Body) -> list[tuple[str, bytes]]:
    """A body by its top-level keys, whose order is no part of the prompt."""
    return sorted((name, dumps(value)) for name, value in body.items())


def working(turns: int, dialect: Dialect = "anthropic", thinking: bool = False, size: int = 200, binds: bool = False) -> list[Step]:
    """The requests of a conversation with a call at each turn, 20 seconds apart: always the same, and long enough to be shortened."""
    conversation = start(dialect, binds=binds)
    steps = [Step(conversation.body(), 1_760_000_000.0)]
    for turn in range(turns):
        thought = "signed" if thinking else ""
        conversation.reply(Reply(12, size, calls=1 + turn % 2, thinking=thought, listed=False, adds_text=turn % 5 == 4))  # type: ignore[arg-type]
        steps.append(Step(conversation.body(), steps[-1].now + 20))
    return steps

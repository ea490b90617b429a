"""A plan made ahead: a model is asked before the plan is wanted, and its answer is kept until then.

The history only grows, so a plan that was made on an earlier request still says the same of the same blocks; what has come since stays
verbatim behind it. It counts as long as no other plan was committed meanwhile and it is legal where it is to go.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace

from holdfast.edits import Plan
from holdfast.lineages import Live
from holdfast.marks import Own
from holdfast.pipeline import Attempt, Engine, Outcome, answered
from holdfast.policy import PLAIN, Wish
from holdfast.strategy import Answer, Ask, Goal

NEAR = 0.8
"""A conversation is near its trigger from this share of it on."""

WAITS = "a summary is being written beside the conversation: the plan waits for it"


def near(engine: Engine, live: Live) -> bool:
    """Whether it is time to think of the next plan: the conversation is near its trigger, and nobody is at it or has been lately."""
    line, schedule = live.line, engine.policy.schedule
    busy = live.asking or live.preparing or _ready(live) is not None
    return not busy and line.grammar.complete and line.tokens > max(NEAR * max(schedule.trigger, line.rearmed_at), live.looked_at)


def preparing(engine: Engine, live: Live, now: float, wish: Wish) -> Generator[Ask, Answer, Attempt]:
    """The plan that will be wanted: what would have to go at the trigger goes already. Keeps it in ``live`` if a model was asked for it."""
    line, schedule = live.line, engine.policy.schedule
    wanted_at, newest = max(schedule.trigger, line.rearmed_at), line.ledger.newest
    live.preparing = True
    try:
        goal = Goal(max(1, line.tokens - (wanted_at - schedule.target)), schedule.limit, now)
        attempt = yield from engine.propose(line, goal, replace(wish, may_ask=True))
    finally:
        live.preparing, live.looked_at = False, line.tokens + schedule.step // 4
    if attempt.plan is not None and attempt.answers and live.line.ledger.newest == newest:
        live.ready, live.ready_behind = attempt, newest
    return attempt


def offered(engine: Engine, live: Live, now: float, own: Own, wish: Wish) -> Outcome | None:
    """What goes out with the plan that was made ahead; ``None`` where there is none, or where it is not wanted or does not fit any more.

    It is wanted when any plan is, and where the cache holds nothing of the conversation, so that it breaks nothing.
    """
    ready, line, schedule = _ready(live), live.line, engine.policy.schedule
    goal = _goal(engine, live, now, wish)
    if ready is None or ready.plan is None or goal is None:
        return None
    armed = line.rearmed_at
    made = _Prepared(ready.plan, ready.answers, ready.strategy)
    spoken = iter(made.spoken)
    offer = replace(PLAIN, goal=goal, strategy=made, pins=wish.pins)
    outcome = answered(engine.stepping(line, now, own, offer), lambda ask: next(spoken))
    if outcome.trace.commit is not None and outcome.line.tokens <= schedule.trigger:
        return outcome
    live.ready, line.rearmed_at = None, armed
    return None


def waiting(live: Live, wish: Wish) -> Wish:
    """The same wish, but that nothing is asked while an answer is on its way."""
    return replace(wish, may_ask=False, why=WAITS) if live.preparing and wish.may_ask else wish


def _ready(live: Live) -> Attempt | None:
    if live.ready is not None and live.ready_behind != live.line.ledger.newest:
        live.ready = None
    return live.ready


def _goal(engine: Engine, live: Live, now: float, wish: Wish) -> Goal | None:
    line, policy = live.line, engine.policy
    cold = line.cold(now)
    looping = policy.binds_thinking and not policy.drop_block and line.thinks_in_loop
    if not wish.may_plan or wish.focus or wish.goal is not None or wish.strategy is not None or not line.grammar.complete or looping:
        return None
    goal = policy.schedule.goal(line.tokens, line.rearmed_at, now, cold)
    wanted = goal is not None or cold or wish.force
    return Goal(policy.schedule.target, policy.schedule.limit, now, cold, force=wish.force) if wanted else None


@dataclass(frozen=True, slots=True)
class _Prepared:
    """Proposes a plan that is there, and asks again what was asked for it, so that its answers are accounted for where it goes."""

    made: Plan
    answers: tuple[Answer, ...]
    name: str

    @property
    def spoken(self) -> tuple[Answer, ...]:
        """What a model said, each time with what it cost; what failed costs on the first of them."""
        said = [answer for answer in self.answers if answer.text.strip()]
        lost = [answer.usage for answer in self.answers if not answer.text.strip()]
        return tuple(replace(answer, usage=sum(lost, answer.usage) if not place else answer.usage) for place, answer in enumerate(said))

    def plan(self, view: object, goal: Goal) -> Generator[Ask, Answer, Plan | None]:
        """That plan."""
        for _ in self.spoken:
            yield Ask("")
        return self.made

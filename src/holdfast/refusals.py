"""When the provider says no: what goes out in the place of a request that it refused, once."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from holdfast.edits import Plan
from holdfast.errors import HoldfastError
from holdfast.lineages import Live
from holdfast.marks import NO_MARKS
from holdfast.options import Options
from holdfast.pipeline import Engine, Outcome, Wish, answered
from holdfast.strategy import Answer, Ask, Goal

OVERFLOW_SHARE = 0.6
"""A prompt that was refused as too long is cut to this share of what it was: the count that let it out was wrong."""

Second = Callable[[Engine, Options, Live, Outcome, float], "Outcome | None"]
"""What takes the place of an outcome that was refused; ``None`` where nothing of ours was in it."""


def shorter(engine: Engine, options: Options, live: Live, refused: Outcome, now: float) -> Outcome | None:
    """The oldest rounds dropped, because the provider says that the prompt is too long."""
    line, schedule = live.line, options.schedule
    if options.fallback is None:
        return None
    target = min(schedule.target, round(OVERFLOW_SHARE * line.tokens))
    goal = Goal(target, max(target, min(schedule.limit, line.tokens - 1)), now, line.cold(now), force=True)
    outcome = answered(engine.stepping(line, now, NO_MARKS, Wish(goal=goal, strategy=options.fallback)), None)
    return _told(outcome, refused) if outcome.trace.commit else None


def mended(engine: Engine, options: Options, live: Live, refused: Outcome, now: float) -> Outcome | None:
    """Thinking that the API says belongs to another conversation is dropped by the API where it can, else stripped; once a lineage."""
    if live.mended:
        return None
    live.mended, line = True, live.line
    if options.drop_block and not line.drops_thinking:
        line = line.under(line.ledger, engine.policy.scribe)
        line.drops_thinking = True
        held = engine.without_plan(line, now, NO_MARKS, HoldfastError("thinking was bound to another prefix; the API is asked to drop it"))
        return _told(held, refused, "dropped")
    drops = tuple(line.bound_thinking(0, ()))
    if not drops:
        return None
    repair = _Repair(Plan("repair", drops, "thinking was bound to another prefix"))
    goal = Goal(0, options.schedule.limit, now, force=True)
    outcome = answered(engine.stepping(line, now, NO_MARKS, Wish(goal=goal, strategy=repair)), None)
    return _told(outcome, refused, "stripped") if outcome.trace.commit else None


def without(engine: Engine, options: Options, live: Live, refused: Outcome, now: float) -> Outcome | None:
    """The request as it would have gone without what was done to it last: the newest plan, one it branched with, or marks."""
    line, error = live.line, HoldfastError("the provider refused the request; it was sent again without the newest plan")
    if refused.trace.commit is not None:
        return _told(engine.without_plan(line, now, NO_MARKS, error), refused)
    if live.confirmed is None and (newest := line.ledger.newest) is not None:
        return engine.without_plan(line.under(line.ledger.withdraw(newest), engine.policy.scribe), now, NO_MARKS, error)
    if live.bare or line.ledger.entries or not refused.marks or not options.marking:
        return None
    bare = HoldfastError("the provider refused the request; it was sent again without marks of ours")
    held = engine.without_plan(line, now, NO_MARKS, bare)
    live.barely = replace(held, marks=())
    return live.barely


def _told(outcome: Outcome, refused: Outcome, thinking: Literal["", "stripped", "dropped"] = "") -> Outcome:
    trace = replace(outcome.trace, asked=refused.trace.asked, withdrawn=refused.trace.commit)
    return replace(outcome, trace=replace(trace, thinking=thinking) if thinking else trace)


@dataclass(frozen=True, slots=True)
class _Repair:
    """Proposes one given plan."""

    made: Plan
    name: str = "repair"

    def plan(self, view: object, goal: Goal) -> Generator[Ask, Answer, Plan | None]:
        """That plan."""
        yield from ()
        return self.made


SECOND: Mapping[str, Second] = {"too_long": shorter, "bound": mended, "refused": without}

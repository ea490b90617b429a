"""When the provider says no: what goes out in the place of a request that it refused, once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Literal

from holdfast.edits import Plan
from holdfast.errors import HoldfastError
from holdfast.lineages import Live
from holdfast.marks import Own
from holdfast.options import Options
from holdfast.pipeline import Engine, Outcome, answered
from holdfast.policy import Wish
from holdfast.strategy import Goal

OVERFLOW_SHARE = 0.6
"""A prompt that was refused as too long is cut to this share of what it was: the count that let it out was wrong."""

Second = Callable[[Engine, Options, Live, Outcome, Own, float], "Outcome | None"]
"""What takes the place of an outcome that was refused; ``None`` where nothing of ours was in it."""


def shorter(engine: Engine, options: Options, live: Live, refused: Outcome, own: Own, now: float) -> Outcome | None:
    """The oldest rounds dropped, because the provider says that the prompt is too long."""
    line, schedule = live.line, options.schedule
    if options.fallback is None:
        return None
    target = min(schedule.target, round(OVERFLOW_SHARE * line.tokens))
    goal = Goal(target, max(target, min(schedule.limit, line.tokens - 1)), now, line.cold(now), force=True)
    outcome = answered(engine.stepping(line, now, own, Wish(goal=goal, strategy=options.fallback)), None)
    return _told(outcome, refused) if outcome.trace.commit else None


def mended(engine: Engine, options: Options, live: Live, refused: Outcome, own: Own, now: float) -> Outcome | None:
    """Thinking that the API says belongs to another conversation is dropped by the API where it can, else stripped; once a lineage."""
    if live.mended:
        return None
    live.mended, line = True, live.line
    if options.drop_block and not line.drops_thinking:
        line = line.under(line.ledger, engine.policy.scribe)
        line.drops_thinking = True
        held = engine.without_plan(line, now, own, HoldfastError("thinking was bound to another prefix; the API is asked to drop it"))
        return _told(held, refused, "dropped")
    drops = tuple(line.bound_thinking(0, ()))
    if not drops:
        return None
    outcome = engine.repaired(line, Plan("repair", drops, "thinking was bound to another prefix"), now, own)
    return _told(outcome, refused, "stripped") if outcome.trace.commit else None


def without(engine: Engine, options: Options, live: Live, refused: Outcome, own: Own, now: float) -> Outcome | None:
    """The request as it would have gone without what was done to it last: the newest plan, one it branched with, or marks."""
    line, error = live.line, HoldfastError("the provider refused the request; it was sent again without the newest plan")
    if refused.trace.commit is not None:
        return _told(engine.without_plan(line, now, own, error), refused)
    if live.confirmed is None and (newest := line.ledger.newest) is not None:
        return engine.without_plan(line.under(line.ledger.withdraw(newest), engine.policy.scribe), now, own, error)
    if live.bare or line.ledger.entries or set(refused.marks) == set(own.all) or not options.marking:
        return None
    bare = HoldfastError("the provider refused the request; it was sent again without marks of ours")
    live.barely = engine.without_plan(line, now, replace(own, alone=True), bare)
    return live.barely


def _told(outcome: Outcome, refused: Outcome, thinking: Literal["", "stripped", "dropped"] = "") -> Outcome:
    trace = replace(outcome.trace, asked=refused.trace.asked, withdrawn=refused.trace.commit)
    return replace(outcome, trace=replace(trace, thinking=thinking) if thinking else trace)


SECOND: Mapping[str, Second] = {"too_long": shorter, "bound": mended, "refused": without}

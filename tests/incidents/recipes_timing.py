"""Recipes for mistakes that are no lost prefix: a compaction at the wrong moment, usage or money counted wrongly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

from holdfast.doctor.findings import Cause, Verdict
from holdfast.pricing import bill
from holdfast.usage import Usage
from tests.incidents.bodies import prose, user
from tests.incidents.cases import Case
from tests.incidents.logs import Log, Loss, Trial
from tests.incidents.registry import recipe
from tests.incidents.sessions import Session, agent, length, lost

HEAD = 9_000
PLANNED = {Cause.COMPACTION, Cause.TTL_EXPIRED}


def compact(session: Session, after: float) -> int:
    """The history gives way to a summary; the head is still read where it can be. Returns the request's place."""
    summary = user(f"This session is being continued from an earlier one. Summary: {prose('summary', 1_500)}")
    short = replace(session.talk, messages=(summary, *session.talk.messages[-2:]))
    session.change(short, round(session.total * length(short) / length(session.talk)))
    warm = after < 300
    return session.send(read=HEAD if warm else 0, after=after)


@recipe("compaction_timing_inverted", "wrong_compaction_timing")
def compacted_while_hot(case: Case) -> Sequence[Trial]:
    """After a pause all is written again and, because that was a miss, given away at once; in the other log it goes after a pause."""
    size = max([*case.numbers("cached"), 40_000])
    trials = []
    for name, idle, then in (("right after the miss", 900.0, 30.0), ("during the pause", 20.0, 900.0)):
        session = Session(case, agent(case, HEAD, size - HEAD, 10), size)
        session.warm_up()
        session.grow(400)
        missed = session.send(read=0 if idle > 300 else None, after=idle)
        place = compact(session, then)
        wrong = [lost(case, place, None)] if idle > 300 else []
        trials.append(session.log.trial(name, wrong, {missed: PLANNED, place: PLANNED} if idle <= 300 else {missed: PLANNED}))
    return trials


@recipe("usage_semantics")
def compacted_at_half_the_window(case: Case) -> Sequence[Trial]:
    """An inclusive prompt with its cached part added once more seems to fill the window: the history goes long before it must."""
    row = next((row for row in case.rows if {"prompt_tokens", "cached"} <= row.keys()), None)
    window = (case.price.context_window if case.price else None) or 400_000
    prompt, cached = (row["prompt_tokens"], row["cached"]) if row else (window * 47 // 100, window * 46 // 100)
    session = Session(case, agent(case, HEAD, prompt - HEAD, 20), prompt - 600)
    session.send(read=0)
    session.grow(600)
    session.send(read=cached)
    place = compact(session, 30.0)
    return [session.log.trial("at half the window", [lost(case, place, None)])]


@recipe("ttl_price_tier", "accounting_error")
def priced_for_the_other_lifetime(case: Case) -> Sequence[Trial]:
    """Writes of an hour whose recorded cost is that of writes for five minutes, and the same with the right one."""
    price = case.price
    assert price, f"{case.id}: no price is known for {case.named_model!r}"
    rows = [row for row in case.rows if {"uncached", "cached", "written", "output"} <= row.keys()]
    parts = rows[-1] if rows else {"uncached": 9, "cached": 240_000, "written": 46_000, "output": 2_000}
    usage = Usage(parts["uncached"], parts["cached"], write_1h=parts["written"], output=parts["output"])
    wrong = bill(replace(usage, write_1h=0, write_5m=usage.write_1h), price).total
    return [_charged(case, usage, money, money == wrong) for money in (wrong, bill(usage, price).total)]


def _charged(case: Case, usage: Usage, money: Decimal, wrong: bool) -> Trial:
    log = Log(case.api)
    talk = replace(agent(case, HEAD, 30_000, 4), ttl="1h")
    log.send(talk, usage)
    exchange = log.exchanges[0]
    billed = {**exchange.response["usage"], "cost": float(money)}
    log.exchanges[0] = replace(exchange, response={**exchange.response, "usage": billed})
    wanted = Loss(0, frozenset({Cause(case.cause)}), case.code if case.code != case.cause else "", verdicts=frozenset({Verdict.YOURS}))
    return log.trial("priced for five minutes" if wrong else "priced for an hour", [wanted] if wrong else [])

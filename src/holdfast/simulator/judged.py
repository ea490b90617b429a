"""One session under every strategy: replayed, billed, and judged by what later turns needed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

from holdfast.calibrate import Weighed
from holdfast.errors import IllegalPlan, InputError, UnknownModel
from holdfast.pricing import Prices, cost
from holdfast.scale import scale
from holdfast.simulator.kept import Index, Judge
from holdfast.simulator.replay import Conditions, Replay, Step, output_tokens, schedule_of
from holdfast.simulator.results import Agreement, Kept, Recorded, Result, SessionResult
from holdfast.strategy import Strategy
from holdfast.transcript import Transcript, Turn
from holdfast.usage import Usage
from holdfast.validation.check import check
from holdfast.validation.uncertainty import Estimate, Uncertainty


def judge_session(weighed: Weighed, strategies: Sequence[Strategy], conditions: Conditions) -> SessionResult:
    """Everything a comparison says of one transcript whose blocks have been weighed.

    A session that cannot be billed is returned with the reason in ``skipped``.
    """
    transcript = weighed.transcript
    outline = SessionResult(
        transcript.path, transcript.format, transcript.model, len(transcript.turns), notes=transcript.notes, counting=weighed.method
    )
    if not transcript.turns:
        return replace(outline, skipped="no request to a model in it")
    if conditions.model is None and not transcript.model:
        return replace(outline, skipped="the record names no model; say with --model which one to bill")
    try:
        for model in {turn.model for turn in transcript.turns}:
            schedule_of(conditions.prices.find(conditions.model or model), conditions)
    except InputError as error:
        return replace(outline, skipped=str(error))
    indexes = {
        lineage: Index.build(turns, conditions.keep_tail_tokens) for lineage, turns in by_lineage(transcript.turns).items()
    }
    exceeds = _exceeds(transcript, conditions)
    # Below the trigger nothing is ever touched: what one strategy sends there, all do.
    first = [judge(transcript, strategy, conditions, indexes) for strategy in (strategies if exceeds else strategies[:1])]
    provider = conditions.prices.find(conditions.model or transcript.model).provider
    errors = Uncertainty.load().errors(transcript.format, provider)
    if errors is not None:
        first = [replace(each, estimate=Estimate.of(each.usd, errors)) for each in first]
    return replace(
        outline,
        provider=provider,
        recorded=recorded(transcript, conditions),
        results=tuple(first) if exceeds else tuple(replace(first[0], strategy=strategy.name) for strategy in strategies),
        exceeds_trigger=exceeds,
        unlogged_calls=len(transcript.unlogged),
        unlogged_usd=_unlogged(transcript, conditions),
    )


def by_lineage(turns: Iterable[Turn]) -> dict[str, list[Turn]]:
    """The turns of each lineage, in order."""
    lineages: dict[str, list[Turn]] = {}
    for turn in turns:
        lineages.setdefault(turn.lineage, []).append(turn)
    return lineages


def judge(transcript: Transcript, strategy: Strategy, conditions: Conditions, indexes: Mapping[str, Index]) -> Result:
    """One strategy on one transcript."""
    judges = {lineage: Judge(index) for lineage, index in indexes.items()}
    usage, usd, calls_usd, kept, kept_after = Usage(), Decimal(0), Decimal(0), Kept(), Kept()
    counts = dict.fromkeys(("turns", "commits", "planned", "unplanned", "calls", "unreachable", "illegal", "waiting", "paid", "peak"), 0)
    for step in Replay(transcript, strategy, conditions).steps():
        trace, line, judging = step.outcome.trace, step.outcome.line, judges[step.turn.lineage]
        if trace.commit or (step.ordinal == 0 and line.ledger.entries):
            judging.sent(line.pieces, line.size)
        here = judging.turn(step.ordinal)
        kept += here
        if line.ledger.entries:
            kept_after += here
        usage, usd, calls_usd = usage + step.usage, usd + step.usd, calls_usd + step.asked
        for asked in trace.asked:
            usage += asked
        _count(counts, step)
    return Result(
        strategy=strategy.name,
        usd=usd,
        usage=usage,
        turns=counts["turns"],
        peak_prompt_tokens=counts["peak"],
        commits=counts["commits"],
        planned_breaks=counts["planned"],
        unplanned_breaks=counts["unplanned"],
        model_calls=counts["calls"],
        model_calls_usd=calls_usd,
        kept=kept,
        unreachable_turns=counts["unreachable"],
        illegal_plans=counts["illegal"],
        kept_after=kept_after,
        unpaid_commits=counts["commits"] - counts["paid"],
        waiting_turns=counts["waiting"],
    )


def _count(counts: dict[str, int], step: Step) -> None:
    trace = step.outcome.trace
    counts["turns"] += 1
    counts["commits"] += trace.commit is not None
    counts["planned"] += trace.commit is not None and trace.commit.warm_tokens > 0
    counts["unplanned"] += step.broken
    counts["calls"] += len(trace.asked)
    counts["unreachable"] += trace.unreachable is not None
    counts["illegal"] += sum(isinstance(error, IllegalPlan) for error in trace.errors)
    counts["waiting"] += step.waiting
    counts["paid"] += len(step.settled)
    counts["peak"] = max(counts["peak"], trace.sent_tokens)


def recorded(transcript: Transcript, conditions: Conditions) -> Recorded | None:
    """What the session really was billed, at list prices of the recorded models; ``None`` where no usage was recorded."""
    usage, usd, estimated = Usage(), Decimal(0), 0
    billed = [turn for turn in transcript.turns if turn.usage is not None]
    for turn in billed:
        try:
            price = conditions.prices.find(turn.model)
        except UnknownModel:
            return None  # another model is asked about, and what this one cost is not known
        whole = replace(turn.usage or Usage(), output=output_tokens(turn, scale(price.family)))
        estimated += not turn.output_final
        usage += whole
        usd += turn.charged if turn.charged is not None else cost(whole, price, turn.at)
    return Recorded(usage, usd, estimated) if billed else None


def agreement_of(transcript: Transcript, prices: Prices) -> Agreement | None:
    """How well a cache model reproduces a transcript's recorded reads; ``None`` where no bill was recorded, or for no model with a price.

    The transcript is the one that was read, not weighed: weights are made to fit the bills. Recordings of whole requests are judged like
    all others, by what their bills say of the cache; ``holdfast validate`` looks at their marks as well.
    """
    found = check(transcript, prices)
    return None if found.skipped else Agreement(found.tally.checked, found.tally.agree)


def _exceeds(transcript: Transcript, conditions: Conditions) -> bool:
    """Whether any prompt, as recorded, is above the trigger. A lineage's last is its longest; its models may have different windows."""

    def trigger(model: str) -> int:
        return schedule_of(conditions.prices.find(conditions.model or model), conditions).trigger

    lineages = by_lineage(transcript.turns).values()
    return any(turns[-1].prompt.tokens > min(trigger(model) for model in {turn.model for turn in turns}) for turns in lineages)


def _unlogged(transcript: Transcript, conditions: Conditions) -> Decimal:
    """The estimated price of the calls the recorded client made but did not log: the lineage's last prompt, read warm, and the answer."""
    total = Decimal(0)
    for call in transcript.unlogged:
        last = next((turn for turn in reversed(transcript.turns) if turn.lineage == call.lineage), None)
        if last is not None:
            price = conditions.prices.find(conditions.model or last.model)
            total += cost(Usage(read=last.prompt.tokens, output=call.output_tokens), price, call.at)
    return total

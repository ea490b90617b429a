"""Files that hold whole requests, logs and cassettes: checked against the cache machines themselves, mark by mark."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from holdfast.errors import InputError, UnknownModel
from holdfast.exchange import Exchange
from holdfast.pricing import Prices, cost
from holdfast.readers import cassette, request_log
from holdfast.readers.faults import Faults
from holdfast.transcript import Skipped
from holdfast.validation.history import slack
from holdfast.validation.pairs import Pair, check_exchanges
from holdfast.validation.pairs_rules import Rule
from holdfast.validation.reasons import NOT_OURS, Explanation, Reason
from holdfast.validation.results import NEAR_TOKENS, Disagreement, Money, Tally, ValidatedSession

FORMATS = frozenset({"cassette", "request-log"})

REASONS = {
    Rule.WARM_BEFORE: Reason.HEAD_SHARED,
    Rule.OUTLIVED_LIFETIME: Reason.LIFETIME_PASSED,
    Rule.ROUTED_ELSEWHERE: Reason.HEAD_CHANGED,
    Rule.ENTRY_LOST: Reason.PROVIDER_LOST,
    Rule.ENTRY_NOT_WRITTEN: Reason.PROVIDER_LOST,
    Rule.NOT_YET_VISIBLE: Reason.LATE,
    Rule.COARSER_STEP: Reason.ROUNDING,
    Rule.TOOL_CHOICE_LOSES_HEAD: Reason.HEAD_CHANGED,
}
"""What each rule that a provider did not keep to is in the closed list; all others stay unexplained there, and are named as evidence."""


def check_file(path: Path, kind: str, prices: Prices, *, strict: bool = False) -> tuple[ValidatedSession, tuple[Skipped, ...]]:
    """All calls of one file by their start, and the lines of it that are none.

    What cannot be read, has no bill, or one that cannot be, is said in ``skipped`` and ``notes``. A call counts as checked unless it is the
    first to its cache: with whole requests on record, what a new conversation shares with earlier ones is known.
    """
    skipped: tuple[Skipped, ...] = ()
    try:
        if kind == "cassette":
            calls = cassette.exchanges(path)
        else:
            calls, skipped = request_log.logged(path, strict=strict)
    except InputError as error:
        if strict:
            raise
        return ValidatedSession(str(path), kind, "", "", skipped=str(error)), skipped
    faults = Faults()
    if kind != "cassette":
        calls = [_true(call, faults) for call in calls]
    order = _by_start(calls)
    found = check_exchanges(str(path), [calls[place] for place in order])
    pairs = [replace(pair, index=order[pair.index]) for pair in found]
    model = Counter(call.model for call in calls if call.model).most_common(1)
    notes = (*_notes(calls, pairs), *faults.notes())
    if order != list(range(len(calls))):
        notes = (*notes, "The calls stand out of order, or the clock jumped: they are taken by their start.")
    outline = ValidatedSession(str(path), kind, "", model[0][0] if model else "", notes=notes)
    return _judged(outline, calls, pairs, prices), skipped


def _true(call: Exchange, faults: Faults) -> Exchange:
    """The call, without its bill where that cannot be."""
    raw = call.response.get("usage")
    if raw is None or not call.body or faults.billed(raw, f"L{call.line}", request_log.dialect_of(call)) is not None:
        return call
    return replace(call, response={key: value for key, value in call.response.items() if key != "usage"})


def _by_start(calls: Sequence[Exchange]) -> list[int]:
    """The places of the calls by their start; as in the file where one has none."""
    places = list(range(len(calls)))
    if any(call.at is None for call in calls):
        return places
    return sorted(places, key=lambda place: calls[place].at or 0.0)


def _judged(outline: ValidatedSession, calls: Sequence[Exchange], pairs: Sequence[Pair], prices: Prices) -> ValidatedSession:
    if not pairs:
        bodies = any(call.body for call in calls)
        why = (
            "no call in it has a bill that says what was read" if bodies else "it holds nothing but bills without bodies"
        )
        return replace(outline, skipped=why)
    tally, money = Tally(requests=len(pairs)), Money()
    wrong: list[Disagreement] = []
    for pair in pairs:
        money = _billed(money, pair, prices, calls[pair.index].at)
        if pair.first:
            continue
        apart = abs(pair.predicted_read - pair.recorded_read)
        agree = apart <= slack(pair.prompt)
        tally += Tally(
            checked=1,
            agree=int(agree),
            exact=int(apart == 0),
            near=int(apart <= NEAR_TOKENS),
            share_recorded=pair.recorded_read / pair.prompt if pair.prompt else 0.0,
            share_predicted=pair.predicted_read / pair.prompt if pair.prompt else 0.0,
        )
        if not agree:
            wrong.append(_disagreement(pair, calls[pair.index]))
    return replace(
        outline,
        provider=Counter(pair.provider for pair in pairs).most_common(1)[0][0],
        tally=tally,
        money=money if money.recorded else None,
        disagreements=tuple(wrong),
        rules=tuple(pair.broken_rule for pair in pairs),
    )


def _billed(money: Money, pair: Pair, prices: Prices, at: float | None) -> Money:
    """The sums with one more call; the first to its cache counts as billed on both sides, one without a price on none."""
    try:
        price = prices.find(pair.model)
    except UnknownModel:
        return money
    recorded = cost(pair.recorded, price, at)
    predicted = recorded if pair.first else cost(pair.predicted.answered(pair.recorded.output), price, at)
    theirs = not pair.agrees and REASONS.get(Rule(pair.broken_rule)) in NOT_OURS
    return Money(money.recorded + recorded, money.predicted + predicted, money.settled + (recorded if theirs else predicted))


def _disagreement(pair: Pair, call: Exchange) -> Disagreement:
    rule = Rule(pair.broken_rule) if pair.broken_rule else Rule.UNEXPLAINED
    evidence = str(rule).replace("_", " ") if rule is not Rule.UNEXPLAINED else ""
    return Disagreement(
        turn=pair.index,
        at=call.at,
        lineage=call.session,
        prompt_tokens=pair.prompt,
        read_recorded=pair.recorded_read,
        read_predicted=pair.predicted_read,
        explanation=Explanation(REASONS.get(rule, Reason.UNEXPLAINED), evidence),
        basis=pair.boundary_predicted or "a miss",
    )


def _notes(calls: Sequence[Exchange], pairs: Sequence[Pair]) -> list[str]:
    billed = {pair.index for pair in pairs}
    bills = sum(not call.body for call in calls)
    without = sum(bool(call.body) and index not in billed for index, call in enumerate(calls))
    providers = Counter(pair.provider for pair in pairs)
    return [
        *(
            [f"Calls to several providers: {', '.join(f'{name} {count}' for name, count in providers.most_common())}."]
            if len(providers) > 1
            else []
        ),
        *([f"{bills} bills without a body: there is nothing to predict them from."] if bills else []),
        *([f"{without} requests without a bill of a cache."] if without else []),
    ]

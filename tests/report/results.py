"""Generated results, and a comparison to look at."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from hypothesis import strategies as st

from holdfast.simulator.results import Agreement, Commit, Comparison, Kept, Recorded, ReplayedTurn, Result, SessionResult
from holdfast.transcript import Skipped
from holdfast.usage import Usage
from holdfast.validation.uncertainty import Errors, Estimate

counts = st.integers(0, 10**9)
money = st.decimals(min_value=0, max_value=10**6, allow_nan=False, allow_infinity=False, places=9)
usages = st.builds(Usage, *[counts] * 7)
texts = st.text(max_size=30)


@st.composite
def kepts(draw: st.DrawFn) -> Kept:
    """Counts that fit each other: in context at most kept, kept at most recoverable, that at most needed."""
    in_context, kept, recoverable, needed = sorted(draw(st.tuples(counts, counts, counts, counts)))
    return Kept(needed, kept, in_context, recoverable)


@st.composite
def estimates(draw: st.DrawFn) -> Estimate:
    """None, or a sum of some sessions of sets that were measured or not."""
    total = Estimate()
    for name in draw(st.lists(st.sampled_from(["claude-code", "plain"]), max_size=3)):
        errors = Errors(name, "anthropic", 83, 9000, Decimal("-0.05"), Decimal("0.03"), Decimal("0.2"), measured=name != "plain")
        total += Estimate.of(draw(money), errors)
    return total


def results(name: st.SearchStrategy[str] = texts) -> st.SearchStrategy[Result]:
    """One strategy's figures."""
    return st.builds(Result, name, money, usages, *[counts] * 6, money, kepts(), counts, counts, kepts(), counts, counts, estimates())


@st.composite
def agreements(draw: st.DrawFn) -> Agreement:
    """Some of the checked agree."""
    agree, checked = sorted(draw(st.tuples(counts, counts)))
    return Agreement(checked, agree)


sessions = st.builds(
    SessionResult,
    path=texts,
    format=texts,
    model=texts,
    turns=counts,
    skipped=st.none() | texts,
    recorded=st.none() | st.builds(Recorded, usages, money, counts),
    results=st.lists(results(), max_size=2).map(tuple),
    notes=st.lists(texts, max_size=2).map(tuple),
    unlogged_usd=money,
    provider=texts,
    agreement=st.none() | agreements(),
)
comparisons = st.builds(
    Comparison,
    settings=st.fixed_dictionaries(
        {"keep_tail_tokens": counts}, optional={"any": st.booleans(), "model": texts, "ttl": texts, "prices_as_of": texts}
    ),
    sessions=st.lists(sessions, max_size=2).map(tuple),
    total=st.lists(results(), max_size=2).map(tuple),
    skipped=st.lists(st.builds(Skipped, texts, counts, texts), max_size=2).map(tuple),
    interrupted=st.booleans(),
)
commits = st.builds(Commit, texts, counts, counts, st.none() | counts, texts, counts, st.none() | counts)
turns = st.builds(
    ReplayedTurn,
    turn=counts,
    lineage=texts,
    at=st.none() | st.floats(0, 4e9),
    prompt_tokens=counts,
    usage=usages,
    usd=money,
    stable_prefix_tokens=counts,
    commit=st.none() | commits,
    recorded=st.none() | usages,
    note=texts,
)


def result(strategy: str, usd: str, kept: int = 900, **others: int) -> Result:
    """A strategy's figures with everything but the price at a plausible value."""
    figures = {"commits": 3, "planned_breaks": 3, "unplanned_breaks": 0, "model_calls": 0} | others
    usage = Usage(fresh=1_000, read=9_000_000, write_5m=300_000, output=50_000)
    return Result(
        strategy=strategy,
        usd=Decimal(usd),
        usage=usage,
        turns=300,
        peak_prompt_tokens=152_341,
        model_calls_usd=Decimal("1.25") if figures["model_calls"] else Decimal(0),
        kept=Kept(1000, kept, kept // 2, 1000),
        kept_after=Kept() if strategy == "none" else Kept(500, kept // 2, kept // 4, 500),
        estimate=Estimate(),
        **figures,
    )


def estimated(value: Result) -> Result:
    """The same with an interval of 10 % below to 30 % above."""
    errors = Errors("claude-code", "anthropic", 83, 9000, Decimal("-0.1"), Decimal(0), Decimal("0.3"))
    return replace(value, estimate=Estimate.of(value.usd, errors))


def beside(found: Comparison, *agreements: Agreement | None, any_: bool = False) -> Comparison:
    """The comparison with its one session as often as there are agreements; the total is left as it is where one is ranked."""
    sessions = tuple(replace(found.sessions[0], path=f"{number}.jsonl", agreement=each) for number, each in enumerate(agreements))
    told = replace(found, sessions=sessions, settings={**found.settings, "any": any_})
    return told if told.ranked else replace(told, total=())


def compared(*found: Result, skipped: tuple[Skipped, ...] = (), interrupted: bool = False) -> Comparison:
    """A comparison of one session that was billed 33.10 dollars."""
    bill = Recorded(Usage(fresh=1_000, read=8_900_000, write_5m=400_000, output=50_000), Decimal("33.10"), 4)
    session = SessionResult("a/[b]/session.jsonl.gz", "claude-code", "claude-opus-4-6", 300, None, bill, found, exceeds_trigger=True)
    settings: dict[str, str | int | float | None] = {"keep_tail_tokens": 10_000, "prices_as_of": "2026-11-22"}
    return Comparison(settings, (session,), found, skipped, interrupted)

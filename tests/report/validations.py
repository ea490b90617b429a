"""Generated validations and examinations."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from hypothesis import strategies as st

from holdfast.doctor.diagnose import Diagnosis
from holdfast.doctor.findings import Cause, Diff, Finding, Verdict
from holdfast.doctor.run import Examination, Examined
from holdfast.transcript import Skipped
from holdfast.validation.reasons import Explanation, Reason
from holdfast.validation.results import Charges, Disagreement, Money, Tally, ValidatedSession, Validation, figures

counts = st.integers(0, 10**6)
texts = st.text(max_size=20)
names = st.sampled_from(["claude-code", "codex", "pi", "mini-swe-agent", "request-log"])
times = st.none() | st.floats(0, 4e9)
prices = st.decimals(min_value=0, max_value=10**4, allow_nan=False, allow_infinity=False, places=9)
lines = st.builds(Skipped, texts, st.integers(0, 9), texts)


@st.composite
def tallies(draw: st.DrawFn) -> Tally:
    """Counts that fit each other: exact at most agree, that at most near, that at most checked, and that at most all."""
    exact, agree, near, checked, requests = sorted(draw(st.tuples(counts, counts, counts, counts, counts)))
    recorded, predicted = draw(st.tuples(st.floats(0, 1), st.floats(0, 1)))
    return Tally(requests, checked, agree, exact, near, recorded * checked, predicted * checked)


disagreements = st.builds(
    Disagreement, counts, times, texts, counts, counts, counts, st.builds(Explanation, st.sampled_from(Reason), texts), texts
)
sessions = st.builds(
    ValidatedSession,
    path=texts,
    format=names,
    provider=st.sampled_from(["anthropic", "openai", ""]),
    model=texts,
    tally=tallies(),
    money=st.none() | st.builds(Money, prices, prices, prices),
    charges=st.builds(Charges, counts, counts),
    disagreements=st.lists(disagreements, max_size=3).map(tuple),
    notes=st.lists(texts, max_size=2).map(tuple),
)
left_out = st.builds(
    ValidatedSession, path=texts, format=names | st.just(""), provider=st.just(""), model=texts, skipped=st.text(min_size=1)
)


@st.composite
def validations(draw: st.DrawFn) -> Validation:
    """Some sessions, summed up as a run does."""
    some = tuple(draw(st.lists(sessions | left_out, max_size=5)))
    return Validation(some, figures(some), skipped=tuple(draw(st.lists(lines, max_size=2))), interrupted=draw(st.booleans()))


findings = st.builds(
    Finding,
    turn=counts,
    at=times,
    cause=st.sampled_from(Cause),
    detail=st.sampled_from(["system_changed:timestamp", "ttl_expired", "compaction"]),
    verdict=st.sampled_from(Verdict),
    where=texts,
    diff=st.none() | st.builds(Diff, texts, texts, counts),
    tokens_rewritten=st.integers(1, 10**6),
    usd=st.none() | prices,
    fix=texts,
    excluded=st.lists(texts, max_size=2).map(tuple),
    provider_reason=texts,
    agrees=st.none() | st.booleans(),
    lineage=texts,
)


@st.composite
def diagnoses(draw: st.DrawFn) -> Diagnosis:
    """A diagnosis whose counts fit each other."""
    read, prompt = sorted(draw(st.tuples(counts, counts)))
    found = tuple(draw(st.lists(findings, max_size=4)))
    compared = [finding.agrees for finding in found if finding.agrees is not None]
    checked, requests = sorted(draw(st.tuples(counts, counts)))
    notes = tuple(draw(st.lists(texts, max_size=2)))
    return Diagnosis(requests, checked, read, prompt, found, notes, (sum(map(bool, compared)), len(compared)))


@st.composite
def examinations(draw: st.DrawFn) -> Examination:
    """Some sessions examined, some left out."""
    some = draw(
        st.lists(
            st.builds(Examined, texts, names, diagnoses()) | st.builds(Examined, texts, names, st.none(), st.text(min_size=1)), max_size=5
        )
    )
    return Examination(tuple(some), tuple(draw(st.lists(lines, max_size=2))), draw(st.booleans()))


def session(path: str = "a.jsonl", checked: int = 300, agree: int = 300, provider: str = "anthropic") -> ValidatedSession:
    """One session to look at."""
    tally = Tally(checked + 1, checked, agree, agree, agree, 0.9 * checked, 0.8 * checked)
    wrong = Disagreement(7, 0.0, "main", 1_000, 900, 100, Explanation(Reason.LATE, "an earlier entry was read"), "")
    bill = Money(Decimal(10), Decimal(9), Decimal(10))
    return ValidatedSession(
        path, "claude-code", provider, "claude-sonnet-5", tally, bill, disagreements=(wrong,) * (checked - agree), notes=("1 line is odd",)
    )


def validated(*some: ValidatedSession, **more: object) -> Validation:
    """A validation of these sessions."""
    return replace(Validation(some, figures(some)), **more)  # type: ignore[arg-type]  # fields of the value


def finding(**more: object) -> Finding:
    """One finding to look at."""
    made = Finding(
        turn=3,
        at=0.0,
        cause=Cause.SYSTEM_CHANGED,
        detail="system_changed:timestamp",
        verdict=Verdict.YOURS,
        where="system[0] characters 9-28",
        diff=Diff("10:00", "10:01"),
        tokens_rewritten=9_000,
        usd=Decimal("0.5"),
        fix="Take the time out.",
    )
    return replace(made, **more)  # type: ignore[arg-type]  # fields of the value


def examined(*some: Finding, read: int = 900, prompt: int = 1_000, agreement: tuple[int, int] = (0, 0)) -> Examination:
    """An examination of one session with these findings."""
    return Examination((Examined("a.jsonl", "request-log", Diagnosis(4, 3, read, prompt, some, ("2 x odd usage",), agreement)),))

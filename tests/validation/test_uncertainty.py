"""Intervals: what a measured set of sessions says of one cost and of a sum of costs."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from functools import reduce
from operator import add

import pytest
from benchmarks.measure_errors import kept, measured
from hypothesis import assume, given
from hypothesis import strategies as st

from holdfast.simulator.results import Recorded, SessionResult
from holdfast.usage import Usage
from holdfast.validation.uncertainty import LEAST_SESSIONS, Errors, Estimate, Interval, Uncertainty, read_sets
from tests.report.results import result

CENT = Decimal("0.01")
SLACK = Decimal("0.000002")
"""Intervals are in whole millionths of a dollar."""
shares = st.decimals(min_value=Decimal("-0.9"), max_value=2, places=3)
costs = st.decimals(min_value=CENT, max_value=1000, places=2)


@st.composite
def sets(draw: st.DrawFn) -> Errors:
    """A measured set."""
    low, mean, high = sorted(draw(st.tuples(shares, shares, shares)))
    count = draw(st.integers(10, 200))
    return Errors(draw(st.sampled_from(["a", "b"])), "p", count, 5000, low, mean, high, Decimal(draw(st.integers(5, count))))


def interval(errors: Errors, *costs: Decimal | int | str) -> Interval:
    """That of the sum of sessions of one set."""
    found = reduce(add, (Estimate.of(Decimal(cost), errors) for cost in costs)).interval
    assert found is not None
    return found


@given(sets(), costs)
def test_of_one_session_it_is_the_quantiles(errors: Errors, cost: Decimal) -> None:
    """A single session's interval reaches from the lower to the upper quantile of its set."""
    found = interval(errors, cost)
    assert abs(found.low - cost * (1 + errors.low)) <= SLACK
    assert abs(found.high - cost * (1 + errors.high)) <= SLACK


@given(sets(), st.lists(costs, min_size=1, max_size=5), st.decimals(min_value=0, max_value=1, places=3))
def test_a_wider_set_gives_a_wider_interval(errors: Errors, costs: list[Decimal], more: Decimal) -> None:
    """With the same mean, quantiles farther out enclose the interval of those farther in."""
    wider = Errors("c", "p", errors.sessions, 5000, max(errors.low - more, Decimal(-1)), errors.mean, errors.high + more, errors.effective)
    inner, outer = interval(errors, *costs), interval(wider, *costs)
    assert outer.low <= inner.low <= inner.high <= outer.high


@given(sets(), costs, st.integers(1, 20))
def test_more_sessions_are_known_better_but_never_than_the_mean_is(errors: Errors, cost: Decimal, count: int) -> None:
    """Three times as many equal sessions have a narrower interval, as a share, down to what so many measured sessions leave of the mean."""
    one, many, more = (interval(errors, *[cost] * number) for number in (1, count, 3 * count))
    assume(many.low > 0)  # a bill is not below nothing, so an interval that reaches there is cut off
    assert more.half / (3 * count) <= many.half / count + SLACK
    assert many.half / count >= one.half / errors.effective.sqrt() - SLACK


@given(st.lists(st.tuples(sets(), costs), min_size=2, max_size=6))
def test_estimates_add_up_in_any_order(parts: list[tuple[Errors, Decimal]]) -> None:
    """The interval of a sum does not depend on the order of its sessions."""
    estimates = [Estimate.of(cost, errors) for errors, cost in parts]
    forwards, backwards = reduce(add, estimates).interval, reduce(add, reversed(estimates)).interval
    assert forwards is not None
    assert backwards is not None
    assert abs(forwards.low - backwards.low) <= SLACK
    assert abs(forwards.high - backwards.high) <= SLACK


def test_a_sum_by_hand() -> None:
    """Four sessions of 10 dollars, errors of 0 to +20 % around +10 % in 25 sessions: 44 give or take the root of 4.48."""
    errors = Errors("a", "p", 25, 5000, Decimal(0), Decimal("0.1"), Decimal("0.2"), Decimal(25))
    assert interval(errors, 10, 10, 10, 10) == Interval(Decimal("41.883399"), Decimal("46.116601"))


def test_what_was_not_measured_never_averages_out() -> None:
    """Sessions of an unmeasured set may all err alike: their sum is known no better than one."""
    errors = Errors("a", "p", 0, 0, Decimal("-0.2"), Decimal(0), Decimal("0.4"), measured=False)
    assert interval(errors, 10, 20, 30) == Interval(Decimal("48.000000"), Decimal("84.000000"))


def test_quantiles_and_mean_of_a_set() -> None:
    """Of 19 errors the outermost are the quantiles, of 39 the second from each end; the mean is weighted by money."""
    bills = [(Decimal(100), Decimal(100 + error)) for error in range(-9, 10)]
    errors = Errors.of("a", "p", 1000, bills)
    assert (errors.low, errors.mean, errors.high) == (Decimal("-0.09"), Decimal(0), Decimal("0.09"))
    heavy = Errors.of("a", "p", 1000, [*bills, (Decimal(1900), Decimal(2090))])
    assert heavy.mean == Decimal("0.05")
    assert errors.effective == 19
    assert round(heavy.effective, 2) == Decimal("3.80"), "3800² / (19 · 100² + 1900²)"
    twice = Errors.of("a", "p", 1000, [(Decimal(100), Decimal(100 + error)) for error in range(-19, 20)])
    assert (twice.low, twice.high) == (Decimal("-0.18"), Decimal("0.18"))
    with pytest.raises(ValueError, match="no session"):
        Errors.of("a", "p", 0, [])


def test_an_unknown_set_takes_the_outermost_of_its_provider() -> None:
    """Where a format was not measured, or on too few sessions, those of the same provider stand in, else all; short sessions never do."""
    narrow = Errors("a", "p", 50, 5000, Decimal("-0.1"), Decimal(0), Decimal("0.1"))
    other = Errors("b", "p", 50, 5000, Decimal("-0.05"), Decimal(0), Decimal("0.3"))
    elsewhere = Errors("a", "q", 50, 5000, Decimal("-0.5"), Decimal(0), Decimal("0.5"))
    short = Errors("c", "p", 50, 60, Decimal("-0.9"), Decimal(0), Decimal("0.9"))
    few = Errors("d", "p", LEAST_SESSIONS - 1, 5000, Decimal(0), Decimal(0), Decimal(0))
    known = Uncertainty([narrow, other, elsewhere, short, few])
    assert known.errors("a", "p") is narrow
    assert known.errors("c", "p") is short
    for name, provider, low, high in (("d", "p", "-0.1", "0.3"), ("z", "p", "-0.1", "0.3"), ("z", "z", "-0.5", "0.5")):
        found = known.errors(name, provider)
        assert found is not None
        assert (found.low, found.high, found.measured) == (Decimal(low), Decimal(high), False)
    assert Uncertainty([]).errors("a", "p") is None
    assert Estimate().interval is None


def test_what_is_measured_is_what_is_read() -> None:
    """The file that the measuring writes gives back its sets; sessions without a bill or without a cost are not in it."""
    bill = Recorded(Usage(), Decimal(11))
    sessions = [SessionResult("x", "plain", "m", 7, recorded=bill, results=(result("none", "10"),), provider="p")] * 12
    unbilled = [SessionResult("x", "plain", "m", 7, results=(result("none", "10"),), provider="p")]
    free = [SessionResult("x", "plain", "m", 7, recorded=bill, results=(result("none", "0"),), provider="p")]
    text = kept(measured([*sessions, *unbilled, *free]), ["here"], datetime(2026, 11, 22, tzinfo=UTC))
    (errors,) = read_sets(text)
    tenth = Decimal("0.1")
    assert errors == Errors("plain", "p", 12, 84, tenth, tenth, tenth, Decimal(12))
    assert '"as_of": "2026-11-22"' in text


def test_the_package_brings_what_was_measured() -> None:
    """Claude Code's sessions were measured, in order and on many of them; a format that was not has a range at least as wide."""
    found = Uncertainty.load().errors("claude-code", "anthropic")
    assert found is not None
    assert found.measured
    assert found.sessions >= LEAST_SESSIONS
    assert -1 < found.low <= found.centre <= found.high
    other = Uncertainty.load().errors("no such format", "anthropic")
    assert other is not None
    assert other.low <= found.low
    assert other.high >= found.high

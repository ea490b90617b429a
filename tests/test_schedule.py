"""When: thresholds, their errors, and the break-even turn as the smallest that pays."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import InputError
from holdfast.schedule import Schedule, Tariff, break_even, schedule_for

tokens = st.integers(0, 400_000)
rates = st.builds(lambda read, write: Tariff(1.0, read, write), st.floats(0.01, 0.9, allow_nan=False), st.floats(0.9, 2.5, allow_nan=False))


@given(st.integers(2_000, 2_000_000))
def test_the_default_leaves_room(window: int) -> None:
    """Target below trigger, trigger within the limit, the limit within the window."""
    schedule = schedule_for(window)
    assert 0 < schedule.target < schedule.trigger <= schedule.limit < window


@given(st.integers(10_000, 1_000_000), st.floats(0.2, 0.7), st.floats(0.01, 0.15))
def test_shares_and_tokens_say_the_same(window: int, trigger: float, target: float) -> None:
    """A number below 1 is a share of the window."""
    assert schedule_for(window, trigger, target) == schedule_for(window, int(trigger * window), int(target * window))


@pytest.mark.parametrize(("trigger", "target"), [(0, None), (-5, None), (10_000, 10_000), (10_000, 20_000), (50_000, 0), (0.1, 0.2)])
def test_thresholds_that_do_not_fit_are_the_users_error(trigger: float, target: float | None) -> None:
    """The message says what must be."""
    with pytest.raises(InputError, match="must be"):
        schedule_for(200_000, trigger, target)


@given(tokens, st.integers(0, 300_000), st.booleans())
def test_nothing_is_wanted_at_or_below_the_trigger(size: int, rearmed_at: int, cold: bool) -> None:
    """Above it a plan is wanted unless one has just fallen short; above the limit, and on a cold cache, always."""
    schedule = Schedule(100_000, 50_000, 170_000)
    goal = schedule.goal(size, rearmed_at, 5.0, cold)
    if size <= schedule.trigger:
        assert goal is None
    elif cold or size > schedule.limit or size > rearmed_at:
        assert goal is not None
        assert (goal.target, goal.limit, goal.now, goal.cold) == (50_000, 170_000, 5.0, cold)
    else:
        assert goal is None


@given(st.integers(1, 200_000), tokens, st.floats(0, 50_000), rates, st.booleans())
def test_the_break_even_turn_is_the_first_that_pays(removed: int, rewritten: int, call: float, tariff: Tariff, cold: bool) -> None:
    """By then, the commit's own turn included, what is no longer sent has saved what the rewrite cost; one turn earlier it had not."""
    turns = break_even(removed, rewritten, call, tariff, cold)
    cost = rewritten * (tariff.write - tariff.read) + call
    assert turns is not None

    def saved(after: int) -> float:
        return removed * (tariff.write if cold else tariff.read) + after * removed * tariff.read

    assert saved(turns) >= cost * (1 - 1e-9)
    assert turns == 0 or saved(turns - 1) < cost * (1 + 1e-9)


def test_some_commits_never_pay() -> None:
    """Nothing removed, or reads that cost nothing."""
    assert break_even(0, 100, 0.0, Tariff()) is None
    assert break_even(100, 100, 0.0, Tariff(1.0, 0.0, 1.25)) is None
    assert break_even(0, 0, 0.0, Tariff()) == 0

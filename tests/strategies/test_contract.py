"""What every registered strategy owes the pipeline, on generated conversations."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast.drive import drive
from holdfast.edits import Drop, Plan
from holdfast.strategies import named, registered
from holdfast.strategy import Goal, Strategy, View
from holdfast.testing import ScriptedModel
from holdfast_strategies.estimate import after, freed
from holdfast_strategies.rounds import rounds, spans
from tests.strategies.conversations import conversations
from tests.strategies.views import applied, broken_rules, goal, read, view_of

SUMMARY = "<summary>" + "Goal: fix the failing test in /app/src/main.py. " * 12 + "</summary>"
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in sorted(registered())),
    ("micro", {"clear_inputs": True, "clear_thinking": True, "keep_results": 0}),
    ("collapse", {"ask_model": True, "keep_rounds": 0}),
    ("full", {"ask_model": False}),
    ("truncate", {"note": False}),
]
SLOW = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])

every_strategy = pytest.mark.parametrize(("name", "config"), VARIANTS, ids=lambda value: str(value) if value else "default")


def proposed(strategy: Strategy, view: View, wanted: Goal) -> Plan | None:
    """What a strategy proposes with a model that always gives a good summary."""
    return drive(strategy.plan(view, wanted), ScriptedModel(lambda ask: SUMMARY + "\n[[1]] looked at main.py and at cache.py"))[0]


@every_strategy
@SLOW
@given(messages=conversations(), share=st.sampled_from([0.05, 0.3, 0.6, 0.9]), data=st.data())
def test_no_rule_is_broken(name: str, config: dict[str, Any], messages: list[dict[str, Any]], share: float, data: st.DataObject) -> None:
    """A plan touches only what it may, also where pins stand in the way and where earlier plans were committed."""
    blocks = read(messages)
    pins = data.draw(st.sets(st.integers(0, 30), max_size=3))
    view = view_of(blocks, tail_messages=2, pins=[pin for pin in pins if pin < sum(len(message.blocks) for message in blocks)])
    earlier = data.draw(st.sampled_from(["none", "micro", "truncate", "memory", "collapse"]))
    first = proposed(named(earlier), view, goal(view, 0.8))
    if first:
        view = applied(view, first.edits)
    plan = proposed(named(name, **config), view, goal(view, share))
    if plan is not None:
        assert plan.edits
        assert broken_rules(view, plan.edits) == []


@every_strategy
@SLOW
@given(messages=conversations(most=8))
def test_the_same_view_gives_the_same_plan(name: str, config: dict[str, Any], messages: list[dict[str, Any]]) -> None:
    """Two instances, two readings of the same history: one plan."""
    plans = [proposed(named(name, **config), view, goal(view, 0.4)) for view in (view_of(read(messages)), view_of(read(messages)))]
    assert plans[0] == plans[1]


@every_strategy
@SLOW
@given(messages=conversations(most=10))
def test_nothing_is_proposed_below_the_target(name: str, config: dict[str, Any], messages: list[dict[str, Any]]) -> None:
    """Where the target is met there is no plan."""
    view = view_of(read(messages))
    assert proposed(named(name, **config), view, Goal(view.tokens, view.tokens + 1)) is None


@every_strategy
@SLOW
@given(messages=conversations(), share=st.sampled_from([0.2, 0.5, 0.8]))
def test_the_estimate_never_promises_too_much(name: str, config: dict[str, Any], messages: list[dict[str, Any]], share: float) -> None:
    """Applied by hand, a plan frees at least what the strategies' own estimate says, and something at all."""
    view = view_of(read(messages))
    plan = proposed(named(name, **config), view, goal(view, share))
    if plan is None:
        return
    result = applied(view, plan.edits)
    assert view.tokens - result.tokens >= freed(view, plan.edits) > 0
    assert [entry.start for entry in after(view, plan.edits).entries] == [entry.start for entry in result.entries]


@pytest.mark.parametrize("name", ["truncate", "ladder"])
@SLOW
@given(messages=conversations(), share=st.sampled_from([0.2, 0.5, 0.8]))
def test_a_target_in_reach_is_reached(name: str, messages: list[dict[str, Any]], share: float) -> None:
    """Wherever dropping all that may leave would meet the target, the last resort meets it, and so does the ladder."""
    view = view_of(read(messages))
    wanted = goal(view, share)
    everything = [Drop(run[0].start, run[-1].stop) for run in spans(rounds(view))]
    if not everything or applied(view, everything).tokens + 80 > wanted.target:
        return
    plan = proposed(named(name), view, wanted)
    assert plan is not None
    assert applied(view, plan.edits).tokens <= wanted.target

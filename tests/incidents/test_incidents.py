"""Public incidents: their numbers come out of the machines, and the doctor says of each what it was.

Any file of the same form will do: ``pytest tests/incidents --incidents FILE``. What is known of a case is found by its
``diagnosis_code``, else by its ``cause``; a case for which nothing is known fails and says what to write.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest

from holdfast.pricing import Prices, bill
from holdfast.usage import Usage, from_openai
from tests.incidents import formulas, recipes_head, recipes_history, recipes_marks, recipes_timing, simulations
from tests.incidents.cases import Case, case_of
from tests.incidents.expressions import Refused, holds
from tests.incidents.registry import formula, recipe, simulation
from tests.incidents.replay import run

KNOWN = (formulas, recipes_head, recipes_history, recipes_marks, recipes_timing, simulations)
"""The modules that register what they know."""


def published(row: Mapping[str, Any], usage: Usage) -> dict[str, tuple[int, int]]:
    """The published numbers of a request beside ours."""
    ours = {"cached": usage.read, "written": usage.written, "uncached": usage.fresh, "prompt_tokens": usage.prompt}
    return {name: (row[name], value) for name, value in ours.items() if row.get(name) is not None}


def test_checks(checked: Case) -> None:
    """Every check that a case states of its own numbers is true."""
    wrong = [check for check in checked.checks if not holds(check, r=checked.raw_rows, a=checked.published)]
    assert wrong == []


def test_replays(replayed: Case) -> None:
    """Replaying the requests gives the published reads and writes, within the tolerance that the case states."""
    assert replayed.replay is not None
    tolerance = replayed.replay.get("tol", 0)
    compared = 0
    for index, usage in run(replayed.replay):
        for name, (theirs, ours) in published(replayed.rows[index], usage).items():
            assert abs(theirs - ours) <= tolerance, f"request {index}: {name} is {ours}, published {theirs}"
            compared += 1
    assert compared


def test_formulas(computed: Case) -> None:
    """The provider's rule, computed by the package's own machines, gives the published numbers."""
    formula.run(computed)


def test_simulations(simulated: Case) -> None:
    """What a case asks to compare comes out as published. A synthetic case has a simulation, a recipe or both."""
    if simulated.mode == "none":
        if simulation.knows(simulated.code):
            simulation.run(simulated)
    elif simulated in simulation or simulated not in recipe:
        simulation.run(simulated)


def test_openai_usage_is_inclusive(measured: Case) -> None:
    """The cached tokens of OpenAI's usage are part of its input tokens: the size of the context is the input, and no more."""
    for row in measured.rows:
        if row.get("prompt_tokens") is not None and row.get("cached") is not None:
            usage = from_openai({"input_tokens": row["prompt_tokens"], "input_tokens_details": {"cached_tokens": row["cached"]}})
            assert (usage.prompt, usage.read) == (row["prompt_tokens"], row["cached"])
            assert usage.fresh == row.get("uncached", usage.fresh)
            assert usage.prompt + row.get("output", 0) == row.get("total", usage.prompt + row.get("output", 0))


def test_priced_requests(priced: Case) -> None:
    """Money stated for a request is the bill of its tokens within half a per cent, its writes for five minutes or for an hour."""
    price = Prices.load().find(priced.model)
    for row in priced.rows:
        parts = {"fresh": row["uncached"], "read": row["cached"], "output": row["output"]}
        for_minutes, for_an_hour = (bill(Usage(**parts, **{name: row["written"]}), price).total for name in ("write_5m", "write_1h"))
        stated = Decimal(str(row["cost_usd"]))
        assert min(abs(for_minutes - stated), abs(for_an_hour - stated)) < stated / 200


@pytest.mark.parametrize(
    "check",
    ["__import__('os')", "r.__class__", "(lambda: 1)()", "open('x')", "r[0]['a'].format(1)", "2**9", "[x for x in r if y]", "a.pop('b')"],
)
def test_a_check_is_never_evaluated_raw(check: str) -> None:
    """Whatever is more than arithmetic over the case's numbers is refused."""
    with pytest.raises(Refused):
        holds(check, r=[{"a": "x"}], a={"b": 1})


def test_a_check_reads_like_python() -> None:
    """Chains, conditions, slices and nested comprehensions mean what they mean in Python."""
    rows = [{"x": 1}, {"x": 2}, {"x": 4}]
    assert holds("1 <= r[0]['x'] < 2 and not a or r[2]['x'] == 4", r=rows, a={"b": 0})
    assert holds("sum(x['x'] for x in r[1:] if 'x' in x) == 6 and len({x['x'] % 2 for x in r}) == 2", r=rows, a={})
    assert not holds("any(x['x'] > y for x, y in zip(r, range(4, 7)))", r=rows, a={})


def _other(cause: str, code: str) -> Case:
    raw = {"id": "other", "provider": "anthropic", "cause": cause, "diagnosis_code": code, "offline_mode": "synthetic", "requests": []}
    return case_of(raw)


def test_a_cause_without_a_recipe_fails_loudly() -> None:
    """The message names the case, what is missing and what is known."""
    with pytest.raises(AssertionError, match=r"other: no recipe for the cause 'cosmic_rays'.*Known: .*system_changed"):
        recipe.run(_other("cosmic_rays", "cosmic_rays:solar"))


def test_an_unknown_code_falls_back_to_its_cause() -> None:
    """The recipe of the cause runs, and no particular code is asked for."""
    trials = recipe.run(_other("system_changed", "system_changed:weather"))
    assert [loss.detail for trial in trials for loss in trial.losses] == [""]

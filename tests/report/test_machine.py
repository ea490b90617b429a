"""Results as JSON."""

from __future__ import annotations

import json
from decimal import Decimal

from hypothesis import HealthCheck, given, settings

from holdfast.report import machine
from holdfast.simulator.results import Agreement, Comparison, ReplayedTurn, Result
from tests.report import results as made

RESULT_FIELDS = {
    *("strategy", "usd", "usage", "hit_rate", "peak_prompt_tokens", "commits", "planned_breaks", "unplanned_breaks"),
    *("model_calls", "model_calls_usd", "needed", "kept", "kept_in_context", "recoverable", "x_optimum", "x_best"),
    *("needed_after_cut", "kept_after_cut", "kept_in_context_after_cut", "unpaid_commits", "waiting_turns", "usd_low", "usd_high"),
}
USAGE_FIELDS = ["fresh", "read", "write_5m", "write_1h", "write_30m", "write_12h", "output"]


@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(made.comparisons)
def test_a_comparison_is_one_document_with_every_field_of_the_schema(found: Comparison) -> None:
    """Whatever the results and the text in them, the pieces are one JSON document and no field is left out."""
    document = json.loads("".join(machine.comparison(found)))
    assert document["schema"] == "holdfast/compare/1"
    assert {"model", "schedule", "ttl", "keep_tail_tokens", "prices_as_of", "any"} <= document["settings"].keys()
    assert len(document["sessions"]) == len(found.sessions)
    for session in document["sessions"]:
        assert {"path", "format", "model", "turns", "skipped", "recorded", "results", "agreement", "provider"} <= session.keys()
        assert session["recorded"] is None or {"usage", "usd"} <= session["recorded"].keys()
    assert len(document["total"]) == len(found.total)
    assert document["ranked_sessions"] == len(found.ranked)
    for each in document["total"]:
        assert each.keys() >= RESULT_FIELDS
        assert list(each["usage"]) == USAGE_FIELDS


@given(made.results())
def test_money_is_exact_and_shares_are_shares(value: Result) -> None:
    """Money comes back as the same decimal without an exponent; shares lie between 0 and 1 and are null of nothing."""
    document = machine.result(value)
    assert Decimal(document["usd"]) == value.usd
    assert "E" not in document["usd"].upper()
    for name in ("kept", "kept_in_context", "recoverable"):
        assert (document[name] is None) == (value.kept.needed == 0)
        assert document[name] is None or 0 <= document[name] <= 1
    for name in ("kept_after_cut", "kept_in_context_after_cut"):
        assert (document[name] is None) == (value.kept_after.needed == 0)
        assert document[name] is None or 0 <= document[name] <= 1
    assert (document["hit_rate"] is None) == (value.usage.prompt == 0)


@given(made.results())
def test_an_interval_stands_beside_the_cost(value: Result) -> None:
    """Where something was measured, its ends are decimal strings in order; else both are null."""
    document = machine.result(value)
    assert (document["usd_low"] is None) == (document["usd_high"] is None) == (value.estimate.interval is None)
    if document["usd_low"] is not None:
        assert 0 <= Decimal(document["usd_low"]) <= Decimal(document["usd_high"])


def test_agreement_says_what_it_rests_on() -> None:
    """Counts, share and verdict; null verdict where nothing could be checked, null altogether where no bill was recorded."""
    assert machine.agreement(Agreement(200, 189)) == {"checked": 200, "agree": 189, "share": 0.945, "trusted": False}
    assert machine.agreement(Agreement(200, 190)) == {"checked": 200, "agree": 190, "share": 0.95, "trusted": True}
    assert machine.agreement(Agreement()) == {"checked": 0, "agree": 0, "share": None, "trusted": None}
    assert machine.agreement(None) is None


@given(made.turns)
def test_a_turn_is_one_line(turn: ReplayedTurn) -> None:
    """A replayed turn is one line of JSON with every field of the schema, and its time is ISO-8601 in UTC."""
    line = machine.turn(turn)
    assert "\n" not in line
    document = json.loads(line)
    assert {"turn", "at", "prompt_tokens", "usage", "usd", "stable_prefix_tokens", "commit"} <= document.keys()
    assert (document["at"] is None) == (turn.at is None)
    assert document["at"] is None or document["at"].endswith("Z")
    assert turn.commit is None or {"strategy", "first_edit", "tokens_removed", "break_even_turn", "why"} <= document["commit"].keys()


def test_lone_surrogates_of_a_file_do_not_break_the_output() -> None:
    """Text that is no valid Unicode is written with replacements, not as an error."""
    found = made.compared(made.result("no\udcffne", "1"))
    assert "no?ne" in "".join(machine.comparison(found))

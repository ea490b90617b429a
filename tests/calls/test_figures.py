"""The report as a table and as JSON: every figure says what it supposes, and none says more than is known."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot

from holdfast.calls.figures import ASSUMPTION, Figure, JsonValue, Reads, Report, Tokens
from holdfast.usage import Usage

amounts = st.decimals(-1000, 1000, allow_nan=False, places=9)


def figure(usd: str, low: str, high: str) -> Figure:
    """A figure of decimal strings."""
    return Figure(Decimal(usd), Decimal(low), Decimal(high))


REPORT = Report(
    requests=120,
    measured=118,
    unmeasured=2,
    doubtful=1,
    saved_by_marks=figure("21.8512", "20.7", "24.5"),
    saved_by_shortening=figure("4.2", "3.9", "4.6"),
    spent_on_calls=Figure.known(Decimal("0.31")),
    breaks_we_caused=figure("0.52", "0.4", "0.52"),
    net=figure("25.2212", "23.1", "28.3"),
    billed=Decimal("3.5"),
    planned_breaks=Decimal("0.4"),
    commits=3,
    tokens=Tokens(9_000_000, 6_000_000, 5_500_000, Usage(100_000, 5_500_000, 400_000, output=60_000)),
    reads=Reads(117, 115, 1),
    unpriced=(("nobody-1", 4),),
)


def test_the_table_is_readable_and_every_figure_names_its_assumption() -> None:
    """The whole text of a report."""
    plain = str(REPORT).replace("\N{MINUS SIGN}", "-").replace("\N{EN DASH}", "-")
    assert plain == snapshot("""\
Holdfast: 120 requests, 2 not measured, 1 of them with a usage that does not fit the prompt (nothing is claimed for them), 3 commits
  saved by marks        $21.85  $20.70 to $24.50    assuming the same replies
  saved by shortening    $4.20  $3.90 to $4.60      assuming the same replies
  spent on calls       -$0.310  exact               assuming the same replies
  breaks we caused     -$0.520  -$0.520 to -$0.400  assuming the same replies
  net                   $25.22  $23.10 to $28.30    assuming the same replies
  billed $3.81; without Holdfast $29.03 (27-32), assuming the same replies
  $0.120 of the breaks are bills above the prediction: counted as ours though they may be the provider's
  tokens: 6.00M billed, 5.50M of them read from the cache; 3.00M not sent
  no price is known for nobody-1: 4 requests in tokens only
  unplanned breaks: 1 (115 of 117 checked reads as predicted)\
""")


def test_what_was_only_observed_says_so() -> None:
    """A report of observed requests alone never reads as if something had been saved."""
    text = str(Report(would_have=replace(REPORT, observed=True, commits=2)))
    assert text.startswith("Only observed, nothing was saved: 120 requests")
    assert "with Holdfast" in text
    assert "without Holdfast" not in text
    both = str(replace(REPORT, would_have=replace(REPORT, observed=True)))
    assert both.index("net") < both.index("Only observed, nothing was saved")


def test_no_unplanned_break_is_said_only_where_reads_were_checked() -> None:
    """Without a checked read nothing is said of breaks; with reads that all agree their number stands beside it."""
    assert "break" not in str(Report(requests=1, measured=1)).replace("breaks we caused", "")
    assert "no unplanned break (12 of 12 checked reads as predicted)" in str(Report(12, 12, reads=Reads(12, 12)))
    chance = str(Report(12, 12, reads=Reads(unpromised=12, chance=2)))
    assert "2 of 12 read less than an ideal cache: this provider's promises nothing" in chance
    assert "unplanned" not in chance


def test_every_figure_of_the_json_names_its_assumption() -> None:
    """Each amount that is an estimate stands beside the words, all money is a decimal string, and all of it is JSON."""
    found = json.loads(json.dumps(replace(REPORT, would_have=replace(REPORT, observed=True)).as_json()))
    estimates = list(estimated(found))
    assert len(estimates) == 12
    assert all(each["assumption"] == ASSUMPTION and all(isinstance(each[key], str) for key in ("usd", "low", "high")) for each in estimates)
    assert found["billed_usd"] == "3.5"
    assert found["without_holdfast"]["usd"] == "29.0312"
    assert found["would_have"]["with_holdfast"]["usd"] == "-21.7212"
    assert found["unpriced"] == {"nobody-1": 4}
    assert found["tokens"]["removed"] == 3_000_000


def estimated(value: Any) -> Any:
    """Every object with an amount in it."""
    if isinstance(value, dict):
        if "usd" in value:
            yield value
        for each in value.values():
            yield from estimated(each)


@given(amounts, amounts, amounts, amounts)
def test_reports_add_up_to_the_digit(one: Decimal, two: Decimal, three: Decimal, four: Decimal) -> None:
    """The sum of two models' reports is the sum of each of their figures, exactly."""
    left = Report(1, 1, saved_by_marks=Figure.known(one), net=Figure.known(two), billed=abs(one), unpriced=(("a", 1),))
    right = Report(2, 1, 1, saved_by_marks=Figure.known(three), net=Figure.known(four), billed=abs(three), unpriced=(("a", 2), ("b", 1)))
    both = left + right
    assert both.saved_by_marks == Figure.known(one + three)
    assert both.net.usd == two + four
    assert (both.requests, both.measured, both.unmeasured) == (3, 2, 1)
    assert both.billed == abs(one) + abs(three)
    assert both.unpriced == (("a", 3), ("b", 1))
    assert str(both)


def test_money_has_no_exponent() -> None:
    """An amount below a microdollar is a plain decimal string."""
    shown: JsonValue = Figure.known(Decimal("3E-7")).as_json()["usd"]
    assert shown == "0.0000003"

"""Bills are exact, tiers take whole requests, and dates and hours pick the price."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.errors import InputError
from holdfast.pricing import Bill, Period, Price, Prices, Rates, bill
from holdfast.usage import Usage

tokens = st.integers(0, 5_000_000)
usages = st.builds(Usage, tokens, tokens, tokens, tokens, tokens, tokens, tokens)
models = st.sampled_from(Prices.load().models())


def when(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@settings(deadline=None)
@given(usages, models)
def test_the_parts_of_a_bill_add_up_to_its_total(usage: Usage, model: str) -> None:
    """A bill is the exact sum of tokens times price of every class."""
    price = Prices.load().find(model)
    rates = price.rates(usage.prompt)
    expected = sum((Decimal(count) * rates.of(name) / 1_000_000 for name, count in usage.as_dict().items()), Decimal(0))
    assert bill(usage, price).total == expected


@settings(deadline=None)
@given(usages, usages, models)
def test_bills_add(one: Usage, other: Usage, model: str) -> None:
    """The sum of two bills is the bill of both, part by part."""
    price = Prices.load().find(model)
    both = bill(one, price) + bill(other, price)
    assert both.total == bill(one, price).total + bill(other, price).total
    assert both.read == bill(one, price).read + bill(other, price).read


@settings(deadline=None)
@given(usages, models)
def test_more_tokens_never_cost_less(usage: Usage, model: str) -> None:
    """One more token of any class costs at least as much."""
    price = Prices.load().find(model)
    assert bill(usage + Usage(fresh=1, output=1), price).total >= bill(usage, price).total


def test_a_tier_takes_the_whole_request() -> None:
    """One token over Haiku 5.5's 100,000 makes every token five times as dear, output included."""
    haiku = Prices.load().find("claude-haiku-5-5")
    below, above = Usage(fresh=99_000, read=1000, output=1000), Usage(fresh=99_000, read=1001, output=1000)
    assert bill(below, haiku).total == Decimal("0.01041")
    assert bill(above, haiku).output == 5 * bill(below, haiku).output
    assert bill(above, haiku).fresh == 5 * bill(below, haiku).fresh


def test_writes_that_are_not_charged_for_cost_as_input() -> None:
    """GPT-5.5 has no write price: written tokens are just input."""
    gpt = Prices.load().find("gpt-5.5")
    assert bill(Usage(write_30m=1000), gpt).total == bill(Usage(fresh=1000), gpt).total
    assert gpt.write_ttls == ()


def test_a_lifetime_that_is_not_sold_costs_as_the_cheapest_write() -> None:
    """A 30-minute write counted on Claude costs as its 5-minute write."""
    opus = Prices.load().find("claude-opus-4-5")
    assert bill(Usage(write_30m=1000), opus).total == bill(Usage(write_5m=1000), opus).total
    assert opus.write_ttls == (300, 3600)


def test_a_scheduled_price_holds_from_its_day_on() -> None:
    """Gemini 4 Argon doubles at midnight UTC of 1 December 2026."""
    argon, usage = Prices.load().find("gemini-4-argon"), Usage(fresh=1_000_000)
    assert bill(usage, argon, when("2026-11-30T23:59:59")).total == 2
    assert bill(usage, argon, when("2026-12-01T00:00:00")).total == 4
    assert bill(usage, argon).total == 2


@pytest.mark.parametrize(
    ("moment", "usd"),
    [
        ("2026-11-20T00:59:59", "0.15"),
        ("2026-11-20T01:00:00", "0.3"),
        ("2026-11-20T04:00:00", "0.15"),
        ("2026-11-20T09:59:59", "0.3"),
        ("2026-11-21T02:00:00", "0.15"),
    ],
)
def test_peak_hours_cost_more_on_weekdays_only(moment: str, usd: str) -> None:
    """DeepSeek's peak price holds 01-04 and 06-10 UTC, Monday to Friday."""
    assert bill(Usage(fresh=1_000_000), Prices.load().find("deepseek-flash"), when(moment)).total == Decimal(usd)


def test_a_variant_combines_with_a_tier() -> None:
    """A batch request above GPT-5.6 Sol's threshold costs half of the tier's price."""
    sol, usage = Prices.load().find("gpt-5.6-sol"), Usage(fresh=300_000, output=1000)
    assert bill(usage, sol, variant="batch").total * 2 == bill(usage, sol).total


def test_an_unknown_variant_names_the_known_ones() -> None:
    """Asking for a way of processing without a price says which ones have one."""
    with pytest.raises(InputError, match=r"'turbo'.*claude-opus-5.*batch, fast"):
        bill(Usage(fresh=1), Prices.load().find("claude-opus-5"), variant="turbo")


def test_an_empty_bill_is_zero() -> None:
    """No tokens, no money."""
    free = Price("m", "p", "o200k", (Period(float("-inf"), Rates(Decimal(1), Decimal(1))),))
    assert bill(Usage(), free) == Bill()
    assert Bill().total == 0

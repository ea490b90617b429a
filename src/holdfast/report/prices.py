"""The price table as rich tables and lines."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from itertools import compress
from typing import Any

from rich import box
from rich.table import Table

from holdfast.pricing import Price, Rates
from holdfast.report.figures import UNKNOWN, tokens

CLASSES = {
    "fresh": "input",
    "read": "cache read",
    "write_5m": "write 5m",
    "write_30m": "write 30m",
    "write_1h": "write 1h",
    "write_12h": "write 12h",
    "output": "output",
}
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def _usd(amount: Decimal | None) -> str:
    return UNKNOWN if amount is None else f"{amount.normalize():f}"


def prices_table(prices: Iterable[Price]) -> Table:
    """One row a model: USD per million tokens of each class, the window, and from which prompt length on a tier holds."""
    rows = list(prices)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    used = [any(getattr(price.rates(), name) is not None for price in rows) for name in CLASSES]
    for column in ("model", *compress(CLASSES.values(), used), "window", "dearer above"):
        table.add_column(column, justify="left" if column == "model" else "right", header_style="bold", vertical="bottom")
    for price in rows:
        rates = price.rates()
        cells = (_usd(getattr(rates, name)) for name in compress(CLASSES, used))
        tiers = ", ".join(tokens(tier.above) for tier in price.period().tiers)
        table.add_row(price.model, *cells, tokens(price.context_window) if price.context_window else UNKNOWN, tiers)
    return table


def detail_table(price: Price) -> Table:
    """Every set of rates of one model, each with when it holds."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    rows = list(_conditions(price))
    used = [any(getattr(rates, name) is not None for _, rates in rows) for name in CLASSES]
    for column in ("USD per million tokens", *compress(CLASSES.values(), used)):
        table.add_column(column, justify="left" if column.startswith("USD") else "right", header_style="bold", vertical="bottom")
    for when, rates in rows:
        table.add_row(when, *(_usd(getattr(rates, name)) for name in compress(CLASSES, used)))
    return table


def _conditions(price: Price) -> Iterator[tuple[str, Rates]]:
    for period in price.periods:
        since = "" if period.since == float("-inf") else f"from {datetime.fromtimestamp(period.since, UTC):%Y-%m-%d}"
        yield since or "any request", period.rates
        for tier in period.tiers:
            yield f"{since} prompts above {tokens(tier.above)}".strip(), tier.rates
        for hours in period.hours:
            yield f"{since} {_clock(hours.start)} to {_clock(hours.stop)} UTC, {_days(hours.weekdays)}".strip(), hours.rates
    for name, rates in price.variants:
        yield f"{name} requests", rates


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


def _days(weekdays: tuple[int, ...]) -> str:
    return "every day" if len(weekdays) == 7 else ", ".join(DAYS[day] for day in weekdays)


def facts(price: Price) -> Iterator[str]:
    """What else is known of a model, and where it is from."""
    yield f"Provider: {price.provider}; tokenizer family: {price.family}."
    window, most = price.context_window, price.max_output_tokens
    yield f"Window: {f'{window:,} tokens' if window else 'not known'}; longest answer: {f'{most:,} tokens' if most else 'not known'}."
    least = price.min_cacheable_tokens
    yield f"Shortest prefix that is cached: {f'{least:,} tokens' if least else 'not documented'}."
    if price.binds_thinking:
        yield f"Thinking is signed over the {price.binds_thinking}."
    if price.notes:
        yield price.notes
    yield f"As of {price.as_of}; sources: {'; '.join(price.sources) or 'none given'}."


def as_json(prices: Iterable[Price], as_of: str) -> str:
    """The price list as a JSON document, schema ``holdfast/price-list/1``: decimal strings, USD per million tokens."""
    return json.dumps({"schema": "holdfast/price-list/1", "as_of": as_of, "models": [_entry(each) for each in prices]}, indent=1) + "\n"


def _entry(price: Price) -> dict[str, Any]:
    return {
        "model": price.model,
        "provider": price.provider,
        "as_of": price.as_of,
        "context_window": price.context_window,
        "max_output_tokens": price.max_output_tokens,
        "min_cacheable_tokens": price.min_cacheable_tokens,
        "usd_per_mtok": [{"when": when, **_by_class(rates)} for when, rates in _conditions(price)],
        "sources": list(price.sources),
    }


def _by_class(rates: Rates) -> dict[str, str | None]:
    given = {name: getattr(rates, name) for name in CLASSES}
    return {name: None if amount is None else f"{amount:f}" for name, amount in given.items()}

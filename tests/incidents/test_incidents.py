"""Public incidents come out of the machines number for number."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from holdfast.pricing import Prices, bill
from holdfast.usage import Usage, from_openai
from tests.incidents.replay import run


def published(row: dict[str, Any], usage: Usage) -> dict[str, tuple[int, int]]:
    """The published numbers of a request beside ours."""
    ours = {"cached": usage.read, "written": usage.written, "uncached": usage.fresh, "prompt_tokens": usage.prompt}
    return {name: (row[name], value) for name, value in ours.items() if row.get(name) is not None}


def test_replays(replayed: dict[str, Any]) -> None:
    """Replaying the requests gives the published reads and writes, within the tolerance that the case states."""
    tolerance = replayed["replay"].get("tol", 0)
    checked = 0
    for index, usage in run(replayed["replay"]):
        for name, (theirs, ours) in published(replayed["requests"][index], usage).items():
            assert abs(theirs - ours) <= tolerance, f"request {index}: {name} is {ours}, published {theirs}"
            checked += 1
    assert checked


def test_openai_usage_is_inclusive(measured: dict[str, Any]) -> None:
    """The cached tokens of OpenAI's usage are part of its input tokens: the size of the context is the input, and no more."""
    for row in measured["requests"]:
        if row.get("prompt_tokens") is not None and row.get("cached") is not None:
            usage = from_openai({"input_tokens": row["prompt_tokens"], "input_tokens_details": {"cached_tokens": row["cached"]}})
            assert (usage.prompt, usage.read) == (row["prompt_tokens"], row["cached"])
            assert usage.fresh == row.get("uncached", usage.fresh)
            assert usage.prompt + row.get("output", 0) == row.get("total", usage.prompt + row.get("output", 0))


def test_priced_requests(priced: dict[str, Any]) -> None:
    """Money stated for a request is the bill of its tokens within half a per cent, its writes for five minutes or for an hour."""
    price = Prices.load().find(priced["model"])
    for row in priced["requests"]:
        parts = {"fresh": row["uncached"], "read": row["cached"], "output": row["output"]}
        for_minutes, for_an_hour = (bill(Usage(**parts, **{name: row["written"]}), price).total for name in ("write_5m", "write_1h"))
        stated = Decimal(str(row["cost_usd"]))
        assert min(abs(for_minutes - stated), abs(for_an_hour - stated)) < stated / 200

"""Bills against money that was really charged, and against other people's sums of the same usage."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from holdfast.pricing import Bill, Prices, bill
from holdfast.usage import Usage, from_deepseek, from_openai


def text(path: Path) -> str:
    return gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text()


def answers(folder: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(folder.rglob("*.traj.json*")):
        for message in json.loads(text(path), parse_float=Decimal)["messages"]:
            if message["role"] == "assistant" and "response" in message.get("extra", {}):
                yield message["extra"]


def test_openrouter_charged_what_the_table_says(corpus: Path) -> None:
    """Every call that OpenRouter charged for is reproduced to the last digit, in total and by part."""
    checked = 0
    for extra in answers(corpus / "mini-swe-agent" / "gemini-3-pro-openrouter"):
        raw = extra["response"]["usage"]
        if raw.get("cost") is None:
            continue
        predicted = bill(from_openai(raw), Prices.load().find(extra["response"]["model"]))
        assert predicted.total == raw["cost"]
        details = raw.get("cost_details") or {}
        if details.get("upstream_inference_completions_cost") is not None:
            assert predicted.output == details["upstream_inference_completions_cost"]
            assert predicted.fresh + predicted.read == details["upstream_inference_prompt_cost"]
        checked += 1
    assert checked == 5202


def test_deepseek_costs_what_litellm_computed(corpus: Path) -> None:
    """A second implementation came to the same sums, but for the last bits of its binary floats."""
    checked = 0
    for extra in answers(corpus / "mini-swe-agent" / "deepseek"):
        if not extra.get("cost"):
            continue
        price = Prices.load().find(extra["response"]["model"])
        assert bill(from_deepseek(extra["response"]["usage"]), price).total == pytest.approx(Decimal(extra["cost"]), rel=Decimal("1e-12"))
        checked += 1
    assert checked == 4719


def test_pi_costs_what_its_author_saw_by_part(corpus: Path) -> None:
    """All calls of a long session cost, class by class, what the agent itself showed (in binary floats)."""
    path = next((corpus / "pi" / "pi-mono").glob("before-compaction.jsonl*"))
    opus, total, checked = Prices.load().find("claude-opus-4-5"), Bill(), 0
    for line in text(path).splitlines():
        message = json.loads(line, parse_float=Decimal).get("message") or {}
        if message.get("role") != "assistant" or not message["usage"]["totalTokens"]:
            continue
        raw, cost = message["usage"], message["usage"]["cost"]
        mine = bill(Usage(fresh=raw["input"], read=raw["cacheRead"], write_5m=raw["cacheWrite"], output=raw["output"]), opus)
        shown = (cost["input"], cost["cacheRead"], cost["cacheWrite"], cost["output"], cost["total"])
        for one, other in zip((mine.fresh, mine.read, mine.write_5m, mine.output, mine.total), shown, strict=True):
            assert one == pytest.approx(Decimal(other), rel=Decimal("1e-12"))
        total, checked = total + mine, checked + 1
    assert checked == 471
    assert round(total.total, 2) == Decimal("42.60")

"""Lint on real bodies: little is said of them, and what is said of their size agrees with what was billed."""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import yaml

from holdfast.doctor.lint import Advice, NotABody, Severity, lint
from holdfast.pricing import Prices

PRICES = Prices.load()
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
CACHED = re.compile(r'"(?:cached_tokens|cache_\w+_input_tokens|cache(?:Read|Write)InputTokens|cache_write_tokens)":\s*[1-9]')


def _text(path: Path) -> str:
    return gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text(encoding="utf-8")


def _json(part: dict[str, Any]) -> Any:
    value = part.get("parsed_body") or part.get("body")
    value = value.get("string") if isinstance(value, dict) and "string" in value else value
    try:
        return json.loads(value) if isinstance(value, str | bytes) else value
    except ValueError:
        return value


@pytest.fixture(scope="module")
def linted(corpus: Path) -> list[tuple[list[Advice], str]]:
    """The advice on each recorded request, with its response as text."""
    return list(_recorded(corpus))


def _recorded(corpus: Path) -> Iterator[tuple[list[Advice], str]]:
    for path in sorted((corpus / "api-cassettes" / "pydantic-ai").glob("*.yaml*")):
        recorded = yaml.load(_text(path), Loader=LOADER)
        for exchange in recorded.get("interactions", ()) if isinstance(recorded, dict) else ():
            request, body = exchange.get("request", {"uri": ""}), _json(exchange.get("request", {}))
            model = re.search(r"/model/([^/]+)/", request["uri"])
            try:
                advice = lint({**body, "model": unquote(model[1])} if model else body, PRICES)
            except NotABody:
                continue
            yield advice, json.dumps(_json(exchange["response"]), default=str).replace('\\"', '"')


def test_most_cassettes_are_bodies(linted: list[tuple[list[Advice], str]]) -> None:
    """More than a hundred requests in four dialects are read."""
    assert len(linted) > 100


def test_nothing_certain_is_said_of_requests_that_were_accepted(linted: list[tuple[list[Advice], str]]) -> None:
    """None of them was refused, so no advice may say that it would be."""
    assert [advice for found, _ in linted for advice in found if advice.severity is Severity.CERTAIN] == []


def test_what_is_too_short_by_lint_was_not_cached(linted: list[tuple[list[Advice], str]]) -> None:
    """Of prompts that lint calls under the minimum, none was billed a read or a write."""
    short = [answer for found, answer in linted if any(advice.code == "below_minimum" and "is under" in advice.what for advice in found)]
    assert len(short) > 30
    assert not any(CACHED.search(answer) for answer in short)


def test_tests_of_a_library_hold_no_clock(linted: list[tuple[list[Advice], str]]) -> None:
    """Nothing volatile is seen where nothing is."""
    assert not [advice for found, _ in linted for advice in found if advice.code.startswith("volatile")]


def test_of_codex_only_the_days_date_is_found(corpus: Path) -> None:
    """Its system prompts of up to 17,000 characters name versions, folders and limits; the date in its first message is right."""
    counts: Counter[tuple[str, str]] = Counter()
    for path in sorted((corpus / "codex").rglob("*.jsonl.gz")):
        rows = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()[:40]]
        base = next((row["payload"].get("base_instructions") for row in rows if row["type"] == "session_meta"), None) or {}
        items = [row["payload"] for row in rows if row["type"] == "response_item"]
        body = {"model": "gpt-5.4", "prompt_cache_key": "one", "instructions": base.get("text"), "input": items}
        counts.update((advice.code, str(advice.severity)) for advice in lint(body, PRICES, "openai"))
    assert set(counts) <= {("volatile_date", "possible")}
    assert counts.total() > 10


def test_the_clock_of_a_published_benchmark_is_found(corpus: Path) -> None:
    """tau-bench's airline policy begins with the current time."""
    runs = json.loads(_text(corpus / "chat-no-usage" / "tau-bench" / "gpt-4o-airline.json.gz"))
    found = [advice for advice in lint({"model": "gpt-4o", "messages": runs[0]["traj"][:2]}, PRICES) if advice.code.startswith("volatile")]
    assert [(advice.code, advice.severity) for advice in found] == [("volatile_timestamp", Severity.LIKELY)]

"""The table is found by every name a model goes by, and never guesses."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import date
from decimal import Decimal
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from holdfast.errors import BadPrices, UnknownModel, Unreadable
from holdfast.pricing import Prices, bill
from holdfast.usage import Usage

RAW: dict[str, Any] = json.loads(files("holdfast.pricing").joinpath("prices.json").read_text(encoding="utf-8"), parse_float=str)


@pytest.mark.parametrize(
    ("written", "listed"),
    [
        ("claude-opus-4-5-20251101", "claude-opus-4-5"),
        ("anthropic/claude-opus-4.5", "claude-opus-4-5"),
        ("us.anthropic.claude-opus-4-5-20251101-v1:0", "claude-opus-4-5"),
        ("bedrock/global.anthropic.claude-sonnet-4-6-v1", "claude-sonnet-4-6"),
        ("claude-opus-4-5@20251101", "claude-opus-4-5"),
        ("claude-opus-4-6[1m]", "claude-opus-4-6"),
        ("claude-haiku-4-5-20251001", "claude-haiku-4-5"),
        ("anthropic/claude-4.6-sonnet-20260217", "claude-sonnet-4-6"),
        ("claude-sonnet-4-20250514", "claude-sonnet-4"),
        ("claude-opus-4-1-20250805", "claude-opus-4-1"),
        ("google/gemini-3-pro-preview", "gemini-3-pro-preview"),
        ("gpt-5-2025-08-07", "gpt-5"),
        ("deepseek/deepseek-reasoner", "deepseek-reasoner"),
        ("GPT-5.4", "gpt-5.4"),
    ],
)
def test_a_model_is_found_by_its_other_names(written: str, listed: str) -> None:
    """Dates, provider prefixes, cloud spellings and window suffixes lead to the listed model."""
    assert Prices.load().find(written).model == listed


def test_every_listed_model_is_found_by_its_own_name() -> None:
    """No name resolves to another model."""
    prices = Prices.load()
    assert all(prices.find(model).model == model for model in prices.models())


@pytest.mark.parametrize(
    "model", ["claude-opus-9", "gpt-5.4-codex", "opus", "<synthetic>", "", "claude-opus-4-5-fast", "deepseek-chat:free"]
)
def test_an_unknown_model_has_no_price(model: str) -> None:
    """There is no default price."""
    with pytest.raises(UnknownModel):
        Prices.load().find(model)


def test_an_unknown_model_names_near_ones() -> None:
    """A slip of the pen is answered with the names it may have been meant for."""
    with pytest.raises(UnknownModel) as caught:
        Prices.load().find("claude-opus-45")
    assert "claude-opus-4-5" in caught.value.near


def test_every_number_of_the_file_is_exact() -> None:
    """Prices are decimal strings with a source, none negative, no read dearer than input."""
    for name, entry in RAW["models"].items():
        rates = entry["usd_per_mtok"]
        assert all(isinstance(value, str) and Decimal(value) > 0 for value in rates.values()), name
        assert Decimal(rates.get("read", "0")) <= Decimal(rates["fresh"])
        assert entry["sources"], name
        assert set(entry["sources"]) <= set(RAW["sources"])


def test_the_table_agrees_with_the_facts_it_was_made_from(shared: Path) -> None:
    """Every price, tier and minimum of the collected facts is in the table."""
    facts = json.loads((shared / "providers.json").read_text(), parse_float=Decimal)
    prices = Prices.load()
    for fact in facts["models"]:
        price = prices.find(fact["model"])
        rates, given = price.rates(), fact["usd_per_mtok"]
        assert (rates.fresh, rates.output, rates.read) == (given["input"], given["output"], given["cache_read"])
        assert (rates.write_5m, rates.write_1h) == (given.get("cache_write_5m"), given.get("cache_write_1h"))
        assert (rates.write_30m, rates.write_12h) == (given.get("cache_write_30m"), given.get("cache_write_12h"))
        assert [tier.above for tier in price.period().tiers] == [tier["above_input_tokens"] for tier in fact["tiers"]]
        assert price.min_cacheable_tokens == fact["min_cacheable_tokens"]
        assert price.context_window == fact["context_window"]


def test_the_models_that_bind_thinking_say_so() -> None:
    """The models of 2026 that sign thinking over the prefix are told from those that do not."""
    prices = Prices.load()
    assert prices.find("claude-opus-5-5").binds_thinking == "prefix"
    assert prices.find("claude-haiku-5-5").binds_thinking == "account"
    assert prices.find("claude-opus-5").binds_thinking is None


def test_the_age_of_the_table_is_known() -> None:
    """A price says how many days ago it was checked."""
    assert Prices.load().find("gpt-5.5").days_old(date(2026, 12, 2)) == 10


def test_a_price_can_be_asked_for_as_it_was() -> None:
    """``find`` with a moment gives only what held then."""
    then = Prices.load().find("deepseek-v4-flash", at=1_780_000_000.0)
    assert [period.rates.fresh for period in then.periods] == [Decimal("0.14")]


def test_importing_opens_no_file() -> None:
    """The table is read at the first use, and pydantic only for a user's own file."""
    code = (
        "import sys, builtins, io\n"
        "import holdfast.pricing as p\n"
        "from holdfast.pricing import table\n"
        "assert table._raw.cache_info().currsize == 0\n"
        "p.Prices.load().find('gpt-5.5')\n"
        "assert table._raw.cache_info().currsize == 1\n"
        "assert 'pydantic' not in sys.modules and 'tiktoken' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)})


def test_a_file_adds_and_replaces_models(tmp_path: Path) -> None:
    """A TOML file prices a new model and replaces a known one, whose other facts stay."""
    path = tmp_path / "mine.toml"
    path.write_text(
        'as_of = 2026-12-01\n[models."My-Model".usd_per_mtok]\nfresh = 1.1\noutput = "2"\nread = 0.1\n'
        "[models.claude-haiku-5-5.usd_per_mtok]\nfresh = 7\noutput = 8\n"
        '[[models.my-hours.hours_utc]]\nfrom = "00:00"\nto = "24:00"\nusd_per_mtok = {fresh = 3, output = 3}\n'
        "[models.my-hours.usd_per_mtok]\nfresh = 1\noutput = 1\n"
    )
    prices = Prices.load(path)
    assert bill(Usage(fresh=10, read=10), prices.find("my-model")).total == Decimal("0.000012")
    haiku = prices.find("claude-haiku-5-5")
    assert bill(Usage(fresh=1_000_000), haiku).total == 7
    assert (haiku.context_window, haiku.as_of, haiku.sources) == (1_000_000, "2026-12-01", (str(path),))
    assert bill(Usage(fresh=1_000_000), prices.find("my-hours"), 1_780_000_000.0).total == 3
    assert prices.find("gpt-5.5") == Prices.load().find("gpt-5.5")


def test_a_json_file_keeps_every_digit(tmp_path: Path) -> None:
    """Numbers of a JSON file never become floats."""
    path = tmp_path / "mine.json"
    path.write_text('{"models": {"m": {"usd_per_mtok": {"fresh": 0.1000000000000000055, "output": 1}}}}')
    assert Prices.load(path).find("m").rates().fresh == Decimal("0.1000000000000000055")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('{"models": {"m": {"usd_per_mtok": {"fresh": "x", "output": 1}}}}', r"models\.m\.usd_per_mtok\.fresh"),
        ('{"models": {"m": {"usd_per_mtok": {"fresh": -1, "output": 1}}}}', r"models\.m\.usd_per_mtok\.fresh"),
        ('{"models": {"m": {"usd_per_mtok": {"fresh": 1}}}}', r"models\.m\.usd_per_mtok\.output"),
        ('{"models": {"m": {"usd_per_mtok": {"fresh": 1, "output": 1, "input": 1}}}}', r"models\.m\.usd_per_mtok\.input"),
        ('{"models": {"m": {"context_window": 1}}}', r"models\.m\.usd_per_mtok"),
        ('{"models": {"gpt-5.5": {"from": [{"date": "2026-13-01"}]}}}', r"models\.gpt-5\.5\.from\.0\.date"),
        ('{"model": {}}', "models"),
        ("[]", "the file"),
        ("{", "not JSON"),
    ],
)
def test_a_file_that_does_not_fit_names_the_place(tmp_path: Path, text: str, place: str) -> None:
    """One clear sentence says which entry of which file is wrong."""
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(BadPrices, match=rf"bad\.json: .*{place}"):
        Prices.load(path)


def test_a_file_that_is_not_there_is_unreadable(tmp_path: Path) -> None:
    """A missing file is an error of its own."""
    with pytest.raises(Unreadable, match=r"none\.toml"):
        Prices.load(tmp_path / "none.toml")

"""The price table: the dated file that travels with the package, and what a user lays over it."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from holdfast.errors import UnknownModel
from holdfast.pricing.names import spellings
from holdfast.pricing.price import Hours, Period, Price, Rates, Tier


class Prices:
    """Every model with a known price. Never a default: a model that is not listed is an error."""

    def __init__(self, models: Mapping[str, Price], aliases: Mapping[str, str], as_of: str) -> None:
        self._models = dict(models)
        self._aliases = dict(aliases)
        self.as_of = as_of
        self._found: dict[str, Price] = {}

    @classmethod
    def load(cls, overrides: Path | None = None) -> Prices:
        """The package's table, with the models of a JSON or TOML file laid over it.

        Raises ``BadPrices`` where that file does not fit, and ``Unreadable`` where it cannot be read.
        """
        if overrides is None:
            return _shipped()
        from holdfast.pricing.overrides import read_overrides  # pydantic is needed for a user's file only

        return _parse(read_overrides(overrides, _raw()))

    def models(self) -> tuple[str, ...]:
        """All names, in the order of the table."""
        return tuple(self._models)

    def find(self, model: str, at: float | None = None) -> Price:
        """The price of a model under any of its names; with ``at`` (POSIX seconds), only what it cost then.

        Raises ``UnknownModel`` with near names.
        """
        found = self._found.get(model)
        if found is None:
            found = self._found[model] = self._look_up(model)
        return found if at is None else replace(found, periods=(found.period(at),))

    def _look_up(self, model: str) -> Price:
        last = model
        for last in spellings(model):
            name = self._aliases.get(last, last)
            if name in self._models:
                return self._models[name]
        raise UnknownModel(model, difflib.get_close_matches(last, self._models, n=3, cutoff=0.5))


@lru_cache(maxsize=1)
def _raw() -> dict[str, Any]:
    raw: dict[str, Any] = json.loads(files("holdfast.pricing").joinpath("prices.json").read_text(encoding="utf-8"))
    return raw


@lru_cache(maxsize=1)
def _shipped() -> Prices:
    return _parse(_raw())


def _parse(raw: Mapping[str, Any]) -> Prices:
    sources = raw["sources"]
    models = {name: _price(name, entry, raw["as_of"], sources) for name, entry in raw["models"].items()}
    aliases = {alias: name for name, entry in raw["models"].items() for alias in entry.get("aliases", ())}
    return Prices(models, aliases, raw["as_of"])


def _price(name: str, entry: Mapping[str, Any], as_of: str, sources: Mapping[str, str]) -> Price:
    return Price(
        model=name,
        provider=entry["provider"],
        family=entry["family"],
        periods=(_period(entry), *(_period(later) for later in entry.get("from", ()))),
        variants=tuple((variant, _rates(rates)) for variant, rates in entry.get("variants", {}).items()),
        context_window=entry.get("context_window"),
        max_output_tokens=entry.get("max_output_tokens"),
        min_cacheable_tokens=entry.get("min_cacheable_tokens"),
        binds_thinking=entry.get("binds_thinking"),
        as_of=entry.get("as_of", as_of),
        sources=tuple(sources.get(key, key) for key in entry.get("sources", ())),
        notes=entry.get("notes", ""),
    )


def _period(entry: Mapping[str, Any]) -> Period:
    day = entry.get("date")
    return Period(
        since=datetime.fromisoformat(str(day)).replace(tzinfo=UTC).timestamp() if day else float("-inf"),
        rates=_rates(entry["usd_per_mtok"]),
        tiers=tuple(Tier(tier["prompt_tokens"], _rates(tier["usd_per_mtok"])) for tier in entry.get("above", ())),
        hours=tuple(_hours(hours) for hours in entry.get("hours_utc", ())),
    )


def _hours(entry: Mapping[str, Any]) -> Hours:
    return Hours(_minutes(entry["from"]), _minutes(entry["to"]), tuple(entry.get("weekdays", range(7))), _rates(entry["usd_per_mtok"]))


def _minutes(clock: str) -> int:
    hours, minutes = clock.split(":")
    return int(hours) * 60 + int(minutes)


def _rates(entry: Mapping[str, Any]) -> Rates:
    return Rates(**{name: Decimal(value) for name, value in entry.items()})

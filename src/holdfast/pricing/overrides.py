"""A user's own prices: a JSON or TOML file with models in the shape of ``prices.json``, laid over the package's table."""

from __future__ import annotations

import datetime
import json
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from holdfast.errors import BadPrices, Unreadable

Usd = Annotated[Decimal, Field(ge=0, allow_inf_nan=False)]
Tokens = Annotated[int, Field(gt=0)]
Clock = Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$|^24:00$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class RatesIn(_Strict):
    """USD per million tokens by class of usage."""

    fresh: Usd
    output: Usd
    read: Usd | None = None
    write_5m: Usd | None = None
    write_1h: Usd | None = None
    write_30m: Usd | None = None
    write_12h: Usd | None = None


class TierIn(_Strict):
    """Rates above a length of prompt."""

    prompt_tokens: Tokens
    usd_per_mtok: RatesIn


class HoursIn(_Strict):
    """Rates between two times of day, UTC."""

    start: Clock = Field(alias="from")
    stop: Clock = Field(alias="to")
    weekdays: tuple[Annotated[int, Field(ge=0, le=6)], ...] = (0, 1, 2, 3, 4, 5, 6)
    usd_per_mtok: RatesIn


class PeriodIn(_Strict):
    """Rates from a date on."""

    date: datetime.date
    usd_per_mtok: RatesIn
    above: list[TierIn] = []
    hours_utc: list[HoursIn] = []


class ModelIn(_Strict):
    """One model. For one that the table knows, what is not given stays; new prices replace all old ones, tiers and dates too."""

    provider: str | None = None
    family: str | None = None
    context_window: Tokens | None = None
    max_output_tokens: Tokens | None = None
    min_cacheable_tokens: Tokens | None = None
    binds_thinking: Literal["prefix", "account"] | None = None
    usd_per_mtok: RatesIn | None = None
    above: list[TierIn] = []
    later: list[PeriodIn] = Field(default=[], alias="from")
    hours_utc: list[HoursIn] = []
    variants: dict[str, RatesIn] = {}
    aliases: list[str] = []
    notes: str = ""
    sources: list[str] = []


class FileIn(_Strict):
    """The whole file: models by name."""

    as_of: datetime.date | None = None
    models: dict[str, ModelIn]


_PRICED = ("usd_per_mtok", "above", "from", "hours_utc", "variants")
_UNKNOWN = {"provider": "unknown", "family": "o200k"}


def read_overrides(path: Path, table: dict[str, Any]) -> dict[str, Any]:
    """``table`` with the models of the file at ``path`` laid over it.

    Raises ``Unreadable`` where it cannot be opened, ``BadPrices`` naming the place where it does not fit.
    """
    try:
        given = FileIn.model_validate(_load(path))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise BadPrices(f"{path}: {where}: {first['msg'][:1].lower()}{first['msg'][1:]}") from None
    models = dict(table["models"])
    for name, model in given.models.items():
        models[name.lower()] = _laid_over(path, name, model, models.get(name.lower()), given.as_of)
    return {**table, "models": models}


def _load(path: Path) -> Any:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Unreadable(str(path), f"cannot be read ({error})") from error
    try:
        return tomllib.loads(text, parse_float=Decimal) if path.suffix == ".toml" else json.loads(text, parse_float=Decimal)
    except ValueError as error:
        raise BadPrices(f"{path}: not {'TOML' if path.suffix == '.toml' else 'JSON'}: {error}") from error


def _laid_over(path: Path, name: str, model: ModelIn, known: dict[str, Any] | None, as_of: datetime.date | None) -> dict[str, Any]:
    new = model.model_dump(by_alias=True, exclude_unset=True, exclude_none=True)
    if known is None and "usd_per_mtok" not in new:
        raise BadPrices(f"{path}: models.{name}.usd_per_mtok: a model that the table does not know needs its prices")
    base = dict(known or _UNKNOWN)
    if "usd_per_mtok" in new:
        base = {key: value for key, value in base.items() if key not in _PRICED}
        new.setdefault("sources", [str(path)])
    return {**base, **new, **({"as_of": str(as_of)} if as_of else {})}

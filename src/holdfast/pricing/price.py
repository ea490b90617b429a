"""What a model costs, and the bill of one request: exact decimals, no float anywhere."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import UTC, date, datetime
from decimal import Context, Decimal
from functools import cached_property, lru_cache
from typing import Literal, TypeAlias

from holdfast.errors import InputError
from holdfast.usage import Usage

Binding: TypeAlias = Literal["prefix", "account"]

CLASSES = ("fresh", "read", "write_5m", "write_1h", "write_30m", "write_12h", "output")
TTLS = {"write_5m": 300, "write_1h": 3600, "write_30m": 1800, "write_12h": 43200}
_EXACT = Context(prec=100)
_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Rates:
    """USD per million tokens for each class of ``Usage``; ``None`` where the provider has no price of its own for it."""

    fresh: Decimal
    output: Decimal
    read: Decimal | None = None
    write_5m: Decimal | None = None
    write_1h: Decimal | None = None
    write_30m: Decimal | None = None
    write_12h: Decimal | None = None

    def of(self, name: str) -> Decimal:
        """The price of a class.

        A class without a price of its own is just input and costs as ``fresh`` (OpenAI up to 5.5 does not charge for
        writing; some models have no discount for reading). A write of a lifetime the provider does not offer costs as its cheapest write.
        """
        price: Decimal | None = getattr(self, name)
        if price is None and name in TTLS:
            price = min((rate for rate in (getattr(self, write) for write in TTLS) if rate is not None), default=None)
        return self.fresh if price is None else price

    def scaled(self, other: Rates, base: Rates) -> Rates:
        """These rates times ``other / base``, class by class: how a tier and a variant combine."""
        return Rates(**{name: self._scale(name, other, base) for name in CLASSES if getattr(self, name) is not None})

    def _scale(self, name: str, other: Rates, base: Rates) -> Decimal:
        return _EXACT.divide(_EXACT.multiply(self.of(name), other.of(name)), base.of(name)) if base.of(name) else other.of(name)


@dataclass(frozen=True, slots=True)
class Tier:
    """Rates for every token of a request, output included, whose whole prompt exceeds ``above`` tokens."""

    above: int
    rates: Rates


@dataclass(frozen=True, slots=True)
class Hours:
    """Rates between two times of day, in minutes after midnight UTC, on some weekdays (0 is Monday)."""

    start: int
    stop: int
    weekdays: tuple[int, ...]
    rates: Rates

    def hold(self, at: float) -> bool:
        """Whether they hold at a moment (POSIX seconds)."""
        moment = datetime.fromtimestamp(at, UTC)
        return moment.weekday() in self.weekdays and self.start <= moment.hour * 60 + moment.minute < self.stop


@dataclass(frozen=True, slots=True)
class Period:
    """What a model costs from ``since`` (POSIX seconds) on."""

    since: float
    rates: Rates
    tiers: tuple[Tier, ...] = ()
    hours: tuple[Hours, ...] = ()


@dataclass(frozen=True)
class Price:
    """The prices of one model over time, and the facts about it that the rest of the package asks for.

    ``family`` is its tokenizer's. ``min_cacheable_tokens`` is ``None`` where no source states it. ``binds_thinking``: thinking blocks are
    signed over the whole ``"prefix"`` before them or over the ``"account"`` only (platform.claude.com, preserved thinking, 2026-09).
    ``as_of`` is the day on which the table was last checked. ``periods`` are in the order of their start.
    """

    model: str
    provider: str
    family: str
    periods: tuple[Period, ...]
    variants: tuple[tuple[str, Rates], ...] = ()
    context_window: int | None = None
    max_output_tokens: int | None = None
    min_cacheable_tokens: int | None = None
    binds_thinking: Binding | None = None
    as_of: str = ""
    sources: tuple[str, ...] = ()
    notes: str = ""

    @cached_property
    def _checked(self) -> float:
        return datetime.fromisoformat(self.as_of).replace(tzinfo=UTC).timestamp() if self.as_of else 0.0

    def period(self, at: float | None = None) -> Period:
        """What holds at a moment (POSIX seconds; ``None``: on the day the table was checked)."""
        if len(self.periods) == 1:
            return self.periods[0]
        moment = self._checked if at is None else at
        return next((period for period in reversed(self.periods) if period.since <= moment), self.periods[0])

    def rates(self, prompt: int = 0, at: float | None = None, variant: str | None = None) -> Rates:
        """The rates of a request with ``prompt`` tokens at a moment; without a moment, those outside any peak hours.

        Raises ``InputError`` where the model has no such variant.
        """
        period = self.period(at)
        rates = period.rates
        if at is not None and period.hours:
            rates = next((hours.rates for hours in period.hours if hours.hold(at)), rates)
        for tier in period.tiers:
            if prompt > tier.above:
                rates = tier.rates
        if variant is None:
            return rates
        return rates.scaled(self._variant(variant), self.period().rates)

    def _variant(self, name: str) -> Rates:
        for known, rates in self.variants:
            if known == name:
                return rates
        raise InputError(f"no {name!r} price is known for {self.model}; known: {', '.join(known for known, _ in self.variants) or 'none'}")

    @property
    def write_ttls(self) -> tuple[int, ...]:
        """The lifetimes in seconds for which the provider sells cache writes, shortest first."""
        rates = self.period().rates
        return tuple(sorted(ttl for name, ttl in TTLS.items() if getattr(rates, name) is not None))

    def days_old(self, today: date) -> int:
        """How many days ago the table was checked."""
        return (today - date.fromisoformat(self.as_of)).days if self.as_of else 0


@dataclass(frozen=True, slots=True)
class Bill:
    """USD for one request or a sum of them, by class of usage; exact."""

    fresh: Decimal = _ZERO
    read: Decimal = _ZERO
    write_5m: Decimal = _ZERO
    write_1h: Decimal = _ZERO
    write_30m: Decimal = _ZERO
    write_12h: Decimal = _ZERO
    output: Decimal = _ZERO

    @property
    def total(self) -> Decimal:
        """The sum of the parts."""
        total = _ZERO
        for part in fields(self):
            total = _EXACT.add(total, getattr(self, part.name))
        return total

    def __add__(self, other: Bill) -> Bill:
        return Bill(*(_EXACT.add(getattr(self, f.name), getattr(other, f.name)) for f in fields(self)))


@lru_cache(maxsize=512)
def _per_token(rates: Rates) -> tuple[Decimal, ...]:
    return tuple(rates.of(f.name).scaleb(-6, _EXACT) for f in fields(Usage))


def cost(usage: Usage, price: Price, at: float | None = None) -> Decimal:
    """The total of ``bill``, without its parts: exact, in USD."""
    each = _per_token(price.rates(usage.prompt, at))
    counts = (usage.fresh, usage.read, usage.write_5m, usage.write_1h, usage.write_30m, usage.write_12h, usage.output)
    total = _ZERO
    for count, rate in zip(counts, each, strict=True):
        if count:
            total = _EXACT.fma(rate, count, total)
    return total


def bill(usage: Usage, price: Price, at: float | None = None, *, variant: str | None = None) -> Bill:
    """What a request costs, in USD.

    ``at`` (POSIX seconds) picks dated and time-of-day prices; without it those of the table's own day, off-peak. A tier goes by the
    whole prompt (``usage.prompt``) and replaces the price of every token. ``variant`` is another way of processing, such as
    ``"batch"``. Rules: ``prices.json``. Raises ``InputError`` for a variant the model does not have.
    """
    each = _per_token(price.rates(usage.prompt, at, variant))
    counts = (usage.fresh, usage.read, usage.write_5m, usage.write_1h, usage.write_30m, usage.write_12h, usage.output)
    return Bill(*(_EXACT.multiply(Decimal(count), rate) if count else _ZERO for count, rate in zip(counts, each, strict=True)))

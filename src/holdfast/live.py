"""Opening a session for a model: thresholds, prices, cache and grammar are looked up by its name."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from holdfast.errors import InputError
from holdfast.families import thinks_manually
from holdfast.options import Options
from holdfast.pricing import Price, Prices
from holdfast.routing import marks_of
from holdfast.schedule import Tariff, schedule_for
from holdfast.session import Session
from holdfast.strategy import Strategy
from holdfast.transcript import Dialect

HALF_HOUR = 1800
"""The shortest lifetime, in seconds, of a cache write at OpenAI (prompt caching guide, 2026-10)."""

SECONDS = {"5m": 300, "1h": 3600}


def session(
    model: str,
    strategy: str | Strategy = "ladder",
    *,
    trigger: float | None = None,
    target: float | None = None,
    ttl: Literal["5m", "1h"] = "5m",
    dialect: Dialect | None = None,
) -> Session:
    """A session that shortens conversations with ``model`` by ``strategy``, a registered name or an object.

    ``trigger`` and ``target`` are tokens of the whole prompt, or shares of the model's window below 1. ``ttl`` is the cache lifetime that
    marks ask for (Anthropic). ``dialect`` is the form of the bodies, by default that of the model's maker. For anything else give
    ``Session`` its ``Options``, which ``options_for`` makes. Raises ``UnknownModel``, ``UnknownStrategy``, ``InputError``.
    """
    from holdfast.strategies import named  # the built-ins and their digest, which `import holdfast` does not pay for

    price = Prices.load().find(model)
    chosen = named(strategy) if isinstance(strategy, str) else strategy
    options = replace(options_for(price, ttl), schedule=schedule_for(price.context_window or 200_000, trigger, target))
    if dialect is None:
        dialect = "anthropic" if price.provider == "anthropic" else "openai-chat"
    return Session(chosen, options, dialect)


def options_for(price: Price, ttl: Literal["5m", "1h"] = "5m") -> Options:
    """What a session must know of a model. Raises ``InputError`` for a lifetime that does not exist."""
    if ttl not in SECONDS:
        raise InputError(f"a cache lifetime is 5m or 1h, not {ttl!r}")
    rates = price.rates()
    breakpoints = marks_of(price.provider, price.model) == "breakpoints"
    return Options(
        schedule=schedule_for(price.context_window or 200_000),
        tariff=Tariff(float(rates.fresh), float(rates.of("read")), float(rates.of(f"write_{ttl}"))),
        ttl=HALF_HOUR if breakpoints else SECONDS[ttl],
        marking=price.provider == "anthropic" or breakpoints,
        minimum=price.min_cacheable_tokens or 0 if breakpoints else 0,
        binds_thinking=price.binds_thinking == "prefix",
        manual_thinking=thinks_manually(price.model),
        family=price.family,
        model=price.model,
    )

"""Routes: by whose cache rules a request is judged, and what they allow."""

from __future__ import annotations

import re
from dataclasses import dataclass

from holdfast.errors import UnknownModel
from holdfast.pricing import Price, Prices

_MARKED = frozenset({"anthropic", "bedrock", "vertex", "foundry"})
_OWN_RULES = _MARKED | {"openai", "azure", "deepseek", "google", "xai"}
_ENGINES = frozenset({"vllm", "sglang", "llama.cpp", "llamacpp", "ollama", "omlx", "local", "lmstudio", "mlx"})
_STEPS = {"openai": 128, "azure": 128, "deepseek": 64, "xai": 128}
_LEAST = dict.fromkeys(_MARKED | {"openai", "azure"}, 1024)  # the least that any of their models is documented with, but for the newest
_DEFAULT_TTL = {"openai": 300.0, "azure": 300.0, "xai": 600.0, "deepseek": 3600.0, "google": 3600.0}


@dataclass(frozen=True, slots=True)
class Route:
    """By whose rules a request was cached.

    ``rules`` is a key of ``caches.cache_for`` or ``""`` where nothing is published. ``marked``: entries exist only at marks.
    ``engine``: a server of one's own, where answers are cached too and nothing expires by the clock. ``step`` is the unit in
    which reads are reported, ``minimum`` the shortest prefix that is cached, ``idle`` seconds that a prefix lives unused.
    """

    rules: str
    price: Price | None
    marked: bool
    engine: bool
    step: int
    minimum: int | None
    idle: float

    @property
    def implicit(self) -> bool:
        """Whether prefixes are found without marks."""
        return not self.marked and not self.engine


def route_of(provider: str, model: str, prices: Prices) -> Route:
    """The route of a request to ``model`` through ``provider`` (a name, or ``""``)."""
    price = _price(model, prices)
    name = provider.lower()
    rules = name if name in _OWN_RULES else _by_model(name, model, price)
    engine = any(part in _ENGINES for part in re.split(r"[/ ]", name)) if name else False
    if engine:
        rules = ""
    newest_openai = rules in ("openai", "azure") and _version(model) >= (5, 6)
    step = (
        1
        if rules in _MARKED or newest_openai
        else 2048
        if rules in ("openai", "azure") and _version(model) == (5, 5)
        else _STEPS.get(rules, 1)
    )
    minimum = (price.min_cacheable_tokens if price else None) or _LEAST.get(rules)
    return Route(rules, price, rules in _MARKED or newest_openai, engine, step, minimum, _DEFAULT_TTL.get(rules, float("inf")))


def _price(model: str, prices: Prices) -> Price | None:
    try:
        return prices.find(model)
    except UnknownModel:
        return None


def _by_model(name: str, model: str, price: Price | None) -> str:
    for part in re.split(r"[/ ]", name):
        if part in _OWN_RULES:
            return part
    if price is not None and price.provider in _OWN_RULES:
        return price.provider
    lowered = model.lower()
    return next((rules for word, rules in _WORDS if word in lowered), "")


_WORDS = (("claude", "anthropic"), ("gpt-", "openai"), ("deepseek", "deepseek"), ("gemini", "google"), ("grok", "xai"))


def _version(model: str) -> tuple[int, int]:
    found = re.search(r"gpt-(\d+)(?:\.(\d+))?", model)
    return (int(found[1]), int(found[2] or 0)) if found else (0, 0)

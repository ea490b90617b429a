"""A request body laid out for lint: its blocks, each with its weight and mark, and what the checks ask of the whole."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from typing import Literal, TypeAlias

from holdfast.blocks import Role
from holdfast.doctor.lint_forms import READERS, Form, Item, form_of
from holdfast.errors import UnknownModel
from holdfast.families import family
from holdfast.frozen import Json
from holdfast.pricing import Prices
from holdfast.pricing.price import Price
from holdfast.scale import Scale, scale

Rules: TypeAlias = Literal["marks", "openai-marks", "automatic"]

_ELSEWHERE = ("previous_response_id", "conversation", "prompt", "cachedContent", "container")
_GPT = re.compile(r"\bgpt-(\d+)(?:\.(\d+))?")


@dataclass(frozen=True)
class Sheet:
    """A body and what the checks ask of it.

    ``newest`` is the index of the first item of the newest turn, ``price`` is ``None`` for an unknown model.
    """

    body: Mapping[str, Json]
    form: Form
    provider: str
    items: tuple[Item, ...]
    newest: int
    price: Price | None

    @cached_property
    def totals(self) -> tuple[int, ...]:
        """The estimated tokens up to and with each item."""
        return tuple(accumulate(item.block.tokens for item in self.items))

    @property
    def tokens(self) -> int:
        """The estimated tokens of the whole prompt."""
        return self.totals[-1] if self.totals else 0

    @property
    def head(self) -> int:
        """How many items the tools and the system prompt are."""
        return sum(item.in_head for item in self.items)

    def upto(self, count: int) -> int:
        """The estimated tokens of the first ``count`` items."""
        return self.totals[count - 1] if count else 0

    @property
    def reusable(self) -> int:
        """The estimated tokens before the newest turn: what another request could read."""
        return self.upto(self.newest)

    @property
    def model(self) -> str:
        """The model as the body names it, ``""`` where it does not."""
        name = self.body.get("model") or self.body.get("modelId")
        return name if isinstance(name, str) else ""

    @cached_property
    def marked(self) -> tuple[int, ...]:
        """The indices of the items with a mark."""
        return tuple(index for index, item in enumerate(self.items) if item.mark is not None)

    @property
    def automatic(self) -> Json:
        """Anthropic's one mark for the whole request, set at the top level; ``None`` without it."""
        return self.body.get("cache_control")

    @property
    def whole(self) -> bool:
        """Whether the body holds all of the prompt.

        It does not where it goes on from a stored response or template, or uses tools of the provider's own, whose instructions and
        results are added there (web search: 9,299 tokens billed for a body of 40; recorded OpenAI responses of 2026-08).
        """
        tools = (item.raw.get("type", "function") for item in self.items if item.block.role is Role.TOOLS and isinstance(item.raw, dict))
        return not any(self.body.get(key) for key in _ELSEWHERE) and all(kind in ("function", "custom") for kind in tools)

    @cached_property
    def rules(self) -> Rules:
        """How the provider caches: at marks (Claude), at marks and message ends (OpenAI from GPT-5.6 on), or by itself."""
        name, maker = self.model.lower(), self.price.provider if self.price else ""
        if maker == "anthropic" or "claude" in name:
            return "marks"
        if (self.price and 1800 in self.price.write_ttls) or (not self.price and _has_marks(name)):
            return "openai-marks"
        if maker or self.provider not in ("", "anthropic", "bedrock", "vertex", "foundry") or self.form.startswith("openai"):
            return "automatic"
        return "marks" if not name or any(item.mark is not None for item in self.items) else "automatic"


def _has_marks(model: str) -> bool:
    """Whether a model that is not listed is one of OpenAI's with cache marks: GPT-5.6 and later."""
    version = _GPT.search(model)
    return version is not None and (int(version[1]), int(version[2] or 0)) >= (5, 6)


def sheet_of(body: Json, prices: Prices, provider: str = "") -> Sheet:
    """A body laid out. Raises ``NotABody`` where it is none."""
    form = form_of(body, provider.lower())
    model = body.get("model") or body.get("modelId")
    price = _price(prices, model)
    weigh = _scale(price, model, form).weigh
    items = [replace(item, block=item.block.weighed(weigh(item.block))) for item in READERS[form](body)]
    return Sheet(body, form, provider.lower(), tuple(items), _newest(items), price)


def _scale(price: Price | None, model: Json, form: Form) -> Scale:
    """The scale of the model's tokenizer; where none is named, of the API's own."""
    if price:
        return scale(price.family)
    return scale(family(model if isinstance(model, str) else "claude" if form == "anthropic" else "").name)


def _price(prices: Prices, model: Json) -> Price | None:
    try:
        return prices.find(model) if isinstance(model, str) else None
    except UnknownModel:
        return None


def _newest(items: Sequence[Item]) -> int:
    """Behind the assistant's last block; in a first request, the last message."""
    for index in range(len(items) - 1, -1, -1):
        if items[index].block.role is Role.ASSISTANT:
            return index + 1
    last = items[-1].message if items else -1
    return next((index for index, item in enumerate(items) if item.message == last and not item.in_head), len(items))

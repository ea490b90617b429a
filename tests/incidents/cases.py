"""An incident as it stands in the file, and what the tests ask of it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from holdfast.errors import UnknownModel
from holdfast.pricing import Price, Prices

PROVIDERS = ("anthropic", "openai", "deepseek", "google", "xai", "moonshot", "vllm", "sglang")
"""Names under which a case's ``provider`` is searched for what it says, in this order: ``bedrock/anthropic`` speaks Anthropic's API."""

MODELS = {
    "anthropic": "claude-opus-4-8",
    "openai": "gpt-5.1",
    "deepseek": "deepseek-chat",
    "google": "gemini-2.5-flash",
    "xai": "grok-4.3",
    "moonshot": "moonshotai/kimi-k3",
}
"""The model of a case that names none with a known price."""


@dataclass(frozen=True)
class Fall:
    """A prompt of ``whole`` tokens was warm, the next request, ``after`` tokens long, read ``read``. ``stated``: the case says how much."""

    whole: int
    read: int
    stated: bool
    after: int = 0


def _price(model: str) -> Price | None:
    try:
        return Prices.load().find(model)
    except UnknownModel:
        return None


def size_of(row: Mapping[str, Any]) -> int:
    """The prompt of a row: as stated, else the sum of its parts."""
    parts = sum(row.get(name, 0) for name in ("cached", "written", "uncached", "miss"))
    return int(row.get("prompt_tokens") or parts)


@dataclass(frozen=True)
class Case:
    """One incident. ``rows`` are its requests, what they do not state left out; ``published`` is what else was measured.

    ``raw_rows`` are the requests as they stand in the file.
    """

    id: str
    provider: str
    named_model: str
    cause: str
    code: str
    mode: str
    rows: tuple[Mapping[str, Any], ...]
    published: Mapping[str, Any]
    checks: tuple[str, ...]
    how: str
    replay: Mapping[str, Any] | None
    raw_rows: tuple[Mapping[str, Any], ...] = ()

    @property
    def api(self) -> str:
        """The provider whose rules hold; ``""`` for a server of one's own that none of the names fits."""
        return next((name for name in PROVIDERS if name in self.provider), "")

    @property
    def model(self) -> str:
        """The model as the price table knows it, else one of the provider."""
        claudes = re.findall(r"\b(opus|sonnet|haiku|fable|mythos)[ -](\d+(?:[.-]\d+)?)", self.named_model.lower())
        words = [*re.findall(r"[\w./-]+", self.named_model), *(f"claude-{name}-{number.replace('.', '-')}" for name, number in claudes)]
        return next((price.model for price in map(_price, words) if price), MODELS.get(self.api, "local-model"))

    @property
    def price(self) -> Price | None:
        """What that model costs, if that is known."""
        return _price(self.model)

    def numbers(self, name: str) -> list[int]:
        """What the rows state under a name, rows without it left out."""
        return [row[name] for row in self.rows if row.get(name) is not None]

    def first(self, name: str, default: int) -> int:
        """The first number stated under a name."""
        found = self.numbers(name)
        return found[0] if found else default

    def fall(self, whole: int, read: int) -> Fall:
        """From what a request fell and to what it read, as far as the rows state it; ``whole`` and ``read`` where they do not."""
        rows = [(size_of(row), row["cached"]) for row in self.rows if "cached" in row]
        if not rows:
            return Fall(whole, read, False)
        at = min(range(len(rows)), key=lambda place: (rows[place][1], -place))
        least = rows[at][1]
        healthy = [max(size, cached + 200) for size, cached in rows[:at] if cached > least]
        before = max(healthy) if healthy else rows[at][0] - 400
        return Fall(max(before, least + 3_000) if before > least + 1_000 else max(whole, 2 * least), least, True, rows[at][0])

    def stated(self, pattern: str) -> int | None:
        """The first number that ``how`` states in these words (a regular expression with one group)."""
        found = re.search(pattern, self.how)
        return int(found[1].replace(",", "")) if found else None


def case_of(raw: Mapping[str, Any]) -> Case:
    """A case from its JSON."""
    return Case(
        id=raw["id"],
        provider=raw["provider"].lower(),
        named_model=raw.get("model") or "",
        cause=raw["cause"],
        code=raw.get("diagnosis_code") or raw["cause"],
        mode=raw.get("offline_mode") or "none",
        rows=tuple({key: value for key, value in row.items() if value is not None} for row in raw.get("requests") or ()),
        published=raw.get("published") or {},
        checks=tuple(raw.get("checks") or ()),
        how=raw.get("how") or "",
        replay=raw.get("replay"),
        raw_rows=tuple(raw.get("requests") or ()),
    )


def read_cases(path: Path) -> list[Case]:
    """All cases of a file; none where there is no file."""
    return [case_of(raw) for raw in json.loads(path.read_text("utf-8"))] if path.is_file() else []

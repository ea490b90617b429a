"""Usage that cannot be: what in a provider's own counts contradicts itself, or is not there.

Such a usage is the bill of nothing: ``holdfast.usage`` makes counts of it that add up, but a turn that has it is left without usage, and
the user is told. A count that is missing is not zero: without it nobody knows what was read from the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from holdfast.frozen import Json
from holdfast.usage import Usage, from_anthropic, from_deepseek, from_openai

MOST = 1_000_000_000
"""No request has this many tokens: the largest windows hold some millions (2026-11)."""

_ANTHROPIC = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens")
_DEEPSEEK = ("prompt_tokens", "prompt_cache_hit_tokens", "prompt_cache_miss_tokens", "completion_tokens")
_PI = ("input", "cacheRead", "cacheWrite", "output")
_SPLIT = ("ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens")
_WRITTEN = ("cache_creation_input_tokens",)
_MARKED = ("cache_write_tokens",)
_LIFETIMES = ("ttl_30m_tokens", "ttl_12h_tokens")
_CACHED = ("cached_tokens", "cached_input_tokens", "cache_read_input_tokens")
"""Where the cached part of an inclusive count stands: among the details, at Codex, at a gateway before Claude."""


def faults(raw: Json, dialect: str = "") -> tuple[str, ...]:
    """What is wrong with a usage as the provider wrote it, each kind once, in words for the user; nothing where it can be.

    Looked for: counts that are missing, negative, no whole numbers or too large for any model; more read and written than the prompt
    has, where the prompt contains them; writes by lifetime or hits and misses that do not add up. ``dialect`` is that of the
    request, where known: whose names are to be there. Never raises.
    """
    if not isinstance(raw, Mapping):
        return ("it is no object",)
    if "prompt_cache_hit_tokens" in raw or "prompt_cache_miss_tokens" in raw:
        found = _deepseek(raw)
    elif "cacheRead" in raw or "cacheWrite" in raw:
        found = _counts(raw, _PI)
    elif is_additive(raw, dialect):
        found = _anthropic(raw)
    else:
        found = _inclusive(raw)
    return tuple(dict.fromkeys(found)) if found else ()


def is_additive(raw: Mapping[str, Any], dialect: str = "") -> bool:
    """Whether a usage counts as Anthropic does, with what was cached beside ``input_tokens`` and not in it.

    A gateway answers a body of one dialect with the usage of another, so names that only one has decide, and then the dialect.
    """
    if "prompt_tokens" in raw or "input_tokens_details" in raw or "cached_input_tokens" in raw:
        return False
    return dialect == "anthropic" or "cache_read_input_tokens" in raw or "cache_creation_input_tokens" in raw or "cache_creation" in raw


def usage_of(raw: Json, dialect: str = "") -> Usage | None:
    """A provider's usage, by the names it uses; ``None`` where it counts nothing. What cannot be is not looked for."""
    if not isinstance(raw, Mapping):
        return None
    if "prompt_cache_hit_tokens" in raw:
        usage = from_deepseek(raw)
    else:
        usage = from_anthropic(raw) if is_additive(raw, dialect) else from_openai(raw)
    return usage if usage.prompt or usage.output else None


def _wrong(value: Any) -> str:
    """What is wrong with a count, ``""`` if nothing is."""
    if type(value) is int:
        return "" if 0 <= value <= MOST else "is negative" if value < 0 else "is more than any model takes"
    if value is None:
        return "is missing"
    if isinstance(value, float) and value.is_integer():
        return _wrong(int(value))
    return "is no whole number"


def _counts(raw: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    return [f"{name} {wrong}" for name in names if (wrong := _wrong(raw.get(name)))]


def _given(raw: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """As ``_counts``, for those that need not be there."""
    return [f"{name} {wrong}" for name in names if (value := raw.get(name)) is not None and (wrong := _wrong(value))]


def _sum(raw: Mapping[str, Any], names: Sequence[str]) -> int:
    """The sum of the counts that can be."""
    return sum([int(raw[name]) for name in names if not _wrong(raw.get(name))])


def _anthropic(raw: Mapping[str, Any]) -> list[str]:
    iterations = raw.get("iterations")
    if isinstance(iterations, list) and len(iterations) > 1:
        steps = [step for step in iterations if isinstance(step, Mapping) and "input_tokens" in step]
        if len(steps) > 1:
            return [wrong for step in steps for wrong in _anthropic_step(step)]
    return _anthropic_step(raw)


def _anthropic_step(raw: Mapping[str, Any]) -> list[str]:
    found = _counts(raw, _ANTHROPIC)
    split = raw.get("cache_creation")
    if not isinstance(split, Mapping):
        return found if split is None else [*found, "cache_creation is no object"]
    found += _given(split, _SPLIT)
    if not split.keys().isdisjoint(_SPLIT) and _sum(split, _SPLIT) != _sum(raw, _WRITTEN):
        found.append("the writes by lifetime do not add up to cache_creation_input_tokens")
    return found


def _deepseek(raw: Mapping[str, Any]) -> list[str]:
    found = _counts(raw, _DEEPSEEK)
    if _sum(raw, _DEEPSEEK[1:3]) != _sum(raw, _DEEPSEEK[:1]):
        found.append("hits and misses do not add up to prompt_tokens")
    return found


def _inclusive(raw: Mapping[str, Any]) -> list[str]:
    chat = "prompt_tokens" in raw
    prompt = ("prompt_tokens" if chat else "input_tokens",)
    found = _counts(raw, (*prompt, "completion_tokens" if chat else "output_tokens"))
    given = raw.get("input_tokens_details") or raw.get("prompt_tokens_details")
    details = given if isinstance(given, Mapping) else {}
    places = ((details, _CACHED[:1]), (raw, _CACHED[1:2]), (raw, _CACHED[2:]))
    source, cached = next(((place, name) for place, name in places if place.get(name[0]) is not None), places[0])
    found += [*_counts(source, cached), *_given(details, _MARKED), *_given(raw, _WRITTEN)]
    whole, read, written = _sum(raw, prompt), _sum(source, cached), _sum(details, _MARKED) + _sum(raw, _WRITTEN)
    if read > whole:
        found.append("more is read from the cache than the prompt has")
    elif read + written > whole:
        found.append("more is read and written than the prompt has")
    by_ttl = details.get("cache_write_tokens_details")
    if isinstance(by_ttl, Mapping):
        found += _given(by_ttl, _LIFETIMES)
        if _sum(by_ttl, _LIFETIMES) != _sum(details, _MARKED):
            found.append("the writes by lifetime do not add up to cache_write_tokens")
    return found


@dataclass(slots=True)
class Faults:
    """The usages of one file that cannot be: how many of each kind, and where the first stood."""

    found: dict[str, tuple[int, str]] = field(default_factory=dict)

    def add(self, kind: str, place: str) -> None:
        """One more of this kind."""
        count, first = self.found.get(kind, (0, place))
        self.found[kind] = (count + 1, first)

    def billed(self, raw: Json, place: str, dialect: str = "", read: Callable[[Json, str], Usage | None] = usage_of) -> Usage | None:
        """The usage as ``read`` makes it; ``None`` where there is none, where it counts nothing, and where it cannot be, which is noted."""
        if raw is None:
            return None
        wrong = faults(raw, dialect)
        for kind in wrong:
            self.add(kind, place)
        return None if wrong else read(raw, dialect)

    def notes(self) -> Iterator[str]:
        """One sentence for each kind."""
        for kind, (count, first) in self.found.items():
            where = f" (first at {first})" if first else ""
            yield f"Usage not taken for a bill: {kind}, on {count} {'call' if count == 1 else 'calls'}{where}."

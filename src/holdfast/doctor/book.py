"""The book of a session: every request so far, and what a cache that works by its provider's rules would have read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

from holdfast.blocks import Settings
from holdfast.caches import AnthropicCache, AnthropicRules, CacheRequest, OpenAIMarkRules, OpenAIMarksCache
from holdfast.caches.anthropic import bedrock, tier_keys
from holdfast.caches.openai import DAY, prefix_key
from holdfast.doctor.case import HOUR, Kin
from holdfast.doctor.record import Record, Sizes
from holdfast.wire import breakpoints

Relaxed: TypeAlias = Literal["", "minimum", "look_back"]
Machine: TypeAlias = AnthropicCache | OpenAIMarksCache
_FAR = 1_000_000
_STEP = 10.0  # seconds between two requests without times: within every lifetime


@dataclass(slots=True)
class Played:
    """A cache machine and how many of the book's requests it has seen."""

    machine: Machine
    fed: int = 0


@dataclass(slots=True)
class Book:
    """Requests with a prompt and a bill, in the order of their start, and the caches that they would have made."""

    sizes: Sizes = field(default_factory=Sizes)
    records: list[Record] = field(default_factory=list)
    _played: dict[tuple[str, int | None, bool, Relaxed], Played] = field(default_factory=dict)
    _hours: set[str] = field(default_factory=set)

    def add(self, record: Record) -> None:
        """One more request; what its bill says of sizes and lifetimes is learnt."""
        self.records.append(record)
        self.sizes.learn(record)
        if record.usage.write_1h:
            self._hours.add(record.model)

    def lifetime(self, record: Record, blocks: int) -> float:
        """Seconds that the prefix of so many blocks lives after a request that sent it.

        By its marks where they are known; else an hour where writes for an hour were billed for the model, and five minutes otherwise.
        """
        route, body = record.route, record.obs.body
        if route.engine:
            return float("inf")
        if not route.marked:
            return DAY if body.get("prompt_cache_retention") == "24h" else route.idle
        if route.rules in ("openai", "azure"):
            return max([mark.ttl for mark in record.prompt.marks if mark.position >= blocks - 1], default=breakpoints.inherited(body))
        if record.obs.marks_known:
            covering = [mark.ttl for mark in record.prompt.marks if mark.position >= blocks - 1]
            return max(covering or [mark.ttl for mark in record.prompt.marks] or [300])
        return HOUR if record.model in self._hours else 300.0

    def reach(self, now: Record, relaxed: Relaxed = "") -> int:
        """How many leading blocks a request would read by the rules of its provider, from what was sent before it."""
        played = self._machine(now, relaxed)
        place = next((index for index in range(len(self.records) - 1, -1, -1) if self.records[index] is now), len(self.records))
        for index in range(played.fed, place):
            before = self.records[index]
            if _rules_of(before) == _rules_of(now):
                played.machine.send(_request(before, self._clock(index)))
        played.fed = max(played.fed, place)
        return played.machine.reach(_request(now, self._clock(place)))

    def _clock(self, index: int) -> float:
        if index < len(self.records) and (at := self.records[index].clock) is not None:
            return at
        return index * _STEP

    def _machine(self, now: Record, relaxed: Relaxed) -> Played:
        key = (*_rules_of(now), relaxed)
        if key not in self._played:
            self._played[key] = Played(_make(*key))
        return self._played[key]


def _rules_of(record: Record) -> tuple[str, int | None, bool]:
    options = record.obs.body.get("prompt_cache_options")
    explicit = isinstance(options, Mapping) and options.get("mode") == "explicit"
    return (record.route.rules, record.route.minimum, not explicit)


def _make(rules: str, minimum: int | None, implicit: bool, relaxed: Relaxed) -> Machine:
    least = 1024 if minimum is None else minimum
    least = 0 if relaxed == "minimum" else least
    if rules in ("openai", "azure"):
        return OpenAIMarksCache(OpenAIMarkRules(minimum=least, implicit=implicit, earlier_ends=_FAR if relaxed == "look_back" else 20))
    made = AnthropicRules(minimum=least, look_back=_FAR if relaxed == "look_back" else 20)
    return AnthropicCache(made if rules == "anthropic" else bedrock(made))


def _request(record: Record, at: float) -> CacheRequest:
    return CacheRequest(record.weighed_chain(), record.prompt.settings, record.prompt.marks, at, at, record.obs.scope)


def tier_reach(now: Record, before: Record) -> int:
    """Up to which block the settings of two requests let one read what the other wrote."""
    one, other = _neutral(now.prompt.settings), _neutral(before.prompt.settings)
    if now.route.engine:
        return now.chain.length
    if now.route.marked and now.route.rules not in ("openai", "azure"):
        rules = AnthropicRules()
        same = [mine == theirs for mine, theirs in zip(tier_keys(one, "", rules), tier_keys(other, "", rules), strict=True)]
        return now.chain.length if all(same) else now.chain.head if same[0] and same[1] else now.chain.tools if same[0] else 0
    return now.chain.length if prefix_key(one, "") == prefix_key(other, "") else 0


def _neutral(settings: Settings) -> Settings:
    return replace(settings, model="")


def limited(now: Record, kin: Kin) -> Kin:
    """A kin with what the settings of both let be read of it."""
    reach = tier_reach(now, kin.record)
    if reach >= kin.shared and kin.kept <= now.size(reach):
        return kin
    return replace(kin, shared=min(kin.shared, reach), kept=min(kin.kept, now.size(reach)))


def changed_settings(now: Record, before: Record) -> dict[str, tuple[Any, Any]]:
    """The settings that differ, by name, with both values; defaults that are written out equal those left out."""
    one, other = before.prompt.settings, now.prompt.settings
    found: dict[str, tuple[Any, Any]] = {}
    for name in ("thinking", "effort", "speed", "tool_choice"):
        if getattr(one, name) != getattr(other, name):
            found[name] = (getattr(one, name), getattr(other, name))
    mine, theirs = dict(one.other), dict(other.other)
    for name in sorted(mine.keys() | theirs.keys()):
        if mine.get(name) != theirs.get(name):
            found[name] = (mine.get(name), theirs.get(name))
    return found

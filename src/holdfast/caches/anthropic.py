"""Anthropic's prompt cache: entries only at marks, found by looking back from marks.

Sources: platform.claude.com, *Prompt caching* (2026-08-21, and fragments to 2026-11); the order and sizes of single
bills from public issue threads (tests/incidents). What no source settles is a field of ``AnthropicRules``.
It is an ideal cache: entries are never lost before their time, unless ``miss_rate`` says so.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from holdfast.blocks import Kind, Mark, Settings
from holdfast.caches.entries import Entries, Entry, Line
from holdfast.caches.machine import CacheRequest
from holdfast.prefix import Chain
from holdfast.usage import Usage

HOUR = 3600
_RUNS = frozenset({Kind.TOOL_USE, Kind.TOOL_RESULT})
# "Writing a parameter's default explicitly equals leaving it out" (*Prompt caching*, 2026-08-21).
_DEFAULTS = {"tool_choice": '{"type":"auto"}', "effort": '"high"', "speed": '"standard"'}

Tier: TypeAlias = Literal["messages", "all"]
Key: TypeAlias = tuple[Hashable, ...]
Keys: TypeAlias = tuple[Key, Key, Key]


@dataclass(frozen=True, slots=True)
class AnthropicRules:
    """The parameters of the cache. Times are seconds.

    ``minimum`` tokens of a prefix that can be cached: 512 to 4,096 by model (*Prompt caching*, 2026-08-21).
    ``look_back`` positions searched from a mark, itself the first (same page).
    ``tool_runs_count_once``: a run of ``tool_use``, or of ``tool_result``, is one position (first-party API, page of
    2026-09-23 in secondary quotes; for Bedrock, Vertex and Foundry unverified, there each block counts).
    ``thinking_tier``, ``effort_tier``: whether a change of thinking or effort loses the messages only, or, on models that render it
    first, everything. Which models do is not published.
    ``visibility_delay``: from the start of a request to the start of its response, where that is not recorded: what it
    wrote can be read only from then on.
    ``grace`` is added to every lifetime; the documented ones are minima.
    ``refresh_ancestors``: reading an entry also renews the entries of shorter prefixes that it grew from. Not documented; a read
    needs the whole prefix held, so that is assumed. Without it, only what was read and this request's marks are renewed.
    ``upgrade_on_read``: a 1h mark on an entry written for 5m makes it live 1h. It would follow from the billing
    rules, at no charge, and nobody has shown it.
    ``miss_rate``: the share of reads that find nothing, chosen by a hash of prefix and time, so that a run repeats.
    """

    minimum: int = 1024
    look_back: int = 20
    tool_runs_count_once: bool = True
    thinking_tier: Tier = "messages"
    effort_tier: Tier = "messages"
    visibility_delay: float = 1.0
    grace: float = 0.0
    refresh_ancestors: bool = True
    upgrade_on_read: bool = False
    miss_rate: float = 0.0


class AnthropicCache:
    """One organisation's (or workspace's) cache on the Claude API.

    - An entry is the cumulative prefix at a mark, and exists only where a request had a mark.
    - A mark looks back ``look_back`` positions, itself the first; where it finds nothing, the next mark further up looks.
    - Below the minimum, counted over the whole prefix, nothing is cached and nothing said.
    - Lifetimes count from the *start* of the request that wrote or read, and a read renews them (documentation fragments of 2026-09).
    - An entry can be read only after the response of the request that wrote it has begun.
    - Settings lose only the tier behind them: see ``tier_keys``.
    - A mark at or before the place that was read writes nothing and costs nothing.
    """

    def __init__(self, rules: AnthropicRules | None = None) -> None:
        self.rules = rules or AnthropicRules()
        self._entries = Entries(self.rules.refresh_ancestors)
        self._keys: dict[tuple[str, Settings], Keys] = {}

    @property
    def entries(self) -> int:
        """How many entries are held, dead ones that were not yet dropped among them."""
        return len(self._entries)

    def send(self, request: CacheRequest) -> Usage:
        """The input side of the usage this request is billed; entries are written and renewed. Requests come in order of time."""
        marks = self._marks(request)
        keys = self._tiers(request.settings, request.scope)
        hit = self._hit(request, marks, keys)
        self._renew(request, marks, keys, hit)
        if request.writes:
            self._write(request, marks, keys, hit)
        self._entries.sweep(request.at)
        return bill(request, marks, hit)

    def peek(self, request: CacheRequest) -> Usage:
        """What ``send`` would give, without changing anything."""
        marks = self._marks(request)
        return bill(request, marks, self._hit(request, marks, self._tiers(request.settings, request.scope)))

    def reach(self, request: CacheRequest) -> int:
        """How many leading blocks ``send`` would read."""
        return self._hit(request, self._marks(request), self._tiers(request.settings, request.scope)) + 1

    def warm(self, chain: Chain, position: int, settings: Settings, until: float | None = None, scope: str = "") -> None:
        """Plant an entry behind block ``position`` that other sessions keep alive until then (POSIX seconds; ``None``: for ever).

        Such are the tools and system prompt of a client that many sessions use. Nothing is billed. After ``until``, an entry
        that was read lives five minutes from the last read.
        """
        key = self._tiers(settings, scope)[_tier(chain, position)]
        entry = Entry(Line(), position, 300 + self.rules.grace, float("-inf"))
        self._entries.plant(key, chain.ids[position], entry, float("inf") if until is None else until)

    def _marks(self, request: CacheRequest) -> list[Mark]:
        """The marks that count, in order: within the prompt, and with enough tokens before them."""
        chain = request.chain
        marks = {
            mark.position: mark
            for mark in sorted(request.marks, key=lambda mark: mark.ttl)
            if 0 <= mark.position < chain.length and chain.totals[mark.position] >= self.rules.minimum
        }
        return [marks[position] for position in sorted(marks)]

    def _tiers(self, settings: Settings, scope: str) -> Keys:
        known = self._keys.get((scope, settings))
        if known is None:
            known = self._keys[scope, settings] = tier_keys(settings, scope, self.rules)
        return known

    def _hit(self, request: CacheRequest, marks: Sequence[Mark], keys: Keys) -> int:
        """The last block of the longest prefix that is read; -1 if none. The first mark that finds one finds the longest."""
        buckets = [self._entries.of(key) for key in keys]
        for mark in reversed(marks):
            place = self._look_back(request, mark.position, buckets)
            if place >= 0:
                return -1 if self._missed(request, place) else place
        return -1

    def _look_back(self, request: CacheRequest, start: int, buckets: Sequence[Mapping[bytes, Entry]]) -> int:
        """The nearest readable entry at or before ``start``, or -1.

        Inside a run that counts once, every block is still compared: an entry written at a mark in the middle of a run is found, and
        costs no more positions than the run does.
        """
        chain, once = request.chain, self.rules.tool_runs_count_once
        left, run = self.rules.look_back, None
        for place in range(start, -1, -1):
            kind = chain.kinds[place]
            if not (once and kind is run and kind in _RUNS):
                if left == 0:
                    break
                left -= 1
            run = kind
            entry = buckets[_tier(chain, place)].get(chain.ids[place])
            if entry is not None and entry.readable(request.at):
                return place
        return -1

    def _missed(self, request: CacheRequest, place: int) -> bool:
        if not self.rules.miss_rate:
            return False
        seed = hashlib.blake2b(request.chain.ids[place] + repr(request.at).encode(), digest_size=8).digest()
        return int.from_bytes(seed, "big") < self.rules.miss_rate * 2**64

    def _found(self, request: CacheRequest, keys: Keys, place: int) -> Entry | None:
        if place < 0:
            return None
        return self._entries.of(keys[_tier(request.chain, place)]).get(request.chain.ids[place])

    def _renew(self, request: CacheRequest, marks: Sequence[Mark], keys: Keys, hit: int) -> None:
        """The entry that was read begins its lifetime again; so do those at this request's marks before it."""
        for place in {hit} | {mark.position for mark in marks if mark.position < hit}:
            entry = self._found(request, keys, place)
            if entry is not None and entry.readable(request.at):
                entry.line.use(entry.place, request.at)
        if self.rules.upgrade_on_read:
            self._upgrade(request, marks, keys, hit)

    def _upgrade(self, request: CacheRequest, marks: Sequence[Mark], keys: Keys, hit: int) -> None:
        ttl = max((mark.ttl for mark in marks if mark.position == hit), default=0) + self.rules.grace
        entry = self._found(request, keys, hit)
        if entry is not None and entry.lifetime < ttl:
            new = Entry(Line(), hit, ttl, entry.visible)
            self._entries.write(keys[_tier(request.chain, hit)], request.chain.ids[hit], new, entry, request.at)

    def _write(self, request: CacheRequest, marks: Sequence[Mark], keys: Keys, hit: int) -> None:
        """One entry per mark behind the place that was read."""
        chain, now = request.chain, request.at
        begun = now + self.rules.visibility_delay if request.responded is None else request.responded
        base = self._found(request, keys, hit)
        for mark in marks:
            if mark.position > hit:
                new = Entry(Line(), mark.position, mark.ttl + self.rules.grace, begun)
                base = self._entries.write(keys[_tier(chain, mark.position)], chain.ids[mark.position], new, base, now)


def _tier(chain: Chain, place: int) -> int:
    """0: the tools, 1: the system texts, 2: the messages."""
    return 2 if place >= chain.head else 1 if place >= chain.tools else 0


def tier_keys(settings: Settings, scope: str, rules: AnthropicRules) -> Keys:
    """What must be equal, beside the blocks, for an entry in the tools, the system texts and the messages to be found.

    After the table "What invalidates the cache" (*Prompt caching*, 2026-08-21): the model counts everywhere, speed and web search
    or citations from the system on, tool choice, thinking, effort and every other setting in the messages. The table also lists "an
    image added or removed anywhere" as losing all messages; a public bill (claude-code issue 91705) reads the
    messages before a removed image, so an image counts only where it stands, as part of the blocks.
    """
    named = {name: None if value == _DEFAULTS.get(name) else value for name, value in _settings(settings)}
    first = [settings.model]
    first += [str(named["thinking"])] if rules.thinking_tier == "all" else []
    first += [str(named["effort"])] if rules.effort_tier == "all" else []
    search = tuple(pair for pair in settings.other if pair[0] == "citations_or_search")
    tools = (scope, *first)
    system = (*tools, named["speed"], search)
    return (("tools", *tools), ("system", *system), ("messages", *system, *named.values(), settings.other))


def _settings(settings: Settings) -> list[tuple[str, str | None]]:
    return [(name, getattr(settings, name)) for name in ("tool_choice", "thinking", "effort", "speed")]


def bill(request: CacheRequest, marks: Sequence[Mark], hit: int) -> Usage:
    """How one request is charged that reads up to block ``hit`` (-1: nothing), with the marks that count, in order.

    With A the tokens at the hit, B at the last 1h mark behind it (else A) and C at the last mark: read A, write B - A for 1h and C - B
    for 5m, and the rest is plain input (*Prompt caching*, "Mixing different TTLs", 2026-08-21).
    """
    chain = request.chain
    read = chain.tokens(hit + 1)
    behind = [mark for mark in marks if mark.position > hit] if request.writes else []
    hours = [mark for mark in behind if mark.ttl >= HOUR]
    hour = chain.tokens(hours[-1].position + 1) if hours else read
    last = chain.tokens(behind[-1].position + 1) if behind else read
    return Usage(fresh=chain.tokens() - last, read=read, write_5m=last - hour, write_1h=hour - read)


def bedrock(rules: AnthropicRules) -> AnthropicRules:
    """The rules where the tool-run rule is unverified: Bedrock, Vertex AI, Foundry. Each block is a position."""
    return replace(rules, tool_runs_count_once=False)

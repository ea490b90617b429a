"""Automatic caches that find the longest known prefix: OpenAI up to GPT-5.5, and others that work alike.

Sources: OpenAI's prompt caching guide (2026-08 to 2026-10). Nothing is marked and writing is free: what was not read is plain
input. These caches promise nothing; real ones lose entries early and route requests apart: without ``miss_rate`` or ``lost`` this is
their ideal.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable
from dataclasses import dataclass

from holdfast.blocks import Role, Settings
from holdfast.caches.entries import Line
from holdfast.caches.machine import CacheRequest
from holdfast.prefix import Chain
from holdfast.usage import Usage

DAY = 86_400.0
_SWEEP = 65_536


@dataclass(frozen=True, slots=True)
class OpenAIRules:
    """The parameters of the cache. Times are seconds.

    ``minimum`` tokens that must match, and ``step``: a hit is rounded down to a multiple of it (128; GPT-5.5: 2,048).
    ``idle``: how long a prefix lives unused. "5 to 10 minutes, at most an hour" in memory, or a day with ``prompt_cache_retention: "24h"``.
    ``visibility_delay``: from the start of a request to that of its response, where that is not recorded; ``write_lag``: how much later
    what it wrote can be read (seconds were seen: iterate/iterate pull 1888, 2026-07).
    ``reads_own_output``: the answer to a request is cached with it, so that the next one reads that too (DeepSeek).
    ``miss_rate``: the share of requests that find nothing, chosen by a hash of prefix and time, so that a run repeats.
    ``lost``: the share of every hit that is billed as fresh all the same. It spreads the misses evenly: for sums of money, not for
    single requests. See ``LOST``.
    """

    minimum: int = 1024
    step: int = 128
    idle: float = 600.0
    visibility_delay: float = 1.0
    write_lag: float = 0.0
    reads_own_output: bool = False
    miss_rate: float = 0.0
    lost: float = 0.0


LOST = {"openai": 0.011, "azure": 0.011, "deepseek": 0.0075, "google": 0.113}
"""What real caches read less than their ideal, as a share: how far the recorded reads lie below those of this machine.

Measured on half of the sessions, by the hash of their names (tokens of prompts; the other half): Codex with gpt-5.4 and 5.5, 2026-04 to
2026-06, 120 M (35 M: 0.006); mini-swe-agent on DeepSeek, 2026-04, 35 M (61 M: 0.007), and on Gemini 3 Pro, most of it through
OpenRouter, 2025-11, 42 M (44 M: 0.110). Of other providers nothing was measured.
"""


class _Span:
    """The blocks ``start`` to ``end`` that one request was the first to send: their line, and from when on they can be read."""

    __slots__ = ("before", "end", "line", "start", "visible")

    def __init__(self, line: Line, start: int, end: int, visible: float) -> None:
        self.line, self.start, self.end, self.visible = line, start, end, visible
        self.before: _Span | None = None

    def seen_by(self, time: float) -> None:
        """This span and those before it can be read then at the latest."""
        span: _Span | None = self
        while span is not None and span.visible > time:
            span.visible, span = time, span.before


class OpenAICache:
    """One organisation's cache in one region: every prompt sent is cached whole, block by block.

    Whole blocks are compared, so a hit that a provider finds inside a changed block is not seen. The work for a request goes with the
    blocks that are new to the cache, beside a binary search over the prompt.
    """

    def __init__(self, rules: OpenAIRules | None = None) -> None:
        self.rules = rules or OpenAIRules()
        self._known: dict[Hashable, dict[bytes, _Span]] = {}
        self._count = 0
        self._sweep_at = _SWEEP

    @property
    def prefixes(self) -> int:
        """How many prefixes are held, dead ones that were not yet dropped among them."""
        return sum(map(len, self._known.values()))

    def send(self, request: CacheRequest) -> Usage:
        """The input side of the usage this request is billed; its whole prompt is cached from now on. Requests come in order of time."""
        usage = self.peek(request)
        known = self._known.setdefault(prefix_key(request.settings, request.scope), {})
        held = self._longest(known, request.chain, request.at, float("inf"))
        if held:
            known[request.chain.ids[held - 1]].line.use(held - 1, request.at)
        if request.writes:
            self._write(known, request, held)
        self._sweep(request.at)
        return usage

    def peek(self, request: CacheRequest) -> Usage:
        """What ``send`` would give, without changing anything."""
        chain, rules = request.chain, self.rules
        reach = self.reach(request)
        tokens = chain.tokens(reach) // rules.step * rules.step
        read = 0 if tokens < rules.minimum or self._misses(request, reach) else round(tokens * (1 - rules.lost))
        return Usage(fresh=chain.tokens() - read, read=read)

    def reach(self, request: CacheRequest) -> int:
        """How many leading blocks ``send`` would find, before rounding."""
        known = self._known.get(prefix_key(request.settings, request.scope), {})
        chain = request.chain
        found = self._longest(known, chain, request.at, request.at)
        if self.rules.reads_own_output and found and known[chain.ids[found - 1]].end == found - 1:
            while found < chain.length and chain.roles[found] is Role.ASSISTANT:
                found += 1
        return found

    def _misses(self, request: CacheRequest, reach: int) -> bool:
        if not self.rules.miss_rate or not reach:
            return False
        seed = hashlib.blake2b(request.chain.ids[reach - 1] + repr(request.at).encode(), digest_size=8).digest()
        return int.from_bytes(seed, "big") < self.rules.miss_rate * 2**64

    def warm(self, chain: Chain, position: int, settings: Settings, until: float | None = None, scope: str = "") -> None:
        """Have the prefix up to block ``position`` kept alive by others until then (POSIX seconds; ``None``: for ever)."""
        known = self._known.setdefault(prefix_key(settings, scope), {})
        line = Line()
        line.begin(position, self.rules.idle, float("inf") if until is None else until - self.rules.idle)
        line.seal()
        span = _Span(line, 0, position, float("-inf"))
        known.update((prefix, span) for prefix in chain.ids[: position + 1])

    def _longest(self, known: dict[bytes, _Span], chain: Chain, now: float, visible_by: float) -> int:
        """The length of the longest live prefix that can be read by then. Every shorter one was used and could be read no later."""
        low, high = 0, chain.length
        while low < high:
            middle = (low + high + 1) // 2
            span = known.get(chain.ids[middle - 1])
            if span is not None and span.visible <= visible_by and now < span.line.last_use(middle - 1, self.rules.idle) + self.rules.idle:
                low = middle
            else:
                high = middle - 1
        return low

    def _write(self, known: dict[bytes, _Span], request: CacheRequest, held: int) -> None:
        chain, now, rules = request.chain, request.at, self.rules
        begun = (now + rules.visibility_delay if request.responded is None else request.responded) + rules.write_lag
        last = known[chain.ids[held - 1]] if held else None
        if last is not None and last.visible > begun:
            last = self._split(known, chain, held, last)
            last.seen_by(begun)
        if held == chain.length:
            return
        line = Line() if last is None else last.line
        span = _Span(line.grow(held - 1, chain.length - 1, rules.idle, now), held, chain.length - 1, begun)
        span.before = last
        known.update((prefix, span) for prefix in chain.ids[held : chain.length])
        self._count += chain.length - held

    def _split(self, known: dict[bytes, _Span], chain: Chain, held: int, span: _Span) -> _Span:
        """The span that ends before block ``held``, cut off ``span`` where that goes further and so cannot be read as early."""
        if span.end < held:
            return span
        first = _Span(span.line, span.start, held - 1, span.visible)
        first.before, span.before, span.start = span.before, first, held
        known.update((prefix, first) for prefix in chain.ids[first.start : held])
        return first

    def _sweep(self, now: float) -> None:
        """Drop dead prefixes whenever their number may have doubled."""
        if self._count < self._sweep_at:
            return
        idle = self.rules.idle
        for key, known in list(self._known.items()):
            self._known[key] = {prefix: span for prefix, span in known.items() if now < span.line.last_use(span.start, idle) + idle}
        self._count = self.prefixes
        self._sweep_at = max(_SWEEP, 2 * self._count)


def prefix_key(settings: Settings, scope: str) -> Hashable:
    """What must be equal, beside the blocks, for any prefix to be found (prompt caching guide, "What breaks the prefix", 2026-10).

    Model, reasoning effort, service tier and, among ``other``, parallel tool calls, text format, verbosity and
    ``prompt_cache_key``. The tool choice does not stand in that list.
    """
    return (scope, settings.model, settings.thinking, settings.effort, settings.speed, settings.other)

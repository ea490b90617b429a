"""What a request to the fake provider is billed: the cache models over the bodies it received, and its own clock."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from threading import Lock
from typing import Literal, TypeAlias

from cachetools import LRUCache

from holdfast.blocks import Block, Kind, Mark, Settings, fingerprint
from holdfast.caches import Cache, cache_for
from holdfast.caches.machine import CacheRequest
from holdfast.errors import UnknownModel
from holdfast.families import family
from holdfast.frozen import Json
from holdfast.heads import given_head
from holdfast.prefix import Chain, chain_head
from holdfast.pricing import Prices
from holdfast.scale import Scale, scale
from holdfast.transcript import Dialect
from holdfast.usage import Usage
from holdfast.wire import Wire, of

Counting: TypeAlias = Literal["full", "sampled"]

WINDOW_TOKENS = 200_000
MINIMUM_TOKENS = 1024
"""Window and shortest cacheable prefix of a model that the price table does not know."""

_MESSAGES = 65_536
_NEVER = float("inf")
_WEIGHING = Lock()
"""The counter behind every scale of the process remembers what it counted, and that memory is not made for threads."""


@dataclass(frozen=True, slots=True)
class Model:
    """What the provider knows of a model. ``name`` is the same for all its aliases; ``binds`` says what its thinking is signed over."""

    name: str
    provider: str
    scale: Scale
    minimum: int = MINIMUM_TOKENS
    window: int = WINDOW_TOKENS
    binds: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """A message, or a head, reduced to what a bill asks about: blocks without their JSON, and ``bonds``, digests of what a model reads.

    A bare string and its one-block form have the same bond, and so have a key that is null and one that is left out.
    """

    blocks: tuple[Block, ...]
    bonds: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Read:
    """A body as the provider sees it: a weighed chain, the cache key's settings and the marks that stand in it."""

    model: Model
    chain: Chain
    settings: Settings
    marks: tuple[Mark, ...]
    head: Part
    messages: tuple[Part, ...]

    @property
    def tokens(self) -> int:
        """The tokens of the whole prompt."""
        return self.chain.tokens()


@dataclass(slots=True)
class Billing:
    """Reads, weighs and bills bodies. One cache machine a model, as in ``holdfast.simulator.replay``; accounts are its scopes.

    ``counter``: blocks are weighed in full, or long ones by samples. ``windows``: tokens by model, over what the price table says.
    ``losses``: caches without marks read what such caches read on average, not their ideal. ``response_delay``: seconds from the start of
    a request to the moment from which what it wrote can be read (``None``: when its response really begins).
    """

    counter: Counting = "full"
    windows: Mapping[str, int] = field(default_factory=dict)
    losses: bool = False
    response_delay: float | None = None
    _models: dict[tuple[str, Dialect], Model] = field(default_factory=dict)
    _caches: dict[str, Cache] = field(default_factory=dict)
    _parts: LRUCache[bytes, Part] = field(default_factory=lambda: LRUCache(_MESSAGES))
    _lock: Lock = field(default_factory=Lock)

    def model(self, name: str, dialect: Dialect) -> Model:
        """What is known of a model, by any of its names."""
        known = self._models.get((name, dialect))
        if known is None:
            known = self._models[name, dialect] = _model(name, dialect, self.windows)
        return known

    def read(self, dialect: Dialect, body: Mapping[str, Json]) -> Read:
        """A body as a weighed chain; messages that were met before are neither read nor weighed again."""
        wire = of(dialect)
        model = self.model(str(body.get("model", "")), dialect)
        head = self._part(model, wire, given_head(body, wire), wire.read_head(body))
        chain = chain_head(head.blocks)
        parts = tuple(self._part(model, wire, raw) for raw in wire.history(body))
        for part in parts:
            chain.extend(part.blocks)
        settings = replace(wire.read_settings(body), model=model.name)
        marks = wire.read_marks(body)
        if dialect == "anthropic":
            marks = (*marks, *_automatic(body.get("cache_control"), chain))
        return Read(model, chain, settings, marks, head, parts)

    def weigh(self, model: Model, blocks: Iterable[Block]) -> int:
        """What blocks weigh for a model, in tokens."""
        weigh = model.scale.weigh if self.counter == "full" else model.scale.estimate
        with _WEIGHING:
            return sum(weigh(block) for block in blocks)

    def send(self, read: Read, at: float, scope: str, begun: float | None) -> Usage:
        """The input side of the bill of a request that starts ``at``, with the entries it writes.

        They can be read from ``begun`` on; where that is ``None`` the response has yet to begin, and ``began`` says when it has.
        """
        responded = _NEVER if begun is None else begun
        return self._cache(read.model).send(self._request(read, at, scope, responded))

    def began(self, read: Read, at: float, scope: str, begun: float) -> None:
        """The response to a request sent ``at`` begins now: what it wrote can be read."""
        if self.response_delay is None:
            self._cache(read.model).send(self._request(read, at, scope, begun))

    def _request(self, read: Read, at: float, scope: str, responded: float) -> CacheRequest:
        if self.response_delay is not None:
            responded = at + self.response_delay
        return CacheRequest(read.chain, read.settings, read.marks, at, responded, scope)

    def _cache(self, model: Model) -> Cache:
        known = self._caches.get(model.name)
        if known is None:
            known = self._caches[model.name] = cache_for(model.provider, model.name, model.minimum, losses=self.losses)
        return known

    def _part(self, model: Model, wire: Wire, raw: Json, blocks: Sequence[Block] | None = None) -> Part:
        text = json.dumps(raw, separators=(",", ":"))
        key = blake2b(text.encode(), digest_size=16, key=f"{wire.dialect}/{model.scale.family.name}".encode()).digest()
        with self._lock:
            known = self._parts.get(key)
        if known is None:
            known = self._weighed(model, wire.read_message(raw).blocks if blocks is None else blocks)
            with self._lock:
                self._parts[key] = known
        return known

    def _weighed(self, model: Model, blocks: Sequence[Block]) -> Part:
        weights = [self.weigh(model, (block,)) for block in blocks]
        lean = tuple(replace(block, wire=None, text="", tokens=tokens) for block, tokens in zip(blocks, weights, strict=True))
        return Part(lean, tuple(_bond(block) for block in blocks))


def _model(name: str, dialect: Dialect, windows: Mapping[str, int]) -> Model:
    try:
        price = Prices.load().find(name)
    except UnknownModel:
        maker = "anthropic" if dialect == "anthropic" else "openai"
        return Model(name, maker, scale(family(name).name), window=windows.get(name, WINDOW_TOKENS))
    window = windows.get(name, windows.get(price.model, price.context_window or WINDOW_TOKENS))
    minimum = price.min_cacheable_tokens or MINIMUM_TOKENS
    return Model(price.model, price.provider, scale(price.family), minimum, window, price.binds_thinking or "")


def _bond(block: Block) -> bytes:
    wire = block.wire
    if isinstance(wire, str):
        return fingerprint(block.kind, block.role, {"type": "text", "text": wire})
    if isinstance(wire, dict) and None in wire.values():
        return fingerprint(block.kind, block.role, {key: value for key, value in wire.items() if value is not None})
    return block.fingerprint


def _automatic(control: Json, chain: Chain) -> Iterable[Mark]:
    """The mark of a top-level ``cache_control``: on the last block that may carry one."""
    if not isinstance(control, dict):
        return
    for place in range(chain.length - 1, -1, -1):
        if chain.kinds[place] is not Kind.THINKING:
            yield Mark(place, 3600 if control.get("ttl") == "1h" else 300)
            return

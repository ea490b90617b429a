"""Providers' prompt caches as pure machines: a prompt and a clock in, usage out. One file each.

``cache_for`` picks the machine for a model. What is documented of each provider, and what is not:

- *anthropic*: marks; on Bedrock, Vertex AI and Foundry a run of tool blocks is not taken for one position (unverified there).
- *openai*: marks from GPT-5.6 on, the longest prefix before that.
- *deepseek*: the longest prefix, in steps of 64 tokens, the answer included. Of V4 "prefix units" are documented, without
  their size; on 25,328 recorded calls every hit was a multiple of 64, and four in five read exactly the last prompt and
  its answer. No lifetime is promised: one hour is assumed.
- *google*: the implicit cache as the longest prefix, unrounded, minimum by model. It guarantees nothing, and real ones lose
  about one hit in seventeen at random, whatever the pause: one hour is assumed.
- *xai*: the longest prefix, in steps of 128 tokens (a third party's measurement), ten minutes assumed; neither minimum nor
  lifetime is published.
- *vllm*, *sglang*: full blocks of 16 tokens, or single tokens, without end and without a lifetime; what was generated included. A real
  engine's memory is bounded: give ``BlockCache`` its capacity.
- any other: nothing published to go by, so no cache.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from holdfast.caches.anthropic import AnthropicCache, AnthropicRules, bedrock
from holdfast.caches.block_pool import Eviction
from holdfast.caches.blocks import BlockCache, BlockRules
from holdfast.caches.machine import Cache, CacheRequest
from holdfast.caches.none import NoCache
from holdfast.caches.openai import DAY, LOST, OpenAICache, OpenAIRules
from holdfast.caches.openai_marks import OpenAIMarkRules, OpenAIMarksCache

__all__ = [
    "AnthropicCache",
    "AnthropicRules",
    "BlockCache",
    "BlockRules",
    "Cache",
    "CacheRequest",
    "Eviction",
    "NoCache",
    "OpenAICache",
    "OpenAIMarkRules",
    "OpenAIMarksCache",
    "OpenAIRules",
    "cache_for",
]


def cache_for(provider: str, model: str, minimum: int | None = None, idle: float | None = None, *, losses: bool = False) -> Cache:
    """An empty cache that works by the rules of ``provider`` for ``model``.

    ``minimum``: tokens of the shortest prefix that can be cached (``None``: the machine's default). ``idle``: seconds that a
    prefix lives unused, for the caches without marks (``None``: the default said above; 86,400 with OpenAI's ``24h`` retention).
    ``losses``: bill what such a cache reads on average (``openai.LOST``) instead of its ideal.
    """
    make = _MACHINES.get(provider.lower())
    cache = make(model, minimum, idle) if make else NoCache()
    if losses and isinstance(cache, OpenAICache):
        cache.rules = replace(cache.rules, lost=LOST.get(provider.lower(), 0.0))
    return cache


def _anthropic(model: str, minimum: int | None, idle: float | None) -> Cache:
    return AnthropicCache(AnthropicRules(minimum=1024 if minimum is None else minimum))


def _hosted_anthropic(model: str, minimum: int | None, idle: float | None) -> Cache:
    return AnthropicCache(bedrock(AnthropicRules(minimum=1024 if minimum is None else minimum)))


def _version(model: str) -> tuple[int, int]:
    found = re.search(r"gpt-(\d+)(?:\.(\d+))?", model)
    return (int(found[1]), int(found[2] or 0)) if found else (0, 0)


def _openai(model: str, minimum: int | None, idle: float | None) -> Cache:
    least = 1024 if minimum is None else minimum
    version = _version(model)
    if version >= (5, 6):
        return OpenAIMarksCache(OpenAIMarkRules(minimum=least))
    if version == (5, 5):
        return OpenAICache(OpenAIRules(minimum=least, step=2048, idle=DAY if idle is None else idle))
    return OpenAICache(OpenAIRules(minimum=least, idle=600.0 if idle is None else idle))


def _deepseek(model: str, minimum: int | None, idle: float | None) -> Cache:
    return OpenAICache(OpenAIRules(minimum=minimum or 64, step=64, idle=3600.0 if idle is None else idle, reads_own_output=True))


def _google(model: str, minimum: int | None, idle: float | None) -> Cache:
    return OpenAICache(OpenAIRules(minimum=4096 if minimum is None else minimum, step=1, idle=3600.0 if idle is None else idle))


def _xai(model: str, minimum: int | None, idle: float | None) -> Cache:
    return OpenAICache(OpenAIRules(minimum=minimum or 128, idle=600.0 if idle is None else idle))


def _vllm(model: str, minimum: int | None, idle: float | None) -> Cache:
    return BlockCache(BlockRules(minimum=minimum or 0))


def _sglang(model: str, minimum: int | None, idle: float | None) -> Cache:
    return BlockCache(BlockRules(block=1, minimum=minimum or 0))


_MACHINES: dict[str, Callable[[str, int | None, float | None], Cache]] = {
    "anthropic": _anthropic,
    "bedrock": _hosted_anthropic,
    "vertex": _hosted_anthropic,
    "foundry": _hosted_anthropic,
    "openai": _openai,
    "azure": _openai,
    "deepseek": _deepseek,
    "google": _google,
    "xai": _xai,
    "vllm": _vllm,
    "sglang": _sglang,
}

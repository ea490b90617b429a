"""Reads the ``replay`` of an incident: requests made of named segments of known size, with marks and times.

A replay has ``steps`` (or ``variants``, each with steps of its own, on an empty cache each). A step has a time ``t``, the
indexes ``bp`` of the marked segments, and either ``segs`` (``[name, tokens]``; the same name is the same content) or
``blocks``: ``n`` blocks of ``total`` tokens in all, of which the first ``keep[0]`` are those that an earlier step with
``keep[1]`` tokens had. ``expect`` is the index of the request that was published for it. ``min``, ``lookback``, ``ttl`` and
``tol`` hold for the whole replay, ``scope`` and ``model`` for a step.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from holdfast.blocks import Kind, Mark, Role, Settings, make_block
from holdfast.caches import AnthropicCache, AnthropicRules, Cache, CacheRequest, OpenAICache, OpenAIRules
from holdfast.caches.blocks import BlockCache, BlockRules
from holdfast.prefix import Chain
from holdfast.usage import Usage


def machine(replay: Mapping[str, Any]) -> Cache:
    """The cache whose rules a replay names."""
    if replay["rules"] == "explicit":
        return AnthropicCache(AnthropicRules(minimum=replay["min"], look_back=replay.get("lookback", 20)))
    if replay["rules"] == "implicit":
        step = replay.get("quantum", replay.get("step", 128))
        return OpenAICache(OpenAIRules(replay.get("min", 1024), step, replay.get("ttl", 600), write_lag=replay.get("delay", 0)))
    if replay["rules"] in ("block", "blocks"):
        return BlockCache(BlockRules(block=replay.get("block", 16), caches_answer=bool(replay.get("outputs"))))
    raise ValueError(f"unknown rules {replay['rules']!r}")


def even(count: int, total: int) -> list[int]:
    """``count`` whole numbers that add up to ``total`` and differ by one at most."""
    return [total * (index + 1) // count - total * index // count for index in range(count)]


def segments(step: Mapping[str, Any]) -> list[tuple[str, int]]:
    """The named segments of a step with their tokens."""
    if "segs" in step:
        return [(name, tokens) for name, tokens in step["segs"]]
    made = step["blocks"]
    kept, tokens = made.get("keep", (0, 0))
    sizes = (even(kept, tokens) if kept else []) + even(made["n"] - kept, made["total"] - tokens)
    return [(f"{made['prefix']}{index}", size) for index, size in enumerate(sizes)]


def run(replay: Mapping[str, Any]) -> Iterator[tuple[int, Usage]]:
    """The usage of each step that has a published request, with that request's index."""
    for variant in replay.get("variants", (replay,)):
        cache = machine(replay)
        for step in variant["steps"]:
            usage = cache.send(_request(replay, step))
            if "expect" in step:
                yield step["expect"], usage


def _request(replay: Mapping[str, Any], step: Mapping[str, Any]) -> CacheRequest:
    chain = Chain()
    for name, tokens in segments(step):
        chain.append(make_block(Kind.TEXT, Role.USER, name, name).weighed(tokens))
    marks = tuple(Mark(place, step.get("ttl", replay["ttl"])) for place in step.get("bp", ()))
    settings = Settings(model=step.get("model", ""))
    return CacheRequest(chain, settings, marks, float(step["t"]), float(step["t"]), step.get("scope", ""))

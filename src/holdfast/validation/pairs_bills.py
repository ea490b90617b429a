"""What a recorded response says was read from a cache and written to it, in every provider's words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from holdfast.exchange import Exchange
from holdfast.usage import Usage, from_anthropic, from_deepseek, from_openai

_SERVER_CALLS = ("web_search_call", "code_interpreter_call", "file_search_call", "mcp_call", "image_generation_call", "computer_call")


@dataclass(frozen=True, slots=True)
class Bill:
    """One request's bill. ``inner`` is how many requests of its own the provider may have made for it and billed in one sum.

    More than one where the answer holds calls of tools that the provider runs itself, or where the usage lists iterations.
    """

    usage: Usage
    inner: int = 1


def _count(raw: Any) -> int:
    return raw if isinstance(raw, int) and not isinstance(raw, bool) else 0


def _mapping(raw: Any) -> Mapping[str, Any]:
    return raw if isinstance(raw, Mapping) else {}


def bill_of(exchange: Exchange) -> Bill | None:
    """The bill of a call that was answered; ``None`` where nothing is said of any cache."""
    response = exchange.response
    usage = None if exchange.failed else _usage(response)
    if usage is None or not usage.prompt:
        return None
    return Bill(usage, max(1 + _server_calls(response), _iterations(response)))


def explicit_size(response: Mapping[str, Any]) -> int:
    """The tokens of a prompt that was put into an explicit cache (Gemini's ``CachedContent``); 0 where the answer does not say."""
    return _count(_mapping(response.get("usageMetadata")).get("totalTokenCount"))


def _usage(response: Mapping[str, Any]) -> Usage | None:
    if isinstance(response.get("usageMetadata"), Mapping):
        return _gemini(response["usageMetadata"])
    raw = _mapping(response.get("usage"))
    if "inputTokens" in raw:
        return _converse(raw)
    if "prompt_cache_hit_tokens" in raw:
        return from_deepseek(raw)
    if "cache_read_input_tokens" in raw and "prompt_tokens" not in raw:
        return from_anthropic(raw)
    if isinstance(raw.get("tokens"), Mapping):
        return _inclusive(_mapping(raw["tokens"]).get("input_tokens"), raw.get("cached_tokens"))
    if "num_cached_tokens" in raw:
        return _inclusive(raw.get("prompt_tokens"), raw["num_cached_tokens"])
    details = _mapping(raw.get("prompt_tokens_details")) or _mapping(raw.get("input_tokens_details"))
    return from_openai(raw) if "cached_tokens" in details else None


def _inclusive(prompt: Any, read: Any) -> Usage:
    cached = min(_count(prompt), _count(read))
    return Usage(fresh=_count(prompt) - cached, read=cached)


def _gemini(raw: Mapping[str, Any]) -> Usage | None:
    """Gemini's inclusive usage, which leaves the cached count out where it is 0 (ai.google.dev, ``UsageMetadata``, 2026-10).

    The output is the answer alone: thoughts, billed beside it, are not sent again.
    """
    if "promptTokenCount" not in raw:
        return None
    usage = _inclusive(raw["promptTokenCount"], raw.get("cachedContentTokenCount"))
    return usage.answered(_count(raw.get("candidatesTokenCount")))


def _converse(raw: Mapping[str, Any]) -> Usage | None:
    """Bedrock Converse's additive usage (docs.aws.amazon.com, ``TokenUsage``, 2026)."""
    if "cacheReadInputTokens" not in raw and "cacheWriteInputTokens" not in raw:
        return None
    details = raw.get("cacheDetails")
    parts = [_mapping(item) for item in details] if isinstance(details, list) else []
    hour = sum(_count(part.get("inputTokens")) for part in parts if part.get("ttl") == "1h")
    written = _count(raw.get("cacheWriteInputTokens"))
    return Usage(
        fresh=_count(raw.get("inputTokens")),
        read=_count(raw.get("cacheReadInputTokens")),
        write_5m=max(0, written - hour),
        write_1h=min(hour, written),
        output=_count(raw.get("outputTokens")),
    )


def _server_calls(response: Mapping[str, Any]) -> int:
    lists = [response[key] for key in ("content", "output") if isinstance(response.get(key), list)]
    kinds = [item.get("type") for found in lists for item in found if isinstance(item, Mapping)]
    return sum(kind in ("server_tool_use", "mcp_tool_use", *_SERVER_CALLS) for kind in kinds)


def _iterations(response: Mapping[str, Any]) -> int:
    steps = _mapping(response.get("usage")).get("iterations")
    return len(steps) if isinstance(steps, list) else 1

"""Usage: the tokens of one request, in classes that are priced apart and never overlap.

Providers report them in two conventions. *Additive* (Anthropic, Bedrock): ``input_tokens`` is
only what was neither read nor written. *Inclusive* (OpenAI, Gemini, xAI): the input count contains
the cached part. Both become the same value here, and ``prompt`` is always the whole context.

No function here raises, and no count comes out negative: what is no count is taken for 0, and of what is more than the
prompt holds only as much is taken as it holds. That such a usage is no truth ``holdfast.readers.faults`` finds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one request. ``fresh`` is input at the full price; the classes add up to the prompt."""

    fresh: int = 0
    read: int = 0
    write_5m: int = 0
    write_1h: int = 0
    write_30m: int = 0
    write_12h: int = 0
    output: int = 0

    @property
    def written(self) -> int:
        """Tokens written to a cache, of whatever lifetime."""
        return self.write_5m + self.write_1h + self.write_30m + self.write_12h

    @property
    def prompt(self) -> int:
        """The whole prompt: fresh, read and written."""
        return self.fresh + self.read + self.written

    def answered(self, output: int) -> Usage:
        """The same input side with ``output`` tokens."""
        return Usage(self.fresh, self.read, self.write_5m, self.write_1h, self.write_30m, self.write_12h, output)

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.fresh + other.fresh,
            self.read + other.read,
            self.write_5m + other.write_5m,
            self.write_1h + other.write_1h,
            self.write_30m + other.write_30m,
            self.write_12h + other.write_12h,
            self.output + other.output,
        )

    def as_dict(self) -> dict[str, int]:
        """The fields by name, as every JSON output prints them."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


def _int(source: Mapping[str, Any], *names: str) -> int:
    """The first of these fields that is a whole number (12.0 is one), not below 0; 0 where none is."""
    for name in names:
        value = source.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return max(0, value)
        if isinstance(value, float) and value.is_integer():
            return max(0, int(value))
    return 0


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def from_anthropic(raw: Mapping[str, Any]) -> Usage:
    """Anthropic's additive usage (platform.claude.com, prompt caching, 2026-08-21).

    Where ``iterations`` are given, their sum is the bill: a compaction's tokens stand only there.
    Written tokens without a breakdown count as 5m, the API's default lifetime.
    """
    iterations = raw.get("iterations")
    steps = [step for step in iterations if isinstance(step, Mapping) and "input_tokens" in step] if isinstance(iterations, list) else []
    if len(steps) > 1 or any(step.get("type") == "compaction" for step in steps):
        return sum((from_anthropic({k: v for k, v in step.items() if k != "iterations"}) for step in steps), Usage())
    split = _mapping(raw.get("cache_creation"))
    hour = _int(split, "ephemeral_1h_input_tokens")
    written = max(_int(raw, "cache_creation_input_tokens"), hour + _int(split, "ephemeral_5m_input_tokens"))
    return Usage(
        fresh=_int(raw, "input_tokens"),
        read=_int(raw, "cache_read_input_tokens"),
        write_5m=written - hour,
        write_1h=hour,
        output=_int(raw, "output_tokens"),
    )


def from_openai(raw: Mapping[str, Any]) -> Usage:
    """OpenAI's inclusive usage, Responses or Chat Completions (OpenAI prompt caching guide, 2026-10).

    A gateway's for a Claude model has the same names, and the cached part under Anthropic's beside them (litellm); its writes are 5m ones.
    """
    prompt = _int(raw, "input_tokens", "prompt_tokens")
    details = _mapping(raw.get("input_tokens_details")) or _mapping(raw.get("prompt_tokens_details"))
    read = min(prompt, _int(details, "cached_tokens") or _int(raw, "cached_input_tokens", "cache_read_input_tokens"))
    written = min(prompt - read, _int(details, "cache_write_tokens"))
    five = min(prompt - read - written, _int(raw, "cache_creation_input_tokens"))
    by_ttl = _mapping(details.get("cache_write_tokens_details"))
    half_day = min(written, _int(by_ttl, "ttl_12h_tokens"))
    return Usage(
        fresh=prompt - read - written - five,
        read=read,
        write_5m=five,
        write_30m=written - half_day,
        write_12h=half_day,
        output=_int(raw, "output_tokens", "completion_tokens"),
    )


def from_bedrock(raw: Mapping[str, Any]) -> Usage:
    """Bedrock Converse's additive usage (botocore 1.44.5, ``TokenUsage``). Written tokens without ``cacheDetails`` count as 5m ones."""
    details = raw.get("cacheDetails")
    split = [detail for detail in details if isinstance(detail, Mapping)] if isinstance(details, list) else []
    hour = sum(_int(detail, "inputTokens") for detail in split if detail.get("ttl") == "1h")
    written = max(_int(raw, "cacheWriteInputTokens"), sum(_int(detail, "inputTokens") for detail in split))
    return Usage(
        fresh=_int(raw, "inputTokens"),
        read=_int(raw, "cacheReadInputTokens"),
        write_5m=written - hour,
        write_1h=hour,
        output=_int(raw, "outputTokens"),
    )


def from_deepseek(raw: Mapping[str, Any]) -> Usage:
    """DeepSeek's usage: hit and miss add up to the prompt; writing is free (api-docs.deepseek.com, 2026-10)."""
    hit = _int(raw, "prompt_cache_hit_tokens")
    prompt = _int(raw, "prompt_tokens")
    miss = _int(raw, "prompt_cache_miss_tokens")
    return Usage(
        fresh=miss if isinstance(raw.get("prompt_cache_miss_tokens"), int | float) else max(0, prompt - hit),
        read=hit,
        output=_int(raw, "completion_tokens"),
    )

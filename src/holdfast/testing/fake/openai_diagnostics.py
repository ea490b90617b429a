"""``prompt_cache_diagnostics`` of the Responses API: what changed since the response that a request names (openai 3.54.0 types)."""

from __future__ import annotations

from collections.abc import Mapping

from holdfast.frozen import Json
from holdfast.testing.fake.openai_items import items_of, kind
from holdfast.testing.fake.openai_memory import Kept
from holdfast.usage import Usage

_REASONS: Mapping[str, tuple[str, str]] = {
    "model_changed": ("model", ""),
    "prompt_cache_key_changed": ("prompt_cache_key", ""),
    "service_tier_changed": ("service_tier", ""),
    "tools_changed": ("tools", ""),
    "text_format_changed": ("text", "format"),
    "reasoning_effort_changed": ("reasoning", "effort"),
    "verbosity_changed": ("text", "verbosity"),
}


def _setting(body: Mapping[str, Json], place: tuple[str, str]) -> Json:
    value = body.get(place[0]) or None
    return (value.get(place[1]) if isinstance(value, dict) else None) if place[1] else value


def diagnostics(compared: Kept | None, body: Mapping[str, Json], usage: Usage) -> dict[str, Json]:
    """Why ``body``, billed ``usage``, did not read what the compared response left; a hit where nothing changed before its end."""
    if compared is None:
        return {"type": "comparison_response_not_found"}
    reason = next((name for name, at in _REASONS.items() if _setting(compared.body, at) != _setting(body, at)), "")
    if not reason:
        mine, theirs = items_of(body), list(compared.items[: compared.asked])
        if mine[: compared.asked] != theirs or compared.body.get("instructions") != body.get("instructions"):
            reason = "context_compacted" if _compactions(mine) > _compactions(theirs) else "input_changed"
    if not reason:
        return {"type": "cache_hit"} if usage.read else {"type": "unavailable"}
    return {
        "type": "cache_miss",
        "reason": reason,
        "cache_missed_tokens": usage.prompt - usage.read,
        "comparison_reusable_tokens": usage.read,
    }


def _compactions(items: list[Json]) -> int:
    return sum(kind(item) == "compaction" for item in items)

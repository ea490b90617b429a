"""The provider's own reason for a miss, and whether ours says the same.

Anthropic: ``diagnostics.cache_miss_reason`` (platform.claude.com, *Cache diagnostics*, 2026-08; anthropic 2.12 types). OpenAI:
``prompt_cache_diagnostics`` (*Prompt cache diagnostics*, 2026-10). That a fingerprint of the earlier message or response was not found
says nothing about the cache entry, so it agrees or disagrees with nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from holdfast.doctor.findings import Cause

_MESSAGES = frozenset(
    {Cause.MESSAGES_REWRITTEN, Cause.MESSAGE_INSERTED_BEFORE_TAIL, Cause.IMAGE_CHANGED, Cause.COMPACTION, Cause.WRONG_COMPACTION_TIMING}
)
_SAYS: dict[str, frozenset[Cause]] = {
    "model_changed": frozenset({Cause.MODEL_CHANGED, Cause.SETTINGS_CHANGED}),
    "system_changed": frozenset({Cause.SYSTEM_CHANGED, Cause.COMPACTION_REQUEST_PREFIX}),
    "tools_changed": frozenset({Cause.TOOLS_CHANGED, Cause.TOOLS_REORDERED, Cause.COMPACTION_REQUEST_PREFIX}),
    "messages_changed": _MESSAGES | {Cause.BREAKPOINT_MISPLACED, Cause.COMPACTION_REQUEST_PREFIX},
    "input_changed": _MESSAGES | {Cause.SYSTEM_CHANGED, Cause.COMPACTION_REQUEST_PREFIX},
    "context_compacted": frozenset({Cause.COMPACTION, Cause.WRONG_COMPACTION_TIMING}),
    "reasoning_effort_changed": frozenset({Cause.EFFORT_CHANGED}),
    "prompt_cache_key_changed": frozenset({Cause.SETTINGS_CHANGED}),
    "service_tier_changed": frozenset({Cause.SETTINGS_CHANGED}),
    "text_format_changed": frozenset({Cause.SETTINGS_CHANGED}),
    "verbosity_changed": frozenset({Cause.SETTINGS_CHANGED}),
}


def recorded_reason(response: Mapping[str, Any]) -> str:
    """The provider's reason in a response, ``""`` where it gives none."""
    diagnostics = response.get("diagnostics")
    reason = diagnostics.get("cache_miss_reason") if isinstance(diagnostics, Mapping) else None
    if isinstance(reason, Mapping):
        reason = reason.get("type")
    if isinstance(reason, str):
        return reason
    twin = response.get("prompt_cache_diagnostics")
    if not isinstance(twin, Mapping) or twin.get("type") == "cache_hit":
        return ""
    return str(twin.get("reason") or twin.get("type") or "")


def agrees(reason: str, cause: Cause) -> bool | None:
    """Whether the provider's reason and our cause say the same; ``None`` where the reason claims nothing about the prompt."""
    causes = _SAYS.get(reason)
    return None if causes is None else cause in causes

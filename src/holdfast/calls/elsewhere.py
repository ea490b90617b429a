"""A question to another model than the conversation's: what that one may not take is left out, of the question only."""

from __future__ import annotations

from collections.abc import Mapping

from holdfast.frozen import Json
from holdfast.transcript import Dialect

_SETTINGS: Mapping[Dialect, tuple[str, ...]] = {
    "anthropic": ("thinking", "output_config", "speed", "cache_control", "context_management", "container", "fallbacks"),
    "openai-chat": ("reasoning_effort", "verbosity", "prompt_cache_options", "prompt_cache_retention", "prediction", "service_tier"),
    "openai-responses": ("reasoning", "text", "prompt_cache_options", "prompt_cache_retention", "service_tier", "include"),
}
"""Top-level fields that belong to a model or to its cache."""

BETAS = ("context-1m-", "output-128k-", "effort-", "interleaved-thinking-", "thinking-", "fast-mode-", "token-efficient-tools-")
"""Beginnings of betas that belong to a model (platform.claude.com, beta headers, 2026-11); those that a form of the history needs stay."""

_MARKS = ("cache_control", "prompt_cache_breakpoint")
_THOUGHTS = ("thinking", "redacted_thinking", "reasoning")


def for_model(body: Mapping[str, Json], model: str, dialect: Dialect, max_output_tokens: int) -> dict[str, Json]:
    """The question ``body`` for ``model``: without settings, marks and thinking that are another model's; it writes no cache entry."""
    out = {key: value for key, value in body.items() if key not in _SETTINGS.get(dialect, ())}
    key = "input" if dialect == "openai-responses" else "messages"
    history = out[key]
    if isinstance(history, list):
        out[key] = [message for raw in history if (message := _message(raw, dialect)) is not None]
    for name in ("tools", "system"):
        if isinstance(out.get(name), list):
            out[name] = [_unmarked(item) for item in out[name]]
    for length in ("max_tokens", "max_completion_tokens", "max_output_tokens"):
        if length in out:
            out[length] = max_output_tokens
    out["model"] = model
    return out


def _message(raw: Json, dialect: Dialect) -> Json:
    """A message without marks and thinking; ``None`` where nothing is left."""
    if not isinstance(raw, Mapping):
        return raw
    if raw.get("type") in _THOUGHTS:
        return None
    message = {key: value for key, value in _unmarked(raw).items() if not (dialect == "openai-responses" and key == "id")}
    content = raw.get("content")
    if isinstance(content, list):
        message["content"] = [_unmarked(part) for part in content if not (isinstance(part, Mapping) and part.get("type") in _THOUGHTS)]
        return message if message["content"] or not content else None
    return message


def _unmarked(value: Json) -> Json:
    return {key: item for key, item in value.items() if key not in _MARKS} if isinstance(value, Mapping) else value

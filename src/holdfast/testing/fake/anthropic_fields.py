"""Which fields Anthropic's Messages API knows: those of the types of anthropic 2.12.0 (2026-11-20), by place.

What only a beta knows is an unknown field without the beta's name in the ``anthropic-beta`` header.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from holdfast.frozen import Json

_SHARED = frozenset(
    [
        "cache_control",
        "messages",
        "model",
        "output_config",
        "speed",
        "system",
        "thinking",
        "tool_choice",
        "tools",
        "user_profile_id",
        "workspace_id",
    ]
)
CREATE = _SHARED | {"container", "diagnostics", "inference_geo", "max_tokens", "metadata", "service_tier", "stop_sequences", "stream"}
COUNT = _SHARED
SAMPLING = frozenset(("temperature", "top_k", "top_p"))
"""Gone from the API of 2026-10-21; a caller with an older ``anthropic-version`` may send them."""

BETAS: Mapping[str, tuple[str, ...]] = {
    "compaction": ("compact-2026-09-04",),
    "context_management": ("context-management-", "compact-2026-01-12"),
    "mcp_servers": ("mcp-client-",),
    "thread": ("message-threads-",),
    "fallbacks": ("",),
    "fallback_credit_token": ("",),
    "billing_policy": ("",),
}
"""Top-level fields by the beginnings of the betas that know them; ``""`` is any beta."""

BINDING_BETA = "thinking-binding-controls-2026-08-01"

_CACHED = ("cache_control", "type")
BLOCKS: Mapping[str, frozenset[str]] = {
    "text": frozenset((*_CACHED, "citations", "text")),
    "thinking": frozenset(("signature", "thinking", "type")),
    "redacted_thinking": frozenset(("data", "type")),
    "tool_use": frozenset((*_CACHED, "caller", "id", "input", "name", "toolset_name")),
    "tool_result": frozenset((*_CACHED, "content", "is_error", "tool_use_id", "toolset_name")),
    "image": frozenset((*_CACHED, "source", "transformations")),
    "document": frozenset((*_CACHED, "citations", "context", "source", "title")),
    "search_result": frozenset((*_CACHED, "citations", "content", "source", "title")),
    "compaction": frozenset((*_CACHED, "content", "encrypted_content", "signature", "tool_changes")),
}
REQUIRED: Mapping[str, tuple[str, ...]] = {
    "text": ("text",),
    "thinking": ("signature", "thinking"),
    "redacted_thinking": ("data",),
    "tool_use": ("id", "input", "name"),
    "tool_result": ("tool_use_id",),
    "image": ("source",),
    "document": ("source",),
}
OTHER_BLOCKS = frozenset(
    [
        "server_tool_use",
        "web_search_tool_result",
        "web_fetch_tool_result",
        "advisor_tool_result",
        "code_execution_tool_result",
        "bash_code_execution_tool_result",
        "text_editor_code_execution_tool_result",
        "tool_search_tool_result",
        "mcp_tool_use",
        "mcp_tool_result",
        "container_upload",
        "tool_addition",
        "tool_removal",
        "mcp_tool_listing",
        "fallback",
        "connector_text",
        "browser_state",
    ]
)
"""Blocks whose fields are not checked."""

MESSAGE = frozenset(("role", "content"))
SYSTEM_MESSAGE = MESSAGE | {"output_config", "clear_at"}
TOOL = frozenset(
    [
        "allowed_callers",
        "cache_control",
        "defer_loading",
        "description",
        "eager_input_streaming",
        "input_examples",
        "input_schema",
        "name",
        "strict",
        "type",
    ]
)
THINKING: Mapping[str, frozenset[str]] = {
    "enabled": frozenset(("budget_tokens", "display", "type")),
    "adaptive": frozenset(("display", "type")),
    "disabled": frozenset(("type",)),
    "between_tools": frozenset(("type",)),
}
CHOICES: Mapping[str, frozenset[str]] = {
    "auto": frozenset(("disable_parallel_tool_use", "type")),
    "any": frozenset(("disable_parallel_tool_use", "type")),
    "tool": frozenset(("disable_parallel_tool_use", "name", "type")),
    "none": frozenset(("type",)),
}


def betas(headers: Mapping[str, str]) -> tuple[str, ...]:
    """The betas a request asks for."""
    return tuple(name.strip() for name in headers.get("anthropic-beta", "").split(",") if name.strip())


def extra(value: Mapping[str, Json], known: Collection[str], where: str = "") -> Iterator[str]:
    """A complaint for each key that is not known there."""
    for key in value:
        if key not in known:
            yield f"{where}{key}: Extra inputs are not permitted"


def top_level(body: Mapping[str, Json], headers: Mapping[str, str], counting: bool) -> Iterator[str]:
    """Unknown fields of the body itself."""
    known = set(COUNT if counting else CREATE)
    asked = betas(headers)
    known |= {field for field, starts in BETAS.items() if any(name.startswith(start) for start in starts for name in asked)}
    if headers.get("anthropic-version", "") < "2026-10-21":
        known |= SAMPLING
    return extra(body, known)

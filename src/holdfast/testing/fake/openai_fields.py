"""The fields that OpenAI's API knows, by endpoint, role and type of item (openai 3.54.0 types, 2026-11-17)."""

from __future__ import annotations

from collections.abc import Mapping


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


CHAT = _names(
    """audio frequency_penalty function_call functions logit_bias logprobs max_completion_tokens max_tokens messages metadata modalities
    model moderation n parallel_tool_calls prediction presence_penalty prompt_cache_key prompt_cache_options prompt_cache_retention
    reasoning_effort response_format safety_identifier seed service_tier stop store stream stream_options temperature tool_choice tools
    top_logprobs top_p user verbosity web_search_options"""
)
RESPONSES = _names(
    """access_programs background background_options context_management conversation image include input instructions max_output_tokens
    max_tool_calls metadata model moderation parallel_tool_calls previous_response_id prompt prompt_cache_key prompt_cache_options
    prompt_cache_retention reasoning safety_identifier service_tier store stream stream_options temperature text tool_choice tools
    top_logprobs top_p truncation user"""
)
COMPACT = _names(
    "image input instructions model previous_response_id prompt_cache_key prompt_cache_options prompt_cache_retention service_tier"
)
INPUT_TOKENS = _names(
    """conversation input instructions model parallel_tool_calls personality previous_response_id reasoning text tool_choice tools
    truncation"""
)
CHAT_MESSAGES: Mapping[str, tuple[str, ...]] = {
    "system": _names("role content name"),
    "developer": _names("role content name"),
    "user": _names("role content name"),
    # reasoning_content is other makers' own, but no refusal of it by OpenAI is on record.
    "assistant": _names("role content name refusal audio function_call tool_calls annotations reasoning_content"),
    "tool": _names("role content name tool_call_id"),
    "function": _names("role content name"),
}
CHAT_PARTS: Mapping[str, tuple[str, ...]] = {
    "system": ("text",),
    "developer": ("text",),
    "user": _names("text image_url input_audio file"),
    "assistant": _names("text refusal"),
    "tool": ("text",),
    "function": ("text",),
}
ITEMS: Mapping[str, tuple[str, ...]] = {
    "message": _names("type role content id status phase"),
    "reasoning": _names("type id summary content encrypted_content status"),
    "function_call": _names("type id call_id name arguments status async caller namespace"),
    "custom_tool_call": _names("type id call_id name input status async caller namespace"),
    "function_call_output": _names("type id call_id name namespace output status caller"),
    "custom_tool_call_output": _names("type id call_id output status caller"),
    "compaction": _names("type id encrypted_content created_by"),
}
NEEDED: Mapping[str, tuple[str, ...]] = {
    "reasoning": ("summary",),
    "function_call": _names("call_id name arguments"),
    "custom_tool_call": _names("call_id name input"),
    "function_call_output": _names("call_id output"),
    "custom_tool_call_output": _names("call_id output"),
    "compaction": ("encrypted_content",),
}
OTHER_ITEMS = _names(
    """file_search_call computer_call computer_call_output web_search_call tool_search_call tool_search_output additional_tools
    configuration_update image_generation_call code_interpreter_call local_shell_call local_shell_call_output shell_call shell_call_output
    apply_patch_call apply_patch_call_output mcp_list_tools mcp_approval_request mcp_approval_response mcp_call compaction_trigger
    item_reference program program_output"""
)
FUNCTION_TOOL = _names("type name description parameters strict defer_loading allowed_callers output_schema async")

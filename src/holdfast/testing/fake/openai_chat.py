"""Chat Completions as OpenAI's API speaks them: ``POST /v1/chat/completions`` (OpenAI API reference, 2026-10; openai 3.54.0 types).

Pure functions of values. OpenAI shows nothing of what a model thinks in this dialect: thinking is only counted. Of other makers' models
it stands in ``reasoning_content`` (api-docs.deepseek.com, 2026-10).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence

from holdfast.frozen import Json
from holdfast.testing.fake import openai_fields
from holdfast.testing.fake.openai_events import Event, chat_events
from holdfast.testing.fake.openai_refusals import (
    cache_options,
    empty_array,
    failure,
    first,
    is_openai,
    missing,
    model,
    part_marks,
    refused,
    strangers,
    takes_marks,
    unknown,
    wrong_type,
    wrong_value,
)
from holdfast.testing.fake.values import Fault, Refused, Reply, ToolCall
from holdfast.transcript import Dialect
from holdfast.usage import Usage

EPOCH = 1_790_000_000
"""The ``created`` time of answer 0, POSIX seconds: a fake has no clock of its own here, and its answers are the same in every run."""

_STOPS = {"": "", "end": "stop", "tools": "tool_calls", "length": "length", "refusal": "stop", "stop_sequence": "stop"}
_TIERS = {"fast": "priority", "priority": "priority", "flex": "flex", "scale": "scale"}


def _messages(body: Mapping[str, Json]) -> Iterator[Refused]:
    messages = body.get("messages")
    if messages is None:
        yield missing("messages")
    elif not isinstance(messages, list):
        yield wrong_type("messages", "an array of objects", messages)
    elif not messages:
        yield empty_array("messages")
    else:
        for index, raw in enumerate(messages):
            if not isinstance(raw, dict):
                yield wrong_type(f"messages[{index}]", "an object", raw)
                return
            yield from _message(raw, f"messages[{index}]", body)


def _message(raw: Mapping[str, Json], where: str, body: Mapping[str, Json]) -> Iterator[Refused]:
    role = raw.get("role")
    if role is None:
        yield missing(f"{where}.role")
    elif role not in openai_fields.CHAT_MESSAGES:
        yield wrong_value(f"{where}.role", role, tuple(openai_fields.CHAT_MESSAGES))
    else:
        if is_openai(body):
            yield from strangers(raw, openai_fields.CHAT_MESSAGES[role], where)
        if role == "tool" and not isinstance(raw.get("tool_call_id"), str):
            yield missing(f"{where}.tool_call_id")
        yield from _content(raw, where, openai_fields.CHAT_PARTS[role])
        yield from _part_marks(raw, where, role != "assistant" and (takes_marks(body) or not is_openai(body)))
        if role == "assistant":
            yield from _calls(raw, where)


def _content(raw: Mapping[str, Json], where: str, kinds: Sequence[str]) -> Iterator[Refused]:
    content = raw.get("content")
    if isinstance(content, list):
        if not content:
            yield empty_array(f"{where}.content")
        for index, part in enumerate(content):
            place = f"{where}.content[{index}]"
            if not isinstance(part, dict):
                yield wrong_type(place, "an object", part)
            elif part.get("type") not in kinds:
                yield wrong_value(f"{place}.type", part.get("type"), kinds)
            elif part["type"] == "text" and not isinstance(part.get("text"), str):
                yield missing(f"{place}.text")
    elif not isinstance(content, str):
        silent = raw.get("role") == "assistant" and any(raw.get(key) for key in ("tool_calls", "function_call", "refusal", "audio"))
        if content is not None:
            yield wrong_type(f"{where}.content", "one of an array of objects or string", content)
        elif not silent:
            named = dotted(where)
            yield refused("Invalid value for 'content': expected a string, got null.", f"{named}.content")


def dotted(where: str) -> str:
    """``messages[3]`` as some of the API's errors write it: ``messages.[3]``."""
    return where.replace("[", ".[", 1)


def _part_marks(raw: Mapping[str, Json], where: str, may_stand: bool) -> Iterator[Refused]:
    content = raw.get("content")
    for index, part in enumerate(content if isinstance(content, list) else ()):
        if isinstance(part, dict):
            yield from part_marks(part, f"{where}.content[{index}]", may_stand)


def _calls(raw: Mapping[str, Json], where: str) -> Iterator[Refused]:
    calls = raw.get("tool_calls")
    if calls is None:
        return
    if not isinstance(calls, list):
        yield wrong_type(f"{where}.tool_calls", "an array of objects", calls)
        return
    if not calls:
        yield empty_array(f"{where}.tool_calls")
    for index, call in enumerate(calls):
        place = f"{where}.tool_calls[{index}]"
        if not isinstance(call, dict):
            yield wrong_type(place, "an object", call)
            continue
        kind = call.get("type")
        if kind not in ("function", "custom"):
            yield missing(f"{place}.type") if kind is None else wrong_value(f"{place}.type", kind, ("function", "custom"))
            continue
        inner, text = call.get(kind), "arguments" if kind == "function" else "input"
        if not isinstance(call.get("id"), str):
            yield missing(f"{place}.id")
        elif not isinstance(inner, dict):
            yield missing(f"{place}.{kind}")
        elif not isinstance(inner.get(text), str):
            yield missing(f"{place}.{kind}.{text}") if text not in inner else wrong_type(f"{place}.{kind}.{text}", "a string", inner[text])


def _ids(raw: Mapping[str, Json]) -> list[str]:
    return [call["id"] for call in raw.get("tool_calls") or ()] if raw.get("role") == "assistant" else []


def _pairs(messages: Sequence[Mapping[str, Json]]) -> Iterator[Refused]:
    """Calls are answered by tool messages directly behind them, each once."""
    asked: list[str] = []
    waiting: list[str] = []
    for index, raw in enumerate([*messages, {}]):
        if raw.get("role") == "tool":
            call = raw["tool_call_id"]
            if not asked:
                text = "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with 'tool_calls'."
                yield refused(text, f"messages.[{index}].role")
            elif call not in asked:
                text = f"Invalid parameter: 'tool_call_id' of '{call}' not found in 'tool_calls' of previous message."
                yield refused(text, f"messages.[{index}].tool_call_id")
            elif call not in waiting:
                yield refused(f"Invalid parameter: Duplicate value for 'tool_call_id' of '{call}'.", f"messages.[{index}].tool_call_id")
            else:
                waiting.remove(call)
            continue
        if waiting:
            text = (
                "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. "
                f"The following tool_call_ids did not have response messages: {', '.join(waiting)}"
            )
            yield refused(text, f"messages.[{index}].role" if raw else "messages")
        asked = _ids(raw)
        waiting = list(asked)


def _tools(body: Mapping[str, Json]) -> Iterator[Refused]:
    tools = body.get("tools")
    if tools is None:
        return
    if not isinstance(tools, list):
        yield wrong_type("tools", "an array of objects", tools)
        return
    if not tools:
        yield empty_array("tools")
    for index, tool in enumerate(tools):
        where = f"tools[{index}]"
        if not isinstance(tool, dict):
            yield wrong_type(where, "an object", tool)
        elif tool.get("type") not in ("function", "custom"):
            yield missing(f"{where}.type") if "type" not in tool else wrong_value(f"{where}.type", tool["type"], ("function", "custom"))
        elif not isinstance(tool.get(tool["type"]), dict):
            yield missing(f"{where}.{tool['type']}")
        elif not tool[tool["type"]].get("name"):
            yield missing(f"{where}.{tool['type']}.name")
        elif is_openai(body):
            yield from strangers(tool, ("type", tool["type"]), where)


def _strange(body: Mapping[str, Json]) -> Iterator[Refused]:
    """Unknown fields; of GPT-3.5 and 4 in older words (umputun/tg-spam 304, 2025-06; ClaudeCodeUsage/ClaudeCodeUsage 94, 2026-08)."""
    strange = sorted(body.keys() - set(openai_fields.CHAT)) if is_openai(body) else []
    if strange and str(body["model"]).startswith(("gpt-3", "gpt-4")):
        plural = "s" if len(strange) > 1 else ""
        yield refused(f"Unrecognized request argument{plural} supplied: {', '.join(strange)}")
    elif strange:
        yield unknown(strange[0])


def _settings(body: Mapping[str, Json]) -> Iterator[Refused]:
    yield from model(body, "you must provide a model parameter")
    yield from _strange(body)
    if body.get("stream_options") is not None and not body.get("stream"):
        yield refused("The 'stream_options' parameter is only allowed when 'stream' is enabled.", "stream_options")
    yield from cache_options(body, ("mode", "ttl"), ("30m",))


def _size(prompt_tokens: int, window: int) -> Iterator[Refused]:
    if prompt_tokens > window:
        text = (
            f"This model's maximum context length is {window} tokens. However, your messages resulted in {prompt_tokens} tokens. "
            "Please reduce the length of the messages."
        )
        yield refused(text, "messages", "context_length_exceeded")


def usage_json(body: Mapping[str, Json], usage: Usage, reply: Reply) -> dict[str, Json]:
    """The usage, inclusive: the prompt's tokens hold those that were read and written (OpenAI prompt caching guide, 2026-10)."""
    prompt: dict[str, Json] = {"cached_tokens": usage.read, "audio_tokens": 0}
    if takes_marks(body):
        prompt["cache_write_tokens"] = usage.written
        prompt["cache_write_tokens_details"] = {"ttl_30m_tokens": usage.write_30m, "ttl_12h_tokens": usage.write_12h}
    return {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.output,
        "total_tokens": usage.prompt + usage.output,
        "prompt_tokens_details": prompt,
        "completion_tokens_details": {
            "reasoning_tokens": thought(reply, usage),
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def thought(reply: Reply, usage: Usage) -> int:
    """How many of the output's tokens are reasoning: the share of its characters."""
    said = len(reply.text) + sum(len(call.name) + len(arguments(call.input)) for call in reply.calls)
    whole = len(reply.thinking) + said
    return usage.output * len(reply.thinking) // whole if whole else 0


def arguments(given: Mapping[str, Json]) -> str:
    """A call's input as the model writes it."""
    return json.dumps(dict(given), ensure_ascii=False, separators=(",", ":"))


def call_id(number: int, index: int) -> str:
    """The id of call ``index`` of answer ``number``."""
    return f"call_{number:012x}{index:012x}"


def tier(body: Mapping[str, Json]) -> str:
    """The service tier that is answered with: ``fast`` is said ``priority``, ``auto`` is ``default``."""
    return _TIERS.get(str(body.get("service_tier") or ""), "default")


def _own(content: Sequence[Json]) -> dict[str, Json]:
    """A message of blocks in the dialect's own JSON: calls, and parts whose text is the content."""
    blocks = [block for block in content if isinstance(block, dict)]
    calls = [block for block in blocks if "function" in block or "custom" in block]
    text = "".join(str(block.get("text", "")) for block in blocks if block.get("type") == "text")
    message: dict[str, Json] = {"role": "assistant", "content": text or None, "refusal": None, "annotations": []}
    message.update({key: value for block in blocks if "role" in block for key, value in block.items()})
    return {**message, "tool_calls": calls} if calls else message


def _call(call: ToolCall, number: int, index: int) -> dict[str, Json]:
    inner = {"name": call.name, "arguments": arguments(call.input)}
    return {"id": call.id or call_id(number, index), "type": "function", "function": inner}


def message(body: Mapping[str, Json], reply: Reply, number: int) -> dict[str, Json]:
    """The assistant's message."""
    if reply.content is not None:
        return _own(reply.content)
    if reply.stop == "refusal":
        words = reply.text or "I'm sorry, but I can't help with that."
        return {"role": "assistant", "content": None, "refusal": words, "annotations": []}
    out: dict[str, Json] = {"role": "assistant", "content": reply.text or None, "refusal": None, "annotations": []}
    if reply.thinking and not is_openai(body):
        out["reasoning_content"] = reply.thinking
    if reply.calls:
        out["tool_calls"] = [_call(call, number, index) for index, call in enumerate(reply.calls)]
    elif out["content"] is None:
        out["content"] = ""
    return out


class ChatCompletions:
    """The endpoint."""

    dialect: Dialect = "openai-chat"

    def refusal(self, body: Mapping[str, Json], headers: Mapping[str, str], prompt_tokens: int, window: int) -> Refused | None:
        """Why OpenAI would not take this body. Fields unknown to OpenAI are refused for models with names of its own only."""
        shape = first(_settings(body)) or first(_messages(body)) or first(_tools(body))
        return shape or first(_pairs(body["messages"])) or first(_size(prompt_tokens, window))

    def failure(self, fault: Fault) -> Refused:
        """An error in OpenAI's form."""
        return failure(fault)

    def response(self, body: Mapping[str, Json], reply: Reply, usage: Usage, number: int) -> dict[str, Json]:
        """A ``chat.completion``, with as many equal choices as the request wants (``n``)."""
        said = message(body, reply, number)
        natural = "tool_calls" if said.get("tool_calls") else "stop"
        finish = _STOPS[reply.stop] or natural
        wanted = body.get("n")
        choice = {"message": said, "logprobs": None, "finish_reason": finish}
        return {
            "id": f"chatcmpl-fake{number:020x}",
            "object": "chat.completion",
            "created": EPOCH + number,
            "model": body.get("model"),
            "choices": [{"index": index, **choice} for index in range(max(1, wanted) if isinstance(wanted, int) else 1)],
            "usage": usage_json(body, usage, reply),
            "service_tier": tier(body),
            "system_fingerprint": None,
        }

    def events(self, body: Mapping[str, Json], response: Mapping[str, Json]) -> Iterable[Event]:
        """The response as chunks, and ``[DONE]``."""
        return chat_events(body, response)


CHAT = ChatCompletions()

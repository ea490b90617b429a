"""OpenAI's Responses API: ``/v1/responses``, ``/v1/responses/input_tokens`` and ``/v1/responses/compact`` (openai 3.54.0 types).

An answer that is stored is remembered in memory, so that ``previous_response_id``, ``conversation`` and item references work. The three
endpoints of one provider share that memory: ``endpoints()`` makes a set of them. Background responses are answered at once.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from holdfast.frozen import Json
from holdfast.testing.fake import openai_fields
from holdfast.testing.fake.openai_chat import EPOCH, arguments, call_id, thought, tier
from holdfast.testing.fake.openai_diagnostics import diagnostics
from holdfast.testing.fake.openai_events import Event, overflow_events, response_events
from holdfast.testing.fake.openai_items import items_of, kind, pairs, shapes, thoughts
from holdfast.testing.fake.openai_memory import Kept, Memory, sealed
from holdfast.testing.fake.openai_refusals import (
    cache_options,
    failure,
    first,
    is_openai,
    missing,
    model,
    refused,
    strangers,
    takes_marks,
    unknown,
    wrong_type,
    wrong_value,
)
from holdfast.testing.fake.values import Endpoint, Fault, Refused, Reply, ToolCall
from holdfast.transcript import Dialect
from holdfast.usage import Usage

_TOO_LONG = "Your input exceeds the context window of this model. Please adjust your input and try again."
_ECHOED = ("instructions", "max_output_tokens", "max_tool_calls", "previous_response_id", "prompt_cache_key", "safety_identifier", "user")


def conversation_id(body: Mapping[str, Json]) -> str:
    """The conversation that the request belongs to, ``""`` for none."""
    given = body.get("conversation")
    return str(given.get("id") or "") if isinstance(given, dict) else str(given or "")


def _fields(body: Mapping[str, Json], known: Sequence[str]) -> Iterator[Refused]:
    for key in sorted(body.keys() - set(known)) if is_openai(body) else ():
        yield unknown(key)
    instructions = body.get("instructions")
    if instructions is not None and not isinstance(instructions, str):
        yield wrong_type("instructions", "a string", instructions)
    yield from cache_options(body, ("mode", "ttl", "prewarm", "comparison_response_id"), ("30m", "12h"))


def _tools(body: Mapping[str, Json]) -> Iterator[Refused]:
    tools = body.get("tools")
    if tools is not None and not isinstance(tools, list):
        yield wrong_type("tools", "an array of objects", tools)
        return
    for index, tool in enumerate(tools or ()):
        if not isinstance(tool, dict):
            yield wrong_type(f"tools[{index}]", "an object", tool)
        elif not tool.get("type"):
            yield missing(f"tools[{index}].type")
        elif tool["type"] in ("function", "custom") and not tool.get("name"):
            yield missing(f"tools[{index}].name")
        elif tool["type"] == "function" and is_openai(body):
            yield from strangers(tool, openai_fields.FUNCTION_TOOL, f"tools[{index}]")


def usage_json(body: Mapping[str, Json], usage: Usage, reply: Reply) -> dict[str, Json]:
    """The usage, inclusive: the input holds what was read and written (OpenAI prompt caching guide, 2026-10)."""
    details: dict[str, Json] = {"cached_tokens": usage.read, "cache_write_tokens": usage.written}
    if takes_marks(body):
        details["cache_write_tokens_details"] = {"ttl_30m_tokens": usage.write_30m, "ttl_12h_tokens": usage.write_12h}
    return {
        "input_tokens": usage.prompt,
        "input_tokens_details": details,
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": thought(reply, usage)},
        "total_tokens": usage.prompt + usage.output,
    }


def _custom(body: Mapping[str, Json]) -> set[str]:
    tools = body.get("tools")
    return {tool["name"] for tool in tools if tool.get("type") == "custom"} if isinstance(tools, list) else set()


def _reasoning(body: Mapping[str, Json], thinking: str, number: int) -> dict[str, Json]:
    """A reasoning item: a summary and encrypted content only where the request asks for them."""
    settings, include = body.get("reasoning"), body.get("include")
    shown = isinstance(settings, dict) and (settings.get("summary") or settings.get("generate_summary"))
    item: dict[str, Json] = {"id": f"rs_fake{number:024x}", "type": "reasoning"}
    item["summary"] = [{"type": "summary_text", "text": thinking}] if shown else []
    if isinstance(include, list) and "reasoning.encrypted_content" in include:
        item["encrypted_content"] = sealed(thinking)
    return item


def _call(call: ToolCall, custom: set[str], number: int, index: int, status: str) -> dict[str, Json]:
    made = call.id or call_id(number, index)
    base: dict[str, Json] = {"status": status, "call_id": made, "name": call.name}
    if call.name in custom:
        words = call.input.get("input")
        text = words if isinstance(words, str) else json.dumps(dict(call.input), ensure_ascii=False)
        return {"id": f"ctc_fake{number:016x}{index:08x}", "type": "custom_tool_call", **base, "input": text}
    return {"id": f"fc_fake{number:016x}{index:08x}", "type": "function_call", **base, "arguments": arguments(call.input)}


def output(body: Mapping[str, Json], reply: Reply, number: int) -> list[Json]:
    """The items of an answer: reasoning, then the message, then the calls."""
    if reply.content is not None:
        return list(reply.content)
    status = "incomplete" if reply.stop == "length" else "completed"
    items: list[Json] = [_reasoning(body, reply.thinking, number)] if reply.thinking else []
    if reply.stop == "refusal":
        part: dict[str, Json] = {"type": "refusal", "refusal": reply.text or "I'm sorry, but I can't help with that."}
    else:
        part = {"type": "output_text", "annotations": [], "logprobs": [], "text": reply.text}
    if reply.text or reply.stop == "refusal" or not reply.calls:
        items.append({"id": f"msg_fake{number:024x}", "type": "message", "status": status, "content": [part], "role": "assistant"})
    custom = _custom(body)
    return items + [_call(call, custom, number, index, status) for index, call in enumerate(reply.calls)]


@dataclass(frozen=True, slots=True)
class Responses:
    """The endpoint ``/v1/responses``."""

    memory: Memory = field(default_factory=Memory)
    dialect: Dialect = "openai-responses"

    def whole(self, body: Mapping[str, Json]) -> Mapping[str, Json]:
        """What the body stands for: with the items it goes on from, and no references. The same object where it has none."""
        past = self._past(body)
        own = items_of(body)
        if past is None and not any(isinstance(item, dict) and kind(item) == "item_reference" for item in own):
            return body
        named = [self._resolved(item) for item in own]
        out = {key: value for key, value in body.items() if key not in ("previous_response_id", "conversation")}
        return {**out, "input": [*(past.items if past else ()), *named]}

    def _past(self, body: Mapping[str, Json]) -> Kept | None:
        name = str(body.get("previous_response_id") or "") or conversation_id(body)
        return self.memory.find(name) if name else None

    def _resolved(self, item: Json) -> Json:
        if not isinstance(item, dict) or kind(item) != "item_reference":
            return item
        found = self.memory.item(str(item.get("id") or ""))
        return item if found is None else found

    def refusal(self, body: Mapping[str, Json], headers: Mapping[str, str], prompt_tokens: int, window: int) -> Refused | None:
        """Why OpenAI would not take this body. Fields unknown to OpenAI are refused for models with names of its own only."""
        return first(self.refusals(body, openai_fields.RESPONSES)) or first(self._history(body)) or self.size(body, prompt_tokens, window)

    def refusals(self, body: Mapping[str, Json], known: Sequence[str]) -> Iterator[Refused]:
        """What is wrong with the body\'s form, and with what it refers to. ``known`` are the endpoint\'s fields."""
        if not body.get("prompt"):
            yield from model(body, "Missing required parameter: 'model'.")
        yield from _fields(body, known)
        if body.get("input") in (None, [], "") and not any(body.get(key) for key in ("previous_response_id", "prompt", "conversation")):
            text = 'Missing required parameter: one of "input" or "previous_response_id" or "prompt" or "conversation" must be provided.'
            yield refused(text, "input", "missing_required_parameter")
        if body.get("truncation") not in (None, "auto", "disabled"):
            yield wrong_value("truncation", body["truncation"], ("auto", "disabled"))
        previous = body.get("previous_response_id")
        if previous and self.memory.find(str(previous)) is None:
            yield refused(f"Previous response with id '{previous}' not found.", "previous_response_id", "previous_response_not_found")
        yield from _tools(body)
        yield from shapes(body)

    def _history(self, body: Mapping[str, Json]) -> Iterator[Refused]:
        items = items_of(self.whole(body))
        for item in items:
            if kind(item) == "item_reference":
                yield refused(f"Item with id '{item.get('id')}' not found.", "input", None, 404)
        yield from pairs(items)
        yield from thoughts(items, self.memory.needed(items))

    def size(self, body: Mapping[str, Json], prompt_tokens: int, window: int) -> Refused | None:
        """A prompt over the window."""
        if prompt_tokens <= window or body.get("truncation") == "auto":
            return None
        return refused(_TOO_LONG, "input", "context_length_exceeded")

    def refused_events(self, body: Mapping[str, Json], refused: Refused, number: int) -> Iterable[Event] | None:
        """The events with which a stream is refused at status 200, where the API does that: for a prompt over the window. Else ``None``."""
        error = refused.body["error"]
        if not body.get("stream") or error["code"] != "context_length_exceeded":
            return None
        return overflow_events(self._said(body, Reply(), Usage(), number, ()), error)

    def failure(self, fault: Fault) -> Refused:
        """An error in OpenAI's form."""
        return failure(fault)

    def response(self, body: Mapping[str, Json], reply: Reply, usage: Usage, number: int) -> dict[str, Json]:
        """A ``response``; remembered unless ``store`` is false."""
        items = output(body, reply, number)
        said = self._said(body, reply, usage, number, items)
        talk = conversation_id(body)
        names = [str(said["id"])] * (body.get("store") is not False) + [talk] * bool(talk)
        if names:
            prompt = items_of(self.whole(body))
            self.memory.keep(names, Kept(body, [*prompt, *items], len(prompt)), items)
        return said

    def _said(self, body: Mapping[str, Json], reply: Reply, usage: Usage, number: int, items: Sequence[Json]) -> dict[str, Json]:
        cut = reply.stop == "length"
        talk = conversation_id(body)
        out: dict[str, Json] = {
            "id": f"resp_fake{number:024x}",
            "object": "response",
            "created_at": EPOCH + number,
            "status": "incomplete" if cut else "completed",
            "background": bool(body.get("background")),
            "completed_at": None if cut else EPOCH + number,
            "error": None,
            "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
            "model": body.get("model"),
            "output": list(items),
            "usage": usage_json(body, usage, reply),
            "service_tier": tier(body),
            "store": body.get("store") is not False,
            "metadata": body.get("metadata") or {},
            **_settings(body),
            **{key: body.get(key) for key in _ECHOED},
        }
        if talk:
            out["conversation"] = {"id": talk}
        if takes_marks(body):
            out.update(self._cache(body, usage))
        return out

    def _cache(self, body: Mapping[str, Json], usage: Usage) -> dict[str, Json]:
        given = body.get("prompt_cache_options")
        options = given if isinstance(given, dict) else {}
        compared = options.get("comparison_response_id")
        applied = {"mode": options.get("mode") or "implicit", "ttl": options.get("ttl") or "30m"}
        if not compared:
            return {"prompt_cache_options": applied}
        found = self.memory.find(str(compared))
        return {
            "prompt_cache_options": {**applied, "comparison_response_id": compared},
            "prompt_cache_diagnostics": diagnostics(found, self.whole(body), usage),
        }

    def events(self, body: Mapping[str, Json], response: Mapping[str, Json]) -> Iterable[Event]:
        """The response as events. No ``[DONE]`` ends them."""
        return response_events(response)


def _settings(body: Mapping[str, Json]) -> dict[str, Json]:
    """The settings that the request was answered under."""
    text, reasoning = body.get("text"), body.get("reasoning")
    text, reasoning = text if isinstance(text, dict) else {}, reasoning if isinstance(reasoning, dict) else {}
    return {
        "parallel_tool_calls": body.get("parallel_tool_calls") is not False,
        "reasoning": {"effort": reasoning.get("effort"), "summary": reasoning.get("summary")},
        "temperature": body.get("temperature", 1.0),
        "text": {"format": text.get("format") or {"type": "text"}, "verbosity": text.get("verbosity") or "medium"},
        "tool_choice": body.get("tool_choice") or "auto",
        "tools": body.get("tools") or [],
        "top_logprobs": body.get("top_logprobs") or 0,
        "top_p": body.get("top_p", 1.0),
        "truncation": body.get("truncation") or "disabled",
    }


@dataclass(frozen=True, slots=True)
class InputTokens:
    """The endpoint ``/v1/responses/input_tokens``: the exact count of a request that is not sent."""

    responses: Responses
    dialect: Dialect = "openai-responses"

    def whole(self, body: Mapping[str, Json]) -> Mapping[str, Json]:
        """As ``Responses.whole``."""
        return self.responses.whole(body)

    def refusal(self, body: Mapping[str, Json], headers: Mapping[str, str], prompt_tokens: int, window: int) -> Refused | None:
        """A body that is no request; its size and its pairs are not looked at."""
        return first(self.responses.refusals(body, openai_fields.INPUT_TOKENS))

    def failure(self, fault: Fault) -> Refused:
        """An error in OpenAI's form."""
        return failure(fault)

    def response(self, body: Mapping[str, Json], reply: Reply, usage: Usage, number: int) -> dict[str, Json]:
        """The prompt's tokens; ``reply`` is not used."""
        return {"object": "response.input_tokens", "input_tokens": usage.prompt}

    def events(self, body: Mapping[str, Json], response: Mapping[str, Json]) -> Iterable[Event]:
        """None: this endpoint does not stream."""
        return ()


@dataclass(frozen=True, slots=True)
class Compact:
    """The endpoint ``/v1/responses/compact``: all user messages, and one encrypted item in the place of everything else.

    The API's own words for what it returns (openai 3.54.0, ``responses.compact``). The reply's text is what the item holds.
    """

    responses: Responses
    dialect: Dialect = "openai-responses"

    def whole(self, body: Mapping[str, Json]) -> Mapping[str, Json]:
        """As ``Responses.whole``."""
        return self.responses.whole(body)

    def refusal(self, body: Mapping[str, Json], headers: Mapping[str, str], prompt_tokens: int, window: int) -> Refused | None:
        """As ``Responses``, but calls may wait for their outputs."""
        refusals = first(self.responses.refusals(body, openai_fields.COMPACT))
        return refusals or self.responses.size(body, prompt_tokens, window)

    def failure(self, fault: Fault) -> Refused:
        """An error in OpenAI's form."""
        return failure(fault)

    def response(self, body: Mapping[str, Json], reply: Reply, usage: Usage, number: int) -> dict[str, Json]:
        """A ``response.compaction``."""
        items = items_of(self.whole(body))
        users = [item for item in items if kind(item) == "message" and item.get("role") == "user"]
        kept: list[Json] = [_as_output(item, number, index) for index, item in enumerate(users)]
        kept.append({"id": f"cmp_fake{number:024x}", "type": "compaction", "encrypted_content": sealed(reply.text)})
        return {
            "id": f"resp_fake{number:024x}",
            "object": "response.compaction",
            "created_at": EPOCH + number,
            "output": kept,
            "usage": usage_json(body, usage, reply),
        }

    def events(self, body: Mapping[str, Json], response: Mapping[str, Json]) -> Iterable[Event]:
        """None: this endpoint does not stream."""
        return ()


def _as_output(item: Mapping[str, Json], number: int, index: int) -> dict[str, Json]:
    """A user's message as the API gives it back."""
    content = item.get("content")
    parts = [{"type": "input_text", "text": content}] if isinstance(content, str) else content
    return {"id": f"msg_fake{number:016x}{index:08x}", "type": "message", "status": "completed", "content": parts, "role": "user"}


def endpoints() -> dict[str, Endpoint]:
    """The three endpoints by path, with an empty memory that they share: a set for one provider."""
    responses = Responses()
    return {
        "/v1/responses": responses,
        "/v1/responses/input_tokens": InputTokens(responses),
        "/v1/responses/compact": Compact(responses),
    }


RESPONSES = Responses()
INPUT_TOKENS = InputTokens(RESPONSES)
COMPACT = Compact(RESPONSES)

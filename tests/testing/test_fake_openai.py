"""The fake's OpenAI endpoints as values: shapes as the SDK types them, refusals as the API words them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import CompactedResponse, InputTokenCountResponse, Response, ResponseStreamEvent
from pydantic import TypeAdapter

from holdfast.checker import check_body
from holdfast.testing.fake.openai_chat import CHAT
from holdfast.testing.fake.openai_events import DONE
from holdfast.testing.fake.openai_memory import sealed, tampered
from holdfast.testing.fake.openai_responses import endpoints
from holdfast.testing.fake.values import Endpoint, Fault, Reply, ToolCall
from holdfast.usage import Usage, from_openai
from tests.generators import conversations

NEW, OLD = "gpt-5.6-sol", "gpt-5.4"
MARK = {"mode": "explicit"}
USAGE = Usage(fresh=100, read=2048, write_30m=300, write_12h=40, output=60)
CHUNK: TypeAdapter[Any] = TypeAdapter(ChatCompletionChunk)
EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
HI = {"role": "user", "content": "Hi."}
CALL = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
ASKS = {"role": "assistant", "content": None, "tool_calls": [CALL]}
TELLS = {"role": "tool", "tool_call_id": "call_1", "content": "kelp"}
FC = {"type": "function_call", "call_id": "call_1", "name": "look", "arguments": "{}"}
FCO = {"type": "function_call_output", "call_id": "call_1", "output": "kelp"}
TOOL = {"type": "function", "function": {"name": "look", "parameters": {}}}

texts = st.text(max_size=300)
calls = st.lists(st.builds(ToolCall, name=st.sampled_from(["look", "run"]), input=st.dictionaries(texts, texts, max_size=3)), max_size=3)
replies = st.builds(Reply, text=texts, thinking=texts, calls=calls, stop=st.sampled_from(["", "end", "tools", "length", "refusal"]))


def chat(*messages: Mapping[str, Any], model: str = NEW, **more: Any) -> dict[str, Any]:
    """A body for Chat Completions."""
    return {"model": model, "messages": list(messages), **more}


def asked(*items: Mapping[str, Any], model: str = NEW, **more: Any) -> dict[str, Any]:
    """A body for Responses."""
    return {"model": model, "input": list(items), **more}


def part(text: str = "Hi.", kind: str = "text", **more: Any) -> dict[str, Any]:
    """A content part."""
    return {"type": kind, "text": text, **more}


def error(endpoint: Endpoint, body: Mapping[str, Any], tokens: int = 10, window: int = 1000) -> dict[str, Any]:
    """The error that a body is refused with, ``{}`` where it is taken."""
    found = endpoint.refusal(body, {}, tokens, window)
    return {"status": found.status, **found.body["error"]} if found else {}


def responses() -> Endpoint:
    """A Responses endpoint that remembers nothing."""
    return endpoints()["/v1/responses"]


@settings(max_examples=25)
@given(replies, st.booleans())
def test_chat_answers_fit_the_sdks_types_streamed_or_not(reply: Reply, told: bool) -> None:
    """What is streamed adds up to what is answered whole; usage comes once, and only where it was asked for."""
    body = chat(HI, stream=True, stream_options={"include_usage": told})
    whole = CHAT.response(body, reply, USAGE, 7)
    ChatCompletion.model_validate(whole, strict=True)
    *events, last = list(CHAT.events(body, whole))
    assert last == ("", DONE)
    chunks = [data for _, data in events if isinstance(data, Mapping)]
    for chunk in chunks:
        CHUNK.validate_python(chunk, strict=True)
    message = whole["choices"][0]["message"]
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]
    assert deltas[0]["role"] == "assistant"
    assert "".join(delta.get("content") or "" for delta in deltas) == (message["content"] or "")
    assert "".join(delta.get("refusal") or "" for delta in deltas) == (message["refusal"] or "")
    inputs: dict[int, str] = {}
    for call in (call for delta in deltas for call in delta.get("tool_calls") or ()):
        inputs[call["index"]] = inputs.get(call["index"], "") + call["function"]["arguments"]
    assert list(inputs.values()) == [call["function"]["arguments"] for call in message.get("tool_calls") or ()]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks if chunk["choices"]][-1] == whole["choices"][0]["finish_reason"]
    assert [chunk.get("usage", "absent") for chunk in chunks] == (
        [None] * (len(chunks) - 1) + [whole["usage"]] if told else ["absent"] * len(chunks)
    )


@settings(max_examples=25)
@given(replies)
def test_responses_fit_the_sdks_types_streamed_or_not(reply: Reply) -> None:
    """Every event is one of the SDK's, in order and numbered; the deltas add up to the items, and the last event is the whole response."""
    endpoint = responses()
    body = asked(HI, stream=True, reasoning={"summary": "auto"}, include=["reasoning.encrypted_content"])
    whole = endpoint.response(body, reply, USAGE, 7)
    Response.model_validate(whole, strict=True)
    events = [(name, data) for name, data in endpoint.events(body, whole) if isinstance(data, Mapping)]
    for number, (name, data) in enumerate(events):
        assert (data["type"], data["sequence_number"]) == (name, number)
        assert type(EVENT.validate_python(data, strict=True)).__name__ != "dict"
    names = [name for name, _ in events]
    assert names[:2] == ["response.created", "response.in_progress"]
    assert names[-1] == ("response.incomplete" if reply.stop == "length" else "response.completed")
    assert events[-1][1]["response"] == whole
    assert [data["item"] for name, data in events if name == "response.output_item.done"] == whole["output"]
    said = [data for name, data in events if name.endswith(".delta")]
    for index, item in enumerate(whole["output"]):
        spoken = [*item.get("content", ()), *item.get("summary", ())]
        text = item.get("arguments") or "".join(entry.get("text") or entry.get("refusal") or "" for entry in spoken)
        assert "".join(data["delta"] for data in said if data["output_index"] == index) == text


@pytest.mark.parametrize("model", [NEW, "gpt-6-sol", "gpt-6.2-astra"])
def test_usage_is_read_back_as_it_was_billed(model: str) -> None:
    """Both dialects tell all of a bill, the two lifetimes of writes apart, and count the prompt inclusively."""
    for endpoint, body in ((CHAT, chat(HI, model=model)), (responses(), asked(HI, model=model))):
        told = endpoint.response(body, Reply("Yes."), USAGE, 1)["usage"]
        assert from_openai(told) == USAGE
        assert told.get("prompt_tokens", told.get("input_tokens")) == USAGE.prompt
        assert told["total_tokens"] == USAGE.prompt + USAGE.output


def test_models_before_the_marks_tell_of_no_writes() -> None:
    """GPT-5.4 has no write classes in its usage."""
    told = CHAT.response(chat(HI, model=OLD), Reply("Yes."), Usage(fresh=9, read=1024, output=3), 1)["usage"]
    assert told["prompt_tokens_details"] == {"cached_tokens": 1024, "audio_tokens": 0}


def test_thinking_is_shown_and_encrypted_only_where_it_is_asked_for() -> None:
    """Chat only counts it; Responses gives an item, with a summary and a blob on demand."""
    reply = Reply("Yes.", thinking="Let me think of the tide." * 4)
    plain = responses().response(asked(HI), reply, USAGE, 1)
    assert plain["output"][0] == {"id": plain["output"][0]["id"], "type": "reasoning", "summary": []}
    assert plain["usage"]["output_tokens_details"]["reasoning_tokens"] == USAGE.output * 100 // 104
    body = asked(HI, reasoning={"summary": "auto"}, include=["reasoning.encrypted_content"])
    full = responses().response(body, reply, USAGE, 1)["output"][0]
    assert full["summary"] == [{"type": "summary_text", "text": reply.thinking}]
    assert not tampered(full["encrypted_content"])
    answer = CHAT.response(chat(HI), reply, USAGE, 1)
    assert answer["usage"]["completion_tokens_details"]["reasoning_tokens"] == USAGE.output * 100 // 104
    assert "tide" not in str(answer)


@given(st.text(max_size=200), st.data())
def test_a_changed_blob_is_found_out(text: str, data: st.DataObject) -> None:
    """Any other character in encrypted content is noticed; foreign content is not judged."""
    blob = sealed(text)
    assert not tampered(blob)
    assert not tampered("gAAAAABforeign" + blob)
    place = data.draw(st.integers(8, len(blob.rstrip("=")) - 5))
    other = "A" if blob[place] != "A" else "B"
    assert tampered(blob[:place] + other + blob[place + 1 :])


@pytest.mark.parametrize(
    ("body", "message", "param", "code"),
    [
        (chat(HI, holdfast=1), "Unknown parameter: 'holdfast'.", "holdfast", "unknown_parameter"),
        (chat(HI, model="gpt-4o", holdfast=1), "Unrecognized request argument supplied: holdfast", None, None),
        (chat(HI, model="gpt-4o", b=1, a=2), "Unrecognized request arguments supplied: a, b", None, None),
        ({"messages": [HI]}, "you must provide a model parameter", None, None),
        ({"model": NEW}, "Missing required parameter: 'messages'.", "messages", "missing_required_parameter"),
        (
            chat(),
            "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead.",
            "messages",
            "empty_array",
        ),
        (chat({**HI, "id": 1}), "Unknown parameter: 'messages[0].id'.", "messages[0].id", "unknown_parameter"),
        (
            chat({"role": "user", "content": None}),
            "Invalid value for 'content': expected a string, got null.",
            "messages.[0].content",
            None,
        ),
        (
            chat(HI, {"role": "assistant", "content": None}),
            "Invalid value for 'content': expected a string, got null.",
            "messages.[1].content",
            None,
        ),
        (
            chat(HI, {"role": "assistant", "content": "a", "tool_calls": []}),
            "Invalid 'messages[1].tool_calls': empty array. Expected an array with minimum length 1, but got an empty array instead.",
            "messages[1].tool_calls",
            "empty_array",
        ),
        (
            chat(HI, TELLS),
            "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with 'tool_calls'.",
            "messages.[1].role",
            None,
        ),
        (
            chat(HI, ASKS, HI),
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. "
            "The following tool_call_ids did not have response messages: call_1",
            "messages.[2].role",
            None,
        ),
        (
            chat(HI, ASKS, {**TELLS, "tool_call_id": "call_2"}),
            "Invalid parameter: 'tool_call_id' of 'call_2' not found in 'tool_calls' of previous message.",
            "messages.[2].tool_call_id",
            None,
        ),
        (
            chat({"role": "user", "content": [part(kind="input_text")]}),
            "Invalid value: 'input_text'. Supported values are: 'text', 'image_url', 'input_audio', and 'file'.",
            "messages[0].content[0].type",
            "invalid_value",
        ),
        (
            chat(HI, {"role": "assistant", "content": [part(prompt_cache_breakpoint=MARK)]}, HI),
            "Unknown parameter: 'messages[1].content[0].prompt_cache_breakpoint'.",
            "messages[1].content[0].prompt_cache_breakpoint",
            "unknown_parameter",
        ),
        (
            chat(HI, tools=[{**TOOL, "prompt_cache_breakpoint": MARK}]),
            "Unknown parameter: 'tools[0].prompt_cache_breakpoint'.",
            "tools[0].prompt_cache_breakpoint",
            "unknown_parameter",
        ),
        (
            chat({"role": "user", "content": [part(prompt_cache_breakpoint={"mode": "explicit", "ttl": "1h"})]}),
            "Invalid value: '1h'. Supported values are: '30m' and '12h'.",
            "messages[0].content[0].prompt_cache_breakpoint.ttl",
            "invalid_value",
        ),
        (
            chat(HI, model=OLD, prompt_cache_options={"mode": "explicit"}),
            "Unsupported parameter: 'prompt_cache_options' is not supported with this model.",
            "prompt_cache_options",
            "unsupported_parameter",
        ),
        (
            chat(HI, stream_options={"include_usage": True}),
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
            "stream_options",
            None,
        ),
        (
            chat(HI, tools=[{"type": "function", "name": "look"}]),
            "Missing required parameter: 'tools[0].function'.",
            "tools[0].function",
            "missing_required_parameter",
        ),
    ],
)
def test_chat_refuses_as_the_api_does(body: Mapping[str, Any], message: str, param: str | None, code: str | None) -> None:
    """Message, parameter and code of each refusal."""
    assert error(CHAT, body) == {"status": 400, "message": message, "type": "invalid_request_error", "param": param, "code": code}


@pytest.mark.parametrize(
    ("body", "message", "param", "code"),
    [
        (asked(HI, holdfast=1), "Unknown parameter: 'holdfast'.", "holdfast", "unknown_parameter"),
        ({"input": "Hi."}, "Missing required parameter: 'model'.", "model", "missing_required_parameter"),
        (asked(FCO), "No tool call found for function call output with call_id call_1.", "input", None),
        (asked(FC), "No tool output found for function call call_1.", "input", None),
        (asked(FCO, FC), "No tool call found for function call output with call_id call_1.", "input", None),
        (
            asked({"role": "user", "content": [part()]}),
            "Invalid value: 'text'. Supported values are: 'input_text', 'input_image', 'output_text', 'refusal', 'input_file', "
            "'computer_screenshot', and 'summary_text'.",
            "input[0].content[0]",
            "invalid_value",
        ),
        (
            asked(HI, {"role": "assistant", "content": [part(kind="input_text")]}),
            "Invalid value: 'input_text'. Supported values are: 'output_text' and 'refusal'.",
            "input[1].content[0]",
            "invalid_value",
        ),
        (
            asked(HI, {"role": "assistant", "content": [part(kind="output_text", prompt_cache_breakpoint=MARK)]}),
            "Unknown parameter: 'input[1].content[0].prompt_cache_breakpoint'.",
            "input[1].content[0].prompt_cache_breakpoint",
            "unknown_parameter",
        ),
        (
            asked(HI, instructions=[part(kind="input_text", prompt_cache_breakpoint=MARK)]),
            "Invalid type for 'instructions': expected a string, but got an array instead.",
            "instructions",
            "invalid_type",
        ),
        (
            asked(HI, {**FC, "parsed_arguments": {}}, FCO),
            "Unknown parameter: 'input[1].parsed_arguments'.",
            "input[1].parsed_arguments",
            "unknown_parameter",
        ),
        (
            asked(HI, {"type": "reasoning", "id": "rs_1", "summary": []}, HI),
            "Item 'rs_1' of type 'reasoning' was provided without its required following item.",
            "input",
            None,
        ),
        (
            asked(HI, previous_response_id="resp_1"),
            "Previous response with id 'resp_1' not found.",
            "previous_response_id",
            "previous_response_not_found",
        ),
        (asked(HI, tools=[TOOL]), "Missing required parameter: 'tools[0].name'.", "tools[0].name", "missing_required_parameter"),
        (
            asked({"role": "user", "content": []}),
            "Invalid 'input[0].content': empty array. Expected an array with minimum length 1, but got an empty array instead.",
            "input[0].content",
            "empty_array",
        ),
    ],
)
def test_responses_refuses_as_the_api_does(body: Mapping[str, Any], message: str, param: str | None, code: str | None) -> None:
    """Message, parameter and code of each refusal."""
    assert error(responses(), body) == {"status": 400, "message": message, "type": "invalid_request_error", "param": param, "code": code}


def test_a_prompt_over_the_window_is_refused_in_each_dialects_words() -> None:
    """Chat says how much; Responses does not say how much; ``truncation: auto`` is let through."""
    assert error(CHAT, chat(HI), 1001) == {
        "status": 400,
        "message": "This model's maximum context length is 1000 tokens. However, your messages resulted in 1001 tokens. "
        "Please reduce the length of the messages.",
        "type": "invalid_request_error",
        "param": "messages",
        "code": "context_length_exceeded",
    }
    assert error(CHAT, chat(HI, max_completion_tokens=128), 1000) == {}
    found = error(responses(), asked(HI), 1001)
    assert (found["code"], found["param"]) == ("context_length_exceeded", "input")
    assert found["message"] == "Your input exceeds the context window of this model. Please adjust your input and try again."
    assert error(responses(), asked(HI, truncation="auto"), 1001) == {}


def test_a_stream_over_the_window_is_refused_in_its_third_event() -> None:
    """Only for that refusal, and only where the request is streamed."""
    endpoint: Any = responses()
    refused = endpoint.refusal(asked(HI, stream=True), {}, 1001, 1000)
    events = list(endpoint.refused_events(asked(HI, stream=True), refused, 3))
    assert [name for name, _ in events] == ["response.created", "response.in_progress", "error"]
    assert events[2][1] == {"type": "error", "sequence_number": 2, "error": refused.body["error"]}
    assert endpoint.refused_events(asked(HI), refused, 3) is None
    other = endpoint.refusal(asked(FC, stream=True), {}, 1, 1000)
    assert endpoint.refused_events(asked(FC, stream=True), other, 3) is None


def test_marks_in_their_places_are_taken_however_many() -> None:
    """Marks on user, system and tool content are legal; beyond the fourth they are not written, but not refused either."""
    marked = [part(f"{n}", prompt_cache_breakpoint={"mode": "explicit", "ttl": "12h"}) for n in range(6)]
    system = {"role": "system", "content": [part(prompt_cache_breakpoint=MARK)]}
    tells = {**TELLS, "content": [part(prompt_cache_breakpoint=MARK)]}
    body = chat(system, {"role": "user", "content": marked}, ASKS, tells, prompt_cache_options={"mode": "explicit"})
    assert error(CHAT, body) == {}
    items = [{"role": "user", "content": [part(kind="input_text", prompt_cache_breakpoint=MARK)]}] * 6
    output = [part(kind="input_text", prompt_cache_breakpoint=MARK)]
    assert error(responses(), asked(*items, FC, {**FCO, "output": output}, prompt_cache_options={"ttl": "12h"})) == {}


def test_other_makers_models_may_have_other_fields() -> None:
    """A server that is not OpenAI overlooks what it does not know; tool calls must pair there too."""
    extra = {"role": "assistant", "content": "a", "provider_specific_fields": {}}
    assert error(CHAT, chat(HI, extra, model="deepseek-chat", thinking={"type": "enabled"})) == {}
    assert error(CHAT, chat(HI, TELLS, model="deepseek-chat"))["param"] == "messages.[1].role"


def test_other_makers_models_show_what_they_think() -> None:
    """In ``reasoning_content``, streamed before the text."""
    body = chat(HI, model="deepseek-chat", stream=True)
    whole = CHAT.response(body, Reply("Yes.", thinking="Is the tide high?"), USAGE, 1)
    assert whole["choices"][0]["message"]["reasoning_content"] == "Is the tide high?"
    deltas = [data["choices"][0]["delta"] for _, data in CHAT.events(body, whole) if isinstance(data, Mapping)]
    assert "".join(delta.get("reasoning_content", "") for delta in deltas) == "Is the tide high?"
    said = ["content" in delta and bool(delta["content"]) for delta in deltas]
    thought = ["reasoning_content" in delta for delta in deltas]
    assert thought.index(True) < said.index(True)


def test_a_reply_may_be_given_in_the_dialects_own_json() -> None:
    """``content`` stands in the place of text, thinking and calls; a custom tool is called as one."""
    made = CHAT.response(chat(HI), Reply("unused", content=[part("A."), CALL]), USAGE, 1)["choices"][0]
    assert (made["message"]["content"], made["message"]["tool_calls"], made["finish_reason"]) == ("A.", [CALL], "tool_calls")
    items = [{"type": "web_search_call", "id": "ws_1", "status": "completed"}]
    assert responses().response(asked(HI), Reply(content=items), USAGE, 1)["output"] == items
    body = asked(HI, tools=[{"type": "custom", "name": "sh"}])
    (call,) = responses().response(body, Reply(calls=[ToolCall("sh", {"input": "ls"}, id="call_9")]), USAGE, 1)["output"]
    assert (call["type"], call["call_id"], call["input"]) == ("custom_tool_call", "call_9", "ls")


def walk(endpoint: Any, number: int, reply: Reply, **body: Any) -> dict[str, Any]:
    """One accepted request."""
    assert error(endpoint, body) == {}
    return dict(endpoint.response(body, reply, USAGE, number))


def test_a_conversation_goes_on_from_an_answer_by_its_id() -> None:
    """``previous_response_id`` stands for the whole history, an unanswered call in it is missed, and an unstored answer is not found."""
    endpoint: Any = responses()
    one = walk(endpoint, 1, Reply(calls=[ToolCall("look", {"at": "tide"})]), model=NEW, input="Hi.")
    call = one["output"][0]["call_id"]
    assert error(endpoint, {"model": NEW, "input": "And?", "previous_response_id": one["id"]})["message"] == (
        f"No tool output found for function call {call}."
    )
    body = {"model": NEW, "input": [{**FCO, "call_id": call}], "previous_response_id": one["id"]}
    assert endpoint.whole(body)["input"] == [{"role": "user", "content": "Hi."}, *one["output"], *body["input"]]
    two = walk(endpoint, 2, Reply("Kelp."), **body, store=False)
    assert error(endpoint, {"model": NEW, "input": "And?", "previous_response_id": two["id"]})["code"] == "previous_response_not_found"
    assert endpoint.whole({"model": NEW, "input": "Hi."}) == {"model": NEW, "input": "Hi."}


def test_a_conversation_is_kept_under_its_name() -> None:
    """Each answer of a ``conversation`` is added to it."""
    endpoint: Any = responses()
    one = walk(endpoint, 1, Reply("A."), model=NEW, input="1", conversation="conv_1")
    assert one["conversation"] == {"id": "conv_1"}
    walk(endpoint, 2, Reply("B."), model=NEW, input="2", conversation={"id": "conv_1"})
    assert len(endpoint.whole({"model": NEW, "input": "3", "conversation": "conv_1"})["input"]) == 5


def test_reasoning_may_not_be_taken_from_the_item_it_led_to() -> None:
    """An item of a stored answer comes with its reasoning item, by content or by reference; changed reasoning is refused."""
    endpoint: Any = responses()
    include = ["reasoning.encrypted_content"]
    thought, said = walk(endpoint, 1, Reply("A.", thinking="tide"), model=NEW, input="1", include=include)["output"]
    user = {"role": "user", "content": "1"}
    assert error(endpoint, asked(user, thought, said, HI)) == {}
    assert error(endpoint, asked(user, {"type": "item_reference", "id": thought["id"]}, said, HI)) == {}
    assert error(endpoint, asked(user, said, HI))["message"] == (
        f"Item '{said['id']}' of type 'message' was provided without its required 'reasoning' item: '{thought['id']}'."
    )
    assert error(endpoint, asked(user, thought, HI))["message"].endswith("without its required following item.")
    blob = thought["encrypted_content"]
    edited = {**thought, "encrypted_content": blob[:10] + ("A" if blob[10] != "A" else "B") + blob[11:]}
    assert error(endpoint, asked(user, edited, said, HI))["code"] == "invalid_encrypted_content"


def test_two_providers_remember_apart() -> None:
    """What one set of endpoints answered, another does not know."""
    one, other = endpoints(), endpoints()
    made = one["/v1/responses"].response(asked(HI), Reply("A."), USAGE, 1)
    later = {"model": NEW, "input": "And?", "previous_response_id": made["id"]}
    assert error(one["/v1/responses/input_tokens"], later) == {}
    assert error(other["/v1/responses"], later)["code"] == "previous_response_not_found"


def test_compaction_keeps_the_users_messages_and_seals_the_rest() -> None:
    """Its output is a legal input, its usage is billed, and an edit of the sealed item is refused."""
    made = endpoints()
    compact, endpoint = made["/v1/responses/compact"], made["/v1/responses"]
    body = {"model": NEW, "input": [HI, FC, FCO, {"role": "assistant", "content": "Kelp."}, {"role": "user", "content": "Thanks."}]}
    assert error(compact, body) == {}
    done = compact.response(body, Reply("A summary."), USAGE, 4)
    assert {*done} >= {name for name, field in CompactedResponse.model_fields.items() if field.is_required()}
    assert [item["type"] for item in done["output"]] == ["message", "message", "compaction"]
    assert [item["content"][0]["text"] for item in done["output"][:2]] == ["Hi.", "Thanks."]
    assert from_openai(done["usage"]) == USAGE
    assert error(endpoint, asked(*done["output"], HI)) == {}
    item = done["output"][2]
    spoilt = {**item, "encrypted_content": item["encrypted_content"].replace("gAAAAAhf", "gAAAAAhfAAAA")}
    assert error(endpoint, asked(HI, spoilt))["code"] == "invalid_encrypted_content"
    assert error(compact, {**body, "tools": []})["message"] == "Unknown parameter: 'tools'."


def test_counting_answers_with_the_prompts_tokens() -> None:
    """The exact count, as the SDK types it."""
    made = endpoints()["/v1/responses/input_tokens"].response(asked(HI), Reply(), Usage(fresh=123), 1)
    assert InputTokenCountResponse.model_validate(made).input_tokens == 123


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"model": "gpt-6-sol"}, "model_changed"),
        ({"tools": [{"type": "function", "name": "look"}]}, "tools_changed"),
        ({"prompt_cache_key": "b"}, "prompt_cache_key_changed"),
        ({"reasoning": {"effort": "low"}}, "reasoning_effort_changed"),
        ({"text": {"verbosity": "low"}}, "verbosity_changed"),
        ({"input": [{"role": "user", "content": "Hello."}]}, "input_changed"),
        ({}, ""),
    ],
)
def test_diagnostics_name_what_changed(change: Mapping[str, Any], reason: str) -> None:
    """Compared with the named response: the first setting that differs, else the input, else a hit."""
    endpoint: Any = responses()
    one = walk(endpoint, 1, Reply("A."), **asked(HI))
    options = {"comparison_response_id": one["id"]}
    two = walk(endpoint, 2, Reply("B."), **{**asked(HI, *one["output"], HI), "prompt_cache_options": options, **change})
    found = two["prompt_cache_diagnostics"]
    assert (found["type"], found.get("reason", "")) == (("cache_miss", reason) if reason else ("cache_hit", ""))
    Response.model_validate(two, strict=True)
    three = walk(endpoint, 3, Reply("C."), **asked(HI), prompt_cache_options={"comparison_response_id": "resp_0"})
    assert three["prompt_cache_diagnostics"] == {"type": "comparison_response_not_found"}


@pytest.mark.parametrize(("status", "kind"), [(429, "requests"), (500, "server_error"), (503, "server_error"), (529, "server_error")])
def test_failures_have_the_form_of_an_error(status: int, kind: str) -> None:
    """A fault's status and text, in the dialect's form."""
    for endpoint in (CHAT, responses()):
        found = endpoint.failure(Fault(status, message="Slow down."))
        assert (found.status, found.body["error"]["type"], found.body["error"]["message"]) == (status, kind, "Slow down.")
        assert endpoint.failure(Fault(status)).body["error"]["message"]


@settings(max_examples=15)
@given(conversations("openai-chat"), conversations("openai-responses"))
def test_legal_conversations_are_taken(chats: Sequence[Mapping[str, Any]], others: Sequence[Mapping[str, Any]]) -> None:
    """With parallel calls, images, marks and reasoning, at every turn."""
    for endpoint, bodies in ((CHAT, chats), (responses(), others)):
        for body in bodies:
            assert error(endpoint, body) == {}


turns: st.SearchStrategy[Sequence[Mapping[str, Any]]] = st.lists(st.sampled_from([HI, ASKS, TELLS]), min_size=1, max_size=8)
steps: st.SearchStrategy[Sequence[Mapping[str, Any]]] = st.lists(st.sampled_from([HI, FC, FCO]), min_size=1, max_size=8)


@settings(max_examples=60)
@given(turns, steps)
def test_pairs_are_judged_as_the_independent_checker_judges_them(messages: Sequence[Any], items: Sequence[Any]) -> None:
    """A history of calls and results is refused exactly where the checker finds a pair broken; ids used twice aside."""
    broken = {found.rule for found in check_body(json.dumps(chat(*messages)), "openai-chat")} & {"pair", "orphan"}
    assert bool(error(CHAT, chat(*messages))) == bool(broken)
    if sum(item is FC for item in items) < 2 and sum(item is FCO for item in items) < 2:
        broken = {found.rule for found in check_body(json.dumps(asked(*items)), "openai-responses")} & {"pair", "orphan"}
        assert bool(error(responses(), asked(*items))) == bool(broken)

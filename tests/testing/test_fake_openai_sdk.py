"""The fake's OpenAI endpoints over real sockets, asked by OpenAI's own SDK."""

from __future__ import annotations

import asyncio
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

from holdfast.testing.fake.provider import FakeProvider
from holdfast.testing.fake.values import Fault, Reply, ToolCall
from holdfast.usage import from_openai

MODEL = "gpt-5.6-sol"
LONG = "kelp rock tide wave anchor current shell reef " * 300
TOOL = {"name": "look", "description": "Looks.", "parameters": {"type": "object", "properties": {"at": {"type": "string"}}}}
CHAT_TOOLS: Any = [{"type": "function", "function": TOOL}]
TOOLS: Any = [{"type": "function", "strict": False, **TOOL}]
LOOKS = Reply("Let me look.", thinking="Where is the kelp?", calls=[ToolCall("look", {"at": "reef"}), ToolCall("look", {"at": "rock"})])


class Tide(BaseModel):
    """What ``parse`` is asked for."""

    high: bool
    metres: float


HIGH = Reply('{"high":true,"metres":3.5}')


def client(fake: FakeProvider, **more: Any) -> OpenAI:
    """The SDK's client on the fake."""
    return OpenAI(base_url=f"{fake.url}/v1", api_key="any", **{"max_retries": 0, **more})


def test_a_chat_agent_runs_with_parallel_tools_streamed_and_not() -> None:
    """The answers come as scripted, the usage is what the fake says it billed, and the second prompt reads the first."""
    with FakeProvider([LOOKS, "Done.", LOOKS, "Done."]) as fake, client(fake) as bare:
        for streamed in (False, True):
            messages: list[Any] = [{"role": "user", "content": f"{streamed}: {LONG}"}]
            told = []
            for _ in range(2):
                if streamed:
                    with bare.chat.completions.stream(
                        model=MODEL, messages=messages, tools=CHAT_TOOLS, stream_options={"include_usage": True}
                    ) as stream:
                        done: Any = stream.get_final_completion()
                else:
                    done = bare.chat.completions.create(model=MODEL, messages=messages, tools=CHAT_TOOLS)
                said = done.choices[0].message
                told.append(from_openai(done.usage.model_dump()))
                messages.append(said.model_dump(exclude_none=True, exclude={"parsed": True, "tool_calls": {"__all__": {"index"}}}))
                for call in messages[-1].get("tool_calls", ()):
                    call["function"].pop("parsed_arguments", None)
                messages += [
                    {"role": "tool", "tool_call_id": call.id, "content": call.function.arguments} for call in said.tool_calls or ()
                ]
            assert [message["role"] for message in messages] == ["user", "assistant", "tool", "tool", "assistant"]
            assert (messages[1]["content"], messages[4]["content"]) == ("Let me look.", "Done.")
            assert messages[2]["content"] == '{"at":"reef"}'
            assert told == [asked.usage for asked in fake.requests[-2:]]
            assert told[1].read == told[0].written > 2000


def test_a_responses_agent_runs_with_parallel_tools_streamed_and_not() -> None:
    """The same through Responses, with reasoning items sent back as they came."""
    with FakeProvider([LOOKS, "Done.", LOOKS, "Done."]) as fake, client(fake) as bare:
        for streamed in (False, True):
            items: list[Any] = [{"role": "user", "content": f"{streamed}: {LONG}"}]
            told = []
            for _ in range(2):
                if streamed:
                    with bare.responses.stream(model=MODEL, input=items, tools=TOOLS) as stream:
                        done: Any = stream.get_final_response()
                else:
                    done = bare.responses.create(model=MODEL, input=items, tools=TOOLS)
                told.append(from_openai(done.usage.model_dump()))
                left_out: Any = {"parsed_arguments": True, "content": {"__all__": {"parsed"}}}
                items += [item.model_dump(exclude_none=True, exclude=left_out) for item in done.output]
                calls = [item for item in done.output if item.type == "function_call"]
                items += [{"type": "function_call_output", "call_id": call.call_id, "output": call.arguments} for call in calls]
            kinds = [item.get("type", "message") for item in items]
            called = ["message", "reasoning", "message", "function_call", "function_call", "function_call_output", "function_call_output"]
            assert kinds == [*called, "message"]
            assert done.output_text == "Done."
            assert told == [asked.usage for asked in fake.requests[-2:]]
            assert told[1].read == told[0].written > 2000


def test_the_async_client_gets_the_same() -> None:
    """Created, streamed and parsed, in both dialects."""

    async def run(url: str) -> list[Any]:
        async with AsyncOpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0) as bare:
            hi: list[Any] = [{"role": "user", "content": "hi"}]
            chat = await bare.chat.completions.create(model=MODEL, messages=hi)
            streamed = await bare.chat.completions.create(model=MODEL, messages=hi, stream=True)
            chunks = [chunk.choices[0].delta.content or "" async for chunk in streamed]
            said = await bare.responses.create(model=MODEL, input="hi")
            events = [event.type async for event in await bare.responses.create(model=MODEL, input="hi", stream=True)]
            parsed = await bare.responses.parse(model=MODEL, input="hi", text_format=Tide)
            return [chat.choices[0].message.content, "".join(chunks), said.output_text, events[0], events[-1], parsed.output_parsed]

    with FakeProvider(["A tide is due.", "A tide is due.", "B.", "C.", HIGH]) as fake:
        found = asyncio.run(run(fake.url))
    assert found == ["A tide is due.", "A tide is due.", "B.", "response.created", "response.completed", Tide(high=True, metres=3.5)]


def test_parsed_and_raw_answers_come_through() -> None:
    """``parse``, ``with_raw_response`` and ``with_streaming_response``."""
    with FakeProvider([HIGH, HIGH, "Raw.", "Streamed."]) as fake, client(fake) as bare:
        hi: list[Any] = [{"role": "user", "content": "hi"}]
        parsed = bare.chat.completions.parse(model=MODEL, messages=hi, response_format=Tide)
        assert parsed.choices[0].message.parsed == Tide(high=True, metres=3.5)
        assert bare.responses.parse(model=MODEL, input="hi", text_format=Tide).output_parsed == Tide(high=True, metres=3.5)
        raw = bare.chat.completions.with_raw_response.create(model=MODEL, messages=hi)
        assert raw.headers["x-request-id"]
        assert raw.parse().choices[0].message.content == "Raw."
        with bare.responses.with_streaming_response.create(model=MODEL, input="hi") as response:
            assert response.parse().output_text == "Streamed."


def test_a_chat_stream_tells_its_usage_only_where_it_was_asked_to() -> None:
    """Without ``include_usage`` no chunk has a usage; with it one chunk without choices has it."""
    with FakeProvider() as fake, client(fake) as bare:
        hi: list[Any] = [{"role": "user", "content": "hi"}]
        plain = list(bare.chat.completions.create(model=MODEL, messages=hi, stream=True))
        assert all(chunk.usage is None and chunk.choices for chunk in plain)
        told = list(bare.chat.completions.create(model=MODEL, messages=hi, stream=True, stream_options={"include_usage": True}))
        assert [chunk.usage is None for chunk in told] == [bool(chunk.choices) for chunk in told]
        assert told[-1].usage is not None
        assert told[-1].usage.prompt_tokens == fake.requests[-1].prompt_tokens


def test_an_answer_is_gone_on_from_by_its_id_and_billed_whole() -> None:
    """``previous_response_id`` sends little and is billed for the whole prompt, most of it read; a lost id is refused."""
    with FakeProvider(["A.", "B."]) as fake, client(fake) as bare:
        one = bare.responses.create(model=MODEL, input=LONG)
        two = bare.responses.create(model=MODEL, input="And?", previous_response_id=one.id)
        assert one.usage is not None
        assert two.usage is not None
        assert two.usage.input_tokens > one.usage.input_tokens > 2000
        assert two.usage.input_tokens_details.cached_tokens == one.usage.input_tokens_details.cache_write_tokens
        with pytest.raises(openai.BadRequestError) as caught:
            bare.responses.create(model=MODEL, input="And?", previous_response_id="resp_lost")
        assert caught.value.code == "previous_response_not_found"
    with FakeProvider() as other, client(other) as bare, pytest.raises(openai.BadRequestError):
        bare.responses.create(model=MODEL, input="And?", previous_response_id=one.id)


def test_counting_and_compaction_work() -> None:
    """The count is what the request is then billed; what compaction gives back can be sent."""
    with FakeProvider(["A summary.", "Done."]) as fake, client(fake) as bare:
        items: list[Any] = [{"role": "user", "content": LONG}, {"role": "assistant", "content": "Yes."}]
        counted = bare.responses.input_tokens.count(model=MODEL, input=items)
        raw = bare.responses.with_raw_response.compact(model=MODEL, input=items)
        compacted = raw.parse()
        assert counted.input_tokens == compacted.usage.input_tokens
        assert [item.type for item in compacted.output] == ["message", "compaction"]
        sent: list[Any] = [*raw.http_response.json()["output"], {"role": "user", "content": "Go on."}]
        assert bare.responses.create(model=MODEL, input=sent).output_text == "Done."
        assert [asked.usage is None for asked in fake.requests] == [True, False, False]


def test_refusals_arrive_as_the_sdks_own_errors() -> None:
    """With code and parameter; nothing that was refused is billed."""
    with FakeProvider(windows={MODEL: 1000}) as fake, client(fake) as bare:
        long: list[Any] = [{"role": "user", "content": LONG}]
        for streamed in (False, True):
            with pytest.raises(openai.BadRequestError) as caught:
                bare.chat.completions.create(model=MODEL, messages=long, stream=streamed)
            assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "messages")
        with pytest.raises(openai.BadRequestError) as caught:
            bare.responses.create(model=MODEL, input=LONG)
        assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "input")
        with pytest.raises(openai.BadRequestError, match="Unknown parameter: 'holdfast'"):
            bare.responses.create(model=MODEL, input="hi", extra_body={"holdfast": 1})
        with pytest.raises(openai.APIError, match="exceeds the context window") as late:
            list(bare.responses.create(model=MODEL, input=LONG, stream=True))
        assert late.value.code == "context_length_exceeded"
        assert fake.usage.prompt == 0


def test_faults_are_retried_by_the_sdk() -> None:
    """A rate limit, an overload and a dropped connection: the third attempt is answered."""
    with FakeProvider([Fault(429, retry_after=0.01), Fault(drop="headers"), "Done."]) as fake, client(fake, max_retries=2) as bare:
        assert bare.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "hi"}]).choices[0].message.content == "Done."
        assert [asked.status for asked in fake.requests][::2] == [429, 200]
    with FakeProvider([Fault(drop="body")]) as fake, client(fake) as bare, pytest.raises(openai.APIConnectionError):
        list(bare.responses.create(model=MODEL, input="hi", stream=True))

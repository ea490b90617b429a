"""The SDK, Holdfast and the fake provider: whole conversations over real sockets."""

from __future__ import annotations

from typing import Any

import anyio
import httpx2
import pytest
from anthropic import Anthropic, AsyncAnthropic

from holdfast.testing import FakeProvider, Fault, Reply, ToolCall
from holdfast.wrap import of, wrap

MODEL = "claude-sonnet-5"
TOOLS: list[Any] = [
    {"name": "read", "description": "Reads a file.", "input_schema": {"type": "object", "properties": {"path": {"type": "string"}}}}
]
ROUNDS = 8


def said(asked: Any) -> Reply:
    """Two tools at once, until the conversation is long enough."""
    turn = len(asked.body["messages"])
    if turn >= 2 * ROUNDS:
        return Reply("Done.")
    return Reply(f"Round {turn}.", calls=[ToolCall("read", {"path": f"/src/{turn}/{name}.py"}) for name in ("a", "b")])


def results(message: Any) -> list[dict[str, Any]]:
    """What the tools of a reply give."""
    calls = [block for block in message.content if block.type == "tool_use"]
    return [{"type": "tool_result", "tool_use_id": call.id, "content": f"text of {call.input['path']} " * 120} for call in calls]


def agent(client: Anthropic) -> list[Any]:
    """A loop with every other turn streamed, the SDK's own objects put back into the history."""
    messages: list[Any] = [{"role": "user", "content": "Look at all of it."}]
    while True:
        options: Any = {"model": MODEL, "max_tokens": 200, "tools": TOOLS, "messages": messages}
        if len(messages) % 4 == 1:
            message: Any = client.messages.create(**options)
        else:
            with client.messages.stream(**options) as stream:
                message = stream.get_final_message()
        messages.append({"role": "assistant", "content": message.content})
        if message.stop_reason != "tool_use":
            return messages
        messages.append({"role": "user", "content": results(message)})


async def agent_async(client: AsyncAnthropic) -> list[Any]:
    """The same, asynchronous."""
    messages: list[Any] = [{"role": "user", "content": "Look at all of it."}]
    while True:
        options: Any = {"model": MODEL, "max_tokens": 200, "tools": TOOLS, "messages": messages}
        if len(messages) % 4 == 1:
            message: Any = await client.messages.create(**options)
        else:
            async with client.messages.stream(**options) as stream:
                message = await stream.get_final_message()
        messages.append({"role": "assistant", "content": message.content})
        if message.stop_reason != "tool_use":
            return messages
        messages.append({"role": "user", "content": results(message)})


def through(fake: FakeProvider, asynchronous: bool, **wishes: Any) -> tuple[list[Any], Any]:
    """A conversation through a wrapped client, and its handle."""
    if asynchronous:
        client = wrap(AsyncAnthropic(api_key="k", base_url=fake.url), **wishes)

        async def go() -> list[Any]:
            async with client:
                return await agent_async(client)

        return anyio.run(go), of(client)
    with wrap(Anthropic(api_key="k", base_url=fake.url), **wishes) as sync:
        return agent(sync), of(sync)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_an_observed_agent_sends_and_gets_what_the_bare_one_does(asynchronous: bool) -> None:
    """Byte for byte out, and the same conversation back."""
    with FakeProvider(said) as fake, FakeProvider(said) as other:
        with Anthropic(api_key="k", base_url=other.url) as bare:
            theirs = agent(bare)
        ours, handle = through(fake, asynchronous, mode="observe", trigger=2_000)
        assert [asked.raw for asked in fake.requests] == [asked.raw for asked in other.requests]
        assert [message["role"] for message in ours] == [message["role"] for message in theirs]
        assert handle.last is not None


@pytest.mark.parametrize("asynchronous", [False, True])
def test_an_agent_is_shortened_and_the_provider_takes_it(asynchronous: bool) -> None:
    """Every request is accepted, the last ones are shorter than what the caller gave, and later turns read the cache."""
    with FakeProvider(said) as fake:
        _, handle = through(fake, asynchronous, strategy="micro", trigger=4_000, target=2_500)
        assert {asked.status for asked in fake.requests} == {200}
        assert fake.usage.read > 0
        trace = handle.last
        assert trace is not None
        assert trace.sent_tokens < trace.given_tokens


def test_faults_are_the_sdks_to_retry_and_change_nothing() -> None:
    """After an overload and a dropped connection the same bytes go out; after a cut stream the conversation goes on."""
    script: list[Any] = [Fault(529, retry_after=0.01), Reply("One."), Fault(drop="body"), Reply("Two.")]
    history: Any = [{"role": "user", "content": "Go."}]
    with FakeProvider(script) as fake, wrap(Anthropic(api_key="k", base_url=fake.url)) as client:
        assert client.messages.create(model=MODEL, max_tokens=9, messages=history).stop_reason == "end_turn"
        with pytest.raises(httpx2.HTTPError), client.messages.stream(model=MODEL, max_tokens=9, messages=history) as stream:
            stream.until_done()
        assert client.messages.create(model=MODEL, max_tokens=9, messages=history).content
        assert len({asked.raw for asked in fake.requests[:2]}) == 1
        assert [asked.status for asked in fake.requests[:2]] == [529, 200]
        assert client.messages.count_tokens(model=MODEL, messages=history).input_tokens > 0

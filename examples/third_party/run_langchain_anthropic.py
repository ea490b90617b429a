"""An agent loop on langchain-anthropic whose client is wrapped. No network: a scripted provider on loopback, a real tool.

    pip install holdfast langchain-anthropic
    python examples/third_party/run_langchain_anthropic.py           # --awaited: the async client, --streamed: streams

``ChatAnthropic`` makes its clients on first use, as the cached properties ``_client`` and ``_async_client`` (langchain-anthropic 1.7), and
takes none from outside. What it has made is replaced by its wrapped copy; ``bind_tools`` and all else share it.
"""

from __future__ import annotations

import argparse
import asyncio
from itertools import count
from typing import Any

from langchain_anthropic import ChatAnthropic
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool

import holdfast
from holdfast.testing import Asked, FakeProvider, Reply, ToolCall
from holdfast.trace import CommitTrace

TURNS = 40
STEPS = count()


@tool
def read_frond(number: int) -> str:
    """Reads what is written on a frond."""
    return "\n".join(f"line {line} on frond {number}: it sways" for line in range(80))


def model_says(asked: Asked) -> Reply:
    """Reads one frond after the other, and says so at the end."""
    if "Do not call any tool" in str(asked.body["messages"][-1]):  # a strategy asks for a summary
        return Reply("Fronds are being read, one after the other; all of them sway.")
    step = next(STEPS)
    if step >= TURNS - 1:
        return Reply("The rock holds.")
    return Reply(f"Frond {step} is next.", calls=[ToolCall("read_frond", {"number": step})])


def holding(model: ChatAnthropic, **wishes: Any) -> ChatAnthropic:
    """The same model object, its clients wrapped."""
    model.__dict__["_client"] = holdfast.wrap(model._client, **wishes)  # noqa: SLF001
    model.__dict__["_async_client"] = holdfast.wrap(model._async_client, **wishes)  # noqa: SLF001
    return model


async def answer(model: Any, history: list[BaseMessage], awaited: bool, streamed: bool) -> AIMessage:
    """What the model says."""
    if streamed:
        chunks = [chunk async for chunk in model.astream(history)] if awaited else list(model.stream(history))
        whole = chunks[0]
        for chunk in chunks[1:]:
            whole += chunk
        return whole
    return await model.ainvoke(history) if awaited else model.invoke(history)


async def loop(model: ChatAnthropic, awaited: bool, streamed: bool) -> list[BaseMessage]:
    """Asks, does what is called for, asks again, until nothing is called for any more."""
    able = model.bind_tools([read_frond])
    history: list[BaseMessage] = [SystemMessage("You look after a kelp forest."), HumanMessage("Does the rock hold?")]
    while True:
        said = await answer(able, history, awaited, streamed)
        history.append(said)
        if not said.tool_calls:
            return history
        history += [ToolMessage(read_frond.invoke(call["args"]), tool_call_id=call["id"]) for call in said.tool_calls]


def main() -> None:
    """The loop runs to its end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--awaited", action="store_true")
    parser.add_argument("--streamed", action="store_true")
    given = parser.parse_args()
    with FakeProvider(model_says) as fake:
        model = ChatAnthropic(model_name="claude-sonnet-4-6", base_url=fake.url, api_key="any", max_tokens=1000)  # type: ignore[arg-type]
        commits: list[CommitTrace] = []
        hooks = holdfast.Hooks(on_commit=lambda event: commits.append(event.commit))
        holding(model, strategy="micro", trigger=12_000, target=6_000, hooks=hooks)
        history = asyncio.run(loop(model, given.awaited, given.streamed))
        client = model._async_client if given.awaited else model._client  # noqa: SLF001
        last = holdfast.of(client).last
        assert last is not None
        refused = sum(asked.status != 200 for asked in fake.requests)
        print(f"{history[-1].text} after {fake.count} calls")
        print(f"the loop holds {len(history)} messages; {len(commits)} plans were committed; {refused} requests were refused")
        print(f"the last request: {last.given_tokens:,} tokens given, {last.sent_tokens:,} sent; {fake.usage.read:,} were read warm")


if __name__ == "__main__":
    main()

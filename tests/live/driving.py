"""One turn of an agent, through whichever client, streamed or not."""

from __future__ import annotations

from typing import Any

from tests.agents import AnthropicAgent, ChatAgent, ResponsesAgent

Agent = AnthropicAgent | ChatAgent | ResponsesAgent


def asked(agent: Agent) -> dict[str, Any]:
    """The agent's arguments, the history as ``extra_body``: the SDK's own look at every old item of it takes most of a test's time."""
    given = agent.arguments()
    if isinstance(agent, AnthropicAgent):
        return given
    key = "messages" if isinstance(agent, ChatAgent) else "input"
    return {**given, key: given[key][:1], "extra_body": {key: given[key]}}


def step(agent: Agent, client: Any, streamed: bool) -> Any:
    """One request and what follows from its answer."""
    given = asked(agent)
    if isinstance(agent, AnthropicAgent):
        if streamed:
            with client.messages.stream(**given) as stream:
                answer = stream.get_final_message()
        else:
            answer = client.messages.create(**given)
    elif isinstance(agent, ChatAgent):
        if streamed:
            with client.chat.completions.stream(**given) as stream:
                answer = stream.get_final_completion()
        else:
            answer = client.chat.completions.create(**given)
    else:
        answer = client.responses.create(**given, stream=True) if streamed else client.responses.create(**given)
        if streamed:
            answer = next(event for event in list(answer) if event.type == "response.completed").response
    agent.took(answer)
    return answer


async def astep(agent: Agent, client: Any, streamed: bool) -> Any:
    """The same, awaited."""
    given = asked(agent)
    if isinstance(agent, AnthropicAgent):
        if streamed:
            async with client.messages.stream(**given) as stream:
                answer = await stream.get_final_message()
        else:
            answer = await client.messages.create(**given)
    elif isinstance(agent, ChatAgent):
        if streamed:
            async with client.chat.completions.stream(**given) as stream:
                answer = await stream.get_final_completion()
        else:
            answer = await client.chat.completions.create(**given)
    else:
        answer = await client.responses.create(**given, **({"stream": True} if streamed else {}))
        if streamed:
            answer = next(event for event in [event async for event in answer] if event.type == "response.completed").response
    agent.took(answer)
    return answer


def run(agent: Agent, client: Any, turns: int) -> None:
    """So many turns, every other one streamed."""
    for _ in range(turns):
        step(agent, client, streamed=agent.turns % 2 == 1)


async def arun(agent: Agent, client: Any, turns: int) -> None:
    """The same, awaited, over one connection pool."""
    async with client:
        for _ in range(turns):
            await astep(agent, client, streamed=agent.turns % 2 == 1)

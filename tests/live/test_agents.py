"""Agents of fifty turns, half of them sync and half async, every other turn streamed: judged by what the provider got."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest

from holdfast import strategies
from holdfast.checker import Violation
from tests.agents import AnthropicAgent, ChatAgent, ResponsesAgent, says
from tests.contract.subjects import eager
from tests.live.driving import Agent, arun, run
from tests.live.watched import Watched, watched

TURNS = 50
NAMES = sorted(strategies.registered())
THINKING = {"thinking": {"type": "adaptive"}}
THOUGHT = "Let me think about the kelp. " * 4

AGENTS: Mapping[str, Callable[[], Agent]] = {
    "binding": lambda: AnthropicAgent("claude-opus-5-5", 150, images=True, extra=THINKING),
    "free": lambda: AnthropicAgent("claude-sonnet-4-6", 150, images=True, extra=THINKING),
    "chat marked": lambda: ChatAgent("gpt-5.6-sol", 250),
    "responses": lambda: ResponsesAgent(result=250),
}
OTHERS = [("free", "ladder"), ("chat marked", "full"), ("responses", "full")]
RUNS = [("binding", name) for name in NAMES] + OTHERS


def ran(kind: str, name: str) -> tuple[Agent, Watched, list[Violation]]:
    """Fifty turns of an agent, what was seen of them, and what the checker finds in it."""
    agent = AGENTS[kind]()
    thought = THOUGHT if isinstance(agent, AnthropicAgent) else ""
    with watched(says(calls=2, thinking=thought), strategy=eager(name), trigger=3_000, target=1_500, keep_tail_tokens=300) as seen:
        if isinstance(agent, AnthropicAgent):
            with seen.anthropic(max_retries=0) as client:
                run(agent, client, TURNS // 2)
            asyncio.run(arun(agent, seen.async_anthropic(max_retries=0), TURNS // 2))
        else:
            with seen.openai(max_retries=0) as other:
                run(agent, other, TURNS // 2)
            asyncio.run(arun(agent, seen.async_openai(max_retries=0), TURNS // 2))
        return agent, seen, seen.judged("prefix" if kind == "binding" else None)


@pytest.mark.parametrize(("kind", "name"), RUNS)
def test_an_agent_of_fifty_turns_is_shortened_again_and_again_and_nothing_breaks(kind: str, name: str) -> None:
    """Every request is taken, legal, and begins with the bytes of the last one but where a plan was announced; so the report says, too."""
    agent, seen, found = ran(kind, name)
    assert found == []
    assert agent.turns == TURNS == len(seen.traces)
    assert list(seen.calls.errors) == []
    assert seen.calls.report().reads.unplanned_breaks == 0
    assert seen.commits >= 3 if name != "none" else seen.commits == 0
    if name != "none":
        assert seen.sent[-1].prompt_tokens < seen.traces[-1].given_tokens
        assert seen.calls.report().commits == seen.commits


def test_thinking_that_the_api_drops_is_no_break() -> None:
    """Behind a commit the provider leaves out old thinking; the report predicts what it reads all the same."""
    agent = AnthropicAgent("claude-opus-5-5", 500, extra=THINKING)
    with watched(says(thinking="Let me think about kelp. " * 20), strategy="truncate") as seen, seen.anthropic(max_retries=0) as client:
        run(agent, client, 12)
        assert seen.commits > 0
        assert any(trace.thinking == "dropped" for trace in seen.traces)
        reads = seen.calls.report().reads
        assert (reads.agree, reads.unplanned_breaks) == (reads.checked, 0)

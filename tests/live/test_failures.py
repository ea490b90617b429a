"""What goes wrong on the wire: refusals that pass, cut streams, time-outs, cancellation. The next request is right, and nothing is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from holdfast.testing import Asked, Fault, Reply, Say
from tests.agents import AnthropicAgent, ChatAgent, ResponsesAgent, asks_for_summary, says
from tests.live.driving import Agent, arun, astep, run, step
from tests.live.watched import Watched, judged, unmarked, watched

LOST = (anthropic.APIError, openai.APIError, httpx2.HTTPError, ConnectionError)
AGENTS: dict[str, Callable[[], Agent]] = {
    "anthropic": lambda: AnthropicAgent("claude-sonnet-4-6", 900),
    "chat": lambda: ChatAgent(result=1_500),
    "responses": lambda: ResponsesAgent(result=1_500),
}
EASY: dict[str, Any] = {"trigger": 3_000, "target": 1_500, "keep_tail_tokens": 300}

DUE = 1_800
"""A prompt above this is above the trigger at the next turn."""


def client_of(seen: Watched, agent: Agent, **options: Any) -> Any:
    """A wrapped client of the agent's maker."""
    return seen.anthropic(**options) if isinstance(agent, AnthropicAgent) else seen.openai(**options)


def async_client_of(seen: Watched, agent: Agent, **options: Any) -> Any:
    """The same, asynchronous."""
    return seen.async_anthropic(**options) if isinstance(agent, AnthropicAgent) else seen.async_openai(**options)


class Troubled:
    """A model that says what it would say, after whatever else was put before it."""

    def __init__(self) -> None:
        self.reply = says()
        self.trouble: Iterator[Say] = iter(())

    def __call__(self, asked: Asked) -> Say:
        return next(self.trouble, None) or self.reply(asked)

    def next(self, *trouble: Say) -> None:
        """What goes wrong from now on."""
        self.trouble = iter(trouble)


@pytest.mark.parametrize("kind", AGENTS)
def test_every_attempt_of_a_call_sends_the_same_bytes_and_commits_once(kind: str) -> None:
    """429, 500, 529 and a dropped connection, just where a plan is committed: four retries, and one commit."""
    model, agent = Troubled(), AGENTS[kind]()
    with watched(model, strategy="truncate", **EASY) as seen, client_of(seen, agent, max_retries=4) as client:
        while not seen.commits:
            before, plans = len(seen.sent), len(seen.traces)
            model.next(Fault(429, retry_after=0.001), Fault(500, retry_after=0.001), Fault(529, retry_after=0.001))
            quick(client)
            step(agent, client, streamed=False)
            attempts = seen.sent[before:]
            assert [asked.status for asked in attempts] == [429, 500, 529, 200]
            assert len({asked.raw for asked in attempts}) == 1
            assert len(seen.traces) == plans + 1
        run(agent, client, 6)
        assert seen.calls.report().commits == seen.commits
        taken = [n for n, asked in enumerate(seen.sent) if asked.status == 200]
        assert judged([seen.given[n] for n in taken], [seen.sent[n] for n in taken], seen.traces) == []


def quick(client: Any) -> None:
    """Retries of this client wait for next to nothing."""
    vars(client)["_calculate_retry_timeout"] = lambda *_, **__: 0.001


@pytest.mark.parametrize("kind", AGENTS)
@pytest.mark.parametrize("drop", ["headers", "body"])
def test_after_a_cut_answer_the_next_request_is_right(kind: str, drop: Any) -> None:
    """Cut before the headers, the plan never happened and comes again; cut in the middle, it has happened: the same bytes either way."""
    model, agent = Troubled(), AGENTS[kind]()
    with watched(model, strategy="truncate", **EASY) as seen, client_of(seen, agent, max_retries=0) as client:
        lost = set[int]()
        while not seen.commits:
            model.next(Fault(drop=drop))
            lost.add(len(seen.sent))
            with pytest.raises(LOST):
                step(agent, client, streamed=True)
            step(agent, client, streamed=True)
        first, second = seen.sent[-2:]
        assert unmarked(first) == unmarked(second)
        assert drop == "body" or first.raw == second.raw
        assert [trace.commit is not None for trace in seen.traces[-2:]] == [True, drop == "headers"]
        assert seen.calls.report().commits == 1
        run(agent, client, 3)
        lost = lost if drop == "headers" else set()
        kept = [n for n in range(len(seen.sent)) if n not in lost]
        assert judged([seen.given[n] for n in kept], [seen.sent[n] for n in kept], [seen.traces[n] for n in kept]) == []


@pytest.mark.parametrize("kind", AGENTS)
def test_a_call_that_times_out_commits_nothing_and_the_next_one_is_right(kind: str) -> None:
    """The answer begins too late for the caller; the same request made again goes out with the same bytes and carries the plan."""
    model, agent = Troubled(), AGENTS[kind]()
    with watched(model, strategy="truncate", **EASY) as seen, client_of(seen, agent, max_retries=0) as client:
        while not seen.commits:
            if seen.traces and seen.traces[-1].sent_tokens > DUE:
                model.next(Reply("Late.", latency=0.8))
                with pytest.raises((anthropic.APITimeoutError, openai.APITimeoutError)):
                    step(agent, client.with_options(timeout=0.25), streamed=False)
                assert seen.calls.report().commits == 0
            step(agent, client, streamed=False)
        assert seen.sent[-1].raw == seen.sent[-2].raw
        assert seen.traces[-2].commit == seen.traces[-1].commit
        assert seen.calls.report().commits == 1


async def cancelled(work: Any, after: float) -> None:
    """Starts it and cancels it in the middle."""
    task = asyncio.ensure_future(work)
    await asyncio.sleep(after)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("kind", AGENTS)
def test_a_stream_that_is_cancelled_leaves_a_conversation_that_goes_on(kind: str) -> None:
    """What it carried stays committed, what comes next begins with its bytes, and the connection is given back."""
    model, agent = Troubled(), AGENTS[kind]()

    async def go(seen: Watched) -> None:
        async with async_client_of(seen, agent, max_retries=0) as client:
            for _ in range(60):
                if seen.commits:
                    break
                await astep(agent, client, streamed=False)
            model.next(Reply("One word after the other, and each of them slowly. " * 9, pace=0.2))
            await cancelled(astep(agent, client, streamed=True), 0.15)
            await astep(agent, client, streamed=True)

    with watched(model, strategy="truncate", **EASY) as seen:
        asyncio.run(go(seen))
        assert unmarked(seen.sent[-1]) == unmarked(seen.sent[-2])
        assert judged(seen.given, seen.sent, seen.traces) == []
        assert list(seen.calls.errors) == []


@pytest.mark.parametrize("kind", AGENTS)
def test_a_question_that_is_cancelled_leaves_no_plan(kind: str) -> None:
    """The caller gives up while the model is being asked: nothing of it was sent, and the next request asks again and commits."""
    agent, slow = AGENTS[kind](), [True]
    plain = says()

    def reply(asked: Asked) -> Reply:
        return replace(plain(asked), latency=0.6 if asks_for_summary(asked.body) and slow else 0)

    async def go(seen: Watched) -> None:
        async with async_client_of(seen, agent, max_retries=0) as client:
            for _ in range(60):
                turn = asyncio.ensure_future(astep(agent, client, streamed=False))
                while not turn.done() and not seen.questions:
                    await asyncio.sleep(0.002)
                if seen.questions:
                    turn.cancel()
                    with pytest.raises(asyncio.CancelledError):
                        await turn
                    break
            slow.clear()
            before = len(seen.sent)
            await astep(agent, client, streamed=False)
            assert len(seen.sent) == before + 1
            await arun(agent, client, 3)

    with watched(reply, strategy="full", **EASY) as seen:
        asyncio.run(go(seen))
        assert seen.commits == len(seen.questions) - 1 > 0
        assert len(seen.sent) == len(seen.traces)
        given = [one for n, one in enumerate(seen.given) if n == len(seen.given) - 1 or one != seen.given[n + 1]]
        assert judged(given, seen.sent, seen.traces) == []


@pytest.mark.parametrize("kind", AGENTS)
def test_a_caller_that_is_interrupted_while_it_reads_can_go_on(kind: str) -> None:
    """``KeyboardInterrupt`` out of the loop over a stream: the answer is closed, and the same request goes out in the same bytes."""
    agent = AGENTS[kind]()
    with watched(says(), strategy="truncate", **EASY) as seen, client_of(seen, agent, max_retries=0) as client:
        while not seen.commits:
            step(agent, client, streamed=False)
        with pytest.raises(KeyboardInterrupt):
            interrupted(agent, client)
        step(agent, client, streamed=True)
        assert unmarked(seen.sent[-1]) == unmarked(seen.sent[-2])
        assert judged(seen.given, seen.sent, seen.traces) == []
        assert seen.commits == seen.calls.report().commits


def interrupted(agent: Agent, client: Any) -> None:
    """The first event is the last that is read."""
    given = agent.arguments()
    if isinstance(agent, AnthropicAgent):
        with client.messages.stream(**given) as stream:
            next(iter(stream))
            raise KeyboardInterrupt
    resource = client.chat.completions if isinstance(agent, ChatAgent) else client.responses
    with resource.create(**given, stream=True) as stream:
        next(iter(stream))
        raise KeyboardInterrupt

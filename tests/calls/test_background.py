"""A summary prepared in the background: asked after the answer, put in at a cheap moment, paid once, and never in anybody's way."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from typing import Any

import pytest
from anthropic import Anthropic, AsyncAnthropic
from openai import OpenAI

import holdfast
from holdfast.calls import background
from holdfast.calls.breaker import FAILURES
from holdfast.testing import Asked, FakeProvider, Fault, Reply
from tests.agents import AnthropicAgent, ChatAgent, asks_for_summary, says

SIZES: dict[str, Any] = {"strategy": "full", "trigger": 12_000, "target": 6_000, "keep_tail_tokens": 1_500, "telemetry": False}


@contextmanager
def agent_of(script: Any, **wishes: Any) -> Iterator[tuple[FakeProvider, Anthropic, AnthropicAgent]]:
    """An agent on a wrapped client."""
    options = {name: wishes.pop(name) for name in ("clock", "losses") if name in wishes}
    with FakeProvider(script, counter="sampled", **options) as fake, Anthropic(base_url=fake.url, api_key="k", max_retries=0) as bare:
        settings = {**SIZES, "background": True, **({"clock": options["clock"]} if "clock" in options else {}), **wishes}
        yield fake, holdfast.wrap(bare, **settings), AnthropicAgent()


def questions(fake: FakeProvider) -> list[int]:
    """Where among all requests the questions stand."""
    return [place for place, request in enumerate(fake.requests) if request.body and asks_for_summary(request.body)]


def idle(client: Any) -> None:
    """Wait until nothing is under way beside the conversation."""
    calls = holdfast.of(client).calls
    deadline = time.monotonic() + 5
    while any(thread.name == "holdfast-summary" for thread in threading.enumerate()) and time.monotonic() < deadline:
        time.sleep(0.002)
    assert calls.preparing == 0


def turns(client: Any, agent: AnthropicAgent, count: int) -> list[holdfast.Trace]:
    """So many requests, with time for what goes on beside them; their traces."""
    traces = []
    for _ in range(count):
        agent.run(client, 1)
        trace = holdfast.of(client).last
        assert trace is not None
        traces.append(trace)
        idle(client)
    return traces


@pytest.mark.parametrize("streamed", [False, True])
def test_the_question_is_asked_beside_the_conversation_and_its_answer_put_in_later(streamed: bool) -> None:
    """Near the trigger one question goes out after an answer; the request that is over the trigger carries its summary and asks nothing."""
    with agent_of(says(every=100)) as (fake, client, agent):
        committed = None
        for _ in range(14):
            agent.stream(client, 1) if streamed else agent.run(client, 1)
            trace = holdfast.of(client).last
            assert trace is not None
            if trace.commit is not None:
                committed = trace
                break
            idle(client)
        (asked,) = questions(fake)
        assert committed is not None
        assert committed.commit is not None
        assert committed.given_tokens > 12_000 > fake.requests[asked].prompt_tokens * 0.9
        assert asked < len(fake.requests) - 1
        assert committed.commit.asked == (fake.requests[asked].usage,)
        assert "The user wants to know why the kelp lets go." in str(fake.requests[-1].body["messages"])
        usage = fake.requests[asked].usage
        assert usage is not None
        assert usage.read > 0.8 * usage.prompt
        assert usage.written == 0
        assert {request.status for request in fake.requests} == {200}


def test_what_came_since_stays_verbatim() -> None:
    """The tail behind the summary is the caller's own, newer messages among it."""
    with agent_of(says(every=100)) as (fake, client, agent):
        traces = turns(client, agent, 14)
        first = next(place for place, trace in enumerate(traces) if trace.commit is not None)
        sent = [request for request in fake.requests if not asks_for_summary(request.body)][first].body["messages"]
        fold = traces[first].commit.edits[-1]  # type: ignore[union-attr]
        kept = [message for message in sent if message["role"] == "assistant"]
        whole = [message for message in agent.messages if message["role"] == "assistant"][:first]
        texts = [block["text"] for message in kept for block in message["content"] if block["type"] == "text"]
        assert texts == [message["content"][0].text for message in whole[-len(texts) :]]
        assert fold.stop > 1


def test_the_caller_never_waits_for_it() -> None:
    """While the question is being answered the next requests go out, none of them with a second question or a plan of its own."""
    hold = Event()

    def slow(asked: Asked) -> Reply | Fault:
        if asks_for_summary(asked.body):
            hold.wait(30)
        return says(every=100)(asked)

    with agent_of(slow, trigger=9_000, target=4_500) as (fake, client, agent):
        traces = []
        for _ in range(9):
            agent.run(client, 1)
            traces.append(holdfast.of(client).last)
        assert len(fake.requests) == 10
        assert not any(trace.commit for trace in traces if trace)
        assert "being written beside" in (traces[-1].reason if traces[-1] else "")
        hold.set()
        idle(client)
        (after,) = turns(client, agent, 1)
        assert after.commit is not None
        assert after.asked == (fake.requests[questions(fake)[0]].usage,)


def test_over_the_limit_nothing_waits() -> None:
    """Where the prompt must not stay as it is, the plan is made at once, whoever is asked meanwhile."""
    hold = Event()
    asked_for: list[int] = []

    def slow(asked: Asked) -> Reply | Fault:
        if asks_for_summary(asked.body):
            asked_for.append(1)
            if len(asked_for) == 1:
                hold.wait(5)
        return says(every=100)(asked)

    with agent_of(slow, trigger=9_000, target=4_500) as (_, client, agent):
        while not asked_for:
            agent.run(client, 1)
            time.sleep(0.02)
        holdfast.of(client).compact()
        agent.run(client, 1)
        trace = holdfast.of(client).last
        assert trace is not None
        assert trace.commit is not None
        hold.set()
        idle(client)
        later = turns(client, agent, 2)
        assert not any(trace.commit for trace in later)


def test_it_is_put_in_when_the_cache_is_cold() -> None:
    """After a pause the summary goes in below the trigger already: nothing warm is broken."""
    clock = {"now": 1_000_000.0}
    with agent_of(says(every=100), clock=lambda: clock["now"]) as (fake, client, agent):
        while not questions(fake):
            turns(client, agent, 1)
        before = holdfast.of(client).last
        assert before is not None
        assert before.given_tokens < 12_000
        clock["now"] += 3_600
        (trace,) = turns(client, agent, 1)
        assert trace.commit is not None
        assert trace.commit.warm_tokens == 0
        assert len(questions(fake)) == 1


def test_it_is_paid_once_and_counted_even_if_never_used() -> None:
    """The report has its cost before any request carries it, and no more of it afterwards; the trace that commits it names it."""
    with agent_of(says(every=100)) as (fake, client, agent):
        while not questions(fake):
            turns(client, agent, 1)
        usage = fake.requests[questions(fake)[0]].usage
        spent = holdfast.of(client).report()
        assert usage is not None
        assert spent.tokens.asked == usage
        assert spent.spent_on_calls.usd > 0
        trace = turns(client, agent, 1)[-1]
        while trace.commit is None:
            trace = turns(client, agent, 1)[-1]
        after = holdfast.of(client).report()
        assert trace.asked == (usage,)
        assert after.tokens.asked == usage
        assert after.spent_on_calls == spent.spent_on_calls
        assert "asked: 1 model call" in holdfast.of(client).explain() or trace is not holdfast.of(client).last


@pytest.mark.parametrize("answer", ["", Fault(500, message="no"), Fault(drop="headers")])
def test_failures_open_the_circuit_and_change_nothing(answer: Any) -> None:
    """A model that fails beside the conversation is left in peace after three times, and every caller's request is answered."""
    with agent_of(lambda asked: answer if asks_for_summary(asked.body) else says(every=100)(asked)) as (fake, client, agent):
        turns(client, agent, 13)
        calls = holdfast.of(client).calls
        assert calls.breaker.failures >= FAILURES
        count = len(questions(fake))
        turns(client, agent, 2)
        assert len(questions(fake)) == count
        assert {request.status for request in fake.requests if not asks_for_summary(request.body)} == {200}


@pytest.mark.parametrize(
    "wishes",
    [{"background": False}, {"summaries": "off"}, {"mode": "observe"}, {"strategy": "micro"}],
    ids=["off", "nobody", "observe", "micro"],
)
def test_nothing_is_asked_beside_where_nothing_is_to_be_asked(wishes: dict[str, Any]) -> None:
    """Not by default, not where nobody may be asked, not while only watching, and not for a strategy that asks no model."""
    with agent_of(says(every=100), **wishes) as (fake, client, agent):
        turns(client, agent, 8)
        assert questions(fake) == []


def test_a_plan_that_was_made_otherwise_meanwhile_takes_its_place_away() -> None:
    """What was prepared behind another state of the ledger is not used."""
    with agent_of(says(every=100)) as (fake, client, agent):
        while not questions(fake):
            turns(client, agent, 1)
        with holdfast.of(client).session(strategy="truncate"):
            holdfast.of(client).compact()
            agent.run(client, 1)
        traces = turns(client, agent, 10)
        fresh = [trace for trace in traces if trace.commit is not None]
        assert all(trace.asked for trace in fresh)
        assert {request.status for request in fake.requests} == {200}


def test_async_clients_ask_in_a_task_that_ends_with_the_loop() -> None:
    """A task of the loop asks; one that is under way when the loop ends is cancelled with it, and nothing is left."""
    hold = Event()

    def slow(asked: Asked) -> Reply | Fault:
        if asks_for_summary(asked.body):
            hold.wait(2)
        return says(every=100)(asked)

    async def go(fake: FakeProvider) -> tuple[int, int]:
        async with AsyncAnthropic(base_url=fake.url, api_key="k", max_retries=0) as bare:
            client = holdfast.wrap(bare, **SIZES, background=True)
            agent = AnthropicAgent()
            while not background._TASKS:  # noqa: SLF001
                await agent.arun(client, 1)
            await asyncio.sleep(0.05)
            return len(background._TASKS), holdfast.of(client).calls.preparing  # noqa: SLF001

    with FakeProvider(slow, counter="sampled") as fake:
        assert asyncio.run(go(fake)) == (1, 1)
        hold.set()
    assert not background._TASKS  # noqa: SLF001


def test_async_clients_put_the_summary_in() -> None:
    """The task's answer is committed by a later request of the same conversation."""

    async def go(fake: FakeProvider) -> list[holdfast.Trace]:
        async with AsyncAnthropic(base_url=fake.url, api_key="k", max_retries=0) as bare:
            client, agent, traces = holdfast.wrap(bare, **SIZES, background=True), AnthropicAgent(), []
            for _ in range(12):
                await agent.arun(client, 1)
                trace = holdfast.of(client).last
                assert trace is not None
                traces.append(trace)
                await asyncio.gather(*background._TASKS)  # noqa: SLF001
            return traces

    with FakeProvider(says(every=100), counter="sampled") as fake:
        traces = asyncio.run(go(fake))
        commits = [trace for trace in traces if trace.commit]
        assert len(commits) == len(questions(fake)) >= 1
        assert commits[0].asked


def _nothing() -> Iterator[None]:
    yield from ()


def test_without_a_loop_to_ask_in_nothing_is_begun() -> None:
    """Outside of an asyncio loop a task cannot be made: the job is closed, and whoever started it is told."""
    job: Any = _nothing()
    assert background.abeside(job, lambda send: None) is False  # type: ignore[arg-type, return-value]


def test_openai_clients_prepare_theirs_too() -> None:
    """Chat Completions: asked on a thread through the same client, committed later."""
    with FakeProvider(says(every=100), counter="sampled") as fake, OpenAI(base_url=f"{fake.url}/v1", api_key="k", max_retries=0) as bare:
        client, agent = holdfast.wrap(bare, **SIZES, background=True), ChatAgent()
        traces = []
        for _ in range(15):
            agent.run(client, 1)
            traces.append(holdfast.of(client).last)
            idle(client)
        commits = [trace for trace in traces if trace and trace.commit]
        assert commits
        assert len(commits) == len(questions(fake))
        assert questions(fake)[0] < len(fake.requests) - 1
        assert {request.status for request in fake.requests} == {200}

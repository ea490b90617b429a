"""Several requests that extend one history at once, from threads and from tasks: one ledger, one warm prefix."""

from __future__ import annotations

import asyncio
import copy
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from holdfast.testing import Asked, Fault, Reply, Say
from holdfast.wrap import of
from tests.agents import AnthropicAgent, says
from tests.live.driving import run
from tests.live.watched import Watched, judged, unmarked, watched

BRANCHES = 6
LONG = "You look after a kelp forest. " * 400


def branch(agent: AnthropicAgent, number: int) -> dict[str, Any]:
    """One way in which the conversation may go on."""
    return {**agent.arguments(), "messages": [*copy.deepcopy(agent.messages), *asks(number)]}


def asks(number: int) -> list[Any]:
    """What one branch says."""
    return [{"role": "assistant", "content": "Well?"}, {"role": "user", "content": f"You are reader {number}: what about rock {number}?"}]


def grown(seen: Watched) -> AnthropicAgent:
    """A conversation that was shortened, just after the user has spoken."""
    agent = AnthropicAgent(result=600)
    with seen.anthropic(max_retries=0) as client:
        run(agent, client, 12)
        while not isinstance(agent.messages[-1]["content"], str):
            run(agent, client, 1)
    return agent


def in_threads(seen: Watched, bodies: list[dict[str, Any]]) -> None:
    """All at the same time, over one client."""
    barrier = threading.Barrier(len(bodies))
    with seen.anthropic(max_retries=0) as client, ThreadPoolExecutor(len(bodies)) as pool:

        def send(body: dict[str, Any]) -> None:
            barrier.wait(10)
            client.messages.create(**body)

        list(pool.map(send, bodies))


def in_tasks(seen: Watched, bodies: list[dict[str, Any]]) -> None:
    """The same in one event loop."""

    async def send() -> None:
        async with seen.async_anthropic(max_retries=0) as client:
            await asyncio.gather(*(client.messages.create(**body) for body in bodies))

    asyncio.run(send())


@pytest.mark.parametrize("send", [in_threads, in_tasks])
def test_branches_of_a_shortened_conversation_share_its_ledger_and_its_warm_prefix(
    send: Callable[[Watched, list[dict[str, Any]]], None],
) -> None:
    """Each sends the bytes that the trunk sent, reads them, and pays for nothing but its own words."""
    with watched(says(), strategy="ladder", trigger=4_000, target=2_000) as seen:
        agent = grown(seen)
        assert seen.commits >= 2
        trunk, before = seen.sent[-1], len(seen.sent)
        traces = len(seen.traces)
        send(seen, [branch(agent, number) for number in range(BRANCHES)])
        branches = seen.sent[before:]
        assert len(branches) == BRANCHES
        assert len({asked.raw for asked in branches}) == BRANCHES
        shared = unmarked(trunk)
        for asked in branches:
            assert asked.status == 200
            assert unmarked(asked)[: len(shared)] == shared
            assert asked.usage is not None
            assert asked.usage.read >= trunk.usage.read + trunk.usage.write_5m  # type: ignore[union-attr]
        assert all(trace.commit is None for trace in seen.traces[traces:])


def cold(number: int) -> dict[str, Any]:
    """A request with a long head that nobody has sent before."""
    return {
        "model": "claude-sonnet-4-6",
        "max_tokens": 50,
        "system": LONG,
        "messages": [{"role": "user", "content": f"Reader {number}: go."}],
    }


def slow(asked: Asked) -> Say:
    """An answer that takes its time, so that requests sent together are under way together."""
    return Reply("Yes.", latency=0.05)


def written(seen: Watched) -> list[int]:
    """How many tokens each request wrote for the head, in the order in which they came."""
    return [asked.usage.write_5m for asked in seen.sent if asked.usage]


@pytest.mark.parametrize("send", [in_threads, in_tasks])
def test_without_a_fork_each_cold_request_writes_the_prefix(send: Callable[[Watched, list[dict[str, Any]]], None]) -> None:
    """So it is at the provider: an entry can be read when the answer that writes it has begun."""
    with watched(slow, strategy="none") as seen:
        send(seen, [cold(number) for number in range(BRANCHES)])
        assert sum(tokens > 1_024 for tokens in written(seen)) == BRANCHES


@pytest.mark.parametrize("send", [in_threads, in_tasks])
def test_with_a_fork_one_request_writes_the_cold_prefix_and_the_others_read_it(
    send: Callable[[Watched, list[dict[str, Any]]], None],
) -> None:
    """The first goes ahead until its answer begins."""
    with watched(slow, strategy="none") as seen:
        with of(seen.anthropic()).fork(BRANCHES):
            send(seen, [cold(number) for number in range(BRANCHES)])
        assert sum(tokens > 1_024 for tokens in written(seen)) == 1
        assert sum(asked.usage.read > 1_024 for asked in seen.sent if asked.usage) == BRANCHES - 1


def test_a_fork_of_a_conversation_that_is_warm_lets_nobody_wait() -> None:
    """All are under way at once: the slowest answer is not waited for by the others."""

    def reply(asked: Asked) -> Say:
        return Reply("Yes.", latency=0.6 if len(asked.body["messages"]) > 1 else 0)

    with watched(reply, strategy="none") as seen, seen.anthropic(max_retries=0) as client:
        client.messages.create(**cold(0))
        history = [*cold(0)["messages"], {"role": "assistant", "content": "Yes."}]
        bodies = [{**cold(0), "messages": [*history, *({"role": "user", "content": f"And {n}?"},)]} for n in range(BRANCHES)]
        with of(client).fork(BRANCHES):
            in_threads(seen, bodies)
        times = [asked.at for asked in seen.sent[1:]]
        assert max(times) - min(times) < 0.5


@pytest.mark.parametrize("fault", [Fault(401, latency=0.05), Fault(529, latency=0.05), Fault(drop="headers", latency=0.05)])
def test_a_leader_that_fails_lets_the_others_go(fault: Fault) -> None:
    """Its own call raises; they are answered."""
    first = iter([fault])

    def reply(asked: Asked) -> Say:
        return next(first, Reply("Yes."))

    failed: list[Exception] = []
    with watched(reply, strategy="none") as seen, seen.anthropic(max_retries=0, timeout=5) as client:

        def send(number: int) -> None:
            try:
                client.messages.create(**cold(number))
            except Exception as error:  # noqa: BLE001  # whatever it is, it is counted
                failed.append(error)

        with of(client).fork(4), ThreadPoolExecutor(4) as pool:
            list(pool.map(send, range(4)))
        assert len(failed) == 1
        assert sum(asked.status == 200 for asked in seen.sent) == 3


def test_branches_that_go_on_are_each_judged_as_the_forks_they_are() -> None:
    """Two branches of one shortened conversation go on in turns; neither breaks the other's prefix."""
    with watched(says(), strategy="ladder") as seen:
        agent = grown(seen)
        trunk = len(seen.sent)
        sides = [AnthropicAgent(result=400, messages=branch(agent, number)["messages"]) for number in (0, 1)]
        order: list[int] = []
        with seen.anthropic(max_retries=0) as client:
            for _ in range(8):
                for number, side in enumerate(sides):
                    run(side, client, 1)
                    order.append(number)
        assert {asked.status for asked in seen.fake.requests} == {200}
        for number in (0, 1):
            mine = [*range(trunk), *(trunk + place for place, whose in enumerate(order) if whose == number)]
            pick: Callable[[list[Any]], list[Any]] = lambda many, mine=mine: [many[at] for at in mine]  # type: ignore[misc]  # noqa: E731
            assert judged(pick(seen.given), pick(seen.sent), pick(seen.traces)) == []

"""Message threads under the SDK's real tool runner: left to the server by default, taken back with ``threads="unthread"``."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from anthropic import Anthropic, AsyncAnthropic, beta_async_tool, beta_tool

import holdfast
from holdfast.calls.unthreading import Threads
from holdfast.testing import Asked, FakeProvider, Reply, ToolCall
from tests.agents import SYSTEM
from tests.calls.threading_provider import threading_provider

TURNS = 12
CALL: dict[str, Any] = {
    "model": "claude-sonnet-4-6",
    "max_tokens": 1000,
    "system": SYSTEM,
    "messages": [{"role": "user", "content": "Why does the kelp let go?"}],
}
MADE: list[Anthropic] = []
WORDS = " ".join(f"line {n} of rock and weed" for n in range(60))


@beta_tool
def read(path: str) -> str:
    """Reads a file."""
    return f"{path}: {WORDS}"


@beta_async_tool(name="read")
async def aread(path: str) -> str:
    """Reads a file."""
    return f"{path}: {WORDS}"


def script(turns: int = TURNS) -> Any:
    """A model that reads two files a turn, and says so at the end."""
    count = iter(range(10**6))

    def says(asked: Asked) -> Reply:
        turn = next(count)
        if turn >= turns - 1:
            return Reply("The rock lets go first.")
        return Reply(f"Step {turn}.", calls=[ToolCall("read", {"path": f"/a/{turn}-{n}"}) for n in range(2)])

    return says


def ran(fake: FakeProvider, client: Anthropic, **more: Any) -> list[Any]:
    """The replies of a run of the tool runner."""
    stream = more.pop("stream", False)
    runner = client.beta.messages.tool_runner(**CALL, tools=[read], stream=stream, **more)
    return [item.get_final_message() if stream else item for item in runner]


def client_of(fake: FakeProvider, **wishes: Any) -> Anthropic:
    """A wrapped client."""
    bare = Anthropic(base_url=fake.url, api_key="k", max_retries=0)
    MADE.append(bare)
    return holdfast.wrap(bare, telemetry=False, strategy="micro", **wishes)


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    """No test leaves a connection behind."""
    yield
    while MADE:
        MADE.pop().close()


def bodies(fake: FakeProvider) -> list[dict[str, Any]]:
    """What went over the wire, the thread's names apart."""
    return [dict(request.body) for request in fake.requests]


@pytest.mark.parametrize("stream", [False, True])
def test_threads_are_left_to_the_server_by_default(stream: bool, caplog: pytest.LogCaptureFixture) -> None:
    """The run comes to its end, every request is the bare client's, and ``thread=False`` is named once in the log."""
    with threading_provider(script()) as fake, caplog.at_level(logging.WARNING, "holdfast"):
        client = client_of(fake)
        replies = ran(fake, client, stream=stream)
        assert len(replies) == TURNS
        assert all(body.get("thread") for body in bodies(fake))
        assert len(bodies(fake)[-1]["messages"]) == 1
    said = [record.getMessage() for record in caplog.records if "thread=False" in record.getMessage()]
    assert len(said) == 1
    assert "stood down" in holdfast.of(client).explain()


def without_threads(trigger: int, stream: bool) -> list[dict[str, Any]]:
    """What goes over the wire with ``thread=False``."""
    with threading_provider(script()) as fake:
        ran(fake, client_of(fake, trigger=trigger, target=trigger // 2, keep_tail_tokens=1000), stream=stream, thread=False)
        return bodies(fake)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("trigger", [4_000, 90_000])
def test_unthreaded_requests_are_those_of_a_runner_without_threads(trigger: int, stream: bool) -> None:
    """With ``threads="unthread"`` the same bytes go out as with ``thread=False``, compaction and all, and no thread with them."""
    with threading_provider(script()) as fake:
        client = client_of(fake, threads="unthread", trigger=trigger, target=trigger // 2, keep_tail_tokens=1000)
        replies = ran(fake, client, stream=stream)
        assert len(replies) == TURNS
        assert replies[-1].content[0].text == "The rock lets go first."
        found = bodies(fake)
        assert not any("thread" in body for body in found)
        assert {request.status for request in fake.requests} == {200}
    assert found == without_threads(trigger, stream)
    assert any("holdfast" in str(body) for body in found) == (trigger == 4_000)


@pytest.mark.parametrize("stream", [False, True])
def test_the_async_runner_is_unthreaded_too(stream: bool) -> None:
    """Awaited, the run is the same."""

    async def go(fake: FakeProvider) -> int:
        bare = AsyncAnthropic(base_url=fake.url, api_key="k", max_retries=0)
        client = holdfast.wrap(
            bare, telemetry=False, strategy="micro", threads="unthread", trigger=4_000, target=2_000, keep_tail_tokens=1000
        )
        count = 0
        async for _ in client.beta.messages.tool_runner(**CALL, tools=[aread], stream=stream):
            count += 1
        await client.close()
        return count

    with threading_provider(script()) as fake:
        assert asyncio.run(go(fake)) == TURNS
        found = bodies(fake)
    assert not any("thread" in body for body in found)
    assert [body["messages"] for body in found] == [body["messages"] for body in without_threads(4_000, stream)]


def test_a_reply_that_is_not_known_goes_to_the_server() -> None:
    """After a restart in the middle the server does not know the thread either, and the SDK sends the whole history again."""
    with threading_provider(script()) as fake:
        client = client_of(fake, threads="unthread")
        thread = client.beta.messages.thread(**CALL, tools=[read])
        runner = iter(thread.tool_runner())
        for _ in range(4):
            next(runner)
        holdfast.of(client).calls._threads = Threads(8)  # noqa: SLF001
        assert len(list(runner)) == TURNS - 4
        statuses = [request.status for request in fake.requests]
        assert statuses.count(404) == 1
        after = bodies(fake)[statuses.index(404) + 1]
        assert "thread" not in after
        assert len(after["messages"]) == 9


def test_a_thread_with_server_side_compaction_is_the_servers() -> None:
    """Where the server shortens the conversation itself the thread stays as it is."""
    edits = {"edits": [{"type": "clear_tool_uses_20250919"}]}
    with threading_provider(script(4)) as fake:
        client = client_of(fake, threads="unthread")
        ran(fake, client, context_management=edits, betas=["context-management-2025-06-27"])
        assert all(body.get("thread") for body in bodies(fake))


def test_observing_leaves_threads_alone() -> None:
    """``mode="observe"`` sends every request as it came."""
    with threading_provider(script(4)) as fake:
        ran(fake, client_of(fake, threads="unthread", mode="observe"))
        assert all(body.get("thread") for body in bodies(fake))


ANSWER = {"id": "msg_1", "content": [{"type": "text", "text": "Yes."}], "stop_reason": "end_turn"}
MARK = {"type": "ephemeral"}


def test_what_a_thread_held_is_sent_again_without_its_marks() -> None:
    """A turn gets the messages before it, system prompt and tools; marks of earlier turns are left out, those of the new one stay."""
    marked = {"role": "user", "content": [{"type": "text", "text": "One.", "cache_control": MARK}]}
    result = {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "r", "cache_control": MARK}]}
    first = {
        "model": "m",
        "system": "S",
        "tools": [],
        "messages": [marked, {"role": "user", "content": [result]}],
        "thread": {"type": "create"},
    }
    threads = Threads(8)
    whole = threads.whole(first)
    assert whole == {key: value for key, value in first.items() if key != "thread"}
    assert whole is not None
    threads.answered(whole, ANSWER)
    thread = {"type": "continue", "previous_message_id": "msg_1"}
    second = threads.whole({"model": "m", "messages": [marked], "thread": thread})
    assert second is not None
    assert second["system"] == "S"
    assert second["messages"][0] == {"role": "user", "content": [{"type": "text", "text": "One."}]}
    assert "cache_control" not in str(second["messages"][1])
    assert second["messages"][2] == {"role": "assistant", "content": ANSWER["content"]}
    assert second["messages"][3] is marked
    assert "cache_control" in str(first["messages"])


@pytest.mark.parametrize(
    "change", [{"stop_reason": None}, {"stop_reason": "refusal"}, {"id": None}, {"content": None}, {"error": {"type": "x"}}]
)
def test_a_reply_that_is_not_whole_is_not_gone_on_from(change: dict[str, Any]) -> None:
    """A reply that was cut off, declined or broken is not kept, so nothing is built on it."""
    threads = Threads(8)
    threads.answered({"messages": []}, {**ANSWER, **change})
    assert threads.whole({"messages": [], "thread": {"type": "continue", "previous_message_id": "msg_1"}}) is None


def test_only_the_newest_turns_are_kept() -> None:
    """The memory is bounded: the oldest replies are forgotten first."""
    threads = Threads(3)
    for number in range(9):
        threads.answered({"messages": [number]}, {**ANSWER, "id": f"msg_{number}"})
    known = [threads.whole({"messages": [], "thread": {"type": "continue", "previous_message_id": f"msg_{n}"}}) for n in range(9)]
    assert [whole is not None for whole in known] == [False] * 6 + [True] * 3

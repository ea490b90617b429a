"""Defects of the client side that were found once, each over a real socket."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic
from openai import OpenAI

import holdfast
from holdfast.testing import Asked, FakeProvider, Fault, Reply, Say
from tests.agents import AnthropicAgent, asks_for_summary, says

MODEL = "claude-sonnet-4-6"
Body = dict[str, Any]


MADE: list[Any] = []


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    """No test leaves a connection behind."""
    yield
    while MADE:
        MADE.pop().close()


def bare(fake: FakeProvider) -> Anthropic:
    """A client of the fake."""
    MADE.append(Anthropic(base_url=fake.url, api_key="k", max_retries=0, timeout=8.0))
    return MADE[-1]  # type: ignore[no-any-return]


def wrapped(fake: FakeProvider, **wishes: Any) -> Anthropic:
    """The same through Holdfast."""
    return holdfast.wrap(bare(fake), **wishes)


def call(client: Anthropic, text: str, **more: Any) -> Any:
    """One request."""
    messages: Any = [{"role": "user", "content": text}]
    return client.messages.create(model=MODEL, max_tokens=50, messages=messages, **more)


def test_streams_that_the_collector_ends_block_nobody(tmp_path: Path) -> None:
    """A stream in a cycle is booked later, not in the middle of whatever the collector interrupted."""
    with FakeProvider(lambda asked: Reply("word " * 20)) as fake:
        client = wrapped(fake, record=str(tmp_path / "log.jsonl"))
        for number in range(12):
            stream = call(client, f"q{number}", stream=True)
            next(iter(stream))
            stream.me = stream
            del stream
        gc.collect()
        assert holdfast.of(client).report().requests == 12


def test_streams_that_are_opened_before_any_is_read_do_not_wait_for_each_other() -> None:
    """The gate of a fork opens when the first answer begins, whoever reads it when."""
    with FakeProvider(lambda asked: Reply("ok " * 20)) as fake:
        client = wrapped(fake)
        began = time.monotonic()
        with holdfast.of(client).fork(3):
            streams = [call(client, f"q{number}", system="s " * 4000, stream=True) for number in range(3)]
        assert time.monotonic() - began < 4  # the client's timeout is 8 s
        for stream in streams:
            list(stream)


def test_switched_off_nothing_is_added() -> None:
    """Marks, cache keys and a stream's usage are all left out of a conversation in which nothing is committed."""
    with FakeProvider() as fake:
        messages: Any = [{"role": "user", "content": "hello " * 3000}]
        plain = OpenAI(base_url=f"{fake.url}/v1", api_key="k", max_retries=0)
        MADE.append(plain)
        list(plain.chat.completions.create(model="gpt-5.4", messages=messages, stream=True))
        client = holdfast.wrap(plain, stream_usage=True)
        with holdfast.of(client).session(enabled=False):
            list(client.chat.completions.create(model="gpt-5.4", messages=messages, stream=True))
        assert fake.requests[0].raw == fake.requests[1].raw
        one = wrapped(fake)
        with holdfast.of(one).session(enabled=False):
            call(one, "hello " * 3000)
        assert fake.requests[-1].body["messages"] == messages


def test_a_request_that_only_counts_is_left_alone_where_the_call_would_be() -> None:
    """Holdfast stands down for both or for neither."""
    with FakeProvider(says()) as fake:
        client = wrapped(fake, strategy="micro", trigger=6_000, target=3_000, keep_tail_tokens=500)
        agent = AnthropicAgent()
        agent.run(client, 14)
        arguments = {key: value for key, value in agent.arguments().items() if key != "max_tokens"}
        client.messages.count_tokens(**arguments)
        edited = len(fake.requests[-1].raw)
        edits: Any = {"edits": [{"type": "clear_tool_uses_20250919"}]}
        client.beta.messages.count_tokens(**arguments, context_management=edits, betas=["context-management-2025-06-27"])
        assert len(fake.requests[-1].raw) > 1.5 * edited


def test_the_callers_own_mistake_is_not_covered_up() -> None:
    """A mark that is none is refused with Holdfast as it is without."""
    with FakeProvider() as fake:
        junk: Any = [{"type": "text", "text": "x", "cache_control": "junk"}]
        errors = []
        for client in (bare(fake), wrapped(fake)):
            with pytest.raises(anthropic.BadRequestError) as caught:
                client.messages.create(model=MODEL, max_tokens=9, messages=[{"role": "user", "content": junk}])
            errors.append(str(caught.value.body["error"]["message"]))  # type: ignore[index]
        assert errors[0] == errors[1]


def test_a_question_is_paid_for_also_where_the_call_behind_it_fails() -> None:
    """What was spent stands in the report, whatever became of the request that it was spent for."""
    asked_once: list[bool] = []

    def script(asked: Asked) -> Say:
        if asks_for_summary(asked.body):
            asked_once.append(True)
            return says()(asked)
        return Fault(401) if asked_once else says()(asked)

    with FakeProvider(script) as fake:
        client = wrapped(fake, strategy="full", trigger=6_000, target=3_000, keep_tail_tokens=500)
        with pytest.raises(anthropic.AuthenticationError):
            AnthropicAgent().run(client, 14)
        assert asked_once
        assert holdfast.of(client).report().spent_on_calls.usd > 0


def test_a_plan_is_committed_when_the_answer_begins() -> None:
    """Whoever has the same store knows of it while the stream that answers is not read yet."""
    store, wishes = holdfast.MemoryStore(), {"strategy": "micro", "trigger": 6_000, "target": 3_000, "keep_tail_tokens": 500}
    with FakeProvider(says()) as fake:
        client, agent = wrapped(fake, store=store, **wishes), AnthropicAgent()
        handle = holdfast.of(client)
        stream: Any = None
        while handle.last is None or handle.last.commit is None:
            stream = client.messages.create(**agent.arguments(), stream=True)
            if handle.last is not None and handle.last.commit is None:
                stream.close()
                agent.took(bare(fake).messages.create(**agent.arguments()))
        other = wrapped(fake, store=store, **wishes)
        other.messages.create(**agent.arguments())
        newest = holdfast.of(other).last
        assert newest is not None
        assert newest.commit is None
        assert newest.sent_tokens < newest.given_tokens
        stream.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_finds_no_lock_held() -> None:
    """A child made while another thread is at work goes on by itself."""
    with FakeProvider(counter="sampled") as fake:
        client = wrapped(fake)
        calls = holdfast.of(client).calls
        stop = threading.Event()

        def busy() -> None:
            while not stop.is_set():
                with calls.lock:
                    time.sleep(0.01)

        thread = threading.Thread(target=busy)
        thread.start()
        try:
            for _ in range(3):
                child = os.fork()
                if child == 0:
                    signal.alarm(5)
                    with calls.lock:
                        os._exit(0)
                assert os.waitpid(child, 0)[1] == 0
        finally:
            stop.set()
            thread.join()

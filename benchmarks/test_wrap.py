"""What a wrapped client adds to a call, beside the bare one: the same history, the same endpoint, taking turns.

Nothing is timed against a limit here; ``__main__`` relates what belongs together. The endpoint is a process of its own that answers at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import count
from statistics import median
from typing import Any

import pytest
from anthropic import Anthropic
from openai import OpenAI

import holdfast
from benchmarks.endpoint import served
from benchmarks.measuring import Timer, exchange, opening

MESSAGE_TOKENS = 1_000
MESSAGES = {"1M": 800, "200k": 160}
ROUNDS = 30
CONVERSATIONS = (1, 100, 1_000)
NUMBERS = count(1)
"""No text comes twice: the process remembers what it has weighed."""

Call = Callable[[Any, dict[str, Any]], object]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """Where the clients call."""
    with served() as url:
        yield url


def anthropic_body(messages: int) -> dict[str, Any]:
    """The arguments of a ``messages.create`` of so many messages."""
    body = opening() | {"model": "claude-sonnet-4-6", "max_tokens": 4096}
    while len(body["messages"]) < messages:
        body["messages"] += exchange(next(NUMBERS), MESSAGE_TOKENS)
    return body


def chat_exchange(number: int) -> list[dict[str, Any]]:
    """A call of a tool and its result, as Chat Completions has them."""
    said, answered = exchange(number, MESSAGE_TOKENS)
    text, call = said["content"]
    function = {"name": call["name"], "arguments": f'{{"command": "{number}"}}'}
    return [
        {"role": "assistant", "content": text["text"] + call["input"]["command"],
         "tool_calls": [{"id": call["id"], "type": "function", "function": function}]},
        {"role": "tool", "tool_call_id": call["id"], "content": answered["content"][0]["content"]},
    ]  # fmt: skip


def chat_body(messages: int) -> dict[str, Any]:
    """The arguments of a ``chat.completions.create`` of so many messages."""
    given = opening()
    functions = [{"name": tool["name"], "description": tool["description"], "parameters": tool["input_schema"]} for tool in given["tools"]]
    history = [{"role": "system", "content": given["system"]}, *given["messages"]]
    while len(history) < messages:
        history += chat_exchange(next(NUMBERS))
    return {"model": "gpt-5.4", "messages": history, "tools": [{"type": "function", "function": each} for each in functions]}


def ask_anthropic(client: Any, body: dict[str, Any]) -> object:
    """One call, whole."""
    return client.messages.create(**body)


def ask_chat(client: Any, body: dict[str, Any]) -> object:
    """One call, whole."""
    return client.chat.completions.create(**body)


SDKS: dict[str, tuple[Callable[[int], dict[str, Any]], Callable[[int], list[dict[str, Any]]], Call]] = {
    "anthropic": (anthropic_body, lambda number: exchange(number, MESSAGE_TOKENS), ask_anthropic),
    "openai": (chat_body, chat_exchange, ask_chat),
}


def clients(sdk: str, url: str, tokens: int, stream: bool = False, **wishes: Any) -> tuple[Any, Any]:
    """A bare client and a wrapped one. ``tokens``: what the endpoint bills a prompt at."""
    base = f"{url}/{tokens}" + ("/stream" if stream else "")
    made: Any = Anthropic(api_key="k", base_url=base) if sdk == "anthropic" else OpenAI(api_key="k", base_url=f"{base}/v1")
    other: Any = Anthropic(api_key="k", base_url=base) if sdk == "anthropic" else OpenAI(api_key="k", base_url=f"{base}/v1")
    return made, holdfast.wrap(other, **wishes)


def seconds(call: Call, client: Any, body: dict[str, Any]) -> float:
    """What one call takes."""
    began = time.perf_counter()
    call(client, body)
    return time.perf_counter() - began


class Pair:
    """A bare and a wrapped client that send the same growing history, one after the other, the first of the two by turns."""

    def __init__(self, call: Call, pair: tuple[Any, Any], body: dict[str, Any]) -> None:
        self.call, self.clients, self.body = call, pair, body
        self.times: tuple[list[float], list[float]] = ([], [])

    def turn(self) -> None:
        """Both make the call."""
        order = (0, 1) if len(self.times[0]) % 2 else (1, 0)
        for which in order:
            self.times[which].append(seconds(self.call, self.clients[which], self.body))

    def noted(self) -> dict[str, float]:
        """Medians in seconds, and of the ratios within a turn."""
        bare, ours = self.times
        ratios = [one / other for one, other in zip(ours, bare, strict=True)]
        return {"bare_seconds": median(bare), "wrapped_seconds": median(ours), "ratio": median(ratios)}


@pytest.mark.parametrize("sdk", SDKS)
@pytest.mark.parametrize("state", ["whole", "compacted"])
def test_call(benchmark: Timer, endpoint: str, sdk: str, state: str) -> None:
    """A conversation of a million tokens grows by two messages, whole or with most of it shortened away."""
    made, more, call = SDKS[sdk]
    wishes = {"trigger": 0.98} if state == "whole" else {"trigger": 300_000, "target": 150_000}
    pair = clients(sdk, endpoint, 960_000 if state == "whole" else 200_000, **wishes)
    body = made(MESSAGES["1M"])
    key = "messages"
    benchmark.extra_info["first_bare_seconds"] = seconds(call, pair[0], body)
    benchmark.extra_info["first_wrapped_seconds"] = seconds(call, pair[1], body)
    both = Pair(call, pair, body)
    for _ in range(2):
        body[key] += more(next(NUMBERS))
        both.turn()
    both.times[0].clear()
    both.times[1].clear()

    def grown() -> None:
        body[key] += more(next(NUMBERS))

    benchmark.pedantic(both.turn, setup=grown, rounds=ROUNDS)
    trace = holdfast.of(pair[1]).last
    assert trace is not None
    assert not trace.errors
    assert (trace.sent_tokens < trace.given_tokens / 2) is (state == "compacted")
    benchmark.extra_info.update(both.noted(), given_tokens=trace.given_tokens, sent_tokens=trace.sent_tokens, messages=len(body[key]))
    began = time.perf_counter()
    holdfast.of(pair[1]).report()
    benchmark.extra_info["report_seconds_a_request"] = (time.perf_counter() - began) / (ROUNDS + 3)


def first_byte_anthropic(client: Any, body: dict[str, Any]) -> object:
    """A stream until its first event."""
    with client.messages.create(**body, stream=True) as stream:
        return next(iter(stream))


def first_byte_chat(client: Any, body: dict[str, Any]) -> object:
    """A stream until its first chunk."""
    with client.chat.completions.create(**body, stream=True) as stream:
        return next(iter(stream))


@pytest.mark.parametrize("sdk", SDKS)
def test_first_byte(benchmark: Timer, endpoint: str, sdk: str) -> None:
    """A conversation of 200,000 tokens grows by two messages, and its answer is a stream."""
    made, more, _ = SDKS[sdk]
    pair = clients(sdk, endpoint, 190_000, stream=True, trigger=0.98)
    both = Pair(first_byte_anthropic if sdk == "anthropic" else first_byte_chat, pair, made(MESSAGES["200k"]))
    both.turn()
    both.turn()
    both.times[0].clear()
    both.times[1].clear()

    def grown() -> None:
        both.body["messages"] += more(next(NUMBERS))

    benchmark.pedantic(both.turn, setup=grown, rounds=2 * ROUNDS)
    trace = holdfast.of(pair[1]).last
    assert trace is not None
    bare, ours = both.times
    added = median(one - other for one, other in zip(ours, bare, strict=True))
    benchmark.extra_info.update(both.noted(), added_seconds=added, given_tokens=trace.given_tokens)


@pytest.mark.parametrize("known", CONVERSATIONS)
def test_conversations(benchmark: Timer, endpoint: str, known: int) -> None:
    """One of so many conversations that the process knows grows by two messages."""
    _, client = clients("anthropic", endpoint, 8_000, lineages=max(CONVERSATIONS))
    head = opening() | {"model": "claude-sonnet-4-6"}
    bodies = [{**head, "messages": [{"role": "user", "content": f"Task {number}."}, *exchange(number, 200)]} for number in range(known)]
    for body in bodies:
        client.messages.create(**body)
    coming = iter(range(known, known + 4 * ROUNDS))

    def grown() -> tuple[tuple[dict[str, Any]], dict[str, Any]]:
        number = next(coming)
        body = bodies[number * 7919 % known]
        body["messages"] = [*body["messages"], *exchange(number, 200)]
        return (body,), {}

    benchmark.pedantic(lambda body: client.messages.create(**body), setup=grown, rounds=4 * ROUNDS)
    trace = holdfast.of(client).last
    assert trace is not None
    assert not trace.errors

"""What a wrapped client adds to a call, beside the bare one: the same history, the same endpoint, taking turns.

Nothing is timed against a limit here; ``__main__`` relates what belongs together. The endpoint is a process of its own that answers
at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import count, cycle
from statistics import median
from typing import Any

import anthropic
import openai
import pytest
from anthropic import Anthropic
from openai import OpenAI

import holdfast
from benchmarks.endpoint import served
from benchmarks.measuring import Timer, exchange, opening

MESSAGE_TOKENS = {"anthropic": 1_080, "openai": 1_270}
"""Such that 800 messages weigh nearly a million tokens, which is what still fits the largest windows with room for an answer."""
MESSAGES = {"1M": 760, "200k": 140}
"""How many there are at first; every round adds two."""
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
        body["messages"] += exchange(next(NUMBERS), MESSAGE_TOKENS["anthropic"])
    return body


def chat_exchange(number: int) -> list[dict[str, Any]]:
    """A call of a tool and its result, as Chat Completions has them."""
    said, answered = exchange(number, MESSAGE_TOKENS["openai"])
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
    "anthropic": (anthropic_body, lambda number: exchange(number, MESSAGE_TOKENS["anthropic"]), ask_anthropic),
    "openai": (chat_body, chat_exchange, ask_chat),
}


def clients(sdk: str, url: str, stream: bool = False, **wishes: Any) -> tuple[Any, Any]:
    """A bare client and a wrapped one."""
    base = f"{url}/stream" if stream else url
    made: Any = Anthropic(api_key="k", base_url=base) if sdk == "anthropic" else OpenAI(api_key="k", base_url=f"{base}/v1")
    other: Any = Anthropic(api_key="k", base_url=base) if sdk == "anthropic" else OpenAI(api_key="k", base_url=f"{base}/v1")
    return made, holdfast.wrap(other, **wishes)


def seconds(call: Call, client: Any, body: dict[str, Any]) -> tuple[float, float]:
    """What one call takes by the clock, and of this process's time."""
    began, used = time.perf_counter(), time.process_time()
    answer = call(client, body)
    took = time.perf_counter() - began, time.process_time() - used
    if isinstance(answer, anthropic.Stream | openai.Stream):
        answer.close()
    return took


class Pair:
    """A bare and a wrapped client that send the same growing history, one after the other, the first of the two by turns."""

    def __init__(self, call: Call, pair: tuple[Any, Any], body: dict[str, Any], more: Callable[[int], list[dict[str, Any]]]) -> None:
        self.call, self.clients, self.body, self.more = call, pair, body, more
        self.times: tuple[list[tuple[float, float]], ...] = ([], [])
        self.first = [seconds(call, client, body)[0] for client in pair]
        for _ in range(2):
            self.grown()
            self.turn()
        for times in self.times:
            times.clear()

    def grown(self) -> None:
        """The caller appends two messages."""
        self.body["messages"] += self.more(next(NUMBERS))

    def turn(self) -> None:
        """Both make the call."""
        order = (0, 1) if len(self.times[0]) % 2 else (1, 0)
        for which in order:
            self.times[which].append(seconds(self.call, self.clients[which], self.body))

    def noted(self) -> dict[str, Any]:
        """Medians, in seconds, and of what is compared within a turn; of the clock, and of the process's own time."""
        trace = holdfast.of(self.clients[1]).last
        assert trace is not None
        assert not trace.errors
        told: dict[str, Any] = {"given_tokens": trace.given_tokens, "sent_tokens": trace.sent_tokens}
        told |= {"messages": len(self.body["messages"]), "first_bare_seconds": self.first[0], "first_wrapped_seconds": self.first[1]}
        for place, kind in enumerate(("", "cpu_")):
            bare, ours = ([times[place] for times in side] for side in self.times)
            both = list(zip(ours, bare, strict=True))
            told |= {f"{kind}bare_seconds": median(bare), f"{kind}wrapped_seconds": median(ours)}
            told[f"{kind}ratio"] = median(one / other for one, other in both)
            told[f"{kind}added_seconds"] = median(one - other for one, other in both)
        return told


@pytest.mark.parametrize("sdk", SDKS)
@pytest.mark.parametrize("state", ["whole", "compacted"])
def test_call(benchmark: Timer, endpoint: str, sdk: str, state: str) -> None:
    """A conversation of a million tokens grows by two messages, whole or with most of it shortened away."""
    made, more, call = SDKS[sdk]
    wishes = {"trigger": 0.99} if state == "whole" else {"trigger": 300_000, "target": 150_000}
    both = Pair(call, clients(sdk, endpoint, **wishes), made(MESSAGES["1M"]), more)
    benchmark.pedantic(both.turn, setup=both.grown, rounds=ROUNDS)
    told = both.noted()
    assert told["sent_tokens"] <= told["given_tokens"] * (1 if state == "whole" else 0.5)
    assert state == "compacted" or told["sent_tokens"] == told["given_tokens"]
    began = time.perf_counter()
    holdfast.of(both.clients[1]).report()
    benchmark.extra_info.update(told, report_seconds_a_request=(time.perf_counter() - began) / (ROUNDS + 3))


def first_event_anthropic(client: Any, body: dict[str, Any]) -> object:
    """A stream that has given its first event."""
    stream = client.messages.create(**body, stream=True)
    next(iter(stream))
    return stream


def first_event_chat(client: Any, body: dict[str, Any]) -> object:
    """A stream that has given its first chunk."""
    stream = client.chat.completions.create(**body, stream=True)
    next(iter(stream))
    return stream


@pytest.mark.parametrize("sdk", SDKS)
def test_first_byte(benchmark: Timer, endpoint: str, sdk: str) -> None:
    """A conversation of 200,000 tokens grows by two messages, and its answer is a stream."""
    made, more, _ = SDKS[sdk]
    call = first_event_anthropic if sdk == "anthropic" else first_event_chat
    both = Pair(call, clients(sdk, endpoint, stream=True, trigger=0.98), made(MESSAGES["200k"]), more)
    benchmark.pedantic(both.turn, setup=both.grown, rounds=ROUNDS)
    benchmark.extra_info.update(both.noted())


@pytest.mark.parametrize("known", CONVERSATIONS)
def test_conversations(benchmark: Timer, endpoint: str, known: int) -> None:
    """The first of so many conversations that the process knows grows by two messages."""
    _, client = clients("anthropic", endpoint, lineages=max(CONVERSATIONS))
    head = opening() | {"model": "claude-sonnet-4-6"}
    bodies = [{**head, "messages": [{"role": "user", "content": f"Task {number}."}, *exchange(number, 200)]} for number in range(known)]
    for body in bodies:
        client.messages.create(**body)
    others = cycle(bodies[1:] or bodies)

    def grown() -> tuple[tuple[dict[str, Any]], dict[str, Any]]:
        client.messages.create(**next(others))  # so that the one that grows was not the last one used
        bodies[0]["messages"] += exchange(next(NUMBERS), 200)
        return (bodies[0],), {}

    benchmark.pedantic(lambda body: client.messages.create(**body), setup=grown, rounds=4 * ROUNDS)
    trace = holdfast.of(client).last
    assert trace is not None
    assert not trace.errors

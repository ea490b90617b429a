"""Live equals offline: a session of the corpus, sent through the wrapped SDK, is billed what ``holdfast replay`` predicted.

Both sides are given the same request log, the same clock and the same counter; the bills come from a provider that sees nothing but bodies.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from anthropic import Anthropic, APIRequest, APIResponse
from openai import OpenAI

from holdfast import strategies
from holdfast.asking import asked
from holdfast.calls import Calls, CallSettings
from holdfast.frozen import thaw
from holdfast.providers.anthropic import Middleware
from holdfast.providers.openai import wrapped
from holdfast.readers import Failure, group, read_group
from holdfast.scale import scale
from holdfast.simulator.replay import ANSWER_TOKENS
from holdfast.simulator.replay_file import replay_file
from holdfast.simulator.requests import ReplayRequest
from holdfast.strategy import Answer, Ask, Goal, Proposal, Strategy, View
from holdfast.testing import Asked, FakeProvider, Reply
from holdfast.usage import Usage
from tests.agents import READ_TOOL, SYSTEM, asks_for_summary

TURNS = 45
LEAST = 150_000
SIZES = {"claude-opus-4-5": (20_000, 10_000, 4_000), "gpt-5.4": (8_000, 4_000, 1_500)}
"""Trigger, target and verbatim tail that these sessions reach."""
Body = dict[str, Any]
Call = Callable[[APIRequest], APIResponse[Any]]


@dataclass
class Overheard:
    """A strategy whose questions are overheard, so that the provider can be told what an offline replay takes for the answers."""

    inner: Strategy
    stand_ins: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The strategy's own."""
        return self.inner.name

    def plan(self, view: View, goal: Goal) -> Proposal:
        """What the strategy proposes."""
        proposal = self.inner.plan(view, goal)
        answer: Answer | None = None
        while True:
            try:
                ask: Ask = next(proposal) if answer is None else proposal.send(answer)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            self.stand_ins[asked(ask)] = ask.stand_in
            answer = yield ask


def of_claude_code(corpus: Path) -> list[Body]:
    """The main line of a Claude Code session under a head of our own: what is recorded of it, as request bodies with their times."""
    for path in sorted((corpus / "claude-code" / "entireio-cli").rglob("*.gz")):
        turns = [turn for item in read_group(group([path])[0]) if not isinstance(item, Failure) for turn in item.turns]
        main = [turn for turn in turns if turn.lineage == turns[0].lineage and turn.at is not None][:TURNS]
        if len(main) == TURNS and len(json.dumps([thaw(message.wire) for message in main[-1].prompt.messages])) > LEAST:
            break
    else:
        raise LookupError("no session is long enough")
    head = {"model": "claude-opus-4-5", "max_tokens": 4096, "system": SYSTEM, "tools": [READ_TOOL]}
    return [{**head, "messages": [thaw(message.wire) for message in turn.prompt.messages], "at": turn.at} for turn in main]


def of_mini_swe_agent(corpus: Path) -> list[Body]:
    """A session of mini-swe-agent, whose prompts are recorded whole, asked of one of OpenAI's models."""
    path = max((corpus / "mini-swe-agent" / "deepseek").rglob("*.gz"), key=lambda path: path.stat().st_size)
    (item,) = (item for item in read_group(group([path])[0]) if not isinstance(item, Failure))
    made = []
    for turn in item.turns[:TURNS]:
        system = [{"role": "system", "content": block.text} for block in turn.prompt.head]
        messages = [{key: value for key, value in thaw(message.wire).items() if key in KEPT} for message in turn.prompt.messages]
        made.append({"model": "gpt-5.4", "messages": system + messages, "at": turn.at})
    return made


KEPT = ("role", "content", "tool_calls", "tool_call_id", "name")


def logged(bodies: list[Body], path: Path) -> Path:
    """The bodies as a request log without bills: nothing on it to calibrate by."""
    with path.open("w", encoding="utf-8") as file:
        for body in bodies:
            request = {key: value for key, value in body.items() if key != "at"}
            file.write(json.dumps({"request": request, "at": body["at"]}) + "\n")
    return path


def predicted(bodies: list[Body], folder: Path, name: str) -> list[Usage]:
    """What ``holdfast replay`` says of a log of the bodies."""
    trigger, target, keep = SIZES[bodies[0]["model"]]
    path = logged(bodies, folder / "log.jsonl")
    request = ReplayRequest(str(path), name, trigger=trigger, target=target, keep_tail_tokens=keep)
    return [turn.usage for turn in replay_file(request)]


def billed(bodies: list[Body], name: str, meddle: Callable[[Body, int], Body] | None = None) -> tuple[list[Usage], Calls]:
    """What the provider bills for the bodies sent through the wrapped SDK, a strategy's questions left out."""
    clock = {"now": 0.0}
    strategy = Overheard(strategies.named(name))
    model = bodies[0]["model"]
    count = scale("claude" if "claude" in model else "o200k").count

    def says(request: Asked) -> Reply:
        if asks_for_summary(request.body):
            newest = request.body["messages"][-1]["content"]
            text = strategy.stand_ins[newest if isinstance(newest, str) else newest[-1]["text"]]
            return Reply(text, output_tokens=max(ANSWER_TOKENS, count(text)))
        return Reply("OK", output_tokens=0)

    trigger, target, keep = SIZES[model]
    settings = CallSettings(strategy, trigger, target, keep_tail_tokens=keep, counter="full", clock=lambda: clock["now"], cache_keys=False)
    with FakeProvider(says, clock=lambda: clock["now"], counter="full", response_delay=1.0, foreign_thinking=True, losses=True) as fake:
        calls = Calls(settings)
        send, client = _sender(fake, calls, model, meddle)
        for number, body in enumerate(bodies):
            clock["now"] = max(clock["now"], body["at"])
            send({key: value for key, value in body.items() if key != "at"}, number)
        client.close()
        return [request.usage or Usage() for request in fake.requests if not asks_for_summary(request.body)], calls


def _sender(
    fake: FakeProvider, calls: Calls, model: str, meddle: Callable[[Body, int], Body] | None
) -> tuple[Callable[[Body, int], object], Anthropic | OpenAI]:
    if "claude" not in model:
        chat = wrapped(OpenAI(base_url=f"{fake.url}/v1", api_key="any", max_retries=0), calls)
        return lambda body, number: chat.chat.completions.create(**body), chat
    count = iter(range(10**6))

    def behind(request: APIRequest, call_next: Call) -> APIResponse[Any]:
        if meddle is None or asks_for_summary(request.json):  # type: ignore[arg-type]
            return call_next(request)
        return call_next(request.copy(body=meddle(copy.deepcopy(request.json), next(count))))  # type: ignore[arg-type]

    client = Anthropic(base_url=fake.url, api_key="any", max_retries=0, middleware=[Middleware(calls), behind])
    return lambda body, number: client.messages.create(**body), client


def block_type(block: Any) -> str:
    """The type of a content block, which may be a bare string."""
    return block["type"] if isinstance(block, dict) else "text"


def same(one: list[Usage], other: list[Usage]) -> list[int]:
    """The turns at which two lists of usage differ."""
    return [n for n, (a, b) in enumerate(zip(one, other, strict=True)) if a.answered(0) != b.answered(0)]


@pytest.fixture(scope="module")
def claude_code(corpus: Path) -> list[Body]:
    """A session on Anthropic's wire."""
    return of_claude_code(corpus)


@pytest.fixture(scope="module")
def swe_agent(corpus: Path) -> list[Body]:
    """A session on OpenAI's wire."""
    return of_mini_swe_agent(corpus)


@pytest.mark.parametrize("name", sorted(strategies.registered()))
def test_a_session_on_anthropics_wire_is_billed_as_predicted(name: str, claude_code: list[Body], tmp_path: Path) -> None:
    """Turn for turn, class for class, to the token."""
    offline = predicted(claude_code, tmp_path, name)
    live, calls = billed(claude_code, name)
    assert same(live, offline) == []
    assert len(live) == len(claude_code) == TURNS
    assert name == "none" or calls.report().commits > 0


@pytest.mark.parametrize("name", ["full", "ladder"])
def test_a_session_on_openais_wire_is_billed_as_predicted(name: str, swe_agent: list[Body], tmp_path: Path) -> None:
    """The same on Chat Completions."""
    offline = predicted(swe_agent, tmp_path, name)
    live, calls = billed(swe_agent, name)
    assert same(live, offline) == []
    assert len(live) == len(swe_agent) == TURNS
    assert calls.report().commits > 0


def test_a_block_that_is_changed_behind_the_trace_breaks_the_equality(claude_code: list[Body], tmp_path: Path) -> None:
    """A planted bug: one old block of one request is other than the trace says."""

    def meddle(body: Body, number: int) -> Body:
        if number == 30:
            results = [block for message in body["messages"] for block in message["content"] if block_type(block) == "tool_result"]
            results[2]["content"] = "other"
        return body

    offline = predicted(claude_code, tmp_path, "none")
    live, _ = billed(claude_code, "none", meddle)
    assert same(live, offline)[0] == 30

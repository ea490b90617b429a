"""The provider's own compaction and a summary by another model, on the live wire of both SDKs."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from anthropic import Anthropic
from openai import OpenAI

import holdfast
from holdfast.calls import CallSettings
from holdfast.errors import InputError
from holdfast.testing import Asked, FakeProvider, Fault, Reply
from holdfast.usage import Usage
from tests.agents import SUMMARY, AnthropicAgent, ChatAgent, ResponsesAgent, asks_for_summary, says

SIZES: dict[str, Any] = {"strategy": "full", "trigger": 12_000, "target": 6_000, "keep_tail_tokens": 1_500, "telemetry": False}
BOUND = "claude-sonnet-5-5"


def compacts(asked: Asked) -> bool:
    """Whether the provider itself is asked to compact."""
    return bool(asked.body) and (bool(asked.body.get("compaction")) or asked.endpoint.endswith("/compact"))


def script(every: int = 4, thinking: str = "", failing: bool = False) -> Any:
    """A model that reads files, and a provider that compacts or fails to."""
    plain = says(every=every, thinking=thinking)

    def reply(asked: Asked) -> Reply | Fault:
        if compacts(asked):
            return Fault(400, message="compaction: this model does not support it") if failing else Reply(SUMMARY)
        return plain(asked)

    return reply


@contextmanager
def anthropic_agent(
    says_: Any, model: str = "claude-sonnet-4-6", **wishes: Any
) -> Iterator[tuple[FakeProvider, Anthropic, AnthropicAgent]]:
    """An agent on a wrapped client."""
    with FakeProvider(says_, counter="sampled") as fake, Anthropic(base_url=fake.url, api_key="k", max_retries=0) as bare:
        yield fake, holdfast.wrap(bare, **{**SIZES, "summaries": "provider", **wishes}), AnthropicAgent(model=model)


def until(fake: FakeProvider, client: Any, agent: Any, seen: Callable[[Asked], bool]) -> None:
    """Requests until the provider has seen such a one, twenty at most."""
    for _ in range(20):
        if any(request.body and seen(request) for request in fake.requests):
            return
        agent.run(client, 1)


def sent(fake: FakeProvider) -> list[Asked]:
    """The caller's own requests."""
    return [request for request in fake.requests if not compacts(request) and not asks_for_summary(request.body)]


@pytest.mark.parametrize("streamed", [False, True])
def test_anthropics_block_stands_first_and_goes_back_as_it_came(streamed: bool) -> None:
    """One request compacts a prefix of the live prompt; from then on its signed block begins the conversation, the same bytes each time."""
    with anthropic_agent(script()) as (fake, client, agent):
        agent.stream(client, 22) if streamed else agent.run(client, 22)
        asked = [request for request in fake.requests if compacts(request)]
        assert asked
        assert {request.status for request in fake.requests} == {200}
        place = fake.requests.index(asked[0])
        before, after = fake.requests[place - 1].body["messages"], fake.requests[place + 1].body["messages"]
        question = asked[0].body
        assert question["compaction"]["type"] == "summarize"
        assert "word for word" in question["compaction"]["instructions"]
        assert "compact-2026-09-04" in asked[0].headers["anthropic-beta"]
        assert bare(question["messages"]) == bare(before[: len(question["messages"])])
        block = asked[0].response["content"][0]
        assert block["signature"]
        assert bare(after[:1]) == [{"role": "assistant", "content": [block]}]
        assert "compact-2026-09-04" in fake.requests[place + 1].headers["anthropic-beta"]
        tail = agent_bodies(agent)[len(question["messages"]) :][: len(after) - 1]
        assert bare(after[1:]) == tail
        upto = fake.requests.index(asked[1]) if len(asked) > 1 else len(fake.requests)
        assert all(bare(request.body["messages"][:1]) == bare(after[:1]) for request in fake.requests[place + 1 : upto])


def bare(messages: Any) -> Any:
    """Messages without cache marks."""
    text = json.dumps(messages)
    for mark in (', "cache_control": {"type": "ephemeral"}', ', "cache_control": {"type": "ephemeral", "ttl": "5m"}'):
        text = text.replace(mark, "")
    return [listed(message) for message in json.loads(text)]


def listed(message: Any) -> Any:
    """A message whose content is a list."""
    content = message["content"]
    return {**message, "content": [{"type": "text", "text": content}] if isinstance(content, str) else content}


def agent_bodies(agent: AnthropicAgent) -> Any:
    """The agent's own history as JSON."""
    plain = [
        {
            **message,
            "content": content if isinstance(content, str) else [one if isinstance(one, dict) else one.to_dict() for one in content],
        }
        for message in agent.messages
        for content in [message["content"]]
    ]
    return bare(plain)


def test_it_reads_the_warm_cache_and_its_cost_is_in_trace_and_report() -> None:
    """The question reads what earlier requests wrote and writes nothing; its tokens, which stand only in iterations, are counted."""
    with anthropic_agent(script(every=100)) as (fake, client, agent):
        until(fake, client, agent, compacts)
        (asked,) = [request for request in fake.requests if compacts(request)]
        usage = asked.usage
        assert usage is not None
        assert asked.response["usage"]["input_tokens"] == 0
        assert usage.read > 0.5 * usage.prompt
        assert usage.written == 0
        trace = holdfast.of(client).last
        assert trace is not None
        assert trace.commit is not None
        assert trace.commit.asked == (usage,)
        assert holdfast.of(client).report().tokens.asked == usage


def test_bound_thinking_behind_the_block_stays() -> None:
    """On a model that binds thinking nothing is stripped or dropped, and the API takes every request, again and again."""
    with anthropic_agent(script(thinking="Let me think about rocks and weed."), model=BOUND) as (fake, client, agent):
        agent.extra["thinking"] = {"type": "adaptive"}
        agent.run(client, 40)
        assert sum(map(compacts, fake.requests)) >= 2
        assert {request.status for request in fake.requests} == {200}
        last = fake.requests[-1].body
        assert "block_binding" not in json.dumps(last["thinking"])
        replies = [message for message in last["messages"][1:] if message["role"] == "assistant"]
        assert replies
        assert all(message["content"][0]["type"] == "thinking" for message in replies)


def test_a_restart_sends_the_same_block(tmp_path: Path) -> None:
    """The store keeps the provider's own JSON: another process goes on with the same bytes."""
    store = tmp_path / "store.sqlite"
    with anthropic_agent(script(every=100), store=store) as (fake, client, agent):
        until(fake, client, agent, compacts)
        agent.run(client, 1)
        with Anthropic(base_url=fake.url, api_key="k", max_retries=0) as bare_client:
            again = holdfast.wrap(bare_client, **SIZES, summaries="provider", store=store)
            before = fake.requests[-1].body["messages"]
            agent.run(again, 1)
        after = fake.requests[-1].body["messages"]
        assert bare(after[: len(before)]) == bare(before)
        assert after[0]["content"][0]["type"] == "compaction"


def test_what_is_pinned_is_not_given_away() -> None:
    """Where something before the tail is pinned the live model writes the summary, and the pinned text stays."""
    with anthropic_agent(script(every=100)) as (fake, client, agent):
        with holdfast.of(client).session(pin="/a/1-0.py"):
            agent.run(client, 16)
        assert not any(map(compacts, fake.requests))
        assert any(asks_for_summary(request.body) for request in fake.requests)
        assert "/a/1-0.py" in str(fake.requests[-1].body["messages"])


def test_where_the_provider_refuses_the_model_writes_it() -> None:
    """A refused compaction costs nothing: the live model is asked for the same plan, and after three refusals at once."""
    with anthropic_agent(script(failing=True)) as (fake, client, agent):
        agent.run(client, 60)
        refused = [request for request in fake.requests if compacts(request)]
        assert len(refused) == 3
        assert sum(asks_for_summary(request.body) for request in fake.requests if not compacts(request)) > 3
        assert {request.status for request in sent(fake)} == {200}


@pytest.mark.parametrize("reply", [Reply(""), Fault(500, message="no")], ids=["null", "500"])
def test_a_compaction_of_no_use_leaves_the_plan_to_the_model(reply: Any) -> None:
    """An empty block, or a server's failure, is never sent back."""
    plain = says(every=100)
    with anthropic_agent(lambda asked: reply if compacts(asked) else plain(asked)) as (fake, client, agent):
        agent.run(client, 16)
        assert any(map(compacts, fake.requests))
        assert "compaction" not in str(fake.requests[-1].body["messages"])
        assert {request.status for request in sent(fake)} == {200}


def test_openais_item_stands_behind_the_users_messages() -> None:
    """On Responses every message of the user stays as it came, and the encrypted item stands for all between them."""
    with FakeProvider(script(), counter="sampled") as fake, OpenAI(base_url=f"{fake.url}/v1", api_key="k", max_retries=0) as bare_client:
        client, agent = holdfast.wrap(bare_client, **SIZES, summaries="provider"), ResponsesAgent()
        agent.run(client, 30)
        asked = [request for request in fake.requests if compacts(request)]
        assert asked
        assert {request.status for request in fake.requests} == {200}
        after = fake.requests[fake.requests.index(asked[0]) + 1].body["input"]
        item = asked[0].response["output"][-1]
        place = after.index(item)
        assert item["type"] == "compaction"
        users = [one["content"] for one in asked[0].body["input"] if one.get("role") == "user"]
        assert [one["content"] for one in after[:place]] + [one["content"] for one in after[place + 1 :] if one.get("role") == "user"][
            : len(users) - place
        ] == users
        assert after[0]["content"] == "Why does the kelp let go?"
        assert holdfast.of(client).report().tokens.asked == sum((request.usage or Usage() for request in asked), Usage())


def test_where_there_is_no_such_thing_the_model_writes_it_and_that_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """Chat Completions compacts nothing itself: the live model is asked, and the log says so once."""
    with (
        FakeProvider(script(every=100), counter="sampled") as fake,
        OpenAI(base_url=f"{fake.url}/v1", api_key="k", max_retries=0) as bare_client,
    ):
        client, agent = holdfast.wrap(bare_client, **SIZES, summaries="provider"), ChatAgent()
        with caplog.at_level(logging.WARNING, "holdfast"):
            agent.run(client, 18)
        assert any(asks_for_summary(request.body) for request in fake.requests)
        assert sum("writes summaries" in record.getMessage() for record in caplog.records) == 1


def test_background_and_provider_go_together() -> None:
    """The provider's block can be prepared beside the conversation and put in later."""
    with anthropic_agent(script(every=100), background=True) as (fake, client, agent):
        until(fake, client, agent, compacts)
        deadline = time.monotonic() + 5
        while holdfast.of(client).calls.preparing and time.monotonic() < deadline:
            time.sleep(0.002)
        count = len(fake.requests)
        while not any(
            message["content"][0]["type"] == "compaction"
            for message in fake.requests[-1].body["messages"][:1]
            if isinstance(message["content"], list)
        ):
            agent.run(client, 1)
            assert len(fake.requests) < count + 6
        assert {request.status for request in fake.requests} == {200}


def test_two_who_would_write_are_one_too_many() -> None:
    """The provider and another model cannot both be the one who writes summaries."""
    with pytest.raises(InputError, match="summary_model"):
        CallSettings(summaries="provider", summary_model=OTHER)


OTHER = "claude-haiku-4-5"


def test_another_model_writes_the_summary_uncached_and_at_its_own_price() -> None:
    """The question goes to it without thinking, effort, marks and betas that are the conversation's; its cost is told everywhere."""
    with anthropic_agent(script(every=100, thinking="Hm."), model=BOUND, summaries="model", summary_model=OTHER) as (fake, client, agent):
        agent.extra |= {
            "thinking": {"type": "adaptive"},
            "output_config": {"effort": "low"},
            "extra_headers": {"anthropic-beta": "effort-2025-11-24,files-api-2025-04-14"},
        }
        until(fake, client, agent, lambda request: asks_for_summary(request.body))
        (asked,) = [request for request in fake.requests if asks_for_summary(request.body)]
        assert asked.status == 200
        assert asked.body["model"] == OTHER
        assert asked.headers["anthropic-beta"] == "files-api-2025-04-14"
        for name in ("thinking", "output_config", "cache_control"):
            assert name not in asked.body
        assert "cache_control" not in json.dumps(asked.body)
        assert '"thinking"' not in json.dumps(asked.body["messages"])
        usage = asked.usage
        assert usage is not None
        assert usage.read == usage.written == 0
        expected = (usage.fresh * 1 + usage.output * 5) / 1_000_000
        handle = holdfast.of(client)
        assert handle.last is not None
        assert handle.last.commit is not None
        assert float(handle.report().spent_on_calls.usd) == pytest.approx(expected)
        told = next(line for line in handle.explain().splitlines() if "asked:" in line)
        assert OTHER in told
        assert f"${expected:.3f}"[:5] in told


@pytest.mark.parametrize("agent", [ChatAgent(extra={"reasoning_effort": "low"}), ResponsesAgent(extra={"reasoning": {"effort": "low"}})])
def test_another_model_of_openais_writes_the_summary(agent: Any) -> None:
    """Settings that belong to the conversation's model stay out of its question, and only of that."""
    with (
        FakeProvider(script(every=100, thinking="Hm."), counter="sampled") as fake,
        OpenAI(base_url=f"{fake.url}/v1", api_key="k", max_retries=0) as bare_client,
    ):
        client = holdfast.wrap(bare_client, **SIZES, summary_model="gpt-5.4-mini")
        agent.run(client, 18)
        asked = [request for request in fake.requests if asks_for_summary(request.body)]
        assert asked
        assert {request.status for request in fake.requests} == {200}
        for request in asked:
            assert request.body["model"] == "gpt-5.4-mini"
            assert not {"reasoning", "reasoning_effort"} & request.body.keys()
        assert {"reasoning", "reasoning_effort"} & sent(fake)[-1].body.keys()

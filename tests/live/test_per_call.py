"""What is said for one call, or for a client: pins, another strategy, off, a forced plan, reminders, what does not belong in the prefix."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from anthropic import Anthropic

from holdfast.testing import Asked
from holdfast.wrap import of
from tests.agents import AnthropicAgent, ChatAgent, ResponsesAgent, asks_for_summary, says
from tests.live.driving import Agent, run
from tests.live.watched import Watched, unmarked, watched

EASY: dict[str, Any] = {"trigger": 3_000, "target": 1_500, "keep_tail_tokens": 300}
SYSTEM_TAKER = "claude-opus-5-5"
AGENTS: dict[str, Callable[[], Agent]] = {
    "anthropic": lambda: AnthropicAgent("claude-sonnet-4-6", 900),
    "chat": lambda: ChatAgent(result=1_500),
    "responses": lambda: ResponsesAgent(result=1_500),
}


def client_of(seen: Watched, agent: Agent) -> Any:
    """A wrapped client of the agent's maker."""
    return seen.anthropic(max_retries=0) if isinstance(agent, AnthropicAgent) else seen.openai(max_retries=0)


def history(agent: Agent) -> list[Any]:
    """The agent's own list."""
    return agent.items if isinstance(agent, ResponsesAgent) else agent.messages


@pytest.mark.parametrize("kind", AGENTS)
def test_a_pin_keeps_its_blocks_and_only_where_it_was_said(kind: str) -> None:
    """Inside the session the block stands verbatim in every request; the same conversation without the pin loses it."""
    kept = {}
    for pinned in (True, False):
        agent = AGENTS[kind]()
        history(agent).append({"role": "assistant", "content": "Yes?"})
        history(agent).append({"role": "user", "content": "Never touch the reef at 61.2 N, whatever happens."})
        with watched(says(), strategy="truncate", **EASY) as seen, client_of(seen, agent) as client:
            with of(client).session(pin="the reef at 61.2 N" if pinned else ()):
                run(agent, client, 12)
            assert seen.commits > 0
            kept[pinned] = b"whatever happens" in seen.sent[-1].raw
    assert kept == {True: True, False: False}


def test_another_strategy_for_a_block_and_off_for_another() -> None:
    """``enabled=False`` plans nothing new and goes on sending what was committed; ``strategy=`` holds for its block."""
    agent = AGENTS["anthropic"]()
    with watched(says(), strategy="none", **EASY) as seen, client_of(seen, agent) as client:
        handle = of(client)
        run(agent, client, 6)
        assert seen.commits == 0
        with handle.session(strategy="truncate"):
            run(agent, client, 1)
        assert seen.commits == 1
        assert seen.traces[-1].commit is not None
        assert seen.traces[-1].commit.strategy == "truncate"
        before = unmarked(seen.sent[-1])
        with handle.session(strategy="truncate", enabled=False):
            run(agent, client, 6)
        assert seen.commits == 1
        assert unmarked(seen.sent[-1])[: len(before)] == before
        assert "switched off" in handle.explain()
        assert seen.judged() == []


def test_off_from_the_start_sends_the_callers_messages() -> None:
    """Nothing of the content changes, however long the conversation grows."""
    agent = AGENTS["chat"]()
    with watched(says(), strategy="truncate", **EASY) as seen, client_of(seen, agent) as client:
        with of(client).session(enabled=False):
            run(agent, client, 12)
        assert seen.commits == 0
        assert [json.loads(one) for one in seen.given] == [dict(asked.body) for asked in seen.sent]


def test_sessions_of_threads_do_not_mix_on_one_client() -> None:
    """Two tasks, one switched off: only the other's conversation is shortened."""

    async def go(seen: Watched) -> None:
        async with seen.async_anthropic(max_retries=0) as client:

            async def task(name: str, enabled: bool) -> None:
                agent = AnthropicAgent("claude-sonnet-4-6", 600, messages=[{"role": "user", "content": f"I am {name}."}])
                with of(client).session(name, enabled=enabled):
                    for _ in range(9):
                        agent.took(await client.messages.create(**agent.arguments()))

            await asyncio.gather(task("one", True), task("two", False))

    with watched(says(), strategy="truncate", **EASY) as seen:
        asyncio.run(go(seen))
        mine = {name: [asked for asked in seen.sent if f"I am {name}.".encode() in asked.raw] for name in ("one", "two")}
        shortened = {name: any(b"holdfast:" in asked.raw for asked in sent) for name, sent in mine.items()}
        assert shortened == {"one": True, "two": False}


def test_compact_forces_a_plan_at_the_next_request_and_tells_the_model_what_to_keep() -> None:
    """Far below the trigger; once, not for ever; and the focus is in the question."""
    agent = AGENTS["anthropic"]()
    with watched(says(), strategy="full", trigger=100_000, target=50_000, keep_tail_tokens=300) as seen, client_of(seen, agent) as client:
        run(agent, client, 6)
        of(client).compact(focus="what was said about the reef")
        run(agent, client, 1)
        assert seen.commits == 1
        assert b"what was said about the reef" in seen.questions[0].raw
        run(agent, client, 3)
        assert (seen.commits, len(seen.questions)) == (1, 1)
        assert seen.judged() == []


def test_compact_of_a_named_session_leaves_the_others_alone() -> None:
    """It holds for the conversation it was said in."""
    agents = {name: AnthropicAgent("claude-sonnet-4-6", 600, messages=[{"role": "user", "content": f"I am {name}."}]) for name in "ab"}
    with watched(says(), strategy="truncate", trigger=100_000, target=50_000, keep_tail_tokens=300) as seen:
        with seen.anthropic(max_retries=0) as client:
            for turn in range(7):
                for name, agent in agents.items():
                    with of(client).session(name):
                        if turn == 5 and name == "b":
                            of(client).compact()
                        run(agent, client, 1)
        assert [number for number, trace in enumerate(seen.traces) if trace.commit] == [11]


@pytest.mark.parametrize(("model", "role"), [("claude-sonnet-4-6", "user"), (SYSTEM_TAKER, "system")])
def test_a_reminder_stands_at_the_users_newest_turn_and_never_moves(model: str, role: str) -> None:
    """Bytes once sent are sent again; a model that takes system messages gets it as one."""
    count = iter(range(1_000))
    agent = AnthropicAgent(model, 400)
    with (
        watched(says(every=3), strategy="none", remind=lambda: f"Reminder {next(count)}: no hammers.") as seen,
        client_of(seen, agent) as client,
    ):
        run(agent, client, 10)
        bodies = [asked.body["messages"] for asked in seen.sent]
        for before, after in zip(seen.sent, seen.sent[1:], strict=False):
            assert unmarked(after)[: len(unmarked(before))] == unmarked(before)
        told = [[(n, message["role"]) for n, message in enumerate(body) if "no hammers" in json.dumps(message)] for body in bodies]
        assert all(who == role for body in told for _, who in body)
        assert told[0][-1][0] == len(bodies[0]) - 1
        assert "no hammers" not in json.dumps([asked.body["system"] for asked in seen.sent])
        spoken = [sum(isinstance(m["content"], str) for m in json.loads(one)["messages"] if m["role"] == "user") for one in seen.given]
        assert [len(body) for body in told] == spoken
        assert {asked.status for asked in seen.fake.requests} == {200}


@pytest.mark.parametrize("kind", AGENTS)
def test_a_clock_in_the_system_prompt_is_said_with_the_newest_words_instead(kind: str) -> None:
    """The head is the same at every request and is read from the cache; the bare client writes it anew each time."""
    agent, minute = AGENTS[kind](), iter(range(1_000))
    with watched(says(every=2), strategy="none", volatile=(r"It is \d+ past\.",)) as seen, client_of(seen, agent) as client:
        for _ in range(8):
            head = f"You are a diver. It is {next(minute)} past. " + "Mind the reef. " * 200
            if isinstance(agent, ChatAgent):
                agent.messages[0]["content"] = head
            else:
                agent.extra = {"system" if kind == "anthropic" else "instructions": head}
            run(agent, client, 1)
        heads = {json.dumps(asked.body.get("system") or asked.body.get("instructions") or asked.body["messages"][0]) for asked in seen.sent}
        assert len({head.replace(', "cache_control": {"type": "ephemeral"}', "") for head in heads}) == 1
        assert "past" not in heads.pop()
        for before, after in zip(seen.sent, seen.sent[1:], strict=False):
            assert unmarked(after)[: len(unmarked(before))] == unmarked(before)
        newest = [json.dumps(asked.body.get("messages") or asked.body["input"]) for asked in seen.sent]
        assert "It is 0 past." in newest[0]
        assert "It is 6 past." in newest[-1] or "It is 7 past." in newest[-1]
        last = seen.sent[-1]
        assert last.usage is not None
        assert last.usage.read > 1_000


def test_counting_tokens_sends_the_ledger_and_commits_nothing() -> None:
    """The count is of what would go out; the next request is as it would have been."""
    agent = AGENTS["anthropic"]()
    with watched(says(), strategy="truncate", **EASY) as seen, client_of(seen, agent) as client:
        while not seen.commits:
            run(agent, client, 1)
        given = {key: value for key, value in agent.arguments().items() if key != "max_tokens"}
        with Anthropic(base_url=seen.fake.url, api_key="k") as bare:
            whole = bare.messages.count_tokens(**given).input_tokens
        for _ in range(3):
            counted = client.messages.count_tokens(**given).input_tokens
        traces = len(seen.traces)
        run(agent, client, 1)
        assert counted == seen.sent[-1].prompt_tokens < whole
        assert len(seen.traces) == traces + 1
        assert seen.traces[-1].commit is None


def test_counting_over_the_trigger_asks_nothing_and_commits_nothing() -> None:
    """However often; the plan comes with the request."""
    agent = AGENTS["anthropic"]()
    with watched(says(), strategy="full", **EASY) as seen, client_of(seen, agent) as client:
        while not seen.traces or seen.traces[-1].sent_tokens < 1_500:
            run(agent, client, 1)
        given = {key: value for key, value in agent.arguments().items() if key != "max_tokens"}
        counts = {client.messages.count_tokens(**given).input_tokens for _ in range(3)}
        assert len(counts) == 1
        assert seen.questions == []
        assert seen.commits == 0


@pytest.mark.parametrize("kind", AGENTS)
@pytest.mark.parametrize("strategy", ["full", "truncate"])
def test_observing_sends_every_byte_as_it_came_and_tells_what_would_have_been(kind: str, strategy: str) -> None:
    """Nothing is asked; the report speaks of what would have been saved, and of commits that would have been made."""
    agent, other = AGENTS[kind](), AGENTS[kind]()
    with watched(says(), strategy=strategy, mode="observe", **EASY) as seen, client_of(seen, agent) as client:
        run(agent, client, 12)
        assert [json.loads(one) for one in seen.given] == [dict(asked.body) for asked in seen.fake.requests]
        assert seen.commits > 0
        report = seen.calls.report()
        assert report.requests == report.commits == 0
        assert report.would_have is not None
        assert report.would_have.commits == seen.commits
        assert report.would_have.tokens.removed > 0
        assert "Holdfast would have" in str(report)
        assert "only observed" in seen.calls.explain()
    with watched(says(), strategy="none", marks="off") as plain, client_of(plain, other) as client:
        run(other, client, 12)
        assert [asked.raw for asked in plain.fake.requests] == [asked.raw for asked in seen.fake.requests]


def test_no_field_of_ours_reaches_the_wire() -> None:
    """Whatever is said for a call, the body has the keys that the caller's has."""
    agent = AGENTS["anthropic"]()
    with watched(says(), strategy="full", remind="Gently.", pins=lambda block: "reef" in block.text, **EASY) as seen:
        with client_of(seen, agent) as client, of(client).session("mine", pin="kelp", strategy="ladder"):
            run(agent, client, 8)
        names = {key for asked in seen.sent if not asks_for_summary(asked.body) for key in asked.body}
        assert names == {key for one in seen.given for key in json.loads(one)}
        assert all("holdfast" not in name.lower() for asked in seen.fake.requests for name in header_names(asked))


def header_names(asked: Asked) -> list[str]:
    """The names of a request's headers."""
    return list(asked.headers)

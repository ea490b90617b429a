"""A process that ends and starts again in the middle of a conversation: with its store, and without one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from anthropic import Anthropic, BadRequestError

from holdfast.testing import FakeProvider
from tests.agents import AnthropicAgent, ChatAgent, says
from tests.live.driving import Agent, run
from tests.live.watched import watched

SOON: dict[str, Any] = {"trigger": 3_000, "target": 1_500, "keep_tail_tokens": 300}
THINKING = {"thinking": {"type": "adaptive"}}


def agent_of(kind: str) -> Agent:
    """An agent whose conversation is shortened after a few turns."""
    if kind == "chat":
        return ChatAgent(result=900)
    return AnthropicAgent("claude-opus-5-5", 600, extra=THINKING) if kind == "binding" else AnthropicAgent("claude-sonnet-4-6", 600)


def sent(kind: str, name: str, turns: tuple[int, ...], store: Path) -> tuple[list[bytes], int]:
    """What the provider gets of one conversation over so many lives of the process, and how many plans were committed."""
    agent, commits = agent_of(kind), 0
    bodies: list[bytes] = []
    script = says(thinking="Let me think about kelp. " * 8 if kind == "binding" else "")
    provider = FakeProvider(script, counter="sampled")
    with provider as fake:
        for part in turns:
            with watched(script, store, strategy=name, **SOON) as seen:
                seen.fake, own = fake, seen.fake
                with seen.anthropic(max_retries=0) if kind != "chat" else seen.openai(max_retries=0) as client:
                    run(agent, client, part)
                commits += seen.commits
                seen.fake = own
        assert {asked.status for asked in fake.requests} == {200}
        bodies = [asked.raw for asked in fake.requests]
    return bodies, commits


@pytest.mark.parametrize(("kind", "name"), [("free", "truncate"), ("binding", "full"), ("chat", "ladder"), ("binding", "truncate")])
def test_a_restart_with_its_store_sends_what_would_have_been_sent(kind: str, name: str, tmp_path: Path) -> None:
    """Three lives with one file give the bytes of one life, marks and questions included."""
    whole, commits = sent(kind, name, (15,), tmp_path / "whole.db")
    parts, again = sent(kind, name, (7, 4, 4), tmp_path / "parts.db")
    assert commits == again >= 2
    assert [json.loads(body) for body in parts] == [json.loads(body) for body in whole]
    assert parts == whole


def test_a_restart_without_a_store_is_mended_once_and_the_caller_never_sees_it() -> None:
    """Thinking that was made behind a shortened prefix is refused behind the whole one; what goes out next is taken."""
    agent = AnthropicAgent("claude-opus-5-5", 600, extra=THINKING)
    script = says(thinking="Let me think about kelp. " * 8)
    with FakeProvider(script, counter="sampled") as fake:
        for trigger in (3_000, 60_000):
            with watched(script, strategy="truncate", **{**SOON, "trigger": trigger}) as seen:
                seen.fake, own = fake, seen.fake
                with seen.anthropic(max_retries=0) as client:
                    run(agent, client, 8)
                seen.fake = own
        assert agent.turns == 16
        assert [trace.thinking for trace in seen.traces] == ["", *[""] * 7]
        (refused,) = [number for number, asked in enumerate(fake.requests) if asked.status != 200]
        assert "bound to a different conversation" in json.dumps(fake.requests[refused].response)
        assert "block_binding" not in fake.requests[refused].body["thinking"]
        assert all("block_binding" in asked.body["thinking"] for asked in fake.requests[refused + 1 :])


def test_the_bare_client_would_have_been_refused_for_ever() -> None:
    """What the repair is for: the same history from a client without Holdfast is not taken."""
    agent = AnthropicAgent("claude-opus-5-5", 600, extra=THINKING)
    with watched(says(thinking="Let me think. " * 8), strategy="truncate", **SOON) as seen:
        with seen.anthropic(max_retries=0) as client:
            run(agent, client, 8)
        assert seen.commits > 0
        with Anthropic(base_url=seen.fake.url, api_key="k", max_retries=0) as bare, pytest.raises(BadRequestError, match="bound to"):
            bare.messages.create(**agent.arguments())


def test_what_cannot_be_mended_reaches_the_caller_as_the_provider_said_it() -> None:
    """Thinking that nobody signed: the caller gets the error that the bare client gets."""
    thought = {"type": "thinking", "thinking": "Mine.", "signature": "abcd"}
    history: list[Any] = [
        {"role": "user", "content": "Go."},
        {"role": "assistant", "content": [thought, {"type": "text", "text": "Gone."}]},
        {"role": "user", "content": "On."},
    ]
    call: Any = {"model": "claude-opus-5-5", "max_tokens": 9, "messages": history, **THINKING}
    with watched(says(), strategy="truncate", **SOON) as seen, seen.anthropic(max_retries=0) as client:
        with Anthropic(base_url=seen.fake.url, api_key="k", max_retries=0) as bare, pytest.raises(BadRequestError) as plain:
            bare.messages.create(**call)
        with pytest.raises(BadRequestError) as ours:
            client.messages.create(**call)
        assert ours.value.body["error"] == plain.value.body["error"]  # type: ignore[index]

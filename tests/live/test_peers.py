"""Bugs that others had, by the number of their issue, and the test here that would have caught each.

The issues: of compaction requests that miss the cache (A), compaction that breaks the cache of the turns behind it (B), requests that
are no longer legal (E), originals that cannot be had back (I), and cache marks that are lost or misplaced (K).
"""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from anthropic import Anthropic, BadRequestError

from holdfast import recall
from holdfast.pricing import Prices, cost
from holdfast.store import opened
from holdfast.testing import Asked, FakeProvider
from holdfast.wrap import of
from tests.agents import AnthropicAgent, ChatAgent, ResponsesAgent, says
from tests.contract.subjects import eager
from tests.live.driving import Agent, run, step
from tests.live.watched import SMALL, Watched, unmarked, watched

QUESTION = "test_questions.test_a_question_reads_the_warm_entries_and_writes_none"
AGENTS = "test_agents.test_an_agent_of_fifty_turns_is_shortened_again_and_again_and_nothing_breaks"
OTHER_MODEL = "test_peers.test_a_question_is_asked_of_the_conversations_own_model"
PAYS = "test_peers.test_an_agent_through_holdfast_costs_less_than_the_bare_one"
BYTES = "test_per_call.test_observing_sends_every_byte_as_it_came_and_tells_what_would_have_been"
REORDERED = "test_peers.test_an_old_message_with_its_keys_in_another_order_goes_out_as_it_first_did"
HEAD_READ = "test_peers.test_a_commit_reads_what_stands_before_its_first_edit"
WORN = "test_peers.test_thirty_three_commits_in_a_row_leave_a_session_that_goes_on"
MARKED = "test_peers.test_each_request_reads_what_the_one_before_it_left_in_the_cache"
ORIGINALS = "test_peers.test_what_was_cleared_can_be_had_back_days_later_and_after_a_restart"

ANSWERED: Mapping[str, str] = {
    # A. The compaction request itself misses the cache.
    "openai/codex#37305": QUESTION,
    "anomalyco/opencode#25120": QUESTION,
    "anomalyco/opencode#43249": QUESTION,
    "anomalyco/opencode#11492": QUESTION,
    "langchain-ai/deepagents#5319": QUESTION,
    "OpenHands#7588": QUESTION,
    "OpenHands#7893": QUESTION,
    "OpenHands#7781": QUESTION,
    "cloudwego/eino#1132": QUESTION,
    "iterate/iterate#1888": QUESTION,
    "can1357/oh-my-pi#10786": QUESTION,
    "earendil-works/pi#8307": QUESTION,
    "MoonshotAI/kimi-code#3357": OTHER_MODEL,
    "mindroom#2059": QUESTION,
    "janhq/jan#8638": QUESTION,
    # B. Compaction silently destroys the cache of the turns that follow.
    "anomalyco/opencode#32515": HEAD_READ,
    "anomalyco/opencode#37489": HEAD_READ,
    "langchain-ai/langchain#37815": "test_peers.test_clearing_does_not_fire_at_every_turn",
    "openclaw#137021": AGENTS,
    "BerriAI/litellm#39519": "test_peers.test_the_hit_rate_between_commits_is_that_of_the_bare_client",
    "diegosouzapw/OmniRoute#3936": PAYS,
    "headroom#327": PAYS,
    "headroom#1042": BYTES,
    "headroom#3379": REORDERED,
    "headroom#3380": REORDERED,
    "shenjianan97/persistent-agent-runtime#108": "test_peers.test_the_system_prompt_is_never_written_into",
    "bug-ops/zeph#6563": AGENTS,
    # E. Broken message structure after compaction.
    "langchain-ai/langchain#34282": AGENTS,
    "earendil-works/pi#6832": WORN,
    "google/adk-python#7236": "test_peers.test_a_call_without_a_result_does_not_end_shortening_for_ever",
    "google/adk-python#4740": "test_peers.test_what_waits_for_an_answer_is_not_summed_up",
    "microsoft/agent-framework#8099": "test_questions.test_a_question_is_asked_of_tasks_too_and_the_summary_stands_for_the_rest",
    "microsoft/agent-framework#8441": AGENTS,
    "gugu91/pinet#941": WORN,
    "bastani-inc/atomic#1300": "test_per_call.test_compact_forces_a_plan_at_the_next_request_and_tells_the_model_what_to_keep",
    "devo#186": AGENTS,
    # I. Originals that are gone.
    "headroom#714": ORIGINALS,
    "headroom#1023": ORIGINALS,
    # K. Cache marks.
    "BerriAI/litellm#25335": MARKED,
    "BerriAI/litellm#29810": MARKED,
    "BerriAI/litellm#30319": MARKED,
    "BerriAI/litellm#38718": MARKED,
    "BerriAI/litellm#40675": "test_peers.test_a_mark_of_the_callers_on_the_system_prompt_does_not_cost_the_one_at_the_end",
    "BerriAI/litellm#11574": MARKED,
    "headroom#2939": "test_peers.test_long_marks_never_stand_behind_the_callers_short_ones",
    "pydantic/pydantic-ai#3467": "test_peers.test_four_marks_of_the_callers_leave_no_room_for_a_fifth",
    "pydantic/pydantic-ai#4121": MARKED,
}

SOON: dict[str, Any] = {"trigger": 3_000, "target": 1_500, "keep_tail_tokens": 300}
MODEL = "claude-sonnet-4-6"


@pytest.mark.parametrize("place", sorted(set(ANSWERED.values())))
def test_every_test_that_is_named_exists(place: str) -> None:
    """A table that points at nothing would be worth nothing."""
    module, _, name = place.partition(".")
    assert callable(getattr(importlib.import_module(f"tests.live.{module}"), name))


def test_every_issue_is_in_the_table(shared: Path) -> None:
    """Whatever the survey of peers lists in these groups has a row."""
    text = (shared / "PEERS.md").read_text(encoding="utf-8")
    section = text[text.index("\n## 3.") : text.index("\n## 4.")]
    groups = re.split(r"\n\*\*([A-K])\. ", section)
    listed = {number for letter, body in zip(groups[1::2], groups[2::2], strict=True) if letter in "ABEIK" for number in numbers(body)}
    assert listed - {"39265"} == {key.partition("#")[2] for key in ANSWERED}


def numbers(group: str) -> list[str]:
    """The numbers of the issues a group lists."""
    return re.findall(r"#(\d+)", group.partition("\n\n**What")[0])


def bill(asked: list[Asked], model: str) -> float:
    """What the provider took for all of these."""
    price = Prices.load().find(model)
    return sum(float(cost(one.usage, price)) for one in asked if one.usage)


@pytest.mark.parametrize("name", ["full"])
def test_an_agent_through_holdfast_costs_less_than_the_bare_one(name: str) -> None:
    """The same thirty turns on the same provider, the strategy's questions paid for; the bare client marks its newest message."""
    with FakeProvider(says(), counter="sampled") as fake, Anthropic(base_url=fake.url, api_key="k", max_retries=0) as bare:
        run(AnthropicAgent(MODEL, 1_500, extra={"cache_control": {"type": "ephemeral"}}), bare, 30)
        theirs = bill(fake.requests, MODEL)
    with (
        watched(says(), strategy=name, trigger=16_000, target=5_000, keep_tail_tokens=600) as seen,
        seen.anthropic(max_retries=0) as client,
    ):
        run(AnthropicAgent(MODEL, 1_500), client, 30)
        assert bill(seen.fake.requests, MODEL) < theirs


def test_a_question_is_asked_of_the_conversations_own_model() -> None:
    """Asked of another, it would find nothing in that one's cache."""
    with watched(says(), strategy="full", **SOON) as seen, seen.anthropic(max_retries=0) as client:
        run(AnthropicAgent(MODEL, 600), client, 6)
        assert seen.questions
        assert {asked.body["model"] for asked in seen.questions} == {MODEL}
        assert all(asked.usage is not None and asked.usage.read > asked.prompt_tokens / 2 for asked in seen.questions)


@pytest.mark.parametrize("name", ["truncate", "memory"])
def test_a_commit_reads_what_stands_before_its_first_edit(name: str) -> None:
    """With a head that is worth a cache entry, a request that commits reads it; nothing starts from zero."""
    agent = AnthropicAgent(MODEL, 600, extra={"system": "You look after a kelp forest. " * 300})
    with watched(says(), strategy=name, trigger=6_000, target=4_000, keep_tail_tokens=300) as seen, seen.anthropic(max_retries=0) as client:
        run(agent, client, 14)
        commits = [asked for asked, trace in zip(seen.sent, seen.traces, strict=True) if trace.commit]
        assert len(commits) >= 2
        assert all(asked.usage is not None and asked.usage.read > 2_000 for asked in commits)


def test_clearing_does_not_fire_at_every_turn() -> None:
    """Old results are cleared in batches: between two commits there are turns that clear nothing and read everything."""
    with watched(says(), strategy="micro", **SMALL) as seen, seen.anthropic(max_retries=0) as client:
        run(AnthropicAgent(MODEL, 900), client, 24)
        commits = [number for number, trace in enumerate(seen.traces) if trace.commit]
        assert 2 <= len(commits) <= 8
        assert all(after - before > 1 for before, after in pairwise(commits))


def test_the_hit_rate_between_commits_is_that_of_the_bare_client() -> None:
    """Every request that commits nothing reads all that the one before it wrote."""
    with watched(says(), strategy="ladder", **SMALL) as seen, seen.anthropic(max_retries=0) as client:
        run(AnthropicAgent(MODEL, 600), client, 16)
        for before, after, trace in zip(seen.sent, seen.sent[1:], seen.traces[1:], strict=False):
            if trace.commit is None:
                assert before.usage is not None
                assert after.usage is not None
                assert after.usage.read == before.usage.read + before.usage.write_5m


def test_an_old_message_with_its_keys_in_another_order_goes_out_as_it_first_did() -> None:
    """A caller that writes its history anew at each turn, in another order, is no reason to write the cache anew."""
    agent = AnthropicAgent(MODEL, 600)
    with watched(says(), strategy="none") as seen, seen.anthropic(max_retries=0) as client:
        for _ in range(4):
            run(agent, client, 1)
            agent.messages[:] = map(plain, agent.messages)
        agent.messages[:] = [dict(reversed(message.items())) for message in agent.messages]
        run(agent, client, 1)
        assert unmarked(seen.sent[-1])[: len(unmarked(seen.sent[-2]))] == unmarked(seen.sent[-2])
        assert seen.traces[-1].repaired > 0


def plain(message: Any) -> dict[str, Any]:
    """A message as plain JSON."""
    made: dict[str, Any] = json.loads(json.dumps(message, default=lambda block: block.model_dump(exclude_none=True)))
    return made


@pytest.mark.parametrize("name", ["full", "memory"])
def test_the_system_prompt_is_never_written_into(name: str) -> None:
    """Whatever is summed up or noted, the head keeps its bytes."""
    with watched(says(), strategy=name, **SOON) as seen, seen.anthropic(max_retries=0) as client:
        run(AnthropicAgent(MODEL, 600), client, 9)
        assert seen.commits
        heads = {
            json.dumps([asked.body["system"], asked.body["tools"]]).replace(', "cache_control": {"type": "ephemeral"}', "")
            for asked in seen.sent
        }
        assert len({head.replace('[{"type": "text", "text": ', "").replace("}]", "") for head in heads}) == 1


@pytest.mark.parametrize("kind", ["responses", "anthropic"])
def test_thirty_three_commits_in_a_row_leave_a_session_that_goes_on(kind: str) -> None:
    """A plan is forced at every turn, in the middle of tool loops too: each request is taken."""
    agent: Agent = ResponsesAgent(result=300) if kind == "responses" else AnthropicAgent(MODEL, 300)
    client: Any
    with watched(says(calls=3), strategy="truncate", trigger=1_500, target=700, keep_tail_tokens=100) as seen:
        with seen.openai(max_retries=0) if kind == "responses" else seen.anthropic(max_retries=0) as client:
            while seen.commits < 33:
                assert agent.turns < 80
                of(client).compact()
                step(agent, client, streamed=False)
            run(agent, client, 2)
        assert seen.judged() == []


def test_a_call_without_a_result_does_not_end_shortening_for_ever() -> None:
    """The provider refuses the orphan, as it would without us; mended, the same conversation is shortened again."""
    agent = AnthropicAgent(MODEL, 600)
    with watched(says(), strategy="truncate", **SOON) as seen, seen.anthropic(max_retries=0) as client:
        run(agent, client, 5)
        before, results = seen.commits, agent.messages.pop()
        agent.messages.append({"role": "user", "content": "Never mind the files."})
        with pytest.raises(BadRequestError, match="tool_use"):
            client.messages.create(**agent.arguments())
        agent.messages[-1] = results
        run(agent, client, 12)
        assert seen.commits > before


@pytest.mark.parametrize("name", ["truncate", "full", "micro"])
def test_what_waits_for_an_answer_is_not_summed_up(name: str) -> None:
    """Forced in the middle of a tool loop, a plan leaves the newest call and its results word for word."""
    agent = AnthropicAgent(MODEL, 600)
    with watched(says(every=50), strategy=eager(name), **SOON) as seen, seen.anthropic(max_retries=0) as client:
        run(agent, client, 3)
        of(client).compact()
        run(agent, client, 1)
        assert seen.commits == 1
        ours = [plain(message)["content"] for message in json.loads(b"[" + b",".join(unmarked(seen.sent[-1])[-2:]) + b"]")]
        theirs = [message["content"] for message in json.loads(seen.given[-1])["messages"][-2:]]
        assert ours == theirs


def test_what_was_cleared_can_be_had_back_days_later_and_after_a_restart(tmp_path: Path) -> None:
    """By the name in its place the model gets the very text, from the file, in another process's store."""
    days = {"now": 1_800_000_000.0}
    agent = AnthropicAgent(MODEL, 900)
    store = opened(tmp_path / "kept.db")
    with (
        watched(says(), store, strategy=eager("micro"), clock=lambda: days["now"], **SOON) as seen,
        seen.anthropic(max_retries=0) as client,
    ):
        run(agent, client, 6)
        days["now"] += 9 * 86_400
        run(agent, client, 1)
        names = {name for asked in seen.sent for name in re.findall(r"hash ([0-9a-f]{8,})", asked.raw.decode())}
        assert names
    fetch = recall.handler(opened(tmp_path / "kept.db"))
    everything = json.dumps([plain(message) for message in agent.messages])
    for name in names:
        text = fetch({"id": name}).partition("\n[holdfast: this is")[0]
        assert len(text) > 40
        assert json.dumps(text)[1:-1][:200] in everything or "line 1 of rock and weed" in text


@pytest.mark.parametrize("kind", ["anthropic", "chat", "responses"])
def test_each_request_reads_what_the_one_before_it_left_in_the_cache(kind: str) -> None:
    """Strings or lists, tools or words: the mark that moves on changes no content, and what it wrote is found."""
    agent: Agent = AnthropicAgent(MODEL, 900)
    if kind != "anthropic":
        agent = ChatAgent("gpt-5.6-sol", 900) if kind == "chat" else ResponsesAgent("gpt-5.6-sol", 900)
    client: Any
    with watched(says(every=3), strategy="none") as seen:
        with seen.anthropic(max_retries=0) if kind == "anthropic" else seen.openai(max_retries=0) as client:
            run_plain(agent, client, 10)
        for before, after in zip(seen.sent, seen.sent[1:], strict=False):
            assert before.usage is not None
            assert after.usage is not None
            if before.prompt_tokens > 1_024:
                assert after.usage.read == before.prompt_tokens - before.usage.fresh > 0
        assert seen.calls.report().reads.unplanned_breaks == 0


def run_plain(agent: Agent, client: Any, turns: int) -> None:
    """So many turns, none streamed."""
    for _ in range(turns):
        step(agent, client, streamed=False)


def marked(seen: Watched) -> list[int]:
    """How many marks each request carries."""
    return [asked.raw.count(b'"cache_control"') for asked in seen.sent]


def test_a_mark_of_the_callers_on_the_system_prompt_does_not_cost_the_one_at_the_end() -> None:
    """Both stand, and the conversation is read up to its end."""
    system = [{"type": "text", "text": "You look after a kelp forest. " * 300, "cache_control": {"type": "ephemeral"}}]
    with watched(says(), strategy="none") as seen, seen.anthropic(max_retries=0) as client:
        run(AnthropicAgent(MODEL, 600, extra={"system": system}), client, 6)
        assert min(marked(seen)) >= 2
        before, after = seen.sent[-2:]
        assert after.usage is not None
        assert after.usage.read == before.prompt_tokens
        assert all("cache_control" in asked.body["system"][0] for asked in seen.sent)


def test_long_marks_never_stand_behind_the_callers_short_ones() -> None:
    """The caller marks its system prompt for five minutes, we were told to mark for an hour: every request is taken."""
    system = [{"type": "text", "text": "You look after a kelp forest. " * 300, "cache_control": {"type": "ephemeral"}}]
    with watched(says(), strategy="truncate", ttl="1h", **SMALL) as seen, seen.anthropic(max_retries=0) as client:
        run(AnthropicAgent(MODEL, 900, extra={"system": system}), client, 14)
        assert seen.commits
        assert seen.judged() == []


def test_four_marks_of_the_callers_leave_no_room_for_a_fifth() -> None:
    """All four stay where they are, at every turn and every commit."""
    mark = {"cache_control": {"type": "ephemeral"}}
    system = [{"type": "text", "text": f"Part {n}. " + "kelp " * 600, **mark} for n in range(3)]
    with watched(says(), strategy="truncate", trigger=6_000, target=4_000, keep_tail_tokens=300) as seen:
        with seen.anthropic(max_retries=0) as client:
            run(AnthropicAgent(MODEL, 900, extra={"system": system, **mark}), client, 10)
        assert seen.commits
        assert max(marked(seen)) == 4
        assert {asked.status for asked in seen.fake.requests} == {200}

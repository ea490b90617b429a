"""``full`` asks the model for a summary, as an extension of what stands in its cache; and when it does not ask, or gets no answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from holdfast.errors import AskFailed
from holdfast.testing import Asked, Fault, Reply, Say, ToolCall
from tests.agents import READ_TOOL, SUMMARY, AnthropicAgent, ChatAgent, ResponsesAgent, asks_for_summary, says
from tests.live.driving import Agent, arun, run
from tests.live.watched import Watched, bare, unmarked, watched

EASY: dict[str, Any] = {"trigger": 4_000, "target": 2_000, "keep_tail_tokens": 300, "strategy": "full"}
THINKING = {"thinking": {"type": "adaptive"}}
AGENTS: dict[str, Callable[[], Agent]] = {
    "binding": lambda: AnthropicAgent("claude-opus-5-5", 1_200, extra=THINKING),
    "free": lambda: AnthropicAgent("claude-sonnet-4-6", 1_500),
    "chat": lambda: ChatAgent("gpt-5.4", 2_400),
    "responses": lambda: ResponsesAgent("gpt-5.4", 2_400),
    "marked": lambda: ChatAgent("gpt-5.6-sol", 2_400),
}


def answering(answer: Say) -> Callable[[Asked], Say]:
    """An agent's model that answers every question like this."""
    model = says(thinking="Let me think about kelp. " * 4)
    plain = says()
    return lambda asked: answer if asks_for_summary(asked.body) else (model if "thinking" in asked.body else plain)(asked)


def until_a_question(seen: Watched, agent: Agent, turns: int = 30) -> None:
    """Turns until the model has been asked."""
    client: Any
    with seen.anthropic(max_retries=0) if isinstance(agent, AnthropicAgent) else seen.openai(max_retries=0) as client:
        for _ in range(turns):
            run(agent, client, 1)
            if seen.questions:
                return


@pytest.mark.parametrize("kind", AGENTS)
def test_a_question_reads_the_warm_entries_and_writes_none(kind: str) -> None:
    """It is the live prompt to the byte, one instruction longer: read as far as the last request wrote, nothing written, the rest fresh."""
    agent = AGENTS[kind]()
    with watched(answering(Reply(SUMMARY)), **EASY) as seen:
        until_a_question(seen, agent)
        (question,) = seen.questions
        last = seen.sent[-2]
        assert question.usage is not None
        assert last.usage is not None
        written = question.usage.write_5m + question.usage.write_1h + question.usage.write_30m
        if kind == "marked":  # the provider marks the newest message by itself; in explicit mode what it wrote so could be missed
            assert written == question.prompt_tokens - question.usage.read
        else:
            assert written == 0
        if kind in ("chat", "responses"):  # reads in steps of 128 tokens
            assert question.usage.read > last.prompt_tokens - 256
        else:
            assert question.usage.read == last.prompt_tokens - last.usage.fresh
        prompt = unmarked(last)
        assert unmarked(question)[: len(prompt)] == prompt
        kept = ["model", "tools", "tool_choice", "system", "instructions", "thinking", "reasoning"]
        ours, theirs = json.loads(question.raw), json.loads(last.raw)
        assert json.dumps({key: bare(ours.get(key)) for key in kept}) == json.dumps({key: bare(theirs.get(key)) for key in kept})
        assert ours["stream"] is True
        assert seen.commits == 1
        report = seen.calls.report()
        assert report.tokens.asked == question.usage
        assert report.spent_on_calls.usd > 0


def test_a_question_is_asked_of_tasks_too_and_the_summary_stands_for_the_rest() -> None:
    """The next request has the model's words in the place of what was summed up."""
    agent = AGENTS["free"]()
    with watched(answering(Reply(SUMMARY)), **EASY) as seen:
        asyncio.run(arun(agent, seen.async_anthropic(max_retries=0), 8))
        assert len(seen.questions) == seen.commits > 0
        assert SUMMARY.strip().encode() in seen.sent[-1].raw
        assert seen.judged() == []


USELESS: dict[str, Say] = {
    "a call": Reply("", calls=[ToolCall("read", {"path": "/a"})]),
    "words and a call": Reply(SUMMARY, calls=[ToolCall("read", {"path": "/a"})]),
    "nothing": Reply(""),
    "blank": Reply("  \n "),
    "cut off": Reply(SUMMARY, stop="length"),
    "declined": Reply("I would rather not.", stop="refusal"),
    "refused": Fault(400, message="no"),
    "overloaded": Fault(529),
    "cut": Fault(drop="body"),
    "gone": Fault(drop="headers"),
}


@pytest.mark.parametrize(
    ("kind", "what"),
    [("free", what) for what in USELESS]
    + [(kind, what) for kind in ("chat", "responses") for what in ("a call", "cut off", "declined", "gone")],
)
def test_an_answer_that_is_of_no_use_means_no_plan(kind: str, what: str) -> None:
    """The caller's request goes out as it would have without the question, and the failure is told."""
    agent = AGENTS[kind]()
    with watched(answering(USELESS[what]), **EASY) as seen:
        until_a_question(seen, agent)
        assert len(seen.questions) in (1, 2)
        assert seen.commits == 0
        assert seen.sent[-1].status == 200
        assert unmarked(seen.sent[-1])[: len(unmarked(seen.sent[-2]))] == unmarked(seen.sent[-2])
        assert any(isinstance(error, AskFailed) for error in seen.traces[-1].errors)


def test_three_failures_open_the_circuit() -> None:
    """After the third no question is asked for a while, and the trace says why; the requests go on."""
    agent = AGENTS["free"]()
    with watched(answering(Reply("")), **{**EASY, "trigger": 2_500, "target": 1_200}) as seen, seen.anthropic(max_retries=0) as client:
        for _ in range(60):
            run(agent, client, 1)
            if len(seen.questions) == 3:
                break
        run(agent, client, 9)
        assert len(seen.questions) == 3
        assert len(seen.sent) == agent.turns
        assert seen.commits == 0
        assert "failed 3 times in a row" in seen.calls.explain()


READS: dict[str, Any] = {"type": "tool", "name": READ_TOOL["name"]}
FORMAT: dict[str, Any] = {"type": "json_schema", "schema": {"type": "object", "properties": {}, "additionalProperties": False}}
SHAPED: dict[str, tuple[str, dict[str, Any]]] = {
    "a tool is forced": ("free", {"tool_choice": READS}),
    "some tool is forced": ("free", {"tool_choice": {"type": "any"}}),
    "stop sequences": ("free", {"stop_sequences": ["END"]}),
    "an output format": ("free", {"output_config": {"format": FORMAT}}),
    "chat, tool forced": ("chat", {"tool_choice": "required"}),
    "chat, format": ("chat", {"response_format": {"type": "json_object"}}),
    "chat, stop": ("chat", {"stop": ["END"]}),
    "responses, tool forced": ("responses", {"tool_choice": "required"}),
    "responses, format": ("responses", {"text": {"format": {"type": "json_object"}}}),
}


@pytest.mark.parametrize("what", SHAPED)
def test_what_would_shape_the_answer_forbids_the_question(what: str) -> None:
    """The plan waits for a request on which the model may be asked, and then happens."""
    kind, extra = SHAPED[what]
    agent = AGENTS[kind]()
    if not isinstance(agent, AnthropicAgent):
        (agent.messages if isinstance(agent, ChatAgent) else agent.items)[-1]["content"] += " Answer in JSON."
    client: Any
    with watched(answering(Reply(SUMMARY)), **EASY) as seen:
        with seen.anthropic(max_retries=0) if kind == "free" else seen.openai(max_retries=0) as client:
            while not seen.traces or seen.traces[-1].sent_tokens < 2_300:
                run(agent, client, 1)
            agent.extra = extra
            run(agent, client, 1)
            while seen.traces[-1].sent_tokens <= 4_000:
                run(agent, client, 1)
            assert seen.questions == []
            assert "waits" in seen.calls.explain()
            agent.extra = {}
            run(agent, client, 1)
        assert len(seen.questions) == seen.commits == 1

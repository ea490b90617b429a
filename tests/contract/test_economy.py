"""What a commit promises of the cache, measured on a cache that is driven by the session's own marks; and the work a turn takes."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from holdfast.caches.anthropic import AnthropicCache, AnthropicRules
from holdfast.caches.machine import CacheRequest
from holdfast.prefix import chain_of
from holdfast.scale import scale
from holdfast.schedule import Schedule, Tariff, break_even
from holdfast.usage import Usage
from holdfast.wire import of
from tests.contract.subjects import ACTIVE, NAMES, NEVER, Sent, session, working
from tests.generators import Body, Step, dumps, tall_conversation

WIDE = Schedule(3000, 1200, 1_000_000)


def weighed(body: Body) -> CacheRequest:
    """A body as a cache sees it, with the marks it really carries; a string weighs as the text that it becomes under a mark."""
    wire, weigh = of("anthropic"), scale("o200k").estimate  # as a live session weighs
    for message in body["messages"]:
        if isinstance(message["content"], str):
            message["content"] = [{"type": "text", "text": message["content"]}]
    prompt = wire.read(body)
    chain = chain_of(prompt)
    total, chain.totals = 0, []
    for block in prompt.blocks:
        total += weigh(block)
        chain.totals.append(total)
    return CacheRequest(chain, prompt.settings, prompt.marks, 0.0)


def billed(name: str, gap: float = 20, **changes: Any) -> list[tuple[Sent, Usage, CacheRequest]]:
    """Every request of a conversation with what a cache bills for it, which the session observes."""
    subject = session(name, schedule=WIDE, family="o200k", **changes)
    cache, told = AnthropicCache(AnthropicRules(minimum=1)), []
    for number, step in enumerate(working(40)):
        now = number * gap
        sent, trace = subject.prepare(step.body, now)
        plain: Body = json.loads(dumps(sent))
        request = weighed(plain)
        request = CacheRequest(request.chain, request.settings, request.marks, now)
        usage = cache.send(request)
        subject.observe(usage)
        told.append((Sent(step.body, plain, trace, step), usage, request))
    return told


@pytest.mark.parametrize("name", ACTIVE)
def test_the_predicted_rewrite_is_what_the_cache_bills(name: str) -> None:
    """At a commit the cache writes what is new and what was said to be written again, to the token."""
    commits, last_tokens = 0, 0
    for sent, usage, request in billed(name):
        commit = sent.trace.commit
        arriving = (commit.tokens_before if commit else request.chain.tokens()) - last_tokens
        if commit and commit.warm_tokens:
            commits += 1
            assert usage.written == commit.rewritten_tokens + arriving
            assert usage.read == request.chain.tokens() - usage.written - usage.fresh
            assert commit.warm_tokens == last_tokens
            cost = 120 * 5 * Tariff().fresh + commit.asked[0].read * Tariff().read if commit.asked else 0
            assert commit.break_even_turn == break_even(commit.tokens_removed, commit.rewritten_tokens, cost, Tariff())
        elif not commit and last_tokens:
            assert (usage.written, usage.read) == (arriving, last_tokens)
        last_tokens = request.chain.tokens()
    assert commits >= 2


@pytest.mark.parametrize("name", ACTIVE)
def test_a_commit_carries_the_measured_break_even_later(name: str) -> None:
    """Later traces say how many turns a commit really took to pay for itself: as predicted, or next to it."""
    told = billed(name)
    predicted = {sent.trace.commit.number: sent.trace.commit for sent, _, _ in told if sent.trace.commit}
    measured = {number: turns for sent, _, _ in told for number, turns in sent.trace.settled}
    assert measured
    for number, turns in measured.items():
        promised = predicted[number].break_even_turn
        assert promised is not None
        assert abs(turns - promised) <= 1 + len(predicted)


def test_on_a_cold_cache_a_commit_costs_nothing_extra() -> None:
    """After an idle gap longer than the lifetime, nothing was warm and nothing is counted as written again."""
    commits = [sent.trace.commit for sent, _, _ in billed("truncate", gap=4000) if sent.trace.commit]
    assert commits
    assert {(commit.warm_tokens, commit.rewritten_tokens, commit.break_even_turn) for commit in commits} == {(0, 0, 0)}


# -- work per turn


def calls_of(act: Callable[[], object]) -> int:
    """How many calls of Python functions something takes."""
    count = 0

    def tick(frame: object, event: str, argument: object) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(tick)
    try:
        act()
    finally:
        sys.setprofile(None)
    return count


def work(name: str, turns: int, schedule: Schedule) -> int:
    """The calls of a turn at which the strategy is not asked, in a conversation this long whose caller appends to its own list."""
    conversation = tall_conversation(turns, 40)
    subject = session(name, schedule=schedule, keep_tail_tokens=2000)
    body = conversation.body()
    counts = []
    for number in range(6):
        bodies = working(1, size=10)[-1].body["messages"][1:]
        body["messages"].extend(relabelled(bodies, number))

        def turn(now: float = float(number)) -> None:
            subject.prepare(body, now)
            subject.observe(Usage(read=1000))

        counts.append(calls_of(turn))
    return sorted(counts)[1]


def relabelled(messages: list[Any], number: int) -> list[Any]:
    """The same messages with call ids of their own."""
    replaced: list[Any] = json.loads(dumps(messages).replace(b"toolu_", f"toolu_new{number}_".encode()))
    return replaced


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("schedule", [NEVER, Schedule(2500, 100, 1_000_000)], ids=["below the trigger", "after a commit"])
def test_the_work_of_a_turn_does_not_grow_with_the_conversation(name: str, schedule: Schedule) -> None:
    """A turn takes as many calls at 800 messages as at 50, also where edits have been committed."""
    short, long = work(name, 25, schedule), work(name, 400, schedule)
    assert long <= short + 25
    assert short > 50


def test_one_step_is_a_step() -> None:
    """The conversation of these tests grows by two messages at a time."""
    bodies = [step.body["messages"] for step in working(3)]
    assert [len(later) - len(earlier) for earlier, later in pairwise(bodies)] == [2, 2, 2]
    assert isinstance(working(1)[0], Step)

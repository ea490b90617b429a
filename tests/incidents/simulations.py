"""Comparisons that an incident asks for, run through the real cache machines, the schedule and a live session."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from holdfast.caches import AnthropicCache, AnthropicRules, Cache, OpenAICache, OpenAIMarkRules, OpenAIMarksCache, OpenAIRules, cache_for
from holdfast.options import Options
from holdfast.pricing import Prices, bill
from holdfast.schedule import Schedule
from holdfast.session import Session
from holdfast.strategies import Micro
from holdfast.usage import Usage
from tests.incidents.bodies import Place, Talk, assistant, prose, rounds, tool, user
from tests.incidents.cases import MODELS, Case
from tests.incidents.logs import billed, tokens_of, usage_json
from tests.incidents.recipes_history import pruning
from tests.incidents.registry import simulation
from tests.incidents.sessions import agent

HEAD = 6_000
FULL, HALF = 12, 6
"""Tool results kept whole above which old ones are blanked, and how many the deeper way leaves."""


def _reads(cache: Cache, talks: Sequence[Talk], api: str, every: float = 20.0) -> list[Usage]:
    return [billed(cache, talk, api, every * turn, responded=every * turn + 2) for turn, talk in enumerate(talks)]


def _share(usages: Sequence[Usage]) -> float:
    return sum(usage.read for usage in usages) / sum(usage.prompt for usage in usages)


@simulation("messages_rewritten:own_pruning")
def hysteresis(case: Case) -> None:
    """Clearing to the threshold rewrites the history at every turn behind it, clearing to half of it once in many."""
    turns = case.stated(r"(\d+)-turn") or 50
    rewrites, shares = {}, {}
    for left in (FULL, HALF):
        made = pruning(case, turns, FULL, left)
        usages = _reads(cache_for(case.api, case.model), [talk for talk, _ in made], case.api)
        broken = [turn for turn in range(1, turns) if usages[turn].read < usages[turn - 1].prompt * 0.9]
        assert broken == [turn for turn, (_, first) in enumerate(made) if first is not None]
        rewrites[left], shares[left] = len(broken), _share(usages)
    assert rewrites[FULL] == turns - FULL
    assert rewrites[HALF] <= turns // (FULL - HALF)
    assert shares[HALF] > shares[FULL] * 1.3


@simulation("compaction_request_prefix")
def flatten_or_extend(case: Case) -> None:
    """A request for a summary that extends the last one reads it; a flattened one reads nothing, and loses in step with the window."""
    ranges = [row["hit_pct_range"] for row in case.rows if row.get("hit_pct_range")] or [(85, 100)]
    windows = sorted(int(found[1]) * (1_000 if found[2] == "k" else 1_000_000) for found in map(_window, case.published) if found)
    losses = []
    for window in windows or [200_000]:
        talk = agent(case, HEAD, window - HEAD - 4_000, 20)
        ask = assistant("Ready."), user(f"Summarise what was done. {prose('headings', 60)}")
        flat = Talk(case.model, (), (f"Summarise this. {prose('flat', window - 4_000)}",), (user("Go."),))
        shares = {}
        for name, request in (("extend", talk.plus(*ask).marked_tail()), ("flatten", flat)):
            usages = _reads(cache_for(case.api, case.model), [talk, request], case.api)
            shares[name] = usages[1].read / usages[1].prompt * 100
            losses += [usages[0].prompt - usages[1].read] if name == "flatten" else []
        assert shares["flatten"] == 0
        assert shares["extend"] >= ranges[0][0]
    stated = sorted(value for name, value in case.published.items() if _window(name))
    for loss, money in zip(losses, stated, strict=False):
        assert abs(loss / losses[0] - money / stated[0]) < 0.05 * money / stated[0]


def _window(name: str) -> re.Match[str] | None:
    return re.fullmatch(r"usd_(\d+)([km])", name)


@simulation("parallel_race", "write_not_yet_visible")
def visible_later(case: Case) -> None:
    """What was sent a moment ago is read by nobody yet: with the delay gone, the same requests read it."""
    talk = agent(case, HEAD, 9_000, 6)
    more = talk.plus(*rounds("more", 3_000, 2, 50))
    last = more.plus(assistant("Wait."), user("Summarise."))
    talks = [item.marked_tail() for item in (talk, more, last)] if case.api == "anthropic" else [talk, more, last]
    reads: dict[float, list[int]] = {}
    for lag in (0.0, 8.0):
        cache: Cache = OpenAICache(OpenAIRules(write_lag=lag)) if case.api != "anthropic" else AnthropicCache()
        times = ((0.0, 1.0), (20.0, 21.0), (23.0, 24.0))
        sent = zip(talks, times, strict=True)
        responded = [end + (lag if case.api == "anthropic" else 0.0) for _, end in times]
        reads[lag] = [billed(cache, one, case.api, at, responded=seen).read for (one, (at, _)), seen in zip(sent, responded, strict=True)]
    assert reads[0.0][2] > reads[0.0][1] > 0
    assert reads[8.0][2] == reads[8.0][1] > 0


@simulation("compaction_timing_inverted", "wrong_compaction_timing")
def decided_before_the_request(case: Case) -> None:
    """Whether the cache is cold is told by the clock before a request: a miss just answered is warm, a hit long ago is cold."""
    soon, late = (int(gap) for gap in re.findall(r"next turn t=(\d+)", case.how)) if "next turn t=" in case.how else (30, 900)
    lifetime = case.stated(r"TTL (\d+)") or 300
    warm = max(case.numbers("cached") or [20_000])
    assert not _commits_again(case, Usage(write_5m=warm), soon, lifetime, warm)
    assert _commits_again(case, Usage(read=warm), late, lifetime, warm)


def _commits_again(case: Case, told: Usage, gap: float, lifetime: int, size: int) -> bool:
    """Whether a session under pressure commits a plan at a turn ``gap`` seconds after one that was billed so."""
    clock = [0.0]
    options = Options(Schedule(size // 2, size // 4, 4 * size), ttl=lifetime, clock=lambda: clock[0])
    session = Session(Micro(), options)
    talk = agent(case, HEAD, size // 4, 12)
    talk = talk.plus(assistant("I read on."), user(f"Keep this in mind: {prose('words that must stay', size)}")).marked_tail()
    _, trace = session.prepare(talk.body("anthropic"))
    assert trace.commit, "under pressure, on a cache that was never written, rewriting is free"
    session.observe(usage_json(case.api, told))
    clock[0] = gap
    talk = talk.plus(assistant("So noted."), user("Next."), *rounds("new", size // 8, 8, 100)).marked_tail()
    _, trace = session.prepare(talk.body("anthropic"))
    return trace.commit is not None


@simulation("message_inserted_before_tail:hoisted_system")
def hoisting_template(case: Case) -> None:
    """A template that moves system messages to the front turns an insertion at the tail into one at the head: by role alone."""
    talk = replace(agent(case, HEAD, 20_000, 6), tools=())
    shares = {}
    for role in ("system", "user"):
        steer = {"role": role, "content": "Stop and summarise first."}
        usages = _reads(cache_for(case.api, case.model), [_hoisted(talk), _hoisted(talk.plus(assistant("Yes."), steer))], case.api)
        shares[role] = usages[1].read / usages[1].prompt * 100
    assert shares["system"] == 0
    assert shares["user"] > 97


def _hoisted(talk: Talk) -> Talk:
    front = [message["content"] for message in talk.messages if message["role"] == "system"]
    rest = tuple(message for message in talk.messages if message["role"] != "system")
    return replace(talk, system=(*front, *talk.system), messages=rest)


@simulation("no_breakpoint_on_stable_prefix")
def no_fallback(case: Case) -> None:
    """Without a fallback to earlier ends a conversation that only grows reads its system prompt; a mark at the last tail cures it."""
    turns = case.published.get("turns", 12)
    talk, talks = agent(case, HEAD, 4_000, 2), []
    for turn in range(turns):
        talk = talk.plus(*rounds("grows", 2_000, 1, 100 + turn))
        talks.append(talk)
    pinned = _reads(OpenAIMarksCache(OpenAIMarkRules(earlier_ends=0)), talks, case.api)
    head = tokens_of(replace(talk, messages=()), case.api)
    assert {usage.read for usage in pinned[1:]} == {head}
    ends = _reads(OpenAIMarksCache(), talks, case.api)
    assert all(later.read > earlier.read for earlier, later in pairwise(ends[1:]))


@simulation("tools_reordered", "serialization_order")
def order_of_tools(case: Case) -> None:
    """Tools in another order, or with their keys in another, are another prefix; sorted they are the same; left out they are none."""
    made = tuple(tool(name, 200) for name in ("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta"))
    talk = Talk(case.model, made, ("Answer briefly.",), (user("Say ok."),)).marked(Place("system", 0))
    keys = tuple({key: item[key] for key in reversed(list(item))} for item in made)
    variants = {"same": made, "reversed": made[::-1], "keys": keys, "none": ()}
    reads = {}
    for name, sent in variants.items():
        cache = cache_for(case.api, case.model, minimum=64)
        reads[name] = _reads(cache, [talk, replace(talk, tools=sent)], case.api)[1].read
    assert reads["same"] > 1_000
    assert (reads["reversed"], reads["keys"], reads["none"]) == (0, 0, 0)
    assert sorted(map(_sorted, made[::-1])) == sorted(map(_sorted, made))
    assert [_sorted(item) for item in keys] == [_sorted(item) for item in made]


def _sorted(item: Any) -> str:
    """A tool in one canonical form."""
    return json.dumps(item, sort_keys=True)


@simulation("breakpoint_on_volatile_block")
def written_and_never_read(case: Case) -> None:
    """A mark on a message that passes writes at every turn and is read at none; on the last that stays it is."""
    reads = {}
    for place in (-1, -2):
        cache, kept, usages = cache_for(case.api, case.model), agent(case, HEAD, 9_000, 4), []
        for turn in range(5):
            kept = kept.plus(assistant("Well."), user(f"Question {turn}. {prose(f'asked {turn}', 30)}"))
            talk = kept.plus(user(f"<context>{prose(f'passing {turn}', 40)}</context>")).marked(
                Place("system", -1), Place("messages", place)
            )
            usages.append(billed(cache, talk, case.api, 30.0 * turn, responded=30.0 * turn + 3))
        reads[place] = usages
    head = reads[-1][1].read
    assert {usage.read for usage in reads[-1][1:]} == {head}
    assert all(usage.written > head for usage in reads[-1][1:])
    assert all(later.read > earlier.read > head for earlier, later in pairwise(reads[-2][1:]))


@simulation("below_minimum")
def minimum_of_the_model(case: Case) -> None:
    """The same prompt is cached by a model whose minimum it reaches and by no other."""
    size = case.first("prompt_tokens", 1_500)
    talk = Talk(case.model, (), (prose("short", size),), ()).plus(user("Hello.")).marked(Place("system", 0))
    seen = set()
    for name in Prices.load().models():
        price = Prices.load().find(name)
        if price.provider == "anthropic" and price.min_cacheable_tokens:
            cache = AnthropicCache(AnthropicRules(minimum=price.min_cacheable_tokens))
            first, second = _reads(cache, [talk, talk], "anthropic")
            assert (first.written > 0, second.read > 0) == (price.min_cacheable_tokens <= size,) * 2
            seen.add(second.read > 0)
    own = case.price.min_cacheable_tokens if case.price else None
    assert seen == {False, True}
    assert own is None or own > size


@simulation("ttl_policy", "ttl_expired")
def lifetime_by_cadence(case: Case) -> None:
    """With pauses under five minutes the short lifetime is cheaper, with pauses of half an hour and more the long one."""
    price = case.price or Prices.load().find(MODELS["anthropic"])
    for gap, cheaper in ((60.0, ""), (240.0, ""), (1_900.0, "1h"), (3_500.0, "1h")):
        money = {}
        for ttl in ("", "1h"):
            talk, total = replace(agent(case, HEAD, 20_000, 4), ttl=ttl).marked_tail(), Usage()
            cache = AnthropicCache(AnthropicRules())
            for turn in range(6):
                total += billed(cache, talk, "anthropic", gap * turn)
                talk = talk.plus(*rounds("paced", 400, 1, 100 + turn)).marked_tail()
            money[ttl] = bill(total, price).total
        assert min(money, key=lambda ttl: money[ttl]) == cheaper, f"pauses of {gap:.0f} s: {money}"

"""OpenAI's two caches, and the choice of a machine, follow the published rules."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings

from holdfast.blocks import Block, Kind, Mark, Role
from holdfast.caches import AnthropicCache, Cache, NoCache, OpenAICache, OpenAIMarkRules, OpenAIMarksCache, OpenAIRules, cache_for
from holdfast.caches.machine import CacheRequest
from holdfast.caches.openai_marks import message_ends
from holdfast.prefix import Chain
from holdfast.usage import Usage
from tests.caches.chains import MODEL, Step, a_block, ask, chain, requests_of, steps, texts

MACHINES = [OpenAICache, OpenAIMarksCache, NoCache, lambda: OpenAICache(OpenAIRules(minimum=64, step=64, reads_own_output=True))]
SYSTEM = a_block("system", 2000, Kind.SYSTEM, Role.SYSTEM)


def dialogue(rounds: int, size: int = 300) -> list[Block]:
    """A system text, then rounds of a user's and an assistant's text."""
    turns = [[a_block(f"user{n}", size), a_block(f"answer{n}", size, Kind.TEXT, Role.ASSISTANT)] for n in range(rounds)]
    return [SYSTEM, *(block for turn in turns for block in turn)]


@pytest.mark.parametrize("make", MACHINES)
@settings(max_examples=40)
@given(history=steps)
def test_usage_adds_up_and_peek_changes_nothing(make: Any, history: list[Step]) -> None:
    """The classes add up to the prompt; a peek foretells the send, and a cache that is peeked at bills like one that is not."""
    asked, left_alone = make(), make()
    for request in requests_of(history):
        foretold = asked.peek(request)
        asked.peek(replace(request, at=request.at + 1000))
        assert foretold == asked.send(request) == left_alone.send(request)
        assert foretold.prompt == request.chain.tokens()
        assert min(foretold.as_dict().values()) >= 0


@given(steps)
def test_the_longest_live_prefix_is_found(history: list[Step]) -> None:
    """The hit is the longest prefix that an earlier request sent, no longer than the idle time ago at any step."""
    cache = OpenAICache(OpenAIRules(step=1, minimum=1))
    held: dict[bytes, tuple[float, float]] = {}
    for request in requests_of(history):
        ids = request.chain.ids[: request.chain.length]
        live = [prefix for prefix in ids if held.get(prefix, (0.0, 0.0))[0] > request.at]
        assert cache.reach(request) == sum(held[prefix][1] <= request.at for prefix in live)
        cache.send(request)
        for prefix in ids if request.writes else live:
            visible = held[prefix][1] if prefix in live else float("inf")
            held[prefix] = (request.at + 600, min(visible, request.responded or 0) if request.writes else visible)


@given(steps)
def test_sending_again_reads_the_whole_steps(history: list[Step]) -> None:
    """A prompt that was just sent is read again, rounded down to the step, if it has the minimum."""
    cache = OpenAICache()
    for request in requests_of(history):
        cache.send(request)
        if request.writes and (request.responded or 0) < request.at + 600:
            again = cache.peek(replace(request, at=max(request.at, request.responded or 0)))
            whole = request.chain.tokens() // 128 * 128
            assert again.read == (whole if whole >= 1024 else 0)
        assert cache.peek(replace(request, at=request.at + 600)).read == 0


@pytest.mark.parametrize(
    ("rules", "gap", "read"),
    [
        (OpenAIRules(), 599, 2944),
        (OpenAIRules(), 600, 0),
        (OpenAIRules(idle=86_400), 80_000, 2944),
        (OpenAIRules(step=2048), 1, 2048),
        (OpenAIRules(minimum=4096), 1, 0),
        (OpenAIRules(step=1), 1, 3000),
        (OpenAIRules(write_lag=5), 4, 0),
    ],
)
def test_steps_minimum_and_idle_time(rules: OpenAIRules, gap: float, read: int) -> None:
    """A hit of 3,000 tokens is rounded down to the step, needs the minimum, and lives its idle time."""
    cache = OpenAICache(rules)
    cache.send(ask(chain(texts(10, 300)), 0))
    assert cache.peek(ask(chain(texts(12, 300)), gap)).read == read


def test_use_keeps_shorter_prefixes_alive() -> None:
    """A conversation that goes on keeps its older forks warm."""
    cache = OpenAICache()
    for turn in range(10):
        cache.send(ask(chain(texts(10 + turn, 300)), 500.0 * turn))
    assert cache.peek(ask(chain([*texts(10, 300), *texts(3, 300, "fork")]), 4600)).read == 2944


def test_a_write_that_has_not_landed_is_not_read() -> None:
    """The second request falls back to what the one before the last had written (iterate/iterate pull 1888)."""
    cache = OpenAICache(OpenAIRules(write_lag=10))
    cache.send(ask(chain(texts(10, 300)), 0))
    cache.send(ask(chain(texts(20, 300)), 60))
    assert cache.send(ask(chain(texts(21, 300)), 65)).read == 2944
    assert cache.send(ask(chain(texts(22, 300)), 90)).read == 6272


@pytest.mark.parametrize("change", [{"model": "gpt-5"}, {"effort": '"low"'}, {"speed": '"flex"'}, {"other": (("verbosity", '"low"'),)}])
@pytest.mark.parametrize("make", [OpenAICache, OpenAIMarksCache])
def test_settings_break_the_whole_prefix(make: Any, change: dict[str, Any]) -> None:
    """Model, effort, service tier and the other listed settings lose everything; the tool choice loses nothing."""
    cache = make()
    prompt = chain(dialogue(5))
    cache.send(ask(prompt, 0))
    assert cache.peek(ask(prompt, 1, settings=replace(MODEL, **change))).read == 0
    assert cache.peek(ask(prompt, 1, settings=replace(MODEL, tool_choice='"required"'))).read > 0


def test_an_own_answer_is_read_where_it_is_cached() -> None:
    """With the answer cached, the next request reads the last prompt and that answer."""
    blocks = dialogue(5)
    for own, read in ((False, 2240), (True, 2560)):
        cache = OpenAICache(OpenAIRules(step=64, reads_own_output=own))
        cache.send(ask(chain(blocks[:2]), 0))
        assert cache.peek(ask(chain(blocks[:4]), 1)).read == read


def test_marks_read_the_newest_message_end() -> None:
    """From GPT-5.6 on an append-only dialogue reads up to the last user message, exactly, and pays for what it writes."""
    cache = OpenAIMarksCache()
    blocks = dialogue(4, 333)
    assert cache.send(ask(chain(blocks[:2]), 0)) == Usage(write_30m=2333)
    assert cache.send(ask(chain(blocks[:4]), 60)) == Usage(read=2333, write_30m=666)
    assert cache.send(ask(chain(blocks[:6]), 120)) == Usage(read=2999, write_30m=666)
    assert cache.peek(ask(chain(blocks[:6]), 120 + 1799)).read == 3665
    assert cache.peek(ask(chain(blocks[:6]), 120 + 1800)).read == 0


def test_without_earlier_ends_only_marks_grow() -> None:
    """With no fallback to earlier message ends the read stays at the system text; a mark at the previous tail cures it (ax pull 573)."""
    blocks = dialogue(20)
    pinned, marked = (OpenAIMarksCache(OpenAIMarkRules(earlier_ends=0)) for _ in range(2))
    reads = [pinned.send(ask(chain(blocks[: 2 * n]), 10 * n)).read for n in range(1, 20)]
    assert reads == [0] + [2000] * 18
    grown = [marked.send(ask(chain(blocks[: 2 * n]), 10 * n, 2 * n - 3, 2 * n - 1)).read for n in range(1, 20)]
    assert grown == [0] + [2300 + 600 * n for n in range(18)]


@pytest.mark.parametrize(("ends", "read"), [(20, 2300), (19, 2000)])
def test_twenty_earlier_ends_are_looked_up(ends: int, read: int) -> None:
    """The entry of 20 user messages ago is found, the one of 21 ago is not; the end of the system text still is."""
    cache = OpenAIMarksCache(OpenAIMarkRules(earlier_ends=ends))
    blocks = dialogue(30)
    cache.send(ask(chain(blocks[:2]), 0))
    assert cache.peek(ask(chain(blocks[:42]), 1)).read == read


def test_explicit_marks_are_looked_up_from_both_ends() -> None:
    """Of many marks the first 2 and the newest 50 are looked up, and at most 4 are written."""
    cache = OpenAIMarksCache(OpenAIMarkRules(implicit=False))
    prompt = chain(texts(100, 2000))
    assert cache.send(ask(prompt, 0)) == Usage(fresh=200_000)
    cache.send(ask(prompt, 0, 1, 5, 40))
    many = [Mark(place, 43_200) for place in (0, 1, *range(5, 92))]
    assert cache.peek(ask(prompt, 1, *many)) == Usage(read=4000, write_12h=180_000, fresh=16_000)
    assert cache.peek(ask(prompt, 1, *many[:49])).read == 82_000
    cache.send(ask(prompt, 2, *many))
    assert [cache.peek(ask(prompt, 3, place)).read for place in (86, 87, 88, 91)] == [0, 0, 178_000, 184_000]


def test_message_ends() -> None:
    """A user's message ends a run of its blocks; of consecutive tool outputs the last one counts, also before a user's text."""
    kinds = [(Kind.TEXT, Role.USER), (Kind.TEXT, Role.USER), (Kind.TOOL_USE, Role.ASSISTANT), (Kind.TOOL_RESULT, Role.USER)]
    kinds += [(Kind.TOOL_RESULT, Role.USER), (Kind.TEXT, Role.USER), (Kind.TEXT, Role.ASSISTANT)]
    made = chain([SYSTEM, *(a_block(str(n), 10, *kind) for n, kind in enumerate(kinds))])
    assert list(message_ends(made)) == [6, 5, 2]


@pytest.mark.parametrize(
    ("provider", "model", "read"),
    [
        ("anthropic", "claude-sonnet-5", 4600),
        ("openai", "gpt-5.4", 4480),
        ("openai", "gpt-5.5", 4096),
        ("openai", "gpt-5.6-sol", 4600),
        ("openai", "gpt-6-astra", 4600),
        ("openai", "o3", 4480),
        ("deepseek", "deepseek-v4-pro", 4864),
        ("google", "gemini-4-argon", 4600),
        ("xai", "grok-4.7", 4480),
        ("mistral", "any", 0),
    ],
)
def test_the_machine_fits_the_model(provider: str, model: str, read: int) -> None:
    """Each provider's cache reads the previous prompt of 4,600 tokens in its own steps; an unknown provider has none."""
    cache: Cache = cache_for(provider, model)
    blocks = [replace(SYSTEM, tokens=4300), *dialogue(3)[1:]]
    own = replace(MODEL, model=model)
    cache.send(ask(chain(blocks[:2]), 0, 1, settings=own))
    assert cache.send(ask(chain(blocks[:4]), 30, 1, 3, settings=own)).read == read


def test_hosted_claude_counts_every_block() -> None:
    """On Bedrock each tool block is a position of its own."""
    hosted, own = cache_for("bedrock", "claude-sonnet-5", 2048), cache_for("anthropic", "claude-sonnet-5", 2048)
    assert isinstance(hosted, AnthropicCache)
    assert isinstance(own, AnthropicCache)
    assert (hosted.rules.tool_runs_count_once, own.rules.tool_runs_count_once) == (False, True)
    assert hosted.rules.minimum == own.rules.minimum == 2048


@pytest.mark.parametrize("make", [AnthropicCache, OpenAICache, OpenAIMarksCache])
def test_a_planted_head_stays_warm(make: Any) -> None:
    """What other sessions keep warm is read at any time, also after this session's own entries have died."""
    cache = make()
    prompt = chain(dialogue(3))
    cache.warm(prompt, 0, MODEL)
    for at in (0.0, 1e6, 2e6):
        assert cache.send(ask(prompt, at, 0, 5)).read in (2000, 1920)


def test_dead_prefixes_are_dropped() -> None:
    """Prefixes that nobody has used for longer than the idle time do not pile up."""
    cache = OpenAICache()
    grown = Chain()
    for block in texts(2000, 10):
        grown.append(block)
    for number in range(200):
        prompt = CacheRequest(
            Chain([bytes([number]) + one for one in grown.ids], grown.totals, grown.kinds, length=2000), MODEL, (), 1e3 * number
        )
        cache.send(prompt)
    assert cache.prefixes <= 65_536 + 2000


def test_some_requests_miss_and_a_run_repeats() -> None:
    """The share of requests that find nothing is the one asked for, the same ones each time, and a miss loses nothing for later."""
    rules = OpenAIRules(miss_rate=0.2)
    runs = []
    for _ in range(2):
        cache = OpenAICache(rules)
        cache.send(ask(chain(texts(10, 300)), 0))
        runs.append([cache.send(ask(chain(texts(10, 300)), 10.0 + at)).read for at in range(500)])
    assert runs[0] == runs[1]
    assert set(runs[0]) == {0, 2944}
    assert 60 <= runs[0].count(0) <= 140


def test_losses_on_average() -> None:
    """With losses every hit is smaller by the measured share, and by nothing without them; marks are never lost."""
    prompt = chain(texts(10, 1_000))
    for provider, model, share in [("google", "gemini-3-pro-preview", 0.113), ("openai", "gpt-5.4", 0.011), ("openai", "gpt-6-sol", 0.0)]:
        reads = []
        for losses in (False, True):
            cache = cache_for(provider, model, losses=losses)
            cache.send(ask(prompt, 0))
            reads.append(cache.send(ask(prompt, 5)).read)
        assert reads[1] == pytest.approx(reads[0] * (1 - share), abs=1)

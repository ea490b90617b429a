"""Usage: whatever a provider writes, counts come out that are not negative and add up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.usage import Usage, from_anthropic, from_deepseek, from_openai

READERS = (from_anthropic, from_openai, from_deepseek)
INNER = {
    "cache_creation": ("ephemeral_1h_input_tokens", "ephemeral_5m_input_tokens"),
    "prompt_tokens_details": ("cached_tokens", "cache_write_tokens"),
    "input_tokens_details": ("cached_tokens", "cache_write_tokens"),
}
OUTER = (
    *("input_tokens", "prompt_tokens", "output_tokens", "completion_tokens", "cached_input_tokens", "cache_read_input_tokens"),
    *("cache_creation_input_tokens", "prompt_cache_hit_tokens", "prompt_cache_miss_tokens", "cacheRead"),
)
NUMBERS = st.integers(-20, 40) | st.floats()
ANYTHING = (
    st.none()
    | st.booleans()
    | NUMBERS
    | st.text(max_size=2)
    | st.lists(NUMBERS, max_size=2)
    | st.dictionaries(st.text(max_size=2), NUMBERS)
)


VALUES = st.booleans().flatmap(lambda plain: st.integers(-20, 40) if plain else ANYTHING)


def objects(names: Iterable[str], inner: Mapping[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with some of these fields, every second one a whole number."""
    return st.fixed_dictionaries({}, optional={**dict.fromkeys(names, VALUES), **inner})


DETAILS = {
    name: objects(names, {"cache_write_tokens_details": objects(("ttl_30m_tokens", "ttl_12h_tokens"), {})}) for name, names in INNER.items()
}
STEPS = {"iterations": st.lists(objects(OUTER[:6], {"cache_creation": DETAILS["cache_creation"]}), max_size=3) | ANYTHING}
OBJECTS = objects(OUTER, {**{name: inner | ANYTHING for name, inner in DETAILS.items()}, **STEPS})
COUNTS = st.integers(0, 10**7)


@given(OBJECTS, st.sampled_from(READERS))
def test_no_count_is_ever_negative(raw: Mapping[str, Any], read: Callable[[Mapping[str, Any]], Usage]) -> None:
    """Any JSON object gives whole numbers from 0 up, and the classes add up to the prompt."""
    usage = read(raw)
    assert all(type(count) is int and count >= 0 for count in usage.as_dict().values())
    assert usage.prompt == usage.fresh + usage.read + usage.written


@given(COUNTS, COUNTS, COUNTS, COUNTS)
def test_an_inclusive_prompt_is_what_the_provider_says_it_is(prompt: int, read: int, written: int, half_day: int) -> None:
    """However much is said to be cached, OpenAI's prompt stays the whole, and no class is larger than what is left for it."""
    details = {"cached_tokens": read, "cache_write_tokens": written, "cache_write_tokens_details": {"ttl_12h_tokens": half_day}}
    usage = from_openai({"input_tokens": prompt, "input_tokens_details": details, "output_tokens": 1})
    assert usage.prompt == prompt
    assert usage.read == min(read, prompt)
    assert usage.written == min(written, prompt - usage.read)


@given(COUNTS, COUNTS, COUNTS, COUNTS)
def test_an_additive_prompt_is_the_sum(fresh: int, read: int, five: int, hour: int) -> None:
    """Anthropic's prompt is input, read and written together, and the lifetimes of what was written are kept apart."""
    split = {"ephemeral_5m_input_tokens": five, "ephemeral_1h_input_tokens": hour}
    raw = {"input_tokens": fresh, "cache_read_input_tokens": read, "cache_creation_input_tokens": five + hour, "cache_creation": split}
    assert from_anthropic(raw) == Usage(fresh=fresh, read=read, write_5m=five, write_1h=hour)


@given(COUNTS, COUNTS)
def test_deepseeks_hits_and_misses_are_the_prompt(hit: int, miss: int) -> None:
    """Hits are read and misses fresh; where the misses are not given they are what is left of the prompt."""
    whole = {"prompt_tokens": hit + miss, "prompt_cache_hit_tokens": hit, "prompt_cache_miss_tokens": miss}
    assert from_deepseek(whole) == Usage(fresh=miss, read=hit)
    del whole["prompt_cache_miss_tokens"]
    assert from_deepseek(whole) == Usage(fresh=miss, read=hit)


def test_a_gateways_usage_for_claude_is_inclusive() -> None:
    """What was cached is part of ``prompt_tokens`` and stands under Anthropic's names beside it."""
    raw = {"prompt_tokens": 100, "cache_read_input_tokens": 70, "cache_creation_input_tokens": 20, "completion_tokens": 5}
    assert from_openai(raw) == Usage(fresh=10, read=70, write_5m=20, output=5)


def test_iterations_are_the_bill() -> None:
    """Where a request ran in several steps, their sum is the usage: a compaction's tokens stand nowhere else."""
    steps = [{"type": "compaction", "input_tokens": 7, "output_tokens": 2}, {"type": "message", "input_tokens": 3, "output_tokens": 1}]
    assert from_anthropic({"input_tokens": 3, "output_tokens": 1, "iterations": steps}) == Usage(fresh=10, output=3)


@pytest.mark.parametrize("value", [12, 12.0])
def test_a_whole_number_is_a_count_however_it_is_written(value: float) -> None:
    """JSON has one kind of number: 12.0 is 12."""
    usage = from_anthropic({"input_tokens": value})
    assert (usage.fresh, type(usage.fresh)) == (12, int)


def test_a_compaction_alone_is_billed_by_its_iteration() -> None:
    """A response that only compacts tells its tokens in ``iterations`` and nowhere else."""
    step = {"type": "compaction", "input_tokens": 7, "output_tokens": 5, "cache_read_input_tokens": 90, "cache_creation_input_tokens": 0}
    raw = {"input_tokens": 0, "output_tokens": 0, "cache_read_input_tokens": 0, "iterations": [step]}
    assert from_anthropic(raw) == Usage(fresh=7, read=90, output=5)
    one = {**step, "type": "message"}
    assert from_anthropic({**raw, "input_tokens": 3, "iterations": [one]}) == Usage(fresh=3)

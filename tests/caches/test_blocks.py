"""Block caches: what is read, what is evicted, and the exact numbers published of real engines."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.blocks import Block, Kind, Role
from holdfast.caches import BlockCache, BlockRules, Eviction, cache_for
from holdfast.caches.block_pool import EndlessPool, hits, pool_of
from holdfast.prefix import Chain
from tests.caches.chains import MODEL, Step, a_block, ask, chain, requests_of, steps

EXACT = BlockRules(least_computed=0, caches_answer=False)
PREFIX_CLOSED = [Eviction.LRU_TAIL, Eviction.LFU, Eviction.LENGTH_AWARE]


@st.composite
def traces(draw: st.DrawFn) -> list[tuple[tuple[str, ...], ...]]:
    """Paths that grow, fork and repeat: an id is the whole prefix, as real ids stand for one."""
    made: list[tuple[tuple[str, ...], ...]] = [()]
    for number in range(draw(st.integers(1, 25))):
        old = made[draw(st.integers(0, len(made) - 1))]
        path = list(old[: draw(st.integers(0, len(old)))])
        for index in range(draw(st.integers(0, 6))):
            path.append((path[-1] if path else ()) + (f"{number}.{index}",))
        made.append(tuple(path))
    return made[1:]


def stack_hits(paths: list[Any], capacity: int, tail_first: bool) -> list[int]:
    """LRU once more: a list of all blocks in order of their last use, of which the newest ``capacity`` are held."""
    newest: list[Any] = []
    found = []
    for path in paths:
        held = newest[:capacity]
        missing = [place for place, block in enumerate(path) if block not in held]
        found.append(missing[0] if missing else len(path))
        used = list(path) if tail_first else list(path)[::-1]
        newest = used + [block for block in newest if block not in path]
    return found


def counted_hits(paths: list[Any], capacity: int, length_aware: bool) -> list[int]:
    """LFU once more: every block held with its uses, last use and place; the least of all not in use goes."""
    held: dict[Any, tuple[int, int, int]] = {}
    found = []
    for now, path in enumerate(paths):
        found.append(next((place for place, block in enumerate(path) if block not in held), len(path)))
        path = path[:capacity]
        others = {block: state for block, state in held.items() if block not in path}
        while len(others) + len(path) > capacity:
            ranks = {block: (uses, -at, last) if length_aware else (uses, last, -at) for block, (uses, last, at) in others.items()}
            del others[min(ranks, key=ranks.__getitem__)]
        held = others | {block: (held.get(block, (0,))[0] + 1, now, place) for place, block in enumerate(path)}
    return found


@given(traces(), st.integers(0, 30), st.booleans())
def test_lru_holds_the_blocks_used_last(paths: list[Any], capacity: int, tail_first: bool) -> None:
    """Either LRU finds what a plain list in order of last use holds."""
    policy = Eviction.LRU_TAIL if tail_first else Eviction.LRU
    assert hits(paths, capacity, policy) == stack_hits(paths, capacity, tail_first)


@given(traces(), st.integers(0, 30), st.booleans())
def test_counting_evicts_the_least_used(paths: list[Any], capacity: int, length_aware: bool) -> None:
    """LFU and the length-aware rule find what a plain search for the lowest rank leaves."""
    policy = Eviction.LENGTH_AWARE if length_aware else Eviction.LFU
    assert hits(paths, capacity, policy) == counted_hits(paths, capacity, length_aware)


@given(traces(), st.integers(0, 25), st.integers(0, 25), st.sampled_from((Eviction.LRU, Eviction.LRU_TAIL)))
def test_a_larger_lru_never_finds_less(paths: list[Any], capacity: int, more: int, policy: Eviction) -> None:
    """LRU is a stack algorithm: request by request, a larger pool finds at least as many leading blocks."""
    pairs = zip(hits(paths, capacity, policy), hits(paths, capacity + more, policy), strict=True)
    assert all(small <= large for small, large in pairs)


@pytest.mark.parametrize("policy", [Eviction.LFU, Eviction.LENGTH_AWARE])
def test_a_larger_pool_that_counts_may_find_less(policy: Eviction) -> None:
    """Counts begin anew with an eviction, so that three blocks can do worse than two: no promise is made for these."""
    prompts = list("aadbdbcaca")
    assert sum(hits(prompts, 2, policy)) > sum(hits(prompts, 3, policy))


@given(traces(), st.sampled_from(tuple(Eviction)))
def test_without_end_every_prefix_sent_before_is_found(paths: list[Any], policy: Eviction) -> None:
    """An endless pool, and any pool that is large enough, finds as many blocks as the request shares with the closest earlier one."""
    seen: set[Any] = set()
    expected = []
    for path in paths:
        expected.append(max((length for length in range(len(path) + 1) if tuple(path[:length]) in seen), default=0))
        seen |= {tuple(path[:length]) for length in range(len(path) + 1)}
    assert hits(paths) == hits(paths, 10_000, policy) == expected


@given(traces(), st.integers(0, 20), st.sampled_from(tuple(Eviction)))
def test_a_pool_keeps_to_its_capacity(paths: list[Any], capacity: int, policy: Eviction) -> None:
    """No pool ever holds more than its capacity, and a beginning that fits is held right after it was sent by all but the plain LRU."""
    pool = pool_of(capacity, policy)
    for path in paths:
        pool.use(path)
        assert len(pool) <= capacity
        assert pool.held(path) == min(len(path), capacity) or policy is Eviction.LRU


@given(traces(), st.integers(1, 20), st.sampled_from(PREFIX_CLOSED))
def test_nothing_is_held_whose_beginning_is_gone(paths: list[Any], capacity: int, policy: Eviction) -> None:
    """Where ends go before beginnings, every block held can still be reached."""
    pool = pool_of(capacity, policy)
    for path in paths:
        pool.use(path)
    assert len(pool) == len({block for path in paths for block in path[: pool.held(path)]})


def test_the_plain_lru_gives_up_beginnings_first() -> None:
    """Of a prompt longer than the pool the plain LRU holds the end, which cannot be read; with the tail first it holds the beginning."""
    assert hits(["abcd", "abcd"], 3, Eviction.LRU) == [0, 0]
    assert hits(["abcd", "abcd"], 3, Eviction.LRU_TAIL) == [0, 3]


def test_policies_differ_in_what_goes_first() -> None:
    """``ab`` was used twice, ``c`` once and later, ``xyz`` once and first: each rule gives up another block for the new one."""
    paths = ["xyz", "ab", "ab", "c", "n"]
    left = {}
    for policy in Eviction:
        pool = pool_of(6, policy)
        for path in paths:
            pool.use(path)
        left[policy] = {block for block in "xyzabc" if block not in pool}
    assert left == {Eviction.LRU: {"x"}, Eviction.LRU_TAIL: {"z"}, Eviction.LFU: {"z"}, Eviction.LENGTH_AWARE: {"z"}}
    aware, plain = pool_of(4, Eviction.LENGTH_AWARE), pool_of(4, Eviction.LFU)
    for path in ("c", "xyz", "n"):
        aware.use(path)
        plain.use(path)
    assert ("z" in aware, "c" in aware) == (False, True)
    assert ("z" in plain, "c" in plain) == (True, False)


def test_a_capacity_below_nothing_is_refused() -> None:
    """A negative capacity and impossible sizes raise ``ValueError``."""
    with pytest.raises(ValueError, match="capacity"):
        pool_of(-1)
    for wrong in ({"block": 0}, {"capacity": -1}, {"minimum": -1}, {"rewinds": False}, {"rewinds": False, "block": 1, "capacity": 5}):
        with pytest.raises(ValueError, match="block"):
            BlockRules(**wrong)


@given(st.lists(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9)), max_size=8), max_size=10), st.integers(1, 7), st.integers(0, 12))
def test_the_machine_and_the_fast_path_agree(prompts: list[list[tuple[int, int]]], size: int, capacity: int) -> None:
    """Sending prompts to the machine reads exactly what their token blocks, hashed one by one, hit in a pool."""
    for policy in Eviction:
        cache = BlockCache(BlockRules(size, capacity, policy, least_computed=0, caches_answer=False))
        paths = []
        for prompt in prompts:
            tokens = [(name, tokens, index) for name, tokens in prompt for index in range(tokens)]
            blocks = [a_block(f"{name}.{tokens}", tokens) for name, tokens in prompt]
            path = [tuple(tokens[: end + size]) for end in range(0, len(tokens) - size + 1, size)]
            paths.append(_named(prompt, path))
            read = cache.send(ask(chain(blocks), 0.0)).read
            assert read == hits(paths, capacity, policy)[-1] * size


def _named(prompt: list[tuple[int, int]], path: list[Any]) -> list[Any]:
    """Token blocks told apart by the content blocks they reach into, empty ones before their last token among them."""
    named: list[Any] = []
    end = 0
    for place, (_, tokens) in enumerate(prompt):
        end += tokens
        while len(named) < len(path) and len(path[len(named)]) <= end:
            named.append((tuple(prompt[: place + 1]), len(named)))
    return named


@given(steps)
def test_an_endless_machine_reads_like_one_that_is_large_enough(history: list[Step]) -> None:
    """Without a capacity, where content blocks are kept whole, as with one that never fills: the same usage, answers included."""
    endless, large = BlockCache(BlockRules(64)), BlockCache(BlockRules(64, 1_000_000))
    for request in requests_of(history):
        assert endless.peek(request) == endless.send(request) == large.peek(request) == large.send(request)


@given(steps, st.sampled_from((None, 0, 40, 400)), st.sampled_from(tuple(Eviction)))
def test_usage_adds_up_and_peek_changes_nothing(history: list[Step], capacity: int | None, policy: Eviction) -> None:
    """Read and fresh add up to the prompt, at least one token is computed, reads are whole blocks, and a peek foretells the send."""
    asked, left_alone = (BlockCache(BlockRules(64, capacity, policy)) for _ in range(2))
    for request in requests_of(history):
        foretold = asked.peek(request)
        assert foretold == asked.peek(request) == asked.send(request) == left_alone.send(request)
        assert foretold.prompt == request.chain.tokens() == foretold.fresh + foretold.read
        assert 0 <= foretold.read <= max(0, foretold.prompt - 1)
        assert foretold.read % 64 == 0
        assert request.chain.tokens(asked.reach(request)) <= asked.peek(request).read or not asked.reach(request)


def words(total: int, name: str = "p", size: int = 100) -> list[Block]:
    """Blocks of ``total`` tokens in all, the same ones for a longer prompt of that name."""
    sizes = [size] * (total // size) + ([total % size] if total % size else [])
    return [a_block(f"{name}{index}:{tokens}", tokens) for index, tokens in enumerate(sizes)]


def twice(rules: BlockRules, total: int) -> int:
    """What the same prompt reads the second time."""
    cache = BlockCache(rules)
    cache.send(ask(chain(words(total)), 0.0))
    return cache.send(ask(chain(words(total)), 1.0)).read


@pytest.mark.parametrize(("total", "read"), [(15, 0), (16, 0), (17, 16), (31, 16), (32, 16), (33, 32)])
def test_only_full_blocks_count_and_the_last_token_is_computed(total: int, read: int) -> None:
    """vLLM reads whole blocks of 16 and never the whole prompt; without that rule the whole prompt is read where it ends with a block."""
    assert twice(BlockRules(), total) == read
    assert twice(EXACT, total) == total // 16 * 16


def test_sglang_reads_single_tokens() -> None:
    """At a page size of one everything but the last token is read."""
    cache = cache_for("sglang", "qwen")
    cache.send(ask(chain(words(100)), 0.0))
    assert cache.send(ask(chain(words(100)), 1e9)).read == 99


def test_a_minimum_and_other_keys() -> None:
    """A hit below the minimum does not count; another model and another salt share nothing."""
    cache = cache_for("vllm", "qwen", minimum=512)
    cache.send(ask(chain(words(640)), 0.0))
    assert cache.peek(ask(chain(words(640)), 1.0)).read == 624
    assert cache.peek(ask(chain(words(500)), 1.0)).read == 0
    assert cache.peek(ask(chain(words(640)), 1.0, scope="salt")).read == 0


@pytest.mark.parametrize("capacity", [None, 1000])
def test_what_does_not_write_leaves_nothing(capacity: int | None) -> None:
    """A request that does not write is read by nobody; what it read stays."""
    cache = BlockCache(BlockRules(capacity=capacity))
    cache.send(ask(chain(words(300)), 0.0))
    assert cache.send(ask(chain(words(640)), 1.0, writes=False)).read == 288
    assert cache.peek(ask(chain(words(640)), 2.0)).read == 288


@pytest.mark.parametrize("capacity", [None, 1000])
def test_warm_is_as_if_sent(capacity: int | None) -> None:
    """A prefix kept warm by others is read up to its last full block."""
    cache = BlockCache(BlockRules(capacity=capacity))
    prompt = chain(words(640))
    cache.warm(prompt, 2, MODEL)
    assert cache.peek(ask(prompt, 0.0)).read == 288
    assert cache.reach(ask(prompt, 0.0)) == 2


@pytest.fixture
def incident(shared: Path, request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    """The requests of one published incident."""
    cases = json.loads((shared / "incidents" / "incidents.json").read_text("utf-8"))
    rows: list[dict[str, Any]] = next(case["requests"] for case in cases if case["id"] == request.param)
    return rows


@pytest.mark.parametrize("incident", ["syv-102"], indirect=True)
def test_a_hybrid_model_computes_the_last_block_of_a_hit_again(incident: list[dict[str, Any]]) -> None:
    """Blocks of 448 and 832 tokens, of which the last one read never counts: all 14 rows."""
    ours = [twice(BlockRules(row["block"], recomputed_blocks=1, least_computed=0), row["prompt_tokens"]) for row in incident]
    assert ours == [row["cached"] for row in incident]
    assert len(ours) == 14


@given(st.integers(1, 40_000), st.sampled_from((448, 832)), st.sampled_from((None, 100)))
def test_the_hybrid_formula_holds_for_every_length(total: int, size: int, capacity: int | None) -> None:
    """``max(0, n // B - 1) * B``, for any prompt, with room enough."""
    rules = BlockRules(size, capacity, recomputed_blocks=1, least_computed=0)
    assert twice(rules, total) == max(0, total // size - 1) * size


@pytest.mark.parametrize("incident", ["omlx-2876"], indirect=True)
def test_large_snapshots_lag_one_turn(incident: list[dict[str, Any]]) -> None:
    """A growing prompt in blocks of 2,048 reads the full blocks of the turn before. Turn 4 did not, against the reporter's own rule."""
    cache = BlockCache(BlockRules(2048))
    sizes = [0, *(row["prompt_tokens"] for row in incident)]
    prompt = [a_block(f"turn {turn}", now - before) for turn, (before, now) in enumerate(pairwise(sizes))]
    ours = [cache.send(ask(chain(prompt[: turn + 1]), 0.0)).read for turn in range(len(incident))]
    theirs = [row["cached"] for row in incident]
    assert [place for place, pair in enumerate(zip(ours, theirs, strict=True)) if pair[0] != pair[1]] == [3]
    assert (ours[3], theirs[3]) == (2048, 0)


def answered(prompt: list[Block], name: str, tokens: int) -> list[Block]:
    """A prompt and the answer to it."""
    return [*prompt, a_block(name, tokens, Kind.TEXT, Role.ASSISTANT)]


@pytest.mark.parametrize("incident", ["qwen38-131"], indirect=True)
def test_a_state_is_continued_where_it_ended_or_not_at_all(incident: list[dict[str, Any]]) -> None:
    """In a tool loop all but the answer's last token is read; when the template drops old thinking nothing is: all four rows."""
    cache = BlockCache(BlockRules(1, rewinds=False))
    prompt: list[Block] = []
    ours = []
    for turn, row in enumerate(incident[:3]):
        so_far = sum(block.tokens for block in prompt)
        prompt = [*prompt, a_block(f"result{turn}", row["cached"] + row["uncached"] - so_far)]
        ours.append(cache.send(ask(chain(prompt), float(turn))))
        prompt = answered(prompt, f"thinking and answer {turn}", row["output"])
    fourth = incident[3]["cached"] + incident[3]["uncached"]
    rendered = [block if block.role is Role.USER else a_block("answer only", 2, Kind.TEXT, Role.ASSISTANT) for block in prompt]
    rendered.append(a_block("a user's word", fourth - sum(block.tokens for block in rendered)))
    ours.append(cache.send(ask(chain(rendered), 9.0)))
    assert [(usage.read, usage.fresh) for usage in ours] == [(row["cached"], row["uncached"]) for row in incident]


@pytest.mark.parametrize("incident", ["sglang-16521"], indirect=True)
def test_answers_are_read_where_they_are_cached(incident: list[dict[str, Any]]) -> None:
    """100 tokens and an answer of 50: the next prompt reads 100 before SGLang's fix and 150 after it."""
    ours = []
    for caches_answer in (False, True):
        cache = BlockCache(BlockRules(1, caches_answer=caches_answer, answer_held_back=0))
        first = words(incident[0]["prompt_tokens"])
        assert cache.send(ask(chain(first), 0.0)).read == incident[0]["cached"]
        second = [*answered(first, "answer", incident[0]["output"]), a_block("more", 50)]
        ours.append(cache.send(ask(chain(second), 1.0)))
    assert [usage.read for usage in ours] == [row["cached"] for row in incident[1:]] == [100, 150]
    assert [usage.prompt for usage in ours] == [row["prompt_tokens"] for row in incident[1:]]


def test_a_state_cannot_be_cut_back() -> None:
    """Without rewinding, the same prompt again reads nothing, and neither does one that forks off; with it both read what they share."""
    first = words(300)
    longer = [*answered(first, "answer", 40), a_block("more", 10)]
    fork = [*first[:2], a_block("other", 10)]
    for rewinds, expected in ((True, (299, 339, 200)), (False, (0, 339, 0))):
        cache = BlockCache(BlockRules(1, rewinds=rewinds))
        cache.send(ask(chain(first), 0.0))
        assert tuple(cache.peek(ask(chain(prompt), 1.0)).read for prompt in (first, longer, fork)) == expected
    promptly = BlockCache(BlockRules(1, rewinds=False, caches_answer=False))
    promptly.send(ask(chain(first), 0.0))
    assert promptly.peek(ask(chain(longer), 1.0)).read == 300
    assert promptly.peek(ask(chain(first), 1.0)).read == 0


def test_an_answer_that_fills_a_block_is_read_with_it() -> None:
    """A block that begins in the prompt and ends in the answer is full once the answer is there."""
    for capacity in (None, 100):
        cache = BlockCache(BlockRules(64, capacity))
        first = words(100)
        cache.send(ask(chain(first), 0.0))
        following = [*answered(first, "answer", 29), a_block("more", 64)]
        assert cache.peek(ask(chain(following), 1.0)).read == 128
        assert cache.peek(ask(chain([*answered(first, "answer", 28), a_block("more", 64)]), 1.0)).read == 64


@pytest.mark.parametrize("capacity", [None, 100])
def test_only_the_first_continuation_is_taken_for_the_answer(capacity: int | None) -> None:
    """Once the answer was repeated, other words in its place are no part of what is held, until the prompt is answered anew."""
    cache = BlockCache(BlockRules(10, capacity))
    first = words(100)
    cache.send(ask(chain(first), 0.0))
    true, other = ([*answered(first, name, 50), a_block("more", 10)] for name in ("answer", "thinking dropped"))
    assert cache.send(ask(chain(true), 1.0)).read == 140
    assert cache.peek(ask(chain(other), 2.0)).read == 100
    cache.send(ask(chain(first), 3.0))
    assert cache.peek(ask(chain(other), 4.0)).read == 140
    assert cache.peek(ask(chain(true), 4.0)).read == 150


def test_an_answer_is_not_read_behind_evicted_blocks() -> None:
    """Where the prompt's own blocks made room for others, the answer to it cannot be read either."""
    cache = BlockCache(BlockRules(10, 12))
    first = words(100)
    cache.send(ask(chain(first), 0.0))
    following = ask(chain([*answered(first, "answer", 50), a_block("more", 10)]), 2.0)
    assert cache.peek(following).read == 140
    cache.send(ask(chain(words(50, "other")), 1.0))
    assert cache.peek(following).read == 70


def test_an_empty_prompt_reads_nothing() -> None:
    """A chain without blocks is sent and read without harm."""
    for rules in (BlockRules(), BlockRules(capacity=3), BlockRules(1, rewinds=False)):
        cache = BlockCache(rules)
        assert cache.send(ask(Chain(), 0.0)).prompt == cache.send(ask(Chain(), 1.0)).read == 0


def test_the_endless_pool_knows_what_it_holds() -> None:
    """Pools say how many blocks they hold and which."""
    pool = EndlessPool()
    pool.use("ab")
    assert (len(pool), "a" in pool, "c" in pool) == (2, True, False)

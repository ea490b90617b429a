"""Hit shares of block traces: those published, and an independent count of the same files."""

from __future__ import annotations

import gzip
import json
import math
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.caches import Eviction
from holdfast.errors import Unreadable
from holdfast.readers.block_hashes import BlockRequest, BlockTrace, read_blocks
from holdfast.transcript import Skipped
from holdfast.validation.block_hits import BlockReport, measure, spread


def loaded(path: Path) -> str:
    """A file's text, gzip or not."""
    data = path.read_bytes()
    return (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode()


@lru_cache(maxsize=1)
def mooncake(corpus: Path) -> BlockTrace:
    """The conversation trace, read once."""
    return read_blocks(corpus / "block-hash" / "mooncake" / "conversation_trace.jsonl.gz")


@lru_cache(maxsize=1)
def weka(corpus: Path) -> BlockReport:
    """All conversations, measured once."""
    return measure(sorted((corpus / "block-hash" / "weka-claude-code").glob("trace_*")))


def independent(path: Path) -> tuple[int, int]:
    """Tokens hit and sent in one conversation, counted from the JSON: a request hits all its ids that any request before it had."""
    first_seen: dict[int, int] = {}
    hit = sent = 0
    flat = [inner for item in json.loads(loaded(path))["requests"] for inner in item.get("requests", [item])]
    for number, request in enumerate(flat):
        sent += request["in"]
        hit += 64 * len(first_seen.keys() & request["hash_ids"])
        first_seen.update(dict.fromkeys(request["hash_ids"], number))
    return hit, sent


def quantile(values: list[float], share: float) -> float:
    """Linear between the two nearest of the sorted values."""
    ordered, place = sorted(values), share * (len(values) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def test_weka_shares_equal_an_independent_count(corpus: Path) -> None:
    """A sample of the conversations, counted from their JSON by sets alone, hits to the token what the machine says."""
    for hit in weka(corpus).traces[::4]:
        assert (hit.endless.hit_tokens, hit.endless.tokens) == independent(Path(hit.path))


def test_weka_statistics(corpus: Path) -> None:
    """The 60 conversations: the sums stated with them, and the spread over conversations (of all 739: 61, 92, 96, 97, mean 93 %)."""
    report = weka(corpus)
    (total,) = report.totals
    assert (total.conversations, total.requests, total.format, total.skipped) == (60, 5784, "weka", ())
    missed = total.endless.tokens - total.endless.hit_tokens
    assert (total.endless.hit_tokens, missed, total.output_tokens) == (631_904_384, 23_110_432, 2_610_571)
    assert round(total.endless.token_share, 4) == 0.9647
    found = report.spread
    assert found is not None
    shares = [hit.endless.token_share for hit in report.traces]
    assert (found.count, found.least, found.greatest) == (60, min(shares), max(shares))
    assert (found.p25, found.median, found.p75) == pytest.approx([quantile(shares, share) for share in (0.25, 0.5, 0.75)])
    rounded = [round(100 * value, 1) for value in (found.least, found.p25, found.median, found.p75, found.mean)]
    assert rounded == [72.2, 93.4, 95.8, 97.3, 94.1]


def test_mooncake_without_end(corpus: Path) -> None:
    """Mooncake: 36.6 % of blocks, 37.4 % of tokens, 38.4 % as the mean of requests (by blocks), and the same counted by a set."""
    (hit,) = measure([mooncake(corpus)]).traces
    found = hit.endless
    assert (hit.conversations, hit.requests, hit.output_tokens) == (None, 12_031, 4_122_048)
    assert (found.blocks, found.tokens) == (288_500, 144_793_823)
    assert [round(100 * share, 1) for share in (found.block_share, found.token_share, found.mean_of_requests)] == [36.6, 37.4, 38.4]
    lines = [json.loads(line) for line in loaded(Path(hit.path)).splitlines()]
    seen: set[int] = set()
    blocks = tokens = 0
    for request in lines:
        known = len(seen.intersection(request["hash_ids"]))
        blocks += known
        tokens += min(512 * known, request["input_length"])
        seen.update(request["hash_ids"])
    assert (found.hit_blocks, found.hit_tokens) == (blocks, tokens) == (105_710, 54_098_411)


def test_mooncakes_capacity_curve(corpus: Path) -> None:
    """The plain LRU's shares of blocks at six capacities, and 37.0 % of the most at three million tokens; a larger one is never worse."""
    capacities = (1_000, 3_000, 5_859, 10_000, 30_000, 50_000)
    (hit,) = measure([mooncake(corpus)], capacities).traces
    shares = {point.capacity: point.share for point in hit.curve}
    assert [round(shares[size], 4) for size in (1_000, 3_000)] == [0.0445, 0.065]
    assert [round(shares[size], 3) for size in (10_000, 30_000, 50_000)] == [0.211, 0.326, 0.355]
    assert round(hit.share_of_most(hit.curve[2]), 3) == 0.37
    assert list(shares) == sorted(shares)
    assert list(shares.values()) == sorted(shares.values())


def test_mooncakes_order_of_policies(corpus: Path) -> None:
    """At 30,000 blocks recency beats counting, and counting the length-aware rule: the order of the paper's table 1, of another trace."""
    (hit,) = measure([mooncake(corpus)], [30_000], tuple(Eviction)).traces
    found = {point.policy: round(point.share, 4) for point in hit.curve}
    assert found == {Eviction.LRU: 0.3257, Eviction.LRU_TAIL: 0.3257, Eviction.LFU: 0.276, Eviction.LENGTH_AWARE: 0.2027}


def trace(name: str, *prompts: tuple[int, ...], block: int = 10, conversation: str = "c", partial: int = 0) -> BlockTrace:
    """A trace of these paths, each prompt ``partial`` tokens short of full blocks."""
    requests = tuple(BlockRequest(path, max(0, len(path) * block - partial), 7) for path in prompts)
    return BlockTrace(name, "weka", block, requests, conversation, (Skipped(name, 9, "bad"),), ("a note",))


def test_each_trace_has_a_cache_of_its_own() -> None:
    """The same ids in two conversations share nothing; totals add up, curves are pooled by blocks, skips and notes are kept."""
    one, two = trace("one", (1, 2), (1, 2, 3)), trace("two", (1, 2), (1,), (), block=10)
    report = measure([one, two], [1, 2, 1], [Eviction.LRU_TAIL, Eviction.LRU_TAIL])
    assert [(hit.path, hit.endless.hit_blocks, hit.endless.blocks) for hit in report.traces] == [("one", 2, 5), ("two", 1, 3)]
    (total,) = report.totals
    assert (total.path, total.conversations, total.requests, total.endless.hit_blocks, total.output_tokens) == ("", 2, 5, 3, 35)
    assert total.endless.mean_of_requests == pytest.approx((2 / 3 + 1) / 5)
    assert [tuple(point) for point in total.curve] == [(1, "lru-tail-first", 2 / 8, 2 / 8), (2, "lru-tail-first", 3 / 8, 3 / 8)]
    assert [total.share_of_most(point) for point in total.curve] == pytest.approx([2 / 3, 1])
    assert [skip.path for skip in total.skipped] == ["one", "two"]
    assert total.notes == ("a note",)
    assert report.spread == spread([2 / 5, 1 / 3])


def test_formats_and_block_sizes_are_pooled_apart() -> None:
    """Blocks of another size are not added to these, and a mixture of conversations has no spread."""
    report = measure([trace("one", (1,)), trace("two", (1,), block=20, conversation="")])
    assert [(total.block_tokens, total.conversations) for total in report.totals] == [(10, 1), (20, None)]
    assert report.spread is not None
    assert report.spread.count == 1


def test_a_hit_on_a_partial_block_counts_its_tokens() -> None:
    """Two blocks of a prompt of 15 tokens are 15 tokens read, not 20."""
    (hit,) = measure([trace("one", (1, 2), (1, 2), partial=5)]).traces
    assert (hit.endless.hit_blocks, hit.endless.hit_tokens, hit.endless.tokens) == (2, 15, 30)
    assert hit.endless.mean_of_requests_by_tokens == 0.5


def test_nothing_to_measure() -> None:
    """No trace gives an empty report; a trace without requests has shares of 0 and is no conversation in the spread."""
    assert measure([]) == BlockReport((), (), None)
    report = measure([trace("empty")], [5])
    assert (report.spread, report.traces[0].curve[0].share, report.traces[0].endless.token_share) == (None, 0.0, 0.0)
    assert report.traces[0].share_of_most(report.traces[0].curve[0]) == 0.0
    assert report.traces[0].endless.mean_of_requests == report.traces[0].endless.mean_of_requests_by_tokens == 0.0


def test_a_file_that_is_no_trace_is_refused(tmp_path: Path) -> None:
    """A path of another format raises ``Unreadable``."""
    path = tmp_path / "x.json"
    path.write_text("{}")
    with pytest.raises(Unreadable):
        measure([path])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_spread_is_in_order(shares: list[float]) -> None:
    """Least, quartiles and greatest rise, the mean lies between, and the quartiles are those of the stated method."""
    found: Any = spread(shares)
    values = [found.least, found.p25, found.median, found.p75, found.greatest]
    assert values == pytest.approx([quantile(shares, share) for share in (0, 0.25, 0.5, 0.75, 1)])
    assert found.least - 1e-12 <= found.mean <= found.greatest + 1e-12
    assert found.count == len(shares)

"""How much of recorded prompts block caches would have read: shares, and what they come to by capacity and eviction.

Each trace has a cache of its own, empty at first. A request's hit is the longest run of leading blocks that are held. Blocks are
counted as the trace lists them; in Mooncake's, the last, partial block of a prompt is one of them, as in its paper.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, quantiles
from typing import NamedTuple

from holdfast.caches.block_pool import Eviction, hits
from holdfast.readers.block_hashes import BlockTrace, Format, read_blocks
from holdfast.transcript import Skipped


class Point(NamedTuple):
    """One point of a capacity curve: blocks held by each trace's cache, eviction, and hit share by blocks and by tokens (0 to 1)."""

    capacity: int
    policy: Eviction
    share: float
    token_share: float


@dataclass(frozen=True, slots=True)
class Count:
    """What one pass over a trace found: blocks and tokens of all prompts, and those of them that were read.

    A hit on a partial block counts the tokens that the prompt has. ``request_shares`` is the sum, over the requests, of
    the share of its blocks that was read; ``request_token_shares`` the same by tokens. A prompt without a block, or without a token, adds
    0.
    """

    requests: int = 0
    blocks: int = 0
    hit_blocks: int = 0
    tokens: int = 0
    hit_tokens: int = 0
    request_shares: float = 0.0
    request_token_shares: float = 0.0

    def __add__(self, other: Count) -> Count:
        return Count(
            self.requests + other.requests,
            self.blocks + other.blocks,
            self.hit_blocks + other.hit_blocks,
            self.tokens + other.tokens,
            self.hit_tokens + other.hit_tokens,
            self.request_shares + other.request_shares,
            self.request_token_shares + other.request_token_shares,
        )

    @property
    def block_share(self) -> float:
        """Blocks read ÷ all blocks, 0 without any."""
        return self.hit_blocks / self.blocks if self.blocks else 0.0

    @property
    def token_share(self) -> float:
        """Tokens read ÷ all prompt tokens, 0 without any."""
        return self.hit_tokens / self.tokens if self.tokens else 0.0

    @property
    def mean_of_requests(self) -> float:
        """The mean, over requests, of the share of its blocks that was read."""
        return self.request_shares / self.requests if self.requests else 0.0

    @property
    def mean_of_requests_by_tokens(self) -> float:
        """The same by tokens."""
        return self.request_token_shares / self.requests if self.requests else 0.0


@dataclass(frozen=True, slots=True)
class BlockHits:
    """One trace, or all of one format together (``path`` is ``""`` then, and ``curve`` pooled over them by blocks and tokens).

    ``conversations`` is ``None`` where the trace does not say. ``endless`` is what a cache without end would have read, the most that any
    can.
    ``output_tokens`` sums what is recorded. ``curve`` has a point for each capacity and policy asked for, capacities rising.
    """

    path: str
    format: Format
    block_tokens: int
    conversations: int | None
    endless: Count
    output_tokens: int
    curve: tuple[Point, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def requests(self) -> int:
        """Requests that could be used."""
        return self.endless.requests

    def share_of_most(self, point: Point) -> float:
        """A point's share of blocks ÷ that of a cache without end, 0 where that has none."""
        return point.share / self.endless.block_share if self.endless.block_share else 0.0


@dataclass(frozen=True, slots=True)
class Spread:
    """Shares over several conversations, each counted once whatever its length.

    Quantiles interpolate linearly between the two nearest of the sorted values, the least and the greatest being the 0 % and 100 %
    quantile (``statistics.quantiles(method="inclusive")``, Hyndman and Fan's type 7).
    """

    count: int
    least: float
    p25: float
    median: float
    p75: float
    greatest: float
    mean: float


@dataclass(frozen=True, slots=True)
class BlockReport:
    """All traces in the order given, each format's pooled, and how token hit shares spread over conversations (formats that say which)."""

    traces: tuple[BlockHits, ...]
    totals: tuple[BlockHits, ...]
    spread: Spread | None


@dataclass(frozen=True, slots=True)
class _Run:
    hits: BlockHits
    counts: tuple[tuple[int, Eviction, Count], ...]


def measure(
    traces: Iterable[Path | BlockTrace], capacities: Sequence[int] = (), policies: Sequence[Eviction] = (Eviction.LRU,)
) -> BlockReport:
    """Every trace through a cache without end, and through one of each capacity (in blocks) under each policy.

    A file is read, measured and let go before the next. Raises ``Unreadable`` for a path that is no trace; a request that cannot be
    used is in ``BlockHits.skipped``.
    """
    wanted = [(capacity, policy) for capacity in sorted(set(capacities)) for policy in dict.fromkeys(policies)]
    runs = [_run(trace if isinstance(trace, BlockTrace) else read_blocks(trace), wanted) for trace in traces]
    found = tuple(run.hits for run in runs)
    shares = [hit.endless.token_share for hit in found if hit.conversations and hit.requests]
    formats = dict.fromkeys((hit.format, hit.block_tokens) for hit in found)
    totals = tuple(_pooled([run for run in runs if (run.hits.format, run.hits.block_tokens) == one]) for one in formats)
    return BlockReport(found, totals, spread(shares))


def spread(shares: Sequence[float]) -> Spread | None:
    """How shares spread; ``None`` where there are none."""
    if not shares:
        return None
    ordered = sorted(shares)
    p25, median, p75 = quantiles(ordered, n=4, method="inclusive") if len(ordered) > 1 else ordered * 3
    return Spread(len(ordered), ordered[0], p25, median, p75, ordered[-1], fmean(ordered))


def count(trace: BlockTrace, capacity: int | None = None, policy: Eviction = Eviction.LRU) -> Count:
    """One pass over a trace with a cache of ``capacity`` blocks, ``None`` for one without end."""
    found = hits([request.hashes for request in trace.requests], capacity, policy)
    size, blocks, tokens, read, shares, token_shares = trace.block_tokens, 0, 0, 0, 0.0, 0.0
    for request, hit in zip(trace.requests, found, strict=True):
        hit_tokens = min(hit * size, request.input_tokens)
        blocks += len(request.hashes)
        tokens += request.input_tokens
        read += hit_tokens
        shares += hit / len(request.hashes) if hit else 0.0
        token_shares += hit_tokens / request.input_tokens if hit else 0.0
    return Count(len(found), blocks, sum(found), tokens, read, shares, token_shares)


def _run(trace: BlockTrace, wanted: Sequence[tuple[int, Eviction]]) -> _Run:
    counts = tuple((capacity, policy, count(trace, capacity, policy)) for capacity, policy in wanted)
    hit = BlockHits(
        path=trace.path,
        format=trace.format,
        block_tokens=trace.block_tokens,
        conversations=1 if trace.conversation else None,
        endless=count(trace),
        output_tokens=sum(request.output_tokens or 0 for request in trace.requests),
        curve=tuple(_point(*one) for one in counts),
        skipped=trace.skipped,
        notes=trace.notes,
    )
    return _Run(hit, counts)


def _point(capacity: int, policy: Eviction, found: Count) -> Point:
    return Point(capacity, policy, found.block_share, found.token_share)


def _pooled(runs: Sequence[_Run]) -> BlockHits:
    every = [run.hits for run in runs]
    columns = zip(*(run.counts for run in runs), strict=True)
    curve = [_point(column[0][0], column[0][1], sum((one for _, _, one in column), Count())) for column in columns]
    return BlockHits(
        path="",
        format=every[0].format,
        block_tokens=every[0].block_tokens,
        conversations=None if any(hit.conversations is None for hit in every) else len(every),
        endless=sum((hit.endless for hit in every), Count()),
        output_tokens=sum(hit.output_tokens for hit in every),
        curve=tuple(curve),
        skipped=tuple(skip for hit in every for skip in hit.skipped),
        notes=tuple(dict.fromkeys(note for hit in every for note in hit.notes)),
    )

"""What a block cache holds and what it gives up: pools of equal blocks, by capacity and eviction.

A *path* is one prompt as the ids of its blocks, from its beginning. An id stands for the block and everything before it, so equal ids are
equal prefixes. Pools know neither tokens nor time: ``caches.blocks`` cuts prompts into paths, recorded traces come as paths.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Container, Hashable, Iterable, Sequence
from enum import StrEnum
from heapq import heappop, heappush
from itertools import takewhile
from typing import Protocol, TypeAlias

BlockPath: TypeAlias = Sequence[Hashable]
_Rank: TypeAlias = tuple[int, int]
"""Uses, and minus the place in the prompt where that counts, else 0: the lowest goes first."""


class Eviction(StrEnum):
    """Which block goes first when room is needed.

    ``LRU``
        The one used longest ago, a prompt's blocks taken as used from its beginning to its end: of one prompt the beginning goes first,
        and leaves an end behind that nobody can reach. A plain cache of that name, and what trace analyses count.
    ``LRU_TAIL``
        The one whose prompt was used longest ago; among equals the one furthest from the beginning. vLLM frees the blocks of a request in
        reverse order (vLLM, docs/design/prefix_caching.md, "Free", as of 2026; first proposed in vLLM issue 2614, 2024-01); SGLang's radix
        tree gives up its oldest leaves.
    ``LFU``
        The one used by the fewest requests since it came in; among equals the one used longest ago, then the one furthest from the
        beginning. What was evicted is forgotten: it begins again with one use.
    ``LENGTH_AWARE``
        The one used by the fewest requests; among equals the one furthest from the beginning, whenever it was used; then the one used
        longest ago. Mooncake's ``LengthAwareCache`` is described in one clause, "similar to LFU but prioritizing cache blocks occurring
        later in requests" (arXiv 2407.00079, section 4.2 and table 1, 2024-07), without code. Read here as prioritised *for eviction*: the
        other reading gives up beginnings first, behind which nothing can be hit.
    """

    LRU = "lru"
    LRU_TAIL = "lru-tail-first"
    LFU = "lfu"
    LENGTH_AWARE = "length-aware"


class Pool(Protocol):
    """Blocks that are held. Requests come one after the other; a path longer than the capacity never fits whole."""

    def held(self, path: BlockPath) -> int:
        """How many leading blocks of a path are held, up to the first that is not. Changes nothing."""

    def use(self, path: BlockPath) -> None:
        """A request sends this path: its blocks are held from now on, others make room."""

    def __len__(self) -> int: ...
    def __contains__(self, block: object, /) -> bool: ...


def pool_of(capacity: int | None, eviction: Eviction = Eviction.LRU_TAIL) -> Pool:
    """An empty pool of ``capacity`` blocks (``None``: no end of them, so that nothing is evicted). Raises ``ValueError`` below 0."""
    if capacity is None:
        return EndlessPool()
    if capacity < 0:
        raise ValueError(f"a capacity of {capacity} blocks")
    if eviction in (Eviction.LRU, Eviction.LRU_TAIL):
        return RecencyPool(capacity, eviction is Eviction.LRU_TAIL)
    return CountingPool(capacity, eviction is Eviction.LENGTH_AWARE)


def hits(paths: Iterable[BlockPath], capacity: int | None = None, eviction: Eviction = Eviction.LRU_TAIL) -> list[int]:
    """How many leading blocks each request of a trace finds, in order, in a pool that was empty at first.

    With either LRU no request finds fewer blocks in a larger pool: a pool of *n* blocks holds exactly the *n* blocks used last, and that
    order does not depend on *n* (Mattson et al., "Evaluation techniques for storage hierarchies", 1970). Neither LFU
    nor the length-aware rule promises that, as their counts begin anew with an eviction.
    """
    pool = pool_of(capacity, eviction)
    found = []
    for path in paths:
        found.append(pool.held(path))
        pool.use(path)
    return found


def _leading(held: Container[Hashable], path: BlockPath) -> int:
    return len(list(takewhile(held.__contains__, path)))


class EndlessPool:
    """Everything that was ever sent."""

    def __init__(self) -> None:
        self._held: set[Hashable] = set()

    def held(self, path: BlockPath) -> int:
        """The leading blocks that were sent before."""
        return _leading(self._held, path)

    def use(self, path: BlockPath) -> None:
        """Hold them all."""
        self._held.update(path)

    def __len__(self) -> int:
        return len(self._held)

    def __contains__(self, block: object, /) -> bool:
        return block in self._held


class RecencyPool:
    """The ``capacity`` blocks used last; within one request the beginning counts as used last if ``tail_first``, else the end."""

    def __init__(self, capacity: int, tail_first: bool) -> None:
        self.capacity, self.tail_first = capacity, tail_first
        self._held: OrderedDict[Hashable, None] = OrderedDict()

    def held(self, path: BlockPath) -> int:
        """The leading blocks that are held."""
        return _leading(self._held, path)

    def use(self, path: BlockPath) -> None:
        """Make these the newest, then give up the oldest."""
        held = self._held
        for block in reversed(path) if self.tail_first else path:
            held[block] = None
            held.move_to_end(block)
        for _ in range(len(held) - self.capacity):
            held.popitem(last=False)

    def __len__(self) -> int:
        return len(self._held)

    def __contains__(self, block: object, /) -> bool:
        return block in self._held


class CountingPool:
    """Blocks by how many requests used them. Those of the running request are in use and stay (vLLM: a reference count above 0).

    Blocks of one rank stand in one queue in the order in which they would go, so the work for a request goes with its blocks.
    """

    def __init__(self, capacity: int, length_aware: bool) -> None:
        self.capacity, self.length_aware = capacity, length_aware
        self._ranks: dict[Hashable, _Rank] = {}
        self._queues: dict[_Rank, OrderedDict[Hashable, None]] = {}
        self._order: list[_Rank] = []

    def held(self, path: BlockPath) -> int:
        """The leading blocks that are held."""
        return _leading(self._ranks, path)

    def use(self, path: BlockPath) -> None:
        """Count a use of each, after making room for those that are new."""
        ranks, running = self._ranks, list(dict.fromkeys(path[: self.capacity]))
        uses = []
        for block in running:
            rank = ranks.get(block)
            uses.append(1 if rank is None else rank[0] + 1)
            if rank is not None:
                self._leave(block, rank)
        for _ in range(len(ranks) + uses.count(1) - self.capacity):
            self._evict()
        for depth in range(len(running) - 1, -1, -1):
            self._enter(running[depth], (uses[depth], -depth if self.length_aware else 0))

    def _enter(self, block: Hashable, rank: _Rank) -> None:
        self._ranks[block] = rank
        queue = self._queues.get(rank)
        if queue is None:
            queue = self._queues[rank] = OrderedDict()
            heappush(self._order, rank)
        queue[block] = None

    def _leave(self, block: Hashable, rank: _Rank) -> None:
        queue = self._queues[rank]
        del queue[block]
        if not queue:
            del self._queues[rank]

    def _evict(self) -> None:
        """Give up the first block of the lowest rank; ranks that nobody has any more are dropped on the way."""
        while (rank := self._order[0]) not in self._queues:
            heappop(self._order)
        block = next(iter(self._queues[rank]))
        self._leave(block, rank)
        del self._ranks[block]

    def __len__(self) -> int:
        return len(self._ranks)

    def __contains__(self, block: object, /) -> bool:
        return block in self._ranks

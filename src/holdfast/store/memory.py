"""The store that lives as long as the process."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TypeVar

from cachetools import LRUCache

from holdfast.blocks import Block
from holdfast.errors import StoreError
from holdfast.frozen import Json
from holdfast.saved import Saved
from holdfast.store.names import DIGITS, is_name, key

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class _Kept:
    fingerprint: str
    wire: Json
    at: float


class MemoryStore:
    """Keeps blocks and lineages for the life of the process. Safe for several threads.

    It is bounded, and so it forgets: of blocks it holds the newest ``capacity`` characters, of saved heads the newest ``heads``; what was
    asked for last counts as new. ``forgotten`` says how many blocks had to go to make room: they can no longer be recalled.
    """

    def __init__(self, capacity: int = 256_000_000, heads: int = 16_384, clock: Callable[[], float] = time.time) -> None:
        self._kept: _Counting[str, _Kept] = _Counting(capacity, getsizeof=lambda kept: len(json.dumps(kept.wire)))
        self._heads: LRUCache[str, tuple[Saved, float]] = LRUCache(heads)
        self._roots: LRUCache[str, tuple[Saved, float]] = LRUCache(heads)
        self._clock = clock
        self._lock = threading.Lock()

    @property
    def forgotten(self) -> int:
        """How many blocks were given up because the store was full."""
        return self._kept.given_up

    def put(self, blocks: Iterable[Block]) -> None:
        """Keep these; one that is larger than the whole store raises ``StoreError``."""
        with self._lock:
            for block in blocks:
                try:
                    self._kept[key(block)] = _Kept(block.fingerprint.hex(), block.wire, self._clock())
                except ValueError as error:
                    raise StoreError(f"block {key(block)} is larger than the store") from error

    def get(self, name: str) -> Json | None:
        """What is kept under ``name``."""
        with self._lock:
            kept = self._kept.get(name[:DIGITS]) if is_name(name) else None
        return kept.wire if kept and kept.fingerprint.startswith(name) else None

    def save(self, saved: Saved, expected: int) -> bool:
        """Keep a lineage's new head. Raises ``StoreError`` where its version is not the one after ``expected``."""
        saved.follows(expected)
        with self._lock:
            head, _ = self._heads.get(saved.lineage, (None, 0.0))
            if (head.version if head else 0) != expected:
                return False
            self._heads[saved.lineage] = self._roots[saved.root] = saved, self._clock()
            return True

    def find(self, roots: Sequence[str]) -> Saved | None:
        """The saved head with the longest history among these, the newest of several."""
        with self._lock:
            found = [self._roots[root][0] for root in dict.fromkeys(roots) if root in self._roots]
        return max(found, key=lambda saved: saved.messages, default=None)

    def load(self, lineage: str) -> Saved | None:
        """The newest head of this lineage."""
        with self._lock:
            return self._heads.get(lineage, (None, 0.0))[0]

    def forget(self, older_than: float) -> int:
        """Give up what was put or saved before ``older_than`` (POSIX seconds) and not since; how many blocks and heads that were."""
        with self._lock:
            old = [name for name, kept in self._kept.items() if kept.at < older_than]
            for name in old:
                del self._kept[name]
            ages = [(table, name) for table in (self._heads, self._roots) for name, (_, at) in table.items() if at < older_than]
            for table, name in ages:
                del table[name]
        return len(old) + sum(table is self._roots for table, _ in ages)

    def close(self) -> None:
        """Nothing has to be closed; all is still there."""

    def __enter__(self) -> MemoryStore:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class _Counting(LRUCache[K, V]):
    """Counts what it gives up by itself."""

    given_up = 0

    def popitem(self) -> tuple[K, V]:
        self.given_up += 1
        return super().popitem()

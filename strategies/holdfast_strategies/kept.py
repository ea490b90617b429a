"""What was worked out once and is kept for the next plan: bounded by weight, and safe where sessions run in several threads."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from threading import Lock
from typing import Generic, TypeVar

from cachetools import LRUCache

V = TypeVar("V")


class Kept(Generic[V]):
    """Values by key, the least recently used given up first. ``most`` bounds the sum of what ``weigh`` says of each value."""

    def __init__(self, most: int, weigh: Callable[[V], int]) -> None:
        self._weigh = weigh
        self._most = most
        self._values: LRUCache[Hashable, V] = LRUCache(most, getsizeof=weigh)
        self._lock = Lock()

    @property
    def weight(self) -> int:
        """What is kept now, in the unit of ``weigh``."""
        return int(self._values.currsize)

    def get(self, key: Hashable, make: Callable[[], V]) -> V:
        """The value of this key, made where there is none. Two threads may make the same one; a too heavy one is not kept."""
        with self._lock:
            found = self._values.get(key)
        if found is None:
            found = make()
            if self._weigh(found) <= self._most:
                with self._lock:
                    self._values[key] = found
        return found

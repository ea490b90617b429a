"""A gate for requests that share a cold prefix: the first goes ahead, the others follow when its answer begins.

An entry of the cache can be read only after the response that writes it has begun, so requests that start together would each pay for
the same prefix (platform.claude.com, prompt caching, concurrent requests, 2026-08-21).
"""

from __future__ import annotations

import threading
from collections.abc import Callable


class Gate:
    """Shut until the first of a set of requests is answered. Safe for threads; whoever waits does so outside of any lock."""

    def __init__(self) -> None:
        self._opened = threading.Event()
        self._lock = threading.RLock()  # a stream may be collected, and so end, within it
        self._told: list[Callable[[], None]] = []

    @property
    def is_open(self) -> bool:
        """Whether there is nothing to wait for."""
        return self._opened.is_set()

    def open(self) -> None:
        """Let everybody through."""
        with self._lock:
            self._opened.set()
            told, self._told = self._told, []
        for tell in told:
            tell()

    def wait(self, timeout: float | None) -> bool:
        """Block this thread until the gate is open, at most ``timeout`` seconds; whether it is."""
        return self._opened.wait(timeout)

    def when_open(self, tell: Callable[[], None]) -> None:
        """Call ``tell`` once when the gate opens, at once where it is open; from whatever thread opens it."""
        with self._lock:
            if not self._opened.is_set():
                self._told.append(tell)
                return
        tell()

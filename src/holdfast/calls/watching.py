"""Looks at the answer that the caller reads, and books it when it ends."""

from __future__ import annotations

from collections.abc import Mapping
from threading import RLock
from typing import TYPE_CHECKING

from holdfast.calls.values import Request
from holdfast.errors import HoldfastError
from holdfast.frozen import Json
from holdfast.pipeline import guarded, told
from holdfast.readers.streams import put_together
from holdfast.session import Facts

if TYPE_CHECKING:
    from holdfast.calls.calls import Calls
    from holdfast.calls.flow import Decided

EVENTS = 200_000
"""The most events of one answer that are kept for a record."""


class Watching:
    """One answer. Whatever goes wrong here is noted and never reaches the caller."""

    def __init__(self, calls: Calls, request: Request, decided: Decided, facts: Facts | None, began: float) -> None:
        self._calls, self._request, self._decided, self._facts = calls, request, decided, facts
        self._began = began
        self._events: list[Mapping[str, Json]] = []
        self._lock = RLock()
        self._done = False

    @property
    def wants_events(self) -> bool:
        """Whether a record is kept, or the thread that the answer belongs to: those need the whole answer."""
        return self._calls.records or self._decided.whole is not None

    def event(self, event: Mapping[str, Json]) -> None:
        """One event of the stream."""
        if self._decided.gate is not None:
            self._decided.gate.open()
        if len(self._events) < EVENTS:
            self._events.append(event)

    def ended(self, complete: bool) -> None:
        """The stream has ended, or was closed, or broke off: what it told is booked."""
        if complete:
            self.close()
        else:
            self._calls.late.append(self)  # it may be the collector that says so, in the middle of anything

    def close(self) -> None:
        """Book what came."""
        self.whole(put_together([dict(event) for event in self._events]))

    def whole(self, response: Mapping[str, Json]) -> None:
        """The answer, as far as it came."""
        with self._lock:
            if self._done:
                return
            self._done = True
        if self._decided.gate is not None:
            self._decided.gate.open()
        try:
            guarded(lambda: self._book(response), lambda cause: HoldfastError(f"an answer could not be booked: {told(cause)}"))
        except HoldfastError as error:
            self._calls.noted((error,), self._request, self._decided)

    def _book(self, response: Mapping[str, Json]) -> None:
        self._calls.finished(self._request, self._decided, self._facts, response, (self._began, self._calls.stamp()))

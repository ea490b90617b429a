"""What passes between a client hook, which does the I/O, and a flow, which decides: plain values, no SDK among them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

from holdfast.calls.gate import Gate
from holdfast.frozen import Json
from holdfast.transcript import Dialect


@dataclass(frozen=True, slots=True)
class Request:
    """One attempt of one call, as a client is about to make it.

    ``body`` is the caller's own JSON object, never to be changed. ``endpoint`` is the path (``/v1/messages``). ``key`` is the
    idempotency key: the same for every attempt of a call, ``""`` where there is none. ``provider`` is a key of
    ``caches.cache_for`` where the maker serves it, else the platform's name (``"bedrock"``, ``"vertex"``, ``"foundry"``, ``"azure"``).
    ``headers`` are those of the call, names in lower case. ``timeout`` is the caller's, in seconds for the whole call (``None``: none
    is set). ``counting`` marks a request that only counts tokens. ``streamed`` says that the answer comes as events. ``beside`` does a
    job through the same client beside the call, and says whether it could begin (``None``: the hook has no way to).
    """

    dialect: Dialect
    endpoint: str
    body: Mapping[str, Json]
    key: str = ""
    provider: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout: float | None = None
    counting: bool = False
    streamed: bool = False
    beside: Callable[[Job], bool] | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Send:
    """What to send next.

    ``call``: the caller's call, with ``body`` in the place of its own (the same object where nothing changed); the caller gets the
    answer to the last one of these. ``ask``: a question of a strategy, whose streamed answer is read to its end and nobody else sees.
    ``timeout`` is in seconds and only set where it differs from the caller's. ``betas`` are values to add to the ``anthropic-beta`` header.
    ``endpoint`` is a path where it differs from the request's. ``without_betas``: beginnings of the caller's own that do not go along.
    ``adds``: the hook may ask for what it needs to see (a stream's usage) where the caller does not notice.
    """

    kind: Literal["call", "ask"]
    body: Mapping[str, Json]
    timeout: float | None = None
    betas: tuple[str, ...] = ()
    endpoint: str = ""
    without_betas: tuple[str, ...] = ()
    adds: bool = True


@dataclass(frozen=True, slots=True)
class Received:
    """What came back: the HTTP status, and the JSON body (of a streamed answer, put together).

    ``body`` is ``None`` where the answer to a ``call`` is a stream that the caller will read, or is no JSON.
    """

    status: int
    body: Mapping[str, Json] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether the provider took the request."""
        return 200 <= self.status < 300


class Watch(Protocol):
    """Looks at the answer that the caller reads. Its methods raise nothing and are called from whatever thread reads the stream."""

    @property
    def wants_events(self) -> bool:
        """Whether every event is wanted (a record is kept), or only those that carry usage or an id."""

    def event(self, event: Mapping[str, Json]) -> None:
        """One event of the stream, in order."""

    def ended(self, complete: bool) -> None:
        """The stream has ended, or the caller has closed it, or it broke off (``complete`` is false). Later calls do nothing."""


Job: TypeAlias = "Generator[Send, Received, None]"
"""Questions of our own beside any call: like a ``Flow`` of nothing but those."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Send nothing: go on when ``gate`` is open, at most ``timeout`` seconds from now. The flow is then sent ``None``."""

    gate: Gate
    timeout: float


Flow: TypeAlias = "Generator[Send | Wait, Received | None, Watch | None]"
"""One attempt: yields what to send, is sent what came back, and returns who watches the stream (``None``: nobody).

A request that could not be sent, or whose answer never came, is raised into it (``Unsent``) and leaves it again unless it had
something better to do; the hook then raises the SDK's own error to its caller.
"""


class Unsent(Exception):
    """The SDK could not send a request or got no answer; ``__cause__`` is its own error. Never reaches a caller."""

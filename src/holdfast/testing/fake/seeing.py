"""What a provider may want to know of an endpoint beside ``values.Endpoint``. Each is optional, and found by its method."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

from holdfast.frozen import Json
from holdfast.testing.fake.billing import Read
from holdfast.testing.fake.values import Refused

Reader: TypeAlias = Callable[[Mapping[str, Json]], Read]


@dataclass(frozen=True, slots=True)
class Seen:
    """A request as the model sees it: the body without what the provider leaves out, read; and what it says about that."""

    body: Mapping[str, Json]
    read: Read
    notes: tuple[Json, ...] = ()


@dataclass(frozen=True, slots=True)
class Exchange:
    """What there is to know of an answered request: as it came, as it was seen, from whom, and what an earlier one it names looked like."""

    headers: Mapping[str, str]
    account: str
    seen: Seen
    before: Read | None = None
    read_tokens: int = 0


@runtime_checkable
class Referring(Protocol):
    """An endpoint whose bodies may stand for more, or less, than they hold."""

    def whole(self, body: Mapping[str, Json]) -> Mapping[str, Json]:
        """What a body stands for; the same object where that is the body itself."""


@runtime_checkable
class Judging(Protocol):
    """An endpoint that signs what it says, and looks at signatures in what it is sent."""

    def sees(self, body: Mapping[str, Json], headers: Mapping[str, str], account: str, reader: Reader) -> Seen | Refused:
        """A legal body as the model sees it, or why its signatures are not taken."""

    def previous(self, body: Mapping[str, Json]) -> str:
        """The id of the earlier response that this request wants to be compared with, ``""`` for none."""

    def completed(self, body: Mapping[str, Json], response: dict[str, Json], exchange: Exchange) -> dict[str, Json]:
        """The response, signed, and with what it says about the request."""


@runtime_checkable
class RefusingInStreams(Protocol):
    """An endpoint that answers some refused requests with a stream."""

    def refused_events(
        self, body: Mapping[str, Json], refused: Refused, number: int
    ) -> Iterable[tuple[str, Mapping[str, Json] | str]] | None:
        """The events of the refusal, ``None`` where it comes as a plain response."""

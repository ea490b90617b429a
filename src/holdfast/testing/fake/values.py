"""What a scripted provider is told to say, and what each of its dialects must be able to do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

from holdfast.frozen import Json
from holdfast.transcript import Dialect
from holdfast.usage import Usage


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool that the model makes. Without an ``id`` the provider makes one up."""

    name: str
    input: Mapping[str, Json] = field(default_factory=dict)
    id: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """What the model says, in no dialect: thinking first, then text, then tool calls.

    ``stop``: why it ends, ``""`` for what follows from the content. ``output_tokens`` is what it is billed for, by default its weight.
    ``content`` are blocks in the dialect's own JSON, in the place of all the rest. ``latency`` is seconds before the first byte,
    ``pace`` seconds between two events of a stream.
    """

    text: str = ""
    thinking: str = ""
    calls: Sequence[ToolCall] = ()
    stop: Literal["", "end", "tools", "length", "refusal", "stop_sequence"] = ""
    output_tokens: int | None = None
    content: Sequence[Json] | None = None
    latency: float = 0.0
    pace: float = 0.0


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong instead of an answer.

    ``status``: an error of the dialect's form with this HTTP status (429, 500, 529 …). ``drop``: the connection ends, before the headers
    (``"headers"``) or in the middle of the answer (``"body"``). ``message`` is the error's text.
    """

    status: int = 0
    drop: Literal["", "headers", "body"] = ""
    message: str = ""
    latency: float = 0.0
    retry_after: float | None = None


Say: TypeAlias = Reply | Fault | str
"""One thing that a script says; a string is a ``Reply`` with that text."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A request that the provider does not take: the HTTP status and the error's body, as the real one would send it."""

    status: int
    body: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it reached the fake, and what it was answered. ``usage`` is ``None`` where nothing was billed."""

    endpoint: str
    body: Mapping[str, Json]
    headers: Mapping[str, str]
    at: float
    status: int
    raw: bytes = b""
    response: Mapping[str, Json] = field(default_factory=dict)
    usage: Usage | None = None
    prompt_tokens: int = 0


class Endpoint(Protocol):
    """One path of one dialect. Pure: values in, values out."""

    @property
    def dialect(self) -> Dialect:
        """Whose grammar the bodies have."""

    def refusal(self, body: Mapping[str, Json], headers: Mapping[str, str], prompt_tokens: int, window: int) -> Refused | None:
        """Why the real provider would not take this body; ``None`` where it would."""

    def failure(self, fault: Fault) -> Refused:
        """An error in this dialect's form."""

    def response(self, body: Mapping[str, Json], reply: Reply, usage: Usage, number: int) -> dict[str, Json]:
        """The whole response. ``number`` counts the provider's answers: ids are made of it."""

    def events(self, body: Mapping[str, Json], response: Mapping[str, Json]) -> Iterable[tuple[str, Mapping[str, Json] | str]]:
        """The same response as server-sent events: the event's name (``""``: none) and its data (a string goes out as it is)."""

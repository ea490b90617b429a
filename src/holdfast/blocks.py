"""Blocks, messages and prompts: what a request is made of, as frozen values.

A *block* is the smallest unit a provider caches by. It keeps the provider's own JSON
(``wire``) verbatim, without cache marks, and beside it the few things the core asks
about: what kind it is, which tool call it belongs to, the text a reader would see,
how many tokens it holds, and a fingerprint of its bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import overload

from holdfast.frozen import Json, freeze


class Kind(StrEnum):
    """What a block is. ``UNKNOWN`` is passed through untouched, ``OPAQUE`` was billed but never recorded."""

    TOOL = "tool"
    SYSTEM = "system"
    TEXT = "text"
    THINKING = "thinking"
    TOOL_USE = "tool_use"
    TOOL_RESULT = "tool_result"
    IMAGE = "image"
    DOCUMENT = "document"
    SERVER = "server"
    OPAQUE = "opaque"
    UNKNOWN = "unknown"


_OWN = frozenset({Kind.TEXT, Kind.IMAGE, Kind.DOCUMENT})


class Role(StrEnum):
    """Where a block stands, in the order in which providers render a prompt."""

    TOOLS = "tools"
    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


@dataclass(frozen=True, slots=True)
class Block:
    """One tool definition, one system text, or one content block of a message.

    ``wire`` is the provider's JSON for it (a plain ``str`` where a message's content is a bare
    string), frozen and without cache marks. ``text`` is what a model reads of it, ``""`` where that is
    not text. ``tokens`` is 0 until a counter has weighed it. ``call`` ties a tool call to
    its result; ``tool`` is the name of the tool.
    """

    kind: Kind
    role: Role
    wire: Json
    text: str = ""
    tokens: int = 0
    call: str | None = None
    tool: str | None = None
    fingerprint: bytes = field(default=b"", repr=False)

    def weighed(self, tokens: int) -> Block:
        """The same block with its token count."""
        return self if tokens == self.tokens else replace(self, tokens=tokens)


def canonical(wire: Json) -> bytes:
    """The bytes of a block: compact JSON, keys in the order they came in (their order is part of a prompt)."""
    return json.dumps(wire, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def fingerprint(kind: Kind, role: Role, wire: Json) -> bytes:
    """16 bytes that stand for a block's bytes and its place among the roles."""
    return hashlib.blake2b(canonical(wire), digest_size=16, person=f"{role}:{kind}".encode()[:16]).digest()


def make_block(kind: Kind, role: Role, wire: Json, text: str = "", **ids: str | None) -> Block:
    """A block from a provider's JSON: freezes it and takes its fingerprint. ``ids`` are ``call`` and ``tool``."""
    frozen = freeze(wire)
    call, tool = (name if isinstance(name, str) else None for name in (ids.get("call"), ids.get("tool")))  # a caller may send anything
    return Block(kind, role, frozen, text, 0, call, tool, fingerprint(kind, role, frozen))


def opaque(role: Role, tokens: int, label: str) -> Block:
    """A block that was billed but never recorded: its size is all that is known. ``label`` tells two apart."""
    kind = Kind.OPAQUE
    wire = freeze({"type": "text", "text": f"[not recorded: {label}, {tokens} tokens]"})
    return Block(kind, role, wire, "", tokens, None, None, fingerprint(kind, role, wire))


@dataclass(frozen=True, slots=True)
class Message:
    """One message (or one item of a Responses request): its blocks in order and its own JSON.

    ``wire`` is the message as it first came, frozen, without marks. ``edited`` says that ``blocks``
    no longer are what ``wire`` holds, so that a writer must rebuild the message from them.
    """

    role: Role
    blocks: tuple[Block, ...]
    wire: Json
    edited: bool = False

    @property
    def tokens(self) -> int:
        """The tokens of all blocks."""
        return sum(block.tokens for block in self.blocks)

    @property
    def is_plain_user(self) -> bool:
        """A user's own words: at least one text, image or document and no tool result."""
        if self.role is not Role.USER:
            return False
        kinds = {block.kind for block in self.blocks}
        return Kind.TOOL_RESULT not in kinds and not kinds.isdisjoint(_OWN)


@dataclass(frozen=True, slots=True)
class Settings:
    """What belongs to the cache key beside the blocks. Values are canonical JSON texts, ``None`` where not set."""

    model: str = ""
    tool_choice: str | None = None
    thinking: str | None = None
    effort: str | None = None
    speed: str | None = None
    other: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Mark:
    """A cache breakpoint behind block ``position`` (counted over head and messages) for ``ttl`` seconds."""

    position: int
    ttl: int = 300


class Window(Sequence[Message]):
    """The first ``stop`` messages of a log that only grows: the prompts of a conversation share one log."""

    __slots__ = ("log", "stop")

    def __init__(self, log: list[Message], stop: int | None = None) -> None:
        self.log = log
        self.stop = len(log) if stop is None else stop

    def __len__(self) -> int:
        return self.stop

    @overload
    def __getitem__(self, index: int) -> Message: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Message]: ...
    def __getitem__(self, index: int | slice) -> Message | Sequence[Message]:
        if isinstance(index, slice):
            start, stop, step = index.indices(self.stop)
            return self.log[start:stop:step] if step > 0 else self.log[: self.stop][index]
        if index < 0:
            index += self.stop
        if not 0 <= index < self.stop:
            raise IndexError(index)
        return self.log[index]

    def __iter__(self) -> Iterator[Message]:
        for index in range(self.stop):
            yield self.log[index]

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Window) and other.log is self.log:
            return other.stop == self.stop
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # equal to other sequences, which have no hash

    def __repr__(self) -> str:
        return f"Window({self.stop} of {len(self.log)} messages)"


@dataclass(frozen=True, slots=True)
class Prompt:
    """All blocks of one request in the provider's order, plus the settings of the cache key.

    ``head`` is the tools, then the system texts. ``marks`` are those the caller set.
    """

    settings: Settings
    head: tuple[Block, ...]
    messages: Sequence[Message]
    marks: tuple[Mark, ...] = ()

    @property
    def blocks(self) -> Iterator[Block]:
        """Every block, head first."""
        yield from self.head
        for message in self.messages:
            yield from message.blocks

    @property
    def tokens(self) -> int:
        """The tokens of the whole prompt; 0 while nothing has been weighed."""
        return sum(block.tokens for block in self.blocks)

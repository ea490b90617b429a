"""From serialised JSON to the few facts that the rules ask about.

Two pieces are the same bytes where their compact JSON is the same, key order included: white space and escapes
never reach a model. Cache marks are noted and taken out first.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from holdfast.checker.grammar import (
    GRAMMARS,
    HISTORY,
    MARKS,
    SYSTEM,
    as_blocks,
    contents,
    empty,
    fault,
    loose,
    masked,
    role_of,
    ttl_of,
    unmarked,
)
from holdfast.checker.values import Dialect, Serialised, Split


class Unreadable(ValueError):
    """The body is not the JSON of a request."""


@dataclass(frozen=True, slots=True)
class Part:
    """One block. ``bare`` is a digest of its bytes; ``same`` is equal for a bare string and its one-block form;
    ``outline`` leaves out what a clear may change, and ``mask`` is an outline that is the same for all equal values.
    ``marks`` are lifetimes in seconds."""

    kind: str
    bare: bytes
    same: bytes
    outline: bytes
    mask: bytes
    call: str = ""
    marks: tuple[int, ...] = ()
    fault: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """One message, or one item of a Responses request.

    ``bare`` is a digest of its bytes without marks; ``same`` as for a block, ``outline`` and ``mask`` too, without thinking.
    """

    role: str
    parts: tuple[Part, ...]
    raw: bytes
    bare: bytes
    same: bytes
    outline: bytes
    mask: bytes
    calls: tuple[str, ...]
    results: tuple[str, ...]
    answers: tuple[tuple[str, str], ...]
    thinks: bool
    plain_user: bool
    marked: bool
    faults: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """Everything of a body but its history."""

    raw: bytes
    tools: tuple[Part, ...]
    system: tuple[Part, ...]
    bare: bytes
    settings: Mapping[str, str]
    automatic: int = 0
    drops_unbound: bool = False
    continued: bool = False

    @property
    def parts(self) -> tuple[Part, ...]:
        """Tools, then system texts."""
        return self.tools + self.system


@dataclass(frozen=True, slots=True, eq=False)
class Body:
    """A whole request."""

    head: Head
    messages: list[Piece]

    def equals(self, other: Body) -> bool:
        """Whether both are the same JSON, marks included."""
        mine, theirs = ([json.loads(piece.raw) for piece in body.messages] for body in (self, other))
        heads = [json.dumps(json.loads(head.raw), sort_keys=True) for head in (self.head, other.head)]
        return heads[0] == heads[1] and list(map(dumps, mine)) == list(map(dumps, theirs))


def dumps(value: Any) -> bytes:
    """Compact JSON, keys in their own order."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def _digest(*pieces: bytes) -> bytes:
    out = blake2b(digest_size=16)
    for piece in pieces:
        out.update(len(piece).to_bytes(8, "big"))
        out.update(piece)
    return out.digest()


def _loosely(value: Any) -> bytes:
    return _digest(json.dumps(loose(value), sort_keys=True).encode())


def read_part(raw: Any, role: str, dialect: Dialect) -> Part:
    """One block (or tool definition, system text, call of a chat message)."""
    block, marks = unmarked(raw, MARKS[dialect])
    grammar = GRAMMARS[dialect](block, role)
    bare = _digest(dumps(block))
    listed = as_blocks(block, role, dialect)
    same = bare if listed is block else _digest(dumps(listed))
    outline = masked(listed, grammar.cleared)
    return Part(
        kind=grammar.kind,
        bare=bare,
        same=same,
        outline=_digest(dumps(outline)) if grammar.cleared else same,
        mask=_loosely(outline),
        call=grammar.call,
        marks=marks,
        fault=fault(block, grammar.kind, marks, dialect),
    )


def read_piece(raw: bytes, dialect: Dialect) -> Piece:
    """One message from its JSON."""
    message = json.loads(raw)
    role = role_of(message)
    taken, blocks, string = contents(message, dialect)
    parts = tuple(read_part(block, role, dialect) for block in blocks)
    envelope = dumps(taken)
    faults = [(part.fault[0], f".content[{n}]", part.fault[1]) for n, part in enumerate(parts) if part.fault]
    if empty(message, dialect):
        faults.append(("empty", ".content", "a message without content"))
    results = tuple(part.call for part in parts if part.kind == "result")
    thinks = any(part.kind == "thinking" for part in parts)
    # A message that is nothing but thinking has no other outline than itself.
    spoken = [part for part in parts if part.kind != "thinking"] or parts
    return Piece(
        role=role,
        parts=parts,
        raw=raw,
        bare=_digest(envelope, b"string" if string else b"list", *(part.bare for part in parts)),
        same=_digest(envelope, *(part.same for part in parts)),
        outline=_digest(envelope, *(part.outline for part in spoken)),
        mask=_digest(_loosely(taken), *(part.mask for part in spoken)),
        calls=tuple(part.call for part in parts if part.kind == "call"),
        results=results,
        answers=tuple((part.kind, part.call) for part in parts if part.kind.startswith("server ")),
        thinks=thinks,
        plain_user=role == "user" and bool(parts) and not results,
        marked=any(part.marks for part in parts),
        faults=tuple(faults),
    )


def _settings(body: Mapping[str, Any], dialect: Dialect) -> dict[str, str]:
    own = {HISTORY[dialect], SYSTEM[dialect], "tools", "cache_control", "prompt_cache_options", "betas"}
    out = {key: value for key, value in body.items() if key not in own}
    if isinstance(out.get("thinking"), dict):  # the sender may ask the API to drop what it cannot bind
        out["thinking"] = {key: value for key, value in out["thinking"].items() if key != "block_binding"} or None
    return {key: json.dumps(value, sort_keys=True) for key, value in out.items() if value is not None}


def _drops_unbound(body: Mapping[str, Any]) -> bool:
    thinking = body.get("thinking")
    binding = thinking.get("block_binding") if isinstance(thinking, dict) else None
    return isinstance(binding, dict) and binding.get("prefix_mismatch_behavior") == "drop_block"


def read_head(raw: bytes, dialect: Dialect) -> Head:
    """The head from its JSON (a body without its history)."""
    body = json.loads(raw)
    if not isinstance(body, dict):
        raise Unreadable("a request body is a JSON object")
    system = body.get(SYSTEM[dialect]) if SYSTEM[dialect] else None
    texts = system if isinstance(system, list) else [system] if system else []
    tools = tuple(read_part(tool, "tools", dialect) for tool in body.get("tools") or ())
    parts = tuple(read_part(text, "system", dialect) for text in texts)
    form = b"string" if isinstance(system, str) else b"list"
    return Head(
        raw=raw,
        tools=tools,
        system=parts,
        bare=_digest(*(tool.bare for tool in tools), form, *(part.bare for part in parts)),
        settings=_settings(body, dialect),
        automatic=ttl_of(body["cache_control"]) if dialect == "anthropic" and body.get("cache_control") else 0,
        drops_unbound=_drops_unbound(body),
        continued=bool(body.get("previous_response_id") or body.get("conversation")),
    )


def split(body: bytes | str, dialect: Dialect) -> Split:
    """A whole body in parts. Raises ``Unreadable`` where it is not a request."""
    try:
        value = json.loads(body)
    except ValueError as error:
        raise Unreadable(f"not JSON: {error}") from error
    key = HISTORY[dialect]
    history = value.get(key) if isinstance(value, dict) else None
    if isinstance(history, str):
        history = [history]
    if not isinstance(history, list):
        raise Unreadable(f"a request has a list of {key}")
    head = {name: item for name, item in value.items() if name != key}
    return Split(dumps(head), tuple(map(dumps, history)))


@dataclass(slots=True)
class Reader:
    """Reads bodies, each distinct message and head once. Checkers of one conversation may share it."""

    pieces: dict[str, dict[bytes, Piece]] = field(default_factory=dict)
    heads: dict[str, dict[bytes, Head]] = field(default_factory=dict)

    def read(self, body: Serialised, dialect: Dialect) -> Body:
        """A serialised body as facts. Raises ``Unreadable`` where it is not a request."""
        parts = body if isinstance(body, Split) else split(body, dialect)
        heads, pieces = self.heads.setdefault(dialect, {}), self.pieces.setdefault(dialect, {})
        try:
            head = heads.get(parts.head)
            if head is None:
                head = heads[parts.head] = read_head(parts.head, dialect)
            messages = []
            for raw in parts.messages:
                piece = pieces.get(raw)
                if piece is None:
                    piece = pieces[raw] = read_piece(raw, dialect)
                messages.append(piece)
        except json.JSONDecodeError as error:
            raise Unreadable(f"not JSON: {error}") from error
        return Body(head, messages)

"""Which message of the caller's history each sent message stands for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, TypeAlias

from holdfast.checker.grammar import MARKS, unmarked
from holdfast.checker.reading import Body, Head, Piece
from holdfast.checker.values import Dialect

Match: TypeAlias = "list[int | None]"  # by sent message: the ordinal of its original, None for one the sender made


def align(sent: Sequence[Piece], original: Sequence[Piece]) -> Match:
    """Match in order: equal beginnings first, then from the end, since what leaves a history is rarely its tail."""
    match: Match = [None] * len(sent)
    low = 0
    for mine, theirs in zip(sent, original, strict=False):
        if mine.mask != theirs.mask:
            break
        match[low] = low
        low += 1
    j, i = len(sent) - 1, len(original) - 1
    known: set[bytes] = set()
    while j >= low:
        mask = sent[j].mask
        if i >= low and mask == original[i].mask:
            match[j] = i
            i -= 1
        else:
            known = known or {piece.mask for piece in original}
            found = next((at for at in range(i, low - 1, -1) if original[at].mask == mask), None) if mask in known else None
            if found is not None:
                match[j] = found
                i = found - 1
        j -= 1
    return match


def _plain(raw: bytes, key: str) -> Any:
    message = json.loads(raw)
    return unmarked(message, key)[0]


def equal(one: Piece, other: Piece, dialect: Dialect) -> bool:
    """Whether a caller that compares values (``==``) would call both the same message."""
    return one is other or one.bare == other.bare or _plain(one.raw, MARKS[dialect]) == _plain(other.raw, MARKS[dialect])


def _head_values(head: Head, dialect: Dialect) -> tuple[Any, ...]:
    body = json.loads(head.raw)
    tools = [unmarked(tool, MARKS[dialect])[0] for tool in body.get("tools") or ()]
    texts = body.get("system") if isinstance(body.get("system"), list) else [body.get("system")]
    return tools, [unmarked(text, MARKS[dialect])[0] for text in texts or ()], body.get("instructions")


def equal_heads(one: Head, other: Head, dialect: Dialect) -> bool:
    """Whether both heads hold the same tools and system values."""
    return one is other or one.bare == other.bare or _head_values(one, dialect) == _head_values(other, dialect)


def shared(earlier: Sequence[Piece], later: Sequence[Piece], dialect: Dialect) -> int:
    """How many leading messages two histories share, compared as a caller's values."""
    count = 0
    for one, other in zip(earlier, later, strict=False):
        if one is not other and not equal(one, other, dialect):
            break
        count += 1
    return count


def inherited(match: Match, shared_messages: int) -> int:
    """How many leading messages of the last sent body lie wholly within the first ``shared_messages`` originals.

    A message that the sender made stands for originals up to the next one that is matched.
    """
    follows = [0] * len(match)
    reach: int | None = None
    for j in range(len(match) - 1, -1, -1):
        at = match[j]
        if at is not None:
            reach = at
            follows[j] = at + 1
        else:
            follows[j] = shared_messages + 1 if reach is None else reach
    count = 0
    for stop in follows:
        if stop > shared_messages:
            break
        count += 1
    return count


def first_difference(new: Body, old: Body, messages: int) -> tuple[int, str] | None:
    """The first block of ``old`` (its head and first ``messages`` messages) that ``new`` does not repeat: ordinal and place."""
    position = 0
    if new.head.bare != old.head.bare:
        for name, mine, theirs in (("tools", new.head.tools, old.head.tools), ("system", new.head.system, old.head.system)):
            count = _equal_parts(mine, theirs)
            if count < max(len(mine), len(theirs)):
                return position + count, f"{name}[{count}]"
            position += count
        return position - len(old.head.system), "system"
    position = len(old.head.tools) + len(old.head.system)
    for index in range(messages):
        piece = old.messages[index]
        if index >= len(new.messages):
            return position, f"messages[{index}]"
        mine_piece = new.messages[index]
        if mine_piece is not piece and mine_piece.bare != piece.bare:
            count = _equal_parts(mine_piece.parts, piece.parts)
            inside = count if 0 < count < max(len(mine_piece.parts), len(piece.parts)) else 0
            return position + inside, f"messages[{index}]" + (f".content[{inside}]" if inside else "")
        position += len(piece.parts)
    return None


def _equal_parts(one: Sequence[Any], other: Sequence[Any]) -> int:
    count = 0
    for a, b in zip(one, other, strict=False):
        if a.bare != b.bare:
            break
        count += 1
    return count

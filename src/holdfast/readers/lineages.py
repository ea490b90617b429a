"""Finding out, by comparison alone, which earlier request of a log a request continues."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from holdfast.blocks import Block, Message
from holdfast.frozen import Json
from holdfast.readers.fields import Lineage
from holdfast.wire import Wire

Key: TypeAlias = tuple[bytes, ...]


def key_of(blocks: Sequence[Block]) -> Key:
    """What makes blocks equal: their fingerprints, in order."""
    return tuple(block.fingerprint for block in blocks)


@dataclass(slots=True)
class Lineages:
    """The lineages of one dialect seen so far. ``by_start`` finds those with a given head and first message."""

    wire: Wire
    count: int = 0
    by_start: dict[tuple[Key, Key], list[Lineage]] = field(default_factory=dict)

    def place(self, head: tuple[Block, ...], history: Sequence[Json]) -> tuple[Lineage, int]:
        """The lineage of a request and how many of its messages the request holds.

        The lineage whose messages are all at the start of ``history`` grows by the rest (the longest such, the newest of equals). Else a
        new one begins, which shares its first messages with the lineage that has most of them in common.
        """
        first = self.wire.read_message(history[0])
        known = self.by_start.setdefault((key_of(head), key_of(first.blocks)), [])
        best, shared = self.nearest(known, history)
        if best is None or shared < len(best.log):
            self.count += 1
            name = f"line-{self.count}"
            best = best.fork(name, shared) if best else Lineage(name, head, [first])
            known.append(best)
        best.log.extend(self.wire.read_message(raw) for raw in history[len(best.log) :])
        return best, len(history)

    def nearest(self, known: Sequence[Lineage], history: Sequence[Json]) -> tuple[Lineage | None, int]:
        """The lineage with the longest shared start and its length; among equals one that ``history`` continues, then the newest."""
        best: Lineage | None = None
        rank = (0, False)
        for lineage in known:
            shared = self.shared(lineage.log, history)
            found = (shared, shared == len(lineage.log))
            if found >= rank:
                best, rank = lineage, found
        return best, rank[0]

    def shared(self, log: Sequence[Message], history: Sequence[Json]) -> int:
        """How many messages the two have in common from the start. Marks, which move from request to request, do not count."""
        for index, (message, raw) in enumerate(zip(log, history, strict=False)):
            if message.wire != raw and key_of(message.blocks) != key_of(self.wire.read_message(raw).blocks):
                return index
        return min(len(log), len(history))

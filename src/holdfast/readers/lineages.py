"""Finding out, by comparison alone, which earlier request of a log a request continues."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from holdfast.blocks import Block, Message
from holdfast.frozen import Json, same_form
from holdfast.readers.fields import Lineage
from holdfast.wire import Wire


@dataclass(slots=True)
class Lineages:
    """The lineages of one dialect seen so far. ``by_start`` finds those with a given head and the texts of a first message."""

    wire: Wire
    count: int = 0
    by_start: dict[tuple[tuple[bytes, ...], tuple[str, ...]], list[Lineage]] = field(default_factory=dict)

    def place(self, head: tuple[Block, ...], history: Sequence[Json]) -> tuple[Lineage, int]:
        """The lineage of a request and how many of its messages the request holds.

        The lineage whose messages are all at the start of ``history`` grows by the rest (the longest such, the newest of equals). Else a
        new one begins, which shares its first messages with the lineage that has most of them in common.
        """
        first = self.wire.read_message(history[0])
        start = tuple(block.text for block in first.blocks)
        key = tuple(block.fingerprint for block in head), start
        known = self.by_start.get(key, [])
        best, shared = self.nearest(known, history)
        added = [self.wire.read_message(raw) for raw in history[shared:]]  # before anything is changed: a message may be malformed
        if best is None or shared < len(best.log):
            self.count += 1
            name = f"line-{self.count}"
            best = best.fork(name, shared) if best else Lineage(name, head)
            known.append(best)
            self.by_start[key] = known
        best.log.extend(added)
        return best, len(history)

    def conversations(self) -> dict[str, int]:
        """Which conversation each lineage belongs to: those that begin with the same message are one, forks and other heads too."""
        ordinals: dict[tuple[str, ...], int] = {}
        return {lineage.name: ordinals.setdefault(start, len(ordinals)) for (_, start), known in self.by_start.items() for lineage in known}

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
        """How many messages the two have in common from the start: the same bytes, apart from marks, which move from request to request."""
        for index, (message, raw) in enumerate(zip(log, history, strict=False)):
            if not same_form(message.wire, raw) and not self.alike(message.wire, self.wire.read_message(raw).wire):
                return index
        return min(len(log), len(history))

    def alike(self, one: Json, other: Json) -> bool:
        """Whether two messages without marks have the same bytes; a string is the same as a list of that one text, which it becomes
        where a mark must stand.
        """
        return same_form(one, other) or same_form(self.listed(one), self.listed(other))

    def listed(self, wire: Json) -> Json:
        """A message with a string content as a list of one part."""
        content = wire.get("content")
        if not isinstance(content, str):
            return wire
        kind = "text" if self.wire.dialect != "openai-responses" else "output_text" if wire.get("role") == "assistant" else "input_text"
        return {**wire, "content": [{"type": kind, "text": content}]}

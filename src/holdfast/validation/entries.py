"""The cache entries that a transcript itself shows: what each recorded request left behind, and how long it lives."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from holdfast.blocks import Kind
from holdfast.prefix import Chain

LOOK_BACK = 20
"""Positions that are compared before a mark (platform.claude.com, prompt caching, 2026-08-21)."""

_RUNS = frozenset({Kind.TOOL_USE, Kind.TOOL_RESULT})


@dataclass(slots=True)
class Entry:
    """What one request left in the cache: ``tokens`` up to its last mark, behind block ``length`` of its prompt.

    ``used`` is the end of the last response to a request that wrote or read it, from which its ``lifetime`` counts (seconds);
    ``written`` the start of the request that wrote it; ``parent`` the entry it extends, ``mode`` what else it is keyed by. An
    entry is ``gone`` once a request that should have read it did not.
    """

    tokens: int
    length: int
    used: float
    lifetime: float
    parent: Entry | None = None
    mode: Hashable = None
    written: float = 0.0
    gone: bool = False

    def alive(self, now: float) -> bool:
        """Whether it is still held, by the documented lifetime."""
        return not self.gone and now < self.used + self.lifetime

    def found(self, now: float, ended: float) -> None:
        """A request from ``now`` to ``ended`` read it, so it was alive; with it every shorter prefix that still was."""
        self.gone, self.used = False, max(self.used, ended)
        entry = self.parent
        while entry is not None:
            if entry.alive(now):
                entry.used = max(entry.used, ended)
            entry = entry.parent

    def behind(self, tokens: int) -> Entry | None:
        """The shorter entry of this line that has just so many tokens, if one has."""
        entry = self.parent
        while entry is not None and entry.tokens > tokens:
            entry = entry.parent
        return entry if entry is not None and entry.tokens == tokens else None

    def lose(self, above: int) -> None:
        """It and every shorter one of more than ``above`` tokens were not found."""
        entry: Entry | None = self
        while entry is not None and entry.tokens > above:
            entry.gone = True
            entry = entry.parent


class Entries:
    """Entries by the id of the prefix they end, of one model."""

    def __init__(self) -> None:
        self._entries: dict[bytes, Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, chain: Chain, entry: Entry) -> None:
        """The entry at the end of a prompt."""
        self._entries[chain.ids[chain.length - 1]] = entry

    def deepest(self, chain: Chain) -> Entry | None:
        """The longest prefix of a prompt that an earlier request ended with."""
        for place in range(chain.length - 1, -1, -1):
            entry = self._entries.get(chain.ids[place])
            if entry is not None:
                return entry
        return None


def positions(chain: Chain, start: int) -> int:
    """How many look-back positions lie behind block ``start``: runs of tool calls, and of results, count once."""
    count, run = 0, None
    for kind in chain.kinds[start : chain.length]:
        if not (kind is run and kind in _RUNS):
            count += 1
        run = kind
    return count

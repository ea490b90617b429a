"""What a cache remembers: entries for prefixes, and how long they live.

Lifetimes slide: using a prefix renews it and, since a prefix holds every shorter one, those as well. A long conversation
has hundreds of entries, so that is not done one by one: entries lie on *lines*, and a line notes once up to which place it was used.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Hashable, Mapping
from types import MappingProxyType

NONE: Mapping[bytes, Entry] = MappingProxyType({})


class Uses:
    """The uses of a line's entries of one lifetime: ``(place, time)``, places falling and times rising.

    A use of a place counts for every place before it, so an older use is worth keeping only where it reached further.
    """

    __slots__ = ("last", "notes")

    def __init__(self) -> None:
        self.last = -1
        self.notes: list[tuple[int, float]] = []

    def note(self, place: int, now: float) -> None:
        """``place`` and all before it are used now. A clock that runs backwards stands still."""
        notes = self.notes
        if notes:
            now = max(now, notes[-1][1])
        while notes and notes[-1][0] <= place:
            notes.pop()
        notes.append((place, now))

    def renew(self, place: int, now: float, lifetime: float) -> None:
        """Like ``note``, but what has died in between stays dead."""
        notes = self.notes
        dead = 0
        while dead < len(notes) and notes[dead][1] + lifetime <= now:
            dead += 1
        del notes[:dead]
        if notes:
            self.note(min(place, notes[0][0]), now)

    def at(self, place: int) -> float:
        """When ``place`` was last used; minus infinity if never, or if it died since."""
        index = bisect_right(self.notes, -place, key=lambda note: -note[0])
        return self.notes[index - 1][1] if index else float("-inf")


class Line:
    """One branch of prompts that grew from one another. A place is a block's position in them.

    Up to ``root`` it is its ``parent``. It may grow only at its ``tip``; elsewhere a line of its own begins.
    """

    __slots__ = ("parent", "root", "tip", "uses")

    def __init__(self, parent: Line | None = None, root: int = -1) -> None:
        self.parent, self.root, self.tip = parent, root, root
        self.uses: dict[float, Uses] = {}

    def use(self, place: int, now: float) -> None:
        """The prefix up to ``place`` is used: what of it is alive begins its lifetime again, on this line and its parents."""
        line: Line = self
        while True:
            for lifetime, uses in line.uses.items():
                uses.renew(place, now, lifetime)
            if line.parent is None:
                return
            line, place = line.parent, line.root

    def last_use(self, place: int, lifetime: float) -> float:
        """When the entry of that lifetime at ``place`` was last used, in POSIX seconds."""
        uses = self.uses.get(lifetime)
        return uses.at(place) if uses else float("-inf")

    def begin(self, place: int, lifetime: float, now: float) -> None:
        """A new entry at ``place``, which becomes the tip."""
        uses = self.uses.setdefault(lifetime, Uses())
        uses.note(place, now)
        uses.last = self.tip = place

    def grow(self, base: int, place: int, lifetime: float, now: float) -> Line:
        """The line for a new entry at ``place`` that extends the one at ``base``, which has just been used."""
        uses = self.uses.get(lifetime)
        # A line whose entries of this lifetime are partly dead must not grow: noting the new one would revive them.
        whole = uses is None or bool(uses.notes and uses.notes[0][0] >= uses.last)
        line = self if base == self.tip and whole else Line(self, base)
        line.begin(place, lifetime, now)
        return line

    def seal(self) -> None:
        """No entry may be put on this line any more."""
        self.tip = -2


class Entry:
    """One cached prefix: where it lies, how long it lives unused (seconds), and from when on it can be read."""

    __slots__ = ("lifetime", "line", "place", "visible")

    def __init__(self, line: Line, place: int, lifetime: float, visible: float) -> None:
        self.line, self.place, self.lifetime, self.visible = line, place, lifetime, visible

    def alive(self, now: float) -> bool:
        """Whether it is still held."""
        return now < self.line.last_use(self.place, self.lifetime) + self.lifetime

    def readable(self, now: float) -> bool:
        """Whether a request that starts now finds it."""
        return self.visible <= now and self.alive(now)


class Entries:
    """All entries of one cache, by what isolates them (``key``) and the id of their prefix.

    Dead ones are dropped whenever their number may have doubled, so that a long replay stays small.
    """

    __slots__ = ("_buckets", "_count", "_linked", "_sweep_at")

    def __init__(self, linked: bool = True) -> None:
        self._buckets: dict[Hashable, dict[bytes, Entry]] = {}
        self._linked = linked
        self._count = 0
        self._sweep_at = 4096

    def __len__(self) -> int:
        return sum(len(bucket) for bucket in self._buckets.values())

    def of(self, key: Hashable) -> Mapping[bytes, Entry]:
        """The entries under one key, by prefix id; dead ones may be among them."""
        return self._buckets.get(key, NONE)

    def write(self, key: Hashable, prefix: bytes, new: Entry, base: Entry | None, now: float) -> Entry:
        """Enter ``new`` (its line is not yet the right one) as an extension of ``base``; an entry there that lives as long is kept."""
        bucket = self._buckets.setdefault(key, {})
        old = bucket.get(prefix)
        if old is not None and old.alive(now):
            new.visible = min(old.visible, new.visible)
            if old.lifetime >= new.lifetime:
                old.visible = new.visible
                old.line.use(old.place, now)
                return old
        if base is None or not self._linked:
            new.line.begin(new.place, new.lifetime, now)
        else:
            new.line = base.line.grow(base.place, new.place, new.lifetime, now)
        self._count += prefix not in bucket
        bucket[prefix] = new
        return new

    def plant(self, key: Hashable, prefix: bytes, entry: Entry, until: float) -> None:
        """An entry that others keep alive ``until`` then. It lies on a line of its own, which never grows."""
        entry.line.begin(entry.place, entry.lifetime, until - entry.lifetime)
        entry.line.seal()
        bucket = self._buckets.setdefault(key, {})
        self._count += prefix not in bucket
        bucket[prefix] = entry

    def sweep(self, now: float) -> None:
        """Drop what is dead, if it is time for that."""
        if self._count < self._sweep_at:
            return
        for key, bucket in list(self._buckets.items()):
            kept = {prefix: entry for prefix, entry in bucket.items() if entry.alive(now)}
            if kept:
                self._buckets[key] = kept
            else:
                del self._buckets[key]
        self._count = len(self)
        self._sweep_at = max(4096, 2 * self._count)

"""Which conversation a request body continues: found by comparison with what was seen before, at a cost that follows the new messages.

The caller keeps its own full history and appends to it. Each lineage is kept as its last request; a grown conversation is found by the
sign of its last known message, a fork by the longest known prefix. What this process has forgotten, or another has seen, comes
from the store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import is_
from typing import TypeAlias
from uuid import uuid4

from cachetools import FIFOCache, LRUCache

from holdfast.blocks import Block, Mark, Message
from holdfast.edits import Insert
from holdfast.frozen import Json, freeze
from holdfast.heads import Head, given_head, read_head
from holdfast.line import Line
from holdfast.pipeline import Attempt, Engine, Outcome
from holdfast.saved import Saved
from holdfast.wire import Wire

HEADS = 256
"""How many heads that look alike are told apart."""

REACH = 24
"""A request that has grown by more messages than this since the last one is looked for among all lineages."""


@dataclass(slots=True)
class Live:
    """One lineage as it is kept.

    ``wires`` are the caller's messages as they first came, without marks; ``given`` and ``given_head`` the objects that came last;
    ``written`` what goes out, without marks. ``settled`` are commits that have paid for themselves since the last trace.
    ``pending`` has been sent and not been answered, ``confirmed`` was answered last. ``asking``: a strategy's question is on its way.
    ``name`` and ``version`` are those of the row in the store. ``mended``: thinking was repaired once. ``bare``: the provider takes no
    marks of ours here, as it turns out if it takes ``barely``. ``values``: what was moved out of the head and said last.
    ``unedited_sent``: the blocks of the caller's last prompt. ``ready``: a plan made ahead, behind the commit ``ready_behind``;
    ``preparing``: one is being made; ``looked_at``: up to which size of the prompt there was no need to.
    """

    number: int
    line: Line
    head: Head
    wires: list[Json] = field(default_factory=list)
    given: list[object] = field(default_factory=list)
    written: list[Json] = field(default_factory=list)
    pending: Outcome | None = None
    confirmed: Outcome | None = None
    marks: tuple[Mark, ...] = ()
    at: float = 0.0
    used: int = 0
    given_head: Sequence[object] = ()
    settled: tuple[tuple[int, int], ...] = ()
    asking: bool = False
    name: str = field(default_factory=lambda: uuid4().hex)
    version: int = 0
    mended: bool = False
    bare: bool = False
    barely: Outcome | None = None
    values: str = ""
    unedited_sent: int = 0
    ready: Attempt | None = None
    ready_behind: int | None = None
    preparing: bool = False
    looked_at: int = 0

    @property
    def promised(self) -> Line:
        """The line with what was sent last, answered or not: what a fork shares."""
        return self.pending.line if self.pending is not None else self.line


@dataclass(frozen=True, slots=True)
class Found:
    """The lineage of a body, grown by what is new.

    ``common`` of its messages were known; of those, ``moved`` are other objects than last time, and ``suspects`` unequal to their
    snapshots, so that they may carry marks. ``fresh`` says that the lineage is new in this process.
    """

    live: Live
    common: int
    moved: list[int]
    suspects: list[int]
    fresh: bool


class _Lives(FIFOCache[int, Live]):
    """Lineages by last use; one that leaves takes its sign along."""

    def __init__(self, limit: int, left: Callable[[Live], None]) -> None:
        super().__init__(limit)
        self._left = left

    def popitem(self) -> tuple[int, Live]:
        number, live = super().popitem()
        self._left(live)
        return number, live


class Lineages:
    """All lineages of a session. ``restore`` looks up what a store knows of a history by the names of its prefixes."""

    def __init__(
        self,
        wire: Wire,
        engine: Engine,
        weigh: Callable[[Block], int],
        limit: int,
        restore: Callable[[Sequence[str]], Saved | None],
        watched: bool = False,
    ) -> None:
        self._wire, self._engine, self._weigh, self._restore, self._watched = wire, engine, weigh, restore, watched
        self._lives = _Lives(limit, self._unsign)
        self._tips: dict[tuple[int, int], set[int]] = {}
        self._heads: LRUCache[int, list[Head]] = LRUCache(limit)
        self._count = 0

    def __len__(self) -> int:
        return len(self._lives)

    def find(
        self,
        body: Mapping[str, Json],
        messages: Sequence[Json],
        confirm: Callable[[Live], None],
        current: Callable[[Live], bool] | None = None,
    ) -> Found:
        """The lineage this body continues, grown by what is new.

        It is the one that this body wholly continues under the same head; else the one that shares most, and of several that do, one
        under the same head, then the one that ends there, then the one used last. ``confirm`` is told of a request that must have been
        answered, because its conversation has gone on. ``current`` says whether nobody else has gone on with a lineage: one that
        somebody has is taken from the store.
        """
        head = self._head(body)
        best, common, suspects = self._nearest(messages, head)
        if best is not None and current is not None and not best.asking and not current(best):
            self.forget(best)
            best, common, suspects = self._nearest(messages, head)
        fresh = best is None or best.asking or best.head is not head or common < len(best.wires)
        if best is None or fresh:
            best, common = self._branch(head, best, common, messages)
            suspects = [] if not best.wires else suspects
        elif common < len(messages):
            if self._watched:
                best.pending = None  # its answer would have been seen
            else:
                confirm(best)
        self._count += 1
        best.used = self._count
        self._lives.pop(best.number, None)  # used last, forgotten last; looking at them all must not count as use
        self._lives[best.number] = best
        before, now = best.given[:common], messages[:common]
        moved = [] if all(map(is_, before, now)) else [n for n, (old, raw) in enumerate(zip(before, now, strict=True)) if old is not raw]
        best.given[:common] = now
        self._grow(best, messages[common:])
        return Found(best, common, moved, suspects, fresh)

    def glimpse(self, body: Mapping[str, Json], messages: Sequence[Json]) -> Live | None:
        """What this body would be a continuation of, in a copy that nobody else sees; ``None`` where nothing is known."""
        head = self._head(body)
        best, common, _ = self._nearest(messages, head)
        if best is None:
            return None
        line = self._engine.fork(best.line, common, None if best.head is head else head.blocks)
        live = Live(0, line, head, best.wires[:common], best.given[:common])
        live.line.grow(map(self._read, messages[common:]))
        return live

    def _nearest(self, messages: Sequence[Json], head: Head) -> tuple[Live | None, int, list[int]]:
        plains: dict[int, Json] = {}
        grown = self._grown(messages, head, plains)
        if grown is not None:
            return grown
        best, common, suspects, highest = None, 0, list[int](), _NO_RANK
        for live in self._lives.values():
            known, unequal = self._common(live, messages, plains) if len(live.wires) >= common or live.head is head else (0, [])
            if known and (rank := _rank(live, head, known)) > highest:
                best, common, suspects, highest = live, known, unequal, rank
        return best, common, suspects

    def _grown(self, messages: Sequence[Json], head: Head, plains: dict[int, Json]) -> tuple[Live, int, list[int]] | None:
        """The longest lineage under this head that the body wholly continues, by the sign of its last message."""
        for count in range(len(messages), max(0, len(messages) - REACH), -1):
            numbers = self._tips.get((count, sign(messages[count - 1])), ())
            lives = [self._lives[number] for number in numbers if number in self._lives]
            for live in sorted(lives, key=_used, reverse=True):
                if live.head is head:
                    known, unequal = self._common(live, messages, plains)
                    if known == count:
                        return live, known, unequal
        return None

    def _head(self, body: Mapping[str, Json]) -> Head:
        """The head of this body, as it was first sent if it was sent before."""
        given = given_head(body, self._wire)
        likely = self._heads.setdefault(head_sign(given), [])
        for known in likely:
            if known.given == given:
                return known
        new = read_head(body, self._wire, self._weigh)
        for known in likely:
            if known.says_the_same(new):
                return known
        likely.append(new)
        del likely[:-HEADS]
        return new

    def _common(self, live: Live, messages: Sequence[Json], plains: dict[int, Json]) -> tuple[int, list[int]]:
        """How many leading messages are the snapshots', apart from marks, and which of those are not equal to them."""
        count, unequal = len(live.wires), list[int]()
        if count <= len(messages) and (count == 0 or live.wires[0] == messages[0]) and messages[:count] == live.wires:
            return count, unequal
        for ordinal, (known, raw) in enumerate(zip(live.wires, messages, strict=False)):
            if known != raw:
                if ordinal not in plains:
                    plains[ordinal] = self._wire.read_message(raw).wire
                if not _alike(known, plains[ordinal]):
                    return ordinal, unequal
                unequal.append(ordinal)
        return min(count, len(messages)), unequal

    def _branch(self, head: Head, parent: Live | None, common: int, messages: Sequence[Json]) -> tuple[Live, int]:
        """A lineage of its own, from what it shares with ``parent`` or with what the store knows."""
        self._count += 1
        restored = self._restored(head, messages, common)
        if restored is not None:
            return restored, len(restored.wires)
        if parent is None:
            live = Live(self._count, self._engine.begin(head.blocks), head)
            same = next((other for other in self._lives.values() if other.head is head), None)
            live.line.listed.update(place for place in (same.line.listed if same else ()) if place < len(head.blocks))
            return live, 0
        other = None if parent.head is head else head.blocks
        source = parent.line if parent.asking else parent.promised
        live = Live(self._count, self._engine.fork(source, common, other, newest=common == len(messages)), head)
        live.wires, live.given, live.values, live.bare = parent.wires[:common], parent.given[:common], parent.values, parent.bare
        return live, common

    def _restored(self, head: Head, messages: Sequence[Json], known: int) -> Live | None:
        """The lineage as the store has it, where it reaches further than what this process knows."""
        line = self._engine.begin(head.blocks)
        read = [self._read(raw) for raw in messages]
        line.grow(read)
        saved = self._restore([root.hex() for root in line.roots])
        if saved is None or saved.messages <= known or saved.messages > len(messages):
            return None
        live = Live(self._count, self._engine.resumed(head.blocks, read[: saved.messages], saved), head)
        own = saved.head == live.line.head_name and saved.model == self._engine.policy.model
        if own and ":" not in saved.lineage:  # a row that a commit left behind names another lineage than the one that grew on
            live.name, live.version = saved.lineage, saved.version
        live.wires, live.given = [message.wire for message in read[: saved.messages]], list(messages[: saved.messages])
        return live

    def _read(self, raw: Json) -> Message:
        message = self._wire.read_message(freeze(raw))
        return replace(message, blocks=tuple(block.weighed(self._weigh(block)) for block in message.blocks))

    def _grow(self, live: Live, raws: Sequence[Json]) -> None:
        self._unsign(live)
        for raw in raws:
            message = self._read(raw)
            live.line.grow([message])
            live.wires.append(message.wire)
            live.given.append(raw)
        if live.wires:
            self._tips.setdefault((len(live.wires), sign(live.wires[-1])), set()).add(live.number)

    def _unsign(self, live: Live) -> None:
        if live.wires:
            key = len(live.wires), sign(live.wires[-1])
            numbers = self._tips.get(key, set())
            numbers.discard(live.number)
            if not numbers:
                self._tips.pop(key, None)

    def forget(self, live: Live) -> None:
        """Somebody else knows better where this lineage stands: it is looked up at its next request."""
        self._unsign(live)
        self._lives.pop(live.number, None)

    def insert(self, live: Live, text: str, system: bool) -> None:
        """Say ``text`` behind the newest message, in a message of its own."""
        live.line.insert(Insert(live.line.size - 1, text, system), self._engine.policy.scribe)


_Rank: TypeAlias = tuple[bool, int, bool, bool, int]
_NO_RANK: _Rank = (False, 0, False, False, 0)


def _rank(live: Live, head: Head, known: int) -> _Rank:
    same, whole = live.head is head, known == len(live.wires)
    return same and whole, known, same, whole, live.used


def _used(live: Live) -> int:
    return live.used


def sign(raw: Json) -> int:
    """What a message is known by at a glance: its role and its first text or id, marks and the form of its content apart."""
    if not isinstance(raw, Mapping):
        return 0
    content = raw.get("content")
    if isinstance(content, list | tuple):
        content = content[0] if content else None
    if isinstance(content, Mapping):
        content = _first(content, ("text", "tool_use_id", "id", "thinking", "call_id"))
    text = content if isinstance(content, str) else None
    return hash((_first(raw, ("role", "type")), text, _first(raw, ("tool_call_id", "call_id", "id"))))


def _first(raw: Mapping[str, Json], keys: Iterable[str]) -> str | None:
    return next((value for key in keys if isinstance(value := raw.get(key), str)), None)


def head_sign(given: Sequence[Json]) -> int:
    """The same for what stands before the history: its texts, and the names and descriptions of its tools."""
    found: list[object] = []
    for value in given:
        items = value if isinstance(value, list | tuple) else [value]
        for item in items:
            inner = item.get("function") if isinstance(item, Mapping) else None
            found.append(item if isinstance(item, str) else sign(item) if isinstance(item, Mapping) else None)
            if isinstance(item, Mapping):
                told = inner if isinstance(inner, Mapping) else item
                found.extend(_first(told, (key,)) for key in ("name", "text", "description"))
    return hash(tuple(value for value in found if value is not None))


def _alike(known: Json, raw: Json) -> bool:
    """Whether two messages say the same, a string content and a list of that one text being the same."""
    if known == raw:
        return True
    if not isinstance(known, dict) or not isinstance(raw, dict) or known.keys() != raw.keys():
        return False
    one, other = ({**wire, "content": as_list(wire.get("content"))} for wire in (known, raw))
    return one == other


def as_list(content: Json) -> Json:
    """A bare string as the list of that one text, which can carry a mark."""
    return [{"type": "text", "text": content}] if isinstance(content, str) else content

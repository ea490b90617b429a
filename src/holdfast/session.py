"""The engine without a client: ``prepare`` a request body before it is sent, ``observe`` the response.

The caller keeps its own full history and appends to it. Which conversation a body belongs to is found by comparison with the
last request of each lineage; nothing has to be passed around.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from operator import is_
from typing import TypeAlias

from cachetools import FIFOCache, LRUCache

from holdfast.blocks import Block, Kind, Mark
from holdfast.edits import Piece, Scribe
from holdfast.errors import HoldfastError, StoreError
from holdfast.frozen import Json, freeze, same_form
from holdfast.heads import Head, given_head, read_head
from holdfast.line import Line
from holdfast.pipeline import Asker, Engine, Outcome, Policy, Trace, guarded, told
from holdfast.scale import scale
from holdfast.schedule import Schedule, Tariff
from holdfast.store import MemoryStore, Store
from holdfast.strategy import Strategy
from holdfast.transcript import Dialect
from holdfast.usage import Usage, from_anthropic, from_openai
from holdfast.wire import Wire, of

MARKS = 4
"""The most cache marks that a request may carry (platform.claude.com, prompt caching, 2026-08-21)."""

_MALFORMED = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError)
"""What reading a body can raise that is none: such a body goes out as it came."""


@dataclass(frozen=True, slots=True)
class Options:
    """How a session behaves. Tokens count the whole prompt.

    ``schedule``: when to act. ``tariff``: what input costs. ``ttl``: seconds a cache write lives. ``marking``: whether the provider
    writes its cache at marks. ``binds_thinking``: thinking is signed over the exact prefix.
    ``manual_thinking``: it has a fixed budget. ``pins``: blocks that keep their bytes.
    ``ask``: answers a strategy's questions. ``on_error``: ``"raise"`` lets a failure reach the caller. ``lineages``: how many
    conversations are remembered, the newest first. ``clock``: POSIX seconds.
    """

    schedule: Schedule
    tariff: Tariff = field(default_factory=Tariff)
    keep_tail_tokens: int = 10_000
    ttl: int = 300
    marking: bool = True
    binds_thinking: bool = False
    manual_thinking: bool = False
    pins: Callable[[Block], bool] | None = None
    ask: Asker | None = None
    on_error: str = "pass"
    family: str = "claude"
    lineages: int = 64
    clock: Callable[[], float] = time.time


@dataclass(slots=True)
class _Live:
    """One lineage as it is kept.

    ``wires`` are the caller's messages as they first came, without marks; ``given`` and ``given_head`` the objects that came last;
    ``written`` what goes out, without marks. ``settled`` are commits that have paid for themselves since the last trace.
    """

    number: int
    line: Line
    head: Head
    wires: list[Json] = field(default_factory=list)
    given: list[object] = field(default_factory=list)
    written: list[Json] = field(default_factory=list)
    pending: Outcome | None = None
    marks: tuple[Mark, ...] = ()
    at: float = 0.0
    used: int = 0
    given_head: Sequence[object] = ()
    settled: tuple[tuple[int, int], ...] = ()


class Session:
    """Shortens the conversations that pass through it, each in its own lineage. Not safe for concurrent ``prepare`` calls."""

    def __init__(self, strategy: Strategy, options: Options, dialect: Dialect = "anthropic", store: Store | None = None) -> None:
        self.options = options
        self.store = MemoryStore() if store is None else store
        self._wire: Wire = of(dialect)
        self._scale = scale(options.family)
        policy = Policy(
            strategy=strategy,
            schedule=options.schedule,
            scribe=Scribe(self._wire.cleared, self._wire.note, self._scale.estimate),
            count=self._scale.count,
            tariff=options.tariff,
            keep_tail_tokens=options.keep_tail_tokens,
            ttl=options.ttl,
            marking=options.marking,
            binds_thinking=options.binds_thinking,
            manual_thinking=options.manual_thinking,
            dialect=dialect,
            pins=options.pins,
        )
        self._engine = Engine(policy)
        self._lives: FIFOCache[int, _Live] = FIFOCache(options.lineages)  # by last use: see _find
        self._count = 0
        self._moment = 0.0
        self._tickets = 0
        self._open: LRUCache[int, tuple[_Live, Outcome]] = LRUCache(4 * options.lineages)
        self._last: _Live | None = None

    def prepare(self, body: Mapping[str, Json], now: float | None = None) -> tuple[Mapping[str, Json], Trace]:
        """The body to send in the place of ``body``, and the story of it.

        It is the same object where nothing had to change. A failure leaves the request as the committed ledger would have
        sent it, or, where even that fails, as it came; it is in ``trace.errors`` and raised only with ``on_error="raise"``.
        """
        self._last = None
        failure = self._tick(now)
        try:
            return self._prepare(body, failure)
        except HoldfastError as error:
            return self._as_it_came(body, error)
        except _MALFORMED as error:
            return self._as_it_came(body, HoldfastError(f"the body was not understood: {type(error).__name__}: {error}"))

    def observe(self, response: Mapping[str, Json] | Usage | None = None, failed: bool = False, of: Trace | None = None) -> None:
        """A prepared request was answered, or it failed: then its new plan never happened.

        ``response`` is the provider's JSON (or its ``usage`` alone, or a ``Usage``); what was billed is booked against what the last
        plan promised. ``of`` is the trace that ``prepare`` gave for this request; without it the one prepared last is meant, which is
        right only as long as conversations do not interleave. An answer that comes too late to matter is ignored.
        """
        usage = response if response is None or isinstance(response, Usage) else self._billed(response)
        ticket = self._tickets if of is None else of.ticket
        live, outcome = self._open.pop(ticket, (None, None))
        if live is None or outcome is None or live.pending is not outcome or (of is None and live is not self._last):
            return
        if failed:
            live.pending = None
            return
        self._confirm(live)
        if usage is not None:
            live.settled += self._engine.learn(live.line, outcome, usage)

    def _billed(self, response: Mapping[str, Json]) -> Usage | None:
        raw = response.get("usage", response) if isinstance(response, Mapping) else None
        if not isinstance(raw, Mapping):
            return None
        return from_anthropic(raw) if self._wire.dialect == "anthropic" else from_openai(raw)

    def _tick(self, now: float | None) -> HoldfastError | None:
        """Set the time of this request. Where the clock fails, time stands still and nothing is planned."""
        try:
            read = self.options.clock if now is None else (lambda: now)
            self._moment = guarded(lambda: float(read()), lambda cause: HoldfastError(f"the clock raised {told(cause)}"))
        except HoldfastError as error:
            return error
        return None

    def _as_it_came(self, body: Mapping[str, Json], error: HoldfastError) -> tuple[Mapping[str, Json], Trace]:
        if self._last is not None:
            self._last.pending = None
            self._last = None
        if self.options.on_error == "raise":
            raise error
        return body, Trace(0, 0, 0, 0, 0, (), f"left alone: {error}", errors=(error,))

    def _prepare(self, body: Mapping[str, Json], failure: HoldfastError | None) -> tuple[Mapping[str, Json], Trace]:
        raw = body.get(self._wire.messages_key)
        if not isinstance(raw, list | tuple) and not (isinstance(raw, str) and self._wire.dialect == "openai-responses"):
            return self._as_it_came(body, HoldfastError("a request without messages"))
        messages = self._wire.history(body)
        live, common, moved, suspects = self._find(body, messages)
        self._last = live
        marks = self._marks(body, live.line, messages, [*suspects, *range(common, len(messages))])
        automatic = self._automatic(body, live.line)
        fault = _fault(live.line, marks, automatic)
        if fault:
            return self._as_it_came(body, HoldfastError(fault))
        if live.pending is None:
            live.pending, live.at = self._step(live.line, marks + automatic, failure), self._moment
        outcome = live.pending
        live.marks = tuple(mark for mark in outcome.marks if not automatic or mark.position != outcome.chain.length - 1)
        untouched = not outcome.line.ledger.entries and not outcome.line.listed and set(live.marks) == set(marks)
        repaired = self._repaired(live, body, messages, range(common) if untouched else moved)
        errors = outcome.trace.errors + ((failure,) if failure and failure not in outcome.trace.errors else ())
        if self.options.on_error == "raise" and (errors or outcome.trace.unreachable):
            raise errors[0] if errors else outcome.trace.unreachable or HoldfastError()
        self._tickets += 1
        self._open[self._tickets] = live, outcome
        trace = replace(outcome.trace, repaired=repaired, errors=errors, settled=live.settled, ticket=self._tickets)
        if untouched and not repaired:
            return body, trace
        return self._write(body, live, outcome.line, live.marks), trace

    def _step(self, line: Line, marks: tuple[Mark, ...], failure: HoldfastError | None) -> Outcome:
        """What goes out. A plan whose removed blocks cannot be kept is none."""
        if failure:
            return self._engine.without_plan(line, self._moment, marks, failure)
        outcome = self._engine.step(line, self._moment, self.options.ask, marks)
        if not outcome.removed:
            return outcome
        try:
            guarded(lambda: self.store.put(outcome.removed), lambda cause: StoreError(f"the store raised {told(cause)}"))
        except HoldfastError as error:
            held = self._engine.without_plan(line, self._moment, marks, error)
            return replace(held, trace=replace(held.trace, asked=outcome.trace.asked))
        return outcome

    def _repaired(self, live: _Live, body: Mapping[str, Json], messages: Sequence[Json], suspects: Iterable[int]) -> int:
        """How many old messages (and head blocks) came as other bytes than they were first sent in."""
        given = given_head(body, self._wire)
        known = live.given_head
        live.given_head = given
        same = isinstance(suspects, list) and len(known) == len(given) and all(map(is_, known, given))
        changed = 0 if same else live.head.changed(body, self._wire)
        for ordinal in suspects:
            first, raw = live.wires[ordinal], messages[ordinal]
            changed += not (same_form(first, raw) or same_form(first, self._plain(raw)))
        return changed

    def _marks(self, body: Mapping[str, Json], line: Line, messages: Sequence[Json], suspects: Sequence[int]) -> tuple[Mark, ...]:
        """The caller's marks. Of the messages only ``suspects`` are read: one that equals its snapshot, which has none, has none either."""
        if isinstance(body.get(self._wire.messages_key), str):
            return self._wire.read_marks(body)
        key, head = self._wire.messages_key, len(line.head)
        leading = (body.get(key) or ())[: self._wire.leading(body)]
        places = [*range(head), *(head + line.starts[n] + index for n in suspects for index in range(len(line.source[n].blocks)))]
        found = self._wire.read_marks({**body, key: [*leading, *(messages[n] for n in suspects)]})
        return tuple(replace(mark, position=places[mark.position]) for mark in found)

    def _automatic(self, body: Mapping[str, Json], line: Line) -> tuple[Mark, ...]:
        """The mark that the API itself sets on the last block, for a top-level ``cache_control``; it takes one of the four slots."""
        control = body.get("cache_control")
        if not isinstance(control, dict):
            return ()
        return (Mark(len(line.head) + line.size - 1, 3600 if control.get("ttl") == "1h" else 300),)

    def _confirm(self, live: _Live) -> None:
        if live.pending is not None:
            outcome, live.pending, live.settled = live.pending, None, ()
            if outcome.line is not live.line:
                live.written = []
            line = live.line = self._engine.sent(outcome, live.at)
            line.went_listed(live.marks)

    def _find(self, body: Mapping[str, Json], messages: Sequence[Json]) -> tuple[_Live, int, list[int], list[int]]:
        """The lineage this body continues, grown by what is new; how many of its messages are old, and which of those are other objects
        or may carry marks.

        It is the one that this body wholly continues under the same head; else the one that shares most, and of several that do, one under
        the same head, then the one that ends there, then the one used last.
        """
        head = self._head(body)
        best, common, suspects, highest = None, 0, list[int](), _NO_RANK
        for live in self._lives.values():
            known, unequal = self._common(live, messages) if len(live.wires) >= common or live.head is head else (0, [])
            if known and (rank := _rank(live, head, known)) > highest:
                best, common, suspects, highest = live, known, unequal, rank
        if best is None or best.head is not head or common < len(best.wires):
            best = self._branch(head, best, common)
        elif common < len(messages):
            self._confirm(best)
        self._count += 1
        best.used = self._count
        self._lives.pop(best.number, None)  # used last, forgotten last; looking at them all must not count as use
        self._lives[best.number] = best
        before, now = best.given[:common], messages[:common]
        moved = [] if all(map(is_, before, now)) else [n for n, (old, raw) in enumerate(zip(before, now, strict=True)) if old is not raw]
        best.given[:common] = now
        self._grow(best, messages[common:])
        return best, common, moved, suspects

    def _head(self, body: Mapping[str, Json]) -> Head:
        """The head of this body, as it was first sent if it was sent before."""
        given = given_head(body, self._wire)
        heads = {id(live.head): live.head for live in self._lives.values()}.values()
        for known in heads:
            if known.given == given:
                return known
        new = read_head(body, self._wire, self._scale.weigh)
        return next((known for known in heads if known.says_the_same(new)), new)

    def _plain(self, raw: Json) -> Json:
        return self._wire.read_message(raw).wire

    def _common(self, live: _Live, messages: Sequence[Json]) -> tuple[int, list[int]]:
        """How many leading messages are the snapshots', apart from marks, and which of those are not equal to them."""
        count, unequal = len(live.wires), list[int]()
        if messages[:count] == live.wires:
            return count, unequal
        for ordinal, (known, raw) in enumerate(zip(live.wires, messages, strict=False)):
            if known != raw:
                if not _alike(known, self._plain(raw)):
                    return ordinal, unequal
                unequal.append(ordinal)
        return min(count, len(messages)), unequal

    def _branch(self, head: Head, parent: _Live | None, common: int) -> _Live:
        """A lineage of its own, from what it shares with ``parent``. A head that went out as a list before does so again."""
        self._count += 1
        if parent is None:
            live = _Live(self._count, self._engine.begin(head.blocks), head)
            same = next((other for other in self._lives.values() if other.head is head), None)
            live.line.listed.update(place for place in (same.line.listed if same else ()) if place < len(head.blocks))
            return live
        other = None if parent.head is head else head.blocks
        live = _Live(self._count, self._engine.fork(parent.line, common, other), head)
        live.wires, live.given = parent.wires[:common], parent.given[:common]
        return live

    def _grow(self, live: _Live, raws: Sequence[Json]) -> None:
        for raw in raws:
            message = self._wire.read_message(freeze(raw))
            weighed = tuple(block.weighed(self._scale.estimate(block)) for block in message.blocks)
            live.line.grow([replace(message, blocks=weighed)])
            live.wires.append(message.wire)
            live.given.append(raw)

    def _write(self, body: Mapping[str, Json], live: _Live, line: Line, marks: Sequence[Mark]) -> dict[str, Json]:
        written = live.written if line is live.line else []
        head = len(line.head)
        written.extend(self._form(piece, line.listed, head) for piece in line.pieces[len(written) :])
        places = {mark.position: mark.ttl for mark in marks}
        out = live.head.over(body)
        out.update(self._wire.write_head(out, line.head, {place: ttl for place, ttl in places.items() if place < head}))
        if isinstance(out.get("system"), str) and head - 1 in line.listed:
            out["system"] = _as_list(out["system"])
        leading = self._wire.leading(body)
        start = list(out[self._wire.messages_key][:leading]) if leading else []
        messages = list(written)
        for ordinal, inside in _by_message(marks, line).items():
            message = line.pieces[ordinal].message
            messages[ordinal] = self._wire.write_message(message, inside)
            if isinstance(message.blocks[0].wire, str):
                written[ordinal] = {**message.wire, "content": _as_list(message.blocks[0].wire)}
        out[self._wire.messages_key] = start + messages if start else messages
        return out

    def _form(self, piece: Piece, listed: set[int], head: int) -> Json:
        """A message as it goes out without marks: the form it first had."""
        if head + piece.start in listed and isinstance(piece.message.blocks[0].wire, str) and not piece.folded:
            return {**piece.message.wire, "content": _as_list(piece.message.blocks[0].wire)}
        return self._wire.write_message(piece.message, {})


_Rank: TypeAlias = tuple[bool, int, bool, bool, int]
_NO_RANK: _Rank = (False, 0, False, False, 0)


def _rank(live: _Live, head: Head, known: int) -> _Rank:
    same, whole = live.head is head, known == len(live.wires)
    return same and whole, known, same, whole, live.used


def _fault(line: Line, marks: Sequence[Mark], automatic: Sequence[Mark]) -> str | None:
    """What is not legal in a request as it came: such a request goes out as it is."""
    if not line.source:
        return "a request without messages"
    if line.grammar.fault or line.grammar.open_calls:
        return line.grammar.fault or f"tool calls without results: {', '.join(sorted(line.grammar.open_calls))}"
    if len({mark.position for mark in (*marks, *automatic)}) > MARKS:
        return f"more than {MARKS} cache marks"
    if any(later.ttl > earlier.ttl for earlier, later in pairwise(marks)):
        return "a cache mark that lives longer than one before it"
    for mark in marks:
        index = mark.position - len(line.head)
        if index >= 0:
            message = bisect_right(line.starts, index) - 1
            block = line.source[message].blocks[index - line.starts[message]]
            if block.kind is Kind.THINKING or (block.kind is Kind.TEXT and not block.text):
                return f"a cache mark on {block.kind} where none may stand"
    return None


def _alike(known: Json, raw: Json) -> bool:
    """Whether two messages say the same, a string content and a list of that one text being the same."""
    if known == raw:
        return True
    if not isinstance(known, dict) or not isinstance(raw, dict) or known.keys() != raw.keys():
        return False
    one, other = ({**wire, "content": _as_list(wire.get("content"))} for wire in (known, raw))
    return one == other


def _as_list(content: Json) -> Json:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _by_message(marks: Sequence[Mark], line: Line) -> dict[int, dict[int, int]]:
    """Marks on message blocks, by the ordinal of the message and of the block in it. Marks stand near the end: search from there."""
    wanted = sorted((mark.position, mark.ttl) for mark in marks if mark.position >= len(line.head))
    found: dict[int, dict[int, int]] = {}
    position = line.chain.length
    for ordinal in range(len(line.pieces) - 1, -1, -1):
        if not wanted:
            break
        position -= len(line.pieces[ordinal].message.blocks)
        while wanted and wanted[-1][0] >= position:
            place, ttl = wanted.pop()
            found.setdefault(ordinal, {})[place - position] = ttl
    return found


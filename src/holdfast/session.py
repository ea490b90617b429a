"""The engine without a client: ``prepare`` a request body before it is sent, ``observe`` the response.

The caller keeps its own full history and appends to it. Which conversation a body belongs to is found by comparison with the
last request of each lineage; nothing has to be passed around.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal
from uuid import uuid4

from cachetools import LRUCache

from holdfast import arriving
from holdfast.asking import question
from holdfast.blocks import Mark, Message, Settings
from holdfast.edits import Scribe
from holdfast.errors import AskFailed, HoldfastError, StoreError
from holdfast.frozen import Json
from holdfast.line import Line
from holdfast.lineages import Lineages, Live
from holdfast.marks import NO_MARKS, Layout, Own, plan_breakpoints, plan_marks
from holdfast.options import Options
from holdfast.pipeline import PLAIN, Asker, Engine, Outcome, Policy, Wish, guarded, told
from holdfast.prefix import Chain
from holdfast.refusals import SECOND
from holdfast.saved import Saved
from holdfast.scale import scale
from holdfast.store import MemoryStore, Store
from holdfast.strategy import Answer, Ask, Strategy
from holdfast.trace import Trace
from holdfast.transcript import Dialect
from holdfast.usage import Usage, from_anthropic, from_bedrock, from_openai
from holdfast.volatile import hoisted
from holdfast.wire import Wire, of
from holdfast.writing import fault, write

__all__ = ["Facts", "Options", "Question", "Session"]

_MALFORMED = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError)
"""What reading a body can raise that is none: such a body goes out as it came."""

@dataclass(frozen=True, slots=True)
class Question:
    """A strategy asks: send ``body()``, which extends the live prompt ``line``, and give back what the model says."""

    ask: Ask
    line: Line
    body: Callable[[], Mapping[str, Json]]


@dataclass(frozen=True, slots=True)
class Facts:
    """One prepared request as an account of it needs it: the caller's history and marks, and what goes out.

    ``planned_marks`` would stand on the caller's history if nothing had been edited. Chains share the lists of their lineage.
    """

    settings: Settings
    given: Chain
    given_marks: tuple[Mark, ...]
    planned_marks: tuple[Mark, ...]
    chain: Chain
    marks: tuple[Mark, ...]


@dataclass(frozen=True, slots=True)
class _Opened:
    """A request that was prepared and not observed yet: whose, what, from which body, and the marks it came with."""

    live: Live
    outcome: Outcome
    body: Mapping[str, Json]
    own: Own = NO_MARKS
    unedited_sent: int = 0


Preparing = Generator[Question, Answer, tuple[Mapping[str, Json], Trace]]
"""A request on its way: yields questions, is sent answers (or has ``AskFailed`` raised into it), ends with what to send."""


@dataclass(slots=True)
class _Call:
    """One request being prepared: its time, what failed already, and its lineage once that is known."""

    moment: float
    wish: Wish
    failure: HoldfastError | None = None
    live: Live | None = None


READERS = {"anthropic": from_anthropic, "bedrock-converse": from_bedrock}
"""How each dialect's usage is read; OpenAI's for the others."""


class Session:
    """Shortens the conversations that pass through it, each in its own lineage.

    Calls must not run at the same time, but several ``preparing`` may be under way, each waiting for an answer of its model.
    """

    def __init__(self, strategy: Strategy, options: Options, dialect: Dialect = "anthropic", store: Store | None = None) -> None:
        self.options = options
        self.name = uuid4().hex
        self.store: Store = MemoryStore() if store is None else store
        self.faults: list[HoldfastError] = []
        self._wire: Wire = of(dialect)
        self._scale = scale(options.family)
        weigh = self._scale.weigh if options.counter == "full" else self._scale.estimate
        policy = Policy(
            strategy=strategy,
            schedule=options.schedule,
            scribe=Scribe(self._wire.cleared, self._wire.note, weigh, self._system_note if options.system_messages else None),
            count=self._scale.count,
            tariff=options.tariff,
            keep_tail_tokens=options.keep_tail_tokens,
            ttl=options.ttl,
            marking=options.marking,
            binds_thinking=options.binds_thinking,
            manual_thinking=options.manual_thinking,
            dialect=dialect,
            pins=options.pins,
            drop_block=options.drop_block,
            keep_caller=options.keep_caller,
            named=options.recall,
            minimum=options.minimum,
            breakpoints=options.marking and dialect.startswith("openai"),
        )
        self._engine = Engine(policy)
        self._lineages = Lineages(self._wire, self._engine, weigh, options.lineages, self._known, options.watched)
        self._current = self._is_current if options.shared else None
        self._tickets = 0
        self._open: LRUCache[int, _Opened] = LRUCache(4 * options.lineages)
        self._last: Live | None = None

    def prepare(
        self, body: Mapping[str, Json], now: float | None = None, wish: Wish = PLAIN
    ) -> tuple[Mapping[str, Json], Trace]:
        """The body to send in the place of ``body``, and the story of it.

        It is the same object where nothing had to change. A failure leaves the request as the committed ledger would have
        sent it, or, where even that fails, as it came; it is in ``trace.errors`` and raised only with ``on_error="raise"``.
        """
        return self._driven(self.preparing(body, now, wish))

    def preparing(self, body: Mapping[str, Json], now: float | None = None, wish: Wish = PLAIN) -> Preparing:
        """``prepare`` for whoever answers a strategy's questions: each is yielded, and other requests may pass meanwhile."""
        call = self._call(now, wish)
        try:
            return (yield from self._prepared(call, body))
        except HoldfastError as error:
            return self._as_it_came(call, body, error)
        except _MALFORMED as error:
            return self._as_it_came(call, body, HoldfastError(f"the body was not understood: {type(error).__name__}: {error}"))

    def answered(self, of: Trace) -> None:
        """The provider has begun to answer this request: what it carried is committed."""
        opened = self._open.get(of.ticket)
        if opened is not None and opened.live.pending is opened.outcome:
            self._confirm(opened.live)

    def facts(self, of: Trace) -> Facts | None:
        """What an account needs to know of a request that was prepared and not observed yet; ``None`` where it is not known any more."""
        opened = self._open.get(of.ticket)
        if opened is None:
            return None
        outcome, own = opened.outcome, opened.own
        unedited = outcome.line.unedited()
        marks = own.all if opened.live.bare else outcome.marks
        planned = tuple(outcome.marks)
        if outcome.line.ledger.entries and self.options.marking and not opened.live.bare:
            tail = opened.unedited_sent - 1 if opened.unedited_sent else None
            layout = Layout(unedited, own.marks, tail, ttl=self.options.ttl, automatic=own.automatic, implicit=own.implicit)
            planned = plan_breakpoints(layout) if self._engine.policy.breakpoints else plan_marks(layout)
        return Facts(self._wire.read_settings(opened.body), unedited, own.all, planned, outcome.chain, marks)

    def cold(self, of: Trace, now: float) -> bool:
        """Whether the cache holds nothing of the messages of this request."""
        opened = self._open.get(of.ticket)
        return opened is None or opened.outcome.line.cold(now)

    def root(self, of: Trace) -> tuple[bytes, bytes] | None:
        """What this request has in common with its forks: the name of its head, and of its first message."""
        opened = self._open.get(of.ticket)
        return None if opened is None else opened.outcome.line.root

    def observe(self, response: Mapping[str, Json] | Usage | None = None, failed: bool = False, of: Trace | None = None) -> None:
        """A prepared request was answered, or it failed: then its new plan never happened.

        ``response`` is the provider's JSON (or its ``usage`` alone, or a ``Usage``); what was billed is booked against what the last
        plan promised. ``of`` is the trace that ``prepare`` gave for this request; without it the one prepared last is meant, which is
        right only as long as conversations do not interleave. An answer that comes too late to matter is ignored.
        """
        usage = response if response is None or isinstance(response, Usage) else self.billed(response)
        ticket = self._tickets if of is None else of.ticket
        opened = self._open.pop(ticket, None)
        if opened is None or (of is None and opened.live is not self._last):
            return
        live, outcome = opened.live, opened.outcome
        if live.pending is outcome:
            if failed:
                live.pending = None
                return
            self._confirm(live)
        if usage is not None and live.confirmed is outcome:
            live.settled += self._engine.learn(live.line, outcome, usage)

    def billed(self, response: Mapping[str, Json]) -> Usage | None:
        """The usage that a response tells, ``None`` where it tells none."""
        raw = response.get("usage", response) if isinstance(response, Mapping) else None
        if not isinstance(raw, Mapping):
            return None
        return READERS.get(self._wire.dialect, from_openai)(raw)

    def counted(self, body: Mapping[str, Json]) -> Mapping[str, Json]:
        """The body as the committed ledger would send it, without marks of ours: for a request that only counts tokens.

        Nothing is committed, asked or remembered. The same object where nothing is edited.
        """
        try:
            raw, _ = hoisted(body, self._wire, self.options.volatile)
            live = self._lineages.glimpse(raw, self._wire.history(raw))
            if live is None or not (live.line.ledger.entries or live.line.drops_thinking):
                return body
            return write(self._wire, raw, live, live.line, ())
        except (HoldfastError, *_MALFORMED):
            return body

    def refused(
        self, of: Trace, why: Literal["too_long", "bound", "refused"], now: float | None = None
    ) -> tuple[Mapping[str, Json], Trace] | None:
        """The provider refused this request: what to send in its place, once. ``None``: nothing of ours was in it.

        ``too_long``: the oldest rounds are dropped. ``bound``: thinking that is bound to a prefix that is no longer sent is dropped.
        ``refused``: the newest plan is taken back, or the marks, where those are all that was added.
        """
        opened = self._open.pop(of.ticket, None)
        if opened is None or opened.live.asking or opened.live.confirmed is opened.outcome:
            return None
        live, outcome = opened.live, opened.outcome
        live.pending = None
        call = self._call(now, PLAIN)
        call.live = live
        after = SECOND[why](self._engine, self.options, live, outcome, call.moment)
        if after is None:
            return None
        live.marks = ()
        live.pending, live.at = self._kept(call, live.line, NO_MARKS, after), call.moment
        return self._sent(call, replace(opened, outcome=after), repaired=0, untouched=False)

    def _call(self, now: float | None, wish: Wish) -> _Call:
        """A request begins now. Where the clock fails, time stands still and nothing is planned."""
        self._last = None
        try:
            read = self.options.clock if now is None else (lambda: now)
            return _Call(guarded(lambda: float(read()), lambda cause: HoldfastError(f"the clock raised {told(cause)}")), wish)
        except HoldfastError as error:
            return _Call(0.0, wish, error)

    def _driven(self, preparing: Preparing) -> tuple[Mapping[str, Json], Trace]:
        ask = self.options.ask
        try:
            asked = next(preparing)
            while True:
                try:
                    answer = _told_by(ask, asked)
                except AskFailed as failure:
                    asked = preparing.throw(failure)
                else:
                    asked = preparing.send(answer)
        except StopIteration as end:
            body, trace = end.value
            return body, trace

    def _as_it_came(self, call: _Call, body: Mapping[str, Json], error: HoldfastError) -> tuple[Mapping[str, Json], Trace]:
        if call.live is not None:
            call.live.pending = None
            self._last = None
        if self.options.on_error == "raise":
            raise error
        return body, Trace(0, 0, 0, 0, 0, (), f"left alone: {error}", errors=(error,))

    def _prepared(self, call: _Call, given: Mapping[str, Json]) -> Preparing:
        raw = given.get(self._wire.messages_key)
        if not isinstance(raw, list | tuple) and not (isinstance(raw, str) and self._wire.dialect == "openai-responses"):
            return self._as_it_came(call, given, HoldfastError("a request without messages"))
        body, values = hoisted(given, self._wire, self.options.volatile) if self.options.volatile else (given, "")
        messages = self._wire.history(body)
        found = self._lineages.find(body, messages, self._confirm, self._current)
        live = call.live = self._last = found.live
        if found.common < len(messages):
            self._say(live, values)
        own = arriving.marks(self._wire, body, live.line, messages, [*found.suspects, *range(found.common, len(messages))])
        wrong = fault(live.line, own)
        if wrong:
            return self._as_it_came(call, given, HoldfastError(wrong))
        if live.pending is None:
            outcome = yield from self._step(call, live, own, body)
            live.pending, live.at = outcome, call.moment
        outcome = live.pending
        live.marks = _ours(outcome, own) if not live.bare else own.marks
        untouched = not outcome.line.ledger.entries and not outcome.line.listed and set(live.marks) == set(own.marks)
        untouched = untouched and not outcome.line.drops_thinking
        repaired = arriving.repaired(self._wire, found, body, messages, range(found.common) if untouched else found.moved)
        opened = _Opened(live, outcome, body, own, live.unedited_sent)
        live.unedited_sent = len(live.line.head) + live.line.size
        return self._sent(call, opened, repaired, untouched)

    def _sent(self, call: _Call, opened: _Opened, repaired: int, untouched: bool) -> tuple[Mapping[str, Json], Trace]:
        failure, live, outcome, body = call.failure, opened.live, opened.outcome, opened.body
        errors = outcome.trace.errors + ((failure,) if failure and failure not in outcome.trace.errors else ())
        if self.options.on_error == "raise" and (errors or outcome.trace.unreachable):
            raise errors[0] if errors else outcome.trace.unreachable or HoldfastError()
        self._tickets += 1
        self._open[self._tickets] = opened
        trace = replace(outcome.trace, repaired=repaired, errors=errors, settled=live.settled, ticket=self._tickets, lineage=live.number)
        if untouched and not repaired:
            return body, trace
        return write(self._wire, body, live, outcome.line, live.marks), trace

    def _step(self, call: _Call, live: Live, own: Own, body: Mapping[str, Json]) -> Generator[Question, Answer, Outcome]:
        """What goes out. A plan whose removed blocks cannot be kept is none."""
        line = live.line
        if call.failure:
            return self._engine.without_plan(line, call.moment, own, call.failure)
        stepping = self._engine.stepping(line, call.moment, own, call.wish)
        live.asking = True
        try:
            outcome = yield from self._questions(stepping, call, live, body)
        finally:
            live.asking = False
        return self._kept(call, line, own, outcome)

    def _questions(
        self, stepping: Generator[Ask, Answer, Outcome], call: _Call, live: Live, body: Mapping[str, Json]
    ) -> Generator[Question, Answer, Outcome]:
        line = live.line
        try:
            ask = next(stepping)
            while True:
                asked = Question(ask, line, lambda ask=ask: self._question(call, live, line, body, ask))  # type: ignore[misc]
                try:
                    answer = yield asked
                except AskFailed as failure:
                    ask = stepping.throw(failure)
                else:
                    ask = stepping.send(answer)
        except StopIteration as end:
            outcome: Outcome = end.value
            return outcome

    def _question(self, call: _Call, live: Live, line: Line, body: Mapping[str, Json], ask: Ask) -> Mapping[str, Json]:
        """The live prompt with the instruction behind it, marked only where an entry is believed to stand."""
        warm = line.frontier(line.sent_length, call.moment) if self.options.marking else None
        marks = (Mark(warm - 1, self.options.ttl),) if warm else ()
        return question(self._wire, write(self._wire, body, live, line, marks), ask)

    def _kept(self, call: _Call, line: Line, own: Own, outcome: Outcome) -> Outcome:
        if not outcome.removed:
            return outcome
        try:
            guarded(lambda: self.store.put(outcome.removed), lambda cause: StoreError(f"the store raised {told(cause)}"))
        except HoldfastError as error:
            held = self._engine.without_plan(line, call.moment, own, error)
            return replace(held, trace=replace(held.trace, asked=outcome.trace.asked))
        return outcome

    def _say(self, live: Live, values: str) -> None:
        """What is said with the user's own new words: the reminder, and what was moved out of the head and has changed."""
        if not live.line.source or not live.line.source[-1].is_plain_user:
            return
        remind = self.options.remind
        text = guarded(remind, lambda cause: HoldfastError(f"remind raised {told(cause)}")) if callable(remind) else remind
        new = values if values != live.values else ""
        live.values = values
        parts = [part for part in (text, new) if part]
        if parts:
            self._lineages.insert(live, "\n\n".join(parts), self.options.system_messages)

    def _system_note(self, text: str) -> Message:
        return self._wire.read_message({**self._wire.note(text).wire, "role": "system"})

    def _confirm(self, live: Live) -> None:
        if live.pending is None:
            return
        outcome, live.pending, live.settled = live.pending, None, ()
        if outcome.line is not live.line:
            live.written = []
        line = live.line = self._engine.sent(outcome, live.at)
        line.went_listed(live.marks, self._wire.is_bare)
        live.confirmed = outcome
        live.bare = live.bare or outcome is live.barely
        self._save(live, outcome)

    def _save(self, live: Live, outcome: Outcome) -> None:
        """Tell the store where this lineage stands. What another has committed meanwhile wins, and is taken up at the next request."""
        line = live.line
        if not line.roots:
            return
        try:
            saved = _saved(live, self._wire.dialect)
            if outcome.trace.commit:  # for forks that go back behind what the row of the lineage will have moved on to
                at_commit = replace(saved, lineage=f"{saved.lineage}:{saved.version}", version=1)
                guarded(lambda: self.store.save(at_commit, 0), lambda cause: StoreError(f"the store raised {told(cause)}"))
            stored = guarded(lambda: self.store.save(saved, live.version), lambda cause: StoreError(f"the store raised {told(cause)}"))
            if stored:
                live.version += 1
            else:
                self._lost(live, saved)
        except HoldfastError as error:
            self.faults.append(error)
            del self.faults[:-16]

    def _lost(self, live: Live, saved: Saved) -> None:
        """Somebody else has saved this lineage meanwhile. Where theirs is an earlier part of ours it stands, and is taken up at the next
        request; where it went another way, ours is a lineage of its own from here on."""
        theirs = guarded(lambda: self.store.load(live.name), lambda cause: StoreError(f"the store raised {told(cause)}"))
        if theirs is not None and theirs.root in {root.hex() for root in live.line.roots}:
            self._lineages.forget(live)
            return
        live.name, live.version = uuid4().hex, 1
        again = replace(saved, lineage=live.name, version=1)
        guarded(lambda: self.store.save(again, 0), lambda cause: StoreError(f"the store raised {told(cause)}"))

    def _is_current(self, live: Live) -> bool:
        """Whether nobody else has gone on with this lineage."""
        try:
            saved = guarded(lambda: self.store.load(live.name), lambda cause: StoreError(f"the store raised {told(cause)}"))
        except HoldfastError as error:
            self.faults.append(error)
            return True
        return saved is None or saved.version <= live.version

    def _known(self, roots: Sequence[str]) -> Saved | None:
        try:
            return guarded(lambda: self.store.find(roots), lambda cause: StoreError(f"the store raised {told(cause)}"))
        except HoldfastError as error:
            self.faults.append(error)
            return None


def _ours(outcome: Outcome, own: Own) -> tuple[Mark, ...]:
    """The marks that are written: not the one that the API sets by itself."""
    return tuple(mark for mark in outcome.marks if own.automatic is None or mark.position != outcome.chain.length - 1)


def _told_by(ask: Asker | None, asked: Question) -> Answer:
    if ask is None:
        raise AskFailed("there is no model to ask")
    return guarded(lambda: ask(asked.ask, asked.line), lambda cause: AskFailed(f"the model raised {told(cause)}"))


def _saved(live: Live, dialect: Dialect) -> Saved:
    line = live.line
    return Saved(
        root=line.roots[-1].hex(),
        messages=len(line.roots),
        ledger=line.ledger,
        listed=tuple(sorted(line.listed)),
        warm=tuple(line.warm[-8:]),
        warm_until=line.warm_until,
        sent_length=line.sent_length,
        rearmed_at=line.rearmed_at,
        turns=line.turns,
        drops_thinking=line.drops_thinking,
        model="",
        dialect=dialect,
        version=live.version + 1,
        lineage=live.name,
    )

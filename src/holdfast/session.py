"""The engine without a client: ``prepare`` a request body before it is sent, ``observe`` the response.

The caller keeps its own full history and appends to it. Which conversation a body belongs to is found by comparison with the
last request of each lineage; nothing has to be passed around.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal, TypeAlias, TypeVar
from uuid import uuid4

from cachetools import LRUCache

from holdfast import ahead, arriving
from holdfast.asking import cut, question
from holdfast.blocks import Mark, Message, Role, Settings
from holdfast.edits import Scribe
from holdfast.errors import AskFailed, HoldfastError, StoreError
from holdfast.frozen import Json, freeze
from holdfast.heads import given_head
from holdfast.keeping import Keeper
from holdfast.line import Line
from holdfast.lineages import Lineages, Live, head_sign, sign
from holdfast.marks import NO_MARKS, Layout, Own, plan_breakpoints, plan_marks
from holdfast.options import Options
from holdfast.pipeline import Asker, Engine, Outcome, guarded, told
from holdfast.policy import PLAIN, Policy, Wish
from holdfast.prefix import Chain
from holdfast.refusals import SECOND
from holdfast.scale import scale
from holdfast.store import MemoryStore, Store
from holdfast.strategy import Answer, Ask, Strategy
from holdfast.trace import Trace
from holdfast.transcript import Dialect
from holdfast.usage import Usage, from_anthropic, from_bedrock, from_openai
from holdfast.volatile import hoisted
from holdfast.wire import Wire, of
from holdfast.writing import fault, write

__all__ = ["FREE", "Facts", "Options", "Question", "Session", "Stage"]

Made = TypeVar("Made")
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


Ahead = Generator[Question, Answer, bool]
"""A plan being made ahead, like ``Preparing``: whether there is one at the end."""

Stage: TypeAlias = Literal["free", "held"]
FREE: Final = "free"
HELD: Final = "held"

Preparing = Generator["Question | Stage", "Answer | None", tuple[Mapping[str, Json], Trace]]
"""A request on its way: yields questions, is sent answers (or has ``AskFailed`` raised into it), ends with what to send.

After ``FREE``, and up to ``HELD``, other requests may be prepared beside it: a strategy thinks about a lineage that is its own meanwhile.
"""


@dataclass(slots=True)
class _Call:
    """One request being prepared: its time, what failed already, and its lineage once that is known. ``failures`` cost nothing but
    themselves; ``second``: it takes the place of one that was refused."""

    moment: float
    wish: Wish
    failure: HoldfastError | None = None
    live: Live | None = None
    failures: list[HoldfastError] = field(default_factory=list)
    second: bool = False


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
        self._keeper = Keeper(self.store, dialect, options.model)
        self._wire: Wire = of(dialect)
        self._scale = scale(options.family)
        weigh = self._scale.weigh if options.counter == "full" else self._scale.estimate
        policy = Policy(
            strategy=strategy,
            schedule=options.schedule,
            scribe=Scribe(self._wire.cleared, self._wire.note, weigh, self._system_note if options.system_messages else None, self._read),
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
            model=options.model,
        )
        self._engine = Engine(policy)
        self._lineages = Lineages(self._wire, self._engine, weigh, options.lineages, self._keeper.find, options.watched)
        self._current = self._keeper.is_current if options.shared else None
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

    def sign(self, body: Mapping[str, Json]) -> tuple[int, int]:
        """What this request has in common with those of the same head, and of the same conversation and its forks, at a glance.

        Others may have it too.
        """
        try:
            head, messages = head_sign(given_head(body, self._wire)), self._wire.history(body)
            return head, hash((head, sign(messages[0]) if messages else 0))
        except _MALFORMED:
            return 0, 0

    def drained(self) -> tuple[HoldfastError, ...]:
        """Failures of the store since the last call or trace."""
        return self._keeper.drained()

    def ahead(self, of: Trace, now: float, wish: Wish = PLAIN) -> Ahead | None:
        """The next plan of the conversation of this answered request, made before it is wanted; ``None`` where it is not near."""
        opened = self._open.get(of.ticket)
        if opened is None or not ahead.near(self._engine, opened.live):
            return None
        return self._ahead(_Call(now, wish, live=opened.live), opened)

    def _ahead(self, call: _Call, opened: _Opened) -> Ahead:
        if not ahead.near(self._engine, opened.live):
            return False
        stepping = ahead.preparing(self._engine, opened.live, call.moment, call.wish)
        made = yield from self._questions(stepping, call, opened.live, opened.body)
        return made.plan is not None

    def facts(self, of: Trace) -> Facts | None:
        """What an account needs to know of a request that was prepared and not observed yet; ``None`` where it is not known any more."""
        opened = self._open.get(of.ticket)
        if opened is None:
            return None
        outcome, own = opened.outcome, opened.own
        unedited = outcome.line.unedited()
        marks = outcome.marks
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
        ``refused``: the newest plan is taken back, or the marks, where those are all that was added: an empty body then stands for the
        caller's own.
        """
        opened = self._open.pop(of.ticket, None)
        if opened is None or opened.live.asking or opened.live.pending is not opened.outcome:
            return None  # the conversation has gone on meanwhile
        live, outcome = opened.live, opened.outcome
        live.pending = None
        call = self._call(now, PLAIN)
        call.live, call.second = live, True
        after = SECOND[why](self._engine, self.options, live, outcome, opened.own, call.moment)
        if after is None:
            return None
        after = self._kept(call, live.line, opened.own, after)
        live.marks, live.pending, live.at = _ours(after, opened.own), after, call.moment
        return self._sent(call, replace(opened, outcome=after), 0, {} if after is live.barely else None)

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
                if not isinstance(asked, Question):
                    asked = next(preparing)
                    continue
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
        speaks = self._wire.dialect != "bedrock-converse"  # takes no two messages of the user's in a row, so nothing can be said beside his
        body, values = hoisted(given, self._wire, self.options.volatile) if self.options.volatile and speaks else (given, "")
        messages = self._wire.history(body)
        found = self._lineages.find(body, messages, self._confirm, self._current)
        live = call.live = self._last = found.live
        if found.common < len(messages) and speaks:
            self._say(call, live, values)
        own = arriving.marks(self._wire, body, live.line, messages, [*found.suspects, *range(found.common, len(messages))])
        own = replace(own, alone=live.bare or (call.wish.bare and not live.line.ledger.entries))
        wrong = fault(live.line, own)
        if wrong:
            return self._as_it_came(call, given, HoldfastError(wrong))
        if live.pending is None:
            outcome = yield from self._step(call, live, own, body)
            live.pending, live.at = outcome, call.moment
        outcome = live.pending
        live.marks = _ours(outcome, own)
        untouched = not outcome.line.ledger.entries and not outcome.line.listed and set(live.marks) == set(own.marks)
        untouched = untouched and not outcome.line.drops_thinking
        repaired = arriving.repaired(self._wire, found, body, messages, untouched)
        thin = {**body, self._wire.messages_key: list(raw)[: self._wire.leading(body)]}  # a session does not keep histories twice
        opened = _Opened(live, outcome, thin, own, live.unedited_sent)
        live.unedited_sent = len(live.line.head) + live.line.size
        return self._sent(call, opened, repaired, body if untouched else None)

    def _sent(
        self, call: _Call, opened: _Opened, repaired: int, untouched: Mapping[str, Json] | None = None
    ) -> tuple[Mapping[str, Json], Trace]:
        live, outcome, body = opened.live, opened.outcome, opened.body
        faults = self._keeper.drained()
        own = [] if call.failure is None else [call.failure]
        errors = (*outcome.trace.errors, *(error for error in (*own, *call.failures, *faults) if error not in outcome.trace.errors))
        if self.options.on_error == "raise" and not call.second and (errors or outcome.trace.unreachable):
            raise errors[0] if errors else outcome.trace.unreachable or HoldfastError()
        self._tickets += 1
        self._open[self._tickets] = opened
        trace = replace(outcome.trace, repaired=repaired, errors=errors, settled=live.settled, ticket=self._tickets, lineage=live.number)
        if untouched is not None and not repaired:
            return untouched, trace
        written = write(self._wire, body, live, outcome.line, live.marks)
        outcome.line.went_listed(live.marks, self._wire.is_bare)  # whatever becomes of the request, it went out so
        return written, trace

    def _step(self, call: _Call, live: Live, own: Own, body: Mapping[str, Json]) -> Generator[Question | Stage, Answer | None, Outcome]:
        """What goes out. A plan whose removed blocks cannot be kept is none."""
        line = live.line
        if call.failure:
            return self._engine.without_plan(line, call.moment, own, call.failure)
        offer = ahead.offered(self._engine, live, call.moment, own, call.wish)
        if offer is not None:
            return self._kept(call, line, own, offer)
        stepping = self._engine.stepping(line, call.moment, own, ahead.waiting(live, call.wish))
        live.asking = True
        thinks = self._engine.wants(line, call.moment, call.wish)
        try:
            if thinks:
                yield FREE
            outcome = yield from self._questions(stepping, call, live, body)
            if thinks:
                yield HELD
        finally:
            live.asking = False
        return self._kept(call, line, own, outcome)

    def _questions(
        self, stepping: Generator[Ask, Answer, Made], call: _Call, live: Live, body: Mapping[str, Json]
    ) -> Generator[Question, Answer, Made]:
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
            made: Made = end.value
            return made
        finally:
            stepping.close()

    def _question(self, call: _Call, live: Live, line: Line, body: Mapping[str, Json], ask: Ask) -> Mapping[str, Json]:
        """The live prompt with the instruction behind it, marked only where an entry is believed to stand."""
        reach = line.sent_length if ask.stop is None else min(line.sent_length, line.reach(ask.stop)[1])
        warm = line.frontier(reach, call.moment) if self.options.marking else None
        marks = (Mark(warm - 1, self.options.ttl),) if warm else ()
        prompt = write(self._wire, body, live, line, marks)
        return question(self._wire, prompt, ask) if ask.stop is None else cut(self._wire, prompt, line.reach(ask.stop)[0])

    def _kept(self, call: _Call, line: Line, own: Own, outcome: Outcome) -> Outcome:
        if not outcome.removed:
            return outcome
        try:
            guarded(lambda: self.store.put(outcome.removed), lambda cause: StoreError(f"the store raised {told(cause)}"))
        except HoldfastError as error:
            held = self._engine.without_plan(line, call.moment, own, error)
            return replace(held, trace=replace(held.trace, asked=outcome.trace.asked))
        return outcome

    def _say(self, call: _Call, live: Live, values: str) -> None:
        """What is said with the user's new words: the reminder, and what was moved out of the head and has changed; that also in a loop."""
        newest = live.line.source[-1] if live.line.source else None
        if newest is None or newest.role is not Role.USER:
            return
        remind = self.options.remind if newest.is_plain_user and not call.wish.bare else None
        try:
            text = guarded(lambda: _text_of(remind), lambda cause: HoldfastError(f"remind raised {told(cause)}"))
        except HoldfastError as error:
            call.failures.append(error)
            text = ""
        new = values if values != live.values and not live.line.said(values) else ""
        live.values = values
        parts = [part for part in (text, new) if part.strip()]
        if parts:
            self._lineages.insert(live, "\n\n".join(parts), self.options.system_messages and newest.is_plain_user)

    def _system_note(self, text: str) -> Message:
        return self._wire.read_message({**self._wire.note(text).wire, "role": "system"})

    def _read(self, raw: Json) -> Message:
        return self._wire.read_message(freeze(raw))

    def _confirm(self, live: Live) -> None:
        if live.pending is None:
            return
        outcome, live.pending, live.settled = live.pending, None, ()
        if outcome.line is not live.line:
            live.written = []
        live.line = self._engine.sent(outcome, live.at)
        live.confirmed = outcome
        live.bare = live.bare or outcome is live.barely
        if not self._keeper.save(live, outcome):
            self._lineages.forget(live)


def _text_of(remind: str | Callable[[], str] | None) -> str:
    text = remind() if callable(remind) else remind or ""
    if not isinstance(text, str):
        raise TypeError(f"a text is needed, not {type(text).__name__}")
    return text


def _ours(outcome: Outcome, own: Own) -> tuple[Mark, ...]:
    """The marks that are written: not the one that the API sets by itself."""
    return tuple(mark for mark in outcome.marks if own.automatic is None or mark.position != outcome.chain.length - 1)


def _told_by(ask: Asker | None, asked: Question) -> Answer:
    if ask is None:
        raise AskFailed("there is no model to ask")
    return guarded(lambda: ask(asked.ask, asked.line), lambda cause: AskFailed(f"the model raised {told(cause)}"))

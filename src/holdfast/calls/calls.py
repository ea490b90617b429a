"""What every copy of a wrapped client shares: sessions, decisions under way, the account of what was saved, and who is told."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Hashable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path
from threading import RLock
from typing import Any

from cachetools import LRUCache

from holdfast.calls.answers import usage_of
from holdfast.calls.breaker import Breaker
from holdfast.calls.call_settings import CallSettings
from holdfast.calls.current import Current
from holdfast.calls.explained import Circumstances, explain
from holdfast.calls.figures import Report
from holdfast.calls.flow import RETRIED, Decided, flow
from holdfast.calls.gate import Gate
from holdfast.calls.hooks import CommitMade, Failure
from holdfast.calls.recorder import Recorder
from holdfast.calls.redact import redacted_text
from holdfast.calls.refused import Refusal
from holdfast.calls.savings import Savings
from holdfast.calls.sent import Asked, Sent, split_iterations
from holdfast.calls.sessions import Sessions
from holdfast.calls.telemetry import Call, Telemetry
from holdfast.calls.values import Flow, Received, Request, Watch
from holdfast.calls.watching import Watching
from holdfast.errors import HoldfastError, InputError, UnknownModel
from holdfast.exchange import Exchange
from holdfast.frozen import Json
from holdfast.pipeline import guarded, told
from holdfast.pricing import Prices
from holdfast.routing import cache_key, marks_of, with_key
from holdfast.session import Facts
from holdfast.store import Store, opened
from holdfast.trace import Trace
from holdfast.usage import Usage

log = logging.getLogger("holdfast")

DECISIONS = 512
"""Calls whose decision is remembered for their next attempt."""

ERRORS = 64


@dataclass(frozen=True, slots=True)
class Story:
    """The last request as ``explain`` needs it, without its body. ``why``: Holdfast kept out. ``usage`` is ``None`` until it is known."""

    model: str
    at: float
    trace: Trace | None
    why: str = ""
    usage: Usage | None = None


@dataclass(slots=True)
class Fork:
    """Requests that were announced to share a prefix; a ``with`` block ends the announcement."""

    gate: Gate
    left: int
    led: bool = False

    def __enter__(self) -> Fork:
        return self

    def __exit__(self, *failure: object) -> None:
        self.left = 0
        self.gate.open()


class Calls:
    """Decides for every call of a client and its copies, and keeps account. Safe for threads and tasks.

    ``store`` is a path or a store for what leaves prompts, ``record`` a path for a request log, or a recorder. Raises ``InputError`` for
    settings that cannot be, ``StoreError`` and ``RecordError`` for files that cannot be opened, ``UnknownStrategy``.
    """

    def __init__(
        self, settings: CallSettings | None = None, store: Store | str | Path | None = None, record: Recorder | str | Path | None = None
    ) -> None:
        self.settings = CallSettings() if settings is None else settings
        self.store = opened(store)
        self.lock = RLock()
        self.breaker = Breaker()
        self.sessions = Sessions(self.settings, self.store)
        self.errors: deque[HoldfastError] = deque(maxlen=ERRORS)
        self._recorder = Recorder(record) if isinstance(record, str | Path) else record
        self._savings = Savings()
        self._telemetry = Telemetry.find(redacted_text) if self.settings.telemetry else None
        self._decided: LRUCache[str, Decided] = LRUCache(DECISIONS)
        self._forced: dict[str | None, str] = {}
        self._fork: Fork | None = None
        self._said: LRUCache[str, bool] = LRUCache(256)
        self._newest: Story | None = None
        self._here: ContextVar[Story | None] = ContextVar("holdfast_last", default=None)

    @property
    def records(self) -> bool:
        """Whether whole answers are wanted, for the log."""
        return self._recorder is not None

    def flow(self, request: Request, /) -> Flow:
        """The flow of one attempt of a call."""
        return flow(self, request)

    @property
    def last(self) -> Trace | None:
        """The trace of the last request made in this thread or task, else of the last one at all; ``None`` before the first."""
        story = self._story()
        return None if story is None else story.trace

    def explain(self) -> str:
        """That request in words."""
        story = self._story()
        if story is None:
            return explain(None)
        try:
            price = Prices.load().find(story.model)
        except UnknownModel:
            price = None
        write = f"write_{self.settings.ttl}"
        known = Circumstances(story.usage, price, story.at, write, story.why, observed=self.settings.mode == "observe")
        return explain(story.trace, known)

    def report(self) -> Report:
        """What was saved, spent and broken so far, each figure with its interval."""
        return self._savings.report()

    def compact(self, focus: str = "", id: str | None = None) -> None:
        """Force a plan at the next request (of the conversation ``id``, if it has one); ``focus`` says what a summary is to keep."""
        with self.lock:
            self._forced[id] = focus

    def fork(self, n: int) -> Fork:
        """Announce ``n`` requests that share a prefix: with a cold cache the first goes ahead until its answer begins.

        Raises ``InputError`` for fewer than one.
        """
        if n < 1:
            raise InputError(f"a fork is of at least one request, not {n}")
        with self.lock:
            self._fork = Fork(Gate(), n)
            return self._fork

    # What a flow needs.

    def now(self) -> float:
        """Seconds that only go forward."""
        return time.monotonic()

    def stamp(self) -> float:
        """POSIX seconds. Where the caller's clock fails, the system's."""
        clock = self.settings.clock
        if clock is None:
            return time.time()
        try:
            return guarded(lambda: float(clock()), lambda cause: HoldfastError(f"the clock raised {told(cause)}"))
        except HoldfastError as error:
            self.noted((error,))
            return time.time()

    def again(self, request: Request) -> Decided | None:
        """What was decided for this call on an earlier attempt."""
        with self.lock:
            decided = self._decided.get(request.key) if request.key else None
        if decided is None or (decided.given is not request.body and decided.given != request.body):
            return None  # another body under the same key is another request: a fallback's, say
        return decided

    def remember(self, request: Request, decided: Decided) -> None:
        """So that every attempt of a call sends the same."""
        story = Story(str(request.body.get("model") or ""), decided.at, decided.trace, decided.why)
        self._newest = story
        self._here.set(story)
        if request.key:
            with self.lock:
                self._decided[request.key] = decided

    def counted(self, request: Request) -> Mapping[str, Json]:
        """What a request that only counts tokens is sent as: as the ledger would send it; nothing is committed."""
        if self.settings.mode == "observe":
            return request.body
        try:
            with self.lock:
                return self.sessions.get(request, None).counted(request.body)
        except InputError:
            return request.body

    def forced(self, here: Current) -> str | None:
        """The focus of a plan that was asked for, once; ``None`` where none was."""
        with self.lock:
            return self._forced.pop(here.id, None) if here.id in self._forced else self._forced.pop(None, None)

    def joins(self, cold: bool) -> tuple[Gate | None, bool]:
        """The gate that this request has to pass, and whether it goes first. A warm prefix needs no gate."""
        with self.lock:
            fork = self._fork
            if fork is None or fork.left < 1:
                return None, False
            fork.left -= 1
            leads, fork.led = not fork.led, True
        if not cold:
            fork.gate.open()
        return fork.gate, leads

    def keyed(self, request: Request, body: Mapping[str, Json], root: tuple[bytes, bytes] | None) -> Mapping[str, Json]:
        """The body with a key that keeps a conversation at one machine, where the provider knows such keys and the caller has set none."""
        if root is None or not self.settings.cache_keys or request.provider not in ("openai", "azure") or self.settings.marks == "off":
            return body
        if marks_of(request.provider, str(body.get("model") or ""), request.dialect) != "key":
            return body
        return with_key(body, cache_key(*root))

    def second(self, request: Request, decided: Decided, why: Refusal) -> Decided | None:
        """What to send in the place of what was refused; ``None`` where nothing of ours was in it."""
        session, trace = decided.session, decided.trace
        if session is None or trace is None or self.settings.mode == "observe":
            return None
        with self.lock:
            found = session.refused(trace, why, self.stamp())
        if found is None:
            return None
        body, after = found
        self.noted(after.errors, request, decided)
        made = replace(decided, body=self.keyed(request, body, session.root(after)), trace=after, second=True)
        self.remember(request, made)
        return made

    def received(self, request: Request, decided: Decided, received: Received) -> Watch | None:
        """The answer has a head: what it carried is committed. Who watches the rest."""
        if not received.ok:
            self._refused(request, decided, received)
            return None
        if request.key:
            with self.lock:
                self._decided.pop(request.key, None)  # there will be no further attempt
        if decided.trace is not None and decided.session is not None:
            with self.lock:
                facts = decided.session.facts(decided.trace)
                decided.session.answered(decided.trace)
                faults, decided.session.faults = decided.session.faults, []
            if decided.trace.commit is not None and self.settings.mode == "compact":
                made = CommitMade(self.lineage(decided), self.stamp(), str(request.body.get("model") or ""), decided.trace.commit)
                self.noted(self.settings.hooks.committed(made))
            self.noted((*faults, *decided.trace.errors), request, decided)
        else:
            facts = None
        watching = Watching(self, request, decided, facts, self.stamp())
        if received.body is not None:
            watching.whole(received.body)
            return None
        return watching

    def _refused(self, request: Request, decided: Decided, received: Received) -> None:
        if decided.gate is not None:
            decided.gate.open()
        if received.status in RETRIED or received.status >= 500:
            return  # the SDK may try again, with the same bytes
        if decided.session is not None and decided.trace is not None:
            with self.lock:
                decided.session.observe(failed=True, of=decided.trace)
        if self._recorder is not None:
            self._record(request, decided, received.body or {}, received.status, self.stamp())

    def finished(
        self, request: Request, decided: Decided, facts: Facts | None, response: Mapping[str, Json], at: tuple[float, float]
    ) -> None:
        """An answer has come to its end, whole or not: book it. ``at``: when its head came and when it ended."""
        responded, ended = at
        usage = usage_of(response, request.dialect)
        if decided.session is not None and decided.trace is not None:
            with self.lock:
                decided.session.observe(usage, of=decided.trace)
        if facts is not None:
            self._book(request, decided, facts, response, responded)
        if self._recorder is not None:
            self._record(request, decided, response, 200, ended)
        story = Story(str(request.body.get("model") or ""), decided.at, decided.trace, decided.why, usage)
        if self._newest is not None and self._newest.trace is decided.trace:
            self._newest = story
        here = self._here.get()
        if here is not None and here.trace is decided.trace:
            self._here.set(story)
        self._spans(request, decided, response, usage, ended)

    def _book(self, request: Request, decided: Decided, facts: Facts, response: Mapping[str, Json], responded: float) -> None:
        trace, raw = decided.trace, response.get("usage")
        billed, inner = usage_of(response, request.dialect), tuple[Asked, ...]()
        if request.dialect == "anthropic" and isinstance(raw, Mapping):
            billed, inner = split_iterations(raw)
        sent = Sent(
            lineage=self.lineage(decided),
            at=decided.at,
            model=str(request.body.get("model") or ""),
            settings=facts.settings,
            given=facts.given,
            given_marks=facts.given_marks,
            planned_marks=facts.planned_marks,
            chain=facts.chain,
            marks=facts.marks,
            billed=billed,
            responded=responded,
            provider=request.provider,
            asked=(*decided.asked, *inner),
            committed=trace is not None and trace.commit is not None,
            rewritten_tokens=trace.commit.rewritten_tokens if trace is not None and trace.commit else 0,
            observed=self.settings.mode == "observe",
        )
        self._savings.add(sent)
        if self.settings.hooks.on_break is not None:
            for found in self._savings.settle():
                self.noted(self.settings.hooks.broken(found))
                if self._telemetry is not None:
                    self._telemetry.broke(found, decided.parent)

    def _record(self, request: Request, decided: Decided, response: Mapping[str, Json], status: int, ended: float) -> None:
        if self._recorder is None:
            return
        exchange = Exchange(
            body=decided.body,
            response=response,
            at=decided.at,
            ended=ended,
            provider=request.provider,
            endpoint=request.endpoint,
            session=decided.current.id or "",
            status=status,
        )
        error = self._recorder.write(exchange)
        if error is not None:
            self.noted((error,), request, decided)

    def _spans(self, request: Request, decided: Decided, response: Mapping[str, Json], usage: Usage | None, ended: float) -> None:
        if self._telemetry is None or decided.trace is None:
            return
        model, session = str(request.body.get("model") or ""), decided.current.id or ""
        answered_by, id_ = str(response.get("model") or ""), str(response.get("id") or "")
        call = Call(model, request.provider, decided.at, ended, usage, session, "", answered_by, id_)
        self._telemetry.planned(decided.trace, Call(model, request.provider, decided.at, decided.at, conversation=session), decided.parent)
        for asked in decided.asked:
            named = asked.model or model
            self._telemetry.asked(Call(named, request.provider, decided.at, decided.at, asked.usage, session), decided.parent)
        if request.dialect != "anthropic":
            self._telemetry.answered(call, decided.parent)

    def parent(self) -> Any:
        """Where spans of a call that begins here belong."""
        return None if self._telemetry is None else self._telemetry.here()

    def lineage(self, decided: Decided) -> Hashable:
        """The name of the conversation of a call, which no other has."""
        number = decided.trace.lineage if decided.trace is not None else 0
        return decided.session.name if decided.session is not None else "", number

    def noted(self, errors: tuple[HoldfastError, ...], request: Request | None = None, decided: Decided | None = None) -> None:
        """Failures that changed nothing for the caller: kept, logged once each, and told to ``on_error``."""
        for error in errors:
            self.errors.append(error)
            self.say_once(f"{type(error).__name__}: {error}")
            if request is not None and decided is not None:
                event = Failure(self.lineage(decided), self.stamp(), str(request.body.get("model") or ""), error)
                self.errors.extend(self.settings.hooks.failed(event))

    def say_once(self, what: str) -> None:
        """Into the log, the first time."""
        with self.lock:
            known = self._said.get(what, False)
            self._said[what] = True
        if not known:
            log.warning("%s", redacted_text(what))

    def _story(self) -> Story | None:
        return self._here.get() or self._newest

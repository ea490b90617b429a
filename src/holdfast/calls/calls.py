"""What every copy of a wrapped client shares: sessions, decisions under way, the account of what was saved, and who is told."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Hashable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cachetools import LRUCache, TTLCache

from holdfast import forks
from holdfast.calls import background
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
from holdfast.calls.sent import Asked, Sent, Spent, split_iterations
from holdfast.calls.sessions import Sessions
from holdfast.calls.standing import stands_down
from holdfast.calls.telemetry import Call, Telemetry
from holdfast.calls.unthreading import Threads, threaded
from holdfast.calls.values import Flow, Received, Request, Watch
from holdfast.calls.watching import Watching
from holdfast.errors import HoldfastError, InputError, UnknownModel
from holdfast.exchange import Exchange
from holdfast.frozen import Json
from holdfast.pipeline import guarded, told
from holdfast.pricing import Price, Prices
from holdfast.routing import cache_key, marks_of, with_key
from holdfast.session import Facts
from holdfast.store import MemoryStore, Store, opened
from holdfast.trace import Trace
from holdfast.usage import Usage

log = logging.getLogger("holdfast")

DECISIONS = 256
DECIDED_FOR = 120.0
"""Calls whose decision is remembered for their next attempt, and for how many seconds: they hold whole bodies. One that is forgotten is
decided again, to the same bytes."""

ERRORS = 64


@dataclass(frozen=True, slots=True)
class Story:
    """The last request as ``explain`` needs it, without its body. ``why``: Holdfast kept out. ``usage`` is ``None`` until it is known."""

    model: str
    at: float
    trace: Trace | None
    why: str = ""
    usage: Usage | None = None
    root: tuple[int, int] | None = None


@dataclass(slots=True)
class Fork:
    """Requests that were announced to share a prefix; a ``with`` block ends the announcement.

    It is for requests whose head has this sign: that of the last request made here, else of the first that comes.
    """

    gate: Gate
    left: int
    head: int | None = None
    led: bool = False

    def __enter__(self) -> Fork:
        return self

    def __exit__(self, *failure: object) -> None:
        self.left = 0
        self.gate.open()


@dataclass(slots=True)
class Force:
    """A plan that was asked for, for one conversation: by its id, its sign, or whichever comes first."""

    focus: str
    id: str | None = None
    root: int | None = None


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
        self.lock = forks.lock()
        self.late: deque[Watching] = deque()
        self.breaker = Breaker()
        self.sessions = Sessions(self.settings, self.store if self.settings.mode == "compact" else MemoryStore())
        self.errors: deque[HoldfastError] = deque(maxlen=ERRORS)
        self._recorder = Recorder(record) if isinstance(record, str | Path) else record
        self.preparing = 0
        self._savings = Savings()
        self._telemetry = Telemetry.find(redacted_text) if self.settings.telemetry else None
        self._decided: TTLCache[str, Decided] = TTLCache(DECISIONS, DECIDED_FOR)
        self._threads = Threads(4 * self.settings.lineages)
        self._forced: deque[Force] = deque(maxlen=64)
        self._forks: deque[Fork] = deque(maxlen=64)
        self._said: LRUCache[str, bool] = LRUCache(256)
        self._newest: Story | None = None
        self._here: ContextVar[Story | None] = ContextVar("holdfast_last", default=None)

    @property
    def records(self) -> bool:
        """Whether whole answers are wanted, for the log."""
        return self._recorder is not None

    def flow(self, request: Request, /) -> Flow:
        """The flow of one attempt of a call."""
        self.drain()
        return flow(self, request)

    def drain(self) -> None:
        """Book the answers that were left unread or broke off."""
        while self.late:
            try:
                watching = self.late.popleft()
            except IndexError:  # another thread was faster
                return
            watching.close()

    @property
    def last(self) -> Trace | None:
        """The trace of the last request made in this thread or task, else of the last one at all; ``None`` before the first."""
        self.drain()
        story = self._story()
        return None if story is None else story.trace

    def explain(self) -> str:
        """That request in words."""
        self.drain()
        story = self._story()
        if story is None:
            return explain(None)
        other, watching = self.settings.summary_model, self.settings.mode == "observe"
        asked = (other, _price(other)) if other and not watching else None
        write = f"write_{self.settings.ttl}"
        known = Circumstances(story.usage, _price(story.model), story.at, write, story.why, observed=watching, asked=asked)
        return explain(story.trace, known)

    def report(self) -> Report:
        """What was saved, spent and broken so far, each figure with its interval."""
        self.drain()
        return self._savings.report()

    def compact(self, focus: str = "", id: str | None = None) -> None:
        """Force a plan at the next request of the conversation ``id``, or of the one that this thread or task was in last.

        ``focus`` says what a summary is to keep. Where there was none yet, the next request of all is meant.
        """
        story = self._here.get()
        with self.lock:
            self._forced.append(Force(focus, id, None if id is not None or story is None or story.root is None else story.root[1]))

    def fork(self, n: int) -> Fork:
        """Announce ``n`` requests that share a prefix: with a cold cache the first goes ahead until its answer begins.

        They are those under the head of the last request of this thread or task, wherever they are made; where there was none, those under
        the head of the first that comes. Raises ``InputError`` for fewer than one.
        """
        if n < 1:
            raise InputError(f"a fork is of at least one request, not {n}")
        story = self._here.get()
        with self.lock:
            made = Fork(Gate(), n, None if story is None or story.root is None else story.root[0])
            self._forks.append(made)
            return made

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
        story = Story(str(request.body.get("model") or ""), decided.at, decided.trace, decided.why, root=decided.root)
        self._newest = story
        self._here.set(story)
        if request.key:
            with self.lock:
                self._decided[request.key] = decided

    def counted(self, request: Request) -> Mapping[str, Json]:
        """What a request that only counts tokens is sent as: as the ledger would send it; nothing is committed."""
        if self.settings.mode == "observe" or stands_down(request.body, request.dialect):
            return request.body
        try:
            with self.lock:
                return self.sessions.get(request).counted(request.body)
        except InputError:
            return request.body

    def unthreaded(self, request: Request) -> Mapping[str, Json] | None:
        """The body without the server's thread, all its messages in it; ``None`` where it goes out as it came."""
        if self.settings.threads != "unthread" or self.settings.mode == "observe" or not threaded(request.body, request.dialect):
            return None
        whole = self._threads.whole(request.body)
        if whole is None:
            self.say_once("Holdfast stands down where a thread goes on from a reply that it does not know")
        return None if whole is None or stands_down(whole, request.dialect) else whole

    def forced(self, here: Current, root: tuple[int, int]) -> str | None:
        """The focus of a plan that was asked for, once; ``None`` where none was."""
        with self.lock:
            for force in self._forced:
                if force.id == here.id if force.id is not None else force.root in (None, root[1]):
                    self._forced.remove(force)
                    return force.focus
        return None

    def joins(self, cold: bool, root: tuple[int, int]) -> tuple[Gate | None, bool]:
        """The gate that this request has to pass, and whether it goes first. A warm prefix needs no gate."""
        with self.lock:
            fork = next((fork for fork in self._forks if fork.left > 0 and fork.head in (None, root[0])), None)
            if fork is None:
                return None, False
            fork.head = root[0]
            fork.left -= 1
            leads, fork.led = not fork.led, True
            for done in [fork for fork in self._forks if fork.left < 1]:
                self._forks.remove(done)
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
        body, after = found if found[0] else (decided.given if decided.whole is None else decided.whole, found[1])
        self.noted(after.errors, request, decided)
        made = replace(decided, body=self.keyed(request, body, session.root(after)), trace=after, second=True)
        self.remember(request, made)
        return made

    def received(self, request: Request, decided: Decided, received: Received) -> Watch | None:
        """The answer has a head: what it carried is committed. Who watches the rest."""
        if not received.ok:
            self._refused(request, decided, received)
            return None
        self._settled(request)
        if decided.gate is not None:
            decided.gate.open()  # what the request wrote can be read from here on
        if decided.trace is not None and decided.session is not None:
            with self.lock:
                facts = decided.session.facts(decided.trace)
                decided.session.answered(decided.trace)
                faults = decided.session.drained()
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

    def _settled(self, request: Request) -> None:
        """There will be no further attempt."""
        if request.key:
            with self.lock:
                self._decided.pop(request.key, None)

    def _refused(self, request: Request, decided: Decided, received: Received) -> None:
        if decided.gate is not None:
            decided.gate.open()
        if received.status in RETRIED or received.status >= 500:
            return  # the SDK may try again, with the same bytes
        self._settled(request)
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
        if decided.whole is not None:
            self._threads.answered(decided.whole, response)
        usage = usage_of(response, request.dialect)
        work = None
        if decided.session is not None and decided.trace is not None:
            with self.lock:
                work = background.job(self, request, decided) if usage is not None else None
                decided.session.observe(usage, of=decided.trace)
        if facts is not None:
            self._book(request, decided, facts, response, responded)
        if self._recorder is not None:
            self._record(request, decided, response, 200, ended)
        story = Story(str(request.body.get("model") or ""), decided.at, decided.trace, decided.why, usage, decided.root)
        if self._newest is not None and self._newest.trace is decided.trace:
            self._newest = story
        here = self._here.get()
        if here is not None and here.trace is decided.trace:
            self._here.set(story)
        self._spans(request, decided, response, usage, ended)
        if work is not None and request.beside is not None and not request.beside(work):
            self.say_once("no summary is prepared in the background: there is no asyncio loop to do it in")

    def spent(self, request: Request, asked: Sequence[Asked]) -> None:
        """Model calls were made that belong to no request of the caller's."""
        if asked:
            observed = self.settings.mode == "observe"
            model = str(request.body.get("model") or "")
            self._savings.add(Spent(model, request.provider, self.stamp(), tuple(asked), observed=observed))

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
            asked=inner,
            committed=trace is not None and trace.commit is not None,
            rewritten_tokens=trace.commit.rewritten_tokens if trace is not None and trace.commit else 0,
            observed=self.settings.mode == "observe",
        )
        self._savings.add(sent)
        if self.settings.hooks.on_break is not None or self._telemetry is not None:
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


def _price(model: str) -> Price | None:
    try:
        return Prices.load().find(model)
    except UnknownModel:
        return None

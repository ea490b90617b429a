"""One attempt of one call, from the caller's body to who watches the answer. Yields what to send; does no I/O of its own."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from holdfast.asking import forbids
from holdfast.calls import compacting
from holdfast.calls.answers import answer_of
from holdfast.calls.compacting import begins_compacted, compaction_of, offers, request_for
from holdfast.calls.current import Current, current
from holdfast.calls.elsewhere import BETAS, for_model
from holdfast.calls.gate import Gate
from holdfast.calls.hooks import Planned
from holdfast.calls.refused import refusal
from holdfast.calls.sent import Asked
from holdfast.calls.sessions import wish_of
from holdfast.calls.standing import stands_down
from holdfast.calls.values import Flow, Received, Request, Send, Unsent, Wait
from holdfast.errors import AskFailed, HoldfastError, InputError
from holdfast.frozen import Json
from holdfast.pipeline import guarded, told
from holdfast.session import FREE, Preparing, Question, Session, Stage
from holdfast.strategy import Answer
from holdfast.trace import Trace
from holdfast.usage import Usage

if TYPE_CHECKING:
    from holdfast.calls.calls import Calls

RETRIED = (408, 409, 429)
"""Refusals that the SDKs try again by themselves, beside all from 500 on."""

DROP_BLOCK_BETA = "thinking-binding-controls-2026-08-01"
ASK_TRIES = 2
GATE_TIMEOUT = 60.0


@dataclass(frozen=True, slots=True)
class Decided:
    """What one call sends, on every attempt. ``given`` is the caller's body, ``began`` on the clock of ``Calls``.

    ``at`` is the same moment in POSIX seconds. ``session`` and ``trace`` are ``None`` where Holdfast keeps out (``why``). ``second``: it
    takes the place of what was refused. ``parent`` is where spans of this call belong. ``whole`` is the body with
    the messages that a thread of the server's would have held, where it was taken out of one.
    """

    given: Mapping[str, Json]
    body: Mapping[str, Json]
    began: float
    current: Current
    at: float = 0.0
    session: Session | None = None
    trace: Trace | None = None
    why: str = ""
    second: bool = False
    asked: tuple[Asked, ...] = ()
    gate: Gate | None = None
    leads: bool = False
    parent: Any = None
    whole: Mapping[str, Json] | None = None
    root: tuple[int, int] | None = None
    adds: bool = False


def flow(calls: Calls, request: Request) -> Flow:
    """One attempt of one call."""
    if request.counting:
        body = calls.counted(request)
        yield Send("call", body, betas=betas(body) if body is not request.body else ())
        return None
    decided = calls.again(request)
    if decided is None:
        decided = yield from _decide(calls, request)
        calls.remember(request, decided)
        _tell(calls, request, decided)
    if decided.gate is not None and not decided.leads and not decided.gate.is_open:
        yield Wait(decided.gate, min(request.timeout or GATE_TIMEOUT, GATE_TIMEOUT))
    received = None
    try:
        received = yield from _sent(Send("call", decided.body, betas=_added(decided), adds=decided.adds))
    finally:
        if received is None and decided.gate is not None:
            decided.gate.open()  # nobody shall wait for an answer that will not come
    if (why := refusal(received)) and decided.trace is not None and not decided.second:
        second = calls.second(request, decided, why)
        if second is not None:
            decided = second
            left = None if request.timeout is None else max(1.0, request.timeout - (calls.now() - decided.began))
            received = yield from _sent(Send("call", decided.body, left, _added(decided), adds=decided.adds))
    return calls.received(request, decided, received)


def _sent(send: Send) -> Generator[Send | Wait, Received | None, Received]:
    received = yield send
    if received is None:
        raise TypeError("a flow that sends must be told what came back")
    return received


def _added(decided: Decided) -> tuple[str, ...]:
    return betas(decided.body) if decided.body is not decided.given else ()


def betas(body: Mapping[str, Json]) -> tuple[str, ...]:
    """The beta headers that what we have put into a body needs."""
    thinking = body.get("thinking")
    drops = (DROP_BLOCK_BETA,) if isinstance(thinking, Mapping) and "block_binding" in thinking else ()
    return (*drops, compacting.BETA) if begins_compacted(body) and "context_management" not in body else drops


def _decide(calls: Calls, request: Request) -> Generator[Send | Wait, Received | None, Decided]:
    """What to send in the place of the caller's body."""
    began, here = calls.now(), current(calls)
    whole = calls.unthreaded(request)
    decided = Decided(request.body, request.body, began, here, calls.stamp(), parent=calls.parent())
    if whole is not None:
        decided, request = replace(decided, body=whole, whole=whole), replace(request, body=whole)
    why = stands_down(request.body, request.dialect)
    if why:
        calls.say_once(f"Holdfast stands down: {why}")
        return replace(decided, why=why)
    try:
        with calls.lock:
            session = calls.sessions.get(request)
            root = session.sign(request.body)
    except InputError as error:
        if calls.settings.on_error == "raise":
            raise
        calls.say_once(f"Holdfast stands down: {error}")
        return replace(decided, why=str(error))
    if calls.settings.summaries == "provider" and not offers(request.dialect, request.provider):
        calls.say_once(f"{request.provider or request.dialect} compacts no conversations itself: the live model writes summaries")
    forbidden = forbids(request.body, request.dialect) or calls.breaker.why(began)
    decided = replace(decided, root=root, adds=calls.settings.mode == "compact" and here.enabled)
    wish = wish_of(here, calls.forced(here, root), forbidden, calls.settings)
    preparing = session.preparing(request.body, decided.at, wish)
    asked: list[Asked] = []
    try:
        body, trace = yield from _prepared(calls, request, session, preparing, asked)
    finally:
        with calls.lock:
            preparing.close()
    if calls.settings.mode == "observe":
        return replace(decided, session=session, trace=trace)
    if not here.enabled:
        return replace(decided, body=body, session=session, trace=trace)
    with calls.lock:
        cold, family = session.cold(trace, decided.at), session.root(trace)
    gate, leads = calls.joins(cold, root)
    body = calls.keyed(request, body, family)
    return replace(decided, body=body, session=session, trace=trace, asked=tuple(asked), gate=gate, leads=leads)


def _prepared(
    calls: Calls, request: Request, session: Session, preparing: Preparing, paid: list[Asked]
) -> Generator[Send | Wait, Received | None, tuple[Mapping[str, Json], Trace]]:
    """The engine's decision, its questions answered by the model."""
    observing, worded = calls.settings.mode == "observe", False
    turn = Turn(calls, preparing)
    try:
        question = turn.next()
        while True:
            try:
                answer = _stand_in(calls, request, question) if observing else (yield from ask(calls, request, question, paid))
            except AskFailed as failure:
                question = turn.throw(failure)
            else:
                worded = not observing
                question = turn.send(answer)
    except StopIteration as end:
        body, trace = end.value
        if worded and trace.commit is None:
            calls.breaker.failed(calls.now())  # words that no plan could be made of; no words at all are counted already
        elif worded:
            calls.breaker.worked()
        return body, trace


class Turn:
    """Takes the engine from question to question: under the lock, but for the time in which a strategy thinks about one lineage."""

    def __init__(self, calls: Calls, preparing: Preparing) -> None:
        self._calls, self._preparing, self._free = calls, preparing, False

    def next(self) -> Question:
        """The first question. Raises ``StopIteration`` with the outcome, as the others do."""
        return self._on(lambda: next(self._preparing))

    def send(self, answer: Answer) -> Question:
        """The question after this answer."""
        return self._on(lambda: self._preparing.send(answer))

    def throw(self, failure: AskFailed) -> Question:
        """The question after this failure."""
        return self._on(lambda: self._preparing.throw(failure))

    def _on(self, step: Callable[[], Question | Stage]) -> Question:
        while True:
            if self._free:
                found = step()
            else:
                with self._calls.lock:
                    found = step()
            if isinstance(found, Question):
                return found
            self._free = found is FREE
            step = partial(next, self._preparing)


def _stand_in(calls: Calls, request: Request, question: Question) -> Answer:
    """Where nothing may be sent: what an offline replay takes for the answer, and what asking would have cost."""
    line = question.line
    tokens = max(question.ask.max_output_tokens // 4, len(question.ask.stand_in) // 4)
    usage = Usage(read=line.tokens, output=tokens)
    calls.spent(request, [Asked(usage)])
    return Answer(question.ask.stand_in, usage)


def written(question: Question) -> Mapping[str, Json]:
    """The body of a question. Raises ``AskFailed``."""
    return guarded(question.body, lambda cause: AskFailed(f"the question could not be written: {told(cause)}"))


def ask(
    calls: Calls, request: Request, question: Question, paid: list[Asked], body: Mapping[str, Json] | None = None
) -> Generator[Send | Wait, Received | None, Answer]:
    """Ask the model, twice at most within the time there is. Raises ``AskFailed``. ``body``: the question, where it is written already."""
    body = written(question) if body is None else body
    compacts = question.ask.stop is not None
    other = calls.settings.summary_model if not compacts else None
    if other:
        body = for_model(body, other, request.dialect, question.ask.max_output_tokens)
    else:
        body = calls.keyed(request, body, question.line.root)
    without = BETAS if other else ()
    deadline = calls.now() + min(calls.settings.ask_timeout, request.timeout or calls.settings.ask_timeout)
    failure = AskFailed("there was no time to ask")
    for _ in range(ASK_TRIES):
        left = deadline - calls.now()
        if left <= 0:
            break
        try:
            send = Send("ask", body, left, betas(body), without_betas=without)
            received = yield from _sent(request_for(question.ask, body, request, left) if compacts else send)
        except Unsent as unsent:
            failure = AskFailed(f"the model could not be asked: {unsent.__cause__ or unsent}")
            continue
        try:
            answer = compaction_of(received, request.dialect) if compacts else answer_of(received, request.dialect)
        except AskFailed as error:
            failure = error
            if error.usage is not None:
                paid.append(Asked(error.usage, other or ""))
                calls.spent(request, paid[-1:])
            if received.status in RETRIED or received.status >= 500:
                continue
            break
        paid.append(Asked(answer.usage, other or ""))
        calls.spent(request, paid[-1:])
        return answer
    calls.breaker.failed(calls.now())
    raise failure


def _tell(calls: Calls, request: Request, decided: Decided) -> None:
    if decided.trace is None:
        return
    event = Planned(calls.lineage(decided), calls.stamp(), str(request.body.get("model") or ""), decided.trace)
    calls.noted(calls.settings.hooks.planned(event))


__all__ = ["Decided", "HoldfastError", "betas", "flow"]

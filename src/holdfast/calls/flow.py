"""One attempt of one call, from the caller's body to who watches the answer. Yields what to send; does no I/O of its own."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from holdfast.asking import forbids
from holdfast.calls.answers import answer_of
from holdfast.calls.current import Current, current
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
from holdfast.session import Preparing, Question, Session
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
    takes the place of what was refused. ``parent`` is where spans of this call belong.
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


def flow(calls: Calls, request: Request) -> Flow:
    """One attempt of one call."""
    if request.counting:
        yield Send("call", calls.counted(request))
        return None
    decided = calls.again(request)
    if decided is None:
        decided = yield from _decide(calls, request)
        calls.remember(request, decided)
        _tell(calls, request, decided)
    if decided.gate is not None and not decided.leads and not decided.gate.is_open:
        yield Wait(decided.gate, request.timeout or GATE_TIMEOUT)
    received = None
    try:
        received = yield from _sent(Send("call", decided.body, betas=betas(decided.body)))
    finally:
        if received is None and decided.gate is not None:
            decided.gate.open()  # nobody shall wait for an answer that will not come
    if (why := refusal(received)) and decided.trace is not None and not decided.second:
        second = calls.second(request, decided, why)
        if second is not None:
            decided = second
            left = None if request.timeout is None else max(1.0, request.timeout - (calls.now() - decided.began))
            received = yield from _sent(Send("call", decided.body, left, betas(decided.body)))
    return calls.received(request, decided, received)


def _sent(send: Send) -> Generator[Send | Wait, Received | None, Received]:
    received = yield send
    if received is None:
        raise TypeError("a flow that sends must be told what came back")
    return received


def betas(body: Mapping[str, Json]) -> tuple[str, ...]:
    """The beta headers that what we have put into a body needs."""
    thinking = body.get("thinking")
    return (DROP_BLOCK_BETA,) if isinstance(thinking, Mapping) and "block_binding" in thinking else ()


def _decide(calls: Calls, request: Request) -> Generator[Send | Wait, Received | None, Decided]:
    """What to send in the place of the caller's body."""
    began, here = calls.now(), current(calls)
    decided = Decided(request.body, request.body, began, here, calls.stamp(), parent=calls.parent())
    why = stands_down(request.body, request.dialect)
    if why:
        calls.say_once(f"Holdfast stands down: {why}")
        return replace(decided, why=why)
    try:
        session = calls.sessions.get(request, here.strategy)
    except InputError as error:
        if calls.settings.on_error == "raise":
            raise
        calls.say_once(f"Holdfast stands down: {error}")
        return replace(decided, why=str(error))
    forbidden = forbids(request.body, request.dialect) or calls.breaker.why(began)
    wish = wish_of(here, calls.forced(here), forbidden, calls.settings)
    preparing = session.preparing(request.body, decided.at, wish)
    asked: list[Asked] = []
    try:
        body, trace = yield from _prepared(calls, request, session, preparing, asked)
    finally:
        preparing.close()
    if calls.settings.mode == "observe":
        return replace(decided, session=session, trace=trace)
    gate, leads = calls.joins(session.cold(trace, decided.at))
    body = calls.keyed(request, body, session.root(trace))
    return replace(decided, body=body, session=session, trace=trace, asked=tuple(asked), gate=gate, leads=leads)


def _prepared(
    calls: Calls, request: Request, session: Session, preparing: Preparing, paid: list[Asked]
) -> Generator[Send | Wait, Received | None, tuple[Mapping[str, Json], Trace]]:
    """The engine's decision, its questions answered by the model."""
    observing = calls.settings.mode == "observe"
    try:
        with calls.lock:
            question = next(preparing)
        while True:
            try:
                answer = _stand_in(question, session) if observing else (yield from _ask(calls, request, question, paid))
            except AskFailed as failure:
                with calls.lock:
                    question = preparing.throw(failure)
            else:
                with calls.lock:
                    question = preparing.send(answer)
    except StopIteration as end:
        body, trace = end.value
        if paid and trace.commit is None:
            calls.breaker.failed(calls.now())  # words that no plan could be made of
        elif paid:
            calls.breaker.worked()
        return body, trace


def _stand_in(question: Question, session: Session) -> Answer:
    """Where nothing may be sent: what an offline replay takes for the answer, and what asking would have cost."""
    line = question.line
    tokens = max(question.ask.max_output_tokens // 4, len(question.ask.stand_in) // 4)
    return Answer(question.ask.stand_in, Usage(read=line.tokens, output=tokens))


def _ask(calls: Calls, request: Request, question: Question, paid: list[Asked]) -> Generator[Send | Wait, Received | None, Answer]:
    """Ask the model, twice at most within the time there is. Raises ``AskFailed``."""
    body = guarded(question.body, lambda cause: AskFailed(f"the question could not be written: {told(cause)}"))
    body = calls.keyed(request, body, question.line.root)
    other = calls.settings.summary_model
    if other:
        body = {**body, "model": other}
    deadline = calls.now() + min(calls.settings.ask_timeout, request.timeout or calls.settings.ask_timeout)
    failure = AskFailed("there was no time to ask")
    for _ in range(ASK_TRIES):
        left = deadline - calls.now()
        if left <= 0:
            break
        try:
            received = yield from _sent(Send("ask", body, left, betas(body)))
        except Unsent as unsent:
            failure = AskFailed(f"the model could not be asked: {unsent.__cause__ or unsent}")
            continue
        try:
            answer = answer_of(received, request.dialect)
        except AskFailed as error:
            failure = error
            if error.usage is not None:
                paid.append(Asked(error.usage, other or ""))
            if received.status in RETRIED or received.status >= 500:
                continue
            break
        paid.append(Asked(answer.usage, other or ""))
        return answer
    calls.breaker.failed(calls.now())
    raise failure


def _tell(calls: Calls, request: Request, decided: Decided) -> None:
    if decided.trace is None:
        return
    event = Planned(calls.lineage(decided), calls.stamp(), str(request.body.get("model") or ""), decided.trace)
    calls.noted(calls.settings.hooks.planned(event))


__all__ = ["Decided", "HoldfastError", "betas", "flow"]

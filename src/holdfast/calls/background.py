"""A summary written beside the conversation: the question is put after an answer has ended, so that no caller waits for it.

The client hook lends a way to ask (``Request.beside``): a sync client asks on a daemon thread, an async one in a task of the running loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import closing
from threading import Thread
from typing import TYPE_CHECKING

from holdfast.asking import forbids
from holdfast.calls.flow import Decided, ask, written
from holdfast.calls.redact import redacted_text
from holdfast.calls.sent import Asked
from holdfast.calls.sessions import wish_of
from holdfast.calls.values import Job, Received, Request, Send, Unsent
from holdfast.errors import AskFailed, HoldfastError
from holdfast.pipeline import guarded, told
from holdfast.session import Ahead
from holdfast.strategy import Answer

if TYPE_CHECKING:
    from holdfast.calls.calls import Calls

log = logging.getLogger("holdfast")

MOST = 8
"""Summaries that are written at the same time for one client."""

_TASKS: set[asyncio.Task[None]] = set()
"""Tasks under way: the loop itself keeps no more than weak references to them (docs.python.org, ``asyncio.create_task``)."""


def job(calls: Calls, request: Request, decided: Decided) -> Job | None:
    """What there is to ask beside the conversation of a request that was answered; ``None`` for nothing. The lock of ``calls`` is held."""
    session, trace, settings = decided.session, decided.trace, calls.settings
    if not settings.background or settings.summaries == "off" or settings.mode == "observe" or not decided.current.enabled:
        return None
    if session is None or trace is None or request.beside is None or calls.preparing >= MOST:
        return None
    body = decided.whole or request.body
    if forbids(body, request.dialect) or calls.breaker.why(calls.now()):
        return None
    wish = wish_of(decided.current, None, "", settings)
    ahead = session.ahead(trace, calls.stamp(), wish)
    return None if ahead is None else _job(calls, request, ahead)


def _job(calls: Calls, request: Request, ahead: Ahead) -> Job:
    paid: list[Asked] = []
    with calls.lock:
        calls.preparing += 1
    try:
        yield from _questions(calls, request, ahead, paid)
    finally:
        with calls.lock:
            calls.preparing -= 1
            ahead.close()


def _questions(calls: Calls, request: Request, ahead: Ahead, paid: list[Asked]) -> Job:
    said: Answer | AskFailed | None = None
    while True:
        try:
            with calls.lock:
                question = ahead.throw(said) if isinstance(said, AskFailed) else next(ahead) if said is None else ahead.send(said)
        except StopIteration as end:
            if isinstance(said, Answer) and not end.value:
                calls.breaker.failed(calls.now())  # words that no plan could be made of
            elif isinstance(said, Answer):
                calls.breaker.worked()
            return
        try:
            with calls.lock:
                body = written(question)
            said = yield from ask(calls, request, question, paid, body)  # type: ignore[misc]
        except AskFailed as failure:
            said = failure


def beside(work: Job, asks: Callable[[Send], Received | Unsent]) -> bool:
    """Do it on a thread of its own, which no process waits for. Whether that could be begun."""
    thread = Thread(target=_run, args=(work, asks), name="holdfast-summary", daemon=True)
    try:
        thread.start()
    except RuntimeError:  # the interpreter is ending
        work.close()
        return False
    return True


def abeside(work: Job, asks: Callable[[Send], Awaitable[Received | Unsent]]) -> bool:
    """Do it in a task of the running asyncio loop, which is cancelled with the loop. Whether that could be begun."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        work.close()
        return False
    task = loop.create_task(_arun(work, asks), name="holdfast-summary")
    _TASKS.add(task)
    task.add_done_callback(_TASKS.discard)
    return True


def _run(work: Job, asks: Callable[[Send], Received | Unsent]) -> None:
    with closing(work):
        send = _step(lambda: next(work))
        while send is not None:
            send = _told(work, asks(send))


async def _arun(work: Job, asks: Callable[[Send], Awaitable[Received | Unsent]]) -> None:
    with closing(work):
        send = _step(lambda: next(work))
        while send is not None:
            send = _told(work, await asks(send))


def _told(work: Job, got: Received | Unsent) -> Send | None:
    return _step(lambda: work.throw(got) if isinstance(got, Unsent) else work.send(got))


def _step(advance: Callable[[], Send]) -> Send | None:
    def to_the_next() -> Send | None:
        try:
            return advance()
        except StopIteration:
            return None

    try:
        return guarded(to_the_next, lambda cause: HoldfastError(f"a summary could not be prepared: {told(cause)}"))
    except HoldfastError as error:
        log.error("%s", redacted_text(str(error)))
        return None

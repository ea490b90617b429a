"""The hook into the OpenAI SDK: a client of the caller's own class whose Chat Completions and Responses calls go through a flow.

Works with openai-python 3.x whose hooks are those that ``SUPPORTED`` was tested with. Three of the SDK's methods are overridden:

- ``request`` holds the whole call, all its attempts in it: a call gets one flow, and so one decision.
- ``_prepare_options`` runs once per attempt, on plain dicts, after every other preparation and before the body is signed. The
  first attempt opens the flow; each puts the same body in.
- ``_process_response`` has the response as soon as its headers are there, before anything is parsed or a caller reads a byte.
  There the flow hears of it, and the watch is put on.

The client made is a subclass of the caller's class under the same name (the SDK sends it in ``User-Agent``): ``isinstance(client, OpenAI)``
holds, ``type(client) is OpenAI`` does not. It shares the connection pool with the one it was made from, so closing either closes
both, as with the SDK's own ``with_options``. Source: openai-python 3.54.0, ``_base_client.py``, read 2026-11-22.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack
from functools import cache, cached_property
from types import new_class
from typing import TYPE_CHECKING, Any, TypeVar, cast

import anyio
import httpx2
import openai
from openai import APIConnectionError, APIStatusError, AsyncOpenAI, AsyncStream, OpenAI, OpenAIError, Stream

from holdfast.calls.background import abeside, beside
from holdfast.calls.values import Received, Send, Wait
from holdfast.errors import CannotWrap
from holdfast.providers import Flows
from holdfast.providers.openai_call import Call, Hooked, Outcome, Step, found, ours, outcome_of, put_together_of, under_way
from holdfast.providers.openai_stream import watch_response

if TYPE_CHECKING:
    from openai._models import FinalRequestOptions

SUPPORTED = ((3, 20), (3, 54))
"""The oldest and the newest minor version of the SDK that the tests have passed on (3.20, 3.40, 3.53 and 3.54; 2026-11-23)."""

NAMED = " to ".join(f"openai {major}.{minor}" for major, minor in dict.fromkeys(SUPPORTED))
HOOKS = ("request", "_prepare_options", "_process_response", "copy", "with_options", "_idempotency_key")

ASK_FAILURES = (OpenAIError, httpx2.HTTPError, httpx2.StreamError, OSError, ValueError, TypeError, RuntimeError)
"""What may become of a question of ours: a refusal, a cut stream, a deadline, a client closed meanwhile. None is the caller's concern."""

GLANCE = 0.01
"""Seconds between two looks at a gate that a task waits for."""

Client = TypeVar("Client", bound="OpenAI | AsyncOpenAI")


class _Again(Exception):
    """A flow wants another request although it got an answer. Never leaves this module."""


def wrapped(client: Client, flows: Flows, *, stream_usage: bool | None = None) -> Client:
    """A client like ``client`` whose calls go through ``flows``; one that is wrapped already comes back as it is.

    ``stream_usage``: whether Chat streams are asked for their usage where the caller has not; the caller's chunks stay as they would
    have been. ``None``: on the hosts that document it (OpenAI's and Azure OpenAI's). Methods replaced on the instance, as
    tracing wrappers do it, do not come along. Raises ``CannotWrap`` for a client of a class that cannot be subclassed.
    """
    if isinstance(client, SyncHook | AsyncHook):
        return client
    return _made(client, Hooked(flows, stream_usage))


def flows_of(client: object) -> Flows | None:
    """Who decides for a client and its copies, ``None`` for one that is not wrapped."""
    hooked = _hooked_of(client)
    return hooked.flows if hooked is not None else None


def _hooked_of(client: object) -> Hooked | None:
    return client.holdfast_hooked if isinstance(client, SyncHook | AsyncHook) else None


def _made(client: Client, hooked: Hooked) -> Client:
    kind = _subclass(cast("Any", type(client)))
    made = object.__new__(kind)
    own = {name: value for name, value in vars(client).items() if not _stays(kind, name)}
    vars(made).update(own, holdfast_hooked=hooked)
    return cast("Client", made)


def _stays(kind: type[Any], name: str) -> bool:
    """Whether what is set on an instance belongs to it alone: a resource, or one of the SDK's methods replaced."""
    method = getattr(OpenAI if issubclass(kind, OpenAI) else AsyncOpenAI, name, None)
    return isinstance(getattr(kind, name, None), cached_property) or (callable(method) and not isinstance(method, type))


@cache
def _subclass(kind: type[Any]) -> type[Any]:
    hook: type[Any] = SyncHook if issubclass(kind, OpenAI) else AsyncHook
    if gone := [name for name in HOOKS if not callable(getattr(kind, name, None))]:
        raise CannotWrap(f"openai {openai.__version__} has no {', '.join(gone)}; Holdfast knows {NAMED}")
    names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__, "__doc__": kind.__doc__}
    try:
        return new_class(kind.__name__, (hook, kind), exec_body=lambda space: space.update(names))
    except TypeError as cause:
        raise CannotWrap(f"{kind.__qualname__} cannot be subclassed ({cause}); give its calls to Session.prepare instead") from cause


class SyncHook(OpenAI):
    """Mixed in before a synchronous client's own class."""

    holdfast_hooked: Hooked | None = None

    def copy(self, **changes: Any) -> Any:
        """The SDK's own ``copy``; what comes back is wrapped like this one."""
        return _sharing(super().copy(**changes), self.holdfast_hooked)

    def with_options(self, **changes: Any) -> Any:
        """The SDK's own ``with_options``; what comes back is wrapped like this one."""
        return _sharing(super().with_options(**changes), self.holdfast_hooked)

    def request(self, cast_to: Any, options: FinalRequestOptions, *, stream: bool = False, **rest: Any) -> Any:
        """One call with all its attempts."""
        call = _call(self, options, stream)
        if call is None:
            return super().request(cast_to, options, stream=stream, **rest)
        with under_way(call):
            while True:
                try:
                    return super().request(cast_to, call.attempt(options), stream=stream, **rest)
                except _Again:
                    pass
                except (APIStatusError, APIConnectionError) as error:
                    if not call.usage_refused(error) and self._heard(call, call.failed(error)) is None:
                        raise
                call.key = self._idempotency_key()

    def _prepare_options(self, options: FinalRequestOptions) -> FinalRequestOptions:
        options = super()._prepare_options(options)
        call = found(options)
        if call is None:
            return options
        if call.request is None:
            call.beside = lambda job: beside(job, lambda send: self._asked(call, send))
            self._heard(call, call.begin(options, self))
        return call.fill(options)

    def _process_response(self, *, options: FinalRequestOptions, response: httpx2.Response, **rest: Any) -> Any:
        call = found(options)
        if call is not None and call.request is not None:
            with ExitStack() as stack:
                stack.callback(response.close)
                if self._heard(call, call.heard(response)) is not None:
                    call.answered = False
                    raise _Again
                stack.pop_all()
            _watched(call, response)
        return super()._process_response(options=options, response=response, **rest)

    def _heard(self, call: Call, step: Step | None) -> Send | None:
        """Waits and asks as the flow wants, until it wants the call sent or nothing more."""
        while step is not None and not (isinstance(step, Send) and step.kind == "call"):
            if isinstance(step, Send):
                step = call.tell(self._asked(call, step))
            else:
                step.gate.wait(step.timeout)
                step = call.tell(None)
        return step

    def _asked(self, call: Call, send: Send) -> Outcome:
        options = call.ask(send, self._idempotency_key())
        ends = time.monotonic() + send.timeout if send.timeout is not None else None
        while True:
            try:
                if send.endpoint:
                    return _plain(super().request(object, options))
                with super().request(object, options, stream=True, stream_cls=Stream[object]) as stream:
                    return put_together_of(stream.response, _in_time(stream, ends))
            except ASK_FAILURES as error:
                if not call.ask_again(error, options):
                    return outcome_of(error)


class AsyncHook(AsyncOpenAI):
    """Mixed in before an asynchronous client's own class."""

    holdfast_hooked: Hooked | None = None

    def copy(self, **changes: Any) -> Any:
        """The SDK's own ``copy``; what comes back is wrapped like this one."""
        return _sharing(super().copy(**changes), self.holdfast_hooked)

    def with_options(self, **changes: Any) -> Any:
        """The SDK's own ``with_options``; what comes back is wrapped like this one."""
        return _sharing(super().with_options(**changes), self.holdfast_hooked)

    async def request(self, cast_to: Any, options: FinalRequestOptions, *, stream: bool = False, **rest: Any) -> Any:
        """One call with all its attempts."""
        call = _call(self, options, stream)
        if call is None:
            return await super().request(cast_to, options, stream=stream, **rest)
        with under_way(call):
            while True:
                try:
                    return await super().request(cast_to, call.attempt(options), stream=stream, **rest)
                except _Again:
                    pass
                except (APIStatusError, APIConnectionError) as error:
                    if not call.usage_refused(error) and await self._heard(call, call.failed(error)) is None:
                        raise
                call.key = self._idempotency_key()

    async def _prepare_options(self, options: FinalRequestOptions) -> FinalRequestOptions:
        options = await super()._prepare_options(options)
        call = found(options)
        if call is None:
            return options
        if call.request is None:
            call.beside = lambda job: abeside(job, lambda send: self._asked(call, send))
            await self._heard(call, call.begin(options, self))
        return call.fill(options)

    async def _process_response(self, *, options: FinalRequestOptions, response: httpx2.Response, **rest: Any) -> Any:
        call = found(options)
        if call is not None and call.request is not None:
            async with AsyncExitStack() as stack:
                stack.push_async_callback(_aclosed, response)
                if await self._heard(call, call.heard(response)) is not None:
                    call.answered = False
                    raise _Again
                stack.pop_all()
            _watched(call, response)
        return await super()._process_response(options=options, response=response, **rest)

    async def _heard(self, call: Call, step: Step | None) -> Send | None:
        """Waits and asks as the flow wants, until it wants the call sent or nothing more."""
        while step is not None and not (isinstance(step, Send) and step.kind == "call"):
            if isinstance(step, Send):
                step = call.tell(await self._asked(call, step))
            else:
                await _opened(step)
                step = call.tell(None)
        return step

    async def _asked(self, call: Call, send: Send) -> Outcome:
        options = call.ask(send, self._idempotency_key())
        while True:
            try:
                with anyio.fail_after(send.timeout):
                    if send.endpoint:
                        return _plain(await super().request(object, options))
                    async with await super().request(object, options, stream=True, stream_cls=AsyncStream[object]) as stream:
                        return put_together_of(stream.response, [event async for event in stream])
            except ASK_FAILURES as error:
                if not call.ask_again(error, options):
                    return outcome_of(error)


def _call(client: OpenAI | AsyncOpenAI, options: FinalRequestOptions, stream: bool) -> Call | None:
    hooked = _hooked_of(client)
    if hooked is None or not ours(options):
        return None
    return Call(hooked, options, options.idempotency_key or client._idempotency_key(), stream)  # noqa: SLF001  # the SDK's own form of it


def _sharing(copied: Any, hooked: Hooked | None) -> Any:
    """A copy that the SDK or the caller's own class made, wrapped as the client that it was made from."""
    if isinstance(copied, SyncHook | AsyncHook):
        copied.holdfast_hooked = hooked
        return copied
    return _made(copied, hooked) if hooked is not None else copied


def _watched(call: Call, response: httpx2.Response) -> None:
    if call.request is not None and not call.read:
        watch_response(response, call.watch, call.request.dialect, call.hides_usage)
    elif call.watch is not None:
        call.watch.ended(call.whole)


async def _aclosed(response: httpx2.Response) -> None:
    with anyio.CancelScope(shield=True):  # a call that is cancelled must not leave its connection behind
        await response.aclose()


async def _opened(wait: Wait) -> None:
    with anyio.move_on_after(wait.timeout):
        while not wait.gate.is_open:  # a gate belongs to no event loop
            await anyio.sleep(GLANCE)


def _plain(body: object) -> Received:
    return Received(200, body if isinstance(body, dict) else None)


def _in_time(events: Iterator[object], ends: float | None) -> Iterator[object]:
    for event in events:
        yield event
        if ends is not None and time.monotonic() > ends:
            raise TimeoutError("the answer to a question took too long")

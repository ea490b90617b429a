"""The hook into Anthropic's SDK: its own middleware, which runs once per attempt, inside the retry loop.

Read in anthropic 2.12.0. The Bedrock, Vertex and Foundry clients rewrite the request in ``_prepare_options``, after every middleware: here
all of them are ``POST /v1/messages`` with the model in the body. ``with_raw_response`` and ``with_streaming_response`` are a header
(``RAW_RESPONSE_HEADER``), which ``call_next`` sets for every call and the client undoes behind the chain.
"""

from __future__ import annotations

import copy
import re
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Unpack

import anthropic
import anyio
import httpx2
from anthropic import APIRequest, APIResponse, AsyncAPIResponse
from anthropic._base_client import AsyncAPIClient, SyncAPIClient
from anthropic._constants import OVERRIDE_CAST_TO_HEADER, RAW_RESPONSE_HEADER
from anthropic._response import BaseAPIResponse

from holdfast.calls.background import abeside, beside
from holdfast.calls.redact import redacted_text
from holdfast.calls.values import Flow, Received, Request, Send, Unsent, Wait, Watch
from holdfast.errors import HoldfastError
from holdfast.frozen import Json
from holdfast.pipeline import guarded
from holdfast.providers import Flows, Wishes, calls_for
from holdfast.providers.tee import Event, Heard, Reading, attach, log, parsed
from holdfast.readers.streams import put_together

ENDPOINTS = {"/v1/messages": False, "/v1/messages/count_tokens": True}
"""The paths that Holdfast looks at, and whether they only count."""

PLATFORMS = {
    "AnthropicBedrock": "bedrock",
    "AnthropicBedrockMantle": "bedrock",
    "AnthropicVertex": "vertex",
    "AnthropicFoundry": "foundry",
}
"""Clients of platforms that serve the models themselves. What ``AnthropicAWS`` and ``AnthropicGoogleCloud`` reach, Anthropic serves."""

BETA_HEADER = "anthropic-beta"

SILENT = re.compile(rb'\s*\{\s*"type"\s*:\s*"(?:content_block_|ping")')
"""How an event begins that carries no usage, no id and no end."""

ASK_FAILURES = (anthropic.AnthropicError, httpx2.HTTPError, httpx2.StreamError, OSError, ValueError, TypeError, RuntimeError)
"""What may become of a question of ours: other middleware, a cut stream, a deadline. None of it is the caller's concern."""

GLANCE = 0.003
"""Seconds between two looks at a gate that a task waits for."""

Client = SyncAPIClient | AsyncAPIClient


def _tells(name: bytes, data: bytes) -> bool:
    if not name:  # Bedrock's frames have no names
        return SILENT.match(data) is None
    return not name.startswith((b"content_block", b"ping"))


def _whole(body: Event) -> Iterator[Event]:
    content = body.get("content")
    blocks = content if isinstance(content, list) else []
    yield {"type": "message_start", "message": {**body, "content": []}}
    for place, block in enumerate(blocks):
        yield {"type": "content_block_start", "index": place, "content_block": block}
        yield {"type": "content_block_stop", "index": place}
    yield {"type": "message_delta", "delta": {"stop_reason": body.get("stop_reason")}, "usage": body.get("usage") or {}}
    yield {"type": "message_stop"}


READING = Reading(_tells, lambda event: event.get("type") == "message_stop", _whole)
"""Anthropic Messages: usage comes in ``message_start`` and ``message_delta`` (platform.claude.com, streaming, 2026-08-21)."""


class Middleware(anthropic.Middleware):
    """Holdfast as middleware: ``Anthropic(middleware=[holdfast.Middleware(strategy="micro")])``, sync or async, on any platform.

    Takes what ``holdfast.wrap`` takes. Put it last: what stands behind it sees, and may change, what it sends. One middleware may serve
    several clients; they then share its conversations. ``holdfast.of(client)`` finds it.
    """

    def __init__(self, calls: Flows | None = None, /, **wishes: Unpack[Wishes]) -> None:
        self.calls: Flows = calls_for(wishes) if calls is None else calls

    def handle(self, request: APIRequest, call_next: Callable[[APIRequest], APIResponse[Any]]) -> APIResponse[Any]:
        """One attempt of one call, of a sync client."""
        given = request_of(request, call_next)
        if given is None:
            return call_next(request)
        run = _Run(self.calls, request, _lent(request, given, call_next))
        try:
            while (send := run.begin()) is not None:
                if isinstance(send, Wait):
                    send.gate.wait(send.timeout)
                    run.answered(None)
                    continue
                if send.kind == "ask":
                    run.answered(_ask(run.question(send), call_next, send.timeout))
                    continue
                _close(run.take())
                try:
                    response = call_next(run.outgoing(send))
                except anthropic.AnthropicError as error:
                    run.unsent(error)
                    continue
                http = run.hold(response)
                if http is not None and _to_be_read(http):
                    http.read()
                run.received()
            return run.result() if run.sent else call_next(request)
        finally:
            _close(run.take())
            run.over()

    async def handle_async(
        self, request: APIRequest, call_next: Callable[[APIRequest], Awaitable[AsyncAPIResponse[Any]]]
    ) -> AsyncAPIResponse[Any]:
        """One attempt of one call, of an async client."""
        given = request_of(request, call_next)
        if given is None:
            return await call_next(request)
        run = _Run(self.calls, request, _alent(request, given, call_next))
        try:
            while (send := run.begin()) is not None:
                if isinstance(send, Wait):
                    await _wait(send)
                    run.answered(None)
                    continue
                if send.kind == "ask":
                    run.answered(await _ask_async(run.question(send), call_next, send.timeout))
                    continue
                await _aclose(run.take())
                try:
                    response = await call_next(run.outgoing(send))
                except anthropic.AnthropicError as error:
                    run.unsent(error)
                    continue
                http = run.hold(response)
                if http is not None and _to_be_read(http):
                    await http.aread()
                run.received()
            return run.result() if run.sent else await call_next(request)
        finally:
            await _aclose(run.take())
            run.over()


def request_of(request: APIRequest, call_next: Callable[..., object]) -> Request | None:
    """What a flow is told about an attempt, ``None`` where it is none of ours."""
    path, body = request.url.partition("?")[0], request.json
    if request.method.lower() != "post" or path not in ENDPOINTS or not isinstance(body, dict):
        return None
    client = client_of(call_next)
    headers = {name.lower(): value for name, value in request.headers.items() if isinstance(value, str)}
    default_betas = client.default_headers.get(BETA_HEADER) if client is not None else None
    if isinstance(default_betas, str) and BETA_HEADER not in {name.lower() for name in request.headers}:
        headers[BETA_HEADER] = default_betas
    return Request(
        dialect="anthropic",
        endpoint=path,
        body=body,
        key=request.options.idempotency_key or "",
        provider=provider_of(client),
        headers=headers,
        timeout=_seconds(request.timeout, client),
        counting=ENDPOINTS[path],
        streamed=request.stream or headers.get(RAW_RESPONSE_HEADER.lower()) == "stream",
    )


def client_of(call_next: Callable[..., object]) -> Client | None:
    """The client whose chain this is, ``None`` where that cannot be seen.

    Middleware is not told, but needs to know the platform, the client's timeout and the betas that all its calls carry. The chain's links
    are closures, over the next link and at its end over the client; a test fails when that changes.
    """
    link: object = call_next
    while link is not None:
        names = getattr(getattr(link, "__code__", None), "co_freevars", ())
        cells = getattr(link, "__closure__", None) or ()
        held = {name: cell.cell_contents for name, cell in zip(names, cells, strict=True)}
        if isinstance(client := held.get("self"), SyncAPIClient | AsyncAPIClient):
            return client
        link = held.get("call_next")
    return None


def provider_of(client: Client | None) -> str:
    """Who serves what this client asks for."""
    names = (base.__name__.removeprefix("Async") for base in type(client).__mro__)
    return next((PLATFORMS[name] for name in names if name in PLATFORMS), "anthropic")


def _seconds(timeout: object, client: Client | None) -> float | None:
    if isinstance(timeout, anthropic.NotGiven):
        timeout = client.timeout if client is not None else None
    if isinstance(timeout, httpx2.Timeout):
        timeout = timeout.read
    return float(timeout) if isinstance(timeout, int | float) else None


class Crashed(HoldfastError):
    """A flow raised what it should not have. The call goes on as if there were none."""


class _Run:
    """One flow and what became of it so far. It does no I/O, so that the sync and the async hook share it."""

    def __init__(self, calls: Flows, request: APIRequest, given: Request) -> None:
        self._calls, self._request, self._given = calls, request, given
        self._flow: Flow | None = None
        self._send: Send | Wait | None = None
        self._watch: Watch | None = None
        self._answer: Any = None
        self._error: Exception | None = None
        self._heard: Received | None = None
        self.sent = False

    def begin(self) -> Send | Wait | None:
        """What to send or to wait for next, ``None`` when the flow is at its end."""
        if self._flow is None:
            self._step(self._start)
        return self._send

    def outgoing(self, send: Send) -> APIRequest:
        """The caller's request with what the flow wants in it: the very object where that is nothing."""
        self.sent, self._error, self._heard = True, None, None
        return _derived(self._request, self._given, send)

    def question(self, send: Send) -> APIRequest:
        """A request of our own."""
        return _question(self._request, self._given, send)

    def unsent(self, error: Exception) -> None:
        """The call could not be made: the flow is told, and the caller will be unless it has something better to do."""
        self._error = error
        self.answered(unsent(error))

    def hold(self, answer: object) -> httpx2.Response | None:
        """The caller's answer, as far as the flow goes. ``None`` where other middleware made up something that is no response."""
        self._answer = answer
        return _http(answer)

    def received(self) -> None:
        """The answer in hand has a head, and a body as far as it is to be read now: the flow is told."""
        http = _http(self._answer)
        if http is None:
            self._send = None
            return
        self._heard = Received(http.status_code, _body(http), dict(http.headers))
        self.answered(self._heard)

    def answered(self, got: Received | Unsent | None) -> None:
        """Let the flow go on with what came back, after a wait with nothing."""
        flow = self._flow
        if flow is not None:
            self._step(lambda: flow.throw(got) if isinstance(got, Unsent) else flow.send(got))

    def take(self) -> httpx2.Response | None:
        """The response in hand, which nobody will get: it is to be closed."""
        answer, self._answer = self._answer, None
        return _http(answer)

    def result(self) -> Any:
        """The caller's answer, watched. Raises the SDK's own error where there is none."""
        if self._error is not None:
            raise self._error
        answer, self._answer = self._answer, None
        http = _http(answer)
        if self._watch is not None and http is not None:
            if http.is_success and self._heard is not None and self._heard.body is None:
                attach(http, self._watch, READING)
            else:
                self._watch.ended(http.is_success)
        return answer

    def over(self) -> None:
        """End the flow, wherever it is."""
        flow = self._flow
        if flow is not None:
            self._step(lambda: flow.close())

    def _start(self) -> Send | Wait:
        self._flow = self._calls.flow(self._given)
        return next(self._flow)

    def _step(self, advance: Callable[[], Send | Wait | None]) -> None:
        def to_the_next() -> Send | Wait | None:
            try:
                return advance()
            except StopIteration as end:
                self._watch = end.value
            except Unsent:
                pass
            return None

        self._send = None
        try:
            self._send = guarded(to_the_next, lambda cause: Crashed(f"{type(cause).__name__}: {cause}"))
        except Crashed as crash:
            log.error("a call goes on without Holdfast: %s", redacted_text(str(crash)))


def unsent(cause: Exception) -> Unsent:
    """What a flow is told of an SDK's error."""
    failure = Unsent(str(cause))
    failure.__cause__ = cause
    return failure


def _question(request: APIRequest, given: Request, send: Send) -> APIRequest:
    """A request of our own beside the caller's: streamed, under its own key, in none of the caller's response modes."""
    made = _derived(request, given, replace(send, body={**send.body, "stream": True}))
    options = made.options
    ours = (RAW_RESPONSE_HEADER.lower(), OVERRIDE_CAST_TO_HEADER.lower())
    options.headers = {name: value for name, value in made.headers.items() if name.lower() not in ours}
    if send.without_betas:
        kept = [beta.strip() for beta in _header(options.headers, given).split(",") if not beta.strip().startswith(send.without_betas)]
        options.headers = {name: value for name, value in options.headers.items() if name.lower() != BETA_HEADER}
        options.headers = {**options.headers, BETA_HEADER: ",".join(filter(None, kept)) or anthropic.omit}
    options.idempotency_key = f"holdfast-{uuid.uuid4()}"
    return APIRequest(options=options, cast_to=object, stream=True)


def _header(headers: Mapping[str, object], given: Request) -> str:
    """The betas of a request of ours, and of the client where it names none itself."""
    said = next((value for name, value in headers.items() if name.lower() == BETA_HEADER), None)
    return said if isinstance(said, str) else given.headers.get(BETA_HEADER, "")


def _derived(request: APIRequest, given: Request, send: Send) -> APIRequest:
    betas = _merged(given.headers.get(BETA_HEADER, ""), send.betas)
    if send.body is given.body and send.timeout is None and not betas and not send.endpoint:
        return request
    options = copy.copy(request.options)  # `request.copy` would copy the whole history first
    options.json_data = send.body if isinstance(send.body, dict) else dict(send.body)
    if send.timeout is not None:
        options.timeout = send.timeout
    if betas:
        kept = {name: value for name, value in request.headers.items() if name.lower() != BETA_HEADER}
        options.headers = {**kept, BETA_HEADER: betas}
    if send.endpoint:
        options.url = send.endpoint + "".join(request.url.partition("?")[1:])
    return APIRequest(
        options=options,
        cast_to=request.cast_to,
        stream=request.stream,
        stream_cls=request.stream_cls,
        retries_taken=request.retries_taken,
    )


def _merged(there: str, wanted: tuple[str, ...]) -> str:
    """The header's value with these betas in it, ``""`` where they all are already."""
    have = [beta for beta in (part.strip() for part in there.split(",")) if beta]
    new = [beta for beta in dict.fromkeys(wanted) if beta not in have]
    return ",".join([*have, *new]) if new else ""


def _http(answer: object) -> httpx2.Response | None:
    if isinstance(answer, BaseAPIResponse):
        return answer.http_response
    return answer if isinstance(answer, httpx2.Response) else None  # a caller with ``cast_to=httpx2.Response``


def _to_be_read(http: httpx2.Response) -> bool:
    """Whether an error's body is not read yet and the SDK is going to, as it is not going to try again (``_should_retry``)."""
    if http.is_closed or http.is_success:
        return False
    said = http.headers.get("x-should-retry")
    if said in ("true", "false"):
        return bool(said == "false")
    return http.status_code < 500 and http.status_code not in (408, 409, 429)


def _body(http: httpx2.Response) -> Mapping[str, Json] | None:
    if not http.is_closed:
        return None
    try:
        return parsed(http.content)
    except httpx2.ResponseNotRead:
        return None


def _close(http: httpx2.Response | None) -> None:
    if http is not None:
        http.close()


async def _aclose(http: httpx2.Response | None) -> None:
    if http is not None:
        with anyio.CancelScope(shield=True):  # a call that is cancelled must not leave its connection behind
            await http.aclose()


async def _wait(wait: Wait) -> None:
    # A gate belongs to no event loop: whoever opens it may be in another one, or in none.
    with anyio.move_on_after(wait.timeout):
        while not wait.gate.is_open:
            await anyio.sleep(GLANCE)


def _lent(request: APIRequest, given: Request, call_next: Callable[[APIRequest], object]) -> Request:
    """What a flow is told, with a way to ask beside the call."""

    def asks(send: Send) -> Received | Unsent:
        return _ask(_question(request, given, send), call_next, send.timeout)

    return replace(given, beside=lambda job: beside(job, asks))


def _alent(request: APIRequest, given: Request, call_next: Callable[[APIRequest], Awaitable[object]]) -> Request:
    def asks(send: Send) -> Awaitable[Received | Unsent]:
        return _ask_async(_question(request, given, send), call_next, send.timeout)

    return replace(given, beside=lambda job: abeside(job, asks))


def _ask(question: APIRequest, call_next: Callable[[APIRequest], object], timeout: float | None) -> Received | Unsent:
    deadline = time.monotonic() + timeout if timeout is not None else float("inf")
    http: httpx2.Response | None = None
    try:
        http = _asked(call_next(question))
        heard = Heard(http.headers.get("content-type", ""), READING)
        for chunk in http.iter_bytes():
            heard.feed(chunk)
            if time.monotonic() > deadline:
                raise TimeoutError(f"no whole answer in {timeout} s")
        return _put_together(http, heard)
    except ASK_FAILURES as failure:
        return unsent(failure)
    finally:
        _close(http)


async def _ask_async(
    question: APIRequest, call_next: Callable[[APIRequest], Awaitable[object]], timeout: float | None
) -> Received | Unsent:
    http: httpx2.Response | None = None
    try:
        with anyio.fail_after(timeout):
            http = _asked(await call_next(question))
            heard = Heard(http.headers.get("content-type", ""), READING)
            async for chunk in http.aiter_bytes():
                heard.feed(chunk)
        return _put_together(http, heard)
    except ASK_FAILURES as failure:
        return unsent(failure)
    finally:
        await _aclose(http)


def _asked(answer: object) -> httpx2.Response:
    http = _http(answer)
    if http is None:
        raise TypeError(f"other middleware gave a {type(answer).__name__} instead of a response")
    return http


def _put_together(http: httpx2.Response, heard: Heard) -> Received:
    heard.end()
    headers = dict(http.headers)
    if not http.is_success:
        return Received(http.status_code, heard.body, headers)
    found = put_together(heard.events)
    if not heard.complete and "error" not in found:
        raise ConnectionError("the answer broke off")
    return Received(http.status_code, found, headers)

"""The hook into Anthropic's SDK, over real sockets: what a caller gets and what a flow is told, sync and async."""

from __future__ import annotations

import json
import logging
import ssl
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar, cast

import anthropic
import anyio
import httpx2
import pydantic
import pytest
from anthropic import Anthropic, APIRequest, AsyncAnthropic

from holdfast.calls.gate import Gate
from holdfast.calls.values import Flow, Received, Request, Send, Unsent, Wait
from holdfast.errors import BudgetUnreachable
from holdfast.providers.anthropic import Middleware, client_of, provider_of
from tests.providers.wire import (
    CUT,
    EVENTS,
    MESSAGE,
    PLAIN,
    STREAM,
    TELLING,
    Hearing,
    Say,
    Scripted,
    Sent,
    Server,
    frame,
    refusal,
    serving,
    sse,
)

CALL: dict[str, Any] = {"model": "claude-sonnet-5", "max_tokens": 64, "messages": [{"role": "user", "content": "Good day?"}]}
COUNT = Say([b'{"input_tokens": 12}'])
Given = TypeVar("Given")


class Weather(pydantic.BaseModel):
    """What a parsed answer holds."""

    sky: str


OPEN: list[Any] = []
TRUST = ssl.create_default_context()
"""Made once: it is most of what a client costs."""


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    """No test leaves a connection behind."""
    yield
    while OPEN:
        OPEN.pop().close()


def bare(server: Server, **options: Any) -> Anthropic:
    """A client without Holdfast."""
    client = Anthropic(api_key="k", base_url=server.url, **{"http_client": httpx2.Client(verify=TRUST), **options})
    OPEN.append(client)
    return client


def hooked(server: Server, flows: Scripted, **options: Any) -> Anthropic:
    """The same with it."""
    return bare(server, middleware=[Middleware(flows)], **options)


def hooked_async(server: Server, flows: Scripted, **options: Any) -> AsyncAnthropic:
    """The same, asynchronous."""
    pool = httpx2.AsyncClient(verify=TRUST)
    return AsyncAnthropic(api_key="k", base_url=server.url, http_client=pool, middleware=[Middleware(flows)], **options)


def of_async(server: Server, flows: Scripted, use: Callable[[AsyncAnthropic], Awaitable[Given]], **options: Any) -> Given:
    """What an async client's call gives."""

    async def go() -> Given:
        async with hooked_async(server, flows, **options) as client:
            return await use(client)

    return anyio.run(go)


def helper_stream(client: Anthropic) -> Any:
    """The text that the SDK's helper streams."""
    with client.messages.stream(**CALL) as stream:
        return [*stream.text_stream], stream.get_final_message().model_dump()


def streamed_response(client: Anthropic) -> Any:
    """An unstreamed answer through ``with_streaming_response``."""
    with client.messages.with_streaming_response.create(**CALL) as response:
        return response.status_code, b"".join(response.iter_bytes())


def parsed_late(client: Anthropic) -> Any:
    """An answer that is parsed by the caller."""
    with client.beta.messages.with_streaming_response.create(**CALL) as response:
        return response.parse().model_dump()


def events(client: Anthropic) -> Any:
    """Raw events."""
    return [event.model_dump() for event in client.messages.create(**CALL, stream=True)]


def raw_events(client: Anthropic) -> Any:
    """Raw events of a raw response."""
    return [event.model_dump() for event in client.messages.with_raw_response.create(**CALL, stream=True).parse()]


PARSED = Say([json.dumps({**MESSAGE, "content": [{"type": "text", "text": '{"sky": "blue"}'}]}).encode()])

SURFACES: dict[str, tuple[Say, Callable[[Anthropic], Any]]] = {
    "create": (PLAIN, lambda client: client.messages.create(**CALL).model_dump()),
    "beta": (PLAIN, lambda client: client.beta.messages.create(**CALL, betas=["some-beta"]).model_dump()),
    "raw response": (PLAIN, lambda client: client.messages.with_raw_response.create(**CALL).text()),
    "streaming response": (PLAIN, streamed_response),
    "streaming response, parsed": (PLAIN, parsed_late),
    "with options": (PLAIN, lambda client: client.with_options(timeout=9, max_retries=0).messages.create(**CALL).model_dump()),
    "parse": (PARSED, lambda client: client.messages.parse(**CALL, output_format=Weather).parsed_output),
    "post": (PLAIN, lambda client: client.post("/v1/messages", body=CALL, cast_to=object)),
    "stream": (STREAM, events),
    "raw stream": (STREAM, raw_events),
    "helper stream": (STREAM, helper_stream),
    "count": (COUNT, lambda client: client.messages.count_tokens(model=CALL["model"], messages=CALL["messages"]).model_dump()),
}


@pytest.mark.parametrize("surface", SURFACES)
def test_every_surface_gives_what_the_bare_client_gives(surface: str) -> None:
    """The same value comes back, the same bytes go out, one flow saw the call and its watch the end."""
    say, use = SURFACES[surface]
    with serving(say, say) as server:
        flows = Scripted(watch=(watch := Hearing()))
        assert use(hooked(server, flows)) == use(bare(server))
        ours, theirs = server.sent
        assert (ours.path, ours.raw) == (theirs.path, theirs.raw)
        kept = ("anthropic-beta", "x-stainless-retry-count", "content-type", "x-stainless-timeout", "x-stainless-helper")
        assert [ours.headers.get(name) for name in kept] == [theirs.headers.get(name) for name in kept]
    (request,) = flows.requests
    assert request.body == ours.body
    assert (request.dialect, request.provider, request.counting) == ("anthropic", "anthropic", surface == "count")
    assert request.endpoint == ours.path.partition("?")[0]
    assert request.key
    assert watch.ends == [True]
    (got,) = flows.got
    assert isinstance(got, Received)
    assert got.ok
    assert got.headers["request-id"] == "req_1"
    assert request.streamed == ("stream" in surface)
    assert (got.body is None) == request.streamed
    assert [*watch.events] == ([] if got.body is not None else TELLING if say is STREAM else watch.events)


def test_async_calls_go_through_alike() -> None:
    """Plain, parsed, raw, streamed by hand and by the helper, counted."""

    async def use(client: AsyncAnthropic) -> list[Any]:
        plain = await client.messages.create(**CALL)
        parsed = await client.beta.messages.parse(**CALL, output_format=Weather)
        raw = await client.messages.with_raw_response.create(**CALL)
        events = [event.model_dump() async for event in await client.messages.create(**CALL, stream=True)]
        async with client.messages.stream(**CALL) as stream:
            final = await stream.get_final_message()
        async with client.messages.with_streaming_response.create(**CALL) as response:
            late = await response.json()
        count = await client.with_options(timeout=5).messages.count_tokens(model="m", messages=CALL["messages"])
        return [plain.id, parsed.parsed_output, await raw.json(), len(events), final.usage.output_tokens, late, count.input_tokens]

    with serving(PLAIN, PARSED, PLAIN, STREAM, STREAM, PLAIN, COUNT) as server:
        flows = Scripted(watch=(watch := Hearing()))
        got = of_async(server, flows, use)
    assert got == ["msg_1", Weather(sky="blue"), MESSAGE, len(EVENTS) - 1, 2, MESSAGE, 12]
    assert [request.counting for request in flows.requests] == [False] * 6 + [True]
    assert watch.ends == [True] * 7


def seen_inside(requests: list[APIRequest]) -> Any:
    """Middleware that keeps the requests it sees."""

    def keep(request: APIRequest, call_next: Any) -> Any:
        requests.append(request)
        return call_next(request)

    return keep


def test_what_is_not_changed_is_the_same_object() -> None:
    """With the caller's own body, and for what is none of Holdfast's, the very request goes on."""
    with serving(PLAIN, Say([b'{"data": [], "has_more": false, "first_id": null, "last_id": null}'])) as server:
        outside: list[APIRequest] = []
        inside: list[APIRequest] = []
        flows = Scripted()
        client = bare(server, middleware=[seen_inside(outside), Middleware(flows), seen_inside(inside)])
        client.messages.create(**CALL)
        client.models.list()
        assert [ours is theirs for ours, theirs in zip(outside, inside, strict=True)] == [True, True]
        assert flows.requests[0].body is outside[0].json
    assert len(flows.requests) == 1


@pytest.mark.parametrize(
    "use",
    [
        lambda client: client.messages.batches.create(requests=[{"custom_id": "a", "params": CALL}]),
        lambda client: client.beta.messages.batches.list(),
        lambda client: client.models.retrieve("m"),
        lambda client: client.beta.files.upload(file=("a.txt", b"text")),
        lambda client: client.get("/v1/messages", cast_to=object),
        lambda client: client.post("/v1/other", body=CALL, cast_to=object),
    ],
)
def test_what_is_none_of_holdfasts_passes(use: Callable[[Anthropic], Any]) -> None:
    """Batches, models, files and whatever else: no flow is asked."""
    with serving(lambda _: Say([b'{"id": "x", "data": []}'])) as server:
        flows = Scripted()
        use(hooked(server, flows))
    assert flows.requests == []


def shortened(request: Request, flows: Scripted) -> Flow:
    """Send something else than the caller gave."""
    flows.hear((yield Send("call", {**request.body, "messages": [{"role": "user", "content": "short"}]})))
    return None


def test_another_body_goes_out_and_the_callers_stays() -> None:
    """What the flow gave is sent; neither the caller's list nor the request's body changes, and nothing is copied."""
    with serving(PLAIN) as server:
        outside: list[APIRequest] = []
        flows = Scripted(shortened)
        bare(server, middleware=[seen_inside(outside), Middleware(flows)]).messages.create(**CALL)
        assert server.sent[0].body["messages"] == [{"role": "user", "content": "short"}]
        assert outside[0].json == CALL
        assert flows.requests[0].body["messages"] == CALL["messages"]


@pytest.mark.parametrize("stream", [False, True])
def test_every_attempt_has_a_flow_and_the_same_key(stream: bool) -> None:
    """529, then (it takes the SDK half a second) a dropped connection, then an answer: one key, the same bytes, and what each was told."""
    with serving(refusal(529), refusal(500) if stream else Say([], 0), STREAM if stream else PLAIN) as server:
        flows = Scripted(shortened)
        client = hooked(server, flows, max_retries=3)
        answer: Any = client.messages.create(**CALL, stream=stream)
        assert [*answer] if stream else answer.id
        assert len({sent.raw for sent in server.sent}) == 1
    assert len({request.key for request in flows.requests}) == 1
    assert len(flows.requests) == 3
    first = flows.got[0]
    assert isinstance(first, Received)
    assert (first.status, first.body is None) == (529, stream)


def told(request: Request, flows: Scripted) -> Flow:
    """Send, and keep what comes back, an error too."""
    try:
        flows.hear((yield Send("call", request.body)))
    except Unsent as failure:
        flows.hear(failure)
        raise
    return flows.watch


def failing(use: Callable[[], Any]) -> Exception:
    """What a call raises."""
    try:
        use()
    except Exception as failure:  # noqa: BLE001  it is what the test looks at
        return failure
    raise AssertionError("nothing was raised")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("asynchronous", [False, True])
def test_an_error_is_the_sdks_own_and_the_flow_reads_it_too(asynchronous: bool, stream: bool) -> None:
    """A refused call raises what it would have raised, streamed or not; the flow has its body."""
    with serving(lambda _: refusal(400, "prompt is too long")) as server:
        flows = Scripted(told, watch=(watch := Hearing()))
        theirs = failing(lambda: bare(server).messages.create(**CALL, stream=stream))
        if asynchronous:
            ours = failing(lambda: of_async(server, flows, lambda client: client.messages.create(**CALL, stream=stream)))
        else:
            ours = failing(lambda: hooked(server, flows).messages.create(**CALL, stream=stream))
    assert isinstance(ours, anthropic.BadRequestError)
    assert isinstance(theirs, anthropic.BadRequestError)
    assert (str(ours), ours.body) == (str(theirs), theirs.body)
    (got,) = flows.got
    assert isinstance(got, Received)
    assert (got.status, got.body) == (400, theirs.body)
    assert watch.ends == [False]


def test_an_error_that_breaks_off_fails_as_it_would_have() -> None:
    """A refusal whose body is cut raises what the bare client raises, and the flow ends."""
    cut = Say([b'{"type": "error"', CUT], 400)
    with serving(lambda _: cut) as server:
        flows = Scripted(told)
        ours = failing(lambda: hooked(server, flows).messages.create(**CALL, stream=True))
        theirs = failing(lambda: bare(server).messages.create(**CALL, stream=True))
    assert (type(ours), str(ours)) == (type(theirs), str(theirs))
    assert flows.closed == [GeneratorExit]


def late(_: Sent) -> Say:
    """An answer that nobody waits for."""
    time.sleep(0.3)
    return PLAIN


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize(("listens", "expected"), [(False, anthropic.APIConnectionError), (True, anthropic.APITimeoutError)])
def test_a_call_that_cannot_be_made_raises_the_sdks_own_error(listens: bool, expected: type[Exception], asynchronous: bool) -> None:
    """Nobody listens, or nobody answers in time: the flow hears of it, the caller gets the SDK's error."""
    flows = Scripted(told)
    options: dict[str, Any] = {"max_retries": 0, "timeout": 0.05}
    with serving(late) as server:
        if not listens:
            server.close()
        if asynchronous:
            ours = failing(lambda: of_async(server, flows, lambda client: client.messages.create(**CALL), **options))
        else:
            ours = failing(lambda: hooked(server, flows, **options).messages.create(**CALL))
    assert type(ours) is expected
    assert ours.__cause__ is not None
    assert not isinstance(ours.__context__, Unsent)
    (got,) = flows.got
    assert isinstance(got, Unsent)
    assert got.__cause__ is ours
    assert flows.closed == [Unsent]
    assert flows.requests[0].timeout == 0.05


def second_try(request: Request, flows: Scripted) -> Flow:
    """Where the provider refuses, send less."""
    first = flows.hear((yield Send("call", request.body)))
    if not first.ok:
        flows.hear((yield Send("call", {**request.body, "messages": []}, timeout=2.0, betas=("b1", "b2"))))
    return flows.watch


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("stream", [False, True])
def test_a_flow_may_send_again(stream: bool, asynchronous: bool) -> None:
    """The caller gets the answer to the last one and never sees the refusal; betas join those that all calls carry."""
    with serving(refusal(413), STREAM if stream else PLAIN) as server:
        flows = Scripted(second_try, watch=(watch := Hearing()))
        options: dict[str, Any] = {"default_headers": {"anthropic-beta": "b0,b1"}, "max_retries": 0}

        async def use(client: AsyncAnthropic) -> Any:
            answer: Any = await client.messages.create(**CALL, stream=stream)
            return [event.type async for event in answer][-1] if stream else answer.id

        if asynchronous:
            got = of_async(server, flows, use, **options)
        else:
            answer: Any = hooked(server, flows, **options).messages.create(**CALL, stream=stream)
            got = [event.type for event in answer][-1] if stream else answer.id
        assert got == ("message_stop" if stream else "msg_1")
        first, second = server.sent
        assert (first.headers["anthropic-beta"], second.headers["anthropic-beta"]) == ("b0,b1", "b0,b1,b2")
        assert second.headers["x-stainless-timeout"] == "2.0"
        assert second.body["messages"] == []
    assert watch.ends == [True]


@pytest.mark.parametrize("asynchronous", [False, True])
def test_an_answer_that_nobody_gets_is_closed(asynchronous: bool) -> None:
    """A stream that a flow supersedes, or that it drops by raising, gives its connection back."""

    def again(request: Request, flows: Scripted) -> Flow:
        yield Send("call", request.body)
        yield Send("call", request.body)
        raise BudgetUnreachable(2, 1, ())

    closed: list[httpx2.Response] = []

    def keep(request: APIRequest, call_next: Any) -> Any:
        closed.append(call_next(request).http_response)
        return (
            call_next(request)
            if len(closed) > 9
            else anthropic.APIResponse(
                raw=closed[-1], cast_to=object, client=cast("Any", None), stream=True, stream_cls=None, options=request.options
            )
        )

    async def keep_async(request: APIRequest, call_next: Any) -> Any:
        answer = await call_next(request)
        closed.append(answer.http_response)
        return answer

    with serving(STREAM, STREAM) as server:
        flows = Scripted(again)
        if asynchronous:
            options: dict[str, Any] = {"middleware": [Middleware(flows), keep_async]}

            async def go() -> None:
                async with AsyncAnthropic(api_key="k", base_url=server.url, **options) as client:
                    await client.messages.create(**CALL, stream=True)

            failure = failing(lambda: anyio.run(go))
        else:
            client = bare(server, middleware=[Middleware(flows), keep])
            failure = failing(lambda: client.messages.create(**CALL, stream=True))
    assert isinstance(failure, BudgetUnreachable)
    assert [response.is_closed for response in closed] == [True, True]


def asking(request: Request, flows: Scripted) -> Flow:
    """Ask first, then send."""
    question = {**request.body, "messages": [*cast("list[Any]", request.body["messages"]), {"role": "user", "content": "sum up"}]}
    try:
        flows.hear((yield Send("ask", question, timeout=0.5)))
    except Unsent as failure:
        flows.hear(failure)
    flows.hear((yield Send("call", request.body)))
    return flows.watch


def answering(ask: Say, call: Say) -> Callable[[Sent], Say]:
    """A provider that answers questions so, and calls so."""
    return lambda sent: ask if b"sum up" in sent.raw else call


USES: list[Callable[[Anthropic], Any]] = [
    lambda client: client.messages.create(**CALL).model_dump(),
    lambda client: client.messages.with_raw_response.create(**CALL).text(),
    streamed_response,
]


@pytest.mark.parametrize("use", USES)
def test_a_question_is_streamed_and_leaves_no_trace_in_the_call(use: Callable[[Anthropic], Any]) -> None:
    """Whatever mode the caller's call is in, the question is a plain stream, put together, and the call is as without it."""
    with serving(answering(STREAM, PLAIN)) as server:
        flows = Scripted(asking)
        assert use(hooked(server, flows)) == use(bare(server))
        asked, ours, theirs = server.sent
        assert ours.raw == theirs.raw
        assert asked.body["stream"] is True
        assert asked.headers["x-stainless-timeout"] == "0.5"
        assert asked.headers["x-stainless-retry-count"] == "0"
        assert asked.headers["x-stainless-raw-response"] == "raw"
    answer = flows.got[0]
    assert isinstance(answer, Received)
    assert (answer.status, answer.body) == (200, MESSAGE)


def test_a_question_has_a_key_of_its_own() -> None:
    """No two requests of a call but its own attempts share one."""
    keys: list[str | None] = []

    def keep(request: APIRequest, call_next: Any) -> Any:
        keys.append(request.options.idempotency_key)
        return call_next(request)

    with serving(answering(STREAM, PLAIN)) as server:
        bare(server, middleware=[Middleware(flows := Scripted(asking)), keep]).messages.create(**CALL)
    asked, called = keys
    assert asked != called == flows.requests[0].key


FAILED: dict[str, tuple[Say, int]] = {
    "refused": (refusal(529), 529),
    "too long": (refusal(400), 400),
    "an error in the stream": (Say([sse({"type": "error", "error": {"type": "overloaded_error"}})], kind="text/event-stream"), 200),
    "cut": (Say([sse(EVENTS[0]), CUT], kind="text/event-stream"), 0),
    "half": (Say([sse(event) for event in EVENTS[:-1]], kind="text/event-stream"), 0),
    "slow": (Say([sse(EVENTS[0]), 0.7, sse(EVENTS[-1])], kind="text/event-stream"), 0),
    "drips": (Say([part for event in EVENTS for part in (0.1, sse(event))], kind="text/event-stream"), 0),
}


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("how", FAILED)
def test_a_question_that_fails_is_no_concern_of_the_callers(how: str, asynchronous: bool) -> None:
    """An error is told as it is, once and without a retry; a stream that breaks off or takes too long as ``Unsent``; the call goes on."""
    say, status = FAILED[how]
    with serving(answering(say, PLAIN)) as server:
        flows = Scripted(asking)
        if asynchronous:
            message = of_async(server, flows, lambda client: client.messages.create(**CALL))
        else:
            message = hooked(server, flows).messages.create(**CALL)
        assert message.id == "msg_1"
        assert len(server.sent) == 2
    got = flows.got[0]
    assert got.status == status if isinstance(got, Received) else (isinstance(got, Unsent) and not status)
    if isinstance(got, Received):
        assert got.body is not None
        assert "error" in got.body


def test_a_cancelled_call_ends_its_flow() -> None:
    """The task's cancellation passes, and the flow is closed."""

    async def use(client: AsyncAnthropic) -> bool:
        with anyio.move_on_after(0.05) as scope:
            await client.messages.create(**CALL)
        return scope.cancelled_caught

    with serving(Say([0.3, b"{}"])) as server:
        flows = Scripted(told)
        assert of_async(server, flows, use)
    assert flows.closed == [GeneratorExit]
    assert flows.got == []


def test_an_interrupt_ends_the_flow_too() -> None:
    """So does whatever other middleware raises."""

    def interrupt(request: APIRequest, call_next: Any) -> Any:
        raise KeyboardInterrupt

    with serving(PLAIN) as server:
        flows = Scripted(told)
        with pytest.raises(KeyboardInterrupt):
            bare(server, middleware=[Middleware(flows), interrupt]).messages.create(**CALL)
    assert flows.closed == [GeneratorExit]


@pytest.mark.parametrize("use", [events, helper_stream])
def test_a_cut_stream_fails_as_it_would_have(use: Callable[[Anthropic], Any]) -> None:
    """The same events and the same error as with the bare client; the watch hears what came, and of no end."""
    cut = Say([*map(sse, EVENTS[:4]), CUT], kind="text/event-stream")
    with serving(lambda _: cut) as server:
        flows = Scripted(watch=(watch := Hearing(every=True)))
        ours, theirs = failing(lambda: use(hooked(server, flows))), failing(lambda: use(bare(server)))
        assert (type(ours), str(ours)) == (type(theirs), str(theirs))
    assert watch.events == EVENTS[:4]
    assert watch.ends == [False]


def test_an_early_close_reaches_the_watch() -> None:
    """Leaving a stream's ``with`` block, sync or async, is its end."""

    async def use(client: AsyncAnthropic) -> str:
        async with client.messages.stream(**CALL) as stream:
            return str((await anext(aiter(stream))).type)

    slow = Say([sse(EVENTS[0]), 0.05, *map(sse, EVENTS[1:])], kind="text/event-stream")
    with serving(slow, slow, slow) as server:
        flows = Scripted(watch=(watch := Hearing()))
        with hooked(server, flows).messages.create(**CALL, stream=True) as stream:
            assert next(stream).type == "message_start"
        assert watch.ends == [False]
        assert of_async(server, flows, use) == "message_start"
        assert watch.ends == [False, False]
        hooked(server, flows).messages.create(**CALL, stream=True)  # dropped at once
        assert watch.ends == [False, False, False]


@pytest.mark.parametrize("where", ["before", "after"])
@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_flow_that_crashes_leaves_the_call_as_it_is(where: str, asynchronous: bool, caplog: pytest.LogCaptureFixture) -> None:
    """A bug of ours is logged: the caller's own request goes out, or the answer it had comes back."""

    def crash(request: Request, flows: Scripted) -> Flow:
        if where == "after":
            yield Send("call", request.body)
        raise ZeroDivisionError

    with serving(PLAIN) as server, caplog.at_level(logging.ERROR, "holdfast"):
        flows = Scripted(crash)
        if asynchronous:
            message = of_async(server, flows, lambda client: client.messages.create(**CALL))
        else:
            message = hooked(server, flows).messages.create(**CALL)
        assert message.id == "msg_1"
        assert [sent.body for sent in server.sent] == [CALL]
    assert "ZeroDivisionError" in caplog.text


def test_an_error_meant_for_the_caller_reaches_it() -> None:
    """What a flow raises of Holdfast's own errors (``on_error="raise"``) is raised, and nothing is sent."""

    def strict(request: Request, flows: Scripted) -> Flow:
        raise BudgetUnreachable(2, 1, (0,))
        yield

    with serving(PLAIN) as server:
        with pytest.raises(BudgetUnreachable):
            hooked(server, Scripted(strict)).messages.create(**CALL)
        assert server.sent == []


def test_what_other_middleware_makes_up_is_handed_through() -> None:
    """A value that is no response ends the flow and reaches the caller."""
    made_up = object()
    with serving(PLAIN) as server:
        flows = Scripted(told)
        client = bare(server, middleware=[Middleware(flows), lambda request, call_next: made_up])
        assert cast("object", client.messages.create(**CALL)) is made_up
    assert flows.closed == [GeneratorExit]


class Shown(anthropic.Middleware):
    """Keeps the clients that ``client_of`` sees."""

    def __init__(self) -> None:
        self.clients: list[Any] = []

    def handle(self, request: APIRequest, call_next: Any) -> Any:
        self.clients.append(client_of(call_next))
        return call_next(request)

    async def handle_async(self, request: APIRequest, call_next: Any) -> Any:
        self.clients.append(client_of(call_next))
        return await call_next(request)


def test_the_chain_still_shows_its_client() -> None:
    """Middleware finds the client at the chain's end, behind other middleware and in a copy: fails when the SDK's chain changes."""
    with serving(lambda _: PLAIN) as server:
        shown = Shown()
        client = bare(server, middleware=[shown, seen_inside([]), seen_inside([])])
        copied = client.with_options(timeout=3)
        client.messages.create(**CALL)
        copied.messages.create(**CALL)
        assert shown.clients == [client, copied]
        assert client_of(print) is None


PLATFORMS: dict[str, Callable[..., Any]] = {
    "bedrock": lambda url, chain: anthropic.AnthropicBedrock(api_key="k", aws_region="r", base_url=url, middleware=chain),
    "vertex": lambda url, chain: anthropic.AnthropicVertex(access_token="t", project_id="p", region="r", base_url=url, middleware=chain),
    "foundry": lambda url, chain: anthropic.AnthropicFoundry(api_key="k", base_url=url, middleware=chain),
    "anthropic": lambda url, chain: anthropic.AnthropicAWS(api_key="k", workspace_id="w", aws_region="r", base_url=url, middleware=chain),
}


@pytest.mark.parametrize("platform", PLATFORMS)
def test_the_clients_of_other_platforms_look_alike_and_say_who_serves(platform: str) -> None:
    """The flow sees ``/v1/messages`` and a model before the client rewrites either, and its body is what is rewritten."""
    with serving(PLAIN) as server:
        flows = Scripted(second_body)
        client = PLATFORMS[platform](server.url, [Middleware(flows)])
        OPEN.append(client)
        assert client.messages.create(**CALL).id == "msg_1"
        (sent,) = server.sent
    (request,) = flows.requests
    assert (request.endpoint, request.body["model"], request.provider) == ("/v1/messages", CALL["model"], platform)
    assert sent.body["messages"] == []
    assert sent.body.get("anthropic_beta", ["b1"]) == ["b1"]
    assert provider_of(None) == "anthropic"


def second_body(request: Request, flows: Scripted) -> Flow:
    """Send another body, with a beta."""
    yield Send("call", {**request.body, "messages": []}, betas=("b1",))
    return None


def test_a_hundred_threads_and_a_shared_middleware_do_not_mix() -> None:
    """Each call's flow gets the answer to its own body."""

    def echo(sent: Sent) -> Say:
        text = sent.body["messages"][0]["content"]
        return Say([json.dumps({**MESSAGE, "content": [{"type": "text", "text": text}]}).encode()])

    mixed = []

    def pair(request: Request, flows: Scripted) -> Flow:
        got = flows.hear((yield Send("call", {**request.body})))
        asked = cast("Any", request.body)["messages"][0]["content"]
        mixed.append(asked == cast("Any", got.body)["content"][0]["text"])
        return None

    with serving(echo) as server:
        client = hooked(server, Scripted(pair))
        said: list[Any] = []

        def call(number: int) -> None:
            message = client.messages.create(**{**CALL, "messages": [{"role": "user", "content": str(number)}]})
            said.append((number, cast("Any", message.content[0]).text))

        threads = [threading.Thread(target=call, args=(number,)) for number in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(said) == [(number, str(number)) for number in range(40)]
    assert mixed == [True] * 40


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_flow_may_wait_at_a_gate(asynchronous: bool) -> None:
    """A call waits until somebody opens the gate, and no longer than it may."""

    def waiting(request: Request, flows: Scripted) -> Flow:
        yield Wait(gate, 5.0)
        yield Wait(Gate(), 0.01)
        flows.hear((yield Send("call", request.body)))
        return None

    with serving(PLAIN) as server:
        gate, flows = Gate(), Scripted(waiting)
        threading.Timer(0.05, gate.open).start()
        began = time.monotonic()
        if asynchronous:
            message = of_async(server, flows, lambda client: client.messages.create(**CALL))
        else:
            message = hooked(server, flows).messages.create(**CALL)
        assert message.id == "msg_1"
        assert 0.05 < time.monotonic() - began < 4
        assert gate.is_open


@anthropic.beta_tool
def weather(city: str) -> str:
    """The weather.

    Args:
        city: where
    """
    return f"rain in {city}"


@pytest.mark.parametrize("threaded", [True, False])
def test_what_a_flow_sees_of_the_tool_runner(threaded: bool) -> None:
    """By default the server keeps the thread and each turn sends what is new; with ``thread=False`` each sends everything."""
    use = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Oslo"}}
    call = Say([json.dumps({**MESSAGE, "id": "msg_0", "content": [use], "stop_reason": "tool_use"}).encode()])
    with serving(call, PLAIN) as server:
        flows = Scripted()
        kept: dict[str, Any] = {} if threaded else {"thread": False}
        runner: Any = hooked(server, flows).beta.messages.tool_runner(**CALL, tools=[weather], **kept)
        assert runner.until_done().id == "msg_1"
    first, second = (cast("Any", request.body) for request in flows.requests)
    roles = [message["role"] for message in second["messages"]]
    beta = flows.requests[0].headers.get("anthropic-beta", "")
    if threaded:
        assert (first["thread"], second["thread"]) == ({"type": "create"}, {"type": "continue", "previous_message_id": "msg_0"})
        assert ("tools" in first, "tools" in second, roles, beta) == (True, False, ["user"], "message-threads-2026-08-12")
    else:
        assert "thread" not in first | second
        assert ("tools" in second, roles, beta) == (True, ["user", "assistant", "user"], "")


def test_a_bedrock_stream_is_heard_as_the_caller_reads_its_bytes() -> None:
    """The platform's binary stream reaches the caller unchanged and tells the watch the same events."""
    frames = [frame(event) for event in EVENTS]
    with serving(Say(frames, kind="application/vnd.amazon.eventstream")) as server:
        flows = Scripted(watch=(watch := Hearing()))
        client = PLATFORMS["bedrock"](server.url, [Middleware(flows)])
        OPEN.append(client)
        with client.messages.with_streaming_response.create(**CALL, stream=True) as response:
            assert b"".join(response.iter_bytes()) == b"".join(frames)
        assert server.sent[0].path.endswith("/invoke-with-response-stream")
    assert (watch.events, watch.ends) == (TELLING, [True])


def test_a_stream_cancelled_while_it_is_read_has_ended() -> None:
    """The task's cancellation passes, the connection is given back, and the watch hears of the end."""

    async def use(client: AsyncAnthropic) -> bool:
        stream: Any = await client.messages.create(**CALL, stream=True)
        with anyio.move_on_after(0.05) as scope:
            async for _ in stream:
                pass
        assert stream.response.is_closed
        return scope.cancelled_caught

    slow = Say([sse(EVENTS[0]), 0.3, *map(sse, EVENTS[1:])], kind="text/event-stream")
    with serving(slow) as server:
        flows = Scripted(watch=(watch := Hearing()))
        assert of_async(server, flows, use)
        assert (watch.events, watch.ends) == ([EVENTS[0]], [False])


def test_a_question_counts_against_no_connection() -> None:
    """After questions and calls, answered or refused, no connection is in use but those that are kept for later."""
    with serving(answering(refusal(529), PLAIN)) as server:
        pool = httpx2.Client(limits=httpx2.Limits(max_connections=1), timeout=2)
        client = hooked(server, Scripted(asking), http_client=pool)
        for _ in range(3):
            assert client.messages.create(**CALL).id == "msg_1"
        assert len(server.sent) == 6

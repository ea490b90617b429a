"""The OpenAI hook against a server that keeps every byte: what goes out, what flows are told, what the caller gets."""

from __future__ import annotations

import asyncio
import copy
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest
from openai import AsyncAzureOpenAI, AsyncOpenAI, AzureOpenAI, OpenAI
from pydantic import BaseModel

from holdfast.calls.gate import Gate
from holdfast.calls.values import Flow, Received, Request, Send, Unsent, Wait
from holdfast.errors import CannotWrap, HoldfastWarning, InputError
from holdfast.providers.openai import flows_of, wrapped
from holdfast.wrap import hooked
from tests.providers.openai_wire import REFUSED, USAGE, Answer, Flows, Passing, Provider, chat_body, chat_pieces, serving, told

HELLO: list[Any] = [{"role": "user", "content": "Grüße 👋"}]
CHAT: dict[str, Any] = {"model": "gpt-5.4", "messages": HELLO}
RESPONSES: dict[str, Any] = {"model": "gpt-5.4", "input": "hello"}


class Number(BaseModel):
    """What a model is asked to say."""

    n: int


@pytest.fixture
def provider() -> Iterator[Provider]:
    """A provider of this test alone."""
    with serving() as server, server.closing:
        yield server


def sync_client(provider: Provider, kind: type[OpenAI] = OpenAI, **more: Any) -> OpenAI:
    """A bare client of the provider, closed with it."""
    return provider.closing.enter_context(kind(**{"api_key": "sk-test", "base_url": provider.url, "max_retries": 0, **more}))


def async_client(provider: Provider, **more: Any) -> AsyncOpenAI:
    """A bare asynchronous client of the provider."""
    return AsyncOpenAI(**{"api_key": "sk-test", "base_url": provider.url, "max_retries": 0, **more})


def dumped(value: Any) -> Any:
    """A result as plain data."""
    return value.model_dump(warnings=False) if hasattr(value, "model_dump") else value


def events(stream: Any) -> list[Any]:
    """A stream as plain data."""
    return [dumped(event) for event in stream]


def _helper(manager: Any) -> Any:
    with manager as stream:
        return [event.type for event in stream], dumped(stream.get_final_completion())


def _responses_helper(manager: Any) -> Any:
    with manager as stream:
        return [event.type for event in stream], dumped(stream.get_final_response())


def _raw(response: Any) -> Any:
    return response.status_code, response.text, dumped(response.parse()), response.retries_taken


def _streaming(manager: Any) -> Any:
    with manager as response:
        return response.status_code, dumped(response.parse())


def _lines(manager: Any) -> Any:
    with manager as response:
        return list(response.iter_lines())


SURFACES: dict[str, Callable[[OpenAI], Any]] = {
    "chat": lambda client: dumped(client.chat.completions.create(**CHAT)),
    "chat stream": lambda client: events(client.chat.completions.create(**CHAT, stream=True)),
    "chat stream, usage": lambda c: events(c.chat.completions.create(**CHAT, stream=True, stream_options={"include_usage": True})),
    "chat parse": lambda client: dumped(client.chat.completions.parse(**CHAT, response_format=Number)),
    "chat helper": lambda client: _helper(client.chat.completions.stream(**CHAT)),
    "chat raw": lambda client: _raw(client.chat.completions.with_raw_response.create(**CHAT)),
    "chat raw stream": lambda client: events(client.chat.completions.with_raw_response.create(**CHAT, stream=True).parse()),
    "chat streaming": lambda client: _streaming(client.chat.completions.with_streaming_response.create(**CHAT)),
    "chat streaming lines": lambda c: _lines(c.chat.completions.with_streaming_response.create(**CHAT, stream=True)),
    "responses": lambda client: dumped(client.responses.create(**RESPONSES)),
    "responses stream": lambda client: events(client.responses.create(**RESPONSES, stream=True)),
    "responses parse": lambda client: dumped(client.responses.parse(**RESPONSES, text_format=Number)),
    "responses helper": lambda client: _responses_helper(client.responses.stream(**RESPONSES)),
    "responses raw": lambda client: _raw(client.responses.with_raw_response.create(**RESPONSES)),
    "responses streaming lines": lambda c: _lines(c.responses.with_streaming_response.create(**RESPONSES, stream=True)),
    "beta responses": lambda client: client.post("/responses?beta=true", body=RESPONSES, cast_to=object),
    "counting": lambda client: dumped(client.responses.input_tokens.count(**RESPONSES)),
    "extras": lambda client: dumped(
        client.chat.completions.create(**CHAT, extra_body={"top_k": 3, "model": "other"}, extra_headers={"X-Mine": "1"}, timeout=7)
    ),
    "options": lambda client: dumped(client.with_options(timeout=9, default_headers={"x-a": "b"}).chat.completions.create(**CHAT)),
}


async def _agathered(stream: Any) -> list[Any]:
    return [dumped(event) async for event in stream]


async def _ahelper(client: AsyncOpenAI) -> Any:
    async with client.chat.completions.stream(**CHAT) as stream:
        return [event.type async for event in stream], dumped(await stream.get_final_completion())


async def _aresponses_helper(client: AsyncOpenAI) -> Any:
    async with client.responses.stream(**RESPONSES) as stream:
        return [event.type async for event in stream], dumped(await stream.get_final_response())


async def _alines(client: AsyncOpenAI) -> Any:
    async with client.chat.completions.with_streaming_response.create(**CHAT, stream=True) as response:
        return [line async for line in response.iter_lines()]


async def _astreaming(client: AsyncOpenAI) -> Any:
    async with client.chat.completions.with_streaming_response.create(**CHAT) as response:
        return dumped(await response.parse())


async def _awaited(made: Any) -> Any:
    return dumped(await made)


async def _astreamed(made: Any) -> Any:
    return await _agathered(await made)


async def _araw(made: Any) -> Any:
    return _raw(await made)


ASYNC_SURFACES: dict[str, Callable[[AsyncOpenAI], Any]] = {
    "chat": lambda client: _awaited(client.chat.completions.create(**CHAT)),
    "chat stream": lambda client: _astreamed(client.chat.completions.create(**CHAT, stream=True)),
    "chat parse": lambda client: _awaited(client.chat.completions.parse(**CHAT, response_format=Number)),
    "chat helper": _ahelper,
    "chat raw": lambda client: _araw(client.chat.completions.with_raw_response.create(**CHAT)),
    "chat streaming": _astreaming,
    "chat streaming lines": _alines,
    "responses": lambda client: _awaited(client.responses.create(**RESPONSES)),
    "responses stream": lambda client: _astreamed(client.responses.create(**RESPONSES, stream=True)),
    "responses helper": _aresponses_helper,
    "counting": lambda client: _awaited(client.responses.input_tokens.count(**RESPONSES)),
    "options": lambda client: _awaited(client.with_options(timeout=9).chat.completions.create(**CHAT)),
}


def both(provider: Provider, call: Callable[[OpenAI], Any], flows: Flows, **more: Any) -> tuple[Any, Any]:
    """What a bare and a wrapped client get."""
    with sync_client(provider) as bare:
        return call(bare), call(wrapped(bare, flows, **more))


@pytest.mark.parametrize("name", SURFACES)
def test_a_flow_that_changes_nothing_changes_no_byte(provider: Provider, name: str) -> None:
    """Requests are byte for byte those of the bare client, results equal, and every call has one flow that hears of it."""
    flows = Passing()
    bare, ours = both(provider, SURFACES[name], flows)
    assert ours == bare
    assert provider.sent[0].raw == provider.sent[1].raw
    assert len(provider.sent) == 2
    assert len(flows.requests) == len(flows.replies) == 1
    assert flows.replies[0].ok
    assert flows.requests[0].body == provider.sent[1].body
    assert flows.requests[0].counting == (name == "counting")


@pytest.mark.parametrize("name", ASYNC_SURFACES)
def test_an_async_flow_that_changes_nothing_changes_no_byte(provider: Provider, name: str) -> None:
    """The same holds for the asynchronous client."""
    flows = Passing()

    async def run() -> tuple[Any, Any]:
        async with async_client(provider) as bare:
            return await ASYNC_SURFACES[name](bare), await ASYNC_SURFACES[name](wrapped(bare, flows))

    bare, ours = asyncio.run(run())
    assert ours == bare
    assert provider.sent[0].raw == provider.sent[1].raw
    assert len(flows.requests) == len(flows.replies) == 1


@pytest.mark.parametrize("name", [name for name in SURFACES if "stream" in name or "helper" in name])
def test_usage_is_heard_of_and_never_seen(provider: Provider, name: str) -> None:
    """With the usage of Chat streams asked for, the caller's chunks and lines stay those of the bare client."""
    flows = Passing()
    bare, ours = both(provider, SURFACES[name], flows, stream_usage=True)
    assert ours == bare
    assert [watch.ends for watch in flows.watches] == [[True]]
    assert flows.watches[0].usage is not None
    if name.startswith("responses") or name == "chat streaming":
        assert provider.sent[0].raw == provider.sent[1].raw
    else:
        assert provider.sent[1].body["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize("name", ["chat stream", "chat helper", "chat streaming lines"])
def test_usage_is_heard_of_and_never_seen_by_an_async_caller(provider: Provider, name: str) -> None:
    """Nor does an asynchronous caller see the usage it did not ask for."""
    flows = Passing(wants_events=False)

    async def run() -> tuple[Any, Any]:
        async with async_client(provider) as bare:
            return await ASYNC_SURFACES[name](bare), await ASYNC_SURFACES[name](wrapped(bare, flows, stream_usage=True))

    bare, ours = asyncio.run(run())
    assert ours == bare
    assert flows.watches[0].usage == USAGE
    assert flows.watches[0].ends == [True]


def test_the_usage_is_asked_for_only_where_the_host_documents_it(provider: Provider) -> None:
    """A host that is not OpenAI's or Azure's gets the caller's own request."""
    flows = Passing()
    events(wrapped(sync_client(provider), flows).chat.completions.create(**CHAT, stream=True))
    assert "stream_options" not in provider.sent[0].body
    assert flows.watches[0].usage is None


def test_a_host_that_refuses_stream_options_is_asked_without_them(provider: Provider) -> None:
    """The refusal is not the caller's to see, the flow does not hear of it, and the host is not asked again."""
    provider.script.append(Answer(400, {"error": {"message": "Unrecognized argument: stream_options", "type": "invalid_request_error"}}))
    flows = Passing()
    client = wrapped(sync_client(provider), flows, stream_usage=True)
    for _ in range(2):
        assert events(client.chat.completions.create(**CHAT, stream=True))
    assert ["stream_options" in sent.body for sent in provider.sent] == [True, False, False]
    assert [reply.status for reply in flows.replies] == [200, 200]


def test_what_the_flow_sends_goes_out(provider: Provider) -> None:
    """The flow's body is sent in the place of the caller's, ``extra_body`` and all, and the caller's own objects stay as they were."""

    def steps(request: Request) -> Flow:
        yield Send("call", {**request.body, "messages": [{"role": "user", "content": "short"}], "top_k": 9}, timeout=5.0)
        return None

    given, extra = copy.deepcopy(CHAT), {"top_k": 3}
    client = wrapped(sync_client(provider), Flows(steps))
    client.chat.completions.create(**given, extra_body=extra)
    assert provider.sent[0].body == {**CHAT, "top_k": 9, "messages": [{"role": "user", "content": "short"}]}
    assert "x-stainless-read-timeout: 5.0" in provider.sent[0].head.lower()
    assert (given, extra) == (CHAT, {"top_k": 3})


def test_what_extra_body_leaves_out_is_left_out(provider: Provider) -> None:
    """A flow sees the merged body, without what the caller's ``extra_body`` takes away."""
    flows = Passing()
    both(provider, lambda c: dumped(c.chat.completions.create(**CHAT, seed=1, extra_body={"seed": openai.omit, "top_k": 1})), flows)
    assert flows.requests[0].body == {**CHAT, "top_k": 1} == provider.sent[0].body
    assert provider.sent[0].raw == provider.sent[1].raw


def test_all_attempts_of_a_call_send_what_was_decided_once(provider: Provider) -> None:
    """The SDK's own retries repeat the bytes of the first attempt; the flow is opened once and hears of the last."""
    provider.script.extend([Answer(500, {"error": {}}, headers={"retry-after-ms": "1"}), Answer(429, {}, headers={"retry-after-ms": "1"})])
    seen: list[Received] = []

    def steps(request: Request) -> Flow:
        seen.append(told((yield Send("call", {**request.body, "user": f"call {len(flows.requests)}"}))))
        return None

    flows = Flows(steps)
    client = wrapped(sync_client(provider, max_retries=2), flows)
    client.chat.completions.create(**CHAT)
    assert [sent.body["user"] for sent in provider.sent] == ["call 1"] * 3
    assert len({sent.raw.partition(b"\r\n\r\n")[2] for sent in provider.sent}) == 1
    assert [(reply.status, (reply.body or {}).get("id")) for reply in seen] == [(200, "chatcmpl-1")]
    assert seen[0].headers["x-request-id"] == "req_1"


def second_try(request: Request) -> Flow:
    """Sends something changed, and the caller's own when that is refused."""
    reply = told((yield Send("call", {**request.body, "user": "changed"})))
    if not reply.ok:
        assert reply.body == REFUSED
        yield Send("call", request.body)
    return None


def test_a_refused_request_is_sent_again_as_the_flow_wants(provider: Provider) -> None:
    """After a 400 the flow's second request goes out, and its answer is the caller's."""
    provider.script.append(Answer(400, REFUSED))
    assert wrapped(sync_client(provider), Flows(second_try)).chat.completions.create(**CHAT).id == "chatcmpl-1"
    assert [sent.body.get("user") for sent in provider.sent] == ["changed", None]
    with sync_client(provider) as bare:
        bare.chat.completions.create(**CHAT)
    assert provider.sent[1].raw == provider.sent[2].raw


def test_a_refused_async_stream_is_sent_again_as_the_flow_wants(provider: Provider) -> None:
    """The same for a stream of the asynchronous client."""
    provider.script.append(Answer(400, REFUSED))

    async def run() -> Any:
        async with async_client(provider) as bare:
            return await _astreamed(wrapped(bare, Flows(second_try)).chat.completions.create(**CHAT, stream=True))

    assert asyncio.run(run())
    assert [sent.body.get("user") for sent in provider.sent] == ["changed", None]


def test_a_refusal_that_the_flow_leaves_is_the_sdks_own_error(provider: Provider) -> None:
    """The caller gets the SDK's error for the last request, as it would have from the bare client."""
    provider.script.extend([Answer(400, REFUSED)] * 3)
    with sync_client(provider) as bare:
        with pytest.raises(openai.BadRequestError) as plain:
            bare.chat.completions.create(**CHAT)
        with pytest.raises(openai.BadRequestError) as ours:
            wrapped(bare, Flows(second_try)).chat.completions.create(**CHAT)
    assert (str(ours.value), ours.value.body, ours.value.code) == (str(plain.value), plain.value.body, plain.value.code)
    assert len(provider.sent) == 3


def test_a_lost_connection_is_raised_into_the_flow(provider: Provider) -> None:
    """A flow hears of a request that got no answer, with the SDK's error as its cause; the caller gets that error."""
    provider.script.append(Answer(drop=True))
    causes: list[BaseException | None] = []

    def steps(request: Request) -> Flow:
        try:
            yield Send("call", request.body)
        except Unsent as lost:
            causes.append(lost.__cause__)
            raise
        return None

    with pytest.raises(openai.APIConnectionError) as raised:
        wrapped(sync_client(provider), Flows(steps)).chat.completions.create(**CHAT)
    assert causes == [raised.value]


def test_a_timeout_can_be_followed_by_another_request(provider: Provider) -> None:
    """A flow that has something better to do after a lost request does it."""
    provider.script.append(Answer(drop=True))

    def steps(request: Request) -> Flow:
        try:
            yield Send("call", request.body)
        except Unsent:
            yield Send("call", {**request.body, "user": "again"})
        return None

    assert wrapped(sync_client(provider), Flows(steps)).chat.completions.create(**CHAT).id == "chatcmpl-1"
    assert provider.sent[1].body["user"] == "again"


def asking(body: dict[str, Any], heard: list[Any], timeout: float | None = 5.0, endpoint: str = "") -> Callable[[Request], Flow]:
    """A flow that asks before it sends."""

    def steps(request: Request) -> Flow:
        try:
            heard.append((yield Send("ask", {**request.body, **body}, timeout=timeout, endpoint=endpoint)))
        except Unsent as lost:
            heard.append(lost)
        yield Send("call", {**request.body, "user": "after"})
        return None

    return steps


def test_a_question_is_asked_beside_the_call(provider: Provider) -> None:
    """It goes to the same place, streamed, opens no flow, and its answer and bill come back, whatever form the caller's call has."""
    heard: list[Received] = []
    flows = Flows(asking({"user": "ask"}, heard))
    client = wrapped(sync_client(provider, max_retries=2), flows)
    got = client.chat.completions.with_raw_response.create(**CHAT, extra_headers={"X-Mine": "1", "Idempotency-Key": "k"})
    assert got.parse() == client.chat.completions._client.chat.completions.create(**CHAT)  # noqa: SLF001
    ask, call = provider.sent[:2]
    assert (ask.body["user"], call.body["user"]) == ("ask", "after")
    assert (ask.body["stream"], call.body.get("stream")) == (True, None)
    assert "x-mine: 1" in ask.head.lower()
    assert "idempotency-key: k" in call.head.lower()
    assert "idempotency-key" not in ask.head.lower()
    assert "raw-response" not in ask.head.lower()
    assert heard[0].ok
    assert heard[0].body is not None
    assert heard[0].body["choices"][0]["message"]["content"] == '{"n": 1}'
    assert heard[0].body["usage"] == USAGE
    assert len(flows.requests) == 2


def test_an_async_question_is_asked_beside_a_stream(provider: Provider) -> None:
    """An asynchronous client asks as well, and the parser of the caller's call does not see the answer."""
    heard: list[Received] = []
    flows = Flows(asking({"stream": True}, heard))

    async def run() -> Any:
        async with async_client(provider) as bare:
            return await wrapped(bare, flows).chat.completions.parse(**CHAT, response_format=Number)

    assert asyncio.run(run()).choices[0].message.parsed == Number(n=1)
    assert heard[0].body is not None
    assert heard[0].body["choices"][0]["finish_reason"] == "stop"


def test_a_question_may_go_to_another_endpoint(provider: Provider) -> None:
    """``Send.endpoint`` takes the place of the path."""
    heard: list[Received] = []
    client = wrapped(sync_client(provider), Flows(asking({}, heard, endpoint="/v1/responses/compact")))
    client.responses.create(**RESPONSES)
    assert [sent.path for sent in provider.sent] == ["/v1/responses/compact", "/v1/responses"]
    assert heard[0].body == {"object": "list", "data": []}


@pytest.mark.parametrize("is_async", [True, False])
def test_a_question_refused_for_its_stream_options_is_asked_without(provider: Provider, is_async: bool) -> None:
    """A host that does not know them is asked again, once, and no more with them."""
    provider.script.append(Answer(400, {"error": {"message": "Unknown parameter: stream_options"}}))
    heard: list[Received] = []
    flows = Flows(asking({}, heard))

    async def run() -> Any:
        async with async_client(provider) as bare:
            return await wrapped(bare, flows).chat.completions.create(**CHAT)

    got = asyncio.run(run()) if is_async else wrapped(sync_client(provider), flows).chat.completions.create(**CHAT)
    assert got.id == "chatcmpl-1"
    assert ["stream_options" in sent.body for sent in provider.sent] == [True, False, False]
    assert heard[0].ok


@pytest.mark.parametrize("is_async", [True, False])
@pytest.mark.parametrize("opened", [True, False])
def test_a_call_waits_for_its_gate(provider: Provider, is_async: bool, opened: bool) -> None:
    """It goes on when the gate opens, or when its time is over."""
    gate, waited = Gate(), []

    def steps(request: Request) -> Flow:
        began = time.monotonic()
        if opened:
            threading.Timer(0.05, gate.open).start()
        assert (yield Wait(gate, 2.0 if opened else 0.1)) is None
        waited.append(time.monotonic() - began)
        yield Send("call", request.body)
        return None

    async def run() -> Any:
        async with async_client(provider) as bare:
            return await wrapped(bare, Flows(steps)).chat.completions.create(**CHAT)

    got = asyncio.run(run()) if is_async else wrapped(sync_client(provider), Flows(steps)).chat.completions.create(**CHAT)
    assert got.id == "chatcmpl-1"
    assert 0.03 < waited[0] < 1


@pytest.mark.parametrize("after", [0, 1])
def test_a_flow_that_crashes_harms_nobody(provider: Provider, after: int, caplog: pytest.LogCaptureFixture) -> None:
    """What it raises by mistake is logged; before it has sent anything the caller's own request goes out."""

    def steps(request: Request) -> Flow:
        if after:
            yield Send("call", {**request.body, "user": "changed"})
        raise ZeroDivisionError("a bug")

    client = wrapped(sync_client(provider), Flows(steps))
    assert client.chat.completions.create(**CHAT).id == "chatcmpl-1"
    assert events(client.chat.completions.create(**CHAT, stream=True))
    assert [sent.body.get("user") for sent in provider.sent] == ["changed" if after else None] * 2
    assert "ZeroDivisionError: a bug" in caplog.text


FAILURES = [Answer(drop=True), Answer(429, REFUSED), Answer(pieces=chat_pieces(usage=True)[:2], cut=True), Answer(pieces=(b"data: {\n\n",))]


@pytest.mark.parametrize("is_async", [True, False])
@pytest.mark.parametrize("answer", FAILURES)
def test_a_question_that_fails_harms_nobody(provider: Provider, answer: Answer, is_async: bool) -> None:
    """The flow hears how it failed, once, and the caller's call goes on."""
    heard: list[Any] = []
    provider.script.append(answer)
    flows = Flows(asking({"stream": True}, heard))

    async def run() -> Any:
        async with async_client(provider, max_retries=2) as bare:
            return await wrapped(bare, flows).chat.completions.create(**CHAT)

    got = asyncio.run(run()) if is_async else wrapped(sync_client(provider, max_retries=2), flows).chat.completions.create(**CHAT)
    assert got.id == "chatcmpl-1"
    assert len(provider.sent) == 2
    assert (heard[0].status, heard[0].body) == (429, REFUSED) if answer.status == 429 else isinstance(heard[0], Unsent)


@pytest.mark.parametrize("is_async", [True, False])
def test_a_question_that_takes_too_long_is_given_up(provider: Provider, is_async: bool) -> None:
    """Its timeout is for the whole of it: events that keep coming do not prolong it."""
    heard: list[Any] = []
    provider.script.append(Answer(pieces=chat_pieces(usage=False) * 30, pause=0.02))
    flows = Flows(asking({"stream": True}, heard, timeout=0.1))

    async def run() -> Any:
        async with async_client(provider) as bare:
            return await wrapped(bare, flows).responses.create(**RESPONSES)

    began = time.monotonic()
    got = asyncio.run(run()) if is_async else wrapped(sync_client(provider), flows).responses.create(**RESPONSES)
    assert time.monotonic() - began < 0.6
    assert got.id == "resp_1"
    assert isinstance(heard[0], Unsent)
    assert isinstance(heard[0].__cause__, TimeoutError)


def test_a_flow_that_ends_at_once_leaves_the_call_alone(provider: Provider) -> None:
    """Without a ``Send`` the caller's own request goes out."""

    def steps(request: Request) -> Flow:
        return None
        yield

    bare, ours = both(provider, SURFACES["chat"], Flows(steps))
    assert ours == bare
    assert provider.sent[0].raw == provider.sent[1].raw


def test_a_flow_may_send_again_after_an_answer(provider: Provider) -> None:
    """The answer is put back unread, its connection is free again, and the caller gets the next one."""

    def steps(request: Request) -> Flow:
        yield Send("call", request.body)
        yield Send("call", {**request.body, "user": "again"})
        return None

    assert events(wrapped(sync_client(provider), Flows(steps)).chat.completions.create(**CHAT, stream=True))
    assert [sent.body.get("user") for sent in provider.sent] == [None, "again"]


def test_a_flow_that_raises_leaks_no_connection(provider: Provider) -> None:
    """What a flow raises on purpose reaches the caller, and the response it was about is closed."""

    def steps(request: Request) -> Flow:
        yield Send("call", request.body)
        raise InputError("on purpose")

    client = wrapped(sync_client(provider), Flows(steps))
    for _ in range(3):
        with pytest.raises(InputError, match="on purpose"):
            client.chat.completions.create(**CHAT, stream=True)
    assert not [connection for connection in client._client._transport._pool.connections if not connection.is_idle()]  # type: ignore[attr-defined]  # noqa: SLF001


def test_a_flow_that_raises_leaks_no_connection_of_an_async_client(provider: Provider) -> None:
    """The same for an asynchronous one."""

    def steps(request: Request) -> Flow:
        yield Send("call", request.body)
        raise InputError("on purpose")

    async def run() -> None:
        async with async_client(provider) as bare:
            with pytest.raises(InputError, match="on purpose"):
                await wrapped(bare, Flows(steps)).chat.completions.create(**CHAT, stream=True)
            pool = bare._client._transport._pool  # type: ignore[attr-defined]  # noqa: SLF001
            assert not [connection for connection in pool.connections if not connection.is_idle()]

    asyncio.run(run())


def test_a_cancelled_call_closes_its_flow(provider: Provider) -> None:
    """Cancelling the task ends the flow where it stands."""
    closed: list[bool] = []

    def steps(request: Request) -> Flow:
        try:
            yield Send("call", request.body)
        finally:
            closed.append(True)
        return None

    async def run() -> None:
        async with asyncio.timeout(5):
            gate = asyncio.Event()

            async def slow_key() -> str:
                gate.set()
                return "sk-test"

            async with async_client(provider, api_key=slow_key) as bare:
                task = asyncio.create_task(wrapped(bare, Flows(steps)).chat.completions.create(**CHAT))
                await gate.wait()
                await asyncio.sleep(0)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task

    asyncio.run(run())
    assert closed == [True]


def test_other_requests_pass_untouched(provider: Provider) -> None:
    """What is neither a chat completion nor a response opens no flow."""
    flows = Passing()

    def others(client: OpenAI) -> Any:
        client.models.list()
        client.responses.compact(model="gpt-5.4", input="x")
        client.chat.completions.update("chatcmpl-1", metadata={"a": "b"})
        client.responses.cancel("resp_1")
        return client.embeddings.with_raw_response.create(model="e", input="x").text

    bare, ours = both(provider, others, flows)
    assert bare == ours
    half = len(provider.sent) // 2
    assert [sent.raw for sent in provider.sent[:half]] == [sent.raw for sent in provider.sent[half:]]
    assert flows.requests == []


AZURE: dict[str, Any] = {"api_key": "az", "api_version": "2025-04-01", "max_retries": 0}


@pytest.mark.parametrize("deployment", [None, "mine"])
def test_azure_is_sent_to_its_deployment(provider: Provider, deployment: str | None) -> None:
    """The deployment's URL, the body and the key are those of the bare client; the request names the platform."""
    flows = Passing()
    endpoint = provider.url.removesuffix("/v1")
    bare = provider.closing.enter_context(AzureOpenAI(**AZURE, azure_endpoint=endpoint, azure_deployment=deployment))
    ours = wrapped(bare, flows)
    for client in (bare, ours, ours.with_options(timeout=3)):
        client.chat.completions.create(**CHAT)
        client.responses.create(**RESPONSES)
    assert [sent.raw for sent in provider.sent[:2]] == [sent.raw for sent in provider.sent[2:4]]
    assert provider.sent[2].path.startswith(f"/openai/deployments/{deployment or 'gpt-5.4'}/chat/completions")
    assert [(request.provider, request.endpoint) for request in flows.requests] == [
        ("azure", "/v1/chat/completions"),
        ("azure", "/v1/responses"),
    ] * 2


def test_a_request_says_whose_it_is(provider: Provider) -> None:
    """Endpoint, maker, headers, timeout and dialect are those of the call; no key is among the headers."""
    flows = Passing()
    client = wrapped(sync_client(provider, organization="org", timeout=12), flows)
    client.responses.create(**RESPONSES, extra_headers={"X-Mine": "1"})
    request = flows.requests[0]
    assert (request.endpoint, request.provider, request.dialect, request.timeout) == ("/v1/responses", "openai", "openai-responses", 12.0)
    assert (request.headers["x-mine"], request.headers["openai-organization"]) == ("1", "org")
    assert "authorization" not in request.headers
    assert request.key.startswith("stainless-python-retry-")


def test_a_wrapped_client_is_still_the_callers_client(provider: Provider) -> None:
    """It is an instance of the same class, of the same name, with the same pool; copies stay wrapped; twice is once."""
    flows = Passing()
    for bare in (sync_client(provider), async_client(provider), AzureOpenAI(**AZURE, azure_endpoint="http://x")):
        client = wrapped(bare, flows)
        assert isinstance(client, type(bare))
        assert type(client) is not type(bare)
        assert (type(client).__name__, repr(client).split(" at ")[0]) == (type(bare).__name__, repr(bare).split(" at ")[0])
        assert client._client is bare._client  # noqa: SLF001
        assert wrapped(client, Passing()) is client
        assert type(wrapped(bare, flows)) is type(client)
        for other in (client.copy(), client.with_options(timeout=1), copy.copy(client)):
            assert flows_of(other) is flows
            assert type(other) is type(client)
    assert flows_of(sync_client(provider)) is None
    assert isinstance(wrapped(AsyncAzureOpenAI(**AZURE, azure_endpoint="http://x"), flows), AsyncAzureOpenAI)


def test_a_client_already_used_is_wrapped_whole(provider: Provider) -> None:
    """Resources that the bare client has made belong to it; the wrapped one makes its own, and keeps what was set on the client."""
    bare = sync_client(provider)
    bare.chat.completions.create(**CHAT)
    bare.api_key = "sk-new"
    flows = Passing()
    client = wrapped(bare, flows)
    client.chat.completions.create(**CHAT)
    assert len(flows.requests) == 1
    assert "sk-new" in provider.sent[1].head
    bare.chat.completions.create(**CHAT)
    assert len(flows.requests) == 1


class Mine(OpenAI):
    """A user's own client: its constructor takes something else, its preparation adds to the body."""

    note: Callable[[], str] = staticmethod(lambda: "theirs")

    def __init__(self, url: str) -> None:
        super().__init__(api_key="sk-mine", base_url=url, max_retries=0)
        self.note = lambda: "mine"

    def _prepare_options(self, options: Any) -> Any:
        options = super()._prepare_options(options)
        options.json_data = {**options.json_data, "user": "mine"}
        return options


def test_a_users_own_class_keeps_its_ways(provider: Provider) -> None:
    """A subclass with another constructor is wrapped, and what it does to a request is done before the flow sees it."""
    flows = Passing()
    client = wrapped(provider.closing.enter_context(Mine(provider.url)), flows)
    client.chat.completions.create(**CHAT)
    assert flows.requests[0].body["user"] == provider.sent[0].body["user"] == "mine"
    assert isinstance(client, Mine)
    assert client.note() == "mine"


def test_what_was_replaced_on_the_instance_is_left_behind_and_named(provider: Provider) -> None:
    """A tracing wrapper on the instance would bypass the hook: the copy does not have it, and ``wrap`` says so."""
    client = sync_client(provider)
    create = client.chat.completions.create
    client.chat.completions.create = lambda **given: create(**given)  # type: ignore[method-assign, assignment]
    client.post = lambda *given, **more: None  # type: ignore[method-assign, assignment]
    flows = Passing()
    with pytest.warns(HoldfastWarning, match=r"chat\.completions\.create, post"):
        made = hooked(client, lambda: flows)
    made.chat.completions.create(**CHAT)
    assert len(flows.requests) == 1


def test_a_class_that_cannot_be_subclassed_says_so() -> None:
    """The error names the class and the way that is left."""

    class Final(OpenAI):
        def __init_subclass__(cls, **given: Any) -> None:
            raise TypeError("final")

    with pytest.raises(CannotWrap, match=r"Final cannot be subclassed \(final\)"):
        wrapped(Final(api_key="x"), Passing())


def test_calls_at_once_do_not_mix(provider: Provider) -> None:
    """Each of many tasks gets its own flow's body out and its own answer."""

    def steps(request: Request) -> Flow:
        reply = told((yield Send("call", {**request.body, "seed": int(request.body["user"])})))
        assert reply.body == chat_body()
        return None

    async def run() -> None:
        async with async_client(provider) as bare:
            client = wrapped(bare, Flows(steps))
            await asyncio.gather(*(client.chat.completions.create(**CHAT, user=str(number)) for number in range(20)))

    asyncio.run(run())
    assert sorted(sent.body["seed"] for sent in provider.sent) == list(range(20))
    assert all(sent.body["seed"] == int(sent.body["user"]) for sent in provider.sent)

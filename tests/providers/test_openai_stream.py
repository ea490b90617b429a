"""What an OpenAI caller reads: the bytes it would have read, whatever passes by a watch, however the stream ends."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import httpx2
import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai import AsyncOpenAI, OpenAI

from holdfast.providers.openai import wrapped
from holdfast.providers.openai_stream import UsageHidden, unasked
from holdfast.testing import FakeProvider
from tests.providers.openai_wire import USAGE, Answer, Passing, Provider, chat_pieces, responses_pieces, serving

CHAT: dict[str, Any] = {"model": "gpt-5.4", "messages": [{"role": "user", "content": "hello"}], "stream": True}

words = st.text(max_size=8) | st.sampled_from(['"usage":null', ',"usage":null', '\\"usage\\":null,', "usage", "\n\n", "data: [DONE]"])
values = st.recursive(
    st.none() | st.integers() | words, lambda inner: st.dictionaries(words, inner, max_size=3) | st.lists(inner, max_size=2)
)
chunks = st.fixed_dictionaries(
    {"choices": st.lists(values, min_size=1, max_size=2)}, optional={"id": words, "x": values, "obfuscation": words}
)


@pytest.fixture
def provider() -> Iterator[Provider]:
    """A provider of this test alone."""
    with serving() as server, server.closing:
        yield server


def client_of(provider: Provider, flows: Passing, stream_usage: bool | None = None) -> OpenAI:
    """A wrapped client, closed with the provider."""
    bare = OpenAI(api_key="sk-test", base_url=provider.url, max_retries=0)
    return wrapped(provider.closing.enter_context(bare), flows, stream_usage=stream_usage)


def event_of(chunk: dict[str, Any], end: str, tight: bool) -> bytes:
    """A chunk as it is sent."""
    return f"data: {json.dumps(chunk, separators=(',', ':') if tight else None)}{end}{end}".encode()


@settings(max_examples=60)
@given(
    st.lists(chunks, max_size=4),
    st.integers(0, 3),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.booleans(),
    st.lists(st.integers(0, 400), max_size=12),
)
def test_hidden_usage_leaves_the_bytes_of_a_stream_without(
    bare: list[dict[str, Any]], place: int, end: str, tight: bool, cuts: list[int]
) -> None:
    """Wherever the null stands in a chunk and wherever the bytes are cut, what is left is what nobody asking would have got."""
    asked = b""
    for chunk in bare:
        items = list(chunk.items())
        items.insert(min(place, len(items)), ("usage", None))
        asked += event_of(dict(items), end, tight)
    asked += event_of({"id": "x", "choices": [], "usage": USAGE}, end, tight) + f"data: [DONE]{end}{end}".encode()
    wanted = b"".join(event_of(chunk, end, tight) for chunk in bare) + f"data: [DONE]{end}{end}".encode()
    hidden = UsageHidden()
    places = [0, *sorted(cut for cut in cuts if cut < len(asked)), len(asked)]
    pieces = [hidden.feed(asked[one:other]) for one, other in pairwise(places)]
    assert b"".join([*pieces, hidden.rest()]) == wanted


@given(
    st.binary(max_size=60) | st.sampled_from([b'data: {"usage": 3}\n\n', b'data: {"choices":[{}],"usage":{"a":1}}\n\n', b"data: [DONE]"])
)
def test_what_is_no_asked_for_usage_passes(block: bytes) -> None:
    """Comments, broken JSON, and usage that a server sends of its own accord stay as they are."""
    hidden = UsageHidden()
    assert unasked(block) == block
    assert hidden.feed(block) + hidden.rest() == block


def test_azures_first_chunk_stays() -> None:
    """A chunk without choices that carries something else keeps all but the null."""
    chunk = b'data: {"choices":[],"prompt_filter_results":[],"usage":null}\n\n'
    assert unasked(chunk) == b'data: {"choices":[],"prompt_filter_results":[]}\n\n'


@pytest.mark.parametrize("pieces", [chat_pieces(usage=True), responses_pieces()])
@pytest.mark.parametrize("wants", [True, False])
def test_a_watch_hears_what_it_wants(provider: Provider, pieces: tuple[bytes, ...], wants: bool) -> None:
    """Every event, or the first one and those that carry usage; the stream may come in one piece or cut anywhere."""
    everything = b"".join(pieces)
    heard = []
    for cut in (pieces, (everything,), tuple(everything[at : at + 43] for at in range(0, len(everything), 43))):
        provider.script.append(Answer(pieces=cut))
        flows = Passing(wants_events=wants)
        for _ in client_of(provider, flows).responses.create(model="gpt-5.4", input="x", stream=True):
            pass
        heard.append((flows.watches[0].events, flows.watches[0].ends))
    assert heard[0] == heard[1] == heard[2]
    assert heard[0][1] == [True] if b"response.completed" in everything else [False]
    assert len(heard[0][0]) == (everything.count(b"data: {") if wants else 2)


def test_a_stream_that_breaks_off_breaks_off_for_both(provider: Provider) -> None:
    """The caller gets the SDK's error, and the watch hears that the answer is not complete."""
    provider.script.append(Answer(pieces=chat_pieces(usage=True)[:3], cut=True))
    flows = Passing()
    got: list[Any] = []
    with pytest.raises(openai.APIConnectionError):
        got.extend(client_of(provider, flows, stream_usage=True).chat.completions.create(**CHAT))
    assert flows.watches[0].ends == [False]
    assert len(flows.watches[0].events) == 3


@pytest.mark.parametrize("how", ["break", "close", "unread", "with"])
def test_a_caller_who_stops_reading_ends_the_watch(provider: Provider, how: str) -> None:
    """Whoever closes early, or never reads, leaves a watch that knows it, once; the connection is free again."""
    flows = Passing()
    client = client_of(provider, flows, stream_usage=True)
    stream = client.chat.completions.create(**CHAT)
    if how in ("break", "with"):
        with stream:
            next(stream)
            assert flows.watches[0].ends == []
    elif how == "close":
        next(stream)
        stream.close()
    else:
        stream.close()
    assert flows.watches[0].ends == [False]
    assert stream.response.is_closed
    assert "iter_bytes" not in vars(stream.response)


def test_a_caller_who_forgets_a_stream_ends_the_watch(provider: Provider) -> None:
    """A stream that is neither read nor closed is over when it is collected."""
    flows = Passing()
    client_of(provider, flows).chat.completions.create(**CHAT)
    gc.collect()
    assert flows.watches[0].ends == [False]


def test_a_stream_that_something_else_has_read_is_watched(provider: Provider) -> None:
    """An event hook of the HTTP client that reads every body takes neither the usage from the watch nor the hiding from the caller."""
    flows = Passing()
    with httpx2.Client(event_hooks={"response": [lambda response: response.read()]}) as http:
        bare = OpenAI(api_key="sk-test", base_url=provider.url, http_client=http)
        plain = [chunk.model_dump() for chunk in bare.chat.completions.create(**CHAT)]
        ours = [chunk.model_dump() for chunk in wrapped(bare, flows, stream_usage=True).chat.completions.create(**CHAT)]
    assert ours == plain
    assert (flows.replies[0].body, flows.watches[0].usage, flows.watches[0].ends) == (None, USAGE, [True])


def test_the_fake_providers_streams_are_those_of_the_bare_client() -> None:
    """Against the shipped fake the caller's chunks agree, and the watch hears of the usage that the fake has billed."""
    flows = Passing()
    with FakeProvider(lambda asked: "a short answer") as fake, OpenAI(api_key="x", base_url=f"{fake.url}/v1", max_retries=0) as bare:
        client = wrapped(bare, flows, stream_usage=True)
        plain, ours = ([_timeless(chunk) for chunk in one.chat.completions.create(**CHAT)] for one in (bare, client))
        assert ours == plain
        assert [asked.status for asked in fake.requests] == [200, 200]
        billed = fake.requests[-1].usage
        assert billed is not None
        assert flows.watches[0].usage["completion_tokens"] == billed.output


def _timeless(chunk: Any) -> Any:
    return {name: value for name, value in chunk.model_dump().items() if name not in ("id", "created")}


def test_an_async_caller_who_stops_reading_ends_the_watch(provider: Provider) -> None:
    """So does an asynchronous one, by closing or by being cancelled in the middle."""
    flows = Passing()
    provider.script.extend([Answer(pieces=chat_pieces(usage=True)), Answer(pieces=chat_pieces(usage=True) * 20, pause=0.02)])

    async def read(stream: Any) -> None:
        async for _ in stream:
            pass

    async def run() -> None:
        async with AsyncOpenAI(api_key="sk-test", base_url=provider.url, max_retries=0) as bare:
            client = wrapped(bare, flows, stream_usage=True)
            async with await client.chat.completions.create(**CHAT) as stream:
                await anext(stream)
            assert flows.watches[0].ends == [False]
            slow = await client.responses.create(model="m", input="x", stream=True)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(read(slow), 0.07)
            await slow.close()

    asyncio.run(run())
    assert [watch.ends for watch in flows.watches] == [[False], [False]]


def test_a_body_read_piece_by_piece_is_heard_of(provider: Provider) -> None:
    """A JSON body that the caller streams is told when it was read to its end, and not when it was not."""
    flows = Passing()
    client = client_of(provider, flows)
    with client.responses.with_streaming_response.create(model="gpt-5.4", input="x") as response:
        assert b"".join(response.iter_bytes(chunk_size=7)).startswith(b'{"id": "resp_1"')
    with client.chat.completions.with_streaming_response.create(model="m", messages=[]) as response:
        next(response.iter_bytes(chunk_size=7))
    assert [watch.ends for watch in flows.watches] == [[True], [False]]
    assert flows.watches[0].usage["input_tokens"] == 11
    assert flows.watches[1].events == []


def test_a_read_response_is_told_whole_and_its_watch_ends_at_once(provider: Provider) -> None:
    """Where the answer is there when the flow hears of it, its body is in ``Received``."""
    flows = Passing()
    client_of(provider, flows).responses.create(model="gpt-5.4", input="x")
    assert flows.replies[0].body is not None
    assert flows.replies[0].body["usage"]["output_tokens"] == 3
    assert (flows.watches[0].events, flows.watches[0].ends) == ([], [True])


def test_the_flow_hears_of_a_stream_before_its_first_byte_is_read(provider: Provider) -> None:
    """Status and headers are told when they come: the caller has the stream and has read nothing."""
    flows = Passing()
    stream = client_of(provider, flows).chat.completions.create(**CHAT)
    assert [(reply.status, reply.body, reply.headers["x-request-id"]) for reply in flows.replies] == [(200, None, "req_1")]
    assert flows.watches[0].events == []
    stream.close()


def test_a_client_of_the_older_httpx_is_watched_as_well(provider: Provider) -> None:
    """The SDK takes clients of ``httpx`` beside those of ``httpx2``; streams and usage are the same."""
    httpx = pytest.importorskip("httpx")
    flows = Passing()
    with httpx.Client() as http:
        bare = OpenAI(api_key="sk-test", base_url=provider.url, http_client=http)
        plain = [chunk.model_dump() for chunk in bare.chat.completions.create(**CHAT)]
        ours = [chunk.model_dump() for chunk in wrapped(bare, flows, stream_usage=True).chat.completions.create(**CHAT)]
    assert ours == plain
    assert (flows.watches[0].usage, flows.watches[0].ends) == (USAGE, [True])

"""The fake provider's Messages API, asked by the real SDK over real sockets."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from typing import Any

import anthropic
import httpx2
import pytest
from anthropic import Anthropic, AnthropicFoundry, AnthropicVertex, AsyncAnthropic

from holdfast.blocks import Mark
from holdfast.caches import AnthropicCache, AnthropicRules
from holdfast.caches.machine import CacheRequest
from holdfast.prefix import chain_of
from holdfast.scale import scale
from holdfast.testing import Asked, FakeProvider, Fault, Reply, ToolCall
from holdfast.testing.fake.billing import Billing
from holdfast.testing.fake.values import Say
from holdfast.usage import Usage, from_anthropic
from holdfast.wire import of

MODEL = "claude-opus-5"
LONG = "The quick brown fox jumps over the lazy dog. " * 300
AUTOMATIC: Any = {"type": "ephemeral"}
Messages = list[Any]


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock of the test's own."""
    return Clock()


@pytest.fixture
def fake() -> Iterator[FakeProvider]:
    """A provider that says OK."""
    with FakeProvider() as provider:
        yield provider


def client(fake: FakeProvider, **options: Any) -> Anthropic:
    """The real client, pointed at the fake."""
    return Anthropic(base_url=fake.url, **{"api_key": "a", "max_retries": 0, **options})


def lost() -> Any:
    """The SDK's error for a connection that ended."""
    return pytest.raises(anthropic.APIConnectionError)


def ask(text: str = "Hello") -> Messages:
    """A history of one message."""
    return [{"role": "user", "content": text}]


def post(fake: FakeProvider, body: Any, path: str = "/v1/messages", **headers: str) -> tuple[int, Any, dict[str, str]]:
    """One raw request: the status, the JSON and the headers of its answer."""
    host, _, port = fake.url.removeprefix("http://").partition(":")
    connection = HTTPConnection(host, int(port))
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    connection.request("POST", path, raw, {"content-type": "application/json", **headers})
    response = connection.getresponse()
    answer = json.loads(response.read())
    connection.close()
    return response.status, answer, {name.lower(): value for name, value in response.getheaders()}


def test_it_says_what_the_script_says() -> None:
    """Texts, thinking and tool calls come back as the SDK's own blocks, and the reason for the end follows from them."""
    script: list[Say] = [
        "Hello.",
        Reply("I look.", thinking="Hm.", calls=[ToolCall("look", {"at": [1, "x"]})]),
        Reply("Cut", stop="length"),
    ]
    with FakeProvider(script) as fake, client(fake) as sdk:
        first, second, third = (sdk.messages.create(model=MODEL, max_tokens=64, messages=ask()) for _ in script)
    assert [block.type for block in second.content] == ["thinking", "text", "tool_use"]
    assert (first.stop_reason, second.stop_reason, third.stop_reason) == ("end_turn", "tool_use", "max_tokens")
    call = second.content[2]
    assert call.type == "tool_use"
    assert call.input == {"at": [1, "x"]}
    assert len({first.id, second.id, third.id}) == 3


def test_a_script_can_be_a_function_of_the_request() -> None:
    """It sees endpoint, body, headers and the time of the request."""
    seen: list[Asked] = []

    def script(asked: Asked) -> Say:
        seen.append(asked)
        return str(asked.body["messages"][-1]["content"]).upper()

    with FakeProvider(script) as fake, client(fake) as sdk:
        said = sdk.messages.create(model=MODEL, max_tokens=64, messages=ask("echo"))
    assert said.content[0].to_dict()["text"] == "ECHO"
    assert (seen[0].endpoint, seen[0].headers["authorization"], seen[0].status) == ("/v1/messages", "Bearer a", 0)
    assert abs(seen[0].at - time.time()) < 60


def test_a_script_that_has_run_out_is_refused_and_not_retried() -> None:
    """The error says so."""
    with FakeProvider([]) as fake, client(fake, max_retries=2) as sdk:
        with pytest.raises(anthropic.BadRequestError, match="has run out"):
            sdk.messages.create(model=MODEL, max_tokens=64, messages=ask())
        assert fake.count == 1


def test_what_a_script_raises_is_raised_when_the_provider_stops() -> None:
    """The request's connection ends, and the error is not lost."""

    def script(asked: Asked) -> Say:
        raise LookupError("no such answer")

    asked: Any = {"model": MODEL, "max_tokens": 64, "messages": ask()}
    with pytest.raises(LookupError, match="no such answer"), FakeProvider(script) as fake, client(fake) as sdk, lost():
        sdk.messages.create(**asked)


def grown(turns: int) -> Iterator[dict[str, Any]]:
    """The requests of a conversation with tools, marked at its end and at the end of the system prompt."""
    mark = {"type": "ephemeral"}
    tools = [{"name": "look", "description": LONG[:2000], "input_schema": {"type": "object"}}]
    system = [{"type": "text", "text": LONG, "cache_control": mark}]
    history: Messages = []
    for turn in range(turns):
        history.append({"role": "user", "content": [{"type": "text", "text": f"{turn}: {LONG[: 400 * turn + 10]}"}]})
        marked = [*history[:-1], {"role": "user", "content": [{**history[-1]["content"][0], "cache_control": mark}]}]
        yield {"model": MODEL, "max_tokens": 64, "system": system, "tools": tools, "messages": marked}
        history.append({"role": "assistant", "content": [{"type": "text", "text": f"Answer {turn}."}]})


def test_ten_turns_read_and_write_exactly_what_the_cache_model_says(clock: Clock) -> None:
    """The usage of every turn is that of the machine, and reads what the turn before left."""
    machine = AnthropicCache(AnthropicRules(minimum=512))
    weigh = scale("claude-4.7").weigh
    before = 0
    with FakeProvider(clock=clock) as fake, client(fake) as sdk:
        for number, body in enumerate(grown(10)):
            clock.now += 290
            usage = from_anthropic(sdk.messages.create(**body).usage.to_dict())
            prompt = of("anthropic").read(json.loads(json.dumps(body)))
            chain = chain_of(prompt)
            total = 0
            for place, block in enumerate(prompt.blocks):
                total += weigh(block)
                chain.totals[place] = total
            assert usage.answered(0) == machine.send(CacheRequest(chain, prompt.settings, prompt.marks, clock.now))
            assert (usage.read, usage.written, usage.fresh) == (before, total - before, 0), number
            before = total
        assert fake.usage.read == sum(asked.usage.read for asked in fake.requests if asked.usage)


def test_entries_die_by_the_clock_of_the_provider(clock: Clock) -> None:
    """A minute late, the five minutes are over; an hour's entry is still there."""
    cases: list[tuple[Any, int, bool]] = [("5m", 299, True), ("5m", 360, False), ("1h", 3500, True)]
    with FakeProvider(clock=clock) as fake, client(fake) as sdk:
        for ttl, later, read in cases:
            mark: Any = {"type": "ephemeral", "ttl": ttl}
            for _ in range(2):
                usage = sdk.messages.create(model=MODEL, max_tokens=9, messages=ask(f"{ttl} {later} {LONG}"), cache_control=mark).usage
                clock.now += later
            assert bool(usage.cache_read_input_tokens) is read
            assert usage.cache_creation is not None
            hour = usage.cache_creation.ephemeral_1h_input_tokens
            assert bool(hour) is (ttl == "1h" and not read)


def test_nothing_is_cached_without_a_mark_or_below_the_minimum(fake: FakeProvider) -> None:
    """Both counters stay 0, and nothing is said."""
    with client(fake) as sdk:
        for text, extra in ((LONG, {}), ("short", {"cache_control": AUTOMATIC})):
            for _ in range(2):
                usage = sdk.messages.create(model=MODEL, max_tokens=9, messages=ask(text), **extra).usage
                assert (usage.cache_read_input_tokens, usage.cache_creation_input_tokens) == (0, 0)
                assert usage.input_tokens > 0


def test_the_automatic_mark_moves_back_from_thinking() -> None:
    """It stands on the last block that may carry one, with the lifetime it asks for."""
    thought = {"type": "thinking", "thinking": "Hm.", "signature": "x"}
    history = [*ask(), {"role": "assistant", "content": [{"type": "text", "text": "So."}, thought]}]
    read = Billing().read("anthropic", {"model": MODEL, "messages": history, "cache_control": {"type": "ephemeral", "ttl": "1h"}})
    assert read.marks == (Mark(1, 3600),)


def test_accounts_and_models_do_not_share_entries(fake: FakeProvider) -> None:
    """The same prompt under another key, or to another model, is written again; under another name of the model it is read."""

    def read(key: str, model: str) -> bool:
        with client(fake, api_key=key) as sdk:
            return bool(
                sdk.messages.create(
                    model=model, max_tokens=9, messages=ask(LONG * 2), cache_control=AUTOMATIC
                ).usage.cache_read_input_tokens
            )

    one, dated = "claude-opus-4-5", "claude-opus-4-5-20251101"
    assert [read("a", one), read("a", one), read("b", one), read("a", "claude-sonnet-5"), read("a", dated)] == [
        False,
        True,
        False,
        False,
        True,
    ]


@pytest.mark.parametrize("latency", [0.0, 0.05])
def test_cold_requests_at_the_same_time_each_pay_the_write(latency: float) -> None:
    """An entry can be read only when the response that writes it has begun."""
    together = threading.Barrier(4)
    arrived = iter(range(5))

    def script(asked: Asked) -> Say:
        if next(arrived) < 4:
            together.wait(30)
        return Reply("OK", latency=latency)

    with FakeProvider(script) as fake, client(fake) as sdk, ThreadPoolExecutor(4) as pool:

        def send(_: int) -> Usage:
            return from_anthropic(
                sdk.messages.create(model=MODEL, max_tokens=9, messages=ask(LONG), cache_control=AUTOMATIC).usage.to_dict()
            )

        cold = list(pool.map(send, range(4)))
        warm = send(0)
    assert [usage.read for usage in cold] == [0, 0, 0, 0]
    assert all(usage.written == warm.read > 0 for usage in cold)


def test_with_a_response_delay_entries_are_read_from_then_on(clock: Clock) -> None:
    """The delay counts by the clock, as it does in a replay of a transcript."""
    with FakeProvider(clock=clock, response_delay=1.0) as fake, client(fake) as sdk:
        reads = []
        for wait in (0.0, 0.5, 0.6):
            clock.now += wait
            reads.append(
                bool(
                    sdk.messages.create(
                        model=MODEL, max_tokens=9, messages=ask(LONG), cache_control=AUTOMATIC
                    ).usage.cache_read_input_tokens
                )
            )
    assert reads == [False, False, True]


@pytest.mark.parametrize(
    "reply",
    [
        Reply("Just text, long enough for two deltas: " + "x" * 100),
        Reply(thinking="First I think. " * 9, text="Then I speak.", calls=[ToolCall("a", {"k": "v" * 90}), ToolCall("b")]),
        Reply("", stop="end"),
        Reply("No.", stop="refusal"),
    ],
)
def test_a_stream_puts_together_the_same_message(reply: Reply) -> None:
    """Streamed or not, the SDK ends with equal content, reasons and usage."""
    with FakeProvider([reply, reply, reply]) as fake, client(fake) as sdk:
        whole = sdk.messages.create(model=MODEL, max_tokens=99, messages=ask())
        with sdk.messages.stream(model=MODEL, max_tokens=99, messages=ask()) as stream:
            streamed = stream.get_final_message()
        with sdk.beta.messages.stream(model=MODEL, max_tokens=99, messages=ask()) as beta:
            other = beta.get_final_message()

    def known(message: Any) -> Any:
        said = message.to_dict()
        for block in said["content"]:
            block.pop("signature", None), block.pop("id", None), block.pop("parsed_output", None)
        return said["content"], said["stop_reason"], from_anthropic(said["usage"])

    assert known(whole) == known(streamed) == known(other)


def test_events_come_in_the_order_and_form_of_the_api() -> None:
    """Start with the input's usage, blocks with their deltas, a ping, the cumulative usage at the end."""
    reply = Reply("Hi", thinking="Hm", calls=[ToolCall("f", {"a": 1})], output_tokens=77)
    with FakeProvider([reply]) as fake, client(fake) as sdk:
        events = list(sdk.messages.create(model=MODEL, max_tokens=99, messages=ask(LONG), cache_control=AUTOMATIC, stream=True))
        raw = fake.requests[0].response
    kinds = [event.type for event in events]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert kinds[-2:] == ["message_delta", "message_stop"]
    deltas = [event.delta.type for event in events if event.type == "content_block_delta"]
    assert deltas == ["thinking_delta", "signature_delta", "text_delta", "input_json_delta", "input_json_delta"]
    start, final = events[0], events[-2]
    assert start.type == "message_start"
    assert (start.message.content, start.message.stop_reason, start.message.usage.output_tokens) == ([], None, 1)
    assert start.message.usage.cache_creation_input_tokens == raw["usage"]["cache_creation_input_tokens"] > 0
    assert final.type == "message_delta"
    assert (final.delta.stop_reason, final.usage.output_tokens) == ("tool_use", 77)


def test_the_async_client_gets_the_same() -> None:
    """Requests at once, streamed and not, each get their own answer."""

    async def run(fake: FakeProvider) -> list[str]:
        async with AsyncAnthropic(base_url=fake.url, api_key="a", max_retries=0) as sdk:

            async def one(number: int) -> str:
                if number % 2:
                    async with sdk.messages.stream(model=MODEL, max_tokens=9, messages=ask(f"n{number}")) as stream:
                        return await stream.get_final_text()
                said = await sdk.messages.create(model=MODEL, max_tokens=9, messages=ask(f"n{number}"))
                return str(said.content[0].to_dict()["text"])

            return list(await asyncio.gather(*(one(number) for number in range(16))))

    with FakeProvider(lambda asked: Reply(str(asked.body["messages"][0]["content"]), latency=0.05)) as fake:
        assert asyncio.run(run(fake)) == [f"n{number}" for number in range(16)]


def test_two_hundred_connections_are_served_at_once() -> None:
    """All wait for their answers together, all get their own, and none is forgotten."""

    async def one(fake: FakeProvider, number: int) -> bytes:
        host, _, port = fake.url.removeprefix("http://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        raw = json.dumps({"model": MODEL, "max_tokens": 9, "messages": ask(f"number {number}.")}).encode()
        writer.write(b"POST /v1/messages HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b" % (len(raw), raw))
        answer = await reader.read()
        writer.close()
        return answer

    async def run(fake: FakeProvider) -> list[bytes]:
        return list(await asyncio.gather(*(one(fake, number) for number in range(200))))

    def script(asked: Asked) -> Say:
        return Reply(str(asked.body["messages"][0]["content"]), latency=0.4)

    with FakeProvider(script) as fake:
        begun = time.perf_counter()
        answers = asyncio.run(run(fake))
        assert time.perf_counter() - begun < 20  # one after the other they would take 80 s
        assert all(f'"number {number}."'.encode() in answer for number, answer in enumerate(answers))
        assert (len(fake.requests), fake.count) == (200, 200)


def test_counting_tokens_bills_nothing_and_agrees_with_the_bill(fake: FakeProvider) -> None:
    """The count is the prompt of the request that follows, and no script is asked."""
    body: Any = {"model": MODEL, "messages": ask(LONG), "system": "Be brief."}
    with client(fake) as sdk:
        counted = sdk.messages.count_tokens(**body).input_tokens
        beta = sdk.beta.messages.count_tokens(**body).input_tokens
        billed = from_anthropic(sdk.messages.create(max_tokens=9, **body).usage.to_dict()).prompt
    assert counted == beta == billed
    assert [asked.usage is None for asked in fake.requests] == [True, True, False]
    assert fake.requests[0].prompt_tokens == counted


def test_errors_are_retried_as_the_sdk_does_and_bill_nothing() -> None:
    """429, 500 and 529 come in the API's form with an id of the request; the next attempt sends the same bytes."""
    faults = [Fault(status, retry_after=0.01, message="busy") for status in (429, 500, 529)]
    with FakeProvider([*faults, "done"]) as fake, client(fake, max_retries=3) as sdk:
        assert sdk.messages.create(model=MODEL, max_tokens=9, messages=ask()).content[0].to_dict()["text"] == "done"
        asked = fake.requests
    assert [one.status for one in asked] == [429, 500, 529, 200]
    assert [one.response["error"]["type"] for one in asked[:3]] == ["rate_limit_error", "api_error", "overloaded_error"]
    assert len({one.raw for one in asked}) == 1
    assert [one.usage is None for one in asked] == [True, True, True, False]


def test_an_errors_body_names_the_request() -> None:
    """The id stands in the header and in the body."""
    with FakeProvider([Fault(529)]) as fake, client(fake) as sdk, pytest.raises(anthropic.APIStatusError) as caught:
        sdk.messages.create(model=MODEL, max_tokens=9, messages=ask())
    body: Any = caught.value.body
    assert body["type"] == "error"
    assert body["error"] == {"type": "overloaded_error", "message": "Overloaded"}
    assert body["request_id"] == caught.value.request_id != ""


@pytest.mark.parametrize("drop", ["headers", "body"])
def test_a_dropped_connection_is_an_error_of_the_connection(drop: Any) -> None:
    """Before the headers or in the middle of the body; the SDK tries again, and what had begun was billed."""
    with FakeProvider([Fault(drop=drop), "done"]) as fake, client(fake, max_retries=1) as sdk:
        assert sdk.messages.create(model=MODEL, max_tokens=9, messages=ask()).content[0].to_dict()["text"] == "done"
        assert (fake.requests[0].usage is not None) is (drop == "body")


def broken(stream: Any, got: list[str]) -> Exception:
    """Reads a stream to its end, which is an error; notes its events."""
    with pytest.raises((anthropic.APIError, httpx2.RemoteProtocolError, httpx2.ReadError)) as caught:
        got.extend(event.type for event in stream)
    return caught.value


def test_a_stream_can_break_off_or_end_with_an_error() -> None:
    """Some events come, then the connection ends or an error event does."""
    with FakeProvider([Fault(drop="body"), Fault(529, drop="body")]) as fake, client(fake) as sdk:
        for _ in range(2):
            got: list[str] = []
            error = broken(sdk.messages.create(model=MODEL, max_tokens=9, messages=ask(), stream=True), got)
            assert got[0] == "message_start"
            assert "message_stop" not in got
        assert isinstance(error, anthropic.APIStatusError)
        assert "verloaded" in str(error)
        assert [asked.status for asked in fake.requests] == [200, 200]


def test_latency_and_pace_take_time_and_do_not_hold_up_a_stop() -> None:
    """The first byte waits, the events come one by one, and a provider that stops does not wait for either."""
    with FakeProvider([Reply("x" * 100, latency=0.2, pace=0.03), Reply(latency=30)]) as fake, client(fake) as sdk:
        begun = time.perf_counter()
        times = [time.perf_counter() - begun for _ in sdk.messages.create(model=MODEL, max_tokens=9, messages=ask(), stream=True)]

        def wait() -> None:
            with lost():
                sdk.messages.create(model=MODEL, max_tokens=9, messages=ask())

        thread = threading.Thread(target=wait)
        thread.start()
        while fake.count < 2:
            time.sleep(0.005)
        stopping = time.perf_counter()
    thread.join(5)
    assert time.perf_counter() - stopping < 3
    assert times[0] >= 0.2
    assert times[-1] - times[0] >= 0.03 * (len(times) - 2)


def test_warming_writes_and_says_nothing(fake: FakeProvider) -> None:
    """``max_tokens: 0`` answers with no content and no output, and the next request reads what it wrote."""
    with client(fake) as sdk:
        warmed = sdk.messages.create(model=MODEL, max_tokens=0, messages=ask(LONG), cache_control=AUTOMATIC)
        after = sdk.messages.create(model=MODEL, max_tokens=9, messages=ask(LONG), cache_control=AUTOMATIC)
    assert (warmed.content, warmed.stop_reason, warmed.usage.output_tokens) == ([], "max_tokens", 0)
    assert warmed.usage.cache_creation_input_tokens == after.usage.cache_read_input_tokens


def test_only_the_newest_requests_are_remembered() -> None:
    """Memory is bounded, the sums are not."""
    with FakeProvider(keep=2) as fake:
        for number in range(5):
            post(fake, {"model": MODEL, "max_tokens": 9, "messages": ask(f"n{number}")})
        assert [asked.body["messages"][0]["content"] for asked in fake.requests] == ["n3", "n4"]
        assert (fake.count, fake.usage.output) == (5, 5 * (fake.requests[0].usage or Usage()).output)


def test_what_is_no_request_is_refused(fake: FakeProvider) -> None:
    """Bytes that are no JSON, another path, and a body of over 32 MB."""
    assert post(fake, b"{")[0] == 400
    assert post(fake, b"[]")[0] == 400
    status, answer, _ = post(fake, {}, "/v1/nothing")
    assert (status, answer["error"]["type"]) == (404, "not_found_error")
    status, answer, _ = post(fake, b" " * (32 * 1024 * 1024 + 1))
    assert (status, answer["error"]["type"]) == (413, "request_too_large")
    assert fake.usage == Usage()


def test_a_lenient_provider_takes_what_it_can_read() -> None:
    """Without ``strict`` nothing is judged; what cannot be read at all is still refused."""
    with FakeProvider(strict=False) as fake:
        assert post(fake, {"model": MODEL, "messages": [{"role": "assistant", "content": "x"}], "unknown": 1})[0] == 200
        assert post(fake, {"model": MODEL, "messages": 7})[0] == 400


def test_a_chunked_request_is_read(fake: FakeProvider) -> None:
    """A body without a length comes in chunks."""
    host, _, port = fake.url.removeprefix("http://").partition(":")
    connection = HTTPConnection(host, int(port))
    raw = json.dumps({"model": MODEL, "max_tokens": 9, "messages": ask()}).encode()
    connection.request("POST", "/v1/messages", iter([raw[:10], raw[10:]]), {"content-type": "application/json"}, encode_chunked=True)
    response = connection.getresponse()
    response.read()
    connection.request("POST", "/v1/messages", raw, {"content-type": "application/json"})
    assert (response.status, connection.getresponse().status) == (200, 200)
    connection.close()


def test_the_sampled_counter_is_near_the_full_one() -> None:
    """Long texts are weighed by samples, and the bill is much the same."""
    tokens = []
    for counter in ("full", "sampled"):
        with FakeProvider(counter=counter) as fake:
            post(fake, {"model": MODEL, "max_tokens": 9, "messages": ask(LONG + "tail")})
            tokens.append(fake.requests[0].prompt_tokens)
    assert tokens[0] != tokens[1]
    assert abs(tokens[0] - tokens[1]) < 0.2 * tokens[0]


def test_it_has_an_address_only_while_it_runs() -> None:
    """Started twice it says so; stopped it can be started again."""
    fake = FakeProvider()
    with pytest.raises(RuntimeError, match="does not run"):
        assert fake.url
    fake.start()
    with pytest.raises(RuntimeError, match="already runs"):
        fake.start()
    fake.stop()
    fake.stop()
    with fake:
        assert post(fake, {"model": MODEL, "max_tokens": 9, "messages": ask()})[0] == 200


def test_vertex_and_foundry_speak_the_same_api(fake: FakeProvider) -> None:
    """Their clients ask under paths of their own, and share what one of them has written under one key."""
    vertex = AnthropicVertex(base_url=f"{fake.url}/v1", region="global", project_id="p", access_token="a", max_retries=0)
    foundry = AnthropicFoundry(base_url=fake.url, api_key="a", max_retries=0)
    with vertex, foundry:
        body: Any = {"model": MODEL, "messages": ask(LONG), "cache_control": AUTOMATIC}
        first = vertex.messages.create(max_tokens=9, **body)
        with vertex.messages.stream(max_tokens=9, **body) as stream:
            second = stream.get_final_message()
        third = foundry.messages.create(max_tokens=9, **body)
        counted = vertex.messages.count_tokens(model=MODEL, messages=ask(LONG)).input_tokens
    written = first.usage.cache_creation_input_tokens
    assert written == second.usage.cache_read_input_tokens == third.usage.cache_read_input_tokens == counted
    assert fake.requests[0].endpoint.endswith("/publishers/anthropic/models/claude-opus-5:rawPredict")


def test_bedrocks_invoke_is_understood(fake: FakeProvider) -> None:
    """The model stands in the path, the betas in the body."""
    body = {
        "anthropic_version": "bedrock-2023-05-31",
        "anthropic_beta": ["context-management-2025-06-27"],
        "max_tokens": 9,
        "messages": ask(),
    }
    status, answer, _ = post(fake, {**body, "context_management": {}}, "/model/anthropic.claude-opus-4-5-20251101-v1%3A0/invoke")
    assert (status, answer["model"]) == (200, "anthropic.claude-opus-4-5-20251101-v1:0")

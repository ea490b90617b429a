"""HTTP cassettes: what of a recording becomes an exchange, and streamed responses put together again."""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import Unreadable
from holdfast.readers import cassette, event_stream, streams
from holdfast.readers.cassette_providers import calls_a_model, model_in, provider_of
from holdfast.readers.sample import take
from holdfast.wire import of

ANTHROPIC = "https://api.anthropic.com/v1/messages?beta=true"
BODY = {"model": "claude-sonnet-4-5", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
ANSWER = {
    "id": "msg_1",
    "type": "message",
    "model": "claude-sonnet-4-5",
    "content": [{"type": "text", "text": "hello"}],
    "usage": {"input_tokens": 3, "output_tokens": 2, "cache_read_input_tokens": 7, "cache_creation_input_tokens": 0},
}


def interaction(url: str = ANTHROPIC, body: Any = None, answer: Any = None, **more: Any) -> dict[str, Any]:
    """One interaction as vcrpy writes it; ``more`` goes into request (``sent``) and response (``received``) as headers."""
    return {
        "request": {
            "method": "POST",
            "uri": url,
            "headers": more.get("sent", {}),
            "body": json.dumps(BODY if body is None else body),
        },
        "response": {
            "status": {"code": more.get("status", 200), "message": ""},
            "headers": more.get("received", {}),
            "body": {"string": json.dumps(ANSWER if answer is None else answer)},
        },
    }


def recorded(folder: Path, *found: Any, name: str = "tape.yaml", key: str = "interactions") -> Path:
    """A cassette with these interactions."""
    path = folder / name
    path.write_text(yaml.safe_dump({key: list(found), "version": 1}, sort_keys=False), encoding="utf-8")
    return path


def sse(*found: Any) -> str:
    """Events as a server sends them."""
    return "".join(f"event: x\r\ndata: {json.dumps(event)}\r\n\r\n" for event in found) + "data: [DONE]\n\n"


def cut(text: str, places: list[int]) -> list[str]:
    """A text in pieces."""
    stops = sorted({place % (len(text) + 1) for place in places})
    return [text[start:stop] for start, stop in zip([0, *stops], [*stops, len(text)], strict=True)]


PLACES = st.lists(st.integers(0, 200), max_size=6)


@given(st.text(), st.dictionaries(st.text(min_size=1), st.text()), PLACES)
def test_an_anthropic_stream_comes_together_however_it_was_cut(text: str, given_input: dict[str, str], places: list[int]) -> None:
    """Text and tool input are what was cut into pieces, and the last report of usage does not erase the first."""
    found: list[dict[str, Any]] = [
        {"type": "message_start", "message": {"id": "m", "usage": {"input_tokens": 5, "cache_read_input_tokens": 90, "output_tokens": 1}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}} for piece in cut(text, places)),
        {"type": "content_block_start", "index": 1, "content_block": {"type": "tool_use", "id": "t", "name": "f", "input": {}}},
    ]
    pieces = cut(json.dumps(given_input), places)
    found += [{"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": piece}} for piece in pieces]
    found.append(
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"cache_read_input_tokens": 0, "output_tokens": 8}}
    )
    message = streams.assembled(sse(*found))
    assert message["content"][0]["text"] == text
    assert message["content"][1]["input"] == given_input
    assert message["usage"] == {"input_tokens": 5, "cache_read_input_tokens": 90, "output_tokens": 8}
    assert message["stop_reason"] == "tool_use"


@given(st.text(), st.text(), PLACES)
def test_a_chat_stream_comes_together_however_it_was_cut(text: str, arguments: str, places: list[int]) -> None:
    """Content and the arguments of each call are what was cut into pieces; the usage of the last chunk is the bill."""
    head = {"id": "c", "model": "gpt-4o", "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}
    said = [{"choices": [{"index": 0, "delta": {"content": piece}}]} for piece in cut(text, places)]
    call = {"index": 0, "id": "k", "type": "function", "function": {"name": "f", "arguments": ""}}
    called = [{"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]}]
    called += [
        {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}}]}
        for piece in cut(arguments, places)
    ]
    usage = {"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 4}, "completion_tokens": 2}
    response = streams.assembled(": PROCESSING\n\n" + sse(head, *said, *called, {"choices": [], "usage": usage}))
    message = response["choices"][0]["message"]
    assert (message["role"], message["content"]) == ("assistant", text)
    assert message["tool_calls"] == [{"id": "k", "type": "function", "function": {"name": "f", "arguments": arguments}}]
    assert (response["id"], response["usage"]) == ("c", usage)


@given(st.binary(max_size=200), st.text())
def test_no_bytes_make_a_stream_fail(data: bytes, text: str) -> None:
    """Whatever a recording holds in the place of a stream, a response comes out."""
    assert isinstance(event_stream.assembled(data), dict)
    assert isinstance(streams.assembled(text), dict)
    assert isinstance(streams.assembled(f"data: {text}\n\n"), dict)


KEYS = ["type", "index", "delta", "choices", "message", "candidates", "usage", "response", "content_block", "error", "id"]
ODD = st.recursive(
    st.none() | st.integers() | st.sampled_from(["message_start", "content_block_delta", "response.done", "message-start"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(st.dictionaries(st.sampled_from(KEYS), ODD, max_size=4), max_size=4))
def test_no_events_make_a_stream_fail(found: list[dict[str, Any]]) -> None:
    """Events that no API sends give a response, if an empty one."""
    assert isinstance(streams.assembled(sse(*found)), dict)
    assert isinstance(event_stream.assembled(b"".join(frame("metadata", event) for event in found)), dict)


def frame(kind: str, payload: Any) -> bytes:
    """One frame of Amazon's event stream, its checksums left at 0."""
    name, value, body = b":event-type", kind.encode(), json.dumps(payload).encode()
    headers = bytes([len(name)]) + name + b"\x07" + len(value).to_bytes(2, "big") + value
    total = 16 + len(headers) + len(body)
    return total.to_bytes(4, "big") + len(headers).to_bytes(4, "big") + bytes(4) + headers + body + bytes(4)


@given(st.text(), PLACES)
def test_a_bedrock_stream_comes_together(text: str, places: list[int]) -> None:
    """Converse events become the unstreamed response, with the usage of the metadata event."""
    usage = {"inputTokens": 3, "cacheReadInputTokens": 11, "outputTokens": 1}
    data = frame("messageStart", {"role": "assistant"})
    data += b"".join(frame("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": piece}}) for piece in cut(text, places))
    data += frame("messageStop", {"stopReason": "end_turn"}) + frame("metadata", {"usage": usage})
    response = event_stream.assembled(data)
    assert response["output"]["message"]["content"] == [{"text": text}]
    assert response["usage"] == usage


def test_wrapped_anthropic_events_are_anthropics() -> None:
    """A Bedrock invoke stream holds Anthropic's events in base64."""
    inner = [{"type": "message_start", "message": {"id": "m", "usage": {"input_tokens": 1}}}, {"type": "message_stop"}]
    data = b"".join(frame("chunk", {"bytes": base64.b64encode(json.dumps(event).encode()).decode()}) for event in inner)
    assert event_stream.assembled(data) == {"id": "m", "usage": {"input_tokens": 1}, "content": []}


def test_a_responses_stream_is_its_last_response() -> None:
    """The completed event carries the whole response; where it is missing, the finished items do."""
    done = {"id": "r", "output": [{"type": "message"}], "usage": {"input_tokens": 4}}
    start = {"type": "response.created", "response": {"id": "r", "output": []}}
    item = {"type": "response.output_item.done", "item": {"type": "message", "id": "x"}}
    assert streams.assembled(sse(start, item, {"type": "response.completed", "response": done})) == done
    assert streams.assembled(sse(start, item)) == {"id": "r", "output": [{"type": "message", "id": "x"}]}


def test_gemini_chunks_become_one_candidate() -> None:
    """Parts are collected over the chunks and the last count of tokens stands."""
    chunks = [
        {"candidates": [{"content": {"role": "model", "parts": [{"text": "a"}]}}], "usageMetadata": {"promptTokenCount": 8}},
        {
            "candidates": [{"content": {"role": "model", "parts": [{"text": "b"}]}}],
            "usageMetadata": {"promptTokenCount": 8, "cachedContentTokenCount": 3},
        },
    ]
    response = streams.assembled(sse(*chunks))
    assert response["candidates"][0]["content"]["parts"] == [{"text": "a"}, {"text": "b"}]
    assert response["usageMetadata"] == {"promptTokenCount": 8, "cachedContentTokenCount": 3}


def test_an_exchange_holds_body_answer_time_and_no_secret(tmp_path: Path) -> None:
    """Harmless headers stay, keys and cookies go, and the date header is the time."""
    sent = {"X-Api-Key": ["sk-1"], "Authorization": ["Bearer x"], "Cookie": ["c"], "anthropic-beta": ["b1"], "X-Custom": ["y"]}
    received = {"Date": ["Tue, 15 Nov 1994 08:12:31 GMT"], "anthropic-organization-id": ["org"]}
    path = recorded(tmp_path, interaction(sent=sent, received=received))
    (found,) = cassette.exchanges(path)
    assert found.body == BODY
    assert found.response == ANSWER
    assert found.headers == {"anthropic-beta": "b1"}
    assert (found.at, found.provider, found.endpoint, found.account) == (784887151.0, "anthropic", "v1/messages", "org")
    assert (found.status, found.line) == (200, 1)


@pytest.mark.parametrize("form", ["gzip", "base64", "bytes", "parsed", "plain"])
def test_a_body_is_read_in_every_form(tmp_path: Path, form: str) -> None:
    """Text, bytes, gzip, base64 or YAML: the same response."""
    one = interaction()
    text = json.dumps(ANSWER)
    data: Any = {"gzip": gzip.compress(text.encode()), "bytes": text.encode(), "plain": text}.get(form)
    one["response"]["body"] = {"base64_string": base64.b64encode(text.encode()).decode()} if form == "base64" else {"string": data}
    if form == "parsed":
        one["response"] = {"status": {"code": 200}, "headers": {}, "parsed_body": ANSWER}
    (found,) = cassette.exchanges(recorded(tmp_path, one))
    assert found.response == ANSWER


def test_other_recorders_are_read(tmp_path: Path) -> None:
    """Ruby's VCR has another key and its own time, go-vcr other names, and JSON cassettes are JSON."""
    ruby = {**interaction(), "recorded_at": "Tue, 15 Nov 1994 08:12:31 GMT"}
    assert [found.at for found in cassette.exchanges(recorded(tmp_path, ruby, key="http_interactions"))] == [784887151.0]
    other = interaction()
    other["request"]["url"] = other["request"].pop("uri")
    other["response"] = {"code": 529, "status": "529 overloaded", "body": json.dumps({"error": {"type": "overloaded_error"}})}
    (found,) = cassette.exchanges(recorded(tmp_path, other))
    assert (found.status, found.failed) == (529, True)
    path = tmp_path / "tape.json"
    path.write_text(json.dumps({"version": 1, "interactions": [interaction()]}, indent=1), encoding="utf-8")
    assert cassette.sniff(take(path))
    assert len(cassette.exchanges(path)) == 1


def test_tags_of_other_languages_are_read_as_written(tmp_path: Path) -> None:
    """A tag that is no YAML of ours makes no object of anything and stops nothing."""
    path = tmp_path / "tape.yaml"
    path.write_text(
        'interactions:\n- request:\n    body: !!python/unicode \'{"model": "m", "messages": []}\'\n    method: POST\n'
        "    uri: !!python/object:os.system https://api.anthropic.com/v1/messages\n"
        "  response:\n    body: {string: '{}'}\n    status: {code: 200}\n",
        encoding="utf-8",
    )
    assert [found.body for found in cassette.exchanges(path)] == [{"model": "m", "messages": []}]


def test_aliases_neither_multiply_nor_go_round(tmp_path: Path) -> None:
    """A body of aliases to aliases stays as small as its file, and one that holds itself comes to an end."""
    layers = [f"      l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 30)]
    text = (
        "interactions:\n- request:\n    uri: https://api.anthropic.com/v1/messages\n    method: POST\n    parsed_body:\n      l0: &l0 [x]\n"
    )
    text += "\n".join(layers) + "\n      messages: &m [*m]\n  response: {status: 200}\n"
    path = tmp_path / "tape.yaml"
    path.write_text(text, encoding="utf-8")
    (found,) = cassette.exchanges(path)
    assert found.body["messages"] == [None]


def test_what_is_no_call_is_named_and_left_out(tmp_path: Path) -> None:
    """Counting, downloads and half interactions are passed over, each with a sentence."""
    download = {"request": {"method": "GET", "uri": "https://x.org/a.pdf", "body": ""}, "response": {"body": {"string": b"%PDF"}}}
    count = interaction("https://api.anthropic.com/v1/messages/count_tokens")
    path = recorded(tmp_path, download, count, {"request": None}, "odd", interaction())
    assert len(cassette.exchanges(path)) == 1
    assert [why.split(":")[0] for why in cassette.passed_over(path)] == [f"interaction {index}" for index in range(4)]
    (found,) = cassette.read(path)
    assert len(found.turns) == 1
    assert len(found.skipped) == 4


def test_a_cassette_is_read_as_a_transcript(tmp_path: Path) -> None:
    """Two requests, the second going on from the first, are two turns of one lineage with their usage."""
    second = {**BODY, "messages": [*BODY["messages"], {"role": "assistant", "content": "hello"}, {"role": "user", "content": "more"}]}  # type: ignore[misc]
    path = recorded(tmp_path, interaction(), interaction(body=second, answer={**ANSWER, "id": "msg_2"}))
    (found,) = cassette.read(path)
    assert (found.format, found.dialect) == ("cassette", "anthropic")
    assert [turn.usage.read for turn in found.turns if turn.usage] == [7, 7]
    assert {turn.lineage for turn in found.turns} == {"line-1"}
    assert list(of("anthropic").history(second)) == [message.wire for message in found.turns[1].prompt.messages]


def test_a_websocket_session_gives_the_requests_that_were_answered(tmp_path: Path) -> None:
    """The server's events say what stood in the session when each response was created."""
    said = {"id": "i1", "type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}
    usage = {"input_tokens": 100, "input_token_details": {"cached_tokens": 64}, "output_tokens": 5}
    events = [
        {"type": "session.created", "session": {"model": "gpt-realtime", "instructions": "be brief", "tools": []}},
        {"type": "conversation.item.added", "item": said},
        {"type": "response.created", "response": {"id": "r1"}},
        {"type": "conversation.item.added", "item": {"id": "i2", "type": "message", "role": "assistant", "content": []}},
        {"type": "response.done", "response": {"id": "r1", "output": [], "usage": usage}},
    ]
    path = recorded(tmp_path, *({"kind": "message", "direction": "received", "data": event} for event in events))
    (found,) = cassette.exchanges(path)
    assert found.body["input"] == [{key: value for key, value in said.items() if key != "id"}]
    assert found.response["usage"]["input_tokens_details"] == {"cached_tokens": 64}
    with pytest.raises(Unreadable, match="realtime"):
        cassette.read(path)


@pytest.mark.parametrize("text", ["interactions: [", "interactions: 3\n", "a: b\n", "", "interactions:\n- &a [*a]\n"])
def test_what_is_no_recording_is_said_to_be_none(tmp_path: Path, text: str) -> None:
    """Broken YAML and other YAML raise the one error that callers expect, or hold no exchange."""
    path = tmp_path / "tape.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(Unreadable, match=r"tape\.yaml"):
        cassette.read(path)


def test_only_recordings_are_taken_for_cassettes(tmp_path: Path) -> None:
    """A list of interactions at the top is the sign; a mention of one further in is none."""
    assert cassette.sniff(take(recorded(tmp_path, interaction())))
    for number, text in enumerate(["notes:\n  interactions: []\n", '{"interactions": 3}', '{"type": "user"}\n{"type": "x"}\n']):
        path = tmp_path / f"{number}.txt"
        path.write_text(text, encoding="utf-8")
        assert not cassette.sniff(take(path))


BEDROCK = "https://bedrock-runtime.us-east-1.amazonaws.com/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse"
GEMINI = "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse&key=secret"


@pytest.mark.parametrize(
    ("url", "provider", "model"),
    [
        (ANTHROPIC, "anthropic", ""),
        (BEDROCK, "bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
        (BEDROCK.replace("%3A", ":").replace("converse", "invoke"), "bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
        (GEMINI, "google", "gemini-2.5-flash"),
        ("https://x.openai.azure.com/openai/deployments/gpt-4o/chat/completions?api-version=1", "azure", "gpt-4o"),
        (
            "https://eu-aiplatform.googleapis.com/v1/p/publishers/anthropic/models/claude-sonnet-4@20250514:rawPredict",
            "vertex",
            "claude-sonnet-4@20250514",
        ),
        ("https://api.deepseek.com/chat/completions", "deepseek", ""),
        ("https://openrouter.ai/api/v1/chat/completions", "xai", ""),
        ("https://api.inference.crusoecloud.com/v1/chat/completions", "crusoecloud", ""),
        ("http://127.0.0.1:8000/v1/responses", "127.0.0.1", ""),
    ],
)
def test_the_address_names_provider_and_model(url: str, provider: str, model: str) -> None:
    """By host, and for OpenRouter by who made the model; the model by the path where it stands there."""
    assert calls_a_model(url)
    assert provider_of(url, {"model": "google/gemini"}, {"model": "x-ai/grok-4"}) == provider
    assert model_in(url) == model


def test_every_recorded_cassette_is_read(corpus: Path) -> None:
    """All of the shared cassettes are known for what they are, each with at least one call, and no key of an API is left in any."""
    paths = sorted((corpus / "api-cassettes").glob("**/*.yaml*"))
    assert len(paths) > 90
    found = {path: cassette.exchanges(path) for path in paths}
    assert all(cassette.sniff(take(path)) for path in paths[::10])
    assert all(found.values())
    calls = [exchange for each in found.values() for exchange in each]
    assert {"anthropic", "bedrock", "openai", "google", "deepseek", "mistral", "cohere", "xai"} <= {call.provider for call in calls}
    assert all("usage" in call.response or "usageMetadata" in call.response for call in calls)
    assert not {name for call in calls for name in call.headers} & {"authorization", "x-api-key", "x-goog-api-key", "cookie"}

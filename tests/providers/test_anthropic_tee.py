"""The tap on a body: what the caller reads stays what it was, and the watch hears what it tells."""

from __future__ import annotations

import gc
import gzip
import json
import logging
from collections.abc import AsyncIterator, Iterator
from itertools import pairwise
from typing import Any

import anyio
import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.frozen import Json
from holdfast.providers.anthropic import READING
from holdfast.providers.tee import Frames, Heard, Lines, attach
from holdfast.readers.streams import events as read_events
from holdfast.readers.streams import put_together
from tests.providers.wire import EVENTS, MESSAGE, TELLING, Hearing, frame, sse

BODY = b"".join(sse(event) for event in EVENTS)


class Parts(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    """A body in pieces, that may break."""

    def __init__(self, parts: list[bytes], failure: Exception | None = None) -> None:
        self.parts, self.failure, self.closed = parts, failure, 0

    def __iter__(self) -> Iterator[bytes]:
        yield from self.parts
        if self.failure is not None:
            raise self.failure

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self:
            yield part

    def close(self) -> None:
        """Count."""
        self.closed += 1

    async def aclose(self) -> None:
        """Count."""
        self.closed += 1


def response(parts: list[bytes], failure: Exception | None = None, **headers: str) -> httpx2.Response:
    """A response that is not read yet."""
    named = {"content-type": "text/event-stream"} | {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx2.Response(200, headers=named, stream=Parts(parts, failure))


def cuts(body: bytes, places: list[int]) -> list[bytes]:
    """A body cut at these places."""
    at = sorted({place % (len(body) + 1) for place in places} | {0, len(body)})
    return [body[here:there] for here, there in pairwise(at)]


def watched(parts: list[bytes], every: bool = False, failure: Exception | None = None, **headers: str) -> tuple[httpx2.Response, Hearing]:
    """A response with a tap on it."""
    made, watch = response(parts, failure, **headers), Hearing(every)
    attach(made, watch, READING)
    return made, watch


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
places = st.lists(st.integers(0, 2000), max_size=20)


@settings(max_examples=80, deadline=None)
@given(st.lists(texts, max_size=5), places, st.sampled_from(["\n", "\r\n", "\r"]), st.booleans())
def test_any_stream_in_any_pieces_is_heard_whole_and_read_unchanged(said: list[str], where: list[int], end: str, ascii_only: bool) -> None:
    """However a stream is cut and its lines end, the caller gets the very pieces and the watch every event."""
    told: list[dict[str, Any]] = [
        {"type": "message_start", "message": {}},
        *({"type": "content_block_delta", "text": text} for text in said),
        {"type": "message_stop"},
    ]
    body = "".join(f"event: {event['type']}\ndata: {json.dumps(event, ensure_ascii=ascii_only)}\n: a comment\n\n" for event in told)
    parts = cuts(body.replace("\n", end).encode(), where)
    made, watch = watched(parts, every=True)
    assert list(made.iter_raw()) == parts
    assert watch.events == told
    assert watch.ends == [True]


@settings(max_examples=40, deadline=None)
@given(places)
def test_lines_find_what_the_reader_of_recorded_streams_finds(where: list[int]) -> None:
    """Event by event, the incremental reader agrees with the one that has the whole text."""
    lines = Lines()
    found = [json.loads(data) for part in cuts(BODY, where) for _, data in lines.feed(part)]
    assert found == list(read_events(BODY.decode()))


def test_only_what_tells_is_parsed() -> None:
    """A watch that does not want every event hears of usage, id and end."""
    made, watch = watched([BODY])
    made.read()
    assert watch.events == TELLING
    assert watch.ends == [True]


@settings(max_examples=30, deadline=None)
@given(places, st.booleans())
def test_the_binary_stream_of_bedrock_is_heard_in_any_pieces(where: list[int], every: bool) -> None:
    """Frames with events in base64 tell the same as server-sent events."""
    body = b"".join(map(frame, EVENTS))
    made, watch = watched(cuts(body, where), every, content_type="application/vnd.amazon.eventstream")
    assert made.read() == body
    assert watch.events == (EVENTS if every else TELLING)
    assert watch.ends == [True]


def test_what_is_no_binary_stream_silences_the_watch_only() -> None:
    """Bytes without the framing they claim to have reach the caller, and the watch hears of no end."""
    made, watch = watched([b"x" * 50], content_type="application/vnd.amazon.eventstream")
    assert made.read() == b"x" * 50
    assert watch.ends == [False]
    assert list(Frames().feed(b"short")) == []


def test_a_compressed_stream_is_heard_and_read() -> None:
    """With ``content-encoding: gzip`` the caller decodes as ever, and the watch hears the same."""
    packed = gzip.compress(BODY)
    made, watch = watched(cuts(packed, [10, 40, 99]), content_encoding="gzip")
    assert made.read() == BODY
    assert (watch.events, watch.ends) == (TELLING, [True])


def test_an_encoding_that_cannot_be_read_is_left_to_the_caller() -> None:
    """Nothing is heard of such a body but its end."""
    made, watch = watched([b"?"], content_encoding="snappy")
    assert list(made.iter_raw()) == [b"?"]
    assert (watch.events, watch.ends) == ([], [True])


def test_every_way_of_reading_goes_through_the_tap() -> None:
    """Raw, decoded, text and lines tell the watch the same."""
    for read in ("iter_raw", "iter_bytes", "iter_text", "iter_lines"):
        bare = list(getattr(response(cuts(BODY, [5, 700])), read)())
        made, watch = watched(cuts(BODY, [5, 700]))
        assert list(getattr(made, read)()) == bare
        assert (watch.events, watch.ends) == (TELLING, [True]), read


def test_a_chunk_is_the_callers_first() -> None:
    """The watch hears of a chunk when the caller comes back for the next one."""
    made, watch = watched([sse(EVENTS[0]), sse(EVENTS[6])])
    reading = made.iter_raw()
    next(reading)
    assert watch.events == []
    next(reading)
    assert watch.events == [EVENTS[0]]


def test_a_stream_that_is_closed_early_has_ended_incomplete() -> None:
    """What was given out before is heard, the end once, and the body is closed."""
    made, watch = watched([sse(event) for event in EVENTS])
    body = made.stream
    reading = made.iter_bytes()
    next(reading)
    made.close()
    made.close()
    assert (watch.events, watch.ends) == ([EVENTS[0]], [False])
    assert isinstance(body, httpx2.SyncByteStream)


def test_a_stream_left_after_its_last_event_is_complete() -> None:
    """Whoever stops at ``message_stop`` and reads no further has had the whole answer."""
    made, watch = watched([BODY, b"\n"])
    next(made.iter_bytes())
    made.close()
    assert watch.ends == [True]


def test_a_stream_that_ends_before_its_last_event_is_incomplete() -> None:
    """A body may end in good order and the answer be half."""
    made, watch = watched([sse(event) for event in EVENTS[:-1]])
    made.read()
    assert watch.ends == [False]


def test_a_stream_that_breaks_off_fails_as_it_would_have() -> None:
    """The caller gets the very error, and the watch an end."""
    failure = httpx2.ReadError("gone")
    made, watch = watched([sse(EVENTS[0])], failure=failure)
    with pytest.raises(httpx2.ReadError) as caught:
        made.read()
    assert caught.value is failure
    assert watch.ends == [False]


def test_a_stream_that_nobody_reads_ends_when_it_is_dropped() -> None:
    """Without a cycle, as soon as the response is gone."""
    made, watch = watched([BODY])
    gc.disable()
    try:
        del made
        assert watch.ends == [False]
    finally:
        gc.enable()


def test_a_watch_that_raises_is_not_noticed(caplog: pytest.LogCaptureFixture) -> None:
    """The caller reads on, the watch hears nothing more but its end, and a line in the log says why."""
    watch = Hearing(every=True, fail=KeyError("bug"))
    made = response([sse(event) for event in EVENTS])
    attach(made, watch, READING)
    with caplog.at_level(logging.WARNING, "holdfast"):
        assert made.read() == BODY
    assert (len(watch.events), watch.ends) == (1, [False])
    assert "KeyError" in caplog.text


def test_a_watch_that_raised_at_the_end_has_not_heard_all() -> None:
    """It is told that the answer is incomplete, whatever it was."""
    watch = Hearing(fail=KeyError("bug"))
    made = response([sse(EVENTS[-1])])
    attach(made, watch, READING)
    made.read()
    assert watch.ends == [False]


def test_a_line_s_end_in_two_pieces_is_one() -> None:
    """Data of several lines stays one event where a chunk ends between carriage return and line feed."""
    lines = Lines()
    found = [event for chunk in (b"data: {\r", b"\ndata: }\r\n", b"\r", b"\n") for event in lines.feed(chunk)]
    assert found == [(b"", b"{\n}")]


def test_async_streams_are_tapped_alike() -> None:
    """Read to the end, closed early, and broken off."""

    async def ends(parts: list[bytes], failure: Exception | None, count: int) -> tuple[list[Any], list[bool]]:
        made, watch = watched(parts, failure=failure)
        try:
            reading = made.aiter_bytes()
            for _ in range(count):
                await anext(reading, None)
            await reading.aclose()
        except httpx2.ReadError:
            pass
        return watch.events, watch.ends

    parts = [sse(event) for event in EVENTS]
    assert anyio.run(ends, parts, None, 9) == (TELLING, [True])
    assert anyio.run(ends, parts, None, 2) == ([EVENTS[0]], [False])
    assert anyio.run(ends, parts[:3], httpx2.ReadError("gone"), 9) == ([EVENTS[0]], [False])


def test_a_body_that_was_read_before_is_heard_at_once() -> None:
    """A transport that makes up answers hands them out read."""
    made, watch = httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=BODY), Hearing()
    attach(made, watch, READING)
    assert (watch.events, watch.ends) == (TELLING, [True])


blocks = st.one_of(
    st.builds(lambda text: {"type": "text", "text": text}, texts),
    st.builds(lambda text: {"type": "tool_use", "id": "t", "name": "f", "input": {"a": text}}, texts),
    st.builds(lambda text: {"type": "thinking", "thinking": text, "signature": text}, texts),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(blocks, max_size=4))
def test_an_unstreamed_body_is_told_as_the_events_that_make_it(content: list[Json]) -> None:
    """Put together again, they are that body."""
    body = {**MESSAGE, "content": content}
    made, watch = watched(cuts(json.dumps(body).encode(), [9, 60]), content_type="application/json; charset=utf-8")
    made.read()
    assert put_together([dict(event) for event in watch.events]) == body
    assert watch.ends == [True]


def test_a_question_s_answer_is_kept_whole() -> None:
    """Every event, and whether the last one came."""
    heard = Heard("text/event-stream", READING)
    heard.feed(BODY)
    heard.end()
    assert heard.complete
    assert put_together(heard.events) == MESSAGE

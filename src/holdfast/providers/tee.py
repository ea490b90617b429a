"""A second reader of a response's body: the caller's bytes pass through as they are, and what they tell goes to a ``Watch``.

It stands in the place of ``response.stream``, under everything that reads a body (``iter_raw``, ``iter_bytes``, ``iter_text``,
``iter_lines``, ``read``, the SDKs' decoders), so that nobody who reads can pass it by, and a close or a drop is seen as well. A chunk
is looked at when the caller comes back for the next one. Framings: server-sent events (html.spec.whatwg.org, section 9.2, 2026),
the event stream of AWS (docs.aws.amazon.com, Smithy ``application/vnd.amazon.eventstream``, 2026) and one JSON body.
"""

from __future__ import annotations

import base64
import json
import logging
import sys
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol, cast

import httpx2

from holdfast.calls.redact import redacted_text
from holdfast.calls.values import Watch
from holdfast.errors import HoldfastError
from holdfast.frozen import Json
from holdfast.pipeline import guarded

log = logging.getLogger("holdfast")

Event = Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Reading:
    """How the streams of one dialect are read.

    ``tells(name, data)``: whether an event, still unparsed, carries usage, an id or the end; one that does not is only parsed for a
    watch that wants every event. ``last``: whether an event says that the answer is whole. ``whole``: the events that say
    what one unstreamed body says.
    """

    tells: Callable[[bytes, bytes], bool]
    last: Callable[[Event], bool]
    whole: Callable[[Event], Iterable[Event]]


class Framing(Protocol):
    """Finds events in bytes that come in pieces of any size."""

    def feed(self, chunk: bytes) -> Iterator[tuple[bytes, bytes]]:
        """The events that are whole by now, as name (``b""``: none was sent) and data."""

    def rest(self) -> bytes:
        """What is left when the body has ended and is an event of its own (``b""``: nothing)."""


class Lines:
    """Server-sent events. An event that the body breaks off in is none, as the specification has it."""

    def __init__(self) -> None:
        self._part: list[bytes] = []
        self._name = b""
        self._data: list[bytes] = []
        self._after_return = False

    def feed(self, chunk: bytes) -> Iterator[tuple[bytes, bytes]]:
        """The events that are whole by now."""
        for line in self._lines(chunk):
            if line.startswith(b"data:"):
                self._data.append(line[5:].removeprefix(b" "))
            elif line.startswith(b"event:"):
                self._name = line[6:].removeprefix(b" ")
            elif not line:
                name, data, self._name, self._data = self._name, self._data, b"", []
                if data:
                    yield name, b"\n".join(data)

    def rest(self) -> bytes:
        """Nothing."""
        return b""

    def _lines(self, chunk: bytes) -> list[bytes]:
        if self._after_return and chunk:  # the second half of a line's end
            chunk = chunk.removeprefix(b"\n")
            self._after_return = False
        if b"\r" in chunk:
            self._after_return = chunk.endswith(b"\r")
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        self._part.append(chunk)
        if b"\n" not in chunk:
            return []
        lines = b"".join(self._part).split(b"\n")
        self._part = [lines.pop()]
        return lines


class Frames:
    """The binary event stream of AWS: length, length of the headers, checksum, headers, payload, checksum.

    A payload is ``{"bytes": base64 of an event}``. Checksums are the SDK's to check.
    """

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, chunk: bytes) -> Iterator[tuple[bytes, bytes]]:
        """The events that are whole by now. Raises ``ValueError`` on what is no such stream."""
        self._held += chunk
        while len(self._held) >= 12:
            total, headers = int.from_bytes(self._held[:4]), int.from_bytes(self._held[4:8])
            if total < headers + 16:
                raise ValueError("not an AWS event stream")
            if len(self._held) < total:
                return
            payload = json.loads(bytes(self._held[12 + headers : total - 4]) or b"{}")
            del self._held[:total]
            yield b"", base64.b64decode(payload["bytes"]) if "bytes" in payload else _exception(payload)

    def rest(self) -> bytes:
        """Nothing."""
        return b""


def _exception(payload: Event) -> bytes:
    return json.dumps({"type": "error", "error": payload}).encode()


class Whole:
    """One JSON body, an event when it has ended."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def feed(self, chunk: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Nothing yet."""
        self._parts.append(chunk)
        return iter(())

    def rest(self) -> bytes:
        """The body."""
        return b"".join(self._parts)


def framing(content_type: str) -> Framing:
    """The framing that a body of this content type has."""
    if "eventstream" in content_type:
        return Frames()
    return Whole() if "json" in content_type.split(";", 1)[0] else Lines()


def parsed(data: bytes) -> Event | None:
    """The JSON object of an event, ``None`` where it is none (``[DONE]``, say)."""
    try:
        found = json.loads(data)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


class WatchFailed(HoldfastError):
    """A watch raised. It hears no more, and the caller does not notice."""


class Tap:
    """Tells a watch what passes by. Nothing it does reaches the caller, whatever the watch does."""

    def __init__(self, watch: Watch, reading: Reading, headers: Mapping[str, str]) -> None:
        self._watch, self._reading = watch, reading
        self._framing = framing(headers.get("content-type", ""))
        self._decode = _decoder(headers.get("content-encoding", ""))
        self._handed = b""
        self._complete = self._over = self._deaf = False

    def handed(self, chunk: bytes) -> None:
        """A chunk is about to be given to the caller."""
        self._handed = chunk

    def listen(self) -> None:
        """Look at the chunk that the caller has."""
        chunk, self._handed = self._handed, b""
        if chunk and not (self._over or self._deaf):
            self._safely(lambda: self._hear(chunk))

    def ended(self, natural: bool) -> None:
        """The body is at its end, or (``natural`` is false) nobody reads any further. Only the first time counts."""
        if self._over:
            return
        self.listen()
        self._over = True
        if not self._deaf and natural:
            self._safely(self._hear_rest)
        complete = natural if self._decode is None else self._complete
        self._safely(lambda: self._watch.ended(complete and not self._deaf))

    def _hear(self, chunk: bytes) -> None:
        if self._decode is None:
            return
        every = self._watch.wants_events
        for name, data in self._framing.feed(self._decode(chunk)):
            if every or self._reading.tells(name, data):
                self._tell(parsed(data))

    def _hear_rest(self) -> None:
        body = parsed(self._framing.rest())
        for event in self._reading.whole(body) if body is not None else ():
            self._tell(event)

    def _tell(self, event: Event | None) -> None:
        if event is not None:
            self._complete = self._complete or self._reading.last(event)
            self._watch.event(event)

    def _safely(self, call: Callable[[], None]) -> None:
        try:
            guarded(call, lambda cause: WatchFailed(f"{type(cause).__name__}: {cause}"))
        except HoldfastError as failure:
            self._deaf = True
            log.warning("a stream is no longer watched: %s", redacted_text(str(failure)))


def _decoder(encoding: str) -> Callable[[bytes], bytes] | None:
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return bytes
    # 32 + 15: zlib finds out by itself whether it is gzip or zlib (docs.python.org, zlib.decompressobj)
    return zlib.decompressobj(47).decompress if encoding in ("gzip", "x-gzip", "deflate") else None


class TappedStream(httpx2.SyncByteStream):
    """A body that is read once, by the caller, with a tap on it."""

    def __init__(self, body: httpx2.SyncByteStream, tap: Tap) -> None:
        self._body, self._tap = body, tap

    @property
    def elapsed(self) -> timedelta | None:
        """What ``httpx2.Response.elapsed`` asks its stream for."""
        return getattr(self._body, "elapsed", None)

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._body:
            self._tap.handed(chunk)
            yield chunk
            self._tap.listen()
        self._tap.ended(True)

    def close(self) -> None:
        """``httpx2`` closes the body of whoever stops reading, for whatever reason."""
        self._tap.ended(False)
        self._body.close()

    def __del__(self) -> None:
        if not sys.is_finalizing():
            self._tap.ended(False)


class AsyncTappedStream(httpx2.AsyncByteStream):
    """``TappedStream`` for async clients."""

    def __init__(self, body: httpx2.AsyncByteStream, tap: Tap) -> None:
        self._async_body, self._tap = body, tap

    @property
    def elapsed(self) -> timedelta | None:
        """What ``httpx2.Response.elapsed`` asks its stream for."""
        return getattr(self._async_body, "elapsed", None)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        chunks = self._async_body.__aiter__()
        try:
            async for chunk in chunks:
                self._tap.handed(chunk)
                yield chunk
                self._tap.listen()
            self._tap.ended(True)
        finally:
            if isinstance(chunks, AsyncGenerator):
                await chunks.aclose()  # in the task that read it, not whenever the event loop gets to it

    async def aclose(self) -> None:
        """``httpx2`` closes the body of whoever stops reading, for whatever reason."""
        self._tap.ended(False)
        await self._async_body.aclose()

    def __del__(self) -> None:
        if not sys.is_finalizing():
            self._tap.ended(False)


class _Bytes(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    """What is both."""


class TappedBytes(TappedStream, AsyncTappedStream):
    """A body that can be read either way."""

    def __init__(self, body: _Bytes, tap: Tap) -> None:
        self._body, self._async_body, self._tap = body, body, tap


def attach(response: httpx2.Response, watch: Watch, reading: Reading) -> None:
    """Have ``watch`` hear what the caller reads of ``response``, which may be of a sync or an async client.

    Of a body that was read before (by another middleware, or a transport that makes answers up) it hears at once.
    """
    body = response.stream
    if response.is_closed:
        _hear_at_once(response, Tap(watch, reading, {"content-type": response.headers.get("content-type", "")}))
        return
    tap = Tap(watch, reading, response.headers)
    if isinstance(body, httpx2.SyncByteStream) and isinstance(body, httpx2.AsyncByteStream):
        response.stream = TappedBytes(cast(_Bytes, body), tap)
    elif isinstance(body, httpx2.SyncByteStream):
        response.stream = TappedStream(body, tap)
    elif isinstance(body, httpx2.AsyncByteStream):
        response.stream = AsyncTappedStream(body, tap)


def _hear_at_once(response: httpx2.Response, tap: Tap) -> None:
    try:
        tap.handed(response.content)
    except httpx2.ResponseNotRead:
        tap.ended(False)
    tap.ended(True)


class Heard:
    """Every event of one answer, kept: what an ``ask`` is read with. Give it decoded bytes."""

    def __init__(self, content_type: str, reading: Reading) -> None:
        self._framing, self._reading = framing(content_type), reading
        self.events: list[dict[str, Json]] = []
        self.complete = False
        self.body: Event | None = None

    def feed(self, chunk: bytes) -> None:
        """The next bytes. Raises ``ValueError`` on a stream that is none."""
        for _, data in self._framing.feed(chunk):
            self._keep(parsed(data))

    def end(self) -> None:
        """There are no more. ``body`` is the answer where it is one JSON body and no stream (an error, say)."""
        self.body = parsed(self._framing.rest())
        for event in self._reading.whole(self.body) if self.body is not None else ():
            self._keep(event)

    def _keep(self, event: Event | None) -> None:
        if event is not None:
            self.complete = self.complete or self._reading.last(event)
            self.events.append(dict(event))

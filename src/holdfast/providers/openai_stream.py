"""What a caller of an OpenAI client reads, looked at as it passes, and Chat usage that nobody asked for taken out of it.

The tee sits on the decoded bytes of one response, of either httpx, which every way of reading it goes through (``Stream``, ``read``,
``iter_bytes``, ``iter_text``, ``iter_lines``) but ``iter_raw``. It takes itself off when the response has ended.
"""

from __future__ import annotations

import re
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, closing
from typing import TYPE_CHECKING, Any

from holdfast.calls.values import Watch
from holdfast.providers.tee import Event, Reading, Tap, parsed
from holdfast.transcript import Dialect

if TYPE_CHECKING:
    import httpx2

_EVENT_END = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_DONE = re.compile(rb"(?:^|[\r\n])data: ?\[DONE\]")
_LAST = ("response.completed", "response.failed", "response.incomplete", "error")
_TELLING = re.compile(rb'"usage"\s*:\s*\{|"error"\s*:\s*\{|"type"\s*:\s*"(?:response\.(?:completed|failed|incomplete)|error)"')
_NO_USAGE = re.compile(rb',\s*"usage"\s*:\s*null|"usage"\s*:\s*null\s*,\s*')


def reading_of(dialect: Dialect) -> Reading:
    """How one response's stream is read: its first event has the id, the last one or two the usage."""
    return Reading(_Telling(), _is_last, _whole_response if dialect == "openai-responses" else _whole_chat)


class _Telling:
    """Whether an event says what everybody wants to know; the first one always does."""

    def __init__(self) -> None:
        self._begun = False

    def __call__(self, name: bytes, data: bytes) -> bool:
        begun, self._begun = self._begun, True
        return not begun or _TELLING.search(data) is not None


def _is_last(event: Event) -> bool:
    return event.get("type") in _LAST


def _whole_chat(body: Event) -> Iterator[Event]:
    yield body


def _whole_response(body: Event) -> Iterator[Event]:
    yield {"type": "response.completed", "response": body}


class UsageHidden:
    """Chat bytes in, out come those of a stream whose usage nobody asked for. An event is held until the blank line at its end."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._looked = 0

    def feed(self, chunk: bytes) -> bytes:
        """What the caller gets now."""
        self._held += chunk
        out = []
        while (end := _EVENT_END.search(self._held, self._looked)) is not None:
            out.append(unasked(bytes(self._held[: end.end()])))
            del self._held[: end.end()]
            self._looked = 0
        self._looked = max(0, len(self._held) - 3)
        return b"".join(out)

    def rest(self) -> bytes:
        """What the caller gets after the last chunk."""
        return unasked(bytes(self._held))


def unasked(block: bytes) -> bytes:
    """An event of a Chat stream as it would be had nobody asked for usage.

    The chunk that carries it goes, and so does ``"usage":null`` of the others; no other byte changes (OpenAI API reference,
    ``stream_options.include_usage``, 2026-10: the additional chunk's ``choices`` are always empty, all other chunks have a null usage).
    """
    if b'"usage"' not in block:
        return block
    data = _data_of(block)
    if data is None or "usage" not in data:
        return block
    if isinstance(data["usage"], dict):
        return b"" if data.get("choices") == [] else block
    if data["usage"] is not None:
        return block
    wanted = {key: value for key, value in data.items() if key != "usage"}
    for place in _NO_USAGE.finditer(block):
        cut = block[: place.start()] + block[place.end() :]
        if _data_of(cut) == wanted:
            return cut
    return block


def _data_of(block: bytes) -> Event | None:
    return parsed(b"\n".join(line[5:].removeprefix(b" ") for line in block.splitlines() if line.startswith(b"data:")))


class ChatWatch:
    """A watch of a Chat stream, whose end is no event: ``[DONE]``, or that the body ended as it should."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self.whole = False

    @property
    def wants_events(self) -> bool:
        """As the watch itself."""
        return self._watch.wants_events

    def event(self, event: Event) -> None:
        """As the watch itself."""
        self._watch.event(event)

    def ended(self, complete: bool) -> None:
        """As the watch itself."""
        self._watch.ended(complete or self.whole)


class Tee:
    """Stands between a response and whoever reads it."""

    def __init__(self, response: httpx2.Response, tap: Tap | None, hidden: UsageHidden | None, chat: ChatWatch | None) -> None:
        self._response, self._tap, self._hidden, self._chat = response, tap, hidden, chat
        self._tail = b"\n"
        self._done = self._pulling = self._over = False
        self._close, self._aclose = response.close, response.aclose
        self._iter_bytes, self._aiter_bytes = response.iter_bytes, response.aiter_bytes
        self._on = {"iter_bytes": self.iter_bytes, "aiter_bytes": self.aiter_bytes, "close": self.close, "aclose": self.aclose}
        vars(response).update(self._on)

    def iter_bytes(self, chunk_size: int | None = None) -> Iterator[bytes]:
        """In the place of the response's own."""
        whole = False
        with closing(self._iter_bytes(chunk_size)) as source:  # type: ignore[type-var]  # typed as an iterator, it is a generator
            try:
                while (chunk := self._pulled(source)) is not None:
                    if passed := self._passed(chunk):
                        yield passed
                    self._listen()
                if self._hidden is not None and (passed := self._hidden.rest()):
                    yield passed
                whole = True
            finally:
                self._ended(whole)

    async def aiter_bytes(self, chunk_size: int | None = None) -> AsyncGenerator[bytes, None]:
        """In the place of the response's own."""
        whole = False
        async with aclosing(self._aiter_bytes(chunk_size)) as source:
            try:
                while (chunk := await self._apulled(source)) is not None:
                    if passed := self._passed(chunk):
                        yield passed
                    self._listen()
                if self._hidden is not None and (passed := self._hidden.rest()):
                    yield passed
                whole = True
            finally:
                self._ended(whole)

    def _pulled(self, source: Iterator[bytes]) -> bytes | None:
        self._pulling = True
        try:
            return next(source, None)
        finally:
            self._pulling = False

    async def _apulled(self, source: AsyncGenerator[bytes, None]) -> bytes | None:
        self._pulling = True
        try:
            return await anext(source, None)
        finally:
            self._pulling = False

    def _passed(self, chunk: bytes) -> bytes:
        if self._tap is not None:
            self._tap.handed(chunk)
        seen = self._tail + chunk
        self._done = self._done or _DONE.search(seen) is not None
        self._tail = seen[-16:]
        return chunk if self._hidden is None else self._hidden.feed(chunk)

    def _listen(self) -> None:
        if self._tap is not None:
            self._tap.listen()

    def close(self) -> None:
        """In the place of the response's own: a caller who closes has read all that it wants."""
        if not self._pulling:
            self._ended(whole=False)
        self._close()

    async def aclose(self) -> None:
        """In the place of the response's own: a caller who closes has read all that it wants."""
        if not self._pulling:
            self._ended(whole=False)
        await self._aclose()

    def __del__(self) -> None:
        if not sys.is_finalizing():
            self._ended(whole=False)  # nobody read it, nobody closed it

    def _ended(self, whole: bool) -> None:
        if self._over:
            return
        self._over = True
        own: dict[str, Any] = vars(self._response)
        for name, ours in self._on.items():
            if own.get(name) == ours:
                del own[name]
        if self._chat is not None:
            self._chat.whole = whole or self._done
        if self._tap is not None:
            self._tap.ended(whole)


def watch_response(response: httpx2.Response, watch: Watch | None, dialect: Dialect, hides_usage: bool) -> None:
    """Has an unread response looked at while the caller reads it."""
    kind = response.headers.get("content-type", "")
    hidden = UsageHidden() if hides_usage and kind.lower().startswith("text/event-stream") else None
    chat = ChatWatch(watch) if watch is not None and dialect == "openai-chat" else None
    tap = Tap(chat or watch, reading_of(dialect), {"content-type": kind}) if watch is not None else None
    if tap is not None or hidden is not None:
        Tee(response, tap, hidden, chat)

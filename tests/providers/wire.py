"""A server on a real socket that sends the bytes it is told to, and flows and watches that keep what they were told."""

from __future__ import annotations

import base64
import json
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from holdfast.calls.values import Flow, Received, Request, Send, Unsent, Watch
from holdfast.frozen import Json


class Cut:
    """The connection ends here, without a goodbye."""


CUT = Cut()


@dataclass(frozen=True)
class Sent:
    """What a client sent."""

    path: str
    headers: Mapping[str, str]
    raw: bytes

    @property
    def body(self) -> Any:
        """The JSON in it."""
        return json.loads(self.raw)


@dataclass(frozen=True)
class Say:
    """An answer: bytes are HTTP chunks, a float is a pause in seconds. With a status of 0 the connection ends instead of it."""

    parts: Iterable[bytes | float | Cut]
    status: int = 200
    kind: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


MESSAGE: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-5",
    "content": [{"type": "text", "text": "Good day"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 7, "cache_read_input_tokens": 3, "output_tokens": 2},
}
EVENTS: list[dict[str, Any]] = [
    {
        "type": "message_start",
        "message": {**MESSAGE, "content": [], "stop_reason": None, "usage": {**MESSAGE["usage"], "output_tokens": 1}},
    },
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "ping"},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Good"}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": " day"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": {"output_tokens": 2}},
    {"type": "message_stop"},
]
TELLING = [event for event in EVENTS if event["type"].startswith("message")]


def sse(event: Mapping[str, Any]) -> bytes:
    """One server-sent event."""
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


def frame(event: Mapping[str, Any]) -> bytes:
    """One event in a frame of AWS's, with one header and no checksums."""
    payload = json.dumps({"bytes": base64.b64encode(json.dumps(event).encode()).decode(), "p": "abc"}).encode()
    header = b"\x0b:event-type\x07\x00\x05chunk"
    lengths = (12 + len(header) + len(payload) + 4).to_bytes(4) + len(header).to_bytes(4)
    return lengths + bytes(4) + header + payload + bytes(4)


STREAM = Say([sse(event) for event in EVENTS], kind="text/event-stream")
PLAIN = Say([json.dumps(MESSAGE).encode()])


def refusal(status: int, message: str = "no", **headers: str) -> Say:
    """An error in the API's form, to be tried again at once where it is tried again."""
    body = {"type": "error", "error": {"type": "some_error", "message": message}}
    return Say([json.dumps(body).encode()], status, headers={"retry-after-ms": "1", **headers})


class Server:
    """Answers each request with what its script says next, in its own way where the script is a function."""

    def __init__(self, script: Iterable[Say] | Callable[[Sent], Say]) -> None:
        self.sent: list[Sent] = []
        rest = iter(()) if callable(script) else iter(script)
        self._say = script if callable(script) else lambda _: next(rest)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Accept no more, also where a thread is waiting to."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as lines:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                while (sent := self._read(lines)) is not None:
                    self.sent.append(sent)
                    if not self._write(connection, self._say(sent)):
                        return
            except (OSError, StopIteration):
                return

    def _read(self, lines: Any) -> Sent | None:
        first = lines.readline().decode().split()
        if not first:
            return None
        headers = {}
        while line := lines.readline().decode().strip():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        return Sent(first[1], headers, lines.read(int(headers.get("content-length", 0))))

    def _write(self, connection: socket.socket, say: Say) -> bool:
        if not say.status:
            return False
        headers = {"content-type": say.kind, "transfer-encoding": "chunked", "request-id": "req_1", **say.headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        connection.sendall(f"HTTP/1.1 {say.status} Said\r\n{head}\r\n".encode())
        for part in say.parts:
            if isinstance(part, Cut):
                return False
            if isinstance(part, float):
                time.sleep(part)
            else:
                connection.sendall(b"%x\r\n%s\r\n" % (len(part), part))
        connection.sendall(b"0\r\n\r\n")
        return True


@contextmanager
def serving(*script: Say | Callable[[Sent], Say]) -> Iterator[Server]:
    """A server that says these things, one for each request, or what a function says."""
    first = script[0] if script else None
    server = Server(first) if callable(first) else Server([say for say in script if isinstance(say, Say)])
    try:
        yield server
    finally:
        server.close()


class Hearing:
    """A watch that keeps what it hears."""

    def __init__(self, every: bool = False, fail: Exception | None = None) -> None:
        self.every, self.fail = every, fail
        self.events: list[Mapping[str, Json]] = []
        self.ends: list[bool] = []
        self.asked = 0

    @property
    def wants_events(self) -> bool:
        """Whether every event is wanted."""
        return self.every

    def event(self, event: Mapping[str, Json]) -> None:
        """Keep one."""
        self.events.append(event)
        if self.fail is not None:
            raise self.fail

    def ended(self, complete: bool) -> None:
        """Keep the end."""
        self.ends.append(complete)


Script = Callable[[Request, "Scripted"], Flow]


def as_it_is(request: Request, flows: Scripted) -> Flow:
    """Send the caller's request, and watch."""
    flows.hear((yield Send("call", request.body)))
    return flows.watch


class Scripted:
    """Flows made by one generator function, and what went through them."""

    def __init__(self, script: Script = as_it_is, watch: Watch | None = None) -> None:
        self.script, self.watch = script, watch
        self.requests: list[Request] = []
        self.got: list[Received | Unsent] = []
        self.closed: list[type[BaseException] | None] = []

    def hear(self, got: Received | Unsent | None) -> Received:
        """Keep what came back."""
        assert got is not None
        self.got.append(got)
        return got if isinstance(got, Received) else Received(0)

    def flow(self, request: Request, /) -> Flow:
        """One attempt."""
        self.requests.append(request)
        left: type[BaseException] | None = None
        try:
            return (yield from self.script(request, self))
        except BaseException as why:
            left = type(why)
            raise
        finally:
            self.closed.append(left)

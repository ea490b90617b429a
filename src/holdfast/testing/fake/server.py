"""HTTP/1.1 on loopback: connections that stay open, chunked streams, and the ways in which a connection can break."""

from __future__ import annotations

import json
import socket
import struct
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from threading import Event, Lock
from typing import Any, Literal, TypeAlias

from holdfast.frozen import Json

LARGEST_REQUEST = 64 * 1024 * 1024
"""Bytes; of a longer body the connection is closed unread."""
_RESET = struct.pack("ii", 1, 0)
_ABREAST = 64
"""Events that a stream without a pace sends in one go."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request as it came in. ``at`` is when its first line was read; header names are in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    raw: bytes
    at: float

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back: a JSON ``body``, or ``events`` as a stream.

    ``latency`` seconds before the first byte, then ``begins`` is called. ``pace`` seconds between two events. ``drop``: the connection
    ends before the headers, or in the middle of what comes after them.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Json] = field(default_factory=dict)
    events: tuple[bytes, ...] | None = None
    latency: float = 0.0
    pace: float = 0.0
    drop: Literal["", "headers", "body"] = ""
    begins: Callable[[], None] | None = None


Answers: TypeAlias = Callable[[Call], Answer]


class Server(ThreadingMixIn, TCPServer):
    """One thread a connection. ``answers`` says what to reply to a call; what it raises is kept in ``raised``."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 512

    def __init__(self, address: tuple[str, int], answers: Answers, clock: Callable[[], float]) -> None:
        self.answers = answers
        self.clock = clock
        self.stopping = Event()
        self.raised: list[BaseException] = []
        self._open: set[socket.socket] = set()
        self._lock = Lock()
        super().__init__(address, Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """A new connection gets its thread."""
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """A connection has ended."""
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that its client has left is no error; anything else is kept for whoever stops the server."""
        error = sys.exc_info()[1]
        if error is not None and not isinstance(error, OSError):
            self.raised.append(error)

    def close(self) -> None:
        """Stops serving and ends every open connection. ``serve_forever`` must be running."""
        self.stopping.set()
        self.shutdown()
        self.server_close()
        with self._lock:
            left = list(self._open)
        for connection in left:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # its client was quicker


class Handler(BaseHTTPRequestHandler):
    """Reads calls from one connection and writes what ``Server.answers`` says."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def handle_one_request(self) -> None:
        """One call, if one comes."""
        self.raw_requestline = self.rfile.readline(65537)
        at = self.server.clock()
        if not self.raw_requestline or not self.parse_request():
            self.close_connection = True
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        raw = self._body(headers)
        if raw is None:
            self.close_connection = True
            return
        self._reply(self.server.answers(Call(self.command, self.path, headers, raw, at)))

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is logged."""

    def _body(self, headers: Mapping[str, str]) -> bytes | None:
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return b"".join(self._chunks())
        length = int(headers.get("content-length") or 0)
        if length > LARGEST_REQUEST:
            return None
        raw = self.rfile.read(length)
        return raw if len(raw) == length else None

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline(100).partition(b";")[0] or b"0", 16):
            yield self.rfile.read(size)
            self.rfile.readline(3)
        while self.rfile.readline(65537).strip():
            continue

    def _reply(self, answer: Answer) -> None:
        stopped = bool(answer.latency) and self.server.stopping.wait(answer.latency)
        if stopped or answer.drop == "headers":
            self._cut()
            return
        if answer.begins is not None:
            answer.begins()
        whole = self._plain(answer) if answer.events is None else self._stream(answer, answer.events)
        if not whole:
            self._cut()

    def _plain(self, answer: Answer) -> bool:
        """Writes a response with a length; false where it is to be broken off."""
        body = json.dumps(answer.body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
        head = self._head(answer, {"content-type": "application/json", "content-length": str(len(body))})
        self.wfile.write(head + (body[: len(body) // 2] if answer.drop else body))
        return not answer.drop

    def _stream(self, answer: Answer, events: tuple[bytes, ...]) -> bool:
        """Writes a stream; false where it is to be broken off."""
        fields = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache", "transfer-encoding": "chunked"}
        waiting = self._head(answer, fields)
        last = len(events) // 2 if answer.drop else len(events)
        for number, event in enumerate(events[:last]):
            waiting += b"%x\r\n%b\r\n" % (len(event), event)
            if answer.pace or number % _ABREAST == 0:
                self.wfile.write(waiting)
                waiting = b""
            if answer.pace and self.server.stopping.wait(answer.pace):
                return False
        self.wfile.write(waiting + (b"" if answer.drop else b"0\r\n\r\n"))
        return not answer.drop

    def _head(self, answer: Answer, fields: Mapping[str, str]) -> bytes:
        try:
            phrase = HTTPStatus(answer.status).phrase
        except ValueError:
            phrase = "Overloaded" if answer.status == 529 else "Error"
        lines = [f"HTTP/1.1 {answer.status} {phrase}", f"date: {self.date_time_string()}"]
        lines += [f"{name}: {value}" for name, value in {**fields, **answer.headers}.items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def _cut(self) -> None:
        """The connection is reset: no orderly end that a client could take for one."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.connection.close()

"""A server that keeps every request byte for byte and answers in OpenAI's form, and flows written in a test."""

from __future__ import annotations

import json
import socketserver
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from holdfast.calls.values import Flow, Received, Request, Send, Watch
from holdfast.frozen import Json

USAGE = {"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14, "prompt_tokens_details": {"cached_tokens": 8}}
RESPONSES_USAGE = {"input_tokens": 11, "output_tokens": 3, "total_tokens": 14, "input_tokens_details": {"cached_tokens": 8}}
REFUSED = {"error": {"message": "too long", "type": "invalid_request_error", "param": "messages", "code": "context_length_exceeded"}}


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent back: a body, or pieces of a stream ``pause`` seconds apart.

    ``cut``: the connection ends before the stream does; ``drop``: before anything is sent.
    """

    status: int = 200
    body: Json = None
    pieces: tuple[bytes, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: bool = False
    drop: bool = False
    pause: float = 0.0


@dataclass(frozen=True, slots=True)
class Sent:
    """A request as it came."""

    raw: bytes

    @property
    def path(self) -> str:
        """The path, with its query."""
        return self.raw.split(b" ", 2)[1].decode()

    @property
    def head(self) -> str:
        """Everything before the body."""
        return self.raw.partition(b"\r\n\r\n")[0].decode()

    @property
    def body(self) -> Any:
        """The JSON body."""
        return json.loads(self.raw.partition(b"\r\n\r\n")[2] or b"null")


class Provider(socketserver.ThreadingTCPServer):
    """Answers what is next in ``script``, else what the request asks for."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.sent: list[Sent] = []
        self.script: deque[Answer] = deque()
        self.closing = ExitStack()

    @property
    def url(self) -> str:
        """What ``base_url`` is set to."""
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is what some tests are about."""

    def answer(self, sent: Sent) -> Answer:
        """The next answer."""
        return self.script.popleft() if self.script else usual(sent)


class _Handler(socketserver.StreamRequestHandler):
    server: Provider

    def handle(self) -> None:
        """Requests of one connection."""
        while raw := self._request():
            sent = Sent(raw)
            self.server.sent.append(sent)
            answer = self.server.answer(sent)
            if answer.drop or not self._reply(answer):
                return

    def _request(self) -> bytes:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = self.rfile.readline()
            if not line:
                return b""
            head += line
        lengths = [line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
        return head + self.rfile.read(int(lengths[0]) if lengths else 0)

    def _reply(self, answer: Answer) -> bool:
        try:
            return self._written(answer)
        except OSError:
            return False

    def _written(self, answer: Answer) -> bool:
        streamed = bool(answer.pieces)
        body = b"" if streamed else json.dumps(answer.body).encode()
        headers = {"content-type": "text/event-stream; charset=utf-8" if streamed else "application/json", "x-request-id": "req_1"}
        headers |= {"transfer-encoding": "chunked"} if streamed else {"content-length": str(len(body))}
        lines = [f"HTTP/1.1 {answer.status} OK", *(f"{name}: {value}" for name, value in {**headers, **answer.headers}.items())]
        self.wfile.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        for piece in answer.pieces:
            self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            self.wfile.flush()
            time.sleep(answer.pause)
        if streamed and not answer.cut:
            self.wfile.write(b"0\r\n\r\n")
        return not answer.cut


@contextmanager
def serving() -> Iterator[Provider]:
    """A provider, for as long as it is needed."""
    with Provider() as provider:
        thread = threading.Thread(target=provider.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield provider
        provider.shutdown()


def usual(sent: Sent) -> Answer:
    """An answer of the form that the request asks for."""
    body, path = sent.body, sent.path.split("?")[0]
    if path.endswith("/chat/completions"):
        if body.get("stream"):
            usage = bool((body.get("stream_options") or {}).get("include_usage"))
            return Answer(pieces=chat_pieces(usage))
        return Answer(body=chat_body())
    if path.endswith("/responses/input_tokens"):
        return Answer(body={"object": "response.input_tokens", "input_tokens": 11})
    if path.endswith("/responses"):
        return Answer(pieces=responses_pieces()) if body.get("stream") else Answer(body=responses_body())
    return Answer(body={"object": "list", "data": []})


def chat_body(text: str = '{"n": 1}') -> dict[str, Any]:
    """A Chat completion."""
    message = {"role": "assistant", "content": text, "refusal": None}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    return {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-5.4", "choices": [choice], "usage": USAGE}


def chat_pieces(usage: bool, texts: tuple[str, ...] = ('{"n"', ": ", '1}"usage":null'[:2], "")) -> tuple[bytes, ...]:
    """The events of a Chat stream as OpenAI sends them, with its usage or without."""
    deltas = [{"role": "assistant", "content": ""}, *({"content": text} for text in texts), {}]
    chunks = [_chunk([{"index": 0, "delta": delta, "finish_reason": None if delta else "stop"}]) for delta in deltas]
    if usage:
        chunks = [{**chunk, "usage": None, "obfuscation": 'x,"usage":null'} for chunk in chunks]
        chunks.append({**_chunk([]), "usage": USAGE})
    else:
        chunks = [{**chunk, "obfuscation": 'x,"usage":null'} for chunk in chunks]
    return (*(b"data: " + json.dumps(chunk, separators=(",", ":")).encode() + b"\n\n" for chunk in chunks), b"data: [DONE]\n\n")


def _chunk(choices: list[Any]) -> dict[str, Any]:
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-5.4", "choices": choices}


def responses_body(text: str = '{"n": 1}') -> dict[str, Any]:
    """A response."""
    content = [{"type": "output_text", "text": text, "annotations": []}]
    item = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": content}
    return {
        "id": "resp_1", "object": "response", "created_at": 1, "status": "completed", "model": "gpt-5.4", "output": [item],
        "parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "usage": RESPONSES_USAGE,
    }  # fmt: skip


def responses_pieces() -> tuple[bytes, ...]:
    """The events of a streamed response."""
    whole = responses_body()
    begun = {**whole, "status": "in_progress", "output": [], "usage": None}
    item = whole["output"][0]
    place = {"output_index": 0, "item_id": "msg_1", "content_index": 0}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": begun},
        {"type": "response.output_item.added", "output_index": 0, "item": {**item, "content": [], "status": "in_progress"}},
        {"type": "response.content_part.added", **place, "part": {"type": "output_text", "text": "", "annotations": []}},
        {"type": "response.output_text.delta", **place, "delta": '{"n": 1}', "logprobs": []},
        {"type": "response.output_text.done", **place, "text": '{"n": 1}', "logprobs": []},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": whole},
    ]
    numbered = [{**event, "sequence_number": number} for number, event in enumerate(events)]
    return tuple(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in numbered)


@dataclass
class Kept:
    """A watch that keeps what it is told."""

    wants_events: bool = True
    events: list[Mapping[str, Json]] = field(default_factory=list)
    ends: list[bool] = field(default_factory=list)

    def event(self, event: Mapping[str, Json]) -> None:
        """Keeps an event."""
        self.events.append(event)

    def ended(self, complete: bool) -> None:
        """Keeps the end."""
        self.ends.append(complete)

    @property
    def usage(self) -> Any:
        """The last usage told of."""
        found = [event.get("usage") or (event.get("response") or {}).get("usage") for event in self.events]
        return next((usage for usage in reversed(found) if usage), None)


def told(reply: Received | None) -> Received:
    """What a flow was told, which after a ``Send`` is something."""
    assert reply is not None
    return reply


Steps = Callable[[Request], Flow]


class Flows:
    """Opens the flow that the test wrote, and keeps what it was opened for."""

    def __init__(self, steps: Steps) -> None:
        self.steps = steps
        self.requests: list[Request] = []

    def flow(self, request: Request, /) -> Flow:
        """The flow of one call."""
        self.requests.append(request)
        return self.steps(request)


class Passing(Flows):
    """Sends everything as it is, keeps what comes back, and watches."""

    def __init__(self, *, wants_events: bool = True) -> None:
        super().__init__(self._steps)
        self.replies: list[Received] = []
        self.watches: list[Kept] = []
        self._wants = wants_events

    def _steps(self, request: Request) -> Flow:
        self.replies.append(told((yield Send("call", request.body))))
        self.watches.append(Kept(self._wants))
        watch: Watch = self.watches[-1]
        return watch

"""A provider that answers at once, whatever it is sent: ``python -m benchmarks.endpoint`` serves on loopback and prints its port.

It reads a body without looking at it, so that the time of a call is the client's. The path says what comes back: its last part the
dialect, ``/stream/`` in it that it is streamed (``/stream/v1/messages``). A prompt is billed by its length.
"""

from __future__ import annotations

import json
import select
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

from benchmarks.measuring import ROOT

PIECES = 40
"""Text pieces in a stream."""
BYTES_A_TOKEN = 5.1
"""What the benchmarks' texts come to."""
_BUFFER = 1 << 20


def main() -> None:
    """Serve until standard input is closed."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
    print(listening.getsockname()[1], flush=True)
    while True:
        ready, _, _ = select.select([listening, sys.stdin], [], [])
        if sys.stdin in ready:
            return
        connection, _ = listening.accept()
        Thread(target=_serve, args=(connection,), daemon=True).start()


def _serve(connection: socket.socket) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    buffer = bytearray(_BUFFER)
    while (asked := _request(connection, buffer)) is not None:
        connection.sendall(_answer(*asked))


def _request(connection: socket.socket, buffer: bytearray) -> tuple[str, int] | None:
    """Path and length of the next request, whose body is read and forgotten; ``None`` when there is none."""
    head = b""
    while b"\r\n\r\n" not in head:
        chunk = connection.recv(65536)
        if not chunk:
            return None
        head += chunk
    head, _, rest = head.partition(b"\r\n\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    length = int(fields.get(b"content-length", b"0"))
    left = length - len(rest)
    while left > 0:
        got = connection.recv_into(buffer, min(left, _BUFFER))
        if not got:
            return None
        left -= got
    return head.split(b" ", 2)[1].decode(), length


def _answer(path: str, length: int) -> bytes:
    tokens = int(length / BYTES_A_TOKEN)
    anthropic, streamed = path.endswith("/messages"), "/stream/" in path
    if streamed:
        body = b"".join(_anthropic_events(tokens) if anthropic else _chat_events(tokens))
        kind = "text/event-stream"
    else:
        body = json.dumps(_message(tokens, "OK") if anthropic else _completion(tokens)).encode()
        kind = "application/json"
    return f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


def _message(tokens: int, text: str) -> dict[str, Any]:
    usage = {"input_tokens": 10, "cache_read_input_tokens": max(0, tokens - 10), "cache_creation_input_tokens": 0, "output_tokens": 1}
    content = [{"type": "text", "text": text}] if text else []
    said = {"content": content, "model": "claude-sonnet-4-6", "stop_reason": "end_turn", "stop_sequence": None, "usage": usage}
    return {"id": "msg_1", "type": "message", "role": "assistant", **said}


def _anthropic_events(tokens: int) -> Iterator[bytes]:
    yield _event({"type": "message_start", "message": {**_message(tokens, ""), "stop_reason": None}})
    yield _event({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}})
    for number in range(PIECES):
        yield _event({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": f"word {number} "}})
    yield _event({"type": "content_block_stop", "index": 0})
    yield _event({"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": {"output_tokens": 80}})
    yield _event({"type": "message_stop"})


def _event(event: dict[str, Any]) -> bytes:
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


def _completion(tokens: int) -> dict[str, Any]:
    details = {"cached_tokens": max(0, tokens - 10)}
    usage = {"prompt_tokens": tokens, "completion_tokens": 1, "total_tokens": tokens + 1, "prompt_tokens_details": details}
    choice = {"index": 0, "message": {"role": "assistant", "content": "OK"}, "finish_reason": "stop", "logprobs": None}
    return {"id": "c_1", "object": "chat.completion", "created": 1, "model": "gpt-5.4", "choices": [choice], "usage": usage}


def _chat_events(tokens: int) -> Iterator[bytes]:
    del tokens  # nobody has asked for the usage
    base = {"id": "c_1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-5.4"}
    for number in range(PIECES):
        delta = {"role": "assistant", "content": f"word {number} "}
        yield f"data: {json.dumps({**base, 'choices': [{'index': 0, 'delta': delta, 'finish_reason': None}]})}\n\n".encode()
    yield f"data: {json.dumps({**base, 'choices': [{'index': 0, 'delta': {}, 'finish_reason': 'stop'}]})}\n\ndata: [DONE]\n\n".encode()


@contextmanager
def served() -> Iterator[str]:
    """The address of an endpoint in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.endpoint"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            assert process.stdin is not None
            process.stdin.close()


if __name__ == "__main__":
    main()

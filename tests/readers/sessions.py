"""Writes Claude Code session files line by line, as the client does."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from holdfast.blocks import Kind
from holdfast.readers import claude_code
from holdfast.transcript import Transcript, Turn

START = 1_770_000_000.0


class Session:
    """A session file in the making. Each method adds lines behind the newest one and returns the id of its last line."""

    def __init__(self, session: str = "5e551014-0000-4000-8000-000000000000", agent: str = "") -> None:
        self.session, self.agent = session, agent
        self.lines: list[str] = []
        self.last: str | None = None
        self.clock = START
        self.count = 0

    def line(self, kind: str, *, parent: str | None = "", **fields: Any) -> str:
        """One line of any type; ``parent`` is the newest line unless given."""
        self.count += 1
        self.clock += 1
        uuid = str(fields.pop("uuid", f"{self.agent}u{self.count}"))
        stamp = datetime.fromtimestamp(self.clock, UTC).isoformat().replace("+00:00", "Z")
        record = {"parentUuid": self.last if parent == "" else parent, "isSidechain": bool(self.agent), "sessionId": self.session}
        record |= {"agentId": self.agent} if self.agent else {}
        self.lines.append(json.dumps(record | {"type": kind, "uuid": uuid, "timestamp": stamp} | fields))
        self.last = uuid
        return uuid

    def user(self, content: Any, **fields: Any) -> str:
        """A user line: a text or a list of blocks."""
        return self.line("user", message={"role": "user", "content": content}, **fields)

    def result(self, call: str, text: str, **fields: Any) -> str:
        """A tool result."""
        return self.user([{"type": "tool_result", "tool_use_id": call, "content": text}], **fields)

    def block(self, answer: str, block: dict[str, Any], *, output: int = 1, stop: str | None = None, **fields: Any) -> str:
        """One line of an answer with one content block."""
        usage: dict[str, Any] = {
            "input_tokens": 3,
            "cache_read_input_tokens": 100,
            "cache_creation_input_tokens": 20,
            "output_tokens": output,
        }
        usage |= {"cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 20}}
        message = {
            "id": answer,
            "model": "claude-opus-4-5-20251101",
            "role": "assistant",
            "content": [block],
            "stop_reason": stop,
            "usage": usage,
        }
        return self.line("assistant", message=message | fields.pop("message", {}), **fields)

    def say(self, answer: str, text: str, **fields: Any) -> str:
        """An answer of one text."""
        return self.block(answer, {"type": "text", "text": text}, **fields)

    def call(self, answer: str, tool: str, **fields: Any) -> str:
        """An answer's line with one tool call, whose id is ``tool``."""
        return self.block(answer, {"type": "tool_use", "id": tool, "name": "Read", "input": {"file_path": tool}}, **fields)

    def write(self, path: Path, tail: str = "\n") -> Path:
        """The file, gzipped if its name says so."""
        path.parent.mkdir(parents=True, exist_ok=True)
        data = ("\n".join(self.lines) + tail).encode()
        path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
        return path


def read(session: Session, tmp_path: Path, name: str = "s.jsonl", *, strict: bool = False) -> Transcript:
    """The transcript of a session written to a file."""
    (transcript,) = claude_code.read(session.write(tmp_path / name), strict=strict)
    return transcript


def texts(turn: Turn) -> list[str]:
    """What stands in a turn's prompt, block by block; a tool call is its id."""
    return [str(block.call) if block.kind is Kind.TOOL_USE else block.text for message in turn.prompt.messages for block in message.blocks]

"""Codex rollouts built line by line, with what they should be read as."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Json = Any
EPOCH = "2026-04-10T11:00:{:06.3f}Z"


@dataclass
class Rollout:
    """A rollout while it is being written. ``now`` is in seconds after the start of the hour's minute; every line takes ``step``."""

    now: float = 0.0
    step: float = 0.01
    rows: list[Json] = field(default_factory=list)
    total: list[int] = field(default_factory=lambda: [0, 0, 0])
    bills: list[tuple[int, int, int]] = field(default_factory=list)

    def row(self, kind: str, **payload: Json) -> None:
        """One line."""
        self.now = round(self.now + self.step, 3)
        self.rows.append({"timestamp": EPOCH.format(self.now), "type": kind, "payload": payload})

    def meta(self, name: str = "s1", **more: Json) -> None:
        """The first line."""
        self.row("session_meta", id=name, base_instructions={"text": "You are Codex."}, **more)
        self.row("turn_context", model="gpt-5.4", effort="medium")

    def says(self, role: str, text: str) -> None:
        """A message of anybody's; a user's is repeated as an event."""
        kind = "output_text" if role == "assistant" else "input_text"
        self.row("response_item", type="message", role=role, content=[{"type": kind, "text": text}])
        if role == "user":
            self.row("event_msg", type="user_message", message=text)

    def calls(self, *ids: str) -> None:
        """Tool calls of the model."""
        for name in ids:
            self.row("response_item", type="function_call", name="exec", arguments="{}", call_id=name)

    def answers(self, *ids: str) -> None:
        """Their results."""
        for name in ids:
            self.row("response_item", type="function_call_output", call_id=name, output=f"result of {name}")

    def bill(self, prompt: int, cached: int, output: int) -> None:
        """A ``token_count`` that is a bill."""
        self.bills.append((prompt, cached, output))
        self.total = [a + b for a, b in zip(self.total, (prompt, cached, output), strict=True)]
        self.count(prompt, cached, output)

    def count(self, prompt: int, cached: int, output: int) -> None:
        """A ``token_count`` with these as its last usage and the totals as they are."""
        keys = ("input_tokens", "cached_input_tokens", "output_tokens")
        last = dict(zip(keys, (prompt, cached, output), strict=True))
        info = {"total_token_usage": dict(zip(keys, self.total, strict=True)), "last_token_usage": last}
        self.row("event_msg", type="token_count", info=info)

    def pause(self, seconds: float) -> None:
        """Time passes."""
        self.now += seconds

    def save(self, folder: Path) -> Path:
        """The file."""
        path = folder / "rollout.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in self.rows))
        return path

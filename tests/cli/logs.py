"""Small request logs on disk, as a client of Anthropic's API would have written them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

MODEL = "claude-sonnet-5"
HEAD, STEP = 9_000, 220
SYSTEM = " ".join(f"rule {number} of the house" for number in range(1_400))
MARK = {"cache_control": {"type": "ephemeral"}}
Row = dict[str, Any]


def body(turns: int, system: str = SYSTEM, model: str = MODEL) -> Row:
    """A request in which the user speaks for the ``turns``-th time, marked behind the system prompt and at the end."""
    messages: list[Row] = []
    for turn in range(turns):
        messages.append({"role": "user", "content": [{"type": "text", "text": f"question {turn} {'abc def ' * 50}"}]})
        if turn < turns - 1:
            messages.append({"role": "assistant", "content": [{"type": "text", "text": f"answer {turn} {'ghi jkl ' * 50}"}]})
    messages[-1]["content"][-1] |= MARK
    return {"model": model, "max_tokens": 9, "system": [{"type": "text", "text": system, **MARK}], "messages": messages}


def row(turns: int, read: int, written: int, **more: Any) -> Row:
    """One line of a log: minute after minute, with its bill. ``more`` goes to the body, but for what is said of the response."""
    response = more.pop("response", {})
    usage = {"input_tokens": 3, "cache_read_input_tokens": read, "cache_creation_input_tokens": written, "output_tokens": 20}
    answer = {"id": f"msg_{turns}", "type": "message", "content": [], "usage": usage, **response}
    return {"request": body(turns, **more), "response": answer, "at": f"2026-11-22T10:{turns:02}:00Z"}


def warm() -> list[Row]:
    """Four requests of a conversation, each reading what the one before left."""
    return [row(1, 0, HEAD), *(row(turns, HEAD + STEP * (turns - 2), STEP) for turns in (2, 3, 4))]


def ticking(reason: str = "") -> list[Row]:
    """A conversation whose system prompt begins with the time, so that the second request reads nothing."""
    said = {"response": {"diagnostics": {"cache_miss_reason": reason}}} if reason else {}
    late = f"It is 10:01:00. {SYSTEM}"
    return [
        row(1, 0, HEAD, system=f"It is 10:00:00. {SYSTEM}"),
        row(2, 0, HEAD + STEP, system=late, **said),
        row(3, HEAD + STEP, STEP, system=late),
    ]


def write(path: Path, rows: Sequence[Mapping[str, Any] | str]) -> str:
    """The log on disk; a row that is text goes there as it is."""
    path.write_text("".join(f"{each if isinstance(each, str) else json.dumps(each)}\n" for each in rows), encoding="utf-8")
    return str(path)

"""What the benchmarks share: commands in processes of their own, and conversations of a given size."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

ROOT = Path(__file__).resolve().parents[1]
JOBS = 2
"""Cores: what the issue of speed is stated for."""

_WORDS = (ROOT / "README.md").read_text(encoding="utf-8").split()


class Timer(Protocol):
    """The ``benchmark`` fixture of pytest-benchmark, as far as it is used here; its own code is not typed."""

    extra_info: dict[str, Any]

    def pedantic(
        self,
        target: Callable[..., Any],
        args: Sequence[Any] = (),
        *,
        setup: Callable[[], Any] | None = None,
        rounds: int = 1,
        warmup_rounds: int = 0,
    ) -> Any:
        """Time ``target(*args)`` so many times, each after ``setup``; what it returned last."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What a process and its children took: CPU seconds, and the memory of the largest of them in bytes."""

    cpu_seconds: float
    peak_bytes: int


_ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(str(ROOT / name) for name in ("src", "strategies"))}

# A small process starts the command: the memory of a process counts from its parent's, which here holds whole transcripts.
_LAUNCH = """
import json, resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([used.ru_utime + used.ru_stime, used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)]))
"""


def python(*arguments: str) -> str:
    """Run the interpreter on these arguments, from the checkout; what it printed. Raises ``CalledProcessError``."""
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=ROOT, env=_ENVIRONMENT, check=True, stdout=subprocess.PIPE, text=True).stdout


def compare(corpus: Path, *strategies: str) -> Spent:
    """``holdfast compare`` over a folder."""
    chosen = [part for name in strategies for part in ("--strategy", name)]
    command = [sys.executable, "-m", "holdfast", "compare", str(corpus), "--jobs", str(JOBS), *chosen]
    return Spent(*json.loads(python("-c", _LAUNCH, *command)))


def prose(tokens: int, seed: int) -> str:
    """About so many tokens of text."""
    return " ".join(random.Random(seed).choices(_WORDS, k=round(tokens / 1.9)))


def exchange(number: int, tokens: int) -> list[dict[str, Any]]:
    """A call of a tool and its result, each of about so many tokens."""
    call = {"type": "tool_use", "id": f"call_{number}", "name": "Bash", "input": {"command": prose(tokens // 2, 3 * number)}}
    result = {"type": "tool_result", "tool_use_id": f"call_{number}", "content": prose(tokens, 3 * number + 1)}
    return [
        {"role": "assistant", "content": [{"type": "text", "text": prose(tokens // 2, 3 * number + 2)}, call]},
        {"role": "user", "content": [result]},
    ]


def opening() -> dict[str, Any]:
    """The body of a first request: twenty tools, a system prompt, a task."""
    schema = {"type": "object", "properties": {f"field_{n}": {"type": "string", "description": "what it is"} for n in range(6)}}
    return {
        "model": "claude-sonnet-4-5",
        "max_tokens": 4096,
        "system": prose(3000, -1),
        "tools": [{"name": f"tool_{n}", "description": prose(300, -2 - n), "input_schema": schema} for n in range(20)],
        "messages": [{"role": "user", "content": "Find out why the kelp lets go."}],
    }

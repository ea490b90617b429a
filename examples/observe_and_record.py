"""First look, then leap: requests go out as they are, and Holdfast says what it would have done and saved.

    python examples/observe_and_record.py

The record that it keeps is a transcript like any other: the last lines here are ``holdfast replay`` on it.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from anthropic import Anthropic

import holdfast
from holdfast.testing import FakeProvider


def main(turns: int = 40) -> None:
    """A chat about long pages, whose client sets a cache mark of its own; nothing is changed in any request."""
    history: list[Any] = []
    with TemporaryDirectory() as folder, FakeProvider(clock=lambda: 20.0 * len(history)) as fake:  # a turn takes 40 seconds
        log = Path(folder) / "calls.jsonl"
        how: Any = {"mode": "observe", "record": log, "clock": lambda: 20.0 * len(history)}
        client = holdfast.wrap(Anthropic(base_url=fake.url, api_key="any"), **how, strategy="truncate", trigger=40_000, target=14_000)
        for turn in range(turns):
            history.append({"role": "user", "content": f"Page {turn}:\n" + f"line {turn} of the survey\n" * 200})
            asked: Any = {"model": "claude-sonnet-5", "max_tokens": 1024, "messages": history, "cache_control": {"type": "ephemeral"}}
            history.append({"role": "assistant", "content": client.messages.create(**asked).content})
        print(holdfast.of(client).report(), flush=True)
        subprocess.run([sys.executable, "-m", "holdfast", "replay", str(log), "--strategy", "truncate", "--trigger", "40k"], check=True)


if __name__ == "__main__":
    main()

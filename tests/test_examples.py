"""The examples run, and show what they say they show."""

from __future__ import annotations

import subprocess
import sys

from tests.conftest import ROOT


def test_the_live_session_shortens_once_and_then_sends_the_same_bytes() -> None:
    """The example commits plans, and between two of them each request begins with the whole of the one before."""
    run = subprocess.run([sys.executable, str(ROOT / "examples" / "live_session.py")], capture_output=True, text=True, check=True)
    turns = [line for line in run.stdout.splitlines() if line.startswith("turn")]
    assert len(turns) == 30
    commits = [line for line in turns if "; micro: " in line]
    assert 1 <= len(commits) <= 4
    sent = 0
    for line in turns:
        words = (word.replace(",", "") for word in line.partition(":")[2].replace(", ", " ").split())
        numbers = [int(word) for word in words if word.isdigit()]
        if line not in commits:
            assert numbers[2] == sent
        sent = numbers[1]

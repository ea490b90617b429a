"""How far the costs that ``holdfast compare`` computes lie from recorded bills, by format and provider; kept where the package finds it.

    python -m benchmarks.measure_errors PATH...

Each recorded session is billed with its history left alone and set beside what it was billed. What the sets hold is said in
``holdfast.validation.uncertainty``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from holdfast.simulator.compare import compare
from holdfast.simulator.requests import CompareRequest
from holdfast.simulator.results import SessionResult
from holdfast.validation.uncertainty import LEAST_SESSIONS, Errors

TARGET = Path(__file__).resolve().parents[1] / "src" / "holdfast" / "validation" / "measured_errors.json"
WHAT = (
    "billed / computed - 1 of recorded sessions whose history is left alone: 5 % and 95 % quantiles, and the mean by money; "
    f"sets of fewer than {LEAST_SESSIONS} sessions are told but not used"
)


def measured(sessions: Iterable[SessionResult]) -> list[dict[str, Any]]:
    """Every set with its figures, the most sessions first. Sessions without a bill or without a cost are left out."""
    sets: dict[tuple[str, str], list[SessionResult]] = {}
    for session in sessions:
        if session.recorded is not None and session.results and session.results[0].usd:
            sets.setdefault((session.format, session.provider), []).append(session)
    return [row(*key, members) for key, members in sorted(sets.items(), key=lambda each: (-len(each[1]), each[0]))]


def row(name: str, provider: str, sessions: list[SessionResult]) -> dict[str, Any]:
    """One set as it is kept."""
    bills = [(each.results[0].usd, each.recorded.usd) for each in sessions if each.recorded is not None]
    errors = Errors.of(name, provider, sum(each.turns for each in sessions), bills)
    figures = {"low": errors.low, "mean": errors.mean, "high": errors.high, "effective": errors.effective}
    counts = {"format": name, "provider": provider, "sessions": errors.sessions, "requests": errors.requests}
    return counts | {key: float(round(value, 4)) for key, value in figures.items()}


def kept(sets: list[dict[str, Any]], paths: list[str], today: datetime) -> str:
    """The file's text: a set a line."""
    sessions, requests = (sum(each[name] for each in sets) for name in ("sessions", "requests"))
    about = {
        "as_of": today.date().isoformat(),
        "command": " ".join(["python -m benchmarks.measure_errors", *paths]),
        "corpus": f"public recordings: {sessions} sessions with a bill, {requests} requests",
        "what": WHAT,
    }
    head = json.dumps(about, indent=1, ensure_ascii=False)[:-2]
    lines = ",\n  ".join(json.dumps(each) for each in sets)
    return f'{head},\n "sets": [\n  {lines}\n ]\n}}\n'


def main(paths: list[str]) -> None:
    """Measure and keep."""
    found = compare(CompareRequest(tuple(paths), strategies=("none",)))
    text = kept(measured(found.sessions), paths, datetime.now(UTC))
    TARGET.write_text(text, encoding="utf-8")
    print(text, end="")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("say which recorded sessions to measure: python -m benchmarks.measure_errors PATH...")
    main(sys.argv[1:])

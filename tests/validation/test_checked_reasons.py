"""The reasons that were drawn at random and checked by hand."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.draw_reasons import CHECKED, DRAWN, given

from holdfast.validation.reasons import Reason

ROWS = [json.loads(line) for line in CHECKED.read_text(encoding="utf-8").splitlines()]


def test_nine_tenths_of_the_checked_reasons_are_right() -> None:
    """Sixty reasons of the closed list, each with what the transcript shows, and at least nine tenths of them borne out by it."""
    assert len(ROWS) == DRAWN
    assert all(row["shown"] and row["evidence"] and Reason(row["reason"]) is not Reason.UNEXPLAINED for row in ROWS)
    assert sum(row["right"] is True for row in ROWS) >= 0.9 * len(ROWS)


def test_the_checked_reasons_are_those_that_are_given_now(corpus: Path) -> None:
    """Of the sessions that the draw has one reason of, every third is judged again: same requests, same reasons, same evidence.

    ``python -m benchmarks.draw_reasons`` makes the whole draw again.
    """
    told = [{key: value for key, value in row.items() if key not in ("right", "shown")} for row in ROWS]
    paths = [row["path"] for row in told]
    rows = [row for row in told if paths.count(row["path"]) == 1 and row["path"].startswith(("claude-code", "codex", "pi"))][::3]
    assert len(rows) >= 8
    for row in rows:
        assert row in given(str(corpus), row["path"])

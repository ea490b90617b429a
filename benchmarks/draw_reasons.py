"""Draws reasons at random for checking by hand: 60 of all that ``holdfast validate`` gave, always the same ones for the same results.

python -m benchmarks.draw_reasons ../shared/corpus > drawn.jsonl
"""

from __future__ import annotations

import json
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

from holdfast.validation.reasons import Reason
from holdfast.validation.run import ValidateRequest, validate

DRAWN = 60
SEED = 20261122
CHECKED = Path(__file__).resolve().parent / "results" / "checked_reasons.jsonl"
"""The last draw with a verdict on each: ``right`` is true or false, ``shown`` what the transcript shows around the request."""


def given(folder: str, file: str = "") -> list[dict[str, Any]]:
    """Every reason that was given in a folder's sessions (or in one file of it), in a fixed order; what is unexplained has none."""
    found = validate(ValidateRequest((str(Path(folder, file)),), jobs=1 if file else 0))
    root = Path(folder).resolve()
    rows = [
        {
            "path": str(Path(session.path).resolve().relative_to(root)),
            "turn": each.turn,
            "lineage": each.lineage,
            "prompt_tokens": each.prompt_tokens,
            "read_recorded": each.read_recorded,
            "read_predicted": each.read_predicted,
            "reason": str(each.explanation.reason),
            "evidence": each.explanation.evidence,
        }
        for session in found.sessions
        for each in session.disagreements
        if each.explanation.reason is not Reason.UNEXPLAINED
    ]
    return sorted(rows, key=lambda row: (row["path"], row["turn"]))


def drawn(folder: str) -> list[dict[str, Any]]:
    """The sample, in the order of the paths: those first by a hash of what was disagreed about, so that a copied session counts once."""
    rows = {(row["turn"], row["prompt_tokens"], row["read_recorded"], row["reason"]): row for row in given(folder)}
    ranked = sorted(rows, key=lambda key: sha256(f"{SEED} {key}".encode()).digest())
    return sorted((rows[key] for key in ranked[:DRAWN]), key=lambda row: (row["path"], row["turn"]))


if __name__ == "__main__":
    for row in drawn(sys.argv[1]):
        print(json.dumps(row, ensure_ascii=False))

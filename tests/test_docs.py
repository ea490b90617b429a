"""The pages in ``docs/`` name all that there is."""

from __future__ import annotations

from pathlib import Path

from holdfast.doctor.findings import Cause, Verdict
from holdfast.validation.reasons import Reason

DOCS = Path(__file__).resolve().parents[1] / "docs"


def test_every_reason_is_documented() -> None:
    """The closed list of reasons stands in the page on validation, and nothing else does in its table."""
    page = (DOCS / "validate.md").read_text(encoding="utf-8")
    table = page.split("## Reasons")[1]
    rows = [line.split("|")[1].strip() for line in table.splitlines() if line.startswith("| ") and "evidence it rests on" not in line]
    assert sorted(rows) == sorted(map(str, Reason))


def test_every_cause_and_verdict_is_documented() -> None:
    """The page on the doctor names every cause and every verdict."""
    page = (DOCS / "doctor.md").read_text(encoding="utf-8")
    assert [cause for cause in Cause if f"`{cause}`" not in page] == []
    assert [verdict for verdict in Verdict if f"*{verdict}*" not in page] == []

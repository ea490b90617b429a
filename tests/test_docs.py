"""The pages in ``docs/`` name all that there is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from anthropic import Anthropic

from holdfast.calls import standing
from holdfast.calls.hooks import Hooks
from holdfast.doctor.findings import Cause, Verdict
from holdfast.providers import Wishes
from holdfast.testing import Reply
from holdfast.testing.fake.provider import Conditions
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


def section(page: str, title: str) -> str:
    """The text below a heading, to the next of its kind."""
    return (DOCS / page).read_text(encoding="utf-8").split(f"## {title}\n")[1].split("\n## ")[0]


def test_every_reason_to_stand_down_is_documented() -> None:
    """The table on standing down has each field with the very words of the log, and no other."""
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", section("wrap.md", "Where it stands down"), re.MULTILINE)
    known: dict[str, Any] = vars(standing)
    assert rows == [*known["_ANTHROPIC"].items(), *known["_OPENAI"].items()]


def test_every_argument_of_wrap_is_documented_once() -> None:
    """The last table of the guide has a row for each, and for nothing else; hooks are named with theirs."""
    table = section("wrap.md", "All that can be said")
    cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert sorted(re.findall(r"`(\w+)`", "".join(cells))) == sorted(Wishes.__annotations__)
    assert all(f"{name}=" in table for name in Hooks.__dataclass_fields__)


def test_the_code_on_the_fake_provider_works_as_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """The page's program runs, and every field of a reply and of a provider is named around it."""
    page = section("testing.md", "The fake provider")
    (program,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(compile(program, "testing.md", "exec"), {"Anthropic": Anthropic})
    assert capsys.readouterr().out.endswith(" 0\n")
    assert [name for name in Reply.__dataclass_fields__ if f"`{name}`" not in page] == []
    assert [name for name in Conditions.__dataclass_fields__ if f"{name}=" not in page] == []

"""Fills the table of the README from ``holdfast compare`` on the transcripts in ``examples/``, and keeps what it was made from.

make readme
"""

from __future__ import annotations

import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

from holdfast.report.figures import known, span

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "examples.json"
README = ROOT / "README.md"
BEGIN, END = "<!-- table: make readme -->\n", "<!-- end of table -->"


def transcripts() -> list[str]:
    """The transcripts in ``examples/``, by path from the root of the project."""
    return sorted(str(path.relative_to(ROOT)) for path in (ROOT / "examples" / "transcripts").glob("*.jsonl.gz"))


def measured() -> dict[str, Any]:
    """What ``holdfast compare --json -`` says of them."""
    command = [sys.executable, "-m", "holdfast", "compare", *transcripts(), "--json", "-"]
    found: dict[str, Any] = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout)
    return found


def table(found: dict[str, Any]) -> str:
    """The comparison as Markdown, cheapest first."""
    total = sorted(found["total"], key=lambda each: Decimal(each["usd"]))
    base = next(Decimal(each["usd"]) for each in total if each["strategy"] == "none")
    used = [each for each in found["sessions"] if each["skipped"] is None]
    ranked = [each for each in used if found["settings"]["any"] or not each["agreement"] or each["agreement"]["trusted"] is not False]
    turns = sum(each["turns"] for each in ranked)
    out = len(used) - len(ranked)
    why = f" {out} more {'is' if out == 1 else 'are'} left out: under 95 % of the recorded reads are reproduced there." if out else ""
    lines = [
        f"`make demo`: {len(ranked)} recorded sessions, {turns} turns, prices of {found['settings']['prices_as_of']}.{why}",
        "",
        "| strategy | cost | 90 % range | against doing nothing | cache hit rate | breaks | unplanned | kept | kept once cut |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [row(each, base) for each in total]
    return "\n".join(lines) + "\n"


def row(each: dict[str, Any], base: Decimal) -> str:
    """One strategy."""
    cost, low, high = (Decimal(each[name]) for name in ("usd", "usd_low", "usd_high"))
    versus = "" if each["strategy"] == "none" else f"{100 * (cost - base) / base:+.0f} %".replace("-", "\N{MINUS SIGN}")
    breaks = each["planned_breaks"] + each["unplanned_breaks"]
    unplanned = each["unplanned_breaks"]
    money = (known(cost, (high - low) / 2), span(low, high), versus)
    what = (share(each["kept"]), share(each["kept_after_cut"]))
    cells = (f"`{each['strategy']}`", *money, share(each["hit_rate"]), str(breaks), str(unplanned), *what)
    return f"| {' | '.join(cells)} |"


def share(value: float | None) -> str:
    """A share in whole percent; only all of it is 100 %."""
    if value is None:
        return "\N{EN DASH}"
    return f"{min(round(100 * value), 100 if value == 1 else 99)} %"


def filled(readme: str, found: dict[str, Any]) -> str:
    """The README with the table between its two marks."""
    before, rest = readme.split(BEGIN)
    return before + BEGIN + table(found) + END + rest.split(END, 1)[1]


def main() -> None:
    """Measure, keep, fill."""
    found = measured()
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    README.write_text(filled(README.read_text(encoding="utf-8"), found), encoding="utf-8")


if __name__ == "__main__":
    main()

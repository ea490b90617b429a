"""Fills the tables of agreement from ``holdfast validate`` on a folder of recorded transcripts, and keeps what they were made from.

make agreement                                  # ../shared/corpus
python -m benchmarks.agreement FOLDER
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.__main__ import commit

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "agreement.json"
README = ROOT / "README.md"
BENCHMARKS = ROOT / "benchmarks" / "README.md"
BEGIN, END = "<!-- table: make agreement -->\n", "<!-- end of table: agreement -->"
DEFAULT = "../shared/corpus"
DASH = "\N{EN DASH}"


def measured(folder: str) -> dict[str, Any]:
    """What ``holdfast validate --json -`` says of the folder, without its sessions and their paths."""
    command = [sys.executable, "-m", "holdfast", "validate", folder, "--json", "-"]
    found: dict[str, Any] = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout)
    found["sessions"] = len(found["sessions"])
    found["blocks"] = found["blocks"] and {key: found["blocks"][key] for key in ("total", "conversations")}
    return {"commit": commit(), "command": f"holdfast validate {folder}", **found, "skipped": len(found["skipped"])}


def percent(value: float | None, sign: str = "") -> str:
    """A share in per cent with one decimal."""
    return DASH if value is None else f"{100 * value:{sign}.1f} %".replace("-", "\N{MINUS SIGN}")


def points(value: float | None) -> str:
    """A difference of two shares in percentage points; what rounds to nothing has no sign."""
    if value is None:
        return DASH
    text = f"{100 * value:+.1f}"
    return f"{'0.0' if text in ('+0.0', '-0.0') else text} points".replace("-", "\N{MINUS SIGN}")


def of(part: int, whole: int) -> str:
    """A share of a count."""
    return percent(part / whole) if whole else DASH


def table(found: dict[str, Any]) -> str:
    """One row for each set, as Markdown."""
    lines = [
        f"`{found['command']}`: {found['total']['checked']:,} recorded requests, predicted one by one from what came before each.",
        "",
        "| data | checked | reads agree | to the token | bias of the cached share | session cost error, median / p95 | all sessions' cost "
        "| charged as computed |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [row(each) for each in found["sets"] if each["checked"]]
    return "\n".join(lines) + "\n"


def row(each: dict[str, Any]) -> str:
    """One set."""
    name = f"{each['format']} ({each['provider']})" if each["provider"] else each["format"]
    charged = f"{each['charged_equal']:,} of {each['charged']:,}" if each["charged"] else DASH
    bias = points(each["cached_share_bias"])
    errors = f"{percent(each['usd_error_median'])} / {percent(each['usd_error_p95'])}"
    cells = (name, f"{each['checked']:,}", percent(each["agree_share"]), of(each["exact"], each["checked"]), bias, errors)
    return f"| {' | '.join((*cells, percent(each['usd_error'], '+'), charged))} |"


def bars(found: dict[str, Any]) -> Iterator[tuple[str, str, str, bool]]:
    """What was to be reached: the measure, the figure, the bar, and whether it is met."""
    sets = {(each["format"], each["provider"]): each for each in found["sets"]}
    for name, each in (("Claude Code", sets.get(("claude-code", "anthropic"))),):
        if each:
            yield f"{name}: requests that agree", percent(each["agree_share"]), "≥ 98.7 %", each["agree_share"] >= 0.987
            yield f"{name}: session cost error, median", percent(each["usd_error_median"]), "≤ 1 %", each["usd_error_median"] <= 0.01
            yield f"{name}: session cost error, 95th percentile", percent(each["usd_error_p95"]), "≤ 12 %", each["usd_error_p95"] <= 0.12
            yield f"{name}: cost of the whole set", percent(each["usd_error"], "+"), "within ±1 %", abs(each["usd_error"]) <= 0.01
            asked = sum(each["reasons"].get(reason, 0) for reason in ESCAPES)
            yield (
                f"{name}: requests with the provider's, an unlogged call's or a shared head's reason",
                of(asked, each["checked"]),
                "≤ 1.5 %",
                (asked <= 0.015 * each["checked"]),
            )
            near, sessions = each["usd_settled_within_0.001"], each["sessions"]
            yield f"{name}: sessions within 0.1 % once those are set to their record", f"{near} of {sessions}", "all", near == sessions
    if each := sets.get(("pi", "anthropic")):
        yield "pi: requests that agree", percent(each["agree_share"]), "≥ 97 %", each["agree_share"] >= 0.97
        yield "pi: dollars per call", f"{each['charged_equal']} of {each['charged']}", "all", each["charged_equal"] == each["charged"]
    if each := sets.get(("mini-swe-agent", "google")):
        yield (
            "OpenRouter: dollars per call",
            f"{each['charged_equal']:,} of {each['charged']:,}",
            "all",
            each["charged_equal"] == each["charged"],
        )
        yield "OpenRouter: bill from predicted usage", percent(each["usd_error"], "+"), "within 6 %", abs(each["usd_error"]) <= 0.06
    if each := sets.get(("mini-swe-agent", "deepseek")):
        yield "DeepSeek: exact cached count", of(each["exact"], each["checked"]), "≥ 80 %", each["exact"] >= 0.8 * each["checked"]
        yield (
            "DeepSeek: within 2,048 tokens",
            of(each["within_2048"], each["checked"]),
            "≥ 97.5 %",
            (each["within_2048"] >= 0.975 * each["checked"]),
        )
    if each := sets.get(("codex", "openai")):
        bias = each["cached_share_bias"]
        yield "Codex: bias of the cached share", points(bias), "≤ 2 points", abs(bias) <= 0.02
        yield "Codex: predicted dollars", percent(each["usd_error"], "+"), "within 4 %", abs(each["usd_error"]) <= 0.04
    if each := sets.get(("cassette", None)):
        rules = each["rules"]
        calls, unnamed = sum(rules.values()), rules.get("unexplained", 0)
        what = f"{rules.get('as documented', 0)} of {calls}, {calls - rules.get('as documented', 0) - unnamed} by a named rule"
        yield "cassettes: hit or miss and the boundary", what, "all, or the rule named", unnamed == 0
    yield from block_bars(found)


ESCAPES = ("provider lost the entry", "unlogged call extended the prefix", "head shared with another session")


def block_bars(found: dict[str, Any]) -> Iterator[tuple[str, str, str, bool]]:
    """The traces of block hashes beside what was published of them."""
    blocks = found["blocks"] or {}
    if spread := blocks.get("conversations"):
        what = ", ".join(f"{name} {percent(spread[name])}" for name in ("mean", "median", "p25", "p75"))
        yield f"WEKA: hit rate of {spread['count']} conversations", what, "an independent count's (held by a test)", True
    for each in blocks.get("total", ()):
        if each["curve"]:
            share = each["hit_share_tokens"]
            yield f"{each['format']}: tokens read without end", percent(share), "37.4 %", round(share, 3) == 0.374
            curve = ", ".join(
                f"{point['capacity']:,}: {100 * point['blocks']:.1f} %" for point in each["curve"] if point["policy"] == "lru"
            )
            yield f"{each['format']}: of blocks by capacity, LRU", curve, "the published curve (held by a test)", True


def bars_table(found: dict[str, Any]) -> str:
    """The bars as Markdown."""
    lines = [f"Commit {found['commit']}; `{found['command']}`.", "", "| what | reached | to reach | met |", "|---|---|---|---|"]
    lines += [f"| {what} | {reached} | {bar} | {'yes' if met else '**no**'} |" for what, reached, bar, met in bars(found)]
    return "\n".join(lines) + "\n"


def filled(text: str, made: str) -> str:
    """A text with the table between its two marks."""
    before, rest = text.split(BEGIN)
    return before + BEGIN + made + END + rest.split(END, 1)[1]


def main() -> None:
    """Measure, keep, fill."""
    found = measured(sys.argv[1] if len(sys.argv) > 1 else DEFAULT)
    RESULTS.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    README.write_text(filled(README.read_text(encoding="utf-8"), table(found)), encoding="utf-8")
    BENCHMARKS.write_text(filled(BENCHMARKS.read_text(encoding="utf-8"), bars_table(found)), encoding="utf-8")


if __name__ == "__main__":
    main()

"""A comparison as rich tables."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from itertools import compress
from pathlib import PurePath

from rich import box
from rich.table import Table
from rich.text import Text

from holdfast.report.figures import UNKNOWN, change, known, percent, span, tenths, tokens, usd
from holdfast.simulator.results import Agreement, Comparison, Recorded, Result, SessionResult
from holdfast.usage import Usage

CONTROL = "none"
WIDE = 110
"""From this many columns on, tables show every figure; below, those that ``--json`` alone has are left out."""

COLUMNS = (
    "strategy",
    "cost",
    "90 %\nrange",
    "vs none",
    "hit\nrate",
    "commits",
    "breaks\n(not planned)",
    "model\ncalls",
    "their\ncost",
    "peak\nprompt",
    "kept",
    "kept\nonce cut",
    "in context\nonce cut",
)
WIDE_ONLY = frozenset({"commits", "model\ncalls", "their\ncost", "peak\nprompt", "kept", "model", "turns", "recorded"})
SESSION_COLUMNS = (
    "session",
    "model",
    "turns",
    "peak\nprompt",
    "recorded",
    "agrees",
    "none",
    "cheapest",
    "its\ncost",
    "vs none",
    "kept\nonce cut",
)
LEFT = frozenset({"strategy", "session", "model", "cheapest"})
DATE = re.compile(r"-20\d{6}$")
"""The date behind a model's name, which a row has no room for."""
DISTRUST = "!"
"""Behind the agreement of a session whose figures are not trustworthy."""


def by_cost(results: Sequence[Result]) -> list[Result]:
    """Cheapest first; of equals the one that kept more, then the control, then by name."""
    return sorted(results, key=lambda each: (each.usd, -each.kept.kept, each.strategy != CONTROL, each.strategy))


def control(results: Sequence[Result]) -> Decimal | None:
    """What leaving the history alone costs, where it was computed."""
    return next((each.usd for each in results if each.strategy == CONTROL), None)


def cost(result: Result, amount: Decimal | None = None) -> str:
    """What a strategy costs, or an ``amount`` that is a part of it, with the digits that are known."""
    part = result.usd if amount is None else amount
    interval = result.estimate.interval
    return known(part, None if interval is None or not result.usd else interval.half * part / result.usd)


def recorded_total(sessions: Sequence[SessionResult]) -> tuple[Recorded, int] | None:
    """The recorded bills of the sessions that have one and were compared, and how many those are."""
    bills = [each.recorded for each in sessions if each.recorded is not None and each.skipped is None]
    if not bills:
        return None
    usage = sum((bill.usage for bill in bills), Usage())
    return Recorded(usage, sum((bill.usd for bill in bills), Decimal(0)), sum(bill.outputs_estimated for bill in bills)), len(bills)


class Grid:
    """A rich table of named columns that leaves out the less important ones where the terminal is narrow."""

    def __init__(self, columns: Sequence[str], width: int, without: frozenset[str] = frozenset(), left: frozenset[str] = LEFT) -> None:
        self.table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
        self.shown = [name not in without and (width >= WIDE or name not in WIDE_ONLY) for name in columns]
        for name in compress(columns, self.shown):
            self.table.add_column(name, justify="left" if name in left else "right", header_style="bold", vertical="bottom")

    def add(self, cells: Sequence[str | Text], style: str = "") -> None:
        """One row: a cell for every column, shown or not."""
        self.table.add_row(*compress(cells, self.shown), style=style)


def results_table(results: Sequence[Result], width: int = WIDE) -> Grid:
    """One row a strategy, cheapest first."""
    free = not any(each.model_calls_usd for each in results)
    unmeasured = all(each.estimate.interval is None for each in results)
    grid = Grid(COLUMNS, width, frozenset([*(["their\ncost"] if free else []), *(["90 %\nrange"] if unmeasured else [])]))
    base = control(results)
    for rank, each in enumerate(by_cost(results)):
        grid.add(_cells(each, base), style="bold green" if rank == 0 and len(results) > 1 else "")
    return grid


def _cells(each: Result, base: Decimal | None) -> list[Text | str]:
    unplanned = Text(f"({each.unplanned_breaks})", style="bold red" if each.unplanned_breaks else "")
    kept, after, interval = each.kept, each.kept_after, each.estimate.interval
    return [
        Text(each.strategy, no_wrap=True),
        cost(each),
        UNKNOWN if interval is None else Text(span(interval.low, interval.high), no_wrap=True),
        "" if each.strategy == CONTROL else change(each.usd, base),
        percent(each.usage.read, each.usage.prompt),
        f"{each.commits:,}",
        Text.assemble(f"{each.planned_breaks + each.unplanned_breaks:,} ", unplanned, no_wrap=True),
        f"{each.model_calls:,}",
        cost(each, each.model_calls_usd) if each.model_calls else "",
        tokens(each.peak_prompt_tokens),
        percent(kept.kept, kept.needed),
        percent(after.kept, after.needed),
        percent(after.in_context, after.needed),
    ]


def total_table(comparison: Comparison, width: int = WIDE) -> Table:
    """All ranked sessions together, and under them the bill that was recorded."""
    used = comparison.ranked
    grid = results_table(comparison.total, width)
    bill = recorded_total(used)
    if bill is not None:
        value, count = bill
        complete = count == len(used)
        other = bool(comparison.settings.get("model"))
        said = [*([] if complete else [f"{count} of {len(used)}"]), *(["its own model"] if other else [])]
        label = f"recorded ({', '.join(said)})" if said else "recorded"
        grid.table.add_section()
        versus = change(value.usd, control(comparison.total)) if complete and not other else UNKNOWN
        rest = [UNKNOWN] * (len(COLUMNS) - 5)
        grid.add([label, usd(value.usd), "", versus, percent(value.usage.read, value.usage.prompt), *rest], style="dim")
    return grid.table


def sessions_table(sessions: Sequence[SessionResult], width: int = WIDE) -> Table:
    """One row a session: what it cost as recorded, untouched, and under the cheapest strategy; dim where that is not trustworthy."""
    grid = Grid(SESSION_COLUMNS, width)
    for each in sessions:
        if each.results:
            grid.add(_session_cells(each), style="dim" if each.trusted is False else "")
    return grid.table


def _session_cells(each: SessionResult) -> list[str | Text]:
    best, base = by_cost(each.results)[0], next((result for result in each.results if result.strategy == CONTROL), None)
    peak = max(result.peak_prompt_tokens for result in each.results)
    return [
        Text(short_path(each.path), no_wrap=True),
        Text(DATE.sub("", each.model) or UNKNOWN, no_wrap=True),
        f"{each.turns:,}",
        tokens(peak),
        usd(each.recorded.usd) if each.recorded else UNKNOWN,
        agrees(each.agreement),
        UNKNOWN if base is None else cost(base),
        best.strategy,
        cost(best),
        "" if best.strategy == CONTROL else change(best.usd, None if base is None else base.usd),
        percent(best.kept_after.kept, best.kept_after.needed),
    ]


def agrees(agreement: Agreement | None) -> str:
    """The share of the recorded reads that the cache model reproduces, with a sign where that is too few."""
    if agreement is None:
        return UNKNOWN
    return f"{tenths(agreement.agree, agreement.checked)}{f' {DISTRUST}' if agreement.trusted is False else ''}"


def short_path(path: str, width: int = 28) -> str:
    """The end of a path: the file's name without what only says its kind."""
    name = PurePath(path).name
    for ending in (".gz", ".jsonl", ".json", ".traj"):
        name = name.removesuffix(ending)
    return name if len(name) <= width else f"{name[: width - 1]}…"

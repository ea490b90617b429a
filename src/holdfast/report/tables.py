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

from holdfast.report.figures import UNKNOWN, change, percent, tokens, usd
from holdfast.simulator.results import Comparison, Recorded, Result, SessionResult
from holdfast.usage import Usage

CONTROL = "none"
WIDE = 110
"""From this many columns on, tables show every figure; below, those that ``--json`` alone has are left out."""

COLUMNS = (
    "strategy",
    "cost",
    "vs none",
    "hit rate",
    "commits",
    "breaks\n(not planned)",
    "model calls",
    "their cost",
    "peak prompt",
    "kept",
    "kept\nonce cut",
    "in context\nonce cut",
)
WIDE_ONLY = frozenset({"commits", "their cost", "peak prompt", "kept", "model", "turns", "recorded"})
SESSION_COLUMNS = ("session", "model", "turns", "peak prompt", "recorded", "none", "cheapest", "its cost", "vs none", "kept\nonce cut")
LEFT = frozenset({"strategy", "session", "model", "cheapest"})
DATE = re.compile(r"-20\d{6}$")
"""The date behind a model's name, which a row has no room for."""


def by_cost(results: Sequence[Result]) -> list[Result]:
    """Cheapest first; of equals the one that kept more, then the control, then by name."""
    return sorted(results, key=lambda each: (each.usd, -each.kept.kept, each.strategy != CONTROL, each.strategy))


def control(results: Sequence[Result]) -> Decimal | None:
    """What leaving the history alone costs, where it was computed."""
    return next((each.usd for each in results if each.strategy == CONTROL), None)


def recorded_total(sessions: Sequence[SessionResult]) -> tuple[Recorded, int] | None:
    """The recorded bills of the sessions that have one and were compared, and how many those are."""
    bills = [each.recorded for each in sessions if each.recorded is not None and each.skipped is None]
    if not bills:
        return None
    usage = sum((bill.usage for bill in bills), Usage())
    return Recorded(usage, sum((bill.usd for bill in bills), Decimal(0)), sum(bill.outputs_estimated for bill in bills)), len(bills)


class Grid:
    """A rich table of named columns that leaves out the less important ones where the terminal is narrow."""

    def __init__(self, columns: Sequence[str], width: int, without: frozenset[str] = frozenset()) -> None:
        self.table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
        self.shown = [name not in without and (width >= WIDE or name not in WIDE_ONLY) for name in columns]
        for name in compress(columns, self.shown):
            self.table.add_column(name, justify="left" if name in LEFT else "right", header_style="bold", vertical="bottom")

    def add(self, cells: Sequence[str | Text], style: str = "") -> None:
        """One row: a cell for every column, shown or not."""
        self.table.add_row(*compress(cells, self.shown), style=style)


def results_table(results: Sequence[Result], width: int = WIDE) -> Grid:
    """One row a strategy, cheapest first."""
    free = not any(each.model_calls_usd for each in results)
    grid = Grid(COLUMNS, width, frozenset({"their cost"} if free else ()))
    base = control(results)
    for rank, each in enumerate(by_cost(results)):
        grid.add(_cells(each, base), style="bold green" if rank == 0 and len(results) > 1 else "")
    return grid


def _cells(each: Result, base: Decimal | None) -> list[Text | str]:
    unplanned = Text(f"({each.unplanned_breaks})", style="bold red" if each.unplanned_breaks else "")
    kept, after = each.kept, each.kept_after
    return [
        Text(each.strategy, no_wrap=True),
        usd(each.usd),
        "" if each.strategy == CONTROL else change(each.usd, base),
        percent(each.usage.read, each.usage.prompt),
        f"{each.commits:,}",
        Text.assemble(f"{each.planned_breaks + each.unplanned_breaks:,} ", unplanned, no_wrap=True),
        f"{each.model_calls:,}",
        usd(each.model_calls_usd) if each.model_calls else "",
        tokens(each.peak_prompt_tokens),
        percent(kept.kept, kept.needed),
        percent(after.kept, after.needed),
        percent(after.in_context, after.needed),
    ]


def total_table(comparison: Comparison, width: int = WIDE) -> Table:
    """All sessions together, and under them the bill that was recorded."""
    used = [each for each in comparison.sessions if each.skipped is None]
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
        rest = [UNKNOWN] * (len(COLUMNS) - 4)
        grid.add([label, usd(value.usd), versus, percent(value.usage.read, value.usage.prompt), *rest], style="dim")
    return grid.table


def sessions_table(sessions: Sequence[SessionResult], width: int = WIDE) -> Table:
    """One row a session: what it cost as recorded, untouched, and under the cheapest strategy."""
    grid = Grid(SESSION_COLUMNS, width)
    for each in sessions:
        if each.results:
            grid.add(_session_cells(each))
    return grid.table


def _session_cells(each: SessionResult) -> list[str | Text]:
    best, base = by_cost(each.results)[0], control(each.results)
    peak = max(result.peak_prompt_tokens for result in each.results)
    return [
        Text(short_path(each.path), no_wrap=True),
        Text(DATE.sub("", each.model) or UNKNOWN, no_wrap=True),
        f"{each.turns:,}",
        tokens(peak),
        usd(each.recorded.usd) if each.recorded else UNKNOWN,
        UNKNOWN if base is None else usd(base),
        best.strategy,
        usd(best.usd),
        "" if best.strategy == CONTROL else change(best.usd, base),
        percent(best.kept_after.kept, best.kept_after.needed),
    ]


def short_path(path: str, width: int = 28) -> str:
    """The end of a path: the file's name without what only says its kind."""
    name = PurePath(path).name
    for ending in (".gz", ".jsonl", ".json", ".traj"):
        name = name.removesuffix(ending)
    return name if len(name) <= width else f"{name[: width - 1]}…"

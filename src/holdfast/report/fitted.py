"""Tables that leave columns out until they fit the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from holdfast.report.tables import WIDE, Grid

ENDLESS = 10_000
"""Columns of a terminal in which every table has its full width."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row: a cell for every column. ``apart`` draws a line above it."""

    cells: Sequence[str | Text]
    style: str = ""
    apart: bool = False


@dataclass(frozen=True, slots=True)
class Columns:
    """The headings of a table, which of them stand to the left, and which may be left out, the least important first."""

    names: Sequence[str]
    left: frozenset[str] = frozenset()
    spare: Sequence[str] = ()


def fitted(columns: Columns, rows: Sequence[Row], width: int) -> Table:
    """The table with as many of its columns as fit; where even the fewest do not, those."""
    for count in range(len(columns.spare) + 1):
        table = _drawn(columns, rows, frozenset(columns.spare[:count]))
        if fits(table, width):
            break
    return table


def fits(table: Table, width: int) -> bool:
    """Whether a table needs no more columns of a terminal than these."""
    console = Console(width=ENDLESS)
    return Measurement.get(console, console.options, table).maximum <= width


def _drawn(columns: Columns, rows: Sequence[Row], without: frozenset[str]) -> Table:
    grid = Grid(columns.names, WIDE, without, columns.left)
    for row in rows:
        if row.apart:
            grid.table.add_section()
        grid.add(row.cells, row.style)
    return grid.table

"""The registered strategies as a rich table."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from rich import box
from rich.table import Table
from rich.text import Text


@dataclass(frozen=True, slots=True)
class Described:
    """A strategy as the catalogue shows it. ``asks`` says whether it asks a model."""

    name: str
    aliases: tuple[str, ...]
    summary: str
    options: tuple[str, ...]
    asks: str


def catalogue(rows: Iterable[Described]) -> Table:
    """One row a strategy."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 1, 0), pad_edge=False)
    for column in ("strategy", "also called", "what it does", "model call", "options"):
        table.add_column(column, header_style="bold")
    for each in rows:
        name, also, can_be_set = Text(each.name, style="bold", no_wrap=True), Text("\n".join(each.aliases)), Text("\n".join(each.options))
        table.add_row(name, also, Text(each.summary.replace("``", "")), each.asks, can_be_set)
    return table


def as_json(rows: Iterable[Described]) -> str:
    """The same as a JSON document, schema ``holdfast/strategies/1``."""
    found = {"schema": "holdfast/strategies/1", "strategies": [asdict(each) for each in rows]}
    return json.dumps(found, ensure_ascii=False, indent=1) + "\n"

"""``holdfast settings``: what holds, who says so, and what was said in vain."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from holdfast.cli import options, output
from holdfast.errors import InputError

if TYPE_CHECKING:
    from rich.table import Table

    from holdfast.settings import Resolved, Said

_PLURAL = Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Any other setting; may be repeated.")]


def _option(name: str, metavar: str, text: str) -> Any:
    return typer.Option(f"--{name}", metavar=metavar, help=text)


def settings(
    json: options.Json = None,
    strategy: Annotated[str | None, _option("strategy", "NAME", "As if this had been asked for.")] = None,
    trigger: options.Trigger = None,
    target: options.Target = None,
    mode: Annotated[str | None, _option("mode", "compact|observe", "Shorten, or only watch.")] = None,
    ttl: Annotated[str | None, _option("ttl", "5m|1h", "Lifetime of cache entries.")] = None,
    store: Annotated[str | None, _option("store", "FILE", "File for what left the prompt.")] = None,
    record: Annotated[str | None, _option("record", "FILE", "Request log to append every call to.")] = None,
    more: _PLURAL = None,
    folder: Annotated[Path | None, typer.Option("--dir", metavar="FOLDER", help="Look from here [default: the working folder].")] = None,
) -> None:
    """Which settings hold here, and who says so.

    The first that speaks wins: policy, flags, environment, local, project, user, default. Give options to see what they would change.
    """
    from holdfast.settings import Surroundings, resolve

    given = {"strategy": strategy, "trigger": trigger, "target": target, "mode": mode, "ttl": ttl, "store": store, "record": record}
    flags = {name: value for name, value in given.items() if value is not None} | dict(map(_pair, more or ()))
    if folder is not None and not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder")
    around = Surroundings() if folder is None else Surroundings(start=folder.absolute())
    found = resolve(flags, around, option=True)
    if json is not None:
        output.write_json(json, [as_json(found)])
    if json == output.STDIO:
        return
    out = output.console()
    out.print(table(found, around.start))
    output.say(out, found.notes)


def _pair(text: str) -> tuple[str, str]:
    name, is_pair, value = text.partition("=")
    if not is_pair:
        raise InputError(f"--set {text}: say --set NAME=VALUE")
    return name.strip().replace("-", "_"), value


def table(found: Resolved, start: Path) -> Table:
    """One row a setting; what a default decides is dim. Files below ``start`` are named from there."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for column in ("setting", "value", "said by", "where", "overrides"):
        drawn.add_column(column, header_style="bold", overflow="fold")
    for name, said in found.said.items():
        style = "dim" if said[0].origin.layer == "default" else "bold"
        over = "\n".join(f"{shown(each)} ({_from(start, each)})" for each in found.overridden[name])
        cells = (Text(name, no_wrap=True), shown(said[0]), said[0].origin.layer, _from(start, said[0]), over)
        drawn.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in cells), style=style)
    return drawn


def _from(start: Path, said: Said) -> str:
    return said.origin.where.removeprefix(f"{start}{os.sep}")


def shown(said: Said) -> str:
    """A value as it would be written, secrets replaced."""
    from holdfast.calls.redact import redacted_text
    from holdfast.settings.model import plain

    value = plain(said.value)
    if value is None or value == []:
        return "none"
    return str(value).lower() if isinstance(value, bool) else redacted_text(str(value))


def as_json(found: Resolved) -> str:
    """The same as a JSON document, schema ``holdfast/settings/1``."""
    import json

    from holdfast.calls.redact import redacted
    from holdfast.settings.model import about, plain

    def said(each: Said) -> dict[str, Any]:
        return {"value": redacted(plain(each.value)), "layer": each.origin.layer, "where": each.origin.where or None}

    rows = [
        {"name": name, **said(each[0]), "overrides": [said(other) for other in found.overridden[name]], "about": about(name)}
        for name, each in found.said.items()
    ]
    return json.dumps({"schema": "holdfast/settings/1", "settings": rows, "notes": list(found.notes)}, ensure_ascii=False, indent=1) + "\n"

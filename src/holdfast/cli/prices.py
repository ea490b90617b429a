"""``holdfast prices``: what tokens cost, as Holdfast bills them."""

from __future__ import annotations

from typing import Annotated

import typer

from holdfast.cli import options, output


def prices(
    model: Annotated[str | None, typer.Argument(metavar="MODEL", help="One model in detail, under any of its names.")] = None,
    json: options.Json = None,
    overrides: options.PricesFile = None,
) -> None:
    """What tokens cost, by model.

    All models in one table, or one model with its tiers, dates and sources.
    """
    from holdfast.report import prices as drawn

    known = options.own_prices(overrides)
    rows = [known.find(name) for name in (known.models() if model is None else [model])]
    if json is not None:
        output.write_json(json, [drawn.as_json(rows, known.as_of)])
    if json == output.STDIO:
        return
    out = output.console()
    if model is None:
        out.print(drawn.prices_table(rows))
        output.say(out, [f"USD per million tokens; as of {known.as_of}. One model in detail: holdfast prices MODEL."], style="dim")
        return
    output.say(out, [rows[0].model], style="bold")
    out.print(drawn.detail_table(rows[0]))
    output.say(out, drawn.facts(rows[0]))

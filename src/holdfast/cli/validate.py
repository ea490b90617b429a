"""``holdfast validate``: how well the cache models reproduce what was really billed, request by request."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.cli import options, output, places

if TYPE_CHECKING:
    from holdfast.validation.results import Validation
    from holdfast.validation.run import ValidateRequest


def validate(
    paths: Annotated[list[str] | None, typer.Argument(metavar="PATH", help="Files, folders or globs; - for standard input.")] = None,
    json: options.Json = None,
    sessions: Annotated[bool, typer.Option("--sessions", help="A row for every session, and its disagreements.")] = False,
    jobs: Annotated[int, typer.Option("--jobs", min=0, help="Processes to use; 0 is one for every core.")] = 0,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Check at most this many sessions.")] = None,
    prices: options.PricesFile = None,
    strict: options.Strict = False,
) -> None:
    """How well what Holdfast predicts agrees with what was billed.

    Predicts every recorded request from what came before it, compares the cache
    reads and the money with the recorded usage, and names a reason for each
    disagreement where the transcript shows one. Without a PATH it looks where
    Claude Code, Codex and pi keep their sessions.

    Exit code: 1 if no file holds a recorded bill, 2 for wrong input, 130 after Ctrl-C.
    """
    from holdfast.validation.run import ValidateRequest

    output.writable(json)
    options.own_prices(prices)
    request = ValidateRequest((), jobs=jobs, limit=limit, prices=prices, strict=strict)
    finish(run(replace(request, paths=tuple(paths or places.usual("validate")))), json, sessions)


def run(request: ValidateRequest) -> Validation:
    """The validation, with a bar while it lasts. Standard input is called by its name in what comes back."""
    from holdfast.validation.run import validate as engine

    with output.readable(request.paths) as (paths, names), output.progress("Validating") as tell:
        found = engine(replace(request, paths=paths), tell)
        if found.interrupted:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C would lose what the first one asked to see
    return named(found, names) if names else found


def named(found: Validation, names: Mapping[str, str]) -> Validation:
    """The same with files that stand for standard input called by its name."""

    def called(text: str) -> str:
        return places.called(names, text)

    blocks = found.blocks
    return replace(
        found,
        sessions=tuple(replace(each, path=called(each.path), skipped=each.skipped and called(each.skipped)) for each in found.sessions),
        skipped=tuple(replace(each, path=called(each.path), why=called(each.why)) for each in found.skipped),
        blocks=blocks and replace(blocks, traces=tuple(replace(each, path=called(each.path)) for each in blocks.traces)),
    )


def finish(found: Validation, json: str | None, sessions: bool) -> None:
    """Write what was found, and leave with the exit code that says how it went."""
    from holdfast.report import validated, validated_json

    if json is not None:
        output.write_json(json, validated_json.validation(found))
    some = bool(found.sets or found.blocks)
    if json != output.STDIO and some:
        tables(found, sessions)
    for line in validated.interruption(found):
        output.complain(line)
    if found.interrupted:
        raise typer.Exit(130)
    if not some:
        places.nothing_found("validate", validated.left_out(found))


def tables(found: Validation, sessions: bool) -> None:
    """What the figures mean, the tables, and what it comes to, on standard output: a terminal shows the end."""
    from holdfast.report import validated

    out = output.console()
    output.say(out, validated.what_was_read(found), style="dim")
    checked = [each for each in found.sessions if each.skipped is None]
    if checked and (sessions or 1 < len(checked) <= places.FEW):
        out.print(validated.sessions_table(checked, out.width))
    if sessions or len(checked) == 1:
        for each in checked:
            if each.disagreements:
                output.say(out, [each.path], style="bold")
                output.say(out, validated.disagreements(each))
    if any(row.reasons for row in found.sets):
        output.say(out, ["", "Disagreements by reason, in requests:"])
        out.print(validated.reasons_table(found, out.width))
    if found.blocks is not None:
        output.say(out, ["", "Traces of block hashes: what caches of blocks would have read, by their capacity in blocks:"])
        out.print(validated.blocks_table(found.blocks, out.width))
    if found.sets:
        output.say(out, ["", "Predictions against the record:"])
        out.print(validated.sets_table(found, out.width))
    output.say(out, validated.verdict(found), style="bold")

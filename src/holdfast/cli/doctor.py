"""``holdfast doctor``: why requests read less from the cache than they could have; with ``--lint``, what one body will lose."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.cli import options, output, places
from holdfast.cli.lint import lint_files, provider_named
from holdfast.errors import InputError

if TYPE_CHECKING:
    from holdfast.doctor.run import DoctorRequest, Examination

BELOW = 1
"""The exit code of a hit rate below ``--fail-under``."""

FailUnder = Annotated[
    str | None,
    typer.Option("--fail-under", metavar="SHARE", help="Exit with 1 if a smaller share of all prompt tokens was read (0.9, 90%)."),
]
Lint = Annotated[bool, typer.Option("--lint", help="Read request bodies instead, and warn before anything is lost.")]
Provider = Annotated[
    str, typer.Option("--provider", metavar="NAME", help="With --lint: whose cache the body is for, where it does not say.")
]


def doctor(
    paths: Annotated[list[str] | None, typer.Argument(metavar="PATH", help="Files, folders or globs; - for standard input.")] = None,
    json: options.Json = None,
    fail_under: FailUnder = None,
    lint: Lint = False,
    provider: Provider = "",
    top: Annotated[int, typer.Option("--top", min=0, help="Show this many findings in full.")] = 10,
    jobs: Annotated[int, typer.Option("--jobs", min=0, help="Processes to use; 0 is one for every core.")] = 0,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Examine at most this many sessions.")] = None,
    prices: options.PricesFile = None,
    strict: options.Strict = False,
) -> None:
    """Why the cache was not read: the cause, the place, the cost, and what to do.

    Reads transcripts and, better, logs of request bodies; ranks what it finds
    by money. With --lint it reads request bodies (JSON) and warns of what will
    keep their prefix from being read. Without a PATH it looks where Claude Code,
    Codex and pi keep their sessions.

    Exit code: 1 if the hit rate is below --fail-under, if --lint is certain of a
    loss, or if there was nothing to examine; 2 for wrong input, 130 after Ctrl-C.
    """
    from holdfast.doctor.run import DoctorRequest

    output.writable(json)
    table = options.own_prices(prices)
    least = share("--fail-under", fail_under)
    if lint:
        if least is not None:
            raise InputError("--fail-under: a body that was not sent has no hit rate; --lint exits with 1 where it is certain of a loss")
        lint_files(paths or [], table, provider_named(provider), json)
        return
    if provider:
        raise InputError("--provider: only --lint takes it; a record says itself whose cache it was")
    request = DoctorRequest((), jobs=jobs, limit=limit, prices=prices, strict=strict)
    finish(run(replace(request, paths=tuple(paths or places.usual("doctor")))), json, top, least)


def share(option: str, text: str | None) -> float | None:
    """``0.9`` or ``90%``. Raises ``InputError``."""
    if text is None:
        return None
    plain = text.strip()
    try:
        value = float(plain.removesuffix("%")) / (100 if plain.endswith("%") else 1)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise InputError(f"{option} {text}: a share from 0 to 1 is needed (0.9, 90%)")
    return value


def run(request: DoctorRequest) -> Examination:
    """The examination, with a bar while it lasts. Standard input is called by its name in what comes back."""
    from holdfast.doctor.run import examine

    with output.readable(request.paths) as (paths, names), output.progress("Examining") as tell:
        found = examine(replace(request, paths=paths), tell)
        if found.interrupted:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C would lose what the first one asked to see
    return named(found, names) if names else found


def named(found: Examination, names: Mapping[str, str]) -> Examination:
    """The same with files that stand for standard input called by its name."""

    def called(text: str) -> str:
        return places.called(names, text)

    return replace(
        found,
        sessions=tuple(replace(each, path=called(each.path), skipped=each.skipped and called(each.skipped)) for each in found.sessions),
        skipped=tuple(replace(each, path=called(each.path), why=called(each.why)) for each in found.skipped),
    )


def finish(found: Examination, json: str | None, top: int, least: float | None) -> None:
    """Write what was found, and leave with the exit code that says how it went."""
    from holdfast.report import diagnosed, diagnosed_json

    if json is not None:
        output.write_json(json, diagnosed_json.examination(found))
    if found.diagnoses and json != output.STDIO:
        tables(found, top)
    for line in diagnosed.interruption(found):
        output.complain(line)
    if found.interrupted:
        raise typer.Exit(130)
    if not found.diagnoses:
        places.nothing_found("doctor", diagnosed.left_out(found))
    gate(found, least)


def tables(found: Examination, top: int) -> None:
    """What was examined, the dearest findings, the causes, and what it comes to, on standard output: a terminal shows the end."""
    from holdfast.report import diagnosed

    out = output.console()
    output.say(out, diagnosed.what_was_read(found), style="dim")
    if any(each.findings for each in found.diagnoses):
        output.say(out, ["", "What cost most:" if top else ""])
        output.say(out, diagnosed.findings(found, top))
        output.say(out, ["", "All findings by cause:"])
        out.print(diagnosed.causes_table(found, out.width))
    output.say(out, diagnosed.verdict(found), style="bold")


def gate(found: Examination, least: float | None) -> None:
    """Leave with 1 where less was read than was asked for, or where nobody can know."""
    rate = found.hit_rate
    if rate is None and not any(each.findings for each in found.diagnoses):
        output.complain("no usage was recorded: there is nothing to say of the cache.")
        raise typer.Exit(1)
    if least is not None and (rate is None or rate < least):
        # Rounded down: what falls short must not look as if it did not.
        said = "no usage was recorded" if rate is None else f"{int(rate * 10_000) / 100:.2f} % of the prompt tokens were read"
        output.complain(f"{said}, and --fail-under asks for {100 * least:g} %.")
        raise typer.Exit(BELOW)

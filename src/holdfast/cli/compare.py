"""``holdfast compare``: what each strategy would have cost on recorded transcripts, and what it would have lost."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.cli import options, output

if TYPE_CHECKING:
    from holdfast.simulator.requests import CompareRequest
    from holdfast.simulator.results import Comparison

FEW = 12
"""Up to this many sessions each gets a row without being asked for."""

HOW_TO_GET_ONE = """nothing to compare. Coding agents keep their sessions as files: Claude Code in ~/.claude/projects,
Codex in ~/.codex/sessions, pi in ~/.pi/agent/sessions. Name such a file or folder, or a JSONL log of request bodies:
  holdfast compare ~/.claude/projects"""


def compare(
    paths: Annotated[list[str] | None, typer.Argument(metavar="PATH", help="Files, folders or globs; - for standard input.")] = None,
    json: options.Json = None,
    strategy: Annotated[list[str] | None, typer.Option("--strategy", metavar="NAME", help="Only these; repeat or use commas.")] = None,
    model: options.Model = None,
    trigger: options.Trigger = None,
    target: options.Target = None,
    ttl: options.Lifetime = None,
    keep: options.Keep = None,
    sessions: Annotated[bool, typer.Option("--sessions", help="A row for every session, however many.")] = False,
    jobs: Annotated[int, typer.Option("--jobs", min=0, help="Processes to use; 0 is one for every core.")] = 0,
    untrusted: Annotated[
        bool, typer.Option("--any", help="Rank sessions too whose recorded reads the cache model does not reproduce (under 95 %).")
    ] = False,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Compare at most this many sessions.")] = None,
    prices: options.PricesFile = None,
    strict: options.Strict = False,
) -> None:
    """What each strategy would have cost, and lost.

    Reads recorded transcripts and bills them anew under every strategy for shortening them.
    Sessions whose recorded cache reads it cannot reproduce are shown, and not ranked.
    Without a PATH it looks where Claude Code, Codex and pi keep their sessions.
    """
    from holdfast.simulator.requests import KEEP_TAIL_TOKENS, CompareRequest

    output.writable(json)
    options.own_prices(prices)
    start, aim = options.thresholds(trigger, target)
    request = CompareRequest(
        paths=(),
        model=options.known_model(model, prices),
        strategies=chosen(strategy or []),
        trigger=start,
        target=aim,
        ttl=options.lifetime(ttl),
        keep_tail_tokens=options.tokens("--keep", keep, KEEP_TAIL_TOKENS),
        jobs=jobs,
        limit=limit,
        prices=prices,
        strict=strict,
        any=untrusted,
    )
    found = run(replace(request, paths=tuple(paths or usual())))
    finish(found, json, sessions)


def chosen(given: list[str]) -> tuple[str, ...]:
    """The registered names of the strategies that were asked for. Raises ``UnknownStrategy`` with near names."""
    from holdfast.strategies import named

    names = [name.strip() for each in given for name in each.split(",")]
    return tuple(dict.fromkeys(named(name).name for name in names if name))


def usual() -> list[str]:
    """The places where agents keep transcripts and this machine has some; says what was found, or how to get one."""
    from holdfast.readers import usual_places

    places = usual_places(Path.home())
    if not places:
        output.complain(HOW_TO_GET_ONE)
        raise typer.Exit(1)
    output.complain(f"looking in {', '.join(f'{place} ({format})' for format, place in places.items())}.")
    return [str(place) for place in places.values()]


def run(request: CompareRequest) -> Comparison:
    """The comparison, with a bar while it lasts. Standard input is called by its name in what comes back."""
    from holdfast.simulator.compare import compare as engine

    with output.readable(request.paths) as (paths, names), output.progress("Comparing") as tell:
        found = engine(replace(request, paths=paths), tell)
        if found.interrupted:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C would lose what the first one asked to see
    for spooled, name in names.items():
        sessions = tuple(
            replace(each, path=each.path.replace(spooled, name), skipped=each.skipped and each.skipped.replace(spooled, name))
            for each in found.sessions
        )
        skipped = tuple(replace(each, path=each.path.replace(spooled, name), why=each.why.replace(spooled, name)) for each in found.skipped)
        found = replace(found, sessions=sessions, skipped=skipped)
    return found


def finish(found: Comparison, json: str | None, sessions: bool) -> None:
    """Write what was found, and leave with the exit code that says how it went."""
    from holdfast.report import machine, sentences

    if json is not None:
        output.write_json(json, machine.comparison(found))
    compared = any(each.results for each in found.sessions)
    if compared and json != output.STDIO:
        tables(found, sessions)
    if found.interrupted:
        for line in sentences.interruption(found):
            output.complain(line)
        raise typer.Exit(130)
    if not compared:
        why = list(sentences.in_full(found))
        for line in why[:FEW]:
            output.complain(line)
        if len(why) > FEW:
            output.complain(f"and {len(why) - FEW:,} more of which none could be used.")
        if not why:
            output.complain(HOW_TO_GET_ONE)
        raise typer.Exit(1)


def tables(found: Comparison, sessions: bool) -> None:
    """What the figures rest on, the tables, and what it comes to, on standard output: a terminal shows the end."""
    from holdfast.report import sentences
    from holdfast.report import tables as drawn

    out = output.console()
    output.say(out, sentences.what_was_read(found), style="dim")
    output.say(out, sentences.how_it_was_computed(found), style="dim")
    output.say(out, sentences.agreement(found), style="dim")
    compared = [each for each in found.sessions if each.results]
    if sessions or 1 < len(compared) <= FEW or not found.total:
        out.print(drawn.sessions_table(compared, out.width))
    if found.total:
        out.print(drawn.total_table(found, out.width))
    output.say(out, sentences.left_unranked(found))
    output.say(out, sentences.verdict(found), style="bold")

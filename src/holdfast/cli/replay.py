"""``holdfast replay``: one transcript under one strategy, turn by turn."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.cli import options, output
from holdfast.errors import InputError, UnknownModel

if TYPE_CHECKING:
    from holdfast.simulator.requests import ReplayRequest
    from holdfast.simulator.results import ReplayedTurn


def replay(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A transcript; - for standard input.")],
    strategy: Annotated[str, typer.Option("--strategy", metavar="NAME", help="The strategy to replay under.")],
    json: Annotated[str | None, typer.Option("--json", metavar="FILE", help="Write one JSON line a turn; - for standard output.")] = None,
    model: options.Model = None,
    trigger: options.Trigger = None,
    target: options.Target = None,
    ttl: options.Lifetime = None,
    keep: options.Keep = None,
    prices: options.PricesFile = None,
    strict: options.Strict = False,
) -> None:
    """One transcript under one strategy, turn by turn.

    Says for each turn what the cache read and wrote, what it cost, and what was shortened and why.
    """
    from holdfast.simulator.requests import KEEP_TAIL_TOKENS, ReplayRequest
    from holdfast.strategies import named

    output.writable(json)
    options.own_prices(prices)
    start, aim = options.thresholds(trigger, target)
    with output.readable([file]) as (paths, _):
        request = ReplayRequest(
            strategy=named(strategy).name,
            path=the_one(paths[0]),
            model=options.known_model(model, prices),
            trigger=start,
            target=aim,
            ttl=options.lifetime(ttl),
            keep_tail_tokens=options.tokens("--keep", keep, KEEP_TAIL_TOKENS),
            prices=prices,
            strict=strict,
        )
        show(turns(request), json)


def the_one(name: str) -> str:
    """The one file that a path names. Raises ``InputError`` where it names none or several."""
    from holdfast.readers import discover

    found = discover([name])
    if len(found) != 1:
        raise InputError(f"{name}: {len(found):,} files; replay takes one, compare takes many")
    return str(found[0])


def turns(request: ReplayRequest) -> Iterator[ReplayedTurn]:
    """The turns as they are replayed. Raises ``InputError`` that names the file where that holds no request."""
    from holdfast.simulator.replay_file import replay_file

    empty = True
    try:
        for turn in replay_file(request):
            empty = False
            yield turn
    except UnknownModel as error:
        raise InputError(f"{request.path}: {error}") from error
    if empty:
        raise InputError(f"{request.path}: no request to a model in this transcript, so there is nothing to replay")


def show(replayed: Iterable[ReplayedTurn], json: str | None) -> None:
    """A line a turn and their sum; with ``--json`` a line of JSON a turn instead, or beside it if that goes to a file."""
    from holdfast.report import machine
    from holdfast.report import turns as lines

    if json == output.STDIO:
        for turn in replayed:
            output.write_json(json, [machine.turn(turn) + "\n"])
        return
    seen: list[ReplayedTurn] = []
    for turn in replayed:
        if not seen:
            output.line(lines.HEADING)
        output.line(lines.line(turn, begins=not seen or seen[-1].lineage != turn.lineage))
        seen.append(turn)
    output.line(lines.closing(seen))
    if json is not None:
        output.write_json(json, (machine.turn(turn) + "\n" for turn in seen))

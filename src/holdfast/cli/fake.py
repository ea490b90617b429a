"""``holdfast fake``: a provider on loopback, for trying an agent without a key and without a bill."""

from __future__ import annotations

import itertools
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.cli import options, output
from holdfast.errors import InputError

if TYPE_CHECKING:
    from holdfast.testing.fake.provider import FakeProvider
    from holdfast.testing.fake.values import Asked, Say

SCHEMA = "holdfast/fake/1"
LAST_PORT = 65_535


class EveryModel(Mapping[str, int]):
    """The same window for every model."""

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens

    def __getitem__(self, name: str) -> int:
        return self.tokens

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0

    def __bool__(self) -> bool:
        return True


def fake(
    port: Annotated[int, typer.Option("--port", metavar="PORT", help="Where to listen; 0 takes a free port.")] = 8787,
    host: Annotated[str, typer.Option("--host", metavar="HOST", help="The address to listen at.")] = "127.0.0.1",
    script: Annotated[
        str | None,
        typer.Option(
            "--script", metavar="FILE", help='What to answer: JSON, a reply a line; begun again at its end [default: always "OK"].'
        ),
    ] = None,
    latency: Annotated[float, typer.Option("--latency", metavar="SECONDS", help="Wait so long before each answer.")] = 0.0,
    window: Annotated[str | None, typer.Option("--window", metavar="TOKENS", help="The context window of every model.")] = None,
    json: options.Json = None,
) -> None:
    """Run a fake provider that speaks Anthropic's and OpenAI's wire.

    It bills like the real caches and refuses what the real ones refuse. Ctrl-C stops it and shows what was billed.
    """
    from holdfast.testing.fake.provider import FakeProvider

    output.writable(json)
    if not 0 <= latency < threading.TIMEOUT_MAX:
        raise InputError(f"--latency {latency:g}: say seconds, 0 or more")
    says = _script(script, latency)
    tokens = options.tokens("--window", window, 0)
    provider = FakeProvider(says, host=host, port=port, windows=EveryModel(tokens) if tokens else {}, foreign_thinking=True)
    _start(provider, host, port)
    url = provider.url
    try:
        _announce(url, sys.stderr if json == output.STDIO else sys.stdout)
        wait()
    finally:
        provider.stop()
    summary = summarised(provider)
    if json is not None:
        output.write_json(json, [_machine(url, summary)])
    if json != output.STDIO:
        _show(summary)


def _script(file: str | None, latency: float) -> Callable[[Asked], Say]:
    from holdfast.testing.fake.script import read_script
    from holdfast.testing.fake.values import Fault, Reply

    says: list[Say] = ["OK"]
    if file is not None:
        with output.readable([file]) as (paths, _):
            says = read_script(_text(paths[0], file), file)
    slowed: list[Reply | Fault] = [Reply(say) if isinstance(say, str) else say for say in says]
    turns = itertools.cycle([replace(say, latency=say.latency or latency) for say in slowed])
    return lambda asked: next(turns)


def _text(path: str, name: str) -> str:
    try:
        with open(path, encoding="utf-8") as stream:  # noqa: PTH123
            return stream.read()
    except OSError as error:
        raise InputError(f"{name}: cannot be read ({error.strerror or error})") from None
    except UnicodeDecodeError:
        raise InputError(f"{name}: cannot be read (it is not UTF-8 text)") from None


def _start(provider: FakeProvider, host: str, port: int) -> None:
    """Begin to serve. Raises ``InputError`` that names what to do where the address cannot be had."""
    if not 0 <= port <= LAST_PORT:
        raise InputError(f"--port {port}: a port is a number from 0 to {LAST_PORT}; 0 takes a free one")
    import errno

    try:
        provider.start()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise InputError(f"port {port} is in use; stop what listens there, or say another with --port (0 takes a free one)") from None
        if error.errno == errno.EACCES:
            raise InputError(f"port {port} may not be listened at by this user; say one above 1023 with --port") from None
        raise InputError(f"--host {host}: cannot be listened at ({error.strerror or error}); 127.0.0.1 is this machine") from None


def _announce(url: str, stream: object) -> None:
    """The base URLs, and how a client is given them."""
    for text in (
        f"A fake provider listens at {url} (Anthropic) and {url}/v1 (OpenAI). Ctrl-C stops it.",
        f'  client = Anthropic(base_url="{url}", api_key="any")',
        f'  client = OpenAI(base_url="{url}/v1", api_key="any")',
    ):
        typer.echo(text, file=stream)  # type: ignore[arg-type]  # one of the two standard streams
    sys.stdout.flush()


def wait() -> None:
    """Until Ctrl-C, or until somebody asks the process to end."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        return
    finally:
        signal.signal(signal.SIGTERM, before)


@dataclass(frozen=True, slots=True)
class Row:
    """The requests to one endpoint for one model, and what they were billed; ``model`` is ``""`` in the row of the sum."""

    endpoint: str
    model: str
    requests: int
    refused: int
    usage: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Summary:
    """What a provider was asked: ``rows`` of the newest requests, ``forgotten`` older ones, and the sum of all."""

    rows: Sequence[Row]
    forgotten: int
    total: Row


def summarised(provider: FakeProvider) -> Summary:
    """The requests by endpoint and model, in the order in which these were first seen."""
    from holdfast.usage import Usage

    groups: dict[tuple[str, str], list[Asked]] = {}
    requests = provider.requests
    for asked in requests:
        groups.setdefault((asked.endpoint, str(asked.body.get("model") or "")), []).append(asked)
    rows = []
    for (endpoint, model), group in groups.items():
        usage = sum((asked.usage for asked in group if asked.usage is not None), Usage())
        rows.append(Row(endpoint, model, len(group), sum(asked.status >= 400 for asked in group), usage.as_dict()))
    total = Row("all", "", provider.count, sum(row.refused for row in rows), provider.usage.as_dict())
    return Summary(rows, provider.count - len(requests), total)


def _machine(url: str, summary: Summary) -> str:
    import json

    def as_dict(row: Row) -> dict[str, object]:
        return {"requests": row.requests, "refused": row.refused, "usage": dict(row.usage)}

    rows = [{"endpoint": row.endpoint, "model": row.model or None, **as_dict(row)} for row in summary.rows]
    document = {"schema": SCHEMA, "url": url, "forgotten": summary.forgotten, "requests": rows, "total": as_dict(summary.total)}
    return json.dumps(document, indent=1) + "\n"


def _show(summary: Summary) -> None:
    if not summary.total.requests:
        output.line("No request arrived.")
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("endpoint", min_width=max(len(row.endpoint) for row in summary.rows))
    table.add_column("model")
    for name in ("requests", "refused", "read", "written", "fresh", "output"):
        table.add_column(name, justify="right")
    for row in [*summary.rows, summary.total] if len(summary.rows) > 1 or summary.forgotten else summary.rows:
        written = sum(tokens for name, tokens in row.usage.items() if name.startswith("write"))
        figures = (row.requests, row.refused, row.usage["read"], written, row.usage["fresh"], row.usage["output"])
        table.add_row(row.endpoint, row.model, *(f"{figure:,}" for figure in figures))
    output.console().print(table)
    if summary.forgotten:
        output.line(f"The {summary.forgotten:,} oldest requests stand in the sum only; refusals among them are not counted.")

"""``holdfast doctor --lint``: request bodies out of files, and what is said of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from holdfast.cli import options, output, places
from holdfast.errors import InputError, Unreadable

if TYPE_CHECKING:
    from holdfast.doctor.lint import Advice
    from holdfast.pricing import Prices

CERTAIN = 1
"""The exit code where something is certain to be lost."""
UNREADABLE = 2
"""The exit code where a file held no body, whatever was said of the others."""
PROVIDERS = ("anthropic", "azure", "bedrock", "deepseek", "foundry", "google", "openai", "openrouter", "sglang", "vertex", "vllm", "xai")
"""Whose caches a body can be for."""
NO_BODY = "no request body: a JSON object with messages or input is needed, a list of such, or a log of requests"


def provider_named(name: str) -> str:
    """A provider as given. Raises ``InputError`` with near names."""
    if name and name.lower() not in PROVIDERS:
        raise InputError(f"--provider {name}: no such provider; {options.near(name, PROVIDERS)}")
    return name.lower()


def lint_files(paths: Sequence[str], table: Prices, provider: str, json: str | None) -> None:
    """Every body of these files, warned of one by one; a file without one is named, and the others are read all the same."""
    from holdfast.doctor.lint import Severity
    from holdfast.readers import discover
    from holdfast.report import diagnosed, diagnosed_json

    if not paths:
        raise InputError("--lint needs a request body to read: name a JSON file, or - for standard input")
    with output.readable(paths) as (readable, names):
        every = [each for path in discover(readable) for each in _linted(path, names, table, provider)]
    found = [each for each in every if not isinstance(each, str)]
    refused = [each for each in every if isinstance(each, str)] or ([] if found else [f"{', '.join(paths)}: no file in it"])
    if json is not None:
        output.write_json(json, diagnosed_json.linted(found, refused))
    if json != output.STDIO:
        out = output.console()
        for name, advice in found:
            output.say(out, diagnosed.linted(name, advice))
    for why in refused:
        output.complain(why)
    if refused:
        raise typer.Exit(UNREADABLE)
    if any(each.severity is Severity.CERTAIN for _, advice in found for each in advice):
        raise typer.Exit(CERTAIN)


def _linted(path: Path, names: Mapping[str, str], table: Prices, provider: str) -> Iterator[tuple[str, Sequence[Advice]] | str]:
    """The advice on each body of a file, or why there is none."""
    from holdfast.doctor.lint import NotABody, lint

    try:
        for place, body in bodies(path):
            name = places.called(names, f"{path}{place}")
            try:
                yield name, lint(body, table, provider)
            except NotABody as error:
                yield f"{name}: {error}"
    except InputError as error:
        yield places.called(names, str(error))


def bodies(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The request bodies of a file with where each stands. Raises ``InputError``.

    One JSON document is a body, an envelope with one, or a list of such; of a log of requests it is the last one.
    """
    from holdfast.readers import request_log
    from holdfast.readers.sample import take

    head = take(path)
    if isinstance(head.document, dict):
        yield "", unwrapped(head.document)
    elif isinstance(head.document, list) and all(isinstance(each, dict) and "role" not in each for each in head.document):
        for number, each in enumerate(head.document):
            yield f"[{number}]", unwrapped(each)
    elif request_log.sniff(head) and (logged := [exchange for exchange in request_log.exchanges(path) if exchange.body]):
        yield f":{logged[-1].line}", logged[-1].body
    else:
        raise Unreadable(str(path), f"{NO_BODY} ({head.seen})")


def unwrapped(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """The body in an envelope; what is none as it is."""
    from holdfast.readers.request_log_lines import exchange_of, is_envelope

    exchange = exchange_of(dict(document)) if is_envelope(dict(document)) else None
    return document if exchange is None else exchange.body

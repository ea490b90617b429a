"""Where output goes: tables and lines to standard output, complaints and progress to standard error, JSON whole or not at all."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from holdfast.errors import Unreadable

if TYPE_CHECKING:
    from rich.console import Console

STDIO = "-"
"""As an input: standard input. As a ``--json`` file: standard output."""
PLAIN_WIDTH = 120
"""Columns of a table that does not go to a terminal."""
SHOWN_AS = "<stdin>"


def complain(sentence: str) -> None:
    """One sentence on standard error."""
    typer.echo(f"holdfast: {sentence}", err=True)


def console() -> Console:
    """Standard output: as wide as the terminal, or a fixed width where there is none."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH, highlight=False, soft_wrap=not sys.stdout.isatty())


def say(out: Console, lines: Iterable[str], style: str = "") -> None:
    """Lines of text as they are: a path in brackets is no markup."""
    for line in lines:
        out.print(line, style=style, markup=False, emoji=False)


def write_json(target: str, pieces: Iterable[str]) -> None:
    """A JSON document to standard output or into a file that is replaced only when all of it is written. Raises ``Unreadable``."""
    if target == STDIO:
        for piece in pieces:
            typer.echo(piece, nl=False)
        return
    path = Path(target)
    try:
        with _replacing(path) as partial, partial.open("w", encoding="utf-8") as stream:
            stream.writelines(pieces)
    except OSError as error:
        raise Unreadable(target, f"cannot be written ({error.strerror or error})") from error


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    partial = Path(name)
    try:
        yield partial
        partial.chmod(path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~_umask())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@contextmanager
def readable(paths: Iterable[str]) -> Iterator[tuple[tuple[str, ...], dict[str, str]]]:
    """The paths with ``-`` replaced by a file that holds standard input, and what to call that file in the output."""
    given = tuple(paths)
    if STDIO not in given:
        yield given, {}
        return
    with tempfile.TemporaryDirectory(prefix="holdfast-") as folder:
        spooled = Path(folder) / "stdin"
        with spooled.open("wb") as stream:
            shutil.copyfileobj(sys.stdin.buffer, stream)
        yield tuple(str(spooled) if path == STDIO else path for path in given), {str(spooled): SHOWN_AS}


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error that is told (done, total); none where that is no terminal."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)

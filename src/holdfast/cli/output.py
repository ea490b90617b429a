"""Where output goes: tables and lines to standard output, complaints and progress to standard error, JSON whole or not at all."""

from __future__ import annotations

import codecs
import io
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from holdfast.errors import InputError, Unreadable

if TYPE_CHECKING:
    from rich.console import Console

STDIO = "-"
"""As an input: standard input. As a ``--json`` file: standard output."""
PLAIN_WIDTH = 120
"""Columns of a table that does not go to a terminal, unless ``COLUMNS`` says otherwise."""
LEAST_WIDTH = 20
SHOWN_AS = "<stdin>"
PLAIN = {"\N{MINUS SIGN}": "-", "\N{PLUS-MINUS SIGN}": "+-", "\N{EN DASH}": "-", "\N{HORIZONTAL ELLIPSIS}": "..."}
"""What stands for a sign that the output's encoding lacks: a saving must not lose its minus."""


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(PLAIN.get(sign, "?") for sign in lacking), error.end


codecs.register_error("holdfast-plain", _plain)


def open_streams() -> None:
    """Make standard output and standard error such that no character and no closed stream is an error."""
    if sys.stdout is None:  # the shell's >&-
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="holdfast-plain")


def hush() -> None:
    """Let what is left for a standard output that takes no more go nowhere, so that Python does not complain of it at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def complain(sentence: str) -> None:
    """One sentence on standard error."""
    typer.echo(f"holdfast: {sentence}", file=sys.stderr)


def line(text: str) -> None:
    """A line on standard output, in the encoding that this has: without ``file``, an ASCII terminal would be sent UTF-8."""
    typer.echo(text, file=sys.stdout)


def console() -> Console:
    """Standard output: as wide as the terminal; where there is none, as ``COLUMNS`` says, else a fixed width."""
    from rich.console import Console

    class Piped(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError  # rich would leave with 1 by itself

    terminal = sys.stdout.isatty()
    return Piped(width=None if terminal else plain_width(os.environ.get("COLUMNS", "")), highlight=False, soft_wrap=not terminal)


def plain_width(columns: str) -> int:
    """The columns that the environment asks for, if that is a number a table can be drawn in."""
    return int(columns) if columns.isdecimal() and int(columns) >= LEAST_WIDTH else PLAIN_WIDTH


def say(out: Console, lines: Iterable[str], style: str = "") -> None:
    """Lines of text as they are: a path in brackets is no markup, and what a terminal breaks stays indented."""
    from rich.padding import Padding
    from rich.text import Text

    for line in lines:
        text = line.lstrip(" ")
        if out.soft_wrap or text == line:
            out.print(line, style=style, markup=False, emoji=False)
        else:
            out.print(Padding(Text(text), (0, 0, 0, len(line) - len(text)), expand=False), style=style)


def write_json(target: str, pieces: Iterable[str]) -> None:
    """A JSON document to standard output or into a file that is replaced only when all of it is written. Raises ``Unreadable``."""
    if target == STDIO:
        for piece in pieces:
            typer.echo(piece.encode(), nl=False)  # JSON is UTF-8 whatever the terminal speaks
        return
    path = Path(target)
    if path.is_symlink() and path.is_file():
        path = path.resolve()  # what a link names is replaced, not the link
    try:
        if _special(path):
            with path.open("w", encoding="utf-8") as stream:
                stream.writelines(pieces)
            return
        with _replacing(path) as partial, partial.open("w", encoding="utf-8") as stream:
            stream.writelines(pieces)
    except OSError as error:
        raise Unreadable(target, f"cannot be written ({error.strerror or error})") from error


def _special(path: Path) -> bool:
    """Whether a path names what must not be replaced: a device, a pipe, a folder."""
    return path.exists() and not path.is_file()


def writable(target: str | None) -> None:
    """Nothing, if JSON can be written there. Raises ``Unreadable`` before time is spent on figures that would be lost."""
    if target is None or target == STDIO:
        return
    path = Path(target)
    try:
        if path.is_dir():
            raise IsADirectoryError(0, "it is a folder")
        if not _special(path):
            tempfile.TemporaryFile(dir=path.parent).close()
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


def _possible(name: str) -> str:
    """A path or pattern, if it can be one. Raises ``InputError``."""
    try:
        path = Path(name).expanduser()
    except RuntimeError:
        raise InputError(f"{name}: no home folder is known for {Path(name).parts[0]}") from None
    if any("**" in part and part != "**" for part in path.parts) and not path.exists():
        raise InputError(f"{name}: ** stands for folders and must be a whole part of a path, as in logs/**/*.jsonl")
    return name


@contextmanager
def readable(paths: Iterable[str]) -> Iterator[tuple[tuple[str, ...], dict[str, str]]]:
    """The paths with ``-`` replaced by a file that holds standard input, and what to call that file in the output."""
    given = tuple(map(_possible, paths))
    if STDIO not in given:
        yield given, {}
        return
    with tempfile.TemporaryDirectory(prefix="holdfast-") as folder:
        spooled = Path(folder) / "stdin"
        with spooled.open("wb") as stream:
            shutil.copyfileobj(sys.stdin.buffer, stream)
        try:
            yield tuple(str(spooled) if path == STDIO else path for path in given), {str(spooled): SHOWN_AS}
        except InputError as error:
            raise InputError(str(error).replace(str(spooled), SHOWN_AS)) from error


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

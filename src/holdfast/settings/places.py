"""TOML files of settings: where they are looked for, what they hold, and on which line."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from holdfast.errors import BadSettings

PROJECT, LOCAL, PYPROJECT = "holdfast.toml", "holdfast.local.toml", "pyproject.toml"
_LINE = re.compile(r"\(at line (\d+), column \d+\)")


@dataclass(frozen=True, slots=True)
class Table:
    """The settings in one file. ``header`` names the table they stand in, empty for the whole file."""

    path: Path
    header: tuple[str, ...]
    text: str
    values: dict[str, Any]

    def place(self, key: str) -> str:
        """``file:line`` of a key, or the file where the line cannot be told."""
        line = line_of(self.text, (*self.header, key))
        return f"{self.path}:{line}" if line else str(self.path)


def read(path: Path, header: tuple[str, ...] = ()) -> Table | None:
    """The settings in a file, ``None`` where there is no file or it has no such table. Raises ``BadSettings``."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise BadSettings(f"{path}: cannot be read ({error.strerror or error})") from None
    except UnicodeDecodeError:
        raise BadSettings(f"{path}: cannot be read (it is not UTF-8 text)") from None
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        at = _LINE.search(str(error))
        raise BadSettings(f"{path}{f':{at[1]}' if at else ''}: not TOML: {_LINE.sub('', str(error)).strip()}") from None
    for part in header:
        if not isinstance(found, dict) or part not in found:
            return None
        found = found[part]
    if not isinstance(found, dict):
        line = line_of(text, header)
        raise BadSettings(f"{path}:{line}: [{'.'.join(header)}] must be a table of settings")
    return Table(path, header, text, found)


def line_of(text: str, keys: Sequence[str]) -> int:
    """The line on which a key is set, from 1; 0 where it cannot be told.

    The parser says nothing of lines. So each line that has the key's name in it is tried: it is the one if the file without it and all
    that follows is whole and lacks the key, and with it, and as many lines as its value takes, has it.
    """
    lines = text.splitlines()
    for number, line in enumerate(lines, 1):
        if keys[-1] in line and _holds("\n".join(lines[: number - 1]), keys) is False and _appears(lines, number, keys):
            return number
    return 0


def _appears(lines: Sequence[str], number: int, keys: Sequence[str]) -> bool:
    """Whether a key is there as soon as the lines make whole TOML again."""
    for stop in range(number, len(lines) + 1):
        held = _holds("\n".join(lines[:stop]), keys)
        if held is not None:
            return held
    return False


def _holds(text: str, keys: Iterable[str]) -> bool | None:
    """Whether the TOML has a key; ``None``: it is none."""
    try:
        found: Any = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return None
    for key in keys:
        if not isinstance(found, dict) or key not in found:
            return False
        found = found[key]
    return True


def folders(start: Path) -> tuple[Path, ...]:
    """The folders that a project's files are looked for in: ``start`` and those above it up to the root of its repository.

    Outside a repository only ``start``: what somebody else has put into a folder above, as ``/tmp``, is nobody's project.
    """
    found = []
    for folder in (start, *start.parents):
        found.append(folder)
        if (folder / ".git").exists():
            return tuple(found)
    return (start,)


def project(start: Path) -> Table | None:
    """The nearest ``holdfast.toml``, or ``pyproject.toml`` with a table ``[tool.holdfast]``; the first where both are. Raises
    ``BadSettings``.
    """
    for folder in folders(start):
        table = read(folder / PROJECT)
        if table is None:
            table = read(folder / PYPROJECT, ("tool", "holdfast"))
        if table is not None:
            return table
    return None


def local(start: Path, beside: Table | None) -> Table | None:
    """``holdfast.local.toml`` beside the project's file; where there is none, the nearest. Raises ``BadSettings``."""
    if beside is not None:
        return read(beside.path.parent / LOCAL)
    return next((table for folder in folders(start) if (table := read(folder / LOCAL)) is not None), None)

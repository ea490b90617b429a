"""Where a command looks for sessions, what it says when there are none, and how standard input is called."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NoReturn

import typer

from holdfast.cli import output

FEW = 12
"""Up to this many sessions or complaints each get a line without being asked for."""


def how_to_get_one(command: str) -> str:
    """Where sessions are found, for who has none here."""
    return f"""nothing to {command}. Coding agents keep their sessions as files: Claude Code in ~/.claude/projects,
Codex in ~/.codex/sessions, pi in ~/.pi/agent/sessions. Name such a file or folder, or a JSONL log of request bodies:
  holdfast {command} ~/.claude/projects"""


def usual(command: str) -> list[str]:
    """The places where agents keep sessions and this machine has some; says what was found, or how to get one."""
    from holdfast.readers import usual_places

    places = usual_places(Path.home())
    if not places:
        output.complain(how_to_get_one(command))
        raise typer.Exit(1)
    output.complain(f"looking in {', '.join(f'{place} ({format})' for format, place in places.items())}.")
    return [str(place) for place in places.values()]


def nothing_found(command: str, why: Iterable[str]) -> NoReturn:
    """Say why nothing came of any file, and leave with 1."""
    said = list(why)
    for sentence in said[:FEW]:
        output.complain(sentence)
    if len(said) > FEW:
        output.complain(f"and {len(said) - FEW:,} more of which none could be used; --json has them all.")
    if not said:
        output.complain(how_to_get_one(command))
    raise typer.Exit(1)


def called(names: Mapping[str, str], text: str) -> str:
    """A path or sentence in which files that stand for standard input have its name."""
    for spooled, name in names.items():
        text = text.replace(spooled, name)
    return text

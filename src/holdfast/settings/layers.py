"""Who may speak, in which order, and what each says."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from holdfast.errors import BadSettings
from holdfast.settings import places
from holdfast.settings.model import NAMES

Layer: TypeAlias = Literal["policy", "flags", "environment", "local", "project", "user", "default"]

PREFIX = "HOLDFAST_"
POLICY = f"{PREFIX}POLICY"
SYSTEM_POLICY = Path("/etc/holdfast/policy.toml") if os.name == "posix" else Path("C:/ProgramData/holdfast/policy.toml")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What settings are looked for in: a folder, the environment, and the administrator's file, which no variable moves."""

    start: Path = field(default_factory=Path.cwd)
    env: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    policy: Path = SYSTEM_POLICY

    @property
    def home(self) -> Path | None:
        """The user's home folder, where the environment names one."""
        found = self.env.get("HOME") or self.env.get("USERPROFILE")
        return Path(found) if found else None

    @property
    def user_file(self) -> Path | None:
        """``config.toml`` in ``$XDG_CONFIG_HOME/holdfast``, by default ``~/.config/holdfast`` (XDG Base Directory Specification 0.8, which
        has relative paths ignored).
        """
        named = self.env.get("XDG_CONFIG_HOME", "")
        base = Path(named) if Path(named).is_absolute() else self.home and self.home / ".config"
        return base / "holdfast" / "config.toml" if base else None


@dataclass(frozen=True, slots=True)
class Word:
    """What one speaker says: values by name, where each stands, and the folder that relative paths begin in.

    ``within``: paths must stay in that folder.
    """

    layer: Layer
    values: Mapping[str, Any]
    where: Mapping[str, str]
    folder: Path
    within: bool = False


def spoken(flags: Mapping[str, Any], around: Surroundings, option: bool = False) -> Iterator[Word]:
    """Everybody who says something, the first first. ``option``: the flags were typed as options. Raises ``BadSettings``.

    The administrator's file always speaks first. A policy that ``HOLDFAST_POLICY`` names comes behind it, so that the variable adds to it
    and takes nothing away.
    """
    if (table := places.read(around.policy)) is not None:
        yield _of_file("policy", table)
    if named := around.env.get(POLICY):
        path = around.start / named
        if (table := places.read(path)) is None:
            raise BadSettings(f"{POLICY}: there is no file {path}")
        yield _of_file("policy", table)
    yield Word("flags", flags, {name: f"--{name.replace('_', '-')}" if option else f"{name}=" for name in flags}, around.start)
    said = {name: around.env[PREFIX + name.upper()] for name in NAMES if around.env.get(PREFIX + name.upper())}
    yield Word("environment", said, {name: PREFIX + name.upper() for name in said}, around.start)
    project = places.project(around.start)
    if (table := places.local(around.start, project)) is not None:
        yield _of_file("local", table, within=True)
    if project is not None:
        yield _of_file("project", project, within=True)
    if (path_of_user := around.user_file) is not None and (table := places.read(path_of_user)) is not None:
        yield _of_file("user", table)


def _of_file(layer: Layer, table: places.Table, within: bool = False) -> Word:
    return Word(layer, table.values, _Lines(table), table.path.parent, within)


class _Lines(dict[str, str]):
    """Where each key of a file stands, looked up when it is asked for: most are never shown."""

    def __init__(self, table: places.Table) -> None:
        super().__init__()
        self._table = table

    def __missing__(self, key: str) -> str:
        self[key] = self._table.place(key)
        return self[key]


def strangers(env: Mapping[str, str]) -> tuple[str, ...]:
    """Variables that begin as Holdfast's do and are none of them: perhaps misspelled, perhaps somebody else's."""
    known = {POLICY, *(PREFIX + name.upper() for name in NAMES)}
    return tuple(sorted(name for name in env if name.startswith(PREFIX) and name not in known))

"""What everybody says, checked and put together: the first that speaks wins, and who that was is kept."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from holdfast.errors import BadSettings
from holdfast.settings.layers import PREFIX, Layer, Surroundings, Word, spoken, strangers
from holdfast.settings.model import NAMES, Settings

_PATHS = ("store", "record")


@dataclass(frozen=True, slots=True)
class Origin:
    """Who spoke, and where: ``file:line``, a variable, an option, an argument; ``""`` for a default."""

    layer: Layer
    where: str = ""


@dataclass(frozen=True, slots=True)
class Said:
    """A value and where it comes from."""

    value: Any
    origin: Origin


@dataclass(frozen=True, slots=True)
class Resolved:
    """The settings that hold.

    ``said`` has for each name what was said of it, the first, which holds, first and the default last. ``notes``: what may not be as the
    user thinks, in sentences.
    """

    values: Settings
    said: Mapping[str, tuple[Said, ...]]
    notes: tuple[str, ...] = ()

    @property
    def origins(self) -> dict[str, Origin]:
        """For each name who decided it."""
        return {name: said[0].origin for name, said in self.said.items()}

    @property
    def overridden(self) -> dict[str, tuple[Said, ...]]:
        """For each name what was said in vain, defaults left out."""
        return {name: tuple(each for each in said[1:] if each.origin.layer != "default") for name, said in self.said.items()}

    def pinned(self, name: str) -> bool:
        """Whether a policy decided it: then no argument may."""
        return self.said[name][0].origin.layer == "policy"


def resolve(flags: Mapping[str, Any] | None = None, around: Surroundings | None = None, option: bool = False) -> Resolved:
    """What holds for these arguments (those that were given, by name) in these surroundings.

    ``option``: the arguments were options of a command, and are named so. Reads the files of every speaker, and nothing else.
    Raises ``BadSettings``, which names every wrong key and value of the first speaker that has one, with file and line.
    """
    surroundings = around or Surroundings()
    words = [(word, _checked(word, surroundings.home)) for word in spoken(flags or {}, surroundings, option)]
    values = _first([found for _, found in words])
    said = {
        name: (
            *(Said(found[name], Origin(word.layer, word.where[name])) for word, found in words if name in found),
            Said(Settings.model_fields[name].get_default(call_default_factory=True), Origin("default")),
        )
        for name in NAMES
    }
    resolved = Resolved(values, said, tuple(_notes(surroundings.env)))
    _check_thresholds(resolved)
    return resolved


class _Spoken(PydanticBaseSettingsSource):
    """One speaker as a source of pydantic-settings."""

    def __init__(self, settings_cls: type[BaseSettings], values: Mapping[str, Any]) -> None:
        super().__init__(settings_cls)
        self._values = dict(values)

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """The value of one setting."""
        return self._values.get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        """All values."""
        return self._values


def _first(speakers: Sequence[Mapping[str, Any]]) -> Settings:
    """Of each setting what the first says that says something."""

    class Together(Settings):
        model_config = SettingsConfigDict(use_attribute_docstrings=False)

        @classmethod
        def settings_customise_sources(
            cls, settings_cls: type[BaseSettings], *given: PydanticBaseSettingsSource, **named: PydanticBaseSettingsSource
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return tuple(_Spoken(settings_cls, each) for each in speakers)

    return Settings(**Together().model_dump())


def _checked(word: Word, home: Path | None) -> dict[str, Any]:
    """What a speaker says, as values of the right types. Raises ``BadSettings``."""
    try:
        checked = Settings(**word.values)
    except ValidationError as error:
        first = {each["loc"][:1]: each for each in reversed(error.errors())}  # of what may be either of two, one error is enough
        raise BadSettings("\n".join(_sentence(word, each) for each in reversed(first.values()))) from None
    return {name: _placed(word, name, getattr(checked, name), home) for name in word.values}


def _placed(word: Word, name: str, value: Any, home: Path | None) -> Any:
    """A path as seen from where it was said; any other value as it is. Raises ``BadSettings``.

    A project's files come with the code of others: they must not have conversations written anywhere else.
    """
    if name not in _PATHS or value is None:
        return value
    parts = value.parts
    if parts[:1] == ("~",) and home is not None:
        value = home.joinpath(*parts[1:])
    path = word.folder / value
    if word.within and not path.resolve().is_relative_to(word.folder.resolve()):
        raise BadSettings(
            f"{word.where[name]}: {name} = {str(value)!r}: a project's file may name a file inside {word.folder} only; "
            f"set {PREFIX}{name.upper()}, or say it in your own config.toml"
        )
    return path


def _sentence(word: Word, error: ErrorDetails) -> str:
    """What is wrong with one key, where, and what would be right."""
    key = str(error["loc"][0]) if error["loc"] else ""
    where = word.where[key]
    if error["type"] == "extra_forbidden":
        return f"{where}: no setting is called {key!r}; {_near(key, NAMES)}"
    value = word.values[key]
    said = _said(where, key, value)
    if error["type"] == "literal_error":
        allowed = [each.strip("' ") for each in error["ctx"]["expected"].replace(" or ", ",").split(",")]
        return f"{said}: must be one of {', '.join(allowed)}{_meant(str(value), allowed)}"
    why = error["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    why = why.removeprefix("Input is not ").removesuffix(" for <class 'pathlib.Path'>")
    return f"{said}: {why if error['type'] == 'value_error' else f'must be {why}'}"


def _said(where: str, key: str, value: object) -> str:
    """A setting with its place; an argument is its own."""
    return f"{key}={value!r}" if where == f"{key}=" else f"{where}: {key} = {value!r}"


def _near(key: str, known: Iterable[str]) -> str:
    names = list(known)
    close = difflib.get_close_matches(key.lower().replace("-", "_"), names, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"there are {', '.join(names)}"


def _meant(value: str, allowed: Sequence[str]) -> str:
    close = difflib.get_close_matches(value.lower(), allowed, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def _notes(env: Mapping[str, str]) -> Iterable[str]:
    for name in strangers(env):
        key = name.removeprefix(PREFIX).lower()
        if close := difflib.get_close_matches(key, NAMES, n=1, cutoff=0.7):
            yield f"{name} is no setting and was ignored; did you mean {PREFIX}{close[0].upper()}?"


def _check_thresholds(resolved: Resolved) -> None:
    """Raises ``BadSettings`` where the target is not below the trigger, whoever has said the two."""
    trigger, target = resolved.values.trigger, resolved.values.target
    if trigger is None or target is None or (trigger < 1) != (target < 1) or target < trigger:
        return
    one, other = resolved.origins["target"], resolved.origins["trigger"]
    place = "" if other.where == "trigger=" else f" ({other.where})"
    raise BadSettings(f"{_said(one.where, 'target', target)}: must be below the trigger, which is {trigger}{place}")

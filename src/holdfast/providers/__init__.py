"""Client hooks: one file for each SDK, none of which is imported before it is used; and what may be said to them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypedDict

from holdfast.blocks import Block
from holdfast.calls.call_settings import CallSettings
from holdfast.calls.calls import Calls
from holdfast.calls.hooks import Hooks
from holdfast.calls.recorder import Recorder
from holdfast.calls.values import Flow, Request
from holdfast.errors import HoldfastError, InputError, RecordError, StoreError
from holdfast.store import Store
from holdfast.strategy import Strategy

if TYPE_CHECKING:
    from holdfast.settings import Resolved, Surroundings


class Flows(Protocol):
    """Who decides what is sent: a flow for every attempt of a call."""

    def flow(self, request: Request, /) -> Flow:
        """The flow of one attempt."""


class Wishes(TypedDict, total=False):
    """What ``wrap`` and ``Middleware`` may be told: a field of ``CallSettings``, which says what each does, or one of the first two.

    ``store``: a path or a store for what left the prompt. ``record``: a path to append requests and answers to, or a recorder.
    ``None`` says nothing; ``False`` takes back what a file or the environment has said, where there is no other way to say so.
    """

    store: Store | str | Path | Literal[False] | None
    record: Recorder | str | Path | Literal[False] | None
    strategy: str | Strategy
    trigger: float | str | None
    target: float | str | None
    mode: Literal["compact", "observe"]
    on_error: Literal["pass", "raise"]
    ttl: Literal["5m", "1h"]
    keep_tail_tokens: int
    marks: Literal["caller", "holdfast", "off"]
    summaries: Literal["model", "provider", "off"]
    summary_model: str | Literal[False] | None
    ask_timeout: float
    background: bool
    threads: Literal["stand_down", "unthread"]
    remind: str | Callable[[], str] | Literal[False] | None
    volatile: tuple[str, ...]
    pins: Callable[[Block], bool] | None
    lineages: int
    cache_keys: bool
    stream_usage: bool | None
    counter: Literal["sampled", "full"]
    hooks: Hooks
    telemetry: bool
    clock: Callable[[], float] | None


_FORMS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "strategy": (lambda given: isinstance(given, Strategy) and not isinstance(given, type), "a name or an object with name and plan"),
    "store": (lambda given: hasattr(given, "put") and hasattr(given, "get"), "a path or a store"),
    "record": (lambda given: isinstance(given, Recorder), "a path or a Recorder"),
    "remind": (callable, "a text or a function that gives one"),
    "pins": (callable, "a function that is given a block"),
    "clock": (callable, "a function that gives POSIX seconds"),
    "hooks": (lambda given: isinstance(given, Hooks), "holdfast.Hooks(on_plan=..., ...)"),
}
"""What cannot stand in a file: how it is known, and in words."""

_CODE_ONLY = frozenset(("pins", "clock", "hooks"))
_FIELDS = tuple(each.name for each in fields(CallSettings))


def known(wishes: Mapping[str, object]) -> None:
    """Raises ``TypeError`` for a name that is none, with the nearest one."""
    for name in wishes:
        if name not in Wishes.__annotations__:
            near = get_close_matches(name.lower(), Wishes.__annotations__, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(Wishes.__annotations__)}"
            raise TypeError(f"Holdfast has no setting {name!r}; {hint}")


def calls_for(wishes: Wishes, around: Surroundings | None = None) -> Calls:
    """Calls that work as wished, and, where nothing is wished, as files and the environment say (``docs/settings.md``).

    A policy wins over everything, which is logged. ``around``: where files and the environment are looked for.

    Raises ``TypeError`` on a name that is none, ``BadSettings`` for a value that cannot be, whoever has said it, ``InputError`` for an
    object that is none of what is asked for, ``StoreError`` and ``RecordError`` for files that cannot be opened.
    """
    from holdfast.settings import resolve  # pydantic-settings, which `import holdfast` does not pay for

    known(wishes)
    said: dict[str, Any] = {name: value for name, value in wishes.items() if value is not None}
    objects = {name: value for name, value in said.items() if not _is_plain(name, value)}
    for name, value in objects.items():
        is_right, what = _FORMS[name]
        if not is_right(value):
            raise InputError(f"{name}={value!r}: must be {what}")
    found = resolve({name: value for name, value in said.items() if name not in objects}, around)
    objects = {name: value for name, value in objects.items() if name in _CODE_ONLY or not found.pinned(name)}
    values: dict[str, Any] = {name: getattr(found.values, name) for name in (*_FIELDS, "store", "record") if name not in _CODE_ONLY}
    values |= objects
    store, record = values.pop("store"), values.pop("record")
    for name, path, kind in (("store", store, StoreError), ("record", record, RecordError)):
        if isinstance(path, Path):
            _check_folder(name, path, kind)
    if isinstance(record, Path):
        record = Recorder(record, max_bytes=found.values.record_max_bytes, keep=found.values.record_keep)
    calls = Calls(CallSettings(**values), store=store, record=record)
    for note in (*_overruled(said, found), *found.notes):
        calls.say_once(note)
    return calls


def _is_plain(name: str, value: object) -> bool:
    """Whether it could stand in a file."""
    if name in _CODE_ONLY:
        return False
    return name not in _FORMS or isinstance(value, str | Path | bool | int | float)


def _check_folder(name: str, path: Path, kind: type[HoldfastError]) -> None:
    """Raises ``kind`` for a file that could not be made, before a request comes of it."""
    folder = path.expanduser().absolute().parent
    if path.is_dir():
        raise kind(f"{name}={str(path)!r}: this is a folder; name a file in it")
    if not folder.is_dir():
        raise kind(f"{name}={str(path)!r}: there is no folder {folder}; make it first")
    if not path.exists() and not os.access(folder, os.W_OK):
        raise kind(f"{name}={str(path)!r}: no file can be made in {folder}")


def _overruled(said: Mapping[str, object], found: Resolved) -> list[str]:
    """What the program has said in vain."""
    pinned = [name for name in said if name not in _CODE_ONLY and found.pinned(name)]
    return [f"{name} is decided by the policy in {found.origins[name].where}: what the program says is not used" for name in pinned]

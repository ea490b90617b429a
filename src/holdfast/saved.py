"""A lineage as it is kept in a store, so that another process or replica can take it up where it was left."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from math import isnan
from typing import TypeVar, get_args, get_type_hints

from holdfast.edits import Clear, Drop, Edit, Fold, Insert, Plan
from holdfast.errors import StoreError
from holdfast.frozen import Json
from holdfast.ledger import Committed, Ledger, LedgerEntry, Withdrawn
from holdfast.transcript import Dialect

FORMAT = 1
"""The newest form of a saved lineage that this version reads, and the one it writes."""

EDITS: Mapping[str, type[Edit]] = {"clear": Clear, "fold": Fold, "drop": Drop, "insert": Insert}
"""Every kind of edit by the name it is written under. Their fields are texts, whole numbers and flags."""

_PLAIN: Mapping[str, type] = {
    **dict.fromkeys(("root", "model", "lineage", "head"), str),
    **dict.fromkeys(("messages", "sent_length", "rearmed_at", "turns", "version", "head_blocks"), int),
    "drops_thinking": bool,
}
_FIELDS = {kind: get_type_hints(kind) for kind in EDITS.values()}
_LATER = ("wire",)
"""Fields of edits that came after the format: they are written only where they say something."""

_NAMES = {kind: name for name, kind in EDITS.items()}
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Saved:
    """What it takes to send the next request of a lineage with the same bytes as if nothing had happened.

    ``root`` names the caller's history up to and with its first ``messages`` messages. ``ledger`` is what was committed by then;
    ``listed`` are positions in the caller's prompt whose bare string went out as a list of one text. ``warm`` are chain lengths at which
    a cache entry is believed alive until ``warm_until`` (POSIX seconds). ``sent_length`` is the chain length of the last request,
    ``rearmed_at`` the prompt's tokens when the schedule was last armed, ``turns`` how many requests there were.
    ``lineage`` is an id made by whoever saves, ``version`` counts the saves of it, from 1. ``drops_thinking``: the API was asked to drop
    thinking whose prefix has changed, which is asked for ever after. ``model`` was asked, behind a head of that name and so many blocks:
    what was warm is so for these only. ``dropped`` as in ``Line``.
    """

    root: str
    messages: int
    ledger: Ledger
    listed: tuple[int, ...]
    warm: tuple[int, ...]
    warm_until: float
    sent_length: int
    rearmed_at: int
    turns: int
    model: str
    dialect: Dialect
    version: int
    lineage: str
    drops_thinking: bool = False
    head: str = ""
    head_blocks: int = 0
    dropped: tuple[int, ...] = ()

    def follows(self, expected: int) -> None:
        """Raises ``StoreError`` where this is not the version that comes after ``expected``."""
        if expected < 0 or self.version != expected + 1:
            raise StoreError(f"version {self.version} of lineage {self.lineage} does not follow {expected}")

    def to_json(self) -> str:
        """All of it as one JSON text, ASCII only; ``from_json`` gives an equal value back."""
        return json.dumps(self.document(), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | bytes) -> Saved:
        """What ``to_json`` wrote. Raises ``StoreError`` where it is damaged or of a newer format; nothing is ever guessed."""
        try:
            document = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise StoreError(f"a saved lineage cannot be read: {error}") from error
        return cls.from_document(document)

    def document(self) -> dict[str, Json]:
        """All of it as a JSON object."""
        plain = {field.name: getattr(self, field.name) for field in fields(self)}
        until = self.warm_until
        written = {
            "ledger": ledger_document(self.ledger),
            "listed": list(self.listed),
            "warm": list(self.warm),
            "dropped": list(self.dropped),
            "warm_until": float(until) if abs(until) < float("inf") else str(until),
        }
        return {"format": FORMAT, **plain, **written}

    @classmethod
    def from_document(cls, document: Json) -> Saved:
        """What ``document`` gave. Raises ``StoreError`` like ``from_json``."""
        given = _typed(document, dict, "a saved lineage")
        _known_format(given)
        _exactly(given, {"format", *(field.name for field in fields(cls))}, "a saved lineage")
        if given["dialect"] not in get_args(Dialect):
            raise StoreError(f"a saved lineage has no dialect that is known: {given['dialect']!r}")
        read: dict[str, Json] = {name: _typed(given[name], kind, name) for name, kind in _PLAIN.items()}
        read |= {name: _numbers(given[name], name) for name in ("listed", "warm", "dropped")}
        return cls(ledger=ledger_of(given["ledger"]), warm_until=_seconds(given["warm_until"]), dialect=given["dialect"], **read)


def ledger_document(ledger: Ledger) -> list[Json]:
    """A ledger as JSON, entry by entry."""
    return [
        {"withdraw": entry.number}
        if isinstance(entry, Withdrawn)
        else {
            "commit": entry.number,
            "strategy": entry.plan.strategy,
            "why": entry.plan.why,
            "edits": [_edit_document(edit) for edit in entry.plan.edits],
        }
        for entry in _shortened(ledger)
    ]


_AGAIN = "\x00again"
"""Stands for the text of the insert before, so that a reminder that is said at each turn is not written at each."""


def _shortened(ledger: Ledger) -> list[LedgerEntry]:
    """The entries with every insert that says what the one before said marked as such."""
    entries, said = list[LedgerEntry](), ""
    for entry in ledger.entries:
        if isinstance(entry, Committed) and len(entry.plan.edits) == 1 and isinstance(insert := entry.plan.edits[0], Insert):
            if insert.text and insert.text == said:
                entry = replace(entry, plan=replace(entry.plan, edits=(replace(insert, text=_AGAIN),)))
            said = insert.text
        entries.append(entry)
    return entries


def _spelt(entries: list[LedgerEntry]) -> tuple[LedgerEntry, ...]:
    """The same with every text in its place. Raises ``StoreError`` where there was none to repeat."""
    whole, said = list[LedgerEntry](), ""
    for entry in entries:
        if isinstance(entry, Committed) and len(entry.plan.edits) == 1 and isinstance(insert := entry.plan.edits[0], Insert):
            if insert.text == _AGAIN:
                if not said:
                    raise StoreError("a ledger repeats an insert that is not there")
                entry = replace(entry, plan=replace(entry.plan, edits=(replace(insert, text=said),)))
            else:
                said = insert.text
        whole.append(entry)
    return tuple(whole)


def ledger_of(document: Json) -> Ledger:
    """What ``ledger_document`` gave. Raises ``StoreError`` where it is damaged."""
    entries: list[LedgerEntry] = []
    for place, raw in enumerate(_typed(document, list, "a ledger")):
        entry = _entry(_typed(raw, dict, "an entry of a ledger"))
        fits = entry.number == place if isinstance(entry, Committed) else entry.number < place
        if not fits or (isinstance(entry, Withdrawn) and not isinstance(entries[entry.number], Committed)):
            raise StoreError(f"entry {place} of a ledger has number {entry.number}, which cannot be")
        entries.append(entry)
    return Ledger(_spelt(entries))


def _entry(raw: Mapping[str, Json]) -> LedgerEntry:
    if "withdraw" in raw:
        _exactly(raw, {"withdraw"}, "a withdrawal")
        return Withdrawn(_count(raw["withdraw"], "withdraw"))
    _exactly(raw, {"commit", "strategy", "why", "edits"}, "a commit")
    edits = tuple(map(_edit, _typed(raw["edits"], list, "edits")))
    plan = Plan(_typed(raw["strategy"], str, "strategy"), edits, _typed(raw["why"], str, "why"))
    return Committed(_count(raw["commit"], "commit"), plan)


def _edit_document(edit: Edit) -> dict[str, Json]:
    told = {name: getattr(edit, name) for name in _FIELDS[type(edit)]}
    return {"edit": _NAMES[type(edit)], **{name: value for name, value in told.items() if name not in _LATER or value}}


def _edit(raw: Json) -> Edit:
    given = _typed(raw, dict, "an edit")
    kind = EDITS.get(_typed(given.get("edit"), str, "the kind of an edit"))
    if kind is None:
        raise StoreError(f"no edit is known as {given['edit']!r}")
    wanted = {name: type_ for name, type_ in _FIELDS[kind].items() if name not in _LATER or name in given}
    _exactly(given, {"edit", *wanted}, "an edit")
    return kind(**{name: _typed(given[name], type_, f"{name} of an edit") for name, type_ in wanted.items()})


def _known_format(given: Mapping[str, Json]) -> None:
    number = _typed(given.get("format"), int, "the format of a saved lineage")
    if number > FORMAT:
        raise StoreError(f"a saved lineage was written by a newer Holdfast: format {number}, this one reads {FORMAT}")
    if number < 1:
        raise StoreError(f"a saved lineage has format {number}, which never was")


def _exactly(given: Mapping[str, Json], wanted: set[str], what: str) -> None:
    if given.keys() != wanted:
        raise StoreError(f"{what} has the fields {', '.join(sorted(given))}, not {', '.join(sorted(wanted))}")


def _typed(value: Json, kind: type[T], what: str) -> T:
    """The value, if it is of this very type: ``True`` is no number."""
    if type(value) is not kind:
        raise StoreError(f"{what} is {type(value).__name__}, not {kind.__name__}")
    return value


def _count(value: Json, what: str) -> int:
    number = _typed(value, int, what)
    if number < 0:
        raise StoreError(f"{what} is {number}")
    return number


def _numbers(value: Json, what: str) -> tuple[int, ...]:
    return tuple(_typed(number, int, what) for number in _typed(value, list, what))


def _seconds(value: Json) -> float:
    if value in ("inf", "-inf"):
        return float(value)
    seconds = _typed(value, float, "warm_until")
    if isnan(seconds) or abs(seconds) == float("inf"):
        raise StoreError(f"warm_until is {seconds}")
    return seconds

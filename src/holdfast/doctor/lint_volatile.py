"""Volatile content in the blocks that should stay as they are from one request to the next."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from holdfast.blocks import Kind, Role
from holdfast.doctor.lint_advice import Advice, Severity
from holdfast.doctor.lint_forms import Item, strings
from holdfast.doctor.lint_patterns import Sighting, sightings
from holdfast.doctor.lint_sheet import Sheet

_SCHEMA_SAMPLES = frozenset({"example", "examples", "enum", "const", "default", "pattern", "format", "type", "cache_control", "cachePoint"})
"""Under these keys of a tool's schema a date or an id is a constant of the interface."""

_NOUNS = {
    "volatile_timestamp": "a time stamp",
    "volatile_clock": "a time of day",
    "volatile_date": "a date",
    "volatile_epoch": "what looks like a Unix time",
    "volatile_uuid": "a UUID",
    "volatile_ulid": "a ULID",
    "volatile_id": "an id that looks drawn at random",
    "volatile_counter": "a counter",
    "volatile_remaining": "an amount that is used up as the session goes",
    "volatile_temp_path": "a temporary folder's name",
    "volatile_port": "a port that the system hands out",
    "volatile_pid": "a process id",
}
_CLOCKS = ("volatile_timestamp", "volatile_clock", "volatile_epoch")
_IDS = ("volatile_uuid", "volatile_ulid", "volatile_id", "volatile_port", "volatile_pid", "volatile_temp_path")

_INSERTED = 2000
"""Characters of the longest text that is taken for one that a program inserts."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A sighting with the item, path and text that it stands in."""

    index: int
    path: str
    text: str
    sighting: Sighting

    @property
    def where(self) -> str:
        """The place as it is shown."""
        return f"{self.path} characters {self.sighting.start}-{self.sighting.stop}"

    @property
    def shown(self) -> str:
        """What was found; of an id only its beginning, as it may be a secret."""
        found = self.text[self.sighting.start : self.sighting.stop]
        cut = 8 if self.sighting.code in ("volatile_id", "volatile_uuid", "volatile_ulid") else 40
        return found if len(found) <= cut else f"{found[:cut]}…"


def volatile(sheet: Sheet) -> Iterator[Advice]:
    """Clocks, dates, ids and counters before the newest turn: one advice for each kind and block."""
    for group in [*_in_head(sheet), *_in_history(sheet)]:
        yield _advice(sheet, group)


def worst_in_head(sheet: Sheet) -> Seen | None:
    """The first likely volatile content of tools or system: whatever is marked behind it cannot be read again."""
    likely = (seen for group in _in_head(sheet) for seen in group if seen.sighting.severity is not Severity.POSSIBLE)
    return min(likely, key=lambda seen: (seen.index, seen.sighting.start), default=None)


def _texts(item: Item) -> Iterator[tuple[str, str]]:
    """The texts of an item that are looked through, with their paths."""
    if item.block.kind is Kind.TOOL:
        yield from strings(item.raw, item.path, _SCHEMA_SAMPLES)
    elif item.block.text:
        yield item.path, item.block.text


def _seen(index: int, item: Item) -> Iterator[Seen]:
    for path, text in _texts(item):
        for sighting in sightings(text, item.block.kind is Kind.TOOL):
            yield Seen(index, path, text, sighting)


def _grouped(seen: Iterable[Seen]) -> list[list[Seen]]:
    """By kind, the surest and then the earliest first."""
    groups: dict[str, list[Seen]] = {}
    for one in seen:
        groups.setdefault(one.sighting.code, []).append(one)
    return [sorted(group, key=lambda one: (one.sighting.severity.rank, one.index, one.sighting.start)) for group in groups.values()]


def _in_head(sheet: Sheet) -> list[list[Seen]]:
    return [group for index, item in enumerate(sheet.items) if item.in_head for group in _grouped(_seen(index, item))]


def _in_history(sheet: Sheet) -> list[list[Seen]]:
    """What users' texts before the newest turn say of the moment.

    Not where several messages say it: they were kept as they were sent, or only one of them would. Behind the first user message only
    short texts are looked at, as programs insert them: in long ones users have pasted clocks and ids of their own.
    """
    texts = [
        (index, item)
        for index, item in enumerate(sheet.items[: sheet.newest])
        if not item.in_head and item.block.role is not Role.ASSISTANT and item.block.kind is Kind.TEXT
    ]
    first = texts[0][1].message if texts else 0
    looked_at = ((index, item) for index, item in texts if item.message == first or len(item.block.text) <= _INSERTED)
    seen = [one for index, item in looked_at for one in _seen(index, item) if _is_state(one.sighting, item.message == first)]
    return [group for group in _grouped(seen) if len({sheet.items[one.index].message for one in group}) == 1]


def _is_state(sighting: Sighting, first: bool) -> bool:
    """Whether it is a program's word on the present: users count steps in what they ask, and name ids in what they paste."""
    if sighting.code == "volatile_counter":
        return sighting.severity is Severity.LIKELY
    return sighting.live and (first or sighting.code not in _IDS)


def _advice(sheet: Sheet, group: list[Seen]) -> Advice:
    first = group[0]
    item, code = sheet.items[first.index], first.sighting.code
    more = f" (and {len(group) - 1} more)" if len(group) > 1 else ""
    place = "the tools" if item.block.kind is Kind.TOOL else "the system prompt" if item.in_head else "an earlier message"
    return Advice(
        code=code,
        where=first.where,
        what=f"{_NOUNS[code]}, {first.shown!r}{more}, stands in {place}: if it {_change(code)}, nothing from there on is read "
        "from the cache.",
        fix=_fix(code, item.in_head),
        severity=first.sighting.severity if item.in_head else Severity.POSSIBLE,
        tokens=_behind(sheet, first),
    )


def _change(code: str) -> str:
    if code == "volatile_date":
        return "changes every day"
    return "differs from one request or run to the next" if code in _IDS else "changes with each request"


def _behind(sheet: Sheet, seen: Seen) -> int:
    """The estimated tokens from there up to the newest turn."""
    item = sheet.items[seen.index]
    total = max(sheet.reusable, sheet.upto(sheet.head))
    into = seen.sighting.start / len(seen.text) * item.block.tokens if seen.path == item.path and seen.text else 0
    return max(0, round(total - sheet.upto(seen.index) - into))


def _fix(code: str, in_head: bool) -> str:
    if not in_head:
        return "Send earlier messages exactly as they were sent first; put what is new into the newest message only."
    if code == "volatile_date":
        return "Take the date once when the session begins and keep it, or state it in the newest user message."
    if code in _CLOCKS:
        return "State the time in the newest user message or offer it as a tool; a date alone in the system prompt costs one miss a day."
    if code in _IDS:
        return "Leave it out, give it by way of a tool or an environment variable, or state it in the newest user message."
    return "State it at the end of the newest message, or leave it out."

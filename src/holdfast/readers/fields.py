"""What several formats write alike: times, money, and a conversation's line of growth while it is being read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from math import isfinite
from typing import Any

from holdfast.blocks import Block, Mark, Message, Prompt, Settings, Window
from holdfast.errors import Unreadable
from holdfast.frozen import Json
from holdfast.readers.faults import usage_of as usage_of
from holdfast.transcript import Skipped, Transcript

_UNITS = ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3))
"""From which number on a time is in nanoseconds, microseconds, milliseconds: in seconds it would lie beyond the year 5138."""
_LATEST = 253_370_764_800.0
"""The year 9999; no calendar of Python's goes beyond."""


def seconds(value: Json) -> float | None:
    """POSIX seconds of an ISO-8601 time (UTC where it names no zone) or of a number of seconds, milli-, micro- or nanoseconds.

    ``None`` for what is no time, lies before 1970 or beyond the year 9998.
    """
    if isinstance(value, bool):
        return None
    try:
        found = _number(value) if isinstance(value, int | float) else _moment(value) if isinstance(value, str) else None
    except (ValueError, OverflowError):
        return None
    return found if found is not None and 0 <= found < _LATEST else None


def _number(value: float) -> float:
    return next((value / unit for least, unit in _UNITS if value > least), float(value))


def _moment(value: str) -> float:
    moment = datetime.fromisoformat(value)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def dollars(value: Json) -> Decimal | None:
    """An amount as its JSON text has it: the shortest decimal that gives this number, which is what writers of JSON write."""
    return Decimal(repr(value)) if isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value) else None


@dataclass(slots=True)
class Notes:
    """What of a file is not used. Its ``skip`` raises ``Unreadable`` where ``strict``."""

    path: str
    strict: bool = False
    skipped: list[Skipped] = field(default_factory=list)

    def skip(self, line: int, why: str) -> None:
        """Something at this line (or, in a document, at this place among its messages) cannot be used."""
        if self.strict:
            raise Unreadable(self.path, why, line)
        self.skipped.append(Skipped(self.path, line, why))

    def on(self, found: list[Transcript]) -> list[Transcript]:
        """The transcripts of the file, the first with what was skipped. Raises ``Unreadable`` if there are none."""
        if not found:
            raise Unreadable(
                self.path, f"nothing in it can be used: {self.skipped[0].why}" if self.skipped else "there is no conversation in it"
            )
        return [replace(found[0], skipped=tuple(self.skipped)), *found[1:]]


@dataclass(slots=True)
class Lineage:
    """One line of growth: its messages are only ever appended to, and its prompts are windows on them."""

    name: str
    head: tuple[Block, ...] = ()
    log: list[Message] = field(default_factory=list)

    def prompt(self, settings: Settings, stop: int, marks: tuple[Mark, ...] = ()) -> Prompt:
        """The prompt of the first ``stop`` messages."""
        return Prompt(settings, self.head, Window(self.log, stop), marks)

    def fork(self, name: str, stop: int) -> Lineage:
        """Another line of growth that shares the head and the first ``stop`` messages."""
        return Lineage(name, self.head, self.log[:stop])


def text_of(raw: Mapping[str, Any], *names: str) -> str:
    """The first of these fields that holds a text, ``""`` if none does."""
    return next((value for name in names if isinstance(value := raw.get(name), str)), "")


def times(count: int) -> str:
    """How often, in words."""
    return "once" if count == 1 else f"{count} times"

"""What a run left out or has to say of its input, in sentences: sessions, files, lines, notes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from holdfast.report.figures import plural
from holdfast.transcript import Skipped

NAMED = 3
"""How many places are named for each reason something was left out; ``--json`` has them all."""
KINDS = 6
"""How many kinds of note are told."""

_NUMBER = re.compile(r"(?<![\w.])\d[\d,]*\b(?!\.\d)")
_TIMES = re.compile(r"^([\d,]+) x ")
_ONE = re.compile(r"(?<![\d.,])1 (\N{MULTIPLICATION SIGN} )?(request|call|bill)s (without|that)\b")
_PLACED = re.compile(r"^request \d")
"""A note on one request: its number is a name, and names do not add up."""


class Seen(Protocol):
    """A session or file as a run saw it. ``skipped`` says why nothing came of it, where so."""

    @property
    def path(self) -> str:
        """The file it stands in."""

    @property
    def format(self) -> str:
        """The format's name, empty where no reader knows it."""

    @property
    def skipped(self) -> str | None:
        """Why it gave nothing."""


def left_out(sessions: Iterable[Seen], lines: Iterable[Skipped] = ()) -> Iterator[str]:
    """How many sessions, files and lines were left out and why, the most first, with some of their places."""
    skipped = [each for each in sessions if each.skipped]
    yield from _grouped("Left out", "session", ((_why(each), each.path) for each in skipped if each.format))
    yield from _grouped("Left out", "file", ((_why(each), each.path) for each in skipped if not each.format))
    yield from _grouped("Skipped", "line", ((each.why, f"{each.path}:{each.line}" if each.line else each.path) for each in lines))


def in_full(sessions: Iterable[Seen]) -> Iterator[str]:
    """Why each session or file gave nothing, with what was looked at; what is said of several sessions of one file is said once."""
    said = Counter(_full(each) for each in sessions if each.skipped)
    for why, count in said.items():
        yield f"{why} ({plural(count, 'session')})" if count > 1 else why


def _full(seen: Seen) -> str:
    why = seen.skipped or ""
    return why if why.startswith(seen.path) else f"{seen.path}: {why}"


def _why(seen: Seen) -> str:
    """The reason without what only one file can say: its path and its first bytes."""
    return (seen.skipped or "").removeprefix(f"{seen.path}: ").split(" (")[0].rstrip(".")


def _grouped(verb: str, noun: str, places: Iterable[tuple[str, str]]) -> Iterator[str]:
    reasons: dict[str, list[str]] = {}
    for why, place in places:
        reasons.setdefault(why, []).append(place)
    for why, found in sorted(reasons.items(), key=lambda item: (-len(item[1]), item[0])):
        named = list(dict.fromkeys(found))
        more = f" and {len(named) - NAMED:,} more" if len(named) > NAMED else ""
        files = f" of {plural(len(named), 'file')}" if len(named) < len(found) else ""
        yield f"{verb} {plural(len(found), noun)}{files}: {why} ({', '.join(named[:NAMED])}{more})."


def notes(told: Sequence[tuple[str, Iterable[str]]]) -> Iterator[str]:
    """What there is to say of each session (a name and its notes), most frequent first.

    Notes that differ only in their numbers are one, with the sums, but for those on single requests.
    """
    sums: dict[tuple[str, ...], list[int]] = {}
    sessions: dict[tuple[str, ...], list[str]] = {}
    for name, note in ((name, note) for name, each in told for note in each):
        form, numbers = _form(note)
        sums[form] = [one + other for one, other in zip(sums.get(form, [0] * len(numbers)), numbers, strict=True)]
        sessions.setdefault(form, []).append(name)
    ordered = sorted(sessions.items(), key=lambda item: -len(item[1]))
    for form, names in ordered[:KINDS]:
        said = form[0] + "".join(f"{number:,}{text}" for number, text in zip(sums[form], form[1:], strict=True))
        said = _TIMES.sub("\\1 \N{MULTIPLICATION SIGN} ", said).rstrip(".")
        said = _ONE.sub(lambda one: f"1 {one[1] or ''}{one[2]} {one[3]}", said)
        yield f"{said[:1].upper()}{said[1:]}{_scope(names, len(told))}."
    if len(ordered) > KINDS:
        yield f"And {plural(len(ordered) - KINDS, 'other note')}; --json has them all."


def _form(note: str) -> tuple[tuple[str, ...], list[int]]:
    """A note around its numbers, and those of them that add up: how many times, else all, and none of a note on one request."""
    if times := _TIMES.match(note):
        return ("", note[times.end(1) :]), [int(times[1].replace(",", ""))]
    if _PLACED.match(note):
        return (note,), []
    return tuple(_NUMBER.split(note)), [int(number.replace(",", "")) for number in _NUMBER.findall(note)]


def _scope(names: Sequence[str], all_: int) -> str:
    """Of whom a note is: of one that is named, or of how many; of nobody in particular where there is but one."""
    if all_ == 1:
        return ""
    return f" ({names[0]})" if len(names) == 1 else f" ({plural(len(names), 'session')})"

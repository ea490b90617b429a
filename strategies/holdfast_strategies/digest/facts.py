"""Facts: whole lines, as they first stood, around the names that the assistant kept using.

A bare list of names would say nothing about them; a line of code, of a listing or of an error does.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from sys import getsizeof
from threading import Lock

from holdfast.blocks import Block, Kind, Role
from holdfast_strategies.digest.session import Session
from holdfast_strategies.kept import Kept
from holdfast_strategies.words import clipped, is_chatter

TITLE = "## Lines worth knowing, as they first stood (files may have changed since)"

_ATOM = re.compile(r"[A-Za-z0-9_~/@#.$-]{4,80}")
_EDGES = "./-@$#~"
_NAMELIKE = re.compile(r"[a-z][A-Z]|_|\d|[^/.]/|\w\.\w|-\w+-|[A-Z]{2}")
_NUMBERED = re.compile(r"^\s*(\d+)→\s?")
_DEFINED = re.compile(
    r"\b(?:func(?: \([^)\n]{1,60}\))?|function|def|class|type|interface|const|fn|struct|enum|trait) ([A-Za-z_][A-Za-z0-9_]{3,60})"
)
_CHARACTERS = 4_000  # of one text or input: its beginning names what it is about
_NAMES = 500
_LINE = 170
_PLACE = 60  # characters that a line costs beside its own: lines are ranked by what their names matter for what they cost


class Facts:
    """The lines of one session on which the most used names first stood, the weightiest first."""

    def __init__(self, session: Session) -> None:
        self.session = session

    @cached_property
    def ranked(self) -> list[tuple[int, str]]:
        """Block and line of each."""
        weights = _used(self.session)
        value: dict[tuple[int, str], int] = {}
        with _growing:
            places = _places_of(self.session)
            for name in sorted(weights, key=lambda name: (-weights[name], name))[:_NAMES]:
                found = places.first(name, self.session.stop)
                if found and _worth(self.session, *found):
                    value[found] = value.get(found, 0) + weights[name]
        return sorted(value, key=lambda found: (-value[found] / (len(found[1]) + _PLACE), found))

    def text(self, so_far: str, budget_tokens: int, count: Callable[[str], int], span: tuple[int, int] | None = None) -> str:
        """As many of the lines as fit, under the file or command they come from; ``""`` if none does.

        Lines that ``so_far`` holds are left out, and with a ``span`` those that do not come from its blocks.
        """
        left = budget_tokens - 2
        chosen: dict[str, list[tuple[int, int, str]]] = {}
        for order, (index, line) in enumerate(self.ranked):
            if line.strip("…") in so_far or (span and not span[0] <= index < span[1]):
                continue
            text = f"  {self.session.brief(line)}"
            origin = _origin(self.session, index)
            cost = count(text) + 1 + (0 if origin in chosen else count(origin) + 2)
            if cost > left:
                break
            left -= cost
            chosen.setdefault(origin, []).append((index, order, text))
        groups = sorted(chosen.items(), key=lambda group: min(group[1]))
        return "\n".join(f"{origin}:\n" + "\n".join(_by_number(lines)) for origin, lines in groups)


def _by_number(lines: list[tuple[int, int, str]]) -> list[str]:
    """Lines of one origin by their place in the session and their own numbers."""

    def place(line: tuple[int, int, str]) -> tuple[int, int, int]:
        number = re.match(r"\s*(\d+)[:\-]", line[2])
        return line[0], int(number[1]) if number else 0, line[1]

    return [line[2] for line in sorted(lines, key=place)]


def _worth(session: Session, index: int, line: str) -> bool:
    """Whether a line says more than a name: it has several words and is not the assistant thinking aloud."""
    return len(line.split()) > 1 and not (session.source[index].role is Role.ASSISTANT and is_chatter(line))


def _origin(session: Session, index: int) -> str:
    act = session.by_result.get(index)
    if act is None:
        return "the user" if session.source[index].role is Role.USER else "the assistant"
    return session.brief(act.paths[0]) if act.verb == "read" and act.paths else clipped(session.brief(act.named(200)), 90)


def _used(session: Session) -> Counter[str]:
    """How much each name matters: in how many of the assistant's texts and inputs it stands, newer ones counting up to threefold.

    What a result defines (a function, a type) counts too, a third as much: who has read a definition may use it soon.
    """
    weights: Counter[str] = Counter()
    for index in range(session.stop):
        block = session.source[index]
        if block.role is Role.ASSISTANT and block.kind in (Kind.TEXT, Kind.TOOL_USE):
            for name in _named_in(block):
                weights[name] += 10 + 20 * index // session.stop
        elif block.kind is Kind.TOOL_RESULT:
            for name in _defined_in(block):
                weights[name] += 3 + 7 * index // session.stop
    return weights


def _weight(found: frozenset[str]) -> int:
    return 300 + sum(map(len, found)) + 50 * len(found)


_definitions: Kept[frozenset[str]] = Kept(1_000_000, _weight)  # by fingerprint: each digest reads all results again
_names: Kept[frozenset[str]] = Kept(3_000_000, _weight)


def _defined_in(block: Block) -> frozenset[str]:
    """The names that a result defines."""
    if not block.fingerprint:
        return frozenset(_DEFINED.findall(block.text))
    return _definitions.get(block.fingerprint, lambda: frozenset(_DEFINED.findall(block.text)))


def _named_in(block: Block) -> frozenset[str]:
    """The names with which the assistant's text or input begins."""
    if not block.fingerprint:
        return names(block.text[:_CHARACTERS])
    return _names.get(block.fingerprint, lambda: names(block.text[:_CHARACTERS]))


def names(text: str) -> frozenset[str]:
    """What looks like a name, a path, an id or a number in a text."""
    return frozenset(name for name in map(_name, set(_ATOM.findall(text))) if name)


@lru_cache(maxsize=1 << 14)
def _name(word: str) -> str:
    """The word without what only surrounds it, if it looks like a name that was made and not like prose."""
    name = word.strip(_EDGES)
    return name if len(name) >= 4 and _NAMELIKE.search(name) else ""


class _Places:
    """Finds the line on which a name first stood. It grows with its history: what was found once stays the first place."""

    def __init__(self) -> None:
        self.prints: list[bytes] = []
        self.kinds: list[Kind] = []
        self.offsets: list[int] = []
        self.text = ""
        self._known: dict[str, int] = {}
        self._upto: dict[str, int] = {}

    def holds(self, prints: Sequence[bytes]) -> bool:
        """Whether one of the two histories begins with the other."""
        shared = min(len(prints), len(self.prints))
        return self.prints[:shared] == prints[:shared]

    def grow(self, source: Sequence[Block], prints: Sequence[bytes]) -> None:
        """Take in the blocks that are new."""
        parts, at = [self.text] if self.prints else [], len(self.text) + 1 if self.prints else 0
        for index in range(len(self.prints), len(prints)):
            block = source[index]
            text = block.text if block.kind in (Kind.TEXT, Kind.TOOL_RESULT, Kind.TOOL_USE) else ""
            self.offsets.append(at)
            self.kinds.append(block.kind)
            parts.append(text)
            at += len(text) + 1
        self.prints += prints[len(self.prints) :]
        self.text = "\n".join(parts)

    def first(self, name: str, stop: int) -> tuple[int, str] | None:
        """The block and the line, shortened around the name; ``None`` where it first stood in the input of a call, or behind ``stop``."""
        at = self._find(name)
        index = bisect_right(self.offsets, at) - 1
        if at < 0 or index >= stop or self.kinds[index] is Kind.TOOL_USE:
            return None
        begin = self.text.rfind("\n", 0, at) + 1
        end = self.text.find("\n", at)
        line = self.text[begin : end if end >= 0 else len(self.text)]
        return index, _around(line, at - begin, len(name))

    def _find(self, name: str) -> int:
        at = self._known.get(name)
        if at is None:
            at = self.text.find(name, self._upto.get(name, 0))
            if at >= 0:
                self._known[name] = at
            else:
                self._upto[name] = max(0, len(self.text) - len(name))
        return at


_recent: deque[_Places] = deque(maxlen=4)  # a session's text each
_BYTES = 6_000_000  # of text in all of them
_growing = Lock()  # held while places are looked up: another thread may grow the same ones


def _places_of(session: Session) -> _Places:
    """Where names stand in a history; one that was seen shorter is only read on."""
    prints = [block.fingerprint for block in session.source[: session.stop]]
    places = next((known for known in _recent if all(prints) and known.holds(prints)), None)
    if places is None:
        places = _Places()
        _recent.append(places)
    if len(places.prints) < len(prints):
        places.grow(session.source, prints)
    while _recent and sum(getsizeof(known.text) for known in _recent) > _BYTES:
        _recent.popleft()
    return places


def _around(line: str, at: int, length: int) -> str:
    """A line, numbered as it was; of a long one the part around the name."""
    if len(line) > _LINE:
        start = max(0, min(at - (_LINE - length) // 2, len(line) - _LINE))
        line = ("…" if start else "") + line[start : start + _LINE].strip() + ("…" if start + _LINE < len(line) else "")
    return _NUMBERED.sub(r"\1: ", line).strip()

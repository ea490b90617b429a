"""Judges the requests of one conversation in the order in which they were sent."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from holdfast.checker import relative
from holdfast.checker.alignment import first_difference
from holdfast.checker.grammar import HISTORY
from holdfast.checker.legality import Fault, faults
from holdfast.checker.lineage import Case, Past, Prefixes, case_of
from holdfast.checker.reading import Piece, Reader, Unreadable
from holdfast.checker.values import Announced, Dialect, Sent, Serialised, Violation


@dataclass(slots=True)
class Checker:
    """An independent judge of one lineage: it sees serialised bodies and shares no code with what made them.

    ``binds="prefix"``: the model signs thinking over the exact prefix before it (platform.claude.com, preserved
    thinking, 2026-09), so thinking behind an edit must be absent. ``keeps_user_text``: the strategy promises that no user
    message leaves. A history that is not the last one, grown, is taken for a fork of it.

    Rules of one request: ``shape``, ``pair``, ``orphan``, ``duplicate-id``, ``first-role``, ``empty``, ``input-type``, ``marks``,
    ``mark-place``, ``mark-order``. Against the caller's body: ``illegal-changed``, ``settings``, ``pinned``, ``user-text``, ``edited``,
    ``tool-id``, ``thinking``, ``thinking-bound``, ``form``, ``touched``. Against the request before: ``break``, ``early-break``.
    """

    dialect: Dialect
    binds: Literal["prefix"] | None = None
    keeps_user_text: bool = False
    requests: int = 0
    past: Past = field(default_factory=Past, repr=False)
    reader: Reader = field(default_factory=Reader, repr=False)
    _prefixes: Prefixes = field(default_factory=Prefixes, repr=False)
    _pairs: dict[tuple[bytes, bytes], list[Fault]] = field(default_factory=dict, repr=False)

    def fork(self) -> Checker:
        """A judge with the same past, for a branch of the conversation that goes on beside this one."""
        return replace(self)

    def sent(
        self,
        body: Serialised,
        original: Serialised,
        announced: Announced | None = None,
        *,
        answered: bool = True,
        pinned: Collection[int] = (),
    ) -> list[Violation]:
        """Judge the next request. ``pinned`` are ordinals of the caller's messages; for the rest see ``Sent``."""
        ordinal = self.requests
        self.requests += 1
        try:
            mine, theirs = self.reader.read(body, self.dialect), self.reader.read(original, self.dialect)
        except Unreadable as error:
            return [Violation("shape", ordinal, "", str(error))]
        if faults(theirs, self.dialect):
            illegal: list[Fault] = [] if mine.equals(theirs) else [("illegal-changed", "", "an illegal request did not go out as it came")]
            return violations(illegal, ordinal, self.dialect)
        case = case_of(self.past, mine, theirs, self.dialect)
        case.announced, case.pinned = announced, pinned
        if self.binds:
            self._prefixes.bind(case)
        found = self._judge(case)
        if answered:
            self.past = case.remember()
        return violations(found, ordinal, self.dialect)

    def _judge(self, case: Case) -> list[Fault]:
        body, original = case.body, case.original
        found = faults(body, self.dialect)
        found += relative.settings(body.head, original.head)
        found += relative.head(body.head, original.head)
        found += relative.pins(case)
        if self.keeps_user_text:
            found += relative.user_text(case)
        found += self._changed(case)
        if self.binds and not body.head.drops_unbound:
            why = "thinking that was made behind another prefix"
            found += (("thinking-bound", f"messages[{j}]", why) for j in self._prefixes.unbound(case))
        explained = {_stem(where) for _, where, _ in found}
        found += (fault for fault in self._unplanned(case) if _stem(fault[1]) not in explained)
        return found

    def _changed(self, case: Case) -> Iterator[Fault]:
        """Each message against the one of the caller's that it stands for."""
        ids: set[str] | None = None
        for j, piece in enumerate(case.body.messages):
            at = case.match[j]
            if at is None:
                ids = ids if ids is not None else {call for message in case.original.messages for call in message.calls}
                yield from relative.made_by_sender(j, piece, ids)
            elif piece.thinks and piece.bare != case.original.messages[at].bare:
                for rule, place, detail in self._pair(piece, case.original.messages[at], case.body.head.drops_unbound):
                    yield rule, f"messages[{j}]{place}", detail

    def _pair(self, piece: Piece, origin: Piece, drops_unbound: bool) -> list[Fault]:
        key = (piece.bare, origin.bare)
        if key not in self._pairs:
            self._pairs[key] = relative.pair(piece, origin, bool(self.binds) and not drops_unbound)
        return self._pairs[key]

    def _unplanned(self, case: Case) -> Iterator[Fault]:
        before = case.past.sent
        broken = first_difference(case.body, before, case.due) if before else None
        if case.announced is None:
            if broken:
                yield "break", broken[1], f"block {broken[0]} was sent otherwise before, and no plan was announced"
                return
            yield from relative.touched(case, bool(self.binds))
        elif broken and broken[0] < _earliest(case, case.announced):
            yield "early-break", broken[1], f"block {broken[0]} changed, announced was {case.announced.first_block}"
            return
        yield from relative.forms(case)


def _earliest(case: Case, announced: Announced) -> int:
    return len(case.body.head.parts) if announced.first_block is None else announced.first_block


def _stem(where: str) -> str:
    return where.partition("]")[0]


def violations(found: Sequence[Fault], request: int, dialect: Dialect) -> list[Violation]:
    """The faults of one request with its ordinal and the dialect's own name for the history."""
    key = HISTORY[dialect]
    return [
        Violation(rule, request, key + where.removeprefix("messages") if where.startswith("messages[") else where, detail)
        for rule, where, detail in found
    ]


def check_sequence(
    requests: Sequence[Sent],
    dialect: Dialect = "anthropic",
    *,
    binds: Literal["prefix"] | None = None,
    keeps_user_text: bool = False,
    pinned: Collection[int] = (),
) -> list[Violation]:
    """Every broken rule in the requests of one lineage, in the order in which they were sent."""
    checker = Checker(dialect, binds, keeps_user_text)
    found: list[Violation] = []
    for request in requests:
        found += checker.sent(request.body, request.original, request.announced, answered=request.answered, pinned=pinned)
    return found


def check_body(body: Serialised, dialect: Dialect = "anthropic") -> list[Violation]:
    """Every way in which one body is not a legal request."""
    try:
        return violations(faults(Reader().read(body, dialect), dialect), 0, dialect)
    except Unreadable as error:
        return [Violation("shape", 0, "", str(error))]

"""The ledger: every edit committed so far on one lineage. It only grows, and replaying it gives the same bytes for ever."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from holdfast.edits import Edit, Insert, Plan


@dataclass(frozen=True, slots=True)
class Committed:
    """A plan that was carried by a request which got a response."""

    number: int
    plan: Plan


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """The plan with this number no longer counts: the provider refused what it led to."""

    number: int


LedgerEntry: TypeAlias = Committed | Withdrawn


@dataclass(frozen=True, slots=True)
class Ledger:
    """An append-only record of plans and withdrawals; each change gives a new ledger."""

    entries: tuple[LedgerEntry, ...] = ()

    def commit(self, plan: Plan) -> Ledger:
        """The ledger with one more plan, under the next number."""
        return Ledger((*self.entries, Committed(len(self.entries), plan)))

    def withdraw(self, number: int) -> Ledger:
        """The ledger with the plan of this number taken back. Raises ``LookupError`` if there is none."""
        if not any(isinstance(entry, Committed) and entry.number == number for entry in self.entries):
            raise LookupError(f"no plan has number {number}")
        return Ledger((*self.entries, Withdrawn(number)))

    @property
    def plans(self) -> tuple[Plan, ...]:
        """The plans that count, oldest first."""
        withdrawn = {entry.number for entry in self.entries if isinstance(entry, Withdrawn)}
        return tuple(entry.plan for entry in self.entries if isinstance(entry, Committed) and entry.number not in withdrawn)

    @property
    def newest(self) -> int | None:
        """The number of the newest plan that counts and changes what the caller gave; ``None`` if there is none."""
        withdrawn = {entry.number for entry in self.entries if isinstance(entry, Withdrawn)}
        for entry in reversed(self.entries):
            if isinstance(entry, Committed) and entry.number not in withdrawn and not all(isinstance(e, Insert) for e in entry.plan.edits):
                return entry.number
        return None

    @property
    def edits(self) -> tuple[Edit, ...]:
        """The edits that count, in order of place: a later edit takes the place of those that lie within it."""
        return merge(edit for plan in self.plans for edit in plan.edits)

    def inherited(self, length: int) -> Ledger:
        """What a fork that shares the first ``length`` blocks takes over: the edits that lie wholly in them."""
        shared = tuple(edit for edit in self.edits if edit.stop <= length)
        return Ledger().extended(shared)

    def extended(self, edits: Iterable[Edit]) -> Ledger:
        """The ledger with edits that a fork brings along; the same where there are none."""
        ordered = tuple(sorted(edits, key=lambda edit: edit.start))
        return self.commit(Plan("inherited", ordered, "shared with the conversation it branched from")) if ordered else self


def merge(edits: Iterable[Edit]) -> tuple[Edit, ...]:
    """Edits in the order they were made, as edits in order of place; what lies within a later one is gone."""
    current: list[Edit] = []
    for edit in edits:
        current = [old for old in current if not (edit.start <= old.start and old.stop <= edit.stop)]
        current.append(edit)
    return tuple(sorted(current, key=lambda edit: edit.start))

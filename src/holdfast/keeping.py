"""What a session tells its store of its lineages, and asks of it. A store that fails costs the caller nothing."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar
from uuid import uuid4

from holdfast.errors import HoldfastError, StoreError
from holdfast.lineages import Live
from holdfast.pipeline import Outcome, guarded, told
from holdfast.saved import Saved
from holdfast.store import Store
from holdfast.transcript import Dialect

FAULTS = 16
"""The most failures that wait for the next trace."""

Given = TypeVar("Given")


@dataclass(slots=True)
class Keeper:
    """Saves lineages of one dialect and model, and finds them again. ``faults`` are failures that nobody was told of yet."""

    store: Store
    dialect: Dialect
    model: str
    faults: deque[HoldfastError] = field(default_factory=lambda: deque(maxlen=FAULTS))

    def drained(self) -> tuple[HoldfastError, ...]:
        """The failures since the last call."""
        found = tuple(self.faults)
        self.faults.clear()
        return found

    def save(self, live: Live, outcome: Outcome) -> bool:
        """Tell the store where this lineage stands. Whether what is known of it here is still right: what another has committed meanwhile
        wins, and is taken up at the next request.
        """
        if not live.line.roots:
            return True
        saved = self._saved(live)
        try:
            if outcome.trace.commit:  # for forks that go back behind what the row of the lineage will have moved on to
                at_commit = replace(saved, lineage=f"{saved.lineage}:{saved.version}", version=1)
                self._asked(lambda: self.store.save(at_commit, 0))
            if self._asked(lambda: self.store.save(saved, live.version)):
                live.version += 1
                return True
            return self._apart(live, saved)
        except HoldfastError as error:
            self.faults.append(error)
            return True

    def _apart(self, live: Live, saved: Saved) -> bool:
        """Somebody else has saved this lineage. An earlier part of ours stands; where it went another way, ours has its own name now."""
        theirs = self._asked(lambda: self.store.load(live.name))
        if theirs is not None and theirs.root in {root.hex() for root in live.line.roots}:
            return False
        live.name, live.version = uuid4().hex, 1
        self._asked(lambda: self.store.save(replace(saved, lineage=live.name, version=1), 0))
        return True

    def is_current(self, live: Live) -> bool:
        """Whether nobody else has gone on with this lineage."""
        try:
            saved = self._asked(lambda: self.store.load(live.name))
        except HoldfastError as error:
            self.faults.append(error)
            return True
        return saved is None or saved.version <= live.version

    def find(self, roots: Sequence[str]) -> Saved | None:
        """What is known of a history with these prefixes."""
        try:
            return self._asked(lambda: self.store.find(roots))
        except HoldfastError as error:
            self.faults.append(error)
            return None

    def _asked(self, call: Callable[[], Given]) -> Given:
        return guarded(call, lambda cause: StoreError(f"the store raised {told(cause)}"))

    def _saved(self, live: Live) -> Saved:
        line = live.line
        return Saved(
            root=line.roots[-1].hex(),
            messages=len(line.roots),
            ledger=line.ledger,
            listed=tuple(sorted(line.listed)),
            warm=tuple(line.warm[-8:]),
            warm_until=line.warm_until,
            sent_length=line.sent_length,
            rearmed_at=line.rearmed_at,
            turns=line.turns,
            drops_thinking=line.drops_thinking,
            model=self.model,
            head=line.head_name,
            dropped=line.dropped,
            head_blocks=len(line.head),
            dialect=self.dialect,
            version=live.version + 1,
            lineage=live.name,
        )

"""The control: nothing is ever shortened."""

from __future__ import annotations

from dataclasses import dataclass

from holdfast.strategy import Ask, Goal, Proposal, View


@dataclass(frozen=True, slots=True)
class Untouched:
    """Never proposes anything: what every other strategy is compared with."""

    name: str = "none"

    def plan(self, view: View, goal: Goal) -> Proposal:
        """No plan, whatever the goal."""
        yield from _nothing()
        return None


def _nothing() -> tuple[Ask, ...]:
    return ()

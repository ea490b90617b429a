"""Cheapest first: climb from strategy to strategy until the target is met."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

from holdfast.edits import Edit, Plan
from holdfast.errors import AskFailed
from holdfast.strategy import Answer, Ask, Goal, Proposal, Strategy, View
from holdfast_strategies.collapse import Collapse
from holdfast_strategies.estimate import after, excess, freed, merged
from holdfast_strategies.memory import Memory
from holdfast_strategies.micro import Micro
from holdfast_strategies.truncate import Truncate

_STEPS: tuple[Strategy, ...] = (Micro(), Collapse(), Memory(), Truncate())


@dataclass(frozen=True, slots=True)
class Ladder:
    """Takes the first of ``steps`` that reaches the target by itself; where none does, all of them on top of one another.

    A step that clears much and still falls short would only lose twice: once by itself and once more under the next. So
    steps are combined only when each alone is not enough. A step whose model fails is skipped.
    """

    steps: tuple[Strategy, ...] = _STEPS
    name: str = "ladder"

    def plan(self, view: View, goal: Goal) -> Proposal:
        """The cheapest step that reaches the target; the deepest combination there is, where none does."""
        if not excess(view, goal):
            return None
        for step in self.steps:
            plan = yield from _attempt(step, view, goal)
            if plan and plan.edits and freed(view, plan.edits) >= excess(view, goal):
                return Plan(self.name, plan.edits, f"{plan.strategy}: {plan.why}")
        return (yield from self._combined(view, goal))

    def _combined(self, view: View, goal: Goal) -> Proposal:
        """Each step shown what the ones before have freed; where a later one covers an earlier one's edit, the later one stands."""
        edits: tuple[Edit, ...] = ()
        used: list[str] = []
        now = view
        for step in self.steps:
            plan = yield from _attempt(step, now, goal)
            if plan and plan.edits:
                edits = merged(edits, plan.edits)
                used.append(plan.strategy)
                now = after(view, edits)
            if not excess(now, goal):
                break
        return Plan(self.name, edits, " + ".join(used)) if edits else None


def _attempt(step: Strategy, view: View, goal: Goal) -> Generator[Ask, Answer, Plan | None]:
    try:
        return (yield from step.plan(view, goal))
    except AskFailed:
        return None

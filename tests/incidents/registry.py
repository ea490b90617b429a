"""Which recipe builds the log of an incident, which rule computes it, which simulation replays it: by its code, else by its cause."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Generic, TypeVar

from tests.incidents.cases import Case
from tests.incidents.logs import Trial

Made = TypeVar("Made")


class Registry(Generic[Made]):
    """Functions of a case by ``diagnosis_code`` or ``cause``."""

    def __init__(self, what: str) -> None:
        self.what = what
        self._known: dict[str, Callable[[Case], Made]] = {}

    def __call__(self, *keys: str) -> Callable[[Callable[[Case], Made]], Callable[[Case], Made]]:
        """Decorates the function that holds for these codes and causes."""

        def register(function: Callable[[Case], Made]) -> Callable[[Case], Made]:
            for key in keys:
                assert key not in self._known, f"two of {self.what} for {key}"
                self._known[key] = function
            return function

        return register

    def knows(self, code: str) -> bool:
        """Whether a function is registered for exactly this code."""
        return code in self._known

    def __contains__(self, case: Case) -> bool:
        return case.code in self._known or case.cause in self._known

    def run(self, case: Case) -> Made:
        """What the function for a case makes of it. A code that nobody knows falls back to the cause; the case then has no code.

        Raises ``AssertionError`` where neither is known.
        """
        if case.code in self._known:
            return self._known[case.code](case)
        if case.cause in self._known:
            return self._known[case.cause](replace(case, code=""))
        known = ", ".join(sorted(self._known))
        raise AssertionError(f"{case.id}: no {self.what} for the cause {case.cause!r} or the code {case.code!r}; write one. Known: {known}")


recipe: Registry[Sequence[Trial]] = Registry("recipe")
"""Builds request logs from a case, with what a doctor must say of them."""

formula: Registry[None] = Registry("formula")
"""Computes the published numbers from the provider's rule; raises ``AssertionError`` where one differs."""

simulation: Registry[None] = Registry("simulation")
"""Runs a comparison through the real machines; raises ``AssertionError`` where it comes out otherwise than published."""

"""Callables of the user that are told what happens. Whatever they raise is an error in the trace and never the caller's."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass, fields
from functools import partial
from typing import TypeVar

from holdfast.calls.figures import Break
from holdfast.errors import HoldfastError, InputError
from holdfast.pipeline import guarded, told
from holdfast.trace import CommitTrace, Trace

Told = TypeVar("Told")


@dataclass(frozen=True, slots=True)
class Planned:
    """A request is about to go out. ``lineage`` names its conversation, ``at`` is POSIX seconds.

    ``trace`` is its story, with a commit or without; what comes of it is not known yet.
    """

    lineage: Hashable
    at: float
    model: str
    trace: Trace


@dataclass(frozen=True, slots=True)
class CommitMade:
    """The provider has begun to answer a request that carries a new plan: the plan is on the ledger now."""

    lineage: Hashable
    at: float
    model: str
    commit: CommitTrace


@dataclass(frozen=True, slots=True)
class Failure:
    """Something failed and changed nothing for the caller."""

    lineage: Hashable
    at: float
    model: str
    error: HoldfastError


class HookFailed(HoldfastError):
    """A hook raised, or returned something to await."""

    def __init__(self, hook: str, why: str) -> None:
        self.hook, self.why = hook, why
        super().__init__(f"the hook {hook} {why}")


@dataclass(frozen=True, slots=True)
class Hooks:
    """Plain callables of one frozen value each; what they return is not looked at. They run on the thread of the request.

    ``on_plan``: every request, before it is sent. ``on_commit``: a plan is on the ledger. ``on_break``: a cache read fell short of its
    prediction, found when the answer's usage was known. ``on_error``: a failure that changed nothing; a failing hook is none. Raises
    ``InputError`` for what cannot be called, and for async callables: nobody would await them.
    """

    on_plan: Callable[[Planned], object] | None = None
    on_commit: Callable[[CommitMade], object] | None = None
    on_break: Callable[[Break], object] | None = None
    on_error: Callable[[Failure], object] | None = None

    def __post_init__(self) -> None:
        for each in fields(self):
            hook = getattr(self, each.name)
            if hook is None:
                continue
            if not callable(hook):
                raise InputError(f"{each.name} must be a callable of one argument, not {type(hook).__name__}")
            if _is_async(hook):
                raise InputError(f"{each.name} must be a plain function: an async one would never be awaited (start a task in it instead)")

    def planned(self, event: Planned) -> tuple[HoldfastError, ...]:
        """Call ``on_plan``. Gives what it raised, for the trace's errors; so do the other three."""
        return _called("on_plan", self.on_plan, event)

    def committed(self, event: CommitMade) -> tuple[HoldfastError, ...]:
        """Call ``on_commit``."""
        return _called("on_commit", self.on_commit, event)

    def broken(self, event: Break) -> tuple[HoldfastError, ...]:
        """Call ``on_break``."""
        return _called("on_break", self.on_break, event)

    def failed(self, event: Failure) -> tuple[HoldfastError, ...]:
        """Call ``on_error``."""
        return _called("on_error", self.on_error, event)


def _called(name: str, hook: Callable[[Told], object] | None, event: Told) -> tuple[HoldfastError, ...]:
    if hook is None:
        return ()
    try:
        given = guarded(lambda: hook(event), lambda cause: HookFailed(name, f"raised {told(cause)}"))
    except HoldfastError as error:
        return (error if isinstance(error, HookFailed) else HookFailed(name, f"raised {told(error)}"),)
    if isinstance(given, Coroutine):
        given.close()
        return (HookFailed(name, "returned a coroutine, which nobody awaits"),)
    return ()


def _is_async(hook: object) -> bool:
    while isinstance(hook, partial):
        hook = hook.func
    called = getattr(type(hook), "__call__", None)  # noqa: B004 - an object's own async __call__ is looked for
    return any(map(inspect.iscoroutinefunction, (hook, called))) or any(map(inspect.isasyncgenfunction, (hook, called)))

"""Hooks are told what happens, and can break nothing."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from holdfast.calls.figures import Break
from holdfast.calls.hooks import CommitMade, Failure, HookFailed, Hooks, Planned
from holdfast.errors import HoldfastError, InputError, StoreError
from holdfast.trace import CommitTrace, Trace

TRACE = Trace(0, 10, 10, 0, 0, (), "below the trigger")
COMMIT = CommitTrace(0, "micro", "", (), 3, 4, 100, 50, 80, 20, 2)
PLANNED = Planned(1, 5.0, "m", TRACE)
BROKE = Break(1, 5.0, "m", 100, 0, 200, None, True, True)
EVENTS = (
    ("on_plan", PLANNED, Hooks.planned),
    ("on_commit", CommitMade(1, 5.0, "m", COMMIT), Hooks.committed),
    ("on_break", BROKE, Hooks.broken),
    ("on_error", Failure(1, 5.0, "m", StoreError("full")), Hooks.failed),
)
each_hook = pytest.mark.parametrize(("name", "event", "call"), EVENTS, ids=[name for name, _, _ in EVENTS])
Call = Callable[[Hooks, Any], tuple[HoldfastError, ...]]


@each_hook
def test_a_hook_gets_the_value_itself(name: str, event: object, call: Call) -> None:
    """It is called once, with the frozen value, and nothing failed."""
    seen: list[object] = []
    assert call(Hooks(**{name: seen.append}), event) == ()
    assert seen == [event]
    with pytest.raises(AttributeError):
        event.lineage = 2  # type: ignore[attr-defined]


@each_hook
def test_without_a_hook_nothing_happens(name: str, event: object, call: Call) -> None:
    """No hook, no error."""
    assert call(Hooks(), event) == ()


@each_hook
@pytest.mark.parametrize("raised", [ValueError("no"), StoreError("full"), RecursionError()])
def test_whatever_a_hook_raises_is_an_error_of_ours(name: str, event: object, call: Call, raised: Exception) -> None:
    """It never comes out, and says which hook it was."""

    def hook(_: object) -> None:
        raise raised

    (error,) = call(Hooks(**{name: hook}), event)
    assert isinstance(error, HookFailed)
    assert error.hook == name
    assert type(raised).__name__ in str(error)


def test_what_must_stop_a_program_does() -> None:
    """``KeyboardInterrupt`` is not swallowed."""

    def hook(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Hooks(on_plan=hook).planned(PLANNED)


async def asynchronous(_: object) -> None:
    """An async hook."""


class Asynchronous:
    """An object with an async call."""

    async def __call__(self, _: object) -> None:
        """Never awaited."""

    async def method(self, _: object) -> None:
        """Never awaited."""


@each_hook
@pytest.mark.parametrize("hook", [asynchronous, Asynchronous(), Asynchronous().method, partial(asynchronous), partial(Asynchronous())])
def test_an_async_hook_is_refused_at_once(name: str, event: object, call: Call, hook: Any) -> None:
    """The error names the hook and says what to do."""
    with pytest.raises(InputError, match=f"{name} must be a plain function"):
        Hooks(**{name: hook})


def test_what_cannot_be_called_is_refused() -> None:
    """A hook that is no callable is a wrong setting."""
    with pytest.raises(InputError, match="on_break must be a callable of one argument, not str"):
        Hooks(on_break="print")  # type: ignore[arg-type]


def test_a_coroutine_that_a_plain_hook_returns_is_closed() -> None:
    """It is an error of the hook, and leaves no warning of something that was never awaited."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (error,) = Hooks(on_plan=lambda event: asynchronous(event)).planned(PLANNED)
        gc.collect()
    assert str(error) == "the hook on_plan returned a coroutine, which nobody awaits"

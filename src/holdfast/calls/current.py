"""What holds for the calls inside a ``with of(client).session(…)``: one context variable, so that threads and tasks do not mix."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TypeAlias

from holdfast.blocks import Block
from holdfast.strategy import Strategy

Pin: TypeAlias = str | Callable[[Block], bool]
"""What must stay as it is: every block that holds a text, or for which a function says so."""


@dataclass(frozen=True, slots=True)
class Current:
    """What was said for the calls made here. ``id`` names the conversation (``None``: found by comparison), ``strategy`` takes the place
    of the client's (``None``: it does not), ``enabled`` is false where nothing new is planned or
    added: a conversation goes out as it came, or, where something is committed, as it went last.
    """

    id: str | None = None
    pins: tuple[Pin, ...] = ()
    strategy: str | Strategy | None = None
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class _Entered:
    scope: Scope
    current: Current
    outer: _Entered | None


_innermost: ContextVar[_Entered | None] = ContextVar("holdfast_session", default=None)


class Scope:
    """The context manager. It may be entered again, nested, and by several threads or tasks at once.

    Nested in another of the same client it adds: pins come together, an id or strategy that is not given is that of the outer
    one, and what the outer one switches off stays off. Other clients do not notice it. A thread inherits it only with a copy of the
    context (``asyncio.to_thread`` makes one, ``threading.Thread`` none), a task always (docs.python.org, contextvars).
    """

    def __init__(self, owner: object, said: Current) -> None:
        self.owner, self._said = owner, said

    def __enter__(self) -> Current:
        entered = _Entered(self, _inside(current(self.owner), self._said), _innermost.get())
        _innermost.set(entered)
        return entered.current

    def __exit__(self, *failure: object) -> None:
        # No token: one can only be reset in the context that made it, and a generator may be entered and left in different ones.
        _innermost.set(_without(_innermost.get(), self))


def current(owner: object) -> Current:
    """What holds here for the calls of ``owner``."""
    entered = _innermost.get()
    while entered is not None and entered.scope.owner is not owner:
        entered = entered.outer
    return entered.current if entered is not None else Current()


def pins(given: Pin | Sequence[Pin]) -> tuple[Pin, ...]:
    """One pin or several, as a tuple."""
    return (given,) if isinstance(given, str) or callable(given) else tuple(given)


def _inside(outer: Current, said: Current) -> Current:
    return Current(
        outer.id if said.id is None else said.id,
        (*outer.pins, *said.pins),
        outer.strategy if said.strategy is None else said.strategy,
        outer.enabled and said.enabled,
    )


def _without(entered: _Entered | None, scope: Scope) -> _Entered | None:
    if entered is None or entered.scope is scope:
        return entered.outer if entered is not None else None
    return replace(entered, outer=_without(entered.outer, scope))

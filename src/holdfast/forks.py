"""Locks across ``os.fork``: a child has none of the threads that held its parent's locks, so they are held by nobody while it is made."""

from __future__ import annotations

import os
from threading import RLock
from typing import Any
from weakref import WeakSet

_KEPT: tuple[WeakSet[Any], WeakSet[Any]] = (WeakSet(), WeakSet())
"""Locks under which others are taken, and locks under which none is: they are taken in this order."""

_held: list[Any] = []


def lock(leaf: bool = False) -> Any:
    """A lock that its thread may take again, and that a forked child finds free. ``leaf``: no other is taken while it is held."""
    made = RLock()
    _KEPT[leaf].add(made)
    return made


def _before() -> None:
    for kept in _KEPT:
        for each in list(kept):
            each.acquire()
            _held.append(each)


def _after() -> None:
    while _held:
        _held.pop().release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_after)

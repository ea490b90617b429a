"""Strategies by name: the built-ins, and whatever is registered under the entry-point group ``holdfast.strategies``."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from functools import lru_cache
from importlib.metadata import entry_points
from typing import Any

from holdfast.errors import InputError, UnknownStrategy
from holdfast.strategy import Strategy
from holdfast_strategies.collapse import Collapse
from holdfast_strategies.full import Full
from holdfast_strategies.ladder import Ladder
from holdfast_strategies.memory import Memory
from holdfast_strategies.micro import Micro
from holdfast_strategies.none import Untouched
from holdfast_strategies.truncate import Truncate

__all__ = ["ALIASES", "GROUP", "Collapse", "Full", "Ladder", "Memory", "Micro", "Truncate", "Untouched", "named", "registered"]

GROUP = "holdfast.strategies"

ALIASES = {
    "microcompact": "micro",
    "snip": "micro",
    "context-collapse": "collapse",
    "session-memory": "memory",
    "auto-compact": "full",
    "compact": "full",
    "prompt-too-long": "truncate",
    "ptl": "truncate",
}


def registered() -> dict[str, type[Strategy]]:
    """Every registered strategy class by its name, sorted; of two under one name, the one whose place sorts first.

    Raises:
        InputError: what is registered under a name cannot be imported.
    """
    return dict(_registered())


@lru_cache(maxsize=1)
def _registered() -> dict[str, type[Strategy]]:
    # The entry points of all installed distributions are read from disk: once a process is enough.
    found: dict[str, type[Strategy]] = {}
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: (entry.name, entry.value)):
        if entry.name not in found:
            try:
                found[entry.name] = entry.load()
            except (ImportError, AttributeError) as problem:
                raise InputError(f"strategy {entry.name!r}: {entry.value} cannot be imported: {problem}") from problem
    return found


def named(name: str, **config: Any) -> Strategy:
    """The strategy of this name or alias, with these options; case and ``_`` for ``-`` do not matter.

    Raises:
        UnknownStrategy: nothing is registered under it; names that are near come first in the message.
        InputError: the strategy has no such option.
    """
    wanted = name.strip().lower().replace("_", "-")
    known = registered()
    found = known.get(name) or known.get(ALIASES.get(wanted, wanted))
    if found is None:
        near = get_close_matches(wanted, [*known, *ALIASES], n=3, cutoff=0.5)
        names = list(dict.fromkeys([ALIASES.get(one, one) for one in near] + list(known)))
        raise UnknownStrategy(name, names)
    if is_dataclass(found):
        options = [field.name for field in fields(found)]
        unknown = sorted(set(config) - set(options))
        if unknown:
            raise InputError(f"strategy {wanted!r} has no option {', '.join(unknown)}; it has {', '.join(options)}")
    return found(**config)

"""Holdfast shortens long LLM conversations without breaking the prompt cache.

``wrap(client)`` puts it into an Anthropic or OpenAI client, ``of(client)`` speaks with it; ``session(model)`` is the same engine without a
client. ``holdfast compare`` on the command line shows, on recorded transcripts, what each way of shortening would have cost and lost.

What is not here has a module of its own: ``holdfast.errors``, ``holdfast.blocks``, ``holdfast.edits``, ``holdfast.testing``.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from holdfast import recall
    from holdfast.blocks import Block
    from holdfast.calls.call_settings import CallSettings
    from holdfast.calls.hooks import Hooks
    from holdfast.calls.recorder import Recorder
    from holdfast.edits import Clear, Drop, Fold, Plan
    from holdfast.errors import CannotWrap, HoldfastError, HoldfastWarning, InputError
    from holdfast.live import options_for, session
    from holdfast.options import Options
    from holdfast.providers.anthropic import Middleware
    from holdfast.session import Session
    from holdfast.store import FileStore, MemoryStore, Store
    from holdfast.strategy import Answer, Ask, Goal, Strategy, View
    from holdfast.trace import Trace
    from holdfast.usage import Usage
    from holdfast.wrap import of, wrap

__version__ = "0.1.0"

__all__ = [
    "Answer",
    "Ask",
    "Block",
    "CallSettings",
    "CannotWrap",
    "Clear",
    "Drop",
    "FileStore",
    "Fold",
    "Goal",
    "HoldfastError",
    "HoldfastWarning",
    "Hooks",
    "InputError",
    "MemoryStore",
    "Middleware",
    "Options",
    "Plan",
    "Recorder",
    "Session",
    "Store",
    "Strategy",
    "Trace",
    "Usage",
    "View",
    "of",
    "options_for",
    "recall",
    "session",
    "wrap",
]

if not TYPE_CHECKING:  # or every name would be known to a type checker
    _HOME = {
        **dict.fromkeys(("of", "wrap"), "wrap"),
        **dict.fromkeys(("options_for", "session"), "live"),
        **dict.fromkeys(("FileStore", "MemoryStore", "Store"), "store"),
        **dict.fromkeys(("CannotWrap", "HoldfastError", "HoldfastWarning", "InputError"), "errors"),
        **dict.fromkeys(("Clear", "Drop", "Fold", "Plan"), "edits"),
        **dict.fromkeys(("Answer", "Ask", "Goal", "Strategy", "View"), "strategy"),
        "Block": "blocks",
        "CallSettings": "calls.call_settings",
        "Hooks": "calls.hooks",
        "Middleware": "providers.anthropic",
        "Options": "options",
        "Recorder": "calls.recorder",
        "Session": "session",
        "Trace": "trace",
        "Usage": "usage",
    }
    """The module of each name, which is imported when the name is first asked for (PEP 562)."""

    class _Package(ModuleType):
        """This package: its function ``session`` and its module ``session`` have one name, and so have the two of ``wrap``.

        Whoever imports such a module makes it an attribute of the package, in the place of the function. Here the function stays;
        ``from holdfast.session import Session`` finds the module all the same.
        """

        def __setattr__(self, name: str, value: object) -> None:
            if not (name in _HOME and isinstance(value, ModuleType)):
                super().__setattr__(name, value)

    sys.modules[__name__].__class__ = _Package

    def __getattr__(name: str) -> Any:
        """What a name stands for. It stays an attribute from then on."""
        if name == "recall":
            return import_module("holdfast.recall")
        if name not in _HOME:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        try:
            found = getattr(import_module(f"holdfast.{_HOME[name]}"), name)
        except ModuleNotFoundError as missing:
            if missing.name != "anthropic":
                raise
            raise ImportError(f"holdfast.{name} is of Anthropic's SDK, which is not installed: pip install anthropic") from None
        globals()[name] = found
        return found

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})

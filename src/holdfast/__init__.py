"""Holdfast shortens long LLM conversations without breaking the prompt cache.

``session(model)`` opens a live session; ``compare`` on the command line shows, on recorded transcripts, what each way of shortening
would have cost and what it would have lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from holdfast.blocks import Block, Kind, Message, Prompt, Role
from holdfast.edits import Clear, Drop, Fold, Plan
from holdfast.errors import BudgetUnreachable, HoldfastError, IllegalPlan, InputError, UnknownModel, UnknownStrategy
from holdfast.live import options_for, session
from holdfast.options import Options
from holdfast.session import Session
from holdfast.strategy import Answer, Ask, Goal, Strategy, View
from holdfast.trace import Trace
from holdfast.transcript import Transcript, Turn
from holdfast.usage import Usage
from holdfast.wrap import of, wrap

if TYPE_CHECKING:
    from holdfast.providers.anthropic import Middleware

__version__ = "0.1.0"

__all__ = [
    "Answer",
    "Ask",
    "Block",
    "BudgetUnreachable",
    "Clear",
    "Drop",
    "Fold",
    "Goal",
    "HoldfastError",
    "IllegalPlan",
    "InputError",
    "Kind",
    "Message",
    "Middleware",
    "Options",
    "Plan",
    "Prompt",
    "Role",
    "Session",
    "Strategy",
    "Trace",
    "Transcript",
    "Turn",
    "UnknownModel",
    "UnknownStrategy",
    "Usage",
    "View",
    "of",
    "options_for",
    "session",
    "wrap",
]

if not TYPE_CHECKING:  # or every name would be known to a type checker

    def __getattr__(name: str) -> Any:
        """``Middleware`` is a subclass of the SDK's, which is only imported when it is asked for."""
        if name == "Middleware":
            from holdfast.providers.anthropic import Middleware

            return Middleware
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""Holdfast shortens long LLM conversations without breaking the prompt cache.

``session(model)`` opens a live session; ``compare`` on the command line shows, on recorded transcripts, what each way of shortening
would have cost and what it would have lost.
"""

from __future__ import annotations

from holdfast.blocks import Block, Kind, Message, Prompt, Role
from holdfast.edits import Clear, Drop, Fold, Plan
from holdfast.errors import BudgetUnreachable, HoldfastError, IllegalPlan, InputError, UnknownModel, UnknownStrategy
from holdfast.live import options_for, session
from holdfast.pipeline import Trace
from holdfast.session import Options, Session
from holdfast.strategy import Answer, Ask, Goal, Strategy, View
from holdfast.transcript import Transcript, Turn
from holdfast.usage import Usage

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
    "options_for",
    "session",
]

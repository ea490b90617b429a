"""Transcripts: recorded conversations as turns, with the usage that was really billed where it was recorded."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Literal, TypeAlias

from holdfast.blocks import Message, Prompt
from holdfast.usage import Usage

Dialect: TypeAlias = Literal["anthropic", "openai-chat", "openai-responses", "bedrock-converse"]


@dataclass(frozen=True, slots=True)
class Turn:
    """One request to the model and its response.

    ``lineage`` names the line of growth within the transcript: the turns of one lineage are in order and
    each prompt extends the one before. ``at`` is the start of the request, ``ended`` the end of the response, in POSIX seconds
    (``None``: not recorded). ``usage`` is what was billed; where ``output_final`` is false
    its ``output`` is a streaming placeholder and must not be billed. ``charged`` is money really
    charged, in USD. ``request`` is the provider's id of the response, ``""`` where it has none. ``signs`` is what the record
    says of this request beside its prompt, in short phrases of its reader (``"compacted"``, ``"thinking on"``, ``"client 2.1.37"``).
    """

    lineage: str
    prompt: Prompt
    at: float | None = None
    ended: float | None = None
    answer: Message | None = None
    usage: Usage | None = None
    output_final: bool = True
    charged: Decimal | None = None
    request: str = ""
    signs: tuple[str, ...] = ()

    @property
    def model(self) -> str:
        """The model that was asked."""
        return self.prompt.settings.model


@dataclass(frozen=True, slots=True)
class Unlogged:
    """A call that the recorded client must have made but did not log, such as the one that wrote a summary.

    It extended the prompt of the last turn of ``lineage``; ``output_tokens`` is an estimate.
    """

    lineage: str
    at: float | None
    why: str
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something of an input that was not used, where it stood, and why."""

    path: str
    line: int
    why: str


@dataclass(frozen=True, slots=True)
class Transcript:
    """A recorded conversation: its turns in the order of their start, of one or more lineages.

    ``head_recorded`` is false where the format holds neither system prompt nor tools.
    ``notes`` are sentences for the user about what was inferred or left out.
    """

    path: str
    format: str
    dialect: Dialect
    turns: tuple[Turn, ...]
    session: str = ""
    head_recorded: bool = True
    notes: tuple[str, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    unlogged: tuple[Unlogged, ...] = field(default=())

    @property
    def model(self) -> str:
        """The model that most turns asked, ``""`` where there is no turn."""
        models = [turn.model for turn in self.turns]
        return max(set(models), key=lambda model: (models.count(model), model)) if models else ""

    def with_turns(self, turns: tuple[Turn, ...], *notes: str) -> Transcript:
        """The same transcript with other turns and further notes."""
        return replace(self, turns=turns, notes=self.notes + notes)

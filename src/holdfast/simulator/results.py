"""What a comparison and a replay give: values that the report writes as text or JSON."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal

from holdfast.transcript import Skipped
from holdfast.usage import Usage


@dataclass(frozen=True, slots=True)
class Kept:
    """How much of what later turns needed was still there: counts of atoms, summed over turns.

    ``needed`` atoms; ``kept`` of them somewhere in the prompt, ``in_context`` with at least half of their line;
    ``recoverable`` are in the prompt, or in a stored block whose name stands in the prompt, so that a model can ask for it.
    """

    needed: int = 0
    kept: int = 0
    in_context: int = 0
    recoverable: int = 0

    def __add__(self, other: Kept) -> Kept:
        return Kept(
            self.needed + other.needed,
            self.kept + other.kept,
            self.in_context + other.in_context,
            self.recoverable + other.recoverable,
        )


@dataclass(frozen=True, slots=True)
class Result:
    """One strategy on one session (or on all): R of the output schema.

    ``kept`` counts all turns, ``kept_after`` those at which something had been cut from the lineage. ``unpaid_commits`` had not paid for
    themselves when the session ended. ``waiting_turns`` went out above the trigger because nothing could be cut just then.
    """

    strategy: str
    usd: Decimal
    usage: Usage
    turns: int
    peak_prompt_tokens: int
    commits: int
    planned_breaks: int
    unplanned_breaks: int
    model_calls: int
    model_calls_usd: Decimal
    kept: Kept
    unreachable_turns: int = 0
    illegal_plans: int = 0
    kept_after: Kept = Kept()
    unpaid_commits: int = 0
    waiting_turns: int = 0

    def __add__(self, other: Result) -> Result:
        return replace(
            self,
            usd=self.usd + other.usd,
            usage=self.usage + other.usage,
            turns=self.turns + other.turns,
            peak_prompt_tokens=max(self.peak_prompt_tokens, other.peak_prompt_tokens),
            commits=self.commits + other.commits,
            planned_breaks=self.planned_breaks + other.planned_breaks,
            unplanned_breaks=self.unplanned_breaks + other.unplanned_breaks,
            model_calls=self.model_calls + other.model_calls,
            model_calls_usd=self.model_calls_usd + other.model_calls_usd,
            kept=self.kept + other.kept,
            unreachable_turns=self.unreachable_turns + other.unreachable_turns,
            illegal_plans=self.illegal_plans + other.illegal_plans,
            kept_after=self.kept_after + other.kept_after,
            unpaid_commits=self.unpaid_commits + other.unpaid_commits,
            waiting_turns=self.waiting_turns + other.waiting_turns,
        )


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the session really was billed: the usage (outputs estimated where the record holds only placeholders) and its price."""

    usage: Usage
    usd: Decimal
    outputs_estimated: int = 0


@dataclass(frozen=True, slots=True)
class SessionResult:
    """One session under every strategy. ``skipped`` says why nothing was computed, where so."""

    path: str
    format: str
    model: str
    turns: int
    skipped: str | None = None
    recorded: Recorded | None = None
    results: tuple[Result, ...] = ()
    notes: tuple[str, ...] = ()
    counting: str = ""
    exceeds_trigger: bool = False
    unlogged_calls: int = 0
    unlogged_usd: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything a ``compare`` run found out. ``interrupted`` is true where the user stopped it half-way."""

    settings: dict[str, str | int | float | None]
    sessions: tuple[SessionResult, ...]
    total: tuple[Result, ...]
    skipped: tuple[Skipped, ...] = ()
    interrupted: bool = False


@dataclass(frozen=True, slots=True)
class Commit:
    """A plan that was committed at one turn of a replay. ``break_even_turn`` is predicted; ``None``: never pays."""

    strategy: str
    first_edit: int
    tokens_removed: int
    break_even_turn: int | None
    why: str
    edits: int = 0
    measured_break_even_turn: int | None = None


@dataclass(frozen=True, slots=True)
class ReplayedTurn:
    """One line of ``holdfast replay``. ``at`` is POSIX seconds or ``None``."""

    turn: int
    lineage: str
    at: float | None
    prompt_tokens: int
    usage: Usage
    usd: Decimal
    stable_prefix_tokens: int
    commit: Commit | None = None
    recorded: Usage | None = None
    note: str = ""

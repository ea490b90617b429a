"""What a comparison and a replay give: values that the report writes as text or JSON."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from decimal import Decimal

from holdfast.transcript import Skipped
from holdfast.usage import Usage
from holdfast.validation.results import TRUSTED
from holdfast.validation.uncertainty import Estimate


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
    themselves when the session ended. ``waiting_turns`` went out above the trigger because nothing could be cut just then. ``estimate``
    tells how far ``usd`` is known; it says nothing where nothing was measured.
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
    estimate: Estimate = field(default_factory=Estimate)

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
            estimate=self.estimate + other.estimate,
        )


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the session really was billed: the usage (outputs estimated where the record holds only placeholders) and its price."""

    usage: Usage
    usd: Decimal
    outputs_estimated: int = 0


@dataclass(frozen=True, slots=True)
class Agreement:
    """Of a session's recorded requests, how many could be ``checked``, and for how many the cache model's read ``agree``s with the bill."""

    checked: int = 0
    agree: int = 0

    @property
    def share(self) -> float | None:
        """From 0 to 1; ``None`` where nothing could be checked."""
        return self.agree / self.checked if self.checked else None

    @property
    def trusted(self) -> bool | None:
        """Whether enough agree for what is computed from the session to be ranked; ``None`` where nothing could be checked."""
        return None if self.share is None else self.share >= TRUSTED


@dataclass(frozen=True, slots=True)
class SessionResult:
    """One session under every strategy. ``skipped`` says why nothing was computed, where so.

    ``provider`` is whose cache was simulated. ``agreement`` is that of the recorded requests with the recorded model's cache, whatever
    model is billed; ``None`` where no bill was recorded.
    """

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
    provider: str = ""
    agreement: Agreement | None = None

    @property
    def trusted(self) -> bool | None:
        """Whether the cache model reproduces the recorded reads; ``None`` where nothing could be checked."""
        return None if self.agreement is None else self.agreement.trusted


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything a ``compare`` run found out. ``interrupted`` is true where the user stopped it half-way.

    ``total`` sums the ``ranked`` sessions only; it is empty where there is none.
    """

    settings: dict[str, str | int | float | None]
    sessions: tuple[SessionResult, ...]
    total: tuple[Result, ...]
    skipped: tuple[Skipped, ...] = ()
    interrupted: bool = False

    @property
    def compared(self) -> tuple[SessionResult, ...]:
        """The sessions that were not skipped."""
        return tuple(each for each in self.sessions if each.skipped is None)

    @property
    def ranked(self) -> tuple[SessionResult, ...]:
        """Those of them that ``total`` sums."""
        return ranked(self.compared, bool(self.settings.get("any")))

    @property
    def untrusted(self) -> tuple[SessionResult, ...]:
        """Those of them whose recorded reads the cache model does not reproduce, ranked or not."""
        return tuple(each for each in self.compared if each.trusted is False)


def ranked(sessions: Iterable[SessionResult], any_: bool) -> tuple[SessionResult, ...]:
    """The sessions that may be ranked: nothing recorded speaks against them, or ``any_`` may be."""
    return tuple(each for each in sessions if each.skipped is None and (any_ or each.trusted is not False))


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

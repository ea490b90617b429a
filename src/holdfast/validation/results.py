"""What a validation gives: values that the report writes as text or JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from holdfast.transcript import Skipped
from holdfast.validation.automatic_calibration import Calibration
from holdfast.validation.block_hits import BlockReport
from holdfast.validation.reasons import Explanation

TRUSTED = 0.95
"""The share of checked requests that must agree for what is computed from a session to be ranked."""
NEAR_TOKENS = 2048
"""A second, coarser measure for caches whose counts come in steps."""


@dataclass(frozen=True, slots=True)
class Disagreement:
    """One request whose predicted read is not within ``history.slack`` of the recorded one. ``at`` is POSIX seconds or ``None``."""

    turn: int
    at: float | None
    lineage: str
    prompt_tokens: int
    read_recorded: int
    read_predicted: int
    explanation: Explanation
    basis: str


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts over requests. ``checked`` are all with a recorded bill but the first of each line; ``agree`` of them within the slack,

    ``exact`` to the token, ``near`` within 2,048 tokens. ``share_recorded`` and ``share_predicted`` are sums of cached shares of the
    prompts, over the checked requests.
    """

    requests: int = 0
    checked: int = 0
    agree: int = 0
    exact: int = 0
    near: int = 0
    share_recorded: float = 0.0
    share_predicted: float = 0.0

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.requests + other.requests,
            self.checked + other.checked,
            self.agree + other.agree,
            self.exact + other.exact,
            self.near + other.near,
            self.share_recorded + other.share_recorded,
            self.share_predicted + other.share_predicted,
        )

    @property
    def agreement(self) -> float | None:
        """The share of the checked requests that agree; ``None`` where none could be checked."""
        return self.agree / self.checked if self.checked else None

    @property
    def bias(self) -> float | None:
        """Mean predicted less mean recorded cached share."""
        return (self.share_predicted - self.share_recorded) / self.checked if self.checked else None


@dataclass(frozen=True, slots=True)
class Money:
    """A session's bill in USD: recorded and predicted, and predicted with those requests set to their record whose disagreement has

    a reason that is the provider's or an unlogged call's (``settled``). The first request of a line, which nothing in the record can
    predict, counts as billed in all of them. ``charged`` says that the recorded money was really charged, and is no list price.
    """

    recorded: Decimal = Decimal(0)
    predicted: Decimal = Decimal(0)
    settled: Decimal = Decimal(0)
    charged: bool = False

    @property
    def error(self) -> float | None:
        """Predicted ÷ recorded - 1; ``None`` where nothing was billed."""
        return float(self.predicted / self.recorded) - 1 if self.recorded else None

    @property
    def settled_error(self) -> float | None:
        """The same of what was settled."""
        return float(self.settled / self.recorded) - 1 if self.recorded else None


@dataclass(frozen=True, slots=True)
class Charges:
    """How many requests carry money that was really charged or computed by the client, and for how many our price gives the same."""

    charged: int = 0
    equal: int = 0

    def __add__(self, other: Charges) -> Charges:
        return Charges(self.charged + other.charged, self.equal + other.equal)


@dataclass(frozen=True, slots=True)
class ValidatedSession:
    """One recorded session beside its prediction. ``skipped`` says why nothing could be checked, where so. ``money`` is ``None`` where a

    model has no price. ``points`` are (expected, recorded) cached shares, where single outcomes are chance. ``rules`` has,
    where whole requests are recorded, the rule that the provider did not keep to at each call, ``""`` where it kept to all.
    """

    path: str
    format: str
    provider: str
    model: str
    tally: Tally = Tally()
    money: Money | None = None
    charges: Charges = Charges()
    disagreements: tuple[Disagreement, ...] = ()
    points: tuple[tuple[float, float], ...] = ()
    rules: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    skipped: str | None = None

    @property
    def trusted(self) -> bool | None:
        """Whether enough requests agree; ``None`` where none could be checked."""
        share = self.tally.agreement
        return None if share is None else share >= TRUSTED


@dataclass(frozen=True, slots=True)
class SetFigures:
    """The sessions of one format and provider together: the table's row. ``errors`` are the sessions' money errors, signed, in order."""

    format: str
    provider: str
    sessions: int
    tally: Tally
    money: Money
    charges: Charges
    reasons: Counter[str]
    errors: tuple[float, ...]
    settled_errors: tuple[float, ...]
    rules: Counter[str]
    calibration: Calibration | None

    @property
    def error_median(self) -> float | None:
        """The median of the sessions' absolute errors."""
        return quantile(self.errors, 0.5)

    @property
    def error_p95(self) -> float | None:
        """The 95th percentile of the sessions' absolute errors."""
        return quantile(self.errors, 0.95)


@dataclass(frozen=True, slots=True)
class Validation:
    """Everything a ``validate`` run found out. ``interrupted`` is true where the user stopped it half-way."""

    sessions: tuple[ValidatedSession, ...]
    sets: tuple[SetFigures, ...]
    blocks: BlockReport | None = None
    skipped: tuple[Skipped, ...] = ()
    interrupted: bool = False

    @property
    def tally(self) -> Tally:
        """All requests."""
        return sum((session.tally for session in self.sessions), Tally())


def quantile(errors: Sequence[float], share: float) -> float | None:
    """The quantile of absolute values, interpolated between the two nearest; ``None`` of nothing."""
    ordered = sorted(map(abs, errors))
    if not ordered:
        return None
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def figures(sessions: Iterable[ValidatedSession]) -> tuple[SetFigures, ...]:
    """The sessions by format and provider, the most requests first."""
    sets: dict[tuple[str, str], list[ValidatedSession]] = {}
    for session in sessions:
        if session.skipped is None:
            # A cassette is a recording of one test: those of all providers are one set.
            provider = "" if session.format == "cassette" else session.provider
            sets.setdefault((session.format, provider), []).append(session)
    rows = [_set(format_, provider, members) for (format_, provider), members in sets.items()]
    return tuple(sorted(rows, key=lambda row: -row.tally.requests))


def _set(format_: str, provider: str, sessions: Sequence[ValidatedSession]) -> SetFigures:
    bills = [session.money for session in sessions if session.money is not None]
    points = [point for session in sessions for point in session.points]
    return SetFigures(
        format=format_,
        provider=provider,
        sessions=len(sessions),
        tally=sum((session.tally for session in sessions), Tally()),
        money=_summed(bills),
        charges=sum((session.charges for session in sessions), Charges()),
        reasons=Counter(str(each.explanation.reason) for session in sessions for each in session.disagreements),
        errors=tuple(bill.error for bill in bills if bill.error is not None),
        settled_errors=tuple(bill.settled_error for bill in bills if bill.settled_error is not None),
        rules=Counter(rule for session in sessions for rule in session.rules),
        calibration=Calibration.of(points) if points else None,
    )


def _summed(bills: Sequence[Money]) -> Money:
    total = Money()
    for bill in bills:
        total = replace(
            total,
            recorded=total.recorded + bill.recorded,
            predicted=total.predicted + bill.predicted,
            settled=total.settled + bill.settled,
            charged=total.charged or bill.charged,
        )
    return total

"""What Holdfast saved and spent, as frozen values, a readable table and JSON. ``calls.savings`` computes them.

Every figure supposes that the model would have given the same replies to the caller's own requests.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field, fields, replace
from decimal import Context, Decimal
from typing import TypeAlias

from holdfast.report.figures import plural, span, tokens, usd
from holdfast.usage import Usage

ASSUMPTION = "assuming the same replies"
EXACT = Context(prec=100)
ZERO = Decimal(0)
MICRODOLLAR = Decimal("1e-6")

JsonValue: TypeAlias = "str | int | bool | list[JsonValue] | dict[str, JsonValue] | None"


@dataclass(frozen=True, slots=True)
class Figure:
    """An amount in USD, exact, and between which amounts it lies. ``low`` is never above ``usd``, nor ``high`` below it."""

    usd: Decimal = ZERO
    low: Decimal = ZERO
    high: Decimal = ZERO

    @classmethod
    def known(cls, amount: Decimal) -> Figure:
        """An amount that is no estimate."""
        return cls(amount, amount, amount)

    def __add__(self, other: Figure) -> Figure:
        return Figure(EXACT.add(self.usd, other.usd), EXACT.add(self.low, other.low), EXACT.add(self.high, other.high))

    def as_json(self) -> dict[str, JsonValue]:
        """Decimal strings, and what they suppose."""
        return {"usd": money(self.usd), "low": money(self.low), "high": money(self.high), "assumption": ASSUMPTION}


def money(amount: Decimal) -> str:
    """A decimal string without an exponent: every digit there is."""
    return f"{amount:f}"


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens of the measured requests, priced or not.

    ``billed`` is the usage as the provider reported it. ``given`` is what the caller's own history would have weighed, ``sent`` what
    Holdfast's does; ``read_predicted`` what an ideal cache would have read of what really went out. ``asked`` is of its own model calls.
    """

    given: int = 0
    sent: int = 0
    read_predicted: int = 0
    billed: Usage = field(default_factory=Usage)
    asked: Usage = field(default_factory=Usage)

    @property
    def removed(self) -> int:
        """How many prompt tokens were not sent."""
        return self.given - self.sent

    def __add__(self, other: Tokens) -> Tokens:
        return Tokens(
            self.given + other.given,
            self.sent + other.sent,
            self.read_predicted + other.read_predicted,
            self.billed + other.billed,
            self.asked + other.asked,
        )

    def as_json(self) -> dict[str, JsonValue]:
        """The counts by name."""
        return {
            "given": self.given,
            "sent": self.sent,
            "removed": self.removed,
            "read_predicted": self.read_predicted,
            "billed": {**self.billed.as_dict()},
            "asked": {**self.asked.as_dict()},
        }


@dataclass(frozen=True, slots=True)
class Break:
    """A cache read that fell short of the prediction although nothing was committed that explains it.

    ``read_predicted`` and ``read_billed`` are tokens, ``at`` is POSIX seconds, ``usd`` what it cost (``None``: no price is known).
    ``touched``: Holdfast had changed marks or content of this lineage before, so that the break may be its doing; if not, it is not.
    ``promised``: the provider's cache promises a lifetime; where it does not, a single short read is chance.
    """

    lineage: Hashable
    at: float
    model: str
    read_predicted: int
    read_billed: int
    prompt_tokens: int
    usd: Decimal | None
    touched: bool
    promised: bool


@dataclass(frozen=True, slots=True)
class Reads:
    """Predicted against billed cache reads.

    ``checked``: measured requests but the first of each lineage, at a cache that promises how long it keeps a prefix. ``agree``: the
    read is within 50 tokens or 1 % of the prompt of the predicted one; ``unplanned_breaks``: it is further below; the rest read more
    than predicted. ``unpromised``: requests checked at a cache that promises nothing; ``chance``: how many of them fell short.
    """

    checked: int = 0
    agree: int = 0
    unplanned_breaks: int = 0
    unpromised: int = 0
    chance: int = 0

    def __add__(self, other: Reads) -> Reads:
        return Reads(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def as_json(self) -> dict[str, JsonValue]:
        """The counts by name."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


@dataclass(frozen=True, slots=True)
class Report:
    """What was saved and spent so far. ``net`` is marks plus shortening, less calls and breaks, to the last digit.

    ``measured`` requests are those whose usage is known and fits the prompt; nothing is claimed for the others. ``billed`` is what
    the measured requests with a price cost, in USD; ``spent_on_calls`` comes on top. ``planned_breaks`` is the part of
    ``breaks_we_caused`` that commits rewrote; the rest are bills above the prediction, which may be the provider's doing and count as
    ours all the same. ``unpriced`` counts the measured requests of each model without a price: they are in ``tokens`` only.
    ``doubtful`` of the unmeasured ones have a usage that does not fit the weight of the prompt; ``uncosted`` could not be costed at all.
    ``impossible`` of the measured ones would not have fitted the model's window without Holdfast: what they would have cost nobody
    can say, so nothing is claimed for them either.
    ``would_have`` is the same account of requests that were only ``observed``: nothing of it was saved, and nothing of it is in
    the figures beside it.
    """

    requests: int = 0
    measured: int = 0
    unmeasured: int = 0
    doubtful: int = 0
    impossible: int = 0
    uncosted: int = 0
    saved_by_marks: Figure = field(default_factory=Figure)
    saved_by_shortening: Figure = field(default_factory=Figure)
    spent_on_calls: Figure = field(default_factory=Figure)
    breaks_we_caused: Figure = field(default_factory=Figure)
    net: Figure = field(default_factory=Figure)
    billed: Decimal = ZERO
    planned_breaks: Decimal = ZERO
    commits: int = 0
    tokens: Tokens = field(default_factory=Tokens)
    reads: Reads = field(default_factory=Reads)
    unpriced: tuple[tuple[str, int], ...] = ()
    observed: bool = False
    would_have: Report | None = None

    @property
    def paid(self) -> Decimal:
        """What the provider charged, in USD: the measured requests and, unless they were only observed, our model calls."""
        return self.billed if self.observed else EXACT.add(self.billed, self.spent_on_calls.usd)

    @property
    def otherwise(self) -> Figure:
        """What the measured requests would have cost without Holdfast; where they were only observed, with it."""
        net = self.net
        if self.observed:
            return Figure(*(EXACT.subtract(self.paid, amount) for amount in (net.usd, net.high, net.low)))
        return Figure(*(EXACT.add(self.paid, amount) for amount in (net.usd, net.low, net.high)))

    def __add__(self, other: Report) -> Report:
        """Two models' accounts as one. Intervals add up: the errors of two models are taken to be the same one, which is the wider."""
        added = {name: getattr(self, name) + getattr(other, name) for name in _ADDED}
        counted = dict(self.unpriced)
        for model, count in other.unpriced:
            counted[model] = counted.get(model, 0) + count
        return replace(
            self,
            **added,
            billed=EXACT.add(self.billed, other.billed),
            planned_breaks=EXACT.add(self.planned_breaks, other.planned_breaks),
            unpriced=tuple(counted.items()),
        )

    def __str__(self) -> str:
        return "\n".join(_lines(self))

    def as_json(self) -> dict[str, JsonValue]:
        """Money as decimal strings in USD; ``null`` for what does not exist."""
        return {
            "schema": "holdfast/report/1",
            "assumption": ASSUMPTION,
            **{name: getattr(self, name) for name in _COUNTS},
            "observed": self.observed,
            **{name: getattr(self, name).as_json() for name, _, _ in _ROWS},
            "billed_usd": money(self.billed),
            "with_holdfast" if self.observed else "without_holdfast": self.otherwise.as_json(),
            "planned_breaks_usd": money(self.planned_breaks),
            "tokens": self.tokens.as_json(),
            "reads": self.reads.as_json(),
            "unpriced": {**dict(self.unpriced)},
            "would_have": None if self.would_have is None else self.would_have.as_json(),
        }


_ROWS = (
    ("saved_by_marks", "saved by marks", 1),
    ("saved_by_shortening", "saved by shortening", 1),
    ("spent_on_calls", "spent on calls", -1),
    ("breaks_we_caused", "breaks we caused", -1),
    ("net", "net", 1),
)
"""Field, label, and with which sign it enters the net."""


_COUNTS = ("requests", "measured", "unmeasured", "doubtful", "impossible", "uncosted", "commits")
_ADDED = (*_COUNTS, "tokens", "reads", *(name for name, _, _ in _ROWS))


def _lines(report: Report) -> list[str]:
    """The whole table; that of requests which were only observed stands below, under a heading of its own."""
    seen = [] if report.would_have is None else _observed(report.would_have)
    if seen and not report.requests:
        return seen
    lines = [f"Holdfast: {_counted(report)}", *_table(report), _bill(report, "without Holdfast")]
    shortfall = EXACT.subtract(report.breaks_we_caused.usd, report.planned_breaks)
    if shortfall:
        lines.append(f"  {usd(shortfall)} of the breaks are bills above the prediction: counted as ours though they may be the provider's")
    return [*lines, *_notes(report), *(["", *seen] if seen else [])]


def _observed(report: Report) -> list[str]:
    heading = f"Only observed, nothing was saved: {_counted(report)}. Holdfast would have"
    return [heading, *_table(report), _bill(report, "with Holdfast"), *_notes(report)]


def _bill(report: Report, otherwise: str) -> str:
    other = report.otherwise
    return f"  billed {usd(report.paid)}; {otherwise} {usd(other.usd)} ({span(other.low, other.high)}), {ASSUMPTION}"


def _table(report: Report) -> list[str]:
    rows = [(label, _signed(sign, figure := getattr(report, name)), _between(figure, sign)) for name, label, sign in _ROWS]
    amount, interval = (max(len(row[column]) for row in rows) for column in (1, 2))
    return [f"  {label:<20} {shown:>{amount}}  {between:<{interval}}  {ASSUMPTION}" for label, shown, between in rows]


def _signed(sign: int, figure: Figure) -> str:
    return _dollars(figure.usd if sign > 0 else -figure.usd)


def _dollars(amount: Decimal) -> str:
    return f"\N{MINUS SIGN}{usd(-amount)}" if amount < 0 else usd(amount)


def _between(figure: Figure, sign: int) -> str:
    low, high = (figure.low, figure.high) if sign > 0 else (-figure.high, -figure.low)
    return "exact" if low == high else f"{_dollars(low)} to {_dollars(high)}"


def _counted(report: Report) -> str:
    said = plural(report.requests, "request")
    if report.unmeasured:
        why = f", {report.doubtful:,} of them with a usage that does not fit the prompt" if report.doubtful else ""
        said += f", {report.unmeasured:,} not measured{why} (nothing is claimed for them)"
    return said + (f", {plural(report.commits, 'commit')}" if report.commits else "")


def _notes(report: Report) -> list[str]:
    counts, notes = report.tokens, []
    if report.measured:
        read, prompt = counts.billed.read, counts.billed.prompt
        gone = f"{tokens(max(0, counts.removed))} {'more than it would have sent' if report.observed else 'not sent'}"
        notes.append(f"  tokens: {tokens(prompt)} billed, {tokens(read)} of them read from the cache; {gone}")
    for model, count in report.unpriced:
        notes.append(f"  no price is known for {model}: {plural(count, 'request')} in tokens only")
    if report.impossible:
        notes.append(
            f"  {plural(report.impossible, 'request')} would not have fitted the window without Holdfast: nothing is claimed for them"
        )
    if report.uncosted:
        notes.append(f"  {plural(report.uncosted, 'request')} could not be costed and are in no figure")
    return [*notes, *_said_of_reads(report.reads)]


def _said_of_reads(reads: Reads) -> list[str]:
    lines = []
    if reads.checked:
        said = f"{reads.agree:,} of {reads.checked:,} checked reads as predicted"
        lines.append(
            f"  unplanned breaks: {reads.unplanned_breaks:,} ({said})" if reads.unplanned_breaks else f"  no unplanned break ({said})"
        )
    if reads.unpromised:
        said = f"{reads.chance:,} of {reads.unpromised:,} read less than an ideal cache"
        lines.append(f"  {said}: this provider's promises nothing, so single reads are chance")
    return lines

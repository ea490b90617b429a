"""How figures are written: no more digits than are known, the same in every table and sentence."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

UNKNOWN = "\N{EN DASH}"


def usd(amount: Decimal) -> str:
    """Money with three figures or cents, whichever is fewer digits behind the point: $1,234, $12.35, $0.412, $0.0021."""
    size = abs(amount)
    if size >= 1000:
        return f"${amount:,.0f}"
    if size >= 1 or size == 0:
        return f"${amount:.2f}"
    return f"${amount:.3f}" if size >= Decimal("0.1") else f"${amount:.4f}"


def tokens(count: int) -> str:
    """A token count to three figures: 950, 1.52k, 15.2k, 152k, 1.52M."""
    if count < 1000:
        return str(count)
    value, unit = (count / 1000, "k") if count < 999_500 else (count / 1e6, "M")
    digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:.{digits}f}{unit}"


def percent(part: int | Decimal, whole: int | Decimal) -> str:
    """A share in whole percent; ``UNKNOWN`` of nothing. Only all of it is 100 %, and only none of it 0 %."""
    if not whole:
        return UNKNOWN
    shown = round(100 * part / whole)
    if shown == 100 and part < whole:
        return ">99 %"
    if shown == 0 and part > 0:
        return "<1 %"
    return f"{shown} %"


def change(amount: Decimal, base: Decimal | None) -> str:
    """By how much more or less than ``base``, in whole percent, with its sign."""
    if base is None or not base:
        return UNKNOWN
    if amount == base:
        return "="
    shown = round(100 * (amount - base) / base)
    sign = "+" if shown > 0 else "\N{MINUS SIGN}" if shown < 0 else "\N{PLUS-MINUS SIGN}"
    return f"{sign}{abs(shown):,} %"


def plural(count: int, noun: str) -> str:
    """``1 session``, ``1,204 sessions``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def iso(at: float | None) -> str | None:
    """POSIX seconds as ISO-8601 in UTC, to the millisecond."""
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def clock(at: float | None) -> str:
    """POSIX seconds as day and time in UTC, for a line of text."""
    return UNKNOWN if at is None else datetime.fromtimestamp(at, UTC).strftime("%m-%d %H:%M:%S")

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


def known(amount: Decimal, half: Decimal | None) -> str:
    """Money with no digit that ``half``, half the width of its interval, leaves open: $29 of 29.18 give or take 2.6.

    One figure of ``half`` is kept, two where the first is a 1. As ``usd`` has it where ``half`` is ``None`` or 0.
    """
    if not half:
        return usd(amount)
    first = half.adjusted()
    place = first - 1 if half.scaleb(-first) < 2 else first
    if amount:
        place = min(place, amount.adjusted())  # one figure at least
    most = len(usd(amount).partition(".")[2])
    return f"${amount.quantize(Decimal(1).scaleb(max(place, -most))):,f}"


def span(low: Decimal, high: Decimal) -> str:
    """An interval of money with as many digits as it knows: 28 to 33 dollars, a dash between."""
    half = (high - low) / 2
    return f"{known(low, half)}{UNKNOWN}{known(high, half)}".replace("$", "")


def tenths(part: int, whole: int) -> str:
    """A share in tenths of a percent, rounded down: only all of it is 100.0 %. ``UNKNOWN`` of nothing."""
    return f"{1000 * part // whole / 10:.1f} %" if whole else UNKNOWN


def tokens(count: int) -> str:
    """A token count to three figures: 950, 1.52k, 15.2k, 152k, 1.52M, 1.52B."""
    if count < 1000:
        return str(count)
    value, unit = (count / 1000, "k") if count < 999_500 else (count / 1e6, "M") if count < 999_500_000 else (count / 1e9, "B")
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

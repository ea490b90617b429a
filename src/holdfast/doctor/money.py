"""What lost tokens cost: what they were charged, less what reading them would have."""

from __future__ import annotations

from decimal import Context, Decimal

from holdfast.doctor.case import Explanation
from holdfast.doctor.findings import Cause, Diff, Verdict
from holdfast.doctor.observation import Observation
from holdfast.pricing import Price, cost
from holdfast.usage import Usage

_EXACT = Context(prec=100)
_BEHIND = ("write_1h", "write_12h", "write_5m", "write_30m", "fresh")
"""The classes behind what was read, in the order in which they stand in a prompt (*Prompt caching*, mixed lifetimes, 2026-08-21)."""


def lost_usd(tokens: int, usage: Usage, price: Price | None, at: float | None) -> Decimal | None:
    """USD paid for so many tokens right behind the read that could have been read; ``None`` where no price is known."""
    if price is None:
        return None
    rates = price.rates(usage.prompt, at)
    left, total = tokens, Decimal(0)
    for name in _BEHIND:
        taken = min(left, getattr(usage, name))
        if taken:
            more = _EXACT.subtract(rates.of(name), rates.of("read"))
            total = _EXACT.add(total, _EXACT.multiply(Decimal(taken), more.scaleb(-6, _EXACT)))
            left -= taken
    return total


def mispriced(obs: Observation, usage: Usage, price: Price | None) -> Explanation | None:
    """Whether the money on record is the bill of writes of another lifetime than those that were made (rajbos 1589)."""
    if price is None or obs.charged is None or not usage.written or _near(cost(usage, price, obs.at), obs.charged):
        return None
    swapped = Usage(usage.fresh, usage.read, usage.write_1h, usage.write_5m, usage.write_12h, usage.write_30m, usage.output)
    right, wrong = cost(usage, price, obs.at), cost(swapped, price, obs.at)
    if not _near(wrong, obs.charged):
        return None
    diff = Diff(f"{obs.charged} USD", f"{right.normalize():f} USD")
    return Explanation(Cause.ACCOUNTING_ERROR, "ttl_price_tier", Verdict.YOURS, "usage.cache_creation", diff)


def _near(one: Decimal, other: Decimal) -> bool:
    return abs(one - other) * 200 <= max(one, other)

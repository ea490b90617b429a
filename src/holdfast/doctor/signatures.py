"""Diagnoses from the bills alone: what a sequence of reads can tell where no bytes were recorded.

Without bytes nothing is proven: the verdict is *unknown*, and what could not be excluded is said.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from math import gcd

from holdfast.doctor.case import TOLERANCE, Explanation
from holdfast.doctor.findings import Cause, Verdict
from holdfast.doctor.observation import Observation
from holdfast.doctor.routes import Route
from holdfast.doctor.standing import VISIBLE_WITHIN, duration
from holdfast.usage import Usage

_NO_BYTES = "bytes: not recorded, so an edit behind the place that was read cannot be excluded"


@dataclass(frozen=True, slots=True)
class Bill:
    """One request of which only the bill is known."""

    index: int
    obs: Observation
    usage: Usage
    route: Route

    @property
    def cached(self) -> int:
        """The tokens of its prompt that stood in the cache when it was answered."""
        written = self.usage.read + self.usage.written
        return written if self.route.marked and written else self.usage.prompt

    @property
    def slack(self) -> int:
        """By how many tokens a read may fall short without being a loss."""
        return max(TOLERANCE, self.usage.prompt // 100, self.route.step)


@dataclass(frozen=True, slots=True)
class Short:
    """A bill that read less than the one before it left in the cache. ``behind`` and ``ahead`` are its lineage around it."""

    bill: Bill
    before: Bill
    behind: Sequence[Bill]
    ahead: Sequence[Bill]

    @property
    def could(self) -> int:
        """Tokens that it could have read, if it went on from the one before."""
        return min(self.before.cached, self.bill.usage.prompt)


def quantum(reads: Sequence[int]) -> int:
    """The unit of which all reads are multiples, 0 where they show none of 64 tokens or more."""
    unit = reduce(gcd, reads, 0)
    return unit if unit >= 64 and any(reads) else 0


def shorts(bills: Sequence[Bill]) -> list[Short]:
    """The bills of one lineage that read less than they could have.

    The first one must write; a prompt that shrank is another conversation's; where nothing was ever read, nothing shows that
    they are one conversation at all.
    """
    found: list[Short] = []
    if never_read(bills):
        return found
    for place, bill in enumerate(bills):
        before = next((other for other in reversed(bills[:place]) if _goes_on(other, bill)), None)
        if before is None:
            continue
        short = Short(bill, before, bills[:place], bills[place + 1 :])
        if short.could - bill.usage.read > bill.slack:
            found.append(short)
    return found


def _goes_on(before: Bill, now: Bill) -> bool:
    """Whether a bill may be the next of a conversation: its prompt is about as long or longer."""
    return 100 * now.usage.prompt >= 98 * before.usage.prompt and 20 * before.usage.prompt >= now.usage.prompt


def never_read(bills: Sequence[Bill]) -> bool:
    """Whether all of several requests wrote to the cache and none read from it."""
    return len(bills) > 1 and all(bill.usage.written and not bill.usage.read for bill in bills)


def explain_bill(short: Short) -> Explanation:
    """What the bills alone say."""
    return next(found for detect in _DETECTORS if (found := detect(short)))


def _gap(short: Short) -> float | None:
    if short.bill.obs.at is None or short.before.obs.at is None:
        return None
    return short.bill.obs.at - short.before.obs.at


def _lifetime(short: Short) -> float:
    if not short.bill.route.marked:
        return short.bill.route.idle
    if short.bill.route.rules in ("openai", "azure"):
        return 1800.0
    hour = any(bill.usage.write_1h for bill in [*short.behind, short.bill])
    return 3600.0 if hour else 300.0


def _scope(short: Short) -> Explanation | None:
    mine, theirs = short.bill.obs.account, short.before.obs.account
    if not mine or not theirs or mine == theirs:
        return None
    return Explanation(Cause.ACCOUNT_OR_SCOPE_CHANGED, "account_or_scope_changed", Verdict.YOURS, "", None, (_NO_BYTES,))


def _expired(short: Short) -> Explanation | None:
    gap = _gap(short)
    life = _lifetime(short)
    if gap is None or gap < life:
        return None
    fix = f"Send sooner, keep the prefix alive, or mark it for longer: {duration(gap)} passed and it lives {duration(life)}."
    return Explanation(Cause.TTL_EXPIRED, "ttl_expired", Verdict.UNKNOWN, "", None, (_NO_BYTES,), fix)


def _window(short: Short) -> Explanation | None:
    """A prompt that stays as long as it is while the read creeps on at a fixed share of it: an edit at a moving position (vizards 25)."""
    near = [bill for bill in [*short.behind[-4:], short.bill, *short.ahead[:4]] if _is_low(bill)]
    if len(near) < 3 or short.bill not in near or not short.bill.usage.read:
        return None
    prompts, reads = [bill.usage.prompt for bill in near], [bill.usage.read for bill in near]
    flat = 50 * (max(prompts) - min(prompts)) <= max(prompts)
    creeping = all(first <= second for first, second in pairwise(reads)) and reads[-1] > reads[0]
    if not flat or not creeping or 10 * (reads[-1] - reads[0]) > reads[-1] * 3:
        return None
    note = f"the prompt stays at about {prompts[-1]} tokens while the read rises slowly from {reads[0]} to {reads[-1]}"
    return Explanation(Cause.MESSAGES_REWRITTEN, "messages_rewritten:sliding_window", Verdict.UNKNOWN, "", None, (note, _NO_BYTES))


def _is_low(bill: Bill) -> bool:
    return 10 * bill.usage.read < 9 * bill.usage.prompt


def _floor(short: Short) -> Explanation | None:
    route = short.bill.route
    if route.rules and not route.engine:
        return None
    unit = quantum([bill.usage.read for bill in [*short.behind, short.bill, *short.ahead]])
    if not unit or short.could - short.bill.usage.read >= 2 * unit:
        return None
    fix = f"Nothing to fix in the prompt: reads come in blocks of {unit} tokens, so short prompts read nothing."
    return Explanation(Cause.BELOW_MINIMUM, "block_size_floor", Verdict.PROVIDER, "", None, (), fix)


def _below(short: Short) -> Explanation | None:
    least = short.bill.route.minimum
    if not least or short.bill.usage.read or short.bill.usage.written or short.bill.usage.prompt >= least:
        return None
    fix = f"{short.bill.obs.model} caches no prefix of under {least} tokens: grow the stable prefix or drop the marks."
    return Explanation(Cause.BELOW_MINIMUM, "below_minimum", Verdict.YOURS, "", None, (), fix)


def _lag(short: Short) -> Explanation | None:
    """The read is what the request before the last one left, and the last one has only just ended."""
    start = short.before.obs.at if short.before.obs.ended is None else short.before.obs.ended
    now = short.bill.obs.at
    if now is None or start is None or now - start > VISIBLE_WITHIN:
        return None
    read, slack = short.bill.usage.read, short.bill.slack
    earlier = [bill for bill in short.behind if bill is not short.before]
    if read <= slack and not earlier:
        fell_back = True
    else:
        fell_back = any(abs(bill.cached - read) <= slack for bill in earlier[-3:]) or abs(short.before.usage.read - read) <= slack < read
    if not fell_back:
        return None
    note = f"the entry was {duration(max(0.0, now - start))} old when it was asked for"
    return Explanation(Cause.PARALLEL_RACE, "write_not_yet_visible", Verdict.UNKNOWN, "", None, (note, _NO_BYTES))


def _implicit(short: Short) -> Explanation | None:
    if short.bill.route.rules != "google":
        return None
    return Explanation(Cause.SERVER_SIDE_UNEXPLAINED, "best_effort_implicit", Verdict.UNKNOWN, "", None, (_NO_BYTES,))


def _pinned(short: Short) -> Explanation | None:
    beside = [*short.behind[-1:], *short.ahead[:1]]
    read = short.bill.usage.read
    if not read or not any(abs(bill.usage.read - read) <= short.bill.slack and _is_low(bill) for bill in beside):
        return None
    note = "either an edit behind that head, or a limit of the provider's"
    return Explanation(Cause.SERVER_SIDE_UNEXPLAINED, "pinned_head", Verdict.UNKNOWN, "", None, (note, *_left_open(short)))


def _collapse(short: Short) -> Explanation:
    low = 2 * short.bill.usage.read < short.could
    detail = "head_only_collapse" if short.bill.usage.read and low else "server_side_unexplained"
    return Explanation(Cause.SERVER_SIDE_UNEXPLAINED, detail, Verdict.UNKNOWN, "", None, _left_open(short))


def _left_open(short: Short) -> tuple[str, ...]:
    gap = _gap(short)
    lifetime = "lifetime: no times are recorded" if gap is None else f"lifetime: {duration(gap)} passed, of {duration(_lifetime(short))}"
    return (lifetime, _NO_BYTES, "look-back: how many blocks the turn added is not recorded")


_DETECTORS: Sequence[Callable[[Short], Explanation | None]] = (
    _scope,
    _expired,
    _below,
    _window,
    _floor,
    _implicit,
    _lag,
    _pinned,
    _collapse,
)

"""Causes that lie beside the bytes: account, model, lifetime, a parallel start, settings.

Each takes entries away from a request. One is the cause where, of what the request could have read, most was out of its reach for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from holdfast.blocks import Role
from holdfast.doctor.book import Book, changed_settings, limited
from holdfast.doctor.case import Explanation, Kin
from holdfast.doctor.findings import Cause, Diff, Verdict
from holdfast.doctor.record import Record

VISIBLE_WITHIN = 10.0
"""Seconds after a response within which what it wrote was seen not to be readable yet (iterate/iterate pull 1888, 2026-07)."""

_BEGINS_WITHIN = 2.0
_SETTINGS = {
    "tool_choice": Cause.TOOL_CHOICE_CHANGED,
    "thinking": Cause.THINKING_CHANGED,
    "effort": Cause.EFFORT_CHANGED,
    "reasoning": Cause.EFFORT_CHANGED,
}
_CONFLICT = "reports conflict on whether {name} breaks the prefix: it depends on the model, and which is not published"


@dataclass(frozen=True, slots=True)
class Sifted:
    """What is left of the earlier requests once the causes beside the bytes are taken away, or the cause that took most."""

    left: Sequence[Kin]
    cause: Explanation | None = None


def potential(now: Record, kin: Kin) -> int:
    """Tokens of a request that an earlier one would have let it read."""
    return max(now.size(kin.shared), kin.kept)


def best(now: Record, kin: Sequence[Kin]) -> int:
    """The most that any of them would have let it read."""
    return max((potential(now, one) for one in kin), default=0)


def sift(now: Record, kin: Sequence[Kin], book: Book, read: int) -> Sifted:
    """Take away, one after the other, what was out of reach for another account, another model, age, parallelism and settings."""
    loss = best(now, kin) - read
    left = list(kin)
    for reachable, explain in _SIEVES:
        kept = [one for one in left if reachable(now, one, book)]
        if 2 * (best(now, left) - best(now, kept)) > loss:
            lost = [one for one in left if one not in kept]
            most = best(now, lost)
            nearest = [one for one in lost if 2 * potential(now, one) > most]
            return Sifted(kept, explain(now, nearest[-1], book))
        left = kept
    tiers = [limited(now, one) for one in left]
    if 2 * (best(now, left) - best(now, tiers)) > loss:
        most = best(now, left)
        source = [one for one in left if potential(now, one) == most][-1]
        return Sifted(tiers, _settings(now, source, limited(now, source), read))
    return Sifted(tiers)


def _same_scope(now: Record, kin: Kin, book: Book) -> bool:
    mine, theirs = now.obs, kin.record.obs
    if mine.account and theirs.account and mine.account != theirs.account:
        return False
    return not (mine.endpoint and theirs.endpoint and ("batch" in mine.endpoint) != ("batch" in theirs.endpoint))


def _explain_scope(now: Record, kin: Kin, book: Book) -> Explanation:
    mine, theirs = now.obs, kin.record.obs
    diff = Diff(theirs.account, mine.account) if mine.account != theirs.account else Diff(theirs.endpoint, mine.endpoint)
    excluded = [f"{name} changed too, but caches are apart by account whatever the settings" for name in changed_settings(now, kin.record)]
    return Explanation(Cause.ACCOUNT_OR_SCOPE_CHANGED, "account_or_scope_changed", Verdict.YOURS, "", diff, tuple(excluded))


def _same_model(now: Record, kin: Kin, book: Book) -> bool:
    return not now.model or not kin.record.model or now.model == kin.record.model


def _explain_model(now: Record, kin: Kin, book: Book) -> Explanation:
    return Explanation(Cause.MODEL_CHANGED, "model_changed", Verdict.YOURS, "model", Diff(kin.record.model, now.model))


def _alive(now: Record, kin: Kin, book: Book) -> bool:
    if now.clock is None or kin.record.clock is None:
        return True
    return now.clock - kin.record.clock < book.lifetime(kin.record, kin.shared)


def _explain_age(now: Record, kin: Kin, book: Book) -> Explanation:
    gap = (now.clock or 0.0) - (kin.record.clock or 0.0)
    life = book.lifetime(kin.record, kin.shared)
    fix = (
        "Send the next request sooner, keep the prefix alive with small requests, or mark it for longer where pauses are long: "
        f"{duration(gap)} passed since it was last used, and it lives {duration(life)}."
    )
    verdict = Verdict.YOURS if now.route.marked else Verdict.UNKNOWN
    excluded = () if now.route.marked else ("this provider promises no lifetime: the one assumed is typical",)
    return Explanation(Cause.TTL_EXPIRED, "ttl_expired", verdict, "", None, excluded, fix)


def _begun(now: Record, kin: Kin, book: Book) -> bool:
    start, end = kin.record.clock, kin.record.obs.ended
    answered = kin.shared == len(kin.record.blocks) < len(now.blocks) and now.blocks[kin.shared].role is Role.ASSISTANT
    if now.clock is None or start is None or answered:  # who holds the answer did not start before it, whatever the clocks say
        return True
    return now.clock >= (start + _BEGINS_WITHIN / 2 if end is None else end - _BEGINS_WITHIN / 4)


def _explain_race(now: Record, kin: Kin, book: Book) -> Explanation:
    after = (now.clock or 0.0) - (kin.record.clock or 0.0)
    fix = (
        f"Send one request, wait for its first token, then start the others: this one began {duration(after)} after request "
        f"{kin.record.index}, whose response had not ended, and an entry can be read only once the response that writes it has begun."
    )
    verdict = Verdict.YOURS if after <= _BEGINS_WITHIN else Verdict.UNKNOWN
    excluded = () if verdict is Verdict.YOURS else ("when the earlier response began is not recorded, only when it ended",)
    return Explanation(Cause.PARALLEL_RACE, "parallel_start", verdict, "", None, excluded, fix)


Reachable = Callable[[Record, Kin, Book], bool]
Explain = Callable[[Record, Kin, Book], Explanation]
_SIEVES: tuple[tuple[Reachable, Explain], ...] = (
    (_same_scope, _explain_scope),
    (_same_model, _explain_model),
    (_alive, _explain_age),
    (_begun, _explain_race),
)


def _settings(now: Record, source: Kin, within: Kin, read: int) -> Explanation:
    """The setting that differs, or, where the read contradicts what that setting loses, what is not known."""
    changed = changed_settings(now, source.record)
    name = next(iter(changed), "")
    before, after = changed.get(name, (None, None))
    cause = _SETTINGS.get(name, Cause.SETTINGS_CHANGED)
    detail = str(cause) if cause is not Cause.SETTINGS_CHANGED else f"settings_changed:{name}"
    diff = Diff(str(before or "not set"), str(after or "not set"))
    excluded = [f"{other} changed as well" for other in list(changed)[1:]]
    verdict = Verdict.YOURS
    if name in ("thinking", "effort"):
        excluded.append(_CONFLICT.format(name=name))
    if not now.obs.account and cause is Cause.TOOL_CHOICE_CHANGED:
        verdict = Verdict.UNKNOWN
        excluded.append("the account is not recorded: a rotated key or account looks the same, and would lose as much")
    kept = now.size(within.shared)
    if cause is Cause.TOOL_CHOICE_CHANGED and read < kept - max(50, now.usage.prompt // 100):
        lost = f"tool_choice changed, but that loses the messages only: {kept} tokens before them should have been read, {read} were"
        return Explanation(Cause.SERVER_SIDE_UNEXPLAINED, "server_side_unexplained", Verdict.UNKNOWN, "", None, (lost, *excluded))
    return Explanation(cause, detail, verdict, name, diff, tuple(excluded))


def duration(seconds: float) -> str:
    """A time span as people say it."""
    if seconds < 120:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"

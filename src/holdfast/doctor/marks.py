"""Causes at the marks: the bytes are the same and alive, but no entry stands where the request looks."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

from holdfast.blocks import Mark, Role
from holdfast.doctor.book import Book
from holdfast.doctor.case import Case, Explanation
from holdfast.doctor.changes import explain_bytes
from holdfast.doctor.findings import Cause, Verdict
from holdfast.doctor.places import place_of
from holdfast.doctor.record import Record

LIMIT = 4


def refused(record_marks: tuple[Mark, ...]) -> Explanation | None:
    """What of a request's marks the provider refuses: a fifth one, or an hour behind five minutes (*Prompt caching*, 2026-08-21)."""
    if len(record_marks) > LIMIT:
        return Explanation(Cause.BREAKPOINT_LIMIT, "breakpoint_limit", Verdict.YOURS)
    ordered = sorted(record_marks, key=lambda mark: mark.position)
    if any(first.ttl < second.ttl for first, second in pairwise(ordered)):
        return Explanation(Cause.BREAKPOINT_TTL_ORDER, "breakpoint_ttl_order", Verdict.YOURS)
    return None


def explain_marks(case: Case, book: Book, reach: int) -> Explanation:
    """Why a live prefix was not found, where the rules say that only ``reach`` blocks are."""
    now, source = case.now, case.source
    gain = case.shared - now.size(reach)
    if now.route.rules == "anthropic" and (found := refused(now.prompt.marks) or refused(source.record.prompt.marks)):
        return found
    if 2 * (now.size(book.reach(now, "minimum")) - now.size(reach)) > gain:
        return _below_minimum(case)
    if 2 * (now.size(book.reach(now, "look_back")) - now.size(reach)) > gain:
        return _look_back(case, source.record)
    return _misplaced(case, source.record, source.shared, reach)


def _below_minimum(case: Case) -> Explanation:
    least = case.now.route.minimum or 1024
    fix = (
        f"{case.now.model} caches no prefix of under {least} tokens and says nothing of it: grow the stable prefix beyond that, "
        "or drop the marks."
    )
    return Explanation(Cause.BELOW_MINIMUM, "below_minimum", Verdict.YOURS, "", None, (), fix)


def _look_back(case: Case, before: Record) -> Explanation:
    marks = [mark.position for mark in case.now.prompt.marks]
    tail = max(marks, default=-1)
    old = max((mark.position for mark in before.prompt.marks if mark.position < case.now.chain.length), default=-1)
    excluded = (f"the prefix is unchanged and alive: its entry is {tail - old} blocks before the mark, and a mark looks at 20 positions",)
    return Explanation(
        Cause.BREAKPOINT_LOOKBACK_EXCEEDED, "breakpoint_lookback_exceeded", Verdict.YOURS, place_of(case.now, old), None, excluded
    )


def _misplaced(case: Case, before: Record, shared: int, reach: int) -> Explanation:
    now = case.now
    where = place_of(now, shared - 1)
    behind = [mark.position for mark in before.prompt.marks if mark.position >= reach]
    if not behind:
        return Explanation(Cause.BREAKPOINT_MISPLACED, "no_breakpoint_on_stable_prefix", Verdict.YOURS, where)
    if all(position < shared for position in behind):
        excluded = ("an earlier request wrote an entry there, but no mark of this one finds it",)
        return Explanation(Cause.BREAKPOINT_MISPLACED, "breakpoint_misplaced", Verdict.YOURS, where, None, excluded)
    volatile = max(behind)
    if (found := _changed_tail(case, before, shared)) is not None:
        return found
    goes_on = len(now.spans) > before.message_at(shared - 1) + 2 and before.message_at(volatile) >= 0
    hoisted = before.blocks[volatile].role is Role.SYSTEM and volatile >= before.chain.head
    if (goes_on and shared > before.chain.head) or hoisted:
        tail = place_of(before, volatile)
        excluded = (f"the mark stood on {tail}, which is not there any more",)
        return Explanation(Cause.BREAKPOINT_MISPLACED, "breakpoint_on_volatile_block", Verdict.YOURS, tail, None, excluded)
    return Explanation(Cause.BREAKPOINT_MISPLACED, "breakpoint_misplaced", Verdict.YOURS, where)


def _changed_tail(case: Case, before: Record, shared: int) -> Explanation | None:
    """Where the end of the earlier prompt is not just gone, but sent otherwise: part of it is kept, or several messages were replaced."""
    if shared <= before.chain.head or shared >= len(before.blocks):
        return None
    kept = set(before.keys[shared:]) & set(case.now.keys[shared:])
    replaced = len(before.spans) - before.message_at(shared) > 2
    if not kept and not replaced:
        return None
    parent = next(kin for kin in case.kin if kin.record is before)
    return explain_bytes(dataclasses.replace(case, parent=parent))

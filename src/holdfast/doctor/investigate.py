"""One request against the book: did it read less than it could have, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from holdfast.blocks import Role
from holdfast.doctor import summaries
from holdfast.doctor.book import Book
from holdfast.doctor.case import Case, Explanation, Kin, candidates, slack_of
from holdfast.doctor.changes import explain_bytes
from holdfast.doctor.findings import Cause
from holdfast.doctor.marks import explain_marks
from holdfast.doctor.record import Record
from holdfast.doctor.silent import explain_silence
from holdfast.doctor.standing import best, potential, sift

_COMPACTIONS = (Cause.COMPACTION, Cause.WRONG_COMPACTION_TIMING)
_LOOKED_AT = 400


@dataclass(frozen=True, slots=True)
class Loss:
    """Tokens that a request could have read and did not, and why."""

    tokens: int
    why: Explanation
    parent: Record


def investigate(now: Record, book: Book) -> Loss | None:
    """What a request lost, ``None`` if nothing. The book holds what came before it."""
    earlier = [record for record in book.records if record is not now][-_LOOKED_AT:]
    read, slack = now.usage.read, slack_of(now)
    if not any(min(_left_by(record), now.usage.prompt) - read > slack for record in earlier):
        return None
    kin = candidates(now, earlier)
    could = min(best(now, kin) + _own_answer(now, kin), now.usage.prompt)
    if could - read <= slack or _too_short_to_cache(now, kin, could):
        return _beside_a_summary(now, earlier, kin, book)
    sifted = sift(now, kin, book, read)
    if sifted.cause is not None:
        return Loss(could - read, sifted.cause, _parent(now, kin).record)
    if (loss := _beside_a_summary(now, earlier, kin, book)) is not None:
        return loss
    case = _case(now, sifted.left, book, could)
    why = _weighed(case, book)
    parent = case.parent.record
    if why.cause in _COMPACTIONS:
        return Loss(max(0, min(parent.usage.prompt, now.usage.prompt) - read), why, parent)
    return Loss(could - read, why, parent)


def _left_by(record: Record) -> int:
    """The most that a request can have left to be read: its prompt and, on a server of one's own, its answer."""
    return record.usage.prompt + (record.usage.output if record.route.engine else 0)


def _too_short_to_cache(now: Record, kin: Sequence[Kin], could: int) -> bool:
    """Whether what it shares with others is under the minimum, so that nobody could have read it.

    A loss is that only where marks ask for a whole prompt to be cached that is too short for it.
    """
    least = now.route.minimum or 0
    asked = now.prompt.marks and min(now.usage.prompt, _parent(now, kin).record.usage.prompt) < least
    return could < least and not asked


def _parent(now: Record, kin: Sequence[Kin]) -> Kin:
    return max(kin, key=lambda one: (potential(now, one), one.shared, one.record.index))


def _source(now: Record, kin: Sequence[Kin]) -> Kin:
    return max(kin, key=lambda one: (one.shared, one.record.index))


def _own_answer(now: Record, kin: Sequence[Kin]) -> int:
    """On a server of one's own the answer is cached as it is generated: what of it stands right behind the shared prefix."""
    if not now.route.engine:
        return 0
    source = _source(now, kin)
    if source.shared < len(source.record.blocks):
        return 0
    stop = source.shared
    while stop < len(now.blocks) and now.blocks[stop].role is Role.ASSISTANT:
        stop += 1
    return min(now.size(stop) - now.size(source.shared), source.record.usage.output)


def _case(now: Record, left: Sequence[Kin], book: Book, could: int) -> Case:
    source, parent = _source(now, left), _parent(now, left)
    return Case(now, left, parent, source, now.usage.read, could, slack_of(now), book.lifetime(source.record, source.shared))


def _weighed(case: Case, book: Book) -> Explanation:
    """Of bytes, marks and silence the one that explains most of the loss."""
    now = case.now
    by_rules = now.route.marked and case.marks_known
    reach = book.reach(now) if by_rules else case.source.shared
    found = min(now.size(reach), case.could)
    silent = found - case.read
    could = max(potential(now, case.parent), case.shared)
    if could > case.shared + case.slack:
        return explain_bytes(case) if could - found >= silent else explain_silence(case)
    if by_rules and case.shared - found > silent:
        return explain_marks(case, book, reach)
    return explain_silence(case)


def _beside_a_summary(now: Record, earlier: Sequence[Record], kin: Sequence[Kin], book: Book) -> Loss | None:
    """Requests that share no more than a head and yet belong together: one that sums up as plain text, the first behind a summary."""
    source = _source(now, kin)
    if source.shared > max(now.chain.head, source.record.chain.head):
        return None
    recent = [record for record in earlier[-8:] if not summaries.asks_for_summary(record)]
    if not recent:
        return None
    before = max(recent, key=lambda record: (record.usage.prompt, record.index))
    tokens = min(before.usage.prompt, now.usage.prompt) - now.usage.read
    related = next((one for one in kin if one.record is before), None)
    if related is None or tokens <= slack_of(now):
        return None
    case = Case(now, kin, related, source, now.usage.read, now.usage.prompt, slack_of(now), book.lifetime(before, related.shared))
    if summaries.asks_for_summary(now) and summaries.quotes(now, before) and (why := summaries.explain_summary_request(case)):
        return Loss(tokens, why, before)
    if related.shared >= now.chain.head and summaries.follows_summary(now, list(earlier)) and now.usage.prompt < before.usage.prompt:
        return Loss(tokens, summaries.explain_compaction(case), before)
    return None

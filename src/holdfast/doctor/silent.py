"""Causes that leave no trace in the request: the entry should have been found by all that is known, and was not."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from holdfast.blocks import Kind, Role
from holdfast.doctor.book import changed_settings, tier_reach
from holdfast.doctor.case import Case, Explanation, Kin
from holdfast.doctor.findings import Cause, Verdict
from holdfast.doctor.places import message_place
from holdfast.doctor.record import Record
from holdfast.doctor.signatures import quantum
from holdfast.doctor.standing import VISIBLE_WITHIN, duration


def explain_silence(case: Case) -> Explanation:
    """Why a prefix that is unchanged, alive and marked was not read."""
    return next(found for detect in _DETECTORS if (found := detect(case)))


def excluded(case: Case) -> tuple[str, ...]:
    """What else it could have been, and why it was not, or why that is not known."""
    source = case.source.record
    gap = case.gap(source)
    said = [f"bytes: the first {case.now.size(case.source.shared)} tokens are those of request {case.source.record.index}"]
    if not case.now.obs.body and all(block.kind is Kind.OPAQUE for block in case.now.prompt.head):
        said = ["bytes: tools and system prompt are not recorded, so a change of them cannot be excluded; the messages are the same"]
    if gap is None:
        said.append("lifetime: not known, no times are recorded")
    elif case.lifetime == float("inf"):
        said.append(f"lifetime: none is known of this provider; {duration(gap)} since the prefix was used")
    else:
        said.append(f"lifetime: {duration(gap)} since the prefix was used, of {duration(case.lifetime)}")
    if case.now.obs.account and source.obs.account:
        said.append("account: the same")
    elif case.read:
        said.append("account: not recorded, but another one would hardly have read the head")
    else:
        said.append("account: not recorded, so a rotated key or another organisation cannot be excluded")
    said.append(_settings_said(case))
    if case.now.route.marked:
        said.append("marks: an entry stood within reach" if case.marks_known else "marks: not recorded")
    return tuple(said)


def _settings_said(case: Case) -> str:
    now, source = case.now, case.source
    changed = changed_settings(now, source.record)
    if not changed:
        return "settings and model: the same" if now.obs.body else "model: the same; what other settings were sent is not all recorded"
    kept = now.size(min(source.shared, tier_reach(now, source.record)))
    return f"settings: {', '.join(changed)} changed, but that leaves {kept} tokens to be read, and {case.read} were"


def _proven(case: Case) -> Verdict:
    """The provider's doing only where times and marks are on record, and the account is or can be told by a read; else nobody can know."""
    source = case.source.record
    if changed_settings(case.now, source):
        return Verdict.UNKNOWN
    same_account = bool(case.read) or bool(case.now.obs.account and source.obs.account)
    known = case.gap(source) is not None and case.marks_known and bool(case.now.obs.body) and same_account
    return Verdict.PROVIDER if known else Verdict.UNKNOWN


def _engine(case: Case) -> Explanation | None:
    """Servers of one's own: whole blocks only, answers that are not reused, thinking that the template drops."""
    if not case.now.route.engine:
        return None
    if found := _template(case):
        return found
    before = case.parent.record.usage
    if before.output > 50 and abs(case.read - before.prompt) <= 2 and case.could > before.prompt:
        return Explanation(Cause.SERVER_SIDE_UNEXPLAINED, "engine_bug", Verdict.PROVIDER, "", None, excluded(case))
    reads = [kin.record.usage.read for kin in case.kin] + [case.read]
    unit = quantum(reads)
    if unit and case.could - case.read < 2 * unit:
        blocks = f"reads come in blocks of {unit} tokens and the last one never counts"
        fix = f"Nothing to fix in the prompt: {blocks}, so short prompts read nothing."
        return Explanation(Cause.BELOW_MINIMUM, "block_size_floor", Verdict.PROVIDER, "", None, (), fix)
    return None


def _template(case: Case) -> Explanation | None:
    """A new user message after a loop of tools: the template renders earlier answers without their thinking."""
    now, before = case.now, case.parent.record
    new = now.prompt.messages[len(before.prompt.messages) :]
    asked = any(message.is_plain_user for message in new)
    loops = [index for index, message in enumerate(before.prompt.messages) if message.is_plain_user]
    since = now.spans[loops[-1]] if loops else now.chain.head
    thoughts = [place for place in range(since, len(now.blocks)) if now.blocks[place].kind is Kind.THINKING]
    if not asked or not thoughts or case.read > now.size(thoughts[0]) + case.slack:
        return None
    reason = ("no message was edited: the chat template drops the thinking of earlier turns when a user message comes",)
    where = message_place(now, now.message_at(thoughts[0]))
    return Explanation(Cause.THINKING_CHANGED, "thinking_stripped_by_template", Verdict.PROVIDER, where, None, reason)


def _hoisted(case: Case) -> Explanation | None:
    """A system message in the middle: some gateways' templates move it to the front, which changes everything behind."""
    now, before = case.now, case.parent.record
    if now.route.rules == "anthropic" and now.obs.provider in ("anthropic", ""):
        return None
    start = len(before.prompt.messages)
    new = [index for index in range(start, len(now.prompt.messages)) if now.prompt.messages[index].role is Role.SYSTEM]
    if not new or case.read > max(now.size(now.chain.head), case.slack) + case.slack:
        return None
    where = message_place(now, new[0])
    detail = "message_inserted_before_tail:hoisted_system"
    return Explanation(Cause.MESSAGE_INSERTED_BEFORE_TAIL, detail, Verdict.YOURS, where, None, excluded(case))


def _lag(case: Case) -> Explanation | None:
    """The newest entry is only seconds old, and the read is what the older ones give."""
    now = case.now
    ages = [(kin, _age(now, kin.record)) for kin in case.kin]
    source = case.source.record
    age = _age(now, source)
    if age is None or age > VISIBLE_WITHIN:
        return None
    old = [kin for kin, since in ages if since is None or since > VISIBLE_WITHIN]
    before = max((now.size(kin.shared) for kin in old), default=0)
    fell_back = any(abs(case.read - now.size(kin.shared)) <= case.slack for kin in case.kin if now.size(kin.shared) < case.shared)
    if case.read + case.slack < before or not (case.read <= before + case.slack or fell_back):
        return None
    note = f"the entry was {duration(max(0.0, age))} old when it was asked for, and the read is what older entries give"
    return Explanation(Cause.PARALLEL_RACE, "write_not_yet_visible", Verdict.PROVIDER, "", None, (note, *excluded(case)))


def _age(now: Record, before: Record) -> float | None:
    """Seconds from the end of the response that wrote an entry (from its start, where that is not known) to a request."""
    if now.clock is None or before.clock is None:
        return None
    return now.clock - (before.clock if before.obs.ended is None else before.obs.ended)


def _pinned_unmarked(case: Case) -> Explanation | None:
    """GPT-5.6 and later without explicit marks: the read stays at the system messages (ax-llm/ax 573)."""
    now = case.now
    if not now.route.marked or now.route.rules not in ("openai", "azure") or now.prompt.marks or not case.marks_known:
        return None
    if case.read > now.size(now.chain.head) + case.slack and not _pinned(case):
        return None
    where = message_place(now, max(0, now.message_at(case.source.shared - 1)))
    detail = "no_breakpoint_on_stable_prefix"
    return Explanation(Cause.BREAKPOINT_MISPLACED, detail, Verdict.YOURS, where, None, excluded(case))


def _best_effort(case: Case) -> Explanation | None:
    """Caches without marks promise nothing; one that reads the same small head again and again is another matter."""
    if not case.now.route.implicit or (_pinned(case) and 2 * case.read < case.could):
        return None
    return Explanation(Cause.SERVER_SIDE_UNEXPLAINED, "best_effort_implicit", Verdict.PROVIDER, "", None, excluded(case))


def _pinned(case: Case) -> bool:
    """Whether the request before, of the same lineage, read as little."""
    last = _last_of_lineage(case)
    return last is not None and case.read > 0 and abs(last.record.usage.read - case.read) <= case.slack


def _last_of_lineage(case: Case) -> Kin | None:
    return next((kin for kin in reversed(case.kin) if kin.shared >= case.now.chain.head and kin.kept), None)


def _collapse(case: Case) -> Explanation:
    head = case.now.size(case.now.chain.head)
    if not case.read or (2 * case.read >= case.could and case.read > head + head // 20 + case.slack):
        detail = "server_side_unexplained"
    else:
        detail = "pinned_head" if _pinned(case) else "head_only_collapse"
    return Explanation(Cause.SERVER_SIDE_UNEXPLAINED, detail, _proven(case), "", None, excluded(case))


def _shrunk(case: Case) -> Explanation | None:
    """A transcript whose messages only grow, while the prompts that were billed shrank: something was taken out that it does not show."""
    now, before = case.now, case.parent.record
    if now.obs.body or case.parent.shared < before.chain.length or now.usage.prompt >= before.usage.prompt - case.slack:
        return None
    note = f"the record only grows, but the prompt shrank from {before.usage.prompt} to {now.usage.prompt} tokens"
    return Explanation(Cause.MESSAGES_REWRITTEN, "messages_rewritten", Verdict.YOURS, "", None, (note,))


def _unmarked_tail(case: Case) -> Explanation | None:
    """Where marks are not recorded the bill tells: what was read is all that was cached, and the tail behind it was sent without a mark."""
    source = case.source.record
    cached = source.usage.read + source.usage.written
    if case.marks_known or not case.now.route.marked or abs(case.read - cached) > case.slack or source.usage.fresh <= case.slack:
        return None
    note = f"request {source.index} left {source.usage.fresh} tokens behind its last mark"
    return Explanation(Cause.BREAKPOINT_MISPLACED, "no_breakpoint_on_stable_prefix", Verdict.YOURS, "", None, (note,))


_DETECTORS: Sequence[Callable[[Case], Explanation | None]] = (
    _shrunk,
    _unmarked_tail,
    _engine,
    _hoisted,
    _lag,
    _pinned_unmarked,
    _best_effort,
    _collapse,
)

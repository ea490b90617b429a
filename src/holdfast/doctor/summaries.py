"""Compactions: requests that ask for a summary, requests that begin behind one, and when they were made."""

from __future__ import annotations

import re

from holdfast.blocks import Kind, Role
from holdfast.doctor.case import Case, Explanation
from holdfast.doctor.findings import Cause, Diff, Verdict
from holdfast.doctor.places import place_of
from holdfast.doctor.record import Record

_ASKS = re.compile(
    r"\b(?:summari[sz](?:e|er|ing)|compact(?:ion)?|condense|hand-?off|(?:detailed|concise|structured) summary|"
    r"summary of (?:the|this|our))\b",
    re.IGNORECASE,
)
_GOES_ON = re.compile(
    r"session is being continued from|conversation (?:history|so far)? ?(?:was|has been|is) (?:compacted|summari[sz]ed)|"
    r"<(?:conversation-)?summary>|summary of (?:the|our|this) (?:previous |earlier )?conversation|\[?compact(?:ed|ion) summary",
    re.IGNORECASE,
)
_QUOTED = 40
_FLATTENED = 3
_LOOKED = 3000


def asks_for_summary(record: Record) -> bool:
    """Whether a request asks for a summary of what it holds: in its system prompt, or in the last words of the user."""
    head = " ".join(block.text[:_LOOKED] for block in record.prompt.head if block.role is Role.SYSTEM)
    words = [block.text for block in record.blocks[record.chain.head :] if block.kind is Kind.TEXT and block.role is not Role.ASSISTANT]
    last = words[-1] if words else ""
    return bool(_ASKS.search(last[:_LOOKED]) or _ASKS.search(last[-_LOOKED:]) or (_ASKS.search(head) and len(head) < _LOOKED))


def quotes(now: Record, before: Record) -> bool:
    """Whether a request holds an earlier one's messages as plain text: a conversation written into a prompt."""
    own = {block.fingerprint for block in now.blocks}
    text = "\n".join(block.text for block in now.blocks if len(block.text) > _QUOTED)
    longer = [block for block in before.blocks[before.chain.head :] if len(block.text) >= _QUOTED and block.fingerprint not in own]
    found = sum(_plain(block.text) in text or block.text[:_QUOTED] in text for block in longer[:50])
    return bool(longer) and found >= min(_FLATTENED, len(longer)) and 2 * found >= min(len(longer), 50)


def _plain(text: str) -> str:
    return text[:_QUOTED]


def explain_summary_request(case: Case) -> Explanation | None:
    """A request for a summary that does not extend the conversation it sums up."""
    now, before = case.now, case.parent.record
    if asks_for_summary(before) or not asks_for_summary(now):
        return None
    place = case.parent.shared
    changed = "tools" if place < before.chain.tools else "system" if place < before.chain.head else "messages"
    if changed == "messages" and case.parent.shared >= before.chain.length - 1:
        return None
    where = place_of(now, place)
    one = before.blocks[place].text if place < len(before.blocks) else ""
    other = now.blocks[place].text if place < len(now.blocks) else ""
    diff = Diff(one[:200], other[:200])
    return Explanation(Cause.COMPACTION_REQUEST_PREFIX, "compaction_request_prefix", Verdict.YOURS, where, diff)


def follows_summary(now: Record, earlier: list[Record]) -> bool:
    """Whether a request's first message is a summary: by its words, or because it holds an earlier answer to a request for one."""
    opening = [block.text for message in list(now.prompt.messages)[:2] for block in message.blocks if block.kind is Kind.TEXT]
    if any(_GOES_ON.search(text[:_LOOKED]) for text in opening):
        return True
    answers = [record.obs.answer.strip() for record in earlier[-6:] if record.obs.answer and asks_for_summary(record)]
    return any(len(answer) >= _QUOTED and answer[:200] in text for answer in answers for text in opening)


def explain_compaction(case: Case) -> Explanation:
    """The first request behind a compaction; one made while the prefix was warm, right after it had been written, came too early."""
    before, place = case.parent.record, case.parent.shared
    where = place_of(case.now, place)
    diff = Diff(f"{before.usage.prompt} tokens", f"{case.now.usage.prompt} tokens")
    kept = case.now.size(place)
    share = f"{kept} of the {before.usage.read + before.usage.written or before.usage.prompt} tokens cached before are kept"
    if (window := _counted_twice(case)) is not None:
        return Explanation(Cause.WRONG_COMPACTION_TIMING, "usage_semantics", Verdict.YOURS, where, diff, (window, share))
    gap = case.gap(before)
    if (
        gap is not None
        and gap < case.lifetime
        and before.usage.read < before.usage.prompt // 10
        and before.usage.written > before.usage.prompt // 2
    ):
        excluded = (f"the request before read {before.usage.read} tokens and wrote {before.usage.written}: its prefix was hot", share)
        return Explanation(Cause.WRONG_COMPACTION_TIMING, "compaction_timing_inverted", Verdict.YOURS, where, diff, excluded)
    return Explanation(Cause.COMPACTION, "compaction", Verdict.YOURS, where, diff, (share,))


def _counted_twice(case: Case) -> str | None:
    """Whether the compaction came where the prompt with its cached part added once more fills the window (opencode 4416)."""
    before, price = case.parent.record, case.now.route.price
    window = price.context_window if price else None
    if not window or before.usage.written or case.now.route.marked:
        return None
    prompt, doubled = before.usage.prompt, before.usage.prompt + before.usage.read
    if prompt * 10 > window * 6 or doubled * 100 < window * 85:
        return None
    twice = f"only with its {before.usage.read} cached tokens counted twice ({doubled}) is the window near"
    return f"the prompt had {prompt} of {window} tokens; {twice}"

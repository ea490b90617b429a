"""Causes in the bytes of the history: earlier messages that are sent again otherwise than they were sent."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence

from holdfast.blocks import Block, Kind, Role
from holdfast.doctor import summaries
from holdfast.doctor.case import Case, Explanation
from holdfast.doctor.differences import json_difference, likeness, sorted_form, text_difference
from holdfast.doctor.findings import Cause, Diff, Verdict
from holdfast.doctor.places import message_place, place_of
from holdfast.doctor.record import canonical_text

_PLACEHOLDER = re.compile(
    r"clear(?:ed)?|prun|omitt|remov|truncat|elided|collapsed|redacted|trimm|snipp|old tool result|no longer", re.IGNORECASE
)
_THOUGHT = re.compile(r"\s*<think", re.IGNORECASE)
_REMINDER = re.compile(r"<system-reminder>|<environment|<context>|reminder", re.IGNORECASE)
_IMAGE = re.compile(r'"type":"(?:image|image_url|input_image)"')


def explain_messages(case: Case) -> Explanation:
    """Why a message of the history differs from what was sent before."""
    return next(found for detect in _DETECTORS if (found := detect(case)))


def _pair(case: Case) -> tuple[Block | None, Block | None]:
    place, before = case.parent.shared, case.parent.record.blocks
    now = case.now.blocks
    return (before[place] if place < len(before) else None), (now[place] if place < len(now) else None)


def _place(case: Case) -> str:
    return place_of(case.now, case.parent.shared)


def _gone(case: Case) -> list[int]:
    """The places of the parent's blocks, from the first difference on, that this request no longer has in any form."""
    before, place = case.parent.record, case.parent.shared
    left = Counter(case.now.keys[place:])
    gone = []
    for index in range(place, len(before.keys)):
        if left[before.keys[index]] > 0:
            left[before.keys[index]] -= 1
        else:
            gone.append(index)
    return gone


def _shape(case: Case) -> Explanation | None:
    one, other = _pair(case)
    if one is None or other is None or one.kind is not other.kind or one.role is not other.role or one.fingerprint == other.fingerprint:
        return None
    if sorted_form(one.wire) == sorted_form(other.wire):
        found = json_difference(one.wire, other.wire, _place(case))
        excluded = ("the values are equal: only the order in which they are written differs",)
        return Explanation(Cause.MESSAGES_REWRITTEN, "serialization_order", Verdict.YOURS, found.path, found.diff, excluded)
    if not one.text or one.text != other.text or _images(one) != _images(other) or "tool_reference" in canonical_text(one):
        return None
    message = message_place(case.now, case.now.message_at(case.parent.shared))
    diff = Diff(_shape_of(one), _shape_of(other))
    known = (f"shape changed, text equal ({len(one.text)} characters)", "one report says that some models still hit (claude-code 93490)")
    return Explanation(Cause.MESSAGES_REWRITTEN, "messages_rewritten:shape_only", Verdict.YOURS, message, diff, known)


def _shape_of(block: Block) -> str:
    if isinstance(block.wire, str):
        return "a string"
    keys = ", ".join(block.wire) if isinstance(block.wire, dict) else "?"
    return f"a block with {keys}"


def _images(block: Block) -> int:
    return len(_IMAGE.findall(canonical_text(block)))


def _image(case: Case) -> Explanation | None:
    one, other = _pair(case)
    if (
        one is None
        or not _images(one)
        or (other is not None and _images(other) >= _images(one) and one.kind is other.kind is not Kind.IMAGE)
    ):
        return None
    gone = other is None or not _images(other) or one.kind is Kind.IMAGE
    if not gone:
        return None
    diff = Diff(_shown(one), _shown(other))
    return Explanation(Cause.IMAGE_CHANGED, "image_replaced", Verdict.YOURS, _place(case), diff)


def _shown(block: Block | None) -> str:
    if block is None:
        return ""
    if block.kind is Kind.IMAGE:
        return f"an image ({len(canonical_text(block))} characters of JSON)"
    return (block.text or canonical_text(block))[:200]


def _late_tools(case: Case) -> Explanation | None:
    one, other = _pair(case)
    if one is None or other is None:
        return None
    former, ours = '"tool_reference"' in canonical_text(one), '"tool_reference"' in canonical_text(other)
    if former == ours:
        return None
    diff = Diff(canonical_text(one)[:200], canonical_text(other)[:200])
    message = _place(case)
    return Explanation(Cause.MESSAGES_REWRITTEN, "messages_rewritten:tools_arrived_late", Verdict.YOURS, message, diff)


def _thinking(case: Case) -> Explanation | None:
    before = case.parent.record
    gone = _gone(case)
    thoughts = [place for place in gone if before.blocks[place].kind is Kind.THINKING or _THOUGHT.match(before.blocks[place].text)]
    if not thoughts or thoughts[0] > case.parent.shared + 2:
        return None
    text = "\n".join(block.text for block in case.now.blocks[case.parent.shared :])
    others = [before.blocks[place].text for place in gone if place not in thoughts]
    if not all(other in text for other in others):
        return None
    diff = Diff(before.blocks[thoughts[0]].text[:200] or "a thinking block", "")
    detail = "messages_rewritten:thinking_pruned"
    return Explanation(Cause.MESSAGES_REWRITTEN, detail, Verdict.YOURS, place_of(before, thoughts[0]), diff)


def _compaction(case: Case) -> Explanation | None:
    now, before = case.now, case.parent.record
    gone = sum(before.size(place + 1) - before.size(place) for place in _gone(case))
    history = before.usage.prompt - before.size(before.chain.head)
    early = [block for message in list(now.prompt.messages)[:3] for block in message.blocks]
    new = any(block.kind is Kind.TEXT and block.fingerprint not in {old.fingerprint for old in before.blocks} for block in early)
    summed = summaries.follows_summary(now, [kin.record for kin in case.kin])
    if (summed and now.usage.prompt < before.usage.prompt) or (
        new and 2 * gone > history and 4 * now.usage.prompt < 3 * before.usage.prompt
    ):
        return summaries.explain_compaction(case)
    return None


def _pruned(case: Case) -> Explanation | None:
    one, other = _pair(case)
    if one is None or other is None or one.kind is not other.kind or one.role is not other.role:
        return None
    same = bool(one.call) and one.call == other.call
    smaller = len(canonical_text(other)) < len(canonical_text(one))
    if not smaller or not (same or (_PLACEHOLDER.search(other.text) and not _PLACEHOLDER.search(one.text) and one.role is other.role)):
        return None
    if len(canonical_text(one)) - len(canonical_text(other)) < 8:
        return None
    found = text_difference(one.text, other.text)
    return Explanation(Cause.MESSAGES_REWRITTEN, "messages_rewritten:own_pruning", Verdict.YOURS, _place(case), found.diff)


def _removed(case: Case) -> Explanation | None:
    """Blocks that are gone, what stood behind them being there still."""
    now, before, place = case.now, case.parent.record, case.parent.shared
    if place >= len(now.blocks) or place >= len(before.blocks):
        return None
    stop = next((index for index in range(place + 1, len(before.keys)) if before.keys[index] == now.keys[place]), None)
    if stop is None:
        return None
    diff = Diff(_shown(before.blocks[place]), "")
    where = place_of(before, place)
    first, last, behind = before.message_at(place), before.message_at(stop - 1), before.message_at(stop)
    messages = len(before.spans)
    if first == last == behind or (first == last and place > before.spans[first]):
        cause, detail = Cause.MESSAGE_INSERTED_BEFORE_TAIL, "messages_rewritten:ephemeral_injection"
        if all(before.blocks[index].kind is Kind.TOOL_RESULT for index in range(place, stop)):
            cause, detail = Cause.MESSAGES_REWRITTEN, "messages_rewritten:own_pruning"
        return Explanation(cause, detail, Verdict.YOURS, where, diff)
    if last >= messages - 3 and before.blocks[place].kind is Kind.TEXT and first > 0:
        again = any(before.keys[place] == key for key in now.keys[place + 1 :])
        detail = "message_inserted_before_tail:moving_reminder" if again else "message_inserted_before_tail"
        return Explanation(Cause.MESSAGE_INSERTED_BEFORE_TAIL, detail, Verdict.YOURS, message_place(before, first), diff)
    front = first <= max(2, messages // 4)
    detail = "messages_rewritten:sliding_window" if front else "messages_rewritten:own_pruning"
    return Explanation(Cause.MESSAGES_REWRITTEN, detail, Verdict.YOURS, message_place(before, first), diff)


def _inserted(case: Case) -> Explanation | None:
    """Blocks that are new, before what had been sent."""
    now, before, place = case.now, case.parent.record, case.parent.shared
    if place >= len(now.blocks) or place >= len(before.blocks) or before.keys[place] not in now.keys[place + 1 :]:
        return None
    where = place_of(now, place)
    diff = Diff("", _shown(now.blocks[place]))
    return Explanation(Cause.MESSAGE_INSERTED_BEFORE_TAIL, "message_inserted_before_tail", Verdict.YOURS, where, diff)


def _injected_text(case: Case) -> Explanation | None:
    """A reminder inside the text of the newest message, gone at the next request."""
    one, other = _pair(case)
    if one is None or other is None or one.role is not Role.USER or one.kind is not other.kind or not other.text:
        return None
    tail = case.parent.record.message_at(case.parent.shared) == len(case.parent.record.spans) - 1
    if not tail or other.text.strip() not in one.text or len(other.text) >= len(one.text):
        return None
    found = text_difference(one.text, other.text)
    cause, detail = Cause.MESSAGE_INSERTED_BEFORE_TAIL, "messages_rewritten:ephemeral_injection"
    return Explanation(cause, detail, Verdict.YOURS, _place(case), found.diff)


def _edited(case: Case) -> Explanation | None:
    one, other = _pair(case)
    if one is None or other is None:
        return None
    if one.fingerprint == other.fingerprint:
        joined = ("the blocks are equal: messages were joined or split",)
        message = message_place(case.now, case.now.message_at(case.parent.shared))
        return Explanation(Cause.MESSAGES_REWRITTEN, "messages_rewritten:shape_only", Verdict.YOURS, message, Diff("", ""), joined)
    if one.text and other.text and one.kind is other.kind and likeness(one.text, other.text) > 0.1:
        found = text_difference(one.text, other.text)
        return Explanation(Cause.MESSAGES_REWRITTEN, "messages_rewritten", Verdict.YOURS, _place(case), found.diff)
    if isinstance(one.wire, dict) and isinstance(other.wire, dict) and one.kind is other.kind and not one.text:
        diff = json_difference(one.wire, other.wire).diff
        return Explanation(Cause.MESSAGES_REWRITTEN, "messages_rewritten", Verdict.YOURS, _place(case), diff)
    return None


def _rewritten(case: Case) -> Explanation | None:
    one, other = _pair(case)
    return Explanation(Cause.MESSAGES_REWRITTEN, "messages_rewritten", Verdict.YOURS, _place(case), Diff(_shown(one), _shown(other)))


_DETECTORS: Sequence[Callable[[Case], Explanation | None]] = (
    _shape,
    _image,
    _late_tools,
    _compaction,
    _thinking,
    _pruned,
    _removed,
    _injected_text,
    _inserted,
    _edited,
    _rewritten,
)

"""Causes in the bytes: what a request says otherwise than the one it goes on from, in tools and system prompt."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from holdfast.blocks import Block, Kind, Role
from holdfast.doctor import rewrites, summaries
from holdfast.doctor.case import Case, Explanation, stable_part
from holdfast.doctor.differences import Difference, first_word, json_difference, likeness, sorted_form, text_difference
from holdfast.doctor.findings import Cause, Diff, Verdict
from holdfast.doctor.places import place_of
from holdfast.doctor.record import Record

_VERSION = re.compile(r"\bv?\d+\.\d+\.\d+(?:[-.+\w]*)?\b")
_TIME = re.compile(
    r"\b\d{1,2}:\d{2}(?::\d{2})?\b|\b(?:19|20)\d{2}[-/.]\d{1,2}[-/.]\d{1,2}|\b1[5-9]\d{8}(?:\d{3})?\b"
    r"|\b(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day\b|\b(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*\.? \d{1,2}\b"
)
_UUID = re.compile(r"\b[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\b|\b[0-9a-f]{16,64}\b")
_NUMBER = re.compile(r"^\W*\d+\W*$")
_NEAR = 24
_ANOTHER = 0.1


def explain_bytes(case: Case) -> Explanation:
    """Why the bytes part where they do."""
    now, before = case.now, case.parent.record
    place = case.parent.shared
    for detect in _FIRST:
        if found := detect(case):
            return found
    if place < max(now.chain.tools, before.chain.tools):
        return _tools(now, before)
    if place < max(now.chain.head, before.chain.head):
        return _system(case, place)
    return rewrites.explain_messages(case)


def _sibling(case: Case) -> Explanation | None:
    """Two prompts that part in their last block: stable text and what changes share one cached block (claude-code 82739)."""
    now, before, place = case.now, case.parent.record, case.parent.shared
    if place != len(now.blocks) - 1 or place != len(before.blocks) - 1 or place < now.chain.head:
        return None
    if now.blocks[place].role is not Role.USER or stable_part(before.blocks[place], now.blocks[place]) < 0.5:
        return None
    found = text_difference(before.blocks[place].text, now.blocks[place].text)
    where = f"{place_of(now, place)} characters {found.first}-{found.last}"
    return Explanation(Cause.BREAKPOINT_MISPLACED, "breakpoint_misplaced", Verdict.YOURS, where, found.diff)


def _unrecorded(case: Case) -> Explanation | None:
    """The place where two requests part was never recorded: what stands there is not known, but a much shorter prompt is a new one."""
    now, before, place = case.now, case.parent.record, case.parent.shared
    there = [record.blocks[place] for record in (now, before) if place < len(record.blocks)]
    if not any(block.kind is Kind.OPAQUE for block in there):
        return None
    if 4 * now.usage.prompt < 3 * before.usage.prompt:
        return summaries.explain_compaction(case)
    unknown = (f"{place_of(now, place)} is not recorded, so whether it changed is not known",)
    return Explanation(Cause.SERVER_SIDE_UNEXPLAINED, "server_side_unexplained", Verdict.UNKNOWN, "", None, unknown)


_FIRST: Sequence[Callable[[Case], Explanation | None]] = (summaries.explain_summary_request, _unrecorded, _sibling)


def _tools(now: Record, before: Record) -> Explanation:
    ours, theirs = now.blocks[: now.chain.tools], before.blocks[: before.chain.tools]
    names, former = [block.tool for block in ours], [block.tool for block in theirs]
    forms, former_forms = [sorted_form(block.wire) for block in ours], [sorted_form(block.wire) for block in theirs]
    first = next(
        (i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a.fingerprint != b.fingerprint), min(len(ours), len(theirs))
    )
    where = f"tools[{first}]"
    if forms == former_forms:
        return _serialised(where, theirs[first], ours[first], Cause.TOOLS_REORDERED)
    if sorted(forms) == sorted(former_forms):
        diff = Diff(", ".join(map(str, former[first:])), ", ".join(map(str, names[first:])))
        return Explanation(Cause.TOOLS_REORDERED, "tools_reordered", Verdict.YOURS, where, diff)
    if first < len(ours) and first < len(theirs) and names[first] == former[first]:
        found = json_difference(theirs[first].wire, ours[first].wire, where)
        return Explanation(Cause.TOOLS_CHANGED, "tools_changed:appended_or_edited", Verdict.YOURS, found.path, found.diff)
    gone = [str(name) for name in former if name not in names]
    new = [str(name) for name in names if name not in former]
    detail = "tools_changed:appended_or_edited" if not gone else "tools_changed"
    return Explanation(Cause.TOOLS_CHANGED, detail, Verdict.YOURS, where, Diff(", ".join(gone), ", ".join(new)))


def _serialised(where: str, before: Block, now: Block, cause: Cause) -> Explanation:
    found = json_difference(before.wire, now.wire, where)
    excluded = ("the values are equal: only the order in which they are written differs",)
    return Explanation(cause, "serialization_order", Verdict.YOURS, found.path, found.diff, excluded)


def _system(case: Case, place: int) -> Explanation:
    now, before = case.now, case.parent.record
    ours = now.blocks[now.chain.tools : now.chain.head]
    theirs = before.blocks[before.chain.tools : before.chain.head]
    where = place_of(now, place) if place < now.chain.head else place_of(before, place)
    if place < now.chain.head and place < before.chain.head:
        one, other = before.blocks[place], now.blocks[place]
        if one.text == other.text:
            return _same_text(where, one, other)
        found, detail = _change_of(case, one.text, other.text)
        if detail == "system_changed" and _dropped(theirs, ours):
            return Explanation(Cause.SYSTEM_CHANGED, "system_changed:dropped", Verdict.YOURS, where, found.diff)
        return Explanation(Cause.SYSTEM_CHANGED, detail, Verdict.YOURS, f"{where} characters {found.first}-{found.last}", found.diff)
    if _dropped(theirs, ours):
        diff = Diff(_start_of(theirs[len(ours) :] or theirs), "")
        return Explanation(Cause.SYSTEM_CHANGED, "system_changed:dropped", Verdict.YOURS, where or "system", diff)
    diff = Diff("", _start_of(ours[len(theirs) :]))
    detail = "system_changed:client_version" if _agents_differ(case) else "system_changed"
    return Explanation(Cause.SYSTEM_CHANGED, detail, Verdict.YOURS, where, diff)


def _start_of(blocks: Sequence[Block]) -> str:
    return blocks[0].text[:200] if blocks else ""


def _same_text(where: str, before: Block, now: Block) -> Explanation:
    if sorted_form(before.wire) == sorted_form(now.wire):
        return _serialised(where, before, now, Cause.SYSTEM_CHANGED)
    found = json_difference(before.wire, now.wire, where)
    excluded = ("the text is equal: only its shape differs",)
    return Explanation(Cause.SYSTEM_CHANGED, "system_changed:shape_only", Verdict.YOURS, found.path, found.diff, excluded)


def _dropped(before: Sequence[Block], now: Sequence[Block]) -> bool:
    """Whether the system prompt lost whole texts and gained none, or another one altogether stands in its place."""
    former, ours = "\n".join(block.text for block in before), "\n".join(block.text for block in now)
    if all(block.text in former for block in now) and 2 * len(ours) < len(former):
        return bool(former)
    return bool(former) and likeness(former, ours) < _ANOTHER


def _change_of(case: Case, before: str, now: str) -> tuple[Difference, str]:
    """The difference of two system texts and its kind: by all that differs or, where that says nothing, by the first word that does."""
    whole = text_difference(before, now)
    for found in (whole, first_word(before, now)):
        if (detail := _kind_of_change(case, before, now, found)) != "system_changed":
            return found, detail
    return whole, "system_changed"


def _kind_of_change(case: Case, before: str, now: str, found: Difference) -> str:
    pairs = [(found.diff.before, found.diff.after), _around(before, now, found)]
    if _agents_differ(case) or any(_differs(_VERSION, one, other) for one, other in pairs):
        return "system_changed:client_version"
    if any(_differs(_TIME, one, other) for one, other in pairs):
        return "system_changed:timestamp"
    if any(_differs(_UUID, one, other) for one, other in pairs):
        return "system_changed:id"
    if _NUMBER.match(found.diff.before) and _NUMBER.match(found.diff.after):
        return "system_changed:counter"
    return "system_changed"


def _around(before: str, now: str, found: Difference) -> tuple[str, str]:
    """The differing parts with a little of what stands around them: of a clock perhaps only one digit differs."""
    tail = len(now) - 1 - found.last
    start = max(0, found.first - _NEAR)
    return before[start : max(0, len(before) - tail) + _NEAR], now[start : found.last + 1 + _NEAR]


def _differs(pattern: re.Pattern[str], one: str, other: str) -> bool:
    first, second = pattern.findall(one), pattern.findall(other)
    return bool(first or second) and first != second and pattern.sub("", one) == pattern.sub("", other) if first and second else False


def _agents_differ(case: Case) -> bool:
    mine, theirs = case.now.obs.agent, case.parent.record.obs.agent
    return bool(mine and theirs and mine != theirs)


def volatile_removed(explanation: Explanation) -> bool:
    """Whether a change of the system prompt took something volatile away: a fix that was just deployed must write once."""
    diff = explanation.diff
    if explanation.cause is not Cause.SYSTEM_CHANGED or diff is None:
        return False
    return bool(_TIME.search(diff.before) or _UUID.search(diff.before)) and not (_TIME.search(diff.after) or _UUID.search(diff.after))

"""Cache marks of Claude (Anthropic's API, Bedrock, OpenRouter): marks that are refused, that cannot be read again, and that are missing.

Rules: platform.claude.com, *Prompt caching* (2026-08-21, and the look-back as of 2026-09-23).
"""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.blocks import Kind
from holdfast.doctor.lint_advice import Advice, Severity, about
from holdfast.doctor.lint_forms import Item
from holdfast.doctor.lint_sheet import Sheet
from holdfast.doctor.lint_volatile import worst_in_head
from holdfast.frozen import Json

MOST_MARKS = 4
LOOK_BACK = 20
_HIGHEST_MINIMUM = 4096
_MARGIN = 0.85
"""Offline counts of Claude's tokens are off by up to about 15 % (``holdfast.families``)."""

_HOSTED = ("bedrock", "vertex", "foundry")
_RUNS = (Kind.TOOL_USE, Kind.TOOL_RESULT)


def _ttl(mark: Json) -> str:
    name = mark.get("ttl") if isinstance(mark, dict) else None
    return name if isinstance(name, str) else "5m"


def _refused(code: str, where: str, what: str, fix: str) -> Advice:
    return Advice(code, where, f"{what}: the API answers with an error 400.", fix, Severity.CERTAIN)


def refused_places(sheet: Sheet) -> Iterator[Advice]:
    """Marks where none may stand: thinking, empty text, tools that load later, parts of a block."""
    for item in (sheet.items[index] for index in sheet.marked) if sheet.rules == "marks" else ():
        if item.block.kind is Kind.THINKING:
            yield _refused(
                "mark_on_thinking",
                item.mark_path,
                "a thinking block carries a mark",
                "Mark the block before or behind it; thinking is cached along.",
            )
        elif item.block.kind in (Kind.TEXT, Kind.SYSTEM) and not item.block.text and _is_text(item.raw):
            yield _refused(
                "mark_on_empty_text",
                item.mark_path,
                "an empty text carries a mark",
                "Leave the empty block out and mark the last one that holds text.",
            )
        elif isinstance(item.raw, dict) and item.raw.get("defer_loading"):
            yield _refused(
                "mark_on_deferred_tool",
                item.mark_path,
                "a tool with defer_loading carries a mark",
                "Mark the last tool that is loaded from the start.",
            )
    for item in sheet.items if sheet.form == "anthropic" else ():
        yield from _in_parts(item)


def _is_text(raw: Json) -> bool:
    return isinstance(raw, dict) and isinstance(raw.get("text"), str)


def _in_parts(item: Item) -> Iterator[Advice]:
    """Marks on citations, or on the parts of a document's source."""
    raw = item.raw if isinstance(item.raw, dict) else {}
    source = raw.get("source")
    parts = {"citations": raw.get("citations"), "source.content": source.get("content") if isinstance(source, dict) else None}
    for key, held in parts.items():
        for index, part in enumerate(held if isinstance(held, list) else ()):
            if isinstance(part, dict) and part.get("cache_control") is not None:
                where = f"{item.path}.{key}[{index}].cache_control"
                yield _refused("mark_on_part", where, "a part inside a block carries a mark", "Mark the block that holds it.")


def mark_form(sheet: Sheet) -> Iterator[Advice]:
    """Marks that are not written as the API wants them."""
    marks = [(item.mark_path, item.mark) for item in (sheet.items[index] for index in sheet.marked)]
    if sheet.automatic is not None:
        marks.append(("cache_control", sheet.automatic))
    for where, mark in marks if sheet.rules == "marks" else ():
        kind = "default" if sheet.form == "converse" else "ephemeral"
        if not isinstance(mark, dict) or mark.get("type") != kind or _ttl(mark) not in ("5m", "1h"):
            yield _refused(
                "mark_malformed", where, "a mark is not of a known form", f'Write {{"type": "{kind}"}}, with "ttl": "5m" or "1h" if at all.'
            )


def too_many_marks(sheet: Sheet) -> Iterator[Advice]:
    """More than four marks, the automatic one among them."""
    count = len(sheet.marked) + (sheet.automatic is not None)
    if sheet.rules == "marks" and count > MOST_MARKS:
        where = sheet.items[sheet.marked[min(MOST_MARKS, len(sheet.marked) - 1)]].mark_path
        top = ", the automatic one at the top level among them" if sheet.automatic is not None else ""
        fix = "Keep those on the last tool, the end of the system prompt, the end of the previous request and the newest message."
        yield _refused("too_many_marks", where, f"{count} marks where at most {MOST_MARKS} may stand{top}", fix)


def ttl_order(sheet: Sheet) -> Iterator[Advice]:
    """A mark for one hour behind one for five minutes; and an automatic mark of another lifetime than the last block's own."""
    if sheet.rules != "marks":
        return
    marks = [(sheet.items[index].mark_path, _ttl(sheet.items[index].mark)) for index in sheet.marked]
    if sheet.automatic is not None:
        if sheet.marked and sheet.marked[-1] == len(sheet.items) - 1 and marks[-1][1] != _ttl(sheet.automatic):
            fix = "Give both the same lifetime, or leave one out."
            yield _refused(
                "mark_ttl_conflict", "cache_control", "the automatic mark and the last block's own have different lifetimes", fix
            )
            return
        marks.append(("cache_control", _ttl(sheet.automatic)))
    short = next((number for number, (_, ttl) in enumerate(marks) if ttl == "5m"), len(marks))
    late = next((where for where, ttl in marks[short:] if ttl == "1h"), None)
    if late:
        what = f"a mark for 1h stands behind the one for 5m at {marks[short][0]}"
        yield _refused("mark_ttl_order", late, what, "Give the earlier marks the longer lifetime; a mark without ttl is one for 5m.")


def _threshold(sheet: Sheet) -> int:
    least = sheet.price.min_cacheable_tokens if sheet.price else None
    return _HIGHEST_MINIMUM if least is None else least


def no_marks(sheet: Sheet) -> Iterator[Advice]:
    """No mark at all: Claude caches nothing by itself."""
    if sheet.rules != "marks" or sheet.marked or sheet.automatic is not None or sheet.tokens * _MARGIN < _threshold(sheet):
        return
    least = _threshold(sheet)
    repeated = max(sheet.reusable, sheet.upto(sheet.head))
    sure = repeated * _MARGIN >= least
    text = isinstance(sheet.body.get("system"), str)
    how = " (write system as a list of one text block for that)" if text else ""
    yield Advice(
        "no_marks",
        "",
        f"no block is marked, so nothing of this prompt of {about(sheet.tokens)} tokens is cached.",
        f"Mark the end of the system prompt{how} and the newest message, or set cache_control at the top level.",
        Severity.CERTAIN if sure else Severity.POSSIBLE,
        repeated if sure else sheet.tokens,
    )


def mark_on_volatile(sheet: Sheet) -> Iterator[Advice]:
    """A mark behind volatile content: it is written at each request, at a higher price, and never read."""
    seen = worst_in_head(sheet) if sheet.rules != "automatic" else None
    behind = [index for index in sheet.marked if seen and index >= seen.index]
    if seen and (behind or sheet.automatic is not None):
        where = sheet.items[behind[0]].mark_path if behind else "cache_control"
        last = behind[-1] + 1 if behind and sheet.automatic is None else len(sheet.items)
        yield Advice(
            "mark_on_volatile",
            where,
            f"the cached prefix holds what stands at {seen.where}: if that changes, it is written again each time and never read.",
            "Split the block before the volatile part, mark what is stable, and put the rest behind the mark.",
            seen.sighting.severity,
            sheet.upto(last) - sheet.upto(seen.index),
        )


def newest_only(sheet: Sheet) -> Iterator[Advice]:
    """Marks on the newest turn only: what other conversations share (tools, system) has no entry of its own."""
    if sheet.rules != "marks" or not (sheet.marked or sheet.automatic is not None) or any(index < sheet.newest for index in sheet.marked):
        return
    head = sheet.upto(sheet.head)
    if not sheet.head or head * _MARGIN < _threshold(sheet):
        return
    once = all(item.in_head for item in sheet.items[: sheet.newest])
    yield Advice(
        "mark_on_newest_only",
        sheet.items[sheet.marked[0]].mark_path if sheet.marked else "cache_control",
        "the only mark stands on the newest message: tools and system are not read by a request that goes on otherwise "
        "(another question, a sub-agent).",
        "Set one more mark at the end of the system prompt.",
        Severity.LIKELY if once and sheet.marked else Severity.POSSIBLE,
        head,
    )


def tail_unmarked(sheet: Sheet) -> Iterator[Advice]:
    """A history that grows behind the last mark: it is paid in full at every turn."""
    if sheet.rules != "marks" or not sheet.marked or sheet.automatic is not None:
        return
    last = sheet.marked[-1]
    loose = sheet.reusable - sheet.upto(last + 1)
    if loose * _MARGIN >= 1024 and sheet.newest > sheet.head:
        yield Advice(
            "tail_unmarked",
            sheet.items[last + 1].path,
            f"the history behind the last mark, {about(loose)} tokens, is sent at the full price of input with every request.",
            "Mark the last block of the newest message as well.",
            Severity.CERTAIN,
            loose,
        )


def look_back(sheet: Sheet) -> Iterator[Advice]:
    """More than 20 positions between the newest mark and the end of the previous request, where the last entry was written.

    A run of tool calls, or of results, is one position, but on Bedrock, Vertex AI and Foundry.
    """
    end = len(sheet.items) - 1 if sheet.automatic is not None else sheet.marked[-1] if sheet.marked else -1
    previous = _previous_end(sheet)
    if sheet.rules != "marks" or previous < sheet.head or end <= previous:
        return
    places = [*sheet.marked, *([end] if sheet.automatic is not None else [])]
    if any(place >= previous and _positions(sheet, previous, place) <= LOOK_BACK for place in places):
        return
    yield Advice(
        "mark_beyond_look_back",
        sheet.items[end].mark_path or "cache_control",
        f"{_positions(sheet, previous, end)} blocks lie between this mark and the end of the previous request "
        f"({sheet.items[previous].path}), but only {LOOK_BACK} are looked back: its entry is not found.",
        "Set one more mark at the end of the previous request, or every 15 blocks.",
        Severity.LIKELY,
        sheet.upto(previous + 1) - sheet.upto(max([place + 1 for place in places if place < previous], default=0)),
    )


def _previous_end(sheet: Sheet) -> int:
    """The last block of the previous request: the one before the assistant's last answer; -1 where there was none."""
    index = sheet.newest - 1
    while index >= sheet.head and sheet.items[index].block.role == "assistant":
        index -= 1
    return index if sheet.newest > sheet.head else -1


def _positions(sheet: Sheet, start: int, stop: int) -> int:
    """How many positions the blocks from ``start`` to ``stop`` are, both included."""
    hosted = sheet.provider in _HOSTED or sheet.form == "converse"
    kinds = [item.block.kind for item in sheet.items[start : stop + 1]]
    return sum(hosted or kind not in _RUNS or index == 0 or kinds[index - 1] is not kind for index, kind in enumerate(kinds))


def mark_below_minimum(sheet: Sheet) -> Iterator[Advice]:
    """A mark on a prefix too short to be cached, in a prompt that is long enough: a slot that does nothing."""
    least = sheet.price.min_cacheable_tokens if sheet.price else None
    if sheet.rules != "marks" or least is None or not sheet.whole or sheet.tokens < least * _MARGIN:
        return
    for index in sheet.marked:
        if sheet.upto(index + 1) < least * _MARGIN:
            alone = sheet.upto(sheet.marked[-1] + 1) < least * _MARGIN and sheet.automatic is None
            yield Advice(
                "mark_below_minimum",
                sheet.items[index].mark_path,
                f"only {about(sheet.upto(index + 1))} tokens stand before this mark, and {sheet.model} caches no prefix under "
                f"{least:,}: it does nothing yet.",
                "Move the mark behind more text that stays the same, or leave it out.",
                Severity.LIKELY if alone else Severity.POSSIBLE,
                sheet.upto(index + 1),
            )

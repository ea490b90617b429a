"""What a plan would free, and what the conversation would look like after it, without applying it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import replace

from holdfast.blocks import Block, Kind, Role
from holdfast.edits import Clear, Drop, Edit, Fold
from holdfast.strategy import Entry, Goal, View

OVERHEAD_TOKENS = 12  # what a message and a block weigh beside their text; above every dialect's own, so that no target is missed by a hair


def text_tokens(view: View, text: str) -> int:
    """What a text costs once it stands in a block of its own."""
    return view.count(text) + OVERHEAD_TOKENS


def covered(entries: Sequence[Entry], edit: Edit) -> Sequence[Entry]:
    """The entries that an edit touches, as sent now."""
    low = bisect_left(entries, edit.start, key=lambda entry: entry.start)
    high = bisect_left(entries, edit.stop, key=lambda entry: entry.start)
    return entries[low:high]


def freed(view: View, edits: Iterable[Edit]) -> int:
    """About how many tokens these edits take out of the prompt."""
    total = 0
    for edit in edits:
        total += sum(entry.block.tokens for entry in covered(view.entries, edit))
        if not isinstance(edit, Drop):
            total -= text_tokens(view, edit.text)
    return total


def excess(view: View, goal: Goal) -> int:
    """How many tokens have to go; 0 where the target is met."""
    return max(view.tokens - goal.target, 0)


def after(view: View, edits: Sequence[Edit]) -> View:
    """The view as it would be with these edits applied; tokens are estimates."""
    entries: list[Entry] = []
    pending = list(edits)
    for entry in view.entries:
        while pending and pending[0].stop <= entry.start:
            pending.pop(0)
        edit = pending[0] if pending and pending[0].start <= entry.start else None
        if edit is None:
            entries.append(entry)
        elif isinstance(edit, Clear):
            block = replace(entry.block, text=edit.text, tokens=text_tokens(view, edit.text))
            entries.append(replace(entry, block=block, state="cleared"))
        elif isinstance(edit, Fold) and not (entries and entries[-1].start == edit.start):
            block = Block(Kind.TEXT, Role.USER, edit.text, edit.text, text_tokens(view, edit.text))
            entries.append(Entry(edit.start, edit.stop, block, entry.message, "folded"))
    return replace(view, entries=entries, tokens=view.tokens - freed(view, edits))


def merged(earlier: Sequence[Edit], later: Sequence[Edit]) -> tuple[Edit, ...]:
    """Both, in order of their place; an earlier edit inside a later one is left out."""
    kept = [edit for edit in earlier if not any(other.start < edit.stop and edit.start < other.stop for other in later)]
    return tuple(sorted([*kept, *later], key=lambda edit: edit.start))

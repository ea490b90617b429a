"""Fitting sections into a number of tokens: the most valuable items first, each section at least its share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Item:
    """One line or paragraph. Of a section, the items of the highest ``value`` are kept; they stand by ``order``.

    ``short`` stands where the full text has no room.
    """

    order: int
    value: float
    text: str
    short: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """A heading with items. ``share`` is the part of the budget that is its own, whatever the others want."""

    title: str
    items: Sequence[Item]
    share: float


def fit(sections: Sequence[Section], budget_tokens: int, count: Callable[[str], int]) -> list[str]:
    """The sections that have something to say, within about ``budget_tokens``: each one's share, then what is left."""
    chosen: list[dict[int, str]] = [{} for _ in sections]
    left = budget_tokens
    for section, taken in zip(sections, chosen, strict=True):
        left -= _take(section, taken, min(int(section.share * budget_tokens), left), count)
    for section, taken in zip(sections, chosen, strict=True):
        left -= _take(section, taken, left, count)
    return [_render(section, taken) for section, taken in zip(sections, chosen, strict=True) if taken]


def _take(section: Section, taken: dict[int, str], budget: int, count: Callable[[str], int]) -> int:
    """Put items into ``taken`` by their place until the budget is used; what was used is returned."""
    used = 0
    heading = 0 if taken else count(section.title) + 3
    ranked = sorted(range(len(section.items)), key=lambda place: (-section.items[place].value, section.items[place].order))
    for place in ranked:
        if place in taken:
            continue
        item = section.items[place]
        for text in dict.fromkeys((item.text, item.short)):
            room = budget - used - heading
            if text and len(text) < 8 * room and (cost := count(text) + 1) <= room:
                taken[place] = text
                used += cost + heading
                heading = 0
                break
    return used


def _render(section: Section, taken: dict[int, str]) -> str:
    lines = [taken[place] for place in sorted(taken, key=lambda place: (section.items[place].order, place))]
    missing = len(section.items) - len(taken)
    if missing:
        lines.append(f"(… {missing} more left out for space)")
    return f"## {section.title}\n" + "\n".join(lines)

"""The smallest difference between two texts or JSON values, and how alike two texts are."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from holdfast.doctor.findings import Diff
from holdfast.frozen import Json

_SHOWN = 200
_WORD = 40
_BREAKS = frozenset(" \t\r\n\"'<>(){}[],;=|`")


@dataclass(frozen=True, slots=True)
class Difference:
    """Where two values part: ``path`` from the value on, ``diff``, and the characters ``first`` to ``last`` of the later text."""

    path: str
    diff: Diff
    first: int = 0
    last: int = 0


def common_prefix(one: str, other: str) -> int:
    """How many leading characters two texts share."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def common_suffix(one: str, other: str, limit: int) -> int:
    """How many trailing characters two texts share, at most ``limit``."""
    low, high = 0, limit
    while low < high:
        middle = (low + high + 1) // 2
        if one[len(one) - middle :] == other[len(other) - middle :]:
            low = middle
        else:
            high = middle - 1
    return low


def likeness(one: str, other: str) -> float:
    """The share of the longer text that both begin and end with, 0 to 1."""
    longest = max(len(one), len(other))
    if not longest:
        return 1.0
    start = common_prefix(one, other)
    return (start + common_suffix(one, other, min(len(one), len(other)) - start)) / longest


def text_difference(before: str, after: str, path: str = "") -> Difference:
    """The first and the last differing character, widened to whole words."""
    start = common_prefix(before, after)
    tail = common_suffix(before, after, min(len(before), len(after)) - start)
    left = _back(after if len(after) > start else before, start)
    stop_before, stop_after = _on(before, len(before) - tail), _on(after, len(after) - tail)
    diff = Diff(_cut(before[left:stop_before]), _cut(after[left:stop_after]), start)
    return Difference(path, diff, left, max(left, stop_after - 1))


def first_word(before: str, after: str) -> Difference:
    """The first words that differ, whatever else does behind them."""
    start = common_prefix(before, after)
    left = _back(after if len(after) > start else before, start)
    stop_before, stop_after = _on(before, start), _on(after, start)
    return Difference("", Diff(before[left:stop_before], after[left:stop_after], start), left, max(left, stop_after - 1))


def _back(text: str, place: int) -> int:
    stop = max(0, place - _WORD)
    while place > stop and text[place - 1] not in _BREAKS:
        place -= 1
    return place


def _on(text: str, place: int) -> int:
    stop = min(len(text), place + _WORD)
    while place < stop and text[place] not in _BREAKS:
        place += 1
    return place


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN // 2]} … {text[-_SHOWN // 2 :]}"


def shown(value: Json) -> str:
    """A JSON value as it is shown in a difference."""
    return _cut(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def sorted_form(value: Json) -> str:
    """A JSON value as text in which the order of keys does not count."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def json_difference(before: Json, after: Json, path: str = "") -> Difference:
    """The first leaf at which two JSON values differ."""
    if isinstance(before, dict) and isinstance(after, dict):
        return _of_objects(before, after, path)
    if isinstance(before, list) and isinstance(after, list):
        return _of_lists(before, after, path)
    if isinstance(before, str) and isinstance(after, str):
        return text_difference(before, after, path)
    return Difference(path, Diff(shown(before), shown(after)))


def _of_objects(before: dict[str, Any], after: dict[str, Any], path: str) -> Difference:
    for key in [*before, *(key for key in after if key not in before)]:
        if key not in after:
            return Difference(f"{path}.{key}", Diff(shown(before[key]), ""))
        if key not in before:
            return Difference(f"{path}.{key}", Diff("", shown(after[key])))
        if _form(before[key]) != _form(after[key]):
            return json_difference(before[key], after[key], f"{path}.{key}")
    return Difference(path, Diff(shown([*before]), shown([*after])))


def _of_lists(before: list[Any], after: list[Any], path: str) -> Difference:
    for index, (one, other) in enumerate(zip(before, after, strict=False)):
        if _form(one) != _form(other):
            return json_difference(one, other, f"{path}[{index}]")
    longer = max(len(before), len(after))
    if len(before) == len(after):
        return Difference(path, Diff(shown(before), shown(after)))
    first = min(len(before), len(after))
    return Difference(
        f"{path}[{first}]" if longer else path,
        Diff(shown(before[first]) if first < len(before) else "", shown(after[first]) if first < len(after) else ""),
    )


def _form(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

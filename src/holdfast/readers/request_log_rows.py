"""Rows of one response: a streamed response that was logged piece by piece is one call, told by its id."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from holdfast.exchange import Exchange
from holdfast.frozen import Json
from holdfast.readers.fields import text_of


def once(rows: Iterable[Exchange]) -> list[Exchange]:
    """Each call once: rows with the same response id and the same body are put together at the place of the first."""
    found: list[Exchange] = []
    places: dict[str, list[int]] = {}
    for row in rows:
        name = text_of(row.response, "id")
        same = next((place for place in places.get(name, ()) if found[place].body == row.body), None)
        if name and same is not None:
            found[same] = joined(found[same], row)
        else:
            places.setdefault(name, []).append(len(found))
            found.append(row)
    return found


def joined(one: Exchange, other: Exchange) -> Exchange:
    """Two rows of one call: the earlier start, the later end, both responses."""
    starts = [row.at for row in (one, other) if row.at is not None]
    ends = [row.ended for row in (one, other) if row.ended is not None]
    response = together(one.response, other.response)
    return replace(one, response=response, at=min(starts, default=None), ended=max(ends, default=None))


def together(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Two states of one response: what either has. Of counts the larger, for the stream's are cumulative (platform.claude.com, streaming,
    2026-08); of Anthropic's content blocks each once, of other contents the longer.
    """
    found: dict[str, Any] = {**one, **{key: value for key, value in other.items() if value is not None}}
    for key in ("choices", "output"):
        if isinstance(one.get(key), list) and len(str(one[key])) > len(str(other.get(key))):
            found[key] = one[key]
    first, second = one.get("content"), other.get("content")
    if isinstance(first, list) and isinstance(second, list):
        found["content"] = [*first, *(block for block in second if block not in first)]
    if "usage" in found:
        found["usage"] = _larger(one.get("usage"), other.get("usage"))
    return found


def _larger(one: Json, other: Json) -> Json:
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return {key: _larger(one.get(key), other.get(key)) for key in {**one, **other}}
    if _is_count(one) and _is_count(other):
        return max(one, other)
    return one if other is None else other


def _is_count(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)

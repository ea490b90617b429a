"""A scale: what texts and blocks weigh for one family of tokenizers, where nothing was billed for them."""

from __future__ import annotations

from functools import lru_cache

from holdfast.blocks import Block, Kind
from holdfast.families import FAMILIES, Family
from holdfast.tokens import Counter

_MEMO = 8192
_SHORT = 2000
"""Strategies weigh the same lines again and again: the last 8,192 texts of at most 2,000 characters are remembered."""


_SAMPLE = 128
_SAMPLES = 4


class Scale:
    """Offline counts times the family's factors (``holdfast.families``). Blocks are counted once and remembered by fingerprint."""

    def __init__(self, family: Family) -> None:
        self.family = family
        self._counter = _counter()
        self._short = lru_cache(_MEMO)(self._weighed)

    def count(self, text: str) -> int:
        """The tokens of a text."""
        return self._short(text) if len(text) <= _SHORT else self._weighed(text)

    def _weighed(self, text: str) -> int:
        return round(self.family.text * self._counter.count(text))

    def weigh(self, block: Block) -> int:
        """The tokens of a block, with what the provider wraps around it."""
        return round(self.family.expected(block, self._counter.raw(block)))

    def estimate(self, block: Block) -> int:
        """The same, from four samples where the text is long: what a live request has time for.

        On 450 texts of over 2,048 characters of coding sessions it is off by 5 % at the median and 14 % at the 90th percentile, and
        their sum by 3 %. A trigger does not need more, and the room that the limit leaves is several times that.
        """
        text = block.text
        if len(text) <= 2 * _SAMPLES * _SAMPLE or block.kind not in (Kind.TEXT, Kind.TOOL_USE, Kind.TOOL_RESULT):
            return self.weigh(block)
        stride = (len(text) - _SAMPLE) // (_SAMPLES - 1)
        sample = "\n".join(text[start : start + _SAMPLE] for start in range(0, stride * _SAMPLES, stride))
        return round(self.family.expected(block, self._counter.count(sample) * len(text) // len(sample)))


@lru_cache(maxsize=1)
def _counter() -> Counter:
    return Counter()


@lru_cache(maxsize=16)
def scale(family: str) -> Scale:
    """The scale of a family by its name; o200k's where the name is not known."""
    return Scale(FAMILIES.get(family, FAMILIES["o200k"]))

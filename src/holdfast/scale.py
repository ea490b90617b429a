"""A scale: what texts and blocks weigh for one family of tokenizers, where nothing was billed for them."""

from __future__ import annotations

from functools import lru_cache

from holdfast.blocks import Block
from holdfast.families import FAMILIES, Family
from holdfast.tokens import Counter

_MEMO = 8192
_SHORT = 2000
"""Strategies weigh the same lines again and again: the last 8,192 texts of at most 2,000 characters are remembered."""


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


@lru_cache(maxsize=1)
def _counter() -> Counter:
    return Counter()


@lru_cache(maxsize=16)
def scale(family: str) -> Scale:
    """The scale of a family by its name; o200k's where the name is not known."""
    return Scale(FAMILIES.get(family, FAMILIES["o200k"]))

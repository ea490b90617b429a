"""A scale: what texts and blocks weigh for one family of tokenizers, where nothing was billed for them."""

from __future__ import annotations

from functools import lru_cache

from holdfast.blocks import Block
from holdfast.families import FAMILIES, Family
from holdfast.tokens import Counter


class Scale:
    """Offline counts times the family's factors (``holdfast.families``). Blocks are counted once and remembered by fingerprint."""

    def __init__(self, family: Family) -> None:
        self.family = family
        self._counter = _counter()

    def count(self, text: str) -> int:
        """The tokens of a text."""
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

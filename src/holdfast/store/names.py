"""The names under which blocks are kept."""

from __future__ import annotations

import re
from collections.abc import Iterable

from holdfast.blocks import Block, Kind, Role, make_block

DIGITS = 12
"""How many hex digits of a fingerprint a placeholder shows."""

STRETCH = "holdfast_stretch"
"""The ``type`` of a block that is a list of names."""

_NAME = re.compile(rf"[0-9a-f]{{{DIGITS},32}}")


def key(block: Block) -> str:
    """The name by which placeholders call a block: 12 hex digits of its fingerprint."""
    return block.fingerprint.hex()[:DIGITS]


def is_name(text: str) -> bool:
    """Whether this can be a block's name: its fingerprint in lower-case hex digits, or at least the first 12 of them."""
    return bool(_NAME.fullmatch(text))


def stretch(blocks: Iterable[Block]) -> Block:
    """One block that names these, in order: put beside them, its name stands for all of them. Same blocks, same name."""
    return make_block(Kind.UNKNOWN, Role.USER, {"type": STRETCH, "blocks": [block.fingerprint.hex() for block in blocks]})

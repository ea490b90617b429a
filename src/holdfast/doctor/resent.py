"""How much of a prompt had been sent before: what a request can have read at most, had its history stayed as it was.

Only the same bytes can be read again. So of a prompt that does not begin with the one before it (a compaction, pruned results, a user who
went back), what counts is

- the longest prefix that an earlier request ended with, in billed tokens (without one: tools and system prompt, as a read has shown them);
- and where history behind the first difference was sent before in another place, those blocks, weighed by ``holdfast.scale``.

A summary, and whatever a client attaches to it, has never been sent: it is written once and nothing is lost by it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from holdfast.blocks import Block
from holdfast.doctor.differences import likeness
from holdfast.validation.entries import Entry

_LIKE = 0.5
"""A block in the place of another one is a version of it if it has half of its words."""

Weigh = Callable[[Block], int]


@dataclass(frozen=True, slots=True)
class Earlier:
    """What stood before a request: its chain's last prompt (``blocks``), of which ``left`` tokens stayed in the cache.

    ``entry`` is the longest prefix of the new prompt with which an earlier request ended and which nobody is known to have lost since,
    ``head`` the tokens of tools and system prompt (0: not known).
    """

    blocks: Sequence[Block]
    left: int
    entry: Entry | None
    head: int


def sent_before(blocks: Sequence[Block], prompt: int, same: int, earlier: Earlier, weigh: Weigh) -> int:
    """Of ``prompt`` tokens in ``blocks``, of which the first ``same`` are those of the prompt before, how many were sent before."""
    if same >= len(earlier.blocks):
        return _grown(blocks, prompt, earlier, weigh)
    entry = earlier.entry
    base, start = (entry.tokens, entry.length) if entry is not None else (earlier.head, same)
    elsewhere, new = _elsewhere(blocks, same, earlier.blocks, weigh)
    between = sum(weigh(block) for block in blocks[start:same]) if elsewhere else 0
    most = max(earlier.left, entry.tokens if entry is not None else 0)
    return max(base, min(base + between + elsewhere, most, prompt - new)) if base <= prompt else prompt


def _grown(blocks: Sequence[Block], prompt: int, earlier: Earlier, weigh: Weigh) -> int:
    """Of a prompt that goes on from the one before: all of that; where it shrank all the same, all but what is new."""
    left = max(earlier.left, earlier.entry.tokens if earlier.entry is not None else 0)
    if prompt >= left:
        return left
    return max(0, prompt - new_tokens(blocks, len(earlier.blocks), weigh))


def new_tokens(blocks: Sequence[Block], since: int, weigh: Weigh) -> int:
    """What stands behind the first ``since`` blocks weighs."""
    return sum(weigh(block) for block in blocks[since:])


def _elsewhere(blocks: Sequence[Block], same: int, before: Sequence[Block], weigh: Weigh) -> tuple[int, int]:
    """Tokens behind the first difference that also stood behind it in the prompt before, at the same place or another; and those new.

    A block edited in its place counts where more than it went on behind it; else it is just the first of another conversation.
    """
    stood = Counter(block.fingerprint for block in before[same:])
    tokens = 0
    for block in blocks[same:]:
        if stood[block.fingerprint] > 0:
            stood[block.fingerprint] -= 1
            tokens += weigh(block)
    edited = weigh(blocks[same]) if same < len(blocks) and _version(before[same], blocks[same]) else 0
    tokens += edited if edited <= tokens else 0
    return tokens, new_tokens(blocks, same, weigh) - tokens


def _version(before: Block, now: Block) -> bool:
    same_kind = before.kind is now.kind and before.role is now.role and before.fingerprint != now.fingerprint
    return same_kind and bool(before.text and now.text) and likeness(before.text, now.text) >= _LIKE

"""Prefixes: a prompt as a hash chain, so that equal prefixes have equal ids.

``id[n] = H(id[n-1], fingerprint of block n)``. Two prompts share their first *n* blocks exactly if
their *n*-th ids are equal.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

from holdfast.blocks import Block, Kind, Prompt, Role

ROOT = b"holdfast/chain/1"


def link(parent: bytes, block: Block, opens_message: bool = False) -> bytes:
    """The id of the prefix that ends with ``block``. A message's first block also says that a message begins."""
    return blake2b(parent + block.fingerprint, digest_size=16, person=b"message" if opens_message else b"").digest()


@dataclass(slots=True)
class Chain:
    """The first ``length`` blocks of a prompt: ``ids``, ``kinds`` and ``roles`` by block, ``totals`` the tokens up to and with it.

    The lists may be longer than ``length``: a conversation that grows shares one set of lists among its chains,
    which only ever appends. ``tools`` and ``head`` are how many blocks the tools, and tools plus system, are.
    """

    ids: list[bytes] = field(default_factory=list)
    totals: list[int] = field(default_factory=list)
    kinds: list[Kind] = field(default_factory=list)
    tools: int = 0
    head: int = 0
    length: int = 0
    roles: list[Role] = field(default_factory=list)

    def append(self, block: Block, opens_message: bool = False) -> None:
        """One more block at the end. Only a chain that spans its lists may grow."""
        if self.length != len(self.ids):
            raise ValueError("only the longest chain of a conversation may grow")
        self.ids.append(link(self.ids[-1] if self.ids else ROOT, block, opens_message))
        self.totals.append((self.totals[-1] if self.totals else 0) + block.tokens)
        self.kinds.append(block.kind)
        self.roles.append(block.role)
        self.length += 1

    def extend(self, blocks: Iterable[Block]) -> None:
        """The blocks of one more message at the end; as ``append`` for each, in one go."""
        if self.length != len(self.ids):
            raise ValueError("only the longest chain of a conversation may grow")
        ids, totals, kinds, roles = self.ids, self.totals, self.kinds, self.roles
        parent, total, person = ids[-1] if ids else ROOT, totals[-1] if totals else 0, b"message"
        for block in blocks:
            parent = blake2b(parent + block.fingerprint, digest_size=16, person=person).digest()
            total += block.tokens
            ids.append(parent)
            totals.append(total)
            kinds.append(block.kind)
            roles.append(block.role)
            person = b""
        self.length = len(ids)

    def upto(self, length: int) -> Chain:
        """The first ``length`` blocks, sharing the lists."""
        return Chain(self.ids, self.totals, self.kinds, self.tools, self.head, length, self.roles)

    def fork(self, length: int) -> Chain:
        """The first ``length`` blocks in lists of their own, which may grow apart."""
        return Chain(self.ids[:length], self.totals[:length], self.kinds[:length], self.tools, self.head, length, self.roles[:length])

    def tokens(self, length: int | None = None) -> int:
        """The tokens of the first ``length`` blocks (all, if not given)."""
        count = self.length if length is None else length
        return self.totals[count - 1] if count else 0

    def holds(self, other: Chain) -> bool:
        """Whether ``other`` is a prefix of this chain."""
        return other.length <= self.length and (other.length == 0 or self.ids[other.length - 1] == other.ids[other.length - 1])


def chain_head(head: Iterable[Block]) -> Chain:
    """The chain of a prompt's tools and system blocks."""
    chain = Chain()
    for block in head:
        chain.append(block)
        chain.tools += block.role is Role.TOOLS
        chain.head += 1
    return chain


def chain_of(prompt: Prompt) -> Chain:
    """A whole prompt as a chain."""
    chain = chain_head(prompt.head)
    for message in prompt.messages:
        chain.extend(message.blocks)
    return chain


def shared(one: Sequence[bytes], other: Sequence[bytes]) -> int:
    """How many leading ids two chains share."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[middle - 1] == other[middle - 1]:
            low = middle
        else:
            high = middle - 1
    return low

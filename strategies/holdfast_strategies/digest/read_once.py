"""Sessions that were read already: several strategies look at the same history, and one looks at it several times for one plan."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

from holdfast.blocks import Block
from holdfast_strategies.digest.facts import Facts
from holdfast_strategies.digest.session import Session
from holdfast_strategies.kept import Kept

_CHARACTERS = 2_000_000  # of text in all sessions that are kept: a session keeps its blocks alive


def _weight(facts: Facts) -> int:
    return 10_000 + sum(len(block.text) for block in facts.session.source[: facts.session.stop])


_read: Kept[Facts] = Kept(_CHARACTERS, _weight)


def session_of(source: Sequence[Block], stop: int) -> Session:
    """The first ``stop`` blocks of a history, read once; a history is known by what its blocks hold."""
    return facts_of(source, stop).session


def facts_of(source: Sequence[Block], stop: int) -> Facts:
    """The facts of such a session, found once."""
    prints = [block.fingerprint for block in source[:stop]]
    if not all(prints):
        return Facts(Session(source, stop))
    key = stop, blake2b(b"".join(prints), digest_size=16).digest()
    return _read.get(key, lambda: Facts(Session(source[:stop], stop)))

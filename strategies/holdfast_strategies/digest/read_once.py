"""Sessions that were read already: several strategies look at the same history, and one looks at it several times for one plan."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b

from cachetools import LRUCache

from holdfast.blocks import Block
from holdfast_strategies.digest.facts import Facts
from holdfast_strategies.digest.session import Session

_MOST = 8  # a session keeps its blocks alive

_read: LRUCache[tuple[int, bytes], Session] = LRUCache(_MOST)


def session_of(source: Sequence[Block], stop: int) -> Session:
    """The first ``stop`` blocks of a history, read once; a history is known by what its blocks hold."""
    prints = [block.fingerprint for block in source[:stop]]
    if not all(prints):
        return Session(source, stop)
    key = stop, blake2b(b"".join(prints), digest_size=16).digest()
    session = _read.get(key)
    if session is None:
        session = _read[key] = Session(source[:stop], stop)
    return session


@lru_cache(_MOST)
def facts_of(session: Session) -> Facts:
    """The facts of a session, found once."""
    return Facts(session)

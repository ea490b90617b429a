"""What left the prompt, under content hashes, and the lineages as they can be taken up again: nothing is lost.

Blocks are kept as they were, nothing in them replaced or redacted: a store holds whatever the conversation held.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from holdfast.blocks import Block
from holdfast.frozen import Json
from holdfast.saved import Saved
from holdfast.store.file import FileStore
from holdfast.store.memory import MemoryStore
from holdfast.store.names import DIGITS, STRETCH, is_name, key, stretch

__all__ = ["DIGITS", "STRETCH", "FileStore", "MemoryStore", "Store", "is_name", "key", "opened", "stretch"]


class Store(Protocol):
    """Keeps blocks and lineages. Its methods may be called from several threads; each raises ``StoreError`` where it cannot do its work.

    ``put`` is called with whatever leaves a prompt, before the request goes out; ``get`` with a name from a placeholder.
    """

    def put(self, blocks: Iterable[Block]) -> None:
        """Keep these."""

    def get(self, name: str) -> Json | None:
        """The provider's JSON of the block kept under ``name`` (a whole fingerprint or its first 12 digits), or ``None``."""

    def save(self, saved: Saved, expected: int) -> bool:
        """Make ``saved`` the head of its lineage, if the version kept now is ``expected`` (0: there is none).

        Compare and set: of several who save over the same version one gets ``True``. The others get ``False``, nothing of theirs is kept,
        and ``load`` tells them what is. ``saved.version`` is ``expected + 1``. Heads from before can still be found by their roots.
        """

    def find(self, roots: Sequence[str]) -> Saved | None:
        """The saved head with the most messages whose root is among these, the newest of equals; ``None`` where none is.

        It need not be the newest of its lineage: a history that branches off from it finds where it branched.
        """

    def load(self, lineage: str) -> Saved | None:
        """The newest head of this lineage; ``None`` where none was saved, or it was forgotten."""

    def close(self) -> None:
        """Give back what the store holds open. Calling it twice is harmless."""


def opened(store: Store | str | Path | None = None) -> Store:
    """The store itself, one in a file at this path, or, for ``None``, one in memory. Raises ``StoreError`` like ``FileStore``."""
    if store is None:
        return MemoryStore()
    return FileStore(store) if isinstance(store, str | Path) else store

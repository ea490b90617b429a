"""What left the prompt, under content hashes, for as long as the caller asked for."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from cachetools import LRUCache

from holdfast.blocks import Block
from holdfast.errors import StoreError
from holdfast.frozen import Json, freeze


def key(block: Block) -> str:
    """The name a block is kept under, and by which placeholders call it: 12 hex digits of its fingerprint."""
    return block.fingerprint.hex()[:12]


class Store(Protocol):
    """Keeps blocks. ``put`` is called with whatever leaves a prompt, ``get`` with a key from a placeholder."""

    def put(self, blocks: Iterable[Block]) -> None:
        """Keep these. Raises ``StoreError`` if that cannot be done."""

    def get(self, name: str) -> Json | None:
        """The provider's JSON of the block kept under ``name`` (a whole fingerprint or its first 12 digits), or ``None``."""


class MemoryStore:
    """Keeps blocks for the life of the process, the newest ``capacity`` characters of them."""

    def __init__(self, capacity: int = 256_000_000) -> None:
        self._kept: LRUCache[str, Json] = LRUCache(capacity, getsizeof=lambda wire: len(json.dumps(wire)))

    def put(self, blocks: Iterable[Block]) -> None:
        """Keep these; one that is larger than the whole store raises ``StoreError``."""
        for block in blocks:
            try:
                self._kept[key(block)] = block.wire
            except ValueError as error:
                raise StoreError(f"block {key(block)} is larger than the store") from error

    def get(self, name: str) -> Json | None:
        """What is kept under ``name``."""
        return self._kept.get(name[:12])


class FileStore:
    """Keeps blocks in an SQLite file, for as long as the file is there. Safe for several threads.

    A file that is no database is set aside as ``<name>.corrupt`` and never overwritten. Raises ``StoreError`` where
    the file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        try:
            self._database = self._open()
        except sqlite3.OperationalError as error:  # locked, or a place where no file can be: not a corrupt file
            raise StoreError(f"{path}: {error}") from error
        except sqlite3.DatabaseError:
            aside = path.with_name(path.name + ".corrupt")
            if aside.exists():
                raise StoreError(f"{path} is not a store, and {aside} stands where it would be set aside") from None
            path.rename(aside)
            self._database = self._open()

    def _open(self) -> sqlite3.Connection:
        database = sqlite3.connect(self._path, check_same_thread=False, timeout=1.0, isolation_level=None)
        try:
            database.execute("CREATE TABLE IF NOT EXISTS blocks (name TEXT PRIMARY KEY, wire TEXT NOT NULL) WITHOUT ROWID")
        except sqlite3.Error:
            database.close()
            raise
        return database

    def put(self, blocks: Iterable[Block]) -> None:
        """Keep these. A full disk or a locked file raises ``StoreError``."""
        rows = [(key(block), json.dumps(block.wire)) for block in blocks]
        try:
            with self._lock:
                self._database.executemany("INSERT OR IGNORE INTO blocks VALUES (?, ?)", rows)
        except sqlite3.Error as error:
            raise StoreError(f"{self._path}: {error}") from error

    def get(self, name: str) -> Json | None:
        """What is kept under ``name``."""
        try:
            with self._lock:
                row = self._database.execute("SELECT wire FROM blocks WHERE name = ?", (name[:12],)).fetchone()
        except sqlite3.Error as error:
            raise StoreError(f"{self._path}: {error}") from error
        try:
            return freeze(json.loads(row[0])) if row else None
        except ValueError as error:
            raise StoreError(f"{self._path}: what is kept under {name[:12]} cannot be read: {error}") from error

    def close(self) -> None:
        """Close the file."""
        self._database.close()

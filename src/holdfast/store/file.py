"""The store in a file."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from sqlite3 import Connection
from types import TracebackType
from zlib import crc32

from cachetools import LRUCache

from holdfast.blocks import Block
from holdfast.errors import StoreError
from holdfast.frozen import Json, freeze
from holdfast.ledger import Ledger
from holdfast.saved import Saved, ledger_document
from holdfast.store.database import Database
from holdfast.store.names import DIGITS, is_name

_EXPIRE_EVERY = 500  # writes


class FileStore:
    """Keeps blocks and lineages in an SQLite file, for as long as the file is there, or for ``keep_for`` seconds.

    What ``put`` and ``save`` have returned from survives the end of the process, ``kill -9`` included. A power cut, or a crash
    of the operating system, can take back the newest of it, never half of a call, and leaves the file whole: it is written without
    waiting for the disk (write-ahead log, ``synchronous=NORMAL``; sqlite.org/pragma.html#pragma_synchronous).

    Several threads, processes and forks may use one file; who waits longer than one second for another's write gets a ``StoreError``,
    as for a full disk, a read-only file, another program's database or one of a newer Holdfast. The file must not lie on a network file
    system (sqlite.org/wal.html). It and those beside it (``-wal``, ``-shm``) are readable by their owner only; a wider mode is tightened.

    The file is checked when it is opened (``PRAGMA quick_check``, which reads all of it). One that is no whole database is set aside
    as ``<name>.corrupt`` and never overwritten; where such a file stands already, that is a ``StoreError``.

    ``keep_for`` seconds after it was last put or saved, a thing is forgotten: overwritten with zeros at some later write.
    ``clock`` gives POSIX seconds.
    """

    def __init__(self, path: str | Path, keep_for: float | None = None, clock: Callable[[], float] = time.time) -> None:
        self._keep_for = keep_for
        self._clock = clock
        self._writes = 0
        self._lock = threading.Lock()
        self._ledgers: LRUCache[str, tuple[Ledger, str, str]] = LRUCache(256)
        self._database = Database(_absolute(path), clock())

    def put(self, blocks: Iterable[Block]) -> None:
        """Keep these, all or none. What is kept already counts as put now. Raises ``StoreError``."""
        now, rows = self._clock(), [(block.fingerprint.hex(), _text(block.wire)) for block in blocks]
        with self._database.writing() as connection:
            connection.executemany(
                "INSERT INTO blocks (name, wire, at, crc) VALUES (?, ?, ?, ?) ON CONFLICT (name) DO UPDATE"
                " SET wire = excluded.wire, crc = excluded.crc, at = max(at, excluded.at)",
                [(name, text, now, _crc(text)) for name, text in rows],
            )
            self._expire(connection, now)

    def get(self, name: str) -> Json | None:
        """What is kept under ``name``; of two blocks whose names begin alike, the one put last. Raises ``StoreError``."""
        if not is_name(name):
            return None
        with self._database.reading() as connection:
            # The first schema kept blocks under the first 12 digits only.
            row = connection.execute(
                "SELECT wire, crc FROM blocks WHERE (name >= ?1 AND name < ?1 || 'g') OR name = ?2 ORDER BY at DESC, name LIMIT 1",
                (name, name[:DIGITS]),
            ).fetchone()
        return freeze(self._parsed(row[0], row[1], name)) if row else None

    def save(self, saved: Saved, expected: int) -> bool:
        """Make ``saved`` its lineage's head if version ``expected`` is there now (0: none). Raises ``StoreError``."""
        saved.follows(expected)
        now, state, (text, digest) = self._clock(), _text(replace(saved, ledger=Ledger()).document()), self._ledger(saved)
        with self._database.writing() as connection:
            newest = connection.execute("SELECT max(version) FROM heads WHERE lineage = ?", (saved.lineage,)).fetchone()[0]
            if (newest or 0) != expected:
                return False
            if not connection.execute("SELECT 1 FROM ledgers WHERE digest = ?", (digest,)).fetchone():
                connection.execute("INSERT INTO ledgers VALUES (?, ?)", (digest, text))
            connection.execute(
                "INSERT INTO heads (lineage, version, root, messages, at, state, crc, ledger) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (saved.lineage, saved.version, saved.root, saved.messages, now, state, _crc(state), digest),
            )
            self._expire(connection, now)
        return True

    def find(self, roots: Sequence[str]) -> Saved | None:
        """The head with the most messages whose root is among these, the newest of equals. Raises ``StoreError``."""
        return self._head("root IN (SELECT value FROM json_each(?)) ORDER BY messages DESC, number DESC", json.dumps(list(roots)))

    def load(self, lineage: str) -> Saved | None:
        """The newest head of this lineage. Raises ``StoreError``."""
        return self._head("lineage = ? ORDER BY version DESC", lineage)

    def forget(self, older_than: float) -> int:
        """Give up what was put or saved before ``older_than`` (POSIX seconds) and not since; how many blocks and heads that were.

        Its place in the file is overwritten with zeros and used again; the file itself does not get smaller. Raises ``StoreError``.
        """
        with self._database.writing() as connection:
            count = _forget(connection, older_than)
        with self._database.reading() as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return count

    def close(self) -> None:
        """Close the file; twice is harmless, and any other call raises ``StoreError`` from now on."""
        self._database.close()

    def __enter__(self) -> FileStore:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _expire(self, connection: Connection, now: float) -> None:
        if self._keep_for is not None and self._writes % _EXPIRE_EVERY == 0:
            _forget(connection, now - self._keep_for)
        self._writes += 1

    def _ledger(self, saved: Saved) -> tuple[str, str]:
        """The text of a lineage's ledger and its digest; it is the same object from one commit to the next."""
        with self._lock:
            known, text, digest = self._ledgers.get(saved.lineage, (None, "", ""))
            if known is not saved.ledger:
                text = _text(ledger_document(saved.ledger))
                digest = _digest(text)
                self._ledgers[saved.lineage] = saved.ledger, text, digest
        return text, digest

    def _head(self, where: str, value: str) -> Saved | None:
        newest = f"SELECT number FROM heads WHERE {where} LIMIT 1"
        statement = f"SELECT state, crc, ledger, text FROM heads LEFT JOIN ledgers ON digest = ledger WHERE number = ({newest})"
        with self._database.reading() as connection:
            row = connection.execute(statement, (value,)).fetchone()
        if row is None:
            return None
        state, crc, digest, text = row
        if text is None or _digest(text) != digest:
            raise StoreError(f"{self._database.path}: the ledger {digest} cannot be read")
        return Saved.from_document({**self._parsed(state, crc, "a lineage"), "ledger": self._parsed(text, None, "a ledger")})

    def _parsed(self, text: str, crc: int | None, what: str) -> Json:
        if crc is not None and crc != _crc(text):
            raise StoreError(f"{self._database.path}: what is kept under {what} cannot be read: it was damaged")
        try:
            return json.loads(text)
        except (TypeError, ValueError, RecursionError) as error:
            raise StoreError(f"{self._database.path}: what is kept under {what} cannot be read: {error}") from error


def _absolute(path: str | Path) -> Path:
    """The path as it stands now, wherever the process goes later."""
    try:
        if "\0" in str(path):
            raise ValueError("a path with a null character")
        return Path(path).expanduser().absolute()
    except (ValueError, RuntimeError, OSError) as error:
        raise StoreError(f"{path!r}: {error}") from error


def _forget(connection: Connection, older_than: float) -> int:
    gone = sum(connection.execute(f"DELETE FROM {table} WHERE at < ?", (older_than,)).rowcount for table in ("blocks", "heads"))
    if gone:
        connection.execute("DELETE FROM ledgers WHERE digest NOT IN (SELECT ledger FROM heads)")
    return gone


def _text(wire: Json) -> str:
    try:
        return json.dumps(wire, separators=(",", ":"))  # ASCII, so that lone surrogates come back
    except (TypeError, ValueError, RecursionError) as error:
        raise StoreError(f"what cannot be written as JSON cannot be kept: {error}") from error


def _crc(text: str | bytes) -> int:
    return crc32(text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text)


def _digest(text: str) -> str:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()

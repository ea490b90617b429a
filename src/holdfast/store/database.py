"""An SQLite file that is private, checked and shared: how it is opened, locked, and set aside where it is corrupt."""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from weakref import WeakSet, finalize

from holdfast.errors import StoreError

APPLICATION = 0x484F4C44
"""What marks a file as ours in its header: ``HOLD`` (sqlite.org/pragma.html#pragma_application_id)."""

SCHEMA = 2
"""The newest schema that this version reads, and the one it writes. 0 in a file with blocks is the first one, which had no number."""

BUSY_SECONDS = 1.0
"""How long to wait for another process that is writing."""

_MODE = 0o600
_BESIDE = ("", "-wal", "-shm")  # the files SQLite keeps beside a database (sqlite.org/wal.html)
_opening = threading.RLock()  # closing any descriptor of a file drops the process's locks on it (sqlite.org/howtocorrupt.html, 2.2)

_TABLES = """
CREATE TABLE IF NOT EXISTS blocks (name TEXT PRIMARY KEY, wire TEXT NOT NULL, at REAL NOT NULL, crc INTEGER);
CREATE INDEX IF NOT EXISTS blocks_at ON blocks (at);
CREATE TABLE ledgers (digest TEXT PRIMARY KEY, text TEXT NOT NULL);
CREATE TABLE heads (
    number INTEGER PRIMARY KEY, lineage TEXT NOT NULL, version INTEGER NOT NULL, root TEXT NOT NULL, messages INTEGER NOT NULL,
    at REAL NOT NULL, state TEXT NOT NULL, crc INTEGER NOT NULL, ledger TEXT NOT NULL, UNIQUE (lineage, version)
);
CREATE INDEX heads_root ON heads (root, messages);
CREATE INDEX heads_at ON heads (at);
"""


class Database:
    """A connection that several threads share in turn. It is given up before a fork, made anew on both sides, and closed in the end.

    SQLite forbids to carry a connection, or even to close one, across a fork (sqlite.org/howtocorrupt.html, 2.6).
    """

    def __init__(self, path: Path, now: float) -> None:
        self.path = path
        self._now = now
        self._lock = threading.RLock()
        self._closed = False
        with _blamed(path):
            self._connections = [_opened(path, now, check=True)]  # or none
        finalize(self, _close, self._connections)
        _watch_forks()
        _databases.add(self)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The connection, for one statement that changes nothing. Whatever SQLite reports becomes a ``StoreError``."""
        with self._lock, _blamed(self.path):
            if self._closed:
                raise StoreError(f"{self.path}: the store is closed")
            if not self._connections:
                self._connections.append(_opened(self.path, self._now, check=False))
            yield self._connections[0]

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """The connection in a transaction of its own, which holds wholly or not at all."""
        with self.reading() as connection, connection:
            connection.execute("BEGIN IMMEDIATE")
            yield connection

    def close(self) -> None:
        """Close the file for good; twice is harmless."""
        with self._lock, _blamed(self.path):
            self._closed = True
            _close(self._connections)

    def hold(self) -> None:
        """Keep everybody out, with no connection open, until ``release``."""
        self._lock.acquire()
        with suppress(sqlite3.Error):
            _close(self._connections)

    def release(self) -> None:
        """Let everybody in again."""
        self._lock.release()


def _close(connections: list[sqlite3.Connection]) -> None:
    while connections:
        connections.pop().close()


_databases: WeakSet[Database] = WeakSet()
_held: list[Database] = []
_watching: list[bool] = []


def _watch_forks() -> None:
    if not _watching and hasattr(os, "register_at_fork"):
        _watching.append(True)
        os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)


def _before_fork() -> None:
    for database in list(_databases):
        database.hold()
        _held.append(database)


def _after_fork() -> None:
    while _held:
        _held.pop().release()


@contextmanager
def _blamed(path: Path) -> Iterator[None]:
    """What SQLite and the system say becomes a ``StoreError`` that names the file."""
    try:
        yield
    except (sqlite3.Error, OSError, UnicodeError) as error:
        raise StoreError(f"{path}: {error}") from error


def _opened(path: Path, now: float, check: bool) -> sqlite3.Connection:
    """A connection; a file that is no whole database is set aside first. ``check``: look at every page of it."""
    with _opening:
        _make_private(path)
        connection = sqlite3.connect(path, check_same_thread=False, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            _patiently(lambda: _prepare(connection, path, now, check))
        except (sqlite3.Error, OSError, StoreError) as error:
            with closing(connection):
                # Locked, full, read-only, or a place where no file can be: all operational, and no corrupt file.
                if not isinstance(error, sqlite3.DatabaseError) or isinstance(error, sqlite3.OperationalError):
                    raise
                _set_aside(path, error)  # before it is closed, which would empty the log beside it
        else:
            return connection
        return _opened(path, now, check)


def _patiently(prepare: Callable[[], None]) -> None:
    """Try again for a while where another process is just making the file: for that SQLite itself does not wait."""
    until = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            return prepare()
        except sqlite3.OperationalError as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= until:
                raise
        time.sleep(0.01)


def _prepare(connection: sqlite3.Connection, path: Path, now: float, check: bool) -> None:
    with connection:
        connection.execute("BEGIN")  # one moment's view: another process may be making the file
        schema = _schema(connection, path)
    if check and (fault := _one(connection, "PRAGMA quick_check(1)")) != "ok":
        raise sqlite3.DatabaseError(f"the integrity check says: {fault}")
    # In WAL with NORMAL a commit is not flushed to the disk: what has returned survives the end of the process, however it ends, but a
    # power cut or a crash of the system may take back the newest commits, never half of one, and leaves the file whole
    # (sqlite.org/pragma.html#pragma_synchronous). Where the file system has no WAL, NORMAL would not leave it whole.
    mode = _one(connection, "PRAGMA journal_mode=WAL")
    connection.execute(f"PRAGMA synchronous={'NORMAL' if mode == 'wal' else 'FULL'}")
    connection.execute("PRAGMA secure_delete=ON")
    if schema < SCHEMA:
        _migrate(connection, path, now)
    _make_private(path)


def _one(connection: sqlite3.Connection, statement: str) -> str | int:
    value: str | int = connection.execute(statement).fetchone()[0]
    return value


def _schema(connection: sqlite3.Connection, path: Path) -> int:
    """The schema of the file. Raises ``StoreError`` for a newer one, and for another program's database."""
    owner, schema = _one(connection, "PRAGMA application_id"), int(_one(connection, "PRAGMA user_version"))
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if owner != APPLICATION and (owner or schema or tables - {"blocks"}):
        raise StoreError(f"{path} is another program's database, with the tables {', '.join(sorted(tables)) or 'none'}")
    if schema > SCHEMA:
        raise StoreError(f"{path} was written by a newer Holdfast: schema {schema}, this one reads {SCHEMA}")
    return schema


def _migrate(connection: sqlite3.Connection, path: Path, now: float) -> None:
    """Bring an empty file, or one of the first schema, to the newest. What was there counts as put now."""
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        if _schema(connection, path) == SCHEMA:  # another process was faster
            return
        if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'blocks'").fetchone():
            connection.execute(f"ALTER TABLE blocks ADD COLUMN at REAL NOT NULL DEFAULT {float(now)!r}")
            connection.execute("ALTER TABLE blocks ADD COLUMN crc INTEGER")
        for statement in filter(str.strip, _TABLES.split(";")):
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id={APPLICATION}")
        connection.execute(f"PRAGMA user_version={SCHEMA}")


def _make_private(path: Path) -> None:
    """Nobody but the owner may read the file or those beside it. SQLite gives new ones beside it the mode of the file itself."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, _MODE))
    except FileExistsError:
        for name in _BESIDE:
            _tighten(Path(f"{path}{name}"))


def _tighten(path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode):
        raise StoreError(f"{path} is no file")
    if stat.S_IMODE(mode) & 0o077:
        path.chmod(_MODE)


def _set_aside(path: Path, why: sqlite3.DatabaseError) -> None:
    """Move a corrupt file, and what SQLite keeps beside it, out of the way, where nothing is overwritten."""
    aside = Path(f"{path}.corrupt")
    try:
        aside.touch(_MODE, exist_ok=False)
    except FileExistsError:
        raise StoreError(f"{path} is not a store ({why}), and {aside} stands where it would be set aside") from None
    for name in _BESIDE:
        if Path(f"{path}{name}").exists():
            Path(f"{path}{name}").replace(f"{aside}{name}")

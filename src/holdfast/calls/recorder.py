"""``record=PATH``: every call as one line of a request log, which ``compare``, ``replay``, ``doctor`` and ``validate`` read.

The format is that of ``holdfast.readers.request_log``. Secrets are replaced (``holdfast.calls.redact``) under a key that is drawn for the
log and kept beside it, in ``.NAME.key``: so requests that shared a prefix share it in the log as well, across restarts and across the
processes that write to it. Whoever is given the log without that file learns nothing of a secret but where the same one stands again.
"""

from __future__ import annotations

import json
import os
import secrets
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import Any

from holdfast.calls.redact import Redactor
from holdfast.errors import HoldfastError, RecordError
from holdfast.exchange import Exchange
from holdfast.readers.request_log_lines import ACCOUNT, SECRET

MAX_BYTES = 64 << 20
KEEP = 5
RETRY_SECONDS = 30.0
"""How long nothing is tried again after the log could not be opened: a dead network disk must not delay each call."""

_MODE = 0o600
_KEY_BYTES = 32
_OPEN = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
_UNWRITABLE = (TypeError, ValueError, RecursionError)
"""What JSON that is none raises."""


class Recorder:
    """Appends calls to the log at ``path``. Threads and processes may share it.

    The file and those it is rotated into (``PATH.1`` is the newest, ``PATH.<keep>`` the oldest) have the mode 0600, also where the file
    stood there with another. It is rotated before a line would take it over ``max_bytes``; no line is split, and each has its whole
    request, so each file can be read without the others. Folders are not made. ``key`` is used for the fingerprints of secrets instead of
    the one beside the log. ``clock`` gives seconds that only go forward.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        max_bytes: int = MAX_BYTES,
        keep: int = KEEP,
        key: bytes | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = Path(path).expanduser().absolute()
        self.lost = 0
        """Calls that could not be written."""
        self._max_bytes, self._keep, self._clock = max_bytes, keep, clock
        self._redactor = Redactor(key) if key is not None else None
        self._lock, self._process = Lock(), os.getpid()
        self._handle: int | None = None
        self._told = ""
        self._again_at = 0.0

    def write(self, exchange: Exchange) -> HoldfastError | None:
        """Append one call. Returns what went wrong the first time that it does, ``None`` while the same goes on; raises nothing.

        What is wrong with one call's JSON is returned each time.
        """
        if os.getpid() != self._process:  # a fork may have come while another thread held the lock
            self._lock, self._process = Lock(), os.getpid()
        with self._lock:
            if self._told and self._clock() < self._again_at:
                self.lost += 1
                return None
            try:
                self._append(exchange)
            except OSError as error:
                return self._failed(f"{self.path}: calls are not recorded ({error.strerror or error})")
            except _UNWRITABLE as error:
                self.lost += 1
                return RecordError(f"{self.path}: a call is not recorded, as it is no JSON ({error})")
            self._told = ""
            return None

    def close(self) -> None:
        """Close the file; a later ``write`` opens it again."""
        with self._lock:
            self._close()

    def _append(self, exchange: Exchange) -> None:
        """Raises ``OSError``, and one of ``_UNWRITABLE``."""
        if self._redactor is None:
            self._redactor = Redactor(_key_beside(self.path))
        line = line_of(exchange, self._redactor)
        handle = self._opened()
        size = os.fstat(handle).st_size
        if size and size + len(line) > self._max_bytes:
            handle = self._rotated(len(line))
        _write_whole(handle, line)

    def _opened(self) -> int:
        """The file that has the log's name now: another process may have rotated it. Raises ``OSError``."""
        if self._handle is not None:
            with suppress(FileNotFoundError):
                if os.path.samestat(self.path.stat(), os.fstat(self._handle)):
                    return self._handle
            self._close()
        handle = os.open(self.path, _OPEN, _MODE)
        try:
            found = os.fstat(handle)
            if not stat.S_ISREG(found.st_mode):
                raise OSError(0, "it is no file")
            if stat.S_IMODE(found.st_mode) != _MODE and hasattr(os, "fchmod"):
                os.fchmod(handle, _MODE)
        except OSError:
            os.close(handle)
            raise
        self._handle = handle
        return handle

    def _rotated(self, coming: int) -> int:
        """A file with room for ``coming`` bytes, unless another process has made one meanwhile, or is about to. Raises ``OSError``."""
        with _alone(_key_path(self.path), wait=False) as alone:
            size = os.fstat(self._opened()).st_size
            if alone and size and size + coming > self._max_bytes:
                self._close()
                _shift(self.path, self._keep)
            return self._opened()

    def _close(self) -> None:
        if self._handle is not None:
            handle, self._handle = self._handle, None
            with suppress(OSError):
                os.close(handle)

    def _failed(self, why: str) -> HoldfastError | None:
        self._close()
        self.lost += 1
        self._again_at = self._clock() + RETRY_SECONDS
        if why == self._told:
            return None
        self._told = why
        return RecordError(why)


def line_of(exchange: Exchange, redactor: Redactor) -> bytes:
    """A call as a line of the log, its end included. Raises ``TypeError``, ``ValueError`` or ``RecursionError`` for what is no JSON."""
    envelope = redactor.value(envelope_of(exchange))
    try:
        return f"{json.dumps(envelope, ensure_ascii=False, separators=(',', ':'))}\n".encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which a cut through a text leaves
        return f"{json.dumps(envelope, separators=(',', ':'))}\n".encode()


def envelope_of(exchange: Exchange) -> dict[str, Any]:
    """A call in the format of ``holdfast.readers.request_log``, before secrets are replaced. Headers that may be secret are left out."""
    request: dict[str, Any] = {"body": dict(exchange.body)} if exchange.body else {}
    if exchange.endpoint:
        request["url"] = exchange.endpoint
    if headers := {name: value for name, value in exchange.headers.items() if not SECRET.search(name.lower())}:
        request["headers"] = headers
    plain = request.keys() <= {"body"}
    found = {
        "request": request.get("body") if plain else request,
        "response": dict(exchange.response) or None,
        "at": exchange.at,
        "ended": exchange.ended,
        "provider": exchange.provider or None,
        "session": exchange.session or None,
        "status": exchange.status,
        **dict(_accounts(exchange.account)),
    }
    return {name: value for name, value in found.items() if value is not None}


def _accounts(account: str) -> Iterator[tuple[str, str]]:
    """``organization=…, key=…``, as ``Exchange`` has it, as fields."""
    for part in filter(None, account.split(", ")):
        name, is_pair, value = part.partition("=")
        yield (name, value) if is_pair and name in ACCOUNT else ("account", part)


def _write_whole(handle: int, line: bytes) -> None:
    """The line in one piece at the end of the file, or nothing. Raises ``OSError``."""
    written = os.write(handle, line)
    if written == len(line):
        return
    end = os.lseek(handle, 0, os.SEEK_CUR)
    if os.fstat(handle).st_size == end:  # nobody has written behind it
        os.ftruncate(handle, end - written)
    raise OSError(0, "the disk is full")


def _shift(path: Path, keep: int) -> None:
    """``PATH`` becomes ``PATH.1``, that ``PATH.2`` and so on; what would come after the last is deleted. Raises ``OSError``."""
    names = [path, *(path.with_name(f"{path.name}.{number}") for number in range(1, keep + 1))]
    names[-1].unlink(missing_ok=True)
    for old, new in zip(names[-2::-1], names[:0:-1], strict=True):
        with suppress(FileNotFoundError):
            old.replace(new)


def _key_path(path: Path) -> Path:
    """Where the key of a log is kept: a hidden file, so that no folder or pattern of logs names it."""
    return path.with_name(f".{path.name}.key")


def _key_beside(path: Path) -> bytes:
    """The key of the log, drawn when it is asked for first. Raises ``OSError``."""
    place = _key_path(path)
    with _alone(place):
        if len(known := place.read_bytes()) >= _KEY_BYTES:
            return known[:_KEY_BYTES]
        drawn = secrets.token_bytes(_KEY_BYTES)
        place.write_bytes(drawn)
        return drawn


@contextmanager
def _alone(place: Path, wait: bool = True) -> Iterator[bool]:
    """Keeps other processes from doing the same for the log; false where one is at it and ``wait`` is.

    Where the system has no ``flock`` (Windows), one process may write to a log. Raises ``OSError``.
    """
    handle = os.open(place, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), _MODE)
    try:
        yield _locked(handle, wait)
    finally:
        os.close(handle)


def _locked(handle: int, wait: bool) -> bool:
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

"""What the fake Responses API remembers of its answers, and the encrypted content it hands out."""

from __future__ import annotations

import base64
import binascii
import hashlib
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cachetools import LRUCache

from holdfast.frozen import Json

RESPONSES = 1000
ITEMS = 20_000
"""How many answers, and how many items of answers, are remembered: the newest."""
_SEAL = "gAAAAAhf"


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer: the request's body, and all items up to the end of the answer, of which the first ``asked`` are the prompt's."""

    body: Mapping[str, Json]
    items: Sequence[Json]
    asked: int


class Memory:
    """Answers by their ids and those of their conversations. A memory is of one provider; any thread may use it."""

    def __init__(self) -> None:
        self._kept: LRUCache[str, Kept] = LRUCache(RESPONSES)
        self._thoughts: LRUCache[str, str] = LRUCache(ITEMS)
        self._items: LRUCache[str, Json] = LRUCache(ITEMS)
        self._lock = threading.Lock()

    def keep(self, names: Sequence[str], kept: Kept, output: Sequence[Mapping[str, Json]]) -> None:
        """Remember an answer under its id and its conversation's."""
        with self._lock:
            for name in names:
                self._kept[name] = kept
            before = ""
            for item in output:
                own = str(item.get("id") or "")
                self._items[own] = item
                if before:
                    self._thoughts[own] = before
                before = own if item.get("type") == "reasoning" else ""

    def find(self, name: str) -> Kept | None:
        """The answer with this id, or the newest of this conversation."""
        with self._lock:
            return self._kept.get(name)

    def item(self, name: str) -> Json:
        """An item of an answer by its id; ``None`` where there is none."""
        with self._lock:
            return self._items.get(name)

    def needed(self, items: Sequence[Mapping[str, Json]]) -> dict[str, str]:
        """Of these items, which were led to by a reasoning item: its id by theirs."""
        names = [str(item["id"]) for item in items if isinstance(item.get("id"), str)]
        with self._lock:
            return {name: self._thoughts[name] for name in names if name in self._thoughts}


def sealed(text: str) -> str:
    """Encrypted content that nobody can read and that weighs about what the text does. The same text gives the same content."""
    payload = hashlib.shake_256(text.encode()).digest(max(16, len(text) * 3 // 4))
    return _SEAL + base64.urlsafe_b64encode(payload + _check(payload)).decode()


def tampered(blob: str) -> bool:
    """Whether this is content of ``sealed`` that somebody changed. Content from elsewhere is taken as it is."""
    if not blob.startswith(_SEAL):
        return False
    try:
        raw = base64.b64decode(blob[len(_SEAL) :], altchars=b"-_", validate=True)
    except binascii.Error:
        return True
    return raw[-8:] != _check(raw[:-8])


def _check(payload: bytes) -> bytes:
    return hashlib.blake2b(payload, digest_size=8, person=b"sealed").digest()

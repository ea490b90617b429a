"""Message threads taken back into requests: the server would keep the messages, and here they are sent whole again.

With a thread (beta ``message-threads-2026-08-12``) the first turn creates it with the whole history, and each later one names the reply
it goes on from and sends only what is new, without ``system`` and ``tools``. With ``threads="unthread"`` the ``thread`` field never
reaches the server: what a turn sent and what it was answered is kept under the id of the reply, and a turn that goes on from it is sent
with everything before it, as if the tool runner had been given ``thread=False``. A turn that names an unknown reply goes out as it is.
The server knows no such thread either and says so (``thread_not_found``), whereupon the SDK sends the whole history as a new thread
(anthropic 2.12.0, ``lib/threads/_thread_state.py``, read 2026-11-23).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock

from cachetools import LRUCache

from holdfast.frozen import Json
from holdfast.transcript import Dialect

FIELD = "thread"
_CREATE_ONLY = ("system", "tools")
"""Fields that the server takes from the thread, and a turn that goes on from a reply leaves out (``CREATE_ONLY_FIELDS`` there)."""

_HOLDING = ("content", "source", "tool", "definition", "tool_references")
_WITHOUT_REPLY = ("refusal",)
"""Ends of a reply after which the SDK does not go on from it."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """A thread up to one reply: the messages, without marks, that reply among them, and what only its creation said."""

    messages: Sequence[Json]
    fixed: Mapping[str, Json]


class Threads:
    """The newest turns of all threads of a client, by the ids of their replies. Safe for threads; ``most`` of them are kept."""

    def __init__(self, most: int) -> None:
        self._kept: LRUCache[str, _Kept] = LRUCache(most)
        self._lock = Lock()

    def whole(self, body: Mapping[str, Json]) -> Mapping[str, Json] | None:
        """The body with all its messages and without its thread; ``None`` where what the thread holds is not known."""
        thread, messages = body.get(FIELD), body.get("messages")
        if not isinstance(thread, Mapping) or not isinstance(messages, list):
            return None
        own = {key: value for key, value in body.items() if key != FIELD}
        if thread.get("type") == "create":
            return own
        if thread.get("type") != "continue":
            return None
        with self._lock:
            kept = self._kept.get(str(thread.get("previous_message_id")))
        if kept is None:
            return None
        return {**kept.fixed, **own, "messages": [*kept.messages, *messages]}

    def answered(self, whole: Mapping[str, Json], response: Mapping[str, Json]) -> None:
        """A turn that was sent ``whole`` has got this answer, and got it to its end. What is no whole reply is not kept."""
        name, content, stop = response.get("id"), response.get("content"), response.get("stop_reason")
        if not isinstance(name, str) or not isinstance(content, list) or not stop or stop in _WITHOUT_REPLY or response.get("error"):
            return
        messages = whole["messages"]
        # A mark was set for the turn that sent it first, and a request takes only a few: the SDK leaves old ones out too.
        unmarked = [message if _is_plain(message) else _without_marks(message) for message in messages]
        reply = {"role": "assistant", "content": content}
        fixed = {key: whole[key] for key in _CREATE_ONLY if key in whole}
        with self._lock:
            self._kept[name] = _Kept([*unmarked, reply], fixed)


def threaded(body: Mapping[str, Json], dialect: Dialect) -> bool:
    """Whether the server is to keep this conversation as a message thread."""
    return dialect == "anthropic" and bool(body.get(FIELD))


def _is_plain(message: Json) -> bool:
    content = message.get("content") if isinstance(message, Mapping) else None
    return not isinstance(content, list) or not any(_marked(block) for block in content)


def _marked(value: Json) -> bool:
    if isinstance(value, Mapping):
        return "cache_control" in value or any(_marked(value[key]) for key in _HOLDING if key in value)
    return isinstance(value, list) and any(map(_marked, value))


def _without_marks(value: Json) -> Json:
    if isinstance(value, Mapping):
        return {key: _without_marks(item) if key in _HOLDING else item for key, item in value.items() if key != "cache_control"}
    return [_without_marks(item) for item in value] if isinstance(value, list) else value

"""The lines of a Claude Code session as rows: what of each line the model saw or said, and whom it follows.

The rest of a line (``toolUseResult``, file snapshots, hook timings …) is dropped here, so that a session in memory is little more
than its conversation.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any

from holdfast.frozen import Json

MAIN = "main"

SPOKEN = frozenset({"user", "assistant", "system", "attachment", "progress"})
"""Types of lines that stand on a chain."""
KNOWN = SPOKEN | {
    "summary",
    "file-history-snapshot",
    "file-history-delta",
    "queue-operation",
    "last-prompt",
    "mode",
    "permission-mode",
    "ai-title",
    "custom-title",
    "agent-name",
    "pr-link",
    "bridge-session",
    "tag",
}
"""These and the client's own bookkeeping, which the model never sees."""

UNSEEN_ATTACHMENTS = frozenset({"hook_cancelled", "hook_system_message", "command_permissions", "goal_status"})
"""Attachments that are shown to the user or steer the client; their rows carry no text for the model."""


RESUME = "SessionStart:resume"
"""The hook that runs when the client is started anew on an earlier session."""
NOT_ASKED = "No response requested."
"""What the client then puts in for an answer that was never asked for."""


class Is(Enum):
    """What a row is to the conversation. A ``LINK`` only joins its neighbours."""

    USER = "user"
    ASSISTANT = "assistant"
    COMPACTED = "compact_boundary"
    CLEARED = "microcompact_boundary"
    LINK = "link"


@dataclass(slots=True)
class Row:
    """One line: who it follows (``parent``), on whose chain (``chain``: ``"main"`` or ``"agent:…"``), and its content for the model.

    ``order`` is its place in the reading order, ``at`` POSIX seconds. ``call`` is the id of the response an assistant row belongs
    to. ``detail`` holds a boundary's metadata, or an assistant row's model, usage and stop reason. ``client`` is the version that wrote
    it, ``thinks`` whether a user's row asked for thinking, ``resumes`` that the client was started anew on this session.
    """

    order: int
    uuid: str
    parent: str | None
    chain: str
    kind: Is
    at: float | None
    content: str | list[Json] = ""
    call: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)
    summary: bool = False
    client: str = ""
    thinks: bool = False
    resumes: bool = False


def seconds(stamp: Any) -> float | None:
    """An ISO-8601 time as POSIX seconds, ``None`` if it is none."""
    if not isinstance(stamp, str):
        return None
    try:
        return datetime.fromisoformat(stamp).timestamp()
    except (ValueError, OverflowError, OSError):
        return None


class Rows:
    """All rows of one session, by id, in reading order. ``attachments`` counts those that carry text for the model."""

    def __init__(self) -> None:
        self.all: list[Row] = []
        self.by_id: dict[str, Row] = {}
        self.session = ""
        self.attachments = self.gaps = 0
        self._last: dict[str, Row] = {}

    def add_all(self, records: Iterable[tuple[int, Any]]) -> Iterable[tuple[int, str]]:
        """Takes every record; yields the number of each line that is no record of a session, and why."""
        for number, record in records:
            if not isinstance(record, dict):
                yield number, "JSON, but not an object"
            elif not isinstance(kind := record.get("type"), str):
                yield number, "an object without a type"
            else:
                if kind not in KNOWN:
                    yield number, f"an unknown type of line: {kind[:40]}"
                if isinstance(record.get("uuid"), str):
                    self._add(record, kind)

    def _add(self, record: dict[str, Any], kind: str) -> None:
        if not self.session and isinstance(record.get("sessionId"), str):
            self.session = record["sessionId"]
        if record["uuid"] in self.by_id:
            return  # a session resumed in place repeats its lines
        self._keep(self._row(record, kind))
        if kind == "progress":
            self._progress(record)

    def join(self) -> None:
        """Joins each row whose parent is in no line to the row before it on its chain; ``gaps`` counts them."""
        last: dict[str, Row] = {}
        for row in self.all:
            if row.parent is not None and row.parent not in self.by_id:
                before = last.get(row.chain)
                row.parent = before.uuid if before is not None else None
                self.gaps += row.kind is not Is.LINK
            last[row.chain] = row

    def _keep(self, row: Row) -> None:
        self.all.append(row)
        self.by_id[row.uuid] = self._last[row.chain] = row

    def _row(self, record: dict[str, Any], kind: str) -> Row:
        parent = record.get("parentUuid")
        parent = parent if isinstance(parent, str) else None
        row = Row(len(self.all), record["uuid"], parent, self._chain(record, parent), Is.LINK, seconds(record.get("timestamp")))
        row.client = str(record.get("version") or "")
        row.thinks = _asks_for_thinking(record.get("thinkingMetadata"))
        row.resumes = _resumes(record)
        if kind in ("user", "assistant"):
            _speak(row, record)
        elif kind == "attachment":
            text = attached(record.get("attachment"))
            self.attachments += bool(text)
            row.kind, row.content = (Is.USER, text) if text else (Is.LINK, "")
        elif kind == "system" and record.get("subtype") in (Is.COMPACTED.value, Is.CLEARED.value):
            row.kind = Is(record["subtype"])
            found = record.get("compactMetadata") or record.get("microcompactMetadata")
            row.detail = {**(found if isinstance(found, dict) else {}), "follows": record.get("logicalParentUuid")}
        return row

    def _chain(self, record: dict[str, Any], parent: str | None) -> str:
        if not record.get("isSidechain"):
            return MAIN
        agent = record.get("agentId")
        if isinstance(agent, str):
            return f"agent:{agent}"
        above = self.by_id.get(parent or "")
        return above.chain if above is not None and above.chain != MAIN else f"agent:{record['uuid'][:8]}"

    def _progress(self, record: dict[str, Any]) -> None:
        """A sub-agent's message inside a progress line: a row of the agent's own chain, behind its last one."""
        data = record.get("data")
        if not isinstance(data, dict) or data.get("type") != "agent_progress" or not isinstance(data.get("message"), dict):
            return
        inner = data["message"]
        uuid = inner.get("uuid")
        if inner.get("type") not in ("user", "assistant") or not isinstance(uuid, str) or uuid in self.by_id:
            return
        chain = f"agent:{data.get('agentId') or record.get('parentToolUseID')}"
        last = self._last.get(chain)
        at = seconds(inner.get("timestamp") or record.get("timestamp"))
        row = Row(len(self.all), uuid, last.uuid if last else None, chain, Is.LINK, at)
        _speak(row, inner)
        self._keep(row)


def _speak(row: Row, record: dict[str, Any]) -> None:
    """Fills a row with what was said, if the model was to see it."""
    message = record.get("message")
    if not isinstance(message, dict):
        return
    content = _content(message.get("content"))
    if record["type"] == "user":
        row.summary = bool(record.get("isCompactSummary"))
        if row.summary or not record.get("isVisibleInTranscriptOnly"):
            row.kind, row.content = Is.USER, content
    elif message.get("model") != "<synthetic>" and not record.get("isApiErrorMessage"):
        row.kind, row.content = Is.ASSISTANT, content
        row.call = str(message.get("id") or record.get("requestId") or row.uuid)
        row.detail = {key: message.get(key) for key in ("model", "usage", "stop_reason")}


def _resumes(record: Mapping[str, Any]) -> bool:
    """Whether a line shows that the client was started anew on this session."""
    if any(isinstance(part := record.get(key), dict) and part.get("hookName") == RESUME for key in ("attachment", "data")):
        return True
    message = record.get("message")
    if not isinstance(message, dict) or message.get("model") != "<synthetic>":
        return False
    content = message.get("content")
    parts = content if isinstance(content, list) else [content]
    return any((part.get("text") if isinstance(part, dict) else part) == NOT_ASKED for part in parts)


def _asks_for_thinking(metadata: Any) -> bool:
    """The client notes with a prompt how much thinking it asks for; prompts made of commands and skills carry no such note."""
    return isinstance(metadata, dict) and not metadata.get("disabled") and metadata.get("maxThinkingTokens") != 0


def _content(value: Any) -> str | list[Json]:
    """A message's content: a text, or a list of nothing but objects and texts."""
    if isinstance(value, list):
        return [block for block in value if isinstance(block, dict | str)]
    return value if isinstance(value, str) else []


def attached(attachment: Any) -> str | list[Json] | None:
    """An attachment as the model may have read it: a text in ``<system-reminder>``, a queued prompt as it is, ``None`` for none.

    The client's own wording is not recorded; the text stands for its content and roughly for its size.
    """
    if not isinstance(attachment, dict) or attachment.get("type") in UNSEEN_ATTACHMENTS:
        return None
    kind = attachment.get("type")
    if kind == "queued_command":
        return _content(attachment.get("prompt")) or None
    body = attachment.get("content")
    if str(kind).startswith("hook_"):
        text = "\n".join(map(str, body)) if isinstance(body, list) else body if isinstance(body, str) else ""
    elif isinstance(body, str):
        text = body
    else:
        rest = {key: value for key, value in attachment.items() if key != "type"}
        text = f"{kind}: {json.dumps(rest, ensure_ascii=False, separators=(',', ':'))}"
    return f"<system-reminder>\n{text}\n</system-reminder>" if text.strip() else None

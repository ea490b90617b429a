"""Sessions of the pi coding agent: JSON lines, one entry each (badlogic/pi-mono, December 2025 and later).

An assistant entry holds its call's usage (additive, output final) and ``cost`` (usage by list price). Newer files are
a tree by ``id`` and ``parentId``; in older ones each entry follows the one before. System prompt and tools are not recorded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from holdfast.blocks import Message, Settings
from holdfast.frozen import Json
from holdfast.readers import lines, pi_messages
from holdfast.readers.faults import Faults
from holdfast.readers.fields import Lineage, Notes, dollars, seconds, text_of, times
from holdfast.readers.sample import Sample
from holdfast.transcript import Transcript, Turn, Unlogged
from holdfast.usage import Usage
from holdfast.wire.anthropic import WIRE

NAME = "pi"
_BUDGETS = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16384}


def sniff(head: Sample) -> bool:
    """A first line of type ``session`` with the working folder, and entries in pi's form."""
    first = head.objects[:1]
    return bool(first) and first[0].get("type") == "session" and "id" in first[0] and "cwd" in first[0] and "timestamp" in first[0]


@dataclass(frozen=True, slots=True)
class _Place:
    """What stands before the next entry: the first ``stop`` messages of a lineage, an answer and the results that have come for it.

    The answer is not in the lineage yet: calls without a result are not sent.
    """

    lineage: Lineage
    stop: int = 0
    answer: Mapping[str, Any] | None = None
    results: tuple[Mapping[str, Any], ...] = ()


@dataclass(slots=True)
class _Session:
    """A session while it is being read. ``places`` says for each entry what stands behind it, ``entries`` holds them by id."""

    id: str = ""
    level: str = "off"
    order: list[str] = field(default_factory=list)
    entries: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    parents: dict[str, str | None] = field(default_factory=dict)
    places: dict[str, _Place] = field(default_factory=dict)
    longest: dict[str, int] = field(default_factory=dict)
    known: dict[tuple[bytes, ...], Message] = field(default_factory=dict)
    lineages: int = 0
    without_usage: int = 0
    faults: Faults = field(default_factory=Faults)
    turns: list[Turn] = field(default_factory=list)
    unlogged: list[Unlogged] = field(default_factory=list)

    def new_lineage(self, of: _Place | None = None) -> Lineage:
        """A lineage of its own, or one that begins with what stands at a place."""
        self.lineages += 1
        name = "main" if self.lineages == 1 else f"main-{self.lineages}"
        return of.lineage.fork(name, of.stop) if of else Lineage(name)

    def entry(self, raw: Mapping[str, Any]) -> None:
        """One line behind the first."""
        name = text_of(raw, "id") or f"line {len(self.order)}"
        parent = raw["parentId"] if "parentId" in raw else self.order[-1] if self.order else None
        before = self.places.get(parent) if parent else None
        if before is None:
            before = _Place(self.new_lineage())
        self.order.append(name)
        self.entries[name], self.parents[name] = raw, parent
        if raw.get("type") == "thinking_level_change":
            self.level = text_of(raw, "thinkingLevel") or self.level
        if raw.get("type") == "compaction":
            self.places[name] = self.compaction(before, name, raw)
            return
        message = raw.get("message")
        if raw.get("type") == "message" and isinstance(message, Mapping) and message.get("role") == "assistant":
            before = self.turn(self.settled(before), raw, message)
        self.places[name] = self.step(before, raw)

    def step(self, place: _Place, raw: Mapping[str, Any]) -> _Place:
        """What stands behind an entry."""
        if raw.get("type") in ("branch_summary", "custom_message"):
            content = pi_messages.summary(raw) if raw["type"] == "branch_summary" else pi_messages.user_content(raw.get("content"))
            return self.said(self.settled(place), content)
        message = raw.get("message")
        if raw.get("type") != "message" or not isinstance(message, Mapping):
            return place
        if message.get("role") == "toolResult":
            return replace(place, results=(*place.results, message))
        place = self.settled(place)
        if message.get("role") == "assistant":
            return replace(place, answer=message)
        return self.said(place, pi_messages.spoken(message))

    def settled(self, place: _Place) -> _Place:
        """The place with its answer and the answer's results as messages."""
        if place.answer is None:
            return replace(place, results=())
        called = set(pi_messages.call_ids(place.answer))
        results = [raw for raw in place.results if raw.get("toolCallId") in called]
        content = pi_messages.assistant_content(place.answer, {str(raw["toolCallId"]) for raw in results})
        place = replace(place, answer=None, results=())
        if content:
            place = self.grown(place, {"role": "assistant", "content": content})
        return self.said(place, [pi_messages.result(raw) for raw in results])

    def said(self, place: _Place, content: list[Json]) -> _Place:
        """The place with a user message more, unless there is nothing in it."""
        return self.grown(place, {"role": "user", "content": content}) if content else place

    def grown(self, place: _Place, wire: Json) -> _Place:
        """The place with one message more; where its lineage already goes on differently, in a new one."""
        message = WIRE.read_message(wire)
        key = tuple(block.fingerprint for block in message.blocks)
        message = self.known.setdefault(key, message)
        lineage = place.lineage
        if place.stop < len(lineage.log) and lineage.log[place.stop] is not message:
            lineage = self.new_lineage(place)
        if place.stop == len(lineage.log):
            lineage.log.append(message)
        return replace(place, lineage=lineage, stop=place.stop + 1)

    def turn(self, place: _Place, entry: Mapping[str, Any], raw: Mapping[str, Any]) -> _Place:
        """A call. One that was aborted or failed before anything was counted is none."""
        usage = _usage(raw.get("usage"))
        if place.stop == 0 or (usage is None and raw.get("stopReason") in ("aborted", "error")):
            self.without_usage += 1
            return place
        if place.stop < self.longest.get(place.lineage.name, 0):
            place = replace(place, lineage=self.new_lineage(place))
        self.longest[place.lineage.name] = place.stop
        at, ended = seconds(raw.get("timestamp")), seconds(entry.get("timestamp"))
        cost = (raw.get("usage") or {}).get("cost")
        self.turns.append(
            Turn(
                lineage=place.lineage.name,
                prompt=place.lineage.prompt(_settings(text_of(raw, "model"), self.level), place.stop),
                at=at,
                ended=max(at, ended) if at is not None and ended is not None else ended,
                answer=WIRE.read_message({"role": "assistant", "content": pi_messages.assistant_content(raw)}),
                usage=self.faults.billed(raw.get("usage"), text_of(raw, "responseId"), read=_usage),
                charged=dollars(cost.get("total")) if isinstance(cost, Mapping) and usage else None,
                request=text_of(raw, "responseId"),
            )
        )
        return place

    def compaction(self, before: _Place, name: str, raw: Mapping[str, Any]) -> _Place:
        """The client replaced its history by a summary and the newest entries; the call that wrote the summary is not in the file."""
        why, tokens = "compaction: the call that wrote the summary", len(text_of(raw, "summary")) // 4
        self.unlogged.append(Unlogged(before.lineage.name, seconds(raw.get("timestamp")), why, tokens))
        place = self.said(_Place(self.new_lineage()), pi_messages.summary(raw))
        for kept in self.kept(name, raw):
            place = self.step(place, kept)
        return place

    def kept(self, name: str, raw: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """The entries before a compaction that it kept, oldest first. Old files count all lines, the first included."""
        index = raw.get("firstKeptEntryIndex")
        first = raw.get("firstKeptEntryId")
        if isinstance(index, int) and 0 < index <= len(self.order):
            first = self.order[index - 1]
        path: list[Mapping[str, Any]] = []
        above = self.parents[name]
        while above is not None and above in self.entries:
            path.append(self.entries[above])
            if above == first:
                return path[::-1]
            above = self.parents[above]
        return []


def _usage(raw: Json, dialect: str = "") -> Usage | None:
    """pi's usage: additive, whatever the provider. ``None`` where nothing was counted."""
    if not isinstance(raw, Mapping):
        return None
    counts = [raw.get(key) for key in ("input", "cacheRead", "cacheWrite", "output")]
    fresh, read, written, output = (count if isinstance(count, int) else 0 for count in counts)
    return Usage(fresh=fresh, read=read, write_5m=written, output=output) if fresh + read + written + output else None


def _settings(model: str, level: str) -> Settings:
    """The settings, with the thinking budget that pi gives a level."""
    budget = _BUDGETS.get(level)
    return WIRE.read_settings({"model": model, "thinking": {"type": "enabled", "budget_tokens": budget} if budget else None})


def _said(session: _Session) -> tuple[str, ...]:
    notes = ["system prompt and tools are not recorded"]
    if session.unlogged:
        notes.append(f"the client compacted {times(len(session.unlogged))}; the calls that wrote the summaries are not recorded")
    if session.without_usage:
        notes.append(f"{session.without_usage} calls that were aborted or failed before anything was counted are left out")
    return (*notes, *session.faults.notes())


def read(path: Path, *, strict: bool = False) -> list[Transcript]:
    """The session as one transcript; each branch of the tree and each compaction begins a lineage."""
    notes = Notes(str(path), strict)
    session = _Session()
    for number, raw in lines.records(path, strict=strict, skipped=notes.skipped):
        if not isinstance(raw, dict) or "type" not in raw:
            notes.skip(number, "not an entry of a pi session")
        elif raw["type"] == "session":
            session.id = text_of(raw, "id")
            session.level = text_of(raw, "thinkingLevel") or session.level
        else:
            session.entry(raw)
    transcript = Transcript(
        path=str(path),
        format=NAME,
        dialect="anthropic",
        turns=tuple(session.turns),
        session=session.id,
        head_recorded=False,
        notes=_said(session),
        skipped=tuple(notes.skipped),
        unlogged=tuple(session.unlogged),
    )
    return [transcript]

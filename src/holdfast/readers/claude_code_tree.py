"""The calls of a Claude Code session and the prompt each one sent.

Every call follows another call (or none): the nearest response among the ancestors of its first line. So the calls are a tree, a
call's prompt is its parent's prompt, its parent's answer and what the user's side added between, and the lineages are paths in that tree.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from holdfast.blocks import Block, Kind, Message
from holdfast.frozen import Json
from holdfast.readers.claude_code_rows import Is, Row, Rows
from holdfast.wire.anthropic import cleared, read_message

NO_RESULT = "[no result was recorded]"
NO_MESSAGE = "[a message that was not recorded]"
CLEARED = "[Old tool result content cleared]"


@dataclass(slots=True, eq=False)
class Lineage:
    """One line of growth: its log of messages, which only grows, and the call that ends it."""

    name: str
    log: list[Message]
    last: Call | None = None


@dataclass(slots=True, eq=False)
class Call:
    """One request: the rows of its response, the call it follows, and the first ``stop`` messages of a lineage's log as its prompt."""

    id: str
    rows: list[Row]
    parent: Call | None = None
    between: list[Row] = field(default_factory=list)
    cleared: frozenset[str] = frozenset()
    answer: Message | None = None
    lineage: Lineage = field(default_factory=lambda: Lineage("", []))
    stop: int = 0
    at: float | None = None
    ended: float | None = None
    thinks: bool = False
    compacted: bool = False
    resumed: bool = False

    @property
    def first(self) -> Row:
        """The row with the response's first block."""
        return self.rows[0]


class Tree:
    """All calls of a session by id, and as ``placed`` on lineages, in that order. ``counts`` says how often something had to be mended."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self.counts: Counter[str] = Counter()
        self.calls: dict[str, Call] = {}
        self.results: dict[str, list[tuple[Row, Json]]] = {}
        self._names: Counter[str] = Counter()
        self._gather()
        for call in self.calls.values():
            call.answer = _answer(call.rows)
            self._trace(call)
        self.placed = list(_parents_first(self.calls.values()))
        for call in self.placed:
            self._place(call)

    def _gather(self) -> None:
        for row in self.rows.all:
            if row.kind is Is.ASSISTANT:
                self.calls.setdefault(row.call, Call(row.call, [])).rows.append(row)
            elif row.kind is Is.USER and isinstance(row.content, list):
                for block in row.content:
                    if isinstance(block, dict) and block.get("type") == "tool_result":
                        self.results.setdefault(str(block.get("tool_use_id")), []).append((row, block))

    def _trace(self, call: Call) -> None:
        """Walks up from the call's first line to the start of the call it follows."""
        dropped: set[str] = set()
        held: list[Row] = []
        for row in self._above(call.first):
            call.resumed = call.resumed or (row.resumes and call.parent is None)
            if row.kind is Is.ASSISTANT and row.call != call.id:
                if call.parent is None:
                    call.parent = self.calls[row.call]
                elif row.call != call.parent.id:
                    break
                call.between += held  # said while the answer was still coming in
                held = []
            elif row.kind is Is.USER:
                held.append(row)
            elif row.kind is Is.CLEARED and call.parent is None:
                dropped.update(str(item) for item in row.detail.get("compactedToolIds") or ())
            elif row.kind is Is.COMPACTED:
                call.compacted = call.parent is None
                break
        if call.parent is None:
            call.between = held
        call.cleared = frozenset(dropped)
        call.between.reverse()

    def _above(self, row: Row) -> Iterator[Row]:
        passed = {row.uuid}
        while row.parent is not None and row.parent not in passed and row.parent in self.rows.by_id:
            row = self.rows.by_id[row.parent]
            passed.add(row.uuid)
            yield row

    def _place(self, call: Call) -> None:
        if call.parent is not None and not call.parent.stop:
            call.parent = None  # lines that follow each other in a circle
        message, newest = self._said_between(call)
        asked = [row.thinks for row in call.between if _has_words(row)]
        call.thinks = asked[-1] if asked else call.parent is not None and call.parent.thinks
        lineage = self._lineage(call)
        if call.parent is not None and call.parent.answer is not None:
            lineage.log.append(call.parent.answer)
        lineage.log.append(message)
        if call.cleared:
            lineage.log[:] = [_without_results(item, call.cleared) for item in lineage.log]
        call.lineage, call.stop, lineage.last = lineage, len(lineage.log), call
        self._time(call, newest)

    def _lineage(self, call: Call) -> Lineage:
        parent = call.parent
        if parent is None:
            return Lineage(self._name(call), [])
        if parent.lineage.last is parent and parent.first.chain == call.first.chain and not call.cleared:
            return parent.lineage
        return Lineage(self._name(call), parent.lineage.log[: parent.stop])

    def _name(self, call: Call) -> str:
        chain = call.first.chain
        self._names[chain] += 1
        return chain if self._names[chain] == 1 else f"{chain}/{self._names[chain]}"

    def _said_between(self, call: Call) -> tuple[Message, float | None]:
        """The user message that this call added, results first, and the time of its newest line."""
        results, rows = self._results_for(call)
        times = [row.at for row in [*rows, *call.between] if row.at is not None]
        extra = {id(row): row for row in [*call.between, *rows]}
        others: list[Json] = []
        for row in sorted(extra.values(), key=lambda row: row.order):
            others.extend(self._without_foreign_results(row, {block["tool_use_id"] for block in results}))
        content: list[Json] = [*results, *others]
        if not content:
            self.counts["calls before which no message was recorded"] += 1
            content = [NO_MESSAGE]
        return _user(content), max(times, default=None)

    def _results_for(self, call: Call) -> tuple[list[Json], list[Row]]:
        """A result for each tool call of the answer before: the one on this chain, else the first recorded, else a placeholder."""
        if call.parent is None or call.parent.answer is None:
            return [], []
        on_chain = {id(row) for row in call.between}
        found: list[tuple[Row, Json]] = []
        missing: list[Json] = []
        for block in call.parent.answer.blocks:
            if block.kind is not Kind.TOOL_USE:
                continue
            if known := self.results.get(str(block.call)):
                found.append(next((pair for pair in known if id(pair[0]) in on_chain), known[0]))
            else:
                self.counts["tool calls without a recorded result"] += 1
                missing.append({"type": "tool_result", "tool_use_id": block.call, "content": NO_RESULT, "is_error": True})
        found.sort(key=lambda pair: pair[0].order)
        return [block for _, block in found] + missing, [row for row, _ in found]

    def _without_foreign_results(self, row: Row, used: set[str]) -> list[Json]:
        kept: list[Json] = []
        for block in [row.content] if isinstance(row.content, str) else row.content:
            if isinstance(block, str):
                kept += [block] if block.strip() else []
            elif block.get("type") != "tool_result":
                kept += [] if _is_empty(block) else [block]
            elif block.get("tool_use_id") not in used:
                self.counts["results without their tool call"] += 1
        return kept

    def _time(self, call: Call, newest: float | None) -> None:
        stamps = [row.at for row in call.rows if row.at is not None]
        call.at = newest if newest is not None else min(stamps, default=None)
        before = call.parent.at if call.parent is not None else None
        if call.at is None or (before is not None and call.at < before):
            self.counts["times that ran backwards"] += call.at is not None
            call.at = before
        ends = [stamp for stamp in (max(stamps, default=None), call.at) if stamp is not None]
        call.ended = max(ends, default=None)


def _parents_first(calls: Iterable[Call]) -> Iterator[Call]:
    """The calls in reading order, but none before the one it follows."""
    done: set[str] = set()
    for call in sorted(calls, key=lambda call: call.first.order):
        chain = [call]
        while (parent := chain[-1].parent) is not None and parent.id not in done and parent not in chain:
            chain.append(parent)
        for item in reversed(chain):
            if item.id not in done:
                done.add(item.id)
                yield item


def _has_words(row: Row) -> bool:
    """Whether a user's row is a prompt of its own: a text, and no result that a text goes with."""
    if isinstance(row.content, str):
        return True
    kinds = {block.get("type") if isinstance(block, dict) else "text" for block in row.content}
    return "text" in kinds and "tool_result" not in kinds


def _is_empty(block: Json) -> bool:
    """Whether the API would refuse it as empty: a text of nothing but white space."""
    return bool(block.get("type") == "text" and not str(block.get("text") or "").strip())


def _answer(rows: list[Row]) -> Message | None:
    """The blocks of all lines, each once: a fork into the same file copies lines under new ids."""
    content: list[Json] = []
    for row in rows:
        parts = [row.content] if isinstance(row.content, str) else row.content
        blocks = [{"type": "text", "text": part} if isinstance(part, str) else part for part in parts]
        content.extend(block for block in blocks if not _is_empty(block) and block not in content)
    return read_message({"role": "assistant", "content": content}) if content else None


def _user(content: list[Json]) -> Message:
    if len(content) == 1 and isinstance(content[0], str):
        return read_message({"role": "user", "content": content[0]})
    return read_message({"role": "user", "content": [{"type": "text", "text": c} if isinstance(c, str) else c for c in content]})


def _without_results(message: Message, calls: frozenset[str]) -> Message:
    """The message with the results of these calls cleared, the same object where it has none of them."""
    if not any(block.kind is Kind.TOOL_RESULT and block.call in calls for block in message.blocks):
        return message
    blocks: tuple[Block, ...] = tuple(
        cleared(block, CLEARED) if block.kind is Kind.TOOL_RESULT and block.call in calls else block for block in message.blocks
    )
    return read_message({"role": "user", "content": [block.wire for block in blocks]})

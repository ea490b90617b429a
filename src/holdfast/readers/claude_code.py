"""Claude Code sessions: ``~/.claude/projects/<project>/<session>.jsonl`` and ``<session>/subagents/agent-*.jsonl``.

Checked on versions 2.0.76 to 2.1.199. A response is written as one line per content block, each with the same
``message.id`` and the same input-side usage, so a call is an id. Neither system prompt nor tools are in the file.

Whether ``output_tokens`` is the bill: it is where a line has a ``stop_reason`` (2.1.59 on). Before, the number is either the final
count or the one of the stream's first event (anthropics/claude-code #22686, #25941). That one was never above 27 on 5,110 calls of
2.0.76 to 2.1.52, and final counts were as a rule at least half of the visible characters / 4. So without a ``stop_reason`` a count is
taken for final if it is over 30 and at least an eighth of the visible characters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from holdfast.blocks import Prompt, Settings, Window
from holdfast.errors import Unreadable
from holdfast.readers import lines
from holdfast.readers.claude_code_rows import KNOWN, SPOKEN, Is, Row, Rows
from holdfast.readers.claude_code_tree import Call, Tree
from holdfast.readers.faults import Faults
from holdfast.readers.sample import Sample
from holdfast.transcript import Skipped, Transcript, Turn, Unlogged
from holdfast.usage import Usage

NAME = "claude-code"

PLACEHOLDER_MOST = 30
"""No placeholder of ``output_tokens`` is larger; the largest seen is 27."""
CHARACTERS_PER_TOKEN = 4


def sniff(head: Sample) -> bool:
    """Records with ``uuid``, ``parentUuid`` and ``sessionId``, or a file that begins with the client's own bookkeeping lines."""
    objects = head.objects
    if any({"parentUuid", "uuid", "sessionId"} <= record.keys() for record in objects):
        return True
    kinds = {record.get("type") for record in objects}
    return bool(kinds) and all(isinstance(kind, str) and kind in KNOWN - SPOKEN for kind in kinds)


def read(path: Path, *, strict: bool = False) -> list[Transcript]:
    """The session with its sub-agents; one transcript. Raises ``Unreadable``."""
    skipped: list[Skipped] = []
    rows = Rows()
    for file in (path, *agents_of(path)):
        for number, why in rows.add_all(lines.records(file, strict=strict, skipped=skipped)):
            if strict:
                raise Unreadable(str(file), why, number)
            skipped.append(Skipped(str(file), number, why))
    rows.join()
    tree, faults = Tree(rows), Faults()
    turns = sorted((_turn(call, faults) for call in tree.placed), key=lambda turn: turn.at or 0.0)
    return [
        Transcript(
            path=str(path),
            format=NAME,
            dialect="anthropic",
            turns=tuple(turns),
            session=rows.session,
            head_recorded=False,
            notes=(*_notes(rows, tree), *faults.notes()),
            skipped=tuple(skipped),
            unlogged=tuple(_unlogged(rows, tree)),
        )
    ]


def agents_of(path: Path) -> list[Path]:
    """The sub-agent files of a session file, by name."""
    folder = path.parent / path.name.split(".jsonl")[0] / "subagents"
    return sorted(file for file in folder.glob("agent-*.jsonl*") if file.is_file()) if ".jsonl" in path.name else []


def _turn(call: Call, faults: Faults) -> Turn:
    usage = _usage(call, faults)
    return Turn(
        lineage=call.lineage.name,
        prompt=Prompt(_settings(call), (), Window(call.lineage.log, call.stop)),
        at=call.at,
        ended=call.ended,
        answer=call.answer,
        usage=usage,
        output_final=usage is not None and _is_final(call, usage.output),
        request=call.id,
        signs=tuple(_signs(call)),
    )


def _signs(call: Call) -> Iterator[str]:
    yield f"client {call.first.client}"
    yield "thinking on" if call.thinks else "thinking off"
    if call.compacted:
        yield "compacted"
    if call.cleared:
        yield "old tool results cleared"
    if call.resumed:
        yield "resumed"
    if any("[Request interrupted by user" in str(row.content) for row in call.between):
        yield "interrupted"


def _settings(call: Call) -> Settings:
    usage = call.first.detail.get("usage")
    speed = usage.get("speed") if isinstance(usage, dict) else None
    return Settings(model=str(call.first.detail.get("model") or ""), speed=f'"{speed}"' if speed not in (None, "standard") else None)


def _usage(call: Call, faults: Faults) -> Usage | None:
    """The usage of the line with the largest output count; the input side is the same on all lines of an id."""
    found = [row.detail["usage"] for row in call.rows if isinstance(row.detail.get("usage"), dict)]
    return faults.billed(max(found, key=_output, default=None), call.id, "anthropic")


def _output(raw: Mapping[str, Any]) -> float:
    count = raw.get("output_tokens")
    return count if isinstance(count, int | float) else -1


def _is_final(call: Call, output: int) -> bool:
    if any(row.detail.get("stop_reason") for row in call.rows):
        return True
    visible = sum(len(block.text) for block in call.answer.blocks) if call.answer is not None else 0
    return output > PLACEHOLDER_MOST and output * 2 * CHARACTERS_PER_TOKEN >= visible


def _unlogged(rows: Rows, tree: Tree) -> Iterator[Unlogged]:
    """One call for each compaction: it read the conversation so far and wrote the summary that the next lineage begins with."""
    for row in rows.all:
        if row.kind is not Is.COMPACTED:
            continue
        before = _call_before(row, rows, tree)
        if before is not None:
            yield Unlogged(before.lineage.name, _asked_at(row, rows), "compaction summary", _summary_tokens(row, rows))


def _asked_at(boundary: Row, rows: Rows) -> float | None:
    """An automatic compaction follows at once on the line before; when a user asked for one is not recorded, only when it was done."""
    if boundary.detail.get("trigger") == "auto":
        for row in reversed(rows.all[: boundary.order]):
            if row.chain == boundary.chain and row.at is not None:
                return row.at
    return boundary.at


def _call_before(boundary: Row, rows: Rows, tree: Tree) -> Call | None:
    row = rows.by_id.get(str(boundary.detail.get("follows")))
    passed: set[str] = set()
    while row is not None and row.uuid not in passed:
        if row.kind is Is.ASSISTANT:
            return tree.calls[row.call]
        passed.add(row.uuid)
        row = rows.by_id.get(row.parent or "")
    earlier = [call for call in tree.calls.values() if call.first.order < boundary.order and call.first.chain == boundary.chain]
    return earlier[-1] if earlier else None


def _summary_tokens(boundary: Row, rows: Rows) -> int:
    texts = (row.content for row in rows.all[boundary.order :] if row.summary and row.parent == boundary.uuid)
    return sum(len(text if isinstance(text, str) else str(text)) // CHARACTERS_PER_TOKEN for text in texts)


def _notes(rows: Rows, tree: Tree) -> Iterator[str]:
    yield "Claude Code records neither its system prompt nor its tools."
    if rows.attachments:
        yield f"{rows.attachments} attachments stand in the prompts as the text they carry; the client's own wording is not recorded."
    if rows.gaps:
        yield f"{rows.gaps} lines follow a line that is not in the file; each is taken to follow the line before it."
    for what, count in sorted(tree.counts.items()):
        yield f"{what}: {count}."
    kinds = Counter(row.kind for row in rows.all)
    if count := kinds[Is.COMPACTED]:
        yield f"The client compacted by itself ({count}); each summary begins a lineage, the call that wrote it is not recorded."
    if count := kinds[Is.CLEARED]:
        yield f"The client cleared old tool results by itself ({count}); a lineage that has them cleared begins there."

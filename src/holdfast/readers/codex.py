"""Codex CLI rollouts: JSON lines of ``{"timestamp", "type", "payload"}`` (codex 0.118 to 0.139, April to June 2026).

The conversation is the ``response_item`` lines. Behind a call's output items stands a ``token_count`` event with its usage
(``last_token_usage``, inclusive: the input contains what was cached, the output the reasoning). No bill is a ``token_count`` whose totals
did not move (turns begin with one that repeats the last), one without ``info``, one after a compaction (it estimates the
context), and those that a fork copies from its parent. The file has the system prompt but no tool definitions; reasoning is encrypted.
"""

from __future__ import annotations

from pathlib import Path

from holdfast.readers import lines
from holdfast.readers.codex_rollout import Counts, Rollout
from holdfast.readers.faults import Faults
from holdfast.readers.fields import Notes, times
from holdfast.readers.sample import Sample
from holdfast.transcript import Transcript

NAME = "codex"
_TYPES = ("session_meta", "response_item", "event_msg", "turn_context", "compacted")


def sniff(head: Sample) -> bool:
    """JSON lines with ``type`` and ``payload``, most of them of Codex' types."""
    known = [isinstance(line.get("payload"), dict) and line.get("type") in _TYPES for line in head.objects]
    return sum(known) * 2 > len(known)


def _said(counts: Counts, faults: Faults) -> tuple[str, ...]:
    notes = ["tool definitions are not recorded"]
    if counts.replayed:
        notes.append(f"a fork: {counts.replayed} calls of its parent are repeated in the file and not counted")
    if counts.compactions:
        notes.append(f"the client compacted {times(counts.compactions)}; neither the summaries nor the calls that wrote them are recorded")
    if counts.aborted:
        notes.append(f"{counts.aborted} interrupted tool calls have the result 'aborted', as the client sends them")
    if counts.unbilled:
        notes.append(f"{counts.unbilled} calls have no recorded usage")
    return (*notes, *faults.notes())


def read(path: Path, *, strict: bool = False) -> list[Transcript]:
    """The rollout as one transcript; each compaction and each rewind begins a lineage."""
    notes = Notes(str(path), strict)
    rollout = Rollout(notes)
    for number, record in lines.records(path, strict=strict, skipped=notes.skipped):
        if isinstance(record, dict) and isinstance(record.get("payload"), dict) and record.get("type") in _TYPES:
            rollout.line(number, record)
        else:
            notes.skip(number, "not a line of a Codex rollout")
    rollout.close(None)
    transcript = Transcript(
        path=str(path),
        format=NAME,
        dialect="openai-responses",
        turns=tuple(rollout.turns),
        session=rollout.session,
        head_recorded=False,
        notes=_said(rollout.counts, rollout.faults),
        skipped=tuple(notes.skipped),
        unlogged=tuple(rollout.unlogged),
    )
    return [transcript]

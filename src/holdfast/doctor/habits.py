"""Habits: what only shows over many requests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from holdfast.doctor.findings import Finding
from holdfast.doctor.record import Record

_OFTEN = 3
_MANY = 20


def habits(records: Sequence[Record], findings: Sequence[Finding]) -> Iterator[str]:
    """Sentences on causes that come again and again, on writes that nobody reads, and on requests in flight."""
    for detail, count in Counter(finding.detail for finding in findings).most_common():
        if count >= _OFTEN and detail in _AGAIN:
            yield f"{count} x {detail}: {_AGAIN[detail]}"
    told = {finding.turn for finding in findings}
    yield from _one_shots([record for record in records if record.index not in told])
    yield from _in_flight(records)


_AGAIN = {
    "messages_rewritten:own_pruning": "pruning in place at each turn, every one of which writes again what stands behind the cut",
    "messages_rewritten:sliding_window": "the oldest messages are trimmed at each call",
    "messages_rewritten:ephemeral_injection": "a reminder is sent at each turn and stripped on replay",
    "message_inserted_before_tail:moving_reminder": "a reminder moves along with the conversation",
    "write_not_yet_visible": "requests follow each other faster than entries can be read",
}


def _one_shots(records: Sequence[Record]) -> Iterator[str]:
    """Requests that wrote to the cache and that nobody could read: they read nothing, and no later request begins as they do."""
    alone = []
    for place, record in enumerate(records):
        if not record.usage.written or record.usage.read or len(records) < 2:
            continue
        others = [*records[:place][-_MANY:], *records[place + 1 :][:_MANY]]
        shared = max((record.shares(other) for other in others), default=0)
        if others and 10 * record.size(shared) < record.usage.prompt:
            alone.append(record)
    if len(alone) > 1:
        tokens = sum(record.usage.written for record in alone)
        yield (
            f"{len(alone)} requests wrote {tokens} tokens to the cache that no other request begins with: "
            "send one-shot prompts without marks, or let them extend a conversation"
        )


def _in_flight(records: Sequence[Record]) -> Iterator[str]:
    """The share that was not read, by how many other requests were under way (clodex 211: written tokens were not read either)."""
    timed = [record for record in records if record.clock is not None and record.obs.ended is not None]
    groups: dict[int, list[Record]] = {0: [], 1: [], 3: []}
    for place, record in enumerate(timed):
        under_way = sum((other.obs.ended or 0.0) > (record.clock or 0.0) for other in timed[max(0, place - _MANY) : place])
        groups[0 if not under_way else 1 if under_way < 3 else 3].append(record)
    busy = len(groups[1]) + len(groups[3])
    if busy < _MANY or len(groups[0]) < _MANY:
        return
    shares = [f"{names}: {_unread(groups[key]):.0%}" for key, names in ((0, "none"), (1, "1-2"), (3, "3 or more")) if groups[key]]
    yield "share of prompt tokens not read, by other requests under way: " + ", ".join(shares)


def _unread(records: Sequence[Record]) -> float:
    prompt = sum(record.usage.prompt for record in records)
    return 1 - sum(record.usage.read for record in records) / prompt if prompt else 0.0

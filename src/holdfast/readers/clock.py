"""The times of a transcript that cannot be, or hardly: named, and left as they are but for an end before its start."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from holdfast.transcript import Transcript, Turn

LEAP = 30 * 86_400.0
"""Seconds between two requests of one lineage that are more likely a wrong clock than a pause."""


def checked(transcript: Transcript) -> Transcript:
    """The transcript with a note for each kind of time that cannot be, and without the ends that lie before their start.

    Looked for within each lineage: a request that starts before the one it continues, or over 30 days after it. In the transcript: a
    response that ended before its request began, and requests without a time among others that have one.
    """
    turns = transcript.turns
    ended = [_ends_early(turn) for turn in turns]
    notes = tuple(_notes(turns, ended))
    if any(ended):
        turns = tuple(replace(turn, ended=None) if early else turn for turn, early in zip(turns, ended, strict=True))
    return transcript.with_turns(turns, *notes) if notes else transcript


def _ends_early(turn: Turn) -> bool:
    return turn.at is not None and turn.ended is not None and turn.ended < turn.at


def _notes(turns: tuple[Turn, ...], ended: list[bool]) -> Iterator[str]:
    back: list[int] = []
    leaps: list[int] = []
    last: dict[str, float] = {}
    for ordinal, turn in enumerate(turns):
        if turn.at is None:
            continue
        before = last.get(turn.lineage, turn.at)
        if turn.at < before:
            back.append(ordinal)
        elif turn.at - before > LEAP:
            leaps.append(ordinal)
        last[turn.lineage] = turn.at
    early = [ordinal for ordinal, wrong in enumerate(ended) if wrong]
    if back:
        yield f"The clock runs backwards: {_calls(back)} before the one it continues ({_first(turns, back)})."
    if leaps:
        yield f"The clock leaps: {_calls(leaps)} over a month after the one it continues ({_first(turns, leaps)})."
    if early:
        yield f"The end of a response lies before its start, and is not used: {_calls(early, '')} ({_first(turns, early)})."
    missing = [ordinal for ordinal, turn in enumerate(turns) if turn.at is None]
    if 0 < len(missing) < len(turns):
        yield f"The start of some requests is not recorded: {_calls(missing, '')} ({_first(turns, missing)})."


def _calls(found: list[int], verb: str = " starts") -> str:
    return f"{len(found)} {'call' if len(found) == 1 else 'calls'}{verb if len(found) == 1 or not verb else ' start'}"


def _first(turns: tuple[Turn, ...], found: list[int]) -> str:
    """The place of the first: the response's id, else the turn's number, counted from 0."""
    return f"first at {turns[found[0]].request or f'turn_{found[0]}'}"

"""What every reader's prompts must be, checked without any of the package's rules."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise

from holdfast.blocks import Kind, Message, Role, Window
from holdfast.transcript import Transcript, Turn


def faults(messages: Sequence[Message]) -> Iterator[str]:
    """What makes a prompt illegal."""
    if not messages or messages[0].role is not Role.USER:
        yield "does not begin with a user message"
    if messages and messages[-1].role is not Role.USER:
        yield "does not end with a user message"
    asked: list[str | None] = []
    for index, message in enumerate(messages):
        if not message.blocks:
            yield f"message {index} is empty"
        if any(block.kind is Kind.TEXT and not block.text.strip() for block in message.blocks):
            yield f"message {index} has an empty text"
        results = [block.call for block in message.blocks if block.kind is Kind.TOOL_RESULT]
        if sorted(map(str, results)) != sorted(map(str, asked)):
            yield f"message {index} answers {results}, asked were {asked}"
        kinds = [block.kind is Kind.TOOL_RESULT for block in message.blocks]
        if kinds != sorted(kinds, reverse=True):
            yield f"message {index} has results behind other content"
        asked = [block.call for block in message.blocks if block.kind is Kind.TOOL_USE]
        if len(set(asked)) != len(asked):
            yield f"message {index} asks twice under one id"


def by_lineage(transcript: Transcript) -> dict[str, list[Turn]]:
    """The turns of each lineage, in their order."""
    lineages: dict[str, list[Turn]] = defaultdict(list)
    for turn in transcript.turns:
        lineages[turn.lineage].append(turn)
    return lineages


def broken_lineages(transcript: Transcript) -> Iterator[str]:
    """Where a lineage is not one log that grows, or where its time runs backwards."""
    for name, turns in by_lineage(transcript).items():
        for before, after in pairwise(turns):
            one, two = before.prompt.messages, after.prompt.messages
            if not isinstance(one, Window) or not isinstance(two, Window) or one.log is not two.log or one.stop >= two.stop:
                yield f"{name}: a prompt does not extend the one before"
            if before.at is not None and after.at is not None and after.at < before.at:
                yield f"{name}: a turn starts before the one before it"
        for turn in turns:
            if turn.at is not None and turn.ended is not None and turn.ended < turn.at:
                yield f"{name}: a turn ends before it starts"


def every_fault(transcript: Transcript) -> list[str]:
    """All of the above; a lineage's last prompt holds all its others."""
    found = list(broken_lineages(transcript))
    for name, turns in by_lineage(transcript).items():
        found += [f"{name}: {fault}" for fault in faults(list(turns[-1].prompt.messages))]
        found += [f"{name}: a prompt ends with an answer" for turn in turns if turn.prompt.messages[-1].role is not Role.USER]
    return found

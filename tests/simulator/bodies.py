"""A replay as the request bodies that it stands for, so that the independent checker can judge it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from holdfast.blocks import Block, Kind, Message
from holdfast.checker import Announced, Checker, Reader, Split, Violation
from holdfast.line import Line
from holdfast.readers import Failure, group, read_group
from holdfast.simulator.replay import Step
from holdfast.transcript import Transcript
from holdfast.wire import Wire, of
from tests.generators import dumps


def transcripts(paths: Sequence[Path]) -> Iterator[Transcript]:
    """Every transcript of these files that can be read."""
    for files in group(paths):
        yield from (item for item in read_group(files) if not isinstance(item, Failure))


def head_of(blocks: Sequence[Block], dialect: str) -> tuple[bytes, list[bytes]]:
    """A body's head and its leading messages; what was never recorded becomes a system text of its own."""
    tools = [block.wire for block in blocks if block.kind is Kind.TOOL]
    texts = [
        block.wire if isinstance(block.wire, dict) else {"type": "text", "text": block.wire}
        for block in blocks
        if block.kind is not Kind.TOOL
    ]
    if dialect == "anthropic":
        return dumps({"model": "m", "tools": tools, "system": texts}), []
    leading = [text if "role" in text else {"role": "system", "content": text["text"]} for text in texts]
    return dumps({"model": "m", "tools": tools}), list(map(dumps, leading))


@dataclass
class Writer:
    """Serialises messages, each object once."""

    wire: Wire
    known: dict[int, tuple[Message, bytes]] = field(default_factory=dict)

    def message(self, message: Message) -> bytes:
        """The JSON of one message."""
        found = self.known.get(id(message))
        if found is None or found[0] is not message:
            found = self.known[id(message)] = (message, dumps(self.wire.write_message(visible(message), {})))
        return found[1]

    def split(self, head: tuple[bytes, list[bytes]], messages: Sequence[Message]) -> Split:
        """A whole body."""
        return Split(head[0], (*head[1], *map(self.message, messages)))


def visible(message: Message) -> Message:
    """The message with what was sent but not recorded as a text in its place: no provider's JSON for it is known."""
    if any(block.kind is Kind.OPAQUE for block in message.blocks):
        return replace(message, edited=True)
    return message


@dataclass
class Judge:
    """The checker over all lineages of one replay."""

    transcript: Transcript
    binds: Callable[[Step], bool]
    checkers: dict[str, Checker] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._reader = Reader()
        self._lines: dict[str, Line] = {}
        self._writer = Writer(of(self.transcript.dialect))
        self._heads: dict[tuple[bytes, ...], tuple[bytes, list[bytes]]] = {}

    def head(self, blocks: Sequence[Block]) -> tuple[bytes, list[bytes]]:
        """The serialised head."""
        key = tuple(block.fingerprint for block in blocks)
        if key not in self._heads:
            self._heads[key] = head_of(blocks, self.transcript.dialect)
        return self._heads[key]

    def judge(self, step: Step) -> list[Violation]:
        """What is wrong with one replayed turn."""
        line, lineage = step.outcome.line, step.turn.lineage
        checker = self.checkers.get(lineage)
        inherits = False
        if checker is None:
            checker, inherits = self._begin(step)
            self.checkers[lineage] = checker
        self._lines[lineage] = line
        head = self.head(line.head)
        body = self._writer.split(head, [piece.message for piece in line.pieces])
        original = self._writer.split(head, list(step.turn.prompt.messages))
        commit = step.outcome.trace.commit
        return checker.sent(body, original, Announced(commit.first_block) if commit else Announced() if inherits else None)

    def _begin(self, step: Step) -> tuple[Checker, bool]:
        """The judge of a new lineage: a fork of the one it branched from. Under another head nothing is sent again, but edits are kept."""
        line = step.outcome.line
        for lineage, known in sorted(self._lines.items(), key=lambda item: -shared(item[1].source, line.source)):
            count = shared(known.source, line.source)
            # What the client rewrote without a record has the old JSON, but counts as other bytes.
            recorded = count == len(known.source) or count == len(line.source) or known.source[count].wire != line.source[count].wire
            if count and recorded and [b.fingerprint for b in known.head] == [b.fingerprint for b in line.head]:
                return self.checkers[lineage].fork(), False
            break
        binds: Literal["prefix"] | None = "prefix" if self.binds(step) else None
        assert self.transcript.dialect != "bedrock-converse"
        return Checker(self.transcript.dialect, binds, reader=self._reader), bool(line.ledger.entries)


def shared(one: Sequence[Message], other: Sequence[Message]) -> int:
    """How many leading messages say the same."""
    count = 0
    for mine, theirs in zip(one, other, strict=False):
        if mine is not theirs and [block.fingerprint for block in mine.blocks] != [block.fingerprint for block in theirs.blocks]:
            break
        count += 1
    return count

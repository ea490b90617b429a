"""Edits: changes to the history, as data.

Every place is a *block index*: the ordinal of a block among the blocks of all messages of the
history as the caller keeps it (head blocks are not counted; they are never edited). The history only grows, so
an index means the same block for ever, whatever has been edited since.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from holdfast.blocks import Block, Message
from holdfast.frozen import Json


@dataclass(frozen=True, slots=True)
class Clear:
    """The content of one block gives way to ``text``; the block, its ids and its place stay."""

    block: int
    text: str

    @property
    def start(self) -> int:
        """The first block it touches."""
        return self.block

    @property
    def stop(self) -> int:
        """One behind the last block it touches."""
        return self.block + 1


@dataclass(frozen=True, slots=True)
class Fold:
    """The whole messages that hold blocks ``start`` to ``stop - 1`` give way to one user message with ``text``.

    ``wire``: the JSON text of the message that the provider itself wrote for them, which then stands there, as it came, in the place of
    ``text``. To the provider it is the same conversation: thinking behind it stays bound to what it was made behind.
    """

    start: int
    stop: int
    text: str
    wire: str = ""


@dataclass(frozen=True, slots=True)
class Drop:
    """Blocks ``start`` to ``stop - 1`` leave: whole messages, or blocks of thinking inside one message."""

    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Insert:
    """A message of its own with ``text`` behind the message that holds ``block``: what was never in the caller's history.

    ``system`` makes it a system message, where the model takes those in the middle of a conversation; else it is a user's.
    """

    block: int
    text: str
    system: bool = False

    @property
    def start(self) -> int:
        """The block it stands behind."""
        return self.block

    @property
    def stop(self) -> int:
        """One behind that block."""
        return self.block + 1


Edit: TypeAlias = Clear | Fold | Drop | Insert


@dataclass(frozen=True, slots=True)
class Plan:
    """What one strategy proposes at one turn: edits in the order of their place, which do not overlap.

    ``why`` is one phrase for the trace. Model calls that were needed are counted by the driver.
    """

    strategy: str
    edits: tuple[Edit, ...]
    why: str = ""

    @property
    def first(self) -> int:
        """The first block that changes."""
        return min(edit.start for edit in self.edits)

    @property
    def by_provider(self) -> bool:
        """Whether the provider wrote all of it, so that to its own checks nothing has changed."""
        return all(isinstance(edit, Fold) and edit.wire for edit in self.edits)


@dataclass(frozen=True, slots=True)
class Piece:
    """One message as it is sent, and the blocks of the history it stands for.

    ``indices`` names the block of the history behind each block of ``message``; a fold has one block
    that stands for all of ``start`` to ``stop - 1``, and ``indices`` holds only ``start``. An inserted one stands for none.
    """

    message: Message
    start: int
    stop: int
    indices: Sequence[int]
    folded: bool = False
    cleared: frozenset[int] = frozenset()
    inserted: bool = False


@dataclass(frozen=True, slots=True)
class Scribe:
    """How edited messages are written: the dialect's placeholders and notes, and the weight of a new block.

    ``system_note`` writes a system message in the middle of the conversation; without it those are users' notes. ``read`` reads the
    message that the provider wrote for a fold; without it folds are users' notes too.
    """

    cleared: Callable[[Block, str], Block]
    note: Callable[[str], Message]
    weigh: Callable[[Block], int]
    system_note: Callable[[str], Message] | None = None
    read: Callable[[Json], Message] | None = None

    def clear(self, block: Block, text: str) -> Block:
        """A block with a placeholder for its content."""
        fresh = self.cleared(block, text)
        return fresh.weighed(self.weigh(fresh))

    def fold(self, text: str, wire: str = "") -> Message:
        """The message that stands for a span: the provider's own, else a user's."""
        return self._weighed(self.read(json.loads(wire)) if wire and self.read is not None else self.note(text))

    def insert(self, edit: Insert, behind: int) -> Piece:
        """What is inserted behind the messages that end at block ``behind``."""
        write = self.system_note if edit.system and self.system_note else self.note
        return Piece(self._weighed(write(edit.text)), behind, behind, (-1,), inserted=True)

    def _weighed(self, message: Message) -> Message:
        return replace(message, blocks=tuple(block.weighed(self.weigh(block)) for block in message.blocks))


def untouched(message: Message, start: int) -> Piece:
    """A message that goes out as it came."""
    stop = start + len(message.blocks)
    return Piece(message, start, stop, range(start, stop))


def apply(messages: Iterable[Message], start: int, edits: Sequence[Edit], scribe: Scribe) -> list[Piece]:
    """The messages as they are sent under ``edits``, which are in order of place and do not overlap.

    ``start`` is the block index of the first message; edits before it must not be given. A message that
    no edit touches is the same object. A message whose blocks are all dropped is left out.
    """
    pieces: list[Piece] = []
    queue = deque(edits)
    for message in messages:
        stop = start + len(message.blocks)
        while queue and queue[0].stop <= start:
            queue.popleft()
        if queue and queue[0].start < stop:
            piece = _edited(message, start, queue, scribe)
            if piece is not None:
                pieces.append(piece)
            pieces.extend(scribe.insert(edit, stop) for edit in queue if edit.start < stop and isinstance(edit, Insert))
        else:
            pieces.append(untouched(message, start))
        start = stop
    return pieces


def _edited(message: Message, start: int, queue: deque[Edit], scribe: Scribe) -> Piece | None:
    edit = queue[0]
    stop = start + len(message.blocks)
    if isinstance(edit, Fold | Drop) and edit.start <= start and edit.stop >= stop:
        if isinstance(edit, Fold) and edit.start == start:
            return Piece(scribe.fold(edit.text, edit.wire), edit.start, edit.stop, (edit.start,), folded=True)
        return None
    inside = [edit for edit in queue if edit.start < stop and not isinstance(edit, Insert)]
    if not inside:
        return untouched(message, start)
    dropped = {index for edit in inside if isinstance(edit, Drop) for index in range(edit.start, edit.stop)}
    texts = {edit.block: edit.text for edit in inside if isinstance(edit, Clear)}
    indices = tuple(index for index in range(start, stop) if index not in dropped)
    blocks = tuple(
        scribe.clear(message.blocks[index - start], texts[index]) if index in texts else message.blocks[index - start]
        for index in indices
    )
    if not blocks:
        return None
    return Piece(replace(message, blocks=blocks, edited=True), start, stop, indices, cleared=frozenset(texts))

"""What a strategy is: a generator that looks at a ``View``, is told a ``Goal``, and returns a ``Plan`` or ``None``.

A strategy decides *what* could be shortened, never when, and does no I/O. Where it needs a model
it yields an ``Ask`` and is sent the ``Answer``; a failed model is raised into it (``AskFailed``), and unless
it has something better to offer there is then no plan and the history stays whole.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence, Set
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, runtime_checkable

from holdfast.blocks import Block, Kind, Role
from holdfast.edits import Plan
from holdfast.usage import Usage


@dataclass(frozen=True, slots=True)
class Entry:
    """One block of the conversation as it is sent now.

    It stands for the blocks ``start`` to ``stop - 1`` of the caller's history: one, unless it is a fold.
    ``message`` is the ordinal of its message among those sent now.
    """

    start: int
    stop: int
    block: Block
    message: int
    state: Literal["verbatim", "cleared", "folded"] = "verbatim"


@dataclass(frozen=True, slots=True)
class View:
    """A conversation as a strategy sees it: what is sent now, and what the caller's history holds.

    ``entries``: the message blocks as sent now, in order. ``source``: the caller's blocks, by block index, never
    edited. ``starts``: the block index at which each message of the history starts. ``cuts``: the block
    indices at which the history may legally be cut; a ``Fold`` or a ``Drop`` of messages starts and stops at
    cuts. ``pinned``: block indices that keep their bytes. ``tail``: the block index from which on nothing may be touched.
    ``tokens``: the whole prompt as sent now, ``head_tokens`` of them tools and system. ``count`` gives the tokens of a text.
    """

    entries: Sequence[Entry]
    source: Sequence[Block]
    starts: Sequence[int]
    cuts: Sequence[int]
    pinned: Set[int]
    tail: int
    tokens: int
    head_tokens: int
    count: Callable[[str], int]

    def editable(self, entry: Entry) -> bool:
        """Whether an edit may touch this entry: before the tail, and nothing in it pinned or unknown."""
        return (
            entry.stop <= self.tail
            and not any(index in self.pinned for index in range(entry.start, entry.stop))
            and entry.block.kind is not Kind.UNKNOWN
        )

    def role(self, index: int) -> Role:
        """Whose block this is."""
        return self.source[index].role


@dataclass(frozen=True, slots=True)
class Goal:
    """What is wanted: get the prompt from ``view.tokens`` down to ``target`` tokens, at least below ``limit``.

    ``limit`` is the hard budget (the window less the room for an answer). ``now`` is POSIX seconds. ``cold`` says that the
    cache holds nothing of this conversation, so that a rewrite costs nothing extra.
    ``force`` is the caller's own wish to compact now, with an optional ``focus`` for a summary.
    """

    target: int
    limit: int
    now: float = 0.0
    cold: bool = False
    force: bool = False
    focus: str = ""


@dataclass(frozen=True, slots=True)
class Ask:
    """A request for text, sent as a pure extension of the live prompt: ``instruction`` is appended as a user's words.

    ``stand_in`` is what an offline replay, which has no model, takes for the answer. ``stop``: the provider itself is asked to compact
    what stands before this block index; ``instruction`` says how, and the answer has a ``wire``.
    """

    instruction: str
    max_output_tokens: int = 4096
    stand_in: str = ""
    stop: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model said to an ``Ask``, and what that cost. ``wire`` is the JSON text of a message that the provider wrote itself."""

    text: str
    usage: Usage
    wire: str = ""


Proposal: TypeAlias = Generator[Ask, Answer, Plan | None]


@runtime_checkable
class Strategy(Protocol):
    """Proposes plans. Deterministic: the same view and goal give the same plan, on any machine.

    ``name`` is how it is found and what a trace calls it.
    """

    @property
    def name(self) -> str:
        """The name under which it is registered."""

    def plan(self, view: View, goal: Goal) -> Proposal:
        """Propose edits that bring the prompt to ``goal.target``, or as near as can be; ``None`` for nothing."""

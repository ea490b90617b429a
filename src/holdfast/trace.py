"""The story of one request, as values: what went out, what was committed, what failed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from holdfast.blocks import Mark
from holdfast.edits import Edit
from holdfast.errors import BudgetUnreachable, HoldfastError
from holdfast.usage import Usage


@dataclass(frozen=True, slots=True)
class CommitTrace:
    """A plan that was committed: what it took away, from where on, what it cost the cache, and when it should have paid.

    ``first_edit`` is a block index of the caller's history, ``first_block`` the ordinal, over head and messages, of the first
    block sent that differs from the last request. ``warm_tokens`` would have been read without it; ``rewritten_tokens`` is the
    suffix, behind the entry that the marks will hit, that is written again.
    ``break_even_turn`` counts turns from this one: 0 at once, ``None`` never. ``asked`` is the usage of its model calls.
    """

    number: int
    strategy: str
    why: str
    edits: tuple[Edit, ...]
    first_edit: int
    first_block: int
    tokens_before: int
    tokens_removed: int
    warm_tokens: int
    rewritten_tokens: int
    break_even_turn: int | None
    asked: tuple[Usage, ...] = ()


@dataclass(frozen=True, slots=True)
class Trace:
    """The story of one request.

    ``given_tokens`` is the prompt as the caller gave it, ``sent_tokens`` as it goes out; ``stable_tokens`` is the part that is
    byte-identical to the last request of this lineage. ``errors`` are failures that changed nothing; ``asked`` is the usage of
    every model call, whether or not a plan came of it; ``settled`` are earlier
    commits that have now paid for themselves, with the turns that took. ``ticket`` tells a session which request an answer belongs to,
    ``lineage`` which conversation it is, by number. ``withdrawn`` is a plan that the provider refused, and that this request does without.
    ``thinking`` says what became of thinking that is bound to an edited prefix: ``"stripped"`` by us, or ``"dropped"`` by the API.
    """

    turn: int
    given_tokens: int
    sent_tokens: int
    stable_blocks: int
    stable_tokens: int
    marks: tuple[Mark, ...]
    reason: str
    commit: CommitTrace | None = None
    unreachable: BudgetUnreachable | None = None
    errors: tuple[HoldfastError, ...] = ()
    asked: tuple[Usage, ...] = ()
    repaired: int = 0
    settled: tuple[tuple[int, int], ...] = ()
    ticket: int = 0
    lineage: int = 0
    withdrawn: CommitTrace | None = None
    thinking: Literal["", "stripped", "dropped"] = ""

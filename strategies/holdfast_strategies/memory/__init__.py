"""Notes on the session stand in for its history."""

from __future__ import annotations

from dataclasses import dataclass

from holdfast.edits import Plan
from holdfast.strategy import Goal, Proposal, View
from holdfast_strategies.digest import digest, header
from holdfast_strategies.estimate import OVERHEAD_TOKENS, excess, freed
from holdfast_strategies.rounds import Round, replaced, rounds, spans


@dataclass(frozen=True, slots=True)
class Memory:
    """Replaces what lies between the first user message and the newest rounds by notes made from all of it.

    ``notes_tokens``: the most the notes may take. ``keep_share``: how much of the room below the target, once the notes have
    theirs, is filled with the newest rounds verbatim: 0 keeps the tail only, 1 goes up to the target. Notes are made anew from
    the whole history each time, so that what one compaction left out, the next may put in.
    """

    notes_tokens: int = 6_000
    keep_share: float = 0.5
    name: str = "memory"

    def plan(self, view: View, goal: Goal) -> Proposal:
        """One fold of the older rounds; notes get smaller where the target leaves less room."""
        yield from ()
        if not excess(view, goal) and not goal.force:
            return None
        runs = older(view, goal, self.notes_tokens, self.keep_share)
        if not runs:
            return None
        text = notes(view, runs, notes_room(view, goal, runs, self.notes_tokens))
        edits = replaced(runs, text)
        return Plan(self.name, edits, f"notes of {view.count(text):,} tokens") if freed(view, edits) > 0 else None


def older(view: View, goal: Goal, notes_tokens: int, keep_share: float) -> list[list[Round]]:
    """Runs of rounds that will go: all that may, but for the newest ones that fill ``keep_share`` of the room below the target."""
    free = [item for item in rounds(view) if item.free]
    room = (goal.target - (view.tokens - sum(item.tokens for item in free)) - notes_tokens) * keep_share
    while free and not free[-1].folded and (room := room - free[-1].tokens) >= 0:
        free.pop()
    return list(spans(free))


def notes_room(view: View, goal: Goal, runs: list[list[Round]], most: int) -> int:
    """How many tokens may stand for these rounds: what the target leaves, at most ``most`` and a third of what goes."""
    gone = sum(item.tokens for run in runs for item in run)
    room = goal.target - (view.tokens - gone) - 2 * OVERHEAD_TOKENS
    return max(min(most, room, gone // 3), min(400, gone // 3))


def notes(view: View, runs: list[list[Round]], budget_tokens: int) -> str:
    """A heading and the digest of everything up to the last of these rounds."""
    taken = [item for run in runs for item in run]
    messages = sum(1 for start in view.starts if any(run[0].start <= start < run[-1].stop for run in runs))
    tokens = sum(block.tokens for item in taken for block in view.source[item.start : item.stop])
    top = header(messages, tokens)
    return f"{top}\n\n{digest(view, taken[-1].stop, budget_tokens - view.count(top))}".rstrip()

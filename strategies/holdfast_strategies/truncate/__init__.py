"""Drop the oldest whole rounds: the last resort."""

from __future__ import annotations

from dataclasses import dataclass

from holdfast.edits import Drop, Edit, Plan
from holdfast.strategy import Goal, Proposal, View
from holdfast_strategies.estimate import excess, text_tokens
from holdfast_strategies.rounds import Round, replaced, rounds, spans


@dataclass(frozen=True, slots=True)
class Truncate:
    """Drops the oldest rounds behind the first user message until the target is met.

    ``note``: leave one line in their place that says how much is missing; without it nothing tells the model.
    """

    note: bool = True
    name: str = "truncate"

    def plan(self, view: View, goal: Goal) -> Proposal:
        """The fewest oldest rounds that bring the prompt to the target; all that may leave, where that is not enough."""
        yield from ()
        need = excess(view, goal)
        if not need:
            return None
        gone = self._gone(view, need)
        freed = sum(item.tokens for item in gone)
        text = self._line(view, gone) if gone else ""
        if not gone or freed <= text_tokens(view, text):
            return None
        runs = list(spans(gone))
        edits: tuple[Edit, ...] = replaced(runs, text) if self.note else tuple(Drop(run[0].start, run[-1].stop) for run in runs)
        return Plan(self.name, edits, f"{len(gone)} oldest rounds, {freed:,} tokens")

    def _gone(self, view: View, need: int) -> list[Round]:
        gone: list[Round] = []
        if self.note:
            need += text_tokens(view, _line(99_999, 9_999_999))
        for item in rounds(view):
            if need <= 0:
                break
            if item.free:
                gone.append(item)
                need -= item.tokens
        return gone

    def _line(self, view: View, gone: list[Round]) -> str:
        places = [start for item in gone for start in view.starts if item.start <= start < item.stop]
        return _line(len(places), sum(block.tokens for item in gone for block in view.source[item.start : item.stop]))


def _line(messages: int, tokens: int) -> str:
    return (
        f"[holdfast: {messages:,} earlier messages ({tokens:,} tokens) were dropped here because the conversation had grown too long. "
        "They are not summarised; ask the user, or look again, where something from them is missing.]"
    )

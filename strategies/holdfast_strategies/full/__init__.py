"""One structured summary of everything, written by the model that has read it."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from functools import cache
from importlib import resources

from holdfast.edits import Plan
from holdfast.errors import AskFailed
from holdfast.strategy import Answer, Ask, Goal, Proposal, View
from holdfast_strategies.digest import digest
from holdfast_strategies.digest.fit import fit
from holdfast_strategies.digest.read_once import session_of
from holdfast_strategies.digest.story import unsaid
from holdfast_strategies.estimate import excess, freed
from holdfast_strategies.full.restore import restored
from holdfast_strategies.full.summary import usable_summary
from holdfast_strategies.memory import notes, notes_room, older
from holdfast_strategies.rounds import Round, replaced


@dataclass(frozen=True, slots=True)
class Full:
    """Replaces what lies between the first user message and the newest rounds by a summary, the user's own words, and files.

    ``ask_model``: let the model write the summary, in one request that extends the live prompt; without it the built-in digest
    stands. ``summary_tokens``: the most the summary may take. ``restore_tokens``: the most that is put back of the files last
    worked on, verbatim. ``keep_share``: as in ``Memory``. ``fall_back``: use the built-in digest where the model fails,
    instead of leaving the history whole.
    """

    ask_model: bool = True
    summary_tokens: int = 6_000
    restore_tokens: int = 4_000
    keep_share: float = 0.5
    fall_back: bool = False
    name: str = "full"

    def plan(self, view: View, goal: Goal) -> Proposal:
        """One fold up to the tail, whatever the goal; no plan if the model gives no usable summary."""
        if not excess(view, goal) and not goal.force:
            return None
        runs = older(view, goal, self.summary_tokens, self.keep_share)
        if not runs:
            return None
        summary, by = yield from self._summary(view, goal, runs)
        text = self._with_parts(view, goal, runs, summary)
        edits = replaced(runs, text)
        return Plan(self.name, edits, f"summary by {by}") if freed(view, edits) > 0 else None

    def _summary(self, view: View, goal: Goal, runs: list[list[Round]]) -> Generator[Ask, Answer, tuple[str, str]]:
        room = notes_room(view, goal, runs, self.summary_tokens)
        if self.ask_model:
            try:
                answer = yield Ask(_instruction(goal.focus), self.summary_tokens, digest(view, runs[-1][-1].stop, room))
                return f"{_FRAME}\n\n{usable_summary(answer.text)}", "the model"
            except AskFailed:
                if not self.fall_back:
                    raise
        return notes(view, runs, room), "the built-in digest"

    def _with_parts(self, view: View, goal: Goal, runs: list[list[Round]], summary: str) -> str:
        """The summary, then what the user said and it left out, then the newest file contents, as far as there is room."""
        left = notes_room(view, goal, runs, self.summary_tokens + self.restore_tokens) - view.count(summary)
        session = session_of(view.source, runs[-1][-1].stop)
        words = fit([unsaid(session, view.pinned, summary)], min(left, self.summary_tokens // 3), view.count)
        files = restored(view, session, min(left - sum(map(view.count, words)), self.restore_tokens))
        return "\n\n".join([summary, *words, *([files] if files else [])])


_FRAME = "[holdfast: a summary, written by the assistant, of the part of this conversation that stood here; what follows it is verbatim]"


@cache
def _prompt() -> str:
    return resources.files(__package__).joinpath("prompt.md").read_text(encoding="utf-8").strip()


def _instruction(focus: str) -> str:
    return f"{_prompt()}\n\nThe user asks for special care about this: {focus.strip()}" if focus.strip() else _prompt()

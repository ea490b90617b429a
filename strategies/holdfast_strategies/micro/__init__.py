"""Clear old tool results, leaving a line that says what was there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from holdfast.blocks import Kind
from holdfast.edits import Clear, Drop, Edit, Plan
from holdfast.strategy import Entry, Goal, Proposal, View
from holdfast_strategies.acts import Act, acts_of
from holdfast_strategies.estimate import excess, freed, text_tokens
from holdfast_strategies.outcome import outcome_of
from holdfast_strategies.placeholders import cleared_input, cleared_result
from holdfast_strategies.words import is_observation

ASKED_AND_ANSWERED = frozenset({"AskUserQuestion", "ExitPlanMode", "TodoWrite", "TaskList", "update_plan", "request_user_input"})

_SHRINK = 3  # a placeholder must be at least this many times smaller than what it replaces


@dataclass(frozen=True, slots=True)
class Micro:
    """Clears the results of tool calls, backwards from the newest that may go, until the target is met.

    ``keep_results``: how many of the newest results stay, counted over the whole conversation. ``clear_inputs``: if
    results are not enough, also clear big inputs of calls that are this old (file bodies, patches). ``clear_thinking``:
    then also drop old thinking. ``protect_tools``: names of tools whose calls and results are never touched.
    """

    keep_results: int = 5
    clear_inputs: bool = False
    clear_thinking: bool = False
    protect_tools: frozenset[str] = ASKED_AND_ANSWERED
    name: str = "micro"

    def plan(self, view: View, goal: Goal) -> Proposal:
        """The results that bring the prompt to the target, the oldest left alone; all there are, where that is not enough."""
        yield from ()
        need = excess(view, goal)
        if not need:
            return None
        edits = self._edits(view, need)
        return Plan(self.name, edits, f"{len(edits)} old tool results and inputs") if edits else None

    def _edits(self, view: View, need: int) -> tuple[Edit, ...]:
        acts = acts_of(view.source)
        boundary = self._boundary(acts)
        edits: list[Edit] = _enough(view, list(self._results(view, acts, boundary)), need)
        if self.clear_inputs:
            edits += _enough(view, list(self._inputs(view, acts, boundary)), need - freed(view, edits))
        if self.clear_thinking:
            edits += _enough(view, list(_thinking(view, boundary)), need - freed(view, edits))
        return tuple(sorted(edits, key=lambda edit: edit.start))

    def _boundary(self, acts: Sequence[Act]) -> int:
        """The block index from which on results are too new to be cleared."""
        done = [act.result for act in acts if act.result is not None]
        if not self.keep_results:
            return done[-1] + 1 if done else 0
        return done[-self.keep_results] if len(done) > self.keep_results else 0

    def _results(self, view: View, acts: Sequence[Act], boundary: int) -> Iterator[Clear]:
        by_result = {act.result: act for act in acts if act.result is not None}
        for entry in _touchable(view, boundary):
            act = by_result.get(entry.start)
            if entry.block.kind is Kind.TOOL_RESULT or (act and is_observation(entry.block.text)):
                if act and act.tool in self.protect_tools:
                    continue
                yield from _cleared(view, entry, cleared_result(entry.block, act, _ending(act)))

    def _inputs(self, view: View, acts: Sequence[Act], boundary: int) -> Iterator[Clear]:
        by_call = {act.call: act for act in acts}
        for entry in _touchable(view, boundary):
            if entry.block.kind is Kind.TOOL_USE and entry.block.tool not in self.protect_tools:
                yield from _cleared(view, entry, cleared_input(entry.block, by_call.get(entry.start)))


def _touchable(view: View, boundary: int) -> Iterator[Entry]:
    for entry in view.entries:
        if entry.start >= boundary:
            return
        if entry.state == "verbatim" and view.editable(entry):
            yield entry


def _ending(act: Act | None) -> str:
    """The line that tells how a command ended: its first error, else its last line."""
    if act is None or act.verb != "run":
        return ""
    outcome = outcome_of(act)
    return outcome.errors[0] if outcome.failed and outcome.errors else outcome.last


def _cleared(view: View, entry: Entry, text: str) -> Iterator[Clear]:
    tokens = entry.block.tokens
    if tokens > 4 * _SHRINK and len(text) < 4 * tokens and tokens >= _SHRINK * text_tokens(view, text):
        yield Clear(entry.start, text)


def _enough(view: View, edits: Sequence[Edit], need: int) -> list[Edit]:
    """The last edits that together free what is needed: the later the first one stands, the longer the prefix that stays warm."""
    chosen: list[Edit] = []
    for edit in reversed(edits):
        if need <= 0:
            break
        chosen.append(edit)
        need -= freed(view, (edit,))
    return chosen


def _thinking(view: View, boundary: int) -> Iterator[Drop]:
    """The thinking of messages that hold something else as well."""
    filled = {entry.message for entry in view.entries if entry.block.kind is not Kind.THINKING}
    for entry in _touchable(view, boundary):
        if entry.block.kind is Kind.THINKING and entry.message in filled:
            yield Drop(entry.start, entry.stop)

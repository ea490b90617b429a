"""Fold finished spans into short stubs: looking around, superseded reads, finished sub-tasks."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass

from holdfast.edits import Edit, Fold, Plan
from holdfast.errors import AskFailed
from holdfast.strategy import Answer, Ask, Goal, Proposal, View
from holdfast_strategies.collapse.asking import instruction, read_answer, stand_in
from holdfast_strategies.collapse.finding import Span, finished, legs, lookups
from holdfast_strategies.collapse.stubs import stub
from holdfast_strategies.digest.facts import Facts
from holdfast_strategies.digest.read_once import facts_of
from holdfast_strategies.digest.session import Session
from holdfast_strategies.estimate import excess, freed
from holdfast_strategies.micro import ASKED_AND_ANSWERED
from holdfast_strategies.rounds import rounds

_HALF = 2  # a stub must be at least this many times smaller than what it stands for


@dataclass(frozen=True, slots=True)
class Collapse:
    """Folds spans of the assistant's work, never a word of the user, backwards from the newest, until the target is met.

    ``stub_tokens``: the most one stub may take. ``keep_rounds``: how many of the newest rounds before the tail stay.
    ``ask_model``: let the model write all stubs in one answer; where it fails the built-in ones stand. ``protect_tools``: names of
    tools whose calls are never folded.
    """

    stub_tokens: int = 600
    keep_rounds: int = 3
    ask_model: bool = False
    protect_tools: frozenset[str] = ASKED_AND_ANSWERED - {"TodoWrite", "update_plan", "TaskList"}
    name: str = "collapse"

    def plan(self, view: View, goal: Goal) -> Proposal:
        """Folds from the cheapest loss to the dearest: lookups, then finished sub-tasks, then legs of the running one."""
        need = excess(view, goal)
        if not need:
            return None
        facts = facts_of(view.source, len(view.source))
        chosen = self._chosen(view, facts, need)
        if not chosen:
            return None
        folds = [fold for _, fold in chosen]
        if self.ask_model:
            folds = yield from self._asked(view, facts.session, [span for span, _ in chosen], folds)
        return Plan(self.name, tuple(folds), f"{len(folds)} finished spans")

    def _chosen(self, view: View, facts: Facts, need: int) -> list[tuple[Span, Fold]]:
        """The folds that free what is needed; each stage may swallow spans of the one before."""
        all_rounds = rounds(view)
        kept = all_rounds[: max(len(all_rounds) - self.keep_rounds, 0)]
        chosen: list[tuple[Span, Fold]] = []
        for stage in (lookups, finished, legs):
            for span in reversed(list(stage(kept, facts.session, self.protect_tools))):
                if freed(view, [fold for _, fold in chosen]) >= need:
                    break
                fold = self._fold(view, facts, span)
                outside = [pair for pair in chosen if pair[1].stop <= span.start or span.stop <= pair[1].start]
                if fold and freed(view, [fold]) > freed(view, [pair[1] for pair in chosen if pair not in outside]):
                    chosen = [*outside, (span, fold)]
        return _given_back(view, sorted(chosen, key=lambda pair: pair[1].start), need)

    def _fold(self, view: View, facts: Facts, span: Span) -> Fold | None:
        text = stub(view, facts, span, min(self.stub_tokens, span.tokens // _HALF))
        fold = Fold(span.start, span.stop, text)
        return fold if text and freed(view, [fold]) * _HALF >= span.tokens else None

    def _asked(self, view: View, session: Session, spans: Sequence[Span], folds: list[Fold]) -> Generator[Ask, Answer, list[Fold]]:
        try:
            answer = yield Ask(instruction(session, spans), self.stub_tokens * len(spans), stand_in([fold.text for fold in folds]))
        except AskFailed:
            return folds
        texts = read_answer(answer.text, len(spans))
        return [_written(view, fold, texts.get(place, "")) for place, fold in enumerate(folds)]


def _written(view: View, fold: Fold, text: str) -> Fold:
    """The fold with the model's text under the built-in heading, where there is one and it still makes the prompt shorter."""
    new = Fold(fold.start, fold.stop, f"{fold.text.splitlines()[0]}\n{text}")
    return new if text and freed(view, [new]) > 0 else fold


def _given_back(view: View, chosen: list[tuple[Span, Fold]], need: int) -> list[tuple[Span, Fold]]:
    """Without the oldest folds that the target does not need."""
    spare = freed(view, _edits(chosen)) - need
    for pair in chosen:
        gain = freed(view, [pair[1]])
        if gain <= spare:
            chosen = [other for other in chosen if other is not pair]
            spare -= gain
    return chosen


def _edits(chosen: Sequence[tuple[Span, Fold]]) -> list[Edit]:
    return [fold for _, fold in chosen]

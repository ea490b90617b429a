"""Running a proposal: whoever holds a model answers a strategy's questions, and a plan comes out or nothing does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from holdfast.edits import Plan
from holdfast.errors import AskFailed
from holdfast.strategy import Answer, Ask, Proposal

LIMIT = 8  # questions one plan may ask; more is a strategy that does not come to an end


class Drive:
    """One proposal on its way to a plan, with no I/O of its own: ``question`` is what it waits for, ``None`` once it has ended.

    ``answers`` is every answer that was paid for, empty ones too. A generator that raises has ended as well.
    """

    def __init__(self, proposal: Proposal, limit: int = LIMIT) -> None:
        self.answers: list[Answer] = []
        self.plan: Plan | None = None
        self.question: Ask | None = None
        self._proposal = proposal
        self._left = limit
        self._step(lambda: next(proposal))

    def answered(self, answer: Answer) -> None:
        """The model has spoken; an empty text is a failure."""
        self.answers.append(answer)
        if answer.text.strip():
            self._step(lambda: self._proposal.send(answer))
        else:
            self.failed(AskFailed("the model's answer was empty"))

    def failed(self, failure: AskFailed) -> None:
        """The model has not: the strategy learns it, and may still offer a plan of its own making."""
        self._step(lambda: self._proposal.throw(failure))

    def close(self) -> None:
        """Let go of the strategy, wherever it stands."""
        self._proposal.close()

    def _step(self, resume: Callable[[], Ask]) -> None:
        try:
            self.question = resume()
        except StopIteration as end:
            self.plan, self.question = end.value, None
            return
        self._left -= 1
        if self._left < 0:
            raise AskFailed("the strategy asks more questions than one plan may")


def drive(proposal: Proposal, ask: Callable[[Ask], Answer], limit: int = LIMIT) -> tuple[Plan | None, list[Answer]]:
    """Run ``proposal`` to its end: its plan, and the answers that were paid for. Whatever happens, it is closed.

    ``ask`` raises ``AskFailed`` where the model gave nothing; that, and an empty answer, is raised into the strategy.

    Raises:
        AskFailed: the strategy had nothing better to offer, or asked more than ``limit`` questions.
    """
    try:
        run = Drive(proposal, limit)
        while run.question is not None:
            try:
                answer = ask(run.question)
            except AskFailed as failure:
                run.failed(failure)
            else:
                run.answered(answer)
        return run.plan, run.answers
    finally:
        proposal.close()


async def adrive(proposal: Proposal, ask: Callable[[Ask], Awaitable[Answer]], limit: int = LIMIT) -> tuple[Plan | None, list[Answer]]:
    """``drive`` for a model that is awaited."""
    try:
        run = Drive(proposal, limit)
        while run.question is not None:
            try:
                answer = await ask(run.question)
            except AskFailed as failure:
                run.failed(failure)
            else:
                run.answered(answer)
        return run.plan, run.answers
    finally:
        proposal.close()

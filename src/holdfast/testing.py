"""Aids for whoever tests a strategy, or an agent that uses one: models that say what they are told to."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from holdfast.errors import AskFailed
from holdfast.strategy import Answer, Ask
from holdfast.usage import Usage


class ScriptedModel:
    """Answers every ``Ask`` from a list of texts, or with what a function makes of it; give it to ``holdfast.drive.drive``.

    A text of ``None``, and a list that has run out, fail the question (``AskFailed``). ``asked`` holds every question, in order.
    The usage counts four characters of the answer as one token.
    """

    def __init__(self, script: Iterable[str | None] | Callable[[Ask], str | None]) -> None:
        self.asked: list[Ask] = []
        self._function = script if callable(script) else None
        self._texts = iter(()) if callable(script) else iter(list(script))

    def __call__(self, ask: Ask) -> Answer:
        """The next answer.

        Raises:
            AskFailed: the script says so, or has run out.
        """
        self.asked.append(ask)
        text = self._function(ask) if self._function else next(self._texts, None)
        if text is None:
            raise AskFailed(f"the script has no answer to question {len(self.asked)}")
        return Answer(text, Usage(output=(len(text) + 3) // 4))

"""Aids for whoever tests a strategy, or an agent that uses one: models, and a whole provider, that say what they are told to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from holdfast.errors import AskFailed
from holdfast.strategy import Answer, Ask
from holdfast.usage import Usage

if TYPE_CHECKING:
    from holdfast.testing.audit import Audit, assert_hit_rate
    from holdfast.testing.fake.provider import FakeProvider
    from holdfast.testing.fake.values import Asked, Fault, Reply, Say, ToolCall

__all__ = ["Asked", "Audit", "FakeProvider", "Fault", "Reply", "Say", "ScriptedModel", "ToolCall", "assert_hit_rate"]

_LAZY = {
    "FakeProvider": "fake.provider",
    **dict.fromkeys(("Asked", "Fault", "Reply", "Say", "ToolCall"), "fake.values"),
    **dict.fromkeys(("Audit", "assert_hit_rate"), "audit"),
}


def __getattr__(name: str) -> Any:
    """The fake provider is imported when it is asked for: it brings an HTTP server with it."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)


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

"""What ``Session.prepare`` adds to a turn of a conversation that has grown by two messages.

``turn`` is all of it: finding the conversation, reading, hashing and tokenising the two messages, deciding, placing marks, writing the
body. ``tokenise`` is the exact count of what a turn only samples, ``compare`` one ``==`` of the history with a copy.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from benchmarks.measuring import Timer, exchange, opening
from holdfast.frozen import freeze
from holdfast.options import Options
from holdfast.schedule import Schedule
from holdfast.session import Session
from holdfast.strategies import named
from holdfast.tokens import Counter
from holdfast.wire import of

MESSAGE_TOKENS = 1250
SIZES = {"50k": 40, "1M": 800}
ROUNDS = 60
NUMBERS = count(1)
"""No text comes twice: the process remembers what it has counted."""


class Conversation:
    """A caller's list of messages and the session it goes through. Nothing is shortened below ``trigger`` tokens."""

    def __init__(self, messages: int, trigger: int = 10_000_000) -> None:
        schedule = Schedule(trigger, trigger // 2, 20_000_000)
        self.session = Session(named("ladder"), Options(schedule, clock=lambda: 0.0))
        self.body = opening()
        self.messages: list[dict[str, Any]] = self.body["messages"]
        self.sent_tokens = self.given_tokens = 0
        self._coming: Iterator[list[dict[str, Any]]] = iter([exchange(next(NUMBERS), MESSAGE_TOKENS) for _ in range(ROUNDS + 1)])
        while len(self.messages) < messages - 1:
            self.messages += exchange(next(NUMBERS), MESSAGE_TOKENS)
            if len(self.messages) % 20 == 1:
                self.turn()
        self.turn()

    def grown(self) -> None:
        """The caller appends two messages."""
        self.messages += next(self._coming)

    def turn(self) -> None:
        """The next request is prepared and answered."""
        _, trace = self.session.prepare(self.body, float(len(self.messages)))
        assert not trace.errors
        self.session.observe()
        self.sent_tokens, self.given_tokens = trace.sent_tokens, trace.given_tokens


@pytest.mark.parametrize("size", SIZES)
def test_turn(benchmark: Timer, size: str) -> None:
    """A conversation of this size grows by two messages."""
    talk = Conversation(SIZES[size])
    benchmark.pedantic(talk.turn, setup=talk.grown, rounds=ROUNDS)
    benchmark.extra_info.update(given_tokens=talk.given_tokens, messages=len(talk.messages))


def test_shortened_turn(benchmark: Timer) -> None:
    """So does one of a million tokens of which the most has been shortened away."""
    talk = Conversation(SIZES["1M"], trigger=400_000)
    benchmark.pedantic(talk.turn, setup=talk.grown, rounds=ROUNDS)
    assert talk.sent_tokens < talk.given_tokens
    benchmark.extra_info.update(given_tokens=talk.given_tokens, sent_tokens=talk.sent_tokens, messages=len(talk.messages))


@pytest.mark.parametrize("size", SIZES)
def test_compare(benchmark: Timer, size: str) -> None:
    """One ``==`` of a history with a frozen copy whose strings are shared."""
    talk = Conversation(SIZES[size])
    known = list(freeze(talk.messages))
    assert benchmark.pedantic(lambda: talk.messages[: len(known)] == known, rounds=ROUNDS)


def test_tokenise(benchmark: Timer) -> None:
    """The tokenizer counts the texts of two new messages."""
    coming = iter([exchange(next(NUMBERS), MESSAGE_TOKENS) for _ in range(ROUNDS)])
    counter = Counter()

    def texts() -> tuple[tuple[list[str]], dict[str, Any]]:
        return ([block.text for raw in next(coming) for block in of("anthropic").read_message(raw).blocks],), {}

    benchmark.pedantic(lambda texts: sum(map(counter.count, texts)), setup=texts, rounds=ROUNDS)

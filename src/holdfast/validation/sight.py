"""What may be known of a request before it is billed, and what is predicted from it.

A prediction sees the request's own prompt, the total of its tokens, and every earlier record. It never sees the request's own usage,
answer, charge or end, nor anything that came later: a predictor is handed one request after the other, and only after it has
spoken is it told what was billed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

from holdfast.prefix import Chain, chain_head
from holdfast.transcript import Transcript, Turn
from holdfast.usage import Usage

BETWEEN_TURNS = 10.0
"""Seconds between two requests of a transcript that holds no times: within every cache lifetime."""


@dataclass(frozen=True, slots=True)
class Sight:
    """One request before its bill.

    ``index`` is its place among the transcript's turns. ``turn`` is the recorded turn without usage, charge, answer, end and
    response id. ``chain`` is its prompt, the blocks not weighed (all ``totals`` are 0). ``prompt_tokens`` is the recorded total of
    the prompt, ``now`` the start of the request in POSIX seconds on a clock that never runs backwards.
    """

    index: int
    turn: Turn
    chain: Chain
    prompt_tokens: int
    now: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a request is predicted to be billed, ``output`` left at 0.

    ``likely`` is the one outcome to bet on; by its read a request agrees or not. ``expected`` is the mean over what may happen, in whole
    tokens, and is what money is computed from. ``basis`` says in a few words what it rests on.
    """

    likely: Usage
    expected: Usage
    basis: str


class Predictor(Protocol):
    """A provider's cache as one transcript shows it: asked before each request, told after it."""

    def predict(self, sight: Sight) -> Prediction:
        """What this request will be billed. Changes nothing."""

    def learn(self, sight: Sight, turn: Turn) -> None:
        """The request as it was recorded, with its usage if there is one."""


def sights(transcript: Transcript) -> Iterator[tuple[Sight, Turn]]:
    """Every turn of a transcript, in its order: what is known of it before, and the record."""
    chains: dict[str, tuple[Chain, int]] = {}
    clock = 0.0
    for index, turn in enumerate(transcript.turns):
        clock = clock + BETWEEN_TURNS if turn.at is None else max(clock, turn.at)
        chain, seen = chains.get(turn.lineage) or (chain_head(turn.prompt.head), 0)
        for message in turn.prompt.messages[seen:]:
            chain.extend(message.blocks)
        chains[turn.lineage] = chain, len(turn.prompt.messages)
        blind = replace(turn, usage=None, charged=None, answer=None, ended=None, request="", output_final=True)
        yield Sight(index, blind, chain.upto(chain.length), turn.usage.prompt if turn.usage else 0, clock), turn

"""What earlier requests of a transcript left in an automatic cache, and how much of it a new prompt begins with.

Positions are known only where a bill gives them: at the end of a prompt that was sent, and at the end of the answer to it.
"""

from __future__ import annotations

from dataclasses import dataclass

from holdfast.blocks import Kind, Role
from holdfast.prefix import Chain
from holdfast.transcript import Turn
from holdfast.validation.sight import Sight

_LAST = 64  # requests back: what was read long ago says little of what is held now
_ASKED = (Kind.TEXT, Kind.IMAGE, Kind.DOCUMENT)


@dataclass(frozen=True, slots=True)
class Sent:
    """One earlier request.

    Its prompt is ``length`` blocks ending in ``id``, in ``messages`` messages; ``asked`` is where its round began (``asked_at``).
    ``prompt`` and ``output`` are tokens as billed, ``held`` those found in the cache, as it counts them; ``ended`` is in POSIX seconds.
    """

    id: bytes
    length: int
    messages: int
    asked: int
    prompt: int
    output: int
    held: int
    ended: float
    model: str


@dataclass(frozen=True, slots=True)
class Kept:
    """How much of an earlier request a new prompt begins with: its whole prompt, and the answer to it or not."""

    sent: Sent
    answered: bool

    def tokens(self, with_answer: bool) -> int:
        """The end of the shared prefix, in billed tokens; ``with_answer``: the cache keeps what the model wrote."""
        return self.sent.prompt + (self.sent.output if with_answer and self.answered else 0)


def asked_at(chain: Chain) -> int:
    """The place of the last block with which a user began a round of their own; -1 where there is none.

    A message behind a tool's result was put into a round that goes on: in 11 of 11 such cases in Codex rollouts (2026-04) the thinking
    before it was still read.
    """
    asked = -1
    for place in range(chain.length - 1, chain.head - 1, -1):
        if chain.roles[place] is Role.USER and chain.kinds[place] in _ASKED:
            asked = asked if asked > place else place
        elif asked >= 0 and chain.kinds[place] is Kind.TOOL_RESULT:
            asked = -1
        elif asked >= 0:
            return asked
    return asked


def _thinks(chain: Chain, start: int, stop: int) -> bool:
    return any(chain.kinds[place] is Kind.THINKING for place in range(max(0, start), stop))


class Memory:
    """The requests of one transcript so far."""

    def __init__(self) -> None:
        self.sent: list[Sent] = []

    def add(self, sight: Sight, turn: Turn, held: int) -> None:
        """One more request, with its bill; ``held`` tokens of it were found in the cache, as the cache counts them."""
        chain, usage = sight.chain, turn.usage
        if usage is None or not chain.length:
            return
        ended = sight.now if turn.ended is None else max(sight.now, turn.ended)
        self.sent.append(
            Sent(
                id=chain.ids[chain.length - 1],
                length=chain.length,
                messages=len(turn.prompt.messages),
                asked=asked_at(chain),
                prompt=usage.prompt,
                output=usage.output,
                held=held,
                ended=ended,
                model=turn.model,
            )
        )

    def most_held(self, kept: Kept) -> int:
        """The most that the last requests up to and with ``kept`` found in the cache."""
        return max((sent.held for sent in self.sent[-_LAST:] if sent.length <= kept.sent.length), default=0)

    def longest(self, sight: Sight, drops_thinking: bool) -> Kept | None:
        """The newest of the longest earlier prompts that this one begins with.

        ``drops_thinking``: thinking from before the user's last round is no longer part of it.
        """
        chain = sight.chain
        asked = asked_at(chain) if drops_thinking else -1
        best: Kept | None = None
        for sent in reversed(self.sent):
            if best is not None and sent.length <= best.sent.length:
                continue
            if sent.model == sight.turn.model and sent.length <= chain.length and chain.ids[sent.length - 1] == sent.id:
                kept = self._kept(chain, sent, asked)
                best = kept or best
                if kept and sent is self.sent[-1]:
                    break
        return best

    def _kept(self, chain: Chain, sent: Sent, asked: int) -> Kept | None:
        """How much of ``sent`` is in the prompt; ``None`` where thinking inside it has been dropped since."""
        if asked > sent.asked and _thinks(chain, sent.asked, min(sent.length, asked)):
            return None
        stop = sent.length
        while stop < chain.length and chain.roles[stop] is Role.ASSISTANT:
            stop += 1
        return Kept(sent, stop > sent.length and not (asked > sent.length and _thinks(chain, sent.length, stop)))

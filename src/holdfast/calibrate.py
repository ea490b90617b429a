"""Weighing a transcript: every block gets tokens, and where usage was recorded every prompt weighs exactly what was billed.

A block is weighed once, when it first appears, from what was known by then, and keeps its weight in all later prompts of its lineage and
in forks. Between two turns the new blocks (the answer, then what the user's side added) share the difference of the billed totals:
each is expected to weigh what its family's factor says, corrected by what earlier turns of the same transcript taught; a final
``output`` is the weight of the answer (Claude). What is too much to be the text becomes an opaque block: sent, but not recorded.

The head that a format does not hold is what the first bill leaves for it, and stays the same for all lineages of that chain. Where
the first request read a part of it, warm from other sessions, a block ends exactly there.

A prompt that shrank contradicts blocks that keep their weight: the client had rewritten its history without a record of how (a user's
message strips thinking on some models; old results were cleared silently), or another machine counted it. It begins a lineage of its own
(``main~1``): thinking gives way first, else the blocks behind the part that was still read are scaled down; they count as other bytes than
before unless the bill says that they were read (21 rewrites and 8 recounts in 8,333 steps of Claude Code).
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from holdfast.blocks import Block, Kind, Message, Prompt, Window
from holdfast.families import Family, family
from holdfast.tokens import Counter
from holdfast.transcript import Transcript, Turn
from holdfast.weighing import Weighing


@dataclass(frozen=True, slots=True)
class Weighed:
    """A transcript with every block weighed, how that was done, and how well the guesses fitted the bills.

    ``exact`` of ``billed`` turns weigh what was billed. ``unlogged_blocks`` and ``unlogged_tokens``: text that was sent but not recorded,
    beside the head; ``earlier_tokens``: conversation from before the file begins. ``rewrites`` and ``recounts``: turns whose prompt had
    shrunk with no record of how, sent as other bytes or only counted anew. ``errors``: for each step between two bills, the absolute
    difference in tokens between what was expected and what was billed.
    """

    transcript: Transcript
    method: str
    billed: int = 0
    exact: int = 0
    unlogged_blocks: int = 0
    unlogged_tokens: int = 0
    earlier_tokens: int = 0
    rewrites: int = 0
    recounts: int = 0
    errors: tuple[int, ...] = field(default=(), repr=False)

    @property
    def error_median(self) -> float:
        """The median of ``errors``; 0 where there is none."""
        return statistics.median(self.errors) if self.errors else 0.0


def weigh(transcript: Transcript, counter: Counter, *, model: str | None = None) -> Weighed:
    """``transcript`` with every block weighed. ``model``: what it would weigh for another model.

    For another model every weight, head included, is multiplied by the ratio of the two families' factors; the totals then are estimates.
    The settings of the prompts still name the model that was asked.
    """
    weighing = Weighing(transcript, counter)
    turns = tuple(weighing.turn(turn) for turn in transcript.turns)
    turns = tuple(weighing.answered(turn) for turn in turns)
    unlogged = tuple(weighing.moved(item, turns) for item in transcript.unlogged)
    notes = tuple(_notes(weighing.stats))
    stats, ours = weighing.stats, family(transcript.model)
    weighed = Weighed(
        transcript=replace(transcript, turns=turns, unlogged=unlogged, notes=transcript.notes + notes),
        method=_method(ours, stats["billed"], len(turns)),
        billed=stats["billed"],
        exact=stats["exact"],
        unlogged_blocks=stats["unlogged_blocks"],
        unlogged_tokens=stats["unlogged_tokens"],
        earlier_tokens=stats["earlier_tokens"],
        rewrites=stats["rewrites"],
        recounts=stats["recounts"],
        errors=tuple(weighing.errors),
    )
    if model is None or family(model) is ours:
        return weighed
    return _for_family(weighed, ours, family(model))


def _method(ours: Family, billed: int, turns: int) -> str:
    offline = f"offline count x {ours.text:.2f} for text, {ours.call:.2f} for calls, {ours.result:.2f} for results (family {ours.name})"
    if billed == turns:
        return "calibrated to recorded usage"
    return f"calibrated to recorded usage on {billed} of {turns} turns, else {offline}" if billed else offline


def _notes(stats: Mapping[str, int]) -> Iterator[str]:
    if stats["earlier_tokens"]:
        yield f"{stats['earlier_tokens']:,} tokens of conversation went before the first line of the file; they are carried as one block."
    if stats["unlogged_blocks"]:
        yield f"{stats['unlogged_tokens']:,} tokens at {stats['unlogged_blocks']} turns were billed but not recorded; each is a block."
    if stats["rewrites"]:
        yield f"At {stats['rewrites']} turns the client had shortened its history with no record of how; a lineage begins at each."
    if stats["recounts"]:
        yield f"At {stats['recounts']} turns the provider counted the same history anew; a lineage begins at each."


def _for_family(weighed: Weighed, ours: Family, other: Family) -> Weighed:
    """The same transcript in another family's tokens."""
    ratios = {kind: (other.text / ours.text if kind is Kind.OPAQUE else other.factor(kind) / ours.factor(kind)) for kind in Kind}
    messages: dict[int, Message] = {}
    logs: dict[int, list[Message]] = {}

    def block(old: Block) -> Block:
        return old.weighed(round(old.tokens * ratios[old.kind]))

    def message(old: Message) -> Message:
        if id(old) not in messages:
            messages[id(old)] = replace(old, blocks=tuple(block(item) for item in old.blocks))
        return messages[id(old)]

    def prompt(old: Prompt) -> Prompt:
        window = old.messages
        assert isinstance(window, Window)  # so it was built
        log = logs.setdefault(id(window.log), [])
        log.extend(message(item) for item in window.log[len(log) :])
        return replace(old, head=tuple(block(item) for item in old.head), messages=Window(log, window.stop))

    def turn(old: Turn) -> Turn:
        return replace(old, prompt=prompt(old.prompt), answer=None if old.answer is None else message(old.answer))

    turns = tuple(turn(old) for old in weighed.transcript.turns)
    times = f"text x {ratios[Kind.TEXT]:.2f}, calls x {ratios[Kind.TOOL_USE]:.2f}, results x {ratios[Kind.TOOL_RESULT]:.2f}"
    method = f"{weighed.method}, then to the tokenizer of {other.name}: {times}"
    return replace(weighed, transcript=replace(weighed.transcript, turns=turns), method=method)

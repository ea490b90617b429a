"""The pass that weighs a transcript; ``calibrate`` says what it is for."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Sequence
from dataclasses import dataclass, replace

from holdfast.blocks import Block, Kind, Message, Role, opaque
from holdfast.families import Family, family, keeps_thinking
from holdfast.frozen import freeze
from holdfast.rebuilt import Line, note, other_bytes, prompt_of, tokens_of, unrecorded, with_weights
from holdfast.settle import SLACK, SLACK_SHARE, Expected, Ratios, billed_as, rescaled, settle, stripped
from holdfast.tokens import Counter
from holdfast.transcript import Transcript, Turn, Unlogged

UNLOGGED = "unlogged context"
HEAD = "system prompt and tools"
EARLIER = "earlier conversation"
HEAD_MOST = 60_000
HEAD_LIKELY = 32_000
"""A first bill that leaves more than 60,000 tokens for the head was sent by a resumed session whose start is not in the file: then 32,000
of them are the head and the rest is conversation (the median of 79 Claude Code sessions; nine tenths are below 44,000)."""
RECOUNT = 0.03
"""A prompt that shrank by less than this share with nothing to explain it was counted by another machine's tokenizer, not rewritten
(Gemini through OpenRouter: 60 of 5,214 steps)."""


@dataclass(slots=True)
class Step:
    """What one turn adds to its line: the recorded messages that are ``new`` there, and those of them that were never weighed.

    ``known`` tokens stand in the others; ``expected`` is what the blocks of ``fresh`` should weigh.
    """

    turn: Turn
    family: Family
    new: list[Message]
    fresh: list[Message]
    known: int
    expected: list[Expected]

    @property
    def billed(self) -> int | None:
        """The prompt's recorded tokens; an aborted call has a usage of zeros."""
        usage = self.turn.usage
        return usage.prompt if usage is not None and usage.prompt > 0 else None

    @property
    def guess(self) -> float:
        """What all that was never weighed should weigh."""
        return sum(item.weight for item in self.expected)


class Weighing:
    """One pass over a transcript's turns in their order; nothing is taken from a later turn."""

    def __init__(self, transcript: Transcript, counter: Counter) -> None:
        self.transcript = transcript
        self.counter = counter
        self.ratios: dict[str, Ratios] = {}
        self.lines: dict[str, Line] = {}
        self.heads: dict[tuple[str, tuple[bytes, ...]], tuple[Block, ...]] = {}
        self.weighed: dict[int, tuple[Message, ...]] = {}
        self.stats: Tally[str] = Tally()
        self.errors: list[int] = []

    def turn(self, turn: Turn) -> Turn:
        """The turn with its prompt weighed."""
        line = self.lines.setdefault(turn.lineage, Line(turn.lineage))
        step = self._step(line, turn)
        if line.before is None:
            self._open(line, step)
        elif step.billed is not None and line.before.usage is not None:
            self.errors.append(abs(round(step.billed - line.total - step.known - step.guess)))
        self._grow(line, step)
        line.before = turn
        if step.billed is not None:
            self.stats["billed"] += 1
            self.stats["exact"] += line.total == step.billed
        return replace(turn, lineage=line.name, prompt=prompt_of(line, turn.prompt))

    def answered(self, turn: Turn) -> Turn:
        """The turn with its answer weighed: as it weighs in the next prompt, else as it was billed or is expected to weigh."""
        if turn.answer is None:
            return turn
        known = self.weighed.get(id(turn.answer))
        if known is not None:
            return replace(turn, answer=known[0])  # what was put in stands behind an answer
        expected = self._answer(turn.answer.blocks, turn)
        return replace(turn, answer=with_weights(turn.answer, [round(item.weight) for item in expected]))

    def moved(self, item: Unlogged, turns: Sequence[Turn]) -> Unlogged:
        """An unlogged call on the lineage that its own became, where that was begun anew."""
        until = float("inf") if item.at is None else item.at
        names = [turn.lineage for turn in turns if turn.lineage.split("~")[0] == item.lineage and (turn.at or 0) <= until]
        return replace(item, lineage=names[-1]) if names else item

    def _step(self, line: Line, turn: Turn) -> Step:
        messages, ours = turn.prompt.messages, family(turn.model)
        new = [messages[index] for index in range(line.seen, len(messages))]
        fresh = [message for message in new if id(message) not in self.weighed]
        known = sum(part.tokens for message in new for part in self.weighed.get(id(message), ()))
        answer = next((index for index, message in enumerate(new) if message.role is not Role.ASSISTANT), len(new))
        expected: list[Expected] = []
        if answer and line.before is not None and len(fresh) == len(new):
            expected = self._answer([block for message in new[:answer] for block in message.blocks], line.before)
        else:
            answer = 0
        expected.extend(item for message in fresh[answer:] for item in self._expected(message.blocks, ours))
        if any(message.is_plain_user for message in new) and not keeps_thinking(turn.model):
            expected = [replace(item, weight=0.0) if item.block.kind is Kind.THINKING else item for item in expected]
        return Step(turn, ours, new, fresh, known, expected)

    def _expected(self, blocks: Sequence[Block], ours: Family) -> list[Expected]:
        ratios = self.ratios.setdefault(ours.name, Ratios())
        bases = [ours.expected(block, self.counter.raw(block)) for block in blocks]
        return [Expected(block, base * ratios.of(block.kind), base) for block, base in zip(blocks, bases, strict=True)]

    def _answer(self, blocks: Sequence[Block], turn: Turn) -> list[Expected]:
        """What the blocks of a turn's answer should weigh: together its output, where that is final and stands in the next prompt."""
        ours = family(turn.model)
        items = self._expected(blocks, ours)
        hidden = any(item.base == 0 and item.block.kind is Kind.THINKING for item in items)
        if turn.usage is None or not turn.usage.output or not turn.output_final or not (ours.resends_output or hidden):
            return items
        return billed_as(items, turn.usage.output)

    def _open(self, line: Line, step: Step) -> None:
        """Finds the head of a lineage at its first turn: that of the chain so far, else what the bill leaves for it."""
        recorded = step.turn.prompt.head
        key = (line.name.split("/")[0], tuple(block.fingerprint for block in recorded))
        head = self.heads.get(key)
        if step.billed is not None and head is not None and not self._fits(tokens_of(head), step):
            head = None
        if head is None:
            head, line.earlier = self._head(step, recorded)
            if step.billed is not None and head:
                self.heads.setdefault(key, head)
        line.head, line.total, line.blocks = head, tokens_of(head), len(recorded)

    def _fits(self, head: int, step: Step) -> bool:
        """Whether the bill leaves room for this head; where part of the prompt is known, the client has rewritten that, not the head."""
        return bool(step.known) or (step.billed or 0) - head >= step.guess * (1 - SLACK_SHARE) - SLACK

    def _head(self, step: Step, recorded: Sequence[Block]) -> tuple[tuple[Block, ...], tuple[Block, ...]]:
        """The head's blocks, weighed, and blocks for a conversation that went before."""
        weights = [step.family.expected(block, self.counter.raw(block)) for block in recorded]
        weighed = [block.weighed(round(weight)) for block, weight in zip(recorded, weights, strict=True)]
        if step.billed is None:
            return tuple(weighed), ()
        room, guess = step.billed - step.known, step.guess + sum(weights)
        slack = max(SLACK, SLACK_SHARE * guess) if self.transcript.head_recorded else 0
        surplus = round(room - guess)
        if surplus > slack:
            read = step.turn.usage.read if step.turn.usage is not None and not recorded else 0
            size = HEAD_LIKELY if surplus > HEAD_MOST and not self.transcript.head_recorded else surplus
            self.stats["earlier_tokens"] += surplus - size
            return (*weighed, *unrecorded(Role.SYSTEM, size, read, HEAD)), unrecorded(Role.USER, surplus - size, read - size, EARLIER)
        expected = [Expected(block, weight, weight) for block, weight in zip(recorded, weights, strict=True)]
        settled = settle([*expected, *step.expected], max(0, room))
        return tuple(block.weighed(tokens) for block, tokens in zip(recorded, settled.weights, strict=False)), ()

    def _grow(self, line: Line, step: Step) -> None:
        """Puts the step's messages into the line, so that it weighs what was billed."""
        gap = None if step.billed is None else step.billed - line.total - step.known - tokens_of(line.earlier)
        switched = line.before is not None and family(line.before.model) is not step.family
        if gap is not None and (gap < 0 or switched):
            self._append(line, step, [round(item.weight) for item in step.expected], 0)
            self._rewrite(line, step, switched)
            return
        if gap is None:
            self._append(line, step, [round(item.weight) for item in step.expected], 0)
            return
        settled = settle(step.expected, gap)
        if not settled.unlogged:
            ratios = self.ratios[step.family.name] if step.expected else Ratios()
            for item, tokens in zip(step.expected, settled.weights, strict=True):
                ratios.learn(item.block.kind, tokens, item.base)
        self._append(line, step, settled.weights, settled.unlogged)

    def _append(self, line: Line, step: Step, weights: Sequence[int], unlogged: int) -> None:
        place = iter(weights)
        last = step.fresh[-1] if step.fresh else None
        if line.earlier and last is None:
            line.add(note(line.earlier, self.transcript.dialect), None)
        for message in step.new:
            parts = self.weighed.get(id(message))
            if parts is None:
                parts = (with_weights(message, [next(place) for _ in message.blocks]),)
                if unlogged and message is last:
                    parts = self._with_unlogged(parts[0], unlogged)
                    line.inserted.append(line.blocks + len(message.blocks) - 1)
                if line.earlier:
                    parts = (note(line.earlier, self.transcript.dialect), *parts)
                    line.inserted.extend([line.blocks] * len(line.earlier))
                    line.earlier = ()
                self.weighed[id(message)] = parts
            for part in parts:
                line.add(part, message)
            line.blocks += len(message.blocks)
        line.seen += len(step.new)
        if unlogged:
            self.stats["unlogged_blocks"] += 1
            self.stats["unlogged_tokens"] += unlogged
            if last is None:
                line.inserted.append(line.blocks - 1)
                line.add(note((opaque(Role.USER, unlogged, UNLOGGED),), self.transcript.dialect), None)

    def _with_unlogged(self, message: Message, tokens: int) -> tuple[Message, ...]:
        """The text that was not recorded: in the user message itself where the dialect has lists of blocks, else in one of its own."""
        block = opaque(Role.USER, tokens, UNLOGGED)
        if self.transcript.dialect != "anthropic" or message.role is not Role.USER:
            return message, note((block,), self.transcript.dialect)
        content = [{"type": "text", "text": part.wire} if isinstance(part.wire, str) else part.wire for part in message.blocks]
        wire = freeze({**message.wire, "content": [*content, block.wire]})
        return (replace(message, blocks=(*message.blocks, block), wire=wire),)

    def _rewrite(self, line: Line, step: Step, switched: bool) -> None:
        """Begins the line anew with weights that add up to the bill: the client sent another history, or another tokenizer counted it.

        A scaled block counts as other bytes than before, unless all that is old was read, or the difference is a recount.
        """
        assert step.billed is not None  # only a bill can contradict
        read = step.turn.usage.read if step.turn.usage is not None else 0
        fresh = {id(message) for message in step.fresh}
        blocks = [(block, id(origin) in fresh) for message, origin in zip(line.log, line.origins, strict=True) for block in message.blocks]
        old = max((index + 1 for index, (_, new) in enumerate(blocks) if not new), default=0)
        newest = sum(block.tokens for block, _ in blocks[old:])
        missing = line.total - step.billed
        said = not switched and any(message.is_plain_user for message in step.new)
        without = stripped([block for block, _ in blocks[:old]], missing) if said else []
        recount = switched or (not without and missing <= RECOUNT * step.billed)
        if without:
            head, log = [block.tokens for block in line.head], [*without, *(block.tokens for block, _ in blocks[old:])]
        else:
            head, log = rescaled(line.head, [block for block, _ in blocks], old, step.billed, (0 if recount else read, switched))
        same = recount or read >= step.billed - newest - SLACK
        if line.before is not None:
            self.stats["recounts" if same else "rewrites"] += 1
            line.name = f"{step.turn.lineage}~{self.stats['recounts'] + self.stats['rewrites']}"
        line.head = tuple(block.weighed(tokens) for block, tokens in zip(line.head, head, strict=True))
        self._replace_log(line, log, b"" if same else line.name.encode())

    def _replace_log(self, line: Line, weights: Sequence[int], salt: bytes) -> None:
        old, origins, place = line.log, line.origins, iter(weights)
        line.log, line.origins, line.total = [], [], tokens_of(line.head)
        parts_of: dict[int, list[Message]] = {}
        for message, origin in zip(old, origins, strict=True):
            pairs = [(block, next(place)) for block in message.blocks]
            blocks = [
                other_bytes(block, tokens, salt) if salt and tokens != block.tokens else block.weighed(tokens) for block, tokens in pairs
            ]
            line.add(replace(message, blocks=tuple(blocks)), origin)
            if origin is not None:
                parts_of.setdefault(id(origin), []).append(line.log[-1])
        self.weighed.update((key, tuple(value)) for key, value in parts_of.items())

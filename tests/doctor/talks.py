"""Sessions made request by request and billed as a truthful cache with marks would: what was sent before and still lives is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from holdfast.blocks import Message, Prompt, Settings
from holdfast.doctor.diagnose import Diagnosis
from holdfast.doctor.findings import Finding
from holdfast.doctor.transcripts import diagnose_transcript
from holdfast.families import family
from holdfast.pricing import Prices
from holdfast.scale import scale
from holdfast.transcript import Transcript, Turn
from holdfast.usage import Usage
from holdfast.wire import of

OPUS = "claude-opus-4-5-20251101"
START = 1_770_000_000.0
HEAD = 12_000
FEW = 3
TOOK = 1.0
"""Seconds a response takes: a lifetime counts from its end."""
PRICES = Prices.load()


def text(name: str, words: int = 300) -> str:
    """A text that no other name has; a few hundred tokens."""
    return " ".join(f"{name}{number}" for number in range(words // 3))


def message(role: str, words: str) -> Message:
    """A message of one text."""
    return of("anthropic").read_message({"role": role, "content": [{"type": "text", "text": words}]})


def said(name: str, words: int = 300) -> Message:
    """A user's message."""
    return message("user", text(name, words))


def answered(name: str, words: int = 300) -> Message:
    """What the model said."""
    return message("assistant", text(name, words))


def thought(name: str, words: int = 300) -> Message:
    """An answer with the thinking before it."""
    content = [{"type": "thinking", "thinking": text(f"{name}thought", words), "signature": "s"}, {"type": "text", "text": text(name, 30)}]
    return of("anthropic").read_message({"role": "assistant", "content": content})


def result(name: str, content: object = "") -> Message:
    """A tool's result."""
    block = {"type": "tool_result", "tool_use_id": name, "content": content or text(name)}
    return of("anthropic").read_message({"role": "user", "content": [block]})


def called(name: str) -> Message:
    """A tool call."""
    return of("anthropic").read_message({"role": "assistant", "content": [{"type": "tool_use", "id": name, "name": "Look", "input": {}}]})


def weight(messages: Sequence[Message], model: str = OPUS) -> int:
    """What messages are billed."""
    weigh = scale(family(model).name).estimate
    return sum(weigh(block) for message in messages for block in message.blocks)


@dataclass
class Talk:
    """One client's requests. ``hour``: it writes for an hour; ``step`` rounds what an automatic cache reads (0: one with marks)."""

    model: str = OPUS
    hour: bool = False
    step: int = 0
    form: str = "claude-code"
    now: float = START
    turns: list[Turn] = field(default_factory=list)
    _entries: dict[tuple[str, ...], list[float]] = field(default_factory=dict)

    @property
    def lifetime(self) -> float:
        """Seconds that an unused entry lives."""
        return 3600.0 if self.hour else 300.0

    def send(
        self,
        messages: Sequence[Message],
        pause: float = 20.0,
        line: str = "main",
        signs: tuple[str, ...] = (),
        read: int | None = None,
        total: int = 0,
        model: str = "",
    ) -> Usage:
        """One request ``pause`` seconds after the one before, billed truthfully or with the ``read`` and ``total`` given."""
        self.now += pause
        model = model or self.model
        total = total or HEAD + weight(messages, model)
        found = min(self._found(messages, model, line) if read is None else read, total)
        fresh = FEW if total - found > FEW and not self.step else 0 if not self.step else total - found
        rest = total - found - fresh
        usage = Usage(fresh, found, 0 if self.hour else rest, rest if self.hour else 0, output=50)
        self._write(messages, model, line, found + rest)
        self._record(messages, line, signs, model, usage)
        return usage

    def unbilled(self, messages: Sequence[Message], pause: float = 20.0, line: str = "main") -> None:
        """A request that was broken off: nothing of it was billed."""
        self.now += pause
        self._record(messages, line, (), self.model, None)

    def _record(self, messages: Sequence[Message], line: str, signs: tuple[str, ...], model: str, usage: Usage | None) -> None:
        prompt = Prompt(Settings(model=model), (), tuple(messages))
        name = f"msg_{len(self.turns)}"
        self.turns.append(Turn(line, prompt, self.now, self.now + TOOK, None, usage, request=name, signs=("client 2.1.60", *signs)))

    def _found(self, messages: Sequence[Message], model: str, line: str) -> int:
        """The longest prefix still alive; what is read lives on, and every shorter one of it."""
        alive = [key for key in _prefixes(messages, model, line) if key in self._entries and self.now < self._entries[key][1]]
        for key in alive:
            self._entries[key][1] = self.now + TOOK + self.lifetime
        most = round(self._entries[alive[-1]][0]) if alive else 0
        return most if not self.step else most // self.step * self.step

    def _write(self, messages: Sequence[Message], model: str, line: str, held: int) -> None:
        keys = _prefixes(messages, model, line)
        self._entries[keys[0]] = [HEAD, self.now + TOOK + self.lifetime]
        self._entries[keys[-1]] = [held, self.now + TOOK + self.lifetime]

    def transcript(self) -> Transcript:
        """What the client would have recorded."""
        return Transcript("made.jsonl", self.form, "anthropic", tuple(self.turns))

    def diagnosis(self) -> Diagnosis:
        """What the doctor says of it."""
        return diagnose_transcript(self.transcript(), PRICES)

    def findings(self) -> tuple[Finding, ...]:
        """Its findings."""
        return self.diagnosis().findings


def _prefixes(messages: Sequence[Message], model: str, line: str) -> list[tuple[str, ...]]:
    prints = [str(block.fingerprint) for message in messages for block in message.blocks]
    agent = line.split("/")[0]
    return [(model, agent), *((model, agent, *prints[:end]) for end in range(1, len(prints) + 1))]


def conversation(turns: int, name: str = "m", words: int = 300) -> list[Message]:
    """The first prompt of ``turns`` rounds: a user's words and answers in turn, the user's last."""
    log = [said(f"{name}u0", words)]
    for number in range(1, turns):
        log += [answered(f"{name}a{number}", words), said(f"{name}u{number}", words)]
    return log

"""A lineage as weighing rebuilds it: its log, what is put in for what was not recorded, its prompts."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b

from holdfast.blocks import Block, Mark, Message, Prompt, Role, Window, opaque
from holdfast.frozen import Json, freeze
from holdfast.transcript import Dialect, Turn


@dataclass(slots=True)
class Line:
    """One lineage as it is rebuilt.

    ``log`` is weighed; ``origins`` are the recorded messages its entries stand for or were put in for (``None``: neither). ``seen``
    recorded messages and ``blocks`` recorded blocks stand in it; ``inserted`` are the recorded positions before which a block was put
    in. ``earlier`` is conversation before the first recorded message that still has to be put in.
    """

    name: str
    head: tuple[Block, ...] = ()
    log: list[Message] = field(default_factory=list)
    origins: list[Message | None] = field(default_factory=list)
    total: int = 0
    seen: int = 0
    blocks: int = 0
    inserted: list[int] = field(default_factory=list)
    before: Turn | None = None
    earlier: tuple[Block, ...] = ()

    def add(self, message: Message, origin: Message | None) -> None:
        """One more weighed message at the end."""
        self.log.append(message)
        self.origins.append(origin)
        self.total += message.tokens


def tokens_of(blocks: Sequence[Block]) -> int:
    """The tokens of some blocks."""
    return sum(block.tokens for block in blocks)


def with_weights(message: Message, weights: Sequence[int]) -> Message:
    """The message with a weight for each of its blocks."""
    return replace(message, blocks=tuple(block.weighed(tokens) for block, tokens in zip(message.blocks, weights, strict=True)))


def unrecorded(role: Role, tokens: int, read: int, label: str) -> tuple[Block, ...]:
    """What was not recorded; in two blocks where a part of it was read, so that the prefix that was warm ends at a block's end."""
    parts = (read, tokens - read) if 0 < read < tokens else (tokens,) if tokens > 0 else ()
    return tuple(opaque(role, part, label) for part in parts)


def note(blocks: tuple[Block, ...], dialect: Dialect) -> Message:
    """A user message of blocks that were not recorded, as the dialect writes one."""
    wire: Json = {"role": "user", "content": [block.wire for block in blocks]}
    if dialect == "openai-responses":
        wire = {"type": "message", "role": "user", "content": [{**block.wire, "type": "input_text"} for block in blocks]}
    return Message(Role.USER, blocks, freeze(wire))


def other_bytes(block: Block, tokens: int, salt: bytes) -> Block:
    """The block under another fingerprint: what was sent in its place is not known, only that it was not the same."""
    return replace(block, tokens=tokens, fingerprint=blake2b(block.fingerprint + salt, digest_size=16).digest())


def prompt_of(line: Line, prompt: Prompt) -> Prompt:
    """The prompt that the line holds now. The marks stand where they stood: on the head's or a message's end also if that moved."""
    added = len(line.head) - len(prompt.head)
    marks = tuple(
        Mark(mark.position + (added if mark.position >= len(prompt.head) - 1 else 0) + bisect_right(line.inserted, mark.position), mark.ttl)
        for mark in prompt.marks
    )
    return Prompt(prompt.settings, line.head, Window(line.log), marks)

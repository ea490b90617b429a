"""Between a provider's JSON and blocks, both ways: one module a dialect, pure functions of values.

Each module has the same functions, gathered in a ``Wire`` value (``wire.of(dialect)``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module

from holdfast.blocks import Block, Kind, Mark, Message, Prompt, Settings
from holdfast.frozen import Json
from holdfast.transcript import Dialect


def _no_leading(body: Mapping[str, Json]) -> int:
    return 0


def _takes_mark(block: Block) -> bool:
    deferred = isinstance(block.wire, dict) and block.wire.get("defer_loading")
    return block.kind is not Kind.THINKING and not deferred and (block.kind is not Kind.TEXT or bool(block.text.strip()))


def _is_bare(block: Block) -> bool:
    return isinstance(block.wire, str)


def _listed(raw: Json) -> Json:
    content = raw.get("content")
    return {**raw, "content": [{"type": "text", "text": content}]} if isinstance(content, str) else raw


@dataclass(frozen=True, slots=True)
class Wire:
    """How one dialect writes things.

    ``read_head(body)`` gives the tool and system blocks, ``read_message(raw)`` one message without its
    marks, ``read_settings(body)`` the cache key's settings, ``read_marks(body)`` where the caller's marks
    stand. ``messages_key`` is the body's key for the history. ``write_message(message, marks)`` is the JSON of one
    message with marks behind the given block ordinals (its own ``wire``, the same object, where it is unedited and
    unmarked); ``write_head(body, head, marks)`` gives the body's keys that change when marks stand on head blocks.
    ``cleared(block, text)`` is the block with its content replaced by a placeholder, ``note(text)`` a user message.
    ``leading(body)`` is how many of the first items under ``messages_key`` belong to the head (OpenAI's system and developer
    messages): ``read_head`` reads them, ``write_head`` gives them back as a list under ``messages_key``, and ``history`` leaves them out.
    ``takes_mark(block)`` says whether the provider lets a mark stand on a block, ``is_bare(block)`` whether it is a bare string that
    becomes a list of one part where a mark stands on it, ``listed(raw)`` is a message's JSON in that form (the same where it has no
    such string).
    """

    dialect: Dialect
    messages_key: str
    read_head: Callable[[Mapping[str, Json]], tuple[Block, ...]]
    read_message: Callable[[Mapping[str, Json]], Message]
    read_settings: Callable[[Mapping[str, Json]], Settings]
    read_marks: Callable[[Mapping[str, Json]], tuple[Mark, ...]]
    write_message: Callable[[Message, Mapping[int, int]], Json]
    write_head: Callable[[Mapping[str, Json], Sequence[Block], Mapping[int, int]], dict[str, Json]]
    cleared: Callable[[Block, str], Block]
    note: Callable[[str], Message]
    leading: Callable[[Mapping[str, Json]], int] = _no_leading
    takes_mark: Callable[[Block], bool] = _takes_mark
    is_bare: Callable[[Block], bool] = _is_bare
    listed: Callable[[Json], Json] = _listed

    def history(self, body: Mapping[str, Json]) -> Sequence[Json]:
        """The raw messages of a body behind its head; a bare string (a Responses ``input``) is one user message."""
        items = body.get(self.messages_key) or ()
        if isinstance(items, str):
            return [{"role": "user", "content": items}]
        leading = self.leading(body)
        return items[leading:] if leading else items

    def read(self, body: Mapping[str, Json]) -> Prompt:
        """A whole request body as a prompt."""
        messages = [self.read_message(raw) for raw in self.history(body)]
        return Prompt(self.read_settings(body), self.read_head(body), messages, self.read_marks(body))

    def write(self, body: Mapping[str, Json], prompt: Prompt, marks: Sequence[Mark] = ()) -> dict[str, Json]:
        """``body`` with the prompt's messages and these marks; every other key as it was."""
        places = {mark.position: mark.ttl for mark in marks}
        out = dict(body)
        out.update(self.write_head(body, prompt.head, {p: t for p, t in places.items() if p < len(prompt.head)}))
        leading = self.leading(body)
        written: list[Json] = list(out[self.messages_key][:leading]) if leading else []
        position = len(prompt.head)
        for message in prompt.messages:
            count = len(message.blocks)
            inside = {p - position: t for p, t in places.items() if position <= p < position + count}
            written.append(self.write_message(message, inside))
            position += count
        if not isinstance(body.get(self.messages_key), str) or written != self.history(body):
            out[self.messages_key] = written
        return out


def of(dialect: Dialect) -> Wire:
    """The wire functions of a dialect; its module is imported at the first use."""
    module = import_module(f"holdfast.wire.{dialect.replace('-', '_')}")
    wire: Wire = module.WIRE
    return wire

"""What several formats write alike: times, money, and a conversation's line of growth while it is being read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from holdfast.blocks import Block, Mark, Message, Prompt, Settings, Window
from holdfast.errors import Unreadable
from holdfast.frozen import Json
from holdfast.transcript import Skipped, Transcript
from holdfast.usage import Usage, from_anthropic, from_deepseek, from_openai

_LATEST_SECONDS = 1e11  # the year 5138; a larger number is milliseconds


def seconds(value: Json) -> float | None:
    """POSIX seconds of an ISO-8601 time (UTC where it names no zone) or of a number of seconds or milliseconds."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return value / 1000 if value > _LATEST_SECONDS else float(value)
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def dollars(value: Json) -> Decimal | None:
    """An amount as its JSON text has it: the shortest decimal that gives this number, which is what writers of JSON write."""
    return Decimal(repr(value)) if isinstance(value, int | float) and not isinstance(value, bool) else None


def usage_of(raw: Json) -> Usage | None:
    """A provider's usage, by the names it uses; ``None`` where it counts nothing."""
    if not isinstance(raw, Mapping):
        return None
    if "prompt_cache_hit_tokens" in raw:
        usage = from_deepseek(raw)
    elif "cache_read_input_tokens" in raw or "cache_creation_input_tokens" in raw:
        usage = from_anthropic(raw)
    else:
        usage = from_openai(raw)
    return usage if usage.prompt or usage.output else None


@dataclass(slots=True)
class Notes:
    """What of a file is not used. Its ``skip`` raises ``Unreadable`` where ``strict``."""

    path: str
    strict: bool = False
    skipped: list[Skipped] = field(default_factory=list)

    def skip(self, line: int, why: str) -> None:
        """Something at this line (or, in a document, at this place among its messages) cannot be used."""
        if self.strict:
            raise Unreadable(self.path, why, line)
        self.skipped.append(Skipped(self.path, line, why))

    def on(self, found: list[Transcript]) -> list[Transcript]:
        """The transcripts of the file, the first with what was skipped. Raises ``Unreadable`` if there are none."""
        if not found:
            raise Unreadable(
                self.path, f"nothing in it can be used: {self.skipped[0].why}" if self.skipped else "there is no conversation in it"
            )
        return [replace(found[0], skipped=tuple(self.skipped)), *found[1:]]


@dataclass(slots=True)
class Lineage:
    """One line of growth: its messages are only ever appended to, and its prompts are windows on them."""

    name: str
    head: tuple[Block, ...] = ()
    log: list[Message] = field(default_factory=list)

    def prompt(self, settings: Settings, stop: int, marks: tuple[Mark, ...] = ()) -> Prompt:
        """The prompt of the first ``stop`` messages."""
        return Prompt(settings, self.head, Window(self.log, stop), marks)

    def fork(self, name: str, stop: int) -> Lineage:
        """Another line of growth that shares the head and the first ``stop`` messages."""
        return Lineage(name, self.head, self.log[:stop])


def text_of(raw: Mapping[str, Any], *names: str) -> str:
    """The first of these fields that holds a text, ``""`` if none does."""
    return next((value for name in names if isinstance(value := raw.get(name), str)), "")


def times(count: int) -> str:
    """How often, in words."""
    return "once" if count == 1 else f"{count} times"

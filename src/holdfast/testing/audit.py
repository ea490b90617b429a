"""An audit of what a fake provider was sent: how much of each prompt the cache gave back, and where it was broken.

Requests are grouped into conversations by what they say, without session ids: a request goes on from the one whose messages it
repeats. So forks and sub-agents are conversations of their own.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from itertools import pairwise
from typing import Protocol, TypeAlias, runtime_checkable

from holdfast.blocks import Block, Prompt, Role, Settings
from holdfast.frozen import Json
from holdfast.prefix import chain_of, shared
from holdfast.testing.fake.values import Asked
from holdfast.transcript import Dialect
from holdfast.usage import Usage
from holdfast.wire import of

SLACK_TOKENS = 2048
"""Caches without marks read in steps of up to so many tokens (OpenAI prompt caching guide, 2026-10): less missing is no break."""

_DIALECTS: Mapping[str, Dialect] = {
    "/v1/messages": "anthropic",
    "/v1/chat/completions": "openai-chat",
    "/v1/responses": "openai-responses",
}
_AROUND = 40


@runtime_checkable
class Provider(Protocol):
    """What holds the requests that were sent: ``holdfast.testing.FakeProvider``."""

    @property
    def requests(self) -> Sequence[Asked]:
        """All requests, in order."""


@dataclass(frozen=True, slots=True)
class Difference:
    """The first block that is not what the request before had there: its path in the body, and the text around the change."""

    place: str
    was: str
    now: str


@dataclass(frozen=True, slots=True)
class Break:
    """A request that read less than the one before it had left in the cache.

    ``request`` counts all of the provider's requests from 1, ``conversation`` from 1. ``tokens`` were cached, and were written or paid in
    full again. ``difference`` is ``None`` where the prompt only grew: then the entry had expired, or no mark was near enough to find it.
    """

    request: int
    conversation: int
    endpoint: str
    tokens: int
    usage: Usage
    difference: Difference | None = None

    def __str__(self) -> str:
        head = f"request {self.request} ({self.endpoint}, conversation {self.conversation})"
        lines = [f"{head}: {self.tokens:,} cached tokens written or paid again; read {self.usage.read:,} of {self.usage.prompt:,}"]
        if self.difference is None:
            lines.append("  no block changed: the entry expired, or no mark was near enough to find it")
        else:
            lines += [f"  first difference: {self.difference.place}", f"    was: {self.difference.was}", f"    now: {self.difference.now}"]
        return "\n".join(lines)


class Turn:
    """One billed request, read once. ``body`` is it with the items of the answer it goes on from.

    ``ids`` is the hash chain of its blocks, ``messages`` a digest of each message.
    """

    def __init__(self, number: int, asked: Asked, usage: Usage, body: Mapping[str, Json]) -> None:
        self.number, self.asked, self.usage, self.body = number, asked, usage, body
        self.dialect = _DIALECTS[asked.endpoint]
        self.prompt: Prompt = of(self.dialect).read(body)
        self.ids = tuple(chain_of(self.prompt).ids)
        self.messages = tuple(_digest(message.blocks) for message in self.prompt.messages)

    @property
    def cached(self) -> int:
        """The tokens that this request left in the cache; of caches that bill no writes, its whole prompt."""
        return self.usage.read + self.usage.written if self.usage.written or self.dialect == "anthropic" else self.usage.prompt


def _digest(blocks: Iterable[Block]) -> bytes:
    return blake2b(b"".join(block.fingerprint for block in blocks), digest_size=16).digest()


def _billed(requests: Sequence[Asked]) -> Iterator[Turn]:
    answered: dict[str, list[Json]] = {}
    for number, asked in enumerate(requests, 1):
        if asked.usage is None or not asked.usage.prompt or asked.status != 200 or asked.endpoint not in _DIALECTS:
            continue
        body = asked.body
        if asked.endpoint == "/v1/responses":
            own = of("openai-responses").history({"input": body.get("input")})
            items = [*answered.get(str(body.get("previous_response_id")), ()), *own]
            answered[str(asked.response.get("id"))] = [*items, *(asked.response.get("output") or ())]
            body = {**body, "input": items} if body.get("previous_response_id") else body
        yield Turn(number, asked, asked.usage, body)


def _leading(one: Sequence[bytes], other: Sequence[bytes]) -> int:
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _continued(turn: Turn, lasts: Sequence[Turn]) -> int | None:
    """Which of the conversations, told by their last requests, this one goes on; ``None`` for a new one.

    The one that shares most leading messages, else most messages anywhere; where none is shared, one whose first message is much like
    this one's. Of a history that parts ways from it, only a longer one goes on: one as long or shorter is a fork, unless what it left
    out was cut from the middle.
    """
    alike = [n for n, last in enumerate(lasts) if last.dialect == turn.dialect]
    if not alike:
        return None
    own = set(turn.messages)
    best = max(alike, key=lambda n: (_leading(turn.messages, lasts[n].messages), len(own & set(lasts[n].messages)), n))
    last = lasts[best].messages
    lead, common = _leading(turn.messages, last), len(own & set(last))
    grown = len(turn.messages) > len(last)
    if not common:
        return next((n for n in reversed(alike) if len(turn.messages) > len(lasts[n].messages) and _same_opening(turn, lasts[n])), None)
    retried = lead == len(last) == len(turn.messages)
    return best if retried or grown or common > lead else None


def _same_opening(one: Turn, other: Turn) -> bool:
    """Whether half of the first messages' text is the same: a date in it changed, say."""
    if not one.messages or not other.messages:
        return False
    texts = ["\n".join(block.text for block in turn.prompt.messages[0].blocks) for turn in (one, other)]
    before = _first(*texts)
    behind = _first(texts[0][before:][::-1], texts[1][before:][::-1])
    return 2 * (before + behind) > max(map(len, texts))


class Audit:
    """The requests that reached a provider, by conversation. Each look counts what has arrived by then.

    ``source`` is a ``FakeProvider`` or a list of its requests. A request that was refused or only counted is left out.
    """

    def __init__(self, source: Provider | Sequence[Asked]) -> None:
        self._source = source

    @property
    def requests(self) -> Sequence[Asked]:
        """All requests, the refused among them."""
        return self._source.requests if isinstance(self._source, Provider) else self._source

    def look(self) -> Look:
        """What is to be said of the requests up to now."""
        return Look(list(self.requests))

    @property
    def conversations(self) -> list[list[Turn]]:
        """The billed requests, grouped."""
        return self.look().conversations

    @property
    def hit_rate(self) -> float:
        """Tokens read of all prompt tokens, 0 to 1, the first request of each conversation left out; 0 where there is no other."""
        return self.look().hit_rate(1)

    @property
    def breaks(self) -> list[Break]:
        """Where less was read than the request before had left in the cache."""
        return self.look().breaks

    def report(self) -> str:
        """A readable account."""
        return self.look().report()


class Look:
    """An audit of a finished list of requests."""

    def __init__(self, requests: Sequence[Asked]) -> None:
        self._requests = requests

    @cached_property
    def conversations(self) -> list[list[Turn]]:
        """The billed requests, grouped, in the order of their first ones."""
        found: list[list[Turn]] = []
        for turn in _billed(self._requests):
            place = _continued(turn, [turns[-1] for turns in found])
            if place is None:
                found.append([turn])
            else:
                found[place].append(turn)
        return found

    @cached_property
    def breaks(self) -> list[Break]:
        """In the order of the requests."""
        found = [
            broken
            for number, turns in enumerate(self.conversations, 1)
            for before, turn in pairwise(turns)
            if (broken := _break(before, turn, number)) is not None
        ]
        return sorted(found, key=lambda broken: broken.request)

    def counted(self, after: int) -> list[Turn]:
        """All turns but the first ``after`` of each conversation."""
        return [turn for turns in self.conversations for turn in turns[after:]]

    def hit_rate(self, after: int) -> float:
        """Tokens read of all prompt tokens of the counted turns; 0 where there are none."""
        turns = self.counted(after)
        whole = sum(turn.usage.prompt for turn in turns)
        return sum(turn.usage.read for turn in turns) / whole if whole else 0.0

    def report(self) -> str:
        """A line a conversation, then the breaks."""
        turns = [turn for conversation in self.conversations for turn in conversation]
        total = sum((turn.usage for turn in turns), Usage())
        lines = [
            f"{_some(len(turns), 'billed request')} of {len(self._requests):,}, {_some(len(self.conversations), 'conversation')}: "
            f"hit rate {self.hit_rate(1):.1%} without the first of each; "
            f"read {total.read:,}, written {total.written:,}, fresh {total.fresh:,}"
        ]
        for number, conversation in enumerate(self.conversations, 1):
            usage = sum((turn.usage for turn in conversation), Usage())
            share = usage.read / usage.prompt if usage.prompt else 0.0
            lines.append(
                f"conversation {number}: {_some(len(conversation), 'request')}, {share:.1%} read, {usage.written:,} tokens written"
            )
        return "\n".join([*lines, *map(str, self.breaks)] if self.breaks else [*lines, "no breaks"])


def _some(count: int, thing: str) -> str:
    return f"{count:,} {thing}{'s' * (count != 1)}"


def _break(before: Turn, turn: Turn, conversation: int) -> Break | None:
    missing = min(before.cached, turn.usage.prompt) - turn.usage.read
    if missing <= 0:
        return None
    found = _difference(before, turn)
    if found is None and (not before.cached or missing <= SLACK_TOKENS):
        return None
    return Break(turn.number, conversation, turn.asked.endpoint, missing, turn.usage, found)


def _difference(before: Turn, turn: Turn) -> Difference | None:
    """Settings first: they come before every block in the cache's key."""
    for name, was, now in _settings(before.prompt.settings, turn.prompt.settings):
        return Difference(name, was, now)
    place = shared(before.ids, turn.ids)
    if place >= len(before.ids):
        return None
    was_block, now_block = _at(before.prompt, place), _at(turn.prompt, place)
    was, now = _around(_text(was_block), _text(now_block))
    return Difference(place_of(turn if now_block is not None else before, place), was, now)


def _settings(before: Settings, now: Settings) -> Iterator[tuple[str, str, str]]:
    for name in ("model", "tool_choice", "thinking", "effort", "speed"):
        if getattr(before, name) != getattr(now, name):
            yield name, str(getattr(before, name)), str(getattr(now, name))
    one, other = dict(before.other), dict(now.other)
    for name in sorted(one.keys() | other.keys()):
        if one.get(name) != other.get(name):
            yield name, str(one.get(name)), str(other.get(name))


def _blocks(prompt: Prompt) -> Iterator[Block]:
    yield from prompt.head
    for message in prompt.messages:
        yield from message.blocks


def _at(prompt: Prompt, position: int) -> Block | None:
    return next((block for place, block in enumerate(_blocks(prompt)) if place == position), None)


def _text(block: Block | None) -> str:
    if block is None:
        return ""
    return block.wire if isinstance(block.wire, str) else json.dumps(block.wire, ensure_ascii=False)


def _around(was: str, now: str) -> tuple[str, str]:
    """Both texts around the first character that differs."""
    place = _first(was, now)
    start = max(0, place - _AROUND)
    return _cut(was, start, place + _AROUND), _cut(now, start, place + _AROUND)


def _first(was: str, now: str) -> int:
    """How many leading characters two texts share."""
    low, high = 0, min(len(was), len(now))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if was[low:middle] == now[low:middle] else (low, middle - 1)
    return low


def _cut(text: str, start: int, stop: int) -> str:
    if not text:
        return "(nothing)"
    return ("…" if start else "") + text[start:stop] + ("…" if stop < len(text) else "")


def place_of(turn: Turn, position: int) -> str:
    """The path of a block in the body: ``tools[3]``, ``system[0]``, ``messages[12].content[0]``."""
    prompt, key, leading = turn.prompt, of(turn.dialect).messages_key, of(turn.dialect).leading(turn.body)
    tools = sum(block.role is Role.TOOLS for block in prompt.head)
    if position < tools:
        return f"tools[{position}]"
    if position < len(prompt.head):
        return _head_place(turn, position - tools)
    position -= len(prompt.head)
    for index, message in enumerate(prompt.messages):
        if position < len(message.blocks):
            return f"{key}[{leading + index}]{_inside(message.wire, position)}"
        position -= len(message.blocks)
    return f"{key}[{leading + len(prompt.messages)}]"


def _inside(raw: Json, position: int) -> str:
    content = raw.get("content") if isinstance(raw, dict) else None
    parts = len(content) if isinstance(content, list) else int(isinstance(content, str) and bool(content))
    calls = raw.get("tool_calls") if isinstance(raw, dict) else None
    if isinstance(calls, list) and position >= parts:
        return f".tool_calls[{position - parts}]"
    return f".content[{position}]" if isinstance(content, list) and raw.get("role") != "tool" else ".content" if parts else ""


def _head_place(turn: Turn, position: int) -> str:
    body = turn.body
    if turn.dialect == "anthropic":
        return f"system[{position}]" if isinstance(body.get("system"), list) else "system"
    if turn.dialect == "openai-responses" and body.get("instructions"):
        if position == 0:
            return "instructions"
        position -= 1
    key = of(turn.dialect).messages_key
    for index, raw in enumerate(body[key]):
        content = raw.get("content")
        count = len(content) if isinstance(content, list) and content else 1
        if position < count:
            return f"{key}[{index}].content" + (f"[{position}]" if isinstance(content, list) else "")
        position -= count
    return key


Audited: TypeAlias = "Audit | Provider | Sequence[Asked]"


def assert_hit_rate(audited: Audited, at_least: float = 0.9, after: int = 1) -> None:
    """Fail unless the cache gave back this share of the prompts.

    ``at_least`` is a share, 0 to 1, of all prompt tokens but those of the first ``after`` requests of each conversation, which have
    nothing to read yet. Without any request behind them there is nothing to assert, and that fails too.

    Raises:
        AssertionError: names the requests that broke the cache, the first block that differs, and the tokens written again.
    """
    look = audited.look() if isinstance(audited, Audit) else Audit(audited).look()
    turns = look.counted(after)
    assert turns, f"no conversation has more than {_some(after, 'billed request')}, so there is no hit rate\n{look.report()}"
    rate = look.hit_rate(after)
    if rate >= at_least:
        return
    read, whole = sum(turn.usage.read for turn in turns), sum(turn.usage.prompt for turn in turns)
    lines = [f"hit rate {rate:.1%} is below {at_least:.1%}: read {read:,} of {whole:,} prompt tokens in {_some(len(turns), 'request')}"]
    lines += [str(broken) for broken in look.breaks] or [_unbroken(turns)]
    raise AssertionError("\n".join(lines))


def _unbroken(turns: Sequence[Turn]) -> str:
    if not any(turn.usage.read or turn.usage.written for turn in turns):
        return "nothing was cached at all: no cache mark is set, or the prompts are shorter than the shortest that can be cached"
    worst = min(turns, key=lambda turn: turn.usage.read / turn.usage.prompt)
    share = f"request {worst.number} read {worst.usage.read:,} of {worst.usage.prompt:,}"
    return f"no block changed; {share}: so large is the part of its prompt that was new"

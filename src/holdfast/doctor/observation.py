"""Observations: requests as the doctor sees them, whatever they were recorded in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from holdfast.blocks import Kind, Mark, Message, Prompt, Role, make_block
from holdfast.doctor.reasons import recorded_reason
from holdfast.exchange import Exchange
from holdfast.frozen import same_form
from holdfast.readers.conversations import form, likely_form
from holdfast.readers.fields import dollars
from holdfast.transcript import Dialect
from holdfast.usage import Usage, from_anthropic, from_deepseek, from_openai
from holdfast.wire import Wire, of

_REMEMBERED = 4
_REASONING = ("reasoning_content", "reasoning", "reasoning_details")


@dataclass(frozen=True, slots=True)
class Observation:
    """One request and what came back.

    ``prompt`` is ``None`` where only the bill was recorded; ``body`` is empty where the bytes were not. ``usage`` is
    ``None`` where nothing was billed or where it does not say how much was read: unknown is not zero. ``at`` and ``ended`` are
    POSIX seconds. ``provider`` is a key of ``caches.cache_for`` or ``""``. ``account`` is whatever isolates caches for the
    caller (account, key, workspace, route), ``""`` where it was not recorded; ``endpoint`` the path that was called. ``agent`` is
    the client's own name and version. ``answer`` is the text of the response, ``response`` its id, by which rows of one
    request are recognised. ``reason`` is the provider's own reason for a miss.
    ``lineage`` names the conversation where the record does. ``charged`` is money really charged, in USD. ``faults`` says what of the
    record cannot be.
    """

    prompt: Prompt | None = None
    usage: Usage | None = None
    body: Mapping[str, Any] = field(default_factory=dict)
    dialect: Dialect = "anthropic"
    at: float | None = None
    ended: float | None = None
    provider: str = ""
    model: str = ""
    account: str = ""
    endpoint: str = ""
    agent: str = ""
    answer: str = ""
    response: str = ""
    reason: str = ""
    lineage: str = ""
    charged: Decimal | None = None
    failed: bool = False
    faults: tuple[str, ...] = ()

    @property
    def marks_known(self) -> bool:
        """Whether it is known where its cache marks stood."""
        return bool(self.body) or bool(self.prompt and self.prompt.marks)

    @property
    def scope(self) -> str:
        """What isolates caches: the account, and whether it is a batch, which does not read what others wrote (anthropics/skills 1601)."""
        return f"{self.account} (batch)" if "batch" in self.endpoint else self.account


@dataclass(slots=True)
class Read:
    """Messages that were read before, by their place: most of a request's are those of the one before, and need no second reading."""

    places: dict[tuple[Dialect, int], list[tuple[Any, Message]]] = field(default_factory=dict)

    def message(self, wire: Wire, place: int, raw: Any) -> Message:
        """The message at a place of the history."""
        known = self.places.setdefault((wire.dialect, place), [])
        for before, same in known[::-1]:
            if same_form(before, raw):
                return same
        message: Message = wire.read_message(raw)
        known.append((raw, message))
        del known[:-_REMEMBERED]
        return message


def observed(exchange: Exchange, read: Read | None = None) -> Observation:
    """An exchange as an observation. A body that no API takes leaves ``prompt`` empty and says so in ``faults``.

    ``read`` is shared by the exchanges of one log, whose bodies repeat each other.
    """
    dialect, prompt, broken = _read(exchange, read or Read())
    usage, faults = _usage(exchange.response.get("usage"), dialect)
    raw_usage = exchange.response.get("usage")
    return Observation(
        prompt=prompt,
        usage=usage,
        body=exchange.body if prompt else {},
        dialect=dialect,
        at=exchange.at,
        ended=exchange.ended,
        provider=exchange.provider,
        model=exchange.model,
        account=exchange.account,
        endpoint=exchange.endpoint,
        agent=str(exchange.headers.get("user-agent", "")),
        answer=_answer(exchange.response),
        response=str(exchange.response.get("id") or ""),
        reason=recorded_reason(exchange.response),
        lineage=exchange.session,
        charged=dollars(raw_usage.get("cost")) if isinstance(raw_usage, Mapping) else None,
        failed=exchange.failed,
        faults=broken + faults,
    )


def _read(exchange: Exchange, read: Read) -> tuple[Dialect, Prompt | None, tuple[str, ...]]:
    """The dialect and the prompt of a body, or what is wrong with it."""
    dialect: Dialect = "anthropic"
    try:
        dialect = _dialect(exchange)
        return dialect, _checked(_prompt(exchange, dialect, read)), ()
    except (AttributeError, TypeError, KeyError) as error:
        return dialect, None, (f"a body that no API takes: {error}",)


def _checked(prompt: Prompt | None) -> Prompt | None:
    """The prompt, its texts and names being texts. Raises ``TypeError`` where one is something else."""
    for block in prompt.blocks if prompt else ():
        if any(value is not None and not isinstance(value, str) for value in (block.text, block.call, block.tool)):
            raise TypeError(f"a {block.kind} block whose text or name is none")
    return prompt


def _dialect(exchange: Exchange) -> Dialect:
    body, response = exchange.body, exchange.response
    if "input" in body or ("output" in response and "messages" not in body):
        return "openai-responses"
    if body.get("messages") is not None and (certain := form(body)):
        return certain
    if "choices" in response:
        return "openai-chat"
    if response.get("type") == "message" or exchange.provider in ("anthropic", "bedrock", "vertex", "foundry"):
        return "anthropic"
    if exchange.provider:
        return "openai-chat"
    return likely_form({"messages": body.get("messages") or (), "model": exchange.model})


def _prompt(exchange: Exchange, dialect: Dialect, read: Read) -> Prompt | None:
    body = exchange.body
    wire = of(dialect)
    if not body.get(wire.messages_key):
        return None
    messages = [read.message(wire, place, raw) for place, raw in enumerate(wire.history(body))]
    settings = wire.read_settings(body if body.get("model") else {**body, "model": exchange.model})
    prompt = Prompt(settings, wire.read_head(body), messages, wire.read_marks(body))
    if dialect == "openai-chat":
        prompt = _with_reasoning(prompt)
    if dialect == "anthropic" and isinstance(body.get("cache_control"), Mapping):
        prompt = _with_automatic_mark(prompt, body["cache_control"])
    return prompt


def _with_automatic_mark(prompt: Prompt, control: Mapping[str, Any]) -> Prompt:
    """A top-level ``cache_control`` is one mark on the last block that may carry one (*Prompt caching*, 2026-08-21)."""
    blocks = list(prompt.blocks)
    place = next((place for place in range(len(blocks) - 1, -1, -1) if blocks[place].kind is not Kind.THINKING), -1)
    if place < 0 or any(mark.position == place for mark in prompt.marks):
        return prompt
    return replace(prompt, marks=(*prompt.marks, Mark(place, 3600 if control.get("ttl") == "1h" else 300)))


def _with_reasoning(prompt: Prompt) -> Prompt:
    """Reasoning that stands beside an answer's content becomes a block of its own: servers render it, so it is part of the prefix."""
    messages: list[Message] = []
    places: list[int] = list(range(len(prompt.head)))
    position = len(prompt.head)
    for message in prompt.messages:
        extra = {key: message.wire[key] for key in _REASONING if isinstance(message.wire, dict) and message.wire.get(key)}
        if extra and message.role is Role.ASSISTANT:
            block = make_block(Kind.THINKING, Role.ASSISTANT, extra, str(next(iter(extra.values()))))
            message = replace(message, blocks=(block, *message.blocks))
            position += 1
        own = len(message.blocks) - bool(extra and message.role is Role.ASSISTANT)
        places.extend(range(position, position + own))
        position += own
        messages.append(message)
    marks = tuple(replace(mark, position=places[mark.position]) for mark in prompt.marks if mark.position < len(places))
    return replace(prompt, messages=messages, marks=marks)


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    if isinstance(value, Mapping):
        return [text for key in ("text", "content", "message") for text in _texts(value.get(key))]
    return []


def _answer(response: Mapping[str, Any]) -> str:
    return "\n".join(_texts([response.get("content"), response.get("choices"), response.get("output")]))


def _whole(raw: Mapping[str, Any], *names: str) -> list[int]:
    return [value for name in names if isinstance(value := raw.get(name), int) and not isinstance(value, bool)]


def _usage(raw: Any, dialect: Dialect) -> tuple[Usage | None, tuple[str, ...]]:
    """The usage where it says how much was read, and what is wrong with it."""
    if not isinstance(raw, Mapping) or not raw:
        return None, ()
    named = (raw.get(key) for key in ("input_tokens_details", "prompt_tokens_details"))
    details: Mapping[str, Any] = next((value for value in named if isinstance(value, Mapping)), {})
    reads = _whole(raw, "cache_read_input_tokens", "prompt_cache_hit_tokens", "cached_input_tokens") + _whole(details, "cached_tokens")
    total = _whole(raw, "input_tokens", "prompt_tokens")
    if any(value < 0 for value in [*reads, *total, *_whole(raw, "cache_creation_input_tokens"), *_whole(details, "cache_write_tokens")]):
        return None, ("usage with a negative count",)
    if not reads:
        return None, ("usage that does not say how much was read",)
    if "prompt_cache_hit_tokens" in raw:
        additive, usage = False, from_deepseek(raw)
    elif "cache_read_input_tokens" in raw or "cache_creation_input_tokens" in raw or dialect == "anthropic":
        additive, usage = True, from_anthropic(raw)
    else:
        additive, usage = False, from_openai(raw)
    written = sum(_whole(details, "cache_write_tokens"))
    if not additive and total and reads and reads[0] + written > total[0]:
        return None, (f"usage that cannot be: {reads[0]} read and {written} written of {total[0]} tokens",)
    return (usage if usage.prompt else None), ()

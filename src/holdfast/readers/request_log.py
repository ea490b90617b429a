"""Request logs: JSON lines, one request to a model each. Holdfast writes this format itself.

A line is an *envelope*::

    {"request": BODY, "response": RESPONSE, "at": TIME, "ended": TIME, "provider": NAME}

``request``
    The body as it was sent to Anthropic's Messages API, OpenAI's Chat Completions or OpenAI's Responses API; or an
    object with the body under ``body`` (as a JSON object or as its text). Required.
``response``
    The response's body, not streamed: its ``usage`` is the bill, its ``id`` names the call, its content is the answer. An
    object with it under ``body`` is taken too. Optional; a response with an ``error`` and no usage was no call.
``at``, ``ended``
    When the request began and when the response was complete: ISO-8601 (UTC where it names no zone) or POSIX seconds. Optional. In
    logs of others ``started`` and ``timestamp`` are taken for ``at``.
``provider``
    ``"anthropic"`` or ``"openai"``, where the body alone does not say. Optional.

or a *bare body* by itself, without answer, bill and time. Several conversations may be interleaved: a request whose messages begin with all
messages of an earlier request, behind the same head, continues its lineage; one that shares only some begins a new lineage with them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from holdfast.blocks import Message, Role
from holdfast.frozen import Json, freeze
from holdfast.readers import lines
from holdfast.readers.conversations import form, likely_form
from holdfast.readers.fields import Notes, dollars, seconds, text_of, usage_of
from holdfast.readers.lineages import Lineages
from holdfast.readers.sample import Sample
from holdfast.transcript import Dialect, Transcript, Turn
from holdfast.usage import Usage, from_anthropic
from holdfast.wire import of

NAME = "request-log"


def _body(raw: Json) -> dict[str, Any] | None:
    """A request body, or ``None``: an object with ``messages`` or ``input``."""
    if isinstance(raw, dict) and isinstance(raw.get("messages"), list):
        return raw
    return raw if isinstance(raw, dict) and "model" in raw and isinstance(raw.get("input"), list | str) else None


def _inner(raw: Json) -> Json:
    """What an envelope's field holds: the object itself, or what stands in it under ``body``."""
    inner = raw["body"] if isinstance(raw, dict) and "body" in raw else raw
    if not isinstance(inner, str):
        return inner
    try:
        return json.loads(inner)
    except ValueError:
        return None


def _is_envelope(raw: Json) -> bool:
    return isinstance(raw, dict) and "request" in raw and _body(_inner(raw["request"])) is not None


def _is_bare(raw: Json) -> bool:
    """A body on its own, and not a conversation that has ended: the last word is not the assistant's."""
    body = _body(raw)
    if body is None or "model" not in body:
        return False
    last = body["messages"][-1] if body.get("messages") else None
    return "input" in body or (isinstance(last, dict) and last.get("role") != "assistant")


def sniff(head: Sample) -> bool:
    """JSON lines most of which are envelopes or bare bodies. A single bare body with messages is taken for a conversation."""
    found = head.objects
    if sum(map(_is_envelope, found)) * 2 > len(found):
        return True
    bare = sum(map(_is_bare, found))
    return bare * 2 > len(found) and (len(found) > 1 or "input" in found[0])


def _dialect(body: Mapping[str, Any], envelope: Mapping[str, Any], response: Json) -> Dialect:
    """By the body, then by the response, then by what the envelope says, then by the model's name."""
    if "messages" not in body:
        return "openai-responses"
    answered = response if isinstance(response, dict) else {}
    if certain := form(body):
        return certain
    if "choices" in answered or envelope.get("provider") == "openai":
        return "openai-chat"
    if answered.get("type") == "message" or envelope.get("provider") == "anthropic":
        return "anthropic"
    return likely_form(body)


def _answer(response: Mapping[str, Any], dialect: Dialect) -> Message | None:
    """The assistant's message of a response; a Responses answer has all its items' blocks."""
    wire = of(dialect)
    if dialect == "anthropic":
        content = response.get("content")
        return wire.read_message({"role": "assistant", "content": content}) if content else None
    if dialect == "openai-chat":
        choices = response.get("choices") or [{}]
        message = choices[0].get("message") if isinstance(choices[0], dict) else None
        return wire.read_message(message) if isinstance(message, dict) else None
    items = [wire.read_message(item) for item in response.get("output") or () if isinstance(item, dict)]
    blocks = tuple(block for item in items for block in item.blocks)
    return Message(Role.ASSISTANT, blocks, freeze([item.wire for item in items])) if blocks else None


def _usage(raw: Json, dialect: Dialect) -> Usage | None:
    if dialect == "anthropic" and isinstance(raw, dict):
        usage = from_anthropic(raw)
        return usage if usage.prompt or usage.output else None
    return usage_of(raw)


def _charged(raw: Json) -> Decimal | None:
    """What OpenRouter charged (openrouter.ai/docs, usage accounting, 2025-11)."""
    return dollars(raw.get("cost")) if isinstance(raw, dict) else None


@dataclass(slots=True)
class _Log:
    """A log while it is being read: the lineages and turns of each dialect."""

    notes: Notes
    lineages: dict[Dialect, Lineages] = field(default_factory=dict)
    turns: dict[Dialect, list[Turn]] = field(default_factory=dict)

    def line(self, number: int, raw: Json) -> None:
        """One line of the file."""
        envelope = raw if _is_envelope(raw) else {"request": raw}
        body, response = _body(_inner(envelope["request"])), _inner(envelope.get("response"))
        if body is None:
            self.notes.skip(number, "neither a request body nor an envelope with one")
            return
        answered = response if isinstance(response, dict) else {}
        if answered.get("error") and not answered.get("usage"):
            self.notes.skip(number, "the request failed")
            return
        try:
            self.request(body, answered, envelope)
        except (AttributeError, TypeError, KeyError) as error:
            self.notes.skip(number, f"a body that no API takes: {error}")

    def request(self, body: Mapping[str, Any], response: Mapping[str, Any], envelope: Mapping[str, Any]) -> None:
        """One request with its response (empty where there is none)."""
        dialect = _dialect(body, envelope, response)
        wire = of(dialect)
        history = wire.history(body)
        if not history:
            raise TypeError("no messages")
        settings = wire.read_settings(body if body.get("model") else {**body, "model": response.get("model")})
        answer, usage = _answer(response, dialect), response.get("usage")
        lineage, stop = self.lineages.setdefault(dialect, Lineages(wire)).place(wire.read_head(body), history)
        turn = Turn(
            lineage=lineage.name,
            prompt=lineage.prompt(settings, stop, wire.read_marks(body)),
            at=seconds(next((envelope[key] for key in ("at", "started", "timestamp") if envelope.get(key) is not None), None)),
            ended=seconds(envelope.get("ended")),
            answer=answer,
            usage=_usage(usage, dialect),
            charged=_charged(usage),
            request=text_of(response, "id"),
        )
        self.turns.setdefault(dialect, []).append(turn)


def _in_order(turns: list[Turn]) -> tuple[Turn, ...]:
    """By their start where all have one; else, and where that would put a lineage's turns out of order, as they stand in the file."""
    if any(turn.at is None for turn in turns):
        return tuple(turns)
    ordered = sorted(turns, key=lambda turn: turn.at or 0.0)
    longest: dict[str, int] = {}
    for turn in ordered:
        if len(turn.prompt.messages) < longest.get(turn.lineage, 0):
            return tuple(turns)
        longest[turn.lineage] = len(turn.prompt.messages)
    return tuple(ordered)


def read(path: Path, *, strict: bool = False) -> list[Transcript]:
    """One transcript for each API in the log. Raises ``Unreadable`` if there is no request, or with ``strict`` for a line that is none."""
    notes = Notes(str(path), strict)
    log = _Log(notes)
    for number, raw in lines.records(path, strict=strict, skipped=notes.skipped):
        log.line(number, raw)
    return notes.on([Transcript(str(path), NAME, dialect, _in_order(turns)) for dialect, turns in log.turns.items()])

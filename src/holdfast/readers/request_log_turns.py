"""Exchanges as transcripts: the calls of each provider and dialect, placed in their lineages and put in order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

from holdfast.blocks import Block, Mark, Message, Role, Settings
from holdfast.exchange import Exchange
from holdfast.frozen import Json, freeze
from holdfast.readers.conversations import form, likely_form
from holdfast.readers.faults import Faults
from holdfast.readers.fields import Lineage, Notes, dollars, text_of
from holdfast.readers.lineages import Lineages
from holdfast.readers.request_log_lines import dialect_of_bill
from holdfast.readers.request_log_rows import together
from holdfast.transcript import Dialect, Transcript, Turn
from holdfast.wire import of

MALFORMED = (AttributeError, TypeError, KeyError, IndexError, ValueError)
"""What reading a body or an answer raises that no API takes or gives."""


def transcripts_of(exchanges: Iterable[Exchange], path: Path, name: str, notes: Notes) -> list[Transcript]:
    """One transcript of format ``name`` for each provider and dialect among the exchanges, which are taken one at a time.

    What is no call goes to ``notes``: failed requests, bodies that no API takes, bills without a body. Where there is nothing but such
    bills, the one transcript has no turns. The first transcript says what holds for the file. Empty if there is nothing at all.
    """
    log = _Log(notes)
    for exchange in exchanges:
        log.add(exchange)
    parts = [part for part in log.parts.values() if part.calls]
    said = tuple(log.notes_on(parts))
    found = []
    for part in parts:
        turns, notes_on_part = part.turns()
        found.append(Transcript(str(path), name, part.dialect, turns, part.session, notes=notes_on_part))
    if not found and log.first_bill is not None:
        found.append(Transcript(str(path), name, dialect_of_bill(log.first_bill), (), log.first_bill.session))
    return [replace(each, notes=(*said, *each.notes)) if each is found[0] else each for each in found]


def dialect_of(exchange: Exchange) -> Dialect:
    """By the body, then by the response, then by what was called or by the provider, then by the model's name."""
    body, response = exchange.body, exchange.response
    if "messages" not in body:
        return "openai-responses"
    if certain := form(body):
        return certain
    if "choices" in response or exchange.provider == "openai" or "chat/completions" in exchange.endpoint:
        return "openai-chat"
    if response.get("type") == "message" or exchange.provider == "anthropic" or exchange.endpoint.endswith("/messages"):
        return "anthropic"
    return likely_form(body)


@dataclass(slots=True)
class _Log:
    """A log while it is being read."""

    notes: Notes
    parts: dict[tuple[Dialect, str], _Part] = field(default_factory=dict)
    bills: int = 0
    first_bill: Exchange | None = None

    def add(self, exchange: Exchange) -> None:
        """One exchange more: a call, or something to be named."""
        billed = exchange.response.get("usage") is not None
        if exchange.failed and not billed:
            self.notes.skip(exchange.line, "the request failed")
        elif exchange.body:
            self.call(exchange)
        elif billed:
            self.bills += 1
            self.first_bill = self.first_bill or exchange
            self.notes.skip(exchange.line, "usage without a body")
        else:
            self.notes.skip(exchange.line, "neither a request body nor an envelope with one")

    def call(self, exchange: Exchange) -> None:
        """One call."""
        try:
            dialect = dialect_of(exchange)
            key = dialect, exchange.provider
            if key not in self.parts:
                self.parts[key] = _Part(dialect, exchange.provider, Lineages(of(dialect)))
            self.parts[key].add(exchange)
        except MALFORMED as error:
            self.notes.skip(exchange.line, f"a body that no API takes: {error}")

    def notes_on(self, parts: Sequence[_Part]) -> Iterator[str]:
        """What holds for the file as a whole."""
        if len(parts) > 1:
            each = ", ".join(f"{part.provider or 'unknown'} as {part.dialect} {len(part.calls)}" for part in parts)
            yield f"Several providers or dialects in one file, each a transcript of its own: {each}."
        if self.bills:
            yield f"Usage without a request's body, which is no turn: {self.bills} of them."


@dataclass(slots=True)
class _Call:
    """One request as placed, and what is known of its response."""

    line: int
    lineage: Lineage
    stop: int
    head: tuple[Block, ...]
    settings: Settings
    marks: tuple[Mark, ...]
    response: Mapping[str, Any]
    at: float | None
    ended: float | None
    session: str

    def again(self, row: Exchange) -> None:
        """Another row of the same response."""
        self.response = together(self.response, row.response)
        self.at = min((at for at in (self.at, row.at) if at is not None), default=None)
        self.ended = max((ended for ended in (self.ended, row.ended) if ended is not None), default=None)


@dataclass(slots=True)
class _Part:
    """The calls of one provider in one dialect, in the order of the file."""

    dialect: Dialect
    provider: str
    lineages: Lineages
    calls: list[_Call] = field(default_factory=list)
    by_id: dict[str, list[_Call]] = field(default_factory=dict)
    rows: int = 0
    unlike: int = 0
    faults: Faults = field(default_factory=Faults)

    def add(self, exchange: Exchange) -> None:
        """One call more, or one more row of a call. Raises one of ``MALFORMED``, and then nothing has changed."""
        wire, body, response = self.lineages.wire, exchange.body, exchange.response
        history = wire.history(body)
        if not history:
            raise TypeError("no messages")
        head = wire.read_head(body)
        settings = wire.read_settings(body if body.get("model") else {**body, "model": response.get("model")})
        marks, name = wire.read_marks(body), text_of(response, "id")
        known = self.by_id.get(name, []) if name else []
        if same := next((call for call in known if call.head == head and self.is_same(call, history)), None):
            same.again(exchange)
        else:
            lineage, stop = self.lineages.place(head, history)
            times = exchange.at, exchange.ended
            call = _Call(exchange.line, lineage, stop, head, settings, marks, response, *times, exchange.session)
            self.unlike += bool(known)
            self.calls.append(call)
            self.by_id.setdefault(name, []).append(call)
        self.rows += 1

    def is_same(self, call: _Call, history: Sequence[Json]) -> bool:
        """Whether a call was made with these messages."""
        return call.stop == len(history) == self.lineages.shared(call.lineage.log[: call.stop], history)

    @property
    def session(self) -> str:
        """The session's name, where the log names just one."""
        named = {call.session for call in self.calls}
        return named.pop() if len(named) == 1 else ""

    def turns(self) -> tuple[tuple[Turn, ...], tuple[str, ...]]:
        """The turns in order, and what is to be said of them."""
        self.sort()
        found = tuple(map(self.turn, self.calls))
        return found, (*self.faults.notes(), *self.notes())

    def sort(self) -> None:
        """By the start, where all have one, the lineages found anew in that order.

        Not where that tears lineages apart that the file's order has whole: then the clock is wrong, and the file is right.
        """
        starts = [call.at for call in self.calls if call.at is not None]
        if len(starts) < len(self.calls) or all(one <= other for one, other in pairwise(starts)):
            return
        ordered = sorted(self.calls, key=lambda call: (call.at or 0.0, call.stop))
        again = Lineages(self.lineages.wire)
        placed = [again.place(call.head, [message.wire for message in call.lineage.log[: call.stop]])[0] for call in ordered]
        if again.count > self.lineages.count:
            return
        for call, lineage in zip(ordered, placed, strict=True):
            call.lineage = lineage
        self.lineages, self.calls = again, ordered

    def turn(self, call: _Call) -> Turn:
        """A call as a turn."""
        raw = call.response.get("usage")
        return Turn(
            lineage=call.lineage.name,
            prompt=call.lineage.prompt(call.settings, call.stop, call.marks),
            at=call.at,
            ended=call.ended,
            answer=self.answer(call.response),
            usage=self.faults.billed(raw, f"L{call.line}", self.dialect),
            charged=_charged(raw),
            request=text_of(call.response, "id"),
        )

    def answer(self, response: Mapping[str, Any]) -> Message | None:
        """The assistant's message of a response; a Responses answer has all its items' blocks. ``None`` where it cannot be read."""
        try:
            return _answer(response, self.dialect)
        except MALFORMED:
            return None

    def notes(self) -> Iterator[str]:
        """What was found out about the log, and what it does not say."""
        if self.rows > len(self.calls):
            yield f"{self.rows} rows are {len(self.calls)} requests: rows of one response are counted once."
        if self.unlike:
            yield f"Requests that have the response id of an unlike one, counted apart: {self.unlike}."
        yield from self._conversations()
        answered = [call for call in self.calls if call.response]
        if count := sum(call.response.get("usage") is None for call in self.calls):
            yield f"The bill is not recorded for {count} of {len(self.calls)} requests: they have no usage."
        if count := sum(call.at is not None and call.ended is None for call in answered):
            yield f"The end is not recorded for {count} of {len(answered)} responses."

    def _conversations(self) -> Iterator[str]:
        named = all(call.session for call in self.calls)
        of_lineage: Mapping[str, object] = {} if named else self.lineages.conversations()
        order = [call.session if named else of_lineage[call.lineage.name] for call in self.calls]
        count = len(set(order))
        if count > 1:
            runs = 1 + sum(one != other for one, other in pairwise(order))
            told = "by their names" if named else "by how they begin"
            yield f"{count} conversations in one log{', interleaved' if runs > count else ''}, told apart {told}."


def _answer(response: Mapping[str, Any], dialect: Dialect) -> Message | None:
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


def _charged(raw: Json) -> Decimal | None:
    """What OpenRouter charged (openrouter.ai/docs, usage accounting, 2025-11)."""
    return dollars(raw.get("cost")) if isinstance(raw, dict) else None

"""Request logs: JSON lines, one request to a model each. Holdfast writes this format itself.

A line is an *envelope*::

    {"request": BODY, "response": RESPONSE, "at": TIME, "ended": TIME, "provider": NAME}

``request``
    The body as it was sent to Anthropic's Messages API, OpenAI's Chat Completions or OpenAI's Responses API; or an
    object with the body under ``body`` (as a JSON object or as its text), beside its ``url`` and ``headers``. Required.
``response``
    The response's body, not streamed: its ``usage`` is the bill, its ``id`` names the call, its content is the answer. An
    object with it under ``body`` is taken too. Optional; a response with an ``error`` and no usage was no call. A ``usage`` beside it is
    taken where it has none.
``at``, ``ended``
    When the request began and when the response was complete: ISO-8601 (UTC where it names no zone) or POSIX seconds. Optional. In
    logs of others ``started`` and ``timestamp`` are taken for ``at``.
``provider``
    ``"anthropic"``, ``"openai"`` or another whose cache served it, where body, host and model do not say. Optional.
``account``, ``organization``, ``org``, ``workspace``, ``project``, ``key``, ``route``
    On whose account or by which route the request ran, each optional, with ``_id`` behind it or without. Keys that may be secret
    are kept as a fingerprint. The providers' headers for them are taken from ``headers`` of request or response and from
    ``response_headers``.
``session``
    The conversation's name (also ``session_id``, ``conversation``, ``conversation_id``, ``thread_id``). Optional.
``status``
    The HTTP status (also ``status_code``, and under ``response``). Optional; 400 and above without usage was no call.

or a *bare body* by itself, without answer, bill and time; or a *bill* without a body: an object with a ``usage``, its own or its
response's, which is an exchange and no turn.

Several conversations may be interleaved: a request whose messages begin with all messages of an earlier request, behind the same head,
continues its lineage; one that shares only some begins a new lineage with them. Rows with the same response id and the same request are
one call: a streamed response is often logged piece by piece. The order of the lines is free where every request has its time.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from holdfast.exchange import Exchange
from holdfast.readers import lines
from holdfast.readers.fields import Notes
from holdfast.readers.request_log_lines import exchange_of, is_bare, is_bill, is_envelope
from holdfast.readers.request_log_rows import once
from holdfast.readers.request_log_turns import dialect_of, transcripts_of
from holdfast.readers.sample import Sample
from holdfast.transcript import Skipped, Transcript

__all__ = ["NAME", "dialect_of", "exchanges", "logged", "read", "sniff", "transcripts_of"]

NAME = "request-log"


def sniff(head: Sample) -> bool:
    """JSON lines most of which are envelopes, bills or bare bodies. A single bare body with messages is taken for a conversation."""
    found = head.objects
    if sum(is_envelope(raw) or is_bill(raw) for raw in found) * 2 > len(found):
        return True
    logged = sum(is_envelope(raw) or is_bill(raw) or is_bare(raw) for raw in found)
    return logged * 2 > len(found) and (len(found) > 1 or "input" in found[0])


def _exchanges(path: Path, notes: Notes) -> Iterator[Exchange]:
    for number, raw in lines.records(path, strict=notes.strict, skipped=notes.skipped):
        exchange = exchange_of(raw, number)
        if exchange is None:
            notes.skip(number, "neither a request body nor an envelope with one")
        else:
            yield exchange


def exchanges(path: Path, *, strict: bool = False) -> list[Exchange]:
    """Every line of the log as an exchange, in the order of the file: failed ones and bills without a body too.

    Rows of one response are put together. Lines that are none are left out; with ``strict`` the first raises ``Unreadable``.
    """
    return logged(path, strict=strict)[0]


def logged(path: Path, *, strict: bool = False) -> tuple[list[Exchange], tuple[Skipped, ...]]:
    """The exchanges, and the lines that are none with the reason."""
    notes = Notes(str(path), strict)
    return once(_exchanges(path, notes)), tuple(notes.skipped)


def read(path: Path, *, strict: bool = False) -> list[Transcript]:
    """One transcript for each provider and dialect in the log, without turns where it has only bills.

    Raises ``Unreadable`` if there is neither, or with ``strict`` for a line that is no call.
    """
    notes = Notes(str(path), strict)
    return notes.on(transcripts_of(_exchanges(path, notes), path, NAME, notes))

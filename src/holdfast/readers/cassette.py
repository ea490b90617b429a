"""HTTP cassettes: what test suites recorded of real calls, as VCR and its kin write it (YAML or JSON, see ``cassette_http``).

Of each call to a model: the request's body, the response's (a streamed one put together), the status, and the time, from the response's
``date`` header or, failing that, what the response says of its own creation. Of a recorded websocket session (``cassette_realtime``) the
same, without times. A recording of other traffic holds no exchange. Only harmless headers are kept: no key, no cookie, nothing that is
not in the list below.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from holdfast.exchange import Exchange
from holdfast.readers import cassette_realtime, request_log
from holdfast.readers.cassette_http import KEYS, TOP, Recorded, interactions, load, moment, raw_interactions
from holdfast.readers.cassette_providers import calls_a_model, model_in, provider_of
from holdfast.readers.fields import Notes
from holdfast.readers.sample import Sample
from holdfast.transcript import Skipped, Transcript

NAME = "cassette"

_KEPT = frozenset({"accept", "content-type", "user-agent", "anthropic-version", "anthropic-beta", "openai-beta", "retry-after"})
_OTHER_FORMS = ("/converse", "/converse-stream", "v2/chat", "/compact", "realtime")
_ACCOUNTS = ("anthropic-organization-id", "openai-organization", "openai-project")


def sniff(head: Sample) -> bool:
    """A YAML or JSON document with a list of interactions."""
    if isinstance(head.document, dict):
        return any(isinstance(head.document.get(key), list) for key in KEYS)
    return not head.records and bool(TOP.search(head.first))


def exchanges(path: Path) -> list[Exchange]:
    """The calls to a model in a cassette, in the order in which they were recorded; ``line`` is the interaction's place, from 1.

    Where the model stands in the address (Bedrock, Gemini), it is set as the body's ``model``. Raises ``Unreadable`` if the file is no
    recording. What is no call to a model is left out: see ``passed_over``.
    """
    return [exchange for exchange in _found(path) if isinstance(exchange, Exchange)]


def passed_over(path: Path) -> list[str]:
    """A sentence for each interaction that is no call to a model. Raises ``Unreadable`` as ``exchanges`` does."""
    return [why for why in _found(path) if isinstance(why, str)]


def _found(path: Path) -> list[Exchange | str]:
    document = load(path)
    raw = raw_interactions(document)
    if any(map(cassette_realtime.is_message, raw)):
        return [*cassette_realtime.exchanges(raw)]
    return [*map(_exchange, interactions(document))]


def _exchange(found: Recorded | str) -> Exchange | str:
    if isinstance(found, str):
        return found
    if found.method != "POST" or not calls_a_model(found.url):
        return f"interaction {found.index}: {found.method} {found.url.split('?')[0]} asks no model"
    if not found.request:
        return f"interaction {found.index}: the request's body was not recorded"
    body = found.request
    if not body.get("model") and (model := model_in(found.url)):
        body = {**body, "model": model}
    begun, ended = _times(found)
    return Exchange(
        body=body,
        response=found.response,
        at=begun,
        ended=ended,
        provider=provider_of(found.url, body, found.response),
        endpoint=found.url.split("?")[0].split("://", 1)[-1].partition("/")[2],
        account=next((name for key in _ACCOUNTS if (name := found.received.get(key) or found.sent.get(key))), ""),
        status=found.status,
        line=found.index + 1,
        headers={key: value for key, value in found.sent.items() if key in _KEPT or key.startswith("x-stainless-")},
    )


def _times(found: Recorded) -> tuple[float | None, float | None]:
    """When the request began and its response ended. A ``date`` header is written when the response begins, to the second."""
    raw: Mapping[str, Any] = found.response
    created = next((moment(raw[key]) for key in ("created_at", "created", "createTime") if raw.get(key)), None)
    header = moment(found.received["date"]) if "date" in found.received else found.recorded_at
    begun = header if created is None else created if header is None else min(created, header)
    return begun, moment(raw.get("completed_at"))


def read(path: Path, *, strict: bool = False) -> list[Transcript]:
    """One transcript for each provider and API in the cassette that Holdfast can rewrite.

    Raises ``Unreadable`` if there is none, or with ``strict`` for a call in another form.
    """
    notes = Notes(str(path), strict)
    return notes.on(request_log.transcripts_of(_rewritable_calls(path, notes), path, NAME, notes))


def _rewritable_calls(path: Path, notes: Notes) -> Iterator[Exchange]:
    """The calls in one of the three dialects; of other traffic and of calls in other forms it is noted that they are left out."""
    for number, found in enumerate(_found(path), 1):
        if isinstance(found, str):
            notes.skipped.append(Skipped(str(path), number, found))
        elif _rewritable(found):
            yield found
        else:
            notes.skip(found.line, f"a call in a form that Holdfast does not write: {found.endpoint}")


def _rewritable(exchange: Exchange) -> bool:
    """Whether a call is in one of the three dialects: Bedrock Converse, Gemini, Cohere and compaction calls are not."""
    if exchange.endpoint.endswith(_OTHER_FORMS):
        return False
    return isinstance(exchange.body.get("messages"), list) or isinstance(exchange.body.get("input"), list | str)

"""mini-swe-agent trajectories (formats ``mini-swe-agent-1`` of version 1 and ``-1.1`` of version 2): one JSON document a run.

Every request is in the file verbatim: a message as it was sent is the recorded one without ``extra``, which holds the response. In
version 2 the model is offered one tool whose definition is not recorded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path

from holdfast.blocks import Message, Role
from holdfast.errors import Unreadable
from holdfast.frozen import Json
from holdfast.readers import lines
from holdfast.readers.faults import Faults
from holdfast.readers.fields import Lineage, Notes, dollars, seconds
from holdfast.readers.sample import Sample
from holdfast.transcript import Transcript, Turn
from holdfast.wire import of

NAME = "mini-swe-agent"
_ROLES = ("system", "user", "assistant", "tool")


def sniff(head: Sample) -> bool:
    """One JSON object that names its trajectory format."""
    document = head.document
    return isinstance(document, dict) and str(document.get("trajectory_format", "")).startswith(NAME) and "messages" in document


def _charged(usage: Json) -> Decimal | None:
    """What OpenRouter charged (openrouter.ai/docs, usage accounting, 2025-11). The ``cost`` beside a response is litellm's price table."""
    return dollars(usage.get("cost")) if isinstance(usage, Mapping) else None


def _extra(raw: Mapping[str, Json]) -> Mapping[str, Json]:
    extra = raw.get("extra")
    return extra if isinstance(extra, Mapping) else {}


def _times(created: float | None, ready: float | None, ended: float | None) -> tuple[float | None, float | None]:
    """Start and end of a call. ``created`` is the provider's, in whole seconds; version 2 also has the times, to the microsecond, at
    which the last tool result was ``ready`` and at which the response was there.
    """
    if created is None:
        return ready, ended
    at = created if ready is None or ready - created > 1 else max(created, ready)
    return at, None if ended is None else max(at, ended)


def _turn(lineage: Lineage, raw: Mapping[str, Json], answer: Message, model: str, ready: float | None, faults: Faults) -> Turn:
    extra = _extra(raw)
    response = extra.get("response")
    response = response if isinstance(response, Mapping) else {}
    settings = of("openai-chat").read_settings({"model": response.get("model") or model})
    at, ended = _times(seconds(response.get("created")), ready, seconds(extra.get("timestamp")))
    return Turn(
        lineage=lineage.name,
        prompt=lineage.prompt(settings, len(lineage.log)),
        at=at,
        ended=ended,
        answer=answer,
        usage=faults.billed(response.get("usage"), str(response.get("id") or ""), "openai-chat"),
        charged=_charged(response.get("usage")),
        request=str(response.get("id") or ""),
    )


def _model(document: Mapping[str, Json]) -> str:
    """The model the run was set up with, for responses that do not name theirs."""
    found: Json = document
    for key in ("info", "config", "model", "model_name"):
        found = found.get(key) if isinstance(found, Mapping) else None
    return found if isinstance(found, str) else ""


def _messages(document: Json, notes: Notes) -> list[Mapping[str, Json]]:
    """The messages of the conversation; ``exit`` only says how the run ended."""
    raws = document.get("messages") if isinstance(document, Mapping) else None
    if not isinstance(raws, list):
        raise Unreadable(notes.path, "not a trajectory: there is no list of messages")
    found: list[Mapping[str, Json]] = []
    for place, raw in enumerate(raws, 1):
        role = raw.get("role") if isinstance(raw, Mapping) else None
        if role in _ROLES:
            found.append(raw)
        elif role != "exit":
            notes.skip(place, "a message without a known role")
    return found


def _turns(messages: Sequence[Mapping[str, Json]], model: str, faults: Faults) -> list[Turn]:
    wire = of("openai-chat")
    sent = [{key: value for key, value in raw.items() if key != "extra"} for raw in messages]
    body = {"messages": sent}
    lineage = Lineage("main", wire.read_head(body))
    turns: list[Turn] = []
    leading = wire.leading(body)
    ready: float | None = None
    for raw, plain in zip(messages[leading:], sent[leading:], strict=True):
        message = wire.read_message(plain)
        if message.role is Role.ASSISTANT and lineage.log:
            turns.append(_turn(lineage, raw, message, model, ready, faults))
        ready = seconds(_extra(raw).get("timestamp"))
        lineage.log.append(message)
    return turns


def read(path: Path, *, strict: bool = False) -> list[Transcript]:
    """The run as one transcript of one lineage. Raises ``Unreadable`` if it is no trajectory, or with ``strict`` for a bad message."""
    document = lines.document(path)
    notes = Notes(str(path), strict)
    messages = _messages(document, notes)
    faults = Faults()
    turns = _turns(messages, _model(document), faults)
    calls_tools = any(raw.get("tool_calls") for raw in messages)
    return [
        Transcript(
            path=str(path),
            format=NAME,
            dialect="openai-chat",
            turns=tuple(turns),
            session=str(document.get("instance_id") or ""),
            head_recorded=not calls_tools,
            notes=(*(("the definition of the one tool is not recorded",) if calls_tools else ()), *faults.notes()),
            skipped=tuple(notes.skipped),
        )
    ]

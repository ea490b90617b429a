"""Conversations in OpenAI's chat form: a list of messages, ``{"messages": […]}``, or a list of trajectories ``{"traj": […]}``
as tau-bench writes them (sierra-research/tau-bench, historical_trajectories). No usage and no times.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from holdfast.errors import Unreadable
from holdfast.frozen import Json
from holdfast.readers import lines
from holdfast.readers.conversations import form, is_messages, lacks_tools, turns_of
from holdfast.readers.fields import Notes, text_of
from holdfast.readers.sample import Sample
from holdfast.transcript import Transcript

NAME = "openai-chat"


def _is_trajectory(raw: Json) -> bool:
    return isinstance(raw, dict) and is_messages(raw.get("traj"))


def sniff(head: Sample) -> bool:
    """One JSON document: trajectories, chat messages, or an object with chat messages in OpenAI's form."""
    document = head.document
    if isinstance(document, dict):
        return is_messages(document.get("messages")) and form(document) == "openai-chat"
    if not isinstance(document, list) or not document:
        return False
    return _is_trajectory(document[0]) or (is_messages(document) and form({"messages": document}) != "anthropic")


def _bodies(document: Json, notes: Notes) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each conversation as a body, and what it is called."""
    if isinstance(document, dict) and is_messages(document.get("messages")):
        yield text_of(document, "id", "session"), document
    elif is_messages(document):
        yield "", {"messages": document}
    elif isinstance(document, list):
        for place, raw in enumerate(document, 1):
            if _is_trajectory(raw):
                names = [f"{key} {raw[key]}" for key in ("task_id", "trial") if key in raw]
                yield ", ".join(names) or f"trajectory {place}", {"model": raw.get("model"), "messages": raw["traj"]}
            else:
                notes.skip(place, "not a trajectory: no list of messages under 'traj'")
    else:
        raise Unreadable(notes.path, "neither chat messages nor trajectories")


def read(path: Path, *, strict: bool = False) -> list[Transcript]:
    """Each conversation as a transcript. Raises ``Unreadable`` if the file is no such document, or with ``strict`` for a bad trajectory."""
    notes = Notes(str(path), strict)
    found = []
    for session, body in _bodies(lines.document(path), notes):
        turns = turns_of(body, "openai-chat")
        lacking = lacks_tools(turns)
        said = ("tool definitions are not recorded",) if lacking else ()
        found.append(Transcript(str(path), NAME, "openai-chat", turns, session, head_recorded=not lacking, notes=said))
    return notes.on(found)

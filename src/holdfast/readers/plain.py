"""Plain conversations: ``{"messages": […]}`` with ``system``, ``tools`` and ``model`` where known, in Anthropic's or OpenAI's form.

A file is one such document, or one on each line. No usage and no times. Whose form it is, the
messages say; where both would write them so, the model's name does, and Anthropic's is taken if there is none.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from holdfast.frozen import Json
from holdfast.readers import lines
from holdfast.readers.conversations import is_messages, lacks_tools, likely_form, turns_of
from holdfast.readers.fields import Notes, text_of
from holdfast.readers.sample import Sample, take
from holdfast.transcript import Transcript

NAME = "plain"


def _is_conversation(raw: Json) -> bool:
    return isinstance(raw, dict) and is_messages(raw.get("messages"))


def sniff(head: Sample) -> bool:
    """An object with a list of messages, or JSON lines most of which are such."""
    if head.document is not None:
        return _is_conversation(head.document)
    fitting = [_is_conversation(raw) for raw in head.records]
    return sum(fitting) * 2 > len(fitting)


def _conversations(path: Path, notes: Notes) -> Iterable[tuple[int, Json]]:
    """The objects of the file, each with its line: one if it is a document, else one a line."""
    document = take(path).document
    if document is not None:
        return [(1, document)]
    return lines.records(path, strict=notes.strict, skipped=notes.skipped)


def read(path: Path, *, strict: bool = False) -> list[Transcript]:
    """Each conversation as a transcript. Raises ``Unreadable`` if there is none, or with ``strict`` for a line that is none."""
    notes = Notes(str(path), strict)
    found = []
    for number, body in _conversations(path, notes):
        if not _is_conversation(body):
            notes.skip(number, "no list of messages")
            continue
        dialect = likely_form(body)
        turns = turns_of(body, dialect)
        session = text_of(body, "id", "session") or (f"line {number}" if number > 1 else "")
        lacking = lacks_tools(turns)
        said = ("tool definitions are not recorded",) if lacking else ()
        found.append(Transcript(str(path), NAME, dialect, turns, session, head_recorded=not lacking, notes=said))
    return notes.on(found)

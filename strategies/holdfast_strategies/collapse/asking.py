"""Letting the model write the stubs: one question for all spans, answers told apart by number."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from holdfast_strategies.collapse.finding import Span
from holdfast_strategies.digest.session import Session

_NUMBERED = re.compile(r"^\s*\[\[(\d+)\]\]\s*", re.MULTILINE)
_LEAST = 20  # characters; less says nothing


@cache
def _prompt() -> str:
    return files(__package__).joinpath("prompt.md").read_text(encoding="utf-8").strip()


def instruction(session: Session, spans: Sequence[Span]) -> str:
    """The prompt, and each span named by the first and the last thing that was done in it."""
    lines = [f"[[{number}]] {_extent(session, span)}" for number, span in enumerate(spans, start=1)]
    return f"{_prompt()}\n\n" + "\n".join(lines)


def _extent(session: Session, span: Span) -> str:
    acts = session.acts_in(span.start, span.stop)
    if not acts:
        return f"{len(span.rounds)} messages ({span.why})"
    return f"{len(acts)} tool calls ({span.why}), from {acts[0].named(90)} to {acts[-1].named(90)}"


def stand_in(texts: Sequence[str]) -> str:
    """The built-in stubs as a model would have given them."""
    return "\n".join(f"[[{number}]] {text.partition(chr(10))[2]}" for number, text in enumerate(texts, start=1))


def read_answer(text: str, count: int) -> dict[int, str]:
    """The text for each span by its place from 0; spans the answer says nothing usable about are absent."""
    parts = _NUMBERED.split(text)
    found: dict[int, str] = {}
    for number, body in zip(parts[1::2], parts[2::2], strict=True):
        place = int(number) - 1
        if 0 <= place < count and len(body.strip()) >= _LEAST:
            found.setdefault(place, body.strip())
    return found

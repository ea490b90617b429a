"""The built-in digest: a session condensed by its structure, without a model. Same history, same text."""

from __future__ import annotations

from holdfast.strategy import View
from holdfast_strategies.digest.facts import TITLE
from holdfast_strategies.digest.fit import Section, fit
from holdfast_strategies.digest.read_once import facts_of
from holdfast_strategies.digest.session import Session
from holdfast_strategies.digest.story import decisions, goal, standing, story
from holdfast_strategies.digest.work import commands, errors, files, todos

__all__ = ["Session", "digest", "header"]

_FACTS = 0.35  # of the budget, and whatever the other sections do not need


def digest(view: View, stop: int, budget_tokens: int) -> str:
    """Notes on the first ``stop`` blocks of the history, in about ``budget_tokens``.

    They are made from the caller's own blocks, never from earlier notes, so that notes upon notes lose nothing.
    What is pinned stands in the prompt verbatim and is not repeated.
    """
    facts = facts_of(view.source, stop)
    session = facts.session
    where = f"Paths without a leading / are relative to {session.root}." if session.root else ""
    budget_tokens -= view.count(where)
    parts = fit(_sections(session, view), int(budget_tokens * (1 - _FACTS)), view.count)
    body = "\n\n".join(parts)
    pinned = "\n".join(view.source[index].text for index in sorted(view.pinned) if index < len(view.source))
    lines = facts.text(f"{body}\n{pinned}", budget_tokens - view.count(body) - view.count(TITLE), view.count)
    if lines:
        parts.insert(max(len(parts) - 1, 0), f"{TITLE}\n{lines}")
    return "\n\n".join([where, *parts] if where and parts else parts)


def _sections(session: Session, view: View) -> list[Section]:
    """In the order in which they stand; where things stand comes last, next to the conversation that goes on."""
    return [
        goal(session, view.pinned),
        story(session, view.pinned),
        decisions(session),
        todos(session),
        files(session),
        commands(session),
        errors(session),
        standing(session),
    ]


def header(messages: int, tokens: int) -> str:
    """The first line of notes that stand for a part of the conversation."""
    return (
        f"[holdfast: notes on {messages:,} earlier messages ({tokens:,} tokens) of this conversation, put together without a model. "
        "Quotes are verbatim but for white space and the marks of headings and lists; … marks what was cut, code in the assistant's words "
        "among it. What follows these notes is the conversation itself: go on from there.]"
    )

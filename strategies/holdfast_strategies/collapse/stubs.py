"""Stubs: what was done in a span, act by act, with sizes, hashes and outcomes."""

from __future__ import annotations

from holdfast.blocks import Kind, Role
from holdfast.strategy import View
from holdfast_strategies.acts import Act
from holdfast_strategies.collapse.finding import Span
from holdfast_strategies.digest.facts import Facts
from holdfast_strategies.digest.session import Session
from holdfast_strategies.digest.work import change_of
from holdfast_strategies.placeholders import short_hash
from holdfast_strategies.words import abridged, clipped, is_chatter, sentences


def stub(view: View, facts: Facts, span: Span, budget_tokens: int) -> str:
    """The text that stands for a span, at most ``budget_tokens``; ``""`` where there is nothing to say it in.

    What room is left holds lines from the span that the assistant used again.
    """
    session = facts.session
    lines = _lines(view, session, span)
    top = heading(view, session, span, "\n".join(lines))
    budget = budget_tokens - view.count(top)
    for length in (220, 130, 80):
        told = "\n".join(abridged(session.brief(line), length) for line in lines)
        if view.count(told) <= budget:
            seen = facts.text(told, budget - view.count(told) - 12, view.count, (span.start, span.stop))
            return "\n".join(part for part in (top, told, f"Lines seen there:\n{seen}" if seen else "") if part)
    return _squeezed(view, top, [abridged(session.brief(line), 80) for line in lines], budget)


def heading(view: View, session: Session, span: Span, told: str) -> str:
    """The first line: how much is folded, under which hash it begins, and where its files are."""
    messages = sum(1 for start in view.starts if span.start <= start < span.stop)
    tokens = sum(block.tokens for block in view.source[span.start : span.stop])
    first = short_hash(next((block for block in view.source[span.start : span.stop] if block.text), view.source[span.start]))
    where = f"; paths are relative to {session.root}" if session.brief(told) != told else ""
    return f"[holdfast: {messages} messages ({tokens:,} tokens, {span.why}) are folded here; the first has hash {first}{where}]"


def _squeezed(view: View, top: str, lines: list[str], budget: int) -> str:
    """As many lines as fit, from the end of the span backwards: how it ended matters more than how it began."""
    kept: list[str] = []
    budget -= 12
    for line in reversed(lines):
        cost = view.count(line) + 1
        if cost > budget:
            break
        kept.append(line)
        budget -= cost
    missing = len(lines) - len(kept)
    return "\n".join([top, f"(… {missing} earlier steps)", *reversed(kept)]) if kept else ""


def _lines(view: View, session: Session, span: Span) -> list[str]:
    """One line a thing done or said, in order; the same thing done again is counted, reads of one file are one line."""
    acts = {act.call: act for act in session.acts_in(span.start, span.stop)}
    lines: dict[str, list[str]] = {}
    for index in range(span.start, span.stop):
        block = view.source[index]
        if index in acts:
            head, tail = _did(session, acts[index])
        elif block.kind is Kind.TEXT and block.role is Role.ASSISTANT:
            head, tail = _said(block.text), ""
        else:
            continue
        if head:
            lines.setdefault(head, []).append(tail)
    return [f"- {head}{_joined(tails)}" for head, tails in lines.items()]


def _joined(tails: list[str]) -> str:
    told = [tail for tail in dict.fromkeys(tails) if tail]
    times = f" ({len(tails)}x)" if len(tails) > 1 else ""
    return f"{times} → {'; then '.join(told)}" if told else times


def _did(session: Session, act: Act) -> tuple[str, str]:
    """What was done, and how it went."""
    outcome = session.outcome(act)
    name = act.named()
    if act.result is None:
        return name, "no result"
    if outcome.failed or outcome.errors:
        how, line = outcome.phrase if outcome.failed else "said", outcome.errors[0] if outcome.errors else outcome.last
        return name, f"{how}: {clipped(line, 140)}" if line else how
    if act.verb in ("edit", "write"):
        return name, change_of(act, act.paths[0] if act.paths else "", 70) or "done"
    if act.verb == "run":
        return name, clipped(outcome.last, 120) or "ok"
    if act.verb == "read" and act.paths and " lines " in name:
        name, _, where = name.rpartition(" lines ")
        return name, f"lines {where}"
    return name, f"{outcome.lines} lines"


def _said(text: str) -> str:
    parts = [sentence for sentence in sentences(text.split("```", 1)[0]) if not is_chatter(sentence)]
    return f"said: “{clipped(' '.join(parts[-2:]), 180)}”" if parts else ""

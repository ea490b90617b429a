"""What is put back after a summary: the newest contents of the files last worked on."""

from __future__ import annotations

from holdfast.strategy import View
from holdfast_strategies.acts import Act, acts_of
from holdfast_strategies.digest.session import Session
from holdfast_strategies.outcome import plain
from holdfast_strategies.placeholders import short_hash

_FILES = 5


def restored(view: View, session: Session, budget_tokens: int) -> str:
    """The newest read of each of the last few files, verbatim, as far as the budget reaches; ``""`` if none fits.

    A read that was followed by a change of the file says so; one that also stands in the tail is left out.
    """
    in_tail = {path for act in acts_of(view.source) if act.call >= session.stop and act.verb == "read" for path in act.paths}
    parts: list[str] = []
    for act, changed in _newest_reads(session)[:_FILES]:
        if act.paths[0] in in_tail or act.result is None:
            continue
        note = ", changed after this" if changed else ""
        part = f"### {act.named()} (hash {short_hash(view.source[act.result])}{note})\n{plain(act.body).rstrip()}"
        cost = view.count(part) + 2 if len(part) < 8 * budget_tokens else budget_tokens + 1
        if cost <= budget_tokens:
            parts.append(part)
            budget_tokens -= cost
    return "## Files as last read\n" + "\n\n".join(parts) if parts else ""


def _newest_reads(session: Session) -> list[tuple[Act, bool]]:
    """The last good read of each file, those of the files last touched first, and whether it has been changed since."""
    touched: dict[str, int] = {}
    reads: dict[str, Act] = {}
    changed: dict[str, int] = {}
    for act in session.acts:
        for path in act.paths:
            touched[path] = act.call
            if act.verb == "read" and act.body and not act.error:
                reads[path] = act
            elif act.verb in ("edit", "write", "run"):
                changed[path] = act.call
    order = sorted(reads, key=lambda path: -touched[path])
    return [(reads[path], changed.get(path, -1) > reads[path].call) for path in order]

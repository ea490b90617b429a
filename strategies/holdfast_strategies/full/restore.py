"""What is put back after a summary: the newest contents of the files last worked on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from holdfast.strategy import View
from holdfast_strategies.acts import Act, acts_of
from holdfast_strategies.digest.session import Session
from holdfast_strategies.outcome import plain
from holdfast_strategies.placeholders import short_hash

_FILES = 5


def restored(view: View, session: Session, budget_tokens: int) -> str:
    """The newest read of each of the last few files, verbatim, as far as the budget reaches; ``""`` if none fits.

    A read that was followed by a change of the file, before or in the tail, says so; one that also stands in the tail is left out.
    """
    acts = acts_of(view.source)
    in_tail = _Files(path for act in acts if act.call >= session.stop and act.verb == "read" and not act.error for path in act.paths)
    parts: list[str] = []
    for path, act, changed in _newest_reads(session, acts)[:_FILES]:
        if act.result is None or in_tail.known(path) is not None:
            continue
        note = ", changed after this" if changed else ""
        part = f"### {act.named()} (hash {short_hash(view.source[act.result])}{note})\n{plain(act.body).rstrip()}"
        cost = view.count(part) + 2 if len(part) < 8 * budget_tokens else budget_tokens + 1
        if cost <= budget_tokens:
            parts.append(part)
            budget_tokens -= cost
    return "## Files as last read\n" + "\n\n".join(parts) if parts else ""


def _newest_reads(session: Session, acts: Sequence[Act]) -> list[tuple[str, Act, bool]]:
    """The last good read of each file, those of the files last touched first, and whether any act has changed it since."""
    files = _Files(())
    touched: dict[str, int] = {}
    reads: dict[str, Act] = {}
    changed: dict[str, int] = {}
    for act in acts:
        for path in map(files.name, act.paths):
            if act.verb in ("edit", "write", "run") and not (act.error and act.verb != "run"):
                changed[path] = act.call
            if act.call < session.stop:
                touched[path] = act.call
                if act.verb == "read" and act.body and not act.error:
                    reads[path] = act
    order = sorted(reads, key=lambda path: -touched[path])
    return [(path, reads[path], changed.get(path, -1) > reads[path].call) for path in order]


class _Files:
    """Files by the path they were first named with; a path that ends another one names the same file."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._by_name: dict[str, list[str]] = {}
        for path in paths:
            self.name(path)

    def known(self, path: str) -> str | None:
        """The path under which a file was named first, ``None`` if it was not."""
        return next((other for other in self._by_name.get(_last(path), ()) if _same(path, other)), None)

    def name(self, path: str) -> str:
        """The path under which a file is known from now on."""
        known = self.known(path)
        if known is None:
            self._by_name.setdefault(_last(path), []).append(path)
        return path if known is None else known


def _last(path: str) -> str:
    return path.rsplit("/", 1)[-1]


def _same(path: str, other: str) -> bool:
    """Whether two paths may name one file: they are equal, or one is relative and the other ends with it."""
    short, long = sorted((path.removeprefix("./"), other.removeprefix("./")), key=len)
    return short == long or (not short.startswith("/") and long.endswith(f"/{short}"))

"""Finding spans that may be folded, in three stages of rising loss."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass

from holdfast.blocks import Kind, Role
from holdfast_strategies.acts import Act
from holdfast_strategies.digest.session import Session
from holdfast_strategies.rounds import Round, spans

_LOOKING = ("read", "search", "list", "fetch")
_LEG = 12  # rounds in one leg of a task that is still running


@dataclass(frozen=True, slots=True)
class Span:
    """Neighbouring rounds that one stub will stand for, and ``why`` they may."""

    rounds: tuple[Round, ...]
    why: str

    @property
    def start(self) -> int:
        """The first block."""
        return self.rounds[0].start

    @property
    def stop(self) -> int:
        """One behind the last block."""
        return self.rounds[-1].stop

    @property
    def tokens(self) -> int:
        """What it takes now."""
        return sum(item.tokens for item in self.rounds)


def lookups(items: Sequence[Round], session: Session, protected: Set[str]) -> Iterator[Span]:
    """Runs of rounds that only looked around, and single reads of what was read or changed again later."""
    later = _touched_last(session.acts)
    for run in _runs(items, session, protected, folded=False):
        group: list[Round] = []
        for item in [*run, None]:
            acts = _acts(session, item) if item else []
            if item and acts and all(act.verb in _LOOKING and not act.error for act in acts):
                group.append(item)
                continue
            if len(group) > 1:
                yield Span(tuple(group), "looking around")
            elif group and all(later.get(path, -1) > act.call for act in _acts(session, group[0]) for path in act.paths or ("",)):
                yield Span(tuple(group), "superseded later")
            group = []


def _touched_last(acts: Sequence[Act]) -> dict[str, int]:
    """By path, the block of the last call that read or changed it."""
    return {path: act.call for act in acts for path in act.paths}


def finished(items: Sequence[Round], session: Session, protected: Set[str]) -> Iterator[Span]:
    """The work between two things the user said, where it ended in a plain answer; the answer itself stays."""
    ends = {request.report_index for request in session.requests[:-1] if request.done}
    for run in _runs(items, session, protected, folded=True):
        work = [item for item in run if not any(item.start <= end < item.stop for end in ends)]
        if len(work) < len(run) or _followed(run[-1], session):
            yield from (Span(tuple(part), "finished sub-task") for part in spans(work) if len(part) > 1)


def _followed(item: Round, session: Session) -> bool:
    """Whether the user spoke again after this round: what came before is no longer being worked on."""
    return any(index >= item.stop for index, _ in session.heard)


def legs(items: Sequence[Round], session: Session, protected: Set[str]) -> Iterator[Span]:
    """Stretches of whatever is still running, a dozen rounds each."""
    for run in _runs(items, session, protected, folded=True):
        for at in range(0, len(run), _LEG):
            leg = run[at : at + _LEG]
            if len(leg) > 1 and not all(item.folded for item in leg):
                yield Span(tuple(leg), "an earlier leg of the work")


def _runs(items: Sequence[Round], session: Session, protected: Set[str], folded: bool) -> Iterator[list[Round]]:
    """Runs of rounds in which the user says nothing and no protected tool is used; earlier folds break them, or not."""
    usable = [item for item in items if _usable(item, session, protected) and (folded or not item.folded)]
    return spans(usable)


def _usable(item: Round, session: Session, protected: Set[str]) -> bool:
    return not item.spoken and not any(act.tool in protected for act in _acts(session, item)) and any(_theirs(item))


def _theirs(item: Round) -> Iterator[bool]:
    for entry in item.entries:
        yield entry.state == "folded" or entry.block.role is Role.ASSISTANT or entry.block.kind is Kind.TOOL_RESULT


def _acts(session: Session, item: Round | None) -> list[Act]:
    return session.acts_in(item.start, item.stop) if item else []

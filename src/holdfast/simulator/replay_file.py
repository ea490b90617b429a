"""One file under one strategy, turn by turn: what ``holdfast replay`` prints."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from holdfast.calibrate import weigh
from holdfast.errors import Unreadable
from holdfast.readers import Failure, group, read_group
from holdfast.simulator.compare import conditions_of
from holdfast.simulator.replay import Replay, Step
from holdfast.simulator.requests import ReplayRequest
from holdfast.simulator.results import Commit, ReplayedTurn
from holdfast.strategies import named
from holdfast.tokens import Counter


def replay_file(request: ReplayRequest) -> Iterator[ReplayedTurn]:
    """The turns of a file's transcripts, in order; each commit carries, besides the predicted, the measured break-even turn.

    Raises ``InputError`` for anything the user gave that cannot be used.
    """
    conditions = conditions_of(request)
    strategy = named(request.strategy)
    counter = Counter()
    for files in group([Path(request.path)]):
        for item in read_group(files, strict=request.strict):
            if isinstance(item, Failure):
                raise Unreadable(item.path, item.why.removeprefix(f"{item.path}: "))
            weighed = weigh(item, counter, model=request.model)
            yield from _told(list(Replay(weighed.transcript, strategy, conditions).steps()))


def _told(steps: list[Step]) -> Iterator[ReplayedTurn]:
    settled = {(step.turn.lineage, number): turns for step in steps for number, turns in step.settled}
    for ordinal, step in enumerate(steps):
        trace, commit = step.outcome.trace, step.outcome.trace.commit
        told = None
        if commit is not None:
            told = Commit(
                strategy=commit.strategy,
                first_edit=commit.first_edit,
                tokens_removed=commit.tokens_removed,
                break_even_turn=commit.break_even_turn,
                why=commit.why,
                edits=len(commit.edits),
                measured_break_even_turn=settled.get((step.turn.lineage, commit.number)),
            )
        yield ReplayedTurn(
            turn=ordinal,
            lineage=step.turn.lineage,
            at=step.turn.at,
            prompt_tokens=trace.sent_tokens,
            usage=step.usage,
            usd=step.usd,
            stable_prefix_tokens=trace.stable_tokens,
            commit=told,
            recorded=step.turn.usage,
            note=_note(step),
        )


def _note(step: Step) -> str:
    trace = step.outcome.trace
    if step.broken:
        return "unplanned break"
    if trace.unreachable:
        return f"budget unreachable: {trace.unreachable}"
    if trace.errors and not trace.commit:
        return str(trace.errors[0])
    return f"above the trigger; {trace.reason}" if step.waiting else ""



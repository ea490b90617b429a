"""The rooms in order: grow the lineage, replay its ledger, ask schedule and strategy, commit, place marks, tell the story.

Everything here is a function of values: the history, the ledger and a ``now``. The same engine runs behind a live client and
in the simulator.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from holdfast.blocks import Block, Mark, Message
from holdfast.drive import drive
from holdfast.edits import Edit, Plan, Scribe
from holdfast.errors import AskFailed, BudgetUnreachable, HoldfastError, IllegalPlan
from holdfast.ledger import Committed
from holdfast.line import Line, OpenAccount
from holdfast.marks import Layout, plan_marks
from holdfast.prefix import Chain, shared
from holdfast.rules import CUT_RULES, MANUAL_THINKING_RULES, check_plan, legal
from holdfast.schedule import Schedule, Tariff, break_even
from holdfast.strategy import Answer, Ask, Goal, Strategy
from holdfast.transcript import Dialect
from holdfast.usage import Usage


@dataclass(frozen=True, slots=True)
class CommitTrace:
    """A plan that was committed: what it took away, from where on, what it cost the cache, and when it should have paid.

    ``first_edit`` is a block index of the caller's history, ``first_block`` the ordinal, over head and messages, of the first
    block sent that differs from the last request. ``warm_tokens`` would have been read without it; ``rewritten_tokens`` is the
    suffix, behind the entry that the marks will hit, that is written again.
    ``break_even_turn`` counts turns from this one: 0 at once, ``None`` never. ``asked`` is the usage of its model calls.
    """

    number: int
    strategy: str
    why: str
    edits: tuple[Edit, ...]
    first_edit: int
    first_block: int
    tokens_before: int
    tokens_removed: int
    warm_tokens: int
    rewritten_tokens: int
    break_even_turn: int | None
    asked: tuple[Usage, ...] = ()


@dataclass(frozen=True, slots=True)
class Trace:
    """The story of one request.

    ``given_tokens`` is the prompt as the caller gave it, ``sent_tokens`` as it goes out; ``stable_tokens`` is the part that is
    byte-identical to the last request of this lineage. ``errors`` are failures that changed nothing; ``asked`` is the usage of
    every model call, whether or not a plan came of it; ``settled`` are earlier
    commits that have now paid for themselves, with the turns that took. ``ticket`` tells a session which request an answer belongs to.
    """

    turn: int
    given_tokens: int
    sent_tokens: int
    stable_blocks: int
    stable_tokens: int
    marks: tuple[Mark, ...]
    reason: str
    commit: CommitTrace | None = None
    unreachable: BudgetUnreachable | None = None
    errors: tuple[HoldfastError, ...] = ()
    asked: tuple[Usage, ...] = ()
    repaired: int = 0
    settled: tuple[tuple[int, int], ...] = ()
    ticket: int = 0


@dataclass(frozen=True, slots=True)
class Policy:
    """What the engine is told once: who proposes, when, how edits are written, what tokens cost.

    ``count`` weighs a text, ``pins`` says which blocks the user pinned. ``binds_thinking``: the model signs thinking over the exact
    prefix, so thinking behind an edit must go (platform.claude.com, preserved thinking, 2026-10). ``manual_thinking``: replies think
    within a fixed budget, and the last turn must begin with thinking. ``marking``: the
    provider writes its cache at marks; ``ttl`` is their lifetime in seconds. ``dialect``: whose wire grammar holds.
    """

    strategy: Strategy
    schedule: Schedule
    scribe: Scribe
    count: Callable[[str], int]
    tariff: Tariff = field(default_factory=Tariff)
    keep_tail_tokens: int = 10_000
    ttl: int = 300
    marking: bool = True
    binds_thinking: bool = False
    manual_thinking: bool = False
    dialect: Dialect = "anthropic"
    pins: Callable[[Block], bool] | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What goes out. ``line`` becomes the lineage once the provider has answered; ``removed`` has left the prompt."""

    line: Line
    chain: Chain
    marks: tuple[Mark, ...]
    trace: Trace
    removed: tuple[Block, ...] = ()


Asker = Callable[[Ask, Line], Answer]
Given = TypeVar("Given")


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of asking the strategy. ``wanted`` is ``None`` where it was not asked."""

    wanted: Goal | None = None
    plan: Plan | None = None
    answers: tuple[Answer, ...] = ()
    error: HoldfastError | None = None
    commit: CommitTrace | None = None


class StrategyRaised(HoldfastError):
    """A strategy raised something of its own; the history stays as it was."""

    def __init__(self, strategy: str, cause: Exception) -> None:
        self.strategy, self.cause = strategy, cause
        super().__init__(f"{strategy} raised {told(cause)}")


def told(cause: Exception) -> str:
    """An exception in one phrase."""
    return f"{type(cause).__name__}: {cause}"


def guarded(call: Callable[[], Given], blame: Callable[[Exception], HoldfastError]) -> Given:
    """What another party's code gives: a strategy, a model, a store, a clock. Whatever it raises becomes an error of ours."""
    try:
        return call()
    except HoldfastError:
        raise
    except Exception as cause:
        raise blame(cause) from cause


@dataclass(frozen=True, slots=True)
class Engine:
    """Decides what goes out at each turn. It holds no state: lines go in and come back."""

    policy: Policy

    def begin(self, head: tuple[Block, ...]) -> Line:
        """A new lineage."""
        return Line.begin(head, self.policy.dialect)

    def fork(
        self, line: Line, messages: int, head: tuple[Block, ...] | None = None, source: Sequence[Message] | None = None
    ) -> Line:
        """A lineage that shares the first ``messages`` messages of another, under the same head or the one given."""
        return line.fork(messages, self.policy.scribe, head, self.policy.binds_thinking, source)

    def step(
        self, line: Line, now: float, ask: Asker | None = None, caller_marks: tuple[Mark, ...] = (), goal: Goal | None = None
    ) -> Outcome:
        """One request of a line that has grown to its newest message.

        ``now`` is POSIX seconds. ``caller_marks`` stand at positions of the caller's prompt; those on blocks that are no longer sent
        are gone. ``goal`` forces a plan.
        """
        wanted = goal or self.policy.schedule.goal(line.tokens, line.rearmed_at, now, line.cold(now))
        if wanted is None or not line.grammar.complete:
            return self._outcome(line, line, Attempt(wanted), now, caller_marks)
        after, attempt = self._commit(line, wanted, now, ask)
        return self._outcome(line, after, attempt, now, caller_marks)

    def without_plan(self, line: Line, now: float, caller_marks: tuple[Mark, ...], failure: HoldfastError) -> Outcome:
        """The request as the committed ledger sends it, because something that a new plan needs has failed."""
        line.rearmed_at = line.tokens + self.policy.schedule.step // 4
        return self._outcome(line, line, Attempt(error=failure), now, caller_marks)

    def _outcome(self, before: Line, line: Line, attempt: Attempt, now: float, caller_marks: tuple[Mark, ...]) -> Outcome:
        commit = attempt.commit
        stable = shared(before.chain.ids[: before.sent_length], line.chain.ids) if commit else before.sent_length
        marks = self._marks(line, stable, now, caller_marks)
        over = line.tokens > self.policy.schedule.limit and line.grammar.complete
        trace = Trace(
            turn=line.turns,
            given_tokens=line.head_tokens + line.given_tokens,
            sent_tokens=line.tokens,
            stable_blocks=stable,
            stable_tokens=line.chain.tokens(stable),
            marks=marks,
            reason=self._reason(attempt, line),
            commit=commit,
            unreachable=BudgetUnreachable(line.tokens, self.policy.schedule.limit, sorted(self._pinned(line))) if over else None,
            errors=(attempt.error,) if attempt.error else (),
            asked=tuple(answer.usage for answer in attempt.answers),
        )
        removed = tuple(_removed(before, line)) if commit else ()
        return Outcome(line, line.chain.upto(line.chain.length), marks, trace, removed)

    def sent(self, outcome: Outcome, now: float) -> Line:
        """The provider has begun to answer: the outcome's line is the lineage now."""
        line = outcome.line
        lengths = [mark.position + 1 for mark in outcome.marks] if self.policy.marking else [line.chain.length]
        line.marked(lengths, now, self.policy.ttl)
        if outcome.trace.commit:
            commit = outcome.trace.commit
            line.accounts = (*line.accounts, OpenAccount(commit.number, line.turns, 0.0, commit.tokens_removed))
        return line

    def learn(self, line: Line, outcome: Outcome, usage: Usage) -> tuple[tuple[int, int], ...]:
        """Book what a request really was billed against the commits that have not paid for themselves yet.

        Returns those that now have: their numbers and the turns they took.
        """
        rates, commit, open_accounts, settled = self.policy.tariff, outcome.trace.commit, [], []
        for account in line.accounts:
            if commit and account.number == commit.number:
                actual = usage.read * rates.read + usage.written * rates.write + usage.fresh * rates.fresh
                uncommitted = commit.warm_tokens * rates.read + (commit.tokens_before - commit.warm_tokens) * rates.write
                owed = actual + _cost(commit.asked, rates) - uncommitted
            else:
                owed = account.owed - account.removed * (rates.read if usage.read > line.head_tokens else rates.write)
            if owed <= 0:
                settled.append((account.number, line.turns - account.turn))
            else:
                open_accounts.append(OpenAccount(account.number, account.turn, owed, account.removed))
        line.accounts = tuple(open_accounts)
        return tuple(settled)

    def _commit(self, line: Line, goal: Goal, now: float, ask: Asker | None) -> tuple[Line, Attempt]:
        policy = self.policy
        attempt = self._propose(line, goal, ask)
        retry_at = line.tokens + policy.schedule.step // 4
        if attempt.plan is None:
            line.rearmed_at = retry_at
            return line, attempt
        try:
            plan, after = self._applied(line, attempt.plan)
        except HoldfastError as error:
            line.rearmed_at = retry_at
            return line, replace(attempt, plan=None, error=error)
        removed = line.tokens - after.tokens
        if removed <= 0:
            line.rearmed_at = retry_at
            return line, replace(attempt, plan=None)
        first = shared(line.chain.ids[: line.chain.length], after.chain.ids)
        frontier = line.frontier(min(first, line.sent_length), now) or 0
        warm = 0 if line.cold(now) else line.chain.tokens(line.sent_length)
        arriving = line.tokens - line.chain.tokens(line.sent_length)
        rewritten = max(0, after.tokens - arriving - after.chain.tokens(frontier)) if warm else 0
        calls = tuple(answer.usage for answer in attempt.answers)
        after.rearmed_at = policy.schedule.rearmed(after.tokens)
        newest = after.ledger.entries[-1]
        trace = CommitTrace(
            number=newest.number if isinstance(newest, Committed) else 0,
            strategy=plan.strategy,
            why=plan.why,
            edits=plan.edits,
            first_edit=plan.first,
            first_block=first,
            tokens_before=line.tokens,
            tokens_removed=removed,
            warm_tokens=warm,
            rewritten_tokens=rewritten,
            break_even_turn=break_even(removed, rewritten, _cost(calls, policy.tariff), policy.tariff, cold=not warm),
            asked=calls,
        )
        return after, replace(attempt, commit=trace)

    def _propose(self, line: Line, goal: Goal, ask: Asker | None) -> Attempt:
        strategy = self.policy.strategy
        paid: list[Answer] = []

        def answered(question: Ask) -> Answer:
            if ask is None:
                raise AskFailed("there is no model to ask")
            paid.append(guarded(lambda: ask(question, line), lambda cause: AskFailed(f"the model raised {told(cause)}")))
            return paid[-1]

        def checked() -> Plan | None:
            rules = MANUAL_THINKING_RULES if self.policy.manual_thinking else CUT_RULES
            view = line.view(self.policy.keep_tail_tokens, self.policy.pins, self.policy.count, rules)
            plan, _ = drive(strategy.plan(view, goal), answered)
            if plan is not None:
                check_plan(plan, view)
            return plan

        try:
            plan = guarded(checked, lambda cause: StrategyRaised(strategy.name, cause))
        except HoldfastError as error:
            return Attempt(goal, None, tuple(paid), error)
        return Attempt(goal, plan, tuple(paid))

    def _applied(self, line: Line, proposed: Plan) -> tuple[Plan, Line]:
        """The plan with what legality adds to it, and the line it leads to. Raises ``IllegalPlan``."""
        policy = self.policy
        plan = self._legal_everywhere(line, proposed)
        pinned = self._pinned(line)
        broken = [edit for edit in plan.edits if edit not in proposed.edits and not pinned.isdisjoint(range(edit.start, edit.stop))]
        if broken:
            raise IllegalPlan(plan.strategy, "pinned", f"pinned thinking in block {broken[0].start} could not stay behind it")
        after = guarded(lambda: line.committed(plan, policy.scribe), lambda cause: IllegalPlan(plan.strategy, "clearable", told(cause)))
        fault = legal((piece.message for piece in after.pieces), policy.dialect)
        if fault:
            raise IllegalPlan(plan.strategy, "legal-request", fault)
        return plan, after

    def _pinned(self, line: Line) -> frozenset[int]:
        """What keeps its bytes. Where the user's own word for it fails, nothing can be known to be free."""
        try:
            return guarded(lambda: line.pinned(self.policy.pins), lambda cause: StrategyRaised("pins", cause))
        except StrategyRaised:
            return frozenset(range(line.size))

    def _legal_everywhere(self, line: Line, plan: Plan) -> Plan:
        if not self.policy.binds_thinking:
            return plan
        drops = line.bound_thinking(plan.first, plan.edits)
        return replace(plan, edits=tuple(sorted((*plan.edits, *drops), key=lambda edit: edit.start)))

    def _marks(self, line: Line, stable: int, now: float, caller_marks: tuple[Mark, ...]) -> tuple[Mark, ...]:
        places = line.places(mark.position for mark in caller_marks)
        caller_marks = tuple(replace(mark, position=places[mark.position]) for mark in caller_marks if mark.position in places)
        if not self.policy.marking:
            return caller_marks
        frontier = line.frontier(stable, now)
        return plan_marks(
            Layout(
                chain=line.chain,
                caller_marks=caller_marks,
                previous_tail=None if frontier is None or frontier <= line.chain.head else frontier - 1,
                ttl=self.policy.ttl,
                markable=line.takes_mark,
            )
        )

    def _reason(self, attempt: Attempt, line: Line) -> str:
        commit = attempt.commit
        if commit:
            return f"{commit.strategy}: {commit.why}" if commit.why else commit.strategy
        if attempt.wanted is None and attempt.error is None:
            small = line.tokens <= self.policy.schedule.trigger
            return "below the trigger" if small else "above the trigger, waiting for growth since the last try"
        if not line.grammar.complete:
            return f"left alone: {line.grammar.fault or 'tool calls without results'}"
        return f"no plan: {attempt.error}" if attempt.error else f"no plan: {self.policy.strategy.name} has nothing to offer"


def _cost(usages: Iterable[Usage], rates: Tariff) -> float:
    # An answer's output is priced as five times fresh input, the ratio of nearly every price list.
    return sum(u.read * rates.read + u.written * rates.write + (u.fresh + 5 * u.output) * rates.fresh for u in usages)


def _removed(before: Line, after: Line) -> Iterable[Block]:
    sent = {id(block) for block in after.sent}
    return (block for block in before.sent if id(block) not in sent)

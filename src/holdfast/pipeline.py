"""The rooms in order: grow the lineage, replay its ledger, ask schedule and strategy, commit, place marks, tell the story.

Everything here is a function of values: the history, the ledger and a ``now``. The same engine runs behind a live client and
in the simulator.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

from holdfast.blocks import Block, Kind, Mark, Message
from holdfast.drive import Drive
from holdfast.edits import Drop, Edit, Fold, Plan
from holdfast.errors import AskFailed, BudgetUnreachable, HoldfastError, IllegalPlan
from holdfast.ledger import Committed
from holdfast.line import Line, OpenAccount, without_thoughts
from holdfast.marks import NO_MARKS, Layout, Own, breakpoint_entries, plan_breakpoints, plan_marks
from holdfast.policy import PLAIN, Policy, Wish
from holdfast.prefix import Chain, shared
from holdfast.rules import CUT_RULES, MANUAL_THINKING_RULES, check_plan, legal
from holdfast.saved import Saved
from holdfast.schedule import Tariff, break_even
from holdfast.store import key, stretch
from holdfast.strategy import Answer, Ask, Goal, View
from holdfast.trace import CommitTrace, Trace
from holdfast.usage import Usage
from holdfast.wire import of

_RECALL = "[holdfast: recall {} brings back what stood here]"

FORCED_SHARE = 0.5
"""What a plan that the caller forces aims at, of what the prompt is; never more than the usual target."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What goes out. ``line`` becomes the lineage once the provider has answered; ``removed`` has left the prompt."""

    line: Line
    chain: Chain
    marks: tuple[Mark, ...]
    trace: Trace
    removed: tuple[Block, ...] = ()


Asker = Callable[[Ask, Line], Answer]
Stepping = Generator[Ask, Answer, "Outcome"]
"""A step on its way: it yields the questions of the strategy, and is sent the answers or has ``AskFailed`` raised into it."""
Given = TypeVar("Given")


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of asking the strategy. ``wanted`` is ``None`` where it was not asked, ``held`` why it was not or had to wait."""

    wanted: Goal | None = None
    held: str = ""
    plan: Plan | None = None
    answers: tuple[Answer, ...] = ()
    error: HoldfastError | None = None
    commit: CommitTrace | None = None
    strategy: str = ""


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
        self,
        line: Line,
        messages: int,
        head: tuple[Block, ...] | None = None,
        source: Sequence[Message] | None = None,
        newest: bool = False,
    ) -> Line:
        """A lineage that shares the first ``messages`` messages of another, under the same head or the one given.

        ``newest``: it ends there, so that no edit may touch the last of them.
        """
        return line.fork(messages, self.policy.scribe, head, self.policy.binds_thinking, source, newest)

    def resumed(self, head: tuple[Block, ...], source: Sequence[Message], saved: Saved) -> Line:
        """A lineage as it was saved: its messages under its ledger, and what was warm."""
        line = self.begin(head)
        line.grow(source if not self.policy.drop_block else without_thoughts(source, saved.dropped))
        line.dropped = saved.dropped
        line = line.under(saved.ledger, self.policy.scribe)
        line.ages = [len(saved.ledger.entries)] * len(source)
        shift = len(head) - saved.head_blocks
        same = saved.head == line.head_name
        line.listed = {place + shift for place in saved.listed if same or place >= saved.head_blocks}
        line.listed = {place for place in line.listed if place < len(head) + line.size}
        if same and saved.model == self.policy.model:
            line.warm = [length for length in saved.warm if length <= line.chain.length]
            line.warm_until, line.sent_length = saved.warm_until, min(saved.sent_length, line.chain.length)
        line.rearmed_at, line.turns = saved.rearmed_at, saved.turns
        line.drops_thinking = saved.drops_thinking and self.policy.drop_block
        return line

    def repaired(self, line: Line, plan: Plan, now: float, own: Own) -> Outcome:
        """A request whose thinking the provider does not take any more: ``plan`` drops it, wherever it stands."""
        goal = Goal(0, self.policy.schedule.limit, now, force=True)
        after, attempt = self._commit(line, Attempt(goal, "", plan, strategy=plan.strategy), now, PLAIN)
        return self._outcome(line, after, attempt, now, own)

    def step(
        self, line: Line, now: float, ask: Asker | None = None, own: Own = NO_MARKS, wish: Wish = PLAIN
    ) -> Outcome:
        """``stepping`` with every question answered by ``ask`` on the spot; without one every question fails."""
        return answered(self.stepping(line, now, own, wish), None if ask is None else lambda question: ask(question, line))

    def stepping(self, line: Line, now: float, own: Own = NO_MARKS, wish: Wish = PLAIN) -> Stepping:
        """One request of a line that has grown to its newest message.

        ``now`` is POSIX seconds. ``own`` are the caller's marks at positions of the caller's prompt; those on blocks that are no longer
        sent are gone.
        """
        wanted = wish.goal or self._wanted(line, now, wish)
        if wanted is None or not line.grammar.complete:
            return self._outcome(line, line, Attempt(wanted), now, own)
        held = self._held(line, wanted, wish)
        if held:
            return self._outcome(line, line, Attempt(wanted, held), now, own)
        attempt = yield from self.propose(line, wanted, wish)
        after, attempt = self._commit(line, attempt, now, wish)
        return self._outcome(line, after, attempt, now, own)

    def wants(self, line: Line, now: float, wish: Wish) -> bool:
        """Whether a strategy will be asked for a plan."""
        return wish.goal is not None or (line.grammar.complete and self._wanted(line, now, wish) is not None)

    def _wanted(self, line: Line, now: float, wish: Wish) -> Goal | None:
        schedule, cold = self.policy.schedule, line.cold(now)
        if not wish.force:
            return schedule.goal(line.tokens, line.rearmed_at, now, cold)
        return Goal(min(schedule.target, round(FORCED_SHARE * line.tokens)), schedule.limit, now, cold, force=True, focus=wish.focus)

    def _held(self, line: Line, wanted: Goal, wish: Wish) -> str:
        """Why no plan is made now although one is wanted."""
        if not wish.may_plan:
            return wish.why or "no plan is to be made here"
        urgent = wanted.force or line.tokens > self.policy.schedule.limit
        if self.policy.binds_thinking and not self.policy.drop_block and not urgent and line.thinks_in_loop:
            return "inside a tool loop whose thinking is bound to what stands before it: the plan waits for the user's next words"
        return ""

    def without_plan(self, line: Line, now: float, own: Own, failure: HoldfastError) -> Outcome:
        """The request as the committed ledger sends it, because something that a new plan needs has failed."""
        line.rearmed_at = line.tokens + self.policy.schedule.step // 4
        return self._outcome(line, line, Attempt(error=failure), now, own)

    def _outcome(self, before: Line, line: Line, attempt: Attempt, now: float, own: Own) -> Outcome:
        commit = attempt.commit
        stable = shared(before.chain.ids[: before.sent_length], line.chain.ids) if commit else before.sent_length
        marks = self._marks(line, stable, now, own)
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
            unreachable=self._unreachable(line) if over else None,
            errors=(attempt.error,) if attempt.error else (),
            asked=tuple(answer.usage for answer in attempt.answers),
            thinking="" if not commit else self._thought(line, commit),
        )
        removed = (*_removed(before, line), *self._stretches(line, commit.edits)) if commit else ()
        return Outcome(line, line.chain.upto(line.chain.length), marks, trace, removed)

    def _unreachable(self, line: Line) -> BudgetUnreachable:
        return BudgetUnreachable(line.tokens, self.policy.schedule.limit, sorted(self._pinned(line, self.policy.pins)))

    def sent(self, outcome: Outcome, now: float) -> Line:
        """The provider has begun to answer: the outcome's line is the lineage now."""
        line = outcome.line
        lengths = [mark.position + 1 for mark in outcome.marks] if self.policy.marking else [line.chain.length]
        if self.policy.marking and self.policy.breakpoints:
            lengths = breakpoint_entries(line.chain, outcome.marks, minimum=self.policy.minimum)
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

    def _thought(self, line: Line, commit: CommitTrace) -> Literal["", "stripped", "dropped"]:
        if not self.policy.binds_thinking:
            return ""
        if line.drops_thinking and line.thinks_in_loop:
            return "dropped"
        gone = (line.source_blocks()[edit.start] for edit in commit.edits if isinstance(edit, Drop) and edit.stop == edit.start + 1)
        return "stripped" if any(block.kind is Kind.THINKING for block in gone) else ""

    def _commit(self, line: Line, attempt: Attempt, now: float, wish: Wish) -> tuple[Line, Attempt]:
        policy = self.policy
        if attempt.held:
            return line, attempt
        retry_at = line.tokens + policy.schedule.step // 4
        if attempt.plan is None:
            line.rearmed_at = retry_at
            return line, attempt
        try:
            plan, after = self._applied(line, attempt.plan, wish)
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

    def propose(self, line: Line, goal: Goal, wish: Wish) -> Generator[Ask, Answer, Attempt]:
        """What the strategy offers for this goal; nothing is committed."""
        strategy = wish.strategy or self.policy.strategy
        urgent = goal.force or line.tokens > self.policy.schedule.limit
        paid: list[Answer] = []

        def blame(cause: Exception) -> HoldfastError:
            return StrategyRaised(strategy.name, cause)

        def begun() -> tuple[View, Drive]:
            rules = MANUAL_THINKING_RULES if self.policy.manual_thinking else CUT_RULES
            view = line.view(self.policy.keep_tail_tokens, self._pins(wish), self.policy.count, rules)
            return view, Drive(strategy.plan(view, goal))

        def checked(view: View, run: Drive) -> Plan | None:
            if run.plan is not None:
                check_plan(run.plan, view)
            return run.plan

        run: Drive | None = None
        try:
            view, run = guarded(begun, blame)
            while run.question is not None:
                if not wish.may_ask and not urgent:
                    return Attempt(goal, wish.why or "the plan needs the model, which this request cannot ask: it waits")
                yield from _put(run, paid, blame)
            plan = guarded(lambda: checked(view, run), blame)
        except HoldfastError as error:
            return Attempt(goal, "", None, tuple(paid), error, strategy=strategy.name)
        finally:
            if run is not None:
                run.close()
        return Attempt(goal, "", plan, tuple(paid), strategy=strategy.name)

    def _pins(self, wish: Wish) -> Callable[[Block], bool] | None:
        own, more = self.policy.pins, wish.pins
        if own is None or more is None:
            return own or more
        return lambda block: own(block) or more(block)

    def _applied(self, line: Line, proposed: Plan, wish: Wish) -> tuple[Plan, Line]:
        """The plan with what legality adds to it, and the line it leads to. Raises ``IllegalPlan``."""
        policy = self.policy
        drops = policy.binds_thinking and policy.drop_block and line.thinks_in_loop and not proposed.by_provider
        dropped = line.starts[line.loop] if drops else None
        plan = self._legal_everywhere(line, self._with_names(line, proposed), dropped)
        pinned = self._pinned(line, self._pins(wish))
        own = {(edit.start, edit.stop) for edit in proposed.edits}
        broken = [edit for edit in plan.edits if (edit.start, edit.stop) not in own and not pinned.isdisjoint(range(edit.start, edit.stop))]
        if broken:
            raise IllegalPlan(plan.strategy, "pinned", f"pinned thinking in block {broken[0].start} could not stay behind it")
        after = guarded(
            lambda: line.committed(plan, policy.scribe, dropped), lambda cause: IllegalPlan(plan.strategy, "clearable", told(cause))
        )
        fault = legal((piece.message for piece in after.pieces), policy.dialect)
        if fault:
            raise IllegalPlan(plan.strategy, "legal-request", fault)
        return plan, after

    def _with_names(self, line: Line, plan: Plan) -> Plan:
        """The plan whose folds say how to get back what they stand for."""
        if not self.policy.named:
            return plan
        source = line.source_blocks()
        edits = (
            replace(edit, text=f"{edit.text}\n{_RECALL.format(key(stretch(source[edit.start : edit.stop])))}")
            if isinstance(edit, Fold) and not edit.wire
            else edit
            for edit in plan.edits
        )
        return replace(plan, edits=tuple(edits))

    def _stretches(self, line: Line, edits: Iterable[Edit]) -> Iterable[Block]:
        """What the folds of a commit stand for, under the names they tell."""
        source = line.source_blocks() if self.policy.named else []
        return [stretch(source[edit.start : edit.stop]) for edit in edits if isinstance(edit, Fold)] if source else []

    def _pinned(self, line: Line, pins: Callable[[Block], bool] | None) -> frozenset[int]:
        """What keeps its bytes. Where the user's own word for it fails, nothing can be known to be free."""
        try:
            return guarded(lambda: line.pinned(pins), lambda cause: StrategyRaised("pins", cause))
        except StrategyRaised:
            return frozenset(range(line.size))

    def _legal_everywhere(self, line: Line, plan: Plan, dropped: int | None) -> Plan:
        """The plan with drops for thinking that is bound to what it changes, up to where the API itself will drop it."""
        if not self.policy.binds_thinking or plan.by_provider:
            return plan
        drops = line.bound_thinking(plan.first, plan.edits, dropped)
        return replace(plan, edits=tuple(sorted((*plan.edits, *drops), key=lambda edit: edit.start)))

    def _marks(self, line: Line, stable: int, now: float, own: Own) -> tuple[Mark, ...]:
        places = line.places(mark.position for mark in own.all)
        caller_marks = tuple(replace(mark, position=places[mark.position]) for mark in own.marks if mark.position in places)
        automatic = None if own.automatic is None else replace(own.automatic, position=line.chain.length - 1)
        if not self.policy.marking or own.alone:
            return caller_marks if automatic is None else (*caller_marks, automatic)
        frontier = line.frontier(stable, now)
        if frontier is None:  # cold: an entry where forks of this conversation part will be read by the next of them
            frontier = line.parting(stable)
        wire = of(self.policy.dialect)
        layout = Layout(
            chain=line.chain,
            caller_marks=caller_marks,
            previous_tail=None if frontier is None or frontier <= line.chain.head else frontier - 1,
            ttl=self.policy.ttl,
            minimum=self.policy.minimum,
            markable=lambda place: wire.takes_mark(line.sent[place]) and not line.went_bare(place, wire.is_bare),
            keep_caller=self.policy.keep_caller,
            automatic=automatic,
            implicit=own.implicit,
        )
        return plan_breakpoints(layout) if self.policy.breakpoints else plan_marks(layout)

    def _reason(self, attempt: Attempt, line: Line) -> str:
        commit = attempt.commit
        if commit:
            return f"{commit.strategy}: {commit.why}" if commit.why else commit.strategy
        if attempt.wanted is None and attempt.error is None:
            small = line.tokens <= self.policy.schedule.trigger
            return "below the trigger" if small else "above the trigger, waiting for growth since the last try"
        if not line.grammar.complete:
            return f"left alone: {line.grammar.fault or 'tool calls without results'}"
        if attempt.held:
            return attempt.held
        return f"no plan: {attempt.error}" if attempt.error else f"no plan: {attempt.strategy} has nothing to offer"


def _put(run: Drive, paid: list[Answer], blame: Callable[[Exception], HoldfastError]) -> Generator[Ask, Answer, None]:
    """The question that ``run`` waits for, to whoever drives the step; its answer, or why there is none, to the strategy."""
    if run.question is None:
        return
    try:
        answer = yield run.question
    except AskFailed as error:
        failure = error
        if failure.usage is not None:
            paid.append(Answer("", failure.usage))
        guarded(lambda: run.failed(failure), blame)
    else:
        paid.append(answer)
        guarded(lambda: run.answered(answer), blame)


def answered(stepping: Stepping, ask: Callable[[Ask], Answer] | None) -> Outcome:
    """A step run to its end, each question answered by ``ask``, whose every failure is ``AskFailed``."""

    def told_by(question: Ask) -> Answer:
        if ask is None:
            raise AskFailed("there is no model to ask")
        return guarded(lambda: ask(question), lambda cause: AskFailed(f"the model raised {told(cause)}"))

    try:
        question = next(stepping)
        while True:
            try:
                answer = told_by(question)
            except AskFailed as failure:
                question = stepping.throw(failure)
            else:
                question = stepping.send(answer)
    except StopIteration as end:
        outcome: Outcome = end.value
        return outcome


def _cost(usages: Iterable[Usage], rates: Tariff) -> float:
    # An answer's output is priced as five times fresh input, the ratio of nearly every price list.
    return sum(u.read * rates.read + u.written * rates.write + (u.fresh + 5 * u.output) * rates.fresh for u in usages)


def _removed(before: Line, after: Line) -> Iterable[Block]:
    sent = {id(block) for block in after.sent}
    return (block for block in before.sent if id(block) not in sent)

"""The wire grammar as small rules.

Each rule of *cutting* is one class that answers one question: at which gaps may this history be cut? A gap *g* stands
before message *g*. The legal cuts are the intersection of all answers, so a strategy can cut nowhere else.
``Grammar`` follows a conversation message by message and says whether a request is legal at all; ``check_plan`` names
the rule a plan breaks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from holdfast.blocks import Block, Kind, Message, Role
from holdfast.edits import Clear, Drop, Edit, Fold, Plan
from holdfast.errors import IllegalPlan
from holdfast.strategy import View
from holdfast.transcript import Dialect


class CutRule(Protocol):
    """One rule of the grammar."""

    def gaps(self, messages: Sequence[Message]) -> set[int]:
        """The gaps, 0 to ``len(messages)``, at which this rule lets the history be cut."""


class PairsStayTogether:
    """A tool call and its result stand on the same side of a cut; so does a whole batch of parallel calls.

    platform.claude.com/docs, tool use: each ``tool_use`` has its ``tool_result`` in the next message (2026-08-21);
    OpenAI answers 400 to a call without an output or the reverse.
    """

    def gaps(self, messages: Sequence[Message]) -> set[int]:
        """Every gap that no call is open across."""
        legal, open_calls = {0}, set()
        for ordinal, message in enumerate(messages, start=1):
            for block in message.blocks:
                if block.kind is Kind.TOOL_USE:
                    open_calls.add(block.call)
                elif block.kind is Kind.TOOL_RESULT:
                    open_calls.discard(block.call)
            if not open_calls:
                legal.add(ordinal)
        return legal


class FirstUserMessageStays:
    """Nothing is cut before the end of the first user message: it is the task, and the API wants the user to begin."""

    def gaps(self, messages: Sequence[Message]) -> set[int]:
        """The gaps behind the first message of the user; none if there is no such message."""
        for ordinal, message in enumerate(messages):
            if message.role is Role.USER:
                return set(range(ordinal + 1, len(messages) + 1))
        return set()


class ThinkingOpensItsTurn:
    """In the tool loop that is still open, the reply after a cut begins with its thinking, if the loop has any.

    Holds for manual extended thinking only (a fixed budget; Claude up to 4.5 has no other): there the API answers 400 ("Expected
    `thinking`…") to a last assistant turn that does not begin with it (platform.claude.com/docs, extended thinking, 2026-08-21).
    In adaptive mode thinking is optional to each reply (…/adaptive-thinking, 2026-08). Finished loops may be cut anywhere.
    """

    def gaps(self, messages: Sequence[Message]) -> set[int]:
        """Every gap outside the open loop, and those inside it before a reply that begins with thinking."""
        start = next((n for n in range(len(messages) - 1, -1, -1) if messages[n].is_plain_user), 0) + 1
        loop = messages[start:]
        if not any(block.kind is Kind.THINKING for message in loop for block in message.blocks):
            return set(range(len(messages) + 1))
        inside = {
            start + n
            for n, message in enumerate(loop)
            if message.role is Role.ASSISTANT and message.blocks and message.blocks[0].kind is Kind.THINKING
        }
        return set(range(start + 1)) | inside | {len(messages)}


class RepliesStartRounds:
    """A cut stands before a reply or before a user's own words, so that what follows it starts a round of its own."""

    def gaps(self, messages: Sequence[Message]) -> set[int]:
        """The gaps before assistant messages and before plain user messages, and the end."""
        legal = {n for n, message in enumerate(messages) if message.role is not Role.USER or message.is_plain_user}
        return legal | {len(messages)}


CUT_RULES: tuple[CutRule, ...] = (PairsStayTogether(), FirstUserMessageStays(), RepliesStartRounds())
MANUAL_THINKING_RULES: tuple[CutRule, ...] = (*CUT_RULES, ThinkingOpensItsTurn())


def legal_cuts(messages: Sequence[Message], starts: Sequence[int], rules: Iterable[CutRule] = CUT_RULES) -> tuple[int, ...]:
    """The block indices at which this history may be cut: the intersection of all rules, in order."""
    gaps = set(range(len(messages) + 1))
    for rule in rules:
        gaps &= rule.gaps(messages)
    end = starts[-1] + len(messages[-1].blocks) if messages else 0
    return tuple(starts[gap] if gap < len(messages) else end for gap in sorted(gaps))


def _compacted(message: Message) -> bool:
    """Whether this is a summary that Anthropic wrote, which begins a conversation in the place of what it summarises."""
    return bool(message.blocks) and isinstance(message.blocks[0].wire, dict) and message.blocks[0].wire.get("type") == "compaction"


@dataclass(slots=True)
class Grammar:
    """Follows a conversation and knows whether it is legal so far; work per message only.

    ``fault`` is ``None`` or one sentence about the first thing that is not legal. Anthropic wants the user to begin and takes
    consecutive messages of the model for one; there and in Chat Completions calls are answered in what directly follows. In
    Responses each call and each output is an item of its own, and an output may stand anywhere behind its call
    (platform.claude.com/docs, tool use, 2026-08-21; developers.openai.com, function calling, 2026-10). Bedrock's Converse wants the user
    to begin and the roles to take turns ("A conversation must alternate between user and assistant roles").
    """

    dialect: Dialect = "anthropic"
    fault: str | None = None
    seen: int = 0
    open_calls: set[str] = field(default_factory=set)
    last: Role | None = None

    def copy(self) -> Grammar:
        """An independent follower at the same place."""
        return Grammar(self.dialect, self.fault, self.seen, set(self.open_calls), self.last)

    def feed(self, message: Message) -> None:
        """One more message."""
        if self.fault is None:
            fault = self._fault(message)
            if fault is not None:
                self.fault = f"message {self.seen}: {fault}"
        self.seen += 1
        self.last = message.role

    def _fault(self, message: Message) -> str | None:
        begins = self.seen == 0 and self.dialect in ("anthropic", "bedrock-converse")
        if begins and message.role is Role.ASSISTANT and not _compacted(message):
            return "the first message is not the user's"
        if self.dialect == "bedrock-converse" and message.role is self.last:
            return f"two messages of the {message.role}'s in a row"
        if not message.blocks:
            return "no content"
        results = [block.call for block in message.blocks if block.kind is Kind.TOOL_RESULT]
        answered = set(results)
        if len(answered) != len(results) or not answered <= self.open_calls:
            return "a tool result without its call"
        self.open_calls -= {call for call in answered if call}
        if self.open_calls and not answered and not self._may_wait(message):
            return f"tool calls without results: {', '.join(sorted(self.open_calls))}"
        for block in message.blocks:
            kind = block.kind
            if kind is Kind.TOOL_USE:
                if not block.call or block.call in self.open_calls:
                    return "a tool call without an id of its own"
                self.open_calls.add(block.call)
            elif kind is Kind.TEXT and message.role is not Role.ASSISTANT and (not block.text or block.text.isspace()):
                return "an empty text"
        return None

    def _may_wait(self, message: Message) -> bool:
        """Whether calls may still be open behind this message, which answers none."""
        return self.dialect == "openai-responses" or (self.dialect == "anthropic" and self.last is Role.ASSISTANT is message.role)

    @property
    def complete(self) -> bool:
        """Whether a request may end here: legal, and no call without its result."""
        return self.fault is None and not self.open_calls


def legal(messages: Iterable[Message], dialect: Dialect = "anthropic") -> str | None:
    """``None`` if a request with these messages is legal, else one sentence that says what is not."""
    grammar = Grammar(dialect)
    for message in messages:
        grammar.feed(message)
    if grammar.fault is None and grammar.open_calls:
        return f"tool calls without results: {', '.join(sorted(grammar.open_calls))}"
    return grammar.fault


def check_plan(plan: Plan, view: View) -> None:
    """Raise ``IllegalPlan`` with the rule that a plan breaks; return if it breaks none."""
    for rule, detail in _faults(plan, view):
        raise IllegalPlan(plan.strategy, rule, detail)


def _faults(plan: Plan, view: View) -> Iterator[tuple[str, str]]:
    if not plan.edits:
        yield "not-empty", "a plan without edits"
    folds = [(entry.start, entry.stop) for entry in view.entries if entry.state == "folded"]
    sent = {entry.start: entry.state for entry in view.entries}
    ends = [entry.stop for entry in view.entries]
    holes = [(a, entry.start) for a, entry in zip([0, *ends], view.entries, strict=False) if entry.start > a]
    cuts = set(view.cuts)
    end = 0
    for edit in plan.edits:
        where = f"{type(edit).__name__} {edit.start}..{edit.stop}"
        if edit.stop <= edit.start or edit.start < end:
            yield "ordered", f"{where} is empty, out of order or overlaps the one before"
        end = edit.stop
        if edit.stop > view.tail or edit.start < 0:
            yield "tail", f"{where} reaches into the newest messages, which stay verbatim (from block {view.tail})"
        touched = range(edit.start, min(edit.stop, len(view.source)))
        if _whole_head(edit):  # the provider's own words stand for the first user message too: nothing before them is read
            touched = range(view.cuts[0] if view.cuts else 0, touched.stop)
        if any(index in view.pinned for index in touched):
            yield "pinned", f"{where} touches a pinned block"
        if any(edit.start < stop and start < edit.stop and not (edit.start <= start and stop <= edit.stop) for start, stop in folds):
            yield "folds", f"{where} cuts through an earlier fold"
        if any(a < edge < b for a, b in holes for edge in (edit.start, edit.stop)):
            yield "drops", f"{where} starts or stops inside a span that was dropped before"
        yield from _edit_faults(edit, view.source, cuts, sent)


def _whole_head(edit: Edit) -> bool:
    return isinstance(edit, Fold) and bool(edit.wire) and edit.start == 0


def _edit_faults(edit: Edit, source: Sequence[Block], cuts: set[int], sent: Mapping[int, str]) -> Iterator[tuple[str, str]]:
    touched = [source[index] for index in range(edit.start, min(edit.stop, len(source)))]
    if isinstance(edit, Drop) and all(block.kind is Kind.THINKING for block in touched):
        return
    where = f"{type(edit).__name__} {edit.start}..{edit.stop}"
    if any(block.kind is Kind.UNKNOWN for block in touched):
        yield "unknown-blocks", f"{where} touches a block whose meaning is not known"
    if isinstance(edit, Clear):
        if touched[0].kind not in (Kind.TOOL_RESULT, Kind.TOOL_USE, Kind.TEXT):
            yield "clearable", f"{where}: a {touched[0].kind} block cannot be cleared"
        if sent.get(edit.block) != "verbatim":
            yield "clearable", f"{where}: the block is not sent verbatim any more"
        if not edit.text.strip():
            yield "no-empty-content", f"{where} has no placeholder"
        return
    if not (edit.start in cuts or _whole_head(edit)) or edit.stop not in cuts:
        yield "legal-cuts", f"{where} does not start and stop at legal cuts"
    if isinstance(edit, Fold) and not edit.text.strip():
        yield "no-empty-content", f"{where} has no text"

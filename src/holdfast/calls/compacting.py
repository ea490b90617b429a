"""The provider's own compaction: its words stand in the place of what they sum up, and go back as they came.

Anthropic (``compaction`` in a Messages request, beta ``compact-2026-09-04``; types of anthropic 2.12.0, 2026-11-20) answers with one signed
block, which must then be the first of the conversation: what it sums up begins with the very first message, so the user's first words are
among it. They are the one thing that is else kept verbatim and here is not; the instruction asks for them word for word. Thinking behind
the block stays valid where thinking is bound to its prefix. OpenAI (``responses.compact``; openai 3.54.0) answers with all messages of
the user and one encrypted item for everything else: the user's messages stay as the caller gave them, the item follows the last of them.

What else is pinned is never given away: then the live model is asked, as it is where the provider refuses, or has no such thing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from holdfast.calls.answers import usage_of
from holdfast.calls.values import Received, Request, Send
from holdfast.edits import Drop, Edit, Fold, Plan
from holdfast.errors import AskFailed, IllegalPlan
from holdfast.frozen import Json
from holdfast.rules import check_plan
from holdfast.strategy import Answer, Ask, Goal, Proposal, Strategy, View
from holdfast.transcript import Dialect
from holdfast.usage import Usage

BETA = "compact-2026-09-04"
ENDPOINT = "/v1/responses/compact"
REFUSALS = 3
"""After so many failures in a row the live model is asked instead, for good."""

_FIRST = "\n\nBegin with the user's first message of this conversation, word for word."
_UNSAID = "[what the provider is going to say]"
_NOT_ASKED: Mapping[Dialect, tuple[str, ...]] = {
    "anthropic": ("context_management", "stop_sequences", "output_format"),
}
_COMPACT = ("image", "input", "instructions", "model", "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "service_tier")
"""What ``responses.compact`` takes."""


def offers(dialect: Dialect, provider: str) -> bool:
    """Whether this provider compacts conversations itself. What is served by other platforms has no such beta."""
    return (dialect, provider) == ("anthropic", "anthropic") or (dialect, provider) in (
        ("openai-responses", "openai"),
        ("openai-responses", ""),
    )


@dataclass(slots=True)
class ByProvider:
    """A strategy whose model's work the provider does: where ``inner`` would ask a model, all before the tail is compacted."""

    inner: Strategy
    dialect: Dialect
    failures: int = field(default=0, compare=False)

    @property
    def name(self) -> str:
        """That of the strategy which says when it is time."""
        return self.inner.name

    def plan(self, view: View, goal: Goal) -> Proposal:
        """What ``inner`` proposes without a model, else what the provider makes of all that may go."""
        proposal = self.inner.plan(view, goal)
        try:
            try:
                asked = next(proposal)
            except StopIteration as end:
                plan: Plan | None = end.value
                return plan
            made = yield from self._compacted(view, goal, asked)
            if made is not None:
                return made
            return (yield from _rest(proposal, asked))
        finally:
            proposal.close()

    def _compacted(self, view: View, goal: Goal, asked: Ask) -> Proposal:
        edits = spans(view, self.dialect)
        if edits is None or self.failures >= REFUSALS:
            return None
        stop = edits[-1].stop
        focus = f"\n\nThe user asks for special care about this: {goal.focus.strip()}" if goal.focus.strip() else ""
        try:
            answer = yield Ask(asked.instruction + _FIRST + focus * (focus not in asked.instruction), asked.max_output_tokens, stop=stop)
        except AskFailed:
            self.failures += 1
            return None
        if not answer.wire:
            return None
        self.failures = 0
        return Plan(self.name, tuple(_worded(edits, answer)), "summary by the provider")


def _rest(proposal: Proposal, asked: Ask) -> Proposal:
    """The proposal from its first question on."""
    try:
        while True:
            try:
                answer = yield asked
            except AskFailed as failure:
                asked = proposal.throw(failure)
            else:
                asked = proposal.send(answer)
    except StopIteration as end:
        plan: Plan | None = end.value
        return plan


def spans(view: View, dialect: Dialect) -> tuple[Edit, ...] | None:
    """What gives way to the provider's words, as edits, the last the fold they stand in; ``None`` where nothing may go."""
    cuts = [cut for cut in view.cuts if cut <= view.tail]
    made = [Fold(0, cuts[-1], _UNSAID, "{}")] if dialect == "anthropic" and len(cuts) > 1 else _between(view, cuts)
    try:
        if made:
            check_plan(Plan("provider", tuple(made)), view)
    except IllegalPlan:
        return None
    return tuple(made) or None


def _between(view: View, cuts: Sequence[int]) -> list[Edit]:
    """The spans between the user's messages: all dropped but the last, which the item stands for."""
    starts = list(view.starts)
    own = {start for start in starts if start in cuts and _is_users(view, start)}
    gone: list[tuple[int, int]] = []
    for start, stop in pairwise(cuts):
        if start in own:
            after = next((place for place in starts if place > start), len(view.source))
            start = after if after in cuts else stop
        if start < stop:
            gone[-1:] = [(gone[-1][0], stop)] if gone and gone[-1][1] == start else [*gone[-1:], (start, stop)]
    return [*(Drop(start, stop) for start, stop in gone[:-1]), *(Fold(start, stop, _UNSAID, "{}") for start, stop in gone[-1:])]


def _is_users(view: View, start: int) -> bool:
    block = view.source[start]
    return block.role == "user" and block.kind in ("text", "image", "document")


def _worded(edits: Sequence[Edit], answer: Answer) -> list[Edit]:
    last = edits[-1]
    return [*edits[:-1], Fold(last.start, last.stop, answer.text, answer.wire)]


def request_for(question: Ask, body: Mapping[str, Json], request: Request, left: float) -> Send:
    """The request that asks the provider to compact ``body``, the live prompt up to where it is to be cut."""
    if request.dialect == "openai-responses":
        kept = {key: value for key, value in body.items() if key in _COMPACT}
        return Send("ask", kept, left, endpoint=ENDPOINT)
    own = {key: value for key, value in body.items() if key not in _NOT_ASKED["anthropic"]}
    return Send("ask", {**own, "compaction": {"type": "summarize", "instructions": question.instruction}}, left, (BETA,))


def compaction_of(received: Received, dialect: Dialect) -> Answer:
    """What the provider wrote, as the message that goes back. Raises ``AskFailed`` where it wrote nothing of use."""
    body = received.body
    usage = usage_of(body, dialect)
    if not received.ok or body is None:
        raise AskFailed(f"the provider could not compact: HTTP {received.status}", usage)
    key = "content" if dialect == "anthropic" else "output"
    parts = body.get(key)
    found = [part for part in parts if isinstance(part, Mapping) and part.get("type") == "compaction"] if isinstance(parts, list) else []
    if len(found) != 1 or not (found[0].get("encrypted_content") or found[0].get("content")):
        raise AskFailed("the provider's compaction is of no use: it holds nothing", usage)
    message: Mapping[str, Json] = {"role": "assistant", "content": [dict(found[0])]} if dialect == "anthropic" else found[0]
    text = str(found[0].get("content") or "[a summary that only the provider can read]")
    return Answer(text, usage or Usage(), json.dumps(message, ensure_ascii=False))


def begins_compacted(body: Mapping[str, Json]) -> bool:
    """Whether the conversation of an Anthropic request begins with a summary that the API wrote."""
    messages = body.get("messages")
    content = messages[0].get("content") if isinstance(messages, list) and messages and isinstance(messages[0], Mapping) else None
    return isinstance(content, list) and bool(content) and isinstance(content[0], Mapping) and content[0].get("type") == "compaction"

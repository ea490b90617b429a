"""The wire grammar: where each rule allows a cut, their intersection, and a follower that agrees with the independent checker."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.blocks import Message
from holdfast.checker import Dialect, check_body
from holdfast.rules import (
    CUT_RULES,
    CutRule,
    FirstUserMessageStays,
    Grammar,
    PairsStayTogether,
    RepliesStartRounds,
    ThinkingOpensItsTurn,
    legal,
    legal_cuts,
)
from holdfast.wire import of
from tests.generators import HISTORY, Body, Reply, conversations, dumps, start

DIALECTS: tuple[Dialect, ...] = ("anthropic", "openai-chat", "openai-responses")
any_conversation = st.sampled_from(DIALECTS).flatmap(lambda dialect: st.tuples(st.just(dialect), conversations(dialect, max_turns=4)))


def history(body: Body, dialect: Dialect = "anthropic") -> list[Message]:
    """The messages of a body."""
    wire = of(dialect)
    return [wire.read_message(raw) for raw in wire.history(body)]


def shape(*replies: Reply) -> list[Message]:
    """A conversation by its replies: each is two messages."""
    conversation = start()
    for reply in replies:
        conversation.reply(reply)
    return history(conversation.body())


CALL, TALK, THINK = Reply(calls=1), Reply(), Reply(calls=1, thinking="signed")


@pytest.mark.parametrize(
    ("rule", "messages", "gaps"),
    [
        (PairsStayTogether(), shape(CALL, TALK), {0, 1, 3, 4, 5}),
        (PairsStayTogether(), shape(Reply(calls=3)), {0, 1, 3}),
        (FirstUserMessageStays(), shape(CALL), {1, 2, 3}),
        (FirstUserMessageStays(), [], set()),
        (RepliesStartRounds(), shape(CALL, TALK), {0, 1, 3, 4, 5}),
        (ThinkingOpensItsTurn(), shape(CALL, CALL), {0, 1, 2, 3, 4, 5}),
        (ThinkingOpensItsTurn(), shape(THINK, CALL, THINK), {0, 1, 5, 7}),
        (ThinkingOpensItsTurn(), shape(THINK, TALK, CALL), {0, 1, 2, 3, 4, 5, 6, 7}),
    ],
)
def test_each_rule_allows_its_gaps(rule: CutRule, messages: list[Message], gaps: set[int]) -> None:
    """Gap *g* stands before message *g*."""
    assert rule.gaps(messages) == gaps


@given(any_conversation)
def test_the_legal_cuts_are_the_intersection(drawn: tuple[Dialect, list[Body]]) -> None:
    """Of all rules; with fewer rules there are at least as many."""
    dialect, bodies = drawn
    messages = history(bodies[-1], dialect)
    starts, at = [], 0
    for message in messages:
        starts.append(at)
        at += len(message.blocks)
    places = [*starts, at]
    allowed = set.intersection(*(rule.gaps(messages) for rule in CUT_RULES))
    assert legal_cuts(messages, starts) == tuple(places[gap] for gap in sorted(allowed))
    for rule in CUT_RULES:
        assert set(legal_cuts(messages, starts)) <= set(legal_cuts(messages, starts, [rule]))


@given(any_conversation, st.data())
def test_dropping_between_legal_cuts_leaves_a_legal_request(drawn: tuple[Dialect, list[Body]], data: st.DataObject) -> None:
    """Whatever lies between two of them can go, says the independent checker."""
    dialect, bodies = drawn
    body = bodies[-1]
    messages = history(body, dialect)
    gaps = sorted(set.intersection(*(rule.gaps(messages) for rule in CUT_RULES)))
    low, high = sorted(data.draw(st.tuples(st.sampled_from(gaps), st.sampled_from(gaps))))
    if high == len(messages):
        return
    lead = len(body[HISTORY[dialect]]) - len(messages)
    raw = body[HISTORY[dialect]]
    left = {**body, HISTORY[dialect]: [*raw[: lead + low], *raw[lead + high :]]}
    assert check_body(dumps(left), dialect) == []
    assert legal(history(left, dialect), dialect) is None


@given(any_conversation, st.data())
def test_the_follower_agrees_with_the_checker_on_pairs(drawn: tuple[Dialect, list[Body]], data: st.DataObject) -> None:
    """A message left out makes a request illegal for both or for neither."""
    dialect, bodies = drawn
    body = bodies[-1]
    raw = body[HISTORY[dialect]]
    lead = len(raw) - len(history(body, dialect))
    gone = data.draw(st.integers(lead, len(raw) - 1))
    left = {**body, HISTORY[dialect]: [message for n, message in enumerate(raw) if n != gone]}
    rules = {violation.rule for violation in check_body(dumps(left), dialect)}
    assert bool(rules) == (legal(history(left, dialect), dialect) is not None or len(raw) - lead == 1)


@given(any_conversation, st.data())
def test_following_message_by_message_is_judging_the_whole(drawn: tuple[Dialect, list[Body]], data: st.DataObject) -> None:
    """Also from a copy made half-way, which leaves the first as it was."""
    dialect, bodies = drawn
    messages = history(bodies[-1], dialect)
    cut = data.draw(st.integers(0, len(messages)))
    first = Grammar(dialect)
    for message in messages[:cut]:
        first.feed(message)
    before = (first.fault, set(first.open_calls), first.seen)
    second = first.copy()
    for message in messages[cut:]:
        second.feed(message)
    assert (first.fault, set(first.open_calls), first.seen) == before
    assert second.complete == (legal(messages, dialect) is None)
    assert first.complete == (legal(messages[:cut], dialect) is None)


def responses(*items: Any) -> list[Message]:
    """Items of a Responses request."""
    return [of("openai-responses").read_message(item) for item in items]


USER = {"role": "user", "content": "hi"}


def call(number: int) -> Body:
    """A call."""
    return {"type": "function_call", "call_id": f"c{number}", "name": "f", "arguments": "{}"}


def output(number: int) -> Body:
    """Its output."""
    return {"type": "function_call_output", "call_id": f"c{number}", "output": "x"}


@pytest.mark.parametrize(
    ("items", "fine"),
    [
        ([USER, call(1), call(2), output(2), output(1)], True),
        ([USER, call(1), USER, output(1)], True),
        ([USER, call(1), call(1), output(1)], False),
        ([USER, call(1), output(1), output(1)], False),
        ([USER, output(1), call(1)], False),
        ([USER, call(1)], False),
    ],
)
def test_parallel_calls_of_responses_are_items_of_their_own(items: list[Any], fine: bool) -> None:
    """Each call has one output, anywhere behind it."""
    assert (legal(responses(*items), "openai-responses") is None) == fine


def test_calls_are_answered_at_once_where_the_dialect_wants_it() -> None:
    """Anthropic takes consecutive messages of the model for one turn; nobody else may speak in between."""
    use = {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "f", "input": {}}]}
    result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": "x"}]}
    said = {"role": "assistant", "content": "well"}
    cases = [
        (True, (USER, use, said, result)),
        (False, (USER, use, USER, result)),
        (False, (USER, result)),
        (False, (said, USER)),
    ]
    for fine, raws in cases:
        assert (legal(history({"messages": list(raws)})) is None) == fine

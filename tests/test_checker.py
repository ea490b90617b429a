"""The independent checker: silent on correct sequences, and each seeded mutant is caught by its own rule."""

from __future__ import annotations

import ast
import copy
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import holdfast.checker
from holdfast import wire
from holdfast.checker import Checker, Dialect, Reader, Sent, check_body, check_sequence
from tests import generators
from tests.generators import HISTORY, Body, Reply, Script, Step
from tests.mutants import (
    MUTANTS,
    Draft,
    Keeper,
    call_used_twice,
    correct,
    edited_thinking,
    judge,
    orphaned_server_result,
    starts_with_the_model,
    strip_thinking,
    unmarked,
)

DIALECTS: tuple[Dialect, ...] = ("anthropic", "openai-chat", "openai-responses")
few = settings(max_examples=40, deadline=None)


# -- what is correct gives no violation


@few
@given(st.sampled_from(DIALECTS).flatmap(lambda dialect: st.tuples(st.just(dialect), generators.scripts(dialect))))
def test_the_generators_make_legal_bodies(drawn: tuple[Dialect, Script]) -> None:
    """Every body of a drawn script is legal, in every dialect and after every event."""
    dialect, script = drawn
    assert [check_body(generators.dumps(step.body), dialect) for step in script.steps] == [[]] * len(script.steps)


@few
@given(st.sampled_from(DIALECTS).flatmap(lambda dialect: st.tuples(st.just(dialect), generators.conversations(dialect))))
def test_growth_sent_as_it_came_breaks_nothing(drawn: tuple[Dialect, list[Body]]) -> None:
    """A conversation that only grows and goes out untouched gives no violation, however serialised."""
    dialect, bodies = drawn
    whole = [Sent(generators.dumps(body), generators.dumps(body)) for body in bodies]
    parts = [Sent(generators.split(body, dialect), generators.split(body, dialect)) for body in bodies]
    assert check_sequence(whole, dialect, binds="prefix", keeps_user_text=True) == []
    assert check_sequence(parts, dialect, binds="prefix", keeps_user_text=True) == []


@few
@given(st.sampled_from(DIALECTS).flatmap(lambda dialect: st.tuples(st.just(dialect), generators.conversations(dialect, max_turns=4))))
def test_blocks_are_counted_as_everywhere_else(drawn: tuple[Dialect, list[Body]]) -> None:
    """The ordinals of announcements mean the same to the checker and to the code that reads prompts."""
    dialect, bodies = drawn
    for body in bodies:
        mine = Reader().read(generators.split(body, dialect), dialect)
        blocks = len(mine.head.parts) + sum(len(message.parts) for message in mine.messages)
        assert blocks == len(list(wire.of(dialect).read(body).blocks))


@few
@given(generators.scripts(), st.lists(st.none() | st.integers(0, 30), min_size=30, max_size=30))
def test_a_sender_that_keeps_its_promises_is_never_blamed(script: Script, clears: list[int | None]) -> None:
    """Announced clears, marks that move, forks, retries and callers that reorder keys give no violation."""
    keepers = {0: Keeper(Checker("anthropic", script.binds, keeps_user_text=True))}
    last = 0
    for step, clear in zip(script.steps, clears, strict=False):
        keeper = keepers.setdefault(step.branch, keepers[last].branch())
        last = step.branch
        request = keeper.send(step.body, clear)
        assert keeper.checker.sent(request.body, request.original, request.announced) == []


@few
@given(generators.scripts(events=("reordered", "swapped")))
def test_passing_on_what_a_caller_reordered_is_a_break(script: Script) -> None:
    """Equal values in other bytes break the prefix where the caller's message had been sent before."""
    checker = Checker("anthropic")
    before: Step | None = None
    for step in script.steps:
        raw = generators.split(step.body)
        found = checker.sent(raw, raw)
        changed = before is not None and any(
            generators.dumps(unmarked(a)) != generators.dumps(unmarked(b))
            for a, b in zip(before.body["messages"], step.body["messages"], strict=False)
        )
        assert {violation.rule for violation in found} <= {"break", "pinned"}
        assert bool(found) == changed
        if changed:
            return
        before = step


@given(generators.scripts(events=("reordered", "swapped", "edited")))
@few
def test_a_script_in_place_shows_the_same_bodies(script: Script) -> None:
    """The live list of ``in_place`` holds at each step what the step's own body holds, and is one object."""
    seen = []
    for live, step in zip(script.in_place(), script.steps, strict=True):
        assert generators.dumps(live.body["messages"]) == generators.dumps(step.body["messages"])
        seen.append(id(live.body["messages"]))
    assert len(set(seen)) == 1


# -- mutants


def test_the_sequence_that_the_mutants_come_from_is_correct() -> None:
    """Without a mutation there is no violation, with bound thinking or without."""
    for binds in (False, True):
        sent, draft = correct(binds)
        draft.keeps_user_text = True
        assert judge(sent, draft, binds) == []


@pytest.mark.parametrize(("mutate", "rule"), MUTANTS, ids=[mutate.__name__ for mutate, _ in MUTANTS])
def test_each_mutant_is_caught_by_its_own_rule(mutate: Callable[[Draft], None], rule: str) -> None:
    """One seeded mistake in the last request gives violations of one rule, all of that request."""
    sent, draft = correct()
    mutate(draft)
    found = judge(sent, draft)
    assert {violation.rule for violation in found} == {rule}, found
    assert {violation.request for violation in found} == {len(sent)}


@pytest.mark.parametrize(
    ("mutate", "rules"),
    [
        (orphaned_server_result, {"orphan", "edited"}),
        (call_used_twice, {"duplicate-id", "edited"}),
        (starts_with_the_model, {"first-role", "edited"}),
    ],
)
def test_mistakes_of_two_kinds_are_named_twice(mutate: Callable[[Draft], None], rules: set[str]) -> None:
    """A mistake that breaks legality and history is reported under both."""
    sent, draft = correct()
    mutate(draft)
    found = {violation.rule for violation in judge(sent, draft)}
    assert found == rules


def test_thinking_kept_behind_an_edit_is_caught_on_models_that_bind_it() -> None:
    """The same body is fine on a model that does not bind thinking, or that drops what is unbound."""
    sent, draft = correct(binds=True)
    draft.announce(4)
    draft.messages[4]["content"][0]["content"] = "[cleared]"
    found = judge(sent, draft, binds=True)
    assert {(violation.rule, violation.where) for violation in found} == {
        ("thinking-bound", "messages[5]"),
        ("thinking-bound", "messages[9]"),
    }
    assert judge(sent, draft, binds=False) == []
    binding = {"block_binding": {"prefix_mismatch_behavior": "drop_block"}}
    assert judge(sent, replace(draft, body={**draft.body, "thinking": binding}), binds=True) == []
    strip_thinking(draft.messages[5])
    strip_thinking(draft.messages[9])
    assert judge(sent, draft, binds=True) == []


def test_thinking_made_behind_an_edit_may_stay() -> None:
    """What the model thought after a clear was signed over the cleared prefix, and is held to that prefix."""
    sent, draft = correct(binds=True)
    assert any(block["type"] == "thinking" for block in draft.messages[9]["content"])
    assert not any(block["type"] == "thinking" for block in draft.messages[3]["content"])
    draft.messages[3]["content"].insert(0, draft.original["messages"][3]["content"][0])
    assert {violation.rule for violation in judge(sent, draft, binds=True)} == {"thinking-bound"}


def test_a_violation_says_where() -> None:
    """The place is a path into the JSON as sent, the request its ordinal."""
    sent, draft = correct()
    edited_thinking(draft)
    (violation,) = judge(sent, draft)
    assert (violation.request, violation.where) == (5, "messages[9].content[0]")


def test_an_attempt_without_an_answer_binds_nobody() -> None:
    """A plan whose request failed may be dropped: the next request agrees with the one before it."""
    sent, draft = correct()
    failed = copy.deepcopy(draft)
    failed.announce(4)
    failed.messages[4]["content"][0]["content"] = "[cleared]"
    attempt = Sent(generators.dumps(failed.body), generators.dumps(failed.original), failed.announced, answered=False)
    assert judge([*sent, attempt], draft) == []
    assert {violation.rule for violation in judge([*sent, replace(attempt, answered=True)], draft)} == {"break"}


def test_a_fork_inherits_the_clears_before_it() -> None:
    """A branch that sends a cleared result in full again breaks the prefix it shares."""
    sent, draft = correct()
    checker = Checker("anthropic")
    for request in sent:
        checker.sent(request.body, request.original, request.announced)
    side = draft.original | {"messages": [*draft.original["messages"][:5], {"role": "user", "content": "Elsewhere."}]}
    faithful = draft.body | {"messages": [*draft.messages[:5], {"role": "user", "content": "Elsewhere."}]}
    assert checker.fork().sent(generators.dumps(faithful), generators.dumps(side)) == []
    faithful["messages"][2] = side["messages"][2]
    found = checker.fork().sent(generators.dumps(faithful), generators.dumps(side))
    assert [(violation.rule, violation.where) for violation in found] == [("break", "messages[2]")]


def test_an_illegal_request_may_go_out_as_it_came() -> None:
    """What the caller got wrong is the caller's to mend."""
    sent, draft = correct()
    del draft.original["messages"][10]["content"][0]
    draft.body = draft.original
    assert judge(sent, draft) == []


@pytest.mark.parametrize("dialect", ["openai-chat", "openai-responses"])
@pytest.mark.parametrize(("drop", "rule"), [("call", "orphan"), ("result", "pair")])
def test_openai_pairs_are_held_together(dialect: Dialect, drop: str, rule: str) -> None:
    """A call without its result, and a result without its call, are found in either dialect."""
    conversation = generators.start(dialect)
    conversation.reply(Reply(calls=2, adds_text=True))
    body = conversation.body()
    history = body[HISTORY[dialect]]
    results = [m for m in history if m.get("role") == "tool" or m.get("type") == "function_call_output"]
    calls = [m for m in history if m.get("type") == "function_call"]
    if drop == "result":
        history.remove(results[0])
    elif calls:
        history.remove(calls[0])
    else:
        del next(m for m in history if m.get("tool_calls"))["tool_calls"][0]
    assert [violation.rule for violation in check_body(generators.dumps(body), dialect)] == [rule]


def test_the_automatic_mark_stands_on_the_newest_message() -> None:
    """With a top-level mark the newest message may be sent as a list at once; without any mark it may not."""
    original = generators.start(marks="automatic").body()
    body = copy.deepcopy(original)
    body["messages"][0]["content"] = [{"type": "text", "text": body["messages"][0]["content"]}]
    assert check_sequence([Sent(generators.dumps(body), generators.dumps(original))]) == []
    del body["cache_control"]
    assert [violation.rule for violation in check_sequence([Sent(generators.dumps(body), generators.dumps(original))])] == ["form"]


@pytest.mark.parametrize("dialect", ["openai-chat", "openai-responses"])
def test_an_openai_string_becomes_a_list_only_to_carry_a_mark(dialect: Dialect) -> None:
    """A new tool output may be sent as one part where a breakpoint stands on it, stays so, and may not without one."""
    conversation = generators.start(dialect)
    conversation.reply(Reply(calls=1))
    original = conversation.body()
    name, kind = ("content", "text") if dialect == "openai-chat" else ("output", "input_text")

    def sent(**mark: Any) -> Body:
        body = copy.deepcopy(original)
        last = body[HISTORY[dialect]][-1]
        last[name] = [{"type": kind, "text": last[name], **mark}]
        return body

    def found(*bodies: Body) -> list[str]:
        requests = [Sent(generators.dumps(body), generators.dumps(original)) for body in bodies]
        return [violation.rule for violation in check_sequence(requests, dialect)]

    marked = sent(prompt_cache_breakpoint={"mode": "explicit"})
    assert found(marked, sent()) == []
    assert found(sent()) == ["form"]
    assert found(marked, original) == ["break"]


@pytest.mark.parametrize(("raw", "dialect"), [(b"{", "anthropic"), (b"[]", "anthropic"), (b'{"model": "x"}', "openai-responses")])
def test_what_is_no_request_is_said_to_be_none(raw: bytes, dialect: Dialect) -> None:
    """Bytes that are no request body give one violation and no error."""
    assert [violation.rule for violation in check_body(raw, dialect)] == ["shape"]


def test_the_checker_imports_nothing_of_what_it_judges() -> None:
    """Its modules import the standard library and one another."""
    for path in Path(holdfast.checker.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            strange = [
                name for name in names if name.partition(".")[0] not in sys.stdlib_module_names and not name.startswith("holdfast.checker")
            ]
            assert strange == [], path.name


def test_a_long_conversation_is_judged_quickly() -> None:
    """Judging a request costs microseconds a message, however long its messages are: each distinct one is read once."""
    conversation = generators.tall_conversation(0)
    checker = Checker("anthropic", "prefix", keeps_user_text=True)
    for _ in range(100):
        conversation.reply(Reply(40, 400, calls=1, thinking="signed"))
        raw = generators.split(conversation.body())
        assert checker.sent(raw, raw) == []
    assert len(checker.reader.pieces["anthropic"]) == len(conversation.messages)

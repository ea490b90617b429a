"""Defects that were found once, each by the request that showed it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest

from holdfast.policy import Wish
from holdfast.session import Session
from holdfast.store import MemoryStore
from holdfast.strategies import named
from tests.contract.subjects import NEVER, OPTIONS, session

Body = dict[str, Any]
OK = {"usage": {"input_tokens": 1, "output_tokens": 1}}
MARK = {"cache_control": {"type": "ephemeral"}}


def user(text: str, **more: Any) -> Body:
    """The user's words."""
    return {"role": "user", "content": [{"type": "text", "text": text, **more}] if more else text}


def said(text: str) -> Body:
    """The model's words."""
    return {"role": "assistant", "content": [{"type": "text", "text": text}]}


def loop(number: int, words: int = 100, thinking: str = "") -> list[Body]:
    """A call and its result."""
    call = {"type": "tool_use", "id": f"t{number}", "name": "run", "input": {"n": number}}
    thought = [{"type": "thinking", "thinking": thinking, "signature": "s"}] if thinking else []
    result = {"type": "tool_result", "tool_use_id": f"t{number}", "content": f"line {number} " * words}
    return [{"role": "assistant", "content": [*thought, call]}, {"role": "user", "content": [result]}]


def body(messages: list[Body], **more: Any) -> Body:
    """A request."""
    return {"model": "claude", "max_tokens": 10, "system": "You are a kelp.", "messages": list(messages), **more}


def send(subject: Session, messages: list[Body], **more: Any) -> tuple[Body, Any]:
    """A request that is answered."""
    out, trace = subject.prepare(body(messages, **more), 0.0)
    subject.observe(OK, of=trace)
    return dict(out), trace


def long(loops: int, thinking: str = "") -> list[Body]:
    """A conversation that is long enough to be shortened."""
    return [user("task " * 50), *(message for n in range(loops) for message in loop(n, thinking=thinking)), said("done"), user("and now?")]


@pytest.mark.parametrize("bad", [OSError("gone"), 7, "\n"])
def test_a_reminder_that_fails_costs_nothing_but_itself(bad: Any) -> None:
    """The ledger goes on, and what is no text is not said."""
    answers = iter(["status", bad])

    def remind() -> str:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[no-any-return]

    subject = session("micro", remind=remind)
    messages = long(8)
    first, _ = send(subject, messages)
    second, trace = send(subject, [*messages, said("yes"), user("next")])
    assert len(json.dumps(second)) < len(json.dumps(body(messages)))
    assert second["messages"][:3] == first["messages"][:3]
    assert bool(trace.errors) == (bad != "\n")
    assert len(second["messages"]) == len(messages) + 3


def test_what_was_moved_out_of_the_head_is_said_also_in_a_tool_loop_and_once_after_a_restart() -> None:
    """Nothing that the caller gave gets lost, and a restart does not say it again."""
    pattern, head = (re.compile(r"Session id: \w+|\d*"),), "You are a kelp. Session id: abc"
    store = MemoryStore()
    subject = session("none", volatile=pattern, store=store)
    messages = [user("task"), *loop(1)]
    out, _ = send(subject, messages, system=head)
    assert "abc" not in json.dumps(out["system"])
    assert "Session id: abc" in json.dumps(out["messages"])
    assert json.dumps(out["system"]).count("newest message") == 1
    more = [*messages, said("r"), user("two")]
    running = subject.prepare(body(more, system=head), 1.0)[0]
    assert session("none", volatile=pattern, store=store).prepare(body(more, system=head), 1.0)[0] == running


def test_a_refusal_of_an_older_request_does_not_bring_a_newer_one_along() -> None:
    """The conversation has gone on: there is nothing to send in its place."""
    subject = session("none", watched=True, fallback=named("truncate"))
    messages = long(6)
    _, first = subject.prepare(body(messages), 0.0)
    _, second = subject.prepare(body([*messages, said("r"), user("SECRET")]), 0.0)
    subject.answered(second)
    assert subject.refused(first, "too_long", 0.0) is None


def test_the_second_try_carries_the_marks_that_its_trace_tells() -> None:
    """The caller's own among them."""
    subject = session("none", fallback=named("truncate"))
    messages = [*long(8)[:-1], user("now", **MARK)]
    _, trace = subject.prepare(body(messages), 0.0)
    found = subject.refused(trace, "too_long", 0.0)
    assert found is not None
    assert json.dumps(found[0]).count("cache_control") == len(found[1].marks) >= 2


def test_a_request_refused_for_its_marks_goes_out_as_it_came_and_the_callers_stay_where_they_are() -> None:
    """Ours are never set again in that conversation; where it is edited later, the caller's stand on their own blocks."""
    subject = session("micro", watched=True, keep_tail_tokens=120)
    messages = [user("task " * 30)]
    _, trace = subject.prepare(body(messages), 0.0)
    found = subject.refused(trace, "refused", 0.0)
    assert found is not None
    assert found[0] == {}
    subject.answered(found[1])
    subject.observe(OK, of=found[1])
    for n in range(6):
        messages = [*messages, said(f"a{n} " * 60), user(f"q{n} " * 60)]
    messages = [*messages, said("fin"), user("own mark here", **MARK)]
    out, trace = subject.prepare(body(messages), 0.0, Wish(strategy=named("truncate")))
    subject.answered(trace)
    assert trace.commit is not None
    assert [message["content"] for message in out["messages"] if "cache_control" in json.dumps(message)] == [messages[-1]["content"]]


def test_a_model_that_binds_nothing_is_not_asked_to_drop_thinking() -> None:
    """A conversation that goes on with another model keeps its ledger, not its settings; what was warm was so for the other."""
    store = MemoryStore()
    one = session("micro", store=store, binds_thinking=True, drop_block=True, model="a")
    messages = [user("task " * 50), *(message for n in range(8) for message in loop(n, thinking="hm " * 9))]
    first, _ = send(one, messages, thinking={"type": "adaptive"})
    assert "block_binding" in first["thinking"]
    other, trace = send(session("micro", store=store, model="b"), [*messages, *loop(99, 5)])
    assert "thinking" not in other
    assert trace.stable_tokens == 0
    assert len(json.dumps(other)) < len(json.dumps(body(messages)))


def test_many_heads_that_look_alike_are_told_apart() -> None:
    """Twelve tenants whose tools differ in the middle each keep a conversation of their own."""
    subject = session("none")

    def tools(tenant: int) -> list[Body]:
        return [{"name": name, "description": f"{name} {tenant if name == 'b' else ''}", "input_schema": {}} for name in "abc"]

    histories = {tenant: [user(f"hello {tenant}")] for tenant in range(12)}
    lineages: dict[int, set[int]] = {tenant: set() for tenant in range(12)}
    for _ in range(3):
        for tenant, messages in histories.items():
            lineages[tenant].add(send(subject, messages, tools=tools(tenant))[1].lineage)
            messages += [said("a"), user("q")]
    assert all(len(found) == 1 for found in lineages.values())


@pytest.mark.parametrize("name", ["micro", "truncate"])
def test_no_edit_touches_the_newest_message_of_a_shorter_history(name: str) -> None:
    """A caller who goes back to where an edit lies now has his newest message read as he wrote it."""
    subject = session(name, keep_tail_tokens=20)
    messages = [user("task"), *(message for n in range(12) for message in loop(n, 300))]
    _, trace = send(subject, messages)
    assert trace.commit is not None
    for count in range(3, len(messages), 4):
        out, _ = subject.prepare(body(messages[:count]), 1.0)
        content = [{key: value for key, value in block.items() if key != "cache_control"} for block in out["messages"][-1]["content"]]
        assert content == messages[count - 1]["content"]


@pytest.mark.parametrize("tail", [1, 120, 10_000])
def test_thinking_that_the_api_does_not_take_is_stripped_wherever_it_stands(tail: int) -> None:
    """Also in the verbatim tail: without that the conversation could not go on."""
    subject = session("micro", binds_thinking=True, watched=True, keep_tail_tokens=tail, schedule=NEVER)
    _, trace = subject.prepare(body(long(4, thinking="hm")), 0.0)
    found = subject.refused(trace, "bound", 0.0)
    assert found is not None
    assert found[1].thinking == "stripped"
    assert '"thinking"' not in json.dumps(found[0]["messages"])
    subject.observe(failed=True, of=found[1])


def test_a_message_of_a_failed_request_keeps_the_form_it_went_out_in() -> None:
    """A bare string that carried a mark is a list from then on, also after a restart."""
    store = MemoryStore()
    subject = session("none", store=store, watched=True)
    send(subject, [user("one")])
    messages = [user("one"), said("r1"), user("two")]
    _, trace = subject.prepare(body(messages), 0.0)
    subject.observe(failed=True, of=trace)
    messages = [*messages, user("three")]
    send(subject, messages)
    messages = [*messages, said("r3"), user("four")]
    running = subject.prepare(body(messages), 1.0)[0]
    assert session("none", store=store, watched=True).prepare(body(messages), 1.0)[0] == running
    assert isinstance(running["messages"][2]["content"], list)


def test_marks_inside_a_tool_result_count_as_its_own() -> None:
    """They take one of the four slots, and a caller who moves them stays in one conversation."""
    subject = session("none")
    lineages = set()
    messages = [user("task")]
    for n in range(3):
        call, result = loop(n, 5)
        marked = {**result["content"][0], "content": [{"type": "text", "text": "r", **MARK}]}
        out, trace = send(subject, [*messages, call, {"role": "user", "content": [marked]}])
        assert json.dumps(out).count("cache_control") <= 4
        lineages.add(trace.lineage)
        plain = {**marked, "content": [{"type": "text", "text": "r"}]}
        messages = [*messages, call, {"role": "user", "content": [plain]}]
    assert len(lineages) == 1


def test_bedrock_gets_no_second_message_of_the_users() -> None:
    """Converse wants roles that alternate, so nothing is said beside the user's words there."""
    options = replace(OPTIONS, marking=False, remind="mind the tide", volatile=(re.compile("kelp"),))
    subject = Session(named("micro"), options, "bedrock-converse")
    messages = [{"role": "user", "content": [{"text": "hi"}]}]
    out, _ = subject.prepare({"modelId": "x", "system": [{"text": "kelp"}], "messages": messages}, 0.0)
    assert [message["role"] for message in out["messages"]] == ["user"]
    assert "kelp" in json.dumps(out["system"])

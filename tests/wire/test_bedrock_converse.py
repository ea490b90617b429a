"""What only Bedrock's Converse has."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.blocks import Kind, Mark, Role
from holdfast.rules import legal
from holdfast.schedule import Schedule
from holdfast.session import Options, Session
from holdfast.strategies import named
from holdfast.usage import Usage, from_bedrock
from holdfast.wire.bedrock_converse import WIRE
from tests.wire.test_round_trip import without_marks

POINT = {"cachePoint": {"type": "default"}}
HOUR = {"cachePoint": {"type": "default", "ttl": "1h"}}
CALL: dict[str, Any] = {"toolUse": {"toolUseId": "t1", "name": "bash", "input": {"command": "ls", "all": True}}}
RESULT = {"toolResult": {"toolUseId": "t1", "content": [{"text": "a.txt"}, {"json": {"count": 1}}], "status": "success"}}
REASONING = {"reasoningContent": {"reasoningText": {"text": "I must list.", "signature": "s"}}}
BODY: dict[str, Any] = {
    "modelId": "anthropic.claude-sonnet-4-5-20250929-v1:0",
    "toolConfig": {"tools": [{"toolSpec": {"name": "bash", "inputSchema": {"json": {}}}}, HOUR], "toolChoice": {"auto": {}}},
    "system": [{"text": "Be brief."}, HOUR],
    "messages": [
        {"role": "user", "content": [{"text": "Look."}, POINT]},
        {"role": "assistant", "content": [REASONING, CALL]},
        {"role": "user", "content": [RESULT, POINT]},
    ],
    "inferenceConfig": {"maxTokens": 100},
    "additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 1024}, "top_k": 5},
}
PLAIN: dict[str, Any] = {**BODY, "messages": [{"role": "user", "content": [{"text": "Look."}]}]}


def test_a_cache_point_is_a_mark_of_the_block_before_it_and_no_block() -> None:
    """Tools, system and messages are counted through; the points are gone from the blocks and stand in the marks."""
    prompt = WIRE.read(BODY)
    assert [(block.kind, block.role) for block in prompt.blocks] == [
        (Kind.TOOL, Role.TOOLS),
        (Kind.SYSTEM, Role.SYSTEM),
        (Kind.TEXT, Role.USER),
        (Kind.THINKING, Role.ASSISTANT),
        (Kind.TOOL_USE, Role.ASSISTANT),
        (Kind.TOOL_RESULT, Role.USER),
    ]
    assert prompt.marks == (Mark(0, 3600), Mark(1, 3600), Mark(2), Mark(5))
    assert "cachePoint" not in json.dumps([block.wire for block in prompt.blocks])


def test_calls_results_and_thinking_are_read_for_what_they_say() -> None:
    """Text, names and the ids that tie a result to its call."""
    _, _, _, thinking, call, result = WIRE.read(BODY).blocks
    assert thinking.text == "I must list."
    assert (call.call, call.tool, call.text) == ("t1", "bash", '{"command":"ls","all":true}')
    assert (result.call, result.text) == ("t1", 'a.txt\n{"count":1}')


def test_settings_are_read_where_converse_holds_them() -> None:
    """The model, the tool choice and the thinking that Claude takes as a field of its own."""
    settings = WIRE.read_settings({**BODY, "outputConfig": {"effort": "low"}, "performanceConfig": {"latency": "optimized"}})
    assert (settings.model, settings.tool_choice) == ("anthropic.claude-sonnet-4-5-20250929-v1:0", '{"auto":{}}')
    assert settings.thinking == '{"budget_tokens":1024,"type":"enabled"}'
    assert (settings.effort, settings.speed, settings.other) == ('"low"', '"optimized"', (("fields", '{"top_k":5}'),))


@pytest.mark.parametrize("content", [[POINT, {"text": "Look."}], [{"text": "Look."}, POINT, HOUR]])
def test_a_point_that_marks_nothing_is_kept_where_it_is(content: list[Any]) -> None:
    """Bedrock answers "There is nothing available to cache": that is between it and the caller, whose bytes stay."""
    body = {**PLAIN, "messages": [{"role": "user", "content": content}]}
    assert json.dumps(WIRE.write(body, WIRE.read(body), WIRE.read_marks(body))) == json.dumps(body)


@pytest.mark.parametrize(
    ("block", "takes"),
    [
        ({"text": "words"}, True),
        ({"text": " "}, False),
        (REASONING, False),
        (CALL, True),
        (RESULT, True),
        ({"document": {"format": "pdf", "name": "d", "source": {"bytes": "aGk="}}}, True),
        ({"document": {"format": "md", "name": "d", "source": {"bytes": "aGk="}}}, False),
        ({"image": {"format": "png", "source": {"bytes": "aGk="}}}, True),
        ({"video": {"format": "mp4", "source": {"bytes": "aGk="}}}, False),
        ({"guardContent": {"text": {"text": "x"}}}, False),
    ],
)
def test_where_a_cache_point_may_stand(block: Any, takes: bool) -> None:
    """Not behind reasoning, nor documents that are no PDF, nor what nobody has seen it work behind."""
    assert WIRE.takes_mark(WIRE.read_message({"role": "user", "content": [block]}).blocks[0]) is takes


def test_the_tool_choice_of_this_request_goes_out_whatever_the_tools_were() -> None:
    """Only the tools belong to the head: a body's own tool choice stays when cache points are placed among them."""
    head = WIRE.read_head(BODY)
    forced = {**PLAIN, "toolConfig": {**BODY["toolConfig"], "toolChoice": {"any": {}}}}
    out = WIRE.write_head(forced, head, {0: 300})
    assert out["toolConfig"] == {"tools": [BODY["toolConfig"]["tools"][0], POINT], "toolChoice": {"any": {}}}
    assert out["system"] == [{"text": "Be brief."}]


def test_provider_tools_are_never_edited() -> None:
    """A call that the provider's own tool made is kept as it is."""
    server = {"toolUse": {**CALL["toolUse"], "type": "server_tool_use"}}
    block = WIRE.read_message({"role": "assistant", "content": [server]}).blocks[0]
    assert (block.kind, block.call) == (Kind.SERVER, None)
    with pytest.raises(ValueError, match="server"):
        WIRE.cleared(block, "gone")


def test_the_roles_take_turns() -> None:
    """The user begins, and two messages of one role in a row are refused by Converse, unlike by Anthropic's own API."""
    messages = WIRE.read(BODY).messages
    assert legal(messages, "bedrock-converse") is None
    assert legal(messages[1:], "bedrock-converse") == "message 0: the first message is not the user's"
    assert legal([messages[0], messages[0]], "bedrock-converse") == "message 1: two messages of the user's in a row"


counts = st.integers(0, 10**6)


@given(fresh=counts, read=counts, five=counts, hour=counts, output=counts)
def test_usage_is_additive_and_split_by_lifetime(fresh: int, read: int, five: int, hour: int, output: int) -> None:
    """``inputTokens`` is what was neither read nor written; ``cacheDetails`` says how long what was written lives."""
    raw = {"inputTokens": fresh, "cacheReadInputTokens": read, "cacheWriteInputTokens": five + hour, "outputTokens": output}
    details = [{"ttl": "1h", "inputTokens": hour}, {"ttl": "5m", "inputTokens": five}]
    assert from_bedrock({**raw, "cacheDetails": details}) == Usage(fresh, read, five, hour, output=output)
    assert from_bedrock(raw) == Usage(fresh, read, five + hour, output=output)


ODD = st.none() | st.integers() | st.text() | st.lists(st.none())


@given(st.dictionaries(st.sampled_from(["inputTokens", "cacheDetails", "cacheWriteInputTokens"]), ODD))
def test_no_usage_is_too_odd_to_be_read(raw: dict[str, Any]) -> None:
    """What is no count is taken for 0."""
    assert min(from_bedrock(raw).as_dict().values()) >= 0


# -- a whole session


def conversation(turns: int) -> list[dict[str, Any]]:
    """The requests of an agent that calls a tool at each turn, thinking first, with reused and unmarked objects."""
    messages: list[Any] = [{"role": "user", "content": [{"text": "Look at all of it. " * 30}]}]
    bodies = [{**PLAIN, "messages": list(messages)}]
    for turn in range(turns):
        call = {"toolUse": {"toolUseId": f"t{turn}", "name": "bash", "input": {"command": f"cat {turn}"}}}
        result = {"toolResult": {"toolUseId": f"t{turn}", "content": [{"text": f"line {turn} " * 200}], "status": "success"}}
        messages += [{"role": "assistant", "content": [REASONING, call]}, {"role": "user", "content": [result]}]
        bodies.append({**PLAIN, "messages": list(messages)})
    return bodies


def unpointed(value: Any) -> Any:
    """A value without its cache points."""
    return without_marks(value, "cachePoint")


def session(strategy: str = "none", **options: Any) -> Session:
    """A session of this dialect that shortens early and reaches for everything."""
    schedule = Schedule(trigger=3000, target=1500, limit=10**6) if strategy != "none" else Schedule(10**9, 10**8, 10**9)
    made = Options(schedule, keep_tail_tokens=300, clock=lambda: 0.0, family="claude")
    given = {"keep_results": 1} if strategy == "micro" else {}
    return Session(named(strategy, **given), replace(made, **options), "bedrock-converse")


def test_a_session_points_at_the_head_and_the_tails_and_changes_nothing_else() -> None:
    """Each request has at most four points, a point at its end, 1h before 5m, and is its caller's own apart from them."""
    subject = session()
    for number, body in enumerate(conversation(8)):
        before = copy.deepcopy(body)
        sent, trace = subject.prepare(body, float(number))
        subject.observe({"usage": {"inputTokens": 1, "outputTokens": 1}})
        assert trace.errors == ()
        assert body == before
        assert json.dumps(unpointed(sent)) == json.dumps(unpointed(body))
        marks = WIRE.read_marks(sent)
        assert 1 <= len(marks) <= 4
        assert sent["messages"][-1]["content"][-1] == POINT
        assert all(WIRE.takes_mark(block) for place, block in enumerate(WIRE.read(sent).blocks) if place in {m.position for m in marks})


def test_between_two_commits_sent_bytes_are_sent_again() -> None:
    """With results cleared on the way, every request begins with what was sent before, but where a commit says otherwise."""
    subject = session("micro")
    last: list[str] = []
    commits = 0
    for number, body in enumerate(conversation(14)):
        sent, trace = subject.prepare(body, float(number))
        subject.observe({"usage": {"inputTokens": 1, "outputTokens": 1}})
        now = [json.dumps(message) for message in unpointed(sent["messages"])]
        if trace.commit is None:
            assert now[: len(last)] == last
        commits += trace.commit is not None
        assert legal(WIRE.read(sent).messages, "bedrock-converse") is None
        last = now
    assert commits


def test_tools_in_other_bytes_go_out_as_first_sent_with_the_choice_of_now() -> None:
    """Reordered keys begin no other prefix, and an old tool choice never comes back."""
    subject = session()
    first, second = conversation(1)
    subject.prepare(first, 0.0)
    subject.observe()
    tools = [dict(reversed(tool.items())) for tool in json.loads(json.dumps(second["toolConfig"]["tools"]))]
    tools[0]["toolSpec"] = dict(reversed(tools[0]["toolSpec"].items()))
    sent, _ = subject.prepare({**second, "toolConfig": {"tools": tools, "toolChoice": {"any": {}}}}, 1.0)
    assert json.dumps(unpointed(sent["toolConfig"])) == json.dumps(unpointed({**second["toolConfig"], "toolChoice": {"any": {}}}))


def test_binary_data_of_an_sdk_that_is_no_json_is_left_alone() -> None:
    """A body with raw bytes in it goes out as the object it came as, and the trace says why."""
    body = {**PLAIN, "messages": [{"role": "user", "content": [{"image": {"format": "png", "source": {"bytes": b"hi"}}}]}]}
    sent, trace = session().prepare(body, 0.0)
    assert sent is body
    assert trace.errors

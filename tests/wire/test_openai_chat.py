"""What only Chat Completions has."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from holdfast.blocks import Kind, Mark, Role
from holdfast.readers import lines
from holdfast.wire.openai_chat import WIRE

CALL = {"id": "c1", "type": "function", "function": {"name": "bash", "arguments": '{"command":"ls"}'}}
BODY = {
    "model": "deepseek-chat",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": [{"type": "text", "text": "One."}, {"type": "text", "text": "Two."}]},
        {"role": "user", "content": "Look."},
        {"role": "assistant", "content": "", "reasoning_content": "I must list.", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c1", "content": "a.txt"},
        {"role": "system", "content": "A later word."},
    ],
    "tools": [{"type": "function", "function": {"name": "bash", "parameters": {}}}],
}


def test_leading_system_messages_are_the_head() -> None:
    """Tools, then a block for each part of the leading messages; a later system message is one of the history."""
    prompt = WIRE.read(BODY)
    assert [(block.role, block.text) for block in prompt.head] == [
        (Role.TOOLS, ""),
        (Role.SYSTEM, "Be brief."),
        (Role.SYSTEM, "One."),
        (Role.SYSTEM, "Two."),
    ]
    assert [message.role for message in prompt.messages] == [Role.USER, Role.ASSISTANT, Role.USER, Role.SYSTEM]
    assert WIRE.leading(BODY) == 2
    assert [raw["role"] for raw in WIRE.history(BODY)] == ["user", "assistant", "tool", "system"]


def test_who_speaks_in_the_head_is_part_of_its_bytes() -> None:
    """The same words as system and as developer message are different prefixes."""
    system = WIRE.read_head({"messages": [{"role": "system", "content": "Hi"}]})
    developer = WIRE.read_head({"messages": [{"role": "developer", "content": "Hi"}]})
    assert system[0].fingerprint != developer[0].fingerprint


def test_calls_and_results_are_blocks_tied_by_their_id() -> None:
    """Each tool call is a block, each tool message one of the user's side; empty content is none."""
    _, answer, result, _ = WIRE.read(BODY).messages
    assert [(block.kind, block.call, block.tool, block.text) for block in answer.blocks] == [
        (Kind.TOOL_USE, "c1", "bash", '{"command":"ls"}')
    ]
    assert [(block.kind, block.role, block.call, block.text) for block in result.blocks] == [(Kind.TOOL_RESULT, Role.USER, "c1", "a.txt")]


def test_a_cleared_call_keeps_the_envelope_and_is_still_json() -> None:
    """Reasoning beside the call stays, and a server that parses the arguments can."""
    message = WIRE.read(BODY).messages[1]
    block = WIRE.cleared(message.blocks[0], 'was "ls"')
    written = WIRE.write_message(replace(message, blocks=(block,), edited=True), {})
    assert written["reasoning_content"] == "I must list."
    assert written["content"] == ""
    assert json.loads(written["tool_calls"][0]["function"]["arguments"]) == {"cleared": 'was "ls"'}


def test_a_string_content_becomes_one_part_where_a_mark_must_stand() -> None:
    """User, tool and leading system messages take marks; an assistant's message never does and stays the same object."""
    prompt = WIRE.read(BODY)
    out = WIRE.write(BODY, prompt, (Mark(1, 1800), Mark(4, 1800), Mark(5, 1800), Mark(6, 43_200)))["messages"]
    short = {"prompt_cache_breakpoint": {"mode": "explicit"}}
    assert out[0]["content"] == [{"type": "text", "text": "Be brief.", **short}]
    assert out[2]["content"] == [{"type": "text", "text": "Look.", **short}]
    assert out[3] is prompt.messages[1].wire
    assert out[4]["content"] == [{"type": "text", "text": "a.txt", "prompt_cache_breakpoint": {"mode": "explicit", "ttl": "12h"}}]


def test_a_mark_without_a_lifetime_has_the_requests() -> None:
    """``prompt_cache_options.ttl`` is what a bare mark means."""
    part = {"type": "text", "text": "Hi", "prompt_cache_breakpoint": {"mode": "explicit"}}
    body = {"messages": [{"role": "user", "content": [part]}]}
    assert WIRE.read_marks(body) == (Mark(0, 1800),)
    assert WIRE.read_marks({**body, "prompt_cache_options": {"ttl": "12h"}}) == (Mark(0, 43_200),)


def test_a_mark_inside_a_result_is_part_of_its_block() -> None:
    """A result is one block: the mark on its last part is the block's, one on an earlier part stays where it is."""
    marked = {"type": "text", "text": "a", "prompt_cache_breakpoint": {"mode": "explicit"}}
    body = {"messages": [BODY["messages"][2], BODY["messages"][3], {"role": "tool", "tool_call_id": "c1", "content": [marked, marked]}]}
    prompt = WIRE.read(body)
    assert WIRE.read_marks(body) == (Mark(2, 1800),)
    assert prompt.messages[2].wire["content"] == [marked, {"type": "text", "text": "a"}]
    assert WIRE.write(body, prompt, (Mark(2, 1800),)) == body


def test_a_tool_choice_that_keeps_the_prefix_is_no_setting() -> None:
    """Forbidding tools does not change the cache key; forcing one does; key order within a setting does not."""
    plain = WIRE.read_settings({"model": "gpt-5.5"})
    assert WIRE.read_settings({"model": "gpt-5.5", "tool_choice": "none"}) == plain
    assert WIRE.read_settings({"model": "gpt-5.5", "tool_choice": "required"}) != plain
    assert WIRE.read_settings({"response_format": {"a": 1, "b": 2}}) == WIRE.read_settings({"response_format": {"b": 2, "a": 1}})


def test_recorded_messages_keep_their_bytes(corpus: Path) -> None:
    """Every message of the 200 tau-bench conversations comes out as it was."""
    for trajectory in lines.document(corpus / "chat-no-usage/tau-bench/gpt-4o-airline.json.gz"):
        body = {"messages": trajectory["traj"]}
        assert json.dumps(WIRE.write(body, WIRE.read(body))) == json.dumps(body)

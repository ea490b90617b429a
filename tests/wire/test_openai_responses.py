"""What only the Responses API has."""

from __future__ import annotations

from dataclasses import replace

import pytest

from holdfast.blocks import Kind, Mark, Role
from holdfast.wire.openai_responses import WIRE

ITEMS = [
    {"role": "developer", "content": "Be brief."},
    {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Look."}]},
    {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Listing."}], "encrypted_content": "x"},
    {"type": "function_call", "call_id": "c1", "name": "bash", "arguments": "{}"},
    {"type": "custom_tool_call", "call_id": "c2", "name": "apply_patch", "input": "***"},
    {"type": "local_shell_call", "call_id": "c3", "action": {"type": "exec", "command": ["ls"]}},
    {"type": "web_search_call", "id": "w1", "action": {}},
    {"type": "function_call_output", "call_id": "c1", "output": "a.txt"},
    {"type": "custom_tool_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "done"}]},
    {"type": "computer_call_output", "call_id": "c4", "output": {"type": "computer_screenshot", "image_url": "data:"}},
    {"type": "item_from_tomorrow", "payload": 1},
]
BODY = {"model": "gpt-5.6", "instructions": "You are kelp.", "tools": [{"type": "function", "name": "bash"}], "input": ITEMS}


def test_each_item_is_one_message() -> None:
    """Kinds, sides, ids and texts of all kinds of item."""
    found = [(b.kind, b.role, b.call, b.tool, b.text) for message in WIRE.read(BODY).messages for b in message.blocks]
    assert found == [
        (Kind.TEXT, Role.USER, None, None, "Look."),
        (Kind.THINKING, Role.ASSISTANT, None, None, "Listing."),
        (Kind.TOOL_USE, Role.ASSISTANT, "c1", "bash", "{}"),
        (Kind.TOOL_USE, Role.ASSISTANT, "c2", "apply_patch", "***"),
        (Kind.TOOL_USE, Role.ASSISTANT, "c3", "local_shell", '{"type":"exec","command":["ls"]}'),
        (Kind.SERVER, Role.ASSISTANT, None, None, ""),
        (Kind.TOOL_RESULT, Role.USER, "c1", None, "a.txt"),
        (Kind.TOOL_RESULT, Role.USER, "c2", None, "done"),
        (Kind.TOOL_RESULT, Role.USER, "c4", None, ""),
        (Kind.UNKNOWN, Role.USER, None, None, ""),
    ]


def test_the_head_is_tools_instructions_and_the_leading_developer_items() -> None:
    """All that stands before the first other item."""
    assert [(block.role, block.text) for block in WIRE.read_head(BODY)] == [
        (Role.TOOLS, ""),
        (Role.SYSTEM, "You are kelp."),
        (Role.SYSTEM, "Be brief."),
    ]


def test_a_string_input_stays_one_until_something_must_stand_on_it() -> None:
    """A bare string is one user message; with a mark it becomes an item with one part."""
    body = {"model": "gpt-5.6", "input": "Hi"}
    prompt = WIRE.read(body)
    assert [block.text for block in prompt.blocks] == ["Hi"]
    assert WIRE.write(body, prompt) == body
    assert WIRE.write(body, prompt, (Mark(0, 1800),))["input"] == [
        {"role": "user", "content": [{"type": "input_text", "text": "Hi", "prompt_cache_breakpoint": {"mode": "explicit"}}]}
    ]


def test_marks_stand_on_the_users_side_only() -> None:
    """Outputs of functions take a mark on their last part; calls, reasoning, tools and instructions do not."""
    out = WIRE.write(BODY, WIRE.read(BODY), tuple(Mark(place, 1800) for place in range(13)))
    assert [mark.position for mark in WIRE.read_marks(out)] == [2, 3, 9, 10]
    assert out["input"][7]["output"][0]["type"] == "input_text"


def test_clearing_keeps_an_item_what_it_is() -> None:
    """Function arguments stay JSON, a shell command stays a list, an output becomes a string; a screenshot cannot be cleared."""
    blocks = [message.blocks[0] for message in WIRE.read(BODY).messages]
    assert WIRE.cleared(blocks[2], "gone").wire["arguments"] == '{"cleared":"gone"}'
    assert WIRE.cleared(blocks[3], "gone").wire["input"] == "gone"
    assert WIRE.cleared(blocks[4], "gone").wire["action"] == {"type": "exec", "command": ["gone"]}
    assert WIRE.cleared(blocks[7], "gone").wire["output"] == "gone"
    for block in (blocks[1], blocks[8], blocks[9]):
        with pytest.raises(ValueError, match="cannot be cleared"):
            WIRE.cleared(block, "gone")


def test_an_edited_message_keeps_its_other_parts() -> None:
    """One part of two is cleared; the item's own keys and the other part stay."""
    raw = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "One"}, {"type": "input_image", "image_url": "u"}]}
    message = WIRE.read_message(raw)
    edited = replace(message, blocks=(WIRE.cleared(message.blocks[0], "gone"), message.blocks[1]), edited=True)
    assert WIRE.write_message(edited, {}) == {**raw, "content": [{"type": "input_text", "text": "gone"}, raw["content"][1]]}

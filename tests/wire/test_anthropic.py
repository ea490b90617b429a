"""What only Anthropic's dialect has."""

from __future__ import annotations

import pytest

from holdfast.blocks import Kind, Mark, Role
from holdfast.wire.anthropic import WIRE

BODY = {
    "model": "claude-sonnet-4-5",
    "tools": [{"name": "read", "input_schema": {}}, {"name": "bash", "input_schema": {}}],
    "system": "Be brief.",
    "messages": [
        {"role": "user", "content": "Look."},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "", "signature": "s"}, {"type": "text", "text": "Yes."}]},
    ],
}


def test_a_string_system_becomes_a_list_only_where_a_mark_must_stand() -> None:
    """A mark behind the system turns it into one block; a mark on a tool leaves the system as it was."""
    prompt = WIRE.read(BODY)
    assert WIRE.write(BODY, prompt, (Mark(1),))["system"] == "Be brief."
    marked = WIRE.write(BODY, prompt, (Mark(2, 3600),))
    assert marked["system"] == [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]
    assert marked["tools"] == BODY["tools"]


def test_a_mark_that_is_not_wanted_any_more_leaves_head_and_messages() -> None:
    """The caller's marks on tools and system go when a plan has others, so that a request never has more than planned."""
    mark = {"cache_control": {"type": "ephemeral"}}
    body = {**BODY, "tools": [{"name": "read", **mark}], "system": [{"type": "text", "text": "Be brief.", **mark}]}
    out = WIRE.write(body, WIRE.read(body), (Mark(2),))
    assert WIRE.read_marks(out) == (Mark(2),)


def test_thinking_is_never_cleared() -> None:
    """Thinking is signed: asking to clear it is an error."""
    thinking = WIRE.read(BODY).messages[1].blocks[0]
    assert thinking.kind is Kind.THINKING
    with pytest.raises(ValueError, match="thinking"):
        WIRE.cleared(thinking, "gone")


def test_the_head_is_tools_then_system() -> None:
    """Head blocks stand in the order in which a prompt is rendered."""
    assert [block.role for block in WIRE.read_head(BODY)] == [Role.TOOLS, Role.TOOLS, Role.SYSTEM]

"""Weighing without a bill: exact for what is short, near for what is long."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from holdfast.blocks import Role
from holdfast.scale import scale
from holdfast.wire.anthropic import read_block

SAID = (
    "def kelp(rock: int) -> None:",
    "    return tide[rock]  # wave",
    '{"path": "src/reef.py", "line": 12}',
    "the current is strong today",
)
LINES = st.lists(st.sampled_from(SAID), min_size=80, max_size=400)


@given(st.text(max_size=1000))
def test_a_short_text_is_weighed_exactly(text: str) -> None:
    """An estimate of what can be counted quickly is the count."""
    block = read_block({"type": "text", "text": text}, Role.USER)
    assert scale("claude").estimate(block) == scale("claude").weigh(block)


@given(LINES)
def test_a_long_text_is_weighed_from_samples(lines: list[str]) -> None:
    """The estimate of a long text is within a third of the count, and the same each time."""
    block = read_block({"type": "tool_result", "tool_use_id": "t", "content": "\n".join(lines)}, Role.USER)
    exact, near = scale("claude").weigh(block), scale("claude").estimate(block)
    assert abs(near - exact) < exact / 3
    assert near == scale("claude").estimate(block)

"""Where the tail of a prompt starts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from holdfast.tail import tail_start

WEIGHTS = st.lists(st.integers(0, 50), min_size=1, max_size=30)


@given(WEIGHTS, st.integers(0, 300))
def test_the_tail_is_the_longest_that_fits(weights: list[int], keep: int) -> None:
    """The tail fits, or is the last message alone, and one message more does not fit."""
    first = tail_start(weights, keep)
    assert sum(weights[first:]) <= keep or first == len(weights) - 1
    assert first == 0 or sum(weights[first - 1 :]) > keep


@given(WEIGHTS, st.integers(0, 300), st.data())
def test_what_follows_the_prompt_does_not_matter(weights: list[int], keep: int, data: st.DataObject) -> None:
    """A prompt that shares its log with longer ones has the tail it would have alone."""
    stop = data.draw(st.integers(1, len(weights)))
    assert tail_start(weights, keep, stop) == tail_start(weights[:stop], keep)


def test_no_message_has_no_tail() -> None:
    """An empty history's tail starts at 0."""
    assert tail_start([], 10) == 0

"""The tail: the newest messages of a prompt, which every strategy leaves as they are."""

from __future__ import annotations

from collections.abc import Sequence


def tail_start(weights: Sequence[int], keep: int, stop: int | None = None) -> int:
    """The ordinal of the tail's first message: the oldest from which on the messages hold at most ``keep`` tokens.

    ``weights``: the tokens of each message, of which the prompt has the first ``stop`` (all, if not given). The last message
    always belongs to the tail, whatever it weighs; 0 where there is no message. Takes time in the length of the tail.
    """
    first = len(weights) if stop is None else stop
    left = keep
    while first and (left := left - weights[first - 1]) >= 0:
        first -= 1
    return max(0, min(first, (len(weights) if stop is None else stop) - 1))

"""A small soak: conversations at once, faults at random. ``python -m benchmarks.soak`` is the large one."""

from __future__ import annotations

from benchmarks.soak import Plan, soak


def test_no_conversation_notices_the_others_or_the_faults() -> None:
    """Fourteen conversations on threads and tasks, all dialects and all strategies, meet faults, and nothing is corrupted or lost."""
    result = soak(Plan(conversations=14, requests=14 * 6, epoch=30, faults=0.03, restarts=0.01, trigger=1_200))
    assert result["failures"] == []
    assert result["requests"] == 84
    assert result["recalled"] > 0
    assert result["seen"]["store errors"] > 0

"""Tests of an agent's caching, without a key and without a bill, with the fixtures that come with Holdfast.

    pytest examples/test_with_fake.py
"""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from anthropic import Anthropic

from holdfast.testing import Audit, FakeProvider, assert_hit_rate


def agent(url: str, clock: bool = False) -> None:
    """The agent under test. With a clock in its system prompt no request can read what the one before it has written."""
    client, history = Anthropic(base_url=url, api_key="any"), list[Any]()
    for turn in range(8):
        history.append({"role": "user", "content": f"Page {turn}:\n" + f"line {turn} of the survey\n" * 400})
        system = f"You read surveys. It is {turn} o'clock." if clock else "You read surveys."
        asked: Any = {"system": system, "messages": history, "cache_control": {"type": "ephemeral"}}
        message = client.messages.create(model="claude-sonnet-5", max_tokens=1024, **asked)
        history.append({"role": "assistant", "content": message.content})


def test_the_agent_keeps_its_cache(fake_provider: FakeProvider, cache_audit: Audit) -> None:
    """Three quarters of what it sends, or more, is read from the cache."""
    agent(fake_provider.url)
    assert_hit_rate(cache_audit, at_least=0.75)


def test_a_clock_in_the_system_prompt_is_found(fake_provider: FakeProvider, cache_audit: Audit) -> None:
    """The failure names the place: ``system``."""
    agent(fake_provider.url, clock=True)
    assert [found.difference and found.difference.place for found in cache_audit.breaks] == list(itertools.repeat("system", 7))
    with pytest.raises(AssertionError, match="o'clock"):
        assert_hit_rate(cache_audit, at_least=0.75)

"""Which means of caching a model takes, and the key that keeps a conversation on one machine."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.prefix import chain_of
from holdfast.routing import cache_key, marks_of, shards, takes_key, with_key
from holdfast.transcript import Dialect
from holdfast.wire import of

ids = st.binary(min_size=16, max_size=16)


@pytest.mark.parametrize(
    ("provider", "model", "means"),
    [
        ("anthropic", "claude-opus-5-5", "cache_control"),
        ("vertex", "claude-sonnet-4-5@20250929", "cache_control"),
        ("foundry", "claude-opus-5", "cache_control"),
        ("bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "cache_point"),
        ("bedrock", "amazon.nova-pro-v1:0", ""),
        ("openai", "gpt-5.6-sol", "breakpoints"),
        ("openai", "gpt-5.10", "breakpoints"),
        ("openai", "gpt-6-astra", "breakpoints"),
        ("openai", "gpt-6.2-sol-2026-11-01", "breakpoints"),
        ("openai", "gpt-5.5-pro", "key"),
        ("openai", "gpt-5", "key"),
        ("openai", "gpt-4o-mini", "key"),
        ("openai", "ft:gpt-4.1:acme::7p4lURx", "key"),
        ("openai", "o3", "key"),
        ("azure", "gpt-6-sol", "key"),
        ("azure", "my-deployment", "key"),
        ("deepseek", "deepseek-flash", ""),
        ("xai", "grok-4.7", ""),
        ("google", "gemini-3-pro", ""),
        ("vllm", "gpt-oss-120b", ""),
        ("openrouter", "openai/gpt-5.6-sol", ""),
        ("", "gpt-6-sol", ""),
    ],
)
def test_what_a_models_provider_takes(provider: str, model: str, means: str) -> None:
    """Claude takes marks wherever it is served, OpenAI's from 5.6 on too, its older ones a key; of others nothing is assumed."""
    assert marks_of(provider, model) == means
    assert marks_of(provider.upper(), model.upper()) == means


@pytest.mark.parametrize(("dialect", "means"), [("anthropic", "cache_control"), ("bedrock-converse", "cache_point")])
def test_bedrock_takes_what_the_form_of_the_body_has(dialect: Dialect, means: str) -> None:
    """InvokeModel takes Anthropic's own bodies, Converse cache points."""
    assert marks_of("bedrock", "anthropic.claude-opus-5", dialect) == means


@given(ids, ids, ids, st.integers(0, 99))
def test_a_key_is_told_by_its_root_and_nothing_else(head: bytes, first: bytes, other: bytes, shard: int) -> None:
    """Short enough for the API (64), printable, equal for equal roots, different for another head, first message or shard."""
    key = cache_key(head, first, shard)
    assert key == cache_key(head, first, shard)
    assert len(key) == 35
    assert key.isascii()
    assert head.hex() not in key
    assert (key == cache_key(head, other, shard)) == (first == other)
    assert (key == cache_key(other, first, shard)) == (head == other)
    assert key != cache_key(head, first, shard + 1)
    assert key != cache_key(head, first, shard, b"secret")


def test_where_head_ends_is_part_of_the_root() -> None:
    """The same bytes parted elsewhere are another conversation."""
    assert cache_key(b"ab", b"c") != cache_key(b"a", b"bc")


def test_another_process_makes_the_same_key() -> None:
    """No seed of this process is in it: after a restart, or on another replica, the prompt goes to the same machine."""
    command = "from holdfast.routing import cache_key; print(cache_key(b'head', b'first', 2))"
    result = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout.strip() == cache_key(b"head", b"first", 2)


def test_forks_and_later_requests_share_the_key_of_their_root() -> None:
    """The ids of head and first message stay while the conversation grows or parts, and differ where the task does."""
    wire = of("openai-chat")

    def key(*said: str) -> str:
        history = [{"role": "system", "content": "Be brief."}, *({"role": "user", "content": one} for one in said)]
        chain = chain_of(wire.read({"model": "gpt-5.5", "messages": history}))
        return cache_key(chain.ids[chain.head - 1], chain.ids[chain.head])

    assert key("task") == key("task", "more") == key("task", "other")
    assert key("task") != key("another task")


@pytest.mark.parametrize(
    ("host", "known"),
    [
        ("api.openai.com", True),
        ("https://api.openai.com/v1", True),
        ("https://eu.api.openai.com/v1/", True),
        ("https://acme.openai.azure.com/openai/deployments/x", True),
        ("https://acme.cognitiveservices.azure.com", True),
        ("https://acme.services.ai.azure.com/openai/v1/", True),
        ("http://localhost:8000/v1", False),
        ("https://api.deepseek.com", False),
        ("https://openrouter.ai/api/v1", False),
        ("https://api.openai.com.evil.example/v1", False),
        ("https://notapi.openai.com.example", False),
        ("https://myapi.openai.community", False),
        ("", False),
    ],
)
def test_only_hosts_that_know_the_key_are_sent_one(host: str, known: bool) -> None:
    """OpenAI's and Azure's, by the end of their name and not by a part of it."""
    assert takes_key(host) is known


@pytest.mark.parametrize("own", [{"prompt_cache_key": "mine"}, {"user": "u1"}])
def test_a_callers_own_key_is_never_replaced(own: dict[str, str]) -> None:
    """The same object goes out; ``user`` is what the key replaces, and does its work where it is set."""
    body = {"model": "gpt-5.5", "messages": [], **own}
    assert with_key(body, "hf-1") is body


def test_the_key_is_added_to_a_copy() -> None:
    """The caller's body stays as it was, and a key that is set to nothing is none."""
    body: dict[str, Any] = {"model": "gpt-5.5", "messages": [], "prompt_cache_key": None}
    assert with_key(body, "hf-1")["prompt_cache_key"] == "hf-1"
    assert body["prompt_cache_key"] is None


@pytest.mark.parametrize(("rate", "count"), [(0, 1), (15, 1), (15.1, 2), (100, 7)])
def test_how_many_keys_a_rate_needs(rate: float, count: int) -> None:
    """One for each 15 requests a minute."""
    assert shards(rate) == count

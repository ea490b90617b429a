"""The pytest plug-in and the audit: what an agent's requests did to the cache, and whose fault a bad rate is."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.testing.audit import Audit, Look, assert_hit_rate
from holdfast.testing.fake.provider import FakeProvider
from holdfast.testing.fake.values import Asked
from holdfast.usage import Usage

pytest_plugins = ("pytester",)

MARK = {"type": "ephemeral"}
LONG = "kelp rock tide wave anchor current shell reef " * 300
TEXT = "kelp rock tide wave " * 40
PATHS = {"anthropic": "/v1/messages", "chat": "/v1/chat/completions", "responses": "/v1/responses"}
MODELS = {"anthropic": "claude-sonnet-4-5", "chat": "gpt-5.6-sol", "responses": "gpt-5.6-sol"}


def body(dialect: str, turns: int, system: str = LONG, change: Callable[[list[Any]], None] | None = None) -> dict[str, Any]:
    """A conversation of so many turns."""
    messages: list[Any] = []
    for turn in range(turns):
        messages += [{"role": "user", "content": f"{turn} {TEXT}"}, {"role": "assistant", "content": f"answer {turn}"}]
    messages = messages[:-1]
    if change is not None:
        change(messages)
    if dialect == "responses":
        return {"model": MODELS[dialect], "instructions": system, "input": messages}
    if dialect == "chat":
        return {"model": MODELS[dialect], "messages": [{"role": "system", "content": system}, *messages]}
    return {"model": MODELS[dialect], "max_tokens": 9, "system": system, "messages": messages, "cache_control": MARK}


def ask(fake: FakeProvider, dialect: str, sent: dict[str, Any]) -> None:
    """One accepted request."""
    answer = httpx2.post(fake.url + PATHS[dialect], json=sent)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("dialect", PATHS)
def test_a_growing_conversation_has_no_breaks(dialect: str) -> None:
    """Each prompt reads what the one before it left, so the rate is high and nothing is reported."""
    with FakeProvider(counter="sampled") as fake:
        for turns in (1, 2, 3, 4):
            ask(fake, dialect, body(dialect, turns))
        audit = Audit(fake)
        assert [len(turns) for turns in audit.conversations] == [4]
        assert audit.breaks == []
        assert audit.hit_rate > 0.9
        assert_hit_rate(audit, at_least=0.9)
        assert_hit_rate(fake, at_least=0.9)
        assert audit.report().splitlines()[-1] == "no breaks"
        with pytest.raises(AssertionError, match=r"hit rate 9.\.\d% is below 99.9%.*\n.*so large is the part of its prompt that was new"):
            assert_hit_rate(audit, at_least=0.999)


@pytest.mark.parametrize(("dialect", "place"), [("anthropic", "system"), ("chat", "messages[0].content"), ("responses", "instructions")])
def test_a_clock_in_the_system_prompt_is_named(dialect: str, place: str) -> None:
    """The request, the block, the text around the change and the tokens written again stand in the failure."""
    with FakeProvider(counter="sampled") as fake:
        for turns in (1, 2):
            ask(fake, dialect, body(dialect, turns, f"Now it is 12:0{turns}. {LONG}"))
        with pytest.raises(AssertionError) as caught:
            assert_hit_rate(fake)
        (found,) = Audit(fake).breaks
        assert found.difference is not None
        assert (found.request, found.difference.place) == (2, place)
        assert found.tokens == fake.requests[0].usage.written  # type: ignore[union-attr]  # it was billed
        for part in (f"request 2 ({PATHS[dialect]}, conversation 1)", f"{found.tokens:,} cached tokens", f"first difference: {place}"):
            assert part in str(caught.value)
        assert "Now it is 12:01." in found.difference.was
        assert "Now it is 12:02." in found.difference.now


def _edit(messages: list[Any]) -> None:
    messages[1]["content"] = "answer 0, improved"


def _drop(messages: list[Any]) -> None:
    del messages[1:3]


@pytest.mark.parametrize("dialect", PATHS)
@pytest.mark.parametrize("change", [_edit, _drop])
def test_an_edit_in_the_history_is_named(dialect: str, change: Callable[[list[Any]], None]) -> None:
    """An edited or dropped message is a break of the same conversation, at its place in the body."""
    with FakeProvider(counter="sampled") as fake:
        ask(fake, dialect, body(dialect, 3))
        ask(fake, dialect, body(dialect, 4, change=change))
        (found,) = Audit(fake).breaks
        assert found.difference is not None
        key = "input" if dialect == "responses" else "messages"
        assert found.difference.place == f"{key}[{2 if dialect == 'chat' else 1}].content"
        assert "answer 0" in found.difference.was


def test_a_conversation_that_goes_on_by_an_id_is_one() -> None:
    """What ``previous_response_id`` stands for belongs to the prompt."""
    with FakeProvider(counter="sampled") as fake:
        previous = None
        for _ in range(3):
            sent = {"model": MODELS["responses"], "input": LONG if previous is None else TEXT, "previous_response_id": previous}
            previous = httpx2.post(fake.url + PATHS["responses"], json=sent).json()["id"]
        audit = Audit(fake)
        assert [len(turns) for turns in audit.conversations] == [3]
        assert audit.breaks == []
        assert_hit_rate(audit, at_least=0.8)


def test_a_changed_setting_is_named() -> None:
    """Another model reads nothing of what the first one wrote."""
    with FakeProvider(counter="sampled") as fake:
        ask(fake, "chat", body("chat", 1))
        ask(fake, "chat", {**body("chat", 2), "model": "gpt-6-sol"})
        (found,) = Audit(fake).breaks
        assert found.difference is not None
        assert (found.difference.place, found.difference.was, found.difference.now) == ("model", "gpt-5.6-sol", "gpt-6-sol")


def test_an_entry_that_expired_is_not_blamed_on_a_block() -> None:
    """The prompt only grew, but too late."""
    now = [0.0]
    with FakeProvider(counter="sampled", clock=lambda: now[0]) as fake:
        ask(fake, "anthropic", body("anthropic", 1))
        now[0] = 400.0
        ask(fake, "anthropic", body("anthropic", 2))
        (found,) = Audit(fake).breaks
        assert found.difference is None
        assert "the entry expired" in str(found)


def test_forks_and_other_agents_are_conversations_of_their_own() -> None:
    """A branch as long as what it left is no break; a refused request is not counted."""
    with FakeProvider(counter="sampled") as fake:
        ask(fake, "anthropic", body("anthropic", 2))
        ask(fake, "anthropic", body("anthropic", 2, change=lambda messages: messages[2].update(content=f"else {TEXT}")))
        ask(fake, "chat", body("chat", 1))
        assert httpx2.post(f"{fake.url}/v1/messages", json={"model": "claude-sonnet-4-5"}).status_code == 400
        audit = Audit(fake)
        assert [[turn.number for turn in turns] for turns in audit.conversations] == [[1], [2], [3]]
        assert audit.breaks == []
        with pytest.raises(AssertionError, match="no conversation has more than 1 billed request"):
            assert_hit_rate(audit)


def test_prompts_that_are_never_cached_are_said_to_be() -> None:
    """Without a mark there is nothing to read, and no block is to blame."""
    with FakeProvider(counter="sampled") as fake:
        for turns in (1, 2):
            sent = body("anthropic", turns)
            del sent["cache_control"]
            ask(fake, "anthropic", sent)
        with pytest.raises(AssertionError, match="nothing was cached at all: no cache mark is set"):
            assert_hit_rate(fake)


def asked(messages: Sequence[str]) -> Asked:
    """A billed request that read nothing and wrote everything."""
    sent = {"model": "m", "messages": [{"role": "user", "content": text} for text in messages]}
    return Asked("/v1/messages", sent, {}, 0.0, 200, usage=Usage(write_5m=max(1, len(messages))))


@settings(max_examples=50)
@given(st.lists(st.lists(st.sampled_from("abc"), max_size=4), max_size=8))
def test_every_billed_request_is_in_one_conversation(histories: Sequence[Sequence[str]]) -> None:
    """In their order, whatever was sent; looking changes nothing."""
    requests = [asked(history) for history in histories]
    before = copy.deepcopy(requests)
    look = Look(requests)
    assert sorted(turn.number for turns in look.conversations for turn in turns) == [*range(1, len(requests) + 1)]
    assert all(turn.number < later.number for turns in look.conversations for turn, later in pairwise(turns))
    assert look.report()
    assert 0 <= look.hit_rate(1) <= 1
    assert requests == before


TESTS = """
import httpx2
from holdfast.testing import assert_hit_rate

LONG = "kelp rock tide wave " * 1000

def ask(fake, *texts):
    messages = [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(texts)]
    body = {"model": "gpt-5.6-sol", "messages": messages}
    assert httpx2.post(fake.url + "/v1/chat/completions", json=body).status_code == 200

def test_keeps(fake_provider, cache_audit):
    ask(fake_provider, LONG)
    ask(fake_provider, LONG, "answer", "more")
    assert_hit_rate(cache_audit, at_least=0.9)
    assert cache_audit.hit_rate > 0.9 and not cache_audit.breaks

def test_breaks(fake_provider, cache_audit):
    assert fake_provider.requests == []
    ask(fake_provider, LONG)
    ask(fake_provider, "12:01 " + LONG, "answer", "more")
    assert_hit_rate(cache_audit)
"""


def test_the_fixtures_work_in_a_test_suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test gets a provider of its own; the one that breaks the cache fails with the place and shows the report."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makepyfile(TESTS)
    result = pytester.runpytest_subprocess("-p", "holdfast.testing.plugin")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*hit rate 0.0% is below 90.0%*", "*first difference: messages[[]0[]].content*", "*cache audit*"])


LOADED = """
import sys, pytest
before = set(sys.modules)
import holdfast.testing.plugin
loaded = {name.split(".")[0] for name in set(sys.modules) - before} | {name for name in sys.modules if name.startswith("holdfast.testing")}
heavy = {"tiktoken", "anthropic", "openai", "pydantic", "typer", "rich", "http", "holdfast.testing.fake", "holdfast.testing.audit"}
print(sorted(loaded & heavy))
"""


def test_the_plugin_brings_nothing_heavy_when_pytest_starts() -> None:
    """No SDK, no tokenizer, no server and no audit is imported with it."""
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

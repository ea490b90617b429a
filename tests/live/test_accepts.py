"""Property: what the provider takes from the bare client it takes from the wrapped one; what it refuses it refuses in the same words."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import anthropic
import openai
import pytest
from anthropic import Anthropic
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openai import OpenAI

from holdfast.calls import Calls, CallSettings
from holdfast.checker import Dialect
from holdfast.providers.anthropic import Middleware
from holdfast.providers.openai import wrapped
from holdfast.testing import Asked, FakeProvider, Reply
from tests.agents import SUMMARY, asks_for_summary
from tests.contract.subjects import ACTIVE, eager
from tests.generators import HISTORY, Body, Script, scripts

PATHS: dict[Dialect, str] = {"anthropic": "/v1/messages", "openai-chat": "/chat/completions", "openai-responses": "/responses"}
Breaking = Callable[[Body, list[Any]], None]


def last_leaves(body: Body, history: list[Any]) -> None:
    """The newest message is lost, a tool's result perhaps."""
    if len(history) > 1:
        history.pop()


def first_leaves(body: Body, history: list[Any]) -> None:
    """The conversation begins in the middle."""
    if len(history) > 2:
        del history[:2]


def nobody_speaks(body: Body, history: list[Any]) -> None:
    """An empty message."""
    history.append({"role": "user", "content": ""})


def strange_field(body: Body, history: list[Any]) -> None:
    """A setting that does not exist."""
    body["colour"] = "green"


def strange_role(body: Body, history: list[Any]) -> None:
    """A role that does not exist."""
    history.append({"role": "diver", "content": "Down."})


def five_marks(body: Body, history: list[Any]) -> None:
    """More cache marks than are taken, as the caller's own."""
    part = {"type": "text", "text": "More.", "cache_control": {"type": "ephemeral"}}
    history.append({"role": "user", "content": [dict(part) for _ in range(5)]})


def hour_after(body: Body, history: list[Any]) -> None:
    """A long mark behind a short one."""
    text = {"type": "text", "text": "More."}
    short, long = {"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h"}
    history.append({"role": "user", "content": [{**text, "cache_control": short}, {**text, "cache_control": long}]})


def nothing(body: Body, history: list[Any]) -> None:
    """The history is gone."""
    history.clear()


BREAKINGS: tuple[Breaking, ...] = (
    last_leaves,
    first_leaves,
    nobody_speaks,
    strange_field,
    strange_role,
    five_marks,
    hour_after,
    nothing,
)


def reply(asked: Asked) -> Reply:
    """A word, or a summary."""
    return Reply(SUMMARY if asks_for_summary(asked.body) else "Yes.")


@dataclass(frozen=True)
class Clients:
    """Bare clients of one provider."""

    fake: FakeProvider
    anthropic: Anthropic
    openai: OpenAI

    def bare(self, dialect: Dialect) -> Any:
        """The one that speaks this dialect."""
        return self.anthropic if dialect == "anthropic" else self.openai

    def ours(self, dialect: Dialect, name: str) -> Any:
        """The same behind Holdfast, with a memory of its own."""
        told = CallSettings(eager(name), trigger=900, target=450, keep_tail_tokens=120, telemetry=False)
        if dialect == "anthropic":
            return self.anthropic.with_options(middleware=[Middleware(Calls(told))])
        return wrapped(self.openai, Calls(told))


@pytest.fixture(scope="module")
def clients() -> Iterator[Clients]:
    """One provider and one connection pool for all examples."""
    with (
        FakeProvider(reply, counter="sampled", foreign_thinking=True, keep=50) as fake,
        Anthropic(base_url=fake.url, api_key="k", max_retries=0) as one,
        OpenAI(base_url=f"{fake.url}/v1", api_key="k", max_retries=0) as other,
    ):
        yield Clients(fake, one, other)


def outcome(client: Any, dialect: Dialect, body: Body) -> tuple[int, Any]:
    """The status of a request and, where it was refused, the provider's words."""
    try:
        client.post(PATHS[dialect], body=body, cast_to=object)
    except (anthropic.APIStatusError, openai.APIStatusError) as error:
        said: Any = error.body
        return error.status_code, said.get("error", said) if isinstance(said, dict) else said
    return 200, None


def placeless(result: tuple[int, Any]) -> str:
    """An outcome without the ordinals of messages: in a shortened conversation they are others."""
    return re.sub(r"\b(messages|input|content)([.\[])\d+", r"\1\2N", repr(result))


@pytest.mark.parametrize("dialect", PATHS)
@settings(max_examples=8, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_the_wrapped_client_is_taken_where_the_bare_one_is_and_refused_in_the_same_words(
    clients: Clients, dialect: Dialect, data: st.DataObject
) -> None:
    """For any conversation of the generators, broken anywhere in any way, under any strategy, turn by turn."""
    script: Script = data.draw(scripts(dialect, max_turns=6))
    name = data.draw(st.sampled_from(ACTIVE))
    broken = data.draw(st.dictionaries(st.integers(0, len(script.steps) - 1), st.sampled_from(BREAKINGS), max_size=2))
    ours = clients.ours(dialect, name)
    for number, step in enumerate(script.steps):
        if number in broken:
            body = copy.deepcopy(step.body)
            broken[number](body, body[HISTORY[dialect]])
            step = replace(step, body=body)
        theirs = outcome(clients.bare(dialect), dialect, copy.deepcopy(step.body))
        assert placeless(outcome(ours, dialect, step.body)) == placeless(theirs), (number, name)


@pytest.mark.parametrize("dialect", PATHS)
def test_both_sides_of_the_property_happen(clients: Clients, dialect: Dialect) -> None:
    """Of the bodies that are drawn some are taken, and each way of breaking one is refused in some dialect."""
    from tests.contract.subjects import working

    body = working(3, dialect)[-1].body
    assert outcome(clients.bare(dialect), dialect, body) == (200, None)
    statuses = []
    for breaking in BREAKINGS:
        made = copy.deepcopy(body)
        breaking(made, made[HISTORY[dialect]])
        statuses.append(outcome(clients.bare(dialect), dialect, made)[0])
    assert statuses.count(400) >= 4

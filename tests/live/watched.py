"""Wrapped clients that are watched from both ends: what the caller gave, what the provider got, and what the trace says in between."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import anthropic
import openai
from anthropic import Anthropic, APIRequest, AsyncAnthropic
from anthropic import Middleware as Chain
from openai import AsyncOpenAI, OpenAI

from holdfast.calls import Calls, CallSettings
from holdfast.calls.hooks import Hooks, Planned
from holdfast.checker import Announced, Checker, Dialect, Violation
from holdfast.providers.anthropic import Middleware
from holdfast.providers.openai import wrapped
from holdfast.store import Store
from holdfast.testing import Asked, FakeProvider
from holdfast.trace import Trace
from tests.agents import asks_for_summary

Body = dict[str, Any]
SMALL: Mapping[str, Any] = {"trigger": 6_000, "target": 3_000, "keep_tail_tokens": 600}
"""Thresholds that an agent with short results reaches every few turns."""

DIALECTS: Mapping[str, Dialect] = {
    "/v1/messages": "anthropic",
    "/v1/chat/completions": "openai-chat",
    "/v1/responses": "openai-responses",
}


class Noting(Chain):
    """Middleware in front of Holdfast: every attempt as the caller made it."""

    def __init__(self, given: list[bytes]) -> None:
        self.given = given

    def handle(self, request: APIRequest, call_next: Any) -> Any:
        """One attempt of a sync client."""
        self._note(request)
        return call_next(request)

    async def handle_async(self, request: APIRequest, call_next: Any) -> Any:
        """One attempt of an async client."""
        self._note(request)
        return await call_next(request)

    def _note(self, request: APIRequest) -> None:
        if request.url.partition("?")[0] == "/v1/messages":
            self.given.append(json.dumps(request.json).encode())


class NotingOpenAI(OpenAI):
    """The same for OpenAI's client; Holdfast's own class goes before this one."""

    given: ClassVar[list[bytes]]

    def _prepare_options(self, options: Any) -> Any:
        _note(self.given, options)
        return super()._prepare_options(options)


class NotingAsyncOpenAI(AsyncOpenAI):
    """The same, asynchronous."""

    given: ClassVar[list[bytes]]

    async def _prepare_options(self, options: Any) -> Any:
        _note(self.given, options)
        return await super()._prepare_options(options)


def _note(given: list[bytes], options: Any) -> None:
    body = {**(options.json_data or {}), **(options.extra_json or {})}
    if not asks_for_summary(body):
        given.append(json.dumps(body).encode())


@dataclass
class Watched:
    """A fake provider and clients for it that share one engine. Loading certificates would take most of a test's time: there is no TLS."""

    fake: FakeProvider
    calls: Calls
    given: list[bytes] = field(default_factory=list)
    traces: list[Trace] = field(default_factory=list)

    def anthropic(self, **options: Any) -> Anthropic:
        """A wrapped client. Its retries wait for nothing."""
        chain = [Noting(self.given), Middleware(self.calls)]
        pool = anthropic.DefaultHttpxClient(verify=False)
        return Anthropic(base_url=self.fake.url, api_key="k", middleware=chain, http_client=pool, **options)

    def async_anthropic(self, **options: Any) -> AsyncAnthropic:
        """The same, asynchronous."""
        chain = [Noting(self.given), Middleware(self.calls)]
        pool = anthropic.DefaultAsyncHttpxClient(verify=False)
        return AsyncAnthropic(base_url=self.fake.url, api_key="k", middleware=chain, http_client=pool, **options)

    def openai(self, **options: Any) -> OpenAI:
        """A wrapped client of the other maker."""
        kind: type[NotingOpenAI] = type("OpenAI", (NotingOpenAI,), {"given": self.given})
        pool = openai.DefaultHttpxClient(verify=False)
        return wrapped(kind(base_url=f"{self.fake.url}/v1", api_key="k", http_client=pool, **options), self.calls)

    def async_openai(self, **options: Any) -> AsyncOpenAI:
        """The same, asynchronous."""
        kind: type[NotingAsyncOpenAI] = type("AsyncOpenAI", (NotingAsyncOpenAI,), {"given": self.given})
        pool = openai.DefaultAsyncHttpxClient(verify=False)
        return wrapped(kind(base_url=f"{self.fake.url}/v1", api_key="k", http_client=pool, **options), self.calls)

    @property
    def sent(self) -> list[Asked]:
        """The requests that the provider got, strategies' questions left out."""
        return [asked for asked in self.fake.requests if asked.body and not asks_for_summary(asked.body)]

    @property
    def questions(self) -> list[Asked]:
        """The questions of strategies."""
        return [asked for asked in self.fake.requests if asked.body and asks_for_summary(asked.body)]

    @property
    def commits(self) -> int:
        """How many requests carried a new plan."""
        return sum(trace.commit is not None for trace in self.traces)

    def judged(self, binds: Literal["prefix"] | None = None) -> list[Violation]:
        """What the independent checker finds in one conversation of which every request was taken at the first attempt."""
        assert {asked.status for asked in self.fake.requests} == {200}
        return judged(self.given, self.sent, self.traces, binds)


def judged(
    given: Sequence[bytes], sent: Sequence[Asked], traces: Sequence[Trace], binds: Literal["prefix"] | None = None
) -> list[Violation]:
    """What the independent checker finds in the requests of one conversation."""
    judge = Checker(DIALECTS[sent[0].endpoint], binds)
    found: list[Violation] = []
    for mine, theirs, trace in zip(sent, given, traces, strict=True):
        found += judge.sent(mine.raw, theirs, Announced(trace.commit.first_block) if trace.commit else None)
    return found


def unmarked(asked: Asked) -> list[bytes]:
    """The messages of a request as they were sent, marks left out."""
    body = json.loads(asked.raw)
    return [json.dumps(bare(message)).encode() for message in body.get("messages") or body["input"]]


def bare(value: Any) -> Any:
    """A piece of a body without cache marks."""
    if isinstance(value, dict):
        return {key: bare(item) for key, item in value.items() if key not in ("cache_control", "prompt_cache_breakpoint")}
    return [bare(item) for item in value] if isinstance(value, list) else value


@contextmanager
def watched(
    script: Any, store: Store | str | Path | None = None, fake: Mapping[str, Any] | None = None, **settings: Any
) -> Iterator[Watched]:
    """A provider that says what the script says, and an engine with small thresholds."""
    traces: list[Trace] = []

    def planned(event: Planned) -> None:
        traces.append(event.trace)

    told = CallSettings(**{**SMALL, "hooks": Hooks(on_plan=planned), "telemetry": False, "cache_keys": False, **settings})
    with FakeProvider(script, **{"counter": "sampled", **(fake or {})}) as provider:
        yield Watched(provider, Calls(told, store), traces=traces)

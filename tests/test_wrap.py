"""``wrap`` and ``of``: the same client, of the same type, with Holdfast in it, or a reason why not."""

from __future__ import annotations

import asyncio
import json
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from typing import Any, assert_type

import anthropic
import pytest
from anthropic import Anthropic, AsyncAnthropic
from openai import AsyncOpenAI, OpenAI

import holdfast
from holdfast.calls.call_settings import CallSettings
from holdfast.calls.current import Current, Scope, current
from holdfast.errors import CannotWrap, HoldfastWarning, InputError
from holdfast.providers import Wishes
from holdfast.providers.anthropic import Middleware
from holdfast.wrap import calls_of, hooked, of, wrap
from tests.providers.wire import PLAIN, STREAM, Scripted, serving

CALL: dict[str, Any] = {"model": "claude-sonnet-5", "max_tokens": 64, "messages": [{"role": "user", "content": "Good day?"}]}


class Own(Anthropic):
    """A subclass that copies itself as its parent does."""


class Stubborn(Anthropic):
    """A subclass whose constructor takes something else."""

    def __init__(self, tenant: str) -> None:
        super().__init__(api_key="k")
        self.tenant = tenant


class Forgetful(Anthropic):
    """A subclass that forgets the middleware when it copies itself."""

    def with_options(self, **options: Any) -> Any:
        """A bare copy."""
        return super().copy(**{name: value for name, value in options.items() if name != "middleware"})


CLIENTS: dict[str, Callable[[], Any]] = {
    "sync": lambda: Anthropic(api_key="k"),
    "async": lambda: AsyncAnthropic(api_key="k"),
    "own": lambda: Own(api_key="k"),
    "bedrock": lambda: anthropic.AnthropicBedrock(api_key="k", aws_region="r"),
    "async bedrock": lambda: anthropic.AsyncAnthropicBedrock(api_key="k", aws_region="r"),
    "mantle": lambda: anthropic.AnthropicBedrockMantle(api_key="k", aws_region="r"),
    "vertex": lambda: anthropic.AnthropicVertex(access_token="t", project_id="p", region="r"),
    "foundry": lambda: anthropic.AnthropicFoundry(api_key="k", resource="r"),
    "aws": lambda: anthropic.AnthropicAWS(api_key="k", workspace_id="w", aws_region="r"),
    "google": lambda: anthropic.AnthropicGoogleCloud(token_provider=lambda: "t", project="p", location="l", workspace_id="w"),
}


@pytest.mark.parametrize("name", CLIENTS)
def test_every_client_of_the_sdk_is_wrapped_as_what_it_is(name: str) -> None:
    """The class stays, the connection pool is shared, the middleware stands behind the caller's, copies have it too, and nothing warns."""
    client = CLIENTS[name]()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = hooked(client.with_options(middleware=[anthropic.BetaRefusalFallbackMiddleware([])]), Scripted)
    assert type(made) is type(client)
    assert [type(entry) for entry in made.middleware] == [anthropic.BetaRefusalFallbackMiddleware, Middleware]
    assert vars(made)["_client"] is vars(client)["_client"]
    assert calls_of(made.with_options(timeout=3)) is calls_of(made) is not None
    assert calls_of(client) is None


def test_wrap_keeps_the_type_for_a_type_checker() -> None:
    """A client goes in and, for whoever reads the types, the same comes out; wrapped again it is the same object."""
    client = assert_type(wrap(Anthropic(api_key="k")), Anthropic)
    assert assert_type(wrap(client, strategy="micro"), Anthropic) is client
    other = assert_type(wrap(AsyncAnthropic(api_key="k"), mode="observe", trigger=0.5), AsyncAnthropic)
    assert of(other).calls.settings == CallSettings(mode="observe", trigger=0.5)
    assert of(client.with_options(timeout=3)).calls is of(client).calls


@pytest.mark.parametrize("kind", [OpenAI, AsyncOpenAI])
def test_openai_clients_are_wrapped_too(kind: type[OpenAI | AsyncOpenAI]) -> None:
    """An instance of the same class comes back, its copies are wrapped, and wrapping again changes nothing."""
    client = kind(api_key="k")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _ = client.chat.completions, client.responses
        made = wrap(client, strategy="micro")
    assert isinstance(made, kind)
    assert of(made.with_options(timeout=3)).calls is of(made).calls
    assert of(made).calls.settings.strategy == "micro"
    assert wrap(made) is made
    assert calls_of(client) is None


def test_replaced_methods_of_an_openai_client_are_named_too() -> None:
    """Its copy has the class's own again."""
    client: Any = OpenAI(api_key="k")
    client.chat.completions.create = replaced
    with pytest.warns(HoldfastWarning, match=r"chat\.completions\.create") as caught:
        made = wrap(client)
    assert len(caught) == 1
    assert made.chat.completions.create is not replaced


def test_wishes_are_the_settings_and_where_things_are_kept() -> None:
    """What ``wrap`` takes is what ``CallSettings`` has, ``store`` and ``record``: neither can get a name without the other."""
    assert set(Wishes.__annotations__) == {each.name for each in fields(CallSettings)} | {"store", "record"}
    with pytest.raises(TypeError, match="colour"):
        wrap(Anthropic(api_key="k"), colour="green")  # type: ignore[call-arg]
    with pytest.raises(InputError, match="mode"):
        Middleware(mode="sleep")  # type: ignore[arg-type]


def test_middleware_is_made_without_wrap() -> None:
    """``Anthropic(middleware=[Middleware(strategy="micro")])`` is what ``wrap`` makes."""
    client = Anthropic(api_key="k", middleware=[Middleware(strategy="micro")])
    assert of(client).calls.settings.strategy == "micro"
    assert wrap(client) is client


def test_closing_one_closes_both() -> None:
    """They share the HTTP client, as the docstring says."""
    client = Anthropic(api_key="k")
    with wrap(client):
        assert not client.is_closed()
    assert client.is_closed()


@pytest.mark.parametrize("thing", ["a text", object(), Anthropic, {"middleware": ()}])
def test_what_is_no_client_is_refused_with_what_would_be(thing: object) -> None:
    """The error names the clients there are."""
    with pytest.raises(CannotWrap, match=r"Anthropic and AsyncAnthropic.*OpenAI"):
        wrap(thing)


@pytest.mark.parametrize("client", [lambda: Stubborn("t"), lambda: Forgetful(api_key="k")], ids=["constructor", "middleware"])
def test_a_client_that_cannot_be_copied_is_refused_with_a_way_out(client: Callable[[], Any]) -> None:
    """The error says what went wrong and names ``middleware=``."""
    with pytest.raises(CannotWrap, match=r"middleware=\[holdfast.Middleware\(...\)\]"):
        wrap(client())


def test_of_a_bare_client_is_refused_with_what_to_do() -> None:
    """So is what is no client at all."""
    for thing in (Anthropic(api_key="k"), 3):
        with pytest.raises(CannotWrap, match=r"holdfast\.wrap"):
            of(thing)


def replaced(*args: Any, **options: Any) -> Any:
    """What a tracer puts in the place of a method."""


class Traced(anthropic.resources.Messages):
    """What a tracer puts in the place of a resource."""


def trace_create(client: Any) -> None:
    """As tracers of single clients do."""
    client.messages.create = replaced


def trace_beta(client: Any) -> None:
    """Further down."""
    client.beta.messages.create = replaced


def trace_post(client: Any) -> None:
    """At the client itself."""
    client.post = replaced
    client.request = replaced


def trace_resource(client: Any) -> None:
    """A whole resource."""
    client.messages = Traced(client)


def trace_inside(client: Any) -> None:
    """What a resource sends with."""
    vars(client.messages)["_post"] = replaced


def add(client: Any) -> None:
    """Something of one's own."""
    client.on_answer = replaced


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (trace_create, "messages.create"),
        (trace_beta, "beta.messages.create"),
        (trace_post, "post, request"),
        (trace_resource, "messages"),
        (trace_inside, "messages._post"),
        (add, "on_answer"),
    ],
)
def test_what_the_copy_cannot_carry_is_named_once(change: Callable[[Any], None], names: str) -> None:
    """One warning, which asks to apply Holdfast first; applied first, both work and nothing warns."""
    client = Anthropic(api_key="k")
    _ = client.messages, client.beta.messages, client.models, client.messages.batches
    change(client)
    with pytest.warns(HoldfastWarning) as caught:
        wrap(client)
    (warning,) = caught
    assert f"wrapped copy: {names}. Apply Holdfast first" in str(warning.message)
    assert warning.filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = hooked(Anthropic(api_key="k"), Scripted)
        change(made)
    assert calls_of(made) is not None


class Proxy:
    """Stands around a client and claims to be one, as wrapping libraries do."""

    def __init__(self, client: Any) -> None:
        self._client_inside = client

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return type(self._client_inside)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client_inside, name)


def test_a_proxy_is_named_too() -> None:
    """What comes back is the client without what stood around it."""
    with pytest.warns(HoldfastWarning, match="the Proxy around it"):
        made: Any = hooked(Proxy(Anthropic(api_key="k")), Scripted)
    assert type(made) is Anthropic


def test_a_session_holds_for_its_block() -> None:
    """Nested it adds, what is off stays off, other clients do not notice, and after the block all is as before."""
    one, other = of(wrap(Anthropic(api_key="k"))), of(wrap(Anthropic(api_key="k")))
    assert current(one.calls) == Current()
    with one.session("a", pin="keep me", strategy="micro") as outer:
        assert current(one.calls) == outer == Current("a", ("keep me",), "micro", True)
        assert current(other.calls) == Current()
        with other.session("b"), one.session(pin=["too", callable], enabled=False), one.session():
            assert current(one.calls) == Current("a", ("keep me", "too", callable), "micro", False)
            assert current(other.calls).id == "b"
        assert current(one.calls) == outer
    assert current(one.calls) == Current()


def test_a_session_may_be_entered_again_and_left_out_of_order() -> None:
    """One object serves nested blocks; a generator that is closed late takes its own session away and no other."""
    owner = object()
    scope = Scope(owner, Current("a", ("p",)))
    with scope, scope:
        assert current(owner).pins == ("p", "p")

    def held() -> Iterator[str | None]:
        with Scope(owner, Current("g")):
            yield current(owner).id

    generator = held()
    assert next(generator) == "g"
    with scope:
        generator.close()  # type: ignore[attr-defined]
        assert current(owner).id == "a"
    assert current(owner) == Current()


def test_sessions_of_threads_and_tasks_do_not_mix() -> None:
    """Forty of each, at the same time."""
    owner, barrier = object(), threading.Barrier(8)

    def work(name: str) -> bool:
        with Scope(owner, Current(name)):
            barrier.wait(5)
            return current(owner).id == name

    async def task(name: str) -> bool:
        with Scope(owner, Current(name)):
            await asyncio.sleep(0)
            return current(owner).id == name

    async def tasks() -> list[bool]:
        return await asyncio.gather(*(task(str(number)) for number in range(40)))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, map(str, range(40))))
    assert all(asyncio.run(tasks()))


def test_a_wrapped_client_answers_as_the_bare_one_and_has_a_story() -> None:
    """With the real engine behind it: a plain call and a stream, and what ``of`` tells about them."""
    with serving(PLAIN, PLAIN, STREAM) as server:
        bare = Anthropic(api_key="k", base_url=server.url)
        client = wrap(bare)
        assert client.messages.create(**CALL) == bare.messages.create(**CALL)
        with client.messages.stream(**CALL) as stream:
            assert stream.get_final_message().usage.output_tokens == 2
        handle = of(client)
        assert handle.last is not None
        assert handle.explain()
        assert handle.report() is not None
        handle.compact("dates")
        with handle.fork(2) as fork:
            assert fork.left == 2
        assert json.loads(server.sent[0].raw)["messages"]
        bare.close()


def test_the_middleware_is_had_from_the_package() -> None:
    """``holdfast.Middleware`` is it, and a name that is none is refused as ever."""
    assert holdfast.Middleware is Middleware
    assert (holdfast.wrap, holdfast.of) == (wrap, of)
    with pytest.raises(AttributeError, match="Middlewear"):
        _ = holdfast.Middlewear  # type: ignore[attr-defined]

"""The contract with the installed openai: what the hook overrides is where it was, and is called as it was.

Runs on whatever version is installed, so that each supported minor version has its own run; see ``SUPPORTED``. A failure here
means that the SDK has moved and the hook would be passed by: do not widen the range before it is understood.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import AsyncAzureOpenAI, AsyncOpenAI, AzureOpenAI, BaseModel, OpenAI
from openai._base_client import AsyncAPIClient, BaseClient, SyncAPIClient
from openai._constants import OVERRIDE_CAST_TO_HEADER, RAW_RESPONSE_HEADER
from openai._models import FinalRequestOptions
from openai.lib.bedrock import AsyncBedrockOpenAI, BedrockOpenAI

from holdfast.providers.openai import HOOKS, SUPPORTED, wrapped
from holdfast.providers.openai_call import NOT_FOR_ASKS
from tests.providers.openai_wire import Answer, Passing, Provider, serving

CLIENTS = [OpenAI, AsyncOpenAI, AzureOpenAI, AsyncAzureOpenAI, BedrockOpenAI, AsyncBedrockOpenAI]
SIGNATURES = {
    "request": ["self", "cast_to", "options", "stream", "stream_cls"],
    "_prepare_options": ["self", "options"],
    "_process_response": ["self", "cast_to", "options", "response", "stream", "stream_cls", "retries_taken"],
}
OPTIONS = {"method", "url", "params", "headers", "max_retries", "timeout", "files", "idempotency_key", "post_parser", "json_data"}
CHAT: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "x"}]}


@pytest.fixture
def provider() -> Iterator[Provider]:
    """A provider of this test alone."""
    with serving() as server, server.closing:
        yield server


def test_the_version_is_one_that_is_supported() -> None:
    """The installed minor version lies in the range that is named to users."""
    major, minor = (int(part) for part in openai.__version__.split(".")[:2])
    assert SUPPORTED[0] <= (major, minor) <= SUPPORTED[1], f"openai {openai.__version__}: run these tests, then widen SUPPORTED"


@pytest.mark.parametrize("base", [SyncAPIClient, AsyncAPIClient])
@pytest.mark.parametrize("name", SIGNATURES)
def test_the_overridden_methods_take_what_they_took(base: type[Any], name: str) -> None:
    """Names and order of their parameters, those by name only, and whether they are coroutines."""
    method = getattr(base, name)
    assert list(inspect.signature(method).parameters) == SIGNATURES[name]
    assert inspect.iscoroutinefunction(method) == (base is AsyncAPIClient)
    by_name = [parameter.name for parameter in inspect.signature(method).parameters.values() if parameter.kind is parameter.KEYWORD_ONLY]
    assert by_name == {"request": ["stream", "stream_cls"], "_prepare_options": []}.get(name, SIGNATURES[name][1:])


@pytest.mark.parametrize("kind", CLIENTS)
def test_every_client_has_the_hooks(kind: type[Any]) -> None:
    """All clients of the SDK inherit them, and none overrides the two that carry the response."""
    assert all(callable(getattr(kind, name)) for name in HOOKS)
    base = SyncAPIClient if issubclass(kind, OpenAI) else AsyncAPIClient
    assert kind.request is base.request
    assert kind._process_response is base._process_response  # noqa: SLF001
    assert isinstance(inspect.signature(kind.copy).parameters["_extra_kwargs"], inspect.Parameter)


def test_the_options_have_the_fields_that_are_used() -> None:
    """``FinalRequestOptions`` holds body, extra body, key and timeout under their names, and survives a shallow copy."""
    fields = FinalRequestOptions.model_fields
    assert set(fields) >= OPTIONS | {"extra_json", "content"}
    assert {RAW_RESPONSE_HEADER.lower(), OVERRIDE_CAST_TO_HEADER.lower()} <= NOT_FOR_ASKS
    assert BaseClient._idempotency_key.__name__ == "_idempotency_key"  # noqa: SLF001


class Order:
    """Mixed into a client: notes which step of the SDK comes when."""

    steps: list[str]

    def _prepare_options(self, options: Any) -> Any:
        self.steps.append("_prepare_options")
        return super()._prepare_options(options)  # type: ignore[misc]

    def _build_request(self, options: Any, **rest: Any) -> Any:
        self.steps.append(f"_build_request {options.json_data.get('user')}")
        return super()._build_request(options, **rest)  # type: ignore[misc]

    def _prepare_request(self, request: Any) -> Any:
        self.steps.append(f"_prepare_request {b'changed' in request.content}")
        return super()._prepare_request(request)  # type: ignore[misc]

    def _process_response(self, **rest: Any) -> Any:
        self.steps.append(f"_process_response {rest['response'].status_code}")
        return super()._process_response(**rest)  # type: ignore[misc]


class OrderedOpenAI(Order, OpenAI):
    """A synchronous client that notes its steps."""


class OrderedAsyncOpenAI(Order, AsyncOpenAI):
    """An asynchronous one."""


class Changing(Passing):
    """Puts something into every body."""

    def flow(self, request: Any, /) -> Any:
        """The flow of one call."""
        from holdfast.calls.values import Send

        self.requests.append(request)
        yield Send("call", {**request.body, "user": "changed"})


WANTED = [
    *("_prepare_options", "_build_request changed", "_prepare_request True") * 2,
    "_process_response 200",
]


@pytest.mark.parametrize("kind", [OrderedOpenAI, OrderedAsyncOpenAI])
def test_each_attempt_is_prepared_before_it_is_built_and_signed(provider: Provider, kind: Any) -> None:
    """Per attempt: options, then the request with the changed body, then its signing; the response comes once, at the end."""
    provider.script.append(Answer(500, {}, headers={"retry-after-ms": "1"}))
    bare = kind(api_key="x", base_url=provider.url, max_retries=1)
    bare.steps = []
    flows = Changing()
    client = wrapped(bare, flows)

    async def run() -> None:
        async with client:
            await client.chat.completions.create(**CHAT)

    if kind is OrderedAsyncOpenAI:
        asyncio.run(run())
    else:
        with client:
            client.chat.completions.create(**CHAT)
    assert bare.steps == WANTED
    assert len(flows.requests) == 1


def test_bedrock_is_prepared_like_the_others(provider: Provider) -> None:
    """With a bearer token the request and its body are those of the bare client, and the platform is named."""
    bare = BedrockOpenAI(api_key="token", aws_region="us-east-1", base_url=provider.url, max_retries=0)
    flows = Passing()
    with bare:
        for client in (bare, wrapped(bare, flows), wrapped(bare, flows).with_options(timeout=600)):
            client.responses.create(model="openai.gpt-oss-120b-1:0", input="x")
    assert provider.sent[0].raw == provider.sent[1].raw
    assert [request.provider for request in flows.requests] == ["bedrock"] * 2


def test_results_are_still_the_sdks_models(provider: Provider) -> None:
    """What a wrapped client returns is of the SDK's own classes."""
    with wrapped(OpenAI(api_key="x", base_url=provider.url), Passing()) as client:
        assert isinstance(client.chat.completions.create(**CHAT), BaseModel)

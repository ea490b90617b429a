"""One call of an OpenAI client, between its flow, which decides, and the hook, which does the I/O. Nothing here waits or sends.

Sources: openai-python 3.54 (``_base_client.py``, ``_models.py``, ``lib/azure.py``), read 2026-11-22; the OpenAI API reference, 2026-10.
"""

from __future__ import annotations

import copy
import json
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlsplit

import openai

from holdfast.calls.redact import redacted_text
from holdfast.calls.values import Flow, Job, Received, Request, Send, Unsent, Wait, Watch
from holdfast.errors import HoldfastError
from holdfast.frozen import Json
from holdfast.pipeline import guarded
from holdfast.providers import Flows
from holdfast.readers.streams import assembled, is_stream, put_together
from holdfast.transcript import Dialect

if TYPE_CHECKING:
    import httpx2
    from openai._models import FinalRequestOptions

_OURS: Mapping[str, Dialect] = {
    "/chat/completions": "openai-chat",
    "/responses": "openai-responses",
    "/responses/input_tokens": "openai-responses",
}
_MAKERS = {"api.deepseek.com": "deepseek", "api.x.ai": "xai", "generativelanguage.googleapis.com": "google"}
"""Whose models a host serves in OpenAI's form; any other host, a proxy or a gateway of one's own, is taken for OpenAI's."""

NOT_FOR_ASKS = frozenset({"x-stainless-raw-response", "____stainless_override_cast_to", "idempotency-key"})
"""Headers (lower case) by which a resource tells the SDK how the caller wants the answer, and the key of the caller's own call."""

_PUBLISHED_USAGE = re.compile(r"(?:.*\.)?api\.openai\.com|.*\.openai\.azure\.com")
"""Hosts known to take ``stream_options.include_usage``: OpenAI's, its regional ones among them, and Azure OpenAI's."""

Outcome: TypeAlias = Received | Unsent
Step: TypeAlias = Send | Wait

log = logging.getLogger("holdfast")


class FlowFailed(HoldfastError):
    """A flow raised what it should not have. The call goes on as if there were none."""


@dataclass(slots=True)
class Hooked:
    """What the copies of one wrapped client share.

    ``stream_usage``: whether the usage of Chat streams is asked for where the caller has not (``None``: of hosts known to give
    it). ``refused`` are hosts that would not have it.
    """

    flows: Flows
    stream_usage: bool | None = None
    refused: set[str] = field(default_factory=set)

    def asks_usage(self, host: str) -> bool:
        """Whether this host is asked for the usage of a caller's Chat streams."""
        if host in self.refused or self.stream_usage is False:
            return False
        return self.stream_usage is True or _PUBLISHED_USAGE.fullmatch(host) is not None


def ours(options: FinalRequestOptions) -> str:
    """The endpoint, without version and deployment, of a request that Holdfast handles; ``""`` for all others."""
    if options.method.lower() != "post" or options.files is not None or options.content is not None:
        return ""
    if not isinstance(options.json_data if options.json_data is not None else options.extra_json, Mapping):
        return ""
    path = urlsplit(options.url).path.rstrip("/")
    return next((known for known in _OURS if path.endswith(known)), "")


class Call:
    """One call under way: what its flow last wanted sent, and who watches the answer.

    ``options`` are the caller's, from before the SDK prepared them. ``send`` is the flow's newest ``call`` (``None``: the
    caller's own request goes out), ``open`` whether the flow can still be told something, ``answered`` whether it heard of the caller's
    response, ``read`` that its body was there by then and ``whole`` that it was JSON. ``hides_usage``: the usage of a Chat stream was asked
    for without the caller's knowledge.
    """

    def __init__(self, hooked: Hooked, options: FinalRequestOptions, key: str, streamed: bool) -> None:
        self.hooked, self.options, self.key, self.streamed = hooked, copy.copy(options), key, streamed
        self.path = ours(options)
        self.host = ""
        self.request: Request | None = None
        self.send: Send | None = None
        self.watch: Watch | None = None
        self.open = False
        self.answered = self.read = self.whole = False
        self.hides_usage = False
        self.beside: Callable[[Job], bool] | None = None
        self._flow: Flow | None = None

    def begin(self, options: FinalRequestOptions, client: openai.OpenAI | openai.AsyncOpenAI) -> Step | None:
        """Opens the flow for the prepared ``options`` of the first attempt."""
        self.host = urlsplit(options.url).hostname or client.base_url.host
        self.request = Request(
            dialect=_OURS[self.path],
            endpoint=f"/v1{self.path}",
            body=body_of(options),
            key=self.key,
            provider=provider_of(client, self.host),
            headers=headers_of(client.default_headers, options.headers),
            timeout=_seconds(client.timeout if isinstance(options.timeout, openai.NotGiven) else options.timeout),
            counting=self.path.endswith("/input_tokens"),
            streamed=self.streamed,
            beside=self.beside,
        )
        self.open = True
        return self._advance(self._begun)

    def _begun(self) -> Step | None:
        if self.request is None:
            return None
        self._flow = self.hooked.flows.flow(self.request)
        return next(self._flow)

    def tell(self, outcome: Outcome | None) -> Step | None:
        """Tells the flow what came of its last ``Send`` (``None``: its wait is over). ``None``: it wants nothing more."""
        flow = self._flow
        if flow is None or not self.open:
            return None
        return self._advance(lambda: flow.throw(outcome) if isinstance(outcome, Unsent) else flow.send(outcome))

    def heard(self, response: httpx2.Response) -> Step | None:
        """Tells the flow of the response that the caller is going to get."""
        self.answered = True
        told = received(response, self.streamed)
        self.read = not self.streamed and response.is_closed
        self.whole = told.body is not None
        return self.tell(told)

    def _advance(self, step: Callable[[], Step | None]) -> Step | None:
        def to_the_next() -> Step | None:
            try:
                return step()
            except StopIteration as end:
                self.watch = end.value
            except Unsent:
                pass
            self.open = False
            return None

        try:
            wanted = guarded(to_the_next, lambda cause: FlowFailed(f"{type(cause).__name__}: {cause}"))
        except FlowFailed as failure:
            self.open = False
            log.error("a call goes on without Holdfast: %s", redacted_text(str(failure)))
            return None
        if isinstance(wanted, Send) and wanted.kind == "call":
            self.send = wanted
        return wanted

    def attempt(self, options: FinalRequestOptions) -> FinalRequestOptions:
        """The caller's options for one more request, under this call's key; the SDK takes things out of what it is given."""
        fresh = copy.copy(options)
        fresh.idempotency_key = self.key
        return fresh

    def close(self) -> None:
        """Ends a flow that will hear no more."""
        if self._flow is not None and self.open:
            self._advance(self._flow.close)
            self.open = False

    def fill(self, options: FinalRequestOptions) -> FinalRequestOptions:
        """The options of one attempt, which are its own, with the flow's request in them."""
        if self.send is None or self.request is None:
            return options
        body = self.send.body
        self.hides_usage = self.send.adds and self._wants_usage(body)
        if self.hides_usage:
            body = with_usage(body)
        if body is not self.request.body:
            options.json_data, options.extra_json = body if isinstance(body, dict) else dict(body), None
        if self.send.timeout is not None:
            options.timeout = self.send.timeout
        if self.send.endpoint:
            options.url = self._url(self.send.endpoint)
        return options

    def _wants_usage(self, body: Mapping[str, Json]) -> bool:
        return self.path == "/chat/completions" and self.streamed and _usage_unasked(body) and self.hooked.asks_usage(self.host)

    def failed(self, error: openai.APIError) -> Step | None:
        """Tells the flow of an error that the SDK would raise now; one from after an answer is no news to it."""
        return None if self.answered else self.tell(outcome_of(error))

    def usage_refused(self, error: openai.APIError) -> bool:
        """Whether it was our asking for the usage that the host would not have; it is not asked again then."""
        return self.hides_usage and self._refuses_usage(error)

    def _refuses_usage(self, error: Exception) -> bool:
        if isinstance(error, openai.APIStatusError) and error.status_code in (400, 422) and "stream_options" in repr(error.body):
            self.hooked.refused.add(self.host)
            return True
        return False

    def ask_again(self, error: Exception, options: FinalRequestOptions) -> bool:
        """Whether a question was refused for its ``stream_options``, which ``options`` have no more then."""
        body: Any = options.json_data
        if "stream_options" not in body or not self._refuses_usage(error):
            return False
        options.json_data = {name: value for name, value in body.items() if name != "stream_options"}
        return True

    def ask(self, send: Send, key: str) -> FinalRequestOptions:
        """The options of a question: streamed, and the caller's own but for what belongs to the call alone."""
        options = copy.copy(self.options)
        body = dict(send.body)
        if not send.endpoint:
            body["stream"] = True
            if self.path == "/chat/completions" and self.host not in self.hooked.refused:
                body = with_usage(body)
        options.json_data, options.extra_json = body, None
        options.idempotency_key, options.max_retries = key, 0
        options.post_parser = openai.NOT_GIVEN
        if not isinstance(options.headers, openai.NotGiven):
            options.headers = {name: value for name, value in options.headers.items() if name.lower() not in NOT_FOR_ASKS}
        if send.timeout is not None:
            options.timeout = send.timeout
        if send.endpoint:
            options.url = self._url(send.endpoint)
        return options

    def _url(self, endpoint: str) -> str:
        return self.options.url.replace(self.path, endpoint.removeprefix("/v1"), 1)


_UNDER_WAY: ContextVar[Call | None] = ContextVar("holdfast_openai_call", default=None)


@contextmanager
def under_way(call: Call) -> Iterator[None]:
    """While it lasts, the SDK's steps for this call find it by ``found``. What is still open at its end is closed."""
    before = _UNDER_WAY.get()
    _UNDER_WAY.set(call)
    try:
        yield
    finally:
        _UNDER_WAY.set(before)  # not reset(): a coroutine may be closed from another context
        call.close()


def found(options: FinalRequestOptions) -> Call | None:
    """The call that these options of an attempt belong to, by its key: a request made meanwhile by someone else has another."""
    call = _UNDER_WAY.get()
    return call if call is not None and options.idempotency_key == call.key else None


def body_of(options: FinalRequestOptions) -> Mapping[str, Json]:
    """The body as it will go out: ``extra_body`` laid over the rest, as the SDK does when it builds the request."""
    body: Any = options.json_data
    if options.extra_json is None:
        return body  # type: ignore[no-any-return]
    merged = {**(body or {}), **options.extra_json}
    if body is None:
        return merged
    return {key: value for key, value in merged.items() if not isinstance(value, openai.Omit)}


def headers_of(*layers: Any) -> dict[str, str]:
    """Headers with names in lower case; a later layer's go first, and the SDK's sign for "leave it out" takes a name away."""
    out: dict[str, str] = {}
    for layer in layers:
        if not isinstance(layer, Mapping):
            continue
        for name, value in layer.items():
            out.pop(name.lower(), None)
            if isinstance(value, str):
                out[name.lower()] = value
    return out


def provider_of(client: openai.OpenAI | openai.AsyncOpenAI, host: str) -> str:
    """Who serves the model: the platform of an Azure or Bedrock client, else the maker by the host."""
    if isinstance(client, openai.AzureOpenAI | openai.AsyncAzureOpenAI):
        return "azure"
    runtime = getattr(client, "_provider_runtime", None)
    return str(runtime.name) if runtime is not None else _MAKERS.get(host, "openai")


def _seconds(timeout: Any) -> float | None:
    found = getattr(timeout, "read", timeout)
    return float(found) if isinstance(found, int | float) else None


def _usage_unasked(body: Mapping[str, Json]) -> bool:
    options = body.get("stream_options")
    return not (isinstance(options, Mapping) and options.get("include_usage"))


def with_usage(body: Mapping[str, Json]) -> dict[str, Json]:
    """A Chat request that asks for its usage at the end of the stream."""
    options = body.get("stream_options")
    return {**body, "stream_options": {**(options if isinstance(options, Mapping) else {}), "include_usage": True}}


def received(response: httpx2.Response, streamed: bool = False) -> Received:
    """What the flow is told of a response; one that is not read yet has no body, nor has a stream that the caller will read."""
    headers = headers_of(response.headers)
    if streamed:
        return Received(response.status_code, None, headers)
    try:
        content = response.content
    except RuntimeError:  # ResponseNotRead, of httpx and of httpx2
        return Received(response.status_code, None, headers)
    try:
        body = json.loads(content)
    except ValueError:
        text = content.decode("utf-8", "replace")
        body = (assembled(text) or None) if is_stream(text) else None
    return Received(response.status_code, body if isinstance(body, dict) else None, headers)


def put_together_of(response: httpx2.Response, events: Iterable[object]) -> Received:
    """What the flow is told of a question's streamed answer."""
    body = put_together([event for event in events if isinstance(event, dict)])
    return Received(response.status_code, body, headers_of(response.headers))


def outcome_of(error: Exception) -> Outcome:
    """What the flow is told of an error of the SDK's: an answer that refuses, or that none came."""
    if isinstance(error, openai.APIStatusError):
        return received(error.response)
    lost = Unsent(str(error))
    lost.__cause__ = error
    return lost

"""The fake provider: a script says what the model answers, the cache models say what that costs, the endpoints say how it is written."""

from __future__ import annotations

import json
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from threading import Lock, Thread
from types import TracebackType
from typing import TypeAlias, TypedDict, Unpack

from holdfast.blocks import Role
from holdfast.frozen import Json
from holdfast.testing.fake import anthropic
from holdfast.testing.fake.billing import Billing, Counting, Model, Read
from holdfast.testing.fake.platforms import route
from holdfast.testing.fake.seeing import Exchange, Judging, Referring, RefusingInStreams, Seen
from holdfast.testing.fake.server import Answer, Call, Server
from holdfast.testing.fake.values import Asked, Endpoint, Fault, Refused, Reply, Say
from holdfast.usage import Usage
from holdfast.wire import of

Script: TypeAlias = "Iterable[Say] | Callable[[Asked], Say] | None"

COUNTING = frozenset(("/v1/messages/count_tokens", "/v1/responses/input_tokens"))
"""Endpoints that bill nothing and ask no script."""
_REMEMBERED = 4096
_UNREADABLE = (AttributeError, IndexError, KeyError, TypeError, ValueError)


class Options(TypedDict, total=False):
    """How a provider behaves; see ``Conditions`` for each."""

    clock: Callable[[], float]
    counter: Counting
    windows: Mapping[str, int]
    host: str
    port: int
    strict: bool
    keep: int
    losses: bool
    response_delay: float | None
    foreign_thinking: bool


@dataclass(frozen=True, slots=True)
class Conditions:
    """``clock`` gives POSIX seconds; latency and pace are real seconds whatever it says.

    ``counter``: ``"full"`` weighs every text, ``"sampled"`` long ones by samples (about 5 % off, some fifty times faster). ``windows``:
    context windows in tokens by model, over those of the price table. ``port`` 0 takes a free one. ``strict``: what the real provider would
    refuse is refused. ``keep``: how many requests are remembered, the newest. ``losses``: caches that promise nothing read what such caches
    read on average (``caches.openai.LOST``) instead of their ideal. ``response_delay``: an entry can be read that many seconds after
    its request began, by the clock; by default when the response begins. ``foreign_thinking``: signed thinking that this provider did not
    make is taken as it is, so that recorded conversations can be sent.
    """

    clock: Callable[[], float] = time.time
    counter: Counting = "full"
    windows: Mapping[str, int] = field(default_factory=dict)
    host: str = "127.0.0.1"
    port: int = 0
    strict: bool = True
    keep: int = 1000
    losses: bool = False
    response_delay: float | None = None
    foreign_thinking: bool = False


@dataclass(frozen=True, slots=True)
class _Case:
    """One request on its way: what came, and who asks."""

    call: Call
    endpoint: Endpoint
    body: Mapping[str, Json]
    headers: Mapping[str, str]
    account: str
    number: int
    counting: bool = False

    @property
    def streamed(self) -> bool:
        return bool(self.body.get("stream")) and not self.counting


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What became of a request: how it is answered, and what is remembered of it."""

    answer: Answer
    response: Mapping[str, Json]
    usage: Usage | None = None
    prompt_tokens: int = 0


class FakeProvider:
    """A provider on loopback that speaks the Messages, Chat Completions and Responses wire; a context manager.

        with FakeProvider(["Hello."]) as fake:
            client = Anthropic(base_url=fake.url, api_key="any")      # OpenAI: base_url=fake.url + "/v1"

    ``script``: what the model says, one for each request that is answered; a function of the request; ``None`` says "OK" to everything.
    A function is called by many threads at once, and what it raises is raised again when the provider stops. A script that has run out is
    answered with a 400. Each API key is an account with caches of its own. ``options`` are the fields of ``Conditions``.
    """

    def __init__(self, script: Script = None, **options: Unpack[Options]) -> None:
        self.conditions = Conditions(**{name: value for name, value in options.items() if value is not None})  # type: ignore[arg-type]
        self._billing = Billing(self.conditions.counter, self.conditions.windows, self.conditions.losses, self.conditions.response_delay)
        self._says = _sayer(script)
        self._endpoints = _Endpoints(self.conditions.foreign_thinking)
        self._asked: OrderedDict[int, Asked] = OrderedDict()
        self._reads: OrderedDict[tuple[str, str], Read] = OrderedDict()
        self._count, self._answered = 0, 0
        self._usage = Usage()
        self._lock, self._cashier = Lock(), Lock()
        self._server: Server | None = None

    @property
    def url(self) -> str:
        """The base URL for Anthropic's SDK; for OpenAI's append ``/v1``. Raises ``RuntimeError`` while it does not run."""
        if self._server is None:
            raise RuntimeError("the fake provider does not run: use it as a context manager, or call start()")
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    @property
    def requests(self) -> list[Asked]:
        """The requests in the order in which they arrived; of one that is not answered yet the status is 0."""
        with self._lock:
            return list(self._asked.values())

    @property
    def count(self) -> int:
        """How many requests have arrived, those that are no longer remembered among them."""
        with self._lock:
            return self._count

    @property
    def usage(self) -> Usage:
        """Everything that was billed."""
        with self._lock:
            return self._usage

    def start(self) -> FakeProvider:
        """Begins to serve. Raises ``OSError`` where the port is taken, ``RuntimeError`` where it already runs."""
        if self._server is not None:
            raise RuntimeError("the fake provider already runs")
        self._server = Server((self.conditions.host, self.conditions.port), self._answer, self.conditions.clock)
        Thread(target=self._server.serve_forever, args=(0.02,), daemon=True, name="holdfast-fake").start()
        return self

    def stop(self) -> None:
        """Ends every connection. Raises what a script has raised; a provider that does not run is left alone."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
            if server.raised:
                raise server.raised[0]

    def __enter__(self) -> FakeProvider:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self.stop()
        elif self._server is not None:
            server, self._server = self._server, None
            server.close()

    def _answer(self, call: Call) -> Answer:
        with self._lock:
            self._count += 1
            slot = self._count
        asked = Asked(call.path, {}, call.headers, call.at, 0, call.raw)
        self._remember(slot, asked)
        body, done = self._outcome(call, slot)
        answer = _identified(done.answer, slot)
        response = answer.body if answer.status >= 400 else done.response
        asked = replace(asked, body=body, status=answer.status, response=response, usage=done.usage, prompt_tokens=done.prompt_tokens)
        self._remember(slot, asked)
        return answer

    def _remember(self, slot: int, asked: Asked) -> None:
        with self._lock:
            if asked.usage is not None:
                self._usage += asked.usage
            if slot in self._asked or not asked.status:
                self._asked[slot] = asked
            while len(self._asked) > self.conditions.keep:
                self._asked.popitem(last=False)

    def _outcome(self, call: Call, slot: int) -> tuple[Mapping[str, Json], _Outcome]:
        way = route(call.path)
        endpoint = self._endpoints.at(way.path)
        if endpoint is None or call.method != "POST":
            return {}, _refused(anthropic.error(404, f"{call.method} {call.path}: not found"))
        if endpoint.dialect == "anthropic" and len(call.raw) > anthropic.LARGEST_BODY:
            return {}, _refused(anthropic.error(413, "Request exceeds the maximum size"))
        try:
            body = json.loads(call.raw)
        except ValueError as error:
            return {}, _refused(endpoint.failure(Fault(400, message=f"The request body is not valid JSON: {error}")))
        if not isinstance(body, dict):
            return {}, _refused(endpoint.failure(Fault(400, message="The request body must be a JSON object")))
        account = call.headers.get("x-api-key") or call.headers.get("authorization", "").removeprefix("Bearer ")
        case = _Case(call, endpoint, way.body(body), way.headers(body, call.headers), account, slot)
        return body, self._decide(replace(case, counting=way.path in COUNTING))

    def _decide(self, case: _Case) -> _Outcome:
        refused = self._refusal(case, 0)
        if refused is not None:
            return refused
        try:
            seen = self._seen(case)
        except _UNREADABLE as error:
            return _refused(case.endpoint.failure(Fault(400, message=f"The request could not be read: {error!r}")))
        if isinstance(seen, Refused):
            return _refused(seen)
        tokens = seen.read.tokens
        if tokens > seen.read.model.window and (refused := self._refusal(case, tokens, seen.read.model.window)) is not None:
            return replace(refused, prompt_tokens=tokens)
        if case.counting:
            response = case.endpoint.response(case.body, Reply(), Usage(fresh=tokens), 0)
            return _Outcome(Answer(body=response), response, None, tokens)
        say = self._says(Asked(case.call.path, case.body, case.headers, case.call.at, 0, case.call.raw, prompt_tokens=tokens))
        if isinstance(say, Fault) and say.drop != "body":
            return self._failed(case, say, tokens)
        return self._said(case, seen, say)

    def _refusal(self, case: _Case, tokens: int, window: int = 0) -> _Outcome | None:
        if not self.conditions.strict:
            return None
        refused = case.endpoint.refusal(case.body, case.headers, tokens, window)
        if refused is None:
            return None
        if isinstance(case.endpoint, RefusingInStreams):
            events = case.endpoint.refused_events(case.body, refused, case.number)
            if events is not None:
                return _Outcome(Answer(events=tuple(_written(events))), refused.body)
        return _refused(refused)

    def _seen(self, case: _Case) -> Seen | Refused:
        def reader(body: Mapping[str, Json]) -> Read:
            return self._billing.read(case.endpoint.dialect, body)

        if isinstance(case.endpoint, Judging) and self.conditions.strict:
            return case.endpoint.sees(case.body, case.headers, case.account, reader)
        body = case.endpoint.whole(case.body) if isinstance(case.endpoint, Referring) else case.body
        return Seen(body, reader(body))

    def _failed(self, case: _Case, fault: Fault, tokens: int) -> _Outcome:
        refused = case.endpoint.failure(fault)
        headers = {} if fault.retry_after is None else {"retry-after": f"{fault.retry_after:g}"}
        return _Outcome(Answer(refused.status, headers, refused.body, latency=fault.latency, drop=fault.drop), {}, None, tokens)

    def _said(self, case: _Case, seen: Seen, say: Say) -> _Outcome:
        fault = say if isinstance(say, Fault) else None
        reply = _reply(say)
        read, at = seen.read, case.call.at
        with self._cashier:
            begun = None if reply.latency else self.conditions.clock()
            usage = self._billing.send(read, at, case.account, begun).answered(self._output(case, read.model, reply))
        with self._lock:
            self._answered += 1
            number = self._answered
        response = case.endpoint.response(case.body, reply, usage, number)
        if isinstance(case.endpoint, Judging):
            before = self._read_before(case, case.endpoint)
            exchange = Exchange(case.headers, case.account, seen, before, usage.read)
            response = case.endpoint.completed(case.body, response, exchange)
            self._keep_read(case, str(response.get("id", "")), read)
        answer = Answer(body=response, latency=reply.latency, pace=reply.pace, drop="body" if fault else "")
        if reply.latency:
            answer = replace(answer, begins=lambda: self._begin(read, at, case.account))
        if case.streamed:
            answer = replace(answer, events=tuple(_written(case.endpoint.events(case.body, response))))
            if fault is not None and fault.status:
                answer = self._breaking(case, fault, answer)
        return _Outcome(answer, response, usage, read.tokens)

    def _breaking(self, case: _Case, fault: Fault, answer: Answer) -> Answer:
        """A stream that ends with an error event instead of a closed connection."""
        events = answer.events or ()
        failed = case.endpoint.failure(fault)
        last = tuple(_written([("error" if case.endpoint.dialect == "anthropic" else "", failed.body)]))
        return replace(answer, events=events[: len(events) // 2] + last, drop="")

    def _output(self, case: _Case, model: Model, reply: Reply) -> int:
        """The tokens of an answer: as the script says, else what it weighs."""
        if reply.output_tokens is not None:
            return reply.output_tokens
        if case.endpoint.dialect == "anthropic" and case.body.get("max_tokens") == 0:
            return 0
        content = reply.content
        if content is None:
            content = [{"type": "thinking", "thinking": reply.thinking}] if reply.thinking else []
            content += [{"type": "text", "text": reply.text}] if reply.text else []
            content += [{"type": "tool_use", "name": call.name, "input": dict(call.input)} for call in reply.calls]
        message = of("anthropic").read_message({"role": Role.ASSISTANT.value, "content": list(content)})
        return max(1, self._billing.weigh(model, message.blocks))

    def _begin(self, read: Read, at: float, account: str) -> None:
        with self._cashier:
            self._billing.began(read, at, account, self.conditions.clock())

    def _read_before(self, case: _Case, endpoint: Judging) -> Read | None:
        with self._lock:
            return self._reads.get((case.account, endpoint.previous(case.body)))

    def _keep_read(self, case: _Case, name: str, read: Read) -> None:
        with self._lock:
            self._reads[case.account, name] = read
            while len(self._reads) > _REMEMBERED:
                self._reads.popitem(last=False)


class _Endpoints:
    """The endpoints of one provider by path; a dialect's module is imported when it is asked for."""

    def __init__(self, foreign_thinking: bool) -> None:
        self._known: dict[str, Endpoint] = {
            "/v1/messages": anthropic.Messages(foreign=foreign_thinking),
            "/v1/messages/count_tokens": anthropic.Messages(counting=True, foreign=foreign_thinking),
        }
        self._lock = Lock()

    def at(self, path: str) -> Endpoint | None:
        """The endpoint of a path, ``None`` where there is none."""
        with self._lock:
            if path not in self._known and path.startswith("/v1/responses"):
                from holdfast.testing.fake.openai_responses import endpoints

                self._known.update(endpoints())
            elif path not in self._known and path == "/v1/chat/completions":
                from holdfast.testing.fake.openai_chat import CHAT

                self._known[path] = CHAT
            return self._known.get(path)


def _sayer(script: Script) -> Callable[[Asked], Say]:
    if script is None:
        return lambda asked: "OK"
    if callable(script):
        return script
    says, turn = iter([script] if isinstance(script, str) else script), Lock()

    def following(asked: Asked) -> Say:
        with turn:
            return next(says, Fault(400, message="the script of the fake provider has run out"))

    return following


def _reply(say: Say) -> Reply:
    if isinstance(say, Fault):
        return Reply("This answer breaks off before its end.", latency=say.latency)
    return Reply(say) if isinstance(say, str) else say


def _refused(refused: Refused) -> _Outcome:
    return _Outcome(Answer(refused.status, body=refused.body), refused.body)


def _identified(answer: Answer, number: int) -> Answer:
    """The answer with the id of its request, in the headers and, where an error names it, in the body."""
    name = f"req_011fake{number:016d}"
    headers = {"request-id": name, "x-request-id": name, **answer.headers}
    body = {**answer.body, "request_id": name} if answer.body.get("request_id") == "" else answer.body
    return replace(answer, headers=headers, body=body)


def _written(events: Iterable[tuple[str, Mapping[str, Json] | str]]) -> Iterator[bytes]:
    """Events as they stand in a stream."""
    for name, data in events:
        text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False, separators=(",", ":"))
        head = f"event: {name}\n" if name else ""
        yield f"{head}data: {text}\n\n".encode("utf-8", "replace")

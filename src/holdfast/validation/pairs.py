"""Recorded calls against the cache machines: was there a hit, and at which boundary.

Each call of a cassette goes, in order, through the machine of its provider. What a prediction sees is the request, the total
of its prompt, and what earlier calls were billed; how many tokens a boundary holds is known from the bills of earlier calls only. (Which
provider answered for a gateway is read from the answer.)

A call *agrees* if hit or miss and the boundary are the documented ones: for caches with marks the very token, for automatic ones within
a step of the cache or 1 % of the prompt. Where it does not, ``broken_rule`` names the one of ``pairs_rules.Rule`` that accounts for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

from holdfast.caches import NoCache, OpenAICache, OpenAIMarkRules, OpenAIMarksCache, OpenAIRules, cache_for
from holdfast.caches.machine import Cache, CacheRequest
from holdfast.caches.openai import DAY
from holdfast.errors import UnknownModel
from holdfast.exchange import Exchange
from holdfast.prefix import shared
from holdfast.pricing import Prices
from holdfast.readers.cassette import exchanges
from holdfast.usage import Usage
from holdfast.validation.pairs_bills import Bill, bill_of, explicit_size
from holdfast.validation.pairs_prompts import Asked, answered, asked, hidden_marks
from holdfast.validation.pairs_rules import Disagreement, Earlier, rule_of
from holdfast.validation.sight import BETWEEN_TURNS

_MARK_CACHES = ("anthropic", "bedrock", "vertex", "foundry")
_ONE_MINIMUM = ("openai", "azure")  # the same for all models; elsewhere only the price table knows
_EXPLICIT = "cachedContent"
_BLOCK = 16  # what vLLM keeps prefixes in (docs.vllm.ai, automatic prefix caching, 0.33)


@dataclass(frozen=True, slots=True)
class Pair:
    """One recorded call with the prediction beside it. Reads and ``prompt`` (the whole prompt as billed) are tokens.

    ``index`` is the call's place in the cassette, from 0, other traffic not counted. ``boundary_predicted`` is the last block that
    was predicted to be read (``system[0]``, ``messages[2].content[1]``), ``""`` for a miss; ``boundary_recorded`` the one that the bill
    shows, ``""`` where it shows none. ``broken_rule`` is a value of ``Rule``, ``""`` where the call agrees. ``first``: no earlier call of
    the cassette went to the same cache. ``predicted`` is the whole input side as the machine bills it, ``recorded`` the whole bill.
    """

    path: str
    index: int
    provider: str
    model: str
    predicted_read: int
    recorded_read: int
    hit_predicted: bool
    hit_recorded: bool
    boundary_predicted: str
    agrees: bool
    broken_rule: str = ""
    boundary_recorded: str = ""
    prompt: int = 0
    first: bool = False
    predicted: Usage = field(default_factory=Usage)
    recorded: Usage = field(default_factory=Usage)


@dataclass(frozen=True, slots=True)
class _Prediction:
    """``exact``: the boundary's tokens were billed before. ``tolerance``: by how many tokens the record may differ."""

    usage: Usage
    boundary: str
    exact: bool
    tolerance: int

    @property
    def read(self) -> int:
        return self.usage.read


class _Reaching(Cache, Protocol):
    """Every machine also tells how many leading blocks it would read."""

    def reach(self, request: CacheRequest) -> int:
        """The blocks that ``send`` would read."""


@dataclass(slots=True)
class _Past:
    """A call that was billed: its blocks, its bill, when it was made and who answered."""

    asked: Asked
    bill: Bill
    at: float
    route: str


@dataclass(slots=True)
class _Lane:
    """One provider's cache for one model as a cassette shows it."""

    provider: str
    cache: _Reaching
    published: bool
    minimum: int
    known: dict[bytes, int] = field(default_factory=dict)
    past: list[_Past] = field(default_factory=list)
    unbilled: list[list[bytes]] = field(default_factory=list)

    @property
    def marks(self) -> bool:
        """Whether the cache goes by marks."""
        return not isinstance(self.cache, OpenAICache | NoCache)

    def lifetime(self, past: _Past) -> float:
        """How long what a call wrote is documented to live unused, in seconds; infinite where the assumed time is nobody's promise."""
        marks = past.asked.prompt.marks
        if self.provider in _MARK_CACHES and marks:
            return max(mark.ttl for mark in marks)
        if self.provider in _ONE_MINIMUM and isinstance(self.cache, OpenAICache):
            return max(3600.0, self.cache.rules.idle)  # 5 to 10 minutes, at most an hour; or a day
        return float("inf")


@dataclass(frozen=True, slots=True)
class _Call:
    """One call before a machine: the exchange, its lane, its blocks, its bill, and the request as the machine sees it."""

    exchange: Exchange
    lane: _Lane
    asked: Asked
    bill: Bill
    request: CacheRequest


@dataclass(slots=True)
class _Recording:
    """A cassette on its way through the machines."""

    path: str
    lanes: dict[tuple[str, str, bool], _Lane] = field(default_factory=dict)
    explicit: dict[str, int] = field(default_factory=dict)
    stored: dict[str, list[Any]] = field(default_factory=dict)
    clock: float = 0.0

    def pair(self, index: int, exchange: Exchange) -> Pair | None:
        """The call's pair; ``None`` where it was billed nothing of a cache or is in no known form."""
        self.clock = self.clock + BETWEEN_TURNS if exchange.at is None else max(self.clock, exchange.at)
        before = self.stored.get(str(exchange.body.get("previous_response_id")), [])
        blocks, bill = asked(exchange, before), bill_of(exchange)
        self._store(exchange, before)
        lane = self._lane(exchange)
        if blocks is not None and bill is None:
            lane.unbilled.append(blocks.chain.ids)
        if blocks is None or bill is None:
            return None
        call = _Call(exchange, lane, blocks, bill, self._request(blocks, bill, lane))
        prediction = self._predicted(call)
        pair = self._judged(index, call, prediction)
        self._learn(call)
        return pair

    def _store(self, exchange: Exchange, before: Sequence[Any]) -> None:
        """What later requests may refer to by name: an explicit cache, a stored response."""
        response = exchange.response
        if exchange.endpoint.endswith("cachedContents"):
            self.explicit[str(response.get("name"))] = explicit_size(response)
        if isinstance(response.get("output"), list) and response.get("id"):
            items = exchange.body.get("input")
            own = [{"role": "user", "content": items}] if isinstance(items, str) else items if isinstance(items, list) else []
            self.stored[str(response["id"])] = [*before, *own, *response["output"]]

    def _lane(self, exchange: Exchange) -> _Lane:
        options = exchange.body.get("prompt_cache_options")
        explicit = isinstance(options, Mapping) and options.get("mode") == "explicit"
        key = (exchange.provider, str(exchange.body.get("model") or exchange.model), explicit)
        if key not in self.lanes:
            idle = DAY if exchange.body.get("prompt_cache_retention") == "24h" else None
            self.lanes[key] = _lane(exchange.provider, exchange.model, explicit, idle)
        return self.lanes[key]

    def _request(self, blocks: Asked, bill: Bill, lane: _Lane) -> CacheRequest:
        known = dict(lane.known)
        for past in lane.past:
            _anchor_answer(known, blocks, past)
        chain = blocks.weighed(bill.usage.prompt, known)
        marks = hidden_marks(blocks.prompt) if lane.provider in _MARK_CACHES else blocks.prompt.marks
        # A recording is made by one test that waits for each answer, and its times are whole seconds: what was written can be read at once.
        return CacheRequest(chain, blocks.prompt.settings, marks, self.clock, self.clock)

    def _predicted(self, call: _Call) -> _Prediction:
        named = str(call.exchange.body.get(_EXPLICIT))
        if named in self.explicit:
            held = self.explicit[named]
            return _Prediction(Usage(read=held, fresh=max(0, call.bill.usage.prompt - held)), _EXPLICIT, True, 0)
        lane, chain = call.lane, call.request.chain
        usage = lane.cache.peek(call.request)
        reach = lane.cache.reach(call.request) if usage.read else 0
        step = lane.cache.rules.step if isinstance(lane.cache, OpenAICache) else 0
        exact = reach > 0 and chain.ids[reach - 1] in lane.known
        tolerance = 0 if call.bill.inner > 1 or (exact and lane.marks) else max(step, chain.tokens() // 100)
        return _Prediction(usage, call.asked.names[reach - 1] if reach else "", exact, tolerance)

    def _judged(self, index: int, call: _Call, prediction: _Prediction) -> Pair:
        recorded = call.bill.usage.read
        agrees = bool(prediction.read) == bool(recorded) and abs(prediction.read - recorded) <= prediction.tolerance
        return Pair(
            path=self.path,
            index=index,
            provider=call.exchange.provider,
            model=call.exchange.model,
            predicted_read=prediction.read,
            recorded_read=recorded,
            hit_predicted=prediction.read > 0,
            hit_recorded=recorded > 0,
            boundary_predicted=prediction.boundary,
            agrees=agrees,
            broken_rule="" if agrees else str(rule_of(self._case(call, prediction))),
            boundary_recorded=prediction.boundary if agrees else _boundary(call),
            prompt=call.bill.usage.prompt,
            first=not call.lane.past,
            predicted=prediction.usage,
            recorded=call.bill.usage,
        )

    def _case(self, call: _Call, prediction: _Prediction) -> Disagreement:
        lane = call.lane
        return Disagreement(
            predicted=prediction.read,
            exact=prediction.exact,
            recorded=call.bill.usage.read,
            at_known=_known_place(call) >= 0,
            prompt=call.bill.usage.prompt,
            inner=call.bill.inner,
            marks=lane.marks,
            published=lane.published,
            units=lane.provider == "deepseek",
            minimum=lane.minimum,
            settings=call.request.settings,
            route=_route(call.exchange),
            earlier=[_earlier(past, call.request, lane) for past in lane.past],
            unbilled=max((call.request.chain.tokens(shared(ids, call.request.chain.ids)) for ids in lane.unbilled), default=0),
        )

    def _learn(self, call: _Call) -> None:
        """The call as it was billed, and the requests that the provider made of its own for it."""
        lane, chain, usage, inner = call.lane, call.request.chain, call.bill.usage, call.bill.inner
        begun = chain.tokens(lane.cache.reach(call.request))
        lane.cache.send(call.request)
        lane.past.append(_Past(call.asked, call.bill, self.clock, _route(call.exchange)))
        if inner > 1:
            cold = usage.read <= begun + usage.prompt * (inner - 1) // inner
            _ran_tools(call, begun + usage.written if cold else 0)
            return
        if lane.marks and call.request.marks and usage.read + usage.written:
            lane.known[chain.ids[min(call.request.marks[-1].position, chain.length - 1)]] = usage.read + usage.written
        lane.known.setdefault(chain.ids[-1], usage.prompt)


def _ran_tools(call: _Call, end: int) -> None:
    """Send the last of the provider's own requests: everything up to the last result of its tools, which it marks itself.

    ``end`` is how many tokens that holds, by the bill (0: the bill does not show it).
    """
    lane = call.lane
    given = call.exchange.response.get("content")
    content = [block for block in given if isinstance(block, Mapping)] if isinstance(given, list) else []
    places = [place for place, block in enumerate(content) if str(block.get("type")).endswith("_tool_result")]
    if lane.provider not in _MARK_CACHES or not places or not call.request.marks:
        return
    blocks = answered(call.asked, content[: places[-1] + 1])
    chain = blocks.weighed(end or call.request.chain.tokens(), {})
    at = call.request.at
    lane.cache.send(CacheRequest(chain, call.request.settings, hidden_marks(blocks.prompt), at, at))
    if end:
        lane.known[chain.ids[-1]] = end


def _boundary(call: _Call) -> str:
    """Where the recorded read ended, as far as the bills show: at a place of known size, or, nothing being written, at the last mark."""
    ids, usage, marks = call.request.chain.ids, call.bill.usage, call.request.marks
    if not usage.read or not call.lane.marks or call.bill.inner > 1:
        return ""
    place = _known_place(call)
    if place < 0 and marks and not usage.written and ids[marks[-1].position] not in call.lane.known:
        place = marks[-1].position
    return call.asked.names[place] if place >= 0 else ""


def _known_place(call: _Call) -> int:
    """The block up to which earlier bills give just the tokens that were read now, or -1."""
    known, read = call.lane.known, call.bill.usage.read
    return next((place for place, prefix in enumerate(call.request.chain.ids) if known.get(prefix) == read), -1)


def _lane(provider: str, model: str, explicit: bool, idle: float | None) -> _Lane:
    try:
        minimum = Prices.load().find(model).min_cacheable_tokens
    except UnknownModel:
        minimum = None
    cache = cache_for(provider, model, minimum, idle)
    if isinstance(cache, OpenAIMarksCache) and explicit:
        cache = OpenAIMarksCache(OpenAIMarkRules(minimum=cache.rules.minimum, implicit=False))
    if isinstance(cache, NoCache):
        return _Lane(provider, OpenAICache(OpenAIRules(minimum=_BLOCK, step=_BLOCK, idle=3600.0)), False, 0)
    rules = getattr(cache, "rules", None)
    documented = minimum or (rules.minimum if rules is not None and provider in _ONE_MINIMUM else 0)
    return _Lane(provider, cast(_Reaching, cache), True, documented)


def _route(exchange: Exchange) -> str:
    """Who answered for a gateway, as its answer says."""
    return str(exchange.response.get("provider") or "")


def _anchor_answer(known: dict[bytes, int], request: Asked, past: _Past) -> None:
    """How many tokens an earlier prompt and the answer to it hold together, where this request goes on from them."""
    length = past.asked.chain.length
    if length >= request.chain.length or request.chain.ids[length - 1] != past.asked.chain.ids[-1]:
        return
    end = length
    while end < request.chain.length and request.chain.roles[end] == "assistant":
        end += 1
    if end > length:
        known.setdefault(request.chain.ids[end - 1], past.bill.usage.prompt + past.bill.usage.output)


def _earlier(past: _Past, request: CacheRequest, lane: _Lane) -> Earlier:
    count = shared(past.asked.chain.ids, request.chain.ids)
    usage = past.bill.usage
    return Earlier(
        tokens=min(request.chain.tokens(count), usage.prompt),
        whole=count == past.asked.chain.length,
        prompt=usage.prompt,
        output=usage.output,
        read=usage.read,
        written=usage.written,
        settings=past.asked.prompt.settings,
        route=past.route,
        inner=past.bill.inner,
        age=request.at - past.at,
        lifetime=lane.lifetime(past),
    )


def check_exchanges(path: str, calls: Iterable[Exchange]) -> list[Pair]:
    """Every one of these calls, in their order, whose bill says something of a cache. Calls in no known form are passed over."""
    recording = _Recording(path)
    found = [recording.pair(index, exchange) for index, exchange in enumerate(calls)]
    return [pair for pair in found if pair is not None]


def check_cassette(path: Path) -> list[Pair]:
    """The pairs of a cassette. Raises ``Unreadable`` if the file is no recording."""
    return check_exchanges(str(path), exchanges(path))


def check_cassettes(paths: Iterable[Path]) -> list[Pair]:
    """The pairs of several cassettes, each checked by itself: one does not warm the cache of another."""
    return [pair for path in paths for pair in check_cassette(path)]

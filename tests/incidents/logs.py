"""Request logs that the recipes build, and what a doctor must and may say of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from holdfast.blocks import Mark, Settings
from holdfast.caches import Cache, CacheRequest
from holdfast.doctor.findings import Cause, Verdict
from holdfast.exchange import Exchange
from holdfast.prefix import Chain, chain_of
from holdfast.tokens import Counter
from holdfast.transcript import Dialect
from holdfast.usage import Usage
from holdfast.wire import of
from tests.incidents.bodies import Talk

START = 1_790_000_000.0
"""When the logs begin: POSIX seconds."""

_COUNTER = Counter()


@dataclass(frozen=True)
class Loss:
    """What the doctor must say of one request.

    One of ``causes``, and ``detail`` where it is not empty; a place that begins with one of ``places`` (empty: any); ``tokens`` rewritten
    between the two numbers (``None``: any); one of ``verdicts`` (empty: any); a non-empty ``excluded`` where ``argued``.
    """

    turn: int
    causes: frozenset[Cause]
    detail: str = ""
    places: tuple[str, ...] = ()
    tokens: tuple[float, float] | None = None
    verdicts: frozenset[Verdict] = frozenset()
    argued: bool = False


@dataclass(frozen=True)
class Trial:
    """A log with the losses that must be found. ``may`` says which causes are no fault at other requests; elsewhere silence is right."""

    name: str
    exchanges: tuple[Exchange, ...]
    losses: tuple[Loss, ...] = ()
    may: Mapping[int, frozenset[Cause]] = field(default_factory=dict)


def dialect_of(api: str) -> Dialect:
    """The API in whose form a provider's requests are written."""
    return "anthropic" if api == "anthropic" else "openai-chat"


def usage_json(api: str, usage: Usage) -> dict[str, Any]:
    """A usage in the provider's own words: additive at Anthropic, inclusive elsewhere."""
    if api == "anthropic":
        return {
            "input_tokens": usage.fresh,
            "cache_read_input_tokens": usage.read,
            "cache_creation_input_tokens": usage.written,
            "cache_creation": {"ephemeral_5m_input_tokens": usage.write_5m, "ephemeral_1h_input_tokens": usage.write_1h},
            "output_tokens": usage.output,
        }
    inclusive = {"prompt_tokens": usage.prompt, "completion_tokens": usage.output, "total_tokens": usage.prompt + usage.output}
    if api == "deepseek":
        return {**inclusive, "prompt_cache_hit_tokens": usage.read, "prompt_cache_miss_tokens": usage.fresh}
    return {**inclusive, "prompt_tokens_details": {"cached_tokens": usage.read}}


class Log:
    """A log being written. Times are seconds; every request is answered after ``took``."""

    def __init__(self, api: str) -> None:
        self.api = self.provider = api
        self.now = START
        self.exchanges: list[Exchange] = []

    @property
    def last(self) -> int:
        """The place of the newest request."""
        return len(self.exchanges) - 1

    def send(self, talk: Talk | None, usage: Usage | None, after: float = 20.0, took: float = 4.0, **more: Any) -> int:
        """One request ``after`` seconds behind the answer before; without a talk only its bill is logged. Returns its place.

        ``more`` are fields of ``Exchange``; ``answer`` is the assistant's message and ``extra`` further keys of the response.
        """
        at = self.now + (after if self.exchanges else 0.0)
        self.now = at + took
        place = len(self.exchanges)
        response: dict[str, Any] = {"id": f"msg_{place:04d}", "model": talk.model if talk else more.pop("model", "")}
        answer = more.pop("answer", None)
        if answer is not None and self.api == "anthropic":
            response |= {"type": "message", "role": "assistant", "content": answer["content"]}
        if usage is not None:
            response["usage"] = usage_json(self.api, usage)
        response |= more.pop("extra", {})
        body = talk.body(dialect_of(self.api)) if talk else {}
        more.setdefault("endpoint", "/v1/messages" if self.api == "anthropic" else "/v1/chat/completions")
        more.setdefault("provider", self.provider)
        exchange = Exchange(body, response, at, self.now, status=200, line=place + 1, **more)
        self.exchanges.append(exchange)
        return place

    def trial(self, name: str, losses: Iterable[Loss] = (), may: Mapping[int, Iterable[Cause]] | None = None) -> Trial:
        """The log as a trial."""
        return Trial(name, tuple(self.exchanges), tuple(losses), {turn: frozenset(causes) for turn, causes in (may or {}).items()})


def chain_and_marks(body: Mapping[str, Any], api: str) -> tuple[Chain, tuple[Mark, ...], Settings]:
    """A body's prompt as a chain with its tokens, its marks and its settings."""
    prompt = of(dialect_of(api)).read(body)
    chain = chain_of(prompt)
    chain.totals[:] = accumulate(_COUNTER.raw(block) for block in prompt.blocks)
    return chain, prompt.marks, prompt.settings


def billed(cache: Cache, talk: Talk, api: str, at: float, **more: Any) -> Usage:
    """What a cache machine bills a talk; ``more`` are fields of ``CacheRequest``."""
    chain, marks, settings = chain_and_marks(talk.body(dialect_of(api)), api)
    return cache.send(CacheRequest(chain, settings, marks, at, **more))


def tokens_of(talk: Talk, api: str) -> int:
    """The tokens of a whole talk, unscaled."""
    return chain_and_marks(talk.body(dialect_of(api)), api)[0].tokens()

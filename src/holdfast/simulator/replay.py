"""Leading a recorded transcript through the engine turn by turn, with a cache model in the place of the provider.

Recorded answers stay as recorded: a counterfactual changes only prompts.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

from holdfast.asking import asked
from holdfast.blocks import Mark, Message, Settings
from holdfast.caches import cache_for
from holdfast.caches.anthropic import AnthropicCache
from holdfast.caches.machine import Cache, CacheRequest
from holdfast.edits import Scribe
from holdfast.families import thinks_manually
from holdfast.line import Line
from holdfast.live import HALF_HOUR
from holdfast.marks import Own
from holdfast.pipeline import Engine, Outcome
from holdfast.policy import Policy
from holdfast.prefix import Chain
from holdfast.pricing import Price, Prices, cost
from holdfast.routing import marks_of
from holdfast.scale import Scale, scale
from holdfast.schedule import Schedule, Tariff, schedule_for
from holdfast.strategy import Answer, Ask, Strategy
from holdfast.transcript import Transcript, Turn
from holdfast.usage import Usage
from holdfast.validation.explicit import loses_messages
from holdfast.validation.history import loads_tools
from holdfast.wire import of

WINDOW_TOKENS = 200_000
"""The window of a model whose price entry states none."""

ANSWER_TOKENS = 2_000
"""The least length assumed for the answer to a strategy's question: a summary of nine sections."""

BETWEEN_TURNS = 10.0
"""Seconds between two requests of a transcript that holds no times: within every cache lifetime."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """Under which a transcript is replayed. The fields are those of ``simulator.requests.CompareRequest``; ``ttl`` is in seconds."""

    prices: Prices
    model: str | None = None
    trigger: float | None = None
    target: float | None = None
    ttl: int | None = None
    keep_tail_tokens: int = 10_000


@dataclass(frozen=True, slots=True)
class Step:
    """One replayed turn: what went out, what the cache made of it, what that costs.

    ``ordinal`` counts the turns of its lineage. ``usd`` is the whole price of the turn, ``asked`` what the strategy's model calls
    are of it. ``broken``: the prompt did not begin with what was sent last although nothing was committed.
    ``waiting``: it went out above the trigger because nothing could be cut just then. ``settled``:
    the lineage's commits, by number, that have paid for themselves, and after how many turns.
    """

    turn: Turn
    ordinal: int
    outcome: Outcome
    usage: Usage
    usd: Decimal
    asked: Decimal = Decimal(0)
    broken: bool = False
    waiting: bool = False
    settled: tuple[tuple[int, int], ...] = ()


@dataclass(slots=True)
class _Lane:
    """A lineage in replay."""

    line: Line
    turns: int = 0
    last: Chain = field(default_factory=Chain)
    before: Turn | None = None
    loaded: bool = False
    losses: int = 0

    def meet(self, turn: Turn) -> None:
        """What the client did before this turn that loses the cached messages is counted: it does so under every strategy."""
        self.losses += loses_messages(self.before, turn, self.loaded)
        self.loaded = self.loaded or loads_tools(turn.prompt.messages[-1])
        self.before = turn


class Replay:
    """One strategy over one weighed transcript. Lineages keep lines of their own and share the provider's cache."""

    def __init__(self, transcript: Transcript, strategy: Strategy, conditions: Conditions) -> None:
        self._transcript = transcript
        self._strategy = strategy
        self._conditions = conditions
        self._wire = of(transcript.dialect)
        self._engines: dict[tuple[str, int], Engine] = {}
        self._caches: dict[str, Cache] = {}
        self._lanes: dict[str, _Lane] = {}
        self._named: dict[tuple[Settings, str, int], Settings] = {}
        self._ttl: dict[str, int] = {}
        self._clock = 0.0

    def steps(self) -> Iterator[Step]:
        """Every turn in the order of the transcript."""
        for turn in self._transcript.turns:
            yield self._step(turn)

    def price(self, turn: Turn) -> Price:
        """The price of the model that is billed for this turn. Raises ``UnknownModel``."""
        return self._conditions.prices.find(self._conditions.model or turn.model)

    def _step(self, turn: Turn) -> Step:
        now = self._now(turn)
        price = self.price(turn)
        engine = self._engine(turn, price)
        lane = self._lane(turn, engine)
        cache = self._cache(price)
        lane.meet(turn)
        settings = self._settings(turn, price, lane.losses if isinstance(cache, AnthropicCache) else 0)
        self._warm_as_recorded(cache, lane, turn, settings, now)
        outcome = engine.step(lane.line, now, lambda ask, line: self._answer(ask, line, cache, settings, now), Own(turn.prompt.marks))
        chain = outcome.chain
        usage = cache.send(CacheRequest(chain, settings, outcome.marks, now))
        asked = sum((cost(one, price, now) for one in outcome.trace.asked), Decimal(0))
        lane.line = engine.sent(outcome, now)
        lane.line.went_listed(outcome.marks, self._wire.is_bare)
        settled = engine.learn(lane.line, outcome, usage)
        usage = usage.answered(output_tokens(turn, scale(price.family)))
        step = Step(turn, lane.turns, outcome, usage, cost(usage, price, now) + asked, asked)
        step = replace(step, broken=_broken(lane.last, outcome), waiting=self._waits(outcome, engine), settled=settled)
        lane.last = chain
        lane.turns += 1
        return step

    def _waits(self, outcome: Outcome, engine: Engine) -> bool:
        """Whether the prompt is above the trigger, nothing is committed now, and nothing has been before."""
        above = outcome.trace.sent_tokens > engine.policy.schedule.trigger
        return above and not outcome.line.ledger.entries and self._strategy.name != "none"

    def _now(self, turn: Turn) -> float:
        # A clock that runs backwards stands still: a cache cannot be asked about the past.
        self._clock = self._clock + BETWEEN_TURNS if turn.at is None else max(self._clock, turn.at)
        return self._clock

    def _lane(self, turn: Turn, engine: Engine) -> _Lane:
        lane = self._lanes.get(turn.lineage)
        messages = turn.prompt.messages
        if lane is None:
            lane = self._lanes[turn.lineage] = _Lane(self._branch(turn, engine))
        lane.line.grow(messages[len(lane.line.source) :])
        return lane

    def _branch(self, turn: Turn, engine: Engine) -> Line:
        """A new line, forked from the one that shares most of its messages, if any does."""
        messages = turn.prompt.messages
        parent, common = None, 0
        for lane in self._lanes.values():
            known = _common(lane.line.source, messages)
            if known > common:
                parent, common = lane.line, known
        if parent is None:
            return engine.begin(turn.prompt.head)
        return engine.fork(parent, common, turn.prompt.head, messages[:common])

    def _engine(self, turn: Turn, price: Price) -> Engine:
        ttl = self._conditions.ttl or self._recorded_ttl(turn)
        known = self._engines.get((price.model, ttl))
        if known is None:
            known = self._engines[price.model, ttl] = Engine(self._policy(price, ttl))
        return known

    def _recorded_ttl(self, turn: Turn) -> int:
        """The lifetime that this lineage's recorded writes have had so far; 5 minutes, the provider's default, before there are any."""
        if turn.usage is not None and turn.usage.written:
            self._ttl[turn.lineage] = 3600 if turn.usage.write_1h > turn.usage.write_5m else 300
        return self._ttl.get(turn.lineage, 300)

    def _policy(self, price: Price, ttl: int) -> Policy:
        rates = price.rates()
        write = rates.of("write_1h" if ttl > 300 else "write_5m")
        scales = scale(price.family)
        breakpoints = marks_of(price.provider, price.model) == "breakpoints"
        return Policy(
            strategy=self._strategy,
            schedule=schedule_of(price, self._conditions),
            scribe=Scribe(self._wire.cleared, self._wire.note, scales.weigh),
            count=scales.count,
            tariff=Tariff(float(rates.fresh), float(rates.of("read")), float(write)),
            keep_tail_tokens=self._conditions.keep_tail_tokens,
            ttl=HALF_HOUR if breakpoints else ttl,
            marking=price.provider == "anthropic" or breakpoints,
            breakpoints=breakpoints,
            minimum=price.min_cacheable_tokens or 0 if breakpoints else 0,
            binds_thinking=price.binds_thinking == "prefix",
            manual_thinking=thinks_manually(price.model),
            dialect=self._transcript.dialect,
        )

    def _cache(self, price: Price) -> Cache:
        known = self._caches.get(price.model)
        if known is None:
            known = self._caches[price.model] = cache_for(price.provider, price.model, price.min_cacheable_tokens or 1024, losses=True)
        return known

    def _settings(self, turn: Turn, price: Price, losses: int) -> Settings:
        """The settings of the turn's prompt under the name of the model that is billed; after a loss the messages are keyed apart."""
        key = turn.prompt.settings, price.model, losses
        known = self._named.get(key)
        if known is None:
            other = (*turn.prompt.settings.other, ("losses", str(losses))) if losses else turn.prompt.settings.other
            known = self._named[key] = replace(turn.prompt.settings, model=price.model, other=other)
        return known

    def _warm_as_recorded(self, cache: Cache, lane: _Lane, turn: Turn, settings: Settings, now: float) -> None:
        """What the record says of entries that this lineage did not write: other sessions, or a part of this one that is not in the file.

        Where the bill shows tools and system read, they were warm. Where the first request of a lineage read more, so much of its prompt
        was. It is the same for every strategy: none edits the head, and nothing has been edited yet when a lineage begins.
        """
        line = lane.line
        if not isinstance(cache, AnthropicCache) or turn.usage is None or not line.head:
            return
        read = turn.usage.read * 1.01 + 50  # two counts of one text differ by a few tokens
        first = lane.turns == 0 and not line.ledger.entries
        length = bisect_right(line.chain.totals, read, hi=line.chain.length if first else 1) if turn.usage.read else 0
        if length:
            cache.warm(line.chain, length - 1, settings, now + 1)
            line.warmed(length, now + 1)

    def _answer(self, ask: Ask, line: Line, cache: Cache, settings: Settings, now: float) -> Answer:
        """A question is sent as a pure extension of the live prompt: it reads what is warm and writes nothing."""
        scales = scale(self._conditions.prices.find(settings.model).family)
        chain = line.chain.fork(line.chain.length)
        note = self._wire.note(asked(ask))
        chain.extend(block.weighed(scales.weigh(block)) for block in note.blocks)
        warm = line.frontier(line.sent_length, now)
        marks = (Mark(warm - 1, 300),) if warm else ()
        usage = cache.send(CacheRequest(chain, settings, marks, now, writes=False))
        return Answer(ask.stand_in, usage.answered(max(ANSWER_TOKENS, scales.count(ask.stand_in))))


def schedule_of(price: Price, conditions: Conditions) -> Schedule:
    """When plans are wanted on this model. Raises ``InputError`` where trigger and target do not fit."""
    return schedule_for(price.context_window or WINDOW_TOKENS, conditions.trigger, conditions.target)


def output_tokens(turn: Turn, scales: Scale) -> int:
    """The output billed for a turn: as recorded where that is final, else the weight of what the model visibly said."""
    recorded = turn.usage.output if turn.usage else 0
    if turn.usage is not None and turn.output_final:
        return recorded
    return max(recorded, sum(block.tokens or scales.weigh(block) for block in turn.answer.blocks) if turn.answer else 0)


def _common(known: Sequence[Message], messages: Sequence[Message]) -> int:
    """How many leading messages are the same."""
    for ordinal, (one, other) in enumerate(zip(known, messages, strict=False)):
        if one is not other and [block.fingerprint for block in one.blocks] != [block.fingerprint for block in other.blocks]:
            return ordinal
    return min(len(known), len(messages))


def _broken(last: Chain, outcome: Outcome) -> bool:
    """Whether the prompt does not begin with what was sent last, although that was not planned."""
    chain = outcome.chain
    upto = min(last.length, outcome.trace.commit.first_block) if outcome.trace.commit else last.length
    return upto > chain.length or (upto > 0 and chain.ids[upto - 1] != last.ids[upto - 1])


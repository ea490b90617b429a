"""A running account of what Holdfast did, request by request, against the same requests as the caller made them.

Each answered request is costed three times, by cache machines that are given the same clock: (a) the caller's history with the
caller's own marks, (b) that history with our marks, (c) what was sent. *Saved by marks* is a - b; *saved by shortening* is b - c, where
what our commits rewrote is taken out of c, because it is a column of its own. The predictions only give differences, which are laid on
the real bill: where a and c are the same nothing is claimed, whatever the provider did. A bill above the prediction, in a lineage
that Holdfast has touched, counts against it in full; one below it is the provider's and is not claimed. ``docs/figures.md`` has the
whole method.

``add`` only queues. The work is done in ``report`` and ``settle``, in the order of arrival: it does not matter when they are called.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from decimal import Decimal, localcontext
from functools import reduce
from operator import add

from cachetools import LRUCache

from holdfast import forks
from holdfast.caches import AnthropicCache, Cache, CacheRequest, OpenAICache, OpenAIMarksCache, cache_for
from holdfast.calls.figures import EXACT, MICRODOLLAR, ZERO, Break, Figure, Reads, Report, Tokens
from holdfast.calls.sent import Asked, Sent, Spent, split_iterations
from holdfast.errors import HoldfastError, UnknownModel
from holdfast.pipeline import guarded, told
from holdfast.pricing import Price, Prices, cost
from holdfast.usage import Usage
from holdfast.validation.uncertainty import Uncertainty

__all__ = ["Asked", "Savings", "Sent", "split_iterations"]

QUEUE = 1024
"""Requests that wait for the next report; beyond that each new one has the oldest done first."""

LINEAGES = 4096
ONE = Decimal(1)
MARKETS = 64
BREAKS = 256
DOUBT_TOKENS = 1000
DOUBT_TIMES = 2
"""A usage further than ``DOUBT_TOKENS`` and ``DOUBT_TIMES`` from the weight of the prompt is no basis: tools that the server ran, say."""


@dataclass(slots=True)
class _Sides:
    """A sum of differences: the positive ones and, apart, the sizes of the negative ones."""

    up: Decimal = ZERO
    down: Decimal = ZERO

    def book(self, amount: Decimal) -> None:
        if amount > 0:
            self.up += amount
        else:
            self.down -= amount

    def figure(self, errors: tuple[Decimal, Decimal], wobble: Decimal) -> Figure:
        """The sum, with every difference off by ``errors`` (shares, the first at most 0) in whichever way is worse."""
        low, high = errors
        usd = self.up - self.down
        least = self.up * (1 + low) - self.down * (1 + high) - wobble
        most = self.up * (1 + high) - self.down * (1 + low) + wobble
        return Figure(usd, min(usd, least.quantize(MICRODOLLAR)), max(usd, most.quantize(MICRODOLLAR)))


@dataclass(slots=True)
class _Totals:
    """The account of one model at one provider. Amounts are USD.

    ``wobble``: how far the differences by shortening hang on two weights of one conversation that do not agree. ``predicted`` and
    ``checked``: the predicted and the billed cost of checked requests. ``short`` and ``long``: by how much bills of touched
    lineages lay above and below their prediction. ``apart``: what commits rewrote in requests that are in no difference.
    ``promises``: whether this cache promises how long it keeps a prefix.
    """

    model: str
    provider: str
    priced: bool
    promises: bool
    observed: bool
    requests: int = 0
    measured: int = 0
    doubtful: int = 0
    impossible: int = 0
    commits: int = 0
    marks: _Sides = field(default_factory=_Sides)
    shortening: _Sides = field(default_factory=_Sides)
    whole: _Sides = field(default_factory=_Sides)
    wobble: Decimal = ZERO
    spent: Decimal = ZERO
    planned: Decimal = ZERO
    apart: Decimal = ZERO
    short: Decimal = ZERO
    long: Decimal = ZERO
    billed: Decimal = ZERO
    predicted: Decimal = ZERO
    checked: Decimal = ZERO
    tokens: Tokens = field(default_factory=Tokens)
    reads: Reads = field(default_factory=Reads)

    def report(self, uncertainty: Uncertainty) -> Report:
        """The figures of this account. Intervals come from measured errors and from how near this account's own predictions were."""
        known = uncertainty.errors("live", self.provider)
        low, high = (min(ZERO, known.low), max(ZERO, known.high)) if known else (Decimal(-1), Decimal(1))
        if self.predicted:
            low = min(low, self.checked / self.predicted - 1)
        errors = (max(low, Decimal(-1)), high)
        whole, shortfall = self.whole.figure(errors, self.wobble), self.shortfall
        breaks = self.planned + self.apart
        paid = self.spent + self.apart + shortfall
        return Report(
            requests=self.requests,
            measured=self.measured,
            unmeasured=self.requests - self.measured,
            doubtful=self.doubtful,
            impossible=self.impossible,
            saved_by_marks=self.marks.figure(errors, ZERO),
            saved_by_shortening=self.shortening.figure(errors, self.wobble),
            spent_on_calls=Figure.known(self.spent),
            breaks_we_caused=Figure(breaks + shortfall, breaks, breaks + shortfall),
            net=Figure(whole.usd - paid, whole.low - paid, whole.high - paid + shortfall),
            billed=self.billed,
            planned_breaks=breaks,
            commits=self.commits,
            tokens=self.tokens,
            reads=self.reads,
            unpriced=((self.model, self.measured),) if self.measured and not self.priced else (),
            observed=self.observed,
        )

    @property
    def shortfall(self) -> Decimal:
        """What bills of touched lineages came to above their prediction; where the cache promises nothing, less what others lay below."""
        return self.short if self.promises else max(ZERO, self.short - self.long)


@dataclass(slots=True)
class _Market:
    """One model at one provider, within what isolates its caches: a machine for each of the three histories, one clock, the price."""

    price: Price | None
    machines: tuple[Cache, Cache, Cache]
    totals: _Totals
    clock: float = float("-inf")
    weight: tuple[int, int] | None = None

    def predict(self, sent: Sent) -> tuple[Usage, Usage, Usage]:
        """What the three histories would be billed, in the tokens of our scale. A clock that runs backwards stands still."""
        self.clock = now = max(self.clock, sent.at)
        begun = None if sent.responded is None else max(now, sent.responded)
        histories = ((sent.given, sent.given_marks), (sent.given, sent.planned_marks), (sent.chain, sent.marks))
        a, b, c = (
            machine.send(CacheRequest(chain, sent.settings, marks, now, begun, sent.scope))
            for machine, (chain, marks) in zip(self.machines, histories, strict=True)
        )
        return a, b, c

    @property
    def lost(self) -> float:
        """The share of every hit that the machines leave out, because such caches lose so much on average."""
        return max((machine.rules.lost for machine in self.machines if isinstance(machine, OpenAICache)), default=0.0)

    @property
    def window(self) -> float:
        """The longest prompt that the model takes, in tokens; without end where that is not known."""
        return (self.price.context_window if self.price else None) or float("inf")

    def cost(self, usage: Usage, at: float) -> Decimal:
        """In USD; 0 where no price is known."""
        return cost(usage, self.price, at) if self.price else ZERO


@dataclass(slots=True)
class _Lineage:
    """What is remembered of a lineage: its last billed and weighed tokens while it was unedited, and whether it was ever touched."""

    weight: tuple[int, int] | None = None
    touched: bool = False
    requests: int = 0


class Savings:
    """The account. ``add`` is cheap and safe from any thread; ``report`` and ``settle`` do what has been queued."""

    def __init__(self, prices: Prices | None = None, uncertainty: Uncertainty | None = None, queue: int = QUEUE) -> None:
        self._prices, self._uncertainty, self._limit = prices, uncertainty, queue
        self._queue: deque[Sent | Spent] = deque()
        self._lock = forks.lock()
        self._markets: LRUCache[tuple[str, str, str, bool], _Market] = LRUCache(MARKETS)
        self._lineages: LRUCache[Hashable, _Lineage] = LRUCache(LINEAGES)
        self._totals: dict[tuple[str, str, bool], _Totals] = {}
        self._breaks: deque[Break] = deque(maxlen=BREAKS)
        self._uncosted = 0

    def add(self, sent: Sent | Spent) -> None:
        """Take note of an answered request, or of calls made for none. Feed them as they are answered; costed later. Raises nothing."""
        self._queue.append(sent)
        if len(self._queue) > self._limit:
            self._work(len(self._queue) - self._limit)

    def settle(self) -> tuple[Break, ...]:
        """Do what is queued; the unplanned breaks found since the last call, the newest 256 at most. Raises nothing."""
        self._work(None)
        with self._lock:
            found = tuple(self._breaks)
            self._breaks.clear()
        return found

    def report(self) -> Report:
        """The figures of all requests that were added so far. Waits for nobody's answer and calls nobody."""
        self._work(None)
        known = self._uncertainty or Uncertainty.load()
        with self._lock, localcontext(EXACT):
            reports = [totals.report(known) for totals in self._totals.values()]
        real = reduce(add, (each for each in reports if not each.observed), Report(uncosted=self._uncosted))
        seen = [each for each in reports if each.observed]
        return replace(real, would_have=reduce(add, seen)) if seen else real

    def _work(self, most: int | None) -> None:
        """Cost queued requests, the oldest first. What cannot be costed is counted and costs nobody anything."""
        with self._lock, localcontext(EXACT):
            while self._queue and (most is None or most > 0):
                sent = self._queue.popleft()
                try:
                    guarded(lambda sent=sent: self._book(sent), lambda cause: HoldfastError(told(cause)))  # type: ignore[misc]
                except HoldfastError:
                    self._uncosted += 1
                most = None if most is None else most - 1

    def _price(self, model: str) -> Price | None:
        try:
            return (self._prices or Prices.load()).find(model)
        except UnknownModel:
            return None

    def _market(self, sent: Sent | Spent) -> _Market:
        key = (sent.model, sent.provider, sent.scope, sent.observed)
        market = self._markets.get(key)
        if market is None:
            price = self._price(sent.model)
            maker = sent.provider or (price.provider if price else "")
            least = (price.min_cacheable_tokens if price else None) or 1024
            one, two, three = (cache_for(maker, sent.model, least, losses=True) for _ in range(3))
            fresh = _Totals(sent.model, maker, price is not None, isinstance(one, AnthropicCache | OpenAIMarksCache), sent.observed)
            totals = self._totals.setdefault((sent.model, maker, sent.observed), fresh)
            market = self._markets[key] = _Market(price, (one, two, three), totals)
        return market

    def _book(self, sent: Sent | Spent) -> None:
        market = self._market(sent)
        if isinstance(sent, Spent):
            self._book_calls(sent, market)
            return
        predicted = market.predict(sent)
        lineage = self._lineages.setdefault(sent.lineage, _Lineage())
        lineage.requests += 1
        lineage.touched = lineage.touched or (sent.touched and not sent.observed)
        totals = market.totals
        totals.requests += 1
        totals.commits += sent.committed
        self._book_calls(sent, market)
        real = sent.given if sent.observed else sent.chain
        if sent.billed is None or not _plausible(sent.billed.prompt, real.tokens()):
            totals.doubtful += sent.billed is not None
            totals.apart += market.cost(predicted[2], sent.at) - market.cost(_unbroken(predicted[2], sent.rewritten_tokens), sent.at)
            return
        totals.measured += 1
        weight = (sent.billed.prompt, real.tokens())
        unedited = _weight(sent, lineage, market, weight)
        a, b = (_scaled(usage, unedited).answered(sent.billed.output) for usage in predicted[:2])
        c = _scaled(predicted[2], weight).answered(sent.billed.output)
        possible = sent.observed or a.prompt <= max(market.window, c.prompt)
        totals.impossible += not possible
        case = _Case(sent, market, lineage, sent.billed, a if possible else c, b if possible else c, c, possible)
        totals.tokens += Tokens(case.a.prompt, c.prompt, case.expected.read, sent.billed)
        weights = ONE if unedited == weight else Decimal(unedited[0] * weight[1]) / Decimal(unedited[1] * weight[0])
        found = case.book_read(case.book_money(weights))
        if found is not None:
            self._breaks.append(found)

    def _book_calls(self, sent: Sent | Spent, market: _Market) -> None:
        for call in sent.asked:
            price = self._price(call.model) if call.model else market.price
            market.totals.tokens += Tokens(asked=call.usage)
            market.totals.spent += cost(call.usage, price, sent.at) if price else ZERO


@dataclass(frozen=True, slots=True)
class _Case:
    """A measured request: what it was billed, and what the three histories would have been, in billed tokens.

    ``possible`` is false where the caller's own history would not have fitted the model's window: then it stands as what was sent.
    """

    sent: Sent
    market: _Market
    lineage: _Lineage
    billed: Usage
    a: Usage
    b: Usage
    c: Usage
    possible: bool

    @property
    def expected(self) -> Usage:
        """The prediction of what really went out."""
        return self.a if self.sent.observed else self.c

    @property
    def first(self) -> bool:
        """Whether nothing of its lineage went before."""
        return self.lineage.requests == 1

    def book_money(self, weights: Decimal) -> Decimal:
        """By how much the bill lies above the prediction, in USD.

        ``weights``: how the weight of the unedited history compares to that of what was sent; 1 where they agree.
        """
        sent, totals, market = self.sent, self.market.totals, self.market
        a = market.cost(self.a, sent.at)
        b = a if self.b == self.a else market.cost(self.b, sent.at)
        c = b if self.c == self.b else market.cost(self.c, sent.at)
        bill, broken = market.cost(self.billed, sent.at), self._broken()
        expected = a if sent.observed else c
        totals.marks.book(a - b)
        totals.shortening.book(b - c + broken if self.possible else ZERO)
        totals.whole.book(a - c)
        totals.planned += broken if self.possible else ZERO
        totals.apart += ZERO if self.possible else broken
        totals.billed += bill
        if weights != 1:
            totals.wobble += (abs(b - c) * abs(weights - 1)).quantize(MICRODOLLAR)
        if not self.first:
            totals.checked += bill
            totals.predicted += expected
        if self.lineage.touched:
            totals.short += max(ZERO, bill - expected)
            totals.long += max(ZERO, expected - bill)
        return bill - expected

    def _broken(self) -> Decimal:
        """What a commit rewrote costs above reading it."""
        if not self.sent.rewritten_tokens:
            return ZERO
        usage, weighed = self.c if self.sent.observed else self.billed, self.sent.chain.tokens()
        rewritten = self.sent.rewritten_tokens * self.c.prompt // weighed if weighed else 0
        return self.market.cost(usage, self.sent.at) - self.market.cost(_unbroken(usage, rewritten), self.sent.at)

    def book_read(self, excess: Decimal) -> Break | None:
        """Compare the billed read to the predicted one; the first request of a lineage has nothing before it and is not checked."""
        if self.first:
            return None
        totals, read = self.market.totals, self.billed.read
        expected = round(self.expected.read / (1 - self.market.lost))
        agrees = 100 * abs(expected - read) <= max(5000, self.billed.prompt)
        short = read < expected and not agrees
        totals.reads += Reads(1, int(agrees), int(short)) if totals.promises else Reads(unpromised=1, chance=int(short))
        if not short:
            return None
        usd = max(ZERO, excess) if self.market.price else None
        sent, prompt = self.sent, self.billed.prompt
        return Break(sent.lineage, sent.at, sent.model, expected, read, prompt, usd, self.lineage.touched, totals.promises)


def _weight(sent: Sent, lineage: _Lineage, market: _Market, weight: tuple[int, int]) -> tuple[int, int]:
    """Billed and weighed tokens of the unedited history: of the last request of this lineage, else of any, that went out unedited."""
    if sent.observed or not sent.edited:
        lineage.weight = market.weight = weight
    return lineage.weight or market.weight or weight


def _plausible(billed: int, weighed: int) -> bool:
    if not billed or not weighed:
        return False
    return abs(billed - weighed) <= DOUBT_TOKENS or (billed <= DOUBT_TIMES * weighed and weighed <= DOUBT_TIMES * billed)


def _scaled(usage: Usage, weight: tuple[int, int]) -> Usage:
    """The input side in tokens as they are billed. The parts are rounded so that the prompt comes out right: see ``docs/figures.md``."""
    billed, weighed = weight
    if billed == weighed:
        return usage
    counts = (usage.read, usage.write_1h, usage.write_12h, usage.write_5m, usage.write_30m, usage.fresh)
    ends, total = [], 0
    for count in counts:
        total += count
        ends.append(total * billed // weighed)
    read, hour, half_day, five, half_hour, fresh = (end - start for start, end in zip([0, *ends], ends, strict=False))
    return Usage(fresh, read, five, hour, half_hour, half_day)


def _unbroken(usage: Usage, rewritten: int) -> Usage:
    """``usage`` as it would be with so many of its tokens read that were written again: of what was written first, then of fresh input."""
    left = {name: getattr(usage, name) for name in ("write_1h", "write_12h", "write_5m", "write_30m", "fresh")}
    moved = 0
    for name, count in left.items():
        taken = min(count, rewritten - moved)
        left[name], moved = count - taken, moved + taken
    return replace(usage, read=usage.read + moved, **left)

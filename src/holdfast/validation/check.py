"""One recorded session beside its prediction, request by request."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from decimal import Decimal

from holdfast.errors import UnknownModel
from holdfast.pricing import Price, Prices, cost
from holdfast.transcript import Transcript, Turn
from holdfast.usage import Usage
from holdfast.validation.automatic import predictor_for
from holdfast.validation.explicit import ExplicitPredictor
from holdfast.validation.history import chain_name, slack
from holdfast.validation.reasons import NOT_OURS, Explainer
from holdfast.validation.results import NEAR_TOKENS, Charges, Disagreement, Money, Tally, ValidatedSession
from holdfast.validation.sight import Prediction, Predictor, Sight, sights

MARKED = frozenset({"anthropic", "bedrock", "vertex", "foundry"})
"""Providers whose caches have marks and a documented lifetime; all others promise nothing."""
STEPS = {"openai": 128, "azure": 128, "deepseek": 64, "xai": 128}
"""Tokens in which a provider counts what was read."""
PICODOLLAR = Decimal("1e-12")
"""Below this two sums of money are one: clients that add up binary floats are off by so much."""


def predictor_of(provider: str, model: str) -> Predictor:
    """A predictor that has seen nothing yet, for a provider's cache."""
    return ExplicitPredictor() if provider in MARKED else predictor_for(provider, model)


@dataclass(slots=True)
class _Lane:
    """The requests of a session to one provider's models."""

    predictor: Predictor
    explainer: Explainer
    statistical: bool


@dataclass(slots=True)
class _Session:
    """A session while it is checked."""

    prices: Prices
    lanes: dict[str, _Lane] = field(default_factory=dict)
    begun: set[str] = field(default_factory=set)
    tally: Tally = field(default_factory=Tally)
    money: Money = field(default_factory=Money)
    charges: Charges = field(default_factory=Charges)
    disagreements: list[Disagreement] = field(default_factory=list)
    points: list[tuple[float, float]] = field(default_factory=list)

    def request(self, sight: Sight, turn: Turn) -> None:
        """One request: predicted, compared, and only then told."""
        usage, price = turn.usage, self._price(turn)
        if usage is None or not usage.prompt or price is None:
            return
        lane = self._lane(price)
        chain = chain_name(turn.lineage)
        first = chain not in self.begun
        self.begun.add(chain)
        prediction = lane.predictor.predict(sight)
        set_aside = first
        if not first and prediction.likely.read != usage.read:
            explanation = lane.explainer.explain(sight, turn, prediction)
            set_aside = explanation.reason in NOT_OURS
            if not agrees(prediction, usage):
                self.disagreements.append(
                    Disagreement(
                        turn=sight.index,
                        at=turn.at,
                        lineage=turn.lineage,
                        prompt_tokens=usage.prompt,
                        read_recorded=usage.read,
                        read_predicted=prediction.likely.read,
                        explanation=explanation,
                        basis=prediction.basis,
                    )
                )
        self._count(prediction, usage, lane, first)
        self._bill(turn, price, prediction, (first, set_aside))
        lane.predictor.learn(sight, turn)
        lane.explainer.learn(sight, turn)

    def _price(self, turn: Turn) -> Price | None:
        try:
            return self.prices.find(turn.model)
        except UnknownModel:
            return None

    def _lane(self, price: Price) -> _Lane:
        known = self.lanes.get(price.provider)
        if known is None:
            marked = price.provider in MARKED
            explainer = Explainer(STEPS.get(price.provider, 1), best_effort=not marked)
            known = self.lanes[price.provider] = _Lane(predictor_of(price.provider, price.model), explainer, not marked)
        return known

    def _count(self, prediction: Prediction, usage: Usage, lane: _Lane, first: bool) -> None:
        apart = abs(prediction.likely.read - usage.read)
        checked = not first
        expected = prediction.expected.read / usage.prompt
        self.tally += Tally(
            requests=1,
            checked=checked,
            agree=checked and agrees(prediction, usage),
            exact=checked and apart == 0,
            near=checked and apart <= NEAR_TOKENS,
            share_recorded=usage.read / usage.prompt if checked else 0.0,
            share_predicted=expected if checked else 0.0,
        )
        if checked and lane.statistical:
            self.points.append((expected, usage.read / usage.prompt))

    def _bill(self, turn: Turn, price: Price, prediction: Prediction, as_billed: tuple[bool, bool]) -> None:
        usage = turn.usage or Usage()
        listed = cost(usage, price, turn.at)
        predicted = cost(prediction.expected.answered(usage.output), price, turn.at)
        first, set_aside = as_billed
        if turn.charged is not None:
            self.charges += Charges(1, int(abs(turn.charged - listed) < PICODOLLAR))
        # What was charged is the bill: a prediction is moved by as much as it differs from the list.
        recorded = listed if turn.charged is None else turn.charged
        moved = predicted * recorded / listed if listed else predicted
        money = self.money
        self.money = Money(
            recorded=money.recorded + recorded,
            predicted=money.predicted + (recorded if first else moved),
            settled=money.settled + (recorded if set_aside else moved),
            charged=money.charged or turn.charged is not None,
        )


def agrees(prediction: Prediction, usage: Usage) -> bool:
    """Whether the likeliest read is within max(50 tokens, 1 % of the prompt) of the recorded one."""
    return abs(prediction.likely.read - usage.read) <= slack(usage.prompt)


def check(transcript: Transcript, prices: Prices) -> ValidatedSession:
    """A transcript as it was recorded, read before anything is weighed: predicted, compared, explained."""
    outline = ValidatedSession(transcript.path, transcript.format, "", transcript.model, notes=transcript.notes)
    if not transcript.turns:
        return replace(outline, skipped="no request to a model in it")
    if not any(turn.usage is not None and turn.usage.prompt for turn in transcript.turns):
        return replace(outline, skipped="no usage was recorded: there is nothing to compare with")
    session = _Session(prices)
    for sight, turn in sights(transcript):
        session.request(sight, turn)
    if not session.tally.requests:
        return replace(outline, skipped=f"no price and no cache rules are known for {transcript.model or 'a model without a name'}")
    return replace(
        outline,
        provider=_provider(transcript, prices),
        tally=session.tally,
        money=session.money,
        charges=session.charges,
        disagreements=tuple(session.disagreements),
        points=tuple(session.points),
    )


def _provider(transcript: Transcript, prices: Prices) -> str:
    """Whose cache most turns used."""
    try:
        return prices.find(transcript.model).provider
    except UnknownModel:
        return ""

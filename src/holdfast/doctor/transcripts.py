"""Diagnosing transcripts: sessions whose requests are known by their conversation, without the bodies that were sent.

What could have been read is what had been sent before and is known to have been left in the cache: the longest prefix that an earlier
request ended with, by its recorded bill. Where a history was rewritten it is what of the new prompt had been sent before at all
(``doctor.resent``); in a cache without marks it is where a hit may end by that provider's rules (``validation.automatic``), one step
less being no loss. The evidence is that of ``holdfast validate``; where there is none, the doctor says so and what it ruled out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from holdfast.blocks import Block
from holdfast.doctor.diagnose import Diagnosis
from holdfast.doctor.findings import Finding
from holdfast.doctor.fixes import fix_for
from holdfast.doctor.losses import UNITS, Loss, explain
from holdfast.doctor.money import lost_usd
from holdfast.doctor.resent import Earlier, new_tokens, sent_before
from holdfast.errors import UnknownModel
from holdfast.families import family
from holdfast.prefix import shared
from holdfast.pricing import Price, Prices
from holdfast.scale import scale
from holdfast.transcript import Transcript, Turn
from holdfast.usage import Usage
from holdfast.validation.automatic import Automatic
from holdfast.validation.check import MARKED, predictor_of
from holdfast.validation.history import MINUTES, Head, History, Line, chain_name, slack
from holdfast.validation.sight import Predictor, Sight, sights


@dataclass(slots=True)
class _Chain:
    """The last billed request of a line of growth, what it left in the cache, and how many without a bill came since."""

    turn: Turn
    sight: Sight
    left: int
    unbilled: int = 0


@dataclass(slots=True)
class _Lane:
    """The requests to one provider's models: what they left, and without marks where that provider's hits end."""

    history: History
    predictor: Predictor | None


@dataclass(slots=True)
class _Session:
    prices: Prices
    lanes: dict[str, _Lane] = field(default_factory=dict)
    lines: dict[str, _Chain] = field(default_factory=dict)
    chains: dict[str, _Chain] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    checked: int = 0
    requests: int = 0
    read: int = 0
    prompt: int = 0

    def see(self, sight: Sight, turn: Turn) -> None:
        """One more request."""
        usage, before = turn.usage, self._before(turn)
        self.requests += 1
        if usage is None or not usage.prompt:
            if before is not None:
                before.unbilled += 1
            return
        self.read += usage.read
        self.prompt += usage.prompt
        price = self._price(turn)
        lane = self._lane(price)
        if before is not None:
            self.checked += 1
            loss = _loss(sight, usage, before, lane, price)
            if loss is not None:
                self._find(loss, turn, price)
        lane.history.learn(sight, turn)
        if lane.predictor is not None:
            lane.predictor.learn(sight, turn)
        left = usage.read + usage.written if price is not None and price.provider in MARKED else usage.prompt
        self.lines[turn.lineage] = self.chains[chain_name(turn.lineage)] = _Chain(turn, sight, left)

    def _before(self, turn: Turn) -> _Chain | None:
        """The request before on the same line of growth; for the first of a line, the last one of the same conversation."""
        return self.lines.get(turn.lineage) or self.chains.get(chain_name(turn.lineage))

    def _lane(self, price: Price | None) -> _Lane:
        provider = price.provider if price is not None else ""
        if provider not in self.lanes:
            predictor = predictor_of(provider, price.model if price else "") if provider not in MARKED else None
            self.lanes[provider] = _Lane(History(whole=predictor is not None), predictor)
        return self.lanes[provider]

    def _find(self, loss: Loss, turn: Turn, price: Price | None) -> None:
        found = explain(loss)
        self.findings.append(
            Finding(
                turn=loss.sight.index,
                at=turn.at,
                cause=found.cause,
                detail=found.detail,
                verdict=found.verdict,
                where=found.where,
                diff=found.diff,
                tokens_rewritten=loss.tokens,
                usd=lost_usd(loss.tokens, loss.usage, price, turn.at),
                fix=fix_for(found),
                excluded=found.excluded,
                lineage=turn.lineage,
            )
        )

    def _price(self, turn: Turn) -> Price | None:
        try:
            return self.prices.find(turn.model)
        except UnknownModel:
            return None


def _loss(sight: Sight, usage: Usage, before: _Chain, lane: _Lane, price: Price | None) -> Loss | None:
    """What this request lost, ``None`` if nothing."""
    history, provider = lane.history, price.provider if price is not None else ""
    entry = history.deepest(sight)
    if max(before.left, entry.tokens if entry is not None else 0) - usage.read <= slack(usage.prompt):
        return None
    line = history.line(sight) or Line(Head(0, sight.now, history.lifetime or MINUTES), 0.0, usage.prompt)
    same = shared(before.sight.chain.ids[: before.sight.chain.length], sight.chain.ids[: sight.chain.length])
    grown = same == before.sight.chain.length
    while not grown and entry is not None and entry.gone:
        entry = entry.parent  # what an earlier request did not find is lost once
    head = max(usage.read, line.head.tokens if provider in MARKED else 0)  # what was read had been sent before
    earlier = Earlier(_blocks(before.turn), before.left, entry, head)
    blocks, weigh = _blocks(sight.turn), scale(family(sight.turn.model).name).estimate
    kept = sent_before(blocks, usage.prompt, same, earlier, weigh)
    held = _held(sight, lane.predictor, kept)
    if grown and held < kept:  # part of what was sent before does not stand in this prompt any more
        kept = max(held, min(kept, usage.prompt - new_tokens(blocks, same, weigh)))
    loss = Loss(
        sight=sight,
        usage=usage,
        before=before.turn,
        line=line,
        entry=entry,
        left=before.left,
        parting=None if grown else same,
        idle=max(0.0, sight.now - (entry.used if entry is not None else max(before.sight.now, before.turn.ended or 0.0))),
        provider=provider,
        kept=kept,
        held=held,
        unbilled=before.unbilled,
    )
    unit = UNITS.get(provider, 0) * (2 if loss.stripped else 1)  # what was dropped ends within a unit, the hit before it within another
    return loss if loss.tokens > max(slack(usage.prompt), unit) else None


def _held(sight: Sight, predictor: Predictor | None, kept: int) -> int:
    """How much of what was sent before a hit may find, by the provider's rules and the ends of this transcript's own hits."""
    outcomes = predictor.outcomes(sight) if isinstance(predictor, Automatic) else None
    return kept if outcomes is None else min(kept, outcomes.full)


def _blocks(turn: Turn) -> list[Block]:
    return [*turn.prompt.head, *(block for message in turn.prompt.messages for block in message.blocks)]


def diagnose_transcript(transcript: Transcript, prices: Prices) -> Diagnosis:
    """Every request of a transcript that read less than the session itself had left to be read. ``Finding.turn`` is the turn's place."""
    session = _Session(prices)
    for sight, turn in sights(transcript):
        session.see(sight, turn)
    return Diagnosis(
        session.requests,
        session.checked,
        session.read,
        session.prompt,
        tuple(session.findings),
        tuple(_notes(transcript, session.findings)),
    )


def _notes(transcript: Transcript, findings: list[Finding]) -> Iterator[str]:
    if not transcript.head_recorded:
        yield "tools and system prompt are not recorded: a change in them cannot be seen."
    found = {finding.turn for finding in findings}
    if any("compacted" in turn.signs and index not in found for index, turn in enumerate(transcript.turns)):
        yield "compacted; what the new prompt wrote is not known to have been sent before (summary, attachments): its price, not a loss."

"""The caches without marks are foretold from what came before, and from nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.blocks import Kind, Message, Prompt, Role, Settings, Window, make_block
from holdfast.pricing import Prices, cost
from holdfast.readers import Failure, discover, group, read_group
from holdfast.transcript import Transcript, Turn
from holdfast.usage import Usage
from holdfast.validation.automatic import Automatic, predictor_for
from holdfast.validation.automatic_calibration import Calibration, calibration
from holdfast.validation.automatic_rules import OTHER, End
from holdfast.validation.sight import Prediction, Sight, sights

PROVIDERS = ["openai", "deepseek", "google", "xai", "moonshot"]
START = 1_770_000_000.0


def message(role: Role, kind: Kind, text: str) -> Message:
    """A message of one block."""
    block = make_block(kind, role, {"type": kind.value, "text": text}, text)
    return Message(role, (block,), block.wire)


@dataclass(frozen=True)
class Round:
    """One request: seconds since the one before, new tokens and answer; whether the answer thinks, and ends its round (``asks``), and
    whether the user says something before it has (``steers``).
    """

    pause: float
    new: int
    output: int
    read: float = 1.0
    asks: bool = False
    thinks: bool = False
    steers: bool = False


def conversation(rounds: Sequence[Round], end: End | None = None, model: str = "m-1", wrapping: int = 0) -> Transcript:
    """A recorded conversation that begins with 5,000 tokens.

    It reads ``read`` of its prompt, or, with ``end``, all that such a cache would hold if it counted ``wrapping`` tokens more a message.
    """
    log = [message(Role.USER, Kind.TEXT, "task")]
    turns: list[Turn] = []
    prompt, held, now = 5_000, 0, START
    for number, one in enumerate(rounds):
        now += one.pause
        counted = prompt + wrapping * len(log)
        read = int(one.read * prompt) if end is None else round(held * prompt / counted)
        usage = Usage(fresh=prompt - read, read=read, output=one.output)
        sent = Prompt(Settings(model=model), (), Window(log, len(log)))
        turns.append(Turn("main", sent, now, now + 1, None, usage))
        held = end.before(counted + one.output * end.answer) if end else 0
        if one.thinks:
            log.append(message(Role.ASSISTANT, Kind.THINKING, f"thought {number}"))
        log.append(message(Role.ASSISTANT, Kind.TEXT if one.asks else Kind.TOOL_USE, f"answer {number}"))
        log.append(message(Role.USER, Kind.TEXT if one.asks else Kind.TOOL_RESULT, f"next {number}"))
        if one.steers:
            log.append(message(Role.USER, Kind.TEXT, f"by the way {number}"))
        prompt += one.output + one.new
        now += 1
    return Transcript("made.json", "made", "openai-responses", tuple(turns))


rounds = st.lists(
    st.builds(
        Round,
        pause=st.sampled_from([0.1, 5.0, 90.0, 700.0, 4_000.0, 100_000.0]),
        new=st.integers(-500, 9_000),
        output=st.integers(0, 400),
        read=st.sampled_from([0.0, 0.2, 0.9, 1.0]),
        asks=st.booleans(),
        thinks=st.booleans(),
    ),
    min_size=1,
    max_size=12,
)


def predictions(transcript: Transcript, provider: str) -> list[tuple[Sight, Turn, Prediction]]:
    """Every turn with what was predicted of it."""
    predictor = predictor_for(provider, transcript.model)
    found = []
    for sight, turn in sights(transcript):
        found.append((sight, turn, predictor.predict(sight)))
        predictor.learn(sight, turn)
    return found


@settings(max_examples=60)
@given(rounds, st.sampled_from(PROVIDERS), st.data())
def test_only_what_came_before_counts(made: list[Round], provider: str, data: st.DataObject) -> None:
    """Cutting the transcript behind a request, or billing that request otherwise, leaves its prediction as it was."""
    whole = conversation(made)
    place = data.draw(st.integers(0, len(made) - 1))
    expected = predictions(whole, provider)[place][2]
    turn = whole.turns[place]
    assert turn.usage is not None
    other = replace(turn, usage=Usage(fresh=turn.usage.prompt, output=9), charged=Decimal(1), ended=turn.ended and turn.ended + 5)
    for turns in (whole.turns[: place + 1], (*whole.turns[:place], other, *whole.turns[place + 1 :])):
        assert predictions(whole.with_turns(turns), provider)[place][2] == expected


@settings(max_examples=60)
@given(rounds, st.sampled_from(PROVIDERS))
def test_a_prediction_bills_the_prompt(made: list[Round], provider: str) -> None:
    """Both outcomes add up to the prompt, are never negative, and asking twice gives the same."""
    transcript = conversation(made)
    predictor = predictor_for(provider, transcript.model)
    for sight, turn in sights(transcript):
        prediction = predictor.predict(sight)
        assert predictor.predict(sight) == prediction
        for usage in (prediction.likely, prediction.expected):
            assert usage.prompt == sight.prompt_tokens
            assert min(usage.as_dict().values()) >= 0
        predictor.learn(sight, turn)


sizes = st.lists(st.tuples(st.integers(200, 3_000), st.integers(130, 400)), min_size=6, max_size=20)


@settings(max_examples=40)
@given(st.sampled_from(OTHER.ends), sizes)
def test_an_unknown_cache_shows_its_steps(end: End, sizes: list[tuple[int, int]]) -> None:
    """Once four hits leave one way to end a hit, of those an unknown cache may have, every further hit is foretold to the token."""
    transcript = conversation([Round(2.0, new, output) for new, output in sizes], end)
    possible, before = set(OTHER.ends), None
    for place, (_, turn, prediction) in enumerate(predictions(transcript, "moonshot")):
        if place > 4 and possible == {end}:
            assert prediction.likely.read == _read(turn)
        if before is not None and before.usage is not None:
            told = {one: one.before(before.usage.prompt + before.usage.output * one.answer) for one in possible}
            possible = {one for one, read in told.items() if read == _read(turn)}
        before = turn


@settings(max_examples=40)
@given(st.integers(3, 8), sizes)
def test_what_a_cache_counts_beside_the_bill_is_learnt(wrapping: int, sizes: list[tuple[int, int]]) -> None:
    """Where whole blocks of a larger count are billed in proportion, hits of ten requests back and more are foretold within 20 tokens."""
    made = [Round(2.0, new + 1_000, output) for new, output in sizes * 3]
    found = predictions(conversation(made, End(2048), wrapping=wrapping), "google")
    off = [abs(prediction.likely.read - _read(turn)) for _, turn, prediction in found[10:]]
    assert sum(distance <= 20 for distance in off) >= len(off) * 0.8


def test_thinking_ends_what_is_kept_when_a_user_asks_anew() -> None:
    """A new round drops the last one's thinking, so only the prompt before it is read; a message put into a round that goes on does not."""
    made = [Round(2, 3_000, 500, thinks=True), Round(2, 3_000, 500, thinks=True, asks=True), Round(2, 100, 100)]
    transcript = conversation(made, End(128), "gpt-5.4")
    assert predictions(transcript, "openai")[2][2].likely.read == End(128, 0, 51).before(5_000)
    into = [Round(2, 3_000, 500, thinks=True), Round(2, 3_000, 500, thinks=True, steers=True), Round(2, 100, 100)]
    assert predictions(conversation(into, End(128), "gpt-5.4"), "openai")[2][2].likely.read == End(128, 0, 51).before(8_500 + 500)


def test_a_cache_that_keeps_thinking_shows_it() -> None:
    """Where a hit goes beyond the thinking that should have been dropped, the next round is expected to keep it too."""
    made = [Round(2, 3_000, 500, thinks=True), Round(2, 3_000, 500, thinks=True, asks=True)] * 4
    found = predictions(conversation(made, End(128, 0, 51, True), "gpt-5.4"), "openai")
    assert found[2][2].likely.read < _read(found[2][1])
    assert all(prediction.likely.read == _read(turn) for _, turn, prediction in found[3:])


@pytest.mark.parametrize(
    ("model", "provider"), [("google/gemini-3-pro-preview", "google"), ("x-ai/grok-4.6", "xai"), ("moonshotai/kimi-k2", "moonshotai")]
)
def test_a_router_is_told_by_its_model(model: str, provider: str) -> None:
    """OpenRouter's caches are foretold as those of the model's maker."""
    made = conversation([Round(2, 3_000, 400, 0.9) for _ in range(6)], None, model)
    assert predictions(made, "openrouter") == predictions(made, provider)


def test_a_spell_of_losses_changes_the_bet_and_its_end_changes_it_back() -> None:
    """Where twenty requests in a row read no more than the first of them, that is the bet; twenty good ones later it is not."""
    steady = [Round(1, 1_000, 100) for _ in range(60)]
    good = conversation(steady, End(64, 0, 1, True), "deepseek-chat")
    stuck = _read(good.turns[20])
    turns = [_billed(turn, stuck) if 20 <= place < 40 else turn for place, turn in enumerate(good.turns)]
    found = predictions(good.with_turns(tuple(turns)), "deepseek")
    assert found[39][2].likely.read == stuck
    assert found[19][2].likely.read == _read(good.turns[19])
    assert found[59][2].likely.read == _read(good.turns[59])


def _read(turn: Turn) -> int:
    return turn.usage.read if turn.usage else 0


def _billed(turn: Turn, read: int) -> Turn:
    assert turn.usage is not None
    return replace(turn, usage=Usage(fresh=turn.usage.prompt - read, read=read, output=turn.usage.output))


def test_money_goes_by_the_mean_and_a_bet_by_the_likeliest() -> None:
    """After an hour's pause the head is the bet; the expectation lies above it, since some caches live longer."""
    transcript = conversation(
        [Round(1, 20_000, 100, 0.0), Round(2, 2_000, 100, 0.2), Round(2, 2_000, 100, 0.9), Round(3_000, 1_000, 100, 0.2)]
    )
    last = predictions(transcript, "openai")[-1][2]
    assert last.likely.read < last.expected.read < last.likely.prompt // 2


def test_a_cache_that_is_paid_for_writing_is_foretold_to_write() -> None:
    """From GPT-5.6 on what is not read is billed as written, until the record shows that nothing is."""
    made = conversation([Round(1, 2_000, 100, 0.5) for _ in range(3)], None, "gpt-5.6-sol")
    found = predictions(made, "openai")
    assert found[0][2].likely.written == found[0][0].prompt_tokens
    assert found[2][2].likely.written == 0


def test_outcomes_name_what_was_read() -> None:
    """The four outcomes of a request that continues another are given in tokens; a first request has none."""
    transcript = conversation([Round(1, 2_000, 100) for _ in range(3)], End(64, 0, 1, True), "deepseek-chat")
    predictor = predictor_for("deepseek", "deepseek-chat")
    assert isinstance(predictor, Automatic)
    seen = []
    for sight, turn in sights(transcript):
        seen.append(predictor.outcomes(sight))
        predictor.learn(sight, turn)
    assert seen[0] is None
    assert seen[2] is not None
    assert (seen[2].full, seen[2].older, seen[2].nothing) == (_read(transcript.turns[2]), _read(transcript.turns[1]), 0)


shares = st.lists(st.tuples(st.integers(0, 1_000), st.integers(0, 1_000)), max_size=40)


@given(shares)
def test_calibration_counts_each_request_once(pairs: list[tuple[int, int]]) -> None:
    """The bins hold every request; their mean difference is that of all requests, and no larger than their mean distance."""
    sight, _ = next(sights(conversation([Round(1, 1, 1)])))
    triples = [(sight, _foretold(told), Usage(fresh=1_000 - seen, read=seen)) for told, seen in pairs]
    found = calibration(triples)
    assert found.requests == len(pairs)
    assert found.bias == pytest.approx(sum(told - seen for told, seen in pairs) / 1_000 / max(1, len(pairs)))
    assert found.error >= abs(found.bias) - 1e-12
    assert all(one.low <= one.predicted <= one.high for one in found.bins)


def _foretold(read: int) -> Prediction:
    usage = Usage(fresh=1_000 - read, read=read)
    return Prediction(usage, usage, "made")


@dataclass(frozen=True)
class Set:
    """One recorded set against its predictions: the checked requests, and dollars over all requests."""

    checked: list[tuple[Sight, Turn, Prediction]]
    recorded: Decimal
    predicted: Decimal

    @property
    def calibration(self) -> Calibration:
        """Of the checked requests."""
        return calibration((sight, prediction, turn.usage) for sight, turn, prediction in self.checked if turn.usage)

    def within(self, tokens: int) -> float:
        """The share of checked requests whose likeliest read is off by no more."""
        return sum(abs(prediction.likely.read - _read(turn)) <= tokens for _, turn, prediction in self.checked) / len(self.checked)


def judged(folder: Path, provider: str) -> Set:
    """All transcripts of a folder."""
    prices = Prices.load()
    checked, recorded, predicted = [], Decimal(0), Decimal(0)
    for transcript in _read_all(folder):
        lineages: set[str] = set()
        for sight, turn, prediction in predictions(transcript, provider):
            if turn.usage is None:
                continue
            price = prices.find(turn.model)
            recorded += cost(turn.usage, price, sight.now) if turn.charged is None else turn.charged
            predicted += cost(prediction.expected.answered(turn.usage.output), price, sight.now)
            if turn.lineage in lineages:
                checked.append((sight, turn, prediction))
            lineages.add(turn.lineage)
    return Set(checked, recorded, predicted)


def _read_all(folder: Path) -> Iterable[Transcript]:
    for files in group(discover([str(folder)])):
        for transcript in read_group(files):
            if not isinstance(transcript, Failure) and transcript.turns:
                yield transcript


def test_deepseek_as_recorded(corpus: Path) -> None:
    """Four in five reads of recorded DeepSeek runs are foretold to the token, nearly all within 2,048, and the bill within 1 %."""
    found = judged(corpus / "mini-swe-agent" / "deepseek", "deepseek")
    assert len(found.checked) > 4_000
    assert found.within(0) >= 0.84
    assert found.within(2_048) >= 0.98
    assert abs(found.predicted / found.recorded - 1) < Decimal("0.01")


def test_codex_as_recorded(corpus: Path) -> None:
    """On recorded Codex rollouts the expected cached share has no bias, the bill is within 3 %, and most reads are foretold exactly."""
    found = judged(corpus / "codex", "openai")
    assert len(found.checked) > 1_000
    assert abs(found.calibration.bias) < 0.01
    assert abs(found.predicted / found.recorded - 1) < Decimal("0.03")
    assert found.within(0) >= 0.88


def test_gemini_as_charged(corpus: Path) -> None:
    """On recorded Gemini runs, whose losses are chance, the expected bill is within 2 % of the charge, and the shares are calibrated."""
    found = judged(corpus / "mini-swe-agent" / "gemini-3-pro-openrouter", "google")
    assert len(found.checked) > 4_000
    assert abs(found.predicted / found.recorded - 1) < Decimal("0.02")
    assert abs(found.calibration.bias) < 0.01
    assert found.calibration.error < 0.03

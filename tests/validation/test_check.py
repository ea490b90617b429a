"""A recorded session beside its prediction: what is counted, what is billed, and how near recorded sessions come."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.pricing import Prices, cost
from holdfast.readers import read
from holdfast.transcript import Transcript, Turn
from holdfast.usage import Usage
from holdfast.validation.check import agrees, check
from holdfast.validation.reasons import Reason
from holdfast.validation.results import Charges, Money, SetFigures, Tally, ValidatedSession, Validation, figures, quantile
from holdfast.validation.run import ValidateRequest, validate
from holdfast.validation.sight import Prediction
from tests.validation.sessions import OPUS, Step, judged, recorded, sessions

pytestmark = pytest.mark.xdist_group("test_check")  # what all of these tests need is read once

PRICES = Prices.load()
LOOP = [Step(user=True, grow=20_000), *[Step()] * 4]


def checked(steps: Iterable[Step]) -> ValidatedSession:
    """These requests, checked."""
    return check(recorded(list(steps)), PRICES)


# Counts.


@given(st.integers(1, 400_000), st.integers(0, 400_000), st.integers(-3, 3))
def test_agreement_ends_at_fifty_tokens_or_a_hundredth(prompt: int, read: int, beyond: int) -> None:
    """A read that is exactly max(50, 1 % of the prompt) tokens off agrees, one that is a token further off does not."""
    read = min(read, prompt)
    most = max(50, round(prompt / 100))
    predicted = Usage(read=read + most + beyond)
    assert agrees(Prediction(predicted, Usage(), ""), Usage(fresh=prompt - read, read=read)) == (beyond <= 0)


@pytest.mark.parametrize(("off", "agree"), [(50, True), (-50, True), (51, False), (-51, False)])
def test_a_small_prompt_may_be_fifty_tokens_off(off: int, agree: bool) -> None:
    """Below 5,000 tokens a hundredth is less than 50 tokens, and 50 count."""
    session = checked([Step(user=True, grow=4_200), Step(grow=100), Step(grow=100, read=4_297 + off)])
    assert (session.tally.checked, session.tally.agree) == (2, 1 + agree)


@pytest.mark.parametrize(("off", "agree"), [(230, True), (231, False)])
def test_a_large_prompt_may_be_a_hundredth_off(off: int, agree: bool) -> None:
    """Of 23,000 tokens a hundredth is 230."""
    session = checked([*LOOP[:3], Step(read=21_997 - off)])
    assert (session.tally.checked, session.tally.agree) == (3, 2 + agree)
    assert len(session.disagreements) == 1 - agree


def test_the_first_request_of_a_chain_is_not_checked() -> None:
    """The first of the session and of each agent count as requests only; after a compaction or a fork the chain goes on."""
    anew = [Step(user=True, line="main/2", total=20_000), Step(user=True, line="main/3", fork="main", kept=3)]
    agents = [Step(user=True, line="agent:a", grow=9_000), Step(line="agent:a"), Step(user=True, line="agent:b", grow=9_000)]
    session = checked([*LOOP, *anew, *agents])
    assert session.tally.requests == 10
    assert session.tally.checked == 10 - 3


def test_a_switch_of_model_is_checked() -> None:
    """The first request to another model is not the first of its lineage."""
    session = checked([*LOOP, Step(model="claude-haiku-4-5-20251001", read=0)])
    assert (session.tally.requests, session.tally.checked) == (6, 5)


def test_requests_without_a_bill_or_a_price_are_left_out() -> None:
    """Without usage, with usage of nothing, or of a model without a price, a request is no request here, and first is the next."""
    turns = recorded([*LOOP, Step(model="nobody-knows-1")]).turns
    bare = (replace(turns[0], usage=None), replace(turns[1], usage=Usage(output=9)), *turns[2:])
    session = check(recorded(LOOP).with_turns(bare), PRICES)
    assert (session.tally.requests, session.tally.checked) == (3, 2)


@settings(max_examples=50)
@given(sessions())
def test_a_tally_adds_up(steps: list[Step]) -> None:
    """Every request is counted, every checked one agrees or is among the disagreements, and exact ones are near and agree."""
    session, said = checked(steps), list(judged(recorded(steps)))
    tally = session.tally
    chains = {step.line.split("/")[0] for step in steps}
    assert (tally.requests, tally.checked) == (len(steps), len(steps) - len(chains))
    assert tally.checked == tally.agree + len(session.disagreements)
    assert tally.exact <= min(tally.agree, tally.near)
    for each in session.disagreements:
        turn, prediction, explanation = said[each.turn]
        assert turn.usage is not None
        assert (each.read_predicted, each.read_recorded, each.prompt_tokens) == (prediction.likely.read, turn.usage.read, turn.usage.prompt)
        assert (each.explanation, each.lineage, each.at) == (explanation, turn.lineage, turn.at)
        assert not agrees(prediction, turn.usage)
    assert [each.turn for each in session.disagreements] == sorted({each.turn for each in session.disagreements})


@settings(max_examples=50)
@given(sessions(), st.data())
def test_a_session_cut_short_is_checked_as_it_was(steps: list[Step], data: st.DataObject) -> None:
    """The disagreements up to a request are those of the session that ends there."""
    until = data.draw(st.integers(1, len(steps)))
    whole, part = checked(steps), checked(steps[:until])
    assert [each for each in whole.disagreements if each.turn < until] == list(part.disagreements)


@given(st.lists(st.builds(Tally, *[st.integers(0, 99)] * 5), max_size=5))
def test_tallies_are_sums(tallies: list[Tally]) -> None:
    """Adding up tallies adds each of their counts."""
    total = sum(tallies, Tally())
    for name in ("requests", "checked", "agree", "exact", "near"):
        assert getattr(total, name) == sum(getattr(tally, name) for tally in tallies)


def test_nothing_checked_has_no_share() -> None:
    """A session of one request has neither agreement nor bias, and is neither trusted nor not."""
    session = checked(LOOP[:1])
    assert (session.tally.requests, session.tally.checked) == (1, 0)
    assert (session.tally.agreement, session.tally.bias, session.trusted) == (None, None, None)


@pytest.mark.parametrize(("wrong", "trusted"), [(1, True), (2, False)])
def test_below_95_per_cent_a_session_is_not_trusted(wrong: int, trusted: bool) -> None:
    """Of twenty checked requests one may be wrong, two not."""
    right = [Step()] * (20 - wrong)
    session = checked([LOOP[0], *right, *[Step(user=True, read=5_000)] * wrong])
    assert session.tally.checked == 20
    assert session.tally.agreement == 1 - wrong / 20
    assert session.trusted is trusted


# Money.


def test_what_agrees_to_the_token_costs_the_same() -> None:
    """A tool loop as foretold costs as predicted to the last digit; its first request counts as billed."""
    session = checked(LOOP)
    price = PRICES.find(OPUS)
    billed = sum((cost(turn.usage, price, turn.at) for turn in recorded(LOOP).turns if turn.usage), Decimal(0))
    assert session.money == Money(billed, billed, billed, False)
    assert session.money is not None
    assert session.money.error == 0.0


def test_what_nobody_can_know_is_settled() -> None:
    """An entry that the provider lost is wrong in the prediction, and counts as billed where that is settled; others stay wrong."""
    lost = checked([*LOOP, Step(read=0)])
    assert [each.explanation.reason for each in lost.disagreements] == [Reason.PROVIDER_LOST]
    assert lost.money is not None
    assert lost.money.predicted < lost.money.recorded == lost.money.settled
    unknown = checked([*LOOP, Step(user=True, read=0)])
    assert unknown.money is not None
    assert unknown.money.settled == unknown.money.predicted < unknown.money.recorded


def test_a_charge_is_the_bill() -> None:
    """Where money was really charged it is compared with our price, and stands as the recorded bill."""
    price = PRICES.find(OPUS)
    turns = recorded(LOOP).turns
    charges = [cost(turn.usage, price, turn.at) for turn in turns if turn.usage]
    charges[1] += Decimal("1e-13")
    charges[2] += Decimal("0.01")
    paid = recorded(LOOP).with_turns(tuple(replace(turn, charged=charge) for turn, charge in zip(turns, charges, strict=True)))
    session = check(paid, PRICES)
    assert session.charges == Charges(5, 4)
    assert session.money is not None
    assert session.money.charged
    assert session.money.recorded == sum(charges)


def test_two_providers_in_one_session_are_two_caches() -> None:
    """What one provider holds the other does not: their requests are foretold apart, in one table."""
    steps = [*LOOP, Step(model="gpt-5.4", read=0), Step(), Step(model="gpt-5.4")]
    session = checked(steps)
    assert session.tally.requests == 8
    assert session.tally.checked == 7
    assert session.provider == "anthropic"
    assert len(session.points) == 2


# What cannot be checked.


def test_what_cannot_be_checked_says_why() -> None:
    """No request, no usage, no price: a sentence each, and no counts."""
    transcript = recorded(LOOP)
    empty = transcript.with_turns(())
    bare = transcript.with_turns(tuple(replace(turn, usage=None) for turn in transcript.turns))
    strange = recorded([replace(step, model="nobody-knows-1") for step in LOOP])
    for one, words in ((empty, "no request"), (bare, "no usage was recorded"), (strange, "no price and no cache rules")):
        session = check(one, PRICES)
        assert words in (session.skipped or "")
        assert (session.tally, session.money, session.disagreements) == (Tally(), None, ())
    assert figures([check(empty, PRICES)]) == ()


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=20), st.floats(0, 1))
def test_a_quantile_lies_among_the_absolute_values(errors: list[float], share: float) -> None:
    """It is one of them or between two neighbours; the lowest at 0, the highest at 1."""
    found = quantile(errors, share)
    sizes = sorted(map(abs, errors))
    assert found is not None
    assert sizes[0] <= found <= sizes[-1] + 1e-9
    assert (quantile(errors, 0), quantile(errors, 1)) == (sizes[0], sizes[-1])
    assert quantile([], share) is None


# Real files, cut short.


def lines_of(path: Path) -> list[bytes]:
    """The lines of a file, gzip or not."""
    data = path.read_bytes()
    return (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).split(b"\n")


def said(transcript: Transcript) -> dict[str, tuple[object, ...]]:
    """What is said of each request, by its response's id, or by its place where it has none."""
    found: dict[str, tuple[object, ...]] = {}
    for place, (turn, prediction, explanation) in enumerate(judged(transcript)):
        found[turn.request or str(place)] = (prediction, explanation)
    return found


def parts(path: Path, folder: Path, cuts: Iterable[float]) -> Iterator[Transcript]:
    """The file written again up to shares of its lines, or of its messages where it is one document, and read."""
    lines = lines_of(path)
    for cut in cuts:
        if path.name.removesuffix(".gz").endswith(".json"):
            document = json.loads(b"\n".join(lines))
            document["messages"] = document["messages"][: max(4, int(cut * len(document["messages"])))]
            target = folder / "cut.json"
            target.write_text(json.dumps(document))
        else:
            target = folder / "cut.jsonl"
            target.write_bytes(b"\n".join(lines[: max(4, int(cut * len(lines)))]) + b"\n")
        yield read(target)[0]


def ends(turns: Iterable[Turn]) -> list[Turn]:
    """Those with a bill."""
    return [turn for turn in turns if turn.usage is not None and turn.usage.prompt]


@pytest.mark.parametrize(
    ("source", "pattern", "files", "cuts"),
    [
        ("claude-code/entireio-cli", "2026-01-1*.jsonl.gz", 4, (0.2, 0.51, 0.83)),
        ("claude-code/entireio-cli", "[24]*.jsonl.gz", 5, (0.37, 0.93)),
        ("claude-code/packmind-context-evaluator", "*.jsonl.gz", 6, (0.66,)),
        ("claude-code/entireio-git-sync", "*.jsonl.gz", 4, (0.45, 0.77)),
        ("pi/pi-mono", "*.jsonl*", 1, (0.05, 0.5, 0.74)),
        ("codex", "**/*.jsonl*", 8, (0.4, 0.85)),
        ("mini-swe-agent/gemini-3-pro-openrouter", "**/*.json*", 5, (0.3, 0.7)),
        ("mini-swe-agent/deepseek", "**/*.json*", 5, (0.3, 0.7)),
    ],
)
def test_a_file_cut_after_a_request_foretells_it_the_same(
    corpus: Path, tmp_path: Path, source: str, pattern: str, files: int, cuts: tuple[float, ...]
) -> None:
    """Of a recorded file that ends anywhere, every request has the prediction and the reason that it has in the whole file."""
    paths = sorted((corpus / source).glob(pattern))
    assert paths
    compared = 0
    for path in paths[:: max(1, len(paths) // files)]:
        whole = said(next(parts(path, tmp_path, [1.0])))
        for part in parts(path, tmp_path, cuts):
            found = said(part)
            assert len(found) == len(ends(part.turns))
            assert found == {name: whole[name] for name in found}
            compared += len(found)
    assert compared > 50


# The bars.


@pytest.fixture(scope="session")
def sets(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, SetFigures]:
    """The recorded sessions, checked once for all workers, by format and, where a format has several, maker."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID")
    if run is None:
        return checked_sets(corpus)
    kept = tmp_path_factory.getbasetemp().parent / f"sets-{run}"
    try:
        kept.with_suffix(".begun").touch(exist_ok=False)
    except FileExistsError:
        while not kept.exists():  # another worker is at it; where it fails, the suite's own time limit ends this
            time.sleep(0.2)
        found: dict[str, SetFigures] = pickle.loads(kept.read_bytes())
        return found
    made = checked_sets(corpus)
    kept.with_suffix(".new").write_bytes(pickle.dumps(made))
    kept.with_suffix(".new").rename(kept)
    return made


def checked_sets(corpus: Path) -> dict[str, SetFigures]:
    """Every session of the corpus that has bills."""
    folders = ("claude-code", "pi", "codex", "mini-swe-agent", "api-cassettes")
    found = validate(ValidateRequest(tuple(str(corpus / folder) for folder in folders)))
    assert not found.interrupted
    rows: dict[str, SetFigures] = {}
    for row in found.sets:
        rows.setdefault(row.format if row.format != "mini-swe-agent" else row.provider, row)
    return rows


def share(row: SetFigures, reasons: Iterable[Reason]) -> float:
    """The share of the checked requests that have one of these reasons."""
    return sum(row.reasons[str(reason)] for reason in reasons) / row.tally.checked


def test_claude_code_agrees(sets: dict[str, SetFigures]) -> None:
    """Of over 8,000 recorded Claude Code requests at least 98.7 % agree, and each other has a reason or says it has none."""
    row = sets["claude-code"]
    assert row.tally.checked > 8_000
    assert row.tally.agreement is not None
    assert row.tally.agreement >= 0.987
    assert sum(row.reasons.values()) == row.tally.checked - row.tally.agree


def test_reasons_that_lie_elsewhere_are_few(sets: dict[str, SetFigures]) -> None:
    """What is put to the provider, to calls that were not logged and to other sessions' heads is at most 1.5 % of the checked requests."""
    assert share(sets["claude-code"], [Reason.PROVIDER_LOST, Reason.UNLOGGED_CALL, Reason.HEAD_SHARED]) <= 0.015
    assert share(sets["claude-code"], [Reason.UNEXPLAINED]) <= 0.005


def test_claude_code_costs_what_is_foretold(sets: dict[str, SetFigures]) -> None:
    """A session's bill is within 1 % at the median and 12 % at the 95th percentile, and that of the whole set within 1 %."""
    row = sets["claude-code"]
    assert row.error_median is not None
    assert row.error_p95 is not None
    assert row.money.error is not None
    assert row.error_median <= 0.01
    assert row.error_p95 <= 0.12
    assert abs(row.money.error) <= 0.01


def test_pi_agrees_and_charges_are_equal(sets: dict[str, SetFigures]) -> None:
    """Of pi's requests at least 97 % agree, and all 471 charges are ours; the bill is foretold too low, as its losses leave no trace."""
    row = sets["pi"]
    assert row.tally.agreement is not None
    assert row.tally.agreement >= 0.97
    assert row.charges == Charges(471, 471)
    assert row.money.error is not None
    assert row.money.error < 0


def test_openrouter_charges_are_equal(sets: dict[str, SetFigures]) -> None:
    """Every call that OpenRouter charged costs the same by our price, and the foretold bill of the set is within 6 %."""
    row = sets["google"]
    assert row.charges.charged > 5_000
    assert row.charges.equal == row.charges.charged
    assert row.money.error is not None
    assert abs(row.money.error) <= 0.06
    assert row.calibration is not None
    assert row.calibration.error <= 0.03


def test_deepseek_is_foretold_to_the_token(sets: dict[str, SetFigures]) -> None:
    """Four of five cached counts are exact, and 97.5 % within 2,048 tokens."""
    tally = sets["deepseek"].tally
    assert tally.checked > 4_000
    assert tally.exact / tally.checked >= 0.80
    assert tally.near / tally.checked >= 0.975


def test_codex_has_no_bias(sets: dict[str, SetFigures]) -> None:
    """The mean foretold cached share is within 2 points of the recorded one, and the bill of the set within 4 %."""
    row = sets["codex"]
    assert row.tally.checked > 1_000
    assert row.tally.bias is not None
    assert abs(row.tally.bias) <= 0.02
    assert row.money.error is not None
    assert abs(row.money.error) <= 0.04


def test_cassettes_agree_or_name_the_rule(corpus: Path) -> None:
    """Every call of the recorded cassettes that is checked agrees, or its disagreement names the rule that was not kept."""
    found: Validation = validate(ValidateRequest((str(corpus / "api-cassettes"),), jobs=1))
    tally = found.tally
    assert tally.requests > 150
    wrong = [each for session in found.sessions for each in session.disagreements]
    assert tally.checked == tally.agree + len(wrong)
    assert all(each.explanation.evidence for each in wrong)

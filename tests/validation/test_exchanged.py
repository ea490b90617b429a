"""Logs and cassettes of whole requests, checked mark by mark."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.errors import InputError
from holdfast.pricing import Prices, cost
from holdfast.readers import request_log
from holdfast.usage import Usage
from holdfast.validation.exchanged import FORMATS, REASONS, check_file
from holdfast.validation.pairs import check_exchanges
from holdfast.validation.pairs_rules import Rule
from holdfast.validation.reasons import NOT_OURS, Reason
from holdfast.validation.results import ValidatedSession
from holdfast.validation.run import ValidateRequest, validate

PRICES = Prices.load()
MODEL = "claude-sonnet-4-5"
LONG = "a rule of the house. " * 400
Row = dict[str, Any]


def call(number: int, usage: Mapping[str, int], *, at: float | None = None, rule: str = LONG, **more: Any) -> Row:
    """A logged call of Anthropic's with a marked system prompt and a question of its own."""
    system = [{"type": "text", "text": rule, "cache_control": {"type": "ephemeral"}}]
    body = {"model": MODEL, "max_tokens": 99, "system": system, "messages": [{"role": "user", "content": f"question {number}"}], **more}
    response = {"id": f"msg_{number}", "type": "message", "content": [{"type": "text", "text": "yes"}], "usage": usage}
    return {"request": body, "response": response, "at": 1_770_000_000 + 20 * number if at is None else at}


def bill(fresh: int, read: int = 0, write: int = 0, output: int = 20) -> dict[str, int]:
    """Anthropic's usage."""
    return {"input_tokens": fresh, "cache_read_input_tokens": read, "cache_creation_input_tokens": write, "output_tokens": output}


def checked(folder: Path, rows: Sequence[Row | str]) -> ValidatedSession:
    """A log of these rows, checked."""
    path = folder / "log.jsonl"
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return check_file(path, "request-log", PRICES)[0]


FIRST = call(0, bill(12, write=2_000))
RIGHT = [FIRST, *(call(number, bill(12, read=2_000)) for number in (1, 2, 3))]


def test_a_log_that_keeps_the_rules_agrees(tmp_path: Path) -> None:
    """All calls but the first are checked, agree to the token, and cost what is foretold."""
    session = checked(tmp_path, RIGHT)
    tally = session.tally
    assert (tally.requests, tally.checked, tally.agree, tally.exact, tally.near) == (4, 3, 3, 3, 3)
    assert (session.disagreements, session.skipped, session.provider, session.model) == ((), None, "anthropic", MODEL)
    price = PRICES.find(MODEL)
    costs = [cost(Usage(12, 0, 2_000, output=20), price, 1_770_000_000.0), *[cost(Usage(12, 2_000, output=20), price, 1_770_000_000.0)] * 3]
    assert session.money is not None
    assert session.money.recorded == session.money.predicted == session.money.settled == sum(costs, Decimal(0))


def test_a_lost_entry_is_the_providers(tmp_path: Path) -> None:
    """A marked prefix that was not read within its lifetime is the provider's loss, named by its rule, and settled."""
    session = checked(tmp_path, [*RIGHT, call(4, bill(12, write=2_000))])
    (found,) = session.disagreements
    assert (found.turn, found.read_recorded, found.read_predicted, found.prompt_tokens) == (4, 0, 2_000, 2_012)
    assert found.explanation.reason is Reason.PROVIDER_LOST
    assert found.explanation.evidence == "entry lost"
    assert found.basis == "system[0]"
    assert session.money is not None
    assert session.money.predicted < session.money.recorded == session.money.settled
    assert (session.tally.checked, session.tally.agree) == (4, 3)


def test_an_entry_that_outlived_its_lifetime_is_named(tmp_path: Path) -> None:
    """A read ten minutes after the last use of a five-minute entry breaks the rule of its lifetime."""
    session = checked(tmp_path, [*RIGHT, call(4, bill(12, read=2_000), at=1_770_000_700)])
    (found,) = session.disagreements
    assert found.explanation.reason is Reason.LIFETIME_PASSED
    assert found.explanation.evidence == "outlived lifetime"
    assert found.basis == "a miss"


def test_what_was_warm_before_the_log_began_is_others(tmp_path: Path) -> None:
    """A read of more than any logged call had sent is another session's."""
    session = checked(tmp_path, [FIRST, call(1, bill(12, read=3_000), rule="another. " * 900)])
    (found,) = session.disagreements
    assert found.explanation.reason is Reason.HEAD_SHARED
    assert found.explanation.evidence == "warm before"


@pytest.mark.parametrize(("off", "agree"), [(50, True), (51, False)])
def test_a_call_may_be_fifty_tokens_off(tmp_path: Path, off: int, agree: bool) -> None:
    """As everywhere, max(50 tokens, 1 % of the prompt) is agreement."""
    session = checked(tmp_path, [FIRST, call(1, bill(12 + off, read=2_000 - off))])
    assert (session.tally.checked, session.tally.agree) == (1, int(agree))
    assert len(session.disagreements) == 1 - agree


@settings(max_examples=50)
@given(st.lists(st.sampled_from([0, 2_000, 1_000]), min_size=1, max_size=6), st.data())
def test_a_log_cut_short_says_the_same(tmp_path_factory: pytest.TempPathFactory, reads: list[int], data: st.DataObject) -> None:
    """What is said of a call does not depend on the calls logged after it."""
    folder = tmp_path_factory.mktemp("log")
    rows = [FIRST, *(call(number, bill(12, read, 2_000 - read)) for number, read in enumerate(reads, 1))]
    until = data.draw(st.integers(1, len(rows)))
    whole, part = checked(folder, rows), checked(folder, rows[:until])
    assert [each for each in whole.disagreements if each.turn < until] == list(part.disagreements)
    assert part.tally.requests == until
    assert whole.tally.checked == whole.tally.agree + len(whole.disagreements)


def test_rules_and_reasons_are_two_closed_lists() -> None:
    """Every rule that stands for a reason is a rule, what no rule accounts for stays unexplained, and others' doing is set aside."""
    assert set(REASONS) <= set(Rule)
    assert Rule.UNEXPLAINED not in REASONS
    assert Reason.UNEXPLAINED not in REASONS.values()
    assert {REASONS[rule] for rule in (Rule.ENTRY_LOST, Rule.ENTRY_NOT_WRITTEN)} <= NOT_OURS
    assert frozenset({"cassette", "request-log"}) == FORMATS


def test_a_model_without_a_price_is_checked_and_not_billed(tmp_path: Path) -> None:
    """Its reads are compared; money it has none."""
    rows = [{**row, "request": {**row["request"], "model": "claude-unheard-of-99"}} for row in RIGHT]
    session = checked(tmp_path, rows)
    assert session.tally.requests == 4
    assert session.money is None


def test_bills_without_bodies_and_bodies_without_bills_are_told(tmp_path: Path) -> None:
    """What cannot be compared is counted in a note, each kind by itself."""
    bare = {"request": call(8, {})["request"], "at": 1_770_000_300}
    session = checked(tmp_path, [*RIGHT, {"usage": bill(9), "at": 1_770_000_200, "model": MODEL}, bare])
    assert session.tally.requests == 4
    assert any("1 bills without a body" in note for note in session.notes)
    assert any("1 requests without a bill" in note for note in session.notes)


def test_a_log_without_any_bill_is_skipped(tmp_path: Path) -> None:
    """Requests alone give nothing to compare with."""
    session = checked(tmp_path, [{"request": row["request"]} for row in RIGHT])
    assert session.skipped == "no call in it has a bill that says what was read"
    assert (session.tally.requests, session.money) == (0, None)


def test_a_torn_line_is_passed_over_unless_strict(tmp_path: Path) -> None:
    """The rest of the log is checked; strictly it is an error."""
    session = checked(tmp_path, [*RIGHT, '{"request": {"model"'])
    assert session.tally.agree == 3
    with pytest.raises(InputError):
        check_file(tmp_path / "log.jsonl", "request-log", PRICES, strict=True)


def test_what_is_no_log_is_skipped_with_a_reason(tmp_path: Path) -> None:
    """A file that cannot be read as what it seemed to be says why, and strictly raises."""
    path = tmp_path / "tape.yaml"
    path.write_text("interactions: [\n")
    for kind in sorted(FORMATS):
        session = check_file(path, kind, PRICES)[0]
        assert session.skipped
        assert session.tally.requests == 0
        with pytest.raises(InputError):
            check_file(path, kind, PRICES, strict=True)


def test_a_log_is_checked_call_by_call_as_its_pairs_say(tmp_path: Path) -> None:
    """The counts are those of the pairs of the same file, whoever runs it."""
    rows = [*RIGHT, call(4, bill(12, write=2_000)), call(5, bill(12, read=2_000))]
    session = checked(tmp_path, rows)
    pairs = check_exchanges("log", request_log.exchanges(tmp_path / "log.jsonl"))
    assert session.tally.requests == len(pairs)
    assert session.tally.checked == sum(not pair.first for pair in pairs)
    assert [each.turn for each in session.disagreements] == [pair.index for pair in pairs if not pair.agrees]
    assert validate(ValidateRequest((str(tmp_path / "log.jsonl"),), jobs=1)).sessions == (session,)


def test_what_an_unbilled_request_wrote_is_not_others(tmp_path: Path) -> None:
    """A read that only an earlier request without a bill explains is not another session's; and a bill that cannot be is none."""
    one, two = {"role": "user", "content": "first"}, {"role": "assistant", "content": "yes"}
    three = {"role": "user", "content": "then " * 900}
    wrong = {**bill(9, read=2_000, write=-5)}
    rows = [call(0, bill(12, write=2_000), messages=[one])]
    rows.append(call(1, wrong, messages=[one, two, three]))
    mark = {"role": "user", "content": [{"type": "text", "text": "more", "cache_control": {"type": "ephemeral"}}]}
    rows.append(call(2, bill(9, read=2_950, write=60), messages=[one, two, three, {**two}, mark]))
    session = checked(tmp_path, rows)
    assert any("is negative" in note for note in session.notes)
    assert [(each.turn, each.explanation.evidence) for each in session.disagreements] == [(2, "unbilled before")]


def test_calls_out_of_order_are_taken_by_their_start(tmp_path: Path) -> None:
    """The order of the lines makes no difference but for a note; each call keeps its place in the file."""
    rows = [FIRST, call(1, bill(12, read=2_000)), call(2, bill(12, read=2_000))]
    straight, turned = checked(tmp_path, rows), checked(tmp_path, rows[::-1])
    assert (straight.tally, straight.money) == (turned.tally, turned.money)
    assert any("out of order" in note for note in turned.notes)
    assert not any("out of order" in note for note in straight.notes)

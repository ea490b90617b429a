"""A validation as text and as JSON: nothing missing, nothing that does not add up, nothing wider than the terminal."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.table import Table

from holdfast.report import validated, validated_json
from holdfast.transcript import Skipped
from holdfast.validation.results import Money, Tally, ValidatedSession, Validation
from tests.report import validations

ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
SESSION = {
    *("path", "format", "provider", "model", "skipped", "requests", "checked", "agree", "agree_share", "exact", "within_2048"),
    *("cached_share_bias", "trusted", "usd_recorded", "usd_predicted", "usd_settled", "usd_error", "charged", "charged_equal"),
    *("disagreements", "notes"),
}
DISAGREEMENT = {"turn", "at", "prompt_tokens", "read_recorded", "read_predicted", "reason", "evidence", "lineage", "basis"}
TOTAL = {
    *("requests", "checked", "agree", "agree_share", "exact", "within_2048", "cached_share_bias"),
    *("usd_error_median", "usd_error_p95"),
}


def document(found: Validation) -> dict[str, Any]:
    """The validation's JSON, read back."""
    read: dict[str, Any] = json.loads("".join(validated_json.validation(found)))
    return read


def drawn(table: Table, width: int) -> list[str]:
    """A table's lines on a terminal of this width."""
    out = Console(width=width, file=io.StringIO(), color_system=None)
    out.print(table)
    assert isinstance(out.file, io.StringIO)
    return out.file.getvalue().splitlines()


@given(validations.validations())
def test_every_field_of_the_schema_is_always_there(found: Validation) -> None:
    """Whatever was found, the JSON has exactly these fields; money is a decimal string, time ISO-8601, a share 0 to 1, unknown null."""
    read = document(found)
    assert read["schema"] == "holdfast/validate/1"
    assert set(read) == {"schema", "sessions", "sets", "blocks", "total", "skipped", "interrupted"}
    assert set(read["total"]) == TOTAL
    assert len(read["sessions"]) == len(found.sessions)
    for each, session in zip(read["sessions"], found.sessions, strict=True):
        assert set(each) == SESSION
        assert (each["requests"] is None) == (session.skipped is not None)
        assert each["usd_recorded"] is None if session.money is None else Decimal(each["usd_recorded"]) == session.money.recorded
        assert each["agree_share"] is None or 0 <= each["agree_share"] <= 1
        for wrong in each["disagreements"]:
            assert set(wrong) == DISAGREEMENT
            assert wrong["at"] is None or ISO.fullmatch(wrong["at"])
    assert all(set(each) == {"path", "line", "why"} for each in read["skipped"])


@given(validations.validations())
def test_the_rows_add_up_to_the_total(found: Validation) -> None:
    """Requests, checks, agreements and money of the sets are those of the sessions that were used, and of the total."""
    read = document(found)
    used = [each for each in read["sessions"] if each["skipped"] is None]
    for name in ("requests", "checked", "agree", "exact"):
        assert sum(row[name] for row in read["sets"]) == sum(each[name] for each in used)
        assert read["total"][name] == sum(each[name] for each in used)
    money = sum((Decimal(row["usd_recorded"] or 0) for row in read["sets"]), Decimal(0))
    assert money == sum((Decimal(each["usd_recorded"] or 0) for each in used), Decimal(0))
    assert sum(sum(row["reasons"].values()) for row in read["sets"]) == sum(len(each["disagreements"]) for each in used)


@given(st.integers(0, 10**5), st.integers(1, 10**5))
def test_only_all_of_it_is_a_hundred_percent_and_only_nothing_none(part: int, rest: int) -> None:
    """A share that falls short is never shown as 100, and one above nothing never as 0."""
    assert "100" not in validated.share(part, part + rest)
    assert validated.share(part, max(part, 1)) in ("100 %", "100.0 %") or part == 0
    assert (validated.share(part, part + rest) in ("0 %", "0.0 %")) == (part == 0)


@given(st.floats(-1, 1))
def test_what_is_shown_as_nothing_has_no_sign(value: float) -> None:
    """A number is shown with its sign, but for one that is 0.0 as shown."""
    shown = validated.signed(value)
    assert (shown == "0.0") == (f"{abs(100 * value):.1f}" == "0.0")
    assert shown[0] in "+\N{MINUS SIGN}" or shown == "0.0"


@pytest.mark.parametrize("width", [60, 80, 100, 120, 200])
def test_tables_fit_the_terminal_and_cut_no_name(width: int) -> None:
    """Down to 60 columns every table fits; columns are left out, and names of data and reasons are whole."""
    other = replace(validations.session("b.jsonl", 300, 290, "deepseek"), format="mini-swe-agent")
    found = validations.validated(validations.session(agree=297), other)
    tables = [validated.sets_table(found, width), validated.reasons_table(found, width), validated.sessions_table(found.sessions, width)]
    for table in tables:
        lines = drawn(table, width)
        assert max(map(len, lines)) <= width
        assert not any("…" in line for line in lines)
    assert any("mini-swe-agent (deepseek)" in line for line in drawn(tables[0], width))
    assert any((line.split()[:1] == ["all"] and "13" in line) or "10" in line for line in drawn(tables[1], width))


def test_the_row_of_all_says_what_the_json_says() -> None:
    """The last row of the sets has the sum of the money and the errors of all sessions, as the JSON's total has."""
    dear = replace(validations.session("b.jsonl"), provider="openai", money=Money(Decimal(30), Decimal(33), Decimal(30)))
    found = validations.validated(validations.session(), dear)
    last = next(line for line in drawn(validated.sets_table(found, 200), 200) if line.split()[:1] == ["all"])
    total = document(found)["total"]
    assert "$40.00" in last
    assert "+5.0 %" in last
    assert (total["usd_error_median"], total["usd_error_p95"]) == (0.1, 0.1)
    assert last.count("10.0 %") == 2


def told(found: Validation) -> str:
    """All sentences around the tables."""
    return "\n".join([*validated.what_was_read(found), *validated.verdict(found)])


def test_what_was_left_out_is_named() -> None:
    """Files, sessions and lines that gave nothing are counted, with the reason and the place; so is what a session notes."""
    found = validations.validated(
        validations.session(),
        ValidatedSession("x.md", "", "", "", skipped="x.md: no known transcript format (text)"),
        ValidatedSession("c.json", "openai-chat", "", "", skipped="no usage was recorded"),
        ValidatedSession("c.json", "openai-chat", "", "", skipped="no usage was recorded"),
        skipped=(Skipped("a.jsonl", 12, "not JSON"),),
    )
    said = told(found)
    assert "Left out 1 file: no known transcript format (x.md)." in said
    assert "Left out 2 sessions of 1 file: no usage was recorded (c.json)." in said
    assert "Skipped 1 line: not JSON (a.jsonl:12)." in said
    assert "1 line is odd." in said
    assert [*validated.left_out(found)][1] == "c.json: no usage was recorded (2 sessions)"


def test_why_nothing_came_of_a_file_is_said_with_its_notes() -> None:
    """A log of bills without bodies says so behind the reason it was left out."""
    bare = ValidatedSession("b.jsonl", "request-log", "", "", notes=("4 bills without a body.",), skipped="no call in it was billed")
    assert [*validated.left_out(validations.validated(bare))] == ["b.jsonl: no call in it was billed (4 bills without a body)"]


def test_one_session_is_told_in_requests_and_many_in_sessions() -> None:
    """The verdict counts requests where there is one session, and sessions where there are more; none without a check is counted."""
    bad = validations.session("b.jsonl", 300, 200)
    first = replace(validations.session("c.jsonl"), tally=Tally(requests=1), disagreements=())
    assert "297 of 300 checked requests agree (99.0 %)" in told(validations.validated(validations.session(agree=297)))
    said = told(validations.validated(validations.session(), bad, first))
    assert "1 of 2 sessions agree in at least 95 %" in said
    assert "Nothing could be checked in 1 session" in said


def test_rules_are_named_only_where_one_was_not_kept() -> None:
    """Whole requests that all read as documented name no rule."""
    kept = replace(validations.session(), rules=("", ""))
    broken = replace(validations.session(), rules=("", "warm_before"))
    assert "2 of 2 whole requests read as documented, to the boundary." in told(validations.validated(kept))
    assert "1 of 2 whole requests" in told(validations.validated(broken))
    assert told(validations.validated(broken)).endswith("warm before 1.")


def test_a_model_without_a_price_is_named() -> None:
    """Where no price is known, the money is left open and the model named."""
    found = validations.validated(replace(validations.session(), money=None))
    assert "1 session of models that have no price (claude-sonnet-5)" in told(found)
    assert "$" not in "\n".join(drawn(validated.sets_table(found, 120), 120))


def test_a_disagreement_is_a_line() -> None:
    """Each has its request, lineage, both reads, the reason and its evidence; beyond a dozen the rest is counted."""
    lines = list(validated.disagreements(validations.session(agree=285)))
    assert lines[0] == "  request 7 of main: read 900, predicted 100 of 1,000; late visibility: an earlier entry was read"
    assert lines[-1] == "  and 3 more; --json has them all."

"""What the doctor found as text and as JSON: nothing missing, nothing that does not add up, nothing wider than the terminal."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given

from holdfast.doctor.findings import Verdict
from holdfast.doctor.lint_advice import Advice, Severity
from holdfast.doctor.run import Examination, Examined
from holdfast.report import diagnosed, diagnosed_json, omitted
from holdfast.transcript import Skipped
from tests.report.test_validated import ISO, drawn
from tests.report.validations import examinations, examined, finding

BREAK = {
    *("turn", "at", "cause", "detail", "verdict", "where", "tokens_rewritten", "usd", "fix", "diff", "excluded"),
    *("provider_reason", "provider_agrees", "lineage"),
}


def document(found: Examination) -> dict[str, Any]:
    """The examination's JSON, read back."""
    read: dict[str, Any] = json.loads("".join(diagnosed_json.examination(found)))
    return read


def told(found: Examination) -> str:
    """All sentences around the table."""
    return "\n".join([*diagnosed.what_was_read(found), *diagnosed.findings(found), *diagnosed.verdict(found)])


@given(examinations())
def test_every_field_of_the_schema_is_always_there(found: Examination) -> None:
    """Whatever was found, the JSON has exactly these fields; money is a decimal string, time ISO-8601, a share 0 to 1, unknown null."""
    read = document(found)
    assert read["schema"] == "holdfast/doctor/1"
    assert set(read) == {"schema", "sessions", "total", "hit_rate", "provider_reasons", "skipped", "interrupted"}
    assert read["hit_rate"] is None or 0 <= read["hit_rate"] <= 1
    for session in read["sessions"]:
        assert set(session) == {"path", "format", "skipped", "requests", "checked", "hit_rate", "breaks", "notes"}
        for each in session["breaks"]:
            assert set(each) == BREAK
            assert each["at"] is None or ISO.fullmatch(each["at"])
            assert each["verdict"] in {str(verdict) for verdict in Verdict}
            assert each["usd"] is None or isinstance(each["usd"], str)
    assert all(set(each) == {"cause", "count", "tokens_rewritten", "usd", "unpriced"} for each in read["total"])


@given(examinations())
def test_findings_add_up_to_the_total(found: Examination) -> None:
    """The total's counts, tokens and money are those of the findings, and the agreement is counted over those that can be compared."""
    read = document(found)
    every = [each for session in read["sessions"] for each in session["breaks"]]
    assert sum(each["count"] for each in read["total"]) == len(every)
    assert sum(each["tokens_rewritten"] for each in read["total"]) == sum(each["tokens_rewritten"] for each in every)
    assert sum(Decimal(each["usd"] or 0) for each in read["total"]) == sum(Decimal(each["usd"] or 0) for each in every)
    compared = [each["provider_agrees"] for each in every if each["provider_agrees"] is not None]
    assert read["provider_reasons"] == {"compared": len(compared), "same": sum(compared)}


@given(examinations())
def test_the_table_has_every_finding_once(found: Examination) -> None:
    """The findings of all rows are as many as there are."""
    rows = drawn(diagnosed.causes_table(found, 200), 200)[2:]
    shown = [int(match[1]) for row in rows if (match := re.search(r"(?:yours|provider|unknown) +(\d+)", row))]
    assert sum(shown) == sum(len(each.findings) for each in found.diagnoses)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_table_fits_the_terminal_and_cuts_no_cause(width: int) -> None:
    """Down to 60 columns the table fits, and the causes and their cost are whole."""
    found = examined(finding(detail="tools_changed:deferred_tool_loaded"), finding(usd=Decimal("1.5")))
    lines = drawn(diagnosed.causes_table(found, width), width)
    assert max(map(len, lines)) <= width
    assert any("tools_changed:deferred_tool_loaded" in line and "$0.500" in line for line in lines)
    assert any(line.split()[0:1] == ["all"] and "$2.00" in line for line in lines)


def test_a_finding_says_all_it_knows() -> None:
    """Cost, cause, place, tokens, verdict, request, time, difference, the provider's reason beside ours, what else, and what to do."""
    said = told(examined(finding(provider_reason="system_changed", agrees=True, excluded=("lifetime: 60 s of 5 min",)), agreement=(1, 1)))
    assert "1. $0.500: system_changed:timestamp at system[0] characters 9-28, 9.00k tokens not read (verdict: yours)" in said
    assert "   a, request 3, 01-01 00:00:00 UTC" in said
    assert "'10:00' became '10:01'" in said
    assert "the provider's own reason: system_changed (the same)" in said
    assert "   - lifetime: 60 s of 5 min" in said
    assert "   Take the time out." in said
    assert "The provider's own reason says the same in the one finding that has one to compare." in said
    assert "Cache hit rate: 90 % of 1.00k prompt tokens were read." in said
    assert "2 \N{MULTIPLICATION SIGN} odd usage." in said


@pytest.mark.parametrize(("agreement", "said"), [((0, 1), "otherwise in the one"), ((1, 3), "the same in 1 of the 3 findings")])
def test_the_agreement_with_the_provider_is_counted(agreement: tuple[int, int], said: str) -> None:
    """Of those findings that have a reason to compare, how many say the same."""
    assert f"The provider's own reason says {said}" in told(examined(finding(), agreement=agreement))


def test_findings_stand_by_money_and_the_rest_is_counted() -> None:
    """The dearest stands first, one without a price last; those not shown are counted."""
    found = examined(finding(usd=None), finding(usd=Decimal(1)), finding(usd=Decimal(2)))
    ranks = [line for line in diagnosed.findings(found, 3) if line[0].isdigit()]
    assert [line.split()[1] for line in ranks] == ["$2.00:", "$1.00:", "no"]
    assert [*diagnosed.findings(found, 1)][-1].startswith("And 2 more")
    assert [*diagnosed.findings(found, 0)] == ["3 findings; --top shows more, --json has them all."]


def test_what_has_no_price_is_not_nothing() -> None:
    """Money that is not known is neither zero in the sentence nor in the table."""
    found = examined(finding(usd=None))
    assert "1 request read less than it could have: 9.00k tokens, whose price is not known" in told(found)
    assert "$" not in "\n".join(drawn(diagnosed.causes_table(found, 120), 120))
    assert "(1 without a price not counted)" in told(examined(finding(usd=None), finding()))


def test_a_wrong_bill_is_no_lost_read() -> None:
    """A finding that lost no tokens is not among the requests that read less than they could have."""
    said = told(examined(finding(tokens_rewritten=0, usd=Decimal(0))))
    assert "1 finding lost no tokens" in said
    assert "less than" not in said
    assert "1 request read less" in told(examined(finding(tokens_rewritten=0), finding()))


def test_without_usage_the_hit_rate_is_not_known() -> None:
    """Where nothing was billed no rate is named, and nothing is said of requests that read as they could."""
    said = told(examined(read=0, prompt=0))
    assert "not known" in said
    assert "No request" not in said


def test_notes_that_differ_only_in_numbers_are_one() -> None:
    """Numbers of such notes are summed; what only one session says names it; too many kinds are counted."""
    notes = [("a", ["2 x odd usage", "request 3: gone"]), ("b", ["1,003 x odd usage", "request 4: gone"])]
    said = [*omitted.notes(notes)]
    assert said == ["1,005 \N{MULTIPLICATION SIGN} odd usage (2 sessions).", "Request 3: gone (a).", "Request 4: gone (b)."]
    twice = [("a", ["1 x 9 of 5 tokens"]), ("b", ["1 x 9 of 5 tokens"])]
    assert [*omitted.notes(twice)] == ["2 \N{MULTIPLICATION SIGN} 9 of 5 tokens (2 sessions)."]
    assert [*omitted.notes([("a", [f"kind {'x' * number}" for number in range(9)])])][-1] == "And 3 other notes; --json has them all."


def test_what_was_left_out_is_named() -> None:
    """Files and lines that gave nothing are counted with the reason and the place, in text and JSON."""
    skipped = Examined("x.md", "", skipped="x.md: no known transcript format (text)")
    found = Examination((*examined().sessions, skipped), (Skipped("a.jsonl", 12, "not JSON"),), interrupted=True)
    assert "Left out 1 file: no known transcript format (x.md)." in told(found)
    assert "Skipped 1 line: not JSON (a.jsonl:12)." in told(found)
    assert document(found)["skipped"] == [{"path": "a.jsonl", "line": 12, "why": "not JSON"}]
    assert "2 sessions done so far" in "".join(diagnosed.interruption(found))


def test_advice_has_every_field() -> None:
    """Lint's JSON has each body, what is said of it with every field, and what was no body."""
    advice = Advice("volatile_timestamp", "", "A clock.", "Take it out.", Severity.LIKELY, 0, "a page")
    read = json.loads("".join(diagnosed_json.linted([("a.json", [advice])], ["b.json: no body"])))
    assert set(read) == {"schema", "bodies", "refused"}
    assert read["bodies"][0]["advice"] == [
        {
            "code": "volatile_timestamp",
            "severity": "likely",
            "where": None,
            "what": "A clock.",
            "fix": "Take it out.",
            "tokens": None,
            "source": "a page",
        }
    ]
    assert read["refused"] == ["b.json: no body"]

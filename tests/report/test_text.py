"""Figures, tables and sentences."""

from __future__ import annotations

import io
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console
from rich.table import Table

from holdfast.report import figures, sentences, tables, turns
from holdfast.simulator.results import Commit, Comparison, ReplayedTurn, Result, SessionResult
from holdfast.transcript import Skipped
from holdfast.usage import Usage
from tests.report import results as made

MINUS = "\N{MINUS SIGN}"


def drawn(table: Table, width: int) -> str:
    """What a table looks like."""
    out = io.StringIO()
    Console(file=out, width=width).print(table)
    return out.getvalue()


@given(st.integers(0, 10**9), st.integers(1, 10**9))
def test_only_all_is_a_hundred_percent(part: int, whole: int) -> None:
    """A share is shown as 100 % only where nothing is missing, and as 0 % only where there is nothing."""
    part = min(part, whole)
    shown = figures.percent(part, whole)
    assert (shown == "100 %") == (part == whole)
    assert (shown == "0 %") == (part == 0)


@given(st.integers(0, 10**10))
def test_token_counts_have_three_figures(count: int) -> None:
    """A token count is within half a percent of the truth and no longer than it needs to be."""
    shown = figures.tokens(count)
    value = float(shown.rstrip("kM")) * {"k": 1e3, "M": 1e6}.get(shown[-1], 1)
    assert value == pytest.approx(count, rel=0.006)
    assert len(shown) <= 6 or count > 10**9


@pytest.mark.parametrize(
    ("amount", "shown"), [("1234.5", "$1,234"), ("12.346", "$12.35"), ("0.4123", "$0.412"), ("0.00214", "$0.0021"), ("0", "$0.00")]
)
def test_money_has_as_many_digits_as_are_known(amount: str, shown: str) -> None:
    """Dollars from a thousand on, cents above one dollar, three or four places below."""
    assert figures.usd(Decimal(amount)) == shown


@given(st.lists(made.results(), max_size=6))
def test_the_cheapest_comes_first(results: list[Result]) -> None:
    """Results are ordered by cost, and none is lost."""
    ranked = tables.by_cost(results)
    assert [each.usd for each in ranked] == sorted(each.usd for each in results)
    assert len(ranked) == len(results)


@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow])
@given(made.comparisons, st.integers(20, 200))
def test_any_comparison_can_be_told(found: Comparison, width: int) -> None:
    """No result breaks a table or a sentence, on a terminal of any width."""
    assert drawn(tables.total_table(found, width), width)
    assert drawn(tables.sessions_table(found.sessions, width), width)
    for tell in (sentences.verdict, sentences.what_was_read, sentences.how_it_was_computed, sentences.interruption):
        assert all(line.strip() for line in tell(found))


def test_the_table_has_every_figure_and_the_recorded_bill_below() -> None:
    """At full width every column is shown in full, the cheapest first, the recorded bill last and compared with none."""
    none, full = made.result("none", "31.2", 1000, commits=0), made.result("full", "29", model_calls=3)
    found = made.compared(none, made.result("collapse", "21.5"), full)
    lines = [line.split() for line in drawn(tables.total_table(found), tables.WIDE).splitlines() if line.strip()]
    rows = [line for line in lines if line[0] in ("none", "collapse", "full", "recorded")]
    assert [row[0] for row in rows] == ["collapse", "full", "none", "recorded"]
    assert rows[0] == f"collapse $21.50 {MINUS}31 % 97 % 3 3 (0) 0 152k 90 % 90 % 45 %".split()
    assert rows[1][6:10] == ["3", "3", "(0)", "3"]
    assert rows[3][:6] == ["recorded", "$33.10", "+6", "%", "96", "%"]


def test_a_narrow_terminal_keeps_what_matters() -> None:
    """At 80 columns cost, hits, breaks and what was kept stay whole; the rest is left to JSON."""
    text = drawn(tables.total_table(made.compared(made.result("none", "31.2"), made.result("collapse", "21.5", 800)), 80), 80)
    assert "collapse" in text
    assert "80 %" in text
    assert "152k" not in text
    assert "…" not in text


def test_the_verdict_names_the_cheapest_and_what_it_kept() -> None:
    """The cheapest strategy is set against doing nothing, with what it kept; one that kept more and still saves is named too."""
    found = made.compared(made.result("none", "30", 1000), made.result("truncate", "12", 400), made.result("micro", "15", 930))
    first, second = sentences.verdict(found)
    assert first.startswith("Cheapest: truncate, $12.00 instead of $30.00")
    assert "40 % was still in the prompt" in first
    assert "micro, $15.00" in second
    assert "93 % was still there" in second


def test_what_a_hair_more_keeps_is_not_named() -> None:
    """A dearer strategy that keeps less than one percent more than the cheapest is not set beside it."""
    found = made.compared(made.result("none", "30", 1000), made.result("truncate", "12", 900), made.result("micro", "15", 904))
    assert len(list(sentences.verdict(found))) == 1


def test_model_calls_have_a_cost_column_only_where_one_cost_something() -> None:
    """The cost of a strategy's own model calls is a column where there is any, else left out."""
    none = made.result("none", "31.2")
    assert "their" not in drawn(tables.total_table(made.compared(none, made.result("collapse", "21.5"))), 120)
    assert "their" in drawn(tables.total_table(made.compared(none, made.result("full", "21.5", model_calls=2))), 120)


def test_the_bill_of_another_model_is_named_and_not_compared() -> None:
    """With a model of the user's choice, the recorded bill is called another model's, and no percentage is set beside it."""
    found = made.compared(made.result("none", "31.2"))
    other = drawn(tables.total_table(replace(found, settings={**found.settings, "model": "claude-haiku-4-5"})), 120)
    row = next(line for line in other.splitlines() if "$33.10" in line)
    assert "recorded (its own model)" in " ".join(line.split("  ")[0].strip() for line in other.splitlines() if line.strip())
    assert "+" not in row


def test_what_did_not_pay_and_what_had_to_wait_is_told_by_strategy() -> None:
    """Below the table stand, by strategy, the commits that had not paid and the turns above trigger and limit."""
    micro = replace(made.result("micro", "21.5"), unpaid_commits=2, waiting_turns=7, unreachable_turns=1)
    told = " ".join(sentences.how_it_was_computed(made.compared(made.result("none", "30"), micro)))
    assert "Turns that stayed above the trigger because nothing could be cut just then: micro 7." in told
    assert "Commits that had not paid for themselves when the session ended: micro 2 of 3." in told
    assert "above the limit, the window less room for an answer, because nothing more may be cut: micro 1." in told


def test_one_turn_is_no_plural() -> None:
    """Notes that differ in their numbers are summed, and a sum of one is said as one."""
    found = made.compared(made.result("none", "1"))
    noted = replace(found.sessions[0], notes=("at 1 turns the client cut its history", "11 turns and 1,001 turns were copies"))
    told = list(sentences.how_it_was_computed(replace(found, sessions=(noted,))))
    assert "At 1 turn the client cut its history." in told
    assert "11 turns and 1,001 turns were copies." in told


def test_where_nothing_is_cheaper_the_verdict_says_so() -> None:
    """When every strategy costs more than leaving the history alone, that is the advice."""
    found = made.compared(made.result("none", "30"), made.result("full", "31"))
    assert list(sentences.verdict(found)) == ["Nothing beats leaving the history alone here: $30.00."]


def test_what_was_skipped_is_named_by_reason() -> None:
    """Skipped lines are counted by reason and named with file and line; many of one kind are cut short."""
    lines = tuple(Skipped("x.jsonl", number, "not JSON") for number in range(1, 6))
    told = " ".join(sentences.what_was_read(made.compared(made.result("none", "1"), skipped=lines)))
    assert "Skipped 5 lines: not JSON (x.jsonl:1, x.jsonl:2, x.jsonl:3 and 2 more)." in told


def test_files_that_gave_nothing_are_grouped_by_reason_and_told_in_full_where_there_is_nothing_else() -> None:
    """Below a table two files of no known format are one sentence; alone, each is told with what was looked at."""
    session = SessionResult("a.md", "", "", 0, skipped="a.md: no known transcript format (it begins with '# A'); known are codex, pi")
    other = replace(session, path="b.md", skipped="b.md: no known transcript format (it begins with '# B'); known are codex, pi")
    found = replace(made.compared(made.result("none", "1")), sessions=(session, other))
    assert list(sentences.left_out(found)) == ["Left out 2 files: no known transcript format (a.md, b.md)."]
    assert list(sentences.in_full(found)) == [session.skipped, other.skipped]


def test_assumptions_are_stated() -> None:
    """Below the table stand what stays as recorded, what was estimated, and the date of the prices."""
    found = made.compared(made.result("none", "30"), made.result("full", "31", model_calls=2))
    session = replace(found.sessions[0], unlogged_calls=2, unlogged_usd=Decimal("0.5"), counting="calibrated to the recorded usage")
    told = " ".join(sentences.how_it_was_computed(replace(found, sessions=(session,))))
    for said in ("Outputs stay as recorded", "2 calls", "$0.500", "left out", "calibrated", "4 turns", "2026-11-22", "own model calls"):
        assert said in told


@given(made.turns)
def test_any_turn_is_one_aligned_line(turn: ReplayedTurn) -> None:
    """A turn's figures stand in the columns of the heading."""
    plain = replace(turn, note="", commit=None, turn=min(turn.turn, 99_999), usd=min(turn.usd, Decimal(9999)))
    assert len(turns.line(plain)) <= turns.HEADING.index("what was done")


def test_a_commit_is_told_with_its_reason() -> None:
    """The line of a turn that commits says what went, from where, when that was to pay, when it did, and why."""
    usage = Usage(fresh=3, read=120_000, write_5m=3_453, output=40)
    commit = Commit("micro", 37, 42_100, 12, "23 old tool results")
    line = turns.line(ReplayedTurn(12, "main", 1.7e9, 123_456, usage, Decimal("0.0812"), 120_000, commit))
    assert line.endswith(
        f"micro {MINUS}42.1k from block 37, predicted to pay after 12 turns, not paid when the session ended: 23 old tool results"
    )
    paid = replace(commit, break_even_turn=0, measured_break_even_turn=1)
    assert "predicted to pay at once, paid after 1 turn: 23" in turns.committed(paid)
    last = ReplayedTurn(13, "main", 1.7e9, 123_456, usage, Decimal("0.0812"), 120_000, paid)
    assert turns.closing([replace(last, turn=12, commit=commit), last]).endswith("2 commits, 1 of them not paid when the session ended.")
    assert "predicted never to pay" in turns.line(
        ReplayedTurn(1, "main", None, 1, usage, Decimal(1), 0, replace(commit, break_even_turn=None))
    )

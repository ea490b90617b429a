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
from holdfast.simulator.results import Agreement, Commit, Comparison, ReplayedTurn, Result, SessionResult
from holdfast.transcript import Skipped
from holdfast.usage import Usage
from holdfast.validation.uncertainty import Errors, Estimate
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
    value = float(shown.rstrip("kMB")) * {"k": 1e3, "M": 1e6, "B": 1e9}.get(shown[-1], 1)
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
    trust = (sentences.agreement, sentences.left_unranked)
    for tell in (sentences.verdict, sentences.what_was_read, sentences.how_it_was_computed, *trust, sentences.interruption):
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


@given(
    st.decimals(min_value=Decimal("0.001"), max_value=10**6, places=4),
    st.decimals(min_value=Decimal("0.0001"), max_value=10**6, places=4),
)
def test_no_digit_is_shown_that_is_not_known(amount: Decimal, half: Decimal) -> None:
    """Rounding moves an amount by no more than a quarter of its interval, unless to one figure; it never adds digits to ``usd``'s."""
    shown, plain = (Decimal(text.lstrip("$").replace(",", "")) for text in (figures.known(amount, half), figures.usd(amount)))
    assert abs(shown - amount) <= max(half / 2, Decimal("0.5").scaleb(amount.adjusted()), abs(plain - amount))
    assert len(figures.known(amount, half).partition(".")[2]) <= len(figures.usd(amount).partition(".")[2])


@given(st.decimals(min_value=1, max_value=10**6, places=4), st.integers(2, 9), st.integers(-4, 6))
def test_a_wider_interval_shows_no_more_digits(amount: Decimal, first: int, place: int) -> None:
    """What is shown is a multiple of the place of the interval's first digit, where the amount has one there."""
    half = Decimal(first).scaleb(place)
    unit = Decimal(1).scaleb(min(place, amount.adjusted()))
    assert Decimal(figures.known(amount, half).lstrip("$").replace(",", "")) % unit == 0


@pytest.mark.parametrize(
    ("amount", "half", "shown"),
    [("29.18", "2.6", "$29"), ("29.18", "1.4", "$29.2"), ("1234.5", "150", "$1,230"), ("5", "80", "$5"), ("0.0021", "0", "$0.0021")],
)
def test_digits_end_where_the_interval_begins(amount: str, half: str, shown: str) -> None:
    """The last digit shown is at the place of the first of half the interval, one further where that is a 1."""
    assert figures.known(Decimal(amount), Decimal(half)) == shown


def test_a_cost_has_its_range_beside_it() -> None:
    """Cost and range have the digits that the range leaves; the column is there at any width, and only where something was measured."""
    rough = made.compared(made.estimated(made.result("none", "31.23")), made.estimated(made.result("full", "412.34")))
    for width in (80, 120):
        text = drawn(tables.total_table(rough, width), width)
        assert ["none", "$31", f"28{figures.UNKNOWN}41"] in [line.split()[:3] for line in text.splitlines()]
        assert ["full", "$410", f"370{figures.UNKNOWN}540"] in [line.split()[:3] for line in text.splitlines()]
        assert "$33.10" in text, "what was recorded is known"
    assert "range" not in drawn(tables.total_table(made.compared(made.result("none", "31.23"))), 120)
    told = " ".join(sentences.how_it_was_computed(rough))
    assert f"{MINUS}10 % to +30 % (claude-code, anthropic: 83 sessions)" in told
    assert "their difference is known better than either cost" in told
    assert "no bill has checked" in told
    assert "another model" not in told
    other = replace(rough, settings={**rough.settings, "model": "claude-haiku-4-5"})
    assert "another model" in " ".join(sentences.how_it_was_computed(other))


def test_a_range_that_nobody_measured_is_called_so() -> None:
    """Where a format was not measured, the sentence names it and says whose range it borrows."""
    errors = Errors("plain", "anthropic", 0, 0, Decimal("-0.1"), Decimal(0), Decimal("0.3"), measured=False)
    none = made.result("none", "30")
    told = " ".join(sentences.how_it_was_computed(made.compared(replace(none, estimate=Estimate.of(none.usd, errors)))))
    assert f"Not measured for plain, anthropic: taken is the widest range measured elsewhere, {MINUS}10 % to +30 %" in told


def test_sessions_show_how_well_they_are_reproduced() -> None:
    """Each session has its agreement, rounded down; below 95 % it has a sign, and where no bill was recorded a dash."""
    agreements = (Agreement(1000, 993), Agreement(100_000, 99_999), Agreement(100, 94), None)
    found = made.beside(made.compared(made.result("none", "30")), *agreements)
    rows = drawn(tables.sessions_table(found.sessions, 120), 120).splitlines()
    shown = ["99.3 %", "99.9 %", f"94.0 % {tables.DISTRUST}", f"$33.10         {figures.UNKNOWN}"]
    for number, said in enumerate(shown):
        assert said in next(row for row in rows if row.strip().startswith(f"{number} "))


def test_what_cannot_be_reproduced_is_not_ranked() -> None:
    """Untrusted sessions are counted, called so with the reason, left out of what is beside the recorded bill, and ``--any`` is named."""
    found = made.beside(made.compared(made.result("none", "30"), made.result("micro", "20")), Agreement(100, 99), Agreement(100, 94), None)
    told = " ".join(sentences.agreement(found))
    assert "193 of 200 (96.5 %)" in told
    assert "1 session of 3 is not trustworthy (!): the cache model reproduces less than 95 % of its recorded reads." in told
    assert "1 session carries no bill: nothing there could be checked." in told
    assert "1 session; --any ranks all" in " ".join(sentences.left_unranked(found))
    assert "$66.20" in drawn(tables.total_table(found), 120), "the bills of the two ranked sessions"
    every = replace(found, settings={**found.settings, "any": True})
    assert "ranked all the same (--any): 1 of 3 sessions" in " ".join(sentences.left_unranked(every))
    assert "$99.30" in drawn(tables.total_table(every), 120)


def test_where_nothing_can_be_ranked_one_sentence_says_so() -> None:
    """Of sessions none of which is reproduced there is no verdict, and the sentence names the reason and the option."""
    found = made.beside(made.compared(made.result("none", "30")), Agreement(100, 94), Agreement(100, 20))
    (told,) = sentences.left_unranked(found)
    assert told.startswith("Nothing is ranked: the cache model reproduces less than 95 % of the recorded reads of each of the 2 sessions")
    assert "--any" in told
    assert list(sentences.verdict(found)) == []


def test_first_requests_alone_check_nothing() -> None:
    """A session whose bill is that of its first request is ranked, and said to be unchecked."""
    found = made.beside(made.compared(made.result("none", "30")), Agreement())
    assert found.ranked == found.sessions
    assert "billed for first requests only" in " ".join(sentences.agreement(found))
    assert list(sentences.left_unranked(found)) == []


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
    for said in ("Outputs stay as recorded", "2 calls", "about $0.5", "left out", "calibrated", "4 turns", "2026-11-22", "own model calls"):
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

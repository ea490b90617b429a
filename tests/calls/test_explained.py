"""The story of a request, right in every case."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot

from holdfast.blocks import Mark
from holdfast.calls.explained import Circumstances, explain
from holdfast.edits import Clear, Drop, Fold, Insert
from holdfast.errors import AskFailed, BudgetUnreachable, HoldfastError, StoreError
from holdfast.pricing import Prices
from holdfast.trace import CommitTrace, Trace
from holdfast.usage import Usage

PRICE = Prices.load().find("claude-sonnet-4-5")
SMALL = Trace(0, 4000, 4000, 0, 0, (), "below the trigger")
MARKED = Trace(3, 24_000, 24_000, 40, 22_000, (Mark(2, 3600), Mark(41)), "below the trigger")
EDITS = (Clear(3, "gone"), Clear(5, "gone"), Fold(7, 12, "said"), Drop(12, 14), Insert(14, "note"))
COMMIT = CommitTrace(2, "micro", "over the trigger", EDITS, 3, 9, 110_000, 45_000, 100_000, 20_000, 4)
COMMITTED = Trace(31, 110_000, 65_000, 9, 30_000, (Mark(8), Mark(60)), "micro: over the trigger", commit=COMMIT)
USAGE = Usage(fresh=20, read=30_000, write_5m=35_000, output=800)


def test_nothing_done() -> None:
    """A small request: what was sent and why nothing happened."""
    assert explain(SMALL, Circumstances(Usage(fresh=4100, output=50), PRICE)) == snapshot("""\
turn 1: 4.00k tokens sent, nothing as in a request before; below the trigger
  billed: 0 read (0 %), 4.10k fresh, 50 out, $0.0130\
""")


def test_marks_only() -> None:
    """Where the marks stand and how long they live."""
    assert explain(MARKED, Circumstances(Usage(fresh=5, read=22_000, write_5m=2_000, output=300), PRICE)) == snapshot("""\
turn 4: 24.0k tokens sent, the first 22.0k as in the last request; below the trigger
  marks: 2 cache marks at block 2 (1h), block 41
  billed: 22.0k read (92 %), 2.00k written, 5 fresh, 300 out, $0.0186\
""")


def test_a_commit() -> None:
    """What was cut, what was written again and its price, when it pays, what was billed."""
    assert explain(COMMITTED, Circumstances(USAGE, PRICE)) == snapshot("""\
turn 32: 65.0k of 110k tokens sent, the first 30.0k as in the last request; micro: over the trigger
  cut: 45.0k of 110k tokens by micro, 2 blocks cleared, 1 span folded, 2 blocks dropped, 1 message inserted
  cost: 20.0k tokens behind block 9 written to the cache again ($0.0690 more than reading it)
  breaks even: 4 turns after this one, as predicted
  marks: 2 cache marks at block 8, block 60
  billed: 30.0k read (46 %), 35.0k written, 20 fresh, 800 out, $0.152\
""")


def test_a_commit_that_costs_nothing_or_never_pays() -> None:
    """A cold cache makes rewriting free; a plan that never pays says that it was needed."""
    cold = replace(COMMITTED, commit=replace(COMMIT, warm_tokens=0, rewritten_tokens=0, break_even_turn=0))
    assert "cost: none, the cache was cold anyway" in explain(cold)
    assert "breaks even: at once" in explain(cold)
    never = replace(COMMITTED, commit=replace(COMMIT, break_even_turn=None))
    assert "breaks even: never at these prices" in explain(never)


def test_waiting() -> None:
    """Above the trigger, with nothing to cut now."""
    waiting = replace(MARKED, reason="above the trigger, waiting for growth since the last try")
    assert explain(waiting).splitlines()[0].endswith("; above the trigger, waiting for growth since the last try")


def test_stood_down() -> None:
    """Where Holdfast kept out, the reason is all there is, with or without a trace."""
    stood = Circumstances(stood_down="previous_response_id: the history is on the server")
    assert explain(None, stood) == "stood down: previous_response_id: the history is on the server"
    text = explain(MARKED, stood)
    assert text == "sent as it came: Holdfast stood down (previous_response_id: the history is on the server)"


def test_before_the_first_request() -> None:
    """There is nothing to tell yet."""
    assert explain(None) == "no request yet"


def test_left_alone() -> None:
    """A body that was not understood went out as it came, and the failure is named."""
    error = HoldfastError("a request without messages")
    trace = Trace(0, 0, 0, 0, 0, (), f"left alone: {error}", errors=(error,))
    assert explain(trace) == snapshot("""\
sent as it came: left alone: a request without messages
  failed: HoldfastError: a request without messages\
""")


def test_a_failed_question_is_told_with_what_it_cost() -> None:
    """The calls are paid although no plan came of them."""
    failed = AskFailed("the answer is empty")
    trace = replace(MARKED, reason=f"no plan: {failed}", errors=(failed,), asked=(Usage(read=22_000, fresh=300, output=0),))
    assert explain(trace, Circumstances(price=PRICE)) == snapshot("""\
turn 4: 24.0k tokens sent, the first 22.0k as in the last request; no plan: the answer is empty
  marks: 2 cache marks at block 2 (1h), block 41
  asked: 1 model call, 22.3k in (22.0k read), 0 out, $0.0075; no plan came of it
  failed: AskFailed: the answer is empty\
""")


def test_a_budget_out_of_reach() -> None:
    """The pinned blocks are named."""
    trace = replace(COMMITTED, unreachable=BudgetUnreachable(65_000, 60_000, [0, 1]))
    assert "still too long: 65000 tokens, limit 60000; pinned blocks: 0, 1" in explain(trace)


def test_repaired_retried_settled_and_thinking() -> None:
    """Each has its line."""
    trace = replace(MARKED, repaired=2, settled=((1, 6),), withdrawn=COMMIT, thinking="dropped")
    lines = explain(trace, Circumstances(retried="400 invalid_request_error")).splitlines()
    assert lines[1] == "  retried without the plan of micro (45.0k tokens), which is withdrawn: 400 invalid_request_error"
    assert "  repaired: 2 old messages came as other bytes than before; the first form was sent" in lines
    assert "  commit 1 has now paid for itself, after 6 turns" in lines
    assert "  thinking bound to the prefix before the edit: the API was asked to drop it" in lines
    assert explain(MARKED, Circumstances(retried="dropped")).splitlines()[1] == "  retried without the newest plan: dropped"


def test_observed() -> None:
    """Nothing reads as if it had been done."""
    lines = explain(COMMITTED, Circumstances(USAGE, PRICE, observed=True)).splitlines()
    assert lines[0].startswith("turn 32: only observed, 110k tokens went out as they came; 65.0k would have been sent")
    assert lines[1].startswith("  would cut: 45.0k of 110k tokens")
    assert "would cost" in lines[2]
    assert "would-be marks" in "\n".join(lines)
    assert "nothing would have been cut" in explain(SMALL, Circumstances(observed=True))


def test_without_a_price_nothing_is_in_dollars() -> None:
    """An unknown model is told in tokens."""
    text = explain(COMMITTED, Circumstances(USAGE))
    assert "$" not in text
    assert "no price known" in text


def test_many_failures_are_counted() -> None:
    """Five are told one by one."""
    trace = replace(SMALL, errors=tuple(StoreError(f"no. {number}") for number in range(8)))
    assert explain(trace).splitlines()[-1] == "  and 3 failures more"


@given(
    st.builds(
        replace,
        st.sampled_from([SMALL, MARKED, COMMITTED]),
        repaired=st.integers(0, 3),
        settled=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=2).map(tuple),
        asked=st.lists(st.builds(Usage, *[st.integers(0, 10**6)] * 7), max_size=2).map(tuple),
    ),
    st.builds(
        Circumstances,
        st.none() | st.builds(Usage, *[st.integers(0, 10**6)] * 7),
        st.sampled_from([None, PRICE]),
        retried=st.sampled_from(["", "400"]),
        stood_down=st.sampled_from(["", "threads"]),
        observed=st.booleans(),
    ),
)
def test_every_case_is_told_in_a_few_lines(trace: Trace, known: Circumstances) -> None:
    """Whatever happened, the story is short, no line is empty, and what is not known is not said."""
    lines = explain(trace, known).splitlines()
    assert 1 <= len(lines) <= 14
    assert all(line.strip() for line in lines)
    assert "None" not in "\n".join(lines)
    assert ("billed" in "\n".join(lines)) == (known.usage is not None)

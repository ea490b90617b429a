"""Diagnoses that others made and took back: what tells the causes apart."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from holdfast.doctor.diagnose import diagnose, diagnose_observed
from holdfast.doctor.findings import Cause, Finding, Verdict
from holdfast.doctor.observation import Observation
from holdfast.exchange import Exchange
from holdfast.pricing import Prices
from holdfast.usage import Usage
from tests.doctor.logs import MODEL, Provider, assistant, body, conversation, user, words

PRICES = Prices.load()
SYSTEM = words("sys", 3000)
FORCED = {"tool_choice": {"type": "any"}}


def found(log: list[Exchange]) -> list[Finding]:
    """The findings of a log."""
    return list(diagnose(log, PRICES).findings)


def bills(rows: list[tuple[int, int, int]], provider: str = "anthropic", model: str = MODEL, gap: float = 30.0) -> list[Finding]:
    """The findings of requests of which only prompt, read and written tokens are known."""
    usages = [Usage(fresh=prompt - read - written, read=read, write_5m=written) for prompt, read, written in rows]
    seen = [Observation(usage=usage, at=1e6 + gap * place, provider=provider, model=model) for place, usage in enumerate(usages)]
    return list(diagnose_observed(seen, PRICES).findings)


@pytest.mark.parametrize(
    ("account", "read", "cause", "verdict"),
    [
        ("B", 0, Cause.ACCOUNT_OR_SCOPE_CHANGED, Verdict.YOURS),
        ("B", 3040, Cause.ACCOUNT_OR_SCOPE_CHANGED, Verdict.YOURS),
        ("A", 3040, Cause.TOOL_CHOICE_CHANGED, Verdict.YOURS),
        ("A", 0, Cause.SERVER_SIDE_UNEXPLAINED, Verdict.UNKNOWN),
        ("", 3040, Cause.TOOL_CHOICE_CHANGED, Verdict.UNKNOWN),
        ("", 0, Cause.SERVER_SIDE_UNEXPLAINED, Verdict.UNKNOWN),
    ],
)
def test_a_forced_tool_or_a_rotated_key(account: str, read: int, cause: Cause, verdict: Verdict) -> None:
    """A changed tool_choice loses the messages only; with another account it is the account, and without that field nobody knows."""
    provider = Provider()
    for turn in (1, 2):
        provider.send(body(SYSTEM, conversation(turn)), account="A" if account else "")
    provider.send(body(SYSTEM, conversation(3)) | FORCED, account=account, usage=Usage(read=read, write_5m=6080 - read))
    (finding,) = found(provider.log)
    assert (finding.cause, finding.verdict) == (cause, verdict)


def test_a_probe_right_after_the_write() -> None:
    """1.5 s after the write nothing is readable yet: not a prompt that is never cached."""
    provider = Provider()
    for gap in (0.0, 2.5):
        provider.send(body(SYSTEM, conversation(1)), gap, usage=Usage(write_5m=3648), took=1.0)
    (finding,) = found(provider.log)
    assert (finding.cause, finding.verdict) == (Cause.PARALLEL_RACE, Verdict.PROVIDER)


def test_an_aborted_request_that_was_retried_with_other_content() -> None:
    """The gap is shorter than the lifetime and a request without usage lies between: the bytes changed, no lifetime passed."""
    provider = Provider()
    provider.send(body(SYSTEM, conversation(2)))
    provider.send(body("at 10:00 " + SYSTEM, conversation(2)), 60.0)
    provider.send(body("at 10:02 " + SYSTEM, conversation(2)), 60.0)
    aborted = replace(provider.log[1], response={})
    findings = found([provider.log[0], aborted, provider.log[2]])
    assert [(finding.turn, finding.cause) for finding in findings] == [(2, Cause.SYSTEM_CHANGED)]


def test_a_log_that_begins_in_the_middle() -> None:
    """What was sent before the log began is not known: a first request that writes everything is no finding, nor is one that reads more."""
    provider = Provider()
    for turn in range(1, 5):
        provider.send(body(SYSTEM, conversation(turn)))
    assert found(provider.log[2:]) == []
    cold = replace(
        provider.log[2],
        response={"id": "m", "usage": {"input_tokens": 0, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 6080}},
    )
    assert found([cold, provider.log[3]]) == []


def test_a_side_call_in_between() -> None:
    """A summariser with another prompt between two turns is no break of the conversation, and no baseline for it."""
    provider = Provider()
    for turn in (1, 2, 3):
        provider.send(body(SYSTEM, conversation(turn)))
        provider.send(body(words("title", 1200), [user(f"Name this {turn}")]))
    assert {finding.cause for finding in found(provider.log)} <= {Cause.BREAKPOINT_MISPLACED}
    assert not [finding for finding in found(provider.log) if finding.turn % 2 == 0]


def test_written_tokens_are_no_misses() -> None:
    """New content must be written: a conversation in which each turn adds more than it had has no finding."""
    provider = Provider()
    for turn in range(1, 4):
        provider.send(body(SYSTEM, conversation(turn, 4000)))
    assert found(provider.log) == []


def test_a_read_of_the_entry_a_response_has_just_written() -> None:
    """A cold reading is followed by a hot one: the second request after a miss has no finding."""
    provider = Provider()
    for turn, gap in enumerate((0.0, 600.0, 30.0), 1):
        provider.send(body(SYSTEM, conversation(turn)), gap)
    assert [finding.turn for finding in found(provider.log)] == [1]


@pytest.mark.parametrize("evidence", ["times", "bodies"])
def test_without_the_evidence_the_verdict_is_unknown(evidence: str) -> None:
    """A lifetime that passed cannot be told without times, nor blamed on anybody without bytes."""
    provider = Provider()
    for turn, gap in enumerate((0.0, 30.0, 420.0), 1):
        provider.send(body(SYSTEM, conversation(turn)), gap)
    without: dict[str, dict[str, Any]] = {"times": {"at": None, "ended": None}, "bodies": {"body": {}}}
    (finding,) = found([replace(exchange, **without[evidence]) for exchange in provider.log])
    assert finding.verdict is Verdict.UNKNOWN


def test_without_the_account_a_total_miss_is_unknown() -> None:
    """With accounts on record it is the rotation; with none it is nobody's."""
    provider = Provider()
    for account in "XY":
        provider.send(body(SYSTEM, conversation(2)), account=account)
    assert found(provider.log)[0].cause is Cause.ACCOUNT_OR_SCOPE_CHANGED
    (finding,) = found([replace(exchange, account="") for exchange in provider.log])
    assert (finding.cause, finding.verdict) == (Cause.SERVER_SIDE_UNEXPLAINED, Verdict.UNKNOWN)


def test_bills_that_fall_to_the_head() -> None:
    """One collapse seen in the bills alone: provider-side suspected, the verdict unknown, and what is not known is said."""
    (finding,) = bills([(88489, 85288, 3201), (94268, 20948, 73320)])
    assert (finding.detail, finding.verdict, finding.tokens_rewritten) == ("head_only_collapse", Verdict.UNKNOWN, 67541)
    assert any(words.startswith("bytes: not recorded") for words in finding.excluded)


def test_bills_of_a_sliding_window() -> None:
    """A flat prompt with a read that creeps on at a fixed share of it: an edit at a moving position."""
    reads = [121472, 125056, 126208, 127232, 128000, 128128]
    rows = [(432808, 432768, 0)] + [(431000 + 100 * place, read, 0) for place, read in enumerate(reads)]
    assert {finding.detail for finding in bills(rows, "deepseek", "deepseek-v4-pro")} == {"messages_rewritten:sliding_window"}


def test_bills_of_a_read_that_stays_at_the_head() -> None:
    """A read that no longer grows: either an edit behind it or a limit of the provider's."""
    rows = [(11500, 11200, 0), (14800, 14800, 0), (15200, 15200, 0), (28700, 9000, 0), (29100, 9000, 0)]
    findings = bills(rows, "xai", "grok-4.6")
    assert [(finding.turn, finding.detail, finding.verdict) for finding in findings] == [
        (3, "pinned_head", Verdict.UNKNOWN),
        (4, "pinned_head", Verdict.UNKNOWN),
    ]


def test_bills_of_whole_blocks() -> None:
    """Reads that are multiples of 2,048 are the server's block size, not an unstable prompt."""
    rows = [(prompt, read, 0) for prompt, read in ((784, 0), (1568, 0), (4057, 2048), (4896, 2048), (5735, 4096), (6575, 4096))]
    assert {finding.detail for finding in bills(rows, "omlx", "qwen")} == {"block_size_floor"}


def test_bills_of_a_write_that_had_not_landed() -> None:
    """Seconds later the read is what the turn before last had left."""
    rows = [(130000, 129000, 0), (144225, 129792, 0), (144410, 129792, 0)]
    (finding,) = bills(rows, "openai", "gpt-5.1", gap=5.0)
    assert (finding.turn, finding.detail) == (2, "write_not_yet_visible")


def test_bills_that_never_read_are_one_shots() -> None:
    """Writes that nobody read are told in a note: nothing shows that these requests are one conversation."""
    rows = [Usage(fresh=3, write_5m=written) for written in (7506, 11544, 8992)]
    seen = [Observation(usage=usage, provider="anthropic", model=MODEL, at=float(place)) for place, usage in enumerate(rows)]
    diagnosis = diagnose_observed(seen, PRICES)
    assert diagnosis.findings == ()
    assert diagnosis.notes == ("3 requests wrote 28042 tokens to the cache and read none",)


def test_a_summary_between_two_bills_is_no_baseline() -> None:
    """After a compaction the prompt is another one: what it read is compared with nothing."""
    assert bills([(173864, 171520, 0), (40987, 0, 0), (39083, 17920, 0)], "openai", "gpt-5.1") == []


def test_writes_that_nobody_reads_are_said() -> None:
    """Prompts of their own with a mark each cost a write for nothing."""
    provider = Provider()
    for turn in range(3):
        provider.send(body(words(f"{'xyz'[turn]}one", 1500), [user("x"), assistant("y"), user(words(f"{'xyz'[turn]}b", 900))]))
    diagnosis = diagnose(provider.log, PRICES)
    assert diagnosis.findings == ()
    assert any("no other request begins with" in note for note in diagnosis.notes)

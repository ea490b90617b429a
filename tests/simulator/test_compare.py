"""Comparing: settings are honoured, what cannot be billed is skipped with the reason, and an interruption keeps what is done."""

from __future__ import annotations

import gzip
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from holdfast.errors import InputError, UnknownStrategy
from holdfast.simulator.compare import compare
from holdfast.simulator.requests import CompareRequest
from holdfast.simulator.results import Comparison
from tests.generators import dumps

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "transcripts"
FILES = tuple(map(str, sorted(FOLDER.glob("*.gz"))))
ONE = CompareRequest((FILES[0],), strategies=("none", "truncate"), jobs=1)


def figures(comparison: Comparison) -> list[object]:
    """Everything but the notes."""
    return [*comparison.sessions, *comparison.total, comparison.settings]


def test_two_processes_give_what_one_gives() -> None:
    """The results come in the order of the files, however many work on them."""
    request = CompareRequest(FILES, strategies=("none", "micro"), trigger=30_000, target=15_000)
    assert figures(compare(replace(request, jobs=1))) == figures(compare(replace(request, jobs=2)))


def test_the_total_is_the_sum_of_the_sessions() -> None:
    """For every strategy, in money and in tokens."""
    result = compare(CompareRequest(FILES[:2], strategies=("none", "truncate"), trigger=30_000, target=15_000, jobs=1))
    for total in result.total:
        parts = [part for session in result.sessions for part in session.results if part.strategy == total.strategy]
        assert total.usd == sum(part.usd for part in parts)
        assert total.commits == sum(part.commits for part in parts)
        assert total.usage.prompt == sum(part.usage.prompt for part in parts)


def test_a_limit_ends_early() -> None:
    """No more sessions than asked for are read."""
    assert len(compare(CompareRequest(FILES, strategies=("none",), limit=1, jobs=1)).sessions) < len(FILES)


def test_a_trigger_and_a_target_are_honoured() -> None:
    """The lower they are, the smaller the peak; above the session's peak nothing happens."""
    peaks = []
    for trigger, target in ((25_000, 12_000), (50_000, 25_000), (150_000, 75_000)):
        (truncate,) = compare(replace(ONE, strategies=("truncate",), trigger=trigger, target=target)).total
        peaks.append((truncate.peak_prompt_tokens, -truncate.commits))
    assert peaks == sorted(peaks)
    assert peaks[0] < peaks[-1]


def test_a_share_of_the_window_is_a_trigger_too() -> None:
    """0.25 of a window of 200,000 tokens is 50,000 tokens."""
    (session,) = compare(ONE).sessions
    shared = compare(replace(ONE, trigger=0.25, target=0.1, model="claude-sonnet-4-5"))
    exact = compare(replace(ONE, trigger=50_000, target=20_000, model="claude-sonnet-4-5"))
    assert shared.total == exact.total
    assert session.turns == shared.sessions[0].turns


def test_an_hours_cache_costs_more_to_write() -> None:
    """With ``ttl="1h"`` what is written is written for an hour, and with ``5m`` for five minutes."""
    hour, minutes = (compare(replace(ONE, strategies=("none",), ttl=ttl)).total[0] for ttl in ("1h", "5m"))
    assert (hour.usage.write_5m, minutes.usage.write_1h) == (0, 0)
    assert hour.usage.write_1h > 0
    assert minutes.usage.write_5m > 0


def test_a_longer_tail_keeps_more() -> None:
    """What every strategy must leave alone bounds what it can take away."""
    short, long = (
        compare(replace(ONE, strategies=("truncate",), trigger=30_000, target=8_000, keep_tail_tokens=keep)).total[0]
        for keep in (2_000, 25_000)
    )
    assert long.usage.prompt > short.usage.prompt


def test_another_model_is_billed_at_its_own_price() -> None:
    """The prompts weigh what they would weigh there, and the recorded bill stays as it was."""
    own, other = compare(ONE), compare(replace(ONE, model="claude-haiku-4-5"))
    assert own.sessions[0].recorded == other.sessions[0].recorded
    assert other.total[0].usd < own.total[0].usd


def test_an_unknown_model_is_skipped_with_the_reason(tmp_path: Path) -> None:
    """Nobody guesses a price; the rest is compared."""
    strange = tmp_path / "strange.jsonl"
    lines = [{"model": "acme-1", "max_tokens": 9, "messages": [{"role": "user", "content": "hello there"}]}]
    strange.write_bytes(b"\n".join(map(dumps, lines)) + b"\n")
    result = compare(CompareRequest((str(strange), FILES[0]), strategies=("none",), jobs=1))
    skipped = [session for session in result.sessions if session.skipped]
    assert len(skipped) == 1
    assert "acme-1" in str(skipped[0].skipped)
    assert len(result.total) == 1


def test_what_cannot_be_used_is_an_error() -> None:
    """An unknown strategy, an unknown model to ask about."""
    with pytest.raises(UnknownStrategy):
        compare(replace(ONE, strategies=("magic",)))
    with pytest.raises(InputError):
        compare(replace(ONE, model="acme-1"))


def test_thresholds_that_do_not_fit_are_the_reason_for_skipping() -> None:
    """The sentence says what is wrong with them."""
    (session,) = compare(replace(ONE, trigger=10_000, target=20_000)).sessions
    assert "must be below the trigger" in str(session.skipped)


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_interrupted_comparison_keeps_what_is_done(jobs: int) -> None:
    """After Ctrl-C the sessions judged so far are there, marked as interrupted."""

    def progress(done: int, total: int) -> None:
        if done == 1:
            raise KeyboardInterrupt

    result = compare(CompareRequest(FILES, strategies=("none",), jobs=jobs, any=True), progress)
    assert result.interrupted
    assert 1 <= len(result.sessions) < len(FILES)
    assert len(result.total) == 1


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> CompareRequest:
    """Three sessions: one as recorded, one whose recorded reads and writes were exchanged, one without bills."""
    folder = tmp_path_factory.mktemp("mixed")
    lines = gzip.decompress(Path(FILES[2]).read_bytes())
    (folder / "a-whole.jsonl").write_bytes(lines)
    swapped = lines.replace(b'"cache_read_input_tokens"', b'"held"').replace(b'"cache_creation_input_tokens"', b'"cache_read_input_tokens"')
    swapped = swapped.replace(b'"held"', b'"cache_creation_input_tokens"').replace(b'"cache_creation":', b'"other":')
    (folder / "b-swapped.jsonl").write_bytes(swapped.replace(b'"id":"msg_', b'"id":"msg_x'))
    said = [{"role": role, "content": "the kelp holds"} for role in ("user", "assistant", "user")]
    bodies = [{"model": "claude-opus-4-6", "max_tokens": 100, "messages": said[:count]} for count in (1, 3)]
    (folder / "c-unbilled.jsonl").write_bytes(b"\n".join(map(dumps, bodies)) + b"\n")
    return CompareRequest((str(folder),), strategies=("none", "truncate"), jobs=1)


def test_what_the_cache_model_does_not_reproduce_is_not_ranked(mixed: CompareRequest) -> None:
    """A session of which too few recorded reads come out is computed and left out of the total; one without bills is in it."""
    found = compare(mixed)
    whole, swapped, unbilled = found.sessions
    assert whole.agreement is not None
    assert swapped.agreement is not None
    assert unbilled.agreement is None
    assert (whole.trusted, swapped.trusted, unbilled.trusted) == (True, False, None)
    assert whole.agreement.checked == swapped.agreement.checked > 50
    assert found.ranked == (whole, unbilled)
    assert [each.strategy for each in swapped.results] == ["none", "truncate"]
    assert found.total[0].usd == whole.results[0].usd + unbilled.results[0].usd


def test_any_ranks_all(mixed: CompareRequest) -> None:
    """With ``any`` the same sessions are judged alike, and all are in the total."""
    strict, every = compare(mixed), compare(replace(mixed, any=True))
    assert every.sessions == strict.sessions
    assert every.ranked == every.sessions
    assert every.total[0].usd == sum(session.results[0].usd for session in every.sessions)
    assert every.settings["any"] is True


def test_agreement_is_with_the_recorded_model(mixed: CompareRequest) -> None:
    """Another model to bill changes neither what was recorded nor how well it is reproduced, but whose cache is simulated."""
    found = compare(replace(mixed, model="gpt-5.4"))
    assert [each.agreement for each in found.sessions] == [each.agreement for each in compare(mixed).sessions]
    assert {each.provider for each in found.sessions} == {"openai"}


def test_the_recorded_bill_lies_in_the_range_of_the_untouched_session() -> None:
    """For every example; and the range of their sum is narrower, as a share, than that of one."""
    found = compare(CompareRequest(FILES, strategies=("none",), jobs=1, any=True))
    widths = []
    for session in found.sessions:
        interval = session.results[0].estimate.interval
        assert interval is not None
        assert session.recorded is not None
        assert interval.low <= session.recorded.usd <= interval.high
        widths.append(interval.half / session.results[0].usd)
    whole = found.total[0].estimate.interval
    assert whole is not None
    assert Decimal(0) < whole.half / found.total[0].usd < max(widths)

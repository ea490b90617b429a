"""Wrong diagnoses that their own authors later took back. Each is a class; the doctor repeats none of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from holdfast.doctor.diagnose import Diagnosis, diagnose
from holdfast.doctor.findings import Cause, Finding, Verdict
from holdfast.pricing import Prices
from holdfast.usage import Usage
from tests.incidents.bodies import Talk, assistant, prose, rounds, user
from tests.incidents.cases import Case, case_of
from tests.incidents.logs import Log
from tests.incidents.sessions import NOT_THEIRS, Session, agent
from tests.incidents.simulations import decided_before_the_request

HEAD = 9_000
HISTORY = 30_000
PROVIDERS = ("anthropic", "openai", "deepseek")


def a_case(provider: str = "anthropic") -> Case:
    """A case that states its provider only."""
    return case_of({"id": "trap", "provider": provider, "cause": "", "requests": []})


def a_session(provider: str = "anthropic", **more: Any) -> Session:
    """A conversation of some rounds whose prefix is warm."""
    case = a_case(provider)
    session = Session(case, agent(case, HEAD, HISTORY, 8), HEAD + HISTORY, **more)
    session.warm_up()
    return session


def diagnosed(log: Log) -> Diagnosis:
    """What the doctor says of a log."""
    return diagnose(log.exchanges, Prices.load())


def at(findings: Sequence[Finding], turn: int) -> Finding:
    """The one finding at a request."""
    found = [finding for finding in findings if finding.turn == turn]
    assert len(found) == 1, f"request {turn} has {len(found)} findings of {[(one.turn, one.detail) for one in findings]}"
    return found[0]


@pytest.mark.parametrize("recorded", [True, False])
def test_a_rotated_account_is_no_tool_choice(recorded: bool) -> None:
    """Reads fall to nothing beside a changed tool choice: with another account recorded it is the account, without that nobody knows."""
    case = a_case()
    accounts: tuple[dict[str, Any], ...] = ({"account": "org-x"}, {"account": "org-y"}) if recorded else ({}, {})
    session = Session(case, agent(case, HEAD, HISTORY, 8).set(tool_choice={"type": "auto"}), HEAD + HISTORY, **accounts[0])
    session.warm_up()
    session.change(session.talk.set(tool_choice={"type": "any"}), session.total)
    session.grow(400)
    place = session.send(read=0, **accounts[1])
    finding = at(diagnosed(session.log).findings, place)
    if recorded:
        assert finding.cause is Cause.ACCOUNT_OR_SCOPE_CHANGED
    else:
        assert finding.verdict in NOT_THEIRS
        assert finding.cause is not Cause.TOOL_CHOICE_CHANGED or finding.excluded


def test_an_account_that_came_back_is_no_loss() -> None:
    """Two accounts in turn: each first request of one must write, the second finds what its own account wrote."""
    session = a_session(account="org-x")
    other = session.send(read=0, account="org-y")
    session.send(account="org-x")
    session.send(account="org-y")
    assert [finding.turn for finding in diagnosed(session.log).findings] == [other]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_probe_that_came_too_soon_is_no_uncached_prompt(provider: str) -> None:
    """The same request again 1.5 seconds after the one that writes began, while that is still being answered: not readable yet."""
    case = a_case(provider)
    session = Session(case, agent(case, HEAD, 400, 1), HEAD + 400)
    session.send(took=6.0)
    probe = session.send(read=0, after=-4.5, took=2.0)
    session.send(after=5.0)
    findings = diagnosed(session.log).findings
    assert [finding.turn for finding in findings] == [probe]
    assert findings[0].cause is Cause.PARALLEL_RACE


@pytest.mark.parametrize("status", [None, 499, 529])
@pytest.mark.parametrize("whole", [False, True])
def test_an_aborted_retry_is_no_expiry(status: int | None, whole: bool) -> None:
    """A request without usage stands between, and the retry has other content: the gap is shorter than the lifetime."""
    session = a_session()
    old = session.talk
    session.grow(400)
    aborted = session.log.send(session.talk, None, after=60.0, took=30.0)
    session.log.exchanges[aborted] = replace(session.log.exchanges[aborted], response={}, status=status)
    another = (assistant("I take another way."), user("Go on."), *rounds("retry", 20_000, 6, 300))
    edited = (
        (*old.messages[:3], *another) if whole else (*old.messages[:3], assistant("I take another way."), user("Go on."), *old.messages[3:])
    )
    session.change(replace(old, messages=edited), session.total)
    place = session.send(read=HEAD, after=120.0)
    finding = at(diagnosed(session.log).findings, place)
    assert finding.cause in (Cause.MESSAGES_REWRITTEN, Cause.MESSAGE_INSERTED_BEFORE_TAIL, Cause.COMPACTION)
    assert finding.where.startswith("messages[3]")


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("read", ["all", "none", "unknown"])
def test_a_record_that_begins_late_says_nothing_of_its_first_request(provider: str, read: str) -> None:
    """The record was reset, the provider's entry lived on: what came before is not known, so nothing is lost there."""
    case = a_case(provider)
    session = Session(case, agent(case, HEAD, HISTORY, 8), HEAD + HISTORY)
    if read == "unknown":
        session.log.send(session.talk, None)
        session.cached = session.total
    else:
        session.send(read=HEAD + HISTORY - 640 if read == "all" else 0)
    session.grow(400)
    session.send()
    assert diagnosed(session.log).findings == ()


def test_a_cold_reading_does_not_make_a_cold_cache() -> None:
    """The response that told of a miss has itself written the prefix: what follows within the lifetime is warm."""
    decided_before_the_request(a_case())
    session = a_session()
    session.grow(400)
    missed = session.send(read=0, after=4_000.0)
    session.grow(400)
    session.send(after=30.0)
    findings = diagnosed(session.log).findings
    assert [(finding.turn, finding.cause) for finding in findings] == [(missed, Cause.TTL_EXPIRED)]


NOT_FOUND = {"diagnostics": {"cache_miss_reason": {"type": "previous_message_not_found"}}}


def test_a_fingerprint_not_found_is_no_lost_entry() -> None:
    """``previous_message_not_found`` beside a full read is no loss: the usage counts."""
    session = a_session()
    for _ in range(3):
        session.grow(400)
        session.send(extra=NOT_FOUND)
    assert diagnosed(session.log).findings == ()


def test_a_fingerprint_not_found_does_not_hide_the_cause() -> None:
    """Beside a changed system prompt it neither confirms nor contradicts what the bodies show."""
    session = a_session()
    session.change(replace(session.talk, system=(session.talk.system[0].replace("careful", "hasty", 1),)), session.total)
    session.grow(400)
    place = session.send(read=0, extra=NOT_FOUND)
    finding = at(diagnosed(session.log).findings, place)
    assert finding.cause is Cause.SYSTEM_CHANGED
    assert finding.agrees is None


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("large", [False, True])
def test_a_side_call_does_not_break_the_agents_lineage(provider: str, large: bool) -> None:
    """A call with another prompt runs in between: lineages are told apart by their prefix, not by their order in the file."""
    session = a_session(provider)
    case = session.case
    size = 20_000 if large else 300
    side = Talk(case.model, (), ("Name this conversation in five words.",), (user(prose("side", size)),))
    session.log.send(side, Usage(size + 40))
    session.grow(400)
    session.send()
    session.log.send(replace(side, messages=(user(prose("another side", size)),)), Usage(size + 40))
    session.grow(400)
    session.send()
    assert diagnosed(session.log).findings == ()


def test_two_agents_in_one_log_are_two_lineages() -> None:
    """Two conversations with the same head take turns: neither breaks the other."""
    case, log = a_case(), Log("anthropic")
    first = Session(case, agent(case, HEAD, HISTORY, 8), HEAD + HISTORY, log)
    other = (user(f"Another task. {prose('another', 1_500)}"), *rounds("other", HISTORY - 1_500, 8, 700))
    second = Session(case, replace(first.talk, messages=other).marked_tail(), HEAD + HISTORY, log)
    first.send()
    second.send(read=HEAD)
    for session in (first, second) * 3:
        session.grow(400)
        session.send()
    assert diagnosed(log).findings == ()


def test_rows_of_one_response_are_one_request() -> None:
    """A streamed response that was logged as several rows is one request: message ids tell."""
    session = a_session()
    session.change(replace(session.talk, system=(session.talk.system[0].replace("careful", "hasty", 1),)), session.total)
    session.send(read=0)
    once = diagnosed(session.log)
    session.log.exchanges = [replace(row, line=3 * place + copy) for place, row in enumerate(session.log.exchanges) for copy in range(3)]
    thrice = diagnosed(session.log)
    assert len(once.findings) == len(thrice.findings) == 1
    assert thrice.findings[0].tokens_rewritten == once.findings[0].tokens_rewritten
    assert (thrice.prompt_tokens, thrice.read_tokens) == (once.prompt_tokens, once.read_tokens)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_cached_tokens_are_counted_once(provider: str) -> None:
    """Inclusive and additive usage give the same prompt: no more can be lost than it holds, and no share is above 1."""
    session = a_session(provider)
    session.change(replace(session.talk, system=(session.talk.system[0].replace("careful", "hasty", 1),)), session.total)
    lost = session.send(read=0)
    result = diagnosed(session.log)
    assert at(result.findings, lost).tokens_rewritten <= session.total
    billed = [exchange.response["usage"] for exchange in session.log.exchanges]
    whole = sum(usage.get("prompt_tokens") or usage["input_tokens"] + _additive(usage) for usage in billed)
    assert result.prompt_tokens == whole
    assert 0 < (result.hit_rate or 0) < 1


def _additive(usage: dict[str, int]) -> int:
    return usage["cache_read_input_tokens"] + usage["cache_creation_input_tokens"]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_what_is_written_for_the_first_time_is_not_waste(provider: str) -> None:
    """Fresh, read and written are three things: a conversation that grows fast writes much and loses nothing."""
    session = a_session(provider)
    for _ in range(4):
        session.grow(25_000, 2)
        session.send()
    assert diagnosed(session.log).findings == ()


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("null", [False, True])
def test_a_missing_field_is_not_a_zero(provider: str, null: bool) -> None:
    """A usage that does not say how much was read, or says ``null``, is unknown, not a miss."""
    session = a_session(provider)
    for _ in range(3):
        session.grow(400)
        session.send(read=0)
    for place, exchange in enumerate(session.log.exchanges):
        usage = {key: value for key, value in exchange.response["usage"].items() if key in TOTALS}
        if null:
            usage |= dict.fromkeys(set(exchange.response["usage"]) - TOTALS)
        session.log.exchanges[place] = replace(exchange, response={**exchange.response, "usage": usage})
    assert diagnosed(session.log).findings == ()


TOTALS = {"prompt_tokens", "completion_tokens", "total_tokens", "input_tokens", "output_tokens"}
"""Fields of a usage that say nothing of a cache."""


def test_a_fix_is_not_judged_by_the_first_request_after_it() -> None:
    """A clock is moved out of the system prompt: the request that does it must write, and from the second on nothing is lost."""
    case = a_case()
    session = Session(case, agent(case, HEAD, HISTORY, 8), HEAD + HISTORY)
    plain = session.talk.system[0]
    for second in (4, 24, 44):
        session.change(replace(session.talk, system=(f"The time is 10:00:{second:02}. {plain}",)), session.total)
        session.send(read=0)
        session.grow(300)
    session.change(replace(session.talk, system=(plain,)), session.total)
    fixed = session.send(read=0)
    session.grow(300)
    session.send()
    findings = diagnosed(session.log).findings
    assert {finding.turn for finding in findings} <= {1, 2, fixed}
    assert [at(findings, turn).detail for turn in (1, 2)] == ["system_changed:timestamp"] * 2
    assert all(finding.cause is Cause.SYSTEM_CHANGED for finding in findings)
    assert Verdict.PROVIDER not in {finding.verdict for finding in findings}

"""Transcripts: what a request could have read, why it did not, and what that cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.blocks import Message
from holdfast.doctor.findings import Cause, Finding, Verdict
from holdfast.doctor.transcripts import diagnose_transcript
from holdfast.readers import Failure, Group, read_group
from holdfast.transcript import Transcript, Turn
from holdfast.usage import Usage
from tests.doctor.talks import (
    FEW,
    HEAD,
    OPUS,
    PRICES,
    TOOK,
    Talk,
    answered,
    called,
    conversation,
    message,
    result,
    said,
    text,
    thought,
    weight,
)
from tests.validation.sessions import AUTOMATIC_MODELS, MARKED_MODELS, Step, recorded, sessions

SONNET = "claude-sonnet-4-5-20250929"
GEMINI = "google/gemini-3-pro-preview"
CODEX = "gpt-5.4"
pauses = st.lists(st.floats(1.0, 290.0), min_size=1, max_size=7)


def grown(talk: Talk, gaps: Sequence[float], name: str = "m", line: str = "main") -> list[Message]:
    """A conversation that grows by a round after each pause."""
    log = conversation(1, name)
    talk.send(log, line=line)
    for number, gap in enumerate(gaps, 1):
        log = [*log, answered(f"{name}a{number}"), said(f"{name}u{number}")]
        talk.send(log, gap, line=line)
    return log


def only(talk: Talk) -> Finding:
    """The one finding there is."""
    (finding,) = talk.findings()
    return finding


def details(talk: Talk) -> list[tuple[int, str]]:
    """Where what was found."""
    return [(finding.turn, finding.detail) for finding in talk.findings()]


def usage_of(turn: Turn) -> Usage:
    """The bill of a turn that has one."""
    assert turn.usage is not None
    return turn.usage


# Properties.


@given(pauses, st.booleans(), st.sampled_from(MARKED_MODELS))
def test_growth_within_the_lifetime_has_no_finding(gaps: list[float], hour: bool, model: str) -> None:
    """What a session writes because it is new is no loss, however much it is."""
    talk = Talk(model, hour)
    grown(talk, [gap * (12 if hour else 1) for gap in gaps])
    assert talk.findings() == ()


@given(pauses, st.booleans(), st.data())
def test_one_long_pause_is_one_expiry(gaps: list[float], hour: bool, data: st.DataObject) -> None:
    """A pause beyond the lifetime loses all that was left, once, at its own price."""
    place = data.draw(st.integers(0, len(gaps) - 1))
    talk = Talk(hour=hour)
    gaps[place] = TOOK + talk.lifetime + data.draw(st.floats(0.0, 90_000.0))
    grown(talk, gaps)
    found = only(talk)
    left = usage_of(talk.turns[place]).read + usage_of(talk.turns[place]).written
    assert (found.turn, found.detail, found.verdict) == (place + 1, "ttl_expired", Verdict.YOURS)
    assert found.tokens_rewritten == left
    assert found.usd == Decimal(left) * (Decimal("9.5") if hour else Decimal("5.75")) / 1_000_000


@given(st.integers(2, 6), st.integers(1, 3), st.booleans())
def test_a_compaction_loses_what_it_keeps_and_writes_again(rounds: int, kept: int, shown: bool) -> None:
    """Of a compacted prompt the messages that were sent before and are written anew are lost; the summary never existed before."""
    talk = Talk()
    log = grown(talk, [20.0] * rounds)
    tail = log[-2 * min(kept, rounds) :] if shown else log[-2 * min(kept, rounds) + 1 :]
    talk.send([said("summary", 900), *tail], line="main/2", signs=("compacted",), read=HEAD)
    talk.send([said("summary", 900), *tail, answered("on"), said("more")], line="main/2")
    found = only(talk)
    assert (found.turn, found.cause, found.where) == (rounds + 1, Cause.COMPACTION, "messages[0]")
    assert found.tokens_rewritten == pytest.approx(weight(tail), rel=0.02)


@given(st.integers(1, 6))
def test_a_compaction_that_keeps_nothing_loses_nothing(rounds: int) -> None:
    """A summary is written because it is new: its price is no loss, and a note says so."""
    talk = Talk()
    grown(talk, [20.0] * rounds)
    talk.send([said("summary", 3000)], line="main/2", signs=("compacted",), read=HEAD)
    diagnosis = talk.diagnosis()
    assert diagnosis.findings == ()
    assert any(note.startswith("compacted; ") for note in diagnosis.notes)


@given(st.lists(st.sampled_from([10.0, 100.0, 400.0]), min_size=2, max_size=6), st.lists(st.integers(0, 6), min_size=1, max_size=3))
@settings(max_examples=40)
def test_an_unrelated_lineage_in_between_changes_nothing(gaps: list[float], places: list[int]) -> None:
    """A summariser or a sub-agent in between has a prompt of its own: what is said of the session stays the same."""
    alone, beside = Talk(), Talk()
    for talk in (alone, beside):
        grown(talk, gaps)
    for number, place in enumerate(sorted(places)):
        other = Talk(now=beside.turns[min(place, len(gaps))].at or 0.0)
        other.send([said(f"sum up {number}", 900)], 1.0, line=f"agent{number}")
        other.send([said(f"sum up {number}", 900), answered("x"), said("y")], 1.0, line=f"agent{number}")
        beside.turns += other.turns
    beside.turns.sort(key=lambda turn: turn.at or 0.0)
    ours = [replace(each, turn=0) for each in alone.findings()]
    theirs = [replace(each, turn=0) for each in beside.findings() if each.lineage == "main"]
    assert ours == theirs
    assert all(each.lineage == "main" for each in beside.findings())


@given(sessions(), st.sampled_from(MARKED_MODELS + AUTOMATIC_MODELS))
@settings(max_examples=150)
def test_no_finding_claims_more_than_was_paid(steps: list[Step], model: str) -> None:
    """Whatever a session does, no request loses more than it wrote, and the money is those tokens times what they cost more."""
    transcript = recorded([replace(step, model=model) if step.model == OPUS else step for step in steps])
    found = diagnose_transcript(transcript, PRICES).findings
    assert len({finding.turn for finding in found}) == len(found)
    for finding in found:
        turn = transcript.turns[finding.turn]
        usage = usage_of(turn)
        assert 50 < finding.tokens_rewritten <= usage.prompt - usage.read
        assert finding.usd == more(finding.tokens_rewritten, usage, turn)


def more(tokens: int, usage: Usage, turn: Turn) -> Decimal:
    """What so many tokens behind the read cost more than reading them, by the price table."""
    rates = PRICES.find(turn.model).rates(usage.prompt, turn.at)
    total = Decimal(0)
    for name in ("write_1h", "write_5m", "fresh"):
        taken = min(tokens, getattr(usage, name))
        total += taken * (rates.of(name) - rates.of("read")) / 1_000_000
        tokens -= taken
    return total


@given(sessions(), st.integers(1, 11))
@settings(max_examples=60)
def test_what_comes_later_changes_no_finding(steps: list[Step], cut: int) -> None:
    """A finding rests on what came before it."""
    whole = recorded(steps)
    part = replace(whole, turns=whole.turns[:cut])
    assert diagnose_transcript(part, PRICES).findings == tuple(f for f in diagnose_transcript(whole, PRICES).findings if f.turn < cut)


# What others took back.


def test_a_gap_shorter_than_the_lifetime_is_no_expiry() -> None:
    """Four minutes of five, a request without usage in between: nothing expired, and that request is named as not ruled out."""
    talk = Talk()
    log = grown(talk, [20.0, 20.0])
    talk.unbilled([*log, answered("a"), said("broken off")], 30.0)
    talk.send([*log, answered("a"), said("again")], 210.0, read=HEAD)
    found = only(talk)
    assert (found.detail, found.verdict) == ("head_only_collapse", Verdict.UNKNOWN)
    assert any("lifetime: 4 min idle of 5 min" in line for line in found.excluded)
    assert any("1 requests without usage in between" in line for line in found.excluded)


def test_a_retry_with_other_content_is_a_rewrite() -> None:
    """Within the lifetime, behind an aborted request, with other bytes: the bytes changed."""
    talk = Talk()
    log = grown(talk, [20.0] * 4)
    other = [log[0], answered("edited"), *log[2:]]
    talk.unbilled(log, 60.0)
    talk.send([*other, answered("a"), said("b")], 60.0, line="main/2", read=HEAD)
    found = only(talk)
    assert (found.detail, found.where) == ("messages_rewritten", "messages[1].content[0].text")
    # The entry at the first message's end was left by the first request; it and what stands behind the edit could have been read.
    assert found.tokens_rewritten == pytest.approx(weight([log[0], *log[2:]]), rel=0.02)


@pytest.mark.parametrize("read", [0, 60_000])
def test_a_record_that_begins_in_the_middle_says_nothing_of_its_first_request(read: int) -> None:
    """A tracker that was reset knows nothing: its first request is no miss, whatever it read."""
    talk = Talk()
    log = conversation(4)
    talk.send(log, read=read, total=61_000)
    talk.send([*log, answered("a"), said("b")])
    assert talk.findings() == ()


def test_a_side_branch_in_between_is_not_the_line_itself() -> None:
    """A branch of the same conversation comes in between with a shorter prompt: the main line goes on as it was."""
    talk = Talk()
    log = grown(talk, [20.0] * 4)
    talk.send([*log[:3], answered("side"), said("side")], 5.0, line="main/2")
    talk.send([*log, answered("a"), said("b")], 5.0)
    assert talk.findings() == ()


def test_no_usage_is_not_a_read_of_nothing() -> None:
    """Requests whose usage was not recorded are not checked and lose nothing."""
    talk = Talk()
    grown(talk, [400.0, 400.0])
    talk.turns = [replace(turn, usage=None) for turn in talk.turns]
    diagnosis = talk.diagnosis()
    assert (diagnosis.findings, diagnosis.checked, diagnosis.prompt_tokens, diagnosis.hit_rate) == ((), 0, 0, None)


def test_the_first_request_after_a_change_is_charged_and_no_other() -> None:
    """Pruned results are written anew once, with all behind the last entry before them; what follows reads them."""
    talk = Talk()
    log = [
        said("ask"),
        answered("plan", 900),
        said("go"),
        called("c1"),
        result("c1"),
        called("c2"),
        result("c2"),
        called("c3"),
        result("c3"),
    ]
    for end in (1, 5, 7, 9):
        talk.send(log[:end])
    pruned = [*log[:4], result("c1", "[Old tool result content cleared]"), *log[5:], called("c4"), result("c4")]
    talk.send(pruned, line="main/2", signs=("old tool results cleared",))
    talk.send([*pruned, called("c5"), result("c5")], line="main/2")
    found = only(talk)
    assert (found.turn, found.detail, found.where) == (4, "messages_rewritten:own_pruning", "messages[4].content[0].content")
    assert found.tokens_rewritten == pytest.approx(weight(log[1:4]) + weight(log[5:]), abs=2 * FEW)


def test_a_probe_right_after_the_write_is_the_provider_s() -> None:
    """Exactly an earlier entry is read two seconds after the newest write: it could not be read yet."""
    talk = Talk()
    log = grown(talk, [20.0, 20.0])
    older = usage_of(talk.turns[1])
    talk.send([*log, answered("a"), said("b")], 2.0, read=older.read + older.written)
    found = only(talk)
    assert (found.cause, found.detail, found.verdict) == (Cause.PARALLEL_RACE, "write_not_yet_visible", Verdict.PROVIDER)
    assert found.tokens_rewritten == usage_of(talk.turns[2]).written


# Causes.


def test_a_user_who_goes_back_loses_nothing() -> None:
    """From an earlier point the prompt is another one: all that it shares is read, and what was said since is not part of it."""
    talk = Talk()
    log = grown(talk, [20.0] * 5)
    talk.send([*log[:5], answered("other"), said("other way")], line="main/2")
    talk.send([*log[:5], answered("other"), said("other way"), answered("x"), said("y")], line="main/2")
    assert talk.findings() == ()


def test_a_history_that_was_lost_is_charged_once_although_it_is_rewound() -> None:
    """Entries that a request did not find are gone: going back to one of them is no second loss."""
    talk = Talk()
    log = grown(talk, [20.0] * 4)
    talk.send([*log, answered("a"), said("b")], read=HEAD)
    talk.send([*log[:5], answered("other"), said("other way")], line="main/2", read=HEAD)
    assert details(talk) == [(5, "head_only_collapse")]


@pytest.mark.parametrize("opening", [text("plan", 2000), f"{text('mu0')} and more"])
def test_another_conversation_in_the_same_session_is_no_rewrite(opening: str) -> None:
    """A session that is cleared and begins anew reads its head: nothing of the new prompt was sent before, even if it begins alike."""
    talk = Talk()
    grown(talk, [20.0] * 3)
    talk.send([message("user", opening)], line="main/2", read=HEAD)
    assert talk.findings() == ()


def test_a_branch_whose_beginning_was_not_found_is_no_rewrite() -> None:
    """A user who goes back shares an entry; where that is not found, its bytes are the same all the same."""
    talk = Talk()
    log = grown(talk, [20.0] * 5)
    talk.send([*log[:7], answered("other"), said("other way")], line="main/2", read=HEAD)
    found = only(talk)
    assert (found.detail, found.where, found.tokens_rewritten) == ("head_only_collapse", "", weight(log[:7]) - FEW)


def test_a_line_that_takes_up_what_a_branch_was_sent() -> None:
    """What another branch was sent could have been read by whoever goes on from there."""
    talk = Talk()
    log = grown(talk, [20.0, 20.0])
    branch = [*log, answered("x", 900), said("y", 900)]
    talk.send(branch, line="main/2")
    talk.send([*branch, answered("z"), said("w")], read=HEAD + weight(log) - FEW)
    assert only(talk).tokens_rewritten == weight(branch) - weight(log)


def test_a_user_who_breaks_a_call_off_may_have_restarted_the_client() -> None:
    """Words behind the results of a broken-off call are a user's turn as well."""
    talk = Talk()
    log = grown(talk, [20.0, 20.0])
    talk.send([*log, called("c"), result("c")], read=HEAD, signs=("interrupted",))
    assert any("the client may have been restarted" in line for line in only(talk).excluded)


def test_a_switch_of_model_writes_all_again() -> None:
    """Caches are apart by model; back on the first one only what the other was sent in between is written again."""
    talk = Talk()
    log = grown(talk, [20.0, 20.0])
    between, after = [answered("a"), said("b")], [answered("c"), said("d")]
    talk.send([*log, *between], model=SONNET)
    talk.send([*log, *between, *after])
    there, back = talk.findings()
    assert [(found.turn, found.detail, found.where) for found in (there, back)] == [
        (3, "model_changed", "model"),
        (4, "model_changed", "model"),
    ]
    assert there.diff is not None
    assert (there.diff.before, there.diff.after) == (OPUS, SONNET)
    assert there.tokens_rewritten == HEAD + weight(log) - FEW
    assert back.tokens_rewritten == pytest.approx(weight(between), abs=2 * FEW)


def test_a_deferred_tool_is_named_with_its_message() -> None:
    """The first result that refers to a deferred tool changes the tools, which stand first."""
    talk = Talk()
    log = [*grown(talk, [20.0, 20.0]), called("t"), result("t", [{"type": "tool_reference", "tool_name": "Look"}])]
    talk.send(log, read=HEAD)
    found = only(talk)
    assert (found.detail, found.where) == ("tools_changed:deferred_tool_loaded", "messages[6]")


def test_many_blocks_at_once_are_not_ruled_out() -> None:
    """Behind more blocks than a mark looks back over, that is named beside what was ruled out."""
    talk = Talk()
    log = grown(talk, [20.0, 20.0])
    results = [called(f"c{number}") for number in range(11)] + [result(f"c{number}") for number in range(11)]
    talk.send([*log, *results], read=HEAD)
    found = only(talk)
    assert found.detail == "head_only_collapse"
    assert any("22 blocks" in line for line in found.excluded)


def test_thinking_that_was_switched_is_doubted() -> None:
    """The client notes what it was asked only, and that is said."""
    talk = Talk()
    log = grown(talk, [20.0, 20.0])
    talk.send([*log, answered("a"), said("b")], read=HEAD, signs=("thinking on",))
    found = only(talk)
    assert (found.detail, found.where, len(found.excluded)) == ("thinking_changed", "thinking", 1)
    assert "'not asked for' became 'asked for'" in found.fix


@pytest.mark.parametrize(("signs", "detail"), [((), "system_changed:client_version"), (("resumed",), "messages_rewritten:resumed")])
def test_another_build_of_the_client_goes_on(signs: tuple[str, ...], detail: str) -> None:
    """A loss where another version of the client took over names both versions."""
    talk = Talk()
    log = grown(talk, [20.0, 20.0])
    talk.send([*log, answered("a"), said("b")], read=HEAD, signs=signs)
    talk.turns[-1] = replace(talk.turns[-1], signs=("client 2.2.0", *signs))
    found = only(talk)
    assert found.detail == detail
    assert found.diff is not None
    assert (found.diff.before, found.diff.after) == ("client 2.1.60", "client 2.2.0")


def test_a_prompt_that_shrank_without_a_record_of_it() -> None:
    """The conversation grew and the bill shrank: the history was rewritten, nobody knows where, and only what is new is no loss."""
    talk = Talk()
    log = grown(talk, [20.0] * 5)
    new = [answered("a"), said("b")]
    before = usage_of(talk.turns[-1])
    talk.send([*log, *new], read=HEAD, total=before.prompt - 1000)
    found = only(talk)
    assert (found.detail, found.where) == ("messages_rewritten", "")
    assert found.tokens_rewritten == before.prompt - 1000 - weight(new) - HEAD


@pytest.mark.parametrize(("user", "detail"), [(True, "thinking_stripped_by_template"), (False, "messages_rewritten")])
def test_thinking_is_stripped_at_a_user_s_message_only(user: bool, detail: str) -> None:
    """A model whose template drops earlier thinking shrinks the prompt at a user's words; within a tool loop that is no explanation."""
    talk = Talk(SONNET)
    log = [said("ask", 900), thought("t1", 900)]
    talk.send(log[:1])
    for number in range(4):
        log += [said(f"u{number}"), thought(f"t{number}", 900)] if user else [called(f"c{number}"), result(f"c{number}")]
        talk.send(log)
    log = [*log, answered("a"), said("b")] if user else [*log, called("z"), result("z")]
    before = usage_of(talk.turns[-1])
    talk.send(log, read=HEAD, total=before.prompt - 500)
    assert only(talk).detail == detail


# Caches without marks.


def automatic(model: str, reads: Sequence[tuple[int, int, float]]) -> Talk:
    """Requests to a cache without marks: prompt, read, and seconds since the one before; each has a user's words more."""
    talk = Talk(model, step=1, form="mini-swe-agent")
    log = conversation(1)
    for number, (total, read, pause) in enumerate(reads):
        log = log if not number else [*log, answered(f"a{number}"), said(f"u{number}")]
        talk.send(log, pause, read=read, total=total)
    return talk


def test_a_block_less_than_the_whole_is_no_loss() -> None:
    """Gemini reads in blocks of 2,048 tokens, and a block less is common: nobody lost anything."""
    reads = [(20_000, 0, 9.0), (21_000, 18_432, 9.0), (22_000, 18_432, 9.0), (23_000, 20_480, 9.0), (24_000, 20_480, 9.0)]
    assert automatic(GEMINI, reads).findings() == ()


def test_an_automatic_cache_that_missed() -> None:
    """Nothing read is lost up to where a hit may end, by nobody's fault, at the price of fresh tokens."""
    reads = [(20_000, 0, 9.0), (21_000, 18_432, 9.0), (22_000, 0, 9.0), (23_000, 20_480, 9.0)]
    found = only(automatic(GEMINI, reads))
    assert (found.turn, found.detail, found.verdict) == (2, "best_effort_implicit", Verdict.PROVIDER)
    assert 18_432 <= found.tokens_rewritten <= 20_480
    assert found.usd == found.tokens_rewritten * Decimal("1.8") / 1_000_000


def test_another_count_of_the_same_prompt_is_no_rewrite() -> None:
    """Two routes to one model count differently: a smaller total of a grown conversation shows nothing in a cache without marks."""
    reads = [(20_000, 0, 9.0), (24_000, 18_432, 9.0), (23_400, 12_288, 9.0)]
    assert only(automatic(GEMINI, reads)).detail == "best_effort_implicit"


@pytest.mark.parametrize(("pause", "detail"), [(30.0, "best_effort_implicit"), (900.0, "ttl_expired"), (90_000.0, "ttl_expired")])
def test_an_unused_prompt_at_openai(pause: float, detail: str) -> None:
    """Such entries are documented to live 5 to 10 minutes unused: before that it is the provider's, after it the pause."""
    reads = [(20_000, 0, 9.0), (21_000, 19_968, 9.0), (22_000, 3_456, pause)]
    assert only(automatic(CODEX, reads)).detail == detail


def reasoned(first: int, second: int, third: int) -> tuple[Talk, int]:
    """A Codex round with reasoning and, a quarter of an hour later, a user's next words; and how many tokens were new at the end.

    The prompts weigh ``first``, ``second`` and ``third`` tokens; the last reads up to the reasoning, which its template drops.
    """
    talk = Talk(CODEX, step=1, form="codex")
    log = [said("ask"), thought("t"), called("c"), result("c")]
    talk.send(log[:1], read=0, total=first)
    talk.send(log, 9.0, read=first // 128 * 128, total=second)
    new = [answered("done"), said("next")]
    talk.send([*log, *new], 900.0, read=(first - 51) // 128 * 128, total=third)
    return talk, weight(new, CODEX)


def test_dropped_reasoning_is_no_expiry() -> None:
    """What was read up to the place where reasoning was dropped had not expired; lost is what still stands behind that place."""
    talk, new = reasoned(20_000, 25_000, 25_200)
    found = only(talk)
    assert (found.detail, found.verdict) == ("thinking_stripped_by_template", Verdict.PROVIDER)
    assert found.tokens_rewritten == 25_200 - new - 19_840


def test_dropped_reasoning_within_two_units_is_no_loss() -> None:
    """Both ends of such a loss are known to a unit of 512 tokens only."""
    talk, new = reasoned(20_000, 20_700, 20_500 + weight([answered("done"), said("next")], CODEX))
    assert new
    assert talk.findings() == ()


@pytest.mark.parametrize("model", ["gpt-5.5", "gpt-5.6"])
def test_later_models_keep_prompts_longer(model: str) -> None:
    """Half an hour is no reason where a day is documented, or no longest time at all."""
    reads = [(20_000, 0, 9.0), (21_000, 19_840, 9.0), (22_000, 3_456, 2000.0)]
    assert only(automatic(model, reads)).detail == "best_effort_implicit"


# Real transcripts.


def read(*paths: Path) -> list[Transcript]:
    """The sessions of files that belong together."""
    return [item for item in read_group(Group(tuple(paths), 0)) if not isinstance(item, Failure)]


@pytest.mark.parametrize(
    ("name", "dearest"),
    [
        (
            "entireio-git-sync/1e0a84da-d36b-4e8a-925c-b32310479358",
            [(121, "ttl_expired", 266_926), (116, "head_only_collapse", 253_081), (5, "tools_changed:deferred_tool_loaded", 51_317)],
        ),
        (
            "entireio-git-sync/f82fa48e-a8dd-42c8-a49a-7193b101bbf5",
            [(227, "ttl_expired", 384_428), (226, "ttl_expired", 374_926), (190, "ttl_expired", 305_107)],
        ),
        (
            "entireio-cli/7505c804-ef06-4be0-a866-480597e6bbc1",
            [(79, "thinking_changed", 102_999), (57, "thinking_changed", 90_239), (45, "thinking_changed", 82_206)],
        ),
        ("entireio-cli/d64b50bb-125b-4b54-867a-e59841e553d8", [(28, "ttl_expired", 50_381), (21, "ttl_expired", 47_188)]),
    ],
)
def test_claude_code_sessions_read_by_hand(corpus: Path, name: str, dearest: list[tuple[int, str, int]]) -> None:
    """The dearest findings are those that the lines of the file show; a conversation that was cleared shows none."""
    (transcript,) = read(corpus / "claude-code" / f"{name}.jsonl.gz")
    found = sorted(diagnose_transcript(transcript, PRICES).findings, key=lambda each: -(each.usd or 0))
    assert [(each.turn, each.detail, each.tokens_rewritten) for each in found[:3]] == dearest
    assert all(each.usd == more(each.tokens_rewritten, usage_of(turn), turn) for each in found for turn in [transcript.turns[each.turn]])


def test_codex_reads_up_to_the_thinking_that_was_dropped(corpus: Path) -> None:
    """A user's message at 14 minutes' distance read exactly up to the dropped reasoning: nothing had expired."""
    (transcript,) = read(corpus / "codex/entireio-git-sync/019d7739-95cb-79e3-9de4-3cbe15400b87.jsonl.gz")
    found = {each.turn: each for each in diagnose_transcript(transcript, PRICES).findings}
    assert (found[76].detail, found[76].verdict) == ("thinking_stripped_by_template", Verdict.PROVIDER)
    assert found[159].detail == "best_effort_implicit"

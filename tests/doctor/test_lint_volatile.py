"""Volatile content: what is found before the newest turn, and what is content and is let pass."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from holdfast.doctor.lint import Advice, Severity, lint
from holdfast.doctor.lint_patterns import sightings
from holdfast.pricing import Prices

PRICES = Prices.load()
LABELS = ("current", "session", "time", "is", "now", "date", "request", "turn", "of", "tokens", "left", "id:", "example", "e.g.")
MARKS = ("the", "```", "(see)", "/tmp/", "https://a.b/c", "-", "\n")
WORDS = st.lists(st.sampled_from(LABELS + MARKS), min_size=1, max_size=40)
PROSE = WORDS.map(" ".join)
MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - the bounds are naive by contract


def body(system: Any, *messages: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """An Anthropic body of a model that is not listed, so that nothing is said of sizes."""
    return {"model": "claude-next", "system": system, "messages": [*messages, {"role": "user", "content": "Go on."}], **changes}


def volatile(made: dict[str, Any]) -> list[Advice]:
    """The advice on volatile content."""
    return [advice for advice in lint(made, PRICES) if advice.code.startswith("volatile")]


def span(advice: Advice) -> tuple[int, int]:
    """The characters that an advice points at."""
    match = re.search(r" characters (\d+)-(\d+)$", advice.where)
    assert match is not None
    return int(match[1]), int(match[2])


@given(st.text(st.characters(exclude_categories=("Nd", "Cs"))))
def test_a_text_without_digits_is_never_volatile(text: str) -> None:
    """Whatever else stands in it."""
    tool = {"name": "t", "description": text, "input_schema": {"type": "object", "properties": {"p": {"description": text}}}}
    assert volatile(body(text, {"role": "user", "content": text}, {"role": "assistant", "content": text}, tools=[tool])) == []


@given(PROSE)
def test_the_words_around_a_number_alone_are_never_volatile(text: str) -> None:
    """Labels without a value give no advice."""
    assert volatile(body(text)) == []


@given(PROSE, MOMENTS, st.sampled_from(["seconds", "minutes", "milliseconds"]), st.booleans(), st.data())
def test_a_time_stamp_anywhere_in_the_system_prompt_gives_one_advice_that_covers_it(
    text: str, moment: datetime, precision: str, zulu: bool, data: st.DataObject
) -> None:
    """Inside words, fences, examples and URLs too."""
    stamp = moment.isoformat(timespec=precision)
    stamp = stamp.replace("+00:00", "Z") if zulu else stamp
    at = data.draw(st.integers(0, len(text)))
    (advice,) = volatile(body([{"type": "text", "text": text[:at] + stamp + text[at:]}]))
    start, stop = span(advice)
    assert advice.code == "volatile_timestamp"
    assert advice.where.startswith("system[0] ")
    assert start <= at
    assert stop >= at + len(stamp)


@given(st.uuids(version=4), st.sampled_from(["Session id: {}", "request_id={}", "<conversation-id>{}</conversation-id>"]))
def test_an_id_of_a_session_is_likely_volatile(drawn: UUID, form: str) -> None:
    """By the word before it."""
    assert [advice.severity for advice in volatile(body(form.format(drawn)))] == [Severity.LIKELY]


@given(st.uuids(version=4))
def test_an_id_is_shown_by_its_beginning_only(drawn: UUID) -> None:
    """It may be a secret."""
    (advice,) = volatile(body(f"Session id: {drawn}"))
    assert str(drawn)[:8] in advice.what
    assert str(drawn)[:12] not in advice.what


LIKELY = """
15:09:20 You are a home assistant.
The current time is 2024-05-15 15:00:00 EST.
Current date and time: Friday, April 10, 2026 at 3:04 PM
[2026-11-22 21:04] system ready
Time now: Sun Nov 22 21:04:03 UTC 2026
Current datetime: 20261122T210403Z
Current time: 21:04
session id 4f3a9c2be81d77aa
trace 5bf92f3577b34da6a3ce929d0e0e4736
request_id=req_011CcaGs24UqTfYHgDWn7trH
https://claude.ai/code/session_01HxYz7KqPmN3vRtW8bC2dEf
This is request #17.
Turn 12 of 50
[current turn: 7]
tokens left: 84211
You have 84,211 tokens remaining.
<system_warning>Token usage: 45000/200000; 155000 remaining</system_warning>
System time: 2026-05-01T10:11:12.123456+00:00
Timestamp: 2026-07-20 10:11:12 UTC
It is 3:07:42 PM
Thu, 6/25/2026, 3:07:42 PM
当前时间: 2026年5月1日 10:11:12
You have used 3 of 10 searches
Cost so far: $1.23
tokens_remaining: 84211
Context left: 37%
37% of context remaining
Budget remaining: $3.21
You have 12 turns left.
working directory /tmp/tmpab12cd
cwd: /tmp/pytest-of-jo/pytest-12/x
cwd /var/folders/gz/h7sjhvz13cb0gcrzzcncqtyw0000gn/T/tmp8xk2l9f0
PID 48213
timestamp: 1763845443
now=1763845443123
"""

POSSIBLE = """
Today's date is April 10, 2026.
<current_date>2026-04-10</current_date>
Today is 10 April 2026
Current date: Saturday, 22 November 2026
the date is 22.11.2026
Conversation turn: 12
It is 9:41 PM in Berlin.
Request 17
server at http://localhost:54321/mcp
ULID 01ARZ3NDEKTSV4RRFFQ69G5FAV
nonce: aB3dE5fG7hJ9kL1mN3pQ5r
A log line looks like this, for example: 2024-01-15T10:30:00Z
"""

CONTENT = """
Use claude-haiku-4-5-20251001 by default, or us.anthropic.claude-sonnet-4-5-20250929-v1:0.
gpt-4.1-2025-04-14
anthropic-version: 2023-06-01
See https://docs.x.com/2026-08-21/caching.html
beta header context-management-2025-06-27, tool text_editor_20250728
Knowledge cutoff: 2024-06-01
Your knowledge cutoff is June 1, 2024.
Version 1.2.3 released 2024-05-06
commit 8aab09c1d2e3f4a5b6c7d8e9f0a1b2c3d4e5f6a7
sha256:446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d
Dates must be ISO 8601, e.g. 2024-01-15.
Opening hours 9:00-17:00, aspect ratio 16:9, John 3:16
Step 1: read the file. Step 2: edit it.
Turn 1: the user asks. Turn 2: you answer.
Keep answers under 500 tokens, at most 10 tool calls.
When less than 20% of the context is left, stop.
Stop if fewer than 1000 tokens remain, or with > 90% of context used.
listen on localhost:8080, write to /tmp/output.txt
writable: /tmp, /var/folders/gz/h7sjhvz13cb0gcrzzcncqtyw0000gn/T
See request 2, and then request 3.
HTTP 404, request 2 times, retry up to 3 attempts
id 123e4567-e89b-12d3-a456-426614174000
![logo](https://github.com/user-attachments/assets/4caeb77e-48c0-4cf7-b14d-c53ded855ffd)
max_tokens: 8192, context window: 200000 tokens
test_user_input_validation_with_long_name_2
Copyright (c) 2024-2026, 555-1234567, ABC-12345, #1763845443
"""


@pytest.mark.parametrize("line", LIKELY.strip().splitlines())
def test_what_is_said_to_be_of_this_moment_or_run_is_likely(line: str) -> None:
    """One sighting of each line."""
    assert [found.severity for found in sightings(line)] == [Severity.LIKELY]


@pytest.mark.parametrize("line", POSSIBLE.strip().splitlines())
def test_what_may_be_content_or_changes_daily_is_possible(line: str) -> None:
    """One sighting of each line."""
    assert [found.severity for found in sightings(line)] == [Severity.POSSIBLE]


@pytest.mark.parametrize("line", CONTENT.strip().splitlines())
def test_content_with_digits_is_let_pass(line: str) -> None:
    """Versions, model names, limits, hashes, examples and opening hours."""
    assert sightings(line) == ()


def test_constants_of_a_schema_are_let_pass() -> None:
    """Examples, defaults and enumerations; the same value in a description is found where it claims to be of now."""
    stamp = "2026-05-01T10:11:12Z"
    schema = {"type": "object", "properties": {"at": {"type": "string", "examples": [stamp], "default": stamp, "enum": [stamp]}}}
    assert volatile(body("Be brief.", tools=[{"name": "t", "description": "Does it.", "input_schema": schema}])) == []
    (advice,) = volatile(body("Be brief.", tools=[{"name": "t", "description": f"It is now {stamp}.", "input_schema": schema}]))
    assert advice.where == "tools[0].description characters 10-30"


def test_the_newest_turn_may_say_the_time() -> None:
    """It is where the time belongs."""
    now = {"role": "user", "content": "Current time: 2026-05-01T10:11:12Z. Go on."}
    assert volatile({**body("Be brief."), "messages": [now]}) == []


def test_an_earlier_message_that_says_the_time_is_a_hint() -> None:
    """If it is rendered anew it breaks the history; time stamps in results of tools and without such words are its content."""
    said = {"role": "user", "content": "Current time: 2026-05-01T10:11:12Z"}
    answer = {"role": "assistant", "content": "It is 2026-05-01T10:11:12Z."}
    result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "Current time: 2026-05-01T10:11:12Z"}]}
    (advice,) = volatile(body("Be brief.", said, answer, result, answer))
    assert (advice.severity, advice.where) == (Severity.POSSIBLE, "messages[0].content characters 14-34")
    assert volatile(body("Be brief.", {"role": "user", "content": "It failed at 2026-05-01T10:11:12Z"}, answer)) == []


def test_what_users_paste_is_let_pass() -> None:
    """A long text behind the first message, and an id in any of them, is what the user speaks of."""
    answer = {"role": "assistant", "content": "Yes."}
    pasted = [{"role": "user", "content": text} for text in ("Current time: 10:11:12\n" * 200, "session id 4f3a9c2be81d77aa")]
    assert volatile(body("Be brief.", {"role": "user", "content": "Hi"}, answer, pasted[0], answer, pasted[1], answer)) == []
    assert len(volatile(body("Be brief.", pasted[1], answer))) == 1


def test_a_time_in_every_message_was_kept_as_it_was_sent() -> None:
    """A program that renders the time anew would not leave the old ones standing."""
    turns = [
        turn
        for hour in (10, 11)
        for turn in ({"role": "user", "content": f"Current time: {hour}:05"}, {"role": "assistant", "content": "Yes."})
    ]
    assert volatile(body("Be brief.", *turns)) == []


@given(st.integers(0, 60))
def test_at_stake_is_what_stands_behind(words: int) -> None:
    """The later the clock stands in the prompt, the less is lost by it."""
    assume(words < 60)
    filler = "Read the file with care. "
    early, late = (
        volatile(body(filler * count + "Current time: 10:11:12. " + filler * (60 - count)))[0].tokens for count in (words, words + 1)
    )
    assert 0 <= late <= early


def test_what_stands_before_is_not_at_stake() -> None:
    """A clock in the last block of the system prompt loses only what follows it."""
    long = {"type": "text", "text": "Read the file with care. " * 100}
    (advice,) = volatile(body([long, {"type": "text", "text": "Current time: 10:11:12"}]))
    assert advice.tokens < 50


def test_a_mark_on_a_volatile_prefix_is_written_and_never_read() -> None:
    """Only where the clock stands at or before the mark."""
    clock = {"type": "text", "text": "Current time: 2026-05-01T10:11:12Z"}
    stable = {"type": "text", "text": "Be brief."}
    mark = {"cache_control": {"type": "ephemeral"}}
    behind = lint(body([clock, {**stable, **mark}]), PRICES)
    before = lint(body([{**stable, **mark}, clock]), PRICES)
    assert {advice.code for advice in behind} == {"volatile_timestamp", "mark_on_volatile", "unknown_model"}
    assert {advice.code for advice in before} == {"volatile_timestamp", "unknown_model"}


def test_many_of_a_kind_in_one_block_are_one_advice() -> None:
    """It says how many more there are."""
    (advice,) = volatile(body("\n".join(f"[2026-05-{day:02} 10:11:12] event" for day in range(1, 11))))
    assert "(and 9 more)" in advice.what


def test_an_account_in_the_metadata_is_no_part_of_the_prompt() -> None:
    """``metadata.user_id`` may be anything."""
    assert volatile(body("Be brief.", metadata={"user_id": "session 019d7739-95cb-79e3-9de4-3cbe15400b87"})) == []

"""Records that cannot be true: each is named, and none keeps the rest from being read."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.readers import read, read_all
from holdfast.readers.faults import Faults, faults, usage_of
from holdfast.readers.request_log import exchanges
from holdfast.transcript import Transcript
from holdfast.usage import Usage
from tests.cli.runner import run
from tests.test_usage import OBJECTS

Row = dict[str, Any]
DAY = 86_400
NOON = 1_795_348_800  # 2026-11-22T12:00Z

ADDITIVE = {"input_tokens": 3, "cache_read_input_tokens": 100, "cache_creation_input_tokens": 20, "output_tokens": 7}
CHAT = {"prompt_tokens": 120, "prompt_tokens_details": {"cached_tokens": 100}, "completion_tokens": 7}
RESPONSES = {"input_tokens": 120, "input_tokens_details": {"cached_tokens": 100}, "output_tokens": 7}
DEEPSEEK = {"prompt_tokens": 120, "prompt_cache_hit_tokens": 64, "prompt_cache_miss_tokens": 56, "completion_tokens": 7}


def call(*words: str, at: float | None = NOON, usage: Any = ADDITIVE, **more: Any) -> Row:
    """A request to Claude in which user and assistant said these words in turn, with its answer and bill."""
    messages = [{"role": "assistant" if index % 2 else "user", "content": word} for index, word in enumerate(words)]
    response = {"type": "message", "id": f"msg_{'_'.join(words)}", "content": [{"type": "text", "text": "…"}], "usage": usage}
    times = {} if at is None else {"at": at, "ended": at + 1}
    body = {"model": "claude-sonnet-4-5", "system": "Be brief.", "messages": messages}
    return {"request": body, "response": response, **times, **more}


def chat(word: str, model: str, usage: Mapping[str, Any], at: float = NOON) -> Row:
    """A request in OpenAI's chat form."""
    body = {"model": model, "messages": [{"role": "user", "content": word}]}
    answer = {"id": f"gen-{word}", "choices": [{"message": {"role": "assistant", "content": "…"}}], "usage": usage}
    return {"request": body, "response": answer, "at": at, "ended": at + 1}


def talk(*calls: Row) -> list[Row]:
    """These calls behind a sound one."""
    return [call("a"), *calls]


def without(usage: Mapping[str, Any], *names: str) -> Row:
    """A usage that lacks these counts."""
    return {name: count for name, count in usage.items() if name not in names}


def saved(folder: Path, rows: list[Row]) -> Path:
    """The rows as a file."""
    path = folder / "log.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def transcripts(rows: list[Row]) -> list[Transcript]:
    """What the rows are read as, through the public function."""
    with tempfile.TemporaryDirectory() as folder:
        return read(saved(Path(folder), rows))


def told(found: list[Transcript]) -> str:
    """Everything the transcripts say beside their turns."""
    return "\n".join([*(note for each in found for note in each.notes), *(skip.why for each in found for skip in each.skipped)])


CANNOT_BE: dict[str, tuple[str, Mapping[str, Any], str]] = {
    "negative": ("anthropic", {**ADDITIVE, "cache_read_input_tokens": -1}, "cache_read_input_tokens is negative"),
    "fraction": ("anthropic", {**ADDITIVE, "input_tokens": 2.5}, "input_tokens is no whole number"),
    "text": ("anthropic", {**ADDITIVE, "input_tokens": "3"}, "input_tokens is no whole number"),
    "endless": ("anthropic", {**ADDITIVE, "output_tokens": 10**15}, "output_tokens is more than any model takes"),
    "null": ("anthropic", {**ADDITIVE, "cache_read_input_tokens": None}, "cache_read_input_tokens is missing"),
    "no writes": ("anthropic", without(ADDITIVE, "cache_creation_input_tokens"), "cache_creation_input_tokens is missing"),
    "no cache": ("anthropic", {"input_tokens": 3, "output_tokens": 7}, "cache_read_input_tokens is missing"),
    "no output": ("anthropic", without(ADDITIVE, "output_tokens"), "output_tokens is missing"),
    "lifetimes": (
        "anthropic",
        {**ADDITIVE, "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 20}},
        "the writes by lifetime do not add up to cache_creation_input_tokens",
    ),
    "a step": (
        "anthropic",
        {**ADDITIVE, "iterations": [ADDITIVE, {**ADDITIVE, "input_tokens": -3}]},
        "input_tokens is negative",
    ),
    "read": ("openai-chat", {**CHAT, "prompt_tokens": 99}, "more is read from the cache than the prompt has"),
    "read and written": (
        "openai-responses",
        {**RESPONSES, "input_tokens_details": {"cached_tokens": 100, "cache_write_tokens": 21}},
        "more is read and written than the prompt has",
    ),
    "no details": ("openai-chat", without(CHAT, "prompt_tokens_details"), "cached_tokens is missing"),
    "half days": (
        "openai-responses",
        {
            **RESPONSES,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 5, "cache_write_tokens_details": {"ttl_30m_tokens": 4}},
        },
        "the writes by lifetime do not add up to cache_write_tokens",
    ),
    "hit and miss": ("openai-chat", {**DEEPSEEK, "prompt_cache_miss_tokens": 57}, "hits and misses do not add up to prompt_tokens"),
    "gateway": (
        "anthropic",
        {"prompt_tokens": 10, "completion_tokens": 1, "cache_read_input_tokens": 11},
        "more is read from the cache than the prompt has",
    ),
    "pi": ("", {"input": 1, "cacheRead": -2, "cacheWrite": 0, "output": 1}, "cacheRead is negative"),
}


@pytest.mark.parametrize("name", CANNOT_BE)
def test_what_cannot_be_is_said(name: str) -> None:
    """Each contradiction in a usage has its own words."""
    dialect, raw, why = CANNOT_BE[name]
    assert why in faults(raw, dialect)


@pytest.mark.parametrize(
    ("dialect", "raw"),
    [
        ("anthropic", ADDITIVE),
        ("anthropic", {**ADDITIVE, "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 0}}),
        ("anthropic", CHAT),
        ("openai-chat", CHAT),
        ("openai-chat", DEEPSEEK),
        ("openai-chat", {"prompt_tokens": 10, "completion_tokens": 1, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 6}),
        ("openai-responses", RESPONSES),
        ("openai-responses", {"input_tokens": 120, "cached_input_tokens": 100, "output_tokens": 7}),
        ("", {**ADDITIVE, "iterations": []}),
    ],
)
def test_what_providers_send_is_sound(dialect: str, raw: Mapping[str, Any]) -> None:
    """The usages of all conventions have no fault, and each is read in its own: none of them reads more than it has."""
    assert faults(raw, dialect) == ()
    usage = usage_of(raw, dialect)
    assert usage is not None
    assert usage.read + usage.written > 0


@given(OBJECTS, st.sampled_from(["", "anthropic", "openai-chat", "openai-responses"]))
def test_any_object_may_stand_for_a_usage(raw: Row, dialect: str) -> None:
    """Faults are found and counts read without an error; what has no fault is read as it stands, whole and not negative."""
    found = faults(raw, dialect)
    usage = usage_of(raw, dialect)
    if usage is not None:
        assert min(usage.as_dict().values()) >= 0
    billed = Faults().billed(raw, "L1", dialect)
    assert billed == (None if found else usage)


def test_each_kind_is_named_once_with_its_number_and_place() -> None:
    """Two calls with the same fault are one note that says how many they are and where the first stands; their usage is not used."""
    negative = {**ADDITIVE, "input_tokens": -3}
    found = transcripts(talk(call("a", "b", "c", usage=negative, at=NOON + 1), call("a", "b", "c", "d", "e", usage=negative, at=NOON + 2)))
    assert [turn.usage for turn in found[0].turns] == [Usage(fresh=3, read=100, write_5m=20, output=7), None, None]
    assert [note for note in found[0].notes if note.startswith("Usage")] == [
        "Usage not taken for a bill: input_tokens is negative, on 2 calls (first at L2)."
    ]


BAD: dict[str, tuple[list[Row], list[str], int]] = {
    "usage that cannot be": (
        talk(call("a", "b", "c", at=NOON + 1, usage={**ADDITIVE, "cache_read_input_tokens": -5})),
        ["cache_read_input_tokens is negative, on 1 call (first at L2)"],
        2,
    ),
    "usage that is none": (talk(call("a", "b", "c", at=NOON + 1, usage="a lot")), ["it is no object, on 1 call (first at L2)"], 2),
    "read more than the prompt": (
        [chat("x", "gpt-5.5", {**CHAT, "prompt_tokens": 50})],
        ["more is read from the cache than the prompt has, on 1 call (first at L1)"],
        1,
    ),
    "missing counts": (
        talk(call("a", "b", "c", at=NOON + 1, usage={"input_tokens": 3, "output_tokens": 7})),
        ["cache_read_input_tokens is missing", "cache_creation_input_tokens is missing"],
        2,
    ),
    "a body without usage": (
        talk({"request": call("a", "b", "c")["request"], "at": NOON + 1}),
        ["The bill is not recorded for 1 of 2 requests: they have no usage."],
        2,
    ),
    "usage without a body": (
        talk({"response": {"usage": ADDITIVE}, "at": NOON + 1}, {"usage": ADDITIVE, "model": "claude-sonnet-4-5", "at": NOON + 2}),
        ["usage without a body", "Usage without a request's body, which is no turn: 2 of them."],
        1,
    ),
    "several providers": (
        talk(chat("x", "gpt-5.5", CHAT), chat("y", "deepseek-chat", DEEPSEEK)),
        [
            "Several providers or dialects in one file, each a transcript of its own: "
            "anthropic as anthropic 1, openai as openai-chat 1, deepseek as openai-chat 1."
        ],
        3,
    ),
    "two sessions interleaved": (
        [call("a"), call("x", at=NOON + 1), call("a", "b", "c", at=NOON + 2), call("x", "y", "z", at=NOON + 3)],
        ["2 conversations in one log, interleaved, told apart by how they begin."],
        4,
    ),
    "two named sessions": (
        [call("a", session="s-1"), call("a", "b", "c", at=NOON + 2, session="s-2")],
        ["2 conversations in one log, told apart by their names."],
        2,
    ),
    "a clock that goes back": (
        talk(call("a", "b", "c", at=NOON - 3600)),
        ["The clock runs backwards: 1 call starts before the one it continues (first at msg_a_b_c)."],
        2,
    ),
    "a clock that leaps": (
        talk(call("a", "b", "c", at=NOON + 400 * DAY)),
        ["The clock leaps: 1 call starts over a month after the one it continues (first at msg_a_b_c)."],
        2,
    ),
    "an end before the start": (
        talk(call("a", "b", "c", at=NOON + 9, ended=NOON + 5)),
        ["The end of a response lies before its start, and is not used: 1 call (first at msg_a_b_c)."],
        2,
    ),
    "a start that is missing": (
        talk(call("a", "b", "c", at=None)),
        ["The start of some requests is not recorded: 1 call (first at msg_a_b_c)."],
        2,
    ),
    "an end that is missing": (
        talk({**without(call("a", "b", "c"), "ended"), "at": NOON + 9}),
        ["The end is not recorded for 1 of 2 responses."],
        2,
    ),
    "a time that is none": (
        talk(call("a", "b", "c", at=float("nan")), call("a", "b", "c", "d", "e", at=1e300)),
        ["The start of some requests is not recorded: 2 calls (first at msg_a_b_c)."],
        3,
    ),
    "rows of one response": (
        talk(*(call("a", "b", "c", at=NOON + 1, usage={**ADDITIVE, "output_tokens": output}) for output in (1, 40, 90))),
        ["4 rows are 2 requests: rows of one response are counted once."],
        2,
    ),
    "a failed attempt": (
        talk({**call("a", "b", "c", at=NOON + 1, usage=None), "status": 429}, call("a", "b", "c", at=NOON + 2)),
        ["the request failed"],
        2,
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named_and_the_rest_is_read(name: str) -> None:
    """Each kind is told of in a note or among what was skipped, and every other call is a turn."""
    rows, sentences, turns = BAD[name]
    found = transcripts(rows)
    assert sum(len(transcript.turns) for transcript in found) == turns
    for sentence in sentences:
        assert sentence in told(found)


def test_an_end_before_its_start_is_not_used() -> None:
    """The times of the other calls, and the start of that one, stay as they are recorded."""
    (transcript,) = transcripts(BAD["an end before the start"][0])
    assert [(turn.at, turn.ended) for turn in transcript.turns] == [(NOON, NOON + 1), (NOON + 9, None)]


def test_sound_logs_have_nothing_said_of_them() -> None:
    """A log in which every call has its sound usage and times, and grows one conversation, has no notes."""
    assert told(transcripts(talk(call("a", "b", "c", at=NOON + 5)))) == ""


@pytest.mark.parametrize("name", BAD)
def test_compare_names_it_and_goes_on(name: str, tmp_path: Path) -> None:
    """``holdfast compare`` prints the same below its table, and ends well."""
    rows, sentences, _ = BAD[name]
    code, text, _ = run("compare", str(saved(tmp_path, rows)), "--strategy", "none", "--jobs", "1")
    assert code == 0
    flat = " ".join(text.split()).lower()
    for sentence in sentences:
        assert sentence.rstrip(".").lower() in flat


def test_bills_alone_are_exchanges_and_no_session_to_compare(tmp_path: Path) -> None:
    """A file of bills is read: every bill is an exchange with its usage, the transcript has no turns, and ``compare`` says so."""
    bills: list[Row] = [
        {"response": {"usage": ADDITIVE, "model": "claude-sonnet-4-5"}, "at": NOON},
        {"usage": ADDITIVE, "model": "claude-sonnet-4-5", "at": NOON + 1, "account": "team-1"},
        {"request": {"model": "claude-sonnet-4-5"}, "response": {"usage": ADDITIVE}, "at": NOON + 2},
    ]
    path = saved(tmp_path, bills)
    (transcript,) = read_all([path])
    assert isinstance(transcript, Transcript)
    assert (transcript.turns, transcript.dialect, len(transcript.skipped)) == ((), "anthropic", 3)
    found = exchanges(path)
    assert [exchange.response["usage"] for exchange in found] == [ADDITIVE] * 3
    assert [(exchange.body, exchange.model, exchange.at) for exchange in found] == [({}, "claude-sonnet-4-5", NOON + n) for n in range(3)]
    assert found[1].account == "account=team-1"
    code, text, err = run("compare", str(path), "--strategy", "none", "--jobs", "1")
    assert code == 1
    assert "no request to a model in it" in text + err


def test_the_streams_last_row_is_the_bill() -> None:
    """Of the rows of one response the counts are the largest, the contents are all there, and the call has the first's start."""
    rows = [call("a", at=NOON + index) for index in range(3)]
    for index, row in enumerate(rows):
        row["response"] = {
            **row["response"],
            "usage": {**ADDITIVE, "output_tokens": 10 * index},
            "content": [{"type": "text", "text": str(index)}],
        }
    (transcript,) = transcripts(rows)
    (turn,) = transcript.turns
    assert turn.usage == Usage(fresh=3, read=100, write_5m=20, output=20)
    assert turn.answer is not None
    assert [block.text for block in turn.answer.blocks] == ["0", "1", "2"]
    assert (turn.at, turn.ended) == (NOON, NOON + 3)


def test_one_id_for_unlike_requests_does_not_lose_any() -> None:
    """Calls that share an id and not the request stay apart, and are named: some proxies give every response the same id."""
    rows = [call("a"), call("a", "b", "c", at=NOON + 1)]
    for row in rows:
        row["response"]["id"] = "msg_same"
    (transcript,) = transcripts(rows)
    assert len(transcript.turns) == 2
    assert "Requests that have the response id of an unlike one, counted apart: 1." in transcript.notes


FIELDS = st.sampled_from(
    ["at", "ended", "timestamp", "provider", "status", "session", "account", "key", "url", "headers", "usage", "response"]
)
PARTS = st.sampled_from(["id", "type", "content", "choices", "output", "usage", "error", "model", "status", "headers", "body"])
SHAPES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(PARTS | st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=60)
@given(st.dictionaries(FIELDS, SHAPES, max_size=4), st.dictionaries(PARTS, SHAPES, max_size=4))
def test_whatever_a_log_says_the_sound_call_beside_it_is_read(outer: Row, inner: Row) -> None:
    """A row with any JSON in any field of envelope and response is a turn, or is skipped; the row before it is read as ever."""
    strange = call("x", at=NOON + 1)
    strange = {**strange, "response": {**strange["response"], **inner}, **outer}
    with tempfile.TemporaryDirectory() as folder:
        path = saved(Path(folder), [call("a"), strange])
        found = [turn for transcript in read(path) for turn in transcript.turns]
        assert len(exchanges(path)) == 2
    (sound,) = (turn for turn in found if turn.request == "msg_a")
    assert (sound.usage, sound.at) == (Usage(fresh=3, read=100, write_5m=20, output=7), NOON)
    assert len(found) in (1, 2)

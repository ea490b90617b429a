"""Request logs: envelopes, bare bodies, and the lineages of interleaved conversations."""

from __future__ import annotations

import json
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast.blocks import Mark, Window
from holdfast.errors import Unreadable
from holdfast.readers import request_log
from holdfast.readers.sample import take
from holdfast.transcript import Dialect, Transcript
from holdfast.usage import Usage
from holdfast.wire import of
from tests.wire.bodies import any_body

Body = dict[str, Any]


def save(folder: Path, *rows: Any) -> Path:
    """One row a line; strings as they are."""
    path = folder / "log"
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def read(*rows: Any) -> list[Transcript]:
    """The transcripts of a log of these rows."""
    with tempfile.TemporaryDirectory() as folder:
        return request_log.read(save(Path(folder), *rows))


def asked(*words: str, **more: Any) -> Body:
    """A body in which user and assistant said these words in turn."""
    messages = [{"role": "assistant" if index % 2 else "user", "content": word} for index, word in enumerate(words)]
    return {"model": "claude-sonnet-4-5", "system": "Be brief.", "messages": messages, **more}


def tool(dialect: Dialect, name: str) -> Body:
    """A tool definition in a dialect's form."""
    if dialect == "openai-chat":
        return {"type": "function", "function": {"name": name}}
    return {"name": name, "input_schema": {}} if dialect == "anthropic" else {"type": "function", "name": name}


@st.composite
def logs(draw: st.DrawFn) -> tuple[Dialect, list[Body]]:
    """Bodies of conversations that grow, stay, lose their end and change their head, all mixed."""
    dialect, first = draw(any_body().filter(lambda made: isinstance(made[1].get("messages", made[1].get("input")), list)))
    key = of(dialect).messages_key
    known = [first]
    for _ in range(draw(st.integers(0, 6))):
        body = draw(st.sampled_from(known))
        step = draw(st.sampled_from(["grow", "grow", "again", "cut", "tools"]))
        items = list(body[key])
        if step == "grow":
            items += [{"role": "user", "content": word} for word in draw(st.lists(st.sampled_from("abc"), min_size=1, max_size=3))]
        elif step == "cut" and items:
            items = items[: draw(st.integers(0, len(items) - 1))]
        body = {**body, key: items}
        if step == "tools":
            body = {**body, "tools": [tool(dialect, draw(st.sampled_from("xy")))]}
        known.append(body)
    return dialect, known


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(logs())
def test_every_body_comes_back_in_a_lineage_that_only_grows(made: tuple[Dialect, list[Body]]) -> None:
    """Each turn's prompt writes the body it was read from; within a lineage head and log are one and prompts grow."""
    dialect, bodies = made
    wire = of(dialect)
    provider = "anthropic" if dialect == "anthropic" else "openai"
    usable = [body for body in bodies if wire.history(body)]
    if not usable:
        return
    found = [turn for transcript in read(*({"request": body, "provider": provider} for body in bodies)) for turn in transcript.turns]
    assert len(found) == len(usable)
    last: dict[str, tuple[Any, Window]] = {}
    for body, turn in zip(usable, found, strict=True):
        assert json.dumps(of(dialect).write(body, turn.prompt, wire.read_marks(body))) == json.dumps(body)
        assert isinstance(turn.prompt.messages, Window)
        head, window = last.setdefault(turn.lineage, (turn.prompt.head, turn.prompt.messages))
        assert head == turn.prompt.head
        assert window.log is turn.prompt.messages.log
        assert window.stop <= turn.prompt.messages.stop
        last[turn.lineage] = (head, turn.prompt.messages)


def lineages(*bodies: Body) -> list[str]:
    """The lineage of each body's turn."""
    return [turn.lineage for transcript in read(*({"request": body} for body in bodies)) for turn in transcript.turns]


def test_interleaved_conversations_are_told_apart() -> None:
    """A body continues the lineage all of whose messages it begins with; a retry stays in it; another head is another lineage."""
    found = lineages(
        asked("a"),
        asked("x"),
        asked("a", "b", "c"),
        asked("x", "y", "z"),
        asked("a", "b", "c"),
        asked("a", "b", "c", system="Be long."),
    )
    assert found == ["line-1", "line-2", "line-1", "line-2", "line-1", "line-3"]


def test_a_lineage_that_can_go_on_is_preferred() -> None:
    """Where several share equally much, the one that the body continues takes it, however old it is."""
    found = lineages(*(asked(*words) for words in ("abc", "a", "ab", "aq")))
    assert found == ["line-1", "line-2", "line-3", "line-2"]


def test_a_fork_shares_the_messages_before_it() -> None:
    """A body that diverges begins a lineage with the same objects, and the first goes on undisturbed."""
    (transcript,) = read(*({"request": asked(*words)} for words in ("abc", "abX", "abcde", "abXYZ")))
    first, fork, longer, fork_longer = transcript.turns
    assert [turn.lineage for turn in transcript.turns] == ["line-1", "line-2", "line-1", "line-2"]
    assert fork.prompt.messages[1] is first.prompt.messages[1]
    assert fork.prompt.messages[2] is not first.prompt.messages[2]
    assert len(first.prompt.messages) == 3
    assert [block.text for message in longer.prompt.messages for block in message.blocks] == list("abcde")
    assert [block.text for message in fork_longer.prompt.messages for block in message.blocks] == list("abXYZ")


def test_marks_that_move_do_not_break_a_lineage() -> None:
    """The caller's marks are read with each prompt; the messages under them stay the same."""

    def marked(text: str) -> Body:
        return {"role": "user", "content": [{"type": "text", "text": text, "cache_control": {"type": "ephemeral"}}]}

    plain = {"role": "user", "content": [{"type": "text", "text": "a"}]}
    (transcript,) = read(
        {"request": {"model": "claude-x", "system": "s", "messages": [marked("a")]}},
        {"request": {"model": "claude-x", "system": "s", "messages": [plain, marked("b")]}},
    )
    assert {turn.lineage for turn in transcript.turns} == {"line-1"}
    assert [turn.prompt.marks for turn in transcript.turns] == [(Mark(1, 300),), (Mark(2, 300),)]


def test_what_only_python_takes_for_equal_is_not() -> None:
    """Reordered keys are other bytes, and a string is the same as the one part that it becomes under a mark."""
    one = {"role": "user", "content": [{"type": "text", "text": "a"}]}
    turned = {"role": "user", "content": [{"text": "a", "type": "text"}]}
    string = {"role": "user", "content": "a"}
    found = lineages(
        *({"model": "claude-x", "system": "s", "messages": [first, *asked("b")["messages"]]} for first in (one, turned, string))
    )
    assert found == ["line-1", "line-2", "line-1"]


def test_an_envelope_says_what_was_answered_billed_and_when() -> None:
    """Anthropic's additive usage, both forms of time, the response's id and content."""
    response = {
        "type": "message",
        "id": "msg_1",
        "content": [{"type": "text", "text": "Ho"}],
        "usage": {"input_tokens": 3, "cache_read_input_tokens": 100, "cache_creation_input_tokens": 20, "output_tokens": 7},
    }
    (transcript,) = read({"request": asked("Hi"), "response": response, "at": "2026-11-22T00:00:10Z", "ended": 1795305612.5})
    (turn,) = transcript.turns
    assert (turn.at, turn.ended, turn.request) == (1795305610.0, 1795305612.5, "msg_1")
    assert turn.usage == Usage(fresh=3, read=100, write_5m=20, output=7)
    assert turn.answer is not None
    assert turn.answer.blocks[0].text == "Ho"


def test_each_api_is_a_transcript_of_its_own() -> None:
    """Chat and Responses bodies are recognised by themselves or by their response; OpenRouter's cost is a charge."""
    chat = {
        "request": {"body": {"model": "google/gemini-3-pro", "messages": [{"role": "user", "content": "Hi"}]}},
        "response": {
            "body": {
                "id": "gen-1",
                "choices": [{"message": {"role": "assistant", "content": "Ho"}}],
                "usage": {"prompt_tokens": 10, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 4}, "cost": 0.004596},
            }
        },
        "timestamp": 1,
    }
    responses = {
        "request": json.dumps({"model": "gpt-5.5", "input": "Hi"}),
        "response": {
            "id": "resp_1",
            "output": [
                {"type": "reasoning", "summary": []},
                {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Ho"}]},
            ],
            "usage": {"input_tokens": 10, "input_tokens_details": {"cached_tokens": 4}, "output_tokens": 2},
        },
    }
    found = {transcript.dialect: transcript.turns[0] for transcript in read(chat, responses, {"request": asked("Hi")})}
    assert set(found) == {"openai-chat", "openai-responses", "anthropic"}
    for dialect in ("openai-chat", "openai-responses"):
        turn = found[dialect]
        assert turn.usage == Usage(fresh=6, read=4, output=2)
        assert turn.answer is not None
        assert [block.text for block in turn.answer.blocks][-1] == "Ho"
    assert found["openai-chat"].charged == Decimal("0.004596")
    assert found["openai-chat"].at == 1.0


def test_turns_are_in_the_order_of_their_start() -> None:
    """A log written as calls end is put in the order in which they began, unless that would turn a lineage around."""
    (transcript,) = read({"request": asked("b"), "at": 20}, {"request": asked("a"), "at": 10})
    assert [turn.at for turn in transcript.turns] == [10.0, 20.0]
    (transcript,) = read({"request": asked("a"), "at": 20}, {"request": asked("a", "b", "c"), "at": 10})
    assert [turn.at for turn in transcript.turns] == [20.0, 10.0]


def test_mistakes_are_counted() -> None:
    """Broken JSON, other objects, empty and malformed bodies and failed requests are named by line; the rest is read."""
    rows = [
        {"request": asked("Hi")},
        '{"request": {',
        {"weather": "fair"},
        {"request": asked()},
        {"request": {**asked("Hi"), "messages": [7]}},
        {"request": asked("Hi"), "response": {"error": {"type": "overloaded_error"}}},
        {"request": {"body": "not json"}},
    ]
    (transcript,) = read(*rows)
    assert len(transcript.turns) == 1
    assert [skip.line for skip in transcript.skipped] == [2, 3, 4, 5, 6, 7]
    with tempfile.TemporaryDirectory() as folder, pytest.raises(Unreadable):
        request_log.read(save(Path(folder), *rows), strict=True)
    with pytest.raises(Unreadable):
        read({"weather": "fair"})


def test_it_knows_its_own(tmp_path: Path, corpus: Path) -> None:
    """Envelopes, several bare bodies and a single Responses body are logs; a single body with messages and ended conversations are not."""
    bare = asked("Hi")
    ended = asked("Hi", "Ho")
    responses = {"model": "gpt-5.5", "input": "Hi"}
    for rows in ([{"request": bare}], [bare, bare], [responses], [{"request": bare}, {"request": bare}, {"x": 1}]):
        assert request_log.sniff(take(save(tmp_path, *rows)))
    for rows in ([bare], [ended, ended], [{"messages": ended["messages"]}], [{"x": 1}]):
        assert not request_log.sniff(take(save(tmp_path, *rows)))
    assert not any(request_log.sniff(take(path)) for path in [*corpus.glob("codex/*/*.gz"), *corpus.glob("pi/*/*.gz")])

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
    logged = any_body().filter(lambda made: made[0] != "bedrock-converse")
    dialect, first = draw(logged.filter(lambda made: isinstance(made[1].get("messages", made[1].get("input")), list)))
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


@st.composite
def growths(draw: st.DrawFn, name: str = "start", start: float = 1e9) -> list[Body]:
    """The envelopes of a conversation that grows, forks and repeats its newest requests, in the order of their times."""
    known, leaves, rows = [[name]], [0], []
    for step in range(draw(st.integers(1, 7))):
        if step and draw(st.booleans()):
            place = draw(st.sampled_from(leaves))  # a retry
        elif step:
            parent = draw(st.integers(0, len(known) - 1))
            words = [*known[parent], *draw(st.lists(st.sampled_from("abc"), min_size=2, max_size=2))]
            if words in known:
                continue
            known.append(words)
            place = len(known) - 1
            leaves = [*(leaf for leaf in leaves if leaf != parent), place]
        else:
            place = 0
        usage = {"input_tokens": step, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0, "output_tokens": 1}
        at = start + 10 * step
        response = {"id": f"msg_{name}_{step}", "type": "message", "content": [{"type": "text", "text": "…"}], "usage": usage}
        rows.append({"request": asked(*known[place]), "response": response, "at": at, "ended": at + draw(st.integers(1, 40))})
    return rows


def turns(rows: list[Body]) -> tuple[Any, ...]:
    """The turns of the one transcript of a log."""
    (transcript,) = read(*rows)
    return transcript.turns


def grown(rows: list[Body]) -> set[tuple[Any, ...]]:
    """The lineages of a log, without their names: which calls with which prompts, in order."""
    found: dict[str, list[Any]] = {}
    for turn in turns(rows):
        words = tuple(block.text for message in turn.prompt.messages for block in message.blocks)
        found.setdefault(turn.lineage, []).append((turn.request, words))
    return {tuple(calls) for calls in found.values()}


@settings(max_examples=60)
@given(growths(), st.randoms(use_true_random=False))
def test_the_order_of_the_lines_does_not_matter(rows: list[Body], random: Any) -> None:
    """Where every call has its time, a log whose lines are shuffled gives the same turns in the same lineages."""
    shuffled = list(rows)
    random.shuffle(shuffled)
    assert turns(shuffled) == turns(rows)


@settings(max_examples=60)
@given(growths("one"), growths("two", 1e9 + 3), st.randoms(use_true_random=False))
def test_interleaving_changes_no_lineage(one: list[Body], two: list[Body], random: Any) -> None:
    """Two logs in one file, however mixed, have the lineages that each has alone."""
    both = [*one, *two]
    random.shuffle(both)
    assert grown(both) == grown(one) | grown(two)


def test_answers_that_came_out_of_order_are_sorted_by_their_start() -> None:
    """Two calls at the same time, logged as they ended, are no fault: the one that began first comes first, and nothing is said of it."""

    def answered(word: str, at: float, ended: float) -> Body:
        usage = {"input_tokens": 1, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0, "output_tokens": 1}
        return {"request": asked("start", "b", word), "response": {"id": word, "usage": usage}, "at": at, "ended": ended}

    (transcript,) = read(answered("quick", 12, 13), answered("slow", 10, 20))
    assert [turn.request for turn in transcript.turns] == ["slow", "quick"]
    assert transcript.notes == ()


def test_a_request_that_no_api_takes_leaves_nothing_behind() -> None:
    """A body whose later messages are malformed is skipped, and the conversation goes on as if it had not been there."""
    broken = {**asked("a", "b", "c"), "messages": [*asked("a", "b", "c")["messages"], 7]}
    (transcript,) = read(*({"request": body} for body in (asked("a"), broken, asked("a", "b", "c"))))
    assert [turn.lineage for turn in transcript.turns] == ["line-1", "line-1"]
    assert [skip.line for skip in transcript.skipped] == [2]


def test_exchanges_hold_everything_that_a_log_says(tmp_path: Path) -> None:
    """Body, response, times, provider, endpoint, account, session, status, line and harmless headers; failed calls too."""
    failed = {"request": asked("Hi"), "response": {"error": {"type": "overloaded_error"}}, "status": 529, "at": 5}
    full = {
        "request": {
            "url": "https://api.anthropic.com/v1/messages",
            "headers": {"X-Api-Key": "sk-ant-a-long-secret-key", "Anthropic-Beta": "fast"},
            "body": asked("Hi"),
        },
        "response": {"status": 200, "headers": {"anthropic-organization-id": ["org-7"]}, "body": {"id": "msg_1", "model": "claude-x"}},
        "session_id": "s-1",
        "timestamp": "2026-11-22T00:00:10Z",
        "ended": 1795305612500,
    }
    one, other = request_log.exchanges(save(tmp_path, failed, full, "not json"))
    assert (one.failed, one.status, one.at, one.line, one.provider) == (True, 529, 5.0, 1, "anthropic")
    assert other.body == asked("Hi")
    assert other.response == {"id": "msg_1", "model": "claude-x"}
    assert (other.at, other.ended, other.status, other.line) == (1795305610.0, 1795305612.5, 200, 2)
    assert (other.provider, other.endpoint, other.session) == ("anthropic", "https://api.anthropic.com/v1/messages", "s-1")
    assert other.headers == {"anthropic-beta": "fast"}
    assert other.account.startswith("organization=org-7, key=")
    assert "secret" not in other.account


@pytest.mark.parametrize("name", ["account", "organization", "org", "workspace", "project", "key", "route"])
def test_accounts_are_told_apart(name: str, tmp_path: Path) -> None:
    """Whatever field names the account, two of them are not the same, and one is the same each time; long keys are not shown."""
    values = ("sk-one-long-secret-value", "sk-two-long-secret-value", "sk-one-long-secret-value")
    found = [each.account for each in request_log.exchanges(save(tmp_path, *({"request": asked("Hi"), name: value} for value in values)))]
    assert found[0] == found[2] != found[1]
    assert (values[0] in found[0]) == (name != "key")


@pytest.mark.parametrize(
    ("envelope", "model", "provider"),
    [
        ({}, "claude-opus-4-5", "anthropic"),
        ({}, "gpt-5.5", "openai"),
        ({}, "o3", "openai"),
        ({}, "google/gemini-3-pro", "google"),
        ({}, "deepseek-chat", "deepseek"),
        ({}, "grok-4.6", "xai"),
        ({}, "home-made", ""),
        ({"provider": "Bedrock"}, "claude-opus-4-5", "bedrock"),
        ({"provider": "openrouter"}, "anthropic/claude-opus-4-5", "anthropic"),
        ({"provider": "openrouter"}, "home-made", "openrouter"),
        ({"url": "https://x.openai.azure.com/openai"}, "gpt-5.5", "azure"),
    ],
)
def test_the_provider_is_whose_cache_it_was(envelope: Body, model: str, provider: str, tmp_path: Path) -> None:
    """What the envelope names, the host, or the maker of the model, which for a gateway goes first."""
    (found,) = request_log.exchanges(save(tmp_path, {**envelope, "request": asked("Hi", model=model)}))
    assert found.provider == provider

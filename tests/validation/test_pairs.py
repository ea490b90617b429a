"""Recorded calls against the cache machines: hits, boundaries, and the rule that accounts for what differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.exchange import Exchange
from holdfast.readers.cassette import exchanges
from holdfast.validation.pairs import Pair, check_cassette, check_cassettes, check_exchanges
from holdfast.validation.pairs_bills import bill_of
from holdfast.validation.pairs_rules import Rule

LONG = "a rule of the house. " * 400
MARK = {"type": "ephemeral"}


def anthropic(fresh: int, read: int = 0, write: int = 0, **more: Any) -> dict[str, Any]:
    """A response of Anthropic's with this bill."""
    usage = {"input_tokens": fresh, "cache_read_input_tokens": read, "cache_creation_input_tokens": write, "output_tokens": 20}
    return {"type": "message", "content": [{"type": "text", "text": "yes"}], "usage": usage, **more}


def openai(prompt: int, read: int = 0, output: int = 20, **more: Any) -> dict[str, Any]:
    """A response of Chat Completions with this bill."""
    usage = {"prompt_tokens": prompt, "prompt_tokens_details": {"cached_tokens": read}, "completion_tokens": output}
    return {"choices": [{"message": {"role": "assistant", "content": "yes"}}], "usage": usage, **more}


def claude(messages: Sequence[Mapping[str, Any]], response: Mapping[str, Any], **more: Any) -> Exchange:
    """A call with a marked system prompt."""
    keys = {key: more.pop(key) for key in ("at", "provider", "endpoint") if key in more}
    system = [{"type": "text", "text": LONG, "cache_control": MARK}]
    body = {"model": "claude-sonnet-4-5", "system": system, "messages": list(messages), **more}
    return replace(Exchange(body, response, provider="anthropic", endpoint="v1/messages"), **keys)


def chat(messages: Sequence[str], response: Mapping[str, Any], **more: Any) -> Exchange:
    """A call of an automatic cache; the user and the assistant take turns."""
    keys = {key: more.pop(key) for key in ("at", "provider") if key in more}
    roles = ("user", "assistant")
    body = {"model": "gpt-4o", "messages": [{"role": roles[n % 2], "content": text} for n, text in enumerate(messages)], **more}
    return replace(Exchange(body, response, provider="openai", endpoint="v1/chat/completions"), **keys)


def user(text: str) -> dict[str, Any]:
    """A message with one text."""
    return {"role": "user", "content": text}


def last(*calls: Exchange) -> Pair:
    """The pair of the last of these calls."""
    return check_exchanges("tape", calls)[-1]


FIRST = claude([user("hi")], anthropic(10, write=2000))


@given(st.integers(1, 2100), st.integers(0, 100), st.integers(0, 100))
def test_a_prediction_sees_nothing_of_its_own_bill_but_the_total(read: int, write: int, output: int) -> None:
    """However the prompt of the last call was split into fresh, read and written, the prediction for it is the same."""
    total = 2300
    one = last(FIRST, claude([user("ho")], anthropic(total)))
    other = anthropic(total - read - write, read, write)
    other["usage"]["output_tokens"] = output
    two = last(FIRST, claude([user("ho")], other))
    assert (one.predicted_read, one.boundary_predicted) == (two.predicted_read, two.boundary_predicted) == (2000, "system[0]")
    assert two.agrees == (read == 2000)
    assert bool(two.broken_rule) != two.agrees


@given(st.lists(st.tuples(st.text("ab", min_size=1, max_size=3), st.integers(0, 4000)), min_size=1, max_size=6), st.data())
def test_a_prediction_is_the_same_when_the_recording_ends_there(calls: list[tuple[str, int]], data: st.DataObject) -> None:
    """What was recorded later has no part in what is said of a call."""
    found = [claude([user(text)], anthropic(5000 - read, read)) for text, read in calls]
    count = data.draw(st.integers(1, len(found)))
    assert check_exchanges("tape", found[:count]) == check_exchanges("tape", found)[:count]


def test_the_boundary_of_a_hit_is_named_and_weighed_by_the_earlier_bill() -> None:
    """The second call reads what the first was billed for writing, up to the marked system prompt."""
    pair = last(FIRST, claude([user("ho")], anthropic(12, read=2000)))
    assert (pair.predicted_read, pair.boundary_predicted, pair.boundary_recorded) == (2000, "system[0]", "system[0]")
    assert (pair.hit_predicted, pair.hit_recorded, pair.agrees, pair.broken_rule) == (True, True, True, "")


def test_a_growing_conversation_is_hit_at_its_last_mark() -> None:
    """The mark moves with the newest message, as a list for a content that was a string before and after."""
    marked = {"role": "user", "content": [{"type": "text", "text": "one", "cache_control": MARK}]}
    later = [user("one"), {"role": "assistant", "content": "yes"}, {"role": "user", "content": [{**marked["content"][0], "text": "two"}]}]  # type: ignore[dict-item]
    pair = last(claude([marked], anthropic(3, write=2007)), claude(later, anthropic(3, read=2007, write=30)))
    assert (pair.agrees, pair.boundary_predicted) == (True, "messages[0]")


def test_one_mark_for_the_whole_request_stands_on_the_last_block() -> None:
    """A ``cache_control`` beside the messages is the automatic mark."""
    first = Exchange(
        {"model": "claude-sonnet-4-5", "cache_control": MARK, "messages": [user(LONG)]}, anthropic(3, write=2000), provider="anthropic"
    )
    body = {**first.body, "messages": [user(LONG), {"role": "assistant", "content": "yes"}, user("more")]}
    pair = last(first, replace(first, body=body, response=anthropic(3, read=2000, write=40)))
    assert (pair.agrees, pair.boundary_predicted) == (True, "messages[0]")


def test_a_gateways_marks_are_read_in_chat_messages() -> None:
    """OpenRouter's ``cache_control`` for a Claude model stands in the parts of chat messages."""

    def call(question: str, response: Mapping[str, Any]) -> Exchange:
        parts = [{"type": "text", "text": LONG, "cache_control": MARK}]
        body = {"model": "anthropic/claude-sonnet-4.6", "messages": [{"role": "system", "content": parts}, user(question)]}
        return Exchange(body, response, provider="anthropic", endpoint="api/v1/chat/completions")

    pair = last(call("a", openai(2010, provider="Anthropic")), call("b", openai(2010, 2000, provider="Anthropic")))
    assert (pair.hit_predicted, pair.boundary_predicted) == (True, "system[0]")
    lost = [call("a", openai(2010, provider="Anthropic")), call("b", openai(2010, 0, provider="Amazon Bedrock"))]
    assert last(*lost).broken_rule == Rule.ROUTED_ELSEWHERE


def test_a_cache_point_marks_the_block_before_it() -> None:
    """In Bedrock Converse the point stands behind what it marks; what follows may change."""

    def call(question: str, read: int, write: int) -> Exchange:
        body = {
            "model": "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "system": [{"text": LONG}, {"cachePoint": {"type": "default"}}],
            "messages": [{"role": "user", "content": [{"text": question}]}],
        }
        usage = {"inputTokens": 5, "cacheReadInputTokens": read, "cacheWriteInputTokens": write, "outputTokens": 1}
        return Exchange(body, {"usage": usage}, provider="bedrock", endpoint="model/x/converse")

    pair = last(call("a", 0, 2000), call("b", 2000, 0))
    assert (pair.agrees, pair.boundary_predicted, pair.recorded_read) == (True, "system[0]", 2000)


def test_an_explicit_cache_is_read_whole() -> None:
    """A Gemini request that names a cache made before reads just that."""
    made = Exchange(
        {"model": "models/g", "contents": []},
        {"name": "cachedContents/1", "usageMetadata": {"totalTokenCount": 3512}},
        endpoint="v1/cachedContents",
    )
    body = {"model": "gemini-2.5-flash", "cachedContent": "cachedContents/1", "contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
    answer = {"usageMetadata": {"promptTokenCount": 3520, "cachedContentTokenCount": 3512}}
    (pair,) = check_exchanges("tape", [made, Exchange(body, answer, provider="google", endpoint="v1/models/g:generateContent")])
    assert (pair.agrees, pair.boundary_predicted) == (True, "cachedContent")


def test_an_automatic_cache_reads_the_last_prompt_to_its_step() -> None:
    """OpenAI up to 5.5: what was sent before, rounded down to 128."""
    pair = last(chat([LONG], openai(2000)), chat([LONG, "yes", "and?"], openai(2040, 1920)))
    assert (pair.predicted_read, pair.agrees, pair.boundary_predicted) == (1920, True, "messages[0]")


def tool_use(n: int) -> dict[str, Any]:
    """A call of a tool that the provider runs itself, with its result."""
    use = {"type": "server_tool_use", "id": f"s{n}", "name": "bash", "input": {}}
    return {"use": use, "result": {"type": "bash_code_execution_tool_result", "tool_use_id": f"s{n}", "content": {}}}


def test_the_providers_own_requests_are_told_from_the_one_sent() -> None:
    """A bill that adds up a tool loop names the loop; the next call is hit at the tool result, which the provider marks itself."""
    one = tool_use(1)
    content = [one["use"], one["result"], {"type": "text", "text": "done"}]
    first = claude([user("run")], {**anthropic(10, read=2000, write=2200), "content": content})
    second = claude([user("run"), {"role": "assistant", "content": content}, user("ok")], anthropic(20, read=2200))
    pairs = check_exchanges("tape", [first, second])
    assert [pair.broken_rule for pair in pairs] == [Rule.SERVER_TOOL_LOOP, ""]
    assert (pairs[1].predicted_read, pairs[1].boundary_predicted) == (2200, "messages[1].content[1]")


SYSTEM_ONLY = claude([user("ho")], anthropic(2012))
HOUR = 3600.0


@pytest.mark.parametrize(
    ("rule", "calls"),
    [
        (Rule.WARM_BEFORE, [claude([user("hi")], anthropic(10, read=2000))]),
        (Rule.ENTRY_LOST, [FIRST, SYSTEM_ONLY]),
        (Rule.READ_SHORT_OF_MARK, [FIRST, claude([user("ho")], anthropic(500, read=1512))]),
        (Rule.TOOL_CHOICE_LOSES_HEAD, [FIRST, claude([user("ho")], anthropic(2012), tool_choice={"type": "any"})]),
        (Rule.OUTLIVED_LIFETIME, [replace(FIRST, at=0.0), replace(claude([user("ho")], anthropic(12, read=2000)), at=HOUR)]),
        (Rule.ENTRY_NOT_WRITTEN, [claude([user("hi")], anthropic(2010)), SYSTEM_ONLY]),
        (Rule.NOT_YET_VISIBLE, [replace(FIRST, at=9.0), replace(SYSTEM_ONLY, at=10.0)]),
        (Rule.BELOW_MINIMUM_READ, [chat(["a"], openai(300)), chat(["a", "yes", "b"], openai(340, 256))]),
        (Rule.OWN_OUTPUT_READ, [chat(["a"], openai(300, output=2000)), chat(["a", "x" * 8000, "b"], openai(2340, 2176))]),
        (Rule.AUTOMATIC_MISS, [chat([LONG], openai(2000)), chat([LONG, "yes", "and?"], openai(2040))]),
        (Rule.COARSER_STEP, [chat([LONG], openai(2000)), chat([LONG, "yes", "and?"], openai(2040, 1152))]),
        (Rule.SETTING_KEEPS_PREFIX, [chat([LONG], openai(2000)), chat([LONG], openai(2000, 1920), reasoning_effort="low")]),
        (Rule.UNPUBLISHED, [chat([LONG], openai(2000), provider="mistral"), chat([LONG], openai(2000, 64), provider="mistral")]),
        (
            Rule.UNIT_NOT_WHOLE,
            [chat([LONG, "yes", "a"], openai(2000), provider="deepseek"), chat([LONG, "no", "b"], openai(2000), provider="deepseek")],
        ),
    ],
)
def test_a_difference_gets_the_rule_that_its_recording_bears_out(rule: Rule, calls: list[Exchange]) -> None:
    """Each rule has its evidence in the recorded calls."""
    pair = last(*calls)
    assert (pair.agrees, pair.broken_rule) == (False, rule)


def marked(texts: int, mark: int, response: Mapping[str, Any]) -> Exchange:
    """A call of one message with so many texts, a mark on one of them."""
    parts = [{"type": "text", "text": f"{n} {LONG}", **({"cache_control": MARK} if n == mark else {})} for n in range(texts)]
    body = {"model": "claude-sonnet-4-5", "messages": [{"role": "user", "content": parts}]}
    return Exchange(body, response, provider="anthropic", endpoint="v1/messages")


def test_an_entry_out_of_sight_is_told_from_one_that_was_never_written() -> None:
    """Thirty blocks on, the entry at an earlier mark is not looked for; read all the same, it is named."""
    first = marked(5, 4, anthropic(3, write=9000))
    assert last(first, marked(40, 39, anthropic(3, write=70000))).agrees
    assert last(first, marked(40, 39, anthropic(3, read=9000, write=61000))).broken_rule == Rule.READ_BEYOND_LOOK_BACK
    assert (
        last(first, marked(10, 9, anthropic(3, write=18000)), marked(15, 14, anthropic(3, read=9000, write=20000))).broken_rule
        == Rule.ENTRY_LOST
    )


def test_without_its_evidence_a_rule_is_not_given() -> None:
    """The same bill as after another tool choice, but with no change, is an entry lost; and with the entry never sent, a plain miss."""
    assert last(FIRST, SYSTEM_ONLY).broken_rule == Rule.ENTRY_LOST
    other = replace(SYSTEM_ONLY, body={**SYSTEM_ONLY.body, "system": [{"type": "text", "text": LONG + "!", "cache_control": MARK}]})
    assert last(FIRST, other).agrees
    bare = replace(FIRST, body={**FIRST.body, "system": [{"type": "text", "text": LONG}]}, response=anthropic(2010))
    assert last(bare, claude([user("hi")], anthropic(10, read=2000))).broken_rule == Rule.READ_WITHOUT_MARK


@pytest.mark.parametrize(
    ("response", "read", "prompt"),
    [
        ({"usage": {"tokens": {"input_tokens": 90}, "cached_tokens": 64}}, 64, 90),
        ({"usage": {"prompt_tokens": 90, "num_cached_tokens": 64}}, 64, 90),
        ({"usage": {"prompt_tokens": 90, "prompt_cache_hit_tokens": 64, "prompt_cache_miss_tokens": 26}}, 64, 90),
        ({"usage": {"input_tokens": 90, "input_tokens_details": {"cached_tokens": 64}}}, 64, 90),
        ({"usageMetadata": {"promptTokenCount": 90}}, 0, 90),
    ],
)
def test_every_providers_words_come_to_one_bill(response: Mapping[str, Any], read: int, prompt: int) -> None:
    """Cohere, Mistral, DeepSeek, Responses and Gemini: the whole prompt and what of it was read."""
    bill = bill_of(Exchange({}, response))
    assert bill is not None
    assert (bill.usage.read, bill.usage.prompt) == (read, prompt)


@pytest.mark.parametrize(
    "response", [{}, {"usage": None}, {"usage": {"prompt_tokens": 9}}, {"error": {"type": "x"}}, {"usage": {"inputTokens": 3}}]
)
def test_a_call_billed_nothing_of_a_cache_makes_no_pair(response: Mapping[str, Any]) -> None:
    """Without any word of a cache there is nothing to compare."""
    assert check_exchanges("tape", [replace(FIRST, response=response)]) == []


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=4),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["role", "content", "type", "text", "parts", "cachePoint"]), inner, max_size=3)
        ),
        max_leaves=8,
    )
)
def test_no_body_stops_the_check(odd: Any) -> None:
    """A body in no form that an API takes is passed over or compared, never fatal."""
    for key in ("messages", "input", "contents", "system", "tools", "toolConfig", "cachedContent", "previous_response_id"):
        for endpoint in ("v1/messages", "x/converse", "v1/chat/completions"):
            exchange = Exchange(
                {"model": "claude-sonnet-4-5", "messages": [], key: odd}, anthropic(10), provider="anthropic", endpoint=endpoint
            )
            assert isinstance(check_exchanges("tape", [exchange]), list)


@pytest.fixture(scope="module")
def recorded(corpus: Path) -> list[Pair]:
    """All shared cassettes, checked once."""
    return check_cassettes(sorted((corpus / "api-cassettes").glob("**/*.yaml*")))


def test_every_recorded_call_agrees_or_its_rule_is_named(recorded: list[Pair]) -> None:
    """Hit or miss and the boundary are the documented ones, or the recording shows which rule was not kept."""
    assert len(recorded) > 150
    for pair in recorded:
        assert pair.agrees != bool(pair.broken_rule)
        assert pair.broken_rule != Rule.UNEXPLAINED
        if not pair.broken_rule:
            assert pair.hit_predicted == pair.hit_recorded


def test_marked_prefixes_are_hit_at_the_very_token(recorded: list[Pair]) -> None:
    """Wherever a cache with marks was hit as predicted, the read is to the token what an earlier bill gave for that boundary."""
    hits = [pair for pair in recorded if pair.agrees and pair.hit_recorded and pair.provider in ("anthropic", "bedrock")]
    assert len(hits) >= 10
    assert all(pair.predicted_read == pair.recorded_read and pair.boundary_predicted for pair in hits)


def test_a_recorded_prediction_does_not_look_ahead(corpus: Path) -> None:
    """Each cassette cut after any call gives the same pairs up to there."""
    for path in sorted((corpus / "api-cassettes").glob("**/*test_cache*.yaml")):
        calls, whole = exchanges(path), check_cassette(path)
        for count in range(len(calls)):
            part = check_exchanges(str(path), calls[:count])
            assert part == whole[: len(part)]

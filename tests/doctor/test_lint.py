"""Lint of one request body: marks, order, limits, and input that is none. Volatile content has a file of its own."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.doctor.lint import CHECKS, Advice, NotABody, Severity, about, lint
from holdfast.errors import InputError
from holdfast.pricing import Prices

PRICES = Prices.load()
LONG = "You read the code, change what was asked for, run the tests and say what you saw. " * 120
"""Some 2,000 tokens or more, above the minimum of the models used here."""

MARK = {"type": "ephemeral"}
HOUR = {"type": "ephemeral", "ttl": "1h"}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=6) | st.sampled_from(["type", "text", "role", "content"]), inner, max_size=4)
    ),
    max_leaves=12,
)
KEYS = (
    "model",
    "system",
    "tools",
    "messages",
    "input",
    "instructions",
    "cache_control",
    "output_config",
    "prompt_cache_options",
    "toolConfig",
)


def body(**changes: Any) -> dict[str, Any]:
    """A healthy Anthropic body in the second turn; ``None`` takes a key away."""
    made = {
        "model": "claude-sonnet-5",
        "max_tokens": 1000,
        "tools": [{"name": "read", "description": "Reads a file.", "input_schema": {"type": "object", "properties": {}}}],
        "system": [{"type": "text", "text": LONG, "cache_control": MARK}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Fix the test."}]},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_a", "name": "read", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_a", "content": "ok", "cache_control": MARK}]},
        ],
        **changes,
    }
    return {key: value for key, value in made.items() if value is not None}


def codes(made: Mapping[str, Any], provider: str = "") -> set[str]:
    """The codes of all advice."""
    return {advice.code for advice in lint(made, PRICES, provider)}


def found(made: Mapping[str, Any], code: str, provider: str = "") -> Advice:
    """The one advice of a code."""
    (only,) = [advice for advice in lint(made, PRICES, provider) if advice.code == code]
    return only


def user(*texts: str, mark: Any = None) -> dict[str, Any]:
    """A user message; the mark stands on its last text."""
    parts: list[dict[str, Any]] = [{"type": "text", "text": text} for text in texts]
    return {"role": "user", "content": [*parts[:-1], parts[-1] if mark is None else {**parts[-1], "cache_control": mark}]}


def test_a_healthy_body_is_let_pass() -> None:
    """Stable tools and system with marks at the end of the system prompt and of the newest turn give no advice."""
    assert lint(body(), PRICES) == []


@given(JSON)
def test_any_json_is_linted_or_refused_by_name(value: Any) -> None:
    """Whatever the JSON, there is advice or a ``NotABody``, never another error."""
    with suppress(NotABody):
        assert isinstance(lint(value, PRICES), list)


@given(st.dictionaries(st.sampled_from(KEYS), JSON, max_size=6), st.lists(JSON, max_size=4))
def test_any_value_under_the_keys_of_a_body_is_taken(parts: dict[str, Any], messages: list[Any]) -> None:
    """A body whose parts are anything at all is linted, and the input is not changed."""
    made = {**parts, "messages": messages}
    before = copy.deepcopy(made)
    assert all(advice.what and advice.fix and advice.source for advice in lint(made, PRICES))
    assert made == before


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container in a JSON value with each of its keys."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield value, key
        yield from places(inner)


@given(st.data(), JSON)
def test_a_body_with_one_wrong_value_is_taken(data: st.DataObject, wrong: Any) -> None:
    """Anything may stand in any place of a body: it is linted, or refused where it is no body any more."""
    made = copy.deepcopy(data.draw(st.sampled_from([body(cache_control=MARK), responses(input=pointed(2)), *REFUSED.values()])))
    container, key = data.draw(st.sampled_from(list(places(made))))
    container[key] = wrong
    with suppress(NotABody):
        assert isinstance(lint(made, PRICES), list)


@pytest.mark.parametrize("value", [None, [], "text", {}, {"model": "claude-opus-5"}, {"contents": []}])
def test_what_is_no_body_is_refused_with_what_was_expected(value: Any) -> None:
    """The error is an input error that names the forms that are read."""
    with pytest.raises(NotABody, match=r"Anthropic Messages.*OpenAI Responses") as caught:
        lint(value, PRICES)
    assert isinstance(caught.value, InputError)


def test_every_check_names_its_source() -> None:
    """A source is a page with a date, or the price table."""
    assert all("20" in check.source or check.source == "the price table" for check in CHECKS)


def test_the_surest_and_largest_stand_first() -> None:
    """Advice is ordered by severity, then by the tokens at stake."""
    made = body(system=f"The time is 2026-05-01T10:11:12Z. {LONG}", tools=[{"name": "a", "input_schema": {}}] * 2)
    order = [(advice.severity.rank, -advice.tokens) for advice in lint(made, PRICES)]
    assert len(order) > 2
    assert order == sorted(order)


@pytest.mark.parametrize(
    ("tokens", "shown"), [(0, "~0"), (85, "~85"), (996, "~1.0k"), (1234, "~1.2k"), (34_440, "~34k"), (1_120_000, "~1.1M")]
)
def test_an_estimate_is_shown_with_two_figures(tokens: int, shown: str) -> None:
    """No more digits than an offline count knows."""
    assert about(tokens) == shown


# --- marks of Claude ---


def test_a_prompt_without_marks_is_not_cached() -> None:
    """Claude caches nothing by itself, and a text as system must become a list to carry a mark."""
    advice = found(body(system=LONG, messages=[user("Hi")]), "no_marks")
    assert advice.severity is Severity.CERTAIN
    assert "list of one text block" in advice.fix


def test_a_mark_at_the_top_level_is_a_mark() -> None:
    """Automatic caching counts."""
    assert codes(body(system=LONG, cache_control=MARK, messages=[user("Hi"), {"role": "assistant", "content": "Yes?"}, user("Go")])) == {
        "mark_on_newest_only"
    }


REFUSED = {
    "mark_on_thinking": body(
        messages=[
            user("Hi"),
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm", "signature": "s", "cache_control": MARK}]},
            user("Go", mark=MARK),
        ]
    ),
    "mark_on_empty_text": body(messages=[user("", mark=MARK)]),
    "mark_on_deferred_tool": body(tools=[{"name": "a", "input_schema": {}, "defer_loading": True, "cache_control": MARK}]),
    "mark_on_part": body(
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "x", "cache_control": MARK}]}}
                ],
            }
        ]
    ),
    "mark_malformed": body(system=[{"type": "text", "text": LONG, "cache_control": {"type": "ephemeral", "ttl": "2h"}}]),
    "too_many_marks": body(system=[{"type": "text", "text": LONG, "cache_control": MARK} for _ in range(4)]),
    "mark_ttl_order": body(messages=[user("Hi", mark=HOUR)]),
    "mark_ttl_conflict": body(cache_control=HOUR, system=[{"type": "text", "text": LONG, "cache_control": HOUR}]),
}


@pytest.mark.parametrize("code", REFUSED)
def test_a_mark_that_the_api_refuses_is_certain(code: str) -> None:
    """Each place where no mark may stand gives its advice, and that points at the mark."""
    advice = found(REFUSED[code], code)
    assert advice.severity is Severity.CERTAIN
    assert "cache_control" in advice.where


def test_an_automatic_mark_takes_one_of_the_four() -> None:
    """Four explicit marks and the automatic one are five."""
    four = [{"type": "text", "text": LONG, "cache_control": MARK} for _ in range(4)]
    assert "too_many_marks" not in codes(body(system=four, messages=[user("Hi")]))
    assert "too_many_marks" in codes(body(system=four, messages=[user("Hi")], cache_control=MARK))


def test_longer_lifetimes_first_are_in_order() -> None:
    """1h before 5m is what the API wants."""
    assert codes(body(system=[{"type": "text", "text": LONG, "cache_control": HOUR}])) == set()


def test_a_mark_on_the_newest_question_only_leaves_the_head_unshared() -> None:
    """In a first request it is likely that the next one asks something else."""
    advice = found(body(system=LONG, messages=[user("Hi", mark=MARK)]), "mark_on_newest_only")
    assert (advice.severity, advice.where) == (Severity.LIKELY, "messages[0].content[0].cache_control")


def test_a_mark_on_the_last_answer_stands_before_the_newest_turn() -> None:
    """The next request of the conversation can read it."""
    said = {"role": "assistant", "content": [{"type": "text", "text": "Yes?", "cache_control": MARK}]}
    assert codes(body(system=LONG, messages=[user("Hi"), said, user("Go")])) == set()


def test_a_history_behind_the_last_mark_is_paid_in_full() -> None:
    """Marks on the head alone leave a long history uncached."""
    advice = found(body(messages=[user(LONG), {"role": "assistant", "content": "Done."}, user("Next")]), "tail_unmarked")
    assert advice.where == "messages[0].content[0]"
    assert advice.tokens > 2000


def calls(count: int) -> list[dict[str, Any]]:
    """A turn that calls a tool so often that it and its results are ``2 * count`` blocks in two runs."""
    uses = [{"type": "tool_use", "id": f"t{n}", "name": "read", "input": {}} for n in range(count)]
    results: list[dict[str, Any]] = [{"type": "tool_result", "tool_use_id": f"t{n}", "content": "ok"} for n in range(count)]
    results[-1] = {**results[-1], "cache_control": MARK}
    return [user("Go"), {"role": "assistant", "content": uses}, {"role": "user", "content": results}]


def test_a_run_of_tool_blocks_is_one_position_but_on_bedrock() -> None:
    """18 parallel calls are within reach on the first-party API and out of reach where each block counts."""
    made = body(messages=calls(18))
    assert "mark_beyond_look_back" not in codes(made, "anthropic")
    assert found(made, "mark_beyond_look_back", "bedrock").where == "messages[2].content[17].cache_control"


@pytest.mark.parametrize(("texts", "beyond"), [(18, False), (19, True)])
def test_twenty_positions_are_looked_back_the_mark_among_them(texts: int, beyond: bool) -> None:
    """The end of the previous request is the 20th position, or one too far."""
    newest = user(*["x"] * texts, mark=MARK)
    made = body(messages=[user("Go"), {"role": "assistant", "content": "Yes."}, newest])
    assert ("mark_beyond_look_back" in codes(made)) is beyond


def test_a_mark_before_enough_text_does_nothing_yet() -> None:
    """A mark on small tools is a hint where a later one is long enough."""
    tool = {"name": "read", "input_schema": {"type": "object"}, "cache_control": MARK}
    assert found(body(tools=[tool]), "mark_below_minimum").severity is Severity.POSSIBLE


def test_a_short_prompt_is_not_cached() -> None:
    """Below the minimum of its model, likely where somebody wants it cached, else only possible."""
    marked = found(body(system=[{"type": "text", "text": "Be brief.", "cache_control": MARK}]), "below_minimum")
    plain = found(body(system="Be brief.", messages=[user("Hi")]), "below_minimum")
    assert (marked.severity, plain.severity) == (Severity.LIKELY, Severity.POSSIBLE)


def test_of_an_unknown_model_only_that_is_said() -> None:
    """Checks of the minimum are left out and one advice says so."""
    assert codes(body(model="claude-next-9", system=[{"type": "text", "text": "Be brief.", "cache_control": MARK}])) == {"unknown_model"}


def test_marks_of_converse_are_blocks_of_their_own() -> None:
    """A ``cachePoint`` marks the block before it, and no point at all is no cache."""
    made = {
        "modelId": "claude-sonnet-4-5",
        "system": [{"text": LONG}, {"cachePoint": {"type": "default"}}],
        "messages": [{"role": "user", "content": [{"text": "Hi"}]}],
    }
    assert codes(made) == set()
    assert codes({**made, "system": [{"text": LONG}]}) == {"no_marks"}


def test_openrouter_writes_claudes_marks_into_chat_messages() -> None:
    """The rules go by the model, not by the form of the body."""
    messages = [{"role": "system", "content": LONG}, {"role": "user", "content": "Hi"}]
    assert codes({"model": "anthropic/claude-sonnet-4.6", "messages": messages}, "openrouter") == {"no_marks"}


def test_what_is_left_of_a_task_budget_is_rendered_into_the_prompt() -> None:
    """The total alone is no harm."""
    assert codes(body(output_config={"task_budget": {"total": 50_000}})) == set()
    assert codes(body(output_config={"task_budget": {"total": 50_000, "remaining": 1200}})) == {"task_budget_remaining"}


# --- order ---


def test_a_tool_defined_twice_is_found_at_its_second_place() -> None:
    """Anthropic refuses it."""
    advice = found(
        body(tools=[{"name": "a", "input_schema": {}}, {"name": "b", "input_schema": {}}, {"name": "a", "input_schema": {}}]),
        "duplicate_tool",
    )
    assert (advice.where, advice.severity) == ("tools[2]", Severity.CERTAIN)


def named(*names: str) -> list[dict[str, Any]]:
    """Tools with these names."""
    return [{"name": name, "description": "Does it.", "input_schema": {"type": "object", "properties": {}}} for name in names]


def test_tools_of_several_servers_mixed_together_are_a_hint() -> None:
    """In groups, or sorted, they are in order; so is a short list written by hand."""
    one, two = [f"mcp__a__{letter}" for letter in "abcd"], [f"mcp__b__{letter}" for letter in "abcd"]
    mixed = [name for pair in zip(one, two, strict=True) for name in pair]
    assert found(body(tools=named(*mixed)), "unsorted_tools").severity is Severity.POSSIBLE
    assert codes(body(tools=named(*two, *one))) == set()
    assert codes(body(tools=named("write", "read", "bash"))) == set()


@settings(max_examples=25)
@given(st.lists(st.permutations(["type", "description", "default"]), min_size=12, max_size=12))
def test_schemas_written_in_chance_order_are_found(orders: list[list[str]]) -> None:
    """Three and more orders of the same keys are likely a map's; one order throughout is none."""
    values = {"type": "string", "description": "A path.", "default": ""}
    parameters = {f"p{letter}": {key: values[key] for key in order} for letter, order in zip("abcdefghijkl", orders, strict=True)}
    tool = {"name": "read", "description": "Reads.", "input_schema": {"type": "object", "properties": parameters}}
    counts = sorted((orders.count(order) for order in {tuple(order): order for order in orders}.values()), reverse=True)
    expected = len(counts) > 2 and counts[0] <= 9
    assert ("key_order" in codes(body(tools=[tool]))) is expected


def test_tools_of_several_libraries_may_each_have_an_order() -> None:
    """An order that holds within each tool is its author's."""
    orders = [("type", "description", "default"), ("default", "description", "type"), ("description", "type", "default")] * 3
    values = {"type": "string", "description": "A path.", "default": ""}
    schemas = [{"type": "object", "properties": {name: {key: values[key] for key in order} for name in "ab"}} for order in orders]
    tools = [{"name": f"t{letter}", "input_schema": schema} for letter, schema in zip("abcdefghi", schemas, strict=True)]
    assert "key_order" not in codes(body(tools=tools))


def test_tool_definitions_and_messages_are_written_by_one_program() -> None:
    """Their keys in several orders are a sign of maps without an order."""
    tool = {"name": "a", "description": "Does it.", "input_schema": {"type": "object"}}
    shuffled = [("name", "description", "input_schema"), ("input_schema", "name", "description"), ("description", "name", "input_schema")]
    tools = [{key: f"a{at}" if key == "name" else tool[key] for key in order} for at, order in enumerate(shuffled)]
    assert found(body(tools=tools), "key_order").severity is Severity.LIKELY
    turns = [message for _ in range(4) for message in ({"role": "user", "content": "Hi"}, {"content": "Hi", "role": "user"})]
    assert found(body(messages=[*turns, user("Go", mark=MARK)]), "key_order").severity is Severity.POSSIBLE


def test_two_places_in_a_program_may_write_two_orders() -> None:
    """Results of tools that failed and that did not, as Claude Code writes them, are no sign of chance."""
    good = {"tool_use_id": "t", "type": "tool_result", "content": "ok", "is_error": False}
    bad = {"type": "tool_result", "content": "no", "is_error": True, "tool_use_id": "t"}
    assert "key_order" not in codes(body(messages=[{"role": "user", "content": [good, bad] * 8}, user("Go", mark=MARK)]))


def test_the_order_in_which_a_model_wrote_its_input_is_no_evidence() -> None:
    """Tool calls come back as the model wrote them."""
    inputs = [{"a": "x", "b": "y", "c": "z"}, {"c": "x", "b": "y", "a": "z"}, {"b": "x", "a": "y", "c": "z"}] * 3
    uses = [{"type": "tool_use", "id": "t", "name": "read", "input": value} for value in inputs]
    assert "key_order" not in codes(body(messages=[user("Go"), {"role": "assistant", "content": uses}, user("On", mark=MARK)]))


# --- OpenAI ---


def responses(**changes: Any) -> dict[str, Any]:
    """A body of OpenAI's Responses API."""
    return {
        "model": "gpt-6-sol",
        "instructions": LONG,
        "input": [{"role": "user", "content": [{"type": "input_text", "text": "Hi"}]}],
        **changes,
    }


POINT = {"mode": "explicit"}


def pointed(count: int) -> list[dict[str, Any]]:
    """User messages with a breakpoint each."""
    return [{"role": "user", "content": [{"type": "input_text", "text": "Hi", "prompt_cache_breakpoint": POINT}]} for _ in range(count)]


def test_explicit_mode_without_breakpoints_caches_nothing() -> None:
    """With one, or in implicit mode, it does."""
    explicit = {"prompt_cache_options": {"mode": "explicit"}}
    assert found(responses(**explicit), "explicit_without_marks").severity is Severity.CERTAIN
    assert codes(responses(**explicit, input=pointed(1))) == set()
    assert codes(responses()) == set()


def test_the_implicit_mark_is_one_of_four_writes() -> None:
    """Four explicit ones are too many beside it, and not without it."""
    assert codes(responses(input=pointed(4))) == {"too_many_writes"}
    assert codes(responses(input=pointed(4), prompt_cache_options={"mode": "explicit"})) == set()


def test_openai_takes_no_mark_on_what_the_assistant_said() -> None:
    """Nor on a tool."""
    said = {"role": "assistant", "content": [{"type": "output_text", "text": "Yes", "prompt_cache_breakpoint": POINT}]}
    assert "mark_refused" in codes(responses(input=[*pointed(1), said, *pointed(1)]))
    assert "mark_refused" in codes(responses(tools=[{"type": "function", "name": "a", "prompt_cache_breakpoint": POINT}]))


def test_older_models_have_no_marks_and_like_a_cache_key() -> None:
    """Up to GPT-5.5 a mark is no use, and a missing key is a hint."""
    assert codes(responses(model="gpt-5.4", input=pointed(1))) == {"mark_unsupported", "no_cache_key"}
    assert codes(responses(model="gpt-5.4", prompt_cache_key="conversation-a")) == set()


def test_a_body_that_goes_on_from_a_stored_response_may_be_short() -> None:
    """Its size says nothing of the prompt's; nor does that of a body with tools of the provider's own."""
    short = responses(model="gpt-5", instructions="Be brief.")
    assert "below_minimum" in codes(short)
    assert "below_minimum" not in codes({**short, "previous_response_id": "resp_a"})
    assert "below_minimum" not in codes({**short, "tools": [{"type": "web_search"}]})

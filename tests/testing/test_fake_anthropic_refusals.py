"""What the fake Messages API does not take, and how it says so."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic
from anthropic.types import beta as beta_types
from anthropic.types import message_count_tokens_params, message_create_params
from anthropic.types.beta import message_create_params as beta_create_params
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from holdfast.checker import check_body
from holdfast.testing import FakeProvider
from holdfast.testing.fake import anthropic_fields
from holdfast.testing.fake.anthropic import MESSAGES
from holdfast.testing.fake.anthropic_refusals import complaints
from tests import generators

HEADERS = {"anthropic-version": "2026-10-21"}
MARK = {"type": "ephemeral"}
HOUR = {"type": "ephemeral", "ttl": "1h"}
Body = dict[str, Any]


@pytest.fixture(scope="module")
def sdk() -> Iterator[Anthropic]:
    """The real client of a provider that says OK."""
    with FakeProvider(windows={"claude-opus-4-5": 2000}) as fake, Anthropic(base_url=fake.url, api_key="a", max_retries=0) as client:
        yield client


def legal() -> Body:
    """A request with everything in it."""
    return {
        "model": "claude-opus-4-5",
        "max_tokens": 2048,
        "system": [{"type": "text", "text": "Be brief.", "cache_control": dict(MARK)}],
        "tools": [{"name": "look", "input_schema": {"type": "object"}}, {"name": "go", "input_schema": {"type": "object"}}],
        "messages": [
            {"role": "user", "content": "Look and go."},
            {
                "role": "assistant",
                "content": [
                    {"type": "text", "text": "Yes."},
                    {"type": "tool_use", "id": "a", "name": "look", "input": {}},
                    {"type": "tool_use", "id": "b", "name": "go", "input": {"to": 1}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "b", "content": "gone"},
                    {"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text", "text": "seen", "cache_control": dict(MARK)}]},
                    {"type": "text", "text": "And now?", "cache_control": dict(MARK)},
                ],
            },
        ],
    }


def _set(path: str, value: Any) -> Callable[[Body], None]:
    """A change of one place of a body, ``None`` deletes."""
    *way, last = [int(step) if step.lstrip("-").isdigit() else step for step in path.split(".")]

    def change(body: Body) -> None:
        place: Any = body
        for step in way:
            place = place[step]
        if value is None:
            del place[last]
        elif isinstance(place, list) and last == len(place):
            place.append(value)
        else:
            place[last] = value

    return change


def refused(sdk: Anthropic, body: Body, headers: dict[str, str] | None = None) -> str:
    """The error's text, as the SDK raises it for the status 400."""
    with pytest.raises(anthropic.BadRequestError) as caught:
        sdk.post("/v1/messages", body=body, cast_to=object, options={"headers": headers or {}})
    error: Any = caught.value.body
    assert (error["type"], error["error"]["type"]) == ("error", "invalid_request_error")
    return str(error["error"]["message"])


def test_a_request_with_everything_in_it_is_taken(sdk: Anthropic) -> None:
    """The body that all the refused ones are made of."""
    assert sdk.messages.create(**legal()).stop_reason == "end_turn"


ILLEGAL: list[tuple[str, Callable[[Body], None], str]] = [
    ("an unknown field", _set("max_token", 1), "max_token: Extra inputs are not permitted"),
    ("a beta's field", _set("compaction", {"type": "summarize"}), "compaction: Extra inputs are not permitted"),
    ("sampling, which is gone", _set("temperature", 1), "temperature: Extra inputs are not permitted"),
    ("no model", _set("model", None), "model: Field required"),
    ("no length", _set("max_tokens", None), "max_tokens: Field required"),
    ("too long an answer", _set("max_tokens", 64001), "max_tokens: 64001 > 64000, which is the maximum allowed number of output tokens"),
    ("no messages", _set("messages", []), "messages: at least one message is required"),
    ("an unknown field of a message", _set("messages.0.name", "x"), "messages.0.name: Extra inputs are not permitted"),
    ("an unknown role", _set("messages.0.role", "tool"), "messages.0.role: Input should be"),
    ("a system message to a model that takes none", _set("messages.1.role", "system"), 'messages: Unexpected role "system"'),
    ("the model speaks first", _set("messages.0.role", "assistant"), 'messages: first message must use the "user" role'),
    ("an empty message", _set("messages.0.content", ""), "messages.0: all messages must have non-empty content except for the optional"),
    ("an empty list", _set("messages.0.content", []), "messages.0: all messages must have non-empty content"),
    ("an empty text", _set("messages.1.content.0.text", ""), "messages: text content blocks must be non-empty"),
    ("a blank text", _set("messages.1.content.0.text", " \n"), "messages: text content blocks must contain non-whitespace text"),
    (
        "a mark on an empty text",
        _set("messages.2.content.2.text", ""),
        "messages.2.content.2.text: cache_control cannot be set for empty text",
    ),
    ("a blank user", _set("messages.0.content", "  "), "messages: text content blocks must contain non-whitespace text"),
    (
        "an unknown block",
        _set("messages.1.content.0", {"type": "x"}),
        "messages.1.content.0: Input tag 'x' found using 'type' does not match",
    ),
    ("an unknown field of a block", _set("messages.1.content.0.at", 1), "messages.1.content.0.text.at: Extra inputs are not permitted"),
    ("a call without input", _set("messages.1.content.1.input", None), "messages.1.content.1.tool_use.input: Field required"),
    (
        "a call whose input is text",
        _set("messages.1.content.1.input", "{}"),
        "messages.1.content.1.tool_use.input: Input should be a valid dict",
    ),
    (
        "a call without its result",
        _set("messages.2.content.0", None),
        "messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: b. Each `tool_use` block must have",
    ),
    (
        "calls at the end",
        _set("messages.2", None),
        "messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: a, b. Each",
    ),
    (
        "a result without its call",
        _set("messages.1.content.1", None),
        "messages.2.content.1: unexpected `tool_use_id` found in `tool_result` blocks: a. Each `tool_result` block must have",
    ),
    (
        "two results of one call",
        _set("messages.2.content.2", {"type": "tool_result", "tool_use_id": "b"}),
        "messages.2.content.2: each tool_use must have a single result",
    ),
    ("an id used twice", _set("messages.1.content.2.id", "a"), "messages.1: `tool_use` ids must be unique"),
    ("the user's call", _set("messages.1.role", "user"), "messages.1.content.1: `tool_use` blocks can only be in `assistant` messages"),
    ("two tools of one name", _set("tools.1.name", "look"), "tools: Tool names must be unique."),
    ("a tool without a schema", _set("tools.0.input_schema", None), "tools.0.custom.input_schema: Field required"),
    (
        "1h behind 5m",
        _set("messages.2.content.2.cache_control", HOUR),
        "messages.2.content.2.cache_control.ttl: a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block. Note",
    ),
    (
        "another lifetime",
        _set("system.0.cache_control", {"type": "ephemeral", "ttl": "2h"}),
        "system.0.cache_control.ttl: Input should be '5m'",
    ),
    (
        "a marked thought",
        _set("messages.1.content.0", {"type": "thinking", "thinking": "x", "signature": "y", "cache_control": MARK}),
        "messages.1.content.0.thinking.cache_control: Extra inputs",
    ),
    (
        "a marked deferred tool",
        _set("tools.0", {"name": "x", "input_schema": {}, "defer_loading": True, "cache_control": MARK}),
        "tools.0.custom: Tools with defer_loading cannot use prompt",
    ),
    ("a tool that is not there", _set("tool_choice", {"type": "tool", "name": "fly"}), "Tool 'fly' not found in provided tools"),
    (
        "too small a budget",
        _set("thinking", {"type": "enabled", "budget_tokens": 1000}),
        "thinking.enabled.budget_tokens: Input should be greater",
    ),
    (
        "no room for an answer",
        _set("thinking", {"type": "enabled", "budget_tokens": 2048}),
        "`max_tokens` must be greater than `thinking.budget_tokens`.",
    ),
    (
        "binding without its beta",
        _set("thinking", {"type": "adaptive", "block_binding": {}}),
        "thinking.adaptive.block_binding: Extra inputs are not",
    ),
    ("a prompt over the window", _set("messages.0.content", "word " * 3000), "prompt is too long: "),
]


@pytest.mark.parametrize(("change", "text"), [pytest.param(change, text, id=name) for name, change, text in ILLEGAL])
def test_what_the_api_refuses_is_refused_in_its_words(sdk: Anthropic, change: Callable[[Body], None], text: str) -> None:
    """Each of these is a 400 with the text of the real API."""
    body = legal()
    change(body)
    assert refused(sdk, body).startswith(text)


def test_a_fifth_mark_is_refused_whether_it_is_explicit_or_automatic(sdk: Anthropic) -> None:
    """Three stand in the body; the automatic one takes a slot unless it would stand where one is."""
    body = legal()
    body["tools"][0]["cache_control"] = MARK
    sdk.messages.create(**body)
    sdk.messages.create(**body, cache_control={"type": "ephemeral"})
    five = copy.deepcopy(body)
    five["messages"][2]["content"][0]["cache_control"] = MARK
    assert refused(sdk, five) == "A maximum of 4 blocks with cache_control may be provided. Found 5."
    moved = copy.deepcopy(five)
    del moved["messages"][2]["content"][2]["cache_control"]
    sdk.messages.create(**moved)
    assert refused(sdk, {**moved, "cache_control": MARK}) == "A maximum of 4 blocks with cache_control may be provided. Found 5."
    assert "different ttl" in refused(sdk, {**legal(), "cache_control": HOUR})


def test_the_window_is_named_with_the_tokens(sdk: Anthropic) -> None:
    """The numbers are those that ``count_tokens`` gives, which itself has no limit."""
    body = legal()
    body["messages"][0]["content"] = "word " * 3000
    count = sdk.messages.count_tokens(**{key: value for key, value in body.items() if key != "max_tokens"}).input_tokens
    assert refused(sdk, body) == f"prompt is too long: {count} tokens > 2000 maximum"


def test_consecutive_messages_of_one_role_are_one_turn(sdk: Anthropic) -> None:
    """Results may be split over two user messages, calls over two of the assistant's."""
    body = legal()
    said, answered = body["messages"][1]["content"], body["messages"][2]["content"]
    body["messages"][1:] = [
        {"role": "assistant", "content": said[:2]},
        {"role": "assistant", "content": said[2:]},
        {"role": "user", "content": answered[:1]},
        {"role": "user", "content": answered[1:]},
    ]
    assert sdk.messages.create(**body).stop_reason == "end_turn"


def test_a_last_assistant_message_is_for_older_models_only(sdk: Anthropic) -> None:
    """Opus 4.5 goes on from it, even from an empty one, but not from trailing white space; Sonnet 4.6 refuses it."""
    body: Body = {
        "model": "claude-opus-4-5",
        "max_tokens": 9,
        "messages": [{"role": "user", "content": "Go"}, {"role": "assistant", "content": "I"}],
    }
    sdk.messages.create(**body)
    assert refused(sdk, {**body, "model": "claude-sonnet-4-6"}).startswith("This model does not support assistant message prefill.")
    body["messages"][1]["content"] = "I "
    assert refused(sdk, body) == "messages: final assistant content cannot end with trailing whitespace"
    body["messages"][1]["content"] = []
    sdk.messages.create(**body)


def test_models_that_always_think_cannot_be_forced_to_a_tool(sdk: Anthropic) -> None:
    """Nor can their thinking be turned off; others are forced as long as thinking has no budget."""
    forced = {**legal(), "tool_choice": {"type": "any"}}
    sdk.messages.create(**forced)
    assert refused(sdk, {**forced, "thinking": {"type": "enabled", "budget_tokens": 1024}}).startswith("Thinking may not be enabled when")
    assert refused(sdk, {**forced, "model": "claude-opus-5-5"}).startswith("Thinking may not be enabled when tool_choice forces")
    assert "not supported" in refused(sdk, {**legal(), "model": "claude-fable-5-2", "thinking": {"type": "disabled"}})


def test_an_open_tool_loop_begins_with_thinking_where_thinking_has_a_budget(sdk: Anthropic) -> None:
    """A plain user message closes the loop."""
    body = {**legal(), "thinking": {"type": "enabled", "budget_tokens": 1024}}
    assert refused(sdk, body).startswith("messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found `text`.")
    body["messages"] += [{"role": "assistant", "content": "Done."}, {"role": "user", "content": "More."}]
    sdk.messages.create(**body)


@pytest.mark.parametrize(
    "extra",
    [
        {"stream": True},
        {"thinking": {"type": "enabled", "budget_tokens": 1024}},
        {"output_config": {"format": {"type": "json_schema", "schema": {}}}},
        {"tool_choice": {"type": "any"}},
    ],
)
def test_warming_goes_with_neither_streams_nor_thinking_nor_formats(sdk: Anthropic, extra: Body) -> None:
    """``max_tokens: 0`` alone is taken."""
    assert refused(sdk, {**legal(), "max_tokens": 0, **extra})
    assert sdk.messages.create(**{**legal(), "max_tokens": 0}).content == []


def test_a_beta_in_the_header_makes_its_fields_known(sdk: Anthropic) -> None:
    """And an older version of the API still knows sampling."""
    body = {**legal(), "context_management": {"edits": []}}
    assert refused(sdk, body) == "context_management: Extra inputs are not permitted"
    said = sdk.beta.messages.create(**body, betas=["context-management-2025-06-27"])
    assert said.context_management is not None
    assert next(complaints({**legal(), "top_p": 1}, {"anthropic-version": "2023-06-01"}, False), None) is None


def test_the_fields_are_those_of_the_sdk() -> None:
    """Every top-level field of the SDK's types is known here, and no other; so are the fields of the blocks."""

    def keys(params: Any) -> set[str]:
        return set(params.__required_keys__) | set(params.__optional_keys__)

    assert keys(message_create_params.MessageCreateParamsStreaming) == anthropic_fields.CREATE
    assert keys(message_count_tokens_params.MessageCountTokensParams) == anthropic_fields.COUNT
    assert keys(beta_create_params.MessageCreateParamsStreaming) == anthropic_fields.CREATE | set(anthropic_fields.BETAS) | {"betas"}
    names = {
        "text": "Text",
        "thinking": "Thinking",
        "tool_use": "ToolUse",
        "tool_result": "ToolResult",
        "image": "Image",
        "compaction": "Compaction",
    }
    for kind, name in names.items():
        assert keys(getattr(beta_types, f"Beta{name}BlockParam")) == anthropic_fields.BLOCKS[kind]


IDS = st.sampled_from(["a", "b", "c"])
MARKS = st.sampled_from([None, None, None, MARK, HOUR])


def marked(block: Body) -> st.SearchStrategy[Body]:
    """A block that carries a mark now and then."""
    return MARKS.map(lambda mark: block if mark is None else {**block, "cache_control": mark})


TEXT = st.sampled_from(["x", "y", ""]).map(lambda text: {"type": "text", "text": text}).flatmap(marked)
RESULT = IDS.map(lambda call: {"type": "tool_result", "tool_use_id": call, "content": "r"}).flatmap(marked)
CALL = IDS.map(lambda call: {"type": "tool_use", "id": call, "name": "t", "input": {}}).flatmap(marked)
THOUGHT = st.just({"type": "thinking", "thinking": "t", "signature": "s"}).flatmap(marked)
MESSAGES_DRAWN = st.lists(
    st.builds(lambda said: {"role": "user", "content": said}, st.sampled_from(["u", ""]) | st.lists(TEXT | RESULT, max_size=3))
    | st.builds(lambda said: {"role": "assistant", "content": said}, st.just("s") | st.lists(TEXT | CALL | THOUGHT, max_size=3)),
    max_size=5,
)


def late(messages: list[Body]) -> bool:
    """Whether a result stands behind anything else of its turn: of the two judges only the fake knows that rule."""
    before = ""
    for message in messages:
        blocks = message["content"] if isinstance(message["content"], list) else [{"type": "text"}]
        before = before if message["role"] == "user" else ""
        for block in blocks:
            if before not in ("", "tool_result") and block["type"] == "tool_result":
                return True
            before = block["type"] if message["role"] == "user" else ""
    return False


def test_results_come_first_in_their_turn(sdk: Anthropic) -> None:
    """A text before them, in their message or in one of its own, leaves the calls unanswered."""
    body = legal()
    answers = body["messages"][2]["content"]
    for turn in ([{"role": "user", "content": answers[::-1]}], [{"role": "user", "content": "Wait."}, body["messages"][2]]):
        text = refused(sdk, {**body, "messages": [*body["messages"][:2], *turn]})
        assert text.startswith("messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: a, b.")


@given(MESSAGES_DRAWN, st.lists(MARKS, max_size=3))
@settings(max_examples=150)
def test_it_refuses_exactly_what_the_checker_calls_illegal(messages: list[Body], marks: list[Body | None]) -> None:
    """Two judges that share no code agree on pairs, ids, roles, empty content and marks."""
    assume(not late(messages))
    tools = [{"name": f"t{n}", "input_schema": {}, **({"cache_control": mark} if mark else {})} for n, mark in enumerate(marks)]
    body = {"model": "claude-opus-4-5", "max_tokens": 9, "messages": messages, "tools": tools}
    assert (MESSAGES.refusal(body, HEADERS, 0, 1) is None) == (check_body(json.dumps(body)) == [])


@given(generators.scripts("anthropic"))
@settings(max_examples=20)
def test_whole_conversations_are_taken(script: generators.Script) -> None:
    """What the generators make is legal, blocks that nobody knows apart."""
    for step in script.steps:
        text = next(complaints({"max_tokens": 9, **step.body}, HEADERS, False), None)
        assert text is None or "hologram" in text

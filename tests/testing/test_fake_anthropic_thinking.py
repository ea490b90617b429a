"""Signed thinking, compaction and diagnostics of the fake Messages API."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.testing import FakeProvider, Reply, ToolCall
from holdfast.testing.fake.anthropic import Messages
from holdfast.testing.fake.anthropic_thinking import Binding, sign
from holdfast.testing.fake.billing import Billing
from holdfast.testing.fake.seeing import Seen
from holdfast.usage import from_anthropic

BINDING = "claude-opus-5-5"
FREE = "claude-opus-5"
BETA = "thinking-binding-controls-2026-08-01"
COMPACT = "compact-2026-09-04"
DROP: Any = {"type": "adaptive", "block_binding": {"prefix_mismatch_behavior": "drop_block"}}
LONG = "Words upon words upon words. " * 200
History = list[Any]


@pytest.fixture
def fake() -> Iterator[FakeProvider]:
    """A provider that thinks, says and calls something in every answer."""
    with FakeProvider(
        lambda asked: Reply(f"Answer {len(asked.body['messages'])}", thinking="Hm, hm.", calls=[ToolCall("look")])
    ) as provider:
        yield provider


@pytest.fixture
def sdk(fake: FakeProvider) -> Iterator[Anthropic]:
    """Its client."""
    with Anthropic(base_url=fake.url, api_key="a", max_retries=0) as client:
        yield client


def plain(message: Any) -> Any:
    """A message to send back, as plain JSON."""
    return {"role": "assistant", "content": [block.to_dict() for block in message.content]}


def grown(sdk: Anthropic, turns: int, model: str = BINDING, **extra: Any) -> History:
    """A history of some turns with tools, ending with the user's side."""
    history: History = [{"role": "user", "content": "Begin. " + LONG}]
    for _ in range(turns):
        said = sdk.messages.create(model=model, max_tokens=64, messages=history, **extra)
        call = said.content[-1].to_dict()["id"]
        history.append(plain(said))
        history.append({"role": "user", "content": [{"type": "tool_result", "tool_use_id": call, "content": f"seen {call}"}]})
    return history


def wrong(sdk: Anthropic, history: History, model: str = BINDING, **extra: Any) -> str:
    """The text of the 400."""
    with pytest.raises(anthropic.BadRequestError) as caught:
        sdk.messages.create(model=model, max_tokens=64, messages=history, **extra)
    return str(caught.value.api_message)


def dropped(sdk: Anthropic, history: History, **extra: Any) -> tuple[list[tuple[str, str]], int]:
    """What was left out of a request that has it dropped, and how many tokens were billed."""
    said = sdk.beta.messages.create(model=BINDING, max_tokens=64, messages=history, thinking=DROP, betas=[BETA], **extra)
    left = [(one.path, one.reason) for one in said.input_transformations or ()]
    return left, from_anthropic(said.usage.to_dict()).prompt


@pytest.mark.parametrize("model", [BINDING, FREE, "claude-haiku-5-5", "claude-sonnet-4-6"])
def test_thinking_that_is_sent_back_as_it_came_is_taken(sdk: Anthropic, model: str) -> None:
    """On every model, whether its thinking is bound to something or not."""
    assert len(grown(sdk, 4, model)) == 9


def test_edited_or_invented_thinking_is_refused_on_every_model(sdk: Anthropic) -> None:
    """A changed text, a changed signature and one from elsewhere are all invalid."""
    for model in (BINDING, FREE):
        history = grown(sdk, 2, model)
        for key, value in (("thinking", "Hm, hm, hm."), ("signature", "c2ln"), ("signature", history[3]["content"][0]["signature"][:-8])):
            edited = copy.deepcopy(history)
            edited[3]["content"][0][key] = value
            assert wrong(sdk, edited, model) == "messages.3.content.0: Invalid `signature` in `thinking` block"


def test_an_edit_before_thinking_is_refused_where_thinking_is_bound_to_its_prefix(sdk: Anthropic) -> None:
    """The error says what differs; other models do not mind."""
    history = grown(sdk, 2)
    start = "messages.1.content.0: Invalid `signature` in `thinking` block. The block is bound to a different conversation. Remove the"
    assert wrong(sdk, history, system="Be brief.").startswith(start)
    assert wrong(sdk, history, system="Be brief.").endswith("The `system` prompt differs from the one this block was created with.")
    edited = copy.deepcopy(history)
    edited[2]["content"][0]["content"] = "[cleared]"
    assert wrong(sdk, edited).startswith("messages.3.content.0: Invalid `signature` in `thinking` block. The block is bound to a different")
    free = grown(sdk, 2, FREE)
    free[2]["content"][0]["content"] = "[cleared]"
    sdk.messages.create(model=FREE, max_tokens=64, messages=free, system="Be brief.")


def test_thinking_may_be_stripped_behind_an_edit_but_not_before_other_thinking(sdk: Anthropic) -> None:
    """What was made behind the stripped history is bound to that history."""
    history = grown(sdk, 3)
    history[2]["content"][0]["content"] = "[cleared]"
    for place in (3, 5):
        history[place]["content"] = history[place]["content"][1:]
    said = sdk.messages.create(model=BINDING, max_tokens=64, messages=history)
    history += [
        plain(said),
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": said.content[-1].to_dict()["id"], "content": "x"}]},
    ]
    sdk.messages.create(model=BINDING, max_tokens=64, messages=history)
    del history[1]["content"][0]
    assert "bound to a different conversation" in wrong(sdk, history)


def test_dropped_thinking_is_reported_and_not_billed(sdk: Anthropic) -> None:
    """Every block behind the edit goes; the next answer is bound to what is left, whether the dropped blocks are sent again or not."""
    history = grown(sdk, 3)
    assert dropped(sdk, history)[0] == []
    edited = copy.deepcopy(history)
    edited[2]["content"][0]["content"] = "[cleared]"
    stripped = copy.deepcopy(edited)
    for place in (3, 5):
        del stripped[place]["content"][0]
    left, billed = dropped(sdk, edited)
    assert left == [("messages.3.content.0", "prefix_binding_mismatch"), ("messages.5.content.0", "prefix_binding_mismatch")]
    assert dropped(sdk, stripped) == ([], billed)
    said = sdk.beta.messages.create(model=BINDING, max_tokens=64, messages=edited, thinking=DROP, betas=[BETA])
    call = said.content[-1].to_dict()["id"]
    more = [plain(said), {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call, "content": "x"}]}]
    assert dropped(sdk, [*edited, *more])[0] == left
    assert dropped(sdk, [*stripped, *more])[0] == []


def test_counting_makes_the_same_check(sdk: Anthropic) -> None:
    """It refuses what the request would be refused for, and counts what is left where that is dropped."""
    history = grown(sdk, 2)
    whole = sdk.messages.count_tokens(model=BINDING, messages=history).input_tokens
    with pytest.raises(anthropic.BadRequestError, match="bound to a different conversation"):
        sdk.messages.count_tokens(model=BINDING, messages=history, system="Be brief.")
    beta: Any = sdk.beta.messages.count_tokens(model=BINDING, messages=history, system="Be brief.", thinking=DROP, betas=[BETA])
    assert beta.input_tokens < whole


def test_thinking_of_another_model_or_account_is_left_out_in_silence(fake: FakeProvider, sdk: Anthropic) -> None:
    """Without an error, whatever the request says; Haiku 5.5's thinking can be read by all, but by its own account only."""
    assert dropped(sdk, grown(sdk, 1, FREE))[0] == [("messages.1.content.0", "model_binding_mismatch")]
    haiku = grown(sdk, 1, "claude-haiku-5-5")
    assert dropped(sdk, haiku)[0] == []
    sdk.messages.create(model=FREE, max_tokens=64, messages=grown(sdk, 1, BINDING))
    with Anthropic(base_url=fake.url, api_key="b", max_retries=0) as other:
        assert dropped(other, haiku)[0] == [("messages.1.content.0", "organization_binding_mismatch")]


def test_recorded_thinking_is_taken_where_that_is_asked_for() -> None:
    """Real signatures are not the fake's; its own are checked all the same."""
    said: Any = [
        {"type": "thinking", "thinking": "real", "signature": "EqQBCkYIARgC"},
        {"type": "redacted_thinking", "data": "x"},
        {"type": "text", "text": "y"},
    ]
    history: History = [{"role": "user", "content": "x"}, {"role": "assistant", "content": said}, {"role": "user", "content": "z"}]
    for foreign in (True, False):
        with FakeProvider(foreign_thinking=foreign) as fake, Anthropic(base_url=fake.url, api_key="a", max_retries=0) as sdk:
            if foreign:
                sdk.messages.create(model=BINDING, max_tokens=64, messages=history)
            else:
                assert "Invalid `signature`" in wrong(sdk, history)


def test_a_string_and_its_one_block_form_are_the_same_prefix(sdk: Anthropic) -> None:
    """So are messages that were split, and a key that is null."""
    history = grown(sdk, 2)
    history[0]["content"] = [{"type": "text", "text": history[0]["content"], "citations": None, "cache_control": {"type": "ephemeral"}}]
    history[1:2] = [
        {"role": "assistant", "content": history[1]["content"][:1]},
        {"role": "assistant", "content": history[1]["content"][1:]},
    ]
    sdk.messages.create(model=BINDING, max_tokens=64, messages=history)


TURNS = st.lists(st.tuples(st.booleans(), st.integers(0, 2)), min_size=1, max_size=5)


@given(TURNS, st.integers(0, 20))
@settings(max_examples=40)
def test_thinking_fits_exactly_where_nothing_before_it_has_changed(turns: list[tuple[bool, int]], cut: int) -> None:
    """After an edit at any place, the blocks behind it misfit and no others; with those left out nothing misfits."""
    billing, endpoint = Billing(), Messages()
    body: dict[str, Any] = {"model": BINDING, "max_tokens": 9, "messages": [{"role": "user", "content": "start"}]}
    for number, (listed, thoughts) in enumerate(turns):
        read = billing.read("anthropic", body)
        prefix = Binding(read, "me").behind(body["messages"])
        content = [{"type": "thinking", "thinking": f"t{n}", "signature": sign(f"t{n}", read.model, "me", prefix)} for n in range(thoughts)]
        body["messages"].append({"role": "assistant", "content": [*content, {"type": "text", "text": f"said {number}"}]})
        body["messages"].append({"role": "user", "content": [{"type": "text", "text": "on"}] if listed else "on"})

    def reader(seen: Any) -> Any:
        return billing.read("anthropic", seen)

    fits = endpoint.sees(body, {}, "me", reader)
    assert isinstance(fits, Seen)
    assert fits.notes == ()
    place = cut % len(body["messages"])
    edited = copy.deepcopy(body)
    content = edited["messages"][place]["content"]
    if isinstance(content, str):
        edited["messages"][place]["content"] = content + "!"
    else:
        content[-1]["text"] += "!"
    edited["thinking"] = DROP
    behind = [
        (m, b)
        for m in range(place + 1, len(body["messages"]))
        for b, block in enumerate(body["messages"][m]["content"])
        if "thinking" in block
    ]
    seen = endpoint.sees(edited, {"anthropic-beta": BETA}, "me", reader)
    assert isinstance(seen, Seen)
    assert [note["path"] for note in seen.notes] == [f"messages.{m}.content.{b}" for m, b in behind]
    again = endpoint.sees(seen.body, {}, "me", reader)
    assert isinstance(again, Seen)
    assert again.notes == ()


def test_compaction_answers_with_one_signed_block_that_stands_for_the_history(fake: FakeProvider, sdk: Anthropic) -> None:
    """Its tokens stand in the iterations; sent back it takes the place of what it summarised, and thinking behind it stays valid."""
    history = grown(sdk, 3)
    before = sdk.messages.count_tokens(model=BINDING, messages=history[:5]).input_tokens
    made = sdk.beta.messages.create(model=BINDING, max_tokens=64, messages=history[:5], compaction={"type": "summarize"}, betas=[COMPACT])
    assert ([block.type for block in made.content], made.stop_reason) == (["compaction"], "compaction")
    assert made.usage.iterations is not None
    assert (made.usage.input_tokens, made.usage.iterations[0].type, made.usage.iterations[0].input_tokens) == (0, "compaction", before)
    kept: Any = [plain(made), *history[5:]]
    said = sdk.beta.messages.create(model=BINDING, max_tokens=64, messages=kept, betas=[COMPACT])
    assert said.usage.input_tokens < before / 4
    unfit = [plain(made), *history[3:]]
    with pytest.raises(anthropic.BadRequestError, match="bound to a different conversation"):
        sdk.beta.messages.create(model=BINDING, max_tokens=64, messages=unfit, betas=[COMPACT])


def test_a_compaction_is_streamed_as_one_delta(sdk: Anthropic) -> None:
    """And the SDK puts the same block together."""
    history = grown(sdk, 1)
    with sdk.beta.messages.stream(
        model=BINDING, max_tokens=64, messages=history, compaction={"type": "summarize"}, betas=[COMPACT]
    ) as stream:
        block = stream.get_final_message().content[0].to_dict()
    assert (block["type"], block["content"]) == ("compaction", "Answer 3")
    assert block["signature"]


def test_a_compaction_block_that_was_changed_or_misplaced_is_refused(sdk: Anthropic) -> None:
    """With the errors' own codes."""
    made: Any = plain(
        sdk.beta.messages.create(
            model=FREE, max_tokens=64, messages=[{"role": "user", "content": LONG}], compaction={"type": "summarize"}, betas=[COMPACT]
        )
    )
    block = made["content"][0]

    def code(*messages: Any) -> Any:
        with pytest.raises(anthropic.BadRequestError) as caught:
            sdk.beta.messages.create(model=FREE, max_tokens=64, messages=list(messages), betas=[COMPACT])
        return caught.value.error_code

    user: Any = {"role": "user", "content": "x"}
    sdk.beta.messages.create(model=FREE, max_tokens=64, messages=[made, user], betas=[COMPACT])
    assert code({**made, "content": [{**block, "content": "other"}]}, user) == "compaction_content_mismatch"
    assert code({**made, "content": [{**block, "signature": "x"}]}, user) == "compaction_signature_invalid"
    assert code(user, made, user) == "compaction_block_misplaced"


def test_diagnostics_say_why_the_cache_was_missed(sdk: Anthropic) -> None:
    """The reason is the first of the prompt's parts that differs from the named request's."""
    tools: Any = [{"name": "look", "input_schema": {"type": "object"}}]
    body: Any = {"model": FREE, "max_tokens": 64, "messages": [{"role": "user", "content": LONG}], "system": "Be brief.", "tools": tools}
    body["cache_control"] = {"type": "ephemeral"}
    first = sdk.messages.create(**body, diagnostics={"previous_message_id": None})
    assert first.diagnostics is None

    def reason(**changed: Any) -> tuple[str, int] | None:
        said = sdk.messages.create(**{**body, "diagnostics": {"previous_message_id": first.id}, **changed}).diagnostics
        found: Any = said.cache_miss_reason.to_dict() if said and said.cache_miss_reason else None
        return (found["type"], found.get("cache_missed_input_tokens", 0)) if found else None

    whole = from_anthropic(first.usage.to_dict()).prompt
    assert reason() is None
    grown_on = [*body["messages"], {"role": "assistant", "content": "A"}, {"role": "user", "content": "B"}]
    assert reason(messages=grown_on) is None
    assert reason(model=BINDING) == ("model_changed", whole)
    assert reason(system="Be long.") == ("system_changed", whole)
    assert reason(tools=[{**tools[0], "description": "x"}]) == ("tools_changed", whole)
    assert reason(messages=[{"role": "user", "content": LONG + "!"}]) == ("messages_changed", whole)
    assert reason(tool_choice={"type": "any"}) == ("unavailable", 0)
    assert reason(diagnostics={"previous_message_id": "msg_nobody"}) == ("previous_message_not_found", 0)

"""One recipe for each cause: a log that has it, and what the doctor says of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from holdfast.caches import AnthropicCache, AnthropicRules
from holdfast.doctor.diagnose import diagnose
from holdfast.doctor.findings import Cause, Finding, Verdict
from holdfast.pricing import Prices
from holdfast.usage import Usage
from tests.doctor.logs import Body, Provider, assistant, body, call, chat, conversation, result, text, tool, user, words, written

PRICES = Prices.load()
SYSTEM = words("sys", 3000)
TOOLS = [tool(f"t{index}", words(f"d{index}", 200)) for index in range(6)]
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A" * 4000}}
THOUGHT = {"type": "thinking", "thinking": words("th", 300), "signature": "x"}


def found(provider: Provider) -> list[Finding]:
    """The findings of a log."""
    return list(diagnose(provider.log, PRICES).findings)


def only(provider: Provider) -> Finding:
    """The one finding of a log."""
    (finding,) = found(provider)
    return finding


def growing(systems: Sequence[str | list[Body]], tools: Callable[[int], Sequence[Body]] = lambda turn: ()) -> Provider:
    """A conversation of so many turns under these system prompts."""
    provider = Provider()
    for turn, system in enumerate(systems, 1):
        provider.send(body(system, conversation(turn), tools(turn)))
    return provider


def test_a_clock_in_the_system_prompt() -> None:
    """A system prompt that begins with the time is named with both times and their place, at every request but the first."""
    findings = found(growing([f"It is 15:09:{20 + turn} now. {SYSTEM}" for turn in range(3)]))
    assert [(finding.turn, finding.cause, finding.detail) for finding in findings] == [
        (turn, Cause.SYSTEM_CHANGED, "system_changed:timestamp") for turn in (1, 2)
    ]
    assert findings[0].where == "system[0] characters 6-13"
    assert findings[0].diff is not None
    assert (findings[0].diff.before, findings[0].diff.after, findings[0].diff.start) == ("15:09:20", "15:09:21", 13)


@pytest.mark.parametrize(
    ("one", "other", "detail"),
    [
        ("client 2.1.215 here", "client 2.1.220 here", "system_changed:client_version"),
        ("session 123e4567-e89b-12d3-a456-426614174001", "session 00005567-e89b-12d3-a456-426614174fff", "system_changed:id"),
        ("request 41", "request 42", "system_changed:counter"),
        ("today is 2026-09-01", "today is 2026-09-02", "system_changed:timestamp"),
        ("be brief and kind", "be brief and stern", "system_changed"),
    ],
)
def test_what_changed_in_a_system_prompt(one: str, other: str, detail: str) -> None:
    """The kind of change is told by what the differing characters are."""
    assert only(growing([f"{SYSTEM} {one}", f"{SYSTEM} {one}", f"{SYSTEM} {other}"])).detail == detail


def test_a_system_prompt_that_was_dropped() -> None:
    """A request without the system prompt that stood before it."""
    provider = growing([SYSTEM, SYSTEM])
    provider.send({**body(SYSTEM, conversation(3)), "system": [text("You are helpful.", True)]})
    assert only(provider).detail == "system_changed:dropped"


def test_a_fix_is_not_judged_by_the_request_that_brings_it() -> None:
    """Taking the clock out of the system prompt writes once: that request is a note, and no finding."""
    provider = growing([f"{SYSTEM} It is 2026-09-1{turn} 15:09:20" for turn in range(2)] + [SYSTEM, SYSTEM])
    assert [finding.turn for finding in found(provider)] == [1]
    assert any("judge from the next one" in note for note in diagnose(provider.log, PRICES).notes)


@pytest.mark.parametrize(
    ("tools", "cause", "detail", "where"),
    [
        (
            [*TOOLS[:3], tool("t3", "Something else."), *TOOLS[4:]],
            Cause.TOOLS_CHANGED,
            "tools_changed:appended_or_edited",
            "tools[3].description",
        ),
        ([*TOOLS, tool("new")], Cause.TOOLS_CHANGED, "tools_changed:appended_or_edited", "tools[6]"),
        (TOOLS[1:], Cause.TOOLS_CHANGED, "tools_changed", "tools[0]"),
        (TOOLS[::-1], Cause.TOOLS_REORDERED, "tools_reordered", "tools[0]"),
        ([dict(reversed(each.items())) for each in TOOLS], Cause.TOOLS_REORDERED, "serialization_order", "tools[0]"),
    ],
)
def test_changed_tools(tools: list[Body], cause: Cause, detail: str, where: str) -> None:
    """Edited, appended, removed, in another order, with keys in another order: each has its own name."""
    finding = only(growing([SYSTEM] * 4, lambda turn: TOOLS if turn < 3 else tools))
    assert (finding.turn, finding.cause, finding.detail, finding.where) == (2, cause, detail, where)


def rewritten(before: list[Body], after: list[Body]) -> Finding:
    """The finding where a conversation is sent again with other earlier messages, and goes on."""
    provider = Provider()
    provider.send(body(SYSTEM, before))
    provider.send(body(SYSTEM, [*after, assistant("well"), user("go on")]))
    return only(provider)


LONG = [
    user("question"),
    assistant(THOUGHT, "let me look", call("c1")),
    user(result("c1", words("r1", 900))),
    assistant(call("c2")),
    user(result("c2", words("r2", 900))),
    assistant("fine"),
    user(words("q", 500)),
]


def changed(index: int, message: Body) -> list[Body]:
    """``LONG`` with another message in one place."""
    return [*LONG[:index], message, *LONG[index + 1 :]]


@pytest.mark.parametrize(
    ("after", "detail", "where"),
    [
        (changed(2, user(result("c1", "[cleared]"))), "messages_rewritten:own_pruning", "messages[2].content[0]"),
        (changed(1, assistant("let me look", call("c1"))), "messages_rewritten:thinking_pruned", "messages[1].content[0]"),
        (changed(0, {"role": "user", "content": "question"}), "messages_rewritten:shape_only", "messages[0]"),
        (changed(3, assistant({**call("c2"), "input": {"command": "do it"}})), "messages_rewritten", "messages[3].content[0]"),
        (LONG[:2] + LONG[4:], "messages_rewritten:sliding_window", "messages[2]"),
        ([LONG[0], assistant("a word"), *LONG[1:]], "message_inserted_before_tail", "messages[1].content[0]"),
    ],
)
def test_rewritten_messages(after: list[Body], detail: str, where: str) -> None:
    """Pruned results, pruned thinking, another shape, an edit, a dropped span, an inserted message: each has its name and its place."""
    finding = rewritten(LONG, after)
    assert (finding.detail, finding.where, finding.verdict) == (detail, where, Verdict.YOURS)


def test_the_order_of_keys_in_a_call() -> None:
    """A tool call whose input has its keys in another order is equal as a value and another prompt."""
    one = {"type": "tool_use", "id": "c2", "name": "run", "input": {"a": 1, "b": 2}}
    other = {**one, "input": {"b": 2, "a": 1}}
    finding = rewritten(changed(3, assistant(one)), changed(3, assistant(other)))
    assert (finding.cause, finding.detail, finding.where) == (
        Cause.MESSAGES_REWRITTEN,
        "serialization_order",
        "messages[3].content[0].input",
    )


def test_thinking_whose_removal_merges_messages() -> None:
    """A thinking message that is removed whole, so that its neighbours become one, is thinking pruned."""
    before = [user("A"), assistant(THOUGHT), user("B"), assistant(words("b", 600)), user("k")]
    assert rewritten(before, [user("A\n\nB"), *before[3:]]).detail == "messages_rewritten:thinking_pruned"


def test_an_image_that_became_text() -> None:
    """A picture replaced by a pointer to a file."""
    before = [user("look", IMAGE), assistant(words("i", 600)), user("and?")]
    finding = rewritten(before, [user("look", "[image saved]"), *before[1:]])
    assert (finding.cause, finding.detail, finding.where) == (Cause.IMAGE_CHANGED, "image_replaced", "messages[0].content[1]")


def test_tools_that_arrived_late() -> None:
    """References to tools that were scrubbed and come back: the scrubbed request lost, the restored one reads the old entry."""
    reference = user(result("c1", [{"type": "tool_reference", "tool_name": "x"}]))
    before = [user("q"), assistant(call("c1")), reference, assistant(words("b", 900)), user("k")]
    provider = Provider()
    provider.send(body(SYSTEM, before))
    provider.send(body(SYSTEM, [*before[:2], user(result("c1", [{"type": "text", "text": "[gone]"}])), *before[3:]]))
    provider.send(body(SYSTEM, [*before, assistant("z"), user("l")]))
    finding = only(provider)
    assert (finding.turn, finding.detail) == (1, "messages_rewritten:tools_arrived_late")
    assert finding.where.startswith("messages[2]")


def test_reminders_that_are_stripped_on_replay() -> None:
    """Blocks that stand in the newest message only: each turn changes what was cached."""
    provider = Provider()
    for turn in range(1, 5):
        messages = conversation(turn)
        provider.send(body(SYSTEM, [*messages[:-1], user(words("reminder", 300), messages[-1]["content"][0]["text"])]))
    assert {(finding.cause, finding.detail) for finding in found(provider)} == {
        (Cause.MESSAGE_INSERTED_BEFORE_TAIL, "messages_rewritten:ephemeral_injection")
    }


def test_a_mark_on_a_message_that_goes_away() -> None:
    """The last mark stands on a trailing message that the next request no longer has: written every turn, read never."""
    provider = Provider()
    for turn in range(1, 5):
        provider.send(body(SYSTEM, [*conversation(turn), user(words(f"volatile{turn}", 200))]))
    findings = found(provider)
    assert {(finding.cause, finding.detail) for finding in findings} == {(Cause.BREAKPOINT_MISPLACED, "breakpoint_on_volatile_block")}
    assert findings[0].where == "messages[1].content[0]"


def test_a_turn_that_jumps_over_the_look_back() -> None:
    """With 38 new blocks and one mark, the entry is out of reach though it lives."""
    provider = Provider()
    messages = conversation(2)
    provider.send(body(SYSTEM, messages))
    provider.send(body(SYSTEM, [*messages, assistant(*(words(f"x{index}", 60) for index in range(38))), user("go on")]))
    assert only(provider).cause is Cause.BREAKPOINT_LOOKBACK_EXCEEDED


def test_no_mark_behind_the_stable_part() -> None:
    """Two stable texts with a mark on the first only: the second is written every time."""
    provider = Provider()
    system = [text(words("static", 4700), True), text(words("memory", 3000))]
    for turn in range(2):
        provider.send(body(system, [user(f"question {turn}")]))
    finding = only(provider)
    assert (finding.detail, finding.where) == ("breakpoint_misplaced", "system[1]")


def test_stable_text_and_what_changes_in_one_block() -> None:
    """Prompts of siblings that differ in their last word share a block with 5,000 stable tokens."""
    provider = Provider()
    for turn in range(2):
        provider.send(body(SYSTEM, [user(f"{words('rest', 5000)} prompt {turn}")]))
    finding = only(provider)
    assert finding.detail == "breakpoint_misplaced"
    assert finding.where.startswith("messages[0].content[0] characters")


def test_no_marks_at_all() -> None:
    """A request to an API with marks, without one: nothing is ever cached."""
    provider = Provider()
    for turn in (1, 2):
        provider.send({"model": provider.model, "system": SYSTEM, "messages": conversation(turn)})
    assert only(provider).detail == "no_breakpoint_on_stable_prefix"


def test_gpt_without_explicit_marks_stays_at_the_head() -> None:
    """A read that stays at the system message while an unmarked conversation grows."""
    provider = Provider("openai", "gpt-5.6-luna")
    for turn in range(1, 5):
        usage = Usage(fresh=300 + 1200 * turn, read=2900 if turn > 1 else 0)
        provider.send(chat(SYSTEM, conversation(turn), "gpt-5.6-luna"), usage=usage)
    assert {finding.detail for finding in found(provider)} == {"no_breakpoint_on_stable_prefix"}


def test_a_prompt_below_the_minimum() -> None:
    """2,000 marked tokens are cached on one model and never on another, which says nothing of it."""
    prompt = body(words("s", 1400), conversation(1, 500))
    small = Provider(model="claude-opus-4-5", cache=AnthropicCache(AnthropicRules(minimum=4096)))
    for provider in (small, Provider()):
        for _ in range(2):
            provider.send({**prompt, "model": provider.model})
    assert only(small).cause is Cause.BELOW_MINIMUM
    assert "4096" in only(small).fix


def test_a_lifetime_that_passed() -> None:
    """After seven minutes an entry for five is gone; the finding says both."""
    provider = Provider()
    for turn, gap in enumerate((0.0, 30.0, 420.0), 1):
        provider.send(body(SYSTEM, conversation(turn)), gap)
    finding = only(provider)
    assert (finding.cause, finding.verdict) == (Cause.TTL_EXPIRED, Verdict.YOURS)
    assert "7 min" in finding.fix
    assert "5 min" in finding.fix


def test_another_account() -> None:
    """The same bytes on another account write again; back on the first they are read."""
    provider = Provider()
    for account in "XYX":
        provider.send(body(SYSTEM, conversation(2)), account=account)
    finding = only(provider)
    assert (finding.turn, finding.cause, finding.verdict) == (1, Cause.ACCOUNT_OR_SCOPE_CHANGED, Verdict.YOURS)


def test_a_batch_does_not_read_what_messages_wrote() -> None:
    """The class of endpoint isolates caches as an account does."""
    provider = Provider()
    provider.send(body(SYSTEM, conversation(2)), more={"endpoint": "/v1/messages"})
    provider.send(body(SYSTEM, conversation(2)), usage=Usage(write_5m=4864), more={"endpoint": "/v1/messages/batches"})
    assert only(provider).cause is Cause.ACCOUNT_OR_SCOPE_CHANGED


@pytest.mark.parametrize(
    ("more", "cause"),
    [
        ({"model": "claude-opus-4-8"}, Cause.MODEL_CHANGED),
        ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, Cause.THINKING_CHANGED),
        ({"output_config": {"effort": "low"}}, Cause.EFFORT_CHANGED),
        ({"tool_choice": {"type": "any"}}, Cause.TOOL_CHOICE_CHANGED),
        ({"speed": "fast"}, Cause.SETTINGS_CHANGED),
    ],
)
def test_changed_settings(more: Body, cause: Cause) -> None:
    """A change of model, thinking, effort, tool choice or speed loses what its tier holds."""
    provider = Provider()
    for turn in (1, 2, 3):
        provider.send(body(SYSTEM, conversation(turn)) | (more if turn == 3 else {}), account="A")
    finding = only(provider)
    assert (finding.turn, finding.cause, finding.verdict) == (2, cause, Verdict.YOURS)


def test_a_parallel_start() -> None:
    """A request sent before the first one's response has begun pays the write again."""
    provider = Provider()
    for gap in (0.0, 0.3):
        provider.send(body(SYSTEM, conversation(2)), gap)
    finding = only(provider)
    assert (finding.cause, finding.detail, finding.verdict) == (Cause.PARALLEL_RACE, "parallel_start", Verdict.YOURS)


def test_who_holds_the_answer_did_not_start_before_it() -> None:
    """Clocks that overlap make no parallel start of a request that goes on from the answer."""
    provider = Provider()
    provider.send(body(SYSTEM, conversation(1)), took=60.0)
    provider.send(body(SYSTEM, conversation(2)), 0.2, usage=Usage(write_5m=4864))
    assert only(provider).detail == "write_not_yet_visible"


def test_a_write_that_cannot_be_read_yet() -> None:
    """The same bytes half a second after the response, read as far as older entries go: the provider's lag, whatever the client did."""
    provider = Provider()
    provider.send(body(SYSTEM, conversation(2)))
    provider.send(body(SYSTEM, conversation(2)), 2.5, usage=Usage(fresh=3, write_5m=4861))
    finding = only(provider)
    assert (finding.detail, finding.verdict) == ("write_not_yet_visible", Verdict.PROVIDER)
    assert "0.5 s old" in finding.excluded[0]


def test_a_summary_asked_under_another_system_prompt() -> None:
    """The dearest request of a session, sent so that it reads nothing."""
    provider = Provider()
    messages = conversation(3)
    provider.send(body(SYSTEM, messages))
    provider.send(body("You sum up.", [*messages, assistant("ok"), user("Summarize the conversation so far.")]))
    finding = only(provider)
    assert (finding.turn, finding.cause, finding.where) == (1, Cause.COMPACTION_REQUEST_PREFIX, "system[0]")


def test_a_summary_asked_of_a_flattened_conversation() -> None:
    """A summariser that is given the conversation as plain text shares nothing; what follows is judged by the conversation, not by it."""
    provider = Provider()
    messages = conversation(3)
    flat = "\n".join(block["text"] for message in messages for block in message["content"])
    summary = "SUMMARY " + words("s", 200)
    provider.send(body(SYSTEM, conversation(2)))
    provider.send(body(SYSTEM, messages))
    provider.send(body("You sum up.", [user(f"Summarize this conversation:\n{flat}")]), response={"content": [text(summary)]})
    provider.send(body(SYSTEM, [user(summary), assistant("ok"), user("go on")]))
    first, second = found(provider)
    assert (first.turn, first.cause) == (2, Cause.COMPACTION_REQUEST_PREFIX)
    assert (second.turn, second.cause, second.where) == (3, Cause.COMPACTION, "messages[0].content[0]")


def test_a_compaction_right_after_the_prefix_was_written() -> None:
    """A miss has just made the prefix hot: compacting at once throws that write away."""
    provider = Provider()
    for turn, gap in enumerate((0.0, 30.0, 900.0), 3):
        provider.send(body(SYSTEM, conversation(turn)), gap)
    provider.send(
        body(SYSTEM, [user("This session is being continued from a previous one: " + words("z", 900)), assistant("ok"), user("on")])
    )
    assert [finding.cause for finding in found(provider)] == [Cause.TTL_EXPIRED, Cause.WRONG_COMPACTION_TIMING]


def test_a_system_message_in_the_middle_that_a_gateway_hoists() -> None:
    """Steering text as role system at the tail loses everything on a route whose template moves it to the front."""
    provider = Provider("deepseek", "deepseek-v4-pro")
    for turn in (1, 2, 3):
        provider.send(chat(SYSTEM, conversation(turn), "deepseek-v4-pro"))
    steered = chat(SYSTEM, conversation(3), "deepseek-v4-pro")
    steered["messages"] += [{"role": "assistant", "content": "ok"}, {"role": "system", "content": "steer"}]
    provider.send(steered, usage=Usage(fresh=7000))
    finding = only(provider)
    assert (finding.detail, finding.where) == ("message_inserted_before_tail:hoisted_system", "messages[7]")


def test_a_head_only_read_of_unchanged_bytes() -> None:
    """Append-only, alive, marked, and only the head read: the provider is suspected, and what was excluded is said."""
    provider = Provider()
    for turn in (1, 2, 3):
        provider.send(body(SYSTEM, conversation(turn)))
    provider.send(body(SYSTEM, conversation(4)), usage=Usage(read=3040, write_5m=4256))
    finding = only(provider)
    assert (finding.detail, finding.verdict) == ("head_only_collapse", Verdict.PROVIDER)
    assert [words.split(":")[0] for words in finding.excluded] == ["bytes", "lifetime", "account", "settings and model", "marks"]


def test_one_zero_of_an_implicit_cache() -> None:
    """A cache that promises nothing read nothing: never the client's fault."""
    provider = Provider("google", "gemini-3-flash-preview")
    for turn in (1, 2):
        provider.send(chat(SYSTEM, conversation(turn, 2000), "gemini-3-flash-preview"), usage=Usage(fresh=5000 + 2000 * turn))
    finding = only(provider)
    assert (finding.detail, finding.verdict) == ("best_effort_implicit", Verdict.PROVIDER)


def test_a_template_that_drops_thinking() -> None:
    """On a server of one's own a new user message renders earlier answers anew: no message was edited."""
    provider = Provider("llama.cpp", "qwen3")
    tool_turn = {"role": "assistant", "content": words("a", 300), "reasoning_content": words("th", 300)}
    history = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": "q"}, tool_turn]
    first = {"model": "qwen3", "messages": [*history[:2]]}
    second = {"model": "qwen3", "messages": [*history, {"role": "tool", "tool_call_id": "c", "content": words("r", 300)}]}
    third = {
        "model": "qwen3",
        "messages": [*second["messages"], {"role": "assistant", "content": "done"}, {"role": "user", "content": "next"}],
    }
    for sent, usage in ((first, Usage(fresh=3100)), (second, Usage(fresh=800, read=3200)), (third, Usage(fresh=4100))):
        provider.send(sent, usage=usage)
    finding = only(provider)
    assert (finding.turn, finding.cause, finding.detail) == (2, Cause.THINKING_CHANGED, "thinking_stripped_by_template")


@pytest.mark.parametrize(
    ("marks", "cause"), [([True] * 5, Cause.BREAKPOINT_LIMIT), ([True, "1h"], Cause.BREAKPOINT_TTL_ORDER)], ids=["fifth", "1h after 5m"]
)
def test_marks_that_are_refused(marks: list[bool | str], cause: Cause) -> None:
    """A fifth mark and an hour behind five minutes are refused: named though nothing was billed."""
    provider = Provider()
    system = [text(words(f"s{place}", 400), mark) for place, mark in enumerate(marks)]
    provider.send(
        {"model": provider.model, "system": system, "messages": [user("x")]}, response={"usage": {}, "error": {"type": "invalid"}}
    )
    finding = only(provider)
    assert (finding.cause, finding.tokens_rewritten) == (cause, 0)


def test_the_providers_reason_stands_beside_ours() -> None:
    """A recorded reason is shown and compared; that a fingerprint was not found says nothing of the entry."""
    provider = Provider()
    reasons = ["", "system_changed", "previous_message_not_found", "messages_changed"]
    for turn, reason in enumerate(reasons):
        told = {"diagnostics": {"cache_miss_reason": {"type": reason}}} if reason else {}
        provider.send(body(f"at 12:00:0{turn} {SYSTEM}", conversation(turn + 1)), response=told)
    diagnosis = diagnose(provider.log, PRICES)
    assert [(finding.provider_reason, finding.agrees) for finding in diagnosis.findings] == [
        ("system_changed", True),
        ("previous_message_not_found", None),
        ("messages_changed", False),
    ]
    assert diagnosis.agreement == (1, 2)


def test_cached_tokens_that_were_counted_twice() -> None:
    """A compaction where only prompt and cached tokens added together fill the window."""
    provider = Provider("openai", "gpt-5.1-codex-max" if "gpt-5.1-codex-max" in PRICES.models() else "gpt-5.1")
    before = conversation(3, 3000)
    provider.send(chat(SYSTEM, before, provider.model), usage=Usage(fresh=184000))
    provider.send(chat(SYSTEM, [*before, assistant("x"), user("y")], provider.model), usage=Usage(fresh=768, read=183936))
    compacted = [user("This session is being continued from a previous conversation. " + words("z", 900)), assistant("ok"), user("on")]
    provider.send(chat(SYSTEM, compacted, provider.model), usage=Usage(fresh=9000, read=2944))
    finding = only(provider)
    assert (finding.turn, finding.cause, finding.detail) == (2, Cause.WRONG_COMPACTION_TIMING, "usage_semantics")
    assert any("counted twice (368640)" in words for words in finding.excluded)


def test_a_server_that_does_not_reuse_what_it_generated() -> None:
    """The prompt of the turn before is read to the last token, its answer never."""
    provider = Provider("sglang", "any")
    messages = conversation(2, 900)
    usages = (Usage(fresh=1000, output=500), Usage(fresh=900, read=1000))
    for turn, usage in zip((1, 3), usages, strict=True):
        provider.send({"model": "any", "messages": chat("", messages[:turn], "any")["messages"][1:]}, usage=usage)
    finding = only(provider)
    assert (finding.turn, finding.detail, finding.verdict) == (1, "engine_bug", Verdict.PROVIDER)


def test_writes_priced_by_another_lifetime() -> None:
    """Money on record that is the bill of five-minute writes, for writes of an hour."""
    usage = Usage(fresh=9, read=240_177, write_1h=46_404, output=2086)
    bill = {**written("anthropic", usage), "cost": 0.2774}
    provider = Provider(model="claude-sonnet-4-6")
    sent = {**body(SYSTEM, conversation(2)), "model": "claude-sonnet-4-6"}
    provider.send(sent, usage=usage, response={"usage": bill})
    finding = only(provider)
    assert (finding.cause, finding.detail, finding.tokens_rewritten) == (Cause.ACCOUNTING_ERROR, "ttl_price_tier", 0)
    provider.log[0].response["usage"]["cost"] = 0.3818
    assert found(provider) == []


def test_habits_are_said_once() -> None:
    """A cause that comes at every turn is a habit, told in one note beside the findings."""
    provider = Provider()
    for turn in range(1, 7):
        provider.send(body(SYSTEM, conversation(turn)[max(0, 2 * turn - 6) :]))
    diagnosis = diagnose(provider.log, PRICES)
    assert {finding.detail for finding in diagnosis.findings} == {"messages_rewritten:sliding_window"}
    assert any(note.startswith("3 x messages_rewritten:sliding_window") for note in diagnosis.notes)


def test_reads_by_requests_under_way() -> None:
    """Where many requests overlap, the share that was not read is told by how many others were under way."""
    provider = Provider()
    for turn in range(60):
        gap, took = (30.0, 5.0) if turn < 30 else (3.0, 10.0)
        read = 4000 if turn < 30 else 2000
        provider.send(body(SYSTEM, conversation(2)), gap, took=took, usage=Usage(read=read, write_5m=5000 - read))
    (note,) = [note for note in diagnose(provider.log, PRICES).notes if "under way" in note]
    assert note.endswith("none: 20%, 1-2: 60%, 3 or more: 60%")

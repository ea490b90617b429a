"""What holds of every diagnosis, whatever the log."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.doctor.diagnose import Diagnosis, diagnose
from holdfast.doctor.findings import Verdict
from holdfast.exchange import Exchange
from holdfast.pricing import Prices
from holdfast.usage import Usage
from tests.doctor.logs import Body, Provider, body, chat, conversation, tool, user, words

PRICES = Prices.load()
SYSTEM = words("s", 2000)
TOOLS = [tool(f"tool{index}", words(f"d{index}", 90)) for index in range(4)]


def of(provider: Provider) -> Diagnosis:
    """The diagnosis of what a provider logged."""
    return diagnose(provider.log, PRICES)


@st.composite
def sessions(draw: st.DrawFn) -> list[Body]:
    """The requests of a conversation that only grows, with marks at the end of the system prompt and at the tail."""
    turns = draw(st.integers(2, 6))
    tokens = draw(st.integers(150, 700))
    tools = TOOLS if draw(st.booleans()) else []
    return [body(SYSTEM, conversation(turn, tokens), tools) for turn in range(1, turns + 1)]


def sent(bodies: list[Body], gap: float = 30.0) -> Provider:
    """The log of these requests, billed by a cache that works by the rules."""
    provider = Provider()
    for each in bodies:
        provider.send(each, gap)
    return provider


@settings(max_examples=40)
@given(sessions(), st.floats(3.0, 290.0))
def test_a_conversation_that_only_grows_has_no_finding(bodies: list[Body], gap: float) -> None:
    """An append-only conversation with a mark at its tail, billed by the rules, has no finding and reads all that was sent before."""
    diagnosis = of(sent(bodies, gap))
    assert diagnosis.findings == ()
    assert diagnosis.checked == len(bodies) - 1


def _mutated(bodies: list[Body], data: st.DataObject) -> tuple[list[Body], str, int, int]:
    """One character of the head or of an early message is another one from some request on: bodies, path, character, request."""
    since = data.draw(st.integers(1, len(bodies) - 1), "request")
    places = [("system", 0), ("messages", data.draw(st.integers(0, 2 * (since - 1)), "message"))]
    places += [("tools", data.draw(st.integers(0, 3), "tool"))] if bodies[0].get("tools") else []
    key, index = data.draw(st.sampled_from(places), "place")
    at = 0
    bodies = [deepcopy(each) for each in bodies]  # each on its own: they share their tools
    for each in bodies[since:]:
        item = each[key][index]
        holder, field = (item, "description") if key == "tools" else (item, "text") if key == "system" else (item["content"][0], "text")
        at = data.draw(st.integers(0, len(holder[field]) - 1), "character") if each is bodies[since] else at
        holder[field] = holder[field][:at] + "Z" + holder[field][at + 1 :]
    path = {"tools": f"tools[{index}].description", "system": "system[0]", "messages": f"messages[{index}].content[0]"}[key]
    return bodies, path, at, since


@settings(max_examples=60)
@given(sessions(), st.data())
def test_one_changed_character_is_one_finding_at_its_place(bodies: list[Body], data: st.DataObject) -> None:
    """Another character in the head or in an early message gives one finding, at the request that first had it, that names the place."""
    changed, path, at, since = _mutated(bodies, data)
    (finding,) = of(sent(changed)).findings
    assert finding.turn == since
    assert finding.verdict is Verdict.YOURS
    assert finding.where.startswith(path)
    if path == "system[0]":
        first, last = map(int, finding.where.removeprefix("system[0] characters ").split("-"))
        assert first <= at <= last
    assert finding.diff is not None
    assert finding.diff.start == at
    assert "Z" in finding.diff.after
    assert finding.usd is not None
    assert finding.usd > 0


@settings(max_examples=30)
@given(st.integers(3, 6), st.integers(150, 600), st.data())
def test_one_changed_character_of_a_chat_is_named_as_it_stands_there(turns: int, tokens: int, data: st.DataObject) -> None:
    """In Chat Completions and on a cache without marks the place is that of the message, the system prompt's among them."""
    index = data.draw(st.integers(0, 2), "message")
    provider = Provider("deepseek", "deepseek-v4-pro")
    for turn in range(1, turns + 1):
        sent = chat(SYSTEM, conversation(turn, tokens), provider.model)
        if turn == turns:
            content = sent["messages"][index]["content"]
            at = data.draw(st.integers(0, len(content) - 1), "character")
            sent["messages"][index]["content"] = content[:at] + "Z" + content[at + 1 :]
        provider.send(sent)
    (finding,) = of(provider).findings
    assert finding.turn == turns - 1
    assert finding.where.split(" ")[0] == f"messages[{index}].content"


@settings(max_examples=30)
@given(sessions(), st.data())
def test_every_lost_token_is_counted_once(bodies: list[Body], data: st.DataObject) -> None:
    """What the findings count is at most what was not read, request by request."""
    provider = sent(_mutated(bodies, data)[0])
    usages = [exchange.response["usage"] for exchange in provider.log]
    for finding in of(provider).findings:
        usage = usages[finding.turn]
        assert 0 < finding.tokens_rewritten <= usage["input_tokens"] + usage["cache_creation_input_tokens"]
    assert len({finding.turn for finding in of(provider).findings}) == len(of(provider).findings)


@settings(max_examples=20)
@given(sessions(), st.data())
def test_rows_of_one_response_are_one_request(bodies: list[Body], data: st.DataObject) -> None:
    """A log that holds every response several times has the findings and the tokens of one that holds each once."""
    provider = sent(_mutated(bodies, data)[0])
    once = of(provider)
    thrice = diagnose([exchange for exchange in provider.log for _ in range(3)], PRICES)
    assert (thrice.read_tokens, thrice.prompt_tokens, thrice.checked) == (once.read_tokens, once.prompt_tokens, once.checked)
    assert [finding.detail for finding in thrice.findings] == [finding.detail for finding in once.findings]


@settings(max_examples=20)
@given(sessions(), st.integers(2, 6))
def test_conversations_that_run_side_by_side_do_not_disturb_each_other(one: list[Body], turns: int) -> None:
    """Requests of another conversation in between, with another head, are no finding of either."""
    other = [body(words("x", 1500), conversation(turn, 300, "o"), one[0].get("tools", ())) for turn in range(1, turns + 1)]
    provider = Provider()
    for place in range(max(len(one), len(other))):
        for bodies in (one, other):
            if place < len(bodies):
                provider.send(bodies[place], 5.0)
    assert of(provider).findings == ()


@settings(max_examples=20)
@given(sessions(), st.randoms())
def test_the_order_of_the_file_does_not_count_where_there_are_times(bodies: list[Body], random: Any) -> None:
    """A log whose lines stand in another order has the same findings."""
    provider = sent(bodies)
    log = list(provider.log)
    random.shuffle(log)
    assert diagnose(log, PRICES).findings == ()


def without_usage(exchange: Exchange) -> Exchange:
    """A request whose bill was not recorded."""
    return replace(exchange, response={"id": exchange.response["id"]})


@settings(max_examples=20)
@given(sessions())
def test_no_usage_is_no_miss(bodies: list[Body]) -> None:
    """Requests without a bill are no findings, and those behind them lose nothing for it."""
    log = [without_usage(exchange) if place % 2 else exchange for place, exchange in enumerate(sent(bodies).log)]
    diagnosis = diagnose(log, PRICES)
    assert diagnosis.findings == ()
    assert any("without usage" in note for note in diagnosis.notes)


def test_a_missing_count_is_not_a_read_of_zero() -> None:
    """A usage that does not say how much was read is named, and is no finding."""
    provider = sent([body(SYSTEM, conversation(turn)) for turn in (1, 2)])
    log = [replace(exchange, response={"id": exchange.response["id"], "usage": {"input_tokens": 900}}) for exchange in provider.log]
    diagnosis = diagnose(log, PRICES)
    assert diagnosis.findings == ()
    assert diagnosis.hit_rate is None
    assert diagnosis.notes == ("2 x usage that does not say how much was read",)


def test_bad_records_are_named_and_none_is_fatal() -> None:
    """Usage that cannot be, a body that no API takes, an empty log: each is said, nothing is raised."""
    impossible = {"prompt_tokens": 10, "prompt_tokens_details": {"cached_tokens": 20}}
    negative = {"input_tokens": -5, "cache_read_input_tokens": 0}
    log = [
        Exchange({"model": "gpt-5.1", "messages": [{"role": "user", "content": "x"}]}, {"usage": impossible}),
        Exchange({"model": "claude-opus-4-8", "messages": [user("x")]}, {"usage": negative}),
        Exchange({"model": "claude-opus-4-8", "messages": ["no message"]}, {}),
        Exchange({}, {}),
    ]
    diagnosis = diagnose(log, PRICES)
    assert diagnosis.findings == ()
    assert diagnosis.requests == 4
    assert sum("cannot be" in note or "negative" in note or "no API takes" in note for note in diagnosis.notes) == 3
    assert diagnose([], PRICES) == Diagnosis(0, 0, 0, 0)


def test_the_hit_rate_is_of_all_requests_with_a_bill() -> None:
    """It is what was read of all prompt tokens."""
    usage = [Usage(fresh=100, write_5m=4900), Usage(fresh=100, read=4900)]
    provider = Provider()
    for turn, each in enumerate(usage):
        provider.send(body(SYSTEM, conversation(turn + 1)), usage=each)
    assert of(provider).hit_rate == 0.49


def test_the_price_of_a_loss_is_what_was_charged_less_a_read() -> None:
    """Tokens written for five minutes instead of read cost 1.15 times the input price; nothing is guessed for an unknown model."""
    provider = sent([body(SYSTEM, conversation(1, 900))] * 1)
    lost = provider.log[0].response["usage"]["cache_creation_input_tokens"]
    provider.send(body(SYSTEM, conversation(1, 900)), 20.0, usage=Usage(write_5m=lost))
    (finding,) = of(provider).findings
    assert finding.usd is not None
    assert float(finding.usd) * 1e6 / finding.tokens_rewritten == 3 * 1.25 - 0.3
    unknown = [replace(exchange, body={**exchange.body, "model": "claude-unheard-of"}) for exchange in provider.log]
    assert [finding.usd for finding in diagnose(unknown, PRICES).findings] == [None]


KEYS = (
    "role content type text tool_use_id id name input cache_control ttl messages system tools tool_calls function arguments usage "
    "input_tokens cache_read_input_tokens prompt_tokens prompt_tokens_details cached_tokens diagnostics cache_miss_reason output"
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 10_000) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS.split()) | st.text(max_size=5), inner, max_size=5),
    max_leaves=25,
)
BODIES = st.fixed_dictionaries(
    {"model": st.sampled_from(["claude-opus-4-8", "gpt-5.6-sol", "deepseek-flash", "nobody-knows"]) | JSON},
    optional={
        "messages": st.lists(JSON, max_size=4) | JSON,
        **dict.fromkeys(("input", "system", "tools", "cache_control", "prompt_cache_options"), JSON),
    },
)


@settings(max_examples=50)
@given(st.lists(st.tuples(BODIES, JSON, st.none() | st.floats(0, 1e9)), max_size=5))
def test_no_log_is_too_broken(rows: list[tuple[Body, Any, float | None]]) -> None:
    """Bodies, responses and clocks of any JSON are diagnosed without an error."""
    log = [Exchange(body, response if isinstance(response, dict) else {}, at=at) for body, response, at in rows]
    diagnosis = diagnose(log, PRICES)
    assert diagnosis.requests == len(log)
    assert 0 <= (diagnosis.hit_rate or 0) <= 1

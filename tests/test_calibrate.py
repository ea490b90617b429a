"""Where usage was recorded every prompt weighs exactly what was billed, and no weight is taken from the future."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast import readers
from holdfast.blocks import Block, Kind, Mark, Message, Prompt, Role, Settings, Window, make_block
from holdfast.calibrate import weigh
from holdfast.families import family
from holdfast.settle import Expected, Ratios, allocate, settle
from holdfast.tokens import Counter
from holdfast.transcript import Dialect, Transcript, Turn, Unlogged
from holdfast.usage import Usage
from holdfast.wire.anthropic import read_message

COUNTER = Counter()
WORDS = ["alpha", "beta", "src/app/main.py", "return None", "12345", "the cache was read again", ""]

texts = st.lists(st.sampled_from(WORDS), min_size=1, max_size=12).map(" ".join)
sizes = st.one_of(st.integers(0, 3000), st.integers(0, 200_000))
models = st.sampled_from(["claude-opus-4-5-20251101", "claude-opus-4-8", "claude-sonnet-4-5", "gpt-5.4"])


def user(*content: object) -> Message:
    return read_message({"role": "user", "content": [{"type": "text", "text": c} if isinstance(c, str) else c for c in content]})


def assistant(*content: object) -> Message:
    return read_message({"role": "assistant", "content": [{"type": "text", "text": c} if isinstance(c, str) else c for c in content]})


@st.composite
def steps(draw: st.DrawFn) -> list[tuple[Message, Message]]:
    """Answers with what the user's side said next: words, or the results of one or two calls; some think."""
    pairs = []
    for number in range(draw(st.integers(0, 5))):
        thinking = draw(st.sampled_from([None, "", "a thought or two"]))
        calls = draw(st.integers(0, 2))
        content: list[object] = [] if thinking is None else [{"type": "thinking", "thinking": thinking, "signature": "s"}]
        content.append(draw(texts))
        content += [{"type": "tool_use", "id": f"t{number}-{n}", "name": "Bash", "input": {"command": draw(texts)}} for n in range(calls)]
        results: list[object] = [{"type": "tool_result", "tool_use_id": f"t{number}-{n}", "content": draw(texts)} for n in range(calls)]
        pairs.append((assistant(*content), user(*(results or [draw(texts)]))))
    return pairs


@st.composite
def usages(draw: st.DrawFn, total: int) -> Usage:
    read = draw(st.integers(0, total))
    return Usage(fresh=total - read, read=read, output=draw(st.integers(0, 4000)))


@st.composite
def lineage(draw: st.DrawFn, name: str, log: list[Message]) -> list[Turn]:
    """Turns whose bills mostly grow with the prompt, sometimes jump, shrink or are missing."""
    turns: list[Turn] = []
    model, total = draw(models), draw(sizes)
    head = draw(st.sampled_from([(), (make_block(Kind.SYSTEM, Role.SYSTEM, "You are an agent.", "You are an agent."),)]))
    for answer, said in [(None, None), *draw(steps())]:
        if answer is not None and said is not None:
            log += [answer, said]
        if turns:
            turns[-1] = replace(turns[-1], answer=answer)
        total = max(0, total + draw(st.one_of(st.integers(0, 400), st.integers(-5000, 20_000))))
        usage = draw(st.one_of(usages(total), usages(total), usages(total), st.none(), st.just(Usage())))
        model = draw(st.sampled_from([model, model, model, model, "claude-opus-4-8"]))
        turns.append(Turn(name, Prompt(Settings(model), head, Window(log, len(log))), usage=usage, output_final=draw(st.booleans())))
    return turns


@st.composite
def transcripts(draw: st.DrawFn) -> Transcript:
    """A conversation, a fork of it, and a lineage after a compaction."""
    log = [user(draw(texts))]
    turns = draw(lineage("main", log))
    if draw(st.booleans()):
        stop = draw(st.integers(1, len(log)))
        turns += draw(lineage("main/2", log[:stop]))
    if draw(st.booleans()):
        turns += draw(lineage("main/3", [user(draw(texts))]))
    dialect: Dialect = draw(st.sampled_from(["anthropic", "openai-chat", "openai-responses"]))
    return Transcript("t.jsonl", "test", dialect, tuple(turns), head_recorded=draw(st.booleans()))


def shape(turn: Turn) -> list[tuple[int, bytes]]:
    return [(block.tokens, block.fingerprint) for block in turn.prompt.blocks]


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(transcripts())
def test_every_billed_prompt_weighs_what_was_billed(transcript: Transcript) -> None:
    """Totals are exact and no weight is negative, whatever was billed."""
    weighed = weigh(transcript, COUNTER)
    billed = 0
    for turn in weighed.transcript.turns:
        assert all(block.tokens >= 0 for block in turn.prompt.blocks)
        if turn.usage is not None and turn.usage.prompt:
            assert turn.prompt.tokens == turn.usage.prompt
            billed += 1
    assert weighed.exact == weighed.billed == billed


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(transcripts(), st.data())
def test_no_weight_is_taken_from_the_future(transcript: Transcript, data: st.DataObject) -> None:
    """A transcript cut short weighs the same up to there."""
    stop = data.draw(st.integers(0, len(transcript.turns)))
    whole = weigh(transcript, COUNTER).transcript.turns[:stop]
    cut = weigh(replace(transcript, turns=transcript.turns[:stop]), COUNTER).transcript.turns
    assert [(turn.lineage, shape(turn)) for turn in whole] == [(turn.lineage, shape(turn)) for turn in cut]


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(transcripts())
def test_a_lineage_only_grows(transcript: Transcript) -> None:
    """Within a lineage each prompt begins with the one before, block by block, and the prompts share one log."""
    last: dict[str, Turn] = {}
    for turn in weigh(transcript, COUNTER).transcript.turns:
        before = last.get(turn.lineage)
        if before is not None:
            assert shape(turn)[: len(shape(before))] == shape(before)
            assert isinstance(turn.prompt.messages, Window)
            assert isinstance(before.prompt.messages, Window)
            assert turn.prompt.messages.log is before.prompt.messages.log
        last[turn.lineage] = turn


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(transcripts())
def test_what_was_recorded_stays_in_its_order(transcript: Transcript) -> None:
    """Weighing adds opaque blocks and takes nothing away."""
    for old, new in zip(transcript.turns, weigh(transcript, COUNTER).transcript.turns, strict=True):
        assert [block.wire for block in old.prompt.blocks] == [block.wire for block in new.prompt.blocks if block.kind is not Kind.OPAQUE]
        assert (old.usage, old.at, old.request) == (new.usage, new.at, new.request)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(transcripts())
def test_messages_that_were_put_in_are_legal_on_the_wire(transcript: Transcript) -> None:
    """A message holds on the wire exactly its blocks, put in or recorded."""
    for turn in weigh(transcript, COUNTER).transcript.turns:
        for message in turn.prompt.messages:
            assert not message.edited
            assert len(message.wire["content"]) == len(message.blocks)


@settings(deadline=None)
@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=30), st.integers(0, 10**6))
def test_parts_add_up(weights: list[float], total: int) -> None:
    """Whole parts sum to the total, and each is within one of its exact share."""
    parts = allocate(weights, total)
    assert sum(parts) == total
    assert min(parts) >= 0
    scale = sum(weights)
    if scale > 1:
        assert all(abs(part - weight * total / scale) <= 1.001 for part, weight in zip(parts, weights, strict=True))


def expected(weight: float, sure: bool = False) -> Expected:
    return Expected(Block(Kind.TEXT, Role.USER, "x"), weight, weight, sure)


def test_a_small_residual_goes_to_the_guesses() -> None:
    """What was billed as output hardly moves; a text that was guessed does."""
    settled = settle([expected(1000, sure=True), expected(1000)], 2090)
    assert settled.unlogged == 0
    assert 1000 <= settled.weights[0] <= 1006
    assert sum(settled.weights) == 2090


def test_a_large_surplus_is_text_that_was_not_recorded() -> None:
    """Beyond the slack the blocks weigh what they should and the rest is left over."""
    settled = settle([expected(500), expected(500)], 5000)
    assert settled.weights == [500, 500]
    assert settled.unlogged == 4000


def test_too_little_is_shared_by_all() -> None:
    """A bill far below the guesses scales them all down."""
    assert settle([expected(1000, sure=True), expected(1000)], 100).weights == [50, 50]


def test_ratios_learn_but_not_from_the_odd_one() -> None:
    """Bills move the ratio of their kind slowly; a block that is off by more than a third does not move it."""
    ratios = Ratios()
    ratios.learn(Kind.TEXT, 12_000, 10_000)
    assert 1.05 < ratios.of(Kind.TEXT) < 1.2
    ratios.learn(Kind.TOOL_RESULT, 50_000, 10_000)
    assert ratios.of(Kind.TOOL_RESULT) == 1


def conversation(*bills: Usage | None, model: str = "claude-opus-4-8", final: bool = True) -> Transcript:
    log = [user("please read the file")]
    turns: list[Turn] = []
    for number, usage in enumerate(bills):
        if number:
            answer = assistant("I will.", {"type": "tool_use", "id": f"t{number}", "name": "Read", "input": {"path": "/a"}})
            log += [answer, user({"type": "tool_result", "tool_use_id": f"t{number}", "content": "some words " * 200})]
            turns[-1] = replace(turns[-1], answer=answer)
        turns.append(Turn("main", Prompt(Settings(model), (), Window(log, len(log))), at=float(number), usage=usage, output_final=final))
    return Transcript("t", "claude-code", "anthropic", tuple(turns), head_recorded=False)


def test_an_unrecorded_head_is_what_the_first_bill_leaves() -> None:
    """It is split where the first request's read ended, so that this part can be warm."""
    first = weigh(conversation(Usage(fresh=10, read=12_000, write_5m=8000)), COUNTER).transcript.turns[0]
    assert first.prompt.head[0].tokens == 12_000
    assert {block.role for block in first.prompt.head} == {Role.SYSTEM}
    assert first.prompt.tokens == 20_010
    assert 5 < sum(message.tokens for message in first.prompt.messages) < 30


def test_the_head_is_the_same_after_a_compaction() -> None:
    """A later lineage of the chain has the same head blocks, so that they can be read; what else was sent is unlogged."""
    before = conversation(Usage(fresh=20_000))
    after = replace(conversation(Usage(fresh=26_000, read=1000)).turns[0], lineage="main/2")
    one, two = weigh(replace(before, turns=(*before.turns, after)), COUNTER).transcript.turns
    assert one.prompt.head == two.prompt.head
    assert [block.kind for block in two.prompt.messages[0].blocks] == [Kind.TEXT, Kind.OPAQUE]


def test_siblings_with_equal_heads_share_them() -> None:
    """Two sub-agents whose unrecorded heads have equal sizes have equal head blocks."""
    log = [user("same words")]
    turns = [
        Turn(f"agent:{n}", Prompt(Settings("claude-opus-4-5"), (), Window(log, 1)), usage=Usage(fresh=9000, read=1000)) for n in (1, 2)
    ]
    one, two = weigh(Transcript("t", "claude-code", "anthropic", tuple(turns), head_recorded=False), COUNTER).transcript.turns
    assert one.prompt.head == two.prompt.head


def test_a_session_that_was_resumed_has_earlier_conversation() -> None:
    """A first bill too large for a head is split into a likely head and conversation from before the file begins."""
    weighed = weigh(conversation(Usage(fresh=100, read=150_000)), COUNTER)
    first = weighed.transcript.turns[0]
    assert sum(block.tokens for block in first.prompt.head) == 32_000
    assert first.prompt.messages[0].blocks[0].tokens == 118_000
    assert weighed.earlier_tokens > 100_000
    assert any("went before the first line" in note for note in weighed.transcript.notes)
    assert first.prompt.tokens == 150_100


def test_a_final_output_is_the_weight_of_the_answer() -> None:
    """On Claude the blocks of an answer weigh together what it was billed as output."""
    weighed = weigh(conversation(Usage(fresh=20_000, output=300), Usage(fresh=20_990)), COUNTER)
    assert abs(weighed.transcript.turns[1].prompt.messages[1].tokens - 300) < 15


def test_withheld_thinking_weighs_what_the_rest_leaves() -> None:
    """Thinking without text gets the part of the output that the visible blocks do not explain."""
    log = [user("go")]
    answer = assistant({"type": "thinking", "thinking": "", "signature": "s"}, "done")
    log += [answer, user("thanks")]
    turns = [
        Turn("main", Prompt(Settings("claude-opus-4-8"), (), Window(log, 1)), usage=Usage(fresh=20_000, output=900), answer=answer),
        Turn("main", Prompt(Settings("claude-opus-4-8"), (), Window(log, 3)), usage=Usage(fresh=20_908)),
    ]
    weighed = weigh(Transcript("t", "claude-code", "anthropic", tuple(turns), head_recorded=False), COUNTER)
    assert weighed.transcript.turns[1].prompt.messages[1].blocks[0].tokens > 850
    assert weighed.transcript.turns[0].answer == weighed.transcript.turns[1].prompt.messages[1]


def test_a_prompt_that_shrank_begins_a_lineage() -> None:
    """What was still read keeps its bytes; what was rewritten does not count as the same; the earlier turns stay as they were."""
    bills = [Usage(fresh=20_000, output=90), Usage(fresh=20_800, output=90), Usage(fresh=20_600 - 9000, read=9000)]
    weighed = weigh(conversation(*bills), COUNTER)
    assert (weighed.rewrites + weighed.recounts, weighed.exact) == (1, 3)
    assert [turn.lineage for turn in weighed.transcript.turns] == ["main", "main", "main~1"]


def test_a_rewritten_history_has_other_bytes() -> None:
    """A prompt that lost a tenth and read little shares with the one before only what lies within the read."""
    small = [Usage(fresh=1000, output=90), Usage(fresh=2000, output=90), Usage(fresh=3000, output=90)]
    bills = [*small, Usage(fresh=1900, read=0)]
    weighed = weigh(conversation(*bills, model="claude-opus-4-5"), COUNTER)
    before, after = weighed.transcript.turns[2:]
    assert weighed.rewrites == 1
    assert after.lineage == "main~1"
    assert before.prompt.head == after.prompt.head
    assert shape(before)[-1][1] not in {fingerprint for _, fingerprint in shape(after)}


def test_thinking_gives_way_first_at_a_users_message() -> None:
    """Where a user's message strips thinking, all else keeps its weight."""
    log = [user("go")]
    answer = assistant({"type": "thinking", "thinking": "hm " * 300, "signature": "s"}, "done")
    call = assistant({"type": "tool_use", "id": "t", "name": "Read", "input": {}})
    log += [answer, user("on"), call, user({"type": "tool_result", "tool_use_id": "t", "content": "x"}), assistant("so"), user("next")]
    bills = [(1, 20_000), (3, 20_500), (5, 20_620), (7, 20_300)]
    turns = [Turn("main", Prompt(Settings("claude-opus-4-5"), (), Window(log, n)), usage=Usage(fresh=bill)) for n, bill in bills]
    weighed = weigh(Transcript("t", "claude-code", "anthropic", tuple(turns), head_recorded=False), COUNTER)
    before, after = (list(turn.prompt.blocks) for turn in weighed.transcript.turns[2:])
    lost = [one.kind for one, other in zip(before, after, strict=False) if one.tokens != other.tokens]
    assert lost == [Kind.THINKING]


def test_without_usage_the_offline_count_is_used() -> None:
    """No bill: every block weighs its count times the family's factor, and the method says so."""
    weighed = weigh(conversation(None, None), COUNTER)
    assert weighed.method.startswith("offline count x 1.60 for text")
    assert weighed.billed == 0
    block = weighed.transcript.turns[1].prompt.messages[0].blocks[0]
    assert block.tokens == round(family("claude-opus-4-8").expected(block, COUNTER.raw(block)))


def test_another_model_weighs_by_the_ratio_of_the_families() -> None:
    """What if: every weight is multiplied, head included, and the method says so."""
    ours = weigh(conversation(Usage(fresh=20_000)), COUNTER)
    other = weigh(conversation(Usage(fresh=20_000)), COUNTER, model="gpt-5.5")
    assert "o200k" in other.method
    assert other.transcript.turns[0].prompt.head[0].tokens == round(ours.transcript.turns[0].prompt.head[0].tokens / 1.6)
    assert weigh(conversation(Usage(fresh=20_000)), COUNTER, model="claude-fable-5").transcript == ours.transcript


def test_marks_move_with_the_blocks_they_stand_on() -> None:
    """A mark on the head's end or a message's end still stands there when opaque blocks were put in."""
    log = [user("a", "b")]
    prompt = Prompt(Settings("claude-opus-4-5"), (make_block(Kind.SYSTEM, Role.SYSTEM, "s", "s"),), Window(log, 1), (Mark(0), Mark(2)))
    transcript = Transcript("t", "requests", "anthropic", (Turn("main", prompt, usage=Usage(fresh=9000)),))
    weighed = weigh(transcript, COUNTER).transcript.turns[0].prompt
    assert [block.kind for block in weighed.head] == [Kind.SYSTEM, Kind.OPAQUE]
    assert [mark.position for mark in weighed.marks] == [1, 3]


def test_an_unlogged_call_follows_its_lineage() -> None:
    """A call that was not logged extended the lineage that its own had become by then."""
    bills = [Usage(fresh=20_000), Usage(fresh=20_800), Usage(fresh=12_000)]
    transcript = replace(conversation(*bills), unlogged=(Unlogged("main", 1.5, "summary", 10), Unlogged("main", 9.0, "summary", 10)))
    assert [item.lineage for item in weigh(transcript, COUNTER).transcript.unlogged] == ["main", "main~1"]


@pytest.mark.parametrize(
    ("pattern", "billed", "error"),
    [
        ("claude-code/entireio-git-sync/*.jsonl*", 400, 60),
        ("codex/*/*.jsonl*", 50, 20),
        ("pi/pi-mono/*.jsonl*", 471, 30),
        ("mini-swe-agent/deepseek/deepseek_bench1/*.json*", 30, 20),
    ],
)
def test_real_transcripts_weigh_what_was_billed(corpus: Path, pattern: str, billed: int, error: int) -> None:
    """On real sessions every turn is exact, and the guesses are near the bills."""
    done, errors = 0, list[int]()
    for path in sorted(corpus.glob(pattern), key=lambda path: path.stat().st_size):
        for transcript in readers.read(path):
            weighed = weigh(transcript, Counter())
            assert weighed.exact == weighed.billed == len(weighed.transcript.turns)
            done += weighed.billed
            errors += weighed.errors
        if done >= billed:
            break
    assert done >= billed
    assert sorted(errors)[len(errors) // 2] <= error

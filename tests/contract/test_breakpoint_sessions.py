"""Marks in whole sessions of OpenAI's dialects from GPT-5.6 on: what was sent is sent again, and it is read from the cache."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.blocks import Mark, Message, Prompt
from holdfast.caches.machine import CacheRequest
from holdfast.caches.openai_marks import OpenAIMarksCache
from holdfast.checker import Dialect
from holdfast.prefix import chain_of
from holdfast.scale import scale
from holdfast.schedule import Schedule
from holdfast.session import Session
from holdfast.usage import Usage
from holdfast.wire import of
from tests.contract.subjects import NAMES, NEVER, faults, of_script, patient, run, session, working
from tests.generators import HISTORY, Script, dumps, scripts
from tests.wire.test_round_trip import without_marks

DIALECTS: tuple[Dialect, ...] = ("openai-chat", "openai-responses")
KEY = "prompt_cache_breakpoint"
BIG = Schedule(trigger=6000, target=3000, limit=1_000_000)


def lists(value: Any) -> Any:
    """A body's history with every bare string as a list of one part, marks apart."""
    value = without_marks(value, KEY)
    return [_listed(item) for item in value]


def _listed(item: Any) -> Any:
    for key in ("content", "output"):
        if isinstance(item.get(key), str):
            item = {**item, key: [item[key]]}
        elif isinstance(item.get(key), list):
            item = {**item, key: [part.get("text", part) for part in item[key]]}
    return item


@pytest.mark.parametrize("name", NAMES)
@patient
@given(script=st.sampled_from(DIALECTS).flatmap(scripts))
def test_with_marks_what_goes_out_is_legal_and_breaks_only_as_announced(name: str, script: Script) -> None:
    """The checker finds nothing in what a session that marks sends, through forks, retries and edits in place."""
    assert faults(run(of_script(name, script, marking=True, ttl=1800), script.steps), script) == []


@pytest.mark.parametrize("dialect", DIALECTS)
def test_below_the_trigger_only_marks_and_lists_are_added(dialect: Dialect) -> None:
    """Every message says what the caller's says, and the caller's own body stays as it was."""
    key = HISTORY[dialect]
    for sent in run(session("none", dialect, marking=True, ttl=1800, schedule=NEVER), working(12, dialect, size=900)):
        assert lists(sent.body[key]) == lists(sent.given[key])


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("strategy", ["none", "micro", "ladder"])
def test_old_messages_keep_the_form_in_which_they_were_first_sent(dialect: Dialect, strategy: str) -> None:
    """Between two commits no message turns from a string into a list or back: marks move, bytes do not."""
    key, last, marked = HISTORY[dialect], list[str](), 0
    for sent in run(session(strategy, dialect, marking=True, ttl=1800, schedule=BIG), working(40, dialect, size=900)):
        now = [json.dumps(item) for item in without_marks(sent.body[key], KEY)]
        if sent.trace.commit is None:
            assert now[: len(last)] == last
        last = now
        marked += len(of(dialect).read_marks(sent.body))
    assert marked > 40


def bill(subject: Session, dialect: Dialect, steps: list[Any]) -> Usage:
    """What the model of OpenAI's cache bills for the bodies that a session sends."""
    cache, total, wire, weigh = OpenAIMarksCache(), Usage(), of(dialect), scale("o200k").weigh
    for sent in run(subject, steps):
        prompt = wire.read(sent.body)
        messages = [Message(one.role, tuple(block.weighed(weigh(block)) for block in one.blocks), one.wire) for one in prompt.messages]
        head = tuple(block.weighed(weigh(block)) for block in prompt.head)
        chain = chain_of(Prompt(prompt.settings, head, messages))
        total += cache.send(CacheRequest(chain, prompt.settings, prompt.marks, sent.step.now, sent.step.now))
    return total


@pytest.mark.parametrize("dialect", DIALECTS)
def test_marks_are_never_dearer_than_none(dialect: Dialect) -> None:
    """The same conversation, shortened alike: with marks no more is written or sent fresh than with what OpenAI marks by itself."""
    steps = working(60, dialect, size=900)
    with_marks = bill(session("micro", dialect, marking=True, ttl=1800, schedule=BIG), dialect, copy.deepcopy(steps))
    without = bill(session("micro", dialect, marking=False, ttl=1800, schedule=BIG), dialect, copy.deepcopy(steps))
    assert with_marks.written + with_marks.fresh <= without.written + without.fresh
    assert with_marks.prompt - without.prompt < 0.01 * without.prompt


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_callers_own_breakpoints_keep_their_places(dialect: Dialect) -> None:
    """A mark that the caller has set on its first message stands there in every request, beside ours."""
    subject = session("none", dialect, marking=True, ttl=1800, schedule=NEVER)
    wire = of(dialect)
    for step in working(6, dialect, size=900):
        body = copy.deepcopy(step.body)
        first = next(item for item in body[HISTORY[dialect]] if item.get("role") == "user")
        kind = "text" if dialect == "openai-chat" else "input_text"
        if isinstance(first["content"], str):
            first["content"] = [{"type": kind, "text": first["content"]}]
        first["content"][-1][KEY] = {"mode": "explicit", "ttl": "12h"}
        sent, _ = subject.prepare(body, step.now)
        subject.observe()
        assert Mark(wire.read_marks(body)[0].position, 43_200) in wire.read_marks(sent)


def test_forms_stay_whatever_slots_the_caller_leaves() -> None:
    """Where the caller takes all four slots for one request, what was a list stays one, and what went out bare stays bare for good."""
    subject = session("none", "openai-chat", marking=True, ttl=1800, schedule=NEVER)
    history: list[Any] = [{"role": "system", "content": "Be brief."}]
    for number in range(4):
        history += [{"role": "user", "content": [{"type": "text", "text": f"part {number}"}]}, {"role": "assistant", "content": "yes"}]

    def send(now: float, *, mine: bool) -> list[Any]:
        messages = copy.deepcopy(history)
        for message in messages:
            if mine and isinstance(message["content"], list):
                message["content"][-1][KEY] = {"mode": "explicit"}
        sent, _ = subject.prepare({"model": "gpt-5.6", "messages": messages}, now)
        subject.observe()
        out: list[Any] = without_marks(sent["messages"], KEY)
        return out

    first = send(0.0, mine=False)
    history.append({"role": "user", "content": "a bare word"})
    second = send(1.0, mine=True)
    history.extend([{"role": "assistant", "content": "yes"}, {"role": "user", "content": "another"}])
    third = send(2.0, mine=False)
    assert isinstance(first[0]["content"], list)
    assert dumps({"": second})[: len(dumps({"": first})) - 2] == dumps({"": first})[:-2]
    assert second[-1] == {"role": "user", "content": "a bare word"}
    assert third[: len(second)] == second

"""The invariants of the design, for every registered strategy, over generated conversations, judged by the independent checker."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.blocks import Block, Kind
from holdfast.checker import Dialect
from holdfast.schedule import Schedule
from holdfast.store import MemoryStore
from holdfast.wire import of
from tests.contract.subjects import (
    ACTIVE,
    KEEP_USER_TEXT,
    NAMES,
    NEVER,
    SMALL,
    canonical,
    faults,
    of_script,
    patient,
    run,
    session,
    working,
)
from tests.generators import HISTORY, Body, Script, conversations, dumps, reorder, scripts, swap
from tests.mutants import unmarked

DIALECTS: tuple[Dialect, ...] = ("anthropic", "openai-chat", "openai-responses")
OPENAI: tuple[Dialect, ...] = ("openai-chat", "openai-responses")
steady_script = st.sampled_from(DIALECTS).flatmap(lambda dialect: scripts(dialect, events=("retry", "fork", "edited")))
any_script = st.sampled_from(DIALECTS).flatmap(scripts)
every_strategy = pytest.mark.parametrize("name", NAMES)
every_active_strategy = pytest.mark.parametrize("name", ACTIVE)
every_dialect = pytest.mark.parametrize("dialect", DIALECTS)


def parts(value: Any) -> list[Any]:
    """A message's or system's blocks without marks, a bare string as the one block it becomes under a mark."""
    value = unmarked(value)
    return [{"type": "text", "text": value}] if isinstance(value, str) else value


def bare(block: Block) -> bytes:
    """A block's bytes, a string being the text block that it becomes under a mark."""
    return dumps({"type": "text", "text": block.wire} if isinstance(block.wire, str) else block.wire)


def anthropic_blocks(body: Body) -> list[bytes]:
    """What an Anthropic body says, marks and the form of single texts apart."""
    messages = [{**message, "content": parts(message["content"])} for message in body["messages"]]
    return [dumps(unmarked(body.get("tools"))), dumps(parts(body["system"])), *map(dumps, messages)]


# -- 1: nothing to do, nothing touched


@every_strategy
@patient
@given(script=st.sampled_from(OPENAI).flatmap(lambda dialect: scripts(dialect, events=("retry", "fork", "edited"))))
def test_below_the_trigger_the_same_object_goes_out(name: str, script: Script) -> None:
    """Where no mark is to be placed, what comes in goes out: the same object."""
    subject = of_script(name, script, schedule=NEVER)
    for step in script.steps:
        sent, trace = subject.prepare(step.body, step.now)
        subject.observe()
        assert sent is step.body
        assert (trace.reason, trace.repaired, trace.errors) == ("below the trigger", 0, ())


@every_strategy
@patient
@given(script=scripts(events=("retry", "fork", "edited")))
def test_below_the_trigger_only_marks_are_added(name: str, script: Script) -> None:
    """With marks to place, every block goes out as it came."""
    for sent in run(of_script(name, script, schedule=NEVER), script.steps):
        assert anthropic_blocks(sent.body) == anthropic_blocks(sent.given)


# -- 2: sent bytes are sent again


@every_strategy
@patient
@given(script=any_script)
def test_what_goes_out_is_legal_and_breaks_only_as_announced(name: str, script: Script) -> None:
    """The checker finds nothing in what a session sends, in any dialect, through forks, retries and edits in place."""
    assert faults(run(of_script(name, script), script.steps), script, name in KEEP_USER_TEXT) == []


@every_dialect
@pytest.mark.parametrize("marking", [False, True])
@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("change", [reorder, swap])
def test_an_old_message_in_other_bytes_goes_out_as_first_sent(dialect: Dialect, marking: bool, in_place: bool, change: Any) -> None:
    """Reordered keys, or ``True`` for ``1``, are repaired and counted, whether in a new list or in the caller's own."""
    if marking and dialect != "anthropic":
        pytest.skip("marks of this dialect stand on content parts only")
    subject = session("none", dialect, marking=marking)
    bodies = [step.body for step in working(3, dialect)]
    live = bodies[2]
    before = json.loads(dumps(unmarked(subject.prepare(live, 0.0)[0])))
    subject.observe()
    changed = live if in_place else bodies[3]
    history = changed[HISTORY[dialect]]
    if in_place:
        history.extend(bodies[3][HISTORY[dialect]][len(history) :])
    at = next((n for n in range(1, 3) if change(history, n) is not False), None)
    if at is None:
        pytest.skip("no message of this dialect holds a number")
    after, trace = subject.prepare(changed, 1.0)
    old = unmarked(after)[HISTORY[dialect]][: len(before[HISTORY[dialect]])]
    assert dumps(old) == dumps(before[HISTORY[dialect]])
    if dumps(history[at]) != dumps(old[at]) and not (marking and in_place and change is swap):
        assert trace.repaired == 1  # where marks move in any case, a change deep inside an old object is repaired without being looked for


@every_dialect
def test_tools_in_other_bytes_go_out_as_first_sent(dialect: Dialect) -> None:
    """Reordered keys of a tool definition do not begin another prefix."""
    first, second = (step.body for step in working(1, dialect))
    second["tools"] = [dict(reversed(tool.items())) for tool in second["tools"]]
    subject = session("none", dialect)
    before, _ = subject.prepare(first, 0.0)
    subject.observe()
    after, trace = subject.prepare(second, 1.0)
    assert dumps(unmarked(after)["tools"]) == dumps(unmarked(before)["tools"])
    assert (trace.repaired, trace.turn) == (1, 1)


@patient
@given(script=st.sampled_from(OPENAI).flatmap(lambda dialect: scripts(dialect, events=("reordered", "swapped"))), in_place=st.booleans())
def test_without_marks_first_sent_bytes_go_out_too(script: Script, in_place: bool) -> None:
    """Handing back the caller's own object never hands on other bytes than were sent before."""
    told = run(of_script("none", script), script.in_place() if in_place else script.steps)
    history = HISTORY[script.dialect]
    for earlier, later in pairwise(told):
        count = len(earlier.body[history])
        assert dumps(later.body[history][:count]) == dumps(earlier.body[history])
        assert (dumps(later.body) == dumps(later.given)) == (later.trace.repaired == 0)


# -- 3: deterministic


@every_strategy
@patient
@given(script=any_script, in_place=st.booleans())
def test_the_same_history_gives_the_same_bytes(name: str, script: Script, in_place: bool) -> None:
    """Another session sends the same bytes, also for a caller that changes its lists in place."""
    first = run(of_script(name, script), script.steps)
    second = run(of_script(name, script), script.in_place() if in_place else script.steps)
    assert [canonical(sent.body) for sent in first] == [canonical(sent.body) for sent in second]


DIGEST = """
import hashlib, sys
from tests.contract.subjects import NAMES, run, session, working
from tests.generators import dumps
out = hashlib.sha256()
for name in NAMES:
    for dialect in ("anthropic", "openai-chat", "openai-responses"):
        steps = working(24, dialect)
        for sent in (*run(session(name, dialect), steps), *run(session(name, dialect), steps[-1:])):
            out.update(dumps(sent.body) + repr(sent.trace.commit).encode())
print(out.hexdigest())
"""


def test_another_process_sends_the_same_bytes() -> None:
    """Neither string hashing nor anything else of a process shows: also a restart decides the final history afresh in the same way."""
    paths = os.pathsep.join(path for path in sys.path if path)
    digests = [
        subprocess.run(
            [sys.executable, "-c", DIGEST],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": paths},
            capture_output=True,
            text=True,
            check=True,
            cwd=os.getcwd(),  # noqa: PTH109 - the tests' own root, as pytest was started in it
        ).stdout
        for seed in ("1", "4242")
    ]
    assert len(digests[0].strip()) == len(hashlib.sha256().hexdigest())
    assert digests[0] == digests[1]


# -- 6, 7, 8: budget, pins, store


@every_active_strategy
@every_dialect
def test_a_long_conversation_is_shortened(name: str, dialect: Dialect) -> None:
    """Every strategy commits on a conversation that exceeds the trigger, and nothing of it is illegal."""
    steps = working(40, dialect)
    told = run(session(name, dialect), steps)
    assert any(sent.trace.commit for sent in told)
    assert [sent.trace.errors for sent in told if sent.trace.errors] == []
    assert faults(told, Script(dialect, tuple(steps)), name in KEEP_USER_TEXT) == []


@every_strategy
@patient
@given(script=any_script, limit=st.sampled_from([300, 500, 900]))
def test_the_budget_is_met_or_said_to_be_out_of_reach(name: str, script: Script, limit: int) -> None:
    """A prompt over the limit carries a typed failure that names what is pinned."""
    subject = of_script(name, script, schedule=Schedule(limit, limit // 2, limit), keep_tail_tokens=60)
    for sent in run(subject, script.steps):
        unreachable = sent.trace.unreachable
        assert (sent.trace.sent_tokens > limit) == (unreachable is not None)
        if unreachable:
            assert (unreachable.tokens, unreachable.limit) == (sent.trace.sent_tokens, limit)
            assert 0 in unreachable.pinned


@every_strategy
@patient
@given(script=steady_script, modulus=st.integers(2, 4))
def test_pinned_blocks_keep_their_bytes(name: str, script: Script, modulus: int) -> None:
    """Whatever the user pins goes out as it came, and so do head and first message."""

    def pins(block: Block) -> bool:
        return block.fingerprint[0] % modulus == 0

    subject = of_script(name, script, pins=pins, schedule=Schedule(600, 200, 1_000_000), keep_tail_tokens=60)
    wire = of(script.dialect)
    for sent in run(subject, script.steps):
        given, out = wire.read(sent.given), wire.read(sent.body)
        going = [bare(block) for block in out.blocks]
        for block in [block for block in given.blocks if pins(block)] + list(given.messages[0].blocks):
            assert bare(block) in going


@every_active_strategy
@patient
@given(script=steady_script)
def test_what_left_the_prompt_is_in_the_store(name: str, script: Script) -> None:
    """Every block of the caller's that is not sent can be had back under its key, byte for byte."""
    store = MemoryStore()
    subject = of_script(name, script, store=store)
    wire = of(script.dialect)
    for sent in run(subject, script.steps):
        going = {bare(block) for block in wire.read(sent.body).blocks}
        for block in wire.read(sent.given).blocks:
            if bare(block) not in going:
                assert store.get(block.fingerprint.hex()[:12]) == block.wire


@every_dialect
def test_placeholders_name_the_key_of_what_they_stand_for(dialect: Dialect) -> None:
    """The hash in a placeholder of ``micro`` fetches the original content."""
    store = MemoryStore()
    told = run(session("micro", dialect, store), working(30, dialect))
    wire = of(dialect)
    cleared = [block for block in wire.read(told[-1].body).blocks if block.kind is Kind.TOOL_RESULT and "hash " in block.text]
    originals = {block.call: block for block in wire.read(told[-1].given).blocks if block.kind is Kind.TOOL_RESULT}
    assert len(cleared) > 5
    for block in cleared:
        name = block.text.split("hash ")[1].split()[0]
        assert store.get(name) == originals[block.call].wire


# -- 4: illegal requests


def broken(body: Body, how: str) -> Body:
    """A request that no provider takes."""
    messages = body["messages"]
    if how == "open call":
        return {**body, "messages": messages[:-1]}
    if how == "orphan":
        return {**body, "messages": [*messages[:1], *messages[2:]]}
    if how == "assistant first":
        return {**body, "messages": messages[1:]}
    if how == "empty":
        return {**body, "messages": [*messages, {"role": "user", "content": ""}]}
    if how == "five marks":
        mark = {"cache_control": {"type": "ephemeral"}}
        return {**body, "system": [{"type": "text", "text": str(n), **mark} for n in range(5)]}
    late = {"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    return {**body, "system": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}, late]}


HOWS = ("open call", "orphan", "assistant first", "empty", "five marks", "late hour")


@every_strategy
@pytest.mark.parametrize("how", HOWS)
def test_an_illegal_request_goes_out_as_it_came_and_later_ones_recover(name: str, how: str) -> None:
    """The same object goes out; legal requests around it are served as if it had not been."""
    steps = working(24)
    plain = run(session(name), steps)
    subject = session(name)
    for number, step in enumerate(steps):
        if number in (3, 20):
            bad = broken(step.body, how)
            sent, trace = subject.prepare(bad, step.now)
            assert sent is bad
            assert len(trace.errors) == 1
            subject.observe(failed=True)
        sent, trace = subject.prepare(step.body, step.now)
        subject.observe()
        assert canonical(dict(sent)) == canonical(plain[number].body)
        assert trace.errors == ()


NONSENSE: list[Any] = [None, 7, "x", [], [None], [7], [{}], {"role": "user"}, [{"role": "user", "content": 7}]]


@patient
@given(bodies=conversations(max_turns=2), junk=st.sampled_from(NONSENSE))
def test_nonsense_goes_out_as_it_came(bodies: list[Body], junk: Any) -> None:
    """A body that cannot be read, whatever it holds, is the provider's to refuse; the conversation goes on."""
    subject = session("ladder")
    for body in bodies:
        bad = {**body, "messages": junk}
        sent, _ = subject.prepare(bad, 0.0)
        assert sent is bad or dumps(unmarked(sent)["messages"]) == dumps(junk)
        subject.observe(failed=True)
        assert subject.prepare(body, 0.0)[1].errors == ()
        subject.observe()


def test_small_thresholds_are_reached() -> None:
    """The schedule of these tests is one that their conversations exceed."""
    assert working(30)[-1].body["messages"]
    assert max(sent.trace.given_tokens for sent in run(session("none"), working(30))) > SMALL.trigger

"""Lineages without session ids: forks, retries, sub-agents, shorter histories, callers that change their lists in place."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.edits import Clear, Edit, Fold, Plan
from holdfast.saved import Saved
from holdfast.session import Session
from holdfast.store import MemoryStore
from holdfast.strategy import Goal, Proposal, View
from tests.contract.subjects import ACTIVE, KEEP_USER_TEXT, NAMES, faults, of_script, patient, run, session, working
from tests.generators import Body, Reply, Script, Step, dumps, scripts, start
from tests.mutants import unmarked


def sent_messages(subject: Session, body: Body, now: float = 0.0) -> list[bytes]:
    """The messages that go out, without marks; the request is answered."""
    sent, _ = subject.prepare(body, now)
    subject.observe()
    return [dumps(unmarked(message)) for message in sent["messages"]]


def cut(body: Body, messages: int, saying: str) -> Body:
    """The caller goes back to the first ``messages`` messages and says something else."""
    history = copy.deepcopy(body["messages"][:messages])
    assert history[-1]["role"] == "assistant"
    calls = [block["id"] for block in history[-1]["content"] if block["type"] == "tool_use"]
    results = [{"type": "tool_result", "tool_use_id": call, "content": "elsewhere"} for call in calls]
    return {**body, "messages": [*history, {"role": "user", "content": [*results, {"type": "text", "text": saying}]}]}


@dataclass
class Scripted:
    """Proposes given plans, one at each of its calls."""

    plans: list[tuple[Edit, ...]]
    name: str = "scripted"

    def plan(self, view: View, goal: Goal) -> Proposal:
        """The next one, if its places have come into reach."""
        yield from ()
        if not self.plans or max(edit.stop for edit in self.plans[0]) > view.tail:
            return None
        return Plan(self.name, self.plans.pop(0))


def blocks(message: Body) -> int:
    """The blocks of a message."""
    return len(message["content"]) if isinstance(message["content"], list) else 1


def test_a_fork_keeps_a_clear_and_leaves_out_a_later_fold_that_reaches_beyond() -> None:
    """Each edit is inherited by itself, by where it lies."""
    steps = working(20)
    body = steps[-1].body
    results = [n for n, block in enumerate(flat(body)) if block["type"] == "tool_result"]
    subject = session(Scripted([(Clear(results[0], "[gone]"), Clear(results[5], "[gone too]"))]))
    run(subject, steps)
    place = owner(body, results[3])
    out = sent_messages(subject, cut(body, place, "what if"))
    texts = b"".join(out)
    assert b"[gone]" in texts
    assert b"[gone too]" not in texts


def flat(body: Body) -> list[Body]:
    """All blocks of the messages."""
    return [
        block
        for message in body["messages"]
        for block in (message["content"] if isinstance(message["content"], list) else [{"type": "text", "text": message["content"]}])
    ]


def owner(body: Body, block: int) -> int:
    """The message that holds a block."""
    count = 0
    for number, message in enumerate(body["messages"]):
        count += blocks(message)
        if count > block:
            return number
    raise LookupError(block)


def test_a_fork_drops_thinking_that_was_made_behind_edits_it_does_not_inherit() -> None:
    """A clear that a later fold swallowed comes back verbatim in the fork; thinking made behind the clear is no longer valid there."""
    conversation = start(binds=True)
    steps = [Step(conversation.body(), 0.0)]
    for turn in range(24):
        conversation.reply(Reply(12, 200, calls=int(turn % 4 < 3), thinking="signed", listed=False))
        steps.append(Step(conversation.body(), 20.0 * turn))
    body = steps[-1].body
    kinds = [block["type"] for block in flat(body)]
    results = [n for n, kind in enumerate(kinds) if kind == "tool_result"]
    clear = Clear(results[0], "[gone]")
    fold = Fold(1, results[9] + 1, "folded away")
    subject = session(Scripted([(clear,), (fold,)]), binds_thinking=True)
    told = run(subject, steps)
    assert sum(sent.trace.commit is not None for sent in told) == 2
    fork = cut(body, owner(body, results[6]), "what if")
    script = Script("anthropic", (*steps, Step(fork, 1000.0, "fork", 1)), "prefix")
    assert faults([*told, *run(subject, script.steps[-1:])], script) == []
    plain = unmarked(subject.prepare(fork, 1000.0)[0])
    kept = [block for message in plain["messages"] for block in message["content"] if isinstance(block, dict)]
    assert b"[gone]" not in dumps(plain)
    assert 0 < sum(block["type"] == "thinking" for block in kept) < sum(kind == "thinking" for kind in kinds)


@pytest.mark.parametrize("name", NAMES)
@patient
@given(script=scripts(events=("fork", "edited")), twice=st.booleans())
def test_forks_and_edited_histories_break_nothing(name: str, script: Script, twice: bool) -> None:
    """Each branch is legal and repeats what it shares, also when every request is sent twice."""
    steps = [step for step in script.steps for _ in range(2 if twice else 1)]
    assert faults(run(of_script(name, script), steps), script, name in KEEP_USER_TEXT) == []


@pytest.mark.parametrize("name", ACTIVE)
def test_sub_agents_have_ledgers_of_their_own(name: str) -> None:
    """Conversations that begin otherwise, sent in turns, are served as if each were alone."""
    agents = [working(24) for _ in range(3)]
    for number, steps in enumerate(agents):
        for step in steps:
            step.body["messages"][0]["content"] = f"I am agent {number}."
    alone = [[sent_messages(subject, step.body, step.now) for step in steps] for steps in agents for subject in [session(name)]]
    together = session(name)
    mixed: list[list[list[bytes]]] = [[], [], []]
    for turn in zip(*agents, strict=True):
        for number, step in enumerate(turn):
            mixed[number].append(sent_messages(together, step.body, step.now))
    assert mixed == alone


@pytest.mark.parametrize("name", ACTIVE)
def test_a_conversation_outlives_many_others(name: str) -> None:
    """A conversation in use is not forgotten for newer ones that are not."""
    steps = working(24)
    alone = [sent_messages(subject, step.body, step.now) for subject in [session(name)] for step in steps]
    busy = session(name, lineages=4)
    for number, step in enumerate(steps):
        assert sent_messages(busy, step.body, step.now) == alone[number]
        for other in range(3):
            sent_messages(busy, start().body() | {"messages": [{"role": "user", "content": f"{number} {other}"}]}, step.now)


def test_the_lineages_that_are_remembered_are_bounded() -> None:
    """A forgotten conversation that no store knows is a new one: it goes out, decided afresh."""
    subject = session("none", lineages=2, store=Forgetful())
    first = working(2)
    sent_messages(subject, first[0].body)
    for number in range(3):
        sent_messages(subject, {**first[0].body, "messages": [{"role": "user", "content": str(number)}]})
    _, trace = subject.prepare(first[1].body, 1.0)
    assert trace.turn == 0


class Forgetful(MemoryStore):
    """Keeps blocks, and no lineages."""

    def find(self, roots: Sequence[str]) -> Saved | None:
        """Nothing is known."""
        return None


@pytest.mark.parametrize("name", NAMES)
def test_a_retry_goes_out_as_the_attempt_before(name: str) -> None:
    """Before an answer and after one, at small cost to nobody: the same bytes, but for marks."""
    steps = working(24)
    subject = session(name)
    for step in steps:
        sent, trace = subject.prepare(step.body, step.now)
        again, told = subject.prepare(copy.deepcopy(step.body), step.now + 1)
        assert dumps(sent) == dumps(again)
        assert told.commit == trace.commit
        subject.observe()


@pytest.mark.parametrize("name", ACTIVE)
def test_a_caller_that_keeps_one_list_is_served_like_any_other(name: str) -> None:
    """Messages, blocks and texts changed in place later never reach what Holdfast keeps."""
    steps = working(24)
    apart = [sent_messages(subject, step.body, step.now) for subject in [session(name)] for step in steps]
    subject = session(name)
    live = copy.deepcopy(steps[0].body)
    for number, step in enumerate(steps):
        live["messages"].extend(copy.deepcopy(step.body["messages"][len(live["messages"]) :]))
        assert sent_messages(subject, live, step.now) == apart[number]
    live["messages"][1]["content"][0]["text"] = "rewritten in place"
    out = sent_messages(subject, live, 10_000.0)
    assert b"rewritten in place" in b"".join(out) or name not in ("micro", "collapse")
    assert sent_messages(subject, steps[-1].body, 10_001.0)


def test_an_edit_under_other_tools_is_still_known() -> None:
    """When tools change in mid-conversation, everything is another prefix, but what was cleared stays cleared."""
    steps = working(24)
    subject = session("micro")
    told = run(subject, steps[:-1])
    changed = {**steps[-1].body, "tools": [*steps[-1].body["tools"], {"name": "New", "input_schema": {"type": "object"}}]}
    out = b"".join(sent_messages(subject, changed, steps[-1].now))
    last = dumps(told[-1].body)
    assert out.count(b"holdfast: cleared") >= last.count(b"holdfast: cleared") > 0

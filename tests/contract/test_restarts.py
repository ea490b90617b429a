"""Nothing is lost at a restart: with the same store the next request has the same bytes as if nothing had happened."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.session import Session
from holdfast.store import FileStore, MemoryStore, Store
from tests.contract.subjects import ACTIVE, NAMES, of_script, patient, run, session, working
from tests.generators import Script, Step, dumps, scripts


def bodies(subject: Session, steps: list[Step]) -> list[bytes]:
    """What goes out, marks and all."""
    return [dumps(sent.body) for sent in run(subject, steps)]


@pytest.mark.parametrize("name", NAMES)
@patient
@given(script=scripts(events=()), place=st.integers(0, 30))
def test_a_restart_changes_no_byte(name: str, script: Script, place: int) -> None:
    """A second session with the store of the first goes on as the first would have, marks included."""
    steps = list(script.steps)
    cut = place % len(steps)
    store = MemoryStore()
    bodies(of_script(name, script, store=store), steps[:cut])
    after = bodies(of_script(name, script, store=store), steps[cut:])
    assert after == bodies(of_script(name, script), steps)[cut:]


@pytest.mark.parametrize("name", ACTIVE)
def test_a_restart_from_a_file_keeps_the_commits(name: str, tmp_path: Path) -> None:
    """The ledger comes back from disk: what was cleared stays cleared, and nothing is decided afresh."""
    steps = working(30)
    whole = run(session(name), steps)
    first = next(n for n, sent in enumerate(whole) if sent.trace.commit)
    with FileStore(tmp_path / "kept.db") as store:
        run(session(name, store=store), steps[: first + 3])
    with FileStore(tmp_path / "kept.db") as store:
        again = run(session(name, store=store), steps[first + 3 :])
    assert [dumps(sent.body) for sent in again] == [dumps(sent.body) for sent in whole[first + 3 :]]


@pytest.mark.parametrize("name", ACTIVE)
def test_conversations_that_push_one_another_out_of_memory_are_served_as_if_alone(name: str) -> None:
    """A session that remembers one conversation takes the other up from the store at each turn."""
    pair = [working(24), working(24)]
    for number, steps in enumerate(pair):
        for step in steps:
            step.body["messages"][0]["content"] = f"I am agent {number}."
    alone = [bodies(session(name), steps) for steps in pair]
    subject, mixed = session(name, lineages=1), [list[bytes](), list[bytes]()]
    for turn in zip(*pair, strict=True):
        for number, step in enumerate(turn):
            mixed[number] += bodies(subject, [step])
    assert mixed == alone


@pytest.mark.parametrize("name", ["micro", "truncate"])
def test_two_replicas_with_one_store_send_what_one_would(name: str) -> None:
    """Requests of one conversation that reach two processes in turn have one ledger: the commit of either holds for both."""
    steps = working(30)
    store: Store = MemoryStore()
    replicas = [session(name, store=store, shared=True) for _ in range(2)]
    sent = [run(replicas[number % 2], [step])[0] for number, step in enumerate(steps)]
    one = run(session(name), steps)
    plain = [json.loads(dumps(each.body))["messages"] for each in sent]
    assert sum(each.trace.commit is not None for each in sent) == sum(each.trace.commit is not None for each in one)
    assert [len(messages) for messages in plain] == [len(each.body["messages"]) for each in one]


def test_a_fork_after_a_restart_keeps_the_commits_that_lie_in_what_it_shares() -> None:
    """A conversation that goes back behind its newest message finds the ledger of its last commit."""
    steps = working(30)
    store = MemoryStore()
    told = run(session("micro", store=store), steps)
    committed = [n for n, sent in enumerate(told) if sent.trace.commit]
    place = committed[-1]
    fork = {**steps[place].body, "messages": [*steps[place].body["messages"], *steps[place + 1].body["messages"][-2:-1]]}
    fork["messages"] = [*fork["messages"], {**steps[place + 1].body["messages"][-1]}]
    again, _ = session("micro", store=store).prepare(fork, steps[place].now + 30)
    before = told[place].body["messages"]
    assert len(dumps(again["messages"][: len(before)])) < 1.1 * len(dumps(before))

"""What is said to ``wrap``: arguments, files and the environment together, and what becomes of a mistake."""

from __future__ import annotations

import logging
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import holdfast
from holdfast.calls.call_settings import CallSettings
from holdfast.errors import BadSettings, HoldfastError, RecordError, StoreError
from holdfast.providers import Wishes, calls_for
from holdfast.settings import Surroundings
from holdfast.settings.model import NAMES
from holdfast.store import FileStore, MemoryStore
from holdfast.strategies import Micro


def around(root: Path, env: dict[str, str] | None = None, **files: str) -> Surroundings:
    """A working folder with a project's file, and a policy, as far as they are given."""
    for name, text in files.items():
        (root / f"{name}.toml").write_text(text, encoding="utf-8")
    return Surroundings(root, {"HOME": str(root / "home"), **(env or {})}, root / "policy.toml")


def settings(wishes: Wishes, where: Surroundings) -> CallSettings:
    """What comes of them."""
    return calls_for(wishes, where).settings


def test_arguments_come_before_the_environment_and_that_before_files(tmp_path: Path) -> None:
    """Each setting is decided by the first that speaks of it; what nobody speaks of has its default."""
    where = around(tmp_path, {"HOLDFAST_MODE": "observe", "HOLDFAST_TTL": "1h"}, holdfast='ttl = "5m"\ntrigger = "75%"\nlineages = 3\n')
    found = settings({"mode": "compact", "lineages": 5}, where)
    assert found == CallSettings(mode="compact", lineages=5, ttl="1h", trigger=0.75)
    assert settings({}, around(tmp_path / "nowhere")) == CallSettings()


def test_every_setting_of_calls_can_be_said_in_a_file_or_is_of_code_only() -> None:
    """Nothing that ``CallSettings`` has is lost between the two."""
    assert {each.name for each in fields(CallSettings)} - set(NAMES) == {"pins", "hooks", "clock"}
    for each in fields(CallSettings):
        assert f"``{each.name}``" in (CallSettings.__doc__ or "") or each.name in ("hooks", "clock", "target")


def test_none_says_nothing_and_false_takes_back(tmp_path: Path) -> None:
    """An argument that a program hands through does not undo a file by being ``None``."""
    where = around(tmp_path, holdfast='trigger = 150000\nrecord = "calls.jsonl"\n')
    assert settings({"trigger": None, "record": None}, where).trigger == 150_000
    assert calls_for({"record": None}, where).records
    assert not calls_for({"record": False}, where).records
    assert settings({"trigger": False}, where).trigger is None


def test_what_cannot_stand_in_a_file_passes_through(tmp_path: Path) -> None:
    """Objects come before the environment and files, as any argument does."""
    where = around(tmp_path, {"HOLDFAST_STRATEGY": "full", "HOLDFAST_STORE": "x.db", "HOLDFAST_REMIND": "a text"})
    strategy, store, remind, pins, clock = Micro(), MemoryStore(), lambda: "now", lambda block: True, lambda: 7.0
    hooks = holdfast.Hooks(on_plan=print)
    wishes: Wishes = {"strategy": strategy, "store": store, "remind": remind, "pins": pins, "clock": clock, "hooks": hooks}
    calls = calls_for(wishes, where)
    assert calls.store is store
    assert calls.settings == CallSettings(strategy=strategy, remind=remind, pins=pins, clock=clock, hooks=hooks)
    assert list(tmp_path.iterdir()) == []


def test_a_policy_wins_over_objects_too_and_that_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Who hands over what a policy has decided reads in the log where that stands; nothing is said of the rest."""
    where = around(tmp_path, policy='strategy = "none"\nrecord = false\nstore = false\n')
    recorder, store = holdfast.Recorder(tmp_path / "calls.jsonl"), FileStore(tmp_path / "x.db")
    with caplog.at_level(logging.WARNING, "holdfast"):
        calls = calls_for({"strategy": Micro(), "record": recorder, "store": store, "mode": "observe"}, where)
    store.close()
    assert (calls.settings.strategy, calls.settings.mode, calls.records, type(calls.store)) == ("none", "observe", False, MemoryStore)
    policy = tmp_path / "policy.toml"
    assert sorted(caplog.messages) == [
        f"{name} is decided by the policy in {policy}:{line}: what the program says is not used"
        for name, line in (("record", 2), ("store", 3), ("strategy", 1))
    ]


def test_the_recorder_rotates_as_files_say(tmp_path: Path) -> None:
    """``record_max_bytes`` and ``record_keep`` are no arguments, and hold all the same."""
    where = around(tmp_path, {"HOLDFAST_RECORD_KEEP": "0", "HOLDFAST_RECORD_MAX_BYTES": "1k"})
    recorder = calls_for({"record": tmp_path / "calls.jsonl"}, where)._recorder  # noqa: SLF001
    assert recorder is not None
    assert (recorder._keep, recorder._max_bytes) == (0, 1000)  # noqa: SLF001


@pytest.mark.parametrize(
    ("wishes", "said"),
    [
        ({"strategy": "ladr"}, "strategy='ladr': no strategy 'ladr'; known are ladder, "),
        ({"strategy": 3}, "strategy=3: must be a valid string"),
        ({"strategy": Micro}, "strategy=<class 'holdfast_strategies.micro.Micro'>: must be a name or an object with name and plan"),
        ({"trigger": -1}, "trigger=-1: must be greater than 0"),
        ({"trigger": "lots"}, "trigger='lots': must be a number, as 150000 or '150k'"),
        ({"trigger": 5000, "target": 6000}, "target=6000: must be below the trigger, which is 5000"),
        ({"ttl": "2h"}, "ttl='2h': must be one of 5m, 1h; did you mean '1h'?"),
        ({"mode": "compct"}, "mode='compct': must be one of compact, observe; did you mean 'compact'?"),
        ({"volatile": ("(",)}, "volatile=('(',): '(' is no regular expression: "),
        ({"pins": "text"}, "pins='text': must be a function that is given a block"),
        ({"hooks": print}, "hooks=<built-in function print>: must be holdfast.Hooks(on_plan=..., ...)"),
        ({"clock": 3}, "clock=3: must be a function that gives POSIX seconds"),
        ({"store": 7}, "store=7: must be a valid path"),
        ({"store": [1]}, "store=[1]: must be a path or a store"),
        ({"store": "/nonexistent/x.db"}, "store='/nonexistent/x.db': there is no folder /nonexistent; make it first"),
        ({"record": "/nonexistent/x.jsonl"}, "record='/nonexistent/x.jsonl': there is no folder /nonexistent; make it first"),
        ({"record": "/"}, "record='/': this is a folder; name a file in it"),
    ],
)
def test_a_mistake_is_one_sentence_that_names_the_argument(tmp_path: Path, wishes: Any, said: str) -> None:
    """It is raised when the client is wrapped, not in the middle of a conversation, and says what would be right."""
    with pytest.raises(HoldfastError) as caught:
        calls_for(wishes, around(tmp_path))
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)
    kinds = {"/n": StoreError if "store" in wishes else RecordError}
    assert isinstance(caught.value, kinds.get(str(next(iter(wishes.values())))[:2], HoldfastError))


@pytest.mark.parametrize(("name", "near"), [("stratgy", "strategy"), ("keep_tail", "keep_tail_tokens"), ("Mode", "mode")])
def test_a_wrong_name_is_a_type_error_with_the_nearest(name: str, near: str) -> None:
    """As a function would raise it, in ``wrap`` as in ``Middleware``."""
    wrong: Any = {name: 1}
    with pytest.raises(TypeError, match=f"{name!r}; did you mean {near!r}"):
        holdfast.Middleware(**wrong)
    with pytest.raises(TypeError, match=f"{name!r}; did you mean {near!r}"):
        holdfast.wrap(object(), **wrong)


def test_a_mistake_in_a_file_names_file_and_line(tmp_path: Path) -> None:
    """Also where an argument would have come before it."""
    with pytest.raises(BadSettings, match=r"holdfast\.toml:2: no setting is called 'modee'; did you mean 'mode'\?"):
        calls_for({"mode": "observe"}, around(tmp_path, holdfast='\nmodee = "observe"\n'))


def test_a_client_that_is_wrapped_already_says_that_nothing_new_is_looked_at(caplog: pytest.LogCaptureFixture) -> None:
    """Wrapping again changes nothing, and without wishes there is nothing to say."""
    from anthropic import Anthropic

    client = holdfast.wrap(Anthropic(api_key="k"))
    assert holdfast.wrap(client) is client
    assert caplog.messages == []
    assert holdfast.wrap(client, strategy="micro", ttl="1h") is client
    assert caplog.messages == ["this Anthropic has Holdfast in it already: strategy=, ttl= is not looked at"]


def test_a_mistake_in_what_is_said_per_call_is_raised_at_once() -> None:
    """Not as a line in the log when a request is made."""
    from anthropic import Anthropic

    handle, wrong = holdfast.of(holdfast.wrap(Anthropic(api_key="k"))), 3
    with pytest.raises(HoldfastError, match="no strategy 'ladr'; known are ladder, "):
        handle.session(strategy="ladr")
    for pin in (wrong, ["a text", wrong]):
        with pytest.raises(HoldfastError, match="pin=3: must be a text, a function that is given a block, or several of them"):
            handle.session(pin=pin)  # type: ignore[arg-type]
    handle.session(pin=("a text", lambda block: True), strategy="micro")

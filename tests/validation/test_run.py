"""Validating many files: what stops it, what it skips, and that it says the same in any number of processes."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from holdfast.errors import BadPrices, InputError, Unreadable
from holdfast.validation.results import Validation
from holdfast.validation.run import CAPACITIES, ValidateRequest, validate
from tests.readers.sessions import Session

BODY = {"model": "claude-sonnet-4-5", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
BILL = {"input_tokens": 9, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0, "output_tokens": 1}


def session(folder: Path, name: str, requests: int = 3) -> Path:
    """A recorded tool loop, of its own ids."""
    made = Session(name)
    made.user(f"the task of {name}")
    for number in range(requests):
        made.call(f"msg_{name}_{number}", f"{name}-{number}")
        made.result(f"{name}-{number}", "found")
    return made.write(folder / f"{name}.jsonl")


def log(folder: Path, name: str = "log.jsonl") -> Path:
    """A request log of two calls."""
    rows = [{"request": BODY, "response": {"id": f"msg_{number}", "type": "message", "usage": BILL}, "at": number} for number in range(2)]
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def trace(folder: Path) -> Path:
    """A trace of hashes of blocks, the second request with one block of the first."""
    rows = [{"timestamp": 0, "input_length": 1_024, "output_length": 1, "hash_ids": [1, 2]}]
    rows.append({"timestamp": 9, "input_length": 1_024, "output_length": 1, "hash_ids": [1, 3]})
    path = folder / "trace.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def mixed(folder: Path) -> Path:
    """Sessions, a log, a trace, and files that are nothing of the kind."""
    for name in "cab":
        session(folder, name)
    log(folder)
    trace(folder)
    (folder / "empty.jsonl").write_bytes(b"")
    (folder / "picture.png").write_bytes(bytes(range(256)) * 9)
    (folder / "README.md").write_text("Nothing to see here.")
    (folder / "torn.jsonl.gz").write_bytes(gzip.compress(b"x" * 5_000)[:40])
    return folder


def run(
    folder: Path, progress: Callable[[int, int], None] = lambda done, total: None, jobs: int = 1, limit: int | None = None
) -> Validation:
    """The folder, validated."""
    return validate(ValidateRequest((str(folder),), jobs=jobs, limit=limit), progress)


def by_name(found: Validation) -> dict[str, str | None]:
    """Why each file was skipped, by its name."""
    return {Path(each.path).name: each.skipped for each in found.sessions}


def test_a_mixed_folder_is_checked_as_far_as_it_can_be(tmp_path: Path) -> None:
    """Sessions and logs are checked, traces measured, and everything else is named with what is wrong with it."""
    found = run(mixed(tmp_path))
    why = by_name(found)
    assert [name for name, skipped in why.items() if skipped is None] == ["a.jsonl", "b.jsonl", "c.jsonl", "log.jsonl"]
    assert "an empty file" in (why["empty.jsonl"] or "")
    assert "binary data" in (why["picture.png"] or "")
    assert why.keys() == {path.name for path in tmp_path.iterdir()} - {"trace.jsonl"}
    assert found.blocks is not None
    assert [(total.requests, total.endless.hit_blocks) for total in found.blocks.totals] == [(2, 1)]
    assert [point.capacity for point in found.blocks.traces[0].curve] == [size for size in CAPACITIES for _ in range(3)]
    assert not found.interrupted
    assert {(row.format, row.tally.requests) for row in found.sets} == {("claude-code", 9), ("request-log", 2)}


def test_one_process_says_what_two_say(tmp_path: Path) -> None:
    """The result does not depend on how many processes worked, nor on which was done first."""
    mixed(tmp_path)
    session(tmp_path, "long", 60)
    assert run(tmp_path, jobs=1) == run(tmp_path, jobs=2) == run(tmp_path, jobs=0)


def test_the_order_is_that_of_the_files(tmp_path: Path) -> None:
    """Sessions come in the order of their paths, whatever their size."""
    for name, requests in (("a", 2), ("b", 30), ("c", 1)):
        session(tmp_path, name, requests)
    found = run(tmp_path, jobs=2)
    assert list(by_name(found)) == ["a.jsonl", "b.jsonl", "c.jsonl"]
    assert [each.tally.requests for each in found.sessions] == [2, 30, 1]


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_interrupt_keeps_what_is_done(tmp_path: Path, jobs: int) -> None:
    """Who stops it half-way gets what was done so far, marked as interrupted."""
    for name in "abcd":
        session(tmp_path, name)

    def stop(done: int, total: int) -> None:
        assert total == 4
        if done == 2:
            raise KeyboardInterrupt

    found = run(tmp_path, stop, jobs)
    assert found.interrupted
    assert len(found.sessions) == 2
    assert found.tally.requests == 6
    assert all(each in run(tmp_path).sessions for each in found.sessions)


def test_an_interrupt_at_once_gives_nothing(tmp_path: Path) -> None:
    """Before the first file is done there is nothing to give."""
    session(tmp_path, "a")
    ticks = count()

    def stop(done: int, total: int) -> None:
        if done == 1 and next(ticks) == 0:
            raise KeyboardInterrupt

    found = run(tmp_path, stop)
    assert found.interrupted
    assert len(found.sessions) == 1
    assert run(tmp_path).sessions == found.sessions


def test_progress_is_told_from_nothing_to_all(tmp_path: Path) -> None:
    """It is told at the start and after each group of files."""
    for name in "abc":
        session(tmp_path, name)
    told: list[tuple[int, int]] = []
    run(tmp_path, lambda done, total: told.append((done, total)))
    assert told == [(0, 3), (1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize(("limit", "found"), [(1, 1), (2, 2), (9, 3)])
def test_a_limit_counts_sessions_that_could_be_checked(tmp_path: Path, limit: int, found: int) -> None:
    """It stops after so many checked sessions; files that could not be checked do not count."""
    (tmp_path / "README.md").write_text("Nothing to see here.")
    for name in "abc":
        session(tmp_path, name)
    sessions = run(tmp_path, limit=limit).sessions
    assert sum(each.skipped is None for each in sessions) == found


def test_an_empty_file_is_no_session(tmp_path: Path) -> None:
    """A file of nothing is named, and gives no counts."""
    (tmp_path / "empty.jsonl").write_bytes(b"")
    found = run(tmp_path / "empty.jsonl")
    assert len(found.sessions) == 1
    assert found.sets == ()
    assert found.tally.requests == 0


def test_nothing_known_is_no_error(tmp_path: Path) -> None:
    """A folder of foreign files gives a list of them, an empty folder nothing at all."""
    assert run(tmp_path) == Validation((), ())
    (tmp_path / "a.bin").write_bytes(b"\0\1\2" * 99)
    (tmp_path / "b.txt").write_text("words")
    found = run(tmp_path)
    assert [each.skipped is not None for each in found.sessions] == [True, True]
    assert (found.sets, found.blocks) == ((), None)


def test_what_is_not_there_is_an_error(tmp_path: Path) -> None:
    """A path that names nothing cannot be validated, nor can a price file that does not fit."""
    with pytest.raises(Unreadable, match="no such file"):
        run(tmp_path / "nowhere.jsonl")
    (tmp_path / "prices.json").write_text('{"models": 3}')
    with pytest.raises(BadPrices):
        validate(ValidateRequest((str(session(tmp_path, "a")),), prices=tmp_path / "prices.json"))


@pytest.mark.parametrize("broken", ["session", "log", "foreign"])
def test_strict_makes_a_bad_line_an_error(tmp_path: Path, broken: str) -> None:
    """What is counted and passed over otherwise ends a strict run, with the same words from a worker process."""
    session(tmp_path, "good")
    if broken == "foreign":
        (tmp_path / "bad.txt").write_text("words")
    else:
        path = session(tmp_path, "bad") if broken == "session" else log(tmp_path)
        path.write_text(path.read_text() + '{"torn": \n')
    found = run(tmp_path)
    assert len(found.skipped) + sum(each.skipped is not None or bool(each.notes) for each in found.sessions) >= 1
    words = []
    for jobs in (1, 2):
        with pytest.raises(InputError) as raised:
            validate(ValidateRequest((str(tmp_path),), jobs=jobs, strict=True))
        words.append(f"{type(raised.value).__name__}: {raised.value}")
    assert words[0] == words[1]


def test_copies_in_a_second_file_are_counted_once(tmp_path: Path) -> None:
    """A resumed session begins with the lines of another file: its calls are checked in one of the two."""
    first = session(tmp_path, "a", 3)
    again = Session("b")
    again.lines = first.read_text().splitlines()
    again.last, again.count, again.clock = "u7", 7, again.clock + 60
    again.call("msg_b_0", "b-0")
    again.write(tmp_path / "b.jsonl")
    found = run(tmp_path)
    assert found.tally.requests == 4
    assert [each.tally.requests for each in found.sessions] == [3, 1]

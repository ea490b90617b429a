"""Stores: what is put can be had back byte for byte, of two writers one wins, and what goes wrong is a ``StoreError``, never lost data."""

from __future__ import annotations

import gc
import json
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.blocks import Block, Kind, Role, make_block
from holdfast.edits import Fold, Plan
from holdfast.errors import StoreError
from holdfast.frozen import FrozenDict
from holdfast.ledger import Ledger
from holdfast.saved import Saved
from holdfast.store import FileStore, MemoryStore, Store, key, opened, stretch
from tests.test_saved import SAVED, ledgers

texts = st.text(st.characters(codec=None, exclude_categories=()), max_size=20)  # lone surrogates too
wires = st.dictionaries(st.sampled_from(["type", "text", "n"]), texts | st.integers() | st.lists(st.booleans(), max_size=2)) | texts


def block(wire: Any) -> Block:
    """A block of this JSON."""
    return make_block(Kind.TEXT, Role.USER, wire)


def head(lineage: str = "l", version: int = 1, root: str = "", ledger: Ledger | None = None, **changes: Any) -> Saved:
    """A saved head; its history has as many messages as its version says, unless told otherwise."""
    fresh = {"lineage": lineage, "version": version, "root": root or f"{lineage}{version}", "messages": version}
    return replace(SAVED, **{**fresh, **({} if ledger is None else {"ledger": ledger}), **changes})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file that is not there yet."""
    return tmp_path / "store.sqlite"


@pytest.fixture
def file(path: Path) -> Iterator[FileStore]:
    """An empty store in a file."""
    with FileStore(path) as store:
        yield store


@pytest.fixture(params=["memory", "file"])
def store(request: pytest.FixtureRequest) -> Any:
    """An empty store of each kind."""
    return MemoryStore() if request.param == "memory" else request.getfixturevalue("file")


# -- blocks, in both


@given(st.lists(wires, max_size=5))
def test_memory_gives_back_what_was_put(kept: list[Any]) -> None:
    """Under the key that placeholders name, and under the whole fingerprint."""
    store = MemoryStore()
    blocks = list(map(block, kept))
    store.put(blocks)
    for one in blocks:
        assert json.dumps(store.get(key(one))) == json.dumps(store.get(one.fingerprint.hex())) == json.dumps(one.wire)


@settings(max_examples=30)
@given(st.lists(wires, max_size=4))
def test_a_file_gives_back_what_was_put(tmp_path_factory: pytest.TempPathFactory, kept: list[Any]) -> None:
    """Also from another process that opens it later."""
    path = tmp_path_factory.mktemp("store") / "store.sqlite"
    blocks = list(map(block, kept))
    with FileStore(path) as first:
        first.put(blocks)
        first.put(blocks)
    with FileStore(str(path)) as second:
        for one in blocks:
            assert json.dumps(second.get(key(one))) == json.dumps(second.get(one.fingerprint.hex())) == json.dumps(one.wire)


def test_what_comes_back_cannot_be_changed(store: Store) -> None:
    """It is what the store holds."""
    store.put([block({"text": "x"})])
    assert isinstance(store.get(key(block({"text": "x"}))), FrozenDict)


@pytest.mark.parametrize("name", ["0" * 12, "", "0", "%", "x" * 12, "0" * 33, key(block("x"))[:11], "no name at all"])
def test_what_was_never_put_is_none(store: Store, name: str) -> None:
    """So is what cannot be a name, however much begins like it."""
    store.put([block("x"), block("y")])
    assert store.get(name) is None


def test_another_block_whose_name_begins_alike_is_not_taken_for_it(store: Store) -> None:
    """A whole fingerprint fetches its own block or none."""
    store.put([block("x")])
    name = block("x").fingerprint.hex()
    assert store.get(name) == "x"
    assert store.get(name[:-1] + ("0" if name[-1] != "0" else "1")) is None


def test_a_file_keeps_two_blocks_whose_names_begin_alike(path: Path, file: FileStore) -> None:
    """The later one comes under the short name, each under its own."""
    one, other = replace(block("x"), fingerprint=bytes(16)), replace(block("y"), fingerprint=bytes(15) + b"\1")
    with FileStore(path, clock=lambda: 1.0) as early:
        early.put([one])
    file.put([other])
    assert (file.get("0" * 12), file.get("0" * 32), file.get("0" * 31 + "1")) == ("y", "x", "y")


def test_memory_forgets_the_oldest_and_says_so() -> None:
    """It is bounded by the characters it holds; what was read last is young."""
    store = MemoryStore(100)
    blocks = [block("x" * 30 + str(n)) for n in range(4)]
    for one in blocks[:3]:
        store.put([one])
    assert store.get(key(blocks[0])) is not None
    assert store.forgotten == 0
    store.put(blocks[3:])
    assert [store.get(key(one)) is None for one in blocks] == [False, True, False, False]
    assert store.forgotten == 1
    with pytest.raises(StoreError):
        store.put([block("x" * 200)])


def test_a_stretch_names_its_blocks() -> None:
    """Always by the same name."""
    blocks = [block("x"), block("y")]
    assert stretch(blocks).wire["blocks"] == [one.fingerprint.hex() for one in blocks]
    assert key(stretch(blocks)) == key(stretch(tuple(blocks))) != key(stretch(blocks[::-1]))


# -- lineages, in both


def test_a_head_comes_back_by_its_lineage_and_by_its_root(store: Store) -> None:
    """Equal in every field; where nothing was saved, nothing comes."""
    assert store.load("l1") is None
    assert store.find(["r"]) is store.find([]) is None
    saved = head("l1", 1, "r")
    assert store.save(saved, 0)
    assert store.load("l1") == store.find(["q", "r"]) == saved
    assert store.find(["q"]) is None


def test_of_two_who_save_over_one_version_the_first_wins(store: Store) -> None:
    """Nothing of the loser is kept, and it reads the winner's."""
    assert store.save(head("l", 1), 0)
    assert store.save(head("l", 2, "winner"), 1)
    assert not store.save(head("l", 2, "loser"), 1)
    assert not store.save(head("l", 1, "late"), 0)
    assert not store.save(head("other", 6, "early"), 5)
    assert store.load("l") == head("l", 2, "winner")
    assert store.find(["loser", "late", "early"]) is None


def test_a_version_that_does_not_follow_is_an_error(store: Store) -> None:
    """Whoever counts wrongly must not spoil a lineage."""
    for version, expected in ((1, 1), (2, 0), (0, -1)):
        with pytest.raises(StoreError, match="does not follow"):
            store.save(head("l", version), expected)
    assert store.load("l") is None


def test_the_longest_history_is_found(store: Store) -> None:
    """And the newest save of equals; a branch finds where it branched, though its lineage has grown since."""
    for version in (1, 2, 3):
        store.save(head("a", version), version - 1)
    store.save(head("b", 1, "a2", messages=2, model="newer"), 0)
    assert store.find(["a1", "a2", "a3"]) == head("a", 3)
    assert store.find(["a2", "a1"]) == head("b", 1, "a2", messages=2, model="newer")
    assert store.find(["a1", "a9"]) == head("a", 1)
    assert store.load("a") == head("a", 3)


def test_hundreds_of_roots_are_one_question(store: Store) -> None:
    """A long history asks for each of its prefixes."""
    for version in range(1, 21):
        store.save(head("a", version, f"{version:032x}"), version - 1)
    assert store.find([f"{n:032x}" for n in range(5_000)]) == head("a", 20, f"{20:032x}")


@settings(max_examples=25)
@given(chain=st.lists(ledgers(), min_size=1, max_size=3))
def test_ledgers_come_back_from_a_file(tmp_path_factory: pytest.TempPathFactory, chain: list[Ledger]) -> None:
    """Each head has its own, also from another process that opens the file later."""
    path = tmp_path_factory.mktemp("store") / "store.sqlite"
    heads = [head("a", version, ledger=ledger) for version, ledger in enumerate(chain, 1)]
    with FileStore(path) as first:
        assert all(first.save(one, one.version - 1) for one in heads)
    with FileStore(path) as second:
        assert [second.find([one.root]) for one in heads] == heads
        assert second.load("a") == heads[-1]


def test_of_many_threads_one_wins_each_version(store: Store) -> None:
    """No save is lost and none comes twice."""
    won: list[int] = []

    def work() -> None:
        for version in range(1, 11):
            if store.save(head("l", version), version - 1):
                won.append(version)
            store.put([block(f"{threading.get_ident()} {version}")])
            while (newest := store.load("l")) is None or newest.version < version:
                pass

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert won == list(range(1, 11))


def test_what_is_old_is_forgotten_when_asked(path: Path) -> None:
    """What was put or saved since stays, and so does what was put again; a lineage begins anew."""
    now = [100.0]
    for store in (MemoryStore(clock=lambda: now[0]), FileStore(path, clock=lambda: now[0])):
        now[0] = 100.0
        store.put([block("old"), block("again")])
        store.save(head("old", 1), 0)
        store.save(head("young", 1), 0)
        now[0] = 200.0
        store.put([block("again"), block("young")])
        store.save(head("young", 2), 1)
        assert store.forget(150.0) == 3  # a block and two heads
        assert [store.get(key(block(name))) for name in ("old", "again", "young")] == [None, "again", "young"]
        assert (store.load("old"), store.find(["old1", "young1"])) == (None, None)
        assert store.load("young") == head("young", 2)
        assert store.save(head("old", 1), 0)
        store.close()


def test_a_file_keeps_for_as_long_as_it_was_asked_to(path: Path) -> None:
    """And without being asked, for ever; what is forgotten is nowhere in the file."""
    now = [100.0]
    for keep_for, kept in ((None, "secret words"), (50.0, None)):
        with FileStore(path, keep_for, lambda: now[0]) as store:
            now[0] = 100.0
            store.put([block("secret words")])
            store.save(
                head("l", 1, ledger=Ledger().commit(Plan("full", (Fold(1, 2, "secret summary"),)))), 0
            )  # the second time it is there
            now[0] = 200.0
            for _ in range(501):
                store.put([])
            assert store.get(key(block("secret words"))) == kept
            assert (store.load("l") is None) == (kept is None)
    assert b"secret" not in path.read_bytes()


@pytest.mark.parametrize("given", [None, "x.sqlite", Path("x.sqlite")])
def test_a_store_is_opened_from_what_a_caller_has(given: str | Path | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path as text or ``Path``, nothing, or a store, which stays what it is; a path means the same wherever the process goes later."""
    monkeypatch.chdir(tmp_path)
    store = opened(given)
    assert opened(store) is store
    assert isinstance(store, MemoryStore if given is None else FileStore)
    assert (tmp_path / "x.sqlite").exists() == (given is not None)
    store.close()


# -- the file


def mode(path: Path) -> int:
    """Who may do what."""
    return stat.S_IMODE(path.stat().st_mode)


def test_nobody_else_can_read_the_file(path: Path, file: FileStore) -> None:
    """Nor those beside it, also where they were open to all before."""
    file.put([block("x")])
    names = [Path(f"{path}{end}") for end in ("", "-wal", "-shm")]
    assert [mode(name) for name in names] == [0o600] * 3
    for name in names:
        name.chmod(0o644)
    with FileStore(path):
        assert [mode(name) for name in names] == [0o600] * 3


def test_a_file_that_is_no_database_is_set_aside(path: Path) -> None:
    """It is kept under another name, and never overwritten there."""
    path.write_bytes(b"not a database, but somebody's notes" * 10)
    with FileStore(path) as store:
        store.put([block("x")])
    aside = path.with_name("store.sqlite.corrupt")
    assert aside.read_bytes().startswith(b"not a database")
    path.write_bytes(b"again no database, but other notes" * 10)
    with pytest.raises(StoreError, match="set aside"):
        FileStore(path)
    assert aside.read_bytes().startswith(b"not a database")
    assert path.read_bytes().startswith(b"again")


def test_a_damaged_database_is_set_aside_with_its_log(path: Path, file: FileStore) -> None:
    """The check finds pages that make no sense; a log beside the damaged file is no part of the new one."""
    file.put([block(f"{n} " + "x" * 3000) for n in range(20)])
    file.close()
    whole = path.read_bytes()
    path.write_bytes(whole[:8192] + b"\xff" * 8192 + whole[16384:])
    Path(f"{path}-wal").write_bytes(b"somebody's log")
    with FileStore(path) as store:
        assert store.get(key(block("0 " + "x" * 3000))) is None
        store.put([block("new")])
    aside = path.with_name("store.sqlite.corrupt")
    assert aside.read_bytes()[8192:16384] == b"\xff" * 8192
    assert Path(f"{aside}-wal").read_bytes() == b"somebody's log"


def test_what_was_damaged_is_an_error_not_something_else(path: Path, file: FileStore) -> None:
    """One letter changed in a block, a head or a ledger: no check of the database sees it, but reading does. Put again, it is whole."""
    file.put([block("anchor")])
    file.save(head("l", 1, model="anchor"), 0)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("UPDATE blocks SET wire = replace(wire, 'anchor', 'ancho0')")
    with pytest.raises(StoreError, match="damaged"):
        file.get(key(block("anchor")))
    file.put([block("anchor")])
    assert file.get(key(block("anchor"))) == "anchor"
    other.execute("UPDATE heads SET state = replace(state, 'anchor', 'ancho0')")
    with pytest.raises(StoreError, match="damaged"):
        file.load("l")
    other.execute("UPDATE heads SET state = replace(state, 'ancho0', 'anchor')")
    assert file.load("l") == head("l", 1, model="anchor")
    other.execute("UPDATE ledgers SET text = replace(text, 'gone', 'gon0')")
    with pytest.raises(StoreError, match="ledger"):
        file.find(["l1"])
    other.execute("DELETE FROM ledgers")
    with pytest.raises(StoreError, match="ledger"):
        file.load("l")
    other.close()


def old_file(path: Path) -> None:
    """A store of the first schema, with one block and one that cannot be read."""
    old = sqlite3.connect(path, isolation_level=None)
    old.execute("CREATE TABLE blocks (name TEXT PRIMARY KEY, wire TEXT NOT NULL) WITHOUT ROWID")
    old.executemany("INSERT INTO blocks VALUES (?, ?)", [(key(block("x")), '"x"'), (key(block("y")), "{")])
    old.close()


def test_a_file_of_the_first_schema_still_works(path: Path) -> None:
    """Its blocks are there, under short and whole names, and count as put when it was opened."""
    old_file(path)
    with FileStore(path, clock=lambda: 500.0) as store:
        assert store.get(key(block("x"))) == store.get(block("x").fingerprint.hex()) == "x"
        with pytest.raises(StoreError, match="cannot be read"):
            store.get(key(block("y")))
        store.put([block("x"), block("z")])
        assert store.save(head("l", 1), 0)
        assert store.forget(500.0) == 0
        assert store.forget(501.0) == 5
    with FileStore(path) as again:
        assert again.get(key(block("x"))) is None


def test_a_newer_file_and_another_programs_are_left_alone(path: Path) -> None:
    """The error says which it is; not a byte is changed."""
    for statements, why in (
        (["PRAGMA user_version=99", f"PRAGMA application_id={0x484F4C44}"], "newer Holdfast: schema 99"),
        (["CREATE TABLE cookies (name)"], "another program's database, with the tables cookies"),
        (["PRAGMA application_id=7"], "another program's"),
    ):
        path.unlink(missing_ok=True)
        other = sqlite3.connect(path, isolation_level=None)
        for statement in statements:
            other.execute(statement)
        other.close()
        before = path.read_bytes()
        with pytest.raises(StoreError, match=why):
            FileStore(path)
        assert path.read_bytes() == before


def test_a_locked_store_is_an_error_and_stays_where_it_is(path: Path, file: FileStore) -> None:
    """Who waits too long for another's write is told so; what is there can be read meanwhile."""
    file.put([block("x")])
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        with pytest.raises(StoreError, match="locked"):
            file.put([block("y")])
        with FileStore(path) as second:
            assert second.get(key(block("x"))) == file.get(key(block("x"))) == "x"
    finally:
        other.close()
    assert not path.with_name("store.sqlite.corrupt").exists()
    file.put([block("y")])


@pytest.mark.parametrize("name", ["nowhere/store.sqlite", "folder", "a\0b", "~nobody-of-this-name/store.sqlite"])
def test_a_place_where_no_file_can_be_is_an_error(tmp_path: Path, name: str) -> None:
    """A folder that does not exist, a folder, a name that is none; a folder keeps its mode."""
    folder = tmp_path / "folder"
    folder.mkdir(0o755)
    before = mode(folder)
    with pytest.raises(StoreError):
        FileStore(name if name.startswith("~") else f"{tmp_path}/{name}")
    assert mode(folder) == before


def test_what_is_no_json_is_an_error(file: FileStore) -> None:
    """And nothing of that call is kept."""
    with pytest.raises(StoreError, match="JSON"):
        file.put([block("x"), replace(block("y"), wire={"y": b"bytes"})])
    assert file.get(key(block("x"))) is None
    with pytest.raises(StoreError):
        file.load("\ud800")  # no text for SQLite


def test_a_closed_store_says_so(file: FileStore) -> None:
    """Closing twice is harmless."""
    file.close()
    file.close()
    for use in (lambda: file.get("0" * 12), lambda: file.put([block("x")]), lambda: file.load("l"), lambda: file.save(head(), 0)):
        with pytest.raises(StoreError, match="closed"):
            use()


@pytest.fixture
def as_nobody() -> Iterator[Path]:
    """A folder of one's own, without the rights of root, who may write everywhere."""
    if not hasattr(os, "geteuid"):
        pytest.skip("needs users")
    folder = Path(tempfile.mkdtemp())
    if os.geteuid() == 0:
        os.chown(folder, 65534, 65534)
        os.seteuid(65534)
        yield folder
        os.seteuid(0)
    else:
        yield folder
    folder.chmod(0o700)
    shutil.rmtree(folder)


def test_a_read_only_file_is_an_error_when_written(as_nobody: Path) -> None:
    """It can be read, and nothing is changed or set aside; where no file may be made, that is an error at once."""
    path = as_nobody / "store.sqlite"
    with FileStore(path) as store:
        store.put([block("x")])
    before = path.read_bytes()
    path.chmod(0o400)
    with FileStore(path) as store:
        assert store.get(key(block("x"))) == "x"
        with pytest.raises(StoreError, match="readonly"):
            store.put([block("y")])
    assert path.read_bytes() == before
    as_nobody.chmod(0o500)
    with pytest.raises(StoreError, match="Permission denied"):
        FileStore(as_nobody / "new.sqlite")


def test_a_file_of_somebody_else_that_all_can_read_is_refused(as_nobody: Path) -> None:
    """It cannot be made private."""
    if os.geteuid() == os.getuid():
        pytest.skip("needs the rights of root to make such a file")
    path = as_nobody / "store.sqlite"
    os.seteuid(0)
    path.touch(0o644)
    os.seteuid(65534)
    with pytest.raises(StoreError, match="not permitted"):
        FileStore(path)


ROOT = Path(__file__).resolve().parents[1]
ENV = {**os.environ, "PYTHONPATH": os.pathsep.join(str(ROOT / name) for name in ("src", "strategies"))}
PRELUDE = """
import sys
from dataclasses import replace
from holdfast.blocks import Kind, Role, make_block
from holdfast.errors import StoreError
from holdfast.saved import Saved
from holdfast.store import FileStore, key
def block(wire):
    return make_block(Kind.TEXT, Role.USER, wire)
base = replace(Saved.from_json(sys.argv[2]), lineage="l")
def head(version, **changes):
    return replace(base, **{"version": version, "root": f"l{version}", "messages": version, **changes})
store = FileStore(sys.argv[1])
"""


def child(code: str, path: Path, *arguments: str) -> subprocess.Popen[str]:
    """A process of its own with an open store, and ``block`` and ``head`` as above."""
    command = [sys.executable, "-c", PRELUDE + code, str(path), SAVED.to_json(), *arguments]
    return subprocess.Popen(command, env=ENV, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


FULL = """
import resource, signal
store.put([block("before")])
assert store.save(head(1), 0)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
for use in (lambda: store.put([block("x" * 400_000)]), lambda: store.save(head(2, root="r" * 400_000), 1)):
    try:
        use()
    except StoreError as error:
        print(type(error).__name__, end=" ")
assert store.get(key(block("before"))) == "before"
assert store.load("l") == head(1)
"""


def test_a_full_disk_is_an_error_and_loses_nothing(path: Path) -> None:
    """A file that may not grow any more: what was kept is there, what did not fit is not."""
    with child(FULL, path) as full:
        assert full.communicate(timeout=60)[0] == "StoreError StoreError "
    with FileStore(path) as store:
        assert store.get(key(block("before"))) == "before"
        assert store.get(key(block("x" * 400_000))) is None
        assert store.save(head("l", 2), 1)


def test_a_store_that_nobody_closes_is_closed_in_the_end(path: Path) -> None:
    """With the last reference to it: the log beside the file is gone then, as after ``close``."""
    store = FileStore(path)
    store.put([block("x")])
    assert Path(f"{path}-wal").exists()
    del store
    gc.collect()
    assert not Path(f"{path}-wal").exists()


# -- several processes

LOOP = """
newest = store.load("l")
version = newest.version if newest else 0
while True:
    version += 1
    store.put([block(f"{version} " + "x" * 50_000), block(str(version))])
    assert store.save(head(version), version - 1)
    print(version, flush=True)
"""


def test_what_was_saved_before_a_kill_is_there_after_it(path: Path) -> None:
    """``kill -9`` in the middle of writing, twice: the file opens, it is whole, and every call that had returned counts."""
    reported = 0
    for more in (40, 25):
        with child(LOOP, path) as writer:
            assert writer.stdout is not None
            stop = reported + more
            for line in writer.stdout:
                reported = int(line)
                if reported == stop:
                    writer.send_signal(signal.SIGKILL)
        assert writer.returncode == -signal.SIGKILL
        assert reported >= stop
        check = sqlite3.connect(path)
        assert check.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        check.close()
        with FileStore(path) as store:
            newest = store.load("l")
            assert newest is not None
            assert newest.version in (reported, reported + 1)
            for version in range(1, reported + 1):
                assert store.get(key(block(f"{version} " + "x" * 50_000))) == f"{version} " + "x" * 50_000
                assert store.find([f"l{version}"]) == head("l", version)
        assert not path.with_name("store.sqlite.corrupt").exists()
        reported = newest.version


RACE = """
name, won = sys.argv[3], 0
for turn in range(30):
    newest = store.load("l")
    version = newest.version + 1 if newest else 1
    won += store.save(head(version, model=name), version - 1)
    store.put([block(f"{name} {turn}")])
print(won)
"""


def test_of_several_processes_one_wins_each_version(path: Path) -> None:
    """They make the file together, and as many versions are kept as saves said yes."""
    running = [child(RACE, path, name) for name in "abc"]
    told = [one.communicate(timeout=60)[0] for one in running]
    with FileStore(path) as store:
        newest = store.load("l")
        assert newest is not None
        assert newest.version == sum(map(int, told)) >= 30
        assert all(store.get(key(block(f"{name} {turn}"))) for name in "abc" for turn in range(30))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_store_goes_on_on_both_sides_of_a_fork(path: Path, file: FileStore) -> None:
    """As in servers that load first and fork then: no connection is carried across, so the log is gone until one side goes on."""
    file.put([block("before")])
    turn, go = os.pipe()
    forked = os.fork()
    if forked == 0:  # pragma: no cover
        os.read(turn, 1)
        file.put([block("child")])
        os._exit(0 if file.get(key(block("before"))) == "before" else 1)
    carried = Path(f"{path}-wal").exists()
    os.write(go, b"x")
    file.put([block("parent")])
    assert os.waitpid(forked, 0)[1] == 0
    os.close(turn)
    os.close(go)
    assert not carried
    assert [file.get(key(block(name))) for name in ("before", "child", "parent")] == ["before", "child", "parent"]

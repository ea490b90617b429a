"""Stores: what is put can be had back byte for byte, and what goes wrong is a ``StoreError``, never lost data."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.blocks import Block, Kind, Role, make_block
from holdfast.errors import StoreError
from holdfast.store import FileStore, MemoryStore, key

texts = st.text(st.characters(codec=None, exclude_categories=()), max_size=20)  # lone surrogates too
wires = st.dictionaries(st.sampled_from(["type", "text", "n"]), texts | st.integers() | st.lists(st.booleans(), max_size=2)) | texts


def block(wire: Any) -> Block:
    """A block of this JSON."""
    return make_block(Kind.TEXT, Role.USER, wire)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file that is not there yet."""
    return tmp_path / "store.sqlite"


@given(st.lists(wires, max_size=5))
def test_memory_gives_back_what_was_put(kept: list[Any]) -> None:
    """Under the key that placeholders name, and under the whole fingerprint."""
    store = MemoryStore()
    blocks = list(map(block, kept))
    store.put(blocks)
    for one in blocks:
        assert json.dumps(store.get(key(one))) == json.dumps(store.get(one.fingerprint.hex())) == json.dumps(one.wire)


@given(st.lists(wires, max_size=4))
def test_a_file_gives_back_what_was_put(tmp_path_factory: pytest.TempPathFactory, kept: list[Any]) -> None:
    """Also from another process that opens it later."""
    path = tmp_path_factory.mktemp("store") / "store.sqlite"
    blocks = list(map(block, kept))
    first = FileStore(path)
    first.put(blocks)
    first.put(blocks)
    first.close()
    second = FileStore(path)
    assert [json.dumps(second.get(key(one))) for one in blocks] == [json.dumps(one.wire) for one in blocks]
    second.close()


def test_memory_forgets_the_oldest() -> None:
    """It is bounded by the characters it holds."""
    store = MemoryStore(100)
    blocks = [block("x" * 30 + str(n)) for n in range(5)]
    for one in blocks:
        store.put([one])
    assert store.get(key(blocks[0])) is None
    assert store.get(key(blocks[4])) == blocks[4].wire
    with pytest.raises(StoreError):
        store.put([block("x" * 200)])


def test_what_was_never_put_is_none(path: Path) -> None:
    """Both stores say so."""
    store = FileStore(path)
    assert MemoryStore().get("0" * 12) is None
    assert store.get("0" * 12) is None
    store.close()


def test_a_file_that_is_no_database_is_set_aside(path: Path) -> None:
    """It is kept under another name, and never overwritten there."""
    path.write_bytes(b"not a database, but somebody's notes" * 10)
    store = FileStore(path)
    store.put([block("x")])
    store.close()
    aside = path.with_name("store.sqlite.corrupt")
    assert aside.read_bytes().startswith(b"not a database")
    path.write_bytes(b"again no database, but other notes" * 10)
    with pytest.raises(StoreError, match="set aside"):
        FileStore(path)
    assert aside.read_bytes().startswith(b"not a database")
    assert path.read_bytes().startswith(b"again")


def test_a_locked_store_is_an_error_and_stays_where_it_is(path: Path) -> None:
    """It is somebody else's good data."""
    store = FileStore(path)
    store.put([block("x")])
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    try:
        with pytest.raises(StoreError, match="locked"):
            store.put([block("y")])
        with pytest.raises(StoreError, match="locked"):
            FileStore(path)
    finally:
        other.close()
    assert not path.with_name("store.sqlite.corrupt").exists()
    assert store.get(key(block("x"))) == "x"
    store.close()


def test_a_place_where_no_file_can_be_is_an_error(tmp_path: Path) -> None:
    """A folder that does not exist."""
    with pytest.raises(StoreError):
        FileStore(tmp_path / "nowhere" / "store.sqlite")


def test_what_cannot_be_read_back_is_an_error(path: Path) -> None:
    """A row that is no JSON, and a file that was closed."""
    store = FileStore(path)
    store.put([block("x")])
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("UPDATE blocks SET wire = '{'")
    other.close()
    with pytest.raises(StoreError, match="cannot be read"):
        store.get(key(block("x")))
    store.close()
    with pytest.raises(StoreError):
        store.get(key(block("x")))

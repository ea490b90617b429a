"""What counts as an atom, and where a text holds one."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.blocks import Block, Kind, Role, make_block
from holdfast.simulator.atoms import Vocabulary, atoms_in, places, readable, shown, spoken

SIGNS = ["/", ".", ":", "-", "~", "..", "https://", " ", "\n", "\\n", "'", '"', "`"]
PIECES = st.sampled_from([*SIGNS, "src", "app", "main_loop", ".py", "48213", "parseConfig", "é1", "文", "x"])
CODE = st.one_of(st.lists(PIECES, max_size=40).map("".join), st.text(max_size=80))


@given(CODE)
def test_every_atom_of_a_text_is_held_by_it(text: str) -> None:
    """A text holds each of its own atoms, at a place that can be shown."""
    text = readable(text)
    atoms = atoms_in(text)
    assert Vocabulary(atoms).held(text) == set(atoms)
    assert all(any(places(text, atom)) for atom in atoms if " " not in atom)


@given(CODE, CODE)
def test_a_longer_text_holds_at_least_as_much(one: str, other: str) -> None:
    """What a text holds, it still holds as one line among others."""
    vocabulary = Vocabulary(atoms_in(readable(one)))
    assert vocabulary.held(f"{readable(other)}\n{readable(one)}\n") >= {a for a in vocabulary.held(readable(one)) if " " not in a}


@pytest.mark.parametrize(
    ("text", "atoms"),
    [
        ("open /srv/app/main.py now", ["/srv/app/main.py"]),
        ("see ./src/holdfast/tail.py:48213:", ["src/holdfast/tail.py", "48213"]),
        ("in main.py, call parseConfig(user_id)", ["main.py", "parseConfig", "user_id"]),
        ("https://example.org/a/b?q=1.", ["https://example.org/a/b"]),
        ("commit 3f9a2c1 of PR #48213", ["3f9a2c1", "48213"]),
        ("version 2.31.4", ["2.31.4"]),
        ('says "cannot open the store" twice', ["cannot open the store"]),
        ("session 4f1c-88aa-2e", ["4f1c-88aa-2e"]),
        ("in 文件foo_bar的", ["foo_bar"]),
        ('Sprintf("\\nworkDir")', ["workDir"]),
    ],
)
def test_finds_what_must_be_remembered(text: str, atoms: list[str]) -> None:
    """Paths, names with a shape, numbers, hashes, URLs and quoted phrases are atoms."""
    assert list(atoms_in(readable(text))) == atoms


@pytest.mark.parametrize(
    "text",
    [
        "This is prose and/or words, up-to-date and well-known.",
        "cat /dev/null 2>/dev/null",
        "in 2026 about 1000 or 300 of 12",
        "strings.TrimSpace and fmt.Println and console.log",
        "px-3 text-slate-400 4-phase",
        "it's 'quoted' \"word\"",
        "sha256 in_progress node_modules README.md",
    ],
)
def test_leaves_out_what_everybody_knows(text: str) -> None:
    """Prose, round numbers and what is written from habit are no atoms."""
    assert list(atoms_in(text)) == []


@pytest.mark.parametrize(
    ("atom", "text", "held"),
    [
        ("/srv/app/src/main_loop.py", "edited src/main_loop.py twice", True),
        ("/srv/app/src/main_loop.py", "edited ./src/main_loop.py twice", True),
        ("/srv/app/src/main_loop.py", "edited main_loop.py twice", False),
        ("/srv/app/src/main_loop.py", "edited /opt/src/main_loop.py", False),
        ("src/main_loop.py", "edited /srv/app/src/main_loop.py", True),
        ("main_loop.py", "edited /srv/app/src/main_loop.py", True),
        ("/srv/app/src", "edited /srv/app/src/main_loop.py", True),
        ("main_loop", "edited /srv/app/src/main_loop.py", True),
        ("main_loop", "edited main_loops", False),
        ("parseConfig", "config.parseConfig()", True),
        ("https://example.org/a", "see https://example.org/a/b", True),
        ("cannot open the store", "it `cannot open the store`", True),
    ],
)
def test_knows_an_atom_in_its_other_spellings(atom: str, text: str, held: bool) -> None:
    """A relative path stands for the absolute one that ends with it, and a part for itself inside a whole."""
    assert Vocabulary([atom]).held(text) == ({atom} if held else set())


@pytest.mark.parametrize("unit", ["a", "a/", "a_", "a.", "a-", '"', "' ", "'a", "\\n", "a1", "://", "http://", "~/", "1.", "\n", "éA"])
def test_takes_linear_time_on_any_text(unit: str) -> None:
    """A megabyte of the same characters takes under two seconds."""
    text = unit * (1_000_000 // len(unit))
    began = time.perf_counter()
    vocabulary = Vocabulary([*atoms_in(text), "a/a/a.py", "a_a1", "1.1.1", "/a/a"])
    vocabulary.held(text)
    assert time.perf_counter() - began < 2.0


def call(**given: object) -> Block:
    """A tool call with this input."""
    wire = {"type": "tool_use", "id": "1", "name": "Edit", "input": given}
    return make_block(Kind.TOOL_USE, Role.ASSISTANT, wire, json.dumps(given), call="1", tool="Edit")


def test_a_call_says_the_values_of_its_input_unescaped() -> None:
    """Keys of a tool's schema are no words of the agent, and a line end in a value is one."""
    block = call(file_path="/a/b.py", edits=[{"old": "x\ny", "count": 48213}], all=True)
    assert spoken(block) == "/a/b.py\nx\ny\n48213"


def test_a_call_shows_the_tool_and_its_keys() -> None:
    """The context of a path in a tool call is the call."""
    assert shown(call(file_path="/a/b.py")) == "Edit file_path: /a/b.py"


def test_thinking_says_nothing() -> None:
    """Thinking is neither used nor remembered."""
    assert spoken(make_block(Kind.THINKING, Role.ASSISTANT, {"type": "thinking", "thinking": "main_loop.py"}, "main_loop.py")) == ""

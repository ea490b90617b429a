"""Traces of block hashes are told by their content, read in the order of sending, and what is bad in them is named."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast.errors import Unreadable
from holdfast.readers.block_hashes import BlockRequest, is_block_trace, read_blocks
from holdfast.readers.sample import take

Json = Any


def ids(hashes: Json) -> Json:
    """A tuple stands for a list of ids, anything else for itself."""
    return list(hashes) if isinstance(hashes, tuple) else hashes


def ask(t: Json = 0.0, tokens: Json = 130, hashes: Json = (1, 2), out: Json = 5, **more: Json) -> dict[str, Json]:
    """One request of a WEKA trace."""
    return {"t": t, "type": "n", "model": "m", "in": tokens, "out": out, "hash_ids": ids(hashes), **more}


def conversation(*requests: Json, **more: Json) -> dict[str, Json]:
    """A WEKA trace."""
    return {"id": "trace_1", "models": ["m"], "block_size": 64, "hash_id_scope": "local", **more, "requests": list(requests)}


def line(at: Json = 0, tokens: Json = 1000, hashes: Json = (1, 2), out: Json = 5) -> dict[str, Json]:
    """One line of a Mooncake trace."""
    return {"timestamp": at, "input_length": tokens, "output_length": out, "hash_ids": ids(hashes)}


def written(path: Path, text: str, packed: bool = False) -> Path:
    """The text as a file whose name says nothing."""
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    return path


def weka(folder: Path, *requests: Json, **more: Json) -> Path:
    """A WEKA file."""
    return written(folder / "a", json.dumps(conversation(*requests, **more)))


def mooncake(folder: Path, *records: Json) -> Path:
    """A Mooncake file."""
    return written(folder / "b", "".join(json.dumps(record) + "\n" for record in records))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 10**6), st.lists(st.integers(0, 50), max_size=6), st.integers(0, 511))), st.booleans())
def test_mooncake_lines_come_back(tmp_path: Path, rows: list[tuple[int, list[int], int]], packed: bool) -> None:
    """Every line is one request, plain or gzip: its ids, tokens, and milliseconds as seconds, in the order of the file."""
    rows = [(0, [7], 3), *rows]
    text = "".join(json.dumps(line(at, len(path) * 512 + rest, path, rest)) + "\n" for at, path, rest in rows)
    trace = read_blocks(written(tmp_path / "b", text, packed))
    assert (trace.format, trace.block_tokens, trace.conversation, trace.skipped) == ("mooncake", 512, "", ())
    expected = [BlockRequest(tuple(path), len(path) * 512 + rest, rest, at / 1000, line=n) for n, (at, path, rest) in enumerate(rows, 1)]
    assert list(trace.requests) == expected


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("indent", [None, 1])
def test_subagents_are_read_where_their_time_puts_them(tmp_path: Path, packed: bool, indent: int | None) -> None:
    """A subagent's times run from its start; its requests stand among the main line's in order of time and are named after it."""
    nested = {"t": 10.0, "type": "subagent", "agent_id": "agent_1", "requests": [ask(0.0), ask(5.0, hashes=(1, 3))]}
    text = json.dumps(conversation(ask(0.0), nested, ask(12.0, hashes=(1, 4)), ask(30.0)), indent=indent)
    trace = read_blocks(written(tmp_path / "a", text, packed))
    assert (trace.format, trace.block_tokens, trace.conversation, trace.skipped, trace.notes) == ("weka", 64, "trace_1", (), ())
    seen = [(request.at, request.agent, request.hashes, request.line) for request in trace.requests]
    assert seen == [
        (0.0, "", (1, 2), 1),
        (10.0, "agent_1", (1, 2), 2),
        (12.0, "", (1, 4), 4),
        (15.0, "agent_1", (1, 3), 3),
        (30.0, "", (1, 2), 5),
    ]
    assert {(request.model, request.input_tokens, request.output_tokens) for request in trace.requests} == {("m", 130, 5)}


BAD = [
    ({"hashes": "abc"}, "not a list"),
    ({"hashes": {"1": 2}}, "not a list"),
    ({"hashes": None}, "no list"),
    ({"hashes": (1, "x")}, "not integers"),
    ({"hashes": (True,)}, "not integers"),
    ({"tokens": -1, "hashes": ()}, "negative"),
    ({"out": -3}, "negative"),
    ({"tokens": None}, "no number of input tokens"),
    ({"tokens": "130"}, "no number of input tokens"),
    ({"out": "5"}, "not a number"),
    ({"tokens": 64}, "more than blocks of"),
]


@pytest.mark.parametrize(("wrong", "why"), BAD)
def test_a_bad_request_is_named_and_the_rest_is_read(tmp_path: Path, wrong: dict[str, Json], why: str) -> None:
    """In either format one unusable request is skipped with its place and the reason."""
    for path in (weka(tmp_path, ask(), ask(**wrong), ask(2.0)), mooncake(tmp_path, line(), line(**wrong), line(2000))):
        trace = read_blocks(path)
        assert [request.at for request in trace.requests] == [0.0, 2.0]
        assert [(skip.path, skip.line) for skip in trace.skipped] == [(str(path), 2)]
        assert why in trace.skipped[0].why


@pytest.mark.parametrize("item", [None, 3, "x", []])
def test_what_is_no_object_is_named(tmp_path: Path, item: Json) -> None:
    """A request that is not a JSON object is skipped, inside a subagent too."""
    nested = {"t": 1.0, "requests": [item, ask()]}
    assert [skip.line for skip in read_blocks(weka(tmp_path, ask(), item, nested)).skipped] == [2, 3]
    assert [skip.line for skip in read_blocks(mooncake(tmp_path, line(), item)).skipped] == [2]


def test_missing_times_and_outputs_are_not_fatal(tmp_path: Path) -> None:
    """What is not recorded is ``None``, or the time of the request before, and the request is used."""
    trace = read_blocks(mooncake(tmp_path, {"input_length": 600, "hash_ids": [1]}, line(at="soon"), line(at=float("nan"))))
    assert [(request.at, request.output_tokens) for request in trace.requests] == [(None, None), (None, 5), (None, 5)]
    inside = {"t": None, "requests": [ask(None), {"in": 70, "hash_ids": [9]}]}
    trace = read_blocks(weka(tmp_path, ask(4.0), {"in": 64, "hash_ids": [1]}, inside))
    assert [(request.at, request.output_tokens) for request in trace.requests] == [(4.0, 5), (4.0, None), (4.0, 5), (4.0, None)]


def test_a_clock_that_runs_backwards_is_told(tmp_path: Path) -> None:
    """The order of the file holds, and a note counts the steps back."""
    document = weka(tmp_path, ask(9.0), ask(3.0, hashes=(7,)), ask(10.0))
    for path in (document, mooncake(tmp_path, line(9000), line(3000, hashes=(7,)), line(10000))):
        trace = read_blocks(path)
        assert [request.hashes for request in trace.requests] == [(1, 2), (7,), (1, 2)]
        assert "backwards 1 times" in trace.notes[0]


@pytest.mark.parametrize("packed", [False, True])
def test_a_truncated_file_is_read_up_to_where_it_breaks_off(tmp_path: Path, packed: bool) -> None:
    """Of a document cut off inside a request, or an archive cut off anywhere, the whole requests before are used, and that is named."""
    many = [ask(float(n), 64 * 100, tuple(range(n, n + 100))) for n in range(200)]
    for name, text in (("a", json.dumps(conversation(*many))), ("b", "".join(json.dumps(line(1000 * n)) + "\n" for n in range(3000)))):
        data = gzip.compress(text.encode()) if packed else text.encode()
        path = tmp_path / name
        path.write_bytes(data[: len(data) * 2 // 3])
        assert is_block_trace(take(path))
        whole, cut = read_blocks(written(tmp_path / "whole", text)), read_blocks(path)
        assert 0 < len(cut.requests) < len(whole.requests)
        assert cut.requests == whole.requests[: len(cut.requests)]
        assert len(cut.skipped) == 1


@pytest.mark.parametrize("indent", [None, 0])
def test_a_long_document_is_known_too(tmp_path: Path, indent: int | None) -> None:
    """A conversation of over 4 MiB, on one line or on many, is read whole."""
    many = [ask(float(n), 64 * 1000, tuple(range(100_000, 101_000))) for n in range(600)]
    path = written(tmp_path / "a", json.dumps(conversation(*many), indent=indent))
    assert path.stat().st_size > 4 << 20
    assert is_block_trace(take(path))
    assert len(read_blocks(path).requests) == 600


def test_a_subagent_cut_off_is_not_used(tmp_path: Path) -> None:
    """Requests inside a subagent that breaks off are not made up; those before it stay."""
    text = json.dumps(conversation(ask(), {"t": 1.0, "requests": [ask(), ask()]}))
    assert len(read_blocks(written(tmp_path / "a", text[:-20])).requests) == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no JSON",
        "{}",
        "[]",
        '{"block_size": 64, "requests": []}',
        '{"block_size": 64, "requests": 5}',
        '{"requests": [{"hash_ids": []}]}',
        '{"messages": []}',
        '{"hash_ids": [1]}',
        '{"type": "user", "sessionId": "s", "message": {"role": "user", "content": "hash_ids block_size"}}\n',
        '{"broken": "block_size" ',
    ],
)
def test_other_files_are_not_taken(tmp_path: Path, text: str) -> None:
    """What is neither format is refused, with what it looks like."""
    path = written(tmp_path / "trace_0001.json", text)
    assert not is_block_trace(take(path))
    with pytest.raises(Unreadable, match="no trace of block hashes"):
        read_blocks(path)


def test_what_cannot_be_opened_or_has_no_block_size_is_unreadable(tmp_path: Path) -> None:
    """A missing file, an impossible block size, and a document that breaks off before its requests raise ``Unreadable``."""
    for path in (tmp_path / "none", weka(tmp_path, ask(), block_size=0), written(tmp_path / "c", '{"block_size":64,"x":"hash_ids",')):
        with pytest.raises(Unreadable):
            read_blocks(path)


def test_the_corpus_is_told_apart(corpus: Path) -> None:
    """Every file of block hashes is known as such, and a file of any other format is not."""
    traces = sorted((corpus / "block-hash").rglob("*trace*.json*"))
    assert len(traces) == 61
    assert all(is_block_trace(take(path)) for path in traces[::6])
    folders = [folder for folder in sorted(corpus.iterdir()) if folder.is_dir() and folder.name != "block-hash"]
    others = [path for folder in folders for path in sorted(folder.rglob("*.json*"))[:2]]
    assert len(others) > 8
    assert not any(is_block_trace(take(path)) for path in others)


def test_real_subagents_share_ids_and_nothing_is_skipped(corpus: Path) -> None:
    """A file with subagents gives their requests too, in order of time; the id lists are those of the file."""
    path = next(path for path in sorted((corpus / "block-hash" / "weka-claude-code").glob("trace_*")) if b'"subagent"' in _bytes(path))
    document = json.loads(_bytes(path))
    flat = [inner for item in document["requests"] for inner in item.get("requests", [item])]
    trace = read_blocks(path)
    assert (trace.skipped, trace.notes) == ((), ())
    assert sum(map(len, (request.hashes for request in trace.requests))) == sum(len(item["hash_ids"]) for item in flat)
    assert sum(request.input_tokens for request in trace.requests) == sum(item["in"] for item in flat)
    assert [request.at for request in trace.requests] == sorted(request.at or 0.0 for request in trace.requests)
    assert {bool(request.agent) for request in trace.requests} == {False, True}


def _bytes(path: Path) -> bytes:
    data = path.read_bytes()
    return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data

"""Streaming lines, detection by content, discovery and groups."""

from __future__ import annotations

import gzip
import json
import random
import tempfile
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.errors import UnknownFormat, Unreadable
from holdfast.readers import FORMATS, Failure, Group, discover, group, lines, read, read_all, read_group, usual_places
from holdfast.readers.formats import readers
from holdfast.readers.sample import take
from holdfast.transcript import Skipped, Transcript
from tests.readers.sessions import Session


def session(*texts: str, name: str = "msg") -> Session:
    """A session with one turn for each text."""
    made = Session()
    for number, text in enumerate(texts, 1):
        made.user(text)
        made.say(f"{name}_{number}", "ok")
    return made


def records(path: Path, limit: int = lines.LINE_LIMIT) -> tuple[list[tuple[int, object]], list[tuple[int, str]]]:
    """Numbered records, and the numbered reasons of what was skipped."""
    skipped: list[Skipped] = []
    found = list(lines.records(path, skipped=skipped, limit=limit))
    return found, [(skip.line, skip.why) for skip in skipped]


# --- Lines --------------------------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5
)


@settings(max_examples=80, deadline=None)
@given(st.lists(JSON | st.sampled_from(["", "// a comment", "{'no json'"]).map(lambda text: ("raw", text))), st.booleans())
def test_every_record_comes_back_with_its_line_number(items: list[object], packed: bool) -> None:
    """JSON lines come back as they went in, plain or gzip under any name; blanks and comments count as lines but are no fault."""
    text = "".join(f"{item[1]}\n" if isinstance(item, tuple) else json.dumps(item) + "\n" for item in items).encode()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "any.name"
        path.write_bytes(gzip.compress(text) if packed else text)
        found, skipped = records(path)
    assert found == [(number, item) for number, item in enumerate(items, 1) if not isinstance(item, tuple)]
    assert skipped == [(number, "not JSON") for number, item in enumerate(items, 1) if item == ("raw", "{'no json'")]


@settings(max_examples=80, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_either_read_or_refused_by_name(data: bytes) -> None:
    """No content of a file stops the reading of many: it gives transcripts, or a failure that names the file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.jsonl"
        path.write_bytes(data)
        failures = [item for item in read_all([path]) if isinstance(item, Failure)]
    assert all(str(path) in failure.why for failure in failures)


def test_a_line_over_the_limit_is_passed_over(tmp_path: Path) -> None:
    """A line of more bytes than the limit is counted and not read; one of exactly the limit, and the lines after it, are."""
    path = tmp_path / "x"
    path.write_bytes(b"[1]\n" + b'"' + b"x" * 61 + b'"\n' + b'"' + b"x" * 62 + b'"\n' + b"[2]\n")
    found, skipped = records(path, limit=64)
    assert [number for number, _ in found] == [1, 2, 4]
    assert skipped == [(3, "a line over 64 bytes, not read")]


def test_a_huge_line_costs_no_more_memory_than_the_limit(tmp_path: Path) -> None:
    """A line of 200 MB in a session is passed over in at most 1.2 times the limit of 64 MB; the turns around it are read."""
    made, path = session("one", "two"), tmp_path / "s.jsonl"
    with path.open("wb") as stream:
        stream.write("\n".join(made.lines[:2]).encode() + b"\n")
        stream.seek(200 << 20, 1)  # a hole in the file: 200 MB of zeros that take no room on the disk
        stream.write(b"\n" + "\n".join(made.lines[2:]).encode())
    tracemalloc.start()
    (transcript,) = read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [turn.request for turn in transcript.turns] == ["msg_1", "msg_2"]
    assert [(skip.line, skip.why) for skip in transcript.skipped] == [(3, "a line over 67,108,864 bytes, not read")]
    assert peak < 1.2 * lines.LINE_LIMIT


def test_a_cut_off_archive_gives_the_lines_before_the_cut(tmp_path: Path) -> None:
    """A gzip file that ends early is read up to there and noted; strict reading raises."""
    noise = random.Random(7)
    made = session(*(f"text {number} {noise.randbytes(3000).hex()}" for number in range(60)))
    path = made.write(tmp_path / "s.jsonl.gz")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    (transcript,) = read(path)
    assert 10 < len(transcript.turns) < 60
    assert any("cannot be read any further" in skip.why for skip in transcript.skipped)
    with pytest.raises(Unreadable):
        read(path, strict=True)


def test_deep_nesting_is_a_bad_line(tmp_path: Path) -> None:
    """JSON nested deeper than the interpreter can follow is skipped like any bad line."""
    path = tmp_path / "x"
    path.write_bytes(b"[" * 200_000 + b"]" * 200_000 + b"\n[1]\n")
    assert records(path) == ([(2, [1])], [(1, "JSON nested too deeply")])


def test_a_document_over_the_limit_is_refused(tmp_path: Path) -> None:
    """One JSON document is read whole up to a limit, and refused beyond it."""
    path = tmp_path / "x.json"
    path.write_text("[\n1,\n2\n]")
    assert lines.document(path) == [1, 2]
    with pytest.raises(Unreadable, match="over 4 bytes"):
        lines.document(path, limit=4)


# --- Detection ----------------------------------------------------------------------------------------------------------


def test_content_decides_and_not_the_name(tmp_path: Path) -> None:
    """A session is recognised under any name and packed or not."""
    for name in ("s.jsonl", "notes.md", "data.bin.gz"):
        (transcript,) = read(session("hello").write(tmp_path / name))
        assert transcript.format == "claude-code"


@pytest.mark.parametrize(
    ("content", "phrase"),
    [
        (b"", "an empty file"),
        (b"# A heading\n\nText.\n", "line 1: not JSON"),
        (b"\x00\x01\x02\xff" * 50, "binary data"),
        (b"\x1f\x8b\x08 no real archive", "cannot be read any further"),
        (b'{"timestamp": 0, "hash_ids": [1]}\n{"timestamp": 1, "hash_ids": [2]}\n', "JSON lines with the keys hash_ids, timestamp"),
        (b'{\n"speaker_a": "John"\n}', "one JSON object with the keys speaker_a"),
        (b'[\n{"dia_id": 1}\n]', "a JSON array of objects with the keys dia_id"),
        (b"[1]\n[2]\n", "it begins with b'[1]"),
        (b'{"cut": "of', "the file ends inside the line"),
    ],
)
def test_an_unknown_format_says_what_was_looked_at(tmp_path: Path, content: bytes, phrase: str) -> None:
    """A file of no known format names itself, what it looks like, and the known formats."""
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(UnknownFormat) as caught:
        read(path)
    message = str(caught.value)
    assert str(path) in message
    assert phrase in message
    assert all(name in message for name in FORMATS)


def test_a_sample_holds_lines_or_a_document(tmp_path: Path) -> None:
    """Twenty records of JSON lines, fewer where they are long; a document where the file is one; both where it is one line."""
    path = tmp_path / "x"
    path.write_text("// comment\n" + '{"a": 1}\n' * 30)
    assert (len(take(path).records), take(path).document) == (20, None)
    path.write_text(f'{{"a": "{"x" * (1 << 20)}"}}\n' * 10)
    assert len(take(path).records) == 4
    path.write_text('{\n  "a": 1\n}')
    assert (take(path).records, take(path).document) == ((), {"a": 1})
    path.write_text('{"a": 1}')
    assert (take(path).records, take(path).document) == (({"a": 1},), {"a": 1})


def test_every_registered_reader_names_itself_and_refuses_an_empty_file(tmp_path: Path) -> None:
    """A reader's NAME is its key in FORMATS, and no reader claims a file with nothing in it."""
    (tmp_path / "x").touch()
    found = list(readers())
    assert [reader.NAME for reader in found] == list(FORMATS)
    assert not any(reader.sniff(take(tmp_path / "x")) for reader in found)


def test_every_format_of_the_corpus_is_told_from_the_others(corpus: Path) -> None:
    """Each file is claimed by exactly the format its folder holds, though all readers are asked."""
    folders = {
        "claude-code": "claude-code",
        "codex": "codex",
        "pi": "pi",
        "mini-swe-agent": "mini-swe-agent",
        "chat-no-usage": "openai-chat",
    }
    for folder, name in folders.items():
        for path in discover([str(corpus / folder / "**" / "*.gz")])[::7]:
            head = take(path)
            claims = [reader.NAME for reader in readers() if reader.sniff(head)]
            assert claims[:1] == [name], path


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """Opening and discovering what is not there raise an error with its name."""
    with pytest.raises(Unreadable, match="nowhere"):
        read(tmp_path / "nowhere")
    with pytest.raises(Unreadable, match="nowhere"):
        discover([str(tmp_path / "nowhere")])
    with pytest.raises(Unreadable, match=r"no\*thing"):
        discover([str(tmp_path / "no*thing")])


# --- Discovery and groups -----------------------------------------------------------------------------------------------


def test_discovery_takes_files_folders_and_patterns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files come sorted and once each, whether named, found in a folder or matched; hidden ones only if named."""
    for name in ("b/2.jsonl", "a/1.jsonl", "a/.hidden/3.jsonl", "top.jsonl"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    everything = [Path("a/1.jsonl"), Path("b/2.jsonl"), Path("top.jsonl")]
    assert discover(["."]) == everything
    assert discover(["top.jsonl", "a", "*/*.jsonl"]) == everything
    assert discover(["**/*.jsonl", "a/.hidden/3.jsonl"])[0] == Path("a/.hidden/3.jsonl")
    assert discover([str(tmp_path / "b*")]) == [tmp_path / "b" / "2.jsonl"]


def test_usual_places_are_those_that_exist(tmp_path: Path) -> None:
    """Only agents that have a folder under the home directory are named."""
    assert usual_places(tmp_path) == {}
    (tmp_path / ".codex" / "sessions").mkdir(parents=True)
    (tmp_path / ".claude" / "projects").mkdir(parents=True)
    assert list(usual_places(tmp_path)) == ["claude-code", "codex"]


def test_one_bad_file_does_not_stop_the_rest(tmp_path: Path) -> None:
    """A file that cannot be used gives a failure with its name and reason, and the others are read."""
    session("a").write(tmp_path / "1.jsonl")
    (tmp_path / "2.jsonl").write_bytes(b"\0\1\2" * 100)
    (tmp_path / "3.md").write_text("# About\n")
    session("b", name="other").write(tmp_path / "4.jsonl")
    found = list(read_all(discover([str(tmp_path)])))
    assert [item.path.rsplit("/")[-1] for item in found] == ["1.jsonl", "2.jsonl", "3.md", "4.jsonl"]
    failures = [item for item in found if isinstance(item, Failure)]
    assert [item.foreign for item in failures] == [True, True]
    assert "binary data" in failures[0].why
    with pytest.raises(UnknownFormat):
        list(read_all(discover([str(tmp_path)]), strict=True))


def test_a_file_that_vanishes_is_a_failure(tmp_path: Path) -> None:
    """A file that is gone when it is read is a failure, and not a foreign one."""
    (failure,) = read_group(Group((tmp_path / "gone.jsonl",)))
    assert isinstance(failure, Failure)
    assert not failure.foreign


def test_copied_calls_count_in_the_earliest_file(tmp_path: Path) -> None:
    """Files that share response ids are one group in the order of their time; a copied call is a turn only once."""
    first = session("a", "b")
    first.write(tmp_path / "z-first.jsonl")
    resumed = Session("other")
    resumed.lines, resumed.last, resumed.clock, resumed.count = list(first.lines), first.last, first.clock, 100
    resumed.lines.insert(0, json.dumps({"type": "summary", "summary": "x", "leafUuid": "u"}))
    resumed.user("c")
    resumed.say("msg_3", "ok")
    resumed.write(tmp_path / "a-resumed.jsonl.gz")
    session("unrelated", name="other").write(tmp_path / "b.jsonl")
    paths = discover([str(tmp_path)])
    assert sorted(len(files.paths) for files in group(paths)) == [1, 2]
    found = {Path(item.path).name: item for item in read_all(paths) if isinstance(item, Transcript)}
    assert [turn.request for turn in found["z-first.jsonl"].turns] == ["msg_1", "msg_2"]
    (only,) = found["a-resumed.jsonl.gz"].turns
    assert only.request == "msg_3"
    assert [block.text for message in only.prompt.messages for block in message.blocks] == ["a", "ok", "b", "ok", "c"]
    assert any(note.startswith("2 calls are copies") for note in found["a-resumed.jsonl.gz"].notes)


def test_an_id_is_found_wherever_it_stands_in_a_file(tmp_path: Path) -> None:
    """A response id that lies across the border of two pieces of 4 MB still ties two files together."""
    (tmp_path / "1").write_bytes(b" " * ((4 << 20) - 8) + b'"id": "msg_shared"')
    (tmp_path / "2").write_bytes(b'"id":"msg_shared"')
    assert [len(files.paths) for files in group(discover([str(tmp_path)]))] == [2]


def test_a_fork_that_names_its_parent_joins_its_group(tmp_path: Path) -> None:
    """A Codex rollout that names the session it was forked from is read with it, though no response id is shared."""
    one, two = "019d7d08-46c9-7f73-affe-4e6ca9852d56", "019d7e3e-fae8-7a02-86dc-fa6bbec0caab"
    metas = [{"id": one}, {"id": two, "forked_from_id": one}, {"id": "019ed475-8749-79a2-ad7f-dc37c47cc608"}]
    for number, payload in enumerate(metas):
        (tmp_path / f"{number}.jsonl").write_text(json.dumps({"type": "session_meta", "payload": payload}) + "\n")
    assert sorted(len(files.paths) for files in group(discover([str(tmp_path)]))) == [1, 2]

"""``holdfast validate`` as a user meets it: what it reads, what it says of what it cannot, and how it ends."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
import typer

from holdfast.cli.validate import finish
from tests.cli import logs
from tests.cli.runner import run
from tests.report import validations


@pytest.fixture
def log(tmp_path: Path) -> str:
    """A log of four requests whose reads are as documented."""
    return logs.write(tmp_path / "log.jsonl", logs.warm())


def test_a_file_a_folder_a_glob_standard_input_and_gzip_are_the_same(log: str, tmp_path: Path) -> None:
    """However a log is named, the table has its three checked requests; standard input is called so."""
    packed = tmp_path / "packed" / "log.jsonl.gz"
    packed.parent.mkdir()
    packed.write_bytes(gzip.compress(Path(log).read_bytes()))
    for named in (log, str(packed), str(packed.parent), str(tmp_path / "*.jsonl")):
        code, text, err = run("validate", named)
        assert (code, err) == (0, "")
        assert "3 of 3 checked requests agree (100 %)" in text
    code, text, _ = run("validate", "-", "--json", "-", given=Path(log).read_bytes())
    assert code == 0
    (session,) = json.loads(text)["sessions"]
    assert (session["path"], session["checked"], session["agree"]) == ("<stdin>", 3, 3)


def test_json_into_a_file_leaves_the_tables(log: str, tmp_path: Path) -> None:
    """With ``--json FILE`` both are written, and what the text says is what the JSON has."""
    code, text, _ = run("validate", log, "--json", str(tmp_path / "out.json"))
    total = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))["total"]
    assert code == 0
    assert (total["checked"], total["agree_share"]) == (3, 1.0)
    assert "Checked 3 requests of 1 session" in text


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "an empty file"),
        (bytes(range(256)), "binary data"),
        (b"# Hello\n", "no known transcript format"),
        (json.dumps(logs.body(1)).encode(), "no usage was recorded"),
    ],
)
def test_what_holds_no_bill_is_named_and_exits_with_1(tmp_path: Path, content: bytes, said: str) -> None:
    """A file that gives nothing to compare with is named with the reason, in one line and without a table."""
    path = tmp_path / "odd"
    path.write_bytes(content)
    code, text, err = run("validate", str(path))
    assert (code, text) == (1, "")
    assert str(path) in err
    assert said in err


def test_bills_without_bodies_and_bodies_without_bills_are_named(log: str, tmp_path: Path) -> None:
    """Either kind is said, and stops neither the run nor the other files."""
    bodies = logs.write(tmp_path / "bodies.jsonl", [{"request": each["request"]} for each in logs.warm()])
    bills = logs.write(tmp_path / "bills.jsonl", [{"usage": each["response"]["usage"], "model": logs.MODEL} for each in logs.warm()])
    code, _, err = run("validate", bodies, bills)
    assert code == 1
    assert "bodies.jsonl" in err
    assert "4 bills without a body" in err
    code, text, _ = run("validate", bodies, bills, log)
    assert code == 0
    assert text.count("Left out 1 session") == 2


def test_an_empty_folder_is_answered_with_where_sessions_are(tmp_path: Path) -> None:
    """Where there is no file at all, the answer says where agents keep theirs, and how to name it to this command."""
    code, _, err = run("validate", str(tmp_path))
    assert code == 1
    assert "holdfast validate ~/.claude/projects" in err


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["no-such.jsonl"], "no-such.jsonl"),
        ([".", "--prices", "no-such.json"], "no-such.json"),
        ([".", "--json", "no/such/folder/out.json"], "out.json"),
        ([".", "--jobs", "many"], "--jobs"),
        ([".", "--limit", "0"], "--limit"),
        ([".", "--session"], "--sessions"),
    ],
)
def test_a_wrong_argument_is_one_sentence(arguments: list[str], named: str) -> None:
    """Wrong input exits with 2, names what is wrong, and nothing is computed."""
    code, text, err = run("validate", *arguments)
    assert (code, text) == (2, "")
    assert named in err


def test_strict_stops_at_a_line_that_cannot_be_used(tmp_path: Path) -> None:
    """A torn line is skipped, and with ``--strict`` an error that names the file and line."""
    torn = logs.write(tmp_path / "torn.jsonl", [*logs.warm()[:2], '{"request": {"mod', *logs.warm()[2:]])
    assert run("validate", torn)[0] == 0
    code, _, err = run("validate", torn, "--strict")
    assert code == 2
    assert "torn.jsonl:3" in err


def test_an_interrupted_validation_prints_what_is_done_and_exits_with_130(capsys: pytest.CaptureFixture[str]) -> None:
    """After Ctrl-C the tables of the finished sessions stand, with a sentence that says it is not all; so too when there are none."""
    for found in (validations.validated(validations.session(), interrupted=True), validations.validated(interrupted=True)):
        with pytest.raises(typer.Exit) as left:
            finish(found, None, False)
        assert left.value.exit_code == 130
        out, err = capsys.readouterr()
        assert bool(out) == bool(found.sets)
        assert "done so far" in err


def test_every_format_of_the_corpus_is_validated(corpus: Path) -> None:
    """A session of each source is checked, and a trace of block hashes measured."""
    some = [next(iter(sorted((corpus / name).rglob("*.gz")))) for name in ("codex", "mini-swe-agent", "block-hash/weka-claude-code")]
    code, text, err = run("validate", *map(str, some), "--jobs", "1")
    assert (code, err) == (0, "")
    assert "codex (openai)" in text
    assert "weka (64 tokens)" in text
    assert max(map(len, text[text.index("Disagreements") : text.index("single reads")].splitlines()[:-1])) <= 120

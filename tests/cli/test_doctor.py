"""``holdfast doctor`` as a user meets it: what it says, the gate, lint, and how it ends."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from rich.console import Console

from holdfast.caches import NoCache, cache_for
from holdfast.cli import output
from holdfast.cli.doctor import finish, share
from holdfast.cli.lint import PROVIDERS
from holdfast.errors import InputError
from tests.cli import logs
from tests.cli.runner import run
from tests.report.validations import examined, finding


@pytest.fixture
def log(tmp_path: Path) -> str:
    """A log of four requests that read what they could."""
    return logs.write(tmp_path / "log.jsonl", logs.warm())


@pytest.fixture
def ticking(tmp_path: Path) -> str:
    """A log in which the time in the system prompt cost a read, and the provider said so."""
    return logs.write(tmp_path / "ticking.jsonl", logs.ticking("system_changed"))


def test_a_finding_is_told_with_the_providers_own_reason(ticking: str) -> None:
    """Cause, place, difference, verdict, cost and fix stand in the text, beside the provider's reason, and the agreement is counted."""
    code, text, _ = run("doctor", ticking)
    assert code == 0
    for said in (
        "system_changed:timestamp at system[0]",
        "became '10:01:00.'",
        "verdict: yours",
        "the provider's own reason: system_changed",
    ):
        assert said in text
    assert "The provider's own reason says the same in the one finding" in text


def test_a_provider_that_says_otherwise_is_counted(tmp_path: Path) -> None:
    """Where the provider names another reason, both stand there, and the agreement is none of one."""
    path = logs.write(tmp_path / "log.jsonl", logs.ticking("tools_changed"))
    assert "tools_changed (it says otherwise)" in run("doctor", path)[1]
    read = json.loads(run("doctor", path, "--json", "-")[1])
    assert read["provider_reasons"] == {"compared": 1, "same": 0}
    (lost,) = read["sessions"][0]["breaks"]
    assert (lost["provider_reason"], lost["provider_agrees"]) == ("tools_changed", False)


def test_standard_input_is_called_so(log: str) -> None:
    """What comes from ``-`` has no name of a temporary file, in the JSON and in what is said of it."""
    assert json.loads(run("doctor", "-", "--json", "-", given=Path(log).read_bytes())[1])["sessions"][0]["path"] == "<stdin>"
    assert "<stdin>: no known" in run("doctor", "-", given=b"hello")[2]


@pytest.mark.parametrize(("least", "code"), [("0", 0), ("0.7", 0), ("70%", 0), ("0.75", 1), ("0.9", 1), ("90%", 1), ("1", 1)])
def test_the_gate_is_the_hit_rate(log: str, least: str, code: int) -> None:
    """``--fail-under`` exits with 1 below the share and says both figures; the report is printed all the same."""
    left, text, err = run("doctor", log, "--fail-under", least)
    assert left == code
    assert "Cache hit rate: 74 %" in text
    assert ("--fail-under asks for" in err) == bool(code)


@pytest.mark.parametrize("text", ["", "much", "90", "-1", "nan", "inf", "101%"])
def test_what_is_no_share_is_refused_with_an_example(text: str) -> None:
    """A share is 0 to 1 or in percent."""
    with pytest.raises(InputError, match="90%"):
        share("--fail-under", text)


def test_a_rate_that_falls_short_by_little_does_not_look_as_if_it_did_not(capsys: pytest.CaptureFixture[str]) -> None:
    """What is shown of a hit rate just below the gate is below it."""
    with pytest.raises(typer.Exit) as left:
        finish(examined(read=899_999, prompt=1_000_000), None, 10, 0.9)
    assert left.value.exit_code == 1
    assert "89.99 % of the prompt tokens were read, and --fail-under asks for 90 %" in capsys.readouterr().err


def test_without_usage_there_is_nothing_to_say(tmp_path: Path) -> None:
    """Bodies without bills have no hit rate: that is said, and is no success, with the gate or without."""
    bodies = logs.write(tmp_path / "bodies.jsonl", [{"request": each["request"]} for each in logs.warm()])
    for more in ([], ["--fail-under", "0"]):
        code, text, err = run("doctor", bodies, *more)
        assert code == 1
        assert "4 \N{MULTIPLICATION SIGN} requests without usage" in text
        assert "no usage was recorded" in err


def test_usage_that_cannot_be_is_named(tmp_path: Path) -> None:
    """A negative count is no bill: it is counted and named, and the rest is examined."""
    rows = logs.warm()
    rows[1]["response"]["usage"]["cache_read_input_tokens"] = -5
    code, text, _ = run("doctor", logs.write(tmp_path / "log.jsonl", rows))
    assert code == 0
    assert "1 \N{MULTIPLICATION SIGN} usage with a negative count" in text


def test_a_jumping_clock_and_a_wrong_order_are_named(tmp_path: Path) -> None:
    """Rows out of order are taken by their time, and that is said; nothing is found where nothing was lost."""
    first, second, third, fourth = logs.warm()
    code, text, _ = run("doctor", logs.write(tmp_path / "log.jsonl", [third, first, fourth, second]))
    assert code == 0
    assert "out of order" in text
    assert "No request read less than it could have." in text


def test_an_unknown_model_has_no_price_and_no_zero(tmp_path: Path) -> None:
    """What a loss cost is not known there, and the text does not say it was nothing."""
    rows = [logs.row(1, 0, 9_000, model="foo-9"), logs.row(2, 9_000, 220, model="foo-9"), logs.row(3, 0, 9_440, model="foo-9")]
    code, text, _ = run("doctor", logs.write(tmp_path / "log.jsonl", rows))
    assert code == 0
    assert "whose price is not known" in text
    assert "$" not in text


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["no-such.jsonl"], "no-such.jsonl"),
        ([".", "--json", "no/such/folder/out.json"], "out.json"),
        ([".", "--fail-undr", "0.9"], "--fail-under"),
        ([".", "--top", "-1"], "--top"),
        ([".", "--provider", "openai"], "--lint"),
        (["--lint"], "JSON file"),
        (["--lint", "x.json", "--provider", "antropic"], "anthropic"),
        (["--lint", "x.json", "--fail-under", "0.9"], "--fail-under"),
        (["--lint", "no-such.json"], "no-such.json"),
    ],
)
def test_a_wrong_argument_is_one_sentence(arguments: list[str], named: str) -> None:
    """Wrong input exits with 2 and names what is wrong."""
    code, text, err = run("doctor", *arguments)
    assert (code, text) == (2, "")
    assert named in err


def test_a_broken_line_stays_indented() -> None:
    """On a terminal a long line goes on under its beginning; in a pipe it stays whole."""
    for soft, shown in ((False, ["   one", "   two", "[x]"]), (True, ["   one two", "[x]"])):
        out = Console(width=8, file=io.StringIO(), soft_wrap=soft)
        output.say(out, ["   one two", "[x]"])
        assert isinstance(out.file, io.StringIO)
        assert [line.rstrip() for line in out.file.getvalue().splitlines()] == shown


def test_an_interrupted_examination_prints_what_is_done_and_exits_with_130(capsys: pytest.CaptureFixture[str]) -> None:
    """After Ctrl-C the findings so far stand, a gate is not judged, and a sentence says it is not all."""
    with pytest.raises(typer.Exit) as left:
        finish(replace(examined(finding()), interrupted=True), None, 10, 1.0)
    assert left.value.exit_code == 130
    out, err = capsys.readouterr()
    assert "system_changed:timestamp" in out
    assert "done so far" in err
    assert "--fail-under" not in err


def written(folder: Path, name: str, value: object) -> str:
    """A JSON file."""
    path = folder / name
    path.write_text(value if isinstance(value, str) else json.dumps(value, indent=1), encoding="utf-8")
    return str(path)


def test_lint_reads_a_body_an_envelope_a_list_a_log_and_standard_input(tmp_path: Path) -> None:
    """Each is linted under a name that says where it stands; of a log it is the last request."""
    clock = logs.body(1, system=f"Today is 2026-11-22 10:00:00. {logs.SYSTEM}")
    files = [
        written(tmp_path, "body.json", clock),
        written(tmp_path, "envelope.json", {"request": clock, "at": 1}),
        written(tmp_path, "list.json", [logs.body(1), clock]),
        logs.write(tmp_path / "log.jsonl", [*logs.warm(), {"request": clock}]),
        "-",
    ]
    code, text, _ = run("doctor", "--lint", *files, "--json", "-", given=json.dumps(clock).encode())
    assert code == 0
    found = {each["path"].rpartition("/")[2]: {one["code"] for one in each["advice"]} for each in json.loads(text)["bodies"]}
    assert set(found) == {"body.json", "envelope.json", "list.json[0]", "list.json[1]", "log.jsonl:5", "<stdin>"}
    assert [name for name, codes in found.items() if "volatile_timestamp" not in codes] == ["list.json[0]"]


def test_lint_exits_with_1_where_something_is_certain(tmp_path: Path) -> None:
    """A fifth mark is refused for certain: exit code 1, for CI; signs alone are 0."""
    blocks = [{"type": "text", "text": f"{number} {logs.SYSTEM}", **logs.MARK} for number in range(5)]
    code, text, _ = run("doctor", "--lint", written(tmp_path, "five.json", logs.body(1) | {"system": blocks}))
    assert code == 1
    assert "certain: " in text


@pytest.mark.parametrize("content", ["", '{"model": ', '{"a": 1}', "[1, 2]", '[{"role": "user", "content": "hi"}]', "hello"])
def test_a_file_without_a_body_is_named_and_the_others_are_read(tmp_path: Path, content: str) -> None:
    """Exit code 2 and the file's name; what is said of other files stands."""
    bad, good = written(tmp_path, "bad.json", content), written(tmp_path, "good.json", logs.body(1))
    code, text, err = run("doctor", "--lint", bad, good)
    assert code == 2
    assert "good.json: " in text
    assert "bad.json: " in err


def test_every_provider_that_can_be_named_has_a_cache() -> None:
    """The names are those the caches know, and the router that has none of its own."""
    assert [name for name in PROVIDERS if isinstance(cache_for(name, ""), NoCache)] == ["openrouter"]


def test_every_source_of_the_corpus_is_examined(corpus: Path) -> None:
    """A session of each format gives a hit rate, and no file stops another."""
    some = [next(iter(sorted((corpus / name).rglob("*.gz")))) for name in ("claude-code", "codex", "mini-swe-agent", "chat-no-usage")]
    code, text, err = run("doctor", *map(str, some), "--jobs", "1", "--top", "2")
    assert (code, err) == (0, "")
    assert "Examined" in text
    assert "no usage was recorded" in text
    assert "Cache hit rate: " in text

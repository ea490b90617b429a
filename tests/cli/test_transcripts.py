"""The commands that read transcripts, end to end on the examples and on files that are not as they should be."""

from __future__ import annotations

import gzip
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import typer
from benchmarks.readme_table import RESULTS

from holdfast.cli.compare import finish
from holdfast.strategies import registered
from tests.cli.runner import run
from tests.report.results import compared, result

pytestmark = pytest.mark.xdist_group("test_transcripts")  # what all of these tests need is read once

TRANSCRIPTS = Path(__file__).resolve().parents[2] / "examples" / "transcripts"
EXAMPLES = sorted(str(path) for path in TRANSCRIPTS.glob("*.jsonl.gz"))
SMALL = str(TRANSCRIPTS / "claude-code-typescript.jsonl.gz")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    """The examples under every strategy: the JSON and the text."""
    target = tmp_path_factory.mktemp("compare") / "out.json"
    code, text, _ = run("compare", *EXAMPLES, "--json", str(target), "--jobs", "2")
    assert code == 0
    return json.loads(target.read_text(encoding="utf-8")), text


def test_the_examples_show_what_strategies_are_for(found: tuple[dict[str, Any], str]) -> None:
    """Every strategy commits, none breaks the cache unplanned, the control keeps all, and something is cheaper than it."""
    total = {each["strategy"]: each for each in found[0]["total"]}
    assert total.keys() == registered().keys()
    control = total.pop("none")
    assert (control["commits"], control["kept"], control["kept_in_context"]) == (0, 1.0, 1.0)
    assert all(each["commits"] > 0 for each in total.values())
    assert all(each["unplanned_breaks"] == 0 for each in total.values())
    assert min(Decimal(each["usd"]) for each in total.values()) < Decimal(control["usd"])


def test_the_total_is_the_sum_of_the_sessions(found: tuple[dict[str, Any], str]) -> None:
    """Costs and usage of the ranked sessions add up to the total, strategy by strategy."""
    document = found[0]
    assert len(document["sessions"]) == len(EXAMPLES)
    ranked = [session for session in document["sessions"] if session["agreement"]["trusted"]]
    assert document["ranked_sessions"] == len(ranked)
    for total in document["total"]:
        parts = [each for session in ranked for each in session["results"] if each["strategy"] == total["strategy"]]
        assert sum(Decimal(each["usd"]) for each in parts) == Decimal(total["usd"])
        assert sum(each["usage"]["read"] for each in parts) == total["usage"]["read"]


def test_the_committed_results_are_what_the_code_gives(found: tuple[dict[str, Any], str]) -> None:
    """The numbers in the README are those of this very code: ``make readme`` brings them up to date."""
    committed = json.loads(RESULTS.read_text(encoding="utf-8"))
    assert found[0]["total"] == committed["total"]


def test_the_text_says_what_was_read_and_assumed(found: tuple[dict[str, Any], str]) -> None:
    """Beside the table stand what was read, how tokens were counted, what stays, range and agreement, and the date of the prices."""
    text = found[1]
    figures = ("vs none", "recorded", "agrees", "90 % range")
    for said in (*figures, "Read 4 files", "Tokens:", "Outputs stay as recorded", "Prices as of", "recorded reads"):
        assert said in text
    assert all(name in text for name in registered())


def test_standard_input_is_read_and_json_alone_goes_to_standard_output() -> None:
    """``-`` reads a transcript from standard input; ``--json -`` leaves nothing but the document on standard output."""
    code, out, _ = run("compare", "-", "--strategy", "none,snip", "--json", "-", given=Path(SMALL).read_bytes())
    assert code == 0
    document = json.loads(out)
    assert [each["strategy"] for each in document["total"]] == ["none", "micro"]
    assert document["sessions"][0]["path"] == "<stdin>"


def test_options_reach_the_engine() -> None:
    """Another model, trigger, lifetime and tail change the bill, and the settings say so."""
    base = json.loads(run("compare", SMALL, "--strategy", "micro", "--json", "-")[1])
    given = ("--model", "claude-haiku-4-5", "--trigger", "60k", "--ttl", "1h", "--keep", "5k")
    other = json.loads(run("compare", SMALL, "--strategy", "micro", "--json", "-", *given)[1])
    assert other["settings"]["model"] == "claude-haiku-4-5"
    assert other["settings"]["ttl"] == "1h"
    assert other["settings"]["keep_tail_tokens"] == 5000
    assert other["total"][0]["commits"] > base["total"][0]["commits"]
    assert Decimal(other["total"][0]["usd"]) < Decimal(base["total"][0]["usd"])
    assert other["total"][0]["usage"]["write_5m"] == 0


def test_a_replay_adds_up_to_the_comparison() -> None:
    """The turns of a replay cost together what ``compare`` says of the same strategy, and a committing turn says why."""
    lines = [json.loads(line) for line in run("replay", SMALL, "--strategy", "micro", "--json", "-")[1].splitlines()]
    total = json.loads(run("compare", SMALL, "--strategy", "micro", "--json", "-")[1])["total"][0]
    assert sum(Decimal(line["usd"]) for line in lines) == Decimal(total["usd"])
    assert sum(line["commit"] is not None for line in lines) == total["commits"] > 0
    assert all(line["commit"]["why"] for line in lines if line["commit"])


def test_a_replay_is_one_line_a_turn(tmp_path: Path) -> None:
    """As text there is a heading, a line for each turn, and the sum; the same turns go to a file as JSON lines."""
    target = tmp_path / "turns.jsonl"
    code, text, _ = run("replay", SMALL, "--strategy", "micro", "--json", str(target))
    assert code == 0
    turns = target.read_text(encoding="utf-8").splitlines()
    assert len(text.splitlines()) == len(turns) + 2
    assert all(len(line) <= 200 for line in text.splitlines())


def test_a_cut_and_a_broken_line_are_named_and_the_rest_is_used(tmp_path: Path) -> None:
    """A line that is not JSON and a truncated last line are counted and named; ``--strict`` makes them an error with file and line."""
    lines = gzip.decompress(Path(SMALL).read_bytes()).splitlines(keepends=True)
    broken = tmp_path / "broken.jsonl"
    broken.write_bytes(b"".join([*lines[:200], b"not json\n", *lines[200:], lines[-1][:50]]))
    code, text, _ = run("compare", str(broken), "--strategy", "none")
    assert code == 0
    assert f"{broken.name}:201" in "".join(text.split("\n"))
    code, _, err = run("compare", str(broken), "--strategy", "none", "--strict")
    assert code == 2
    assert f"{broken.name}:201" in err


@pytest.mark.parametrize(
    ("name", "content"),
    [("empty.jsonl", b""), ("binary.jsonl", bytes(range(256)) * 40), ("other.json", b'{"hello": 1}'), ("cut.gz", b"\x1f\x8b\x08\x00")],
)
def test_a_file_of_no_known_format_is_named_with_what_was_seen(tmp_path: Path, name: str, content: bytes) -> None:
    """A file that gives nothing is left out by name and reason; where there is no other, the exit code is 1."""
    (tmp_path / name).write_bytes(content)
    code, _, err = run("compare", str(tmp_path))
    assert code == 1
    assert name in err
    assert "Claude Code" not in err


def test_an_empty_folder_is_answered_with_where_sessions_are_kept(tmp_path: Path) -> None:
    """Where nothing was found at all, it says where agents keep their sessions."""
    code, _, err = run("compare", str(tmp_path))
    assert code == 1
    assert "Claude Code" in err


def test_links_to_nothing_are_left_out(tmp_path: Path) -> None:
    """A dangling link that a pattern matches is passed over; where there is nothing else, the pattern is named."""
    (tmp_path / "gone.jsonl").symlink_to(tmp_path / "nowhere")
    code, _, err = run("compare", str(tmp_path / "*.jsonl"))
    assert code == 2
    assert "*.jsonl: no such file" in err
    (tmp_path / "small.jsonl.gz").write_bytes(Path(SMALL).read_bytes())
    assert run("compare", str(tmp_path / "*.jsonl*"), "--strategy", "none")[0] == 0


@pytest.mark.parametrize("command", [["compare", "-"], ["compare", "-", "--strict"], ["replay", "-", "--strategy", "micro"]])
def test_standard_input_is_called_by_its_name_in_complaints(command: list[str]) -> None:
    """What is wrong with standard input is said of ``<stdin>``, not of the file that holds it meanwhile."""
    code, _, err = run(*command, given=b"hello\n")
    assert code in (1, 2)
    assert err.startswith("holdfast: <stdin>: no known transcript format")
    assert "holdfast-" not in err


def test_an_unknown_model_is_named_with_near_ones_and_the_rest_is_compared(tmp_path: Path) -> None:
    """A session of a model without a price is left out, never billed at a default; ``--model`` brings it in."""
    odd = tmp_path / "odd.jsonl"
    odd.write_bytes(gzip.decompress(Path(SMALL).read_bytes()).replace(b'"model":"claude-opus-4-6"', b'"model":"claude-opus-4-6x"'))
    code, _, err = run("compare", str(odd), "--strategy", "none")
    assert code == 1
    assert "claude-opus-4-6" in err
    assert "--prices" in err
    code, _, err = run("replay", str(odd), "--strategy", "micro")
    assert code == 2
    assert err.startswith(f"holdfast: {odd}: no price is known")
    assert run("compare", str(odd), "--strategy", "none", "--model", "claude-opus-4-6")[0] == 0


@pytest.fixture(scope="module")
def doubtful(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A session whose recorded reads nothing explains: each bill's reads are called fresh and the reverse."""
    lines = gzip.decompress(Path(SMALL).read_bytes()).replace(b'"cache_read_input_tokens"', b'"held"')
    lines = lines.replace(b'"input_tokens"', b'"cache_read_input_tokens"').replace(b'"held"', b'"input_tokens"')
    path = tmp_path_factory.mktemp("doubtful") / "doubtful.jsonl"
    path.write_bytes(lines.replace(b'"id":"msg_', b'"id":"msg_x'))
    return str(path)


def test_where_nothing_is_trustworthy_nothing_is_ranked(doubtful: str, tmp_path: Path) -> None:
    """The session is shown with its agreement and the reason; there is no ranking and no error, and JSON has an empty total."""
    target = tmp_path / "out.json"
    code, text, err = run("compare", doubtful, "--strategy", "none,micro", "--json", str(target))
    assert (code, err) == (0, "")
    assert "doubtful" in text
    assert "Nothing is ranked" in text
    assert "--any" in text
    assert "Cheapest:" not in text
    document = json.loads(target.read_text(encoding="utf-8"))
    assert (document["total"], document["ranked_sessions"], document["settings"]["any"]) == ([], 0, False)
    assert document["sessions"][0]["agreement"]["trusted"] is False
    assert len(document["sessions"][0]["results"]) == 2


def test_any_brings_the_ranking_back(doubtful: str) -> None:
    """``--any`` ranks what is not trustworthy, and says so; beside a trustworthy session only that option changes the total."""
    code, text, _ = run("compare", doubtful, "--strategy", "none,micro", "--any")
    assert code == 0
    assert "ranked all the same (--any)" in text
    both = ("compare", doubtful, SMALL, "--strategy", "none", "--json", "-")
    documents = [json.loads(run(*both, *more)[1]) for more in ((), ("--any",))]
    assert [document["ranked_sessions"] for document in documents] == [1, 2]
    assert Decimal(documents[0]["total"][0]["usd"]) < Decimal(documents[1]["total"][0]["usd"])
    for document in documents:
        (total,) = document["total"]
        assert Decimal(total["usd_low"]) < Decimal(total["usd"]) < Decimal(total["usd_high"])


def test_an_interrupted_comparison_prints_what_is_done_and_exits_with_130(capsys: pytest.CaptureFixture[str]) -> None:
    """After Ctrl-C the table of the finished sessions stands, with a sentence that says it is not all."""
    with pytest.raises(typer.Exit) as left:
        finish(compared(result("none", "3"), result("micro", "2"), interrupted=True), None, False)
    assert left.value.exit_code == 130
    out, err = capsys.readouterr()
    assert "micro" in out
    assert "1 session done so far" in err

"""The commands that need no transcript, and how wrong input is answered."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import IO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.cli import options, output
from holdfast.errors import InputError
from holdfast.pricing import Prices
from holdfast.strategies import registered
from tests.cli.runner import COMMANDS, run

README = Path(__file__).resolve().parents[2] / "README.md"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_and_stands_in_the_readme(command: str) -> None:
    """Each command says what it is for, explains every option, and is shown in the README."""
    code, help_text, _ = run(command, "--help")
    assert code == 0
    described = help_text.split("Options:")[1].splitlines()
    for line, following in pairwise([*described, ""]):
        if line.startswith("  -"):
            assert len(line.strip().split("  ")) > 1 or following.startswith("     "), f"{command}: {line} is not explained"
    assert f"holdfast {command}" in README.read_text(encoding="utf-8")


def test_the_readme_names_no_option_that_does_not_exist() -> None:
    """Every ``--option`` of a holdfast line in the README is one of that command's."""
    for line in README.read_text(encoding="utf-8").splitlines():
        words = line.split("#")[0].split()
        if "holdfast" in words[:3] and line.startswith("    ") and "install" not in words:
            command = words[words.index("holdfast") + 1]
            help_text = run(command, "--help")[1]
            assert all(word in help_text for word in words if word.startswith("--"))


@given(st.floats(1, 10**8).map(round) | st.sampled_from([1, 999, 150_000]))
def test_a_size_can_be_written_in_tokens_or_thousands(value: int) -> None:
    """``150000``, ``150_000``, ``150,000`` and ``150k`` are the same size."""
    for text in (str(value), f"{value:,}", f"{value:_}", f"{value / 1000}k"):
        assert options.size("--trigger", text) == pytest.approx(value)


@given(st.floats(0.01, 0.99))
def test_a_size_can_be_a_share_of_the_window(share: float) -> None:
    """``0.75`` and ``75%`` are the same share."""
    assert options.size("--trigger", f"{share}") == share
    assert options.size("--trigger", f"{share * 100}%") == pytest.approx(share)


@pytest.mark.parametrize("text", ["", "much", "-5", "nan", "inf", "0", "150kk%", "1e99", "150%", "100%"])
def test_what_is_no_size_is_refused_with_an_example(text: str) -> None:
    """A size that is none is an error that shows how to write one."""
    with pytest.raises(InputError, match="150k"):
        options.size("--trigger", text)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["compare", ".", "--strategy", "mirco"], "micro"),
        (["compare", ".", "--strategy", "micro,fulll"], "full"),
        (["compare", ".", "--model", "claude-opus-4-66"], "claude-opus-4-6"),
        (["compare", ".", "--ttl", "5min"], "5m or 1h"),
        (["compare", ".", "--trigger", "lots"], "150k"),
        (["compare", ".", "--keep", "0.5"], "20k"),
        (["compare", ".", "--trigger", "50k", "--target", "60k"], "below"),
        (["compare", "no/such/file.jsonl"], "no/such/file.jsonl"),
        (["compare", "logs/a**b"], "whole part of a path"),
        (["compare", "~nobody-of-that-name/logs"], "~nobody-of-that-name"),
        (["compare", ".", "--prices", "no-such.json"], "no-such.json"),
        (["replay", "no/such/file.jsonl", "--strategy", "micro"], "no/such/file.jsonl"),
        (["replay", "x.jsonl", "--strategy", "ladr"], "ladder"),
        (["prices", "claude-opus-46"], "claude-opus-4-6"),
        (["compare", ".", "--modell", "x"], "--model"),
        (["compere"], "compare"),
    ],
)
def test_a_typo_is_one_sentence_that_names_what_was_meant(arguments: list[str], named: str) -> None:
    """Wrong input exits with 2 and says on standard error what would be right; nothing goes to standard output."""
    code, out, err = run(*arguments)
    assert code == 2
    assert named in err
    assert out == ""
    assert "Traceback" not in err


def test_strategies_lists_every_registered_one_with_its_options() -> None:
    """The catalogue names each strategy, what it does and what can be set, as a table and as JSON."""
    code, text, _ = run("strategies")
    assert code == 0
    document = json.loads(run("strategies", "--json", "-")[1])
    assert [each["name"] for each in document["strategies"]] == list(registered())
    assert all(each["summary"].endswith(".") and each["name"] in text for each in document["strategies"])
    default = registered()["micro"]().keep_results  # type: ignore[attr-defined]  # an option of this one
    assert f"keep_results={default}" in next(each["options"] for each in document["strategies"] if each["name"] == "micro")


@pytest.mark.parametrize("text", ["50%", "0.5", "much", "-1"])
def test_what_takes_tokens_only_offers_no_share(text: str) -> None:
    """A tail that is no number of tokens is refused without naming shares."""
    with pytest.raises(InputError, match="20k") as refused:
        options.tokens("--keep", text, 0)
    assert "share" not in str(refused.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\xff\xfe{", "not UTF-8"),
        (b'{"models": {"x": 3}}', "models.x: must be an object"),
        (b"[1]", "must be an object"),
        (None, "No such file"),
    ],
)
def test_a_price_file_that_cannot_be_used_is_a_plain_sentence(tmp_path: Path, content: bytes | None, said: str) -> None:
    """What is wrong with a price file is said without the words of the code that read it."""
    mine = tmp_path / "mine.json"
    if content is not None:
        mine.write_bytes(content)
    code, _, err = run("prices", "--prices", str(mine))
    assert code == 2
    assert said in err
    assert not any(word in err for word in ("Errno", "codec", "instance", "ModelIn", "FileIn"))


def holdfast(*arguments: str, to: int | IO[bytes] = subprocess.PIPE, **env: str) -> subprocess.CompletedProcess[bytes]:
    """A command in a process of its own, its standard output going elsewhere."""
    command = [sys.executable, "-m", "holdfast", *arguments]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **env}
    return subprocess.run(command, stdout=to, stderr=subprocess.PIPE, env=environment, check=False)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("arguments", [("prices",), ("strategies", "--json", "-"), ("--help",)])
def test_a_full_disk_is_a_sentence(arguments: tuple[str, ...]) -> None:
    """Where standard output takes no more, the exit code is 1 and one sentence says why."""
    with Path("/dev/full").open("wb") as full:
        done = holdfast(*arguments, to=full)
    assert done.returncode == 1
    assert done.stderr.decode().splitlines() == ["holdfast: standard output: No space left on device."]


@pytest.mark.parametrize("arguments", [("prices",), ("strategies",), ("prices", "--json", "-"), ("--help",)])
def test_a_reader_that_has_had_enough_is_no_failure(arguments: tuple[str, ...]) -> None:
    """``| head`` ends every command with 0 and without a word."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as pipe:
        done = holdfast(*arguments, to=pipe)
    assert (done.returncode, done.stderr) == (0, b"")


def test_an_encoding_without_a_minus_sign_keeps_the_minus() -> None:
    """On an ASCII terminal signs have plain stand-ins, and nothing is an error."""
    assert "\N{MINUS SIGN}3\N{EN DASH}\N{CJK UNIFIED IDEOGRAPH-4E2D}".encode("ascii", "holdfast-plain") == b"-3-?"
    done = holdfast("prices", PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert done.stdout.isascii()


@pytest.mark.parametrize(("columns", "width"), [("80", 80), ("", 120), ("wide", 120), ("0", 120)])
def test_columns_are_respected_where_there_is_no_terminal(columns: str, width: int) -> None:
    """``COLUMNS`` sets the width of a table that goes into a pipe, if it is a number that can be."""
    assert output.plain_width(columns) == width


def test_a_link_stays_a_link_and_a_device_a_device(tmp_path: Path) -> None:
    """JSON goes to what a link names, and into a pipe or device as it is."""
    target, link = tmp_path / "out.json", tmp_path / "link.json"
    target.write_text("old", encoding="utf-8")
    link.symlink_to(target)
    output.write_json(str(link), ["new"])
    assert link.is_symlink()
    assert target.read_text(encoding="utf-8") == "new"
    output.write_json(os.devnull, ["new"])
    assert not Path(os.devnull).is_file()


def test_prices_lists_every_model_and_shows_one_with_its_tiers() -> None:
    """The table has each model; one in detail has its tier above which a whole request is dearer, and a source."""
    code, text, _ = run("prices")
    assert code == 0
    assert all(name in text for name in Prices.load().models())
    detail = run("prices", "claude-haiku-5.5")[1]
    assert "prompts above 100k" in detail
    assert "sources:" in detail
    rates = json.loads(run("prices", "claude-haiku-5.5", "--json", "-")[1])["models"][0]["usd_per_mtok"]
    assert [each["output"] for each in rates[:2]] == ["0.5", "2.5"]


def test_own_prices_are_laid_over_the_built_in_ones(tmp_path: Path) -> None:
    """A price file gives a model of one's own a price."""
    mine = tmp_path / "mine.json"
    mine.write_text(json.dumps({"models": {"house-model": {"usd_per_mtok": {"fresh": 7, "output": 9}}}}), encoding="utf-8")
    assert "house-model" in run("prices", "--prices", str(mine))[1]


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    """When writing fails half-way, the old file stands and nothing else is left in the folder."""
    target = tmp_path / "out.json"
    target.write_text("old", encoding="utf-8")

    def pieces() -> list[str]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        output.write_json(str(target), (piece for _ in (1,) for piece in pieces()))
    assert target.read_text(encoding="utf-8") == "old"
    output.write_json(str(target), ["new", "er"])
    assert target.read_text(encoding="utf-8") == "newer"
    assert list(tmp_path.iterdir()) == [target]


def test_a_file_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    """An output folder that does not exist is answered with its name and exit code 2."""
    code, _, err = run("prices", "--json", str(tmp_path / "nowhere" / "out.json"))
    assert code == 2
    assert "nowhere" in err
    assert "cannot be written" in err
    code, out, err = run("replay", "no-such.jsonl", "--strategy", "micro", "--json", str(tmp_path / "nowhere" / "out.jsonl"))
    assert (code, out) == (2, "")
    assert "nowhere" in err, "known before anything is computed"


def test_without_a_path_and_without_sessions_it_says_how_to_get_one(tmp_path: Path) -> None:
    """On a machine where no agent has run, ``compare`` exits with 1 and names where sessions are kept."""
    done = subprocess.run(
        [sys.executable, "-m", "holdfast", "compare"], env={"HOME": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "~/.claude/projects" in done.stderr
    assert done.stdout == ""


def test_an_interrupt_exits_with_130() -> None:
    """Ctrl-C while standard input is still open ends with 130 and without a traceback."""
    with subprocess.Popen(
        [sys.executable, "-c", "import holdfast.cli, sys; print('up', flush=True); holdfast.cli.main()", "compare", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as child:
        assert child.stdout is not None
        assert child.stdin is not None
        assert child.stdout.readline() == b"up\n"
        child.stdin.write(b"{}\n" * 100_000)  # more than a pipe holds: when this is through, the command is reading
        child.stdin.flush()
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=20)
    assert child.returncode == 130
    assert b"interrupted" in err
    assert b"Traceback" not in err

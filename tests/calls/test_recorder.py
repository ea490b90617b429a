"""What is recorded is what was sent and received, whole, private, and readable by every command."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.calls.recorder import RETRY_SECONDS, Recorder, envelope_of, line_of
from holdfast.calls.redact import Redactor
from holdfast.doctor.diagnose import diagnose
from holdfast.errors import RecordError
from holdfast.exchange import Exchange
from holdfast.pricing import Prices
from holdfast.readers import read, request_log
from holdfast.readers.request_log_lines import exchange_of
from holdfast.readers.streams import assembled
from tests.cli.runner import run
from tests.doctor.logs import Provider, assistant, body, conversation, user, words

SYSTEM = words("s", 3_000)
SECRET = "sk-" + "ant-api03-aB3dE6gH9jK2mN5pQ8sT1vW4xY7zA0cD3fG6iJ9lM2oP5rS8uV"
STREAM = "".join(
    f"event: {each['type']}\ndata: {json.dumps(each)}\n\n"
    for each in (
        {
            "type": "message_start",
            "message": {"id": "msg_s", "type": "message", "role": "assistant", "content": [], "usage": {"input_tokens": 9}},
        },
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "streamed"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 3}},
        {"type": "message_stop"},
    )
)
OVERLOADED = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}


def talk(turns: int = 4) -> list[Exchange]:
    """A conversation as it was sent and billed: the second request was refused first and then retried, the third was streamed."""
    provider = Provider()
    for turn in range(1, turns + 1):
        sent = body(SYSTEM, conversation(turn, 700))
        if turn == 2:
            provider.log.append(Exchange(sent, OVERLOADED, 1_000_031.5, 1_000_031.75, "anthropic", status=529))
        made = provider.send(sent, more={"status": 200, "endpoint": "/v1/messages", "session": "one"})
        if turn == 3:
            provider.log[-1] = replace(made, response={**assembled(STREAM), "usage": made.response["usage"]})
    return provider.log


def recorded(path: Path, exchanges: list[Exchange], **how: Any) -> Recorder:
    """The exchanges written to a log without complaint."""
    recorder = Recorder(path, **how)
    assert [error for each in exchanges if (error := recorder.write(each)) is not None] == []
    recorder.close()
    return recorder


def lines(path: Path) -> list[dict[str, Any]]:
    """Every line of a file as JSON."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def mode(path: Path) -> int:
    """Who may do what with a file."""
    return stat.S_IMODE(path.stat().st_mode)


def test_a_conversation_is_read_back_as_it_was(tmp_path: Path) -> None:
    """Bodies with the caller's order of keys, answers, usages, times and statuses come back, of streamed and failed calls too."""
    sent = talk()
    recorded(tmp_path / "log.jsonl", sent)
    found = request_log.exchanges(tmp_path / "log.jsonl", strict=True)
    assert [replace(each, line=0) for each in found] == sent
    assert [json.dumps(each.body) for each in found] == [json.dumps(each.body) for each in sent]
    (transcript,) = read(tmp_path / "log.jsonl")
    assert [turn.usage is not None and turn.at for turn in transcript.turns] == [each.at for each in sent if not each.failed]
    assert [each.why for each in transcript.skipped] == ["the request failed"]


def test_every_command_reads_the_record(tmp_path: Path) -> None:
    """``compare``, ``replay``, ``validate`` and ``doctor`` say of the record what they say of the calls themselves."""
    path, sent = tmp_path / "log.jsonl", talk(5)
    recorded(path, sent)
    prices = Prices.load()
    assert diagnose(request_log.exchanges(path), prices) == diagnose([replace(each, line=n) for n, each in enumerate(sent, 1)], prices)
    code, out, _ = run("validate", str(path), "--json", "-")
    assert (code, json.loads(out)["total"]["checked"], json.loads(out)["total"]["agree"]) == (0, 4, 4)
    code, out, _ = run("compare", str(path), "--strategy", "none", "--json", "-", "--jobs", "1")
    assert (code, json.loads(out)["sessions"][0]["turns"]) == (0, 5)
    code, out, _ = run("replay", str(path), "--strategy", "none", "--json", "-")
    assert code == 0
    assert len(out.splitlines()) >= 5
    assert run("doctor", str(path))[0] == 0


def test_chains_that_were_equal_are_equal_without_their_secrets(tmp_path: Path) -> None:
    """A secret in the history is nowhere in the record, and each request still continues the one before, across restarts."""
    history = [user(f"deploy with {SECRET}"), assistant("done"), user("again"), assistant("done"), user("and again")]
    provider = Provider()
    for stop in (1, 3, 5):
        provider.send(body(f"{SYSTEM} password='hunter2'", history[:stop]))
        recorded(tmp_path / "log.jsonl", provider.log[-1:])
    text = (tmp_path / "log.jsonl").read_text(encoding="utf-8")
    assert SECRET not in text
    assert "hunter2" not in text
    (transcript,) = read(tmp_path / "log.jsonl")
    assert len({turn.lineage for turn in transcript.turns}) == 1
    assert len(transcript.turns) == 3
    assert list(diagnose(request_log.exchanges(tmp_path / "log.jsonl"), Prices.load()).findings) == []


def test_the_key_of_the_fingerprints_is_not_in_the_log(tmp_path: Path) -> None:
    """Two logs have different fingerprints of one secret; the key lies beside each, private and hidden."""
    spoken = Exchange({"messages": [user(f"use {SECRET}")]})
    for name in ("one.jsonl", "other.jsonl"):
        recorded(tmp_path / name, [spoken, spoken])
    one, other = (lines(tmp_path / name) for name in ("one.jsonl", "other.jsonl"))
    assert one[0] == one[1] != other[0]
    key = tmp_path / ".one.jsonl.key"
    assert (mode(key), len(key.read_bytes())) == (0o600, 32)
    assert line_of(spoken, Redactor(key.read_bytes())) == json.dumps(one[0], separators=(",", ":")).encode() + b"\n"
    recorded(tmp_path / "third.jsonl", [spoken], key=key.read_bytes())
    assert lines(tmp_path / "third.jsonl") == one[:1]


NAMES = st.text("abcdefgh", min_size=1, max_size=8)
EXCHANGES = st.builds(
    Exchange,
    body=st.fixed_dictionaries({"model": NAMES, "messages": st.lists(st.fixed_dictionaries({"role": NAMES, "content": st.text()}))}),
    response=st.dictionaries(NAMES, st.text() | st.integers() | st.floats(allow_nan=False), max_size=3),
    at=st.none() | st.floats(1e9, 2e9),
    ended=st.none() | st.floats(1e9, 2e9),
    provider=st.sampled_from(["anthropic", "openai", "bedrock"]),
    endpoint=st.sampled_from(["", "/v1/messages", "https://api.openai.com/v1/responses"]),
    account=st.sampled_from(["", "organization=org_1", "organization=org_1, key=ab12cd34", "account=someone"]),
    session=st.text("abc-", max_size=8),
    status=st.none() | st.sampled_from([200, 400, 529]),
    headers=st.dictionaries(NAMES.map("anthropic-".__add__), NAMES, max_size=2),
)


@settings(max_examples=40)
@given(EXCHANGES)
def test_any_call_comes_back_from_its_line(exchange: Exchange) -> None:
    """What is written is read as the same call, whatever text it holds, halves of surrogate pairs too."""
    assert exchange_of(json.loads(line_of(exchange, Redactor(b"")))) == exchange


def test_headers_that_may_be_secret_are_left_out() -> None:
    """Of the headers only those stay that say nothing of who called."""
    headers = {"Authorization": "Bearer x", "x-api-key": "x", "cookie": "x", "anthropic-beta": "context-1m"}
    assert envelope_of(Exchange({"messages": []}, headers=headers))["request"]["headers"] == {"anthropic-beta": "context-1m"}


def sized(size: int, number: int = 0) -> Exchange:
    """A call whose line is about ``size`` bytes long."""
    return Exchange({"model": "m", "messages": [{"role": "user", "content": f"{number} " + "word " * (size // 5)}]}, at=float(number))


@settings(max_examples=15)
@given(st.lists(st.integers(100, 3_000), min_size=1, max_size=25), st.integers(0, 3))
def test_rotation_splits_no_line_and_loses_only_the_oldest(tmp_path_factory: pytest.TempPathFactory, sizes: list[int], keep: int) -> None:
    """Files hold whole lines, at most the limit or one line, the newest in order, and all are private."""
    path = tmp_path_factory.mktemp("rotated") / "log.jsonl"
    recorded(path, [sized(size, number) for number, size in enumerate(sizes)], max_bytes=4_000, keep=keep)
    files = [each for number in range(keep, 0, -1) if (each := path.with_name(f"log.jsonl.{number}")).exists()] + [path]
    assert sorted(path.parent.glob("log*")) == sorted(files)
    found = [[row["at"] for row in lines(each)] for each in files]
    joined = [number for each in found for number in each]
    assert joined == list(range(len(sizes)))[-len(joined) :]
    assert all(each.stat().st_size <= 4_000 or len(numbers) == 1 for each, numbers in zip(files, found, strict=True))
    assert {mode(each) for each in files} == {0o600}
    assert all(request_log.exchanges(each, strict=True) for each in files)


def test_who_has_the_file_open_notices_that_another_has_rotated_it(tmp_path: Path) -> None:
    """Two recorders of one log take turns: no file grows over the limit, and the lines stay in order."""
    path = tmp_path / "log.jsonl"
    both = [Recorder(path, max_bytes=4_000, keep=100) for _ in range(2)]
    assert [both[number % 2].write(sized(1_500, number)) for number in range(12)] == [None] * 12
    files = [*sorted(tmp_path.glob("log.jsonl.*"), key=lambda each: -int(each.suffix[1:])), path]
    assert [row["at"] for each in files for row in lines(each)] == list(range(12))
    assert max(each.stat().st_size for each in files) <= 4_000


def test_a_file_that_others_could_read_is_made_private(tmp_path: Path) -> None:
    """A log that stood there with a wider mode loses it before anything is written, and keeps its lines."""
    path = tmp_path / "log.jsonl"
    path.write_text('{"request": {"messages": []}}\n', encoding="utf-8")
    path.chmod(0o644)
    recorded(path, [sized(100)])
    assert (mode(path), len(lines(path))) == (0o600, 2)


def test_threads_do_not_write_into_each_others_lines(tmp_path: Path) -> None:
    """What eight threads write at once, rotating often, is whole lines, each once."""
    recorder = Recorder(tmp_path / "log.jsonl", max_bytes=20_000, keep=100)

    def work(thread: int) -> None:
        for number in range(15):
            assert recorder.write(sized(2_000, thread * 100 + number)) is None

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    found = [row["at"] for path in tmp_path.glob("log*") for row in lines(path)]
    assert sorted(found) == sorted(thread * 100 + number for thread in range(8) for number in range(15))


PROCESS = """
import sys
from holdfast.calls.recorder import Recorder
from holdfast.exchange import Exchange
recorder = Recorder(sys.argv[1], max_bytes=20_000, keep=100)
print("ready", flush=True)
sys.stdin.readline()
messages = [{"role": "user", "content": "password='hunter2' " + "word " * 400}]
for number in range(20):
    error = recorder.write(Exchange({"model": "m", "messages": messages}, at=number + float(sys.argv[2])))
    assert error is None, error
"""


def test_processes_do_not_write_into_each_others_lines(tmp_path: Path) -> None:
    """What three processes write at once, rotating often, is whole lines, each once, with one fingerprint of a secret they share."""
    command = [sys.executable, "-c", PROCESS, str(tmp_path / "log.jsonl")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": environment}
    processes: list[Any] = [subprocess.Popen([*command, str(number * 100)], **pipes) for number in range(3)]
    for each in processes:
        assert each.stdout.readline() == "ready\n"
    assert [each.communicate("go\n")[0] for each in processes] == ["", "", ""]
    assert [each.returncode for each in processes] == [0, 0, 0]
    rows = [row for path in tmp_path.glob("log*") for row in lines(path)]
    assert sorted(row["at"] for row in rows) == [float(process * 100 + number) for process in range(3) for number in range(20)]
    assert len({row["request"]["messages"][0]["content"] for row in rows}) == 1
    assert len(list(tmp_path.glob("log*"))) > 3


FORKED = """
import os, signal, sys
from holdfast.calls.recorder import Recorder
from holdfast.exchange import Exchange
recorder = Recorder(sys.argv[1])
assert recorder.write(Exchange({"messages": []}, at=0.0)) is None
with vars(recorder)["_lock"]:  # as it is for a child while another thread of its parent writes
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        os._exit(0 if recorder.write(Exchange({"messages": []}, at=1.0)) is None else 1)
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_fork_goes_on_writing(tmp_path: Path) -> None:
    """A child that was forked while another thread was writing is not kept waiting, and its line is whole."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", FORKED, str(tmp_path / "log.jsonl")], env=environment, check=True)
    assert [row["at"] for row in lines(tmp_path / "log.jsonl")] == [0.0, 1.0]


class Clock:
    """Seconds that pass when told."""

    now = 100.0

    def __call__(self) -> float:
        """The time."""
        return self.now


def test_a_missing_folder_is_told_once_and_not_made(tmp_path: Path) -> None:
    """The first call says that nothing is recorded, the next ones nothing; when the folder is there, recording begins."""
    clock, folder = Clock(), tmp_path / "logs"
    recorder = Recorder(folder / "log.jsonl", clock=clock)
    first = recorder.write(sized(100))
    assert isinstance(first, RecordError)
    assert "No such file" in str(first)
    clock.now += RETRY_SECONDS
    assert [recorder.write(sized(100)), recorder.write(sized(100))] == [None, None]
    assert (recorder.lost, folder.exists()) == (3, False)
    folder.mkdir()
    assert recorder.write(sized(100)) is None
    assert recorder.lost == 4, "nothing is tried again at once"
    clock.now += RETRY_SECONDS
    assert recorder.write(sized(100)) is None
    assert len(lines(folder / "log.jsonl")) == 1
    (folder / "log.jsonl").unlink()
    folder.joinpath(".log.jsonl.key").unlink()
    folder.rmdir()
    assert isinstance(recorder.write(sized(100)), RecordError), "what went well meanwhile and fails again is told again"


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_what_is_no_file_is_refused(tmp_path: Path, make: Any) -> None:
    """A folder or a pipe in the place of the log is told of, and keeps nobody waiting."""
    make(tmp_path / "log.jsonl")
    assert isinstance(Recorder(tmp_path / "log.jsonl", key=b"k").write(sized(100)), RecordError)


FULL = """
import resource, sys
from holdfast.calls.recorder import Recorder
from holdfast.exchange import Exchange
clock = [0.0]
recorder = Recorder(sys.argv[1], clock=lambda: clock[0])
call = Exchange({"model": "m", "messages": [{"role": "user", "content": "word " * 400}]})
assert recorder.write(call) is None
resource.setrlimit(resource.RLIMIT_FSIZE, (3_000, resource.RLIM_INFINITY))
print(recorder.write(call))
clock[0] += 1e6
print(recorder.write(call))
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
clock[0] += 1e6
print(recorder.write(call))
print(recorder.lost)
"""


def test_a_full_disk_leaves_no_torn_line(tmp_path: Path) -> None:
    """A line that fits only in part is taken back and told of once; when there is room again, recording goes on."""
    path = tmp_path / "log.jsonl"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", FULL, str(path)], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == f"{path}: calls are not recorded (the disk is full)\nNone\nNone\n2\n"
    assert len(lines(path)) == 2


@pytest.mark.parametrize("content", [{1, 2}, object(), b"bytes"])
def test_what_is_no_json_is_told_of_and_the_next_call_recorded(tmp_path: Path, content: Any) -> None:
    """A body that cannot be written is named by each call that has one, raises nothing, and spoils no other line."""
    recorder = Recorder(tmp_path / "log.jsonl")
    wrong = Exchange({"messages": [{"role": "user", "content": content}]})
    assert isinstance(recorder.write(wrong), RecordError)
    assert isinstance(recorder.write(wrong), RecordError)
    assert recorder.write(sized(100)) is None
    assert len(lines(tmp_path / "log.jsonl")) == 1


def test_what_is_nested_too_deeply_is_told_of(tmp_path: Path) -> None:
    """A body nested deeper than Python can follow raises nothing."""
    deep: Any = "x"
    for _ in range(100_000):
        deep = [deep]
    assert isinstance(Recorder(tmp_path / "log.jsonl").write(Exchange({"messages": deep})), RecordError)
    while isinstance(deep, list):  # taken apart from outside in: freeing it at once would overrun the stack
        deep = deep[0]

"""``holdfast fake``: it serves until it is stopped, then tells what was billed; a wrong option is one line."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.cli import fake
from holdfast.errors import InputError
from holdfast.testing.fake.script import read_script
from holdfast.testing.fake.values import Fault, Reply, ToolCall
from tests.cli.runner import run

SCRIPT = '{"text": "Hello.", "calls": [{"name": "look", "input": {"at": "reef"}}]}\n{"status": 529, "message": "Busy."}\n"Done."\n'
HI = {"model": "gpt-5.6-sol", "messages": [{"role": "user", "content": "kelp rock " * 900}]}


@contextmanager
def serving(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    """The command in a process of its own, the URL that it printed, and how a client is given that."""
    command = [sys.executable, "-m", "holdfast", "fake", "--port", "0", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        found = re.search(r"http://[\d.:]+", process.stdout.readline())
        assert found
        yield process, found[0], process.stdout.readline() + process.stdout.readline()
    finally:
        process.kill()
        process.communicate()


def test_it_serves_until_ctrl_c_and_tells_what_was_billed(tmp_path: Path) -> None:
    """The script is answered in turn and begun again; the window is that of every model; the exit code is 0."""
    script, out = tmp_path / "script.jsonl", tmp_path / "out.json"
    script.write_text(SCRIPT, encoding="utf-8")
    with serving("--script", str(script), "--window", "3k", "--latency", "0.01", "--json", str(out)) as (process, url, clients):
        answers = [httpx2.post(f"{url}/v1/chat/completions", json=HI) for _ in range(4)]
        too_long = httpx2.post(f"{url}/v1/responses", json={"model": "gpt-5.6-sol", "input": "kelp rock " * 4000})
        process.send_signal(signal.SIGINT)
        printed, complaint = process.communicate(timeout=60)
    assert (process.returncode, complaint) == (0, "")
    assert [answer.status_code for answer in answers] == [200, 529, 200, 200]
    assert answers[0].json()["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == "look"
    assert answers[3].json()["choices"][0]["message"]["content"] == "Hello."
    assert too_long.json()["error"]["code"] == "context_length_exceeded"
    assert f'client = Anthropic(base_url="{url}", api_key="any")' in clients
    assert f'client = OpenAI(base_url="{url}/v1", api_key="any")' in clients
    told: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    chat, responses = told["requests"]
    assert (chat["endpoint"], chat["requests"], chat["refused"]) == ("/v1/chat/completions", 4, 1)
    assert (responses["requests"], responses["refused"]) == (1, 1)
    usage = answers[0].json()["usage"]
    assert chat["usage"]["write_30m"] == usage["prompt_tokens_details"]["cache_write_tokens"]
    assert chat["usage"]["read"] == 2 * chat["usage"]["write_30m"] > 2000
    assert told["total"]["usage"] == chat["usage"]
    assert re.search(rf"^/v1/chat/completions +gpt-5.6-sol +4 +1 +{chat['usage']['read']:,} ", printed, re.MULTILINE)


def test_being_asked_to_end_is_like_ctrl_c() -> None:
    """SIGTERM ends the waiting too, and is then handled as before."""
    before = signal.getsignal(signal.SIGTERM)
    threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGTERM)).start()
    fake.wait()
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_port_in_use_is_told_in_a_line() -> None:
    """It names what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, out, complaint = run("fake", "--port", str(port))
    said = f"holdfast: port {port} is in use; stop what listens there, or say another with --port (0 takes a free one)\n"
    assert (code, out, complaint) == (2, "", said)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--port", "70000"], "--port 70000: a port is a number from 0 to 65535"),
        (["--port", "0", "--host", "192.0.2.1"], "--host 192.0.2.1: cannot be listened at"),
        (["--latency", "-1"], "--latency -1: say seconds"),
        (["--window", "big"], "--window big: a number of tokens is needed"),
        (["--script", "nowhere.jsonl"], "nowhere.jsonl: cannot be read (No such file or directory)"),
        (["--json", "nowhere/out.json"], "nowhere/out.json: cannot be written"),
    ],
)
def test_wrong_options_are_told_in_a_line(arguments: list[str], said: str) -> None:
    """Exit code 2, one sentence."""
    code, out, complaint = run("fake", *arguments)
    assert (code, out, complaint.count("\n")) == (2, "", 1)
    assert said in complaint


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("", "s: the script is empty"),
        ("[]", "s: the script is empty"),
        ("hello", "s:1: not JSON"),
        ('"a"\n{"text": ', "s:2: not JSON"),
        ("[1]", "s: reply 1: a reply is an object"),
        ('{"txt": "a"}', "s: reply 1: no field 'txt'; did you mean text?"),
        ('"a"\n{"calls": [{"nane": "look"}]}', "s:2: calls: no field 'nane'; did you mean name?"),
        ('[{"text": 3}]', "s: reply 1: text: input should be a valid string"),
        ('[{"stop": "later"}]', "s: reply 1: stop: input should be 'end', 'tools'"),
        ('[{"calls": [{"input": {}}]}]', "s: reply 1: calls.0.name: field required"),
        ('[{"status": 200}]', "s: reply 1: status 200 is no error"),
        ('[{"status": 529, "text": "a"}]', "s: reply 1: no field 'text'"),
    ],
)
def test_a_bad_script_names_the_place_and_what_is_right(script: str, said: str) -> None:
    """The line of a file of lines, the number of an entry in an array."""
    with pytest.raises(InputError) as caught:
        read_script(script, "s")
    assert said in str(caught.value).replace("input should be '', 'end'", "input should be 'end'")


def test_a_script_is_an_array_or_lines() -> None:
    """Both forms say the same."""
    lines = read_script(SCRIPT, "s")
    hello = lines[0]
    assert isinstance(hello, Reply)
    assert (hello.text, list(hello.calls)) == ("Hello.", [ToolCall("look", {"at": "reef"})])
    assert lines[1:] == [Fault(529, message="Busy."), "Done."]
    assert read_script(f"[{','.join(SCRIPT.splitlines())}]", "s") == lines


scalars = st.none() | st.text(max_size=5) | st.integers()
documents = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["text", "status"]), inner))


@settings(max_examples=50)
@given(st.text(max_size=60) | documents.map(json.dumps))
def test_any_text_is_a_script_or_an_input_error(text: str) -> None:
    """Nothing else is raised."""
    with suppress(InputError):
        assert read_script(text, "s")

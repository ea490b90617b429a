"""What the SDKs publish as examples prints the same with a wrapped client, and agent loops that others wrote run to their end.

The examples are read from the READMEs of the installed packages and run as they stand; only where they call, and with which key, comes
from the environment, as the SDKs have it. Those of third parties need packages that are no dependencies of the tests.
"""

from __future__ import annotations

import ast
import asyncio
import base64
import contextlib
import gc
import importlib.metadata
import importlib.util
import inspect
import io
import json
import re
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import anthropic
import openai
import pytest

import holdfast
import holdfast.providers.openai  # before the names it takes from the SDK are patched
from holdfast.testing import FakeProvider, Reply
from tests.agents import PIXEL
from tests.conftest import ROOT

NAMES = {"anthropic": ("Anthropic", "AsyncAnthropic"), "openai": ("OpenAI", "AsyncOpenAI")}
OURS = ("messages.create", "responses.create", "chat.completions", "fine_tuning.jobs", '"/foo"')
"""An example is run where it makes a call that a loopback server can answer."""
ELSEWHERE = ("workload_identity", "Azure", "bedrock", "Bedrock", "realtime", "my.test.", "DefaultAioHttpClient")
"""Examples that call other platforms, or need what is not installed."""
LEAST = {"anthropic": 1, "openai": 20}
BLOCK = re.compile(r"^```(?:python|py)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def examples(package: str) -> list[str]:
    """The Python in the README of an installed package that can be run here."""
    told = importlib.metadata.metadata(package)
    readme = str(getattr(told, "get_payload", str)() or told["Description"])
    callable_here = (block for block in BLOCK.findall(readme) if any(call in block for call in OURS))
    return [block for block in callable_here if not any(word in block for word in ELSEWHERE)]


class _Elsewhere(BaseHTTPRequestHandler):
    """Two pages of jobs, and an endpoint that the SDK does not know."""

    def do_GET(self) -> None:
        """A page: two jobs, and behind the first page another."""
        last = "after=job-2" in self.path
        jobs = [{"id": f"job-{n}", "object": "fine_tuning.job", "created_at": 1} for n in ((3, 4) if last else (1, 2))]
        self._say({"object": "list", "data": jobs, "has_more": not last})

    def do_POST(self) -> None:
        """Whatever was sent, and a header."""
        self._say(json.loads(self.rfile.read(int(self.headers["content-length"]))))

    def _say(self, body: object) -> None:
        said = json.dumps(body).encode()
        self.send_response(200)
        for name, value in (("content-type", "application/json"), ("content-length", str(len(said))), ("x-foo", "bar")):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is logged."""


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[str]:
    """A server for what is neither Messages nor Chat nor Responses."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Elsewhere) as server:
        Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module", autouse=True)
def collected() -> Iterator[None]:
    """Looking for what examples leave behind does not go through everything else each time."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@dataclass
class Ran:
    """What an example printed, how it ended, the bodies that arrived, and whether a client was wrapped and a call of it decided."""

    printed: str
    error: str
    bodies: list[dict[str, Any]]
    wrapped: bool
    decided: bool


def run(source: str, package: str, elsewhere: str, wrap: bool, patch: pytest.MonkeyPatch) -> Ran:
    """Run an example, its clients as they are or wrapped."""
    made: list[Any] = []
    module = {"anthropic": anthropic, "openai": openai}[package]
    printed, error = io.StringIO(), ""
    with FakeProvider(lambda asked: Reply('{"kelp": 1}'), clock=lambda: 1_790_000_000.0) as fake, patch.context() as here:
        base = elsewhere if "fine_tuning" in source or '"/foo"' in source else fake.url
        here.setenv("ANTHROPIC_BASE_URL", base)
        here.setenv("OPENAI_BASE_URL", f"{base}/v1")
        here.setenv("ANTHROPIC_API_KEY", "any")
        here.setenv("OPENAI_API_KEY", "any")
        for name in NAMES[package]:
            here.setattr(module, name, _maker(getattr(module, name), wrap, made))
        awaited = "await " in source and "async def" not in source
        names: dict[str, Any] = {"__name__": "__main__", "client": getattr(module, NAMES[package][awaited])()}
        code = compile(source, "README", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        with contextlib.redirect_stdout(printed):
            try:
                _executed(code, names)
            except (anthropic.AnthropicError, openai.OpenAIError, AttributeError) as ended:  # the last: one example is wrong
                error = f"{type(ended).__name__}: {ended}"
        bodies = [dict(asked.body) for asked in fake.requests]
    decided = any(holdfast.of(client).last is not None for client in made)
    ran = Ran(_steady(printed.getvalue()), error, bodies, bool(made), decided)
    names.clear()
    made.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # examples leave their clients open
        gc.collect()
    return ran


def _executed(code: Any, names: dict[str, Any]) -> None:
    """Top-level code, some of it with ``await`` in it."""
    if code.co_flags & inspect.CO_COROUTINE:

        async def whole() -> None:
            await eval(code, names)

        asyncio.run(whole())
    else:
        exec(code, names)


def _maker(real: Any, wrap: bool, made: list[Any]) -> Callable[..., Any]:
    def make(*args: Any, **options: Any) -> Any:
        client = real(*args, **options)
        if wrap:
            client = holdfast.wrap(client)
            made.append(client)
        return client

    return make


def _steady(printed: str) -> str:
    """Addresses differ from one run to the next, and Responses repeats the cache key of a request in its answer."""
    return re.sub(r"0x[0-9a-f]+|http://127\.0\.0\.1:\d+|prompt_cache_key=(None|'[^']*')", "…", printed)


@pytest.mark.parametrize("package", NAMES)
def test_the_readme_has_examples_to_run(package: str) -> None:
    """A change of the README's form does not leave the tests below with nothing to do."""
    assert len(examples(package)) >= LEAST[package]


CASES = [(package, number) for package in NAMES for number in range(len(examples(package)))]


@pytest.mark.parametrize(("package", "number"), CASES)
def test_an_example_prints_the_same_with_a_wrapped_client(
    package: str, number: int, elsewhere: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A published example prints the same, ends the same and sends the same, but for marks and cache keys, with its clients wrapped."""

    source = examples(package)[number]
    (tmp_path / "path" / "to").mkdir(parents=True)
    (tmp_path / "path" / "to" / "image.png").write_bytes(base64.b64decode(PIXEL))
    monkeypatch.chdir(tmp_path)
    bare, ours = (run(source, package, elsewhere, wrap, monkeypatch) for wrap in (False, True))
    assert (ours.printed, ours.error) == (bare.printed, bare.error)
    assert [_unmarked(body) for body in ours.bodies] == [_unmarked(body) for body in bare.bodies]
    assert ours.wrapped
    assert ours.decided is bool(bare.bodies)


def _unmarked(body: dict[str, Any]) -> dict[str, Any]:
    """A body without what only steers the cache."""
    plain = {key: value for key, value in body.items() if key != "prompt_cache_key"}
    plain["messages"] = [
        {**message, "content": "".join(_texts(message["content"]))} for message in body.get("messages", ()) if isinstance(message, dict)
    ]
    return plain


def _texts(content: Any) -> list[str]:
    return [content] if isinstance(content, str) else [block["text"] for block in content]


PARTIES = {
    "run_mini_swe_agent.py": ("minisweagent", "litellm", "mcp"),
    "run_mini_swe_agent.py --through client": ("minisweagent", "litellm", "mcp"),
    "run_langchain_anthropic.py": ("langchain_anthropic",),
    "run_langchain_anthropic.py --awaited --streamed": ("langchain_anthropic",),
}


@pytest.mark.parametrize("command", PARTIES)
def test_a_loop_that_others_wrote_runs_to_its_end(command: str) -> None:
    """The loop takes forty turns, plans are committed on the way, and the provider refuses nothing."""
    missing = [name for name in PARTIES[command] if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}; examples/third_party/README.md says how to install what it needs")
    script, *options = command.split()
    ran = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "third_party" / script), *options], capture_output=True, text=True, check=True, timeout=120
    )
    said = ran.stdout
    assert "after 40 calls" in said
    assert "0 requests were refused" in said
    commits = re.search(r"(\d+) plans were committed", said)
    assert commits is not None
    assert int(commits[1]) >= 1

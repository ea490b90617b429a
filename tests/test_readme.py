"""The README's code works as it is printed, with both SDKs, against the provider that it names."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from anthropic import Anthropic

import holdfast
from holdfast.testing import Audit, FakeProvider
from tests.cli.test_fake import serving

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
FIRST_SCREEN = 55
"""Lines until both clients have been shown."""
LONG = "kelp holds on. " * 900


@pytest.fixture
def new_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Somebody in an empty folder who sets the variables that the README names, and has no settings."""

    def at(url: str) -> None:
        monkeypatch.chdir(tmp_path)
        for name in [name for name in os.environ if name.startswith("HOLDFAST_")]:
            monkeypatch.delenv(name)
        for name, value in {"ANTHROPIC": url, "OPENAI": f"{url}/v1"}.items():
            monkeypatch.setenv(f"{name}_BASE_URL", value)
            monkeypatch.setenv(f"{name}_API_KEY", "any")

    return at


def test_the_six_lines_work_as_printed_with_both_sdks(new_user: Callable[[str], None], capsys: pytest.CaptureFixture[str]) -> None:
    """Against ``holdfast fake`` each program of the first screen answers and reports one request."""
    programs = BLOCKS[:2]
    assert [len([line for line in program.splitlines() if line]) for program in programs] == [6, 6]
    assert README.index(programs[1]) < len("\n".join(README.splitlines()[:FIRST_SCREEN]))
    with serving() as (_, url, _):
        new_user(url)
        for program in programs:
            exec(compile(program, "README.md", "exec"), {})
            assert capsys.readouterr().out.startswith("OK\nHoldfast: 1 request\n")


def test_the_code_on_single_calls_and_stores_works_as_printed(new_user: Callable[[str], None], tmp_path: Path) -> None:
    """Run one after the other with a client and a history at hand, the other programs do what they say, but for the test."""
    call = {"type": "tool_use", "id": "call_1", "name": "recall", "input": {"id": "0" * 12}}
    history = [{"role": "user", "content": "Acceptance criteria: kelp holds."}]
    with FakeProvider() as fake:
        new_user(fake.url)
        names: dict[str, Any] = {"holdfast": holdfast, "Anthropic": Anthropic, "client": holdfast.wrap(Anthropic()), "history": history}
        names |= {"tool_use_block": call, "send": lambda body: {"usage": {"input_tokens": 30, "output_tokens": 1}}}
        for program in BLOCKS[2:]:
            if "def test_" not in program:
                exec(compile(program, "README.md", "exec"), names)
        assert fake.count == 1
    assert names["result"]["tool_use_id"] == "call_1"
    assert names["tools"][0]["name"] == "recall"
    assert names["body"]["max_tokens"] == 4096
    assert isinstance(names["trace"], holdfast.Trace)
    assert (tmp_path / "holdfast.db").exists()
    names["store"].close()


def test_the_test_in_the_readme_is_one() -> None:
    """It asks for the fixtures of the plug-in, by their names, and for what ``holdfast.testing`` has."""
    (program,) = (block for block in BLOCKS if "def test_" in block)
    function = next(node for node in ast.walk(ast.parse(program)) if isinstance(node, ast.FunctionDef))
    import holdfast.testing.plugin as plugin

    assert all(hasattr(plugin, argument.arg) for argument in function.args.args)

    def agent(base_url: str) -> None:
        client = Anthropic(base_url=base_url, api_key="any")
        for said in ([LONG], [LONG, "Yes.", "Why?"]):
            messages: Any = [{"role": role, "content": text} for role, text in zip(("user", "assistant", "user"), said, strict=False)]
            client.messages.create(model="claude-sonnet-5", max_tokens=9, messages=messages, cache_control={"type": "ephemeral"})

    with FakeProvider(counter="sampled") as fake:
        names: dict[str, Any] = {"run_my_agent": agent}
        exec(program, names)
        names[function.name](fake, Audit(fake))


def test_every_keyword_of_wrap_in_the_pages_is_one() -> None:
    """No page hands ``wrap`` or ``Middleware`` what they do not take."""
    from holdfast.providers import Wishes

    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for call in re.findall(r"(?:wrap|Middleware)\(([^\n]*)\)", page.read_text(encoding="utf-8")):
            for name in re.findall(r"\b([a-z_]+)=", call):
                assert name in Wishes.__annotations__ or name in ("base_url", "api_key", "middleware"), f"{page.name}: {name}"



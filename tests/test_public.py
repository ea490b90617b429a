"""What ``import holdfast`` gives: these names and no other, each when it is asked for, and each known to a type checker."""

from __future__ import annotations

import os
import subprocess
import sys
from types import ModuleType
from typing import assert_type

import pytest
from anthropic import Anthropic, AsyncAnthropic
from openai import AsyncOpenAI, OpenAI

import holdfast

NAMES = """
    Answer Ask Block CallSettings CannotWrap Clear Drop FileStore Fold Goal HoldfastError HoldfastWarning Hooks InputError MemoryStore
    Middleware Options Plan Recorder Session Store Strategy Trace Usage View of options_for recall session wrap
"""

HEAVY = ("pydantic", "pydantic_settings", "anthropic", "openai", "httpx2", "tiktoken", "opentelemetry", "sqlite3", "typer", "rich")
"""What nobody pays for who only imports."""


def in_a_new_interpreter(code: str) -> str:
    """What a program prints that begins with nothing imported."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True).stdout.strip()


def test_the_public_names_are_these() -> None:
    """A name is added or taken away on purpose only."""
    assert holdfast.__all__ == sorted(NAMES.split())
    assert set(NAMES.split()) < set(dir(holdfast))


@pytest.mark.parametrize("name", NAMES.split())
def test_each_name_is_there_and_documented(name: str) -> None:
    """It is the same object each time, and says what it is for."""
    found = getattr(holdfast, name)
    assert found is getattr(holdfast, name)
    assert isinstance(found, ModuleType) == (name == "recall")
    assert found.__doc__


def test_a_wrong_name_is_an_attribute_error() -> None:
    """As in any module, so that ``hasattr`` and ``from holdfast import`` work."""
    assert not hasattr(holdfast, "warp")
    with pytest.raises(ImportError, match="warp"):
        exec("from holdfast import warp")


def test_importing_is_light() -> None:
    """Nothing heavy is loaded, nor any module of the package, before a name is used."""
    code = f"import sys, holdfast; print([n for n in {HEAVY} if n in sys.modules], [n for n in sys.modules if n[:9] == 'holdfast.'])"
    assert in_a_new_interpreter(code) == "[] []"


def test_a_function_stays_where_a_module_has_its_name() -> None:
    """Whatever was imported before, ``holdfast.session`` and ``holdfast.wrap`` can be called."""
    code = "import holdfast.session, holdfast.wrap, holdfast; print(holdfast.session.__module__, holdfast.wrap.__qualname__)"
    assert in_a_new_interpreter(code) == "holdfast.live wrap"


def test_without_the_sdk_its_middleware_says_what_to_install() -> None:
    """All other names work without it."""
    code = (
        "import sys; sys.modules['anthropic'] = None; import holdfast\n"
        "for name in holdfast.__all__:\n"
        "    try: getattr(holdfast, name)\n"
        "    except ImportError as error: print(name, error)"
    )
    assert in_a_new_interpreter(code).splitlines() == [
        "Middleware holdfast.Middleware is of Anthropic's SDK, which is not installed: pip install anthropic"
    ]


def test_a_type_checker_sees_the_client_that_went_in() -> None:
    """``make lint`` holds what stands here: the wrapped client has the type of the bare one."""
    assert_type(holdfast.wrap(Anthropic(api_key="k")), Anthropic)
    assert_type(holdfast.wrap(AsyncAnthropic(api_key="k"), trigger="150k", strategy="micro"), AsyncAnthropic)
    assert_type(holdfast.wrap(OpenAI(api_key="k"), mode="observe"), OpenAI)
    assert_type(holdfast.wrap(AsyncOpenAI(api_key="k")).with_options(timeout=3), AsyncOpenAI)
    assert_type(Anthropic(api_key="k", middleware=[holdfast.Middleware(strategy="micro")]), Anthropic)
    assert_type(holdfast.of(holdfast.wrap(Anthropic(api_key="k"))).last, holdfast.Trace | None)

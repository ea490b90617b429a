"""One test for each incident in the file given by ``--incidents``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

_NEEDED = {"uncached", "cached", "written", "output", "cost_usd"}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The parameter ``replayed`` is each case with a replay, ``priced`` each case whose requests all
    state their tokens and money, ``measured`` each case of OpenAI."""
    path: Path = metafunc.config.getoption("--incidents")
    cases: list[dict[str, Any]] = json.loads(path.read_text("utf-8")) if path.is_file() else []
    if "replayed" in metafunc.fixturenames:
        _parametrize(metafunc, "replayed", [case for case in cases if case.get("replay")])
    if "priced" in metafunc.fixturenames:
        _parametrize(metafunc, "priced", [case for case in cases if all(_stated(row) >= _NEEDED for row in case["requests"])])
    if "measured" in metafunc.fixturenames:
        _parametrize(metafunc, "measured", [case for case in cases if case["provider"] == "openai"])


def _parametrize(metafunc: pytest.Metafunc, name: str, cases: list[dict[str, Any]]) -> None:
    none = [pytest.param({}, marks=pytest.mark.skip(reason="no file of incidents with such a case"))]
    metafunc.parametrize(name, cases or none, ids=[case["id"] for case in cases] or None)


def _stated(row: dict[str, Any]) -> set[str]:
    return {name for name, value in row.items() if value is not None}

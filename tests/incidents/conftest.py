"""One test for each incident in the file given by ``--incidents``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.incidents.cases import Case, read_cases
from tests.incidents.registry import recipe

_NEEDED = ("uncached", "cached", "written", "output", "cost_usd")


def _priced(case: Case) -> bool:
    return bool(case.rows) and all(row.get(name) is not None for row in case.rows for name in _NEEDED)


CHOSEN: Mapping[str, Callable[[Case], bool]] = {
    "checked": lambda case: bool(case.checks),
    "replayed": lambda case: case.replay is not None,
    "priced": _priced,
    "measured": lambda case: case.api == "openai",
    "computed": lambda case: case.mode == "formula",
    "diagnosed": lambda case: case.mode in ("replay", "detector", "synthetic") or (case.mode == "formula" and recipe.knows(case.code)),
    "simulated": lambda case: case.mode in ("synthetic", "none"),
    "undecided": lambda case: case.mode == "none" and case.cause == "server_side_unexplained",
}
"""Which cases a test takes, by the name of its parameter."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each parameter named in ``CHOSEN`` is one case after the other."""
    path: Path = metafunc.config.getoption("--incidents")
    for name, wanted in CHOSEN.items():
        if name in metafunc.fixturenames:
            cases = [case for case in read_cases(path) if wanted(case)]
            none = [pytest.param(None, marks=pytest.mark.skip(reason="no file of incidents with such a case"))]
            metafunc.parametrize(name, cases or none, ids=[case.id for case in cases] or None)

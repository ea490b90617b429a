"""What ``import holdfast`` costs, beside ``import pydantic``, each in an interpreter of its own."""

from __future__ import annotations

import pytest

from benchmarks.measuring import Timer, python


@pytest.mark.parametrize("statement", ["pass", "import pydantic", "import holdfast"])
def test_import(benchmark: Timer, statement: str) -> None:
    """A statement runs in a fresh interpreter."""
    benchmark.pedantic(python, ("-c", statement), rounds=15, warmup_rounds=2)

"""Fixtures that all tests share."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import Phase, settings

# Explaining a failure re-runs an example hundreds of times, which takes minutes on whole conversations.
settings.register_profile("patient", deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink])
settings.load_profile("patient")

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of transcripts and facts beside the checkout."""
    if not SHARED.is_dir():
        pytest.skip(f"needs the transcripts in {SHARED}, which are not part of the project")
    return SHARED


@pytest.fixture(scope="session")
def corpus(shared: Path) -> Path:
    """Real transcripts by source."""
    return shared / "corpus"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Incidents are read from a file; any file of the same form will do."""
    parser.addoption("--incidents", type=Path, default=SHARED / "incidents" / "incidents.json", help="public cache incidents, as JSON")

"""What is kept between plans: little, and without harm to sessions in other threads."""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast_strategies.digest import digest
from holdfast_strategies.digest.read_once import session_of
from holdfast_strategies.kept import Kept
from tests.strategies.views import does, read, says, user, view_of


def long_session(number: int, rounds: int = 8, characters: int = 45_000) -> list[dict[str, Any]]:
    """A session that shares no text with that of another number."""
    random = Random(number)
    work = [user(f"look at part_{number}")]
    for call in range(rounds):
        path = f"/app/part_{number}/file_{call}.py"
        line = f"{random.getrandbits(60):x} = compute_{number}_{call}(1)"
        work += does(call, "Read", {"file_path": path}, f"{line}\n" * (characters // (len(line) + 1)))
        work.append(says(f"compute_{number}_{call} is called in {path}."))
    return work


@pytest.fixture
def many_switches() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@given(weights=st.lists(st.integers(1, 40), max_size=50), most=st.integers(1, 60))
def test_what_is_kept_stays_within_its_bound(weights: list[int], most: int) -> None:
    """Whatever its values weigh, and a value that is too heavy is still given."""
    kept: Kept[str] = Kept(most, len)
    for key, weight in enumerate(weights):
        assert kept.get(key, lambda weight=weight: "x" * weight) == "x" * weight  # type: ignore[misc]
        assert kept.weight <= most


@pytest.mark.usefixtures("many_switches")
def test_sessions_in_several_threads_do_not_disturb_one_another() -> None:
    """Eight threads that read more sessions than are kept get what one thread gets."""
    views = [view_of(read(long_session(number, rounds=3, characters=120_000))) for number in range(8)]

    def calls(place: int) -> list[list[str]]:
        source = views[place].source
        return [[act.target for act in session_of(source, stop).acts] for _ in range(150) for stop in range(1, 9)]

    alone = [calls(place) for place in range(8)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(calls, range(8))) == alone


def test_finished_sessions_are_not_held() -> None:
    """After sixty sessions a few megabytes are left of twenty."""
    tracemalloc.start()
    for number in range(60):
        view = view_of(read(long_session(number)))
        digest(view, len(view.source), 1_000)
    del view
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 12_000_000

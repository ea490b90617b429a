"""Work on groups of files in several processes: results come as they are done, each with its group's place."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from multiprocessing import active_children
from typing import TypeVar

from holdfast.errors import InputError
from holdfast.readers import Group

R = TypeVar("R")


def gathered(
    groups: Sequence[Group],
    work: Callable[[Group], R],
    jobs: int,
    *,
    progress: Callable[[int, int], None],
    enough: Callable[[Sequence[R]], bool] | None = None,
) -> tuple[list[R], bool]:
    """What ``work`` gave for each group, in their order, and whether a ``KeyboardInterrupt`` ended it early.

    ``progress`` is told how many groups are done, and of how many. ``enough`` says of what is done so far that no more is wanted; with
    it, the groups are worked on one after the other.
    """
    done: dict[int, R] = {}
    interrupted = False
    progress(0, len(groups))
    try:
        for ordinal, result in over_groups(groups, work, 1 if enough else jobs):
            done[ordinal] = result
            progress(len(done), len(groups))
            if enough is not None and enough(list(done.values())):
                break
    except KeyboardInterrupt:
        interrupted = True
    return [done[ordinal] for ordinal in sorted(done)], interrupted


def over_groups(groups: Sequence[Group], work: Callable[[Group], R], jobs: int) -> Iterator[tuple[int, R]]:
    """``work`` on every group. ``jobs`` processes, 0 for one per core; with one, in the order given and in this process.

    ``work`` must be picklable. What it raises ends the run; a ``KeyboardInterrupt`` too, without waiting for what is under way.
    """
    processes = min(jobs or os.cpu_count() or 1, len(groups)) or 1
    if processes == 1:
        yield from ((ordinal, work(files)) for ordinal, files in enumerate(groups))
        return
    with ProcessPoolExecutor(processes, initializer=_leave_interrupts_to_the_parent) as executor:
        yield from _in_processes(executor, groups, work)


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _in_processes(executor: Executor, groups: Sequence[Group], work: Callable[[Group], R]) -> Iterator[tuple[int, R]]:
    # The largest first, so that no core is left waiting for one long session at the end.
    order = sorted(range(len(groups)), key=lambda ordinal: -groups[ordinal].size)
    pending: dict[Future[R], int] = {executor.submit(work, groups[ordinal]): ordinal for ordinal in order}
    try:
        for future in as_completed(pending):
            yield pending[future], future.result()
    except (KeyboardInterrupt, InputError):
        executor.shutdown(wait=False, cancel_futures=True)
        for worker in active_children():  # who stops half-way does not want to wait for what is under way
            worker.terminate()
        raise

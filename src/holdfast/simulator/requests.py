"""What a comparison and a replay are asked: frozen values, so that a worker process gets exactly what the user said."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

Ttl: TypeAlias = Literal["5m", "1h"]

KEEP_TAIL_TOKENS = 10_000
"""The verbatim tail that every strategy keeps unless told otherwise, in tokens."""


@dataclass(frozen=True, slots=True)
class CompareRequest:
    """Which transcripts to compare, and under what conditions.

    ``paths`` are files or folders. ``model`` is the model to bill instead of the recorded one.
    ``strategies`` are registered names, empty for all. ``trigger`` and ``target`` are
    tokens, or a share of the model's window where below 1; ``None`` leaves them to the schedule. ``ttl`` is the cache lifetime
    to write, ``None`` as recorded. ``jobs`` is the number of processes, 0 for one per core. ``limit``
    is the most sessions to read. ``prices`` is a file that overrides the built-in ones. ``strict`` makes a bad line an error.
    ``any``: sessions whose recorded reads the cache model does not reproduce are ranked too.
    """

    paths: tuple[str, ...]
    model: str | None = None
    strategies: tuple[str, ...] = ()
    trigger: float | None = None
    target: float | None = None
    ttl: Ttl | None = None
    keep_tail_tokens: int = KEEP_TAIL_TOKENS
    jobs: int = 0
    limit: int | None = None
    prices: Path | None = None
    strict: bool = False
    any: bool = False


@dataclass(frozen=True, slots=True)
class ReplayRequest:
    """Which transcript to replay under which strategy. The fields mean what they mean in ``CompareRequest``."""

    path: str
    strategy: str
    model: str | None = None
    trigger: float | None = None
    target: float | None = None
    ttl: Ttl | None = None
    keep_tail_tokens: int = KEEP_TAIL_TOKENS
    prices: Path | None = None
    strict: bool = False

"""Client hooks: one file for each SDK, none of which is imported before it is used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Protocol, TypedDict

from holdfast.blocks import Block
from holdfast.calls.call_settings import CallSettings
from holdfast.calls.calls import Calls
from holdfast.calls.hooks import Hooks
from holdfast.calls.recorder import Recorder
from holdfast.calls.values import Flow, Request
from holdfast.store import Store
from holdfast.strategy import Strategy


class Flows(Protocol):
    """Who decides what is sent: a flow for every attempt of a call."""

    def flow(self, request: Request, /) -> Flow:
        """The flow of one attempt."""


class Wishes(TypedDict, total=False):
    """What ``wrap`` and ``Middleware`` may be told: a field of ``CallSettings``, which says what each does, or one of the first two.

    ``store``: a path or a store for what left the prompt. ``record``: a path to append requests and answers to.
    """

    store: Store | str | Path | None
    record: Recorder | str | Path | None
    strategy: str | Strategy
    trigger: float | None
    target: float | None
    mode: Literal["compact", "observe"]
    on_error: Literal["pass", "raise"]
    ttl: Literal["5m", "1h"]
    keep_tail_tokens: int
    marks: Literal["caller", "holdfast", "off"]
    summaries: Literal["model", "provider", "off"]
    summary_model: str | None
    ask_timeout: float
    background: bool
    threads: Literal["stand_down", "unthread"]
    remind: str | Callable[[], str] | None
    volatile: tuple[str, ...]
    pins: Callable[[Block], bool] | None
    lineages: int
    cache_keys: bool
    stream_usage: bool | None
    counter: Literal["sampled", "full"]
    hooks: Hooks
    telemetry: bool
    clock: Callable[[], float] | None


def calls_for(wishes: Wishes) -> Calls:
    """Calls that work as wished. Raises ``TypeError`` on a name that is none, and what ``CallSettings`` and the store raise."""
    settings: dict[str, Any] = {name: value for name, value in wishes.items() if name not in ("store", "record")}
    return Calls(CallSettings(**settings), store=wishes.get("store"), record=wishes.get("record"))

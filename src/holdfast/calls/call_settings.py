"""What a wrapped client is told once."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from holdfast.blocks import Block
from holdfast.calls.hooks import Hooks
from holdfast.errors import InputError
from holdfast.strategy import Strategy


@dataclass(frozen=True, slots=True)
class CallSettings:
    """How calls through a client are treated. Raises ``InputError`` for a value that cannot be.

    ``strategy``: a registered name or an object. ``trigger``, ``target``: tokens of the whole prompt, or shares of the window below 1.
    ``mode``: ``"observe"`` sends every request as it came and tells what would have been. ``on_error``: ``"raise"`` lets
    a failure of Holdfast reach the caller. ``ttl``: the cache lifetime that marks ask for. ``keep_tail_tokens``: what stays verbatim at the
    end. ``marks``: ``"caller"`` keeps the caller's own, ``"holdfast"`` sets its own in their place, ``"off"`` sets none.
    ``summaries``: who writes them: the live ``"model"``, the ``"provider"`` itself where it can (``holdfast.calls.compacting``: on
    Anthropic its words then stand for the user's first message too), or nobody (``"off"``). ``summary_model``: another model in the place
    of the live one; it reads the whole prompt uncached. ``ask_timeout``: seconds a question may take. ``background``: a summary is written
    ahead, beside the conversation, and put in its place when that is cheap. ``threads``: what becomes of a message thread that the
    server keeps:
    ``"stand_down"``, or ``"unthread"`` to send its messages whole. ``remind``: a text said again with each message of the user's.
    ``volatile``: regular expressions for what is moved out of the system prompt to the user's newest message. ``pins``: blocks that keep
    their bytes. ``lineages``: how many conversations are remembered. ``cache_keys``: set ``prompt_cache_key`` where the caller does not.
    ``stream_usage``: see ``providers.openai``. ``counter``: ``"full"`` counts every token, ``"sampled"`` weighs long texts by samples.
    ``telemetry``: write OpenTelemetry spans where its API is installed.
    """

    strategy: str | Strategy = "ladder"
    trigger: float | None = None
    target: float | None = None
    mode: Literal["compact", "observe"] = "compact"
    on_error: Literal["pass", "raise"] = "pass"
    ttl: Literal["5m", "1h"] = "5m"
    keep_tail_tokens: int = 10_000
    marks: Literal["caller", "holdfast", "off"] = "caller"
    summaries: Literal["model", "provider", "off"] = "model"
    summary_model: str | None = None
    ask_timeout: float = 60.0
    background: bool = False
    threads: Literal["stand_down", "unthread"] = "stand_down"
    remind: str | Callable[[], str] | None = None
    volatile: tuple[str, ...] = ()
    pins: Callable[[Block], bool] | None = None
    lineages: int = 256
    cache_keys: bool = True
    stream_usage: bool | None = None
    counter: Literal["sampled", "full"] = "sampled"
    hooks: Hooks = field(default_factory=Hooks)
    telemetry: bool = True
    clock: Callable[[], float] | None = None

    def __post_init__(self) -> None:
        for name, allowed in _ALLOWED.items():
            if getattr(self, name) not in allowed:
                raise InputError(f"{name} is one of {', '.join(allowed)}, not {getattr(self, name)!r}")
        if self.ask_timeout <= 0 or self.lineages < 1 or self.keep_tail_tokens < 0:
            raise InputError("ask_timeout and lineages must be positive, keep_tail_tokens not negative")
        if self.summary_model and self.summaries == "provider":
            raise InputError("summary_model names who writes summaries where the provider does not: give one of them")
        for pattern in self.volatile:
            try:
                re.compile(pattern)
            except re.error as error:
                raise InputError(f"volatile: {pattern!r} is no regular expression: {error}") from error


_ALLOWED: dict[str, tuple[str, ...]] = {
    "mode": ("compact", "observe"),
    "on_error": ("pass", "raise"),
    "ttl": ("5m", "1h"),
    "marks": ("caller", "holdfast", "off"),
    "summaries": ("model", "provider", "off"),
    "threads": ("stand_down", "unthread"),
    "counter": ("sampled", "full"),
}

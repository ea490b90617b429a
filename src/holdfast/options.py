"""How a session behaves, as one value."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from holdfast.blocks import Block
from holdfast.pipeline import Asker
from holdfast.schedule import Schedule, Tariff
from holdfast.strategy import Strategy


@dataclass(frozen=True, slots=True)
class Options:
    """How a session behaves. Tokens count the whole prompt.

    ``schedule``: when to act. ``tariff``: what input costs. ``ttl``: seconds a cache write lives. ``marking``: whether the provider
    writes its cache at marks. ``binds_thinking``: thinking is signed over the exact prefix; ``drop_block``: the API can be asked to drop
    what no longer fits. ``manual_thinking``: it has a fixed budget. ``pins``: blocks that keep their bytes. ``ask``: answers a strategy's
    questions. ``on_error``: ``"raise"`` lets a failure reach the caller. ``lineages``: how many conversations are remembered, the newest
    first. ``clock``: POSIX seconds. ``fallback``: the strategy for a prompt that was refused as too long. ``watched``: every answer is
    observed, so that one that was not seen never came. ``keep_caller``: the caller's own marks keep their places. ``remind``: a text said
    again with each of the user's messages. ``volatile``: what is moved from the system prompt to the user's newest message.
    ``system_messages``: the model takes those in the middle of a conversation. ``shared``: other processes write to the store too, so
    that it is looked at before each request. ``recall``: the model has the tool of ``holdfast.recall``, so folds say what to ask it for.
    ``minimum``: the shortest prefix, in tokens, that gets a mark of ours. ``model`` names whose cache it is. ``counter``: ``"sampled"``
    weighs long texts by samples, ``"full"`` counts them.
    """

    schedule: Schedule
    tariff: Tariff = field(default_factory=Tariff)
    keep_tail_tokens: int = 10_000
    ttl: int = 300
    marking: bool = True
    binds_thinking: bool = False
    drop_block: bool = False
    manual_thinking: bool = False
    pins: Callable[[Block], bool] | None = None
    ask: Asker | None = None
    on_error: str = "pass"
    family: str = "claude"
    lineages: int = 256
    clock: Callable[[], float] = time.time
    fallback: Strategy | None = None
    watched: bool = False
    keep_caller: bool = True
    remind: str | Callable[[], str] | None = None
    volatile: tuple[re.Pattern[str], ...] = ()
    system_messages: bool = False
    shared: bool = False
    recall: bool = False
    minimum: int = 0
    model: str = ""
    counter: Literal["sampled", "full"] = "sampled"

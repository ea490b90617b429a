"""What the engine is told: once for all requests, and for one of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from holdfast.blocks import Block
from holdfast.edits import Scribe
from holdfast.schedule import Schedule, Tariff
from holdfast.strategy import Goal, Strategy
from holdfast.transcript import Dialect


@dataclass(frozen=True, slots=True)
class Wish:
    """What the caller says of one request.

    ``force`` makes a plan now, ``focus`` says what a summary is to keep; ``goal`` names the sizes too. ``pins`` keep their bytes beside
    those of the policy; ``strategy`` stands in for the policy's. ``may_plan``: nothing new is committed where it is false; ``may_ask``: a
    plan that needs the model waits, ``why`` says what for. ``bare``: nothing is added to a
    conversation in which nothing is committed yet.
    """

    force: bool = False
    focus: str = ""
    goal: Goal | None = None
    pins: Callable[[Block], bool] | None = None
    strategy: Strategy | None = None
    may_plan: bool = True
    may_ask: bool = True
    why: str = ""
    bare: bool = False


PLAIN = Wish()


@dataclass(frozen=True, slots=True)
class Policy:
    """What the engine is told once: who proposes, when, how edits are written, what tokens cost.

    ``count`` weighs a text, ``pins`` says which blocks the user pinned. ``binds_thinking``: the model signs thinking over the exact
    prefix, so thinking behind an edit must go (platform.claude.com, preserved thinking, 2026-10). ``manual_thinking``: replies think
    within a fixed budget, and the last turn must begin with thinking. ``marking``: the
    provider writes its cache at marks; ``ttl`` is their lifetime in seconds. ``dialect``: whose wire grammar holds. ``drop_block``: the
    API can be asked to drop thinking whose prefix has changed, so that a plan need not wait for the end of a tool loop.
    ``keep_caller``: the caller's own marks keep their places. ``named``: a fold says under which name what it stands for can be recalled.
    ``minimum``: the shortest prefix, in tokens, that gets a mark of ours. ``breakpoints``: marks are OpenAI's (``plan_breakpoints``).
    ``model`` names whose cache it is: what is warm for one is not for another.
    """

    strategy: Strategy
    schedule: Schedule
    scribe: Scribe
    count: Callable[[str], int]
    tariff: Tariff = field(default_factory=Tariff)
    keep_tail_tokens: int = 10_000
    ttl: int = 300
    marking: bool = True
    binds_thinking: bool = False
    manual_thinking: bool = False
    dialect: Dialect = "anthropic"
    pins: Callable[[Block], bool] | None = None
    drop_block: bool = False
    keep_caller: bool = True
    named: bool = False
    minimum: int = 0
    breakpoints: bool = False
    model: str = ""

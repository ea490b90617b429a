"""Chains made to measure, and Hypothesis strategies for growing conversations."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache

from hypothesis import strategies as st

from holdfast.blocks import Block, Kind, Mark, Role, Settings, make_block
from holdfast.caches.machine import CacheRequest
from holdfast.prefix import Chain

MODEL = Settings(model="claude-sonnet-5")


@lru_cache(maxsize=4096)
def a_block(name: str, tokens: int, kind: Kind = Kind.TEXT, role: Role = Role.USER) -> Block:
    """A block that differs from another one if its name does."""
    return make_block(kind, role, {"type": str(kind), "text": name}, name).weighed(tokens)


def chain(blocks: Iterable[Block]) -> Chain:
    """A prompt of these blocks; the role tells head from messages."""
    made = Chain()
    before: Role | None = None
    for block in blocks:
        made.append(block, made.length >= made.head and block.role is not before)
        made.tools += block.role is Role.TOOLS
        made.head += block.role in (Role.TOOLS, Role.SYSTEM)
        before = block.role
    return made


def texts(count: int, tokens: int = 100, name: str = "b") -> list[Block]:
    """``count`` text blocks of equal size."""
    return [a_block(f"{name}{index}", tokens) for index in range(count)]


def ask(prompt: Chain, at: float, *marks: int | Mark, settings: Settings = MODEL, scope: str = "", writes: bool = True) -> CacheRequest:
    """A request with 5m marks at these positions (or the marks given), whose response begins at once."""
    placed = tuple(mark if isinstance(mark, Mark) else Mark(mark) for mark in marks)
    return CacheRequest(prompt, settings, placed, at, at, scope, writes)


KINDS = (Kind.TEXT, Kind.TOOL_USE, Kind.TOOL_USE, Kind.TOOL_RESULT, Kind.TOOL_RESULT, Kind.THINKING)


@dataclass(frozen=True)
class Step:
    """One request of a generated history, against one of the conversations made so far."""

    fork: int
    blocks: int
    pause: float
    marks: tuple[tuple[float, int], ...]
    delay: float
    writes: bool
    forced_tool: bool


steps = st.lists(
    st.builds(
        Step,
        fork=st.integers(0, 6),
        blocks=st.integers(0, 30),
        pause=st.sampled_from((0.0, 1.0, 20.0, 200.0, 299.0, 300.0, 400.0, 3599.0, 3600.0, 5000.0)),
        marks=st.lists(st.tuples(st.floats(0, 1), st.sampled_from((300, 3600))), max_size=4).map(tuple),
        delay=st.sampled_from((0.0, 0.5, 30.0, 400.0)),
        writes=st.sampled_from((True, True, True, False)),
        forced_tool=st.sampled_from((False, False, False, True)),
    ),
    min_size=1,
    max_size=14,
)


def requests_of(history: list[Step]) -> list[CacheRequest]:
    """Requests in order of time: each grows a conversation, or forks one somewhere and grows that."""
    head = [a_block(f"tool{index}", 300, Kind.TOOL, Role.TOOLS) for index in range(3)] + [a_block("system", 900, Kind.SYSTEM, Role.SYSTEM)]
    conversations: list[list[Block]] = [head]
    now, made = 1_000_000.0, []
    for number, step in enumerate(history):
        old = conversations[step.fork % len(conversations)]
        cut = len(old) if step.fork < 3 else max(len(head), len(old) - 7 * (step.fork - 2))
        kinds = [KINDS[(number + step.fork + index // 4) % len(KINDS)] for index in range(step.blocks)]
        new = old[:cut] + [a_block(f"{number}.{index}", 10 + 37 * index % 400, kind) for index, kind in enumerate(kinds)]
        conversations.append(new)
        now += step.pause
        marks = tuple(Mark(round(share * (len(new) - 1)), ttl) for share, ttl in step.marks)
        settings = replace(MODEL, tool_choice='{"type":"any"}') if step.forced_tool else MODEL
        made.append(CacheRequest(chain(new), settings, marks, now, now + step.delay, "", step.writes))
    return made

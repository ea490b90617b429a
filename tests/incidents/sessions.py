"""A conversation under way: sends requests that read and write as a healthy one does, until a recipe makes one lose."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from holdfast.doctor.findings import Cause, Verdict
from holdfast.usage import Usage
from tests.incidents.bodies import Json, Place, Talk, prose, rounds, tools, user
from tests.incidents.cases import Case, Fall
from tests.incidents.logs import Log, Loss

NOT_THEIRS = frozenset({Verdict.PROVIDER, Verdict.UNKNOWN})
THEIRS_TO_MEND = frozenset(
    {
        Cause.SYSTEM_CHANGED,
        Cause.TOOLS_CHANGED,
        Cause.TOOLS_REORDERED,
        Cause.MODEL_CHANGED,
        Cause.IMAGE_CHANGED,
        Cause.MESSAGES_REWRITTEN,
        Cause.MESSAGE_INSERTED_BEFORE_TAIL,
        Cause.COMPACTION_REQUEST_PREFIX,
        Cause.BREAKPOINT_MISPLACED,
        Cause.BREAKPOINT_LOOKBACK_EXCEEDED,
        Cause.BELOW_MINIMUM,
    }
)
"""Causes in the request itself: the verdict is *yours*."""

TAIL = Place("messages", -1)
FRESH = 3
"""Tokens behind the last mark that Anthropic bills as fresh."""


def near(tokens: float, wide: float = 0.15) -> tuple[float, float]:
    """A tolerance for tokens that could have been read: providers round, and sizes of parts are estimates."""
    return tokens * (1 - wide) - 128, tokens * (1 + wide) + 128


def split(case: Case, prompt: int, read: int, lifetime: str = "", fresh: int = FRESH) -> Usage:
    """The usage of a prompt of so many tokens that read so many: the rest is written at Anthropic, plain input elsewhere."""
    if case.api != "anthropic":
        return Usage(fresh=prompt - read, read=read)
    rest = max(0, prompt - read)
    fresh = min(fresh, rest)
    written = {"write_1h" if lifetime == "1h" else "write_5m": rest - fresh}
    return Usage(fresh=fresh, read=read, **written)


def stated(case: Case, row: Mapping[str, Any]) -> Usage:
    """The usage of a row that says what was read and written."""
    if case.api != "anthropic":
        return split(case, row.get("uncached", FRESH) + row["cached"] + row["written"], row["cached"]).answered(row.get("output", 0))
    return Usage(row.get("uncached", FRESH), row["cached"], row["written"], output=row.get("output", 0))


def lost(case: Case, turn: int, tokens: float | None, places: Iterable[str] = (), wide: float = 0.15, **more: Any) -> Loss:
    """The loss that a case is about, at a request."""
    causes = frozenset({Cause(case.cause)})
    if causes <= THEIRS_TO_MEND:
        more.setdefault("verdicts", frozenset({Verdict.YOURS}))
    detail = "" if case.code == case.cause else case.code
    return Loss(turn, causes, detail, tuple(places), None if tokens is None else near(tokens, wide), **more)


def agent(case: Case, head: int, history: int, count: int = 6, tool_share: float = 0.5) -> Talk:
    """An agent's conversation: tools and a system prompt of ``head`` tokens, a task and ``count`` rounds of ``history`` tokens."""
    tool_tokens = int(head * tool_share)
    many = max(2, min(24, tool_tokens // 150))
    system = (f"You are a careful coding agent. {prose('system', max(8, head - tool_tokens))}",)
    task = user(f"Please fix the failing test. {prose('task', max(8, history // 20))}")
    made = rounds("history", history - history // 20, count)
    talk = Talk(case.model, tools(tool_tokens, many) if tool_share else (), system, (task, *made))
    return talk.marked_tail() if case.api == "anthropic" else talk


def fallen(case: Case, whole: int, head: int) -> tuple[Talk, Fall]:
    """The conversation of a case in which one request falls: marked so that just its head is still read, or nothing, where that is said."""
    fall = case.fall(whole, head)
    nothing = fall.stated and fall.read <= 500
    head = fall.read if fall.read > 500 else 60 if nothing and case.api != "anthropic" else min(head, fall.whole // 3)
    talk = agent(case, head, fall.whole - head, 10)
    return (talk.marked(TAIL) if case.api == "anthropic" and nothing else talk), fall


def start_of(talk: Talk, index: int, total: int) -> int:
    """The tokens of a talk, ``total`` long, up to message ``index``."""
    return round(total * length(replace(talk, messages=talk.messages[:index])) / length(talk))


def same_start(before: Talk, now: Talk, total: int) -> int:
    """The tokens of ``now``, ``total`` long, up to the first message that ``before`` did not have."""
    pairs = enumerate(zip(before.messages, now.messages, strict=False))
    return start_of(now, next((place for place, pair in pairs if pair[0] != pair[1]), 0), total)


def length(talk: Talk) -> int:
    """The characters of a talk, by which sizes of its parts are told."""
    return len(json.dumps([talk.tools, talk.system, talk.messages]))


class Session:
    """One conversation in a log. ``total`` is the size of the newest prompt, ``cached`` what of it can be read next time."""

    def __init__(self, case: Case, talk: Talk, total: int, log: Log | None = None, **more: Any) -> None:
        self.case, self.talk, self.total = case, talk, total
        self.log = log or Log(case.api)
        self.more = more
        self.cached = 0
        self.rounds = 1000

    @property
    def dialect(self) -> str:
        """The form in which its bodies are written."""
        return "anthropic" if self.case.api == "anthropic" else "openai-chat"

    def send(self, read: int | None = None, after: float = 20.0, **more: Any) -> int:
        """The conversation as it stands: reads ``read`` (``None``: all that is cached), writes the rest. Returns the request's place."""
        could = self.cached if self.case.api == "anthropic" else self.cached // 128 * 128
        read = min(could, self.total) if read is None else read
        place = self.log.send(self.talk, split(self.case, self.total, read, self.talk.ttl), after, **{**self.more, **more})
        self.cached = self.total - (FRESH if self.case.api == "anthropic" else 0)
        return place

    def grow(self, tokens: int, count: int = 1) -> None:
        """``count`` further rounds of about so many tokens together."""
        self.append(rounds(f"later {self.rounds}", tokens, count, self.rounds), tokens)
        self.rounds += count

    def append(self, messages: Sequence[Json], tokens: int) -> None:
        """Messages behind the last, of so many tokens; an Anthropic tail mark moves along."""
        self.change(self.talk.plus(*messages), self.total + tokens)

    def change(self, talk: Talk, total: int) -> None:
        """Another content. Where the last message carried a mark, the new last one does."""
        if any(mark.part == "messages" for mark in self.talk.marks):
            talk = talk.marked(*(mark for mark in self.talk.marks if mark.part != "messages"), TAIL)
        self.talk, self.total = talk, total

    def warm_up(self, turns: int = 2) -> int:
        """The first request, which must write, and ``turns - 1`` more that read all there is; the last has the prompt's full size."""
        full, size, place = self.talk, self.total, 0
        for left in range(turns - 1, -1, -1):
            part = replace(full, messages=full.messages[: len(full.messages) - 2 * left])
            self.change(part if left else full, round(size * length(part) / length(full)))
            place = self.send()
        return place

    def path(self, part: str, index: int | None = None, talk: Talk | None = None) -> str:
        """How a place is called in the body."""
        return (talk or self.talk).path(Place(part, index), self.dialect)

"""What a transcript has shown so far of the cache it used: entries, heads, and how each line of requests was read."""

from __future__ import annotations

from dataclasses import dataclass

from holdfast.blocks import Kind, Message, Settings
from holdfast.transcript import Turn
from holdfast.usage import Usage
from holdfast.validation.entries import Entries, Entry
from holdfast.validation.sight import Sight

HOUR = 3600.0
MINUTES = 300.0
HEAD_MOST = 60_000
"""No head is larger, in tokens: what a resumed session's first request reads beyond it is conversation."""
LATE_SECONDS = 10.0
"""An entry older than this was never seen unreadable for being new (13 cases in 8,215 requests, the oldest 7.4 s)."""
SLACK = 50
SLACK_SHARE = 0.01
"""Two counts of one prompt differ by up to 50 tokens or a hundredth; within that a prediction agrees with the record."""


@dataclass(slots=True)
class Head:
    """Tools and system prompt of one line: ``tokens`` as a read has last shown them (0: not yet), at most ``most``, and their use.

    ``warm`` and ``cold`` count how they were found after their lifetime had passed, or at the start of an hour's session.
    """

    most: int
    used: float
    lifetime: float
    tokens: int = 0
    warm: int = 0
    cold: int = 0

    def lives(self, now: float) -> bool:
        """Whether this session's own requests keep it."""
        return now < self.used + self.lifetime

    def shown(self, read: int) -> None:
        """A request that could not read its history read this much."""
        if 0 < read <= min(self.most, HEAD_MOST):
            self.tokens = read


@dataclass(slots=True)
class Line:
    """The requests of one chain to one model.

    ``first`` is the first prompt's size, ``fresh`` the few tokens that lately stood behind the last mark; of messages behind it,
    ``tail`` tokens were estimated and ``behind`` billed; ``ended`` is the end of the first response. After settings changed the
    messages were ``lost`` so often, and so often ``kept``.
    """

    head: Head
    lifetime: float
    first: int
    ended: float = 0.0
    loaded: bool = False
    fresh: int = 0
    tail: int = 0
    behind: int = 0
    lost: int = 0
    kept: int = 0


class History:
    """The recorded requests of one transcript, told one after the other. ``whole``: a cache without marks, which holds whole prompts."""

    def __init__(self, whole: bool = False) -> None:
        self._whole = whole
        self.lines: dict[tuple[str, str], Line] = {}
        self.agents: dict[tuple[str, str], Line] = {}
        self.lifetime = 0.0
        self._entries: dict[str, Entries] = {}

    def line(self, sight: Sight) -> Line | None:
        """The line this request continues, if it has one."""
        return self.lines.get(line_name(sight.turn))

    def deepest(self, sight: Sight) -> Entry | None:
        """The longest prefix of this prompt with which an earlier request to the same model ended."""
        entries = self._entries.get(sight.turn.model)
        return entries.deepest(sight.chain) if entries is not None else None

    def learn(self, sight: Sight, turn: Turn) -> None:
        """One more request, as it was billed."""
        usage = turn.usage
        if usage is None or not usage.prompt:
            return
        if usage.written:
            self.lifetime = HOUR if usage.write_1h >= usage.write_5m else MINUTES
        line, before, ended = self.line(sight), self.deepest(sight), max(sight.now, turn.ended or 0.0)
        if line is None:
            line = self.lines[line_name(turn)] = self.agents[agent_name(turn)] = self._open(sight, usage, ended)
        else:
            _learn_read(sight, usage, (line, before), ended)
        line.loaded = line.loaded or loads_tools(turn.prompt.messages[-1])
        line.lifetime = self.lifetime if usage.written or not line.lifetime else line.lifetime
        line.fresh = usage.fresh if usage.fresh <= SLACK else line.fresh
        if held := usage.prompt if self._whole else usage.read + usage.written:
            lifetime = line.lifetime or MINUTES
            parent = None if before is None or before.gone else before
            entry = Entry(held, sight.chain.length, ended, lifetime, parent, mode(turn), sight.now)
            self._entries.setdefault(turn.model, Entries()).put(sight.chain, entry)
            line.head.used, line.head.lifetime = ended, lifetime

    def _open(self, sight: Sight, usage: Usage, ended: float) -> Line:
        head = Head(round(0.9 * usage.prompt), ended, self.lifetime or MINUTES)
        if self.lifetime >= HOUR:
            head.warm, head.cold = int(usage.read > 0), int(usage.read == 0)
        head.shown(usage.read)
        return Line(head, self.lifetime, usage.prompt, ended)


def _learn_read(sight: Sight, usage: Usage, known: tuple[Line, Entry | None], ended: float) -> None:
    line, before = known
    read_whole = before is not None and usage.read + slack(usage.prompt) >= before.tokens
    if before is not None and before.mode != mode(sight.turn) and before.alive(sight.now):
        line.kept += read_whole
        line.lost += not read_whole
    if before is not None and read_whole:
        before.found(sight.now, ended)
        return
    if not line.head.lives(sight.now):
        line.head.warm += usage.read > 0
        line.head.cold += usage.read == 0
    late = before is not None and before.alive(sight.now) and sight.now - before.written <= LATE_SECONDS and before.behind(usage.read)
    if before is not None and not late:
        before.lose(usage.read + SLACK)
        line.head.shown(usage.read if before.behind(usage.read) is None else 0)
    elif before is None:
        line.head.shown(usage.read)


def line_name(turn: Turn) -> tuple[str, str]:
    """The chain of requests and the model: caches of two models are two."""
    return chain_name(turn.lineage), turn.model


def agent_name(turn: Turn) -> tuple[str, str]:
    """Whose head it is: the agents of a session share one, per model."""
    return turn.lineage.split(":")[0] if ":" in turn.lineage else "", turn.model


def chain_name(lineage: str) -> str:
    """The chain of requests a lineage belongs to: what a client begins anew after a compaction is still the same chain."""
    return lineage.split("/")[0]


def mode(turn: Turn) -> tuple[Settings, bool]:
    """What the messages are keyed by beside their bytes, as far as the record tells."""
    return turn.prompt.settings, "thinking on" in turn.signs


def slack(tokens: int) -> int:
    """How far two counts of a prompt of so many tokens may be apart."""
    return max(SLACK, round(SLACK_SHARE * tokens))


def loads_tools(message: Message) -> bool:
    """Whether a tool result refers to a deferred tool (``tool_reference``): from there on its definition is part of the prompt."""
    return any(block.kind is Kind.TOOL_RESULT and "tool_reference" in str(block.wire) for block in message.blocks)

"""Predicting the reads of caches with marks (Anthropic) from transcripts that hold neither marks nor head: Claude Code, pi.

Such clients mark the newest message at every request, so a request leaves an entry of exactly what it read and wrote, and the next one
of the line reads it while it lives. What a record of its own cannot show are the tools and system prompt (the *head*), which other
sessions keep warm, and calls the client makes without logging them. Their odds are constants with their source, or what this
transcript has shown so far.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from holdfast.blocks import Block, Kind
from holdfast.families import keeps_thinking, takes_system_messages
from holdfast.pricing import Prices
from holdfast.scale import scale
from holdfast.transcript import Turn
from holdfast.usage import Usage
from holdfast.validation.entries import LOOK_BACK, Entry, positions
from holdfast.validation.history import HEAD_MOST, HOUR, MINUTES, History, Line, agent_name, loads_tools, mode, slack
from holdfast.validation.sight import Prediction, Sight

TAIL = 500
"""Tokens of such messages that must have been seen for the transcript's own ratio of billed to estimated ones to count as much as 1."""
FIRST_TOGGLED, LAST_TOGGLED = (2, 1, 20), (2, 1, 38)


@dataclass(frozen=True, slots=True)
class Odds:
    """How often happens what cannot be seen in a transcript.

    Measured on 8,215 consecutive requests of 83 public Claude Code sessions (January to July 2026), which are part of the 35,813 that
    the corpus notes tabulate by pause.
    """

    lost: float = 0.0002
    """A live entry is not found within a tool loop: that share of its tokens (4 of 7,208 requests)."""
    lost_at_user: float = 0.004
    """The same at a user's turn within five minutes of its last use (5 of 713)."""
    lost_later: float = 0.012
    """The same at a user's turn, an hour's entry unused for over five minutes (4 of 101)."""
    toggled: float = 0.76
    """Thinking was switched on or off since, in Claude Code from 2.1.20 to 2.1.38: the messages are lost in 16 of 21 cases."""
    toggled_else: float = 0.05
    """The same in its other versions, where it is noted but kept apart from the cached prefix: 0 of 23."""
    head_warm: float = 0.95
    """The head is read behind a rewritten history while it lives: 41 of 42."""
    head_kept: float = 0.5
    head_kept_minutes: float = 0.1
    """The head is still read after its lifetime passed, kept warm by others: an hour's in 26 of 42 cases, five minutes' in 9 of 58."""
    head_share: float = 0.6
    head_share_minutes: float = 0.83
    """The head's part of a first prompt where no request has shown it (median of 9 and of 8 sessions)."""
    first_warm: float = 0.5
    """The first request of a conversation finds its head warm: 61 of 132."""
    loaded_head: float = 0.64
    loaded_nothing: float = 0.27
    """The request that first refers to a deferred tool reads the head only (7 of 11), nothing (3), or all as usual (1)."""
    stripped: float = 0.8
    """Where a user's turn strips earlier thinking, an unlogged call has already written the stripped history: 4 of 5."""
    extended: float = 0.3
    """At a user's turn an unlogged call has extended the entry: 25 of 90 turns where it can be told apart."""
    belief: float = 1.0
    """How many observations of the transcript itself the odds of a warm head and of an unlogged call weigh as much as."""


@dataclass(frozen=True, slots=True)
class _Case:
    """The reads that are possible, each with its probability, and what they rest on."""

    reads: tuple[tuple[int, float], ...]
    basis: str


class ExplicitPredictor:
    """Predicts one transcript's requests in their order. ``odds`` are for what the record cannot show.

    Money is computed from the likeliest outcome: with the mean every session would be wrong by a little, to be right about few
    (on 83 sessions a median error of 1.1 % instead of 0.3 %).
    """

    def __init__(self, odds: Odds | None = None) -> None:
        self.history = History()
        self._odds = odds or Odds()
        self._prices = Prices.load()

    def predict(self, sight: Sight) -> Prediction:
        """See ``Predictor``."""
        case = self._case(sight)
        usage = self._billed(sight, max(case.reads, key=lambda pair: pair[1])[0])
        return Prediction(usage, usage, case.basis)

    def learn(self, sight: Sight, turn: Turn) -> None:
        """See ``Predictor``."""
        line, tail = self.history.line(sight), self._tail(sight)
        if line is not None and tail and turn.usage is not None:
            line.tail += tail
            line.behind += turn.usage.fresh
        self.history.learn(sight, turn)

    def _case(self, sight: Sight) -> _Case:
        if sight.prompt_tokens < self._minimum(sight):
            return _Case(((0, 1.0),), "below the minimum")
        line = self.history.line(sight)
        if line is None:
            return self._opening(sight)
        entry = self.history.deepest(sight)
        if entry is None or entry.gone or positions(sight.chain, entry.length) > LOOK_BACK:
            return self._headed(sight, line, "history rewritten")
        if not entry.alive(sight.now):
            return self._headed(sight, line, "lifetime passed")
        if "resumed" in sight.turn.signs:  # lost in 2 of 2 cases: a client that starts anew writes its history anew
            return self._headed(sight, line, "resumed")
        if entry.tokens > sight.prompt_tokens + slack(sight.prompt_tokens):
            return self._shrunk(sight, line)
        if not line.loaded and loads_tools(sight.turn.prompt.messages[-1]):
            return self._loading(line, entry)
        if entry.mode != mode(sight.turn):
            return self._toggled(sight, line, entry)
        return self._whole(sight, line, entry)

    def _whole(self, sight: Sight, line: Line, entry: Entry) -> _Case:
        """The entry that the request before left; at a user's turn perhaps a little more, or the head alone."""
        odds, newest = self._odds, sight.turn.prompt.messages[-1]
        head = self._head(line)
        if not any(block.kind is Kind.TEXT for block in newest.blocks):
            return _Case(((entry.tokens, 1 - odds.lost), (head, odds.lost)), "the entry before")
        lost = odds.lost_later if sight.now - entry.used > MINUTES else odds.lost_at_user
        more = self._before_newest(sight) if newest.is_plain_user else 0
        if more <= entry.tokens:
            return _Case(((entry.tokens, 1 - lost), (head, lost)), "the entry before")
        longer = self._posterior(odds.extended, line.extended, line.whole)
        reads = ((entry.tokens, (1 - lost) * (1 - longer)), (more, (1 - lost) * longer), (head, lost))
        return _Case(reads, "the entry before" if longer <= 0.5 else "an entry that unlogged calls extend")

    def _loading(self, line: Line, entry: Entry) -> _Case:
        odds = self._odds
        whole = 1 - odds.loaded_head - odds.loaded_nothing
        return _Case(((self._head(line), odds.loaded_head), (0, odds.loaded_nothing), (entry.tokens, whole)), "a deferred tool is loaded")

    def _toggled(self, sight: Sight, line: Line, entry: Entry) -> _Case:
        """Settings that messages may be keyed by are not what they were: the head is what is left, if they were sent at all."""
        prior = self._odds.toggled if FIRST_TOGGLED <= client(sight.turn) <= LAST_TOGGLED else self._odds.toggled_else
        lost = self._posterior(prior, line.lost, line.kept)
        return _Case(((entry.tokens, 1 - lost), (self._head(line), lost)), "settings changed")

    def _shrunk(self, sight: Sight, line: Line) -> _Case:
        """The prompt is smaller than what it should begin with: the client has rewritten its history without a record."""
        newest = sight.turn.prompt.messages[-1]
        if newest.is_plain_user and not keeps_thinking(sight.turn.model):
            stripped = self._odds.stripped
            return _Case(((self._before_newest(sight), stripped), (self._head(line), 1 - stripped)), "thinking stripped")
        return self._headed(sight, line, "history rewritten")

    def _headed(self, sight: Sight, line: Line, basis: str) -> _Case:
        """The history cannot be read: the head, if this session's own requests or others keep it warm."""
        odds, head = self._odds, line.head
        prior = odds.head_kept if head.lifetime >= HOUR else odds.head_kept_minutes
        warm = odds.head_warm if head.lives(sight.now) else self._posterior(prior, head.warm, head.cold)
        return _Case(((self._head(line), warm), (0, 1 - warm)), basis)

    def _opening(self, sight: Sight) -> _Case:
        """The first request of a line. Nothing of its own is known, but the agents of one session share a head."""
        agent = self.history.agents.get(agent_name(sight.turn))
        if agent is not None:
            return self._headed(sight, agent, "the head of an earlier agent")
        warm = self._odds.first_warm
        guess = min(round(sight.prompt_tokens * self._odds.head_share), HEAD_MOST)
        return _Case(((0, 1 - warm), (guess, warm)), "first request")

    def _head(self, line: Line) -> int:
        """The head's tokens, guessed from the first prompt where no read has shown them."""
        if line.head.tokens:
            return line.head.tokens
        share = self._odds.head_share if line.head.lifetime >= HOUR else self._odds.head_share_minutes
        return min(round(line.first * share), HEAD_MOST // 2 if line.first > HEAD_MOST else HEAD_MOST)

    def _posterior(self, prior: float, seen: int, unseen: int) -> float:
        """A probability after what this transcript has shown of it."""
        return (prior * self._odds.belief + seen) / (self._odds.belief + seen + unseen)

    def _billed(self, sight: Sight, read: int) -> Usage:
        """The usage of a request that reads so much: what is not read is written."""
        if sight.prompt_tokens < self._minimum(sight):
            return Usage(fresh=sight.prompt_tokens)
        read = max(0, min(read, sight.prompt_tokens))
        line = self.history.line(sight)
        hour = (line.lifetime if line and line.lifetime else self.history.lifetime) >= HOUR
        fresh = min(self._behind_mark(sight, line), sight.prompt_tokens - read) if line else 0
        rest = sight.prompt_tokens - read - fresh
        return Usage(fresh=fresh, read=read, write_1h=rest if hour else 0, write_5m=0 if hour else rest)

    def _behind_mark(self, sight: Sight, line: Line) -> int:
        """The tokens behind the last mark: a few, but for what a client adds behind tool results as a system message.

        Where the model takes such messages they carry no mark
        (Claude Code from 2.1.170 with Opus 4.8 and Fable 5: its reminders were billed as plain input).
        """
        tail = self._tail(sight)
        return max(line.fresh, round(tail * (line.behind + TAIL) / (line.tail + TAIL))) if tail else line.fresh

    def _tail(self, sight: Sight) -> int:
        """About how many tokens stand behind the newest tool results, where they are a system message of their own."""
        if not takes_system_messages(sight.turn.model):
            return 0
        blocks = sight.turn.prompt.messages[-1].blocks
        last = max((place for place, block in enumerate(blocks) if block.kind is Kind.TOOL_RESULT), default=len(blocks))
        return self._weight(sight, blocks[last + 1 :])

    def _weight(self, sight: Sight, blocks: Sequence[Block]) -> int:
        scales = scale(self._prices.find(sight.turn.model).family)
        return sum(scales.estimate(block) for block in blocks)

    def _before_newest(self, sight: Sight) -> int:
        """The tokens before the newest message: what an unlogged call that asked after the last answer has left."""
        return sight.prompt_tokens - self._weight(sight, sight.turn.prompt.messages[-1].blocks)

    def _minimum(self, sight: Sight) -> int:
        return self._prices.find(sight.turn.model).min_cacheable_tokens or 1024


def client(turn: Turn) -> tuple[int, ...]:
    """The version of the client that sent a request, as numbers; empty where none is recorded."""
    name = next((sign for sign in turn.signs if sign.startswith("client ")), "")
    return tuple(int(part) for part in name.removeprefix("client ").split(".") if part.isdigit())

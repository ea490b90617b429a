"""Predicting the reads of caches with marks (Anthropic) from transcripts that hold neither marks nor head: Claude Code, pi.

Such clients mark the newest message at every request, so a request leaves an entry of exactly what it read and wrote, and the next one
of the line reads it while it lives. What a record of its own cannot show are the tools and system prompt (the *head*), which other
sessions keep warm, and calls the client makes without logging them. Their odds are constants with their source, or what this
transcript has shown so far.

The lifetime is counted from the end of the response: so all nine pauses near five minutes on record fit within three seconds, while
three contradict the documented count from the start of the request (platform.claude.com, prompt caching, 2026-08-21).
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
from holdfast.validation.entries import LOOK_BACK, positions
from holdfast.validation.history import HEAD_MOST, HOUR, History, Line, agent_name, loads_tools, mode, slack
from holdfast.validation.sight import Prediction, Sight

TAIL = 500
"""Tokens of such messages that must have been seen for the transcript's own ratio of billed to estimated ones to count as much as 1."""
FIRST_TOGGLED, LAST_TOGGLED = (2, 1, 20), (2, 1, 38)


@dataclass(frozen=True, slots=True)
class Odds:
    """How often happens what cannot be seen in a transcript. What is likelier than not is predicted.

    Measured on 8,215 consecutive requests of 83 public Claude Code sessions (January to July 2026), which are part of the 35,813 that
    the corpus notes tabulate by pause. A live entry is read all but always: it was lost in 4 of 7,208 requests within a tool loop, and in 9
    of 814 at a user's turn. There 25 more read a little more than was logged: of calls that the client had not logged.
    """

    toggled: float = 0.76
    """Thinking was switched on or off since, in Claude Code from 2.1.20 to 2.1.38: the messages are lost in 16 of 21 cases."""
    toggled_else: float = 0.05
    """The same in its other versions, where it is noted but kept apart from the cached prefix: 0 of 23."""
    head_kept: float = 0.5
    head_kept_minutes: float = 0.1
    """The head is still read after its lifetime passed, kept warm by others: an hour's in 26 of 42 cases, five minutes' in 9 of 58."""
    head_share: float = 0.6
    head_share_minutes: float = 0.83
    """The head's part of a first prompt where no request has shown it (median of 9 and of 8 sessions)."""
    belief: float = 1.0
    """How many observations of the transcript itself a probability weighs as much as."""


class ExplicitPredictor:
    """Predicts one transcript's requests in their order: the likeliest outcome of each, by ``odds`` where the record cannot show it.

    Money is computed from it too: with the mean every session would be wrong by a little, to be right about few (on 83
    sessions a median error of 1.1 % instead of 0.3 %).
    """

    def __init__(self, odds: Odds | None = None) -> None:
        self.history = History()
        self._odds = odds or Odds()
        self._prices = Prices.load()

    def predict(self, sight: Sight) -> Prediction:
        """See ``Predictor``."""
        read, basis = self._read(sight)
        usage = self._billed(sight, read)
        return Prediction(usage, usage, basis)

    def learn(self, sight: Sight, turn: Turn) -> None:
        """See ``Predictor``."""
        line, tail = self.history.line(sight), self._tail(sight)
        if line is not None and tail and turn.usage is not None:
            line.tail += tail
            line.behind += turn.usage.fresh
        self.history.learn(sight, turn)

    def _read(self, sight: Sight) -> tuple[int, str]:
        """How much is read, and what that rests on."""
        if sight.prompt_tokens < self._minimum(sight):
            return 0, "below the minimum"
        line = self.history.line(sight)
        if line is None:
            return self._opening(sight)
        entry, newest = self.history.deepest(sight), sight.turn.prompt.messages[-1]
        if entry is None or entry.gone or positions(sight.chain, entry.length) > LOOK_BACK:
            return self._headed(sight, line, "history rewritten")
        if not entry.alive(sight.now):
            return self._headed(sight, line, "lifetime passed")
        if "resumed" in sight.turn.signs:  # lost in 4 of 4 cases: a client that starts anew writes its history anew
            return self._headed(sight, line, "resumed")
        if entry.tokens > sight.prompt_tokens + slack(sight.prompt_tokens):
            return self._shrunk(sight, line)
        if not line.loaded and loads_tools(newest):  # 7 of 11 read the head, 3 nothing
            return self._head(line), "a deferred tool is loaded"
        if entry.mode != mode(sight.turn) and self._toggled(sight, line) > 0.5:
            return self._head(line), "settings changed"
        return entry.tokens, "the entry before"

    def _toggled(self, sight: Sight, line: Line) -> float:
        """The probability that changed settings have lost the messages."""
        prior = self._odds.toggled if FIRST_TOGGLED <= client(sight.turn) <= LAST_TOGGLED else self._odds.toggled_else
        return self._posterior(prior, line.lost, line.kept)

    def _shrunk(self, sight: Sight, line: Line) -> tuple[int, str]:
        """The prompt is smaller than what it should begin with: the client has rewritten its history without a record.

        Where a user's turn strips earlier thinking, an unlogged call had already written the stripped history in 4 of 5 cases.
        """
        newest = sight.turn.prompt.messages[-1]
        if newest.is_plain_user and not keeps_thinking(sight.turn.model):
            return sight.prompt_tokens - self._weight(sight, newest.blocks), "thinking stripped"
        return self._headed(sight, line, "history rewritten")

    def _headed(self, sight: Sight, line: Line, basis: str) -> tuple[int, str]:
        """The history cannot be read: the head, if this session's own requests (41 of 42) or others keep it warm."""
        odds, head, tokens = self._odds, line.head, self._head(line)
        prior = odds.head_kept if head.lifetime >= HOUR else odds.head_kept_minutes
        warm = head.lives(sight.now) or self._posterior(prior, head.warm, head.cold) > 0.5
        return (tokens if warm and tokens >= self._minimum(sight) else 0), basis

    def _opening(self, sight: Sight) -> tuple[int, str]:
        """The first request of a line. Nothing of its own is known, but the agents of one session share a head."""
        agent = self.history.agents.get(agent_name(sight.turn))
        if agent is not None and agent.ended <= sight.now:
            return self._headed(sight, agent, "the head of an earlier agent")
        return 0, "first request"

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

    def _minimum(self, sight: Sight) -> int:
        return self._prices.find(sight.turn.model).min_cacheable_tokens or 1024


def loses_messages(before: Turn | None, turn: Turn, loaded: bool) -> bool:
    """Whether what the client did before this request loses the cached messages more often than not, whatever the history.

    It was started anew on the session, thinking was switched on or off in the versions that lose by it, or the first deferred
    tool is loaded (``loaded``: one was before). ``Odds`` says how often each was seen.
    """
    if before is None:
        return False
    toggled = ("thinking on" in before.signs) != ("thinking on" in turn.signs) and FIRST_TOGGLED <= client(turn) <= LAST_TOGGLED
    return "resumed" in turn.signs or toggled or (not loaded and loads_tools(turn.prompt.messages[-1]))


def client(turn: Turn) -> tuple[int, ...]:
    """The version of the client that sent a request, as numbers; empty where none is recorded."""
    name = next((sign for sign in turn.signs if sign.startswith("client ")), "")
    return tuple(int(part) for part in name.removeprefix("client ").split(".") if part.isdigit())

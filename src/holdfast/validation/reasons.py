"""Why a prediction and the record disagree: a closed list of reasons, each given only where the transcript itself shows it.

A reason rests on something recorded: a time, a boundary the client noted, an earlier entry's size, a setting. Without it, a
disagreement is ``unexplained``: that the number is wrong is no evidence for any cause.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from holdfast.families import keeps_thinking
from holdfast.transcript import Turn
from holdfast.validation.entries import Entry
from holdfast.validation.history import HOUR, LATE_SECONDS, MINUTES, History, Line, loads_tools, mode, slack
from holdfast.validation.sight import Prediction, Sight


class Reason(StrEnum):
    """The closed list."""

    LIFETIME_CLASS = "lifetime class misjudged"
    """Read although the newest writes' lifetime had passed; the record holds earlier, longer-lived writes below it."""
    UNLOGGED_CALL = "unlogged call extended the prefix"
    """At a user's turn, more (or later) was read than any logged request had left: the client asked without logging it."""
    HEAD_CHANGED = "head changed"
    """Tools, system prompt, settings or model differ from the request before, as the record notes; the evidence says which."""
    HISTORY_REWRITTEN = "history rewritten"
    """Compaction, micro-compaction, stripped thinking or a resumed session: a boundary is noted, or the prompt shrank."""
    HEAD_SHARED = "head shared with another session"
    """Its own lifetime had passed (or it is the first request), and the head was found warm, or not: that is others' doing."""
    LIFETIME_PASSED = "lifetime passed"
    """The pause since the last use was longer than the lifetime written, and what was read is not what was left."""
    LATE = "late visibility"
    """Exactly an earlier entry was read, seconds after all newer ones were written: they could not be read yet."""
    PROVIDER_LOST = "provider lost the entry"
    """Nothing was read inside a tool loop, though the same prefix had been used within its lifetime and the record shows no change.

    At a user's turn the client may have been restarted with another head: then a total loss is no evidence.
    """
    ROUNDING = "rounding"
    """One unit of counting apart, where what was left ends within a token or two of a unit's edge."""
    UNEXPLAINED = "unexplained"
    """The record holds no evidence."""


NOT_OURS = frozenset({Reason.PROVIDER_LOST, Reason.UNLOGGED_CALL})
"""What no model of a cache can know: the provider's doing, or a call that was not logged."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """A reason with the evidence for it in words and figures of the transcript, ``""`` where there is none."""

    reason: Reason
    evidence: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the record says about one disagreement: the request, its bill, and what stood in the cache before it.

    ``before`` is the request before on the same chain, ``entry`` the deepest entry of this prompt as it was then (copied), ``idle``
    the seconds since the end of its last use, ``age`` those since it began to be written.
    """

    sight: Sight
    turn: Turn
    predicted: int
    before: Turn | None
    line: Line | None
    entry: Entry | None
    alive: bool
    idle: float
    age: float
    step: int
    best_effort: bool

    @property
    def read(self) -> int:
        """The recorded read."""
        return self.turn.usage.read if self.turn.usage else 0

    @property
    def slack(self) -> int:
        """Within which two counts are one."""
        return slack(self.sight.prompt_tokens)

    @property
    def at_user(self) -> bool:
        """Whether the newest message is a user's own words, or they stand behind the results of calls that the user broke off."""
        return self.sight.turn.prompt.messages[-1].is_plain_user or "interrupted" in self.sight.turn.signs

    @property
    def headed(self) -> bool:
        """Whether no more than the head was read, as far as its size is known."""
        known = self.line.head.tokens if self.line else 0
        return self.read <= max(known, self.line.head.most if self.line and not known else 0) + self.slack


class Explainer:
    """Reads the same requests as the predictor, in the same order, and explains where it was wrong.

    ``step`` is the provider's unit of counting in tokens, ``best_effort`` says that the provider promises nothing: then a read of
    nothing is no evidence that an entry was lost, and more than was sent before none of a call that was not logged.
    """

    def __init__(self, step: int = 1, best_effort: bool = False) -> None:
        self._history = History(whole=best_effort)
        self._before: dict[str, Turn] = {}
        self._step = step
        self._best_effort = best_effort

    def explain(self, sight: Sight, turn: Turn, prediction: Prediction) -> Explanation:
        """Why the record of this request is not what was predicted. Must be asked before it is told of the request."""
        line, entry = self._history.line(sight), self._history.deepest(sight)
        facts = Facts(
            sight=sight,
            turn=turn,
            predicted=prediction.likely.read,
            before=self._before.get(_chain(turn)),
            line=line,
            entry=entry,
            alive=entry is not None and entry.alive(sight.now),
            idle=max(0.0, sight.now - (entry.used if entry is not None else line.head.used if line else float("-inf"))),
            age=sight.now - entry.written if entry is not None else float("inf"),
            step=self._step,
            best_effort=self._best_effort,
        )
        for reason, look in _LOOKED_FOR:
            if reason in _PROMISED and self._best_effort:
                continue
            if evidence := look(facts):
                return Explanation(reason, evidence)
        return Explanation(Reason.UNEXPLAINED)

    def learn(self, sight: Sight, turn: Turn) -> None:
        """The request, for those that follow."""
        self._history.learn(sight, turn)
        self._before[_chain(turn)] = turn


def _chain(turn: Turn) -> str:
    return turn.lineage.split("/")[0]


def _lifetime_class(facts: Facts) -> str:
    entry = facts.entry
    if entry is None or facts.alive or facts.headed or facts.idle >= HOUR:
        return ""
    longer = next((older for older in _parents(entry) if older.lifetime > entry.lifetime), None)
    if longer is None or facts.read + facts.slack < longer.tokens:
        return ""
    return f"{longer.tokens:,} tokens below it were written for {longer.lifetime:.0f} s; idle {facts.idle:.0f} s"


def _unlogged(facts: Facts) -> str:
    entry = facts.entry
    if entry is None or not facts.at_user or facts.headed:
        return ""
    if not facts.alive and not entry.gone and facts.read + facts.slack >= entry.tokens:
        return f"read {facts.read:,} after {facts.idle:.0f} s idle, lifetime {entry.lifetime:.0f} s: something used it in between"
    shrank = entry.tokens > facts.sight.prompt_tokens + facts.slack  # then no logged request has left what it begins with
    if facts.read > (facts.predicted + facts.slack if shrank else entry.tokens):  # what was left is known to the token
        return f"read {facts.read:,}, but the logged requests left {entry.tokens:,}; at a user's turn, {facts.idle:.0f} s idle"
    return ""


def _head_changed(facts: Facts) -> str:
    if facts.line is not None and not facts.line.loaded and loads_tools(facts.sight.turn.prompt.messages[-1]):
        return "tools: the newest message refers to deferred tools for the first time"
    if facts.before is None:
        return ""
    if facts.line is None and facts.before.model != facts.turn.model:
        return f"model: {facts.before.model} before, {facts.turn.model} now"
    if [block.fingerprint for block in facts.before.prompt.head] != [block.fingerprint for block in facts.turn.prompt.head]:
        return "tools or system: their blocks differ from those of the request before"
    return ""


def _settings_changed(facts: Facts) -> str:
    if facts.before is None or mode(facts.before) == mode(facts.turn):
        return ""
    if facts.read > facts.predicted + facts.slack or (facts.entry is not None and facts.read >= facts.entry.tokens):
        return ""  # nothing was lost by it
    return "settings: " + ", ".join(_changed_settings(facts.before, facts.turn))


def _changed_settings(before: Turn, now: Turn) -> Iterator[str]:
    if ("thinking on" in before.signs) != ("thinking on" in now.signs):
        yield "thinking switched on" if "thinking on" in now.signs else "thinking switched off"
    for name in ("tool_choice", "thinking", "effort", "speed", "other"):
        one, other = getattr(before.prompt.settings, name), getattr(now.prompt.settings, name)
        if one != other:
            yield f"{name} {one or 'not set'} before, {other or 'not set'} now"


def _noted(facts: Facts) -> str:
    resumed = ("resumed",) if facts.alive else ()  # after its lifetime it would not have been read by who went on either
    sign = next((sign for sign in ("compacted", "old tool results cleared", *resumed) if sign in facts.turn.signs), "")
    return f"the client notes: {sign}" if sign else ""


def _rewritten(facts: Facts) -> str:
    before = facts.before.usage if facts.before is not None else None
    if before is None or facts.before is None or not before.read + before.written:
        return ""
    if facts.best_effort and facts.idle > MINUTES:
        return ""  # after such a pause the rewrite is not needed to explain a loss
    if facts.sight.prompt_tokens + facts.slack < before.read + before.written:
        stripped = facts.at_user and not keeps_thinking(facts.turn.model)
        what = "; the model drops earlier thinking at a user's turn" if stripped else ""
        return f"the prompt shrank from {before.prompt:,} to {facts.sight.prompt_tokens:,} tokens{what}"
    if facts.entry is None or facts.sight.turn.lineage != facts.before.lineage:
        return "the history does not begin with what was sent before"
    return ""


def _head_shared(facts: Facts) -> str:
    if facts.line is None:
        return "the first request of its line: what was read, others had left" if facts.headed or facts.read else ""
    if facts.line.head.lives(facts.sight.now) or not facts.headed:
        return ""
    found = f"the head of {facts.read:,} tokens was still warm" if facts.read else "the head was cold"
    return f"idle {facts.idle:.0f} s, lifetime {facts.line.head.lifetime:.0f} s; {found}"


def _lifetime_passed(facts: Facts) -> str:
    if facts.entry is None or facts.alive or facts.entry.gone or facts.read + facts.slack >= facts.entry.tokens:
        return ""
    return f"idle {facts.idle:.0f} s, lifetime {facts.entry.lifetime:.0f} s"


def _late(facts: Facts) -> str:
    entry = facts.entry
    if entry is None or not facts.alive or facts.age > LATE_SECONDS:
        return ""
    for older in _parents(entry):
        if 0 <= older.tokens - facts.read < max(facts.step, 1):
            return f"read exactly an earlier entry; the newest was {facts.age:.1f} s old"
        if facts.sight.now - older.written > LATE_SECONDS:
            return ""  # that one could have been read, and was passed over
    return ""


def _lost(facts: Facts) -> str:
    if facts.read or not facts.alive or facts.entry is None or facts.at_user:
        return ""
    return f"nothing read {facts.idle:.0f} s after the same prefix was used, lifetime {facts.entry.lifetime:.0f} s; no change recorded"


def _rounding(facts: Facts) -> str:
    """A step apart, where the step ends within two tokens of what the request before had left: a token or so decides."""
    before = facts.before.usage if facts.before is not None else None
    if before is None or facts.step == 1 or abs(facts.read - facts.predicted) != facts.step or facts.read == before.read:
        return ""
    for end in (before.prompt, before.prompt + before.output):
        near = {(end + by) // facts.step * facts.step for by in (-2, -1, 1, 2)}
        if facts.read in near and end // facts.step * facts.step != facts.read:
            return f"{facts.step} tokens apart, counted in steps of {facts.step}; {end:,} tokens were left, within two of the step's edge"
    return ""


_LOOKED_FOR: tuple[tuple[Reason, Callable[[Facts], str]], ...] = (
    (Reason.LIFETIME_CLASS, _lifetime_class),
    (Reason.HISTORY_REWRITTEN, _noted),
    (Reason.LATE, _late),
    (Reason.HEAD_CHANGED, _head_changed),
    (Reason.HEAD_SHARED, _head_shared),
    (Reason.UNLOGGED_CALL, _unlogged),
    (Reason.HISTORY_REWRITTEN, _rewritten),
    (Reason.HEAD_CHANGED, _settings_changed),
    (Reason.LIFETIME_PASSED, _lifetime_passed),
    (Reason.PROVIDER_LOST, _lost),
    (Reason.ROUNDING, _rounding),
)
"""Where evidence is looked for, the most particular first: what stands above excludes what stands below."""


_PROMISED = frozenset({Reason.UNLOGGED_CALL, Reason.PROVIDER_LOST, Reason.LIFETIME_CLASS, Reason.LIFETIME_PASSED, Reason.HEAD_SHARED})
"""Reasons that rest on what a provider promises of marks and lifetimes: where it promises nothing, they cannot be shown."""


def _parents(entry: Entry) -> Iterator[Entry]:
    older = entry.parent
    while older is not None:
        yield older
        older = older.parent

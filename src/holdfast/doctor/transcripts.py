"""Diagnosing transcripts: sessions whose requests are known by their conversation, without the bodies that were sent.

What could have been read is what earlier requests of the session had left, by their recorded bills. The same evidence counts as in
``holdfast validate``; where there is none, the doctor says so and what it ruled out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from holdfast.doctor.case import Explanation
from holdfast.doctor.diagnose import Diagnosis
from holdfast.doctor.differences import json_difference
from holdfast.doctor.findings import Cause, Diff, Finding, Verdict
from holdfast.doctor.fixes import fix_for
from holdfast.doctor.money import lost_usd
from holdfast.errors import UnknownModel
from holdfast.families import keeps_thinking
from holdfast.frozen import thaw
from holdfast.prefix import shared
from holdfast.pricing import Price, Prices
from holdfast.transcript import Transcript, Turn
from holdfast.usage import Usage
from holdfast.validation.check import MARKED, STEPS
from holdfast.validation.entries import Entry
from holdfast.validation.history import HOUR, LATE_SECONDS, Head, History, Line, chain_name, loads_tools, mode, slack
from holdfast.validation.sight import Sight, sights

IDLE = {"openai": HOUR, "azure": HOUR}
"""Seconds after which a cache without marks is documented to be gone, by provider; the others promise nothing (PROVIDERS, 2026-11)."""


@dataclass(frozen=True, slots=True)
class Loss:
    """One request that read less than it could have: what stood before it, and how long that was unused.

    ``before`` is the request before on the same chain, ``left`` how many tokens it left in the cache; ``entry`` is the longest prefix of
    this prompt that an earlier request ended with, ``parting`` the first block in which this prompt differs from the one before.
    """

    sight: Sight
    usage: Usage
    before: Turn
    line: Line
    entry: Entry | None
    left: int
    parting: int | None
    idle: float
    provider: str

    @property
    def tokens(self) -> int:
        """How many of this prompt's tokens could have been read and were not."""
        return min(self.left, self.usage.prompt) - self.usage.read

    @property
    def marked(self) -> bool:
        """Whether the cache promises a lifetime."""
        return self.provider in MARKED

    @property
    def lifetime(self) -> float | None:
        """The seconds that unused entries live, where that is promised."""
        if not self.marked:
            return IDLE.get(self.provider)
        return self.entry.lifetime if self.entry is not None else self.line.head.lifetime


@dataclass(slots=True)
class _Chain:
    """The requests of one chain to one model, as far as they have come."""

    turn: Turn
    sight: Sight
    left: int
    model: str


@dataclass(slots=True)
class _Session:
    prices: Prices
    histories: dict[str, History] = field(default_factory=dict)
    chains: dict[str, _Chain] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    checked: int = 0
    requests: int = 0
    read: int = 0
    prompt: int = 0

    def see(self, sight: Sight, turn: Turn) -> None:
        """One more request."""
        usage = turn.usage
        self.requests += 1
        if usage is None or not usage.prompt:
            return
        self.read += usage.read
        self.prompt += usage.prompt
        price = self._price(turn)
        provider = price.provider if price is not None else ""
        history = self.histories.setdefault(provider, History(whole=provider not in MARKED))
        before = self.chains.get(chain_name(turn.lineage))
        if before is not None:
            self.checked += 1
            self._compare(sight, turn, before, (history, price))
        history.learn(sight, turn)
        left = usage.read + usage.written if provider in MARKED else usage.prompt
        self.chains[chain_name(turn.lineage)] = _Chain(turn, sight, left, turn.model)

    def _compare(self, sight: Sight, turn: Turn, before: _Chain, known: tuple[History, Price | None]) -> None:
        history, price = known
        usage, entry = turn.usage or Usage(), history.deepest(sight)
        left = max(before.left, entry.tokens if entry is not None else 0)
        if min(left, usage.prompt) - usage.read <= slack(usage.prompt):
            return
        line = history.line(sight)
        same = shared(before.sight.chain.ids[: before.sight.chain.length], sight.chain.ids[: sight.chain.length])
        loss = Loss(
            sight=sight,
            usage=usage,
            before=before.turn,
            line=line or Line(_no_head(sight), 0.0, usage.prompt),
            entry=entry,
            left=left,
            parting=None if same == before.sight.chain.length else same,
            idle=sight.now - (entry.used if entry is not None else before.sight.now),
            provider=price.provider if price is not None else "",
        )
        found = explain(loss)
        self.findings.append(
            Finding(
                turn=sight.index,
                at=turn.at,
                cause=found.cause,
                detail=found.detail,
                verdict=found.verdict,
                where=found.where,
                diff=found.diff,
                tokens_rewritten=loss.tokens,
                usd=lost_usd(loss.tokens, usage, price, turn.at),
                fix=fix_for(found),
                excluded=found.excluded,
                lineage=turn.lineage,
            )
        )

    def _price(self, turn: Turn) -> Price | None:
        try:
            return self.prices.find(turn.model)
        except UnknownModel:
            return None


def diagnose_transcript(transcript: Transcript, prices: Prices) -> Diagnosis:
    """Every request of a transcript that read less than the session itself had left to be read. ``Finding.turn`` is the turn's place."""
    session = _Session(prices)
    for sight, turn in sights(transcript):
        session.see(sight, turn)
    notes = () if transcript.head_recorded else ("tools and system prompt are not recorded: a change in them cannot be seen.",)
    return Diagnosis(session.requests, session.checked, session.read, session.prompt, tuple(session.findings), notes)


def explain(loss: Loss) -> Explanation:
    """The cause of a loss, the best evidenced first; unknown where the record holds none."""
    for look in _LOOKED_FOR:
        found = look(loss)
        if found is not None:
            return found
    return _unexplained(loss)


def _tools(loss: Loss) -> Explanation | None:
    newest = loss.sight.turn.prompt.messages[-1]
    if loss.line.loaded or not loads_tools(newest):
        return None
    fix = "Load deferred tools in the first requests, while the prompt is short: the first one loaded loses all that was sent before."
    where = f"messages[{len(loss.sight.turn.prompt.messages) - 1}]"
    return Explanation(Cause.TOOLS_CHANGED, "tools_changed:deferred_tool_loaded", Verdict.YOURS, where, fix=fix)


def _model(loss: Loss) -> Explanation | None:
    before, now = loss.before.model, loss.sight.turn.model
    if before == now:
        return None
    return Explanation(Cause.MODEL_CHANGED, "model_changed", Verdict.YOURS, "model", Diff(before, now))


def _compacted(loss: Loss) -> Explanation | None:
    signs = loss.sight.turn.signs
    if "compacted" in signs:
        return Explanation(Cause.COMPACTION, "compaction", Verdict.YOURS, "messages[0]")
    if "resumed" in signs:
        fix = "Keep a session open, or resume it once the cache is cold anyway: a client that starts anew writes its history anew."
        where, diff = _place(loss)
        return Explanation(Cause.MESSAGES_REWRITTEN, "messages_rewritten:resumed", Verdict.YOURS, where, diff, fix=fix)
    if "old tool results cleared" in signs:
        where, diff = _place(loss)
        return Explanation(Cause.MESSAGES_REWRITTEN, "messages_rewritten:own_pruning", Verdict.YOURS, where, diff)
    return None


def _expired(loss: Loss) -> Explanation | None:
    lifetime = loss.lifetime
    if lifetime is None or loss.idle < lifetime:
        return None
    longer = "write for an hour, or " if lifetime < HOUR and loss.marked else ""
    fix = (
        f"{_minutes(loss.idle)} passed and entries live {_minutes(lifetime)}: {longer}keep it warm with a short request in between where "
        "that pays; else compact exactly here, where everything is written anew anyway."
    )
    return Explanation(Cause.TTL_EXPIRED, "ttl_expired", Verdict.YOURS, "", fix=fix)


def _rewritten(loss: Loss) -> Explanation | None:
    """A prompt that does not begin with the one before, or is shorter than what it should begin with."""
    if loss.parting is not None:
        where, diff = _place(loss)
        return Explanation(Cause.MESSAGES_REWRITTEN, "messages_rewritten", Verdict.YOURS, where, diff)
    if loss.usage.prompt + slack(loss.usage.prompt) >= loss.left:
        return None
    if loss.sight.turn.prompt.messages[-1].is_plain_user and not keeps_thinking(loss.sight.turn.model):
        return Explanation(Cause.THINKING_CHANGED, "thinking_stripped_by_template", Verdict.PROVIDER, "")
    shrunk = (f"the prompt shrank from {loss.left:,} to {loss.usage.prompt:,} tokens, and the record does not say where",)
    return Explanation(Cause.MESSAGES_REWRITTEN, "messages_rewritten", Verdict.YOURS, "", excluded=shrunk)


def _settings(loss: Loss) -> Explanation | None:
    before, now = loss.before, loss.sight.turn
    if mode(before) == mode(now):
        return None
    if ("thinking on" in before.signs) != ("thinking on" in now.signs):
        on, off = "asked for", "not asked for"
        diff = Diff(*((off, on) if "thinking on" in now.signs else (on, off)))
        doubt = ("the client notes only what it was asked; other versions of it note the same and keep the prefix",)
        return Explanation(Cause.THINKING_CHANGED, "thinking_changed", Verdict.YOURS, "thinking", diff, excluded=doubt)
    for name, cause in _SETTINGS:
        one, other = getattr(before.prompt.settings, name), getattr(now.prompt.settings, name)
        if one != other:
            return Explanation(cause, str(cause), Verdict.YOURS, name, Diff(str(one or "not set"), str(other or "not set")))
    return None


_SETTINGS = (
    ("thinking", Cause.THINKING_CHANGED),
    ("effort", Cause.EFFORT_CHANGED),
    ("tool_choice", Cause.TOOL_CHOICE_CHANGED),
    ("speed", Cause.SETTINGS_CHANGED),
    ("other", Cause.SETTINGS_CHANGED),
)


def _late(loss: Loss) -> Explanation | None:
    step = STEPS.get(loss.provider, 1)
    if loss.entry is None or loss.idle > LATE_SECONDS:
        return None
    older = loss.entry.parent
    while older is not None and older.tokens > loss.usage.read + step:
        older = older.parent
    if older is None or older.tokens < loss.usage.read:
        return None
    seen = (f"exactly an earlier entry was read, and the newest was {loss.idle:.1f} s old",)
    return Explanation(Cause.PARALLEL_RACE, "write_not_yet_visible", Verdict.PROVIDER, "", excluded=seen)


def _unexplained(loss: Loss) -> Explanation:
    if not loss.marked:
        return Explanation(Cause.SERVER_SIDE_UNEXPLAINED, "best_effort_implicit", Verdict.PROVIDER, "", excluded=tuple(_ruled_out(loss)))
    detail = "head_only_collapse" if loss.usage.read else "server_side_unexplained"
    return Explanation(Cause.SERVER_SIDE_UNEXPLAINED, detail, Verdict.UNKNOWN, "", excluded=tuple(_ruled_out(loss)))


def _ruled_out(loss: Loss) -> Iterator[str]:
    """What it was not, and why, as far as the record tells."""
    if loss.lifetime is not None:
        yield f"lifetime: {_minutes(loss.idle)} idle of {_minutes(loss.lifetime)}"
    yield "model and recorded settings are those of the request before"
    yield "the conversation begins with what was sent before"
    if loss.sight.turn.prompt.messages[-1].is_plain_user:
        yield "not ruled out: at a user's turn the client may have been restarted with another system prompt, which is not recorded"


_LOOKED_FOR: tuple[Callable[[Loss], Explanation | None], ...] = (_expired, _tools, _model, _compacted, _late, _rewritten, _settings)
"""Expiry first: what had expired anyway was lost by nothing else."""


def _place(loss: Loss) -> tuple[str, Diff | None]:
    """The path of the first block that differs from the request before, and the smallest difference there."""
    if loss.parting is None:
        return "", None
    now, before = loss.sight.turn.prompt, loss.before.prompt
    position = loss.parting - len(now.head)
    if position < 0:
        role = now.head[loss.parting].role
        return f"{role}[{sum(block.role is role for block in now.head[: loss.parting])}]", None
    for index, message in enumerate(now.messages):
        if position < len(message.blocks):
            block = message.blocks[position]
            older = before.messages[index].blocks if index < len(before.messages) else ()
            found = json_difference(thaw(older[position].wire), thaw(block.wire)) if position < len(older) else None
            return f"messages[{index}].content[{position}]{found.path if found else ''}", found.diff if found else None
        position -= len(message.blocks)
    return f"messages[{len(now.messages)}]", None


def _minutes(seconds: float) -> str:
    """A pause in the unit people use for it."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _no_head(sight: Sight) -> Head:
    return Head(0, sight.now, 0.0)

"""What a transcript shows of one lost prefix: why it was not read, whose doing that was, and where.

Each explanation rests on something recorded: a time, a boundary the client noted, an earlier entry's size, a setting. What is left is
said to be unknown, with what was ruled out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from holdfast.doctor.case import Explanation
from holdfast.doctor.differences import json_difference
from holdfast.doctor.findings import Cause, Diff, Verdict
from holdfast.families import keeps_thinking
from holdfast.frozen import thaw
from holdfast.transcript import Turn
from holdfast.usage import Usage
from holdfast.validation.check import MARKED, STEPS
from holdfast.validation.entries import LOOK_BACK, Entry
from holdfast.validation.history import HOUR, LATE_SECONDS, Line, loads_tools, mode, slack
from holdfast.validation.sight import Sight

DAY = 86_400.0
UNUSED = 600.0
"""OpenAI's ``in_memory`` entries live 5 to 10 minutes unused, an hour at most (prompt caching guide, 2026-10).

Of Codex requests after 5 to 20 minutes two in three read all they could, after 20 to 60 one in seven (``automatic_rules``)."""
UNITS = {"google": 2048, "openai": 512, "azure": 512, "deepseek": 64, "xai": 128}
"""Tokens by which a full hit may end early, by provider (``validation.automatic_rules``): less than that is no loss."""


@dataclass(frozen=True, slots=True)
class Loss:
    """One request that read less than it could have: what stood before it, and how long that was unused.

    ``before`` is the request before on the same chain, ``left`` how many tokens it left in the cache; ``entry`` is the longest prefix of
    this prompt that an earlier request ended with, ``parting`` the first block in which this prompt differs from the one before.
    ``idle`` is counted from the end of the last response that used the prefix, in seconds.
    ``kept`` tokens of this prompt had been sent before, ``held`` of them the provider's cache can have held. ``unbilled`` requests of the
    chain lie between, of which no usage was recorded.
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
    kept: int
    held: int
    unbilled: int = 0

    @property
    def marked(self) -> bool:
        """Whether the cache promises a lifetime."""
        return self.provider in MARKED

    @property
    def lifetime(self) -> float | None:
        """The seconds that unused entries live, where that is promised."""
        if not self.marked:
            return _idle_limit(self.provider, self.sight.turn.model)
        return self.entry.lifetime if self.entry is not None else self.line.head.lifetime

    @property
    def at_user(self) -> bool:
        """Whether a user has spoken since the request before."""
        return self.sight.turn.prompt.messages[-1].is_plain_user or "interrupted" in self.sight.turn.signs

    @property
    def expired(self) -> bool:
        """Whether what could have been read was unused for longer than it is kept, and was not found."""
        found = not self.marked and self.held - self.usage.read <= UNITS.get(self.provider, 0)
        return self.lifetime is not None and self.idle >= self.lifetime and not found

    @property
    def stripped(self) -> bool:
        """Whether most of it is what the model's template drops: thinking of before a user's message, and so all that stood behind it."""
        if self.parting is not None or self.expired or not self.at_user or keeps_thinking(self.sight.turn.model):
            return False
        shrank = self.usage.prompt + slack(self.usage.prompt) < self.left
        return shrank if self.marked else self.kept - self.held > self.held - self.usage.read

    @property
    def tokens(self) -> int:
        """How many of this prompt's tokens could have been read and were not."""
        return (self.kept if self.marked or self.stripped else self.held) - self.usage.read


def _idle_limit(provider: str, model: str) -> float | None:
    """Seconds after which nothing promises that a cache without marks still holds an entry.

    GPT-5.5's are kept for a day (prompt caching guide, 2026-10); from 5.6 on they have a least and no longest time, and the other
    providers promise nothing at all.
    """
    if provider not in ("openai", "azure"):
        return None
    found = re.search(r"gpt-(\d+)(?:\.(\d+))?", model)
    version = (int(found[1]), int(found[2] or 0)) if found else (0, 0)
    if version >= (5, 6):
        return None
    return DAY if version == (5, 5) else UNUSED


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
        return Explanation(Cause.MESSAGES_REWRITTEN, "messages_rewritten:resumed", Verdict.YOURS, where, diff or _clients(loss), fix=fix)
    if "old tool results cleared" in signs:
        where, diff = _place(loss)
        return Explanation(Cause.MESSAGES_REWRITTEN, "messages_rewritten:own_pruning", Verdict.YOURS, where, diff)
    return None


def _clients(loss: Loss) -> Diff | None:
    """The builds of the client, where another one goes on with the session: each has a system prompt and tools of its own."""
    before, now = (next((sign for sign in turn.signs if sign.startswith("client ")), "") for turn in (loss.before, loss.sight.turn))
    return Diff(before, now) if before and now and before != now else None


def _other_client(loss: Loss) -> Explanation | None:
    diff = _clients(loss)
    if diff is None:
        return None
    doubt = ("the system prompt itself is not recorded: that another build of the client sent it is",)
    return Explanation(Cause.SYSTEM_CHANGED, "system_changed:client_version", Verdict.YOURS, "system", diff, excluded=doubt)


def _expired(loss: Loss) -> Explanation | None:
    lifetime = loss.lifetime
    if lifetime is None or not loss.expired:
        return None
    longer = "write for an hour, or " if lifetime < HOUR and loss.marked else ""
    lived = f"{_minutes(loss.idle)} passed and entries live {_minutes(lifetime)}" + ("" if loss.marked else " unused")
    fix = (
        f"{lived}: {longer}keep it warm with a short request in between where "
        "that pays; else compact exactly here, where everything is written anew anyway."
    )
    return Explanation(Cause.TTL_EXPIRED, "ttl_expired", Verdict.YOURS, "", fix=fix)


def _stripped(loss: Loss) -> Explanation | None:
    if not loss.stripped:
        return None
    return Explanation(Cause.THINKING_CHANGED, "thinking_stripped_by_template", Verdict.PROVIDER, "")


def _rewritten(loss: Loss) -> Explanation | None:
    """A prompt that does not begin with the one before, or is shorter than what it should begin with."""
    if loss.parting is not None and (loss.entry is None or loss.kept > loss.entry.tokens):
        where, diff = _place(loss)
        return Explanation(Cause.MESSAGES_REWRITTEN, "messages_rewritten", Verdict.YOURS, where, diff)
    # Without marks a smaller count is no evidence: routes count differently (Gemini through OpenRouter), and templates drop thinking.
    if not loss.marked or loss.parting is not None or loss.usage.prompt + slack(loss.usage.prompt) >= loss.left:
        return None
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
        fix = (
            f"Keep thinking as it is for the whole session ({diff.before!r} became {diff.after!r}): what a command, a skill or a "
            "plan sends goes out without it in some versions of the client, and others keep the prefix all the same; so update it."
        )
        return Explanation(Cause.THINKING_CHANGED, "thinking_changed", Verdict.YOURS, "thinking", diff, excluded=doubt, fix=fix)
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
    age = loss.sight.now - loss.entry.written if loss.entry is not None else LATE_SECONDS + 1
    if loss.entry is None or age > LATE_SECONDS:
        return None
    older = loss.entry.parent
    while older is not None and older.tokens > loss.usage.read + step:
        older = older.parent
    if older is None or older.tokens < loss.usage.read:
        return None
    seen = (f"exactly an earlier entry was read, and the newest was {age:.1f} s old",)
    return Explanation(Cause.PARALLEL_RACE, "write_not_yet_visible", Verdict.PROVIDER, "", excluded=seen)


def _unexplained(loss: Loss) -> Explanation:
    if not loss.marked:
        return Explanation(Cause.SERVER_SIDE_UNEXPLAINED, "best_effort_implicit", Verdict.PROVIDER, "", excluded=tuple(_ruled_out(loss)))
    detail = "head_only_collapse" if loss.usage.read else "server_side_unexplained"
    return Explanation(Cause.SERVER_SIDE_UNEXPLAINED, detail, Verdict.UNKNOWN, "", excluded=tuple(_ruled_out(loss)))


def _ruled_out(loss: Loss) -> Iterator[str]:
    """What it was not, and why, as far as the record tells."""
    if loss.lifetime is not None:
        near = abs(loss.idle - loss.lifetime) < 60
        yield (
            f"lifetime: {loss.idle:.0f} s idle of {loss.lifetime:.0f}"
            if near
            else f"lifetime: {_minutes(loss.idle)} idle of {_minutes(loss.lifetime)}"
        )
    yield "model and recorded settings are those of the request before"
    yield "the conversation begins with what was sent before"
    if loss.unbilled:
        yield f"not ruled out: {loss.unbilled} requests without usage in between (aborted or failed) may have sent other content"
    added = loss.sight.chain.length - loss.entry.length if loss.entry is not None else 0
    if loss.marked and added > LOOK_BACK:
        yield f"not ruled out: {added} blocks came since, and a mark looks back over {LOOK_BACK} positions (runs of calls count once)"
    if loss.marked and loss.at_user:
        yield "not ruled out: at a user's turn the client may have been restarted with another system prompt, which is not recorded"


_LOOKED_FOR: tuple[Callable[[Loss], Explanation | None], ...] = (
    _expired,
    _tools,
    _model,
    _compacted,
    _late,
    _stripped,
    _rewritten,
    _other_client,
    _settings,
)
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

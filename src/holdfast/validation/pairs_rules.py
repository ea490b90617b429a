"""Why a recorded read is not the documented one: a closed list, each entry given only where the recording itself bears it out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from holdfast.blocks import Settings

SLACK = 16
"""Tokens by which a chat template may move a boundary: the header of the next message, the cue to answer."""


_VISIBLE_AFTER = 2.0


class Rule(StrEnum):
    """The rule that the provider did not keep to, or the fact that a rule leaves out."""

    WARM_BEFORE = "warm_before"
    """More was read than any earlier request of the recording had sent: an entry from before the recording (earlier runs of the same test,
    or other users of a prompt that the provider itself puts in front). No rule is broken, the recording does not begin cold."""
    UNBILLED_BEFORE = "unbilled_before"
    """So much had been sent by an earlier request of the recording whose bill is not in it: what that wrote is not known."""
    SERVER_TOOL_LOOP = "server_tool_loop"
    """The provider ran its own tools, asked the model again each time, and billed the sum: the read is not that of the request sent, or
    it is of what such requests of an earlier call had written. Anthropic documents it (*Prompt caching*, 2026-08-21), OpenAI bills so."""
    OWN_OUTPUT_READ = "own_output_read"
    """The read goes beyond the last prompt into the answer to it. The documentation has prompts cached, and says of output nothing."""
    BELOW_MINIMUM_READ = "below_minimum_read"
    """A prefix shorter than the documented minimum was read, whoever had sent it."""
    ENTRY_NOT_WRITTEN = "entry_not_written"
    """An earlier request had a mark there, behind at least the documented minimum, and was billed neither a read nor a write."""
    READ_WITHOUT_MARK = "read_without_mark"
    """A prefix was read that earlier requests had sent but not marked: documented is that entries exist only at marks."""
    READ_BEYOND_LOOK_BACK = "read_beyond_look_back"
    """An entry at an earlier mark was read that lies further before this request's marks than they are documented to look."""
    READ_SHORT_OF_MARK = "read_short_of_mark"
    """Less was read than the marked prefix that was there to be read, up to a place at which no request had a mark. (Amazon documents that
    Nova caches by itself beside the marks, and says not up to where.)"""
    TOOL_CHOICE_LOSES_HEAD = "tool_choice_loses_head"
    """Only the tool choice had changed, and tools and system were not read: documented is that it loses the messages alone."""
    OUTLIVED_LIFETIME = "outlived_lifetime"
    """A prefix was read after its documented lifetime."""
    ROUTED_ELSEWHERE = "routed_elsewhere"
    """The gateway let another provider answer than had answered the request that wrote the entry."""
    ENTRY_LOST = "entry_lost"
    """A marked prefix, documented to be held for its lifetime, was not read (at most an older one), and nothing in front had changed."""
    NOT_YET_VISIBLE = "not_yet_visible"
    """The entry was written by a request that began less than two seconds before; it can be read once that one's response has begun."""
    UNIT_NOT_WHOLE = "unit_not_whole"
    """Only a part of each earlier prompt stands at the front of this one, and DeepSeek's units must match in full (its context caching
    guide, 2026-10): the longest prefix is not the rule there."""
    AUTOMATIC_MISS = "automatic_miss"
    """A prefix sent before was read only in part or not at all by a cache that works by itself. These caches promise nothing."""
    SETTING_KEEPS_PREFIX = "setting_keeps_prefix"
    """A prefix was read although a setting had changed that is documented to lose it."""
    COARSER_STEP = "coarser_step"
    """An automatic cache read to another place in the shared prefix than the documented one: the longest, rounded down to its step."""
    UNPUBLISHED = "unpublished"
    """The provider does not publish where a hit ends; compared with is the longest prefix in steps of 16 tokens, vLLM's block."""
    UNEXPLAINED = "unexplained"
    """Nothing in the recording explains it."""


@dataclass(frozen=True, slots=True)
class Earlier:
    """One earlier request of the recording as it bears on this one.

    ``tokens`` is what the leading blocks that the two have in common hold at most; ``whole`` says that the earlier prompt is wholly among
    them. ``prompt``, ``output``, ``read`` and ``written`` are as it was billed, ``inner`` is as in ``Bill``, ``route`` is who answered it,
    ``age`` the seconds since it began, ``lifetime`` how many its entries are documented to live (infinite: none is promised).
    """

    tokens: int
    whole: bool
    prompt: int
    output: int
    read: int
    written: int
    settings: Settings
    route: str
    inner: int
    age: float
    lifetime: float


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A prediction beside its record, and all that a reason may rest on. Tokens and seconds.

    ``exact``: the size of the predicted boundary was billed before, it is no estimate; ``at_known``: that of the recorded one was.
    ``minimum`` is the provider's documented one (0: none). ``inner`` is how many requests the bill may add up. ``marks``: the cache goes
    by marks. ``published``: there are rules to go by. ``units``: prefixes count only as whole earlier prompts.
    ``unbilled`` is what the longest earlier request without a bill has in common with this one.
    """

    predicted: int
    exact: bool
    recorded: int
    at_known: bool
    prompt: int
    inner: int
    marks: bool
    published: bool
    units: bool
    minimum: int
    settings: Settings
    route: str
    earlier: Sequence[Earlier]
    unbilled: int = 0

    @property
    def longest(self) -> int:
        """The most tokens that any earlier request has in common with this one."""
        return max((one.tokens for one in self.earlier), default=0)


def rule_of(case: Disagreement) -> Rule:
    """The one rule that accounts for a disagreement, the best supported first."""
    if _adds_up(case):
        return Rule.SERVER_TOOL_LOOP
    found = _read_more(case) if case.recorded > case.predicted else _read_less(case)
    return found or (Rule.UNEXPLAINED if case.published else Rule.UNPUBLISHED)


def _adds_up(case: Disagreement) -> bool:
    """Whether the read can be the sum over requests of the provider's own, of which the first read what was predicted.

    Each holds all of the one before, so the first is the shortest, and all but it can read no more than their number's share of the whole
    sum. What such requests of an earlier call wrote, which this one goes on from, can be read as well.
    """
    before = max((one.prompt for one in case.earlier if one.whole and one.inner > 1), default=0)
    least = case.predicted if case.exact else case.predicted // case.inner
    most = case.predicted + case.prompt * (case.inner - 1) // case.inner + before
    return (case.inner > 1 or before > 0) and bool(case.recorded) and least <= case.recorded <= most


def _read_more(case: Disagreement) -> Rule | None:
    if case.recorded < case.minimum:
        return Rule.BELOW_MINIMUM_READ
    if any(one.whole and one.prompt < case.recorded <= one.prompt + one.output + SLACK for one in case.earlier):
        return Rule.OWN_OUTPUT_READ
    if case.recorded > case.longest + (SLACK if case.longest else 0):
        return Rule.UNBILLED_BEFORE if case.unbilled > case.longest else Rule.WARM_BEFORE
    if not case.published:
        return Rule.UNPUBLISHED
    held = [one for one in case.earlier if case.recorded <= one.tokens + SLACK]
    if all(one.age > one.lifetime for one in held):
        return Rule.OUTLIVED_LIFETIME
    if all(one.settings != case.settings for one in held):
        return Rule.SETTING_KEEPS_PREFIX
    if case.marks and case.at_known:
        return Rule.READ_BEYOND_LOOK_BACK
    return Rule.READ_WITHOUT_MARK if case.marks else Rule.COARSER_STEP


def _read_less(case: Disagreement) -> Rule | None:
    if not case.published:
        return Rule.UNPUBLISHED
    source = [one for one in case.earlier if one.tokens >= case.predicted - SLACK]
    if case.route and source and all(one.route and one.route != case.route for one in source):
        return Rule.ROUTED_ELSEWHERE
    if source and all(one.age < _VISIBLE_AFTER for one in source):
        return Rule.NOT_YET_VISIBLE
    if case.units and not any(one.whole for one in case.earlier):
        return Rule.UNIT_NOT_WHOLE
    if not case.marks:
        return Rule.COARSER_STEP if case.recorded else Rule.AUTOMATIC_MISS
    if case.recorded and not case.at_known:
        return Rule.READ_SHORT_OF_MARK
    if source and all(one.settings.tool_choice != case.settings.tool_choice for one in source):
        return Rule.TOOL_CHOICE_LOSES_HEAD
    if source and all(one.read + one.written == 0 for one in source):
        return Rule.ENTRY_NOT_WRITTEN
    return Rule.ENTRY_LOST if source else None

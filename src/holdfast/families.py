"""Tokenizer families: how many tokens each makes of one o200k token, by kind of block.

A block is expected to weigh ``factor * raw + wrapping``, where ``raw`` is ``tokens.Counter.raw``. The numbers are robust least-squares
fits to the bills of public transcripts: steps from one prompt to the next. "Offline" is how far a whole lineage's growth, counted without
its bills, is from what was billed (the same transcripts; median, and nine tenths below).

===========  ==================================================================================================================
claude       Opus 4.5/4.6, Sonnet 4.5, Haiku 4.5: 5,420 steps of Claude Code. Offline 5 % (19 %). The older tokenizer (litellm's
             Claude 2 file) makes 1.07 of prose, 1.02 of code, 1.21 of JSON: here the text of a chat is 1.16, tool results 1.09.
claude-4.7   Opus 4.7/4.8, Fable 5: 2,913 steps. Offline 19 % (32 %) too low, because the text of thinking is withheld and weighs
             nothing offline. Anthropic states 1.0 to 1.35 times the older tokenizer; here 1.4. JSON definitions: 1.4 times 1.21.
o200k        OpenAI's own: 1; 4 tokens around a call, 9 around its result (853 steps of Codex). Offline 5 % (11 %): reasoning is hidden.
gemini       Gemini 3 Pro: 2,159 steps of mini-swe-agent, whose prompts are recorded whole. Offline 2.5 % (5 %).
deepseek     V3.2: 3,504 such steps. Offline 1.5 % (4 %).
grok         no public transcript with usage was at hand: taken as o200k.
===========  ==================================================================================================================
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from holdfast.blocks import Block, Kind
from holdfast.errors import UnknownModel
from holdfast.pricing import Prices


@dataclass(frozen=True, slots=True)
class Family:
    """Tokens per o200k token of texts, tool calls, tool results and JSON, and what is wrapped around each block.

    ``resends_output``: what the model put out, thinking included, stands in the next prompt; so the bill for an answer is its weight.
    """

    name: str
    text: float = 1.0
    call: float = 1.0
    result: float = 1.0
    json: float = 1.0
    around_text: int = 4
    around_call: int = 4
    around_result: int = 4
    resends_output: bool = False

    def factor(self, kind: Kind) -> float:
        """Tokens per o200k token. Images are counted by their size, opaque blocks by their bill: 1."""
        if kind in (Kind.IMAGE, Kind.OPAQUE):
            return 1.0
        if kind is Kind.TOOL_USE:
            return self.call
        if kind is Kind.TOOL_RESULT:
            return self.result
        return self.json if kind in (Kind.TOOL, Kind.SERVER, Kind.UNKNOWN) else self.text

    def expected(self, block: Block, raw: int) -> float:
        """What a block should weigh. An image, a document of unknown text and an opaque block weigh what they were counted."""
        if block.kind in (Kind.IMAGE, Kind.OPAQUE):
            return raw
        if block.kind is Kind.TOOL_USE:
            return self.call * raw + self.around_call
        if block.kind is Kind.TOOL_RESULT:
            return self.result * raw + self.around_result
        return self.factor(block.kind) * raw + (self.around_text if raw else 0)


FAMILIES = {
    family.name: family
    for family in (
        Family("claude", 1.16, 1.06, 1.09, 1.21, around_call=75, around_result=23, resends_output=True),
        Family("claude-4.7", 1.60, 1.55, 1.61, 1.70, around_text=3, around_call=75, around_result=10, resends_output=True),
        Family("o200k", around_result=9),
        Family("gemini", 1.19, 1.19, 1.22, 1.22, around_text=0, around_call=0, around_result=0),
        Family("deepseek", 1.05, 0.91, 1.06, 1.06, around_text=4, around_call=37, around_result=18),
        Family("grok"),
    )
}

_OLD_CLAUDE = re.compile(r"claude-(?:[23]|instant)|claude-(?:opus|sonnet|haiku)-(?:3|4)(?:[-.@]|$)")


@lru_cache(maxsize=256)
def family(model: str) -> Family:
    """The family of a model: as the price table says, else by its maker's name; o200k where nothing is known."""
    try:
        return FAMILIES.get(Prices.load().find(model).family, FAMILIES["o200k"])
    except UnknownModel:
        name = model.lower()
        if "claude" in name:
            return FAMILIES["claude" if _OLD_CLAUDE.search(name) else "claude-4.7"]
        return next((FAMILIES[maker] for maker in ("gemini", "deepseek", "grok") if maker in name), FAMILIES["o200k"])


_LAST_TURN_ONLY = re.compile(r"claude-(?:[23]|opus-4(?:$|-[01]|-20)|sonnet-4(?:$|-[05]|-20)|haiku-[34])|^gpt|^o\d|deepseek")


def keeps_thinking(model: str) -> bool:
    """Whether thinking of before a user's message still stands in the prompt after it.

    Claude from Opus 4.5 and Sonnet 4.6 on keeps all (platform.claude.com, prompt caching, 2026-08-21); older ones, Haiku up to 4.5 and
    OpenAI's drop it (measured on 68 user turns of Codex: what was billed there is the answer without its reasoning).
    """
    return _LAST_TURN_ONLY.search(model.lower().rsplit("/", 1)[-1]) is None


def factor(model: str, kind: Kind) -> float:
    """How many tokens a model makes of one o200k token of a kind of block."""
    return family(model).factor(kind)


_MANUAL = re.compile(r"claude-(?:[23]|instant)|claude-(?:opus|sonnet|haiku)-(?:3|4(?!-[6-9]))(?:[-.@]|$)")


def thinks_manually(model: str) -> bool:
    """Whether a model thinks within a fixed budget only: Claude up to 4.5 (platform.claude.com, adaptive thinking, 2026-08)."""
    return bool(_MANUAL.search(model.lower()))


_SYSTEM_MESSAGES = re.compile(r"claude-(?:opus-(?:4-8|[5-9])|(?:fable|mythos)-[5-9])")


def takes_system_messages(model: str) -> bool:
    """Whether a model takes system messages in the middle of a conversation.

    Fable and Mythos from 5, Opus 4.8 and from 5; not Sonnet 5 (platform.claude.com, mid-conversation system messages, 2026-09).
    """
    return _SYSTEM_MESSAGES.search(model.lower()) is not None

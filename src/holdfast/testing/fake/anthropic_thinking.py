"""Signatures of thinking and of compactions: what they are made over, and what the API does when they do not fit.

Sources: platform.claude.com, *Preserved thinking*, *Fix a thinking block bound to a different conversation* and *Compaction and preserved
thinking* (2026-09 to 2026-11); types of anthropic 2.12.0. A model reads its own thinking and, of the models without bound
thinking, every other's; Haiku 5.5's can be read by all. Real models read a fixed set, which is not published as a list.
"""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal, TypeAlias

from holdfast.blocks import Role
from holdfast.frozen import Json
from holdfast.testing.fake.billing import Model, Part, Read

KINDS = ("thinking", "redacted_thinking")
_KEY = b"holdfast/fake-provider/1"

Why: TypeAlias = Literal["model_binding_mismatch", "prefix_binding_mismatch", "organization_binding_mismatch"]


@dataclass(frozen=True, slots=True)
class Place:
    """A block of a body: ``messages[message].content[block]``."""

    message: int
    block: int

    def __str__(self) -> str:
        return f"messages.{self.message}.content.{self.block}"


@dataclass(frozen=True, slots=True)
class Misfit:
    """A signed block that is not taken as it is. ``why`` is empty for a signature that is not the API's; ``detail`` names what differs."""

    place: Place
    why: Why | Literal[""]
    detail: str = ""

    @property
    def silent(self) -> bool:
        """Whether the block is left out without an error, whatever the request says."""
        return self.why in ("model_binding_mismatch", "organization_binding_mismatch")


@dataclass(frozen=True, slots=True)
class Prefix:
    """What stands before a block, as digests: tools, system, and the whole up to there."""

    tools: str
    system: str
    whole: str


def _digest(*pieces: bytes) -> str:
    return blake2b(b"".join(pieces), digest_size=8).hexdigest()


def begin(read: Read) -> Prefix:
    """The prefix that is the head alone."""
    pairs = list(zip(read.head.blocks, read.head.bonds, strict=True))
    tools = _digest(*(bond for block, bond in pairs if block.role is Role.TOOLS))
    system = _digest(*(bond for block, bond in pairs if block.role is not Role.TOOLS))
    return Prefix(tools, system, _digest(tools.encode(), system.encode()))


def _grown(prefix: Prefix, bond: bytes) -> Prefix:
    return Prefix(prefix.tools, prefix.system, _digest(prefix.whole.encode(), bond))


def sign(text: str, model: Model, account: str, prefix: Prefix) -> str:
    """The signature of a text that a model gives behind a prefix."""
    facts = [model.name, model.binds, _digest(account.encode()), prefix.tools, prefix.system, prefix.whole]
    return base64.b64encode(json.dumps([*facts, _mac(facts, text)], separators=(",", ":")).encode()).decode()


def _mac(facts: Iterable[str], text: str) -> str:
    return hmac.new(_KEY, "\0".join([*facts, text]).encode("utf-8", "surrogatepass"), "sha256").hexdigest()[:24]


@dataclass(frozen=True, slots=True)
class Signed:
    """What a signature says. ``genuine``: the fake made it, over this very text."""

    model: str
    binds: str
    account: str
    prefix: Prefix
    genuine: bool


def signed(signature: Json, text: str) -> Signed | None:
    """A signature taken apart; ``None`` where it is none of the fake's."""
    try:
        model, binds, account, tools, system, whole, mac = json.loads(base64.b64decode(str(signature), validate=True))
    except ValueError:
        return None
    facts = [str(fact) for fact in (model, binds, account, tools, system, whole)]
    return Signed(facts[0], facts[1], facts[2], Prefix(*facts[3:]), hmac.compare_digest(_mac(facts, text), str(mac)))


@dataclass(slots=True)
class Binding:
    """Walks a history and finds the signed blocks that do not fit. ``foreign``: signatures that are not the fake's are taken as they are.

    A block fits where the prefix it was made behind is the one before it, or before any block of the same assistant's turn: responses may
    be merged. What is left out is no part of the prefix of what follows, just as the model does not see it.
    """

    read: Read
    account: str
    foreign: bool = False
    prefix: Prefix | None = None

    def behind(self, messages: Iterable[Mapping[str, Json]]) -> Prefix:
        """The prefix behind a whole history: what an answer to it is bound to."""
        for _ in self.misfits(messages):
            pass
        return self.prefix or begin(self.read)

    def misfits(self, messages: Iterable[Mapping[str, Json]]) -> Iterator[Misfit]:
        """Every block that is refused or left out, in order."""
        prefix = begin(self.read)
        turn: set[str] = set()
        role = ""
        for index, (message, part) in enumerate(zip(messages, self.read.messages, strict=True)):
            if message.get("role") != role:
                role, turn = str(message.get("role")), set()
            turn.add(prefix.whole)
            leaving: Misfit | None = None
            for place, (block, bond) in enumerate(_blocks(message, part)):
                kind = block.get("type")
                if kind == "compaction" and block.get("content"):
                    prefix = self._summarised(block, prefix)
                    turn.add(prefix.whole)
                    continue
                if kind in KINDS:
                    misfit = self._judge(block, prefix, turn, Place(index, place))
                    if misfit is None and leaving is not None and leaving.why == "prefix_binding_mismatch":
                        misfit = Misfit(Place(index, place), leaving.why, leaving.detail)
                    leaving = misfit
                    if misfit is not None:
                        yield misfit
                        continue
                else:
                    leaving = None
                prefix = _grown(prefix, bond)
                turn.add(prefix.whole)
        self.prefix = prefix

    def _summarised(self, block: Mapping[str, Json], prefix: Prefix) -> Prefix:
        """A summary that the API wrote stands for what it summarised."""
        facts = signed(block.get("signature"), str(block.get("content")))
        if facts is None or not facts.genuine:
            return prefix
        return Prefix(prefix.tools, prefix.system, facts.prefix.whole)

    def _judge(self, block: Mapping[str, Json], prefix: Prefix, turn: set[str], place: Place) -> Misfit | None:
        if block.get("type") == "redacted_thinking":
            return None if self.foreign else Misfit(place, "")
        facts = signed(block.get("signature"), str(block.get("thinking")))
        if facts is None:
            return None if self.foreign else Misfit(place, "")
        if not facts.genuine:
            return Misfit(place, "")
        if "account" in facts.binds and facts.account != _digest(self.account.encode()):
            return Misfit(place, "organization_binding_mismatch")
        if facts.model != self.read.model.name and facts.binds != "account" and (facts.binds or self.read.model.binds):
            return Misfit(place, "model_binding_mismatch")
        if self.read.model.binds == "prefix" and facts.binds == "prefix" and facts.prefix.whole not in turn:
            return Misfit(place, "prefix_binding_mismatch", _difference(facts.prefix, prefix))
        return None


def _blocks(message: Mapping[str, Json], part: Part) -> Iterable[tuple[Mapping[str, Json], bytes]]:
    content = message.get("content")
    blocks = content if isinstance(content, list) else [{"type": "text"}] * len(part.bonds)
    return zip(blocks, part.bonds, strict=True)


def _difference(made: Prefix, now: Prefix) -> str:
    if made.system != now.system:
        return " The `system` prompt differs from the one this block was created with."
    if made.tools != now.tools:
        return " The `tools` differ from the ones this block was created with."
    return " The `messages` before this block differ from the ones it was created with."


def refusal_text(misfit: Misfit, kind: str) -> str:
    """The API's words for a block that it does not take (anomalyco/opencode issue 48637, 2026-09)."""
    text = f"{misfit.place}: Invalid `{'data' if kind == 'redacted_thinking' else 'signature'}` in `{kind}` block"
    if not misfit.why:
        return text
    return (
        f"{text}. The block is bound to a different conversation. Remove the block, or set"
        ' `thinking.block_binding.prefix_mismatch_behavior` to "drop_block". That setting requires the'
        f" `thinking-binding-controls-2026-08-01` value in the `anthropic-beta` header.{misfit.detail}"
    )

"""What the account of savings is told of each answered request."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

from holdfast.blocks import Mark, Settings
from holdfast.prefix import Chain
from holdfast.usage import Usage, from_anthropic


@dataclass(frozen=True, slots=True)
class Asked:
    """One model call that Holdfast made by itself, and what it was billed. ``model`` is ``""`` for the model of the request."""

    usage: Usage
    model: str = ""


@dataclass(frozen=True, slots=True)
class Spent:
    """Model calls that Holdfast made beside a conversation with ``model``, for no request of it. ``at`` is in POSIX seconds."""

    model: str
    provider: str
    at: float
    asked: tuple[Asked, ...]
    scope: str = ""
    observed: bool = False


@dataclass(frozen=True, slots=True)
class Sent:
    """One request that the provider answered, as the account needs it. Chains share the lists of their lineage, so it costs nothing.

    ``lineage`` is any name of its conversation that no other has. ``at`` is when it was sent, ``responded`` when its answer began (POSIX
    seconds). ``provider`` is a key of ``caches.cache_for``, ``""`` for the model's maker. ``given`` is the caller's history unedited,
    under the caller's own ``given_marks``; ``planned_marks`` are those that Holdfast would put on it; ``chain`` and ``marks`` are what
    went out (an automatic mark counts as one on the last block). Without edits ``given`` may be ``chain`` itself. ``settings`` are the
    caller's: a cache key that Holdfast adds is left out, as nothing is claimed for it. ``billed`` is the usage, ``None`` where none
    came. ``asked`` are the model calls made for this request. ``committed`` says that it carries a new plan, ``rewritten_tokens``
    what that broke (as in ``CommitTrace``).
    ``observed``: what went out is ``given`` under ``given_marks``; ``chain`` and ``marks`` are what Holdfast would have sent.
    """

    lineage: Hashable
    at: float
    model: str
    settings: Settings
    given: Chain
    given_marks: tuple[Mark, ...]
    planned_marks: tuple[Mark, ...]
    chain: Chain
    marks: tuple[Mark, ...]
    billed: Usage | None
    responded: float | None = None
    provider: str = ""
    scope: str = ""
    asked: tuple[Asked, ...] = ()
    committed: bool = False
    rewritten_tokens: int = 0
    observed: bool = False

    @property
    def edited(self) -> bool:
        """Whether the history that went out is another than the caller's."""
        one, other = self.given, self.chain
        return one.length != other.length or (one.length > 0 and one.ids[one.length - 1] != other.ids[other.length - 1])

    @property
    def touched(self) -> bool:
        """Whether history or marks differ from the caller's."""
        return self.edited or set(self.given_marks) != set(self.marks)


def split_iterations(raw: Mapping[str, Any]) -> tuple[Usage, tuple[Asked, ...]]:
    """Anthropic's usage of an answer that the API compacted on the way: the request's own (``Sent.billed``) and the compactions'.

    The tokens of a compaction stand only in ``usage.iterations`` (types of anthropic 2.12, 2026-11).
    """
    steps = raw.get("iterations")
    listed = [step for step in steps if isinstance(step, Mapping)] if isinstance(steps, list) else []
    ours = [from_anthropic(step) for step in listed if step.get("type") == "compaction"]
    rest = [from_anthropic(step) for step in listed if step.get("type") != "compaction" and "input_tokens" in step]
    if not ours:
        return from_anthropic(raw), ()
    own = from_anthropic({key: value for key, value in raw.items() if key != "iterations"})
    return (sum(rest, Usage()) if rest else own), tuple(Asked(usage) for usage in ours)

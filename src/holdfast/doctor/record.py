"""The record of a session: requests with their chains, what each prefix weighs, and how far two requests are the same."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

from holdfast.blocks import Block, Prompt, canonical
from holdfast.doctor.observation import Observation
from holdfast.doctor.routes import Route
from holdfast.prefix import Chain, chain_of, shared
from holdfast.tokens import Counter
from holdfast.usage import Usage

_WRAPPING = 4  # tokens that a provider puts around a block, before the recorded totals correct the scale


class Sizes:
    """What prefixes weigh: exact where a bill names the place (a whole prompt, the last mark), in between by offline counts."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, bytes], int] = {}
        self._counter = Counter()

    def learn(self, record: Record) -> None:
        """What the bill of a request says of its prefixes."""
        chain, usage = record.chain, record.usage
        if not chain.length:
            return
        self._known[record.model, chain.ids[-1]] = usage.prompt
        places = [mark.position for mark in record.prompt.marks if mark.position < chain.length] if record.obs.marks_known else []
        if places and usage.written and max(places) < chain.length - 1:
            self._known[record.model, chain.ids[max(places)]] = usage.prompt - usage.fresh

    def weigh(self, block: Block) -> int:
        """An offline count of a block."""
        return self._counter.raw(block) + _WRAPPING

    def totals(self, record: Record) -> list[int]:
        """Tokens up to and with each block of a request."""
        raw, running = [], 0
        for block in record.blocks:
            running += self.weigh(block)
            raw.append(running)
        if not raw:
            return []
        # From the end: what was billed last says most of a history that was changed in between.
        anchors = [(len(raw) - 1, record.usage.prompt)]
        for place in range(len(raw) - 2, -1, -1):
            known = self._known.get((record.model, record.chain.ids[place]))
            if known is not None and known <= anchors[-1][1]:
                anchors.append((place, known))
        anchors.append((-1, 0))
        anchors.reverse()
        return _between(raw, anchors)


def _between(raw: Sequence[int], anchors: Sequence[tuple[int, int]]) -> list[int]:
    """``raw`` running totals bent so that they go through the anchors."""
    out: list[int] = []
    for (start, low), (stop, high) in pairwise(anchors):
        base = raw[start] if start >= 0 else 0
        span = raw[stop] - base
        out.extend(low + round((raw[place] - base) * (high - low) / span) for place in range(start + 1, stop + 1))
    return out


def loose(block: Block) -> tuple[str, ...]:
    """What a block is, its exact form apart: by this the blocks of a request are found again in one that changed them."""
    if block.call:
        return (block.kind, block.call)
    if block.tool and block.role == "tools":
        return (block.kind, block.tool)
    return (block.role, block.text) if block.text else (block.kind, block.fingerprint.hex())


@dataclass
class Record:
    """One request with a prompt and a bill. ``index`` is its place in the input, ``clock`` its start, ``None`` if not recorded."""

    index: int
    obs: Observation
    prompt: Prompt
    usage: Usage
    route: Route
    sizes: Sizes = field(repr=False)

    @property
    def model(self) -> str:
        """The model that was asked."""
        return self.obs.model or self.prompt.settings.model

    @property
    def clock(self) -> float | None:
        """The start of the request."""
        return self.obs.at

    @cached_property
    def chain(self) -> Chain:
        """The prompt's chain, unweighed."""
        return chain_of(self.prompt)

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """The prompt's blocks."""
        return tuple(self.prompt.blocks)

    @cached_property
    def totals(self) -> list[int]:
        """Tokens up to and with each block."""
        return self.sizes.totals(self)

    @cached_property
    def keys(self) -> tuple[tuple[str, ...], ...]:
        """``loose`` of each block."""
        return tuple(map(loose, self.blocks))

    @cached_property
    def spans(self) -> tuple[int, ...]:
        """The position at which each message begins."""
        starts, position = [], len(self.prompt.head)
        for message in self.prompt.messages:
            starts.append(position)
            position += len(message.blocks)
        return tuple(starts)

    def message_at(self, position: int) -> int:
        """The ordinal of the message that a block belongs to; -1 in the head."""
        return bisect_right(self.spans, position) - 1

    def size(self, blocks: int) -> int:
        """The tokens of the first ``blocks`` blocks."""
        return self.totals[min(blocks, len(self.totals)) - 1] if blocks > 0 and self.totals else 0

    def blocks_within(self, tokens: int) -> int:
        """How many leading blocks fit into so many tokens."""
        return bisect_right(self.totals, tokens)

    def shares(self, other: Record) -> int:
        """How many leading blocks both have."""
        return shared(self.chain.ids, other.chain.ids)

    def weighed_chain(self) -> Chain:
        """The chain with its tokens, for a cache machine."""
        chain = self.chain
        return Chain(chain.ids, self.totals, chain.kinds, chain.tools, chain.head, chain.length, chain.roles)


def canonical_text(block: Block) -> str:
    """A block's bytes as text."""
    return block.wire if isinstance(block.wire, str) else canonical(block.wire).decode("utf-8", "replace")

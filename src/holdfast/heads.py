"""The head of a request, its tools and system texts, in the form in which a session first sent it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from holdfast.blocks import Block
from holdfast.frozen import Json, freeze, same_form
from holdfast.wire import Wire

KEYS = ("tools", "functions", "system", "instructions")
"""Where a body holds its head, beside the leading messages of the OpenAI dialects."""


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """``blocks`` are weighed; ``values`` are the body's keys without marks; ``given`` is the head as it came, frozen."""

    blocks: tuple[Block, ...]
    values: Mapping[str, Json]
    given: Sequence[Json]

    def says_the_same(self, other: Head) -> bool:
        """Whether both hold equal blocks, marks and the order of keys apart."""
        return [(block.role, block.wire) for block in self.blocks] == [(block.role, block.wire) for block in other.blocks]

    def over(self, body: Mapping[str, Json]) -> dict[str, Json]:
        """``body`` with its head as it was first sent."""
        return {**body, **{key: value for key, value in self.values.items() if key in body}}

    def changed(self, body: Mapping[str, Json], wire: Wire) -> int:
        """How many blocks of an equal head came as other bytes."""
        if same_form(self.given, given_head(body, wire)):
            return 0
        return sum(not same_form(mine.wire, theirs.wire) for mine, theirs in zip(self.blocks, wire.read_head(body), strict=True))


def given_head(body: Mapping[str, Json], wire: Wire) -> list[Json]:
    """What a body says before its history, as the caller's own objects."""
    leading = wire.leading(body)
    config = body.get("toolConfig")  # Bedrock's: beside the tools it holds the tool choice, which is no part of the head
    tools = config.get("tools") if isinstance(config, dict) else None
    return [*(body.get(key) for key in KEYS), tools, *(body[wire.messages_key][:leading] if leading else ())]


def read_head(body: Mapping[str, Json], wire: Wire, weigh: Callable[[Block], int]) -> Head:
    """A body's head as it is now."""
    blocks = tuple(block.weighed(weigh(block)) for block in wire.read_head(body))
    values = {key: body[key] for key in KEYS if key in body} | wire.write_head(body, blocks, {})
    values.pop("toolConfig", None)  # written from the blocks each time, beside the tool choice of that time
    return Head(blocks, freeze(values), freeze(given_head(body, wire)))

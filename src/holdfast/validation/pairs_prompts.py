"""A recorded request as a cache sees it: its blocks as a chain with a name for each, its marks and its settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from holdfast.blocks import Block, Kind, Mark, Message, Prompt, Role, canonical
from holdfast.exchange import Exchange
from holdfast.prefix import Chain, chain_of
from holdfast.transcript import Dialect
from holdfast.validation import pairs_bodies
from holdfast.wire import of

_CHARACTERS_PER_TOKEN = 4.0
_MEDIA_TOKENS = 500.0
_MARKED = ("anthropic", "bedrock", "vertex", "foundry")


@dataclass(frozen=True, slots=True)
class Asked:
    """One request. ``names`` says of each block where it stands (``tools[1]``, ``system[0]``, ``messages[2].content[1]``).

    ``sizes`` are tokens by the length of the text: good for shares of a known total only.
    """

    prompt: Prompt
    chain: Chain
    names: tuple[str, ...]
    sizes: tuple[float, ...]

    def weighed(self, total: int, known: Mapping[bytes, int]) -> Chain:
        """The chain with totals: exact where ``known`` (by prefix id) says so, between them by size. The end, if unknown, is ``total``."""
        anchors = [(-1, 0)]
        for place, prefix in enumerate(self.chain.ids):
            size = known.get(prefix)
            if size is not None and anchors[-1][1] <= size <= total:
                anchors.append((place, size))
        last = self.chain.length - 1
        anchors += [(last, total)] if anchors[-1][0] < last else []
        totals: list[int] = []
        for (start, low), (end, high) in pairwise(anchors):
            totals += _shared_out(self.sizes[start + 1 : end + 1], low, high)
        return replace(self.chain, totals=totals)


def _shared_out(sizes: Sequence[float], low: int, high: int) -> list[int]:
    whole, so_far, out = sum(sizes) or 1.0, 0.0, []
    for size in sizes:
        so_far += size
        out.append(low + round((high - low) * so_far / whole))
    return [*out[:-1], high]


def asked(exchange: Exchange, before: Sequence[Any] = ()) -> Asked | None:
    """The request as blocks; ``before`` are the items that ``previous_response_id`` stands for. ``None``: not in a form known here."""
    try:
        dialect, body = _readable(exchange, before)
        wire = of(dialect)
        prompt = wire.read(body)
        names = tuple(_names(prompt, wire.leading(body), "input" if dialect == "openai-responses" else "messages"))
        sizes = tuple(map(_size, prompt.blocks))
    except (AttributeError, TypeError, KeyError, ValueError):
        return None
    return Asked(prompt, chain_of(prompt), names, sizes) if sizes else None


def answered(request: Asked, content: Iterable[Mapping[str, Any]]) -> Asked:
    """The request with Anthropic content blocks appended as the assistant's: what an inner request of the provider's own was asked."""
    message = of("anthropic").read_message({"role": "assistant", "content": [pairs_bodies.ordered(block) for block in content]})
    messages: list[Message] = [*request.prompt.messages, message]
    prompt = replace(request.prompt, messages=messages)
    names = tuple(_names(prompt, 0, "messages"))
    return Asked(prompt, chain_of(prompt), names, (*request.sizes, *map(_size, message.blocks)))


def hidden_marks(prompt: Prompt) -> tuple[Mark, ...]:
    """The marks with those that Anthropic sets itself: on server tool results, for 5 minutes, if the request has any mark (2026-08-21)."""
    if not prompt.marks:
        return ()
    taken = {mark.position for mark in prompt.marks}
    results = [
        Mark(place)
        for place, block in enumerate(prompt.blocks)
        if block.kind is Kind.SERVER and str(_field(block, "type")).endswith("_tool_result") and place not in taken
    ]
    return tuple(sorted((*prompt.marks, *results), key=lambda mark: mark.position))


def _field(block: Block, name: str) -> Any:
    return block.wire.get(name) if isinstance(block.wire, Mapping) else None


def _readable(exchange: Exchange, before: Sequence[Any]) -> tuple[Dialect, Mapping[str, Any]]:
    body, endpoint = exchange.body, exchange.endpoint
    if endpoint.endswith(("/converse", "/converse-stream")):
        return "anthropic", pairs_bodies.from_converse(body)
    if "contents" in body:
        return "anthropic", pairs_bodies.from_gemini(body)
    if "input" in body and "messages" not in body:
        plain = pairs_bodies.plain_openai(body, "input", "input_text")
        return "openai-responses", {**plain, "input": [*before, *plain["input"]]}
    if endpoint.endswith(("/chat/completions", "v2/chat")):
        if exchange.provider in _MARKED or pairs_bodies.has_marks(body):
            return "anthropic", pairs_bodies.from_chat(body)
        return "openai-chat", pairs_bodies.plain_openai(body, "messages", "text")
    return "anthropic", pairs_bodies.plain_anthropic(body)


def _names(prompt: Prompt, leading: int, key: str) -> Iterable[str]:
    counts = {Role.TOOLS: 0, Role.SYSTEM: 0}
    for block in prompt.head:
        yield f"{block.role}[{counts[block.role]}]"
        counts[block.role] += 1
    for index, message in enumerate(prompt.messages, leading):
        for place in range(len(message.blocks)):
            yield f"{key}[{index}].content[{place}]" if len(message.blocks) > 1 else f"{key}[{index}]"


def _size(block: Block) -> float:
    if block.text:
        return max(1.0, len(block.text) / _CHARACTERS_PER_TOKEN)
    size = len(canonical(block.wire)) / _CHARACTERS_PER_TOKEN
    media = block.kind in (Kind.IMAGE, Kind.DOCUMENT, Kind.UNKNOWN) and size > _MEDIA_TOKENS
    return _MEDIA_TOKENS if media else max(1.0, size)

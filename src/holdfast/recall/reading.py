"""What a model reads of a block that was kept, whichever dialect it came from: a store holds the JSON only."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from holdfast.blocks import Role
from holdfast.frozen import Json
from holdfast.transcript import Dialect
from holdfast.wire import anthropic, bedrock_converse, openai_chat, openai_responses

_DATA = 1_000  # characters from which on a string without white space is data that nobody reads

MEDIA: Mapping[Dialect, Callable[[Mapping[str, Json]], bool]] = {
    "anthropic": lambda part: part.get("type") in ("image", "document"),
    "openai-chat": lambda part: part.get("type") in ("image_url", "file"),
    "openai-responses": lambda part: part.get("type") in ("input_image", "input_file"),
    "bedrock-converse": lambda part: not {"image", "document", "video"}.isdisjoint(part),
}
"""Whether a part is one of the dialect's images, documents and the like."""


@dataclass(frozen=True, slots=True)
class Content:
    """Text, and what stood beside it that is no text. ``known`` is false where there was nothing to be had."""

    text: str
    parts: Sequence[Json] = ()
    known: bool = True


def content_of(wire: Json) -> Content:
    """The text of a block as its dialect reads it, and its images and documents; what has neither comes as its JSON."""
    parts = list(_parts(wire))
    text = next(filter(None, (read(_bare(wire)) for read in _READERS)), "")
    return Content(text or ("" if parts else json.dumps(_legible(wire), ensure_ascii=False)), parts)


def _anthropic(wire: Json) -> str:
    return anthropic.read_block(wire, Role.USER).text


def _chat(wire: Json) -> str:
    if not isinstance(wire, Mapping):
        return ""
    is_call = isinstance(wire.get("function") or wire.get("custom"), Mapping)
    message = {"role": "assistant", "tool_calls": [wire]} if is_call else wire if "role" in wire else {"role": "user", "content": [wire]}
    return "\n".join(block.text for block in openai_chat.read_message(message).blocks if block.text)


def _responses(wire: Json) -> str:
    if not isinstance(wire, Mapping):
        return ""
    items = (wire, {"role": "user", "content": [wire]})
    return next((block.text for item in items for block in openai_responses.read_message(item).blocks if block.text), "")


def _converse(wire: Json) -> str:
    return bedrock_converse.read_block(wire, Role.USER).text


_READERS = (_anthropic, _chat, _responses, _converse)  # none reads what is another's, or it reads the same


def _is_medium(part: Json) -> bool:
    return isinstance(part, Mapping) and any(is_one(part) for is_one in MEDIA.values())


def _lists(wire: Mapping[str, Json]) -> Iterator[Sequence[Json]]:
    result = wire.get("toolResult")
    inside = result.get("content") if isinstance(result, Mapping) else None
    yield from (value for value in (wire.get("content"), wire.get("output"), inside) if isinstance(value, list))


def _parts(wire: Json) -> Iterator[Json]:
    """Images and documents: the block itself, or what stands in a result."""
    if isinstance(wire, Mapping):
        yield from filter(_is_medium, chain([wire], *_lists(wire)))


def _bare(wire: Json) -> Json:
    """The block without an output that holds nothing but images and documents: it would be read as their JSON."""
    output = wire.get("output") if isinstance(wire, Mapping) else None
    return {**wire, "output": ""} if isinstance(output, list) and output and all(map(_is_medium, output)) else wire


def _legible(value: Json) -> Json:
    """JSON without the strings that are encoded data."""
    if isinstance(value, Mapping):
        return {key: _legible(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_legible(item) for item in value]
    if isinstance(value, str) and len(value) > _DATA and not re.search(r"\s", value):
        return f"[{len(value):,} characters of data]"
    return value

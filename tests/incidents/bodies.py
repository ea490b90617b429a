"""Conversations from which the recipes make request bodies: texts of known size, tools, and edits that say where they are.

A ``Talk`` is written once, in Anthropic's form, and comes out as a body of either API. Sizes are in tokens of the o200k encoding:
every word of ``WORDS`` is one token, so a text of *n* words is *n* tokens.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from hashlib import blake2b
from typing import Any

Json = Any

_LIST = """
time year people way day man thing woman life child world school state family student group country problem hand part place case
week company system program question work government number night point home water room mother area money story fact month lot
right study book eye job word business issue side kind head house service friend father power hour game line end member law car
city community name president team minute idea body information back parent face level office door health person art war history
party result change morning reason research girl guy moment air teacher force education
"""
WORDS = tuple(_LIST.split())

_PIXELS = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ" * 40
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": _PIXELS}}


@lru_cache(maxsize=4096)
def prose(name: str, tokens: int) -> str:
    """A text of so many tokens, another one for every name: numbered lines of words, as a log or a file has."""
    if tokens <= 0:
        return ""
    start = int.from_bytes(blake2b(name.encode(), digest_size=4).digest(), "big")
    turn = start % len(WORDS)
    words = WORDS[turn:] + WORDS[:turn]
    step = 1 + start // len(WORDS) % (len(words) - 2)
    order = [words[(place * step) % len(words)] for place in range(len(words))]
    text = " ".join((order * (tokens // len(order) + 1))[:tokens])
    return text[0].upper() + text[1:]


def tool(name: str, tokens: int = 60, description: str = "") -> Json:
    """A tool definition of about so many tokens, as an agent would send it."""
    text = description or f"{name.replace('_', ' ').capitalize()}. {prose(name, max(4, tokens - 40))}."
    properties = {"path": {"type": "string", "description": "Where"}, "limit": {"type": "integer"}}
    return {"name": name, "description": text, "input_schema": {"type": "object", "properties": properties, "required": ["path"]}}


def tools(tokens: int, count: int = 6) -> tuple[Json, ...]:
    """``count`` tools of about so many tokens together, in the order of their names."""
    names = ("apply_patch", "bash", "fetch_url", "glob_files", "grep_text", "read_file", "search_web", "write_file")
    more = tuple(f"{name}_{number}" for number in range(2, 2 + count // len(names)) for name in names)
    return tuple(tool(name, max(50, tokens // count)) for name in sorted((names + more)[:count]))


def text(words: str) -> Json:
    """A text block."""
    return {"type": "text", "text": words}


def user(*content: Json | str) -> Json:
    """A user message of blocks; a string is a text block."""
    return {"role": "user", "content": [text(part) if isinstance(part, str) else part for part in content]}


def assistant(*content: Json | str) -> Json:
    """An assistant message of blocks; a string is a text block. ``listed`` in a message keeps its content a list in every dialect."""
    return {"role": "assistant", "content": [text(part) if isinstance(part, str) else part for part in content]}


def call(number: int, name: str = "read_file") -> Json:
    """A tool call."""
    return {"type": "tool_use", "id": f"toolu_{number:05d}", "name": name, "input": {"path": f"src/module_{number}.py", "limit": 400}}


def result(number: int, words: str | Json) -> Json:
    """The result of that call."""
    return {"type": "tool_result", "tool_use_id": f"toolu_{number:05d}", "content": words}


def rounds(name: str, tokens: int, count: int, start: int = 0) -> tuple[Json, ...]:
    """``count`` rounds of a call and its result, of about so many tokens together."""
    each = max(8, tokens // max(1, count) - 60)
    made: list[Json] = []
    for number in range(start, start + count):
        made += [
            assistant(f"Step {number}: {prose(f'{name} says {number}', 12)}.", call(number)),
            user(result(number, f"# src/module_{number}.py\n{prose(f'{name} reads {number}', each)}")),
        ]
    return tuple(made)


@dataclass(frozen=True)
class Place:
    """A place in a ``Talk``: ``part`` is ``tools``, ``system``, ``messages`` or a setting's key; ``index`` within it, if one is meant."""

    part: str
    index: int | None = None


@dataclass(frozen=True)
class Talk:
    """One request's content. ``settings`` are further keys of the body; ``marks`` are places whose last block carries a cache mark."""

    model: str
    tools: tuple[Json, ...] = ()
    system: tuple[str, ...] = ()
    messages: tuple[Json, ...] = ()
    settings: Mapping[str, Json] = field(default_factory=dict)
    marks: tuple[Place, ...] = ()
    ttl: str = ""

    def plus(self, *messages: Json) -> Talk:
        """With messages behind the last."""
        return replace(self, messages=self.messages + messages)

    def put(self, index: int, *messages: Json) -> Talk:
        """With message ``index`` replaced by others (none: taken out)."""
        index %= len(self.messages)
        return replace(self, messages=self.messages[:index] + messages + self.messages[index + 1 :])

    def set(self, **settings: Json) -> Talk:
        """With further keys of the body."""
        return replace(self, settings={**self.settings, **settings})

    def marked(self, *marks: Place) -> Talk:
        """With these marks and no others."""
        return replace(self, marks=marks)

    def marked_tail(self) -> Talk:
        """With the two marks that agents usually send: behind the system prompt and behind the last message."""
        head = (Place("system", len(self.system) - 1),) if self.system else ()
        return self.marked(*head, Place("messages", len(self.messages) - 1))

    def body(self, dialect: str) -> dict[str, Json]:
        """The request's JSON."""
        return _anthropic(self) if dialect == "anthropic" else _chat(self)

    def path(self, place: Place, dialect: str) -> str:
        """How a place is called in the body: the beginning of every path into it."""
        if place.index is None:
            return "messages[0]" if place.part == "system" and dialect != "anthropic" else place.part
        if dialect == "anthropic":
            return f"{place.part}[{place.index % max(1, len(getattr(self, place.part)))}]"
        if place.part == "system":
            return "messages[0]"
        if place.part == "tools":
            return f"tools[{place.index % len(self.tools)}]"
        leading = 1 if self.system else 0
        before = self.messages[: place.index % len(self.messages)]
        return f"messages[{leading + sum(len(_chat_messages(message)) for message in before)}]"


def _marked(item: Json, ttl: str) -> Json:
    control = {"type": "ephemeral", "ttl": ttl} if ttl else {"type": "ephemeral"}
    if "role" not in item:
        return {**item, "cache_control": control}
    content = item["content"]
    blocks = [text(content)] if isinstance(content, str) else list(content)
    return {**item, "content": [*blocks[:-1], {**blocks[-1], "cache_control": control}]}


def _anthropic(talk: Talk) -> dict[str, Json]:
    parts: dict[str, list[Json]] = {
        "tools": list(talk.tools),
        "system": [text(words) for words in talk.system],
        "messages": [{key: value for key, value in message.items() if key != "listed"} for message in talk.messages],
    }
    for mark in talk.marks:
        index = -1 if mark.index is None else mark.index
        parts[mark.part][index] = _marked(parts[mark.part][index], talk.ttl)
    return {"model": talk.model, "max_tokens": 4096, **talk.settings, **{name: items for name, items in parts.items() if items}}


def _chat(talk: Talk) -> dict[str, Json]:
    messages = [{"role": "system", "content": "\n\n".join(talk.system)}] if talk.system else []
    for message in talk.messages:
        messages += _chat_messages(message)
    body: dict[str, Json] = {"model": talk.model, **talk.settings, "messages": messages}
    if talk.tools:
        body["tools"] = [_function(item) for item in talk.tools]
    return body


def _function(item: Json) -> Json:
    inner = {("parameters" if key == "input_schema" else key): value for key, value in item.items()}
    return {"type": "function", "function": inner}


def _chat_messages(message: Json) -> list[Json]:
    content = message["content"]
    if isinstance(content, str) or message.get("listed"):
        return [{"role": message["role"], "content": content}]
    thoughts = "".join(part["thinking"] for part in content if part["type"] == "thinking")
    results = [part for part in content if part["type"] == "tool_result"]
    made: list[Json] = [{"role": "tool", "tool_call_id": part["tool_use_id"], "content": part["content"]} for part in results]
    calls = [part for part in content if part["type"] == "tool_use"]
    words: Sequence[str] = [part["text"] for part in content if part["type"] == "text"]
    pictures = [_picture(part) for part in content if part["type"] == "image"]
    if words or calls or pictures or thoughts:
        called: dict[str, Json] = {"tool_calls": [_call(part) for part in calls]} if calls else {}
        called |= {"reasoning_content": thoughts} if thoughts else {}
        said: Json = [*pictures, *({"type": "text", "text": item} for item in words)] if pictures else "\n".join(words)
        made.append({"role": message["role"], "content": said, **called})
    return made


def _picture(part: Json) -> Json:
    source = part["source"]
    return {"type": "image_url", "image_url": {"url": f"data:{source['media_type']};base64,{source['data']}"}}


def _call(part: Json) -> Json:
    return {"id": part["id"], "type": "function", "function": {"name": part["name"], "arguments": json.dumps(part["input"])}}

"""A ready tool that brings back what left the prompt: its definition, its handler, and the answer to a call of it.

A placeholder ends with ``hash`` and twelve hex digits; the model gives them to the tool and reads the original, exactly as it stood.
A store may serve several conversations. What is in it can be had by its name only, never by looking through it: a name is a hash of the
content, and stands in the prompts that held it.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from holdfast.errors import HoldfastError, InputError, StoreError
from holdfast.frozen import Json, thaw
from holdfast.pipeline import guarded, told
from holdfast.recall.reading import MEDIA, Content, content_of
from holdfast.store import DIGITS, STRETCH, Store
from holdfast.transcript import Dialect

if TYPE_CHECKING:
    from anthropic.lib.tools import BetaAsyncFunctionTool, BetaFunctionTool

NAME = "recall"
"""The name of the tool."""

PAGE = 20_000
"""The most characters of a content that one answer holds, about 5,000 tokens; what is longer comes in pages."""

_DESCRIPTION = (
    "Brings back content that was taken out of this conversation to save room. Where a text in square brackets that begins with "
    "[holdfast: names a hash, that content is kept word for word: give the hash as id and read it as it stood. It costs as many tokens as "
    "the content has, so ask only for what you need, and with query where a few lines will do. What comes back shows the content as it was "
    "then; files and systems may have changed since."
)
_PARAMETERS: Mapping[str, Json] = {
    "type": "object",
    "properties": {
        "id": {"type": "string", "description": "The hash in the placeholder: 12 hex digits."},
        "query": {
            "type": "string",
            "description": "Give back only the lines that hold this text, whatever its case, each with the position it starts at.",
        },
        "start": {"type": "integer", "description": "Read on from this position, in characters; 0 is the beginning."},
    },
    "required": ["id"],
    "additionalProperties": False,
}

_NAME = re.compile(r"(?<![0-9a-f])[0-9a-f]{12,32}(?![0-9a-f])")
_LINE = 400  # characters shown of one line that holds the query
_TEXT_PARTS: Mapping[Dialect, Callable[[str], Json]] = {
    "anthropic": lambda text: {"type": "text", "text": text},
    "openai-responses": lambda text: {"type": "input_text", "text": text},
    "bedrock-converse": lambda text: {"text": text},
}
"""The dialects whose results may hold more than text, and how they write a text then."""

_log = logging.getLogger("holdfast")


class _Dumps(Protocol):
    def model_dump(self) -> Mapping[str, Json]:
        """Its JSON: what the SDKs' own objects have."""


Call: TypeAlias = "Mapping[str, Json] | _Dumps"
"""A tool call as the model made it: JSON, or the SDK's object for it."""


def definition(dialect: Dialect) -> dict[str, Json]:
    """The tool for a request's ``tools``: the same bytes in every version that does not say otherwise, as a cached prefix needs."""
    parameters = thaw(_PARAMETERS)
    if dialect == "anthropic":
        return {"name": NAME, "description": _DESCRIPTION, "input_schema": parameters}
    if dialect == "bedrock-converse":
        return {"toolSpec": {"name": NAME, "description": _DESCRIPTION, "inputSchema": {"json": parameters}}}
    function = {"name": NAME, "description": _DESCRIPTION, "parameters": parameters}
    if dialect == "openai-chat":
        return {"type": "function", "function": function}
    return {"type": "function", **function, "strict": False}  # strict mode, its default, allows no optional parameter


def handler(store: Store) -> Callable[[Mapping[str, Json] | str], str]:
    """What runs the tool: from the model's input (an object, or its JSON text) to the tool's answer.

    It raises nothing: an unknown id, an input that makes no sense and a store that fails give a sentence that says so. A content longer
    than ``PAGE`` characters comes in pages, with a note on how to read on; the pages put together are the content.
    """

    def run(arguments: Mapping[str, Json] | str) -> str:
        return _said(_recalled(store, arguments), None)

    return run


def answer(store: Store, call: Call, dialect: Dialect) -> dict[str, Json]:
    """The result of a call of this tool, for the next request: a ``tool_result`` block (Anthropic), a ``tool`` message (Chat
    Completions), a ``function_call_output`` item (Responses) or a ``toolResult`` block (Converse).

    Images come back as such where the dialect allows them in a result and it was the dialect they came in.

    Raises:
        InputError: this is no call of this tool, so that no result could be right.
    """
    given = call if isinstance(call, Mapping) else call.model_dump()
    outer, id_key, input_key = _CALLS[dialect]
    inner = given.get(outer) if outer else given
    inner = inner if isinstance(inner, Mapping) else {}
    number = (given if dialect == "openai-chat" else inner).get(id_key)
    if inner.get("name") != NAME or not isinstance(number, str):
        raise InputError(f"this is no call of the tool {NAME!r}: {str(given)[:200]}")
    found = _recalled(store, inner.get(input_key))
    return _result(number, _content(found, dialect), found.known, dialect)


_CALLS: Mapping[Dialect, tuple[str, str, str]] = {
    "anthropic": ("", "id", "input"),
    "openai-chat": ("function", "id", "arguments"),
    "openai-responses": ("", "call_id", "arguments"),
    "bedrock-converse": ("toolUse", "toolUseId", "input"),
}
"""Where a call keeps its name and input, and under which keys its id and input stand."""


def _result(number: str, content: Json, known: bool, dialect: Dialect) -> dict[str, Json]:
    if dialect == "anthropic":
        return {"type": "tool_result", "tool_use_id": number, "content": content, **({} if known else {"is_error": True})}
    if dialect == "openai-chat":
        return {"role": "tool", "tool_call_id": number, "content": content}
    if dialect == "openai-responses":
        return {"type": "function_call_output", "call_id": number, "output": content}
    return {"toolResult": {"toolUseId": number, "content": content, **({} if known else {"status": "error"})}}


def runnable(store: Store) -> BetaFunctionTool[Callable[..., str]]:
    """The tool as the Anthropic SDK's tool runner takes it: ``client.beta.messages.tool_runner(tools=[runnable(store)], …)``."""
    from anthropic import beta_tool

    run = handler(store)

    def recall(id: str, query: str = "", start: int = 0) -> str:
        return run({"id": id, "query": query, "start": start})

    return beta_tool(recall, name=NAME, description=_DESCRIPTION, input_schema=thaw(_PARAMETERS))


def async_runnable(store: Store) -> BetaAsyncFunctionTool[Callable[..., Coroutine[Any, Any, str]]]:
    """``runnable`` for the asynchronous client."""
    from anthropic import beta_async_tool

    run = handler(store)

    async def recall(id: str, query: str = "", start: int = 0) -> str:
        return run({"id": id, "query": query, "start": start})

    return beta_async_tool(recall, name=NAME, description=_DESCRIPTION, input_schema=thaw(_PARAMETERS))


def _recalled(store: Store, arguments: Json) -> Content:
    given = _object(arguments)
    match = _NAME.search(str(given.get("id") or "").lower())
    if match is None:
        return _nothing("recall needs an id: the 12 hex digits behind the word hash in a placeholder")
    name = match[0]
    try:
        found = guarded(lambda: _fetched(store, name), lambda cause: StoreError(f"the store raised {told(cause)}"))
    except HoldfastError as error:
        _log.warning("recall of %s failed: %s", name, error)
        return _nothing(f"the content {name} could not be read just now")
    if found is None:
        return _nothing(f"nothing is kept under {name}; look again where it came from, or ask the user")
    query, start = given.get("query"), given.get("start")
    if isinstance(query, str) and query.strip():
        return Content(_matching(found.text, query.strip()))
    return _page(found, name, start if type(start) is int else 0)


def _nothing(why: str) -> Content:
    return Content(f"[holdfast: {why}]", known=False)


def _object(arguments: Json) -> Mapping[str, Json]:
    """The input as an object; a model may give text that is none."""
    if isinstance(arguments, str | bytes):
        try:
            arguments = json.loads(arguments)
        except (ValueError, RecursionError):
            return {}
    return arguments if isinstance(arguments, Mapping) else {}


def _fetched(store: Store, name: str) -> Content | None:
    """What is kept under a name; of a stretch, all that it names, one after the other."""
    wire = store.get(name)
    if not isinstance(wire, dict) or wire.get("type") != STRETCH:
        return None if wire is None else content_of(wire)
    read: list[tuple[str, Content]] = []
    for one in wire.get("blocks", ()):
        inside = store.get(str(one))
        read.append((str(one)[:DIGITS], _nothing("no longer kept") if inside is None else content_of(inside)))
    text = "\n\n".join(f"[hash {one}]\n{found.text}" for one, found in read)
    return Content(text, [part for _, found in read for part in found.parts])


def _page(found: Content, name: str, start: int) -> Content:
    """The content from ``start`` on, as far as one answer goes; it ends at the end of a line where there is one in its second half."""
    text, size = found.text, len(found.text)
    start = max(start, 0)
    if not start and size <= PAGE:
        return found
    if start >= size:
        return _nothing(f"the content {name} has {size:,} characters; there is nothing from {start:,} on")
    stop = min(start + PAGE, size)
    if stop < size:
        line = text.rfind("\n", start + PAGE // 2, stop) + 1
        stop = line or stop
    more = f"; to read on, call recall with id {name} and start {stop}" if stop < size else ""
    note = f"[holdfast: this is {start:,} to {stop:,} of {size:,} characters{more}]"
    return Content(f"{text[start:stop]}\n{note}", () if start else found.parts)


def _matching(text: str, query: str) -> str:
    """The lines that hold the query, with their positions, as far as one answer goes."""
    wanted, place, shown, room, count = query.casefold(), 0, list[str](), PAGE, 0
    for line in text.splitlines(keepends=True):
        if wanted in line.casefold():
            count += 1
            room -= min(len(line), _LINE) + 12
            if room >= 0:
                bare = line.rstrip("\r\n")
                shown.append(f"{place}: {bare[:_LINE]}{'…' if len(bare) > _LINE else ''}")
        place += len(line)
    held = f"{count:,} lines hold {query!r}" if count != 1 else f"1 line holds {query!r}"
    cut = f"; the first {len(shown):,} are shown" if len(shown) < count else ""
    return "\n".join([*shown, f"[holdfast: {held}{cut}; the number before a line is its position, which can be given as start]"])


def _said(found: Content, dialect: Dialect | None) -> str:
    """The text, and how much of what is no text cannot go with it."""
    missing = sum(not (dialect in _TEXT_PARTS and MEDIA[dialect](part)) for part in found.parts) if dialect else len(found.parts)
    if not found.text and not found.parts:
        return "[holdfast: the content is empty]"
    note = f"[holdfast: {missing} image or document left out]" if missing == 1 else f"[holdfast: {missing} images or documents left out]"
    return "\n".join(filter(None, (found.text, note if missing else "")))


def _content(found: Content, dialect: Dialect) -> Json:
    """What a result of this dialect holds: a text, or a list where there is more than text."""
    text, part_of = _said(found, dialect), _TEXT_PARTS.get(dialect)
    parts = [thaw(part) for part in found.parts if MEDIA[dialect](part)] if part_of else []
    if part_of is None or (not parts and dialect != "bedrock-converse"):
        return text
    return [*([part_of(text)] if text else []), *parts]

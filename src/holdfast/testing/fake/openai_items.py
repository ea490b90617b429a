"""The items of a Responses ``input``: which of them OpenAI's API refuses (OpenAI API reference, 2026-10; openai 3.54.0 types)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from holdfast.frozen import Json
from holdfast.testing.fake import openai_fields
from holdfast.testing.fake.openai_memory import tampered
from holdfast.testing.fake.openai_refusals import (
    empty_array,
    is_openai,
    missing,
    part_marks,
    refused,
    strangers,
    takes_marks,
    wrong_type,
    wrong_value,
)
from holdfast.testing.fake.values import Refused

_ROLES = ("user", "assistant", "system", "developer")
_INPUT_PARTS = ("input_text", "input_image", "input_file")
_ALL_PARTS = ("input_text", "input_image", "output_text", "refusal", "input_file", "computer_screenshot", "summary_text")
_OUTPUT_PARTS = ("output_text", "refusal")
_KNOWN = (*openai_fields.ITEMS, *openai_fields.OTHER_ITEMS)
_CALLS = ("function_call", "custom_tool_call", "shell_call", "local_shell_call", "apply_patch_call")
_SAID = {"function_call_output": "function call", "custom_tool_call_output": "custom tool call"}


def kind(item: Mapping[str, Json]) -> str:
    """The type of an item; one with a role and no type is a message."""
    return str(item.get("type") or ("message" if "role" in item else "item_reference" if "id" in item else ""))


def items_of(body: Mapping[str, Json]) -> list[Json]:
    """``input`` as items; a string is one user message."""
    given = body.get("input")
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    return list(given) if isinstance(given, list) else []


def shapes(body: Mapping[str, Json]) -> Iterator[Refused]:
    """Items, content parts and marks that are none."""
    given = body.get("input")
    if given is not None and not isinstance(given, str | list):
        yield wrong_type("input", "one of an array of input items or a string", given)
    for index, item in enumerate(given if isinstance(given, list) else ()):
        where = f"input[{index}]"
        if not isinstance(item, dict):
            yield wrong_type(where, "an object", item)
            return
        name = kind(item)
        if name not in _KNOWN:
            yield wrong_value(where, name, _KNOWN)
            return
        yield from _item(item, name, where, body)


def _item(item: Mapping[str, Json], name: str, where: str, body: Mapping[str, Json]) -> Iterator[Refused]:
    if name in openai_fields.ITEMS and is_openai(body):
        yield from strangers(item, openai_fields.ITEMS[name], where)
    for key in openai_fields.NEEDED.get(name, ()):
        if item.get(key) is None:
            yield missing(f"{where}.{key}")
    marked = takes_marks(body) or not is_openai(body)
    if name == "message":
        yield from _message(item, where, marked)
    elif name.endswith("_call_output") and isinstance(item.get("output"), list):
        yield from _parts(item["output"], f"{where}.output", _INPUT_PARTS if name in _SAID else (), marked)
    blob = item.get("encrypted_content")
    if isinstance(blob, str) and tampered(blob):
        text = f"The encrypted content {blob[:8]}... could not be verified. Reason: Encrypted content could not be decrypted or parsed."
        yield refused(text, None, "invalid_encrypted_content")


def _message(item: Mapping[str, Json], where: str, marked: bool) -> Iterator[Refused]:
    role, content = item.get("role"), item.get("content")
    if role not in _ROLES:
        yield missing(f"{where}.role") if role is None else wrong_value(f"{where}.role", role, _ROLES)
    elif content is None:
        yield missing(f"{where}.content")
    elif isinstance(content, list):
        if not content and role != "assistant":
            yield empty_array(f"{where}.content")
        kinds = _OUTPUT_PARTS if role == "assistant" else _INPUT_PARTS
        yield from _parts(content, f"{where}.content", kinds, marked and role != "assistant")
    elif not isinstance(content, str):
        yield wrong_type(f"{where}.content", "one of an array of objects or string", content)


def _parts(parts: Sequence[Json], where: str, kinds: Sequence[str], marked: bool) -> Iterator[Refused]:
    """``kinds`` are the types that may stand here, none: whatever. A type that nothing has is answered with all there are."""
    for index, part in enumerate(parts):
        place = f"{where}[{index}]"
        if not isinstance(part, dict):
            yield wrong_type(place, "an object", part)
            continue
        name = part.get("type")
        if kinds and name not in kinds:
            yield wrong_value(place, name, kinds if name in _ALL_PARTS else _ALL_PARTS)
        elif name in ("input_text", "output_text") and not isinstance(part.get("text"), str):
            yield missing(f"{place}.text")
        elif name == "input_text":
            yield from strangers(part, ("type", "text", "prompt_cache_breakpoint"), place)
        elif name == "output_text":
            yield from strangers(part, ("type", "text", "annotations", "logprobs", "prompt_cache_breakpoint"), place)
        yield from part_marks(part, place, marked)


def pairs(items: Sequence[Mapping[str, Json]]) -> Iterator[Refused]:
    """Each output has its call before it, each call its output behind it."""
    waiting: dict[str, None] = {}
    called: set[str] = set()
    for item in items:
        name, call = kind(item), item.get("call_id")
        if name in _CALLS and isinstance(call, str):
            waiting[call] = None
            called.add(call)
        elif name in _SAID and call not in called:
            yield refused(f"No tool call found for {_SAID[name]} output with call_id {call}.", "input")
        elif name.endswith("_output"):
            waiting.pop(call or "", None)
    for call in waiting:
        yield refused(f"No tool output found for function call {call}.", "input")


def thoughts(items: Sequence[Mapping[str, Json]], needed: Mapping[str, str]) -> Iterator[Refused]:
    """A reasoning item stays with the item it led to. ``needed``: the reasoning item's id by the id of the item behind it."""
    for index, item in enumerate(items):
        follows = items[index + 1] if index + 1 < len(items) else {}
        name, own = kind(item), str(item.get("id") or "")
        if name == "reasoning" and own and not _spoken(follows):
            yield refused(f"Item '{own}' of type 'reasoning' was provided without its required following item.", "input")
        wanted = needed.get(own)
        if wanted and (index == 0 or items[index - 1].get("id") != wanted):
            yield refused(f"Item '{own}' of type '{name}' was provided without its required 'reasoning' item: '{wanted}'.", "input")


def _spoken(item: Mapping[str, Json]) -> bool:
    """Whether the model said this."""
    name = kind(item) if item else ""
    if name == "message":
        return item.get("role") == "assistant"
    return name.endswith("_call") or name in ("reasoning", "program", "compaction")

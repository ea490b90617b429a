"""What a fake provider is to say, from a file: a JSON array, or a line of JSON each.

    {"text": "Let me look.", "calls": [{"name": "read", "input": {"path": "a.py"}}]}
    {"status": 529, "retry_after": 1}
    "Done."

An object has the fields of ``Reply``, or those of ``Fault`` (then it has a ``status`` or a ``drop``); a string is a reply with that text.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator
from dataclasses import fields
from typing import Any

from pydantic import TypeAdapter, ValidationError

from holdfast.errors import InputError
from holdfast.frozen import Json
from holdfast.testing.fake.values import Fault, Reply, Say, ToolCall

_REPLY: TypeAdapter[Reply] = TypeAdapter(Reply)
_FAULT: TypeAdapter[Fault] = TypeAdapter(Fault)


def read_script(text: str, name: str) -> list[Say]:
    """The script in ``text``; ``name`` is what errors call the file.

    Raises:
        InputError: names the file, the line or entry, and what would be right.
    """
    says = [_say(raw, where) for raw, where in _entries(text, name)]
    if not says:
        raise InputError(f'{name}: the script is empty; give it a reply, such as {{"text": "Hello."}}')
    return says


def _entries(text: str, name: str) -> Iterator[tuple[Json, str]]:
    try:
        whole = json.loads(text)
    except ValueError:
        yield from _lines(text, name)
        return
    for number, raw in enumerate(whole if isinstance(whole, list) else [whole], 1):
        yield raw, f"{name}: reply {number}"


def _lines(text: str, name: str) -> Iterator[tuple[Json, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                raw = json.loads(line)
            except ValueError as error:
                raise InputError(f"{name}:{number}: not JSON ({error}); a script is a JSON array of replies, or one reply a line") from None
            yield raw, f"{name}:{number}"


def _say(raw: Json, where: str) -> Say:
    if isinstance(raw, str):
        return raw
    if not isinstance(raw, dict):
        raise InputError(f'{where}: a reply is an object, as {{"text": "Hello."}}, or a string')
    fault = bool({"status", "drop", "retry_after", "message"} & raw.keys())
    _known(raw, Fault if fault else Reply, where)
    calls = raw.get("calls")
    for call in calls if isinstance(calls, list) else ():
        if isinstance(call, dict):
            _known(call, ToolCall, f"{where}: calls")
    try:
        made: Say = _FAULT.validate_python(raw, strict=False) if fault else _REPLY.validate_python(raw, strict=False)
    except ValidationError as error:
        raise InputError(f"{where}: {_plain(error)}") from None
    if isinstance(made, Fault) and not made.drop and not 400 <= made.status <= 599:
        raise InputError(f'{where}: status {made.status} is no error; say one from 400 to 599, or "drop": "headers" or "body"')
    return made


def _known(raw: Iterable[str], kind: type[Any], where: str) -> None:
    names = [field.name for field in fields(kind)]
    for key in raw:
        if key not in names:
            near = difflib.get_close_matches(key, names, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}"
            raise InputError(f"{where}: no field {key!r}; {hint}")


def _plain(error: ValidationError) -> str:
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    return f"{place}: {first['msg'][:1].lower()}{first['msg'][1:]}"

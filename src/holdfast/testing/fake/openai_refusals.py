"""What OpenAI's API refuses in both of its dialects, with the bodies it refuses it with.

The wordings are those the public API sends, as users quote them in public issue threads of 2025 and 2026 (microsoft/vscode 320060,
sdcb/chats pull 132, davidmigloz/langchain_dart 712, dyad-sh/dyad 1672, Soju06/codex-lb 818). For a mark in a wrong place no body was found:
it is refused as the unknown field that it is there. Fields are those of openai 3.54.0 (2026-11-17).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from holdfast.caches import OpenAIMarksCache, cache_for
from holdfast.frozen import Json
from holdfast.testing.fake.values import Fault, Refused

MARK = "prompt_cache_breakpoint"
_OPENAI = re.compile(r"(ft:)?(gpt-|chatgpt-|codex-|o\d)")
_FAILURES: Mapping[int, tuple[str, str | None, str]] = {
    401: ("invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
    403: ("invalid_request_error", None, "You are not allowed to use this model."),
    404: ("invalid_request_error", "model_not_found", "The model does not exist or you do not have access to it."),
    408: ("timeout", None, "Request timed out."),
    409: ("invalid_request_error", None, "The request conflicts with another one."),
    413: ("invalid_request_error", None, "The request is too large."),
    429: ("requests", "rate_limit_exceeded", "Rate limit reached for requests. Please try again later."),
    503: ("server_error", "server_overloaded", "The engine is currently overloaded, please try again later"),
}


def refused(message: str, param: str | None = None, code: str | None = None, status: int = 400) -> Refused:
    """A refusal of the request itself."""
    return Refused(status, {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}})


def failure(fault: Fault) -> Refused:
    """An error with the fault's HTTP status (500 where it names none)."""
    status = fault.status or 500
    other = ("server_error", None, "The server had an error while processing your request. Sorry about that!")
    kind, code, text = _FAILURES.get(status, other if status >= 500 else ("invalid_request_error", None, "The request was refused."))
    return Refused(status, {"error": {"message": fault.message or text, "type": kind, "param": None, "code": code}})


def is_openai(body: Mapping[str, Json]) -> bool:
    """Whether a model of OpenAI's own is asked. Other servers that speak its dialects overlook fields they do not know."""
    return bool(_OPENAI.match(str(body.get("model") or "")))


def takes_marks(body: Mapping[str, Json]) -> bool:
    """Whether the model has marks and a price for writing: GPT-5.6 and later."""
    return isinstance(cache_for("openai", str(body.get("model") or "")), OpenAIMarksCache)


def unknown(param: str) -> Refused:
    """A field that the API does not know."""
    return refused(f"Unknown parameter: '{param}'.", param, "unknown_parameter")


def missing(param: str) -> Refused:
    """A field that the API needs."""
    return refused(f"Missing required parameter: '{param}'.", param, "missing_required_parameter")


def empty_array(param: str) -> Refused:
    """A list that must have something in it."""
    text = f"Invalid '{param}': empty array. Expected an array with minimum length 1, but got an empty array instead."
    return refused(text, param, "empty_array")


def wrong_type(param: str, expected: str, value: Json) -> Refused:
    """A value of another JSON type."""
    return refused(f"Invalid type for '{param}': expected {expected}, but got {_named(value)} instead.", param, "invalid_type")


def wrong_value(param: str, value: Json, known: Sequence[str]) -> Refused:
    """A value that is none of the known ones."""
    quoted = [f"'{name}'" for name in known]
    listed = quoted[0] if len(quoted) == 1 else " and ".join(quoted) if len(quoted) == 2 else f"{', '.join(quoted[:-1])}, and {quoted[-1]}"
    return refused(f"Invalid value: '{value}'. Supported values are: {listed}.", param, "invalid_value")


def _named(value: Json) -> str:
    if value is None:
        return "null"
    kinds: tuple[tuple[type, str], ...] = (
        (bool, "a boolean"),
        (str, "a string"),
        (int, "an integer"),
        (float, "a decimal"),
        (dict, "an object"),
        (list, "an array"),
    )
    return next((name for kind, name in kinds if isinstance(value, kind)), "something else")


def first(found: Iterable[Refused]) -> Refused | None:
    """The first refusal: the API names one at a time."""
    return next(iter(found), None)


def strangers(raw: Mapping[str, Json], known: Iterable[str], where: str) -> Iterator[Refused]:
    """Fields of an object that the API does not know."""
    for key in sorted(raw.keys() - set(known)):
        yield unknown(f"{where}.{key}")


def part_marks(part: Mapping[str, Json], where: str, may_stand: bool) -> Iterator[Refused]:
    """The mark on a content part: where none may stand, or in a form that is none."""
    if MARK not in part:
        return
    mark, where = part[MARK], f"{where}.{MARK}"
    if not may_stand:
        yield unknown(where)
    elif not isinstance(mark, dict):
        if mark is not None:
            yield wrong_type(where, "an object", mark)
    elif "mode" not in mark:
        yield missing(f"{where}.mode")
    else:
        if mark["mode"] != "explicit":
            yield wrong_value(f"{where}.mode", mark["mode"], ("explicit",))
        yield from lifetime(mark, where, ("30m", "12h"))
        yield from strangers(mark, ("mode", "ttl"), where)


def lifetime(raw: Mapping[str, Json], where: str, known: Sequence[str]) -> Iterator[Refused]:
    """A ``ttl`` that is none of the known ones."""
    if raw.get("ttl") is not None and raw["ttl"] not in known:
        yield wrong_value(f"{where}.ttl", raw["ttl"], known)


def cache_options(body: Mapping[str, Json], known: Sequence[str], lifetimes: Sequence[str]) -> Iterator[Refused]:
    """``prompt_cache_options``: for GPT-5.6 and later, with these fields and lifetimes."""
    options, where = body.get("prompt_cache_options"), "prompt_cache_options"
    if options is None:
        return
    if is_openai(body) and not takes_marks(body):
        yield refused(f"Unsupported parameter: '{where}' is not supported with this model.", where, "unsupported_parameter")
    elif not isinstance(options, dict):
        yield wrong_type(where, "an object", options)
    else:
        if options.get("mode") not in (None, "implicit", "explicit"):
            yield wrong_value(f"{where}.mode", options["mode"], ("implicit", "explicit"))
        yield from lifetime(options, where, lifetimes)
        yield from strangers(options, known, where)


def model(body: Mapping[str, Json], message: str) -> Iterator[Refused]:
    """No model: answered with ``message``."""
    if not isinstance(body.get("model"), str) or not body["model"]:
        known = message.startswith("Missing")
        yield refused(message, "model" if known else None, "missing_required_parameter" if known else None)

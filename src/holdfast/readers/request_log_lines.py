"""One line of a request log as an exchange: where logs of various makers put the body, the response, the times and the account."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Any

from holdfast.exchange import Exchange
from holdfast.frozen import Json
from holdfast.readers.fields import seconds, text_of
from holdfast.transcript import Dialect

ACCOUNT = ("account", "organization", "org", "workspace", "project", "key", "route")
"""Fields of an envelope that say on whose account a request ran; ``_id`` may follow."""
ACCOUNT_HEADERS = {
    "anthropic-organization-id": "organization",
    "anthropic-workspace-id": "workspace",
    "openai-organization": "organization",
    "openai-project": "project",
}
"""Headers that say the same (Anthropic's and OpenAI's API references, response and request headers, 2026-08)."""
SESSION = ("session", "session_id", "conversation", "conversation_id", "thread_id")
STARTED = ("at", "started", "timestamp")
SECRET = re.compile(r"auth|key|token|cookie|secret|password|signature")
"""Request headers whose names have one of these in them are not kept."""

_SECRET_LENGTH = 16
"""An account's key at least this long may be the secret itself: a fingerprint stands for it."""
_HOSTS = (
    ("api.anthropic.com", "anthropic"),
    ("bedrock", "bedrock"),
    ("aiplatform", "vertex"),
    ("azure.com", "azure"),
    ("api.openai.com", "openai"),
    ("deepseek.com", "deepseek"),
    ("googleapis", "google"),
    ("api.x.ai", "xai"),
)
_FAMILIES = (
    ("claude", "anthropic"),
    ("gpt", "openai"),
    ("codex", "openai"),
    ("gemini", "google"),
    ("deepseek", "deepseek"),
    ("grok", "xai"),
    ("kimi", "moonshot"),
)
_REASONERS = re.compile(r"(?:^|/)o\d")
_GATEWAYS = frozenset({"openrouter", "litellm", "portkey", "helicone", "vercel", "cloudflare"})
_COUNTS = ("input_tokens", "prompt_tokens", "output_tokens", "completion_tokens")


def body_of(raw: Json) -> dict[str, Any] | None:
    """A request body, or ``None``: an object with ``messages`` or ``input``."""
    if isinstance(raw, dict) and isinstance(raw.get("messages"), list):
        return raw
    return raw if isinstance(raw, dict) and "model" in raw and isinstance(raw.get("input"), list | str) else None


def inner(raw: Json) -> Json:
    """What an envelope's field holds: the object itself, or what stands in it under ``body``."""
    found = raw["body"] if isinstance(raw, dict) and "body" in raw else raw
    if not isinstance(found, str):
        return found
    try:
        return json.loads(found)
    except (ValueError, RecursionError):
        return None


def is_envelope(raw: Json) -> bool:
    """An object with a body under ``request``."""
    return isinstance(raw, dict) and "request" in raw and body_of(inner(raw["request"])) is not None


def is_bill(raw: Json) -> bool:
    """An object that has a usage, its own or a response's, and no body to it."""
    return isinstance(raw, dict) and body_of(raw) is None and not is_envelope(raw) and _response(raw).get("usage") is not None


def is_bare(raw: Json) -> bool:
    """A body on its own, and not a conversation that has ended: the last word is not the assistant's."""
    body = body_of(raw)
    if body is None or "model" not in body:
        return False
    last = body["messages"][-1] if body.get("messages") else None
    return "input" in body or (isinstance(last, dict) and last.get("role") != "assistant")


def exchange_of(raw: Json, line: int = 0) -> Exchange | None:
    """A line as an exchange: an envelope, a bare body, or a bill without a body; ``None`` where it is none of them."""
    if is_envelope(raw):
        return _exchange(body_of(inner(raw["request"])) or {}, raw, line)
    if body := body_of(raw):
        return Exchange(body, provider=provider_of({}, body, {}), line=line)
    return _exchange({}, raw, line) if is_bill(raw) else None


def _exchange(body: Mapping[str, Any], raw: Mapping[str, Any], line: int) -> Exchange:
    response = _response(raw)
    if not body and not response.get("model") and (model := _asked(raw)):
        response = {"model": model, **response}
    headers = _headers(raw.get("request"))
    return Exchange(
        body=body,
        response=response,
        at=next((found for key in STARTED if (found := seconds(raw.get(key))) is not None), None),
        ended=seconds(raw.get("ended")),
        provider=provider_of(raw, body, response),
        endpoint=_endpoint(raw),
        account=_account(raw, headers),
        session=_session(raw),
        status=_status(raw),
        line=line,
        headers={name: value for name, value in headers.items() if not SECRET.search(name)},
    )


def _response(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """The response; where the envelope has the usage itself, with it; a bill on its own is its own response."""
    found = inner(raw.get("response"))
    response = found if isinstance(found, dict) else {}
    if "usage" in response or raw.get("usage") is None:
        return response
    usage = raw["usage"]
    if "response" in raw or "request" in raw:
        return {**response, "usage": usage}
    known = isinstance(usage, dict) and any(name in usage for name in _COUNTS)
    return {key: value for key, value in raw.items() if key not in STARTED} if known else {}


def _asked(raw: Mapping[str, Any]) -> str:
    """The model, where the envelope has it beside the response or in a request without messages."""
    request = inner(raw.get("request"))
    return text_of(raw, "model") or (text_of(request, "model") if isinstance(request, dict) else "")


def _headers(part: Json) -> dict[str, str]:
    """The headers of a request or a response, names in lower case."""
    found = part.get("headers") if isinstance(part, dict) else None
    pairs = found.items() if isinstance(found, dict) else ()
    return {str(name).lower(): value[0] if isinstance(value, list) and value else value for name, value in pairs if _is_text(value)}


def _is_text(value: Json) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and bool(value) and isinstance(value[0], str))


def _account(raw: Mapping[str, Any], headers: Mapping[str, str]) -> str:
    """``organization=…, key=…``: what fields and headers say, each once; keys that may be secret as a fingerprint."""
    found: dict[str, str] = {}
    for name in ACCOUNT:
        for field in (name, f"{name}_id"):
            value = raw.get(field)
            if isinstance(value, str | int) and value != "":
                found.setdefault(name, str(value))
    everywhere = {**headers, **_headers({"headers": raw.get("response_headers")}), **_headers(raw.get("response"))}
    for header, name in ACCOUNT_HEADERS.items():
        if header in everywhere:
            found.setdefault(name, everywhere[header])
    for header in ("x-api-key", "api-key", "authorization"):
        if header in headers:
            found.setdefault("key", _fingerprint(headers[header]))
    if len(key := found.get("key", "")) >= _SECRET_LENGTH:
        found["key"] = _fingerprint(key)
    return ", ".join(f"{name}={value}" for name, value in found.items())


def _fingerprint(secret: str) -> str:
    return blake2b(secret.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()


def _session(raw: Mapping[str, Any]) -> str:
    return next((str(value) for key in SESSION if isinstance(value := raw.get(key), str | int) and value != ""), "")


def _parts(raw: Mapping[str, Any], *names: str) -> Iterator[Mapping[str, Any]]:
    yield raw
    yield from (part for name in names if isinstance(part := raw.get(name), dict))


def _status(raw: Mapping[str, Any]) -> int | None:
    """The HTTP status, of the envelope or its response."""
    for part in _parts(raw, "response"):
        for key in ("status", "status_code"):
            value = part.get(key)
            if isinstance(value, int) and not isinstance(value, bool):
                return value
    return None


def _endpoint(raw: Mapping[str, Any]) -> str:
    return next((found for part in _parts(raw, "request") if (found := text_of(part, "endpoint", "url", "path"))), "")


def provider_of(envelope: Mapping[str, Any], body: Mapping[str, Any], response: Mapping[str, Any]) -> str:
    """Whose cache served it: the one the envelope names (of a gateway, the one of the model's maker), else by the host that was
    called, else by the model's name; ``""`` where nothing says.
    """
    named = text_of(envelope, "provider").lower()
    if named and named not in _GATEWAYS:
        return named
    url = _endpoint(envelope).lower()
    model = str(body.get("model") or response.get("model") or "").lower()
    found = next((name for host, name in _HOSTS if host in url), "") or next((name for part, name in _FAMILIES if part in model), "")
    return found or ("openai" if _REASONERS.search(model) else named)


def dialect_of_bill(exchange: Exchange) -> Dialect:
    """Of a bill without a body: the dialect whose names its usage has."""
    usage = exchange.response.get("usage")
    counts = usage if isinstance(usage, dict) else {}
    if "prompt_tokens" in counts:
        return "openai-chat"
    return "openai-responses" if "input_tokens_details" in counts or exchange.provider == "openai" else "anthropic"

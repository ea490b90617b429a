"""Why a provider refused a request, as far as Holdfast can do something about it."""

from __future__ import annotations

from typing import Literal, TypeAlias

from holdfast.calls.values import Received

Refusal: TypeAlias = Literal["too_long", "bound", "refused"]

_TOO_LONG = ("prompt is too long", "context_length_exceeded", "request_too_large", "maximum context length", "exceeds the context window")
_BOUND = ("bound to a different conversation",)
_INVALID = (400, 413, 422)


def refusal(received: Received) -> Refusal | None:
    """``too_long``: over the window or the size that is taken. ``bound``: thinking that belongs to another prefix. ``refused``: invalid.

    ``None`` where it was taken, or where no other body would do better (a key, a limit of rate, a server's failure). Anthropic's
    errors of 2026-11 (platform.claude.com, errors and preserved thinking) and OpenAI's ``context_length_exceeded``.
    """
    if received.status not in _INVALID:
        return None
    error = received.body.get("error") if received.body is not None else None
    said = " ".join(str(error.get(key, "")) for key in ("type", "code", "message")) if isinstance(error, dict) else str(error or "")
    lower = said.lower()
    if received.status == 413 or any(phrase in lower for phrase in _TOO_LONG):
        return "too_long"
    return "bound" if any(phrase in lower for phrase in _BOUND) else "refused"

"""A strategy's question on the wire: the live prompt as it is, with the instruction behind it.

It extends what the provider has in its cache, so it reads that, and has a mark at most where an entry stands already, so it
writes nothing new. Model, tools, tool choice, thinking, system and history keep their bytes; what is not part of the cache
key (the answer's length, streaming) is the question's own.
"""

from __future__ import annotations

from collections.abc import Mapping

from holdfast.frozen import Json
from holdfast.strategy import Ask
from holdfast.transcript import Dialect
from holdfast.wire import Wire

TAIL = "\n\nAnswer in plain text, in this one reply. Do not call any tool; do not go on with the task."
_LENGTH: Mapping[Dialect, tuple[str, ...]] = {
    "anthropic": ("max_tokens",),
    "openai-chat": ("max_completion_tokens", "max_tokens"),
    "openai-responses": ("max_output_tokens",),
}
_DROPPED = ("store", "metadata", "stream_options", "diagnostics", "n", "logprobs", "top_logprobs", "prediction", "modalities", "audio")
_THINKING_ROOM = 8_192


def asked(ask: Ask) -> str:
    """What the model is told, as a user's words."""
    return ask.instruction + TAIL


def question(wire: Wire, prompt: Mapping[str, Json], ask: Ask) -> dict[str, Json]:
    """The body that asks: ``prompt`` (as it would be sent now) and the instruction as a user's words."""
    note = wire.note(asked(ask)).wire
    body = {key: value for key, value in prompt.items() if key not in _DROPPED}
    history = body[wire.messages_key]
    body[wire.messages_key] = [*([{"role": "user", "content": history}] if isinstance(history, str) else history), note]
    keys = _LENGTH.get(wire.dialect, ())
    given = next((key for key in keys if key in body), keys[0] if keys else None)
    if given is not None:
        body[given] = ask.max_output_tokens + _thinking_room(body)
    if wire.dialect == "openai-responses":
        body["store"] = False  # the answer belongs to no conversation that the provider keeps
    if keys:
        body["stream"] = True
    return body


def cut(wire: Wire, prompt: Mapping[str, Json], messages: int) -> dict[str, Json]:
    """``prompt`` with its first so many messages, those of its head not counted: what the provider itself is asked to compact."""
    body = {key: value for key, value in prompt.items() if key not in _DROPPED}
    history = body[wire.messages_key]
    body[wire.messages_key] = history if isinstance(history, str) else history[: wire.leading(body) + messages]
    return body


def _thinking_room(body: Mapping[str, Json]) -> int:
    """Tokens of an answer that go to thinking before a word is said."""
    thinking = body.get("thinking")
    if isinstance(thinking, Mapping):
        budget = thinking.get("budget_tokens")
        return budget if isinstance(budget, int) else 0 if thinking.get("type") == "disabled" else _THINKING_ROOM
    return _THINKING_ROOM if "reasoning" in body or "reasoning_effort" in body or "output_config" in body else 0


def forbids(body: Mapping[str, Json], dialect: Dialect) -> str:
    """Why no question may be asked on this request, in a phrase; ``""`` where one may.

    A forced tool or an output format would shape the answer, stop sequences would cut it, and changing them would miss the cache.
    """
    choice = body.get("tool_choice")
    kind = choice.get("type") if isinstance(choice, Mapping) else choice
    if kind in ("any", "tool", "required", "function", "custom", "allowed_tools"):
        return "a tool is forced"
    config, text = body.get("output_config"), body.get("text")
    formats = [body.get("response_format"), body.get("output_format")]
    formats += [part.get("format") for part in (config, text) if isinstance(part, Mapping)]
    if any(isinstance(one, Mapping) and one.get("type") not in (None, "text") for one in formats):
        return "an output format is set"
    if body.get("stop_sequences") or (dialect == "openai-chat" and body.get("stop")):
        return "stop sequences are set"
    return ""

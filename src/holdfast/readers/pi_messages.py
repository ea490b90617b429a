"""pi's messages in Anthropic's form, as pi sends them (badlogic/pi-mono, ``packages/ai``, 2025-12)."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

from holdfast.frozen import Json
from holdfast.readers.fields import text_of

_SUMMARY = "The conversation history before this point was compacted into the following summary:\n\n<summary>\n{}\n</summary>"
_BRANCH = "The following is a summary of a branch that this conversation came back from:\n\n<summary>\n{}\n</summary>"


def _parts(content: Json) -> list[Mapping[str, Any]]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [part for part in content if isinstance(part, Mapping)] if isinstance(content, list) else []


def _image(part: Mapping[str, Any]) -> Json:
    return {"type": "image", "source": {"type": "base64", "media_type": part.get("mimeType"), "data": part.get("data")}}


def user_content(content: Json) -> list[Json]:
    """Texts and images; empty texts are left out, as no provider takes them."""
    found: list[Json] = []
    for part in _parts(content):
        if part.get("type") == "image":
            found.append(_image(part))
        elif text_of(part, "text").strip():
            found.append({"type": "text", "text": part["text"]})
    return found


def result(raw: Mapping[str, Any]) -> Json:
    """A ``toolResult`` message as a block; its content is a string unless it holds images."""
    parts = _parts(raw.get("content"))
    if any(part.get("type") == "image" for part in parts):
        content: Json = user_content(parts)
    else:
        content = "\n".join(text_of(part, "text") for part in parts)
    return {"type": "tool_result", "tool_use_id": raw.get("toolCallId"), "content": content, "is_error": bool(raw.get("isError"))}


def assistant_content(raw: Mapping[str, Any], answered: Set[str] | None = None) -> list[Json]:
    """What the model said. With ``answered`` the tool calls that have no result are left out, as a provider would refuse them.

    Thinking without a signature (the call was aborted) is sent as text.
    """
    found: list[Json] = []
    for part in _parts(raw.get("content")):
        kind = part.get("type")
        if kind == "toolCall":
            if answered is None or part.get("id") in answered:
                found.append({"type": "tool_use", "id": part.get("id"), "name": part.get("name"), "input": part.get("arguments") or {}})
        elif kind == "thinking" and part.get("thinkingSignature"):
            found.append({"type": "thinking", "thinking": text_of(part, "thinking"), "signature": part["thinkingSignature"]})
        else:
            text = text_of(part, "text", "thinking")
            if text.strip():
                found.append({"type": "text", "text": f"<thinking>\n{text}\n</thinking>" if kind == "thinking" else text})
    return found


def call_ids(raw: Mapping[str, Any]) -> list[str]:
    """The ids of the tool calls in an assistant message."""
    return [str(part.get("id")) for part in _parts(raw.get("content")) if part.get("type") == "toolCall"]


def _command(raw: Mapping[str, Any]) -> str:
    """A command that the user ran, in words."""
    output = text_of(raw, "output")
    said = [f"Ran `{text_of(raw, 'command')}`", f"```\n{output}\n```" if output else "(no output)"]
    if raw.get("cancelled"):
        said.append("\n(command cancelled)")
    elif raw.get("exitCode"):
        said.append(f"\nCommand exited with code {raw['exitCode']}")
    if raw.get("truncated") and raw.get("fullOutputPath"):
        said.append(f"\n[Output truncated. Full output: {raw['fullOutputPath']}]")
    return "\n".join(said)


def spoken(raw: Mapping[str, Any]) -> list[Json]:
    """A message of the user's side that is no tool result: their words, a command they ran, an extension's message."""
    if raw.get("role") == "bashExecution":
        return [] if raw.get("excludeFromContext") else [{"type": "text", "text": _command(raw)}]
    return user_content(raw.get("content"))


def summary(entry: Mapping[str, Any]) -> list[Json]:
    """What stands for the history that a compaction, or leaving a branch, took away."""
    frame = _BRANCH if entry.get("type") == "branch_summary" else _SUMMARY
    return [{"type": "text", "text": frame.format(text_of(entry, "summary"))}]

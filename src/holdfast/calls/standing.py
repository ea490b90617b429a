"""Where Holdfast keeps out: the server holds or shortens the conversation itself, so what is sent is not what the model reads."""

from __future__ import annotations

from collections.abc import Mapping

from holdfast.frozen import Json
from holdfast.transcript import Dialect

_ANTHROPIC = {
    "context_management": "the server edits or compacts the context (context_management)",
    "compaction": "this request asks the server to compact (compaction)",
    "thread": "the server keeps the conversation as a message thread: give the tool runner thread=False, or Holdfast threads='unthread'",
}
_OPENAI = {
    "context_management": "the server compacts the context (context_management)",
    "previous_response_id": "the server keeps the conversation (previous_response_id)",
    "conversation": "the server keeps the conversation (conversation)",
    "background": "the request runs in the background (background)",
    "prompt": "the prompt is kept by the server (prompt)",
}


def stands_down(body: Mapping[str, Json], dialect: Dialect) -> str:
    """Why this request is left as it is, in a phrase; ``""`` where it is not."""
    reasons = _ANTHROPIC if dialect in ("anthropic", "bedrock-converse") else _OPENAI
    return next((why for key, why in reasons.items() if body.get(key)), "")

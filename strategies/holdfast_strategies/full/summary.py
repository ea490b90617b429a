"""Judging what a model gave as a summary: a bad one must never replace a history."""

from __future__ import annotations

import re

from holdfast.errors import AskFailed

_TAGGED = re.compile(r"<summary>(.*?)(?:</summary>|\Z)", re.DOTALL)
_LEAST = 200  # characters; no summary of a session that had to be shortened is shorter
_REFUSAL = re.compile(
    r"\A\W*(?:I'm sorry|I am sorry|Sorry,|I can(?:'|no)t|I cannot|I'm (?:not able|unable)|I am unable|As an AI|Error\b|An error occurred)",
    re.IGNORECASE,
)
_CALL = re.compile(
    r"<(?:antml:)?(?:function_calls|invoke|tool_use|tool_call)\b|\A\s*(?:```json\s*)?\{\s*\"(?:name|type|tool|function)\"\s*:",
)


def usable_summary(text: str) -> str:
    """The summary in a model's answer.

    Raises:
        AskFailed: it is empty, too short to be one, a refusal, or an attempt to call a tool.
    """
    match = _TAGGED.search(text)
    summary = (match[1] if match else text).strip()
    if len(summary) < _LEAST:
        raise AskFailed(f"the summary has only {len(summary)} characters")
    if _REFUSAL.match(summary):
        raise AskFailed(f"the model refused: {summary[:80]!r}")
    if _CALL.search(summary[:2_000]) and not match:
        raise AskFailed("the model called a tool instead of writing a summary")
    return summary

"""What the user really said: their own words without what a client wraps around or slips in between."""

from __future__ import annotations

import re

_INJECTED = (
    "system-reminder|local-command-caveat|local-command-stdout|local-command-stderr|command-message|command-contents"
    "|task-notification|bash-input|bash-stdout|bash-stderr|ide_opened_file|ide_selection|environment_context"
    "|user_instructions|permissions instructions|collaboration_mode|INSTRUCTIONS|user-prompt-submit-hook|turn_aborted|skill"
    "|apps_instructions|skills_instructions|plugins_instructions|subagent_notification|environment_details"
)
_WRAPPED = re.compile(rf"<({_INJECTED})(?:\s[^>]*)?>.*?(?:</\1>|\Z)", re.DOTALL)
_SLASH = re.compile(r"<command-name>\s*(\S+?)\s*</command-name>(?:\s*<command-args>(.*?)</command-args>)?", re.DOTALL)
_NOT_THEIRS = re.compile(
    r"\A(?:Caveat: The messages below were generated|\[Request interrupted by user|Base directory for this skill:|# AGENTS\.md instructions"
    r"|\[holdfast|No response requested|Stop hook feedback|API Error)"
)
_SUMMARY = re.compile(
    r"\A\s*(?:\[holdfast|This session is being continued from a previous conversation|Another language model started"
    r"|The conversation history before this point|# Context Checkpoint|<summary>|\[?Summary of (?:the )?(?:earlier|previous))",
    re.IGNORECASE,
)
_CHATTER = re.compile(
    r"\A(?:let me|now let me|let's|now i|i'll (?:now|start|check|look|read|run|also)|(?:also )?i? ?need to|next,? i|maybe|if i"
    r"|i(?:'m| am) (?:going|now)"
    r"|great|good|perfect|excellent|now |first,? |ok|okay|sure|here'?s|i will (?:now|start|check|look|read|run))",
    re.IGNORECASE,
)
_OBSERVATION = re.compile(r"\A\s*(?:<returncode>|<output>|<observation>|Observation:|OBSERVATION:)")


def own_words(text: str) -> str:
    """What of a user's text they said themselves; ``""`` where a client wrote all of it.

    A slash command with arguments is kept as it was typed.
    """
    if "<" in text:
        text = _SLASH.sub(_typed, _WRAPPED.sub("", text))
    text = text.strip()
    return "" if _NOT_THEIRS.match(text) or is_summary(text) else text


def _typed(match: re.Match[str]) -> str:
    arguments = (match[2] or "").strip()
    return f"{match[1]} {arguments}" if arguments else ""


def is_summary(text: str) -> bool:
    """Whether a user message is what an earlier compaction left."""
    return bool(_SUMMARY.match(text))


def is_observation(text: str) -> bool:
    """Whether a user message is what an agent without tool calls wrote back after running a command."""
    return bool(_OBSERVATION.match(text))


def is_chatter(sentence: str) -> bool:
    """Whether an assistant only says what it is about to do."""
    return bool(_CHATTER.match(sentence.replace("\u2019", "'")))


def clipped(text: str, length: int) -> str:
    """At most ``length`` characters on one line; what is cut at the end is marked."""
    line = " ".join(text.split())
    return line if len(line) <= length else line[: max(length - 1, 0)].rstrip() + "…"


def one_line(command: str) -> str:
    """A command on one line, with a mark where each of its lines ended, so that two commands do not read as one."""
    return " ⏎ ".join(line.strip() for line in command.strip().splitlines() if line.strip())


def abridged(text: str, length: int) -> str:
    """At most ``length`` characters on one line, the middle cut out: of a command the beginning and the end tell most."""
    line = " ".join(text.split())
    if len(line) <= length:
        return line
    head = length * 3 // 5
    return f"{line[:head].rstrip()} … {line[len(line) - (length - head - 3) :].lstrip()}" if length > 8 else clipped(line, length)


def shortened(text: str, length: int) -> str:
    """At most about ``length`` characters, lines kept; the middle gives way to a mark that says how much is missing."""
    text = text.strip()
    if len(text) <= length:
        return text
    head, tail = text[: length * 2 // 3], text[len(text) - length // 3 :]
    head = head[: head.rfind(" ") + 1] or head
    tail = tail[tail.find(" ") + 1 :]
    return f"{head.rstrip()} […{len(text) - len(head) - len(tail):,} characters…] {tail.lstrip()}"


def sentences(text: str) -> list[str]:
    """The sentences of a text, line by line, without list marks and headings."""
    found: list[str] = []
    for line in text.splitlines():
        line = line.strip().lstrip("#-*•> ").strip()
        if line:
            found += [part for part in re.split(r"(?<=[.!?])\s+(?=[A-Z`\"'(])", line) if part]
    return found

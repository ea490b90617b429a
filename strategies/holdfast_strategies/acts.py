"""Acts: what the assistant did, a tool call and what came back, whatever the agent calls its tools.

Known are the tools of Claude Code, Codex, pi, and agents that write commands into fenced text (mini-swe-agent);
others are understood by the keys of their input.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from holdfast.blocks import Block, Kind, Role
from holdfast.frozen import Json
from holdfast_strategies.kept import Kept
from holdfast_strategies.shell import shell_act, written
from holdfast_strategies.words import abridged, clipped, is_observation, one_line

Verb: TypeAlias = Literal["read", "edit", "write", "run", "search", "list", "fetch", "delegate", "plan", "ask", "other"]

_NAMES: dict[str, Verb] = {
    "read": "read", "view": "read", "notebookread": "read", "read_file": "read", "cat": "read", "open": "read",
    "edit": "edit", "multiedit": "edit", "notebookedit": "edit", "apply_patch": "edit", "str_replace": "edit",
    "str_replace_editor": "edit", "str_replace_based_edit_tool": "edit", "edit_file": "edit",
    "write": "write", "create_file": "write", "write_file": "write",
    "bash": "run", "shell": "run", "exec_command": "run", "local_shell": "run", "execute_bash": "run", "run": "run", "write_stdin": "run",
    "grep": "search", "search": "search", "websearch": "search", "web_search": "search", "toolsearch": "search",
    "glob": "list", "ls": "list", "list": "list", "list_dir": "list", "find": "list",
    "webfetch": "fetch", "fetch": "fetch",
    "task": "delegate", "agent": "delegate", "spawn_agent": "delegate", "wait_agent": "delegate", "taskoutput": "delegate",
    "todowrite": "plan", "update_plan": "plan", "taskcreate": "plan", "taskupdate": "plan", "tasklist": "plan", "exitplanmode": "plan",
    "askuserquestion": "ask", "request_user_input": "ask",
}  # fmt: skip
_BY_KEY: tuple[tuple[str, Verb], ...] = (
    ("old_string", "edit"), ("oldText", "edit"), ("old_str", "edit"), ("edits", "edit"), ("patch", "edit"),
    ("command", "run"), ("cmd", "run"), ("script", "run"), ("url", "fetch"), ("pattern", "search"), ("query", "search"),
    ("file_path", "read"), ("path", "read"), ("prompt", "delegate"),
)  # fmt: skip
_TARGET_KEYS = (
    "file_path", "path", "notebook_path", "filename", "command", "cmd", "script", "pattern", "query", "url", "description",
    "subject", "prompt", "skill", "message", "taskId",
)  # fmt: skip
_PATCHED = re.compile(r"^\*\*\* (Add|Update|Delete) File: (.+)$", re.MULTILINE)
_FENCE = re.compile(r"^```(?:bash|sh|shell|mswea_bash_command)[ \t]*\n(.*?)^```", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Act:
    """One tool call and its result, by block index.

    ``target`` is what it was about, exactly as given: a path, a command, a pattern. ``result`` is ``None`` while nothing
    has come back. ``body`` is the result's text as recorded; ``error`` is the wire's own word that it failed.
    """

    tool: str
    verb: Verb
    target: str
    call: int
    result: int | None = None
    body: str = field(default="", repr=False)
    error: bool = False
    inputs: Mapping[str, Json] = field(default_factory=dict, repr=False)

    @property
    def paths(self) -> tuple[str, ...]:
        """The files it read or changed; a patch may name several."""
        if self.tool.lower() == "apply_patch" or "*** Begin Patch" in self.target:
            return tuple(match[2].strip() for match in _PATCHED.finditer(self.target))
        if self.verb == "run":
            return written(self.target)
        return (self.target,) if self.verb in ("read", "edit", "write") and self.target else ()

    def named(self, length: int = 120) -> str:
        """Tool and input in short, as a person would name it."""
        if self.tool.lower() == "apply_patch":
            return clipped(f"{self.tool} {' '.join(self.paths)}", length)
        what = self.inputs.get("command") or self.inputs.get("cmd") if self.verb != "run" else None
        detail = abridged(one_line(what if isinstance(what, str) else f"{self.target}{_where(self.inputs)}"), length - len(self.tool) - 3)
        return f"{self.tool} `{detail}`" if detail and (self.verb == "run" or what) else f"{self.tool} {detail}".rstrip()


def _where(inputs: Mapping[str, Json]) -> str:
    """Which part of a file or tree was looked at."""
    offset, limit = inputs.get("offset"), inputs.get("limit")
    if isinstance(offset, int):
        return f" lines {offset}-{offset + limit - 1}" if isinstance(limit, int) else f" from line {offset}"
    if isinstance(limit, int):
        return f" lines 1-{limit}"
    path, pattern = inputs.get("path"), inputs.get("pattern")
    return f" in {path}" if isinstance(path, str) and isinstance(pattern, str) and path != pattern else ""


def inputs_of(block: Block) -> Mapping[str, Json]:
    """The input of a tool call, parsed where a dialect keeps it as text."""
    raw = block.wire.get("input") if isinstance(block.wire, dict) else None
    if isinstance(raw, dict):
        return raw
    try:
        parsed = json.loads(block.text)
    except ValueError:
        return {"input": block.text}
    return parsed if isinstance(parsed, dict) else {"input": block.text}


def verb_of(tool: str, inputs: Mapping[str, Json]) -> Verb:
    """What kind of thing a call does: by the tool's name, else by the keys of its input."""
    name = tool.lower().rsplit("__", 1)[-1].rsplit(".", 1)[-1]
    if "content" in inputs and any(key in inputs for key in ("path", "file_path")):
        return "write"
    if name in ("str_replace_editor", "str_replace_based_edit_tool") and inputs.get("command") in ("view", "create"):
        return "read" if inputs["command"] == "view" else "write"
    known = _NAMES.get(name)
    return known if known else next((verb for key, verb in _BY_KEY if key in inputs), "other")


def is_known(tool: str) -> bool:
    """Whether a tool is one of a coding agent's own, whose name says what it does, and not an extension's."""
    return "__" not in tool and tool.lower().rsplit(".", 1)[-1] in _NAMES


def _target(tool: str, verb: Verb, inputs: Mapping[str, Json]) -> str:
    if tool.lower() == "apply_patch":
        return str(inputs.get("input") or inputs.get("patch") or "")
    keys = ("pattern", "query", *_TARGET_KEYS) if verb in ("search", "list") else _TARGET_KEYS
    for key in keys:
        value = inputs.get(key)
        if isinstance(value, str) and value.strip():
            return value.strip()
        if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
            return str(value[-1] if value[0] in ("bash", "sh", "zsh", "/bin/bash", "/bin/zsh") else " ".join(value))
    return next((value.strip() for value in inputs.values() if isinstance(value, str)), "")


_calls: Kept[tuple[str, Verb, str]] = Kept(1_000_000, lambda read: 200 + len(read[2]))  # characters; each plan reads them all again


def _act(block: Block, index: int) -> Act:
    inputs = inputs_of(block)
    tool, verb, target = _calls.get(block.fingerprint, lambda: _read(block, inputs)) if block.fingerprint else _read(block, inputs)
    return Act(tool, verb, target, index, inputs=inputs)


def _read(block: Block, inputs: Mapping[str, Json]) -> tuple[str, Verb, str]:
    """Tool, verb and target of a call."""
    tool = block.tool or "tool"
    verb = verb_of(tool, inputs)
    target = _target(tool, verb, inputs)
    if verb == "run":
        verb, target = shell_act(target)
    return tool, verb, target


def _failed(block: Block) -> bool:
    return isinstance(block.wire, dict) and block.wire.get("is_error") is True


def acts_of(source: Sequence[Block], stop: int | None = None) -> list[Act]:
    """What was done in the first ``stop`` blocks, in order of the calls."""
    stop = len(source) if stop is None else stop
    found: list[Act] = []
    open_calls: dict[str, int] = {}
    fenced: int | None = None
    for index in range(stop):
        block = source[index]
        if block.kind is Kind.TOOL_USE:
            open_calls[block.call or ""] = len(found)
            found.append(_act(block, index))
        elif block.kind is Kind.TOOL_RESULT:
            place = open_calls.pop(block.call or "", None)
            if place is not None:
                found[place] = _closed(found[place], index, block)
        elif block.kind is Kind.TEXT and block.role is Role.ASSISTANT:
            fenced = index
        elif block.kind is Kind.TEXT and fenced is not None and is_observation(block.text):
            found.append(_closed(_fenced(source[fenced], fenced), index, block))
            fenced = None
    return found


def _closed(act: Act, index: int, block: Block) -> Act:
    return Act(act.tool, act.verb, act.target, act.call, index, block.text, _failed(block), act.inputs)


def _fenced(block: Block, index: int) -> Act:
    fences = _FENCE.findall(block.text)
    command = fences[-1].strip() if fences else ""
    verb, target = shell_act(command)
    return Act("bash", verb, target, index, inputs={"command": command})

"""The parts of a digest that list the work: files, commands, errors, and what is still to do."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from holdfast.frozen import Json
from holdfast_strategies.acts import Act
from holdfast_strategies.digest.fit import Item, Section
from holdfast_strategies.digest.session import Session
from holdfast_strategies.outcome import Outcome, plain
from holdfast_strategies.words import abridged, clipped, one_line, shortened

_TELLING = re.compile(
    r"^\[[\w/.@ -]+ [0-9a-f]{7,}\]|\b\d+ (?:passed|failed|tests?|files? changed|errors?)\b|^(?:ok|FAIL|PASS|Tests?:|BUILD|DONE)\b|->|^https?://\S+$"
)
_STEERS = re.compile(
    r"\bgit (?:commit|push|merge|rebase|checkout|switch|reset|stash|branch|tag)\b|\bgh \w+|\b(?:deploy|install|migrate|release|publish)\b"
)
_CREATED = re.compile(r"#?(\d+)")


@dataclass(slots=True)
class _File:
    reads: int = 0
    edits: int = 0
    writes: int = 0
    ranges: list[str] = field(default_factory=list)
    change: str = ""
    last: int = 0


def files(session: Session) -> Section:
    """Each file that was changed or read: how often, where, and the last change."""
    found: dict[str, _File] = {}
    for act in session.acts:
        for path in act.paths:
            _note(found.setdefault(session.brief(path), _File()), act, path)
    items = []
    for path, file in found.items():
        value = file.last / max(session.stop, 1) * 10 + (20 if file.edits or file.writes else 0) + min(file.edits + file.reads, 10) / 2
        line = f"- {path}: {_counts(file)}"
        items.append(Item(-file.last, value, line + (f"; last change {file.change}" if file.change else ""), line))
    return Section("Files, the last touched first", items, 0.16)


def _note(file: _File, act: Act, path: str) -> None:
    file.last = act.call
    if act.verb == "read":
        file.reads += 1
        where = act.named().rsplit(" lines ", 1)
        if len(where) == 2 and where[1] not in file.ranges:
            file.ranges.append(where[1])
    elif not act.error:
        file.edits += act.verb in ("edit", "run")
        file.writes += act.verb == "write"
        file.change = change_of(act, path) or file.change


def _counts(file: _File) -> str:
    parts = [f"{word} {number}x" for word, number in (("edited", file.edits), ("written", file.writes), ("read", file.reads)) if number]
    ranges = f" (lines {', '.join(file.ranges[-3:])})" if file.ranges else ""
    return ", ".join(parts) + ranges


def change_of(act: Act, path: str = "", length: int = 110) -> str:
    """What an edit changed: its first line that differs, before and after; for a new file its size."""
    inputs = act.inputs
    edits = inputs.get("edits")
    if isinstance(edits, list) and edits and isinstance(edits[-1], dict):
        inputs = edits[-1]
    old, new = _text(inputs, "old_string", "oldText", "old_str"), _text(inputs, "new_string", "newText", "new_str")
    if old or new:
        return _difference(old.splitlines(), new.splitlines(), length)
    content = _text(inputs, "content", "file_text")
    if content:
        return f"written whole, {content.count(chr(10)) + 1} lines"
    return _patched(act.target, path, length) if "*** Begin Patch" in act.target else ""


def _text(inputs: Mapping[str, Json], *keys: str) -> str:
    return next((value for key in keys if isinstance(value := inputs.get(key), str)), "")


def _difference(old: list[str], new: list[str], length: int) -> str:
    before, afterwards = _telling([line for line in old if line not in new]), _telling([line for line in new if line not in old])
    if not before and not afterwards:
        return ""
    parts = (f"`{clipped(line, length)}`" if line else "nothing" for line in (before, afterwards))
    return " → ".join(parts)


def _telling(lines: list[str]) -> str:
    """The first line long enough to say something, else the first that is not empty."""
    filled = [line for line in lines if line.strip()]
    return next((line for line in filled if len(line.strip()) >= 20), filled[0] if filled else "")


def _patched(patch: str, path: str, length: int) -> str:
    part = patch.split(f"File: {path}", 1)[-1].split("\n*** ", 1)[0]
    lines = part.splitlines()
    old, new = ([line[1:] for line in lines if line.startswith(sign)] for sign in "-+")
    return _difference(old, new, length)


def commands(session: Session) -> Section:
    """Each command once, with how often it ran and how it last went."""
    runs: dict[str, list[Act]] = {}
    for act in session.acts:
        if act.verb == "run" and act.result is not None and act.target:
            runs.setdefault(one_line(session.brief(act.target)), []).append(act)
    items = []
    for command, acts in runs.items():
        outcome = session.outcome(acts[-1])
        value = acts[-1].call / max(session.stop, 1) * 10 + 4 * outcome.failed + 5 * bool(_STEERS.search(command)) + min(len(acts), 5)
        times = f" ({len(acts)}x)" if len(acts) > 1 else ""
        items.append(
            Item(
                acts[-1].call,
                value,
                f"- `{abridged(command, 200)}`{times} → {outcome.phrase}{_said(acts[-1], outcome)}",
                f"- `{abridged(command, 100)}`{times} → {outcome.phrase}",
            )
        )
    return Section("Commands and how they last went", items, 0.13)


def _said(act: Act, outcome: Outcome) -> str:
    if outcome.failed:
        return f": {clipped(outcome.errors[0], 160)}" if outcome.errors else ""
    lines = [line.strip() for line in plain(act.body).splitlines() if line.strip()]
    telling = [line for line in lines if len(line) < 300 and _TELLING.search(line)]
    line = telling[-1] if telling else lines[-1] if lines else ""
    return f": {clipped(line, 140)}" if line and line != "(no output)" else ""


def errors(session: Session) -> Section:
    """Lines that named an error, and whether the same thing went well later."""
    went_well = {_key(act): act.call for act in session.acts if act.result is not None and not session.outcome(act).failed}
    items: dict[str, Item] = {}
    for act in session.acts:
        outcome = session.outcome(act) if act.result is not None else None
        if outcome is None or not (outcome.failed or outcome.errors):
            continue
        solved = went_well.get(_key(act), -1) > act.call
        for line in outcome.errors[:2]:
            text = clipped(session.brief(line), 220)
            state = "; went well later" if solved else "" if outcome.failed else "; seen in its output"
            value = act.call / max(session.stop, 1) * 5 + 3 * (not solved)
            items[text] = Item(act.call, value, f"- {text} ({clipped(session.brief(act.named(160)), 90)}{state})")
    return Section("Errors", list(items.values()), 0.08)


def _key(act: Act) -> tuple[str, ...]:
    """What makes two acts the same thing: the whole command or input, or doing the same to the same files."""
    if act.verb == "run":
        return act.verb, " ".join(act.target.split()), str(act.inputs.get("workdir", ""))
    return (act.verb, *act.paths) if act.paths else (act.verb, act.tool, json.dumps(act.inputs))


def todos(session: Session) -> Section:
    """The to-do list as it last stood, open entries first, and the last plan that was put to the user."""
    state: dict[str, tuple[str, str]] = {}
    plan = ""
    for act in session.acts:
        if act.verb == "plan":
            plan = _text(act.inputs, "plan") or plan
            for key, text, status in _entries(act):
                kept = text or state.get(key, ("", ""))[0]
                state[key] = (kept, status)
            if isinstance(act.inputs.get("todos"), list) or isinstance(act.inputs.get("plan"), list):
                state = {key: (text, status) for key, text, status in _entries(act)}
    marks = {"completed": "x", "in_progress": "~"}
    items = [
        Item(order, 10 - (status == "completed") * 5, f"- [{marks.get(status, ' ')}] {clipped(text, 200)}")
        for order, (text, status) in enumerate(state.values())
        if text
    ]
    if plan:
        long, short = (f"The plan put to the user: “{shortened(plan, length)}”" for length in (1_500, 400))
        items.insert(0, Item(-1, 3, long, short))
    return Section("To do ([x] done, [~] begun)", items, 0.08)


def _entries(act: Act) -> Iterator[tuple[str, str, str]]:
    """Key, text and status of each entry a call sets."""
    listed = act.inputs.get("todos") or act.inputs.get("plan")
    if isinstance(listed, list):
        for entry in listed:
            if isinstance(entry, dict):
                text = str(entry.get("content") or entry.get("step") or entry.get("subject") or "")
                yield text, text, str(entry.get("status") or "pending")
    elif isinstance(subject := act.inputs.get("subject"), str) and "taskId" not in act.inputs:
        created = _CREATED.search(act.body)
        yield (created[1] if created else subject), subject, "pending"
    elif "taskId" in act.inputs and act.inputs.get("status"):
        yield str(act.inputs["taskId"]), str(act.inputs.get("subject") or ""), str(act.inputs["status"])

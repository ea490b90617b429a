"""Finding transcript files, and which of them belong together.

A session and its sub-agents' files are one session. Resumed and forked sessions begin with copies of another file's lines, under the same
response ids: such files are one *group*, read in the order of their times, and a call is counted only in the first file that has it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from holdfast.errors import InputError, UnknownFormat, Unreadable
from holdfast.readers import lines
from holdfast.readers.formats import read
from holdfast.transcript import Transcript

_IDS = re.compile(rb'"id": ?"((?:msg|resp|chatcmpl|gen)[_-][\w-]+)"')
_UUID = rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_KIN = re.compile(
    rb'"(?:forked_from_id|parent_thread_id|branchedFrom|parentSession)": ?"[^"]*?(' + _UUID + rb')(?:\.jsonl)?"'
    rb'|"type": ?"session(?:_meta)?", ?(?:"payload": ?\{ ?)?"id": ?"(' + _UUID + rb')"'
)
_HEAD = 1 << 16
_STAMP = re.compile(rb'"timestamp": ?"([^"]{10,40})"')
_PIECE = 4 << 20
_OVERLAP = 256


@dataclass(frozen=True, slots=True)
class Failure:
    """A file that gave no transcript, and why. ``foreign`` files are of no known format: among others in a folder that is no news."""

    path: str
    why: str
    foreign: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """Files that must be read together, the earliest first; groups are independent of each other. ``size`` is in bytes, as stored."""

    paths: tuple[Path, ...]
    size: int = 0


def usual_places(home: Path) -> dict[str, Path]:
    """Where agents keep their sessions, by format: those folders under ``home`` that exist."""
    places = {
        "claude-code": home / ".claude" / "projects",
        "codex": home / ".codex" / "sessions",
        "pi": home / ".pi" / "agent" / "sessions",
    }
    return {name: place for name, place in places.items() if place.is_dir()}


def discover(paths: Iterable[str]) -> list[Path]:
    """All files that these files, folders (with all below) and glob patterns name, sorted, each once.

    Hidden files below a folder and links to nothing are left out. Raises ``Unreadable`` for a name that is none of them.
    """
    found: set[Path] = set()
    for name in paths:
        path = Path(name).expanduser()
        if path.is_dir():
            found.update(_below(path))
        elif path.exists():
            found.add(path)
        elif matches := [match for match in Path(path.anchor).glob(str(path.relative_to(path.anchor))) if match.exists()]:
            for match in matches:
                found.update(_below(match) if match.is_dir() else [match])
        else:
            raise Unreadable(name, "no such file or folder, and no file matches it as a pattern")
    return sorted(found)


def _below(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts):
            yield path


def session_of(path: Path) -> Path | None:
    """The session file that a sub-agent's file (``<session>/subagents/agent-*.jsonl``) belongs to, if it is there."""
    if path.parent.name != "subagents" or not path.name.startswith("agent-"):
        return None
    folder = path.parent.parent
    candidates = (folder.with_name(folder.name + ending) for ending in (".jsonl", ".jsonl.gz"))
    return next((candidate for candidate in candidates if candidate.is_file()), None)


@dataclass(slots=True)
class _Scan:
    path: Path
    first: bytes = b""
    last: bytes = b""
    ids: frozenset[bytes] = frozenset()


def _scan(path: Path) -> _Scan:
    """What ties a file to others, found without parsing it: response ids, the session's id, the session it was forked from.

    A file that cannot be read has none.
    """
    ids: set[bytes] = set()
    first = last = b""
    try:
        with lines.opened(path) as stream:
            tail = b""
            while piece := stream.read(_PIECE):
                data = tail + piece
                ids.update(_IDS.findall(data))
                if not tail:
                    ids.update(found for pair in _KIN.findall(data[:_HEAD]) for found in pair if found)
                if not first and (match := _STAMP.search(data)):
                    first = match.group(1)
                last = max(_STAMP.findall(data[-_HEAD:]), default=last)
                tail = data[-_OVERLAP:]
    except (Unreadable, *lines.BROKEN):
        pass  # reading it will say why
    return _Scan(path, first, last, frozenset(ids))


def group(paths: Iterable[Path]) -> list[Group]:
    """The files in groups: copies of the same response ids bring files together; a sub-agent's file goes with its session's."""
    own = sorted(set(paths))
    present = set(own)
    scans = [_scan(path) for path in own if session_of(path) not in present]
    leader: dict[bytes, int] = {}
    parent = list(range(len(scans)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = index = parent[parent[index]]
        return index

    for index, scan in enumerate(scans):
        for found in scan.ids:
            other = leader.setdefault(found, index)
            parent[root(index)] = root(other)
    members: dict[int, list[_Scan]] = {}
    for index, scan in enumerate(scans):
        members.setdefault(root(index), []).append(scan)
    return [_group(scans) for scans in members.values()]


def _group(scans: list[_Scan]) -> Group:
    ordered = sorted(scans, key=lambda scan: (scan.first, scan.last, scan.path))  # a copy begins with the same line, and ends later
    return Group(tuple(scan.path for scan in ordered), sum(scan.path.stat().st_size for scan in ordered))


def read_group(files: Group, *, strict: bool = False) -> Iterator[Transcript | Failure]:
    """The transcripts of a group, file by file. A call that an earlier file has is no turn again; its messages stay in the later prompts.

    A file that cannot be used gives a ``Failure``; with ``strict`` it raises ``InputError``.
    """
    seen: set[tuple[str, str]] = set()
    for path in files.paths:
        try:
            transcripts = read(path, strict=strict)
        except InputError as error:
            if strict:
                raise
            yield Failure(str(path), str(error), isinstance(error, UnknownFormat))
            continue
        for transcript in transcripts:
            yield _without_copies(transcript, seen)


def _without_copies(transcript: Transcript, seen: set[tuple[str, str]]) -> Transcript:
    """The transcript without the turns (and unlogged calls) that are in ``seen``; adds the others to it."""
    fresh = tuple(turn for turn in transcript.turns if not turn.request or (transcript.format, turn.request) not in seen)
    unlogged = tuple(call for call in transcript.unlogged if (call.why, str(call.at)) not in seen)
    seen.update((transcript.format, turn.request) for turn in fresh if turn.request)
    seen.update((call.why, str(call.at)) for call in unlogged)
    if not (copied := len(transcript.turns) - len(fresh)):
        return transcript if len(unlogged) == len(transcript.unlogged) else replace(transcript, unlogged=unlogged)
    note = f"{copied} calls are copies from an earlier file of the same session; they are counted there."
    return replace(transcript, unlogged=unlogged).with_turns(fresh, note)


def read_all(paths: Iterable[Path], *, strict: bool = False) -> Iterator[Transcript | Failure]:
    """All transcripts of these files, group by group and file by file; only one file is in memory at a time."""
    for files in group(paths):
        yield from read_group(files, strict=strict)

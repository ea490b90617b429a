"""How an act went: exit status, the lines that say what went wrong, and the last thing it said."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b

from holdfast_strategies.acts import Act
from holdfast_strategies.kept import Kept
from holdfast_strategies.words import clipped

_STATUS = re.compile(
    r"\A\s*(?:Error: )?Exit code:? (-?\d+)|Process exited with code (-?\d+)|Command exited with code (-?\d+)"
    r"|<returncode>(-?\d+)</returncode>|^exit status (\d+)|\"exit_code\": ?(-?\d+)",
    re.MULTILINE,
)
_ENVELOPE = re.compile(r"\A(?:Command:|Chunk ID:|Wall time:|Exit code|Process exited).*?^Output:\n", re.DOTALL | re.MULTILINE)
_TAGS = re.compile(
    r"<(?:returncode)>.*?</\w+>\s*|</?(?:output|output_head|output_tail|warning|tool_use_error|error)>"
    r"|\A\s*Exit code \d+(?:\n|\Z)|\s*Command exited with code \d+\s*\Z"
)
_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_ERROR = re.compile(
    r"\b(?:error|Error|ERROR|FAIL|FAILED|panic|fatal|Fatal|undefined|cannot|Cannot|denied|rejected|CONFLICT|mismatch|timed out)\b"
    r"|\w(?:Error|Exception)\b|not found|No such file|does not exist|^E  +\S|✗|✖|❌|has not been read|not unique"
)
_NO_ERROR = re.compile(
    r"\b(?:0|no) (?:errors?|failed|failures|issues)\b|\berrors?: 0\b|error_log|--no-error|^\s*(?://|#)|^(?:ok|PASS|=== RUN|--- PASS|\s*✓)"
)
_PLACE = re.compile(r"[\w./@~+-]+\.\w{1,6}[:(]\d+(?:[:,]\d+)?\)?|File \"[^\"]+\", line \d+")
_TEST = re.compile(r"\b(?:tests?|pytest|lint|build|check|tsc|vet|mypy|ruff|clippy|cargo|make|mise|npm|pnpm|yarn|gradle|mvn|compile)\b")


@dataclass(frozen=True, slots=True)
class Outcome:
    """``status`` is the exit status where one was recorded. ``errors`` are the lines that name an error, ``last`` the last line."""

    failed: bool
    status: int | None
    errors: tuple[str, ...]
    last: str
    lines: int

    @property
    def phrase(self) -> str:
        """``ok`` or what failed, in a few words."""
        if not self.failed:
            return "ok"
        return f"exit {self.status}" if self.status else "failed"


def plain(body: str) -> str:
    """A result's own text, without what an agent wraps around it."""
    if body.startswith('{"output":'):
        with suppress(ValueError):
            body = str(json.loads(body).get("output", body))
    body = _ENVELOPE.sub("", body, count=1)
    if "<" in body[:200] or body.startswith("Exit code") or "exited with code" in body[-60:]:
        body = _TAGS.sub("", body)
    return _ANSI.sub("", body) if "\x1b" in body else body


def status_of(body: str) -> int | None:
    """The exit status that stands in a result's envelope, ``None`` where there is none."""
    match = _STATUS.search(body[:600]) or (_STATUS.search(body[-300:]) if "xit" in body[-300:] else None)
    return int(next(group for group in match.groups() if group is not None)) if match else None


_known: Kept[Outcome] = Kept(1_000_000, lambda outcome: 500 + len(outcome.last) + sum(map(len, outcome.errors)))  # characters
_LONGEST = 50_000  # characters of a result whose outcome is remembered


def outcome_of(act: Act) -> Outcome:
    """How an act went. Lines are searched for errors where it failed, or where it was a test, a build or a check."""
    if len(act.body) > _LONGEST:
        return _outcome(act)
    told = f"{act.verb}\0{act.error}\0{len(act.target)}\0{act.target}\0{act.body}".encode("utf-8", "surrogatepass")
    return _known.get(blake2b(told, digest_size=16).digest(), lambda: _outcome(act))


def _outcome(act: Act) -> Outcome:
    text = plain(act.body)
    lines = [line for line in text.splitlines() if line.strip()]
    status = status_of(act.body) if act.verb in ("run", "read", "search", "list") else None
    broke = act.error or bool(status) or act.body.startswith(("<tool_use_error>", "Error: "))
    failed = broke and not _only_empty(act, status, lines)
    checked = act.verb == "run" and _TEST.search(act.target) is not None
    errors = tuple(_errors(lines)) if failed or checked else ()
    last = lines[-1].strip() if lines else ""
    return Outcome(failed, status, errors or ((clipped(last, 160),) if failed and last else ()), last, len(lines))


def _only_empty(act: Act, status: int | None, lines: list[str]) -> bool:
    """A search that found nothing has status 1 and is no failure."""
    return act.verb == "search" and status == 1 and not lines


def _errors(lines: list[str]) -> list[str]:
    """At most three lines that name an error, those with a place in a file first."""
    found = [line.strip() for line in lines if len(line) < 400 and _ERROR.search(line) and not _NO_ERROR.search(line)]
    placed = [line for line in found if _PLACE.search(line)]
    chosen = list(dict.fromkeys(placed + found))[:3]
    return [line for line in dict.fromkeys(found) if line in chosen]

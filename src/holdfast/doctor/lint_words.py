"""Whether what looks volatile is: judged by the words around it.

Without a word like "current" or "session" a number is mostly content: dates of documents, versions, model names, commit hashes, opening
hours. Such are passed over, or only hinted at.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

from holdfast.doctor.lint_advice import Severity

_BEFORE = 90

_LIVE = re.compile(
    r"\b(?:current(?:ly)?|today|now|present|local|server|system|session|conversation|generated|started|rendered|sent)"
    r"(?:'s|[\s_-])?[\w\s_-]{0,12}"
    r"\b_?(?:date|time|day|datetime|timestamp|clock|at|is|on)?\b\W{0,12}(?:is|are|of|:|=|>)?\W{0,6}$"
    r"|\bas of(?: now)?\W{0,4}$|\bnow\W{0,4}$|(?:当前|今天|现在)\w{0,4}\W{0,4}$",
    re.IGNORECASE,
)
_TIMED = re.compile(
    r"(?:\b|_)(?:time|timestamp|datetime|date|epoch|clock|now|ts)\b['\"]?\s*(?:is|:|=|>|\()\W{0,6}$|\bit(?: i|')s\s*(?:\w+,?\s*)?$",
    re.IGNORECASE,
)
_EXAMPLE = re.compile(
    r"\be\.?g\b|\bexamples?\b|\bsuch as\b|\blike\b|\bformat|\bi\.e\b|\bpattern\b|\bsample\b|\bmust (?:be|look)\b|\bYYYY|ISO[- ]?8601",
    re.IGNORECASE,
)
_FIXED = re.compile(
    r"cut-?off|releas|version|updated|until|before|after|since|deadline|due|born|publish|copyright|©|licen[cs]e|effective|expires?"
    r"|launched|founded|from|between|by|revision|commit|trained",
    re.IGNORECASE,
)
_OF_RUN = re.compile(
    r"(?:session|request|trace|run|conversation|thread|chat|invocation|correlation|span|message|execution|job)s?(?:[\s_-]?(?:id|uuid|key|token|url))?\W{0,12}(?:is\W{0,4})?$",
    re.IGNORECASE,
)
_HASHED = re.compile(
    r"(?:commit|sha\d*|hash|checksum|digest|revision|rev|git|md5|integrity|blob|tree|@|#)\W{0,6}(?:is\W{0,3})?$", re.IGNORECASE
)
_LIMIT = re.compile(
    r"(?<![a-z])(?:less than|fewer than|below|under|at least|at most|more than|over|exceed\w*|reach\w*|when|if|once|until|up to|max\w*"
    r"|limit\w*|every|per|after|first|last|each|keep|minimum|within|default\w*)\W*(?:\w+\W+){0,4}$"
    r"|(?<![\w\"/])[<>≤≥]=?\s*\$?$",
    re.IGNORECASE,
)
_STATED = re.compile(r"\b(?:current(?:ly)?|this is|now(?: on| at| in)?|you are (?:on|at|in))\W+(?:\w+\W+)?$", re.IGNORECASE)
_WEEKDAY = re.compile(r"\b(?:Mon|Tue|Wednes|Thurs|Fri|Satur|Sun)day,?\s*$|\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),?\s*$", re.IGNORECASE)
_ASSET = re.compile(r"https?://\S*(?:user-attachments|images?|assets?|media|static|cdn)\S*$", re.IGNORECASE)
_KNOWN_UUIDS = ("00000000-0000-0000-0000-000000000000", "123e4567-e89b-", "550e8400-e29b-41d4-a716-446655440000", "f47ac10b-58cc-4372-")


@dataclass(frozen=True)
class Around:
    """A match and what stands around it in its text. ``in_tools``: the text is a tool definition's."""

    match: re.Match[str]
    in_tools: bool

    @cached_property
    def before(self) -> str:
        """The end of the line up to the match, and of the line before it where that is short."""
        text = self.match.string[max(0, self.match.start() - _BEFORE) : self.match.start()]
        lines = _WEEKDAY.sub("", text).rsplit("\n", 2)
        return lines[-1] if len(lines[-1]) > 25 or len(lines) < 2 else "\n".join(lines[-2:])

    @property
    def line(self) -> str:
        """The line up to the match."""
        return self.before.rsplit("\n", 1)[-1]

    @cached_property
    def live(self) -> bool:
        """Whether the words before say "current", "today", "now" or the like."""
        return bool(_LIVE.search(self.before))

    @cached_property
    def timed(self) -> bool:
        """Whether the words before only say that it is a time or a date."""
        return bool(_TIMED.search(self.before))

    @cached_property
    def of_run(self) -> bool:
        """Whether the words before name a session, a request or a run."""
        return bool(_OF_RUN.search(self.before))

    @cached_property
    def example(self) -> bool:
        """Whether it is shown as an example: by the words on its line, or by standing in a code fence."""
        return bool(_EXAMPLE.search(self.line)) or self.match.string.count("```", 0, self.match.start()) % 2 == 1

    @cached_property
    def enumerated(self) -> bool:
        """Whether the same word is counted with other numbers in the same text: steps of instructions, turns of an example."""
        word = self.match[1]
        return len({found.lower() for found in re.findall(rf"\b{word}\s*#?\s*(\d+)", self.match.string, re.IGNORECASE)}) > 1


Judge: TypeAlias = Callable[[Around], Severity | None]


def _hedged(sure: bool, around: Around) -> Severity | None:
    """Likely where it is sure; else possible, and nothing where it is an example or in a tool's definition."""
    if sure:
        return Severity.LIKELY
    return None if around.example or around.in_tools else Severity.POSSIBLE


def timestamp(around: Around) -> Severity | None:
    """A date with a time. Always reported outside tools, as an example only as possible."""
    if around.in_tools and around.example and not around.live:
        return None
    midnight = re.search(r"\b00:00(?::00)?\b", around.match[0])
    plain = not around.example and not around.in_tools and not midnight and not _FIXED.search(around.line[-20:])
    return Severity.LIKELY if around.live or plain else Severity.POSSIBLE


def clock(around: Around) -> Severity | None:
    """A time of day: with seconds, or where the words before say what it is."""
    shown = around.match[0]
    if re.fullmatch(r"00:00(:00)?|23:59(:59)?|24:00", shown) or int(shown.split(":")[0]) > 24:
        return None
    if around.live:
        return Severity.LIKELY
    seconds = re.match(r"\d+:\d+:", shown) is not None
    opens = seconds and around.match.start() < 40
    return _hedged(opens, around) if seconds or (around.timed and not around.in_tools) else None


def date(around: Around) -> Severity | None:
    """A date, where the words before say that it is today's; it changes once a day, so it is only possible."""
    if not (around.live or around.timed) or around.example or _FIXED.search(around.line[-30:]):
        return None
    return Severity.POSSIBLE


def epoch(around: Around) -> Severity | None:
    """Seconds since 1970, or finer."""
    return _hedged((around.live or around.timed) and not around.example, around)


def uuid(around: Around) -> Severity | None:
    """A UUID, but those of examples and of pictures' addresses."""
    if around.match[0].lower().startswith(_KNOWN_UUIDS) or (not around.of_run and (around.example or _ASSET.search(around.line))):
        return None
    return Severity.LIKELY if around.of_run and not around.example else Severity.POSSIBLE


def mixed(text: str, changes: int) -> bool:
    """Whether a text goes between letters and digits, or large and small letters, that often: drawn at random, not named by people."""
    classes = re.findall(r"[0-9]+|[a-z]+|[A-Z]+", text)
    return sum(part[0].isdigit() for part in classes) >= 2 and len(classes) > changes


def hexadecimal(around: Around) -> Severity | None:
    """A hexadecimal id, but a commit or a checksum."""
    shown = around.match[0].lower()
    if _HASHED.search(around.before) or not mixed(shown, 4):
        return None
    if around.of_run:
        return _hedged(not around.example, around)
    return None if len(shown) in (40, 64) or _ASSET.search(around.line) else _hedged(False, around)


def ulid(around: Around) -> Severity | None:
    """A ULID."""
    return _hedged(around.of_run and not around.example, around) if mixed(around.match[0], 5) else None


def prefixed(around: Around) -> Severity | None:
    """An id that says what it is of: ``req_…``, ``session_…``."""
    return _hedged(not around.example, around) if mixed(around.match[2], 3) else None


def random(around: Around) -> Severity | None:
    """A long word of letters and digits as drawn at random."""
    drawn = mixed(around.match[0], 9) and not re.search(r"[A-Za-z]{9}", around.match[0])
    return _hedged(around.of_run and not around.example, around) if drawn else None


def counter(around: Around) -> Severity | None:
    """ "Turn 12 of 50" and "request 17", but not the steps of an instruction nor a limit."""
    if around.enumerated or around.example or _LIMIT.search(around.line):
        return None
    if _STATED.search(around.line) or (around.match[3] and around.match[1].lower() != "step"):
        return Severity.LIKELY
    return Severity.POSSIBLE if int(around.match[2]) > 1 and not around.in_tools else None


def remaining(around: Around) -> Severity | None:
    """What is left or used of tokens, turns, money; not a limit."""
    number = re.search(r"\$?\d", around.match[0])
    ahead = around.line + around.match[0][: number.start() if number else 0]
    return None if around.example or _LIMIT.search(ahead) or _LIMIT.search(around.line) else Severity.LIKELY


def temporary(around: Around) -> Severity | None:
    """A folder that was made for one run."""
    name = around.match[1] or around.match[0]
    tail = re.sub(r"^(?:tmp|temp)[._-]?", "", name)
    if not re.search(r"\d", tail) or not (name.startswith(("tmp", "pytest-of-")) or mixed(tail, 3)):
        return None
    return _hedged(not around.example, around)


def port(around: Around) -> Severity | None:
    """A port of the range from which the system gives them out."""
    return _hedged(False, around) if 32_768 <= int(around.match[1]) <= 65_535 else None


def pid(around: Around) -> Severity | None:
    """A process id."""
    return _hedged(not around.example, around)

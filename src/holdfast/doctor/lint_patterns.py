"""What volatile content looks like in a text: clocks, dates, ids, counters, places of one run. Pure text in, sightings out.

A pattern finds, its judge (``lint_words``) decides. Everything that is found holds a digit.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

from holdfast.doctor import lint_words as words
from holdfast.doctor.lint_advice import Severity

_MOST = 200
"""More finds of one pattern in one text tell nothing more, and cost time."""

_MONTH = (
    r"(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?|Oct(?:ober)?"
    r"|Nov(?:ember)?|Dec(?:ember)?)"
)
_NTH = r"\d{1,2}(?:st|nd|rd|th)?"
_DAY = (
    rf"(?:\d{{4}}-\d\d-\d\d|{_MONTH}\.? {_NTH},? \d{{4}}|{_NTH} {_MONTH}\.?,? \d{{4}}"
    r"|\d{1,2}([/.])\d{1,2}\1\d{4}|\d{4}/\d{1,2}/\d{1,2}|\d{4}年\d{1,2}月\d{1,2}日)"
)
_ISO = r"\d{4}-\d\d-\d\d[T_ ]\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?"
_CLOCK = r"\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d{1,9})?)?(?:\s?[ap]\.?m\b\.?)?"
_ZONE = r"(?:Z|\s?(?:Z|UTC|GMT)\b|\s?[+-]\d\d:?\d\d)?"
_HALF = r"\s?[ap]\.?m\b\.?"
_TIME = rf"(?:\d{{1,2}}:\d{{2}}:\d{{2}}(?:[.,]\d{{1,9}})?(?:{_HALF}|{_ZONE})|\d{{1,2}}:\d{{2}}(?:{_HALF})?)"
_NUMBER = r"\$?\d[\d.,]*\s?[kM%]?"
_URL = re.compile(r"\bhttps?://[^\s<>\"')\]]+")
_STOCK = r"(?:tokens?|context(?: window)?|budget|credits?|quota|turns?|steps?|requests?|messages?|(?:tool )?calls?|iterations?)"


@dataclass(frozen=True, slots=True)
class Sighting:
    """Something volatile in a text, from ``start`` up to ``stop``. ``live``: the words before it say that it is of this moment or run."""

    code: str
    start: int
    stop: int
    severity: Severity
    live: bool


@dataclass(frozen=True, slots=True)
class Pattern:
    """What is looked for. ``in_urls``: also inside a URL, where dates and numbers are part of an address."""

    code: str
    regex: re.Pattern[str]
    judge: words.Judge
    in_urls: bool = False


def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


PATTERNS = (
    Pattern("volatile_timestamp", _compiled(rf"{_ISO}{_ZONE}"), words.timestamp, True),
    Pattern("volatile_timestamp", _compiled(rf"(?<!\d){_DAY}(?:[T_]|,? (?:at )?){_CLOCK}{_ZONE}(?!\d)"), words.timestamp, True),
    Pattern("volatile_timestamp", _compiled(rf"\b{_MONTH} +\d{{1,2}},? \d\d:\d\d:\d\d(?: [a-z]{{2,5}})? \d{{4}}\b"), words.timestamp),
    Pattern("volatile_timestamp", re.compile(r"(?<!\d)(?:19|20)\d{6}T\d{6}Z?(?!\d)"), words.timestamp, True),
    Pattern(
        "volatile_uuid",
        _compiled(r"(?<![0-9a-z])[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}(?![0-9a-z])"),
        words.uuid,
        True,
    ),
    Pattern(
        "volatile_remaining",
        _compiled(
            rf"(?<![a-z]){_STOCK}(?![a-z])[^.\n\d]{{0,30}}(?<![a-z])(?:left|remain(?:s|ing)?|used|consumed)\b[^.\n\d]{{0,12}}{_NUMBER}"
        ),
        words.remaining,
    ),
    Pattern(
        "volatile_remaining", _compiled(rf"\bremaining[\s_-]+{_STOCK}\W{{0,6}}{_NUMBER}|\bused\s+\d+\s*(?:of|/)\s*\d+"), words.remaining
    ),
    Pattern(
        "volatile_remaining", _compiled(rf"\b(?:(?:cost|spent|time) so far|elapsed(?: time)?|uptime)\W{{0,4}}{_NUMBER}"), words.remaining
    ),
    Pattern(
        "volatile_remaining",
        _compiled(rf"\b(?:tokens?|context)[\s_-]*(?:usage|used|budget)?\s*[:=]\s*{_NUMBER}\s*/\s*{_NUMBER}"),
        words.remaining,
    ),
    Pattern(
        "volatile_remaining",
        _compiled(
            rf"(?<![\w.-]){_NUMBER}\s*(?:(?:of|/)\s*{_NUMBER}\s*)?(?:more\s+)?"
            rf"(?:{_STOCK}|of (?:the |your )?(?:context|budget|quota)[\w ]{{0,10}})\s*(?:are |is )?(?:left|remain(?:s|ing)?)\b"
        ),
        words.remaining,
    ),
    Pattern(
        "volatile_remaining", _compiled(r"(?<![\w.-])\d{1,3}(?:\.\d+)?\s?%\s*(?:is |are )?(?:left|remain(?:s|ing)?)\b"), words.remaining
    ),
    Pattern(
        "volatile_counter",
        _compiled(
            r"(?<![\w-])(request|turn|step|iteration|attempt|round|message)\s*(?:no\.?|number|count)?\s*[:=]?\s*#?(\d+)\b"
            r"(\s*(?:of|/|out of)\s*\d+)?(?![\w:-]|\.\d|\s[a-z])"
        ),
        words.counter,
    ),
    Pattern("volatile_pid", _compiled(r"\b(?:pid|process id)\W{0,3}(?:is )?\d{2,7}\b"), words.pid),
    Pattern("volatile_temp_path", re.compile(r"/tmp/(pytest-of-\w+/pytest-\d+|[\w.-]{4,60})"), words.temporary, True),
    Pattern("volatile_temp_path", re.compile(r"/var/folders/\w{2}/\w{20,40}/[TC]/([\w.-]{4,60})"), words.temporary, True),
    Pattern("volatile_temp_path", _compiled(r"\\temp\\(tmp\w{5,12})"), words.temporary),
    Pattern("volatile_port", _compiled(r"(?:localhost|127\.0\.0\.1|\[::1\]):(\d{5})\b"), words.port, True),
    Pattern(
        "volatile_id",
        re.compile(
            r"(?<![\w-])(msg|req|request|sess|session|run|thread|conv|chat|trace|job|task|resp|gen)[_-]([A-Za-z0-9]{8,64})(?![\w-])"
        ),
        words.prefixed,
        True,
    ),
    Pattern("volatile_ulid", re.compile(r"(?<![A-Za-z0-9])[0-7][0-9A-HJKMNP-TV-Z]{25}(?![A-Za-z0-9])"), words.ulid, True),
    Pattern("volatile_id", _compiled(r"(?<![\w-])(?=[0-9a-f]*[a-f])[0-9a-f]{16,64}(?![\w-])"), words.hexadecimal, True),
    Pattern("volatile_epoch", re.compile(r"(?<![\w.,#-])1[67]\d{8}(?:\d{9}|\d{6}|\d{3})?(?:\.\d{1,7})?(?![\w,-])"), words.epoch),
    Pattern("volatile_clock", _compiled(rf"(?<![\d:.\w/]){_TIME}(?![\d:])"), words.clock),
    Pattern("volatile_date", _compiled(rf"(?<![\w\-/.@]){_DAY}(?![\w-])"), words.date),
    Pattern("volatile_id", re.compile(r"(?<![\w/+=.-])[A-Za-z0-9_-]{20,80}(?![\w/+=-])"), words.random),
)


@lru_cache(maxsize=64)
def sightings(text: str, in_tools: bool = False) -> tuple[Sighting, ...]:
    """What is volatile in a text. No two overlap: what an earlier pattern has taken, or passed over, no later one takes up.

    The last 64 texts are remembered: the requests of a log share their system prompt, and several checks ask.
    """
    return tuple(_sightings(text, in_tools))


def _sightings(text: str, in_tools: bool) -> Iterator[Sighting]:
    urls = [found.span() for found in _URL.finditer(text)]
    taken: list[tuple[int, int]] = []
    for pattern in PATTERNS:
        for match in islice(pattern.regex.finditer(text), _MOST):
            start, stop = match.span()
            if _within(start, stop, taken) or (not pattern.in_urls and _within(start, stop, urls)):
                continue
            around = words.Around(match, in_tools)
            severity = pattern.judge(around)
            taken.append((start, stop))
            if severity is not None:
                yield Sighting(pattern.code, start, stop, severity, around.live or around.of_run or pattern.code in _LIVE_CODES)


_LIVE_CODES = ("volatile_remaining", "volatile_counter", "volatile_pid")


def _within(start: int, stop: int, spans: list[tuple[int, int]]) -> bool:
    return any(start < end and begin < stop for begin, end in spans)

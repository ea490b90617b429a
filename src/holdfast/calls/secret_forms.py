"""What secrets look like: the forms that makers give their keys, the names that secrets stand behind, and what is none after all.

Every repeat in a pattern is bounded or possessive, and nothing is tried twice: no text makes a search slow.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from math import log2
from typing import NamedTuple

REPLACED = "[redacted:"
"""What stands for a secret begins so."""
LONGEST = 4_000
"""A value behind a name that is longer, in characters, is a document and no secret; it is still searched for other forms."""
_LEAST_RANDOM = 12
_LEAST_BITS = 2.5
"""Bits of entropy for each character, by the value's own counts, that a drawn value has at least."""
_LEAST_SWITCHES = 0.15
"""The share of places where a drawn value goes from small letters to capitals to digits; words joined by hyphens have none."""


@dataclass(frozen=True, slots=True)
class Form:
    """How a maker's keys look.

    ``needle``: what they begin with. ``run``: the characters that follow each other. ``whole``: the key. ``digits``: how many it has at
    least. ``random``: words joined by hyphens begin so too, and are told apart.
    """

    kind: str
    needle: str
    run: re.Pattern[str]
    whole: re.Pattern[str]
    digits: int = 2
    random: bool = False


_WORD = re.compile(r"[A-Za-z0-9_-]*+")
_ALNUM = re.compile(r"[A-Za-z0-9_]*+")
_DOTTED = re.compile(r"[A-Za-z0-9_.-]*+")
_PATH = re.compile(r"[A-Za-z0-9_/.:+=-]*+")


def _form(kind: str, needle: str, rest: str, run: re.Pattern[str] = _WORD, digits: int = 2) -> Form:
    return Form(kind, needle, run, re.compile(re.escape(needle) + rest), digits, needle == "sk-")


FORMS = (
    _form("anthropic-key", "sk-ant-", r"[A-Za-z0-9_-]{16,}+"),
    _form("api-key", "sk-", r"(?!ant-)[A-Za-z0-9_-]{20,}+"),
    _form("api-key", "pk-lf-", r"[A-Za-z0-9-]{20,}+"),
    _form("stripe-key", "sk_", r"(?:live|test)_[A-Za-z0-9]{16,}+", _ALNUM),
    _form("stripe-key", "rk_", r"(?:live|test)_[A-Za-z0-9]{16,}+", _ALNUM),
    _form("stripe-key", "whsec_", r"[A-Za-z0-9]{16,}+", _ALNUM),
    _form("aws-key-id", "AKIA", r"[A-Z0-9]{16}+(?![A-Za-z0-9])", _ALNUM, 0),
    _form("aws-key-id", "ASIA", r"[A-Z0-9]{16}+(?![A-Za-z0-9])", _ALNUM, 1),
    *(_form("github-token", f"gh{letter}_", r"[A-Za-z0-9]{20,}+", _ALNUM) for letter in "pousr"),
    _form("github-token", "github_pat_", r"[A-Za-z0-9_]{20,}+", _ALNUM),
    _form("gitlab-token", "glpat-", r"[A-Za-z0-9_-]{16,}+"),
    *(_form("slack-token", f"xox{letter}-", r"[A-Za-z0-9-]{10,}+") for letter in "abceoprs"),
    _form("slack-token", "xapp-", r"[A-Za-z0-9-]{10,}+"),
    _form("slack-webhook", "hooks.slack.com/services/", r"[A-Za-z0-9/]{20,}+", _PATH),
    _form("google-key", "AIza", r"[A-Za-z0-9_-]{35,}+"),
    _form("google-token", "ya29.", r"[A-Za-z0-9_-]{20,}+", _DOTTED),
    _form("google-secret", "GOCSPX-", r"[A-Za-z0-9_-]{20,}+"),
    _form("huggingface-token", "hf_", r"[A-Za-z0-9]{30,}+", _ALNUM, 0),
    _form("npm-token", "npm_", r"[A-Za-z0-9]{30,}+", _ALNUM),
    _form("pypi-token", "pypi-", r"AgEIcHlwaS5vcmc[A-Za-z0-9_-]{20,}+"),
    _form("sendgrid-key", "SG.", r"[A-Za-z0-9_-]{16,}+\.[A-Za-z0-9_-]{16,}+", _DOTTED),
    _form("api-key", "gsk_", r"[A-Za-z0-9]{32,}+", _ALNUM),
    _form("api-key", "xai-", r"[A-Za-z0-9]{32,}+"),
    _form("api-key", "pplx-", r"[A-Za-z0-9]{32,}+"),
    _form("api-key", "tvly-", r"[A-Za-z0-9-]{20,}+"),
    _form("api-key", "r8_", r"[A-Za-z0-9]{32,}+", _ALNUM),
    _form("api-key", "lin_api_", r"[A-Za-z0-9]{32,}+", _ALNUM),
    _form("databricks-token", "dapi", r"[0-9a-f]{32}+(?![A-Za-z0-9])", _ALNUM),
    _form("digitalocean-token", "dop_v1_", r"[0-9a-f]{40,}+", _ALNUM),
    _form("jwt", "eyJ", r"[A-Za-z0-9_-]{8,}+\.[A-Za-z0-9_-]{8,}+\.[A-Za-z0-9_-]*+(?:\.[A-Za-z0-9_-]++){0,2}", _DOTTED, 0),
)
"""Anthropic before the others, as its keys begin with theirs. From the makers' documentation and GitHub's page *Supported secret scanning
patterns* (docs.github.com, 2026-08)."""

USER_INFO = re.compile(r"[^\s/@:'\"`<>\\]{0,100}+:(?P<password>[^\s/@'\"`<>\\]{1,200}+)@")
PRIVATE_KEY = re.compile(r"[A-Z0-9 ]{0,40}?PRIVATE KEY(?: BLOCK)?-----")
KEY_END = re.compile(r"-----END [A-Z0-9 ]{0,60}+-----")
KEY_LINES = re.compile(r"(?:(?:\s|\\[nr])*+[A-Za-z0-9+/=]{16,}+)*+")
GAP = re.compile(r"[ \t]{1,3}+")
CREDENTIAL = re.compile(r"[A-Za-z0-9._~+/=-]*+")
ASSIGNMENT = re.compile(
    r"(?P<rest>[A-Za-z0-9_-]{0,24}+)(?P<quote>\\{0,3}+[\"'`]?+\]?+)"
    r"(?::[ \t]{0,2}+(?:str|String|string|Optional\[str\]|str \| None)[ \t]{0,2}+(?==))?"
    r"(?:[ \t]{0,8}+(?P<operator>=>|:=|={1,2}+|:|>)|(?P<blank>[ \t]))[ \t]{0,8}+"
)
"""What stands between a name that has one of ``WORDS`` in it and the value. A blank alone is an operator behind ``--name`` only."""

WORDS = ("passw", "passphrase", "passcode", "pwd", "secret", "token", "key", "credential", "auth", "cookie")
"""Every name of a secret has one of these in it."""

_OPENING = re.compile(r"[fbruFBRU]{0,2}+(?P<opening>\\{0,3}+[\"'`])")
_QUOTED = re.compile(r"[^\"'`\s\\]{1,400}+")
_BARE = re.compile(r"[^\s\"'`,;&<>()\[\]{}\\|]{1,400}+")
_PART = re.compile(r"[A-Z]{1,40}(?![a-z])|[A-Z]?[a-z]{1,40}+|[0-9]{1,40}+")
_SECRET_PAIRS = frozenset({"api", "access", "secret", "private", "auth", "encryption", "signing", "account", "master", "shared", "service"})
_JOINED = {"apikey": "api-key", "accesskey": "api-key", "secretkey": "secret", "privatekey": "secret", "authkey": "api-key"}
_PASSWORDS = frozenset({"password", "passwd", "passphrase", "passcode"})
_TOKENS = {
    "token": "token",
    "secret": "secret",
    "secrets": "secret",
    "credential": "secret",
    "credentials": "secret",
    "authorization": "token",
    "auth": "token",
    "cookie": "cookie",
    "pwd": "password",
}
_NO_SECRET = frozenset(
    {
        "next",
        "page",
        "continuation",
        "sync",
        "cursor",
        "pad",
        "eos",
        "bos",
        "unk",
        "mask",
        "cls",
        "sep",
        "stop",
        "special",
        "max",
        "min",
        "cancellation",
        "first",
        "last",
        "start",
        "end",
        "previous",
        "prev",
        "pagination",
        "resume",
        "total",
        "per",
        "input",
        "output",
        "prompt",
        "completion",
        "cached",
        "new",
        "old",
        "current",
        "num",
        "count",
        "public",
        "primary",
        "foreign",
        "cache",
        "sort",
    }
)
"""Words that make no secret of the token or key behind them: places in a list, and pieces of text."""
_PLACEHOLDER = re.compile(
    r"(?:(?:your|my|the|an|a|some|insert|enter|example|sample|dummy|fake|placeholder|changeme|change|replace|string|str|text|none|null|nil"
    r"|undefined|true|false|secrets|secret|tokens|token|password|passwd|pass|passphrase|keys|key|api|access|value|hidden|required|invalid"
    r"|optional|redacted|masked|removed|here|me|in|bearer|basic|auth|user|username|admin|new|old|current|confirm|type|name|id|env|oauth"
    r"|x|\*|\.|-|_|#|…|•)[-_. ]?+){1,12}+",
    re.IGNORECASE,
)
_ELSEWHERE = (REPLACED, "$", "{", "<", "%", "/", "~", "./", "../")
"""A value that begins so says where the secret is to be had, or that there was one."""
_BLANK = re.compile(r"\s")
_SIGN = re.compile(r"[(){}<>$]")
_DIGIT = re.compile(r"\d")
_CODE = re.compile(r"[A-Za-z_$][\w$]*+(?:(?:\.|::|->|\?\.)[A-Za-z_$][\w$]*+)++")
_ENVIRONMENT = re.compile(r"[A-Z][A-Z0-9_]*+")


class Value(NamedTuple):
    """A value in a text. ``quoted``: it stood between quotation marks, which are left out. ``last``: it ends its line."""

    start: int
    stop: int
    quoted: bool
    last: bool = False


class Assigned(NamedTuple):
    """A name of the ``kind`` of secret that stands behind it, the two characters ``before`` the name, what is between the two (``""``: a
    blank), and where that ends.
    """

    kind: str
    name: str
    before: str
    operator: str
    end: int

    def kind_of(self, text: str, value: Value) -> str:
        """The kind of secret that the value is, ``""`` where it is none."""
        literal = value.quoted or self.operator in ("", ">") or self._is_setting
        return self.kind if is_secret(text, self.kind, literal, value.last) else ""

    @property
    def _is_setting(self) -> bool:
        """Whether what is not quoted is still meant as it stands: in the environment and in queries."""
        return self.operator == "=" and (bool(_ENVIRONMENT.fullmatch(self.name)) or self.before[-1:] in ("?", "&"))


def assigned_at(text: str, at: int, stop: int) -> Assigned | None:
    """The name around a word of ``WORDS`` from ``at`` up to ``stop``, if it is a secret's and something is assigned to it."""
    tail = ASSIGNMENT.match(text, stop)
    if tail is None:
        return None
    start = name_start(text, at)
    name, before, operator = text[start:stop] + tail["rest"], text[max(0, start - 2) : start], tail["operator"] or ""
    if (not operator and before != "--") or (operator == ">" and not before.endswith("<")):
        return None
    kind = kind_of_name(name)
    if not kind or text.startswith(REPLACED, max(0, start - len(REPLACED))):
        return None
    return Assigned(kind, name, before, operator, tail.end())


def lowered(text: str) -> str:
    """The text in small letters, every character at its place."""
    low = text.lower()
    return low if len(low) == len(text) else "".join(each.lower() if each.isascii() else each for each in text)


def run(pattern: re.Pattern[str], text: str, at: int) -> int:
    """Where a run of a pattern's characters that begins at ``at`` ends; ``at`` where there is none."""
    found = pattern.match(text, at)
    return found.end() if found else at


def name_start(text: str, at: int) -> int:
    """Where the name begins that has a word of ``WORDS`` at ``at``."""
    first = max(0, at - 40)
    while at > first and (text[at - 1] in "_-" or (text[at - 1].isascii() and text[at - 1].isalnum())):
        at -= 1
    while text[at : at + 1] == "-":  # the dashes of an option are no part of its name
        at += 1
    return at


def value_at(text: str, at: int) -> Value | None:
    """The value that begins there: what stands in quotation marks without a blank, or a bare word."""
    opened = _OPENING.match(text, at)
    if opened is None:
        bare = _BARE.match(text, at)
        if bare is None or text.startswith(("(", "["), bare.end()):
            return None
        return Value(at, at + len(bare[0].rstrip(".:")), False, text[bare.end() : bare.end() + 1] in ("", "\n", "\r"))
    opening, start = opened["opening"], opened.end()
    stop = start
    for _ in range(9):
        stop = text.find(opening, stop, start + LONGEST // 8)
        if stop < 0:
            return _cut(text, start)
        if len(opening) > 1 or text[stop - 1] != "\\" or stop == start:
            break
        stop += 1
    return Value(start, stop, True) if stop > start and not _BLANK.search(text, start, stop) else None


def _cut(text: str, start: int) -> Value | None:
    """A value whose closing quotation mark is missing: the text was cut off within it, or the mark was none."""
    found = _QUOTED.match(text, start)
    return Value(start, found.end(), True) if found and found.end() == len(text) else None


@lru_cache(maxsize=4_096)
def kind_of_name(name: str) -> str:
    """What a name says that its value is: ``"password"``, ``"token"``, ``"secret"``, ``"api-key"`` …, or ``""``."""
    if len(name) > 100:
        return ""
    parts = [part.lower() for part in _PART.findall(name)]
    while parts and (parts[-1].isdecimal() or parts[-1] in ("value", "plain", "plaintext")):
        parts.pop()
    if not parts:
        return ""
    last, before = parts[-1], parts[-2] if len(parts) > 1 else ""
    if last in _PASSWORDS:
        return "password" if before not in ("show", "hide", "toggle", "forgot", "reset", "no") else ""
    if before in _NO_SECRET:
        return ""
    if "aws" in parts and "secret" in parts:
        return "aws-secret"
    if last == "key":
        return ("secret" if "secret" in parts or before == "private" else "api-key") if before in _SECRET_PAIRS else ""
    return _JOINED.get(last, "") or _TOKENS.get(last, "")


def is_secret(value: str, kind: str, literal: bool, last: bool = False) -> bool:
    """Whether a value behind a name of that kind is a secret.

    ``literal``: it is surely meant as it stands, not as code. ``last``: it ends its line, as in files of settings.
    """
    if len(value) < 3 or value.startswith(_ELSEWHERE) or _BLANK.search(value) or is_placeholder(value):
        return False
    if kind == "bearer":
        return len(value) >= 6 and bool(_DIGIT.search(value))
    if kind != "password":
        return is_random(value)
    if literal:
        return not _is_reference(value)
    return len(value) >= 4 and bool(_DIGIT.search(value)) and not _CODE.fullmatch(value) and (last or not value.isidentifier())


def _is_reference(value: str) -> bool:
    """Whether a text names where a value is to be had, rather than being it."""
    return "${" in value or "{{" in value or "$(" in value or value.endswith(("()", ")"))


def is_placeholder(value: str) -> bool:
    """Whether it stands for a secret that somebody will put there."""
    return len(set(value)) < 2 or REPLACED in value or value[0] in "$<{%" or bool(_PLACEHOLDER.fullmatch(value[:100]))


def is_drawn(value: str, form: Form) -> bool:
    """Whether a key has as many digits as such keys have, and is no row of one character."""
    return sum(each.isdigit() for each in value) >= form.digits and len(set(value)) > 7 and (not form.random or is_random(value))


def is_random(value: str) -> bool:
    """Whether it looks drawn at random: long enough, of many different characters, going to and fro between kinds of them."""
    if len(value) < _LEAST_RANDOM or value.startswith(("http://", "https://", "/", "./", "arn:")) or _CODE.fullmatch(value):
        return False
    if not _DIGIT.search(value) or _SIGN.search(value):
        return False
    count = Counter(value)
    bits = -sum(many / len(value) * log2(many / len(value)) for many in count.values())
    return bits >= _LEAST_BITS and _switches(value) >= _LEAST_SWITCHES * len(value)


def _switches(value: str) -> int:
    kinds = [_kind(each) for each in value]
    return sum(one != other and "" not in (one, other) for one, other in pairwise(kinds))


def _kind(character: str) -> str:
    return "0" if character.isdigit() else "A" if character.isupper() else "a" if character.isalpha() else ""

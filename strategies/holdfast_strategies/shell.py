"""What a shell command does, as far as its first words tell: many agents read, list and search with the shell."""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

ShellVerb: TypeAlias = Literal["read", "run", "search", "list"]

_LEAD = re.compile(r"\A(?:\s*cd\s+\S+\s*(?:&&|;)\s*|\s*[A-Z_]+=\S*\s+)+")
_READ = re.compile(r"\A(?:cat|head|tail|nl|less|bat|sed\s+-n)\b")
_SEARCH = re.compile(r"\A(?:rg(?!\s+--files)|grep|egrep|ag|ack|git\s+grep)\b")
_LIST = re.compile(r"\A(?:ls|tree|find|fd|pwd|rg\s+--files|git\s+ls-files)\b")
_WRITES = re.compile(r"(?<![0-9&>-])>{1,2}\s*(?!/dev/null|&)\S|<<|\btee\b|-delete\b|-exec(?:dir)?\b|\bxargs\b|\brm\b|\bmv\b")
_FILE = re.compile(r"(?<!\S)[\w./~@+-]*[\w~@+-]\.\w{1,8}(?!\S)|(?<!\S)[~./]?[\w.@+-]*/[\w./@+-]+(?!\S)")


_WRITTEN = re.compile(
    r"(?<![0-9&>=-])>{1,2}\s*([\w./~@+-]+)|\btee (?:-a )?([\w./~@+-]+)"
    r"|\bsed -i(?:\.\w+)?\s(?:[^|;&\n]|&(?!&))*?([\w./~@+-]+)\s*(?=$|[|;&\n])"
)


def written(command: str) -> tuple[str, ...]:
    """The files that a command writes to with a redirection, ``tee`` or ``sed -i``, as far as its text tells."""
    found = (next(filter(None, match.groups())) for match in _WRITTEN.finditer(command))
    return tuple(dict.fromkeys(path for path in found if ("/" in path or "." in path) and not path.startswith(("/dev/", "/tmp/"))))


def shell_act(command: str) -> tuple[ShellVerb, str]:
    """What kind of act a command is, and what it is about: a file where it only reads one, else the command."""
    command = command.strip()
    bare = _LEAD.sub("", command)
    if _WRITES.search(bare) or "&&" in bare or ";" in bare:
        return "run", command
    first = bare.split("|", 1)[0]
    if _READ.match(bare):
        files = _FILE.findall(first.split(None, 1)[1] if " " in first else "")
        return ("read", files[-1]) if len(files) == 1 else ("run", command)
    if _SEARCH.match(bare):
        return "search", command
    return ("list", command) if _LIST.match(bare) else ("run", command)

"""Takes what is personal out of a recorded transcript and leaves its structure, its usage and its times as they are.

    python examples/scrub.py SESSION.jsonl.gz CLEAN.jsonl.gz --name LOGIN --name 'Full Name'

What is replaced, in every string of every line and always by the same text:

* home folders, by ``/home/user``, and the account names in them (and every ``--name``) wherever they stand as a word, by ``user``
* e-mail addresses and what looks like an access token or a private key
* the ids of requests and messages, by ids of the same length; pairs of tool call and result stay pairs
* signatures and encrypted reasoning, by filler of the same length: they mean nothing to anyone but the provider
* per-user temporary folders

Recorded token counts are not touched, so that a bill stays what it was. ``leftovers`` finds what should not be there any more.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HOME = re.compile(r"(?P<sep>[/-])(?:Users|home)(?P=sep)(?P<name>[\w.]*\w(?:-[A-Z]\w+)?)")
EMAIL = re.compile(r"[\w.+-]+@(?:[\w-]+\.)+[A-Za-z]{2,}\b")
KEY = re.compile(
    r"(?<![A-Za-z0-9])(?:sk-(?:ant-|proj-)?[A-Za-z0-9_-]{16,}|gh[opsu]_\w{16,}|github_pat_\w{20,}|AKIA[0-9A-Z]{12,}|xox[abp]-[\w-]{10,}"
    r"|AIza[\w-]{20,}|glpat-[\w-]{10,}|npm_\w{20,}|eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]+|-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]*)"
)
PROVIDER_ID = re.compile(r"\b(req|msg|resp|rs)_(\w{16,})\b")
TEMPORARY = re.compile(r"(?:/private)?/var/folders/\w+/\w+")
OPAQUE = frozenset({"signature", "encrypted_content"})
NOBODY = frozenset({"user", "test", "shared", "runner", "...", "other"})
SAFE_HOMES = frozenset({"user"})


class Scrubber:
    """Replaces what is personal. ``names`` are account names and names of people."""

    def __init__(self, names: set[str]) -> None:
        longest_first = sorted((re.escape(name) for name in names), key=len, reverse=True)
        self.names = re.compile(rf"(?<![A-Za-z0-9])(?:{'|'.join(longest_first)})(?![A-Za-z0-9])", re.IGNORECASE) if names else None

    def text(self, text: str) -> str:
        """One string, cleaned."""
        text = EMAIL.sub("[email]", KEY.sub("[key]", text))
        text = TEMPORARY.sub("/tmp", HOME.sub(r"\g<sep>home\g<sep>user", text))
        text = PROVIDER_ID.sub(lambda match: f"{match[1]}_{filler(match[2])}", text)
        return self.names.sub("user", text) if self.names else text

    def value(self, value: Any, key: str = "") -> Any:
        """A JSON value, cleaned throughout, keys included."""
        if isinstance(value, str):
            return filler(value) if key in OPAQUE else self.text(value)
        if isinstance(value, dict):
            return {self.text(name): self.value(item, name) for name, item in value.items()}
        if isinstance(value, list):
            return [self.value(item, key) for item in value]
        return value

    def line(self, line: str) -> str:
        """One line of a transcript, cleaned; what is not JSON as plain text."""
        try:
            value = json.loads(line)
        except ValueError:
            return self.text(line)
        return json.dumps(self.value(value), ensure_ascii=False, separators=(",", ":"))


def filler(text: str) -> str:
    """Letters of the same length that depend on nothing but the text, and compress well."""
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:24]
    return (digest + "x" * len(text))[: len(text)]


def accounts(text: str) -> set[str]:
    """The names of the people whose home folders a text mentions."""
    found = {match["name"] for match in HOME.finditer(text)}
    return {name for name in found if name.lower() not in NOBODY and len(name) > 2}


def leftovers(text: str) -> Iterator[str]:
    """What of a cleaned text still looks personal: addresses, tokens, home folders."""
    yield from (match[0] for match in EMAIL.finditer(text))
    yield from (match[0] for match in KEY.finditer(text))
    yield from (match[0] for match in HOME.finditer(text) if match["name"] not in SAFE_HOMES)
    yield from (match[0] for match in TEMPORARY.finditer(text))


def strings(value: Any) -> Iterator[str]:
    """Every string of a JSON value but the opaque ones."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield name
            if name not in OPAQUE:
                yield from strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)


def read(path: Path) -> str:
    """A transcript's text, unpacked."""
    data = path.read_bytes()
    return (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("source", type=Path)
    parser.add_argument("clean", type=Path, help="written gzipped")
    parser.add_argument("--name", action="append", default=[], help="a name to take out, beside those of home folders")
    given = parser.parse_args()
    text = read(given.source)
    scrubber = Scrubber(accounts(text) | set(given.name))
    clean = "".join(scrubber.line(line) + "\n" for line in text.splitlines() if line.strip())
    given.clean.write_bytes(gzip.compress(clean.encode(), compresslevel=9, mtime=0))


if __name__ == "__main__":
    main()

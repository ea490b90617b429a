"""Which format a file has, and reading it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Protocol, cast

from holdfast.errors import UnknownFormat
from holdfast.readers.clock import checked
from holdfast.readers.sample import Sample, take
from holdfast.transcript import Transcript

FORMATS: Mapping[str, str] = MappingProxyType(
    {
        "cassette": "holdfast.readers.cassette",
        "claude-code": "holdfast.readers.claude_code",
        "codex": "holdfast.readers.codex",
        "pi": "holdfast.readers.pi",
        "mini-swe-agent": "holdfast.readers.mini_swe_agent",
        "request-log": "holdfast.readers.request_log",
        "openai-chat": "holdfast.readers.openai_chat",
        "plain": "holdfast.readers.plain",
    }
)
"""Each format's module, imported at its first use, in the order in which they are asked: the most particular first."""


class Reader(Protocol):
    """What a reader module has; the contract stands in ``holdfast.readers``."""

    NAME: str

    def sniff(self, head: Sample) -> bool:
        """Whether the file is of this format."""

    def read(self, path: Path, *, strict: bool = False) -> list[Transcript]:
        """The file's transcripts."""


def readers() -> Iterator[Reader]:
    """All reader modules in the order in which they are asked."""
    for module in FORMATS.values():
        yield cast(Reader, import_module(module))


def reader_of(head: Sample) -> Reader | None:
    """The first reader that knows the file, ``None`` if none does."""
    return next((reader for reader in readers() if reader.sniff(head)), None)


def read(path: Path, *, strict: bool = False) -> list[Transcript]:
    """The transcripts of a file, whatever its format and name.

    Raises ``UnknownFormat`` (no reader knows it), ``Unreadable`` (it cannot be opened, or, if ``strict``, one of its lines cannot be used).
    """
    head = take(path)
    reader = reader_of(head)
    if reader is None:
        raise UnknownFormat(str(path), head.seen, tuple(FORMATS))
    return [checked(transcript) for transcript in reader.read(path, strict=strict)]

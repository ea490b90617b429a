"""What the checker takes and gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Dialect: TypeAlias = Literal["anthropic", "openai-chat", "openai-responses"]


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken rule: at which request (ordinal from 0), where (``messages[12].content[0]``), and what was seen."""

    rule: str
    request: int
    where: str
    detail: str


@dataclass(frozen=True, slots=True)
class Announced:
    """The sender says that it committed a plan at this request.

    ``first_block`` is the first edited block, counted over tools, system and messages of the body as sent
    (``None``: anywhere behind the head).
    """

    first_block: int | None = None


@dataclass(frozen=True, slots=True)
class Split:
    """A serialised body in parts: ``head`` is the body without its history, ``messages`` the history, each as JSON.

    Many long bodies that share most of their messages are judged several times faster in this form.
    """

    head: bytes
    messages: tuple[bytes, ...]


Serialised: TypeAlias = bytes | str | Split


@dataclass(frozen=True, slots=True)
class Sent:
    """One request: the body as sent, the body as the caller gave it, and what was announced.

    ``answered`` is false for an attempt that got no response: it is judged, but nothing has to agree with it later.
    """

    body: Serialised
    original: Serialised
    announced: Announced | None = None
    answered: bool = True

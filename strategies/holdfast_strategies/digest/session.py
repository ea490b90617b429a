"""A session as a reader would tell it: what the user asked, what was done for it, and how each request ended."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from holdfast.blocks import Block, Kind, Role
from holdfast_strategies.acts import Act, acts_of
from holdfast_strategies.outcome import Outcome, outcome_of
from holdfast_strategies.words import is_observation, is_summary, own_words

_REFUSAL = re.compile(r"the user said:\s*(.+)", re.DOTALL)
_ANSWERS = re.compile(r"\A(?:User has answered your questions?|The user answered)[:.]?\s*(.+?)(?:\. You can now continue.*)?\Z", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Request:
    """Something the user said at block ``index``, and the assistant's last words on it, where the work on it ended.

    ``asked`` is the assistant's text just before, which the user may be answering. ``done`` says whether work on it has ended.
    """

    index: int
    words: str
    asked: str = ""
    report: str = ""
    report_index: int = -1
    done: bool = False


class Session:
    """The first ``stop`` blocks of a history, read once."""

    def __init__(self, source: Sequence[Block], stop: int) -> None:
        self.source = source
        self.stop = stop
        self.acts: list[Act] = acts_of(source, stop)
        self._outcomes: dict[int, Outcome] = {}
        self.by_result = {act.result: act for act in self.acts if act.result is not None}
        self.root = _root([path for act in self.acts for path in act.paths])

    def outcome(self, act: Act) -> Outcome:
        """How an act of this session went, found out once."""
        found = self._outcomes.get(act.call)
        if found is None:
            found = self._outcomes[act.call] = outcome_of(act)
        return found

    def brief(self, text: str) -> str:
        """A text with paths relative to ``root``, the directory that most files stand in."""
        if not self.root:
            return text
        return text.replace(f"cd {self.root} && ", "").replace(f"{self.root}/", "")

    def acts_in(self, start: int, stop: int) -> list[Act]:
        """The acts whose call stands in blocks ``start`` to ``stop - 1``."""
        low = bisect_left(self.acts, start, key=lambda act: act.call)
        return self.acts[low : bisect_left(self.acts, stop, key=lambda act: act.call)]

    @cached_property
    def said(self) -> list[tuple[int, str]]:
        """The assistant's texts by block index; a fenced command is not among its words."""
        return [
            (index, block.text)
            for index, block in enumerate(self.source[: self.stop])
            if block.role is Role.ASSISTANT and block.kind is Kind.TEXT and block.text.strip()
        ]

    @cached_property
    def heard(self) -> list[tuple[int, str]]:
        """The user's own words by block index, those with which they answered or refused a tool call among them."""
        found = []
        for index, block in enumerate(self.source[: self.stop]):
            if block.role is not Role.USER:
                continue
            if block.kind is Kind.TEXT and not is_observation(block.text):
                words = own_words(block.text)
            elif block.kind is Kind.TOOL_RESULT:
                words = _said_in_result(block.text)
            else:
                continue
            if words:
                found.append((index, words))
        return found

    @cached_property
    def summaries(self) -> list[tuple[int, str]]:
        """What earlier compactions left, by block index."""
        return [
            (index, block.text)
            for index, block in enumerate(self.source[: self.stop])
            if block.role is Role.USER and block.kind is Kind.TEXT and is_summary(block.text)
        ]

    @cached_property
    def requests(self) -> list[Request]:
        """What the user said, each with how the work on it ended."""
        found = []
        heard = self.heard
        for place, (index, words) in enumerate(heard):
            until = heard[place + 1][0] if place + 1 < len(heard) else self.stop
            said = [(at, text) for at, text in self.said if index < at < until]
            before = [text for at, text in self.said if at < index]
            last_call = max((act.call for act in self.acts if index < act.call < until), default=-1)
            done = bool(said) and said[-1][0] > last_call
            at, report = said[-1] if done else (-1, "")
            found.append(Request(index, words, before[-1] if before else "", report, at, done))
        return found


def _root(paths: Sequence[str]) -> str:
    """The directory that relative paths start from, as far as the paths tell; ``""`` if they do not.

    It is the deepest one, at least three levels down, that holds nine of ten absolute paths, or one above it from which a
    relative path leads to a file that is also named by its absolute one.
    """
    absolute = {path for path in paths if path.startswith("/")}
    above = Counter("/".join(parts[:depth]) for path in absolute if (parts := path.split("/")) for depth in range(4, len(parts)))
    shared = [directory for directory, number in above.items() if number * 10 >= len(absolute) * 9 and number > 1]
    deepest = max(shared, key=len, default="")
    relative = {path for path in paths if not path.startswith("/")}
    for directory in sorted((one for one in above if deepest.startswith(one)), key=len, reverse=True):
        if any(f"{directory}/{path}" in absolute for path in relative):
            return directory
    return deepest


def _said_in_result(text: str) -> str:
    """What a user said where a tool's result should have stood."""
    if len(text) > 20_000 or ("user said" not in text and "answered" not in text):
        return ""
    match = _REFUSAL.search(text) if text.startswith("The user doesn't want") else _ANSWERS.match(text)
    return match[1].strip() if match else ""

"""What later turns needed, and what of it was still in front of the model.

At a turn the answer uses atoms (``holdfast.simulator.atoms``). One is *needed* if it stands in the history that the caller
would have sent, before the tail that every strategy keeps, and neither in that tail nor in tools and system, which are always there. It is
*kept* if it still stands anywhere in the shortened prompt, *kept in context* if so does at least half of what stood around it where it
came up first (an atom in a list of atoms is not). The index of a lineage is built once; a ``Judge`` for each strategy then only looks up.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass

from holdfast.blocks import Block, Message
from holdfast.edits import Piece
from holdfast.simulator.atoms import Vocabulary, atoms_in, head_text, is_phrase, places, readable, shown, spoken
from holdfast.simulator.results import Kept
from holdfast.tail import tail_start
from holdfast.transcript import Turn

AROUND = 40
"""Characters on each side of an atom that are its context where its line is longer, or where it stands alone."""

_LINE = 2 * AROUND
_WORD = re.compile(r"\w+")
_RUN_END = re.compile(r"[\w./~-]+\Z")
_RUN_START = re.compile(r"[\w./~-]+")
_LINE_NUMBER = re.compile(r"\s*\d+[→\t]")


@dataclass(frozen=True, slots=True)
class Need:
    """An atom that an answer used, and the block indices before the tail whose blocks hold it, oldest first."""

    atom: str
    occurrences: tuple[int, ...]


def _words_between(text: str, start: int, stop: int, inner: tuple[int, int]) -> frozenset[str]:
    """The words from ``start`` to ``stop``, without the run of the atom at ``inner``: the rest of a path is no context of its end."""
    place, end = inner
    before = _RUN_END.search(text, start, place)
    after = _RUN_START.match(text, end, stop)
    return frozenset(_WORD.findall(text, start, before.start() if before else place)) | frozenset(
        _WORD.findall(text, after.end() if after else end, stop)
    )


def _around(text: str, place: int, end: int) -> frozenset[str]:
    """The words around the atom at ``place``, across lines."""
    return _words_between(text, max(0, place - AROUND), min(len(text), end + AROUND), (place, end))


def _on_line(text: str, place: int, end: int) -> frozenset[str]:
    """The other words of the atom's line, or of the 80 characters around it where the line is longer."""
    start = text.rfind("\n", max(0, place - _LINE), place) + 1 or max(0, place - AROUND)
    stop = text.find("\n", end, end + _LINE)
    stop = min(len(text), end + AROUND) if stop < 0 else stop
    if (place - start) + (stop - end) > _LINE:
        start, stop = max(start, place - AROUND), min(stop, end + AROUND)
    number = _LINE_NUMBER.match(text, start, place)
    return _words_between(text, number.end() if number else start, stop, (place, end))


def _half(of: frozenset[str], held: frozenset[str]) -> bool:
    return 2 * len(of & held) >= len(of)


@dataclass(frozen=True, slots=True)
class Context:
    """The words that stood around an atom where it first came up, and those of them that are ``plain``: no part of an atom.

    ``alone``: the atom's line held nothing else.
    """

    words: frozenset[str]
    plain: frozenset[str]
    alone: bool

    def survives_in(self, text: str, atom: str) -> bool:
        """Whether the atom stands somewhere in ``text`` with at least half of these words around it, and half of the plain ones.

        A list of atoms has all the words of a line of code that is nothing but names; it lacks what the line says about them.
        """
        look = _around if self.alone else _on_line
        around = (look(text, place, end) for place, end in places(text, atom))
        return any(_half(self.words, held) and _half(self.plain, held) for held in around)


def context_of(text: str, atom: str) -> Context:
    """The context of the atom's first place in the text."""
    own = frozenset(_WORD.findall(atom))
    for place, end in places(text, atom):
        words = _on_line(text, place, end) - own
        alone = not words
        words = words or _around(text, place, end) - own
        near = atoms_in(text[max(0, place - 2 * AROUND) : end + 2 * AROUND])
        named = {word for other in near if not is_phrase(other) for word in _WORD.findall(other)}
        return Context(words, words - named, alone)
    return Context(frozenset(), frozenset(), True)


def _answer_atoms(answer: Message | None) -> dict[str, None]:
    found: dict[str, None] = {}
    for block in answer.blocks if answer else ():
        found.update(atoms_in(spoken(block)))
    return found


@dataclass(frozen=True, slots=True)
class _Log:
    """The blocks of a lineage's longest prompt, the block index at which each message starts, and the messages' tokens."""

    blocks: list[Block]
    starts: list[int]
    weights: list[int]

    @classmethod
    def of(cls, messages: Iterable[Message]) -> _Log:
        log = cls([], [], [])
        for message in messages:
            log.starts.append(len(log.blocks))
            log.blocks.extend(message.blocks)
            log.weights.append(message.tokens)
        return log

    def span(self, messages: int, keep: int) -> tuple[int, int]:
        """Where the tail of the prompt with so many messages starts and stops, as block indices."""
        stop = self.starts[messages] if messages < len(self.starts) else len(self.blocks)
        return (self.starts[tail_start(self.weights, keep, messages)] if messages else 0), stop


class Index:
    """What each turn of one lineage needed. Shared by the judges of all strategies."""

    __slots__ = ("_blocks", "_contexts", "_needs", "_shares", "vocabulary")

    def __init__(self, blocks: Sequence[Block], needs: Sequence[tuple[Need, ...]], vocabulary: Vocabulary) -> None:
        self._blocks = blocks
        self._needs = needs
        self._contexts: dict[str, Context] = {}
        self._shares: dict[tuple[str, int], bool] = {}
        self.vocabulary = vocabulary

    @classmethod
    def build(cls, turns: Sequence[Turn], keep_tail_tokens: int) -> Index:
        """The index of one lineage's turns, in order, whose blocks have been weighed; each prompt extends the one before."""
        log = _Log.of(turns[-1].prompt.messages if turns else ())
        spans = [log.span(len(turn.prompt.messages), keep_tail_tokens) for turn in turns]
        used = [_answer_atoms(turn.answer) if tail else {} for turn, (tail, _) in zip(turns, spans, strict=True)]
        vocabulary = Vocabulary(dict.fromkeys(atom for atoms in used for atom in atoms))
        finder = _Finder(vocabulary, log.blocks)
        needs = [finder.needs(turn.prompt.head, atoms, *span) for turn, atoms, span in zip(turns, used, spans, strict=True)]
        return cls(log.blocks, needs, vocabulary)

    def needs(self, ordinal: int) -> tuple[Need, ...]:
        """What the answer of the lineage's turn ``ordinal`` needed."""
        return self._needs[ordinal]

    def named(self, texts: Sequence[str], removed: Set[int]) -> set[int]:
        """The removed blocks that a text names by the first eight hex digits of their fingerprint, so that a model could ask for them."""
        joined = "\n".join(texts)
        return {index for index in removed if self._blocks[index].fingerprint[:4].hex() in joined}

    def context(self, need: Need) -> Context:
        """The context in which the atom first came up."""
        context = self._contexts.get(need.atom)
        if context is None:
            context = self._contexts[need.atom] = context_of(shown(self._blocks[need.occurrences[0]]), need.atom)
        return context

    def in_context(self, need: Need, block: int) -> bool:
        """Whether the block holds the atom together with its context."""
        if block == need.occurrences[0]:
            return True
        key = (need.atom, block)
        shares = self._shares.get(key)
        if shares is None:
            shares = self._shares[key] = self.context(need).survives_in(shown(self._blocks[block]), need.atom)
        return shares


class _Finder:
    """Turns the atoms that answers used into needs."""

    def __init__(self, vocabulary: Vocabulary, blocks: Sequence[Block]) -> None:
        self._vocabulary = vocabulary
        self._same: dict[tuple[str, int], Need] = {}
        self._head: tuple[tuple[Block, ...], set[str]] = ((), set())
        self._postings: dict[str, list[int]] = {}
        for index, block in enumerate(blocks if vocabulary else ()):
            for atom in vocabulary.held(spoken(block)):
                self._postings.setdefault(atom, []).append(index)

    def _in_head(self, head: tuple[Block, ...]) -> set[str]:
        if self._head[0] is not head and self._head[0] != head:
            self._head = (head, self._vocabulary.held(head_text(head)))
        return self._head[1]

    def needs(self, head: tuple[Block, ...], atoms: Iterable[str], tail: int, stop: int) -> tuple[Need, ...]:
        """Those of the atoms that stand before ``tail``, and neither from there to ``stop`` nor in the head."""
        always = self._in_head(head) if tail else set()
        found = (self._need(atom, tail, stop) for atom in atoms if atom not in always)
        return tuple(need for need in found if need)

    def _need(self, atom: str, tail: int, stop: int) -> Need | None:
        places = self._postings.get(atom)
        if not places:
            return None
        before = bisect_left(places, tail)
        if not before or (before < len(places) and places[before] < stop):
            return None
        need = self._same.get((atom, before))
        if need is None:
            need = self._same[atom, before] = Need(atom, tuple(places[:before]))
        return need


class Judge:
    """How much of what the turns needed one strategy kept. Tell it each commit, then ask it turn by turn."""

    __slots__ = ("_fetchable", "_index", "_joined", "_known", "_removed", "_verdicts", "_where")

    def __init__(self, index: Index) -> None:
        self._index = index
        self._removed: Set[int] = frozenset()
        self._fetchable: Set[int] = frozenset()
        self._joined = ""
        self._known: dict[str, set[str]] = {}
        self._where: dict[str, list[str]] = {}
        self._verdicts: dict[tuple[str, int], tuple[bool, bool, bool]] = {}

    def committed(self, removed: Set[int], texts: Sequence[str], fetchable: Set[int] | None = None) -> None:
        """What is sent from now on: all source blocks but those ``removed``, and ``texts`` in their stead.

        ``fetchable``: the removed blocks which the prompt names well enough for a model to ask the store for them; if not
        given, those whose fingerprint's first eight hex digits stand in a text.
        """
        self._removed = removed
        self._fetchable = self._index.named(texts, removed) if fetchable is None else fetchable
        self._joined = readable("\n".join(texts))
        known, self._known = self._known, {}
        self._where = {}
        for text in dict.fromkeys(readable(text) for text in texts):
            atoms = self._known[text] = known[text] if text in known else self._index.vocabulary.held(text)
            for atom in atoms:
                self._where.setdefault(atom, []).append(text)
        self._verdicts = {}

    def sent(self, pieces: Iterable[Piece], size: int) -> None:
        """The same, told by what goes out as messages: ``size`` blocks of the history so far, as these pieces.

        A cleared block is fetchable: its placeholder stands beside the call that made it. What was folded or dropped is only where named.
        """
        texts: list[str] = []
        cleared: set[int] = set()
        verbatim: set[int] = set()
        for piece in pieces:
            for index, block in zip(piece.indices, piece.message.blocks, strict=True):
                if piece.folded or index in piece.cleared:
                    texts.append(block.text)
                    if not piece.folded:
                        cleared.add(index)
                else:
                    verbatim.add(index)
        removed = set(range(size)) - verbatim
        self.committed(removed, texts, cleared | self._index.named(texts, removed))

    def turn(self, ordinal: int) -> Kept:
        """The counts of the lineage's turn ``ordinal``, under what was committed last."""
        needs = self._index.needs(ordinal)
        removed = self._removed
        lost = [need for need in needs if need.occurrences[0] in removed] if removed else ()
        safe = len(needs) - len(lost)
        kept = in_context = recoverable = safe
        for need in lost:
            verdict = self._verdict(need)
            kept += verdict[0]
            in_context += verdict[1]
            recoverable += verdict[2]
        return Kept(len(needs), kept, in_context, recoverable)

    def _verdict(self, need: Need) -> tuple[bool, bool, bool]:
        key = (need.atom, len(need.occurrences))
        verdict = self._verdicts.get(key)
        if verdict is None:
            verdict = self._verdicts[key] = self._look(need)
        return verdict

    def _look(self, need: Need) -> tuple[bool, bool, bool]:
        alive = [index for index in need.occurrences if index not in self._removed]
        texts = [self._joined] if is_phrase(need.atom) and need.atom in self._joined else self._where.get(need.atom, [])
        kept = bool(alive or texts)
        in_context = any(self._index.in_context(need, index) for index in alive) or self._told(need, texts)
        return kept, in_context, kept or any(index in self._fetchable for index in need.occurrences)

    def _told(self, need: Need, texts: Sequence[str]) -> bool:
        return bool(texts) and any(self._index.context(need).survives_in(text, need.atom) for text in texts)

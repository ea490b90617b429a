"""A lineage as the pipeline holds it: the history as the caller keeps it, the ledger, and what is sent."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b

from holdfast.blocks import Block, Kind, Mark, Message, Role, fingerprint
from holdfast.edits import Drop, Edit, Fold, Insert, Piece, Plan, Scribe, apply, untouched
from holdfast.ledger import Ledger
from holdfast.prefix import Chain, chain_head, shared
from holdfast.rules import CUT_RULES, CutRule, Grammar, legal_cuts
from holdfast.strategy import Entry, View
from holdfast.tail import tail_start
from holdfast.transcript import Dialect


@dataclass(frozen=True, slots=True)
class OpenAccount:
    """A commit that has not paid for itself yet: what it still owes and what it saves, in units of the rates."""

    number: int
    turn: int
    owed: float
    removed: int


@dataclass(slots=True)
class Line:
    """One line of growth. It grows in place; a commit or a fork gives another line and leaves this one as it was.

    ``source``, ``starts`` and ``ages``: the caller's messages, the block index of each, and how many entries the ledger
    had when it came. ``pieces``, ``sent`` and ``chain``: what goes
    out now, as messages, as blocks with the head, and as hash chain. ``warm``: chain lengths at which an earlier request
    left a cache entry that is believed alive until ``warm_until``. ``sent_length`` is the chain length of the last request,
    ``given_tokens`` the weight of the history as the caller keeps it. ``origin`` is, for each block sent, its position in the caller's
    prompt (-1: a fold, or an insert); ``listed`` are positions there whose bare string went out as a list of one text, because a mark
    stood on it. ``drops_thinking``: the API is asked to drop thinking whose prefix has changed (platform.claude.com, preserved thinking,
    2026-10); once asked, always asked, because settings belong to the cache key; ``dropped`` are the
    ranges of messages, first and last behind one another, whose thinking it drops. ``roots`` names the history up to each message.
    """

    head: tuple[Block, ...]
    chain: Chain
    sent: list[Block]
    origin: list[int]
    listed: set[int] = field(default_factory=set)
    source: list[Message] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    ages: list[int] = field(default_factory=list)
    size: int = 0
    given_tokens: int = 0
    grammar: Grammar = field(default_factory=Grammar)
    ledger: Ledger = field(default_factory=Ledger)
    pieces: list[Piece] = field(default_factory=list)
    sent_length: int = 0
    warm: list[int] = field(default_factory=list)
    warm_until: float = float("-inf")
    rearmed_at: int = 0
    turns: int = 0
    accounts: tuple[OpenAccount, ...] = ()
    drops_thinking: bool = False
    dropped: tuple[int, ...] = ()
    roots: list[bytes] = field(default_factory=list)
    own: Chain | None = None
    owned: int = 0

    @classmethod
    def begin(cls, head: tuple[Block, ...], dialect: Dialect = "anthropic") -> Line:
        """A lineage with nothing but its head."""
        return cls(head, chain_head(head), list(head), list(range(len(head))), grammar=Grammar(dialect))

    @property
    def tokens(self) -> int:
        """The whole prompt as it is sent now."""
        return self.chain.tokens()

    @property
    def head_name(self) -> str:
        """The name of what stands before the history."""
        return self.chain.ids[self.chain.head - 1].hex() if self.chain.head else ""

    @property
    def root(self) -> tuple[bytes, bytes] | None:
        """What this history has in common with its forks: the names of its head and of its first message; ``None`` while it is empty."""
        if not self.roots:
            return None
        return (self.chain.ids[self.chain.head - 1] if self.chain.head else b""), self.roots[0]

    @property
    def head_tokens(self) -> int:
        """Tools and system."""
        return self.chain.tokens(self.chain.head)

    def grow(self, messages: Iterable[Message]) -> None:
        """Take in messages that the caller has appended."""
        for message in messages:
            before = self.tokens
            self.starts.append(self.size)
            self.source.append(message)
            self.roots.append(rooted(self.roots[-1] if self.roots else b"", message))
            self.ages.append(len(self.ledger.entries))
            self.grammar.feed(message)
            self._append(untouched(message, self.size))
            self.size += len(message.blocks)
            self.given_tokens += self.tokens - before

    def _append(self, piece: Piece) -> None:
        self.pieces.append(piece)
        head = len(self.head)
        own = not piece.folded and not piece.inserted
        self.origin.extend([head + index for index in piece.indices] if own else [-1] * len(piece.message.blocks))
        self.chain.extend(piece.message.blocks)
        self.sent.extend(piece.message.blocks)

    def unedited(self) -> Chain:
        """The prompt as the caller keeps it, sharing its lists. Costs work in the length of the history once after each commit."""
        if not self.ledger.entries:
            return self.chain.upto(self.chain.length)
        if self.own is None:
            self.own, self.owned = chain_head(self.head), 0
        for message in self.source[self.owned :]:
            self.own.extend(message.blocks)
        self.owned = len(self.source)
        return self.own.upto(self.own.length)

    def said(self, text: str) -> bool:
        """Whether the newest message of our own says this already."""
        inserts = (edit for edit in reversed(self.ledger.edits) if isinstance(edit, Insert))
        newest = next(inserts, None) if text else None
        return newest is not None and text in newest.text

    def insert(self, edit: Insert, scribe: Scribe) -> None:
        """A message of our own behind the newest, before it is sent for the first time."""
        self.ledger = self.ledger.commit(Plan("insert", (edit,)))
        self._append(scribe.insert(edit, self.size))

    def fork(
        self,
        messages: int,
        scribe: Scribe,
        head: tuple[Block, ...] | None = None,
        binds: bool = False,
        source: Sequence[Message] | None = None,
        newest: bool = False,
    ) -> Line:
        """A line that shares the first ``messages`` messages, under the same or another head, and inherits the edits that lie in them.

        Where the model ``binds`` thinking to its prefix, thinking made behind edits that are not inherited leaves. ``source`` are the same
        messages where they have been weighed anew. ``newest``: the last of them is the newest of the fork's, which no edit may touch.
        """
        size = self.starts[messages] if messages < len(self.source) else self.size
        line = Line.begin(self.head if head is None else head, self.grammar.dialect)
        line.ledger = self.ledger.inherited(self.starts[messages - 1] if newest and messages else size)
        same = head is None or len(head) == len(self.head)
        line.listed = {place for place in self.listed if same and len(self.head) * (head is not None) <= place < len(self.head) + size}
        if binds:
            line.ledger = line.ledger.extended(self._unbound(messages, line.ledger.edits))
        line.source = self.source[:messages] if source is None else list(source)
        line.starts, line.size, line.roots = self.starts[:messages], size, self.roots[:messages]
        line.ages = [len(line.ledger.entries)] * messages
        for message in line.source:
            line.grammar.feed(message)
            line.given_tokens += message.tokens
        for piece in apply(line.source, 0, line.ledger.edits, scribe):
            line._append(piece)  # noqa: SLF001 - its own class
        common = shared(self.chain.ids[: self.chain.length], line.chain.ids)
        line.warm = [length for length in self.warm if length <= common]
        line.warm_until = self.warm_until
        line.rearmed_at, line.turns, line.sent_length = self.rearmed_at, self.turns, min(common, self.sent_length)
        line.drops_thinking, line.dropped = self.drops_thinking, self.dropped
        return line

    def under(self, ledger: Ledger, scribe: Scribe) -> Line:
        """The same history under another ledger, all its pieces made anew. What is warm stays so up to the first difference."""
        line = Line.begin(self.head, self.grammar.dialect)
        line.ledger, line.listed = ledger, set(self.listed)
        line.source, line.starts, line.size, line.roots = list(self.source), list(self.starts), self.size, list(self.roots)
        line.ages, line.grammar, line.given_tokens = list(self.ages), self.grammar.copy(), self.given_tokens
        for piece in apply(line.source, 0, ledger.edits, scribe):
            line._append(piece)  # noqa: SLF001 - its own class
        common = shared(self.chain.ids[: self.chain.length], line.chain.ids)
        line.warm, line.warm_until = [length for length in self.warm if length <= common], self.warm_until
        line.sent_length, line.rearmed_at, line.turns = min(self.sent_length, common), self.rearmed_at, self.turns
        line.accounts, line.drops_thinking, line.dropped = self.accounts, self.drops_thinking, self.dropped
        return line

    def _unbound(self, messages: int, edits: Sequence[Edit]) -> list[Drop]:
        """Drops for thinking in the first ``messages`` messages that was made behind other edits than ``edits``."""
        gone = {index for edit in edits for index in range(edit.start, edit.stop)}
        made = {age: Ledger(self.ledger.entries[:age]).edits for age in set(self.ages[:messages])}
        drops = []
        for message, start, age in zip(self.source[:messages], self.starts, self.ages, strict=False):
            for index, block in enumerate(message.blocks, start):
                if block.kind is Kind.THINKING and index not in gone and _before(made[age], index) != _before(edits, index):
                    drops.append(Drop(index, index + 1))
        return drops

    def committed(self, plan: Plan, scribe: Scribe, dropped: int | None = None) -> Line:
        """The line with one more plan on its ledger; what stands before the plan's first edit is shared work, not done again.

        The API is asked to drop thinking from block ``dropped`` on, which then weighs nothing.
        """
        ledger = self.ledger.commit(plan)
        keep = bisect_right(self.pieces, plan.first, key=lambda piece: piece.stop)
        # An earlier drop may lie between the last piece that stays and the first that changes.
        first = bisect_right(self.starts, min(plan.first, self.pieces[keep].start if keep < len(self.pieces) else self.size)) - 1
        begin = self.starts[first]
        blocks = len(self.head) + sum(len(piece.message.blocks) for piece in self.pieces[:keep])
        line = Line(self.head, self.chain.fork(blocks), self.sent[:blocks], self.origin[:blocks], set(self.listed))
        line.source, line.starts, line.ages, line.size = list(self.source), list(self.starts), list(self.ages), self.size
        line.roots, line.drops_thinking = list(self.roots), self.drops_thinking or dropped is not None
        line.dropped = self.dropped
        if dropped is not None:
            ordinal = bisect_left(self.starts, dropped)
            line.source[ordinal:] = [_without_thought(message) for message in line.source[ordinal:]]
            line.dropped = (*self.dropped, ordinal, len(line.source))
        line.grammar, line.ledger, line.pieces = self.grammar.copy(), ledger, self.pieces[:keep]
        later = [edit for edit in ledger.edits if edit.start >= begin]
        for piece in apply(line.source[first:], begin, later, scribe):
            line._append(piece)
        common = shared(self.chain.ids[: self.chain.length], line.chain.ids)
        line.warm, line.warm_until = [length for length in self.warm if length <= common], self.warm_until
        line.sent_length, line.given_tokens = self.sent_length, self.given_tokens
        line.rearmed_at, line.turns, line.accounts = self.rearmed_at, self.turns, self.accounts
        return line

    def marked(self, lengths: Iterable[int], at: float, ttl: float) -> None:
        """A request went out at ``at`` with marks behind these chain lengths; its entries live for ``ttl`` seconds.

        Reading a prefix is taken to refresh the entries it passes, so all live as long as the newest. A mark at or before what is read
        writes no entry.
        """
        if at > self.warm_until:
            self.warm.clear()
        read = self.warm[-1] if self.warm else 0
        self.warm.extend(sorted(length for length in set(lengths) if length > read))
        self.warm_until = at + ttl
        self.sent_length = self.chain.length
        self.turns += 1

    def warmed(self, length: int, until: float) -> None:
        """Somebody else is known to have left an entry at this chain length, alive until then."""
        place = bisect_left(self.warm, length)
        if place == len(self.warm) or self.warm[place] != length:
            self.warm.insert(place, length)
        self.warm_until = max(self.warm_until, until)

    def went_listed(self, marks: Iterable[Mark], is_bare: Callable[[Block], bool]) -> None:
        """Bare strings that carried a mark went out as a list of one text, and do so from now on."""
        self.listed.update(place for mark in marks if is_bare(self.sent[mark.position]) and (place := self.origin[mark.position]) >= 0)

    def went_bare(self, place: int, is_bare: Callable[[Block], bool]) -> bool:
        """Whether the block sent at ``place`` went out as a bare string before, so that a mark on it would change its form."""
        known = self.origin[place] < 0 or (place < self.sent_length and self.origin[place] not in self.listed)
        return known and is_bare(self.sent[place])  # what we wrote ourselves is written anew at each commit: it keeps one form

    def frontier(self, length: int, now: float) -> int | None:
        """The longest chain length, at most ``length``, at which an entry is believed alive; ``None`` if there is none."""
        if now >= self.warm_until:
            return None
        place = bisect_right(self.warm, length)
        return self.warm[place - 1] if place else None

    def parting(self, stable: int) -> int:
        """The chain length at which a fork of this conversation would part from it: where the last request ended, else before the newest
        message."""
        if 0 < self.sent_length <= stable and self.sent_length < self.chain.length:
            return self.sent_length
        return self.chain.length - (len(self.pieces[-1].message.blocks) if self.pieces else 0)

    def reach(self, stop: int) -> tuple[int, int]:
        """How many of the messages sent stand for blocks before ``stop``, and the chain length behind them."""
        pieces = bisect_right(self.pieces, stop, key=lambda piece: piece.stop)
        return pieces, self.chain.head + sum(len(piece.message.blocks) for piece in self.pieces[:pieces])

    def cold(self, now: float) -> bool:
        """Whether the cache holds nothing of this conversation's messages."""
        frontier = self.frontier(self.chain.length, now)
        return frontier is None or frontier <= self.chain.head

    def places(self, positions: Iterable[int]) -> dict[int, int]:
        """Where blocks of the caller's prompt (counted over head and messages) stand in what is sent; those that are gone are missing.

        Marks stand near the end of a prompt, so the search begins there.
        """
        head = len(self.head)
        wanted = sorted(set(positions))
        found = {position: position for position in wanted if position < head}
        wanted = [position - head for position in wanted if position >= head]
        end = self.chain.length
        for piece in reversed(self.pieces):
            if not wanted:
                break
            begin = end - len(piece.message.blocks)
            while wanted and wanted[-1] >= piece.start:
                index = wanted.pop()
                if not piece.folded and not piece.inserted and index in piece.indices:
                    found[head + index] = begin + piece.indices.index(index)
            end = begin
        return found

    def source_blocks(self) -> list[Block]:
        """The caller's blocks by block index."""
        return [block for message in self.source for block in message.blocks]

    def pinned(self, pins: Callable[[Block], bool] | None = None) -> frozenset[int]:
        """Block indices that keep their bytes: the first user message, and what ``pins`` says."""
        first = next((n for n, message in enumerate(self.source) if message.role is Role.USER), None)
        own: set[int] = set()
        if first is not None:
            own.update(range(self.starts[first], self.starts[first] + len(self.source[first].blocks)))
        if pins is not None:
            own.update(index for index, block in enumerate(self.source_blocks()) if pins(block))
        return frozenset(own)

    def view(
        self,
        keep_tail_tokens: int,
        pins: Callable[[Block], bool] | None,
        count: Callable[[str], int],
        rules: Iterable[CutRule] = CUT_RULES,
    ) -> View:
        """The conversation as a strategy sees it. Costs work in the length of the conversation: only when a plan is wanted."""
        blocks = self.source_blocks()

        return View(
            entries=tuple(self._entries()),
            source=blocks,
            starts=tuple(self.starts),
            cuts=legal_cuts(self.source, self.starts, rules),
            pinned=self.pinned(pins),
            tail=self.starts[tail_start([message.tokens for message in self.source], keep_tail_tokens)] if self.source else 0,
            tokens=self.tokens,
            head_tokens=self.head_tokens,
            count=count,
        )

    def _entries(self) -> Iterator[Entry]:
        for ordinal, piece in enumerate(self.pieces):
            if piece.inserted:
                continue
            if piece.folded:
                yield Entry(piece.start, piece.stop, piece.message.blocks[0], ordinal, "folded")
                continue
            for index, block in zip(piece.indices, piece.message.blocks, strict=True):
                yield Entry(index, index + 1, block, ordinal, "cleared" if index in piece.cleared else "verbatim")

    @property
    def loop(self) -> int:
        """The ordinal of the first message behind the newest that are the user's own words: where the open tool loop begins."""
        ordinal = len(self.source)
        while ordinal and not self.source[ordinal - 1].is_plain_user:
            ordinal -= 1
        return ordinal

    @property
    def thinks_in_loop(self) -> bool:
        """Whether the open tool loop holds thinking."""
        return any(block.kind is Kind.THINKING for message in self.source[self.loop :] for block in message.blocks)

    def bound_thinking(self, start: int, planned: Iterable[Edit], stop: int | None = None) -> list[Drop]:
        """Drops for every thinking block that is still sent from block ``start`` on (before ``stop``) and that ``planned`` leaves."""
        gone = [(edit.start, edit.stop) for edit in planned]
        stop = self.size if stop is None else stop
        drops = []
        for piece in self.pieces[bisect_right(self.pieces, start, key=lambda piece: piece.stop) :]:
            if piece.folded or piece.inserted:
                continue
            for index, block in zip(piece.indices, piece.message.blocks, strict=True):
                if block.kind is Kind.THINKING and start <= index < stop and not any(a <= index < b for a, b in gone):
                    drops.append(Drop(index, index + 1))
        return drops


def _before(edits: Sequence[Edit], index: int) -> list[Edit]:
    return [edit for edit in edits if edit.start < index and not (isinstance(edit, Fold) and edit.wire)]


def _without_thought(message: Message) -> Message:
    """A message whose thinking weighs nothing, because the API drops it."""
    if all(block.kind is not Kind.THINKING for block in message.blocks):
        return message
    return replace(message, blocks=tuple(block.weighed(0) if block.kind is Kind.THINKING else block for block in message.blocks))


def rooted(parent: bytes, message: Message) -> bytes:
    """The name of a history that ends with ``message``, whatever stands in its head; a bare string and a list of that text are the same."""
    digest = blake2b(parent, digest_size=16, person=b"root")
    for block in message.blocks:
        digest.update(block.fingerprint if not isinstance(block.wire, str) else _as_text(block))
    return digest.digest()


def _as_text(block: Block) -> bytes:
    return fingerprint(block.kind, block.role, {"type": "text", "text": block.wire})


def without_thoughts(source: Sequence[Message], dropped: Sequence[int]) -> list[Message]:
    """Messages whose thinking weighs nothing within these ranges (``Line.dropped``)."""
    made = list(source)
    for start, stop in zip(dropped[::2], dropped[1::2], strict=False):
        made[start:stop] = [_without_thought(message) for message in made[start:stop]]
    return made

"""What earlier requests of a lineage settled, and what that means for the next one."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from holdfast.checker.alignment import Match, align, equal_heads, inherited, shared
from holdfast.checker.reading import Body, Piece
from holdfast.checker.values import Announced, Dialect

ROOT = -1


@dataclass(frozen=True, slots=True)
class Past:
    """The last answered request of a lineage. ``original`` holds each of the caller's messages as it first came.

    By ordinal of the original: ``first_form`` is the digest of a message as it was first sent verbatim, ``bound_to`` the prefix
    (a node of ``Prefixes``) behind which the model made the thinking in it.
    """

    original: Body | None = None
    sent: Body | None = None
    match: Match = field(default_factory=list)
    first_form: dict[int, bytes] = field(default_factory=dict)
    bound_to: dict[int, int] = field(default_factory=dict)

    def upto(self, known: int) -> Past:
        """What of it still holds for a history that shares only the first ``known`` messages."""
        forms = {at: form for at, form in self.first_form.items() if at < known}
        return replace(self, first_form=forms, bound_to={at: node for at, node in self.bound_to.items() if at < known})


@dataclass(slots=True)
class Case:
    """One request on trial: ``known`` messages of ``original`` were seen before, ``due`` messages of the last body must come again.

    ``match`` gives for each sent message its original, ``places`` the reverse.
    """

    past: Past
    body: Body
    original: Body
    announced: Announced | None
    pinned: Collection[int]
    match: Match
    known: int
    due: int
    grown: bool
    places: Mapping[int, int]

    @property
    def unproved(self) -> range:
        """The messages that were not sent before in just this form, if nothing is broken: without a plan only new ones."""
        return range(0 if self.announced else self.due, len(self.match))

    def remember(self) -> Past:
        """The past of the next request, if this one was answered."""
        forms = dict(self.past.first_form)
        for j in self.unproved:
            at = self.match[j]
            if at is not None and at not in forms and self.body.messages[j].same == self.original.messages[at].same:
                forms[at] = self.body.messages[j].bare
        return Past(self.original, self.body, self.match, forms, self.past.bound_to)


def case_of(past: Past, body: Body, given: Body, dialect: Dialect) -> Case:
    """Set the next request against the past. Other tools or another system begin a lineage of their own."""
    if past.original and not equal_heads(past.original.head, given.head, dialect):
        past = Past()
    earlier = past.original.messages if past.original else []
    known = shared(earlier, given.messages, dialect)
    head = given.head
    if past.original:
        first = past.original.head
        head = replace(head, tools=first.tools, system=first.system, bare=first.bare)
    original = Body(head, earlier[:known] + given.messages[known:])
    grown = known == len(earlier)
    due = len(past.match) if grown else inherited(past.match, known)
    match = align(body.messages, original.messages)
    places = {at: j for j, at in enumerate(match) if at is not None}
    return Case(past if grown else past.upto(known), body, original, None, (), match, known, due, grown, places)


@dataclass(slots=True)
class Prefixes:
    """Every prefix that was sent, as a number: equal prefixes, equal numbers."""

    nodes: dict[tuple[int, bytes], int] = field(default_factory=dict)
    _last: Body | None = None
    _last_chain: list[int] = field(default_factory=list)

    def step(self, node: int, piece: Piece) -> int:
        """The prefix one message longer."""
        return self.nodes.setdefault((node, piece.bare), len(self.nodes))

    def chain(self, body: Body) -> list[int]:
        """The number of the head, then those of the prefixes up to and with each message."""
        last = self._last
        if last is body:
            return self._last_chain
        chain = [self.nodes.setdefault((ROOT, body.head.bare), len(self.nodes))]
        if last and self._last_chain[0] == chain[0]:
            chain = self._last_chain[: 1 + _identical(last.messages, body.messages)]
        node = chain[-1]
        for piece in body.messages[len(chain) - 1 :]:
            node = self.step(node, piece)
            chain.append(node)
        self._last, self._last_chain = body, chain
        return chain

    def bind(self, case: Case) -> None:
        """Note for thinking that is new what it was made behind: the body sent last, then what the caller added before it.

        At a fork the prefix is not known; there the first that is sent counts.
        """
        bound = case.past.bound_to
        new = {at for at in range(case.known, len(case.original.messages)) if case.original.messages[at].thinks}
        if new:
            made = self._as_made(case) if case.grown else self._as_sent(case)
            case.past = replace(case.past, bound_to=bound | {at: node for at, node in made if at in new and at not in bound})

    def _as_sent(self, case: Case) -> Iterator[tuple[int, int]]:
        return ((at, node) for at, node in zip(case.match, self.chain(case.body), strict=False) if at is not None)

    def _as_made(self, case: Case) -> Iterator[tuple[int, int]]:
        last = case.past.sent
        node = self.chain(last)[-1] if last else self.chain(case.body)[0]
        for at in range(case.known, len(case.original.messages)):
            yield at, node
            piece = case.original.messages[at]
            sent = case.body.messages[case.places[at]] if at in case.places else piece
            node = self.step(node, sent if sent.same == piece.same else piece)

    def unbound(self, case: Case) -> list[int]:
        """The messages whose thinking no longer stands behind the prefix it was made behind."""
        bound, found = case.past.bound_to, []
        for j, (piece, node) in enumerate(zip(case.body.messages, self.chain(case.body), strict=False)):
            if piece.thinks:
                at = case.match[j]
                if at is not None and bound.get(at, node) != node:
                    found.append(j)
        return found


def _identical(one: Sequence[Piece], other: Sequence[Piece]) -> int:
    count = 0
    for a, b in zip(one, other, strict=False):
        if a is not b:
            break
        count += 1
    return count

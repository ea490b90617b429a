"""Rules that compare a sent body with the body the caller gave: what may change, and how."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from holdfast.checker.legality import Fault
from holdfast.checker.lineage import Case
from holdfast.checker.reading import Head, Part, Piece


def settings(sent: Head, original: Head) -> Iterator[Fault]:
    """Whatever is not history, head or mark goes out as the caller set it."""
    for key in sorted(sent.settings.keys() | original.settings.keys()):
        if sent.settings.get(key) != original.settings.get(key):
            yield "settings", key, f"{original.settings.get(key)} was sent as {sent.settings.get(key)}"


def head(sent: Head, original: Head) -> Iterator[Fault]:
    """Tools and system keep their bytes; a bare string may become one block where a mark stands on it."""
    for name, mine, theirs in (("tools", sent.tools, original.tools), ("system", sent.system, original.system)):
        if [part.same for part in mine] != [part.same for part in theirs]:
            at = next((n for n, (a, b) in enumerate(zip(mine, theirs, strict=False)) if a.same != b.same), min(len(mine), len(theirs)))
            yield "pinned", f"{name}[{at}]", f"{name} differ from the caller's"


def pins(case: Case) -> Iterator[Fault]:
    """Pinned messages, leading system messages and the first user message are sent verbatim."""
    messages, original = case.body.messages, case.original.messages
    for at in sorted({*case.pinned, *_always_pinned(original)}):
        if at < len(original):
            j = case.places.get(at)
            if j is None:
                yield "pinned", f"original[{at}]", "a pinned message is missing"
            elif messages[j].same != original[at].same:
                yield "pinned", f"messages[{j}]", "a pinned message was changed"


def _always_pinned(original: Sequence[Piece]) -> Iterator[int]:
    leading = True
    for at, piece in enumerate(original):
        if piece.plain_user:
            yield at
            return
        leading = leading and piece.role in ("system", "developer")
        if leading:
            yield at


def user_text(case: Case) -> Iterator[Fault]:
    """Every message in which a user speaks is still there, verbatim."""
    for at, piece in [(at, piece) for at, piece in enumerate(case.original.messages) if piece.plain_user]:
        if at not in case.places or case.body.messages[case.places[at]].same != piece.same:
            yield "user-text", f"original[{at}]", "a user's message is missing or was changed"


def made_by_sender(index: int, piece: Piece, ids: Collection[str]) -> Iterator[Fault]:
    """A message that is none of the caller's may only be a user's note: it neither calls, answers, thinks nor speaks for the model."""
    where = f"messages[{index}]"
    strange = [call for call in (*piece.calls, *piece.results) if call not in ids]
    if strange:
        yield "tool-id", where, f"the caller's history knows no call {strange[0]}"
    elif piece.thinks and len(piece.parts) == 1:
        yield "thinking", where, "thinking that was edited, invented or moved"
    elif piece.role != "user" or piece.calls or piece.results:
        yield "edited", where, f"a message of the {piece.role} that the caller's history does not hold in this place"


def pair(sent: Piece, original: Piece, binds: bool) -> list[Fault]:
    """One message against its original, equal but for clears and thinking: what thinking is left is unchanged and in its place.

    ``binds``: and everything before it in the message is as the model left it. Places are within the message.
    """
    found: list[Fault] = []
    rest = list(original.parts)
    touched = False
    for n, part in enumerate(sent.parts):
        where = f".content[{n}]"
        if part.kind == "thinking":
            skipped = _find_thinking(rest, part)
            if skipped is None:
                found.append(("thinking", where, "thinking that was edited, invented or moved"))
                continue
            if binds and (touched or skipped):
                found.append(("thinking-bound", where, "thinking behind an edit of its own message"))
            del rest[: skipped + 1]
        else:
            while rest and rest[0].kind == "thinking":
                touched = True
                rest.pop(0)
            touched = touched or (bool(rest) and rest[0].bare != part.bare)
            del rest[:1]
    return found


def _find_thinking(rest: Sequence[Part], part: Part) -> int | None:
    for skipped, candidate in enumerate(rest):
        if candidate.kind != "thinking":
            return None
        if candidate.bare == part.bare:
            return skipped
    return None


def touched(case: Case, may_drop_thinking: bool) -> Iterator[Fault]:
    """Without a plan, what is new goes out as it came."""
    originals = case.original.messages
    arrived: set[int] = set()
    for j in range(case.due, len(case.body.messages)):
        at, piece = case.match[j], case.body.messages[j]
        if at is None:
            yield "touched", f"messages[{j}]", "a message that the caller did not write, and no plan was announced"
        elif at >= case.known:
            arrived.add(at)
            if _edited(piece, originals[at], may_drop_thinking):
                yield "touched", f"messages[{j}]", "a new message was edited, and no plan was announced"
    missing = next((at for at in range(case.known, len(originals)) if at not in arrived), None)
    if missing is not None:
        yield "touched", f"original[{missing}]", "a new message is missing, and no plan was announced"


def _edited(piece: Piece, origin: Piece, may_drop_thinking: bool) -> bool:
    if piece.same == origin.same or piece.outline != origin.outline:  # the latter is for ``forms``
        return False
    mine, theirs = ([part.same for part in message.parts if part.kind != "thinking"] for message in (piece, origin))
    return not may_drop_thinking or mine != theirs


def forms(case: Case) -> Iterator[Fault]:
    """A message gets its wire form when it is first sent, and another than the caller's only to carry a mark."""
    mine, theirs = case.body.head.system, case.original.head.system
    marked = any(part.marks for part in mine)
    if case.past.sent is None and not marked and [p.bare for p in mine] != [p.bare for p in theirs]:
        yield "form", "system[0]", "a string became a list, but carries no mark"
    for j in case.unproved:
        at = case.match[j]
        why = None if at is None else _reformed(case, j, at)
        if why:
            yield "form", f"messages[{j}]", why


def _reformed(case: Case, j: int, at: int) -> str | None:
    piece, origin = case.body.messages[j], case.original.messages[at]
    if piece.outline != origin.outline:
        return "equal to the caller's message, but not the same bytes"
    if piece.same != origin.same:
        return None
    first = case.past.first_form.get(at)
    marked = piece.marked or (bool(case.body.head.automatic) and j == len(case.match) - 1)
    if first is None and piece.bare != origin.bare and not marked:
        return "sent in another form than the caller's, but carries no mark"
    return "was first sent in another form" if first not in (None, piece.bare) else None

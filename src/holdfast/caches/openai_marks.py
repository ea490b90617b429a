"""OpenAI's cache from GPT-5.6 on: entries at marks, with a price for writing.

Sources: OpenAI's prompt caching guide (2026-08 to 2026-10) and the types of openai 3.54.0 (2026-11-17). There is no fallback
to the longest prefix: what no mark or message end names is not found.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from holdfast.blocks import Kind, Mark, Role, Settings
from holdfast.caches.entries import Entries, Entry, Line
from holdfast.caches.machine import CacheRequest
from holdfast.caches.openai import prefix_key
from holdfast.prefix import Chain
from holdfast.usage import Usage

HALF_DAY = 43_200


@dataclass(frozen=True, slots=True)
class OpenAIMarkRules:
    """The parameters of the cache. Times are seconds.

    ``minimum`` visible tokens of a prefix that can be cached; a boundary is exact, not rounded.
    ``implicit``: the mode of ``prompt_cache_options``; explicit mode with no marks caches nothing. ``ttl``: the lifetime of
    the implicit mark, 1,800 or 43,200.
    ``max_writes`` a request, of which the implicit mark is one.
    ``first_marks`` and ``newest_marks``: how many explicit marks are looked up from either end (the guide says 2 and 50, the SDK's text
    "the newest 80"). ``earlier_ends``: how many earlier ends of eligible messages.
    ``writes_head``: in implicit mode the end of the system messages gets an entry too, which costs nothing further. The
    guide only says that it is looked up; the bills of ax-llm/ax pull 573 (2026-08) show that it is there to be read.
    ``visibility_delay``: from the start of a request to the start of its response, where that is not recorded.
    """

    minimum: int = 1024
    implicit: bool = True
    ttl: int = 1800
    max_writes: int = 4
    first_marks: int = 2
    newest_marks: int = 50
    earlier_ends: int = 20
    writes_head: bool = True
    visibility_delay: float = 1.0


class OpenAIMarksCache:
    """One organisation's cache in one region. Lifetimes (30 minutes, 12 hours) begin again with every write or reuse.

    Of mixed lifetimes it is assumed, as no source says, that they are billed as Anthropic's are: 12h up to the last 12h mark
    behind the hit, 30m up to the last mark. "Extending a message in place" misses because its old end is no message end any more.
    """

    def __init__(self, rules: OpenAIMarkRules | None = None) -> None:
        self.rules = rules or OpenAIMarkRules()
        self._entries = Entries()

    def send(self, request: CacheRequest) -> Usage:
        """The input side of the usage this request is billed; entries are written and renewed. Requests come in order of time."""
        hit = self._hit(request)
        writes = self._writes(request, hit)
        key, chain = prefix_key(request.settings, request.scope), request.chain
        base = self._entries.of(key).get(chain.ids[hit]) if hit >= 0 else None
        if base is not None:
            base.line.use(hit, request.at)
        begun = request.at + self.rules.visibility_delay if request.responded is None else request.responded
        for mark in self._with_head(request, writes, hit):
            new = Entry(Line(), mark.position, mark.ttl, begun)
            base = self._entries.write(key, chain.ids[mark.position], new, base, request.at)
        self._entries.sweep(request.at)
        return _bill(chain, writes, hit)

    def peek(self, request: CacheRequest) -> Usage:
        """What ``send`` would give, without changing anything."""
        hit = self._hit(request)
        return _bill(request.chain, self._writes(request, hit), hit)

    def reach(self, request: CacheRequest) -> int:
        """How many leading blocks ``send`` would read."""
        return self._hit(request) + 1

    def warm(self, chain: Chain, position: int, settings: Settings, until: float | None = None, scope: str = "") -> None:
        """Plant an entry behind block ``position`` that others keep alive until then (POSIX seconds; ``None``: for ever)."""
        entry = Entry(Line(), position, self.rules.ttl, float("-inf"))
        self._entries.plant(prefix_key(settings, scope), chain.ids[position], entry, float("inf") if until is None else until)

    def _explicit(self, request: CacheRequest) -> list[Mark]:
        """The caller's marks that count, in order of place."""
        marks = {
            mark.position: mark
            for mark in sorted(request.marks, key=lambda mark: mark.ttl)
            if 0 <= mark.position < request.chain.length and request.chain.totals[mark.position] >= self.rules.minimum
        }
        return [marks[position] for position in sorted(marks)]

    def _hit(self, request: CacheRequest) -> int:
        """The last block of the longest prefix that is looked up and found; -1 if none."""
        found = self._entries.of(prefix_key(request.settings, request.scope))
        ids = request.chain.ids
        for place in sorted(self._looked_up(request), reverse=True):
            entry = found.get(ids[place])
            if entry is not None and entry.readable(request.at):
                return place
        return -1

    def _looked_up(self, request: CacheRequest) -> set[int]:
        rules, marks = self.rules, self._explicit(request)
        places = {mark.position for mark in marks[: rules.first_marks] + marks[-rules.newest_marks :]}
        if not rules.implicit:
            return places
        for count, end in enumerate(message_ends(request.chain)):
            if count > rules.earlier_ends:
                break
            places.add(end)
        return places | ({request.chain.head - 1} if request.chain.head else set())

    def _writes(self, request: CacheRequest, hit: int) -> list[Mark]:
        """The marks behind the hit that are written, in order: the implicit one and the newest explicit ones."""
        if not request.writes:
            return []
        marks = self._explicit(request)
        end = next(message_ends(request.chain), -1) if self.rules.implicit else -1
        if end >= 0 and request.chain.totals[end] >= self.rules.minimum and all(mark.position != end for mark in marks):
            marks = [*marks[len(marks) - min(len(marks), self.rules.max_writes - 1) :], Mark(end, self.rules.ttl)]
        marks = marks[-self.rules.max_writes :]
        return sorted((mark for mark in marks if mark.position > hit), key=lambda mark: mark.position)

    def _with_head(self, request: CacheRequest, writes: list[Mark], hit: int) -> list[Mark]:
        place = request.chain.head - 1
        if not (self.rules.implicit and self.rules.writes_head and writes and hit < place < writes[0].position):
            return writes
        return [Mark(place, writes[0].ttl), *writes] if request.chain.totals[place] >= self.rules.minimum else writes


def message_ends(chain: Chain) -> Iterator[int]:
    """The last blocks of eligible messages, newest first: a user's message, or the last of a group of consecutive tool outputs.

    The end of the system messages is not among them. Of consecutive user messages only the last one's end is seen.
    """
    for place in range(chain.length - 1, chain.head - 1, -1):
        if chain.roles[place] is Role.USER:
            follows = place + 1 < chain.length
            same_side = follows and chain.roles[place + 1] is Role.USER
            result = chain.kinds[place] is Kind.TOOL_RESULT
            if not same_side or (result and chain.kinds[place + 1] is not Kind.TOOL_RESULT):
                yield place


def _bill(chain: Chain, writes: list[Mark], hit: int) -> Usage:
    read = chain.tokens(hit + 1)
    half_days = [mark for mark in writes if mark.ttl >= HALF_DAY]
    half_day = chain.tokens(half_days[-1].position + 1) if half_days else read
    last = chain.tokens(writes[-1].position + 1) if writes else read
    return Usage(fresh=chain.tokens() - last, read=read, write_30m=last - half_day, write_12h=half_day - read)

"""Anthropic's cache follows the published rules."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.blocks import Kind, Mark, Role
from holdfast.caches.anthropic import AnthropicCache, AnthropicRules, bedrock
from holdfast.caches.machine import CacheRequest
from holdfast.prefix import Chain
from holdfast.usage import Usage
from tests.caches.chains import MODEL, Step, a_block, ask, chain, requests_of, steps, texts

RULES = AnthropicRules(minimum=1024)


def head_and(messages: int, size: int = 100) -> Chain:
    """Two tools of 1,000 tokens, a system text of 2,000, and messages."""
    tools = [a_block(f"tool{index}", 1000, Kind.TOOL, Role.TOOLS) for index in range(2)]
    return chain([*tools, a_block("system", 2000, Kind.SYSTEM, Role.SYSTEM), *texts(messages, size)])


@given(steps, st.booleans(), st.booleans())
def test_usage_adds_up_to_the_prompt(history: list[Step], linked: bool, once: bool) -> None:
    """Whatever is sent, the classes of the usage add up to the prompt and none is negative."""
    cache = AnthropicCache(AnthropicRules(refresh_ancestors=linked, tool_runs_count_once=once, upgrade_on_read=linked))
    for request in requests_of(history):
        usage = cache.send(request)
        assert usage.prompt == request.chain.tokens()
        assert min(usage.as_dict().values()) >= 0


@given(steps)
def test_peek_changes_nothing_and_foretells_send(history: list[Step]) -> None:
    """Peeking says what sending will be billed, and a cache that is peeked at all the time bills the same as one that is not."""
    asked, left_alone = AnthropicCache(RULES), AnthropicCache(RULES)
    for request in requests_of(history):
        foretold = asked.peek(request)
        asked.peek(replace(request, at=request.at + 1000))
        assert foretold == asked.send(request) == left_alone.send(request)


@given(steps)
def test_sending_again_reads_up_to_the_last_mark(history: list[Step]) -> None:
    """The same request once more, when the first has begun to answer and within its lifetime, reads to its last mark and writes nothing."""
    cache = AnthropicCache(RULES)
    for request in requests_of(history):
        cache.send(request)
        begun = max(request.at, request.responded or 0)
        counted = [m.position for m in request.marks if request.chain.tokens(m.position + 1) >= RULES.minimum]
        if request.writes and counted and begun < request.at + 300:
            usage = cache.peek(replace(request, at=begun))
            assert (usage.read, usage.written) == (request.chain.tokens(max(counted) + 1), 0)


@given(steps)
def test_nothing_is_read_after_every_lifetime(history: list[Step]) -> None:
    """An hour after the last request, nothing is left."""
    cache = AnthropicCache(RULES)
    made = requests_of(history)
    for request in made:
        cache.send(request)
    for request in made:
        assert cache.peek(replace(request, at=made[-1].at + 3600)).read == 0


@given(steps, st.data())
def test_more_marks_never_read_less(history: list[Step], data: st.DataObject) -> None:
    """On the same cache, a request with further marks reads at least as much."""
    cache = AnthropicCache(RULES)
    for request in requests_of(history):
        extra = data.draw(st.lists(st.integers(0, request.chain.length - 1).map(Mark), max_size=3))
        assert cache.peek(replace(request, marks=request.marks + tuple(extra))).read >= cache.peek(request).read
        cache.send(request)


@given(steps)
def test_what_is_read_was_written_at_a_mark(history: list[Step]) -> None:
    """A read ends where an earlier request with the same first blocks had a mark, within the longest lifetime it was ever given."""
    cache = AnthropicCache(RULES)
    written: set[bytes] = set()
    for request in requests_of(history):
        reach = cache.reach(request)
        assert reach == 0 or request.chain.ids[reach - 1] in written
        cache.send(request)
        written |= {request.chain.ids[mark.position] for mark in request.marks}


@given(steps)
def test_lifetimes_agree_with_a_cache_that_renews_one_by_one(history: list[Step]) -> None:
    """Lines give the same lifetimes as renewing, one by one, an entry and those it grew from."""
    cache, plain = AnthropicCache(RULES), OneByOne()
    for request in requests_of(history):
        assert cache.reach(request) == plain.send(request)
        cache.send(request)


@dataclass(eq=False)
class Held:
    """An entry as the slow definition keeps it: with the entry it grew from, and its own expiry."""

    expiry: float
    ttl: int
    visible: float
    base: Held | None

    def renew(self, now: float) -> None:
        """It and what it grew from live on, one by one, but for what is dead."""
        entry: Held | None = self
        while entry is not None:
            if now < entry.expiry:
                entry.expiry = now + entry.ttl
            entry = entry.base


class OneByOne:
    """The slow definition of lifetimes and of the look-back: every entry by itself."""

    def __init__(self) -> None:
        self.held: dict[tuple[str | None, bytes], Held] = {}

    def _key(self, request: CacheRequest, place: int) -> tuple[str | None, bytes]:
        made = request.chain
        return (request.settings.tool_choice if place >= made.head else None, made.ids[place])

    def send(self, request: CacheRequest) -> int:
        """How many blocks are read."""
        now, made = request.at, request.chain
        marks: dict[int, int] = {}
        for mark in request.marks:
            if made.tokens(mark.position + 1) >= RULES.minimum:
                marks[mark.position] = max(mark.ttl, marks.get(mark.position, 0))
        hit = next((place for mark in sorted(marks, reverse=True) for place in self._window(request, mark)), -1)
        base = self.held.get(self._key(request, hit)) if hit >= 0 else None
        for place in sorted({hit, *marks}):
            entry = self.held.get(self._key(request, place)) if 0 <= place <= hit else None
            if entry is not None and entry.visible <= now:
                entry.renew(now)
        for place, ttl in sorted(marks.items()):
            if place > hit and request.writes:
                base = self._write(request, place, ttl, base)
        return hit + 1

    def _write(self, request: CacheRequest, place: int, ttl: int, base: Held | None) -> Held:
        new = Held(request.at + ttl, ttl, request.responded or 0.0, base)
        old = self.held.get(self._key(request, place))
        if old is not None and request.at < old.expiry:
            new.visible = min(old.visible, new.visible)
            if old.ttl >= ttl:
                old.visible = new.visible
                old.renew(request.at)
                return old
        self.held[self._key(request, place)] = new
        return new

    def _window(self, request: CacheRequest, mark: int) -> list[int]:
        made, found, positions = request.chain, [], 0
        for place in range(mark, -1, -1):
            same = place < mark and made.kinds[place] is made.kinds[place + 1] and made.kinds[place] in (Kind.TOOL_USE, Kind.TOOL_RESULT)
            positions += not same
            if positions > 20:
                break
            entry = self.held.get(self._key(request, place))
            if entry is not None and entry.visible <= request.at < entry.expiry:
                found.append(place)
        return found


def test_the_documented_look_back_misses_by_one() -> None:
    """10, 15, then 35 blocks with a mark at the end: the second finds the first, the third misses the second by one."""
    cache = AnthropicCache(RULES)
    assert cache.send(ask(chain(texts(10, 200)), 0, 9)).read == 0
    assert cache.send(ask(chain(texts(15, 200)), 1, 14)).read == 2000
    grown = chain(texts(35, 200))
    assert cache.peek(ask(grown, 2, 34)) == Usage(write_5m=7000)
    assert cache.peek(ask(grown, 2, 14, 34)) == Usage(read=3000, write_5m=4000)
    assert cache.peek(ask(grown, 2, 33)) == Usage(read=3000, write_5m=3800, fresh=200)


@pytest.mark.parametrize(("once", "read"), [(True, 4000), (False, 0)])
def test_a_run_of_tool_blocks_is_one_position_only_with_the_switch(once: bool, read: int) -> None:
    """38 parallel calls and results after the last entry are two positions with the switch, and out of reach without it."""
    rules = RULES if once else bedrock(RULES)
    cache = AnthropicCache(rules)
    before = texts(20, 200)
    calls = [a_block(f"call{index}", 10, Kind.TOOL_USE, Role.ASSISTANT) for index in range(19)]
    results = [a_block(f"result{index}", 10, Kind.TOOL_RESULT) for index in range(19)]
    cache.send(ask(chain(before), 0, 19))
    assert cache.send(ask(chain([*before, *calls, *results]), 1, 57)).read == read


def test_an_entry_inside_a_run_is_found() -> None:
    """A mark in the middle of a run leaves an entry there, which a mark at the end of the longer run finds."""
    cache = AnthropicCache(RULES)
    results = [a_block(f"result{index}", 200, Kind.TOOL_RESULT) for index in range(40)]
    cache.send(ask(chain(results), 0, 9))
    assert cache.peek(ask(chain(results), 1, 39)).read == 2000


def test_below_the_minimum_nothing_is_cached() -> None:
    """The minimum counts the whole prefix up to the mark: a shorter one writes nothing and is plain input."""
    cache = AnthropicCache(RULES)
    short = chain(texts(12, 100))
    assert cache.send(ask(short, 0, 9)) == Usage(fresh=1200)
    assert cache.send(ask(short, 1, 9, 10)) == Usage(write_5m=1100, fresh=100)


def test_lifetime_counts_from_the_start_of_the_request() -> None:
    """A response that streams for four minutes leaves one minute of a five-minute entry."""
    cache = AnthropicCache(RULES)
    prompt = chain(texts(20, 100))
    cache.send(replace(ask(prompt, 0, 19), responded=240.0))
    assert cache.peek(ask(prompt, 299.9, 19)).read == 2000
    assert cache.peek(ask(prompt, 300, 19)).read == 0


def test_a_read_renews_the_entry_and_shorter_ones() -> None:
    """Reading at 299 s keeps an entry to 599 s; whether a shorter prefix's entry lives with it is a rule of its own."""
    for linked, read in ((True, 2000), (False, 0)):
        cache = AnthropicCache(replace(RULES, refresh_ancestors=linked))
        cache.send(ask(chain(texts(20)), 0, 19))
        cache.send(ask(chain(texts(30)), 10, 19, 29))
        cache.send(ask(chain(texts(30)), 299, 29))
        assert cache.peek(ask(chain(texts(30)), 590, 29)).read == 3000
        assert cache.peek(ask(chain([*texts(20), *texts(5, name="other")]), 590, 24)).read == read


def test_an_entry_is_read_only_after_its_response_began() -> None:
    """Parallel cold requests each pay the write; where no start of the response is recorded, the default delay counts."""
    cache = AnthropicCache(RULES)
    prompt = chain(texts(20))
    slow = replace(ask(prompt, 0, 19), responded=4.0)
    assert cache.send(slow).written == cache.send(replace(slow, at=3.9, responded=9.0)).written == 2000
    assert cache.peek(replace(slow, at=4.0)).read == 2000
    other = AnthropicCache(RULES)
    other.send(replace(slow, responded=None))
    assert other.peek(replace(slow, at=RULES.visibility_delay - 0.1)).read == 0
    assert other.peek(replace(slow, at=RULES.visibility_delay)).read == 2000


def test_mixed_lifetimes_are_billed_by_a_b_c() -> None:
    """Read up to A, 1h writes to B, 5m writes to C, plain input after C."""
    cache = AnthropicCache(RULES)
    prompt = head_and(40)
    cache.send(ask(prompt, 0, Mark(2, 3600)))
    usage = cache.send(ask(prompt, 1, Mark(2, 3600), Mark(12, 3600), Mark(32)))
    assert usage == Usage(read=4000, write_1h=1000, write_5m=2000, fresh=1000)
    assert cache.peek(ask(prompt, 302, Mark(2, 3600), Mark(12, 3600), Mark(32))) == Usage(read=5000, write_5m=2000, fresh=1000)


@pytest.mark.parametrize(
    ("change", "read"),
    [
        ({"model": "claude-opus-5"}, 0),
        ({"speed": '"fast"'}, 2000),
        ({"other": (("citations_or_search", "true"),)}, 2000),
        ({"tool_choice": '{"type":"any"}'}, 4000),
        ({"thinking": '{"type":"enabled"}'}, 4000),
        ({"effort": '"low"'}, 4000),
        ({"other": (("task_budget", "9"),)}, 4000),
        ({"tool_choice": '{"type":"auto"}', "effort": '"high"', "speed": '"standard"'}, 5000),
    ],
)
def test_a_changed_setting_loses_the_tiers_behind_it(change: dict[str, object], read: int) -> None:
    """Tools (2,000 tokens), system (to 4,000) and messages (to 5,000) are lost as in the published table; a default is no change."""
    cache = AnthropicCache(RULES)
    prompt = head_and(10)
    cache.send(ask(prompt, 0, 1, 2, 12))
    changed = replace(MODEL, **change)  # type: ignore[arg-type]
    assert cache.peek(ask(prompt, 1, 1, 2, 12, settings=changed)).read == read


def test_thinking_and_effort_may_be_rendered_first() -> None:
    """On models that put them ahead of the tools, a change loses everything."""
    cache = AnthropicCache(replace(RULES, thinking_tier="all", effort_tier="all"))
    prompt = head_and(10)
    cache.send(ask(prompt, 0, 1, 2, 12))
    assert cache.peek(ask(prompt, 1, 1, 2, 12, settings=replace(MODEL, effort='"low"'))).read == 0
    assert cache.peek(ask(prompt, 1, 1, 2, 12, settings=replace(MODEL, thinking='{"type":"enabled"}'))).read == 0


def test_a_request_that_writes_nothing_leaves_nothing() -> None:
    """Without writes a request reads what there is, pays the rest as plain input and leaves no entry."""
    cache = AnthropicCache(RULES)
    cache.send(ask(chain(texts(20)), 0, 19))
    grown = chain(texts(30))
    assert cache.send(ask(grown, 1, 29, writes=False)) == Usage(read=2000, fresh=1000)
    assert cache.send(ask(grown, 2, 29)) == Usage(read=2000, write_5m=1000)


def test_a_head_that_others_keep_warm_is_read() -> None:
    """A planted entry is read for as long as it was said to live, and its descendants die at their own time."""
    cache = AnthropicCache(RULES)
    prompt = head_and(10)
    cache.warm(prompt, 2, MODEL)
    assert cache.send(ask(prompt, 1e6, 2, 12)) == Usage(read=4000, write_5m=1000)
    assert cache.peek(ask(prompt, 2e6, 2, 12)) == Usage(read=4000, write_5m=1000)
    brief = AnthropicCache(RULES)
    brief.warm(prompt, 2, MODEL, until=1000.0)
    assert brief.send(ask(prompt, 900, 2)).read == 4000
    assert brief.peek(ask(prompt, 1199, 2)).read == 4000
    assert brief.peek(ask(prompt, 1200, 2)).read == 0
    assert brief.peek(ask(prompt, 1199, 2, scope="other")).read == 0


def test_upgrading_a_lifetime_by_reading_is_off_unless_asked_for() -> None:
    """A 1h mark on an entry written for 5m makes it live an hour only with the rule that nobody has confirmed."""
    for upgrade, read in ((False, 0), (True, 2000)):
        cache = AnthropicCache(replace(RULES, upgrade_on_read=upgrade))
        prompt = chain(texts(20))
        cache.send(ask(prompt, 0, 19))
        assert cache.send(ask(prompt, 100, Mark(19, 3600))) == Usage(read=2000)
        assert cache.peek(ask(prompt, 2000, 19)).read == read


def test_misses_come_at_the_rate_asked_for() -> None:
    """About a tenth of the reads find nothing, the same ones in every run."""
    prompt = chain(texts(20))

    def misses() -> list[int]:
        cache = AnthropicCache(replace(RULES, miss_rate=0.1))
        return [at for at in range(1000) if cache.send(ask(prompt, at, 19)).read == 0]

    assert 70 <= len(misses()) <= 130
    assert misses() == misses()


def test_dead_entries_are_dropped() -> None:
    """Thousands of entries, each dead before the next is written, do not pile up."""
    cache = AnthropicCache(RULES)
    grown = Chain()
    for number in range(8_000):
        grown.append(a_block(str(number), 2000))
        cache.send(ask(grown.upto(number + 1), 400.0 * number, number))
    assert cache.entries < 4200

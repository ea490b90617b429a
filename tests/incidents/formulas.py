"""The rules behind incidents that are pure arithmetic, computed by the package's own machines from the sizes that a case states."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from itertools import product
from typing import Any

from holdfast.blocks import Block, Kind, Role, Settings, make_block
from holdfast.caches import Cache, CacheRequest, OpenAICache, OpenAIRules, cache_for
from holdfast.caches.blocks import BlockCache, BlockRules
from holdfast.prefix import Chain
from holdfast.pricing import bill
from holdfast.schedule import schedule_for
from holdfast.usage import Usage, from_anthropic, from_openai
from tests.incidents.cases import Case, size_of
from tests.incidents.registry import formula

PROMPT, ANSWER = Role.USER, Role.ASSISTANT
Made = Callable[[], Cache]


def _request(pieces: Sequence[Block], at: float) -> CacheRequest:
    chain = Chain()
    for piece in pieces:
        chain.append(piece)
    return CacheRequest(chain, Settings(), (), at)


def _piece(name: str, tokens: int, role: Role = PROMPT) -> Block:
    return make_block(Kind.TEXT, role, name, name).weighed(tokens)


def _sent_again(make: Made, sizes: Sequence[int]) -> list[int]:
    """What each prompt reads when it is sent a second time."""
    reads = []
    for size in sizes:
        cache = make()
        cache.send(_request([_piece("prompt", size)], 0))
        reads.append(cache.send(_request([_piece("prompt", size)], 10)).read)
    return reads


def _growing(make: Made, sizes: Sequence[int]) -> list[int]:
    """What each prompt of a conversation reads that only grows, from the first size to the last."""
    cache, pieces, reads, before = make(), list[Block](), [], 0
    for turn, size in enumerate(sizes):
        pieces.append(_piece(f"turn {turn}", size - before))
        reads.append(cache.send(_request(pieces, 10 * turn)).read)
        before = size
    return reads


@formula("block_size_floor", "below_minimum")
def blocks_only(case: Case) -> None:
    """Hits are whole blocks: one rule gives every read, for each block size, from the row on that the case names as the first."""
    first = (case.stated(r"from turn (\d+)") or 1) - 1
    for size in {row.get("block") for row in case.rows}:
        rows = [row for row in case.rows if row.get("block") == size]
        want, prompts = [row["cached"] for row in rows][first:], [row["prompt_tokens"] for row in rows]
        scenes = [_sent_again] + [_growing] * (prompts == sorted(prompts))
        tried = [scene(make, prompts)[first:] for make, scene in product(_rules(case, size, want), scenes)]
        assert want in tried, f"{case.id}: no rule reads {want}: {tried}"


def _rules(case: Case, stated: int | None, reads: Sequence[int]) -> Iterator[Made]:
    """Caches to try: blocks as stated or as the reads have in common, the last one computed again or not; the provider's own."""
    block = stated or math.gcd(*reads) or 16
    for again in (0, 1):
        yield partial(BlockCache, BlockRules(block=block, recomputed_blocks=again, caches_answer=False))
    if case.api and not stated:
        yield partial(cache_for, case.api, case.model)
        yield from (partial(OpenAICache, OpenAIRules(minimum=least, step=block)) for least in (1, 1_024))


@formula("engine_bug", "server_side_unexplained")
def answers_cached(case: Case) -> None:
    """Whether an engine keeps what it generated decides the next read: one rule gives all rows of a conversation, or each its own."""
    opening, *later = case.rows
    want = [row["cached"] for row in later]
    rules = [BlockRules(block=1, caches_answer=kept, answer_held_back=back) for kept, back in ((False, 0), (True, 0), (True, 1))]
    if any(_conversation(rule, case.rows) == want for rule in rules):
        return
    reads = [[_conversation(rule, (opening, row))[0] for row in later] for rule in rules]
    for place, read in enumerate(want):
        assert read in {found[place] for found in reads}, f"{case.id}: row {place + 1} reads {read}, not one of {reads}"
    assert {want.index(read) for read in want} == set(range(len(want))), f"{case.id}: the same request under one rule twice"


def _conversation(rules: BlockRules, rows: Sequence[Mapping[str, Any]]) -> list[int]:
    """What each prompt after the first reads, when each holds the one before, its answer and something more."""
    cache, pieces, reads = BlockCache(rules), list[Block](), []
    for turn, row in enumerate(rows):
        known = sum(piece.tokens for piece in pieces)
        if row["prompt_tokens"] < known:
            return []
        pieces.append(_piece(f"asked {turn}", row["prompt_tokens"] - known))
        reads.append(cache.send(_request(pieces, turn)).read)
        pieces.append(_piece(f"answer {turn}", row.get("output", 0), ANSWER))
    return reads[1:]


@dataclass
class _Template:
    """A chat template that leaves thinking out of all assistant turns before the last user message.

    ``parts`` are the user's messages, the tool results and the answers, each ``(name, tokens, is a user's)``. The words that open a reply
    are part of the prompt, and part of what a state must match; the opening of a turn without thinking is another one.
    """

    parts: list[tuple[str, int, bool]]
    opening: int = 4

    def render(self, size: int | None) -> list[Block]:
        """The prompt as blocks; the newest part takes what is left of ``size``."""
        last_user = max(index for index, part in enumerate(self.parts) if part[2])
        made: list[Block] = []
        for index, (name, tokens, _) in enumerate(self.parts):
            if name.startswith("answer"):
                strip = index < last_user
                made[-1] = _piece("open" if strip else "open think", self.opening)
                made.append(_piece(f"{name} {'without' if strip else 'with'} thinking", tokens // 2 if strip else tokens, ANSWER))
                continue
            newest = index == len(self.parts) - 1
            used = sum(block.tokens for block in made) + self.opening
            made.append(_piece(name, size - used if newest and size is not None else tokens))
            made.append(_piece("open think", self.opening))
        return made


@formula("thinking_stripped_by_template", "thinking_changed")
def template_strips_thinking(case: Case) -> None:
    """In a tool loop a request reads all of the last one and its answer but one token; a new user message re-renders and reads nothing."""
    cache = BlockCache(BlockRules(block=1, caches_answer=True, answer_held_back=1, rewinds=False))
    parts: list[tuple[str, int, bool]] = []
    for turn, row in enumerate(case.rows):
        size, users = size_of(row), turn == 0 or "user message" in (row.get("note") or "")
        parts.append((f"part {turn}", 0, users))
        blocks = _Template(parts).render(size)
        usage = cache.send(_request(blocks, turn))
        assert usage.prompt == size
        assert usage.read == row["cached"], f"{case.id}: request {turn + 1} reads {usage.read}, published {row['cached']}"
        parts[-1] = (parts[-1][0], blocks[-2].tokens, users)
        parts.append((f"answer {turn}", row["output"], False))


@formula("usage_semantics", "wrong_compaction_timing")
def size_of_the_context(case: Case) -> None:
    """Either convention of usage gives the same size of the context; cached tokens added to an inclusive count fire too early."""
    window = case.price.context_window if case.price else None
    rows = [row for row in case.rows if {"prompt_tokens", "cached"} <= row.keys()]
    assert rows, f"{case.id} states no prompt with what of it was cached"
    for row in rows:
        prompt, cached, output = row["prompt_tokens"], row["cached"], row.get("output", 0)
        inclusive = from_openai({"input_tokens": prompt, "input_tokens_details": {"cached_tokens": cached}, "output_tokens": output})
        additive = from_anthropic({"input_tokens": prompt - cached, "cache_read_input_tokens": cached, "output_tokens": output})
        assert inclusive == additive
        assert inclusive.prompt + inclusive.output == row.get("total", prompt + output)
        if cached:
            twice = inclusive.prompt + inclusive.read
            schedule = schedule_for(max(window or 0, 2 * twice), (inclusive.prompt + twice) // 2)
            assert schedule.goal(inclusive.prompt, 0, 0.0, cold=False) is None
            assert schedule.goal(twice, 0, 0.0, cold=False) is not None


@formula("ttl_price_tier", "accounting_error")
def lifetime_priced(case: Case) -> None:
    """Each stated price is the bill of its tokens with the writes of exactly one lifetime, and those for an hour cost more."""
    rows = [row for row in case.rows if {"uncached", "cached", "written", "output", "cost_usd"} <= row.keys()]
    if not rows and case.code != "ttl_price_tier":
        size_of_the_context(case)
        return
    assert rows, f"{case.id} states no request with all its tokens and its price"
    assert case.price, f"{case.id}: no price is known for {case.named_model!r}"
    seen: set[str] = set()
    for row in rows:
        stated = Decimal(str(row["cost_usd"]))
        bills = {}
        for lifetime in ("write_5m", "write_1h"):
            usage = Usage(row["uncached"], row["cached"], output=row["output"], **{lifetime: row["written"]})
            bills[lifetime] = bill(usage, case.price).total
        fitting = {lifetime for lifetime, total in bills.items() if abs(total - stated) < stated / 200}
        assert len(fitting) == 1, f"{case.id}: {stated} USD is the bill of {fitting or 'no lifetime'}: {bills}"
        assert bills["write_5m"] < bills["write_1h"]
        seen |= fitting
    assert case.code != "ttl_price_tier" or len(seen) == min(2, len(rows))

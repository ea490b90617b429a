"""Block caches of inference engines: vLLM, SGLang, llama.cpp and their like.

A prompt is cut into blocks of equal size from its beginning; a request reads the longest run of leading *full* blocks that are held, and
what it sends is held from then on, the last, partial block excepted. Nothing expires; a full pool evicts. Writing is free.

Sources: vLLM, docs/design/prefix_caching.md (2026, vLLM 0.33); SGLang 0.5.23, RadixAttention (2026-11). What
single engines do beside that is a parameter, each with its source.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Hashable
from dataclasses import dataclass, field

from holdfast.blocks import Role, Settings
from holdfast.caches.block_pool import Eviction, Pool, pool_of
from holdfast.caches.machine import CacheRequest
from holdfast.prefix import Chain
from holdfast.usage import Usage

_Salt = tuple[str, str]


@dataclass(frozen=True, slots=True)
class BlockRules:
    """The parameters of an engine's cache. Sizes are tokens unless they say blocks.

    ``block``: the size of a block (vLLM: 16; SGLang: its page size, 1 by default; hybrid models: hundreds, as attention and
    state share one block, syv-ai/qwen38-27b-rtx3090 issue 102, 2026-09).
    ``capacity``: how many blocks are held, ``None`` for no end of them; ``eviction``: which goes first.
    ``minimum``: a shorter hit does not count.
    ``least_computed``: so many tokens of a prompt are always computed, as the next one is sampled from the last one's logits (vLLM,
    v1/core/kv_cache_manager.py, and SGLang: 1).
    ``recomputed_blocks``: so many blocks at the end of a hit are computed all the same (hybrid models and speculative
    decoding: 1; the same issue 102).
    ``caches_answer``: what a request generates is held too, and read when the next prompt repeats it word for word. SGLang did
    not for a while (pull 16521, 2026-01). An answer takes up room only once a later prompt repeats it: its size is not known before.
    ``answer_held_back``: so many tokens at the end of an answer are not held: the last one sampled was never fed back (llama.cpp; 0 in
    the example of SGLang's pull 16521).
    ``rewinds``: a prefix of what is held can be read. Where not, a state can be continued only from exactly where a request ended:
    recurrent and hybrid models in llama.cpp, "forcing full prompt re-processing" (pull 24797, 2026-06). That goes with
    ``block=1``, no ``capacity`` and no ``recomputed_blocks``.
    """

    block: int = 16
    capacity: int | None = None
    eviction: Eviction = Eviction.LRU_TAIL
    minimum: int = 0
    least_computed: int = 1
    recomputed_blocks: int = 0
    caches_answer: bool = True
    answer_held_back: int = 1
    rewinds: bool = True

    def __post_init__(self) -> None:
        sizes = (self.minimum, self.least_computed, self.recomputed_blocks, self.answer_held_back, self.capacity or 0)
        if self.block < 1 or min(sizes) < 0:
            raise ValueError("a block has at least one token, and no other size is below 0")
        if not self.rewinds and (self.block != 1 or self.capacity is not None or self.recomputed_blocks):
            raise ValueError("a state that cannot be rewound has no blocks: block=1, capacity=None, recomputed_blocks=0")


@dataclass(slots=True)
class _Known:
    """What was sent under one key: prefixes, ends of requests whose answer was not seen yet, and states that can be continued."""

    sent: set[bytes] = field(default_factory=set)
    unanswered: set[bytes] = field(default_factory=set)
    states: set[bytes] = field(default_factory=set)

    def shared(self, chain: Chain) -> int:
        """How many leading blocks were sent before; whoever sent one sent all before it."""
        low, high = 0, chain.length
        while low < high:
            middle = (low + high + 1) // 2
            if chain.ids[middle - 1] in self.sent:
                low = middle
            else:
                high = middle - 1
        return low

    def answered(self, chain: Chain, shared: int) -> int:
        """Where the first answer ends that this prompt repeats, to the request in which the shared blocks ended; 0 if it does not."""
        if not shared or chain.ids[shared - 1] not in self.unanswered:
            return 0
        end = shared
        while end < chain.length and chain.roles[end] is Role.ASSISTANT:
            end += 1
        return end if end > shared else 0

    def add(self, chain: Chain, length: int) -> None:
        """The first ``length`` blocks are sent; an answer that they repeat is known from now on."""
        shared = self.shared(chain)
        answer = self.answered(chain, shared)
        if 0 < answer <= length:
            self.unanswered.discard(chain.ids[shared - 1])
            self.states.add(chain.ids[answer - 1])
        self.sent.update(chain.ids[shared:length])


class BlockCache:
    """One engine's cache. Requests are taken as one after the other: each finds what all earlier ones sent, however soon it comes.

    Prompts are compared by their content blocks: where two differ inside one, the full token blocks that they share in it are not seen. The
    assistant's blocks that first follow a request's prompt are taken for its answer. The model
    and ``scope`` (vLLM's ``cache_salt``, LoRA) belong to the key; other settings act through the chat template and are in the prompt, if
    anywhere. Without a capacity the work for a request goes with the content blocks that are new, with one it goes with its token blocks.
    """

    def __init__(self, rules: BlockRules | None = None) -> None:
        self.rules = rules or BlockRules()
        self._keys: dict[_Salt, _Known] = {}
        self._pool: Pool | None = None if self.rules.capacity is None else pool_of(self.rules.capacity, self.rules.eviction)

    def send(self, request: CacheRequest) -> Usage:
        """The input side of the usage of this request, reads as ``read``, all else as ``fresh``; its full blocks are held from now on."""
        usage = self.peek(request)
        salt, chain = _salt(request.settings, request.scope), request.chain
        if request.writes and chain.length:
            self._hold(salt, chain, chain.length)
            end = chain.ids[chain.length - 1]
            (self._keys[salt].unanswered if self.rules.caches_answer else self._keys[salt].states).add(end)
        elif self._pool is not None:
            path = self._path(salt, chain)
            self._pool.use(path[: self._pool.held(path)])
        return usage

    def peek(self, request: CacheRequest) -> Usage:
        """What ``send`` would give, without changing anything."""
        rules, total = self.rules, request.chain.tokens()
        held, most = self._held(request), max(0, total - rules.least_computed)
        if held > most:
            held = most if rules.rewinds else 0
        read = max(0, held // rules.block - rules.recomputed_blocks) * rules.block
        read = read if read >= rules.minimum else 0
        return Usage(fresh=total - read, read=read)

    def reach(self, request: CacheRequest) -> int:
        """How many leading content blocks ``send`` would read whole."""
        return bisect_right(request.chain.totals, self.peek(request).read, hi=request.chain.length)

    def warm(self, chain: Chain, position: int, settings: Settings, until: float | None = None, scope: str = "") -> None:
        """Hold the prefix up to block ``position`` as if another had just sent it; ``until`` means nothing where nothing expires."""
        self._hold(_salt(settings, scope), chain, position + 1)

    def _hold(self, salt: _Salt, chain: Chain, length: int) -> None:
        self._keys.setdefault(salt, _Known()).add(chain, length)
        if self._pool is not None:
            self._pool.use(self._path(salt, chain.upto(length)))

    def _held(self, request: CacheRequest) -> int:
        """The tokens of the prompt that are held without a gap, before any of them has to be computed anyway."""
        salt, chain = _salt(request.settings, request.scope), request.chain
        known = self._keys.get(salt, _Known())
        shared = known.shared(chain)
        answer = known.answered(chain, shared)
        answered = max(0, chain.tokens(answer) - self.rules.answer_held_back)
        if not self.rules.rewinds:
            return answered or self._state(known, chain, shared)
        if self._pool is None:
            return max(chain.tokens(shared), answered)
        full = self._pool.held(self._path(salt, chain))
        whole = full >= chain.tokens(shared) // self.rules.block
        return max(full * self.rules.block, answered if whole else 0)

    def _state(self, known: _Known, chain: Chain, shared: int) -> int:
        """The tokens up to the longest state that this prompt goes on from."""
        back = self.rules.answer_held_back if self.rules.caches_answer else 0
        length = next((length for length in range(shared, 0, -1) if chain.ids[length - 1] in known.states), 0)
        return max(0, chain.tokens(length) - back)

    def _path(self, salt: _Salt, chain: Chain) -> list[Hashable]:
        """The full token blocks, each named after the content block in which it ends and its number."""
        path: list[Hashable] = []
        for prefix, total in zip(chain.ids[: chain.length], chain.totals, strict=False):
            path.extend((salt, prefix, number) for number in range(len(path), total // self.rules.block))
        return path


def _salt(settings: Settings, scope: str) -> _Salt:
    return scope, settings.model

"""Counting tokens with no network: the o200k ranks travel with the package.

``Counter`` counts what a text is in OpenAI's ``o200k`` encoding; ``factor`` says how many tokens another family makes of one of those.
Where usage was recorded, ``holdfast.calibrate`` does better than any factor.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING

from cachetools import LRUCache

from holdfast import forks
from holdfast.blocks import Block, Kind, canonical
from holdfast.frozen import Json
from holdfast.images import image_tokens

if TYPE_CHECKING:
    from tiktoken import Encoding

RANKS_SHA256 = "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"
"""Of the unpacked ranks: the hash that tiktoken itself checks (``tiktoken_ext/openai_public.py``, tiktoken 0.14)."""

DOCUMENT_TOKENS = 2000
"""A document whose text is not at hand: one page of a PDF is 1,500 to 3,000 tokens (platform.claude.com, PDF support, 2026-08)."""

_LETTER = r"\p{Ll}\p{Lm}\p{Lo}\p{M}"
_CAPITAL = r"\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}"
_SHORT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
_PATTERN = "|".join(
    (
        rf"[^\r\n\p{{L}}\p{{N}}]?[{_CAPITAL}]*[{_LETTER}]+{_SHORT}",
        rf"[^\r\n\p{{L}}\p{{N}}]?[{_CAPITAL}]+[{_LETTER}]*{_SHORT}",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    )
)
_SPECIAL = {"<|endoftext|>": 199999, "<|endofprompt|>": 200018}
_PIECE = 100_000
_MEMO = 65_536


@lru_cache(maxsize=1)
def encoding() -> Encoding:
    """The o200k encoding from the package's own ranks, built once a process (about 0.4 s).

    It has a name of its own: a second encoding called ``o200k_base`` would break every encoding of the process.
    Raises ``ValueError`` where the file of ranks is damaged.
    """
    from tiktoken import Encoding  # 30 ms that `import holdfast` must not cost

    ranks = gzip.decompress(files("holdfast").joinpath("data", "o200k_base.tiktoken.gz").read_bytes())
    if hashlib.sha256(ranks).hexdigest() != RANKS_SHA256:
        raise ValueError("the token ranks of the package are damaged: reinstall holdfast")
    pairs = (line.split() for line in ranks.splitlines())
    return Encoding(
        name="o200k_holdfast",
        pat_str=_PATTERN,
        mergeable_ranks={base64.b64decode(token): int(rank) for token, rank in pairs},
        special_tokens=_SPECIAL,
    )


def _pieces(text: str) -> list[str]:
    """A long text in pieces, cut behind a line end where there is one.

    The encoder's stack overflows on a million spaces, and a long run of one character takes more than linear time.
    """
    pieces, start = [], 0
    while len(text) - start > _PIECE:
        stop = text.rfind("\n", start + _PIECE // 2, start + _PIECE) + 1 or start + _PIECE
        pieces.append(text[start:stop])
        start = stop
    pieces.append(text[start:])
    return pieces


class Counter:
    """Counts o200k tokens. Blocks are remembered by fingerprint, the last 65,536 of them: a conversation repeats its own."""

    def __init__(self) -> None:
        self._memo: LRUCache[bytes, int] = LRUCache(_MEMO)
        self._lock = forks.lock(leaf=True)  # one counter serves all threads of a process

    def count(self, text: str) -> int:
        """The tokens of a text. Special tokens in it are plain text; a lone surrogate counts as what replaces it (U+FFFD)."""
        if not text:
            return 0
        encode = encoding().encode_ordinary
        if len(text) <= _PIECE:
            return len(encode(text))
        return sum(len(encode(piece)) for piece in _pieces(text))

    def raw(self, block: Block) -> int:
        """The o200k tokens of what a model reads of a block, without what a provider wraps around it.

        Thinking whose text is empty (Claude from 4.7 on) weighs nothing here; an opaque block weighs what it was given.
        """
        if block.kind is Kind.OPAQUE:
            return block.tokens
        if not block.fingerprint:
            return self._weigh(block)
        with self._lock:
            known = self._memo.get(block.fingerprint)
        if known is None:
            known = self._weigh(block)
            with self._lock:
                self._memo[block.fingerprint] = known
        return known

    def _weigh(self, block: Block) -> int:
        if block.kind is Kind.IMAGE:
            return image_tokens(block.wire)
        if block.kind is Kind.TOOL_USE:
            return self.count(block.tool or "") + self.count(block.text)
        if block.kind is Kind.TOOL_RESULT:
            return self.count(block.text) + sum(image_tokens(part) for part in _images(block.wire))
        if block.kind is Kind.DOCUMENT and not block.text:
            return DOCUMENT_TOKENS
        if block.kind in (Kind.TOOL, Kind.SERVER, Kind.UNKNOWN):
            return self.count(canonical(block.wire).decode("utf-8", "replace"))
        return self.count(block.text)


def _images(wire: Json) -> list[Json]:
    content = wire.get("content") if isinstance(wire, dict) else None
    return [part for part in content if isinstance(part, dict) and part.get("type") == "image"] if isinstance(content, list) else []

"""How a provider is told where a prompt's cache is: by marks in the body, by a routing key, or not at all.

==================  =================  ===============================================================================================
``cache_control``   Anthropic          on blocks (platform.claude.com, prompt caching, 2026-08-21); so, too, on Bedrock (InvokeModel),
                                       Vertex AI and Foundry
``breakpoints``     OpenAI, GPT-5.6 on  ``prompt_cache_breakpoint`` on content parts (OpenAI prompt caching guide, 2026-10)
``key``             OpenAI before that  ``prompt_cache_key``: requests go to a machine by a hash of the prompt's first tokens and this key
``cache_point``     Bedrock Converse   ``cachePoint`` behind blocks, Claude only (AWS, *Prompt caching*, 2026)
==================  =================  ===============================================================================================

Others are told nothing. xAI takes a ``prompt_cache_key`` or the header ``x-grok-conv-id``, Mistral a ``prompt_cache_key``
(docs.x.ai, docs.mistral.ai, 2026): set them yourself, per conversation. Nova on Bedrock caches by itself.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from hashlib import blake2b
from typing import Literal, TypeAlias
from urllib.parse import urlsplit

from holdfast.frozen import Json
from holdfast.transcript import Dialect

Means: TypeAlias = Literal["cache_control", "breakpoints", "key", "cache_point", ""]

REQUESTS_A_MINUTE = 15
"""Above about so many requests a minute for one prefix and key, OpenAI sends some elsewhere (prompt caching guide, 2026-08)."""

_HOSTS = re.compile(r"(?:^|\.)(?:api\.openai\.com|openai\.azure\.com|cognitiveservices\.azure\.com|services\.ai\.azure\.com)$")
_VERSION = re.compile(r"gpt-(\d+)(?:\.(\d+))?")
_CLAUDE_HOSTS = ("anthropic", "bedrock", "vertex", "foundry")


def marks_of(provider: str, model: str, dialect: Dialect | None = None) -> Means:
    """What ``model`` takes where ``provider`` serves it: a key of ``caches.cache_for`` or a platform's name; ``""`` where nothing is known.

    ``dialect`` is the form of the bodies, for Bedrock, which takes two (``None``: Converse). Azure's pages name the key for every model
    and breakpoints for none (learn.microsoft.com, Foundry, prompt caching, 2026).
    """
    name, where = model.lower(), provider.lower()
    if where in _CLAUDE_HOSTS:
        if "claude" not in name:
            return "cache_control" if where == "anthropic" else ""
        return "cache_point" if where == "bedrock" and dialect in (None, "bedrock-converse") else "cache_control"
    if where not in ("openai", "azure"):
        return ""
    return "breakpoints" if where == "openai" and _version(name) >= (5, 6) else "key"


def _version(name: str) -> tuple[int, int]:
    found = _VERSION.search(name)
    return (int(found[1]), int(found[2] or 0)) if found else (0, 0)


def takes_key(host: str) -> bool:
    """Whether a host, or the host of an URL, is one of OpenAI's or Azure's, where ``prompt_cache_key`` is known; others may refuse it."""
    name = urlsplit(host if "//" in host else f"//{host}").hostname or ""
    return _HOSTS.search(name) is not None


def cache_key(head: bytes, first: bytes, shard: int = 0, secret: bytes = b"") -> str:
    """The key of a conversation and of all its forks, 35 characters, the same in every process.

    ``head`` and ``first`` are prefix ids (``Chain.ids``): up to the end of the head, and of the first message. It is a hash and
    says nothing of the words, but who can guess a prompt can check the guess, unless there is a ``secret`` (at most 64 bytes).

    Sub-agents with tasks of their own have keys of their own. Many copies of one prompt have the same, and above 15 requests a
    minute some find another machine's cold cache: give each copy one of ``shards`` and let it keep that one
    (bman654/clodex issue 209: one key for all sub-agents raised the uncached share from 6 % to 38 %).
    """
    said = b"%d:%b%b%d" % (len(head), head, first, shard)
    return f"hf-{blake2b(said, digest_size=16, key=secret, person=b'holdfast/key/1').hexdigest()}"


def shards(requests_a_minute: float) -> int:
    """How many keys such a rate over one prompt needs; at least 1."""
    return max(1, math.ceil(requests_a_minute / REQUESTS_A_MINUTE))


def with_key(body: Mapping[str, Json], key: str) -> Mapping[str, Json]:
    """``body`` with this ``prompt_cache_key``; the same object where the caller has set one, or ``user``, which once did its work."""
    if body.get("prompt_cache_key") is not None or body.get("user") is not None:
        return body
    return {**body, "prompt_cache_key": key}

"""No cache at all: every token of every prompt is plain input."""

from __future__ import annotations

from holdfast.blocks import Settings
from holdfast.caches.machine import CacheRequest
from holdfast.prefix import Chain
from holdfast.usage import Usage


class NoCache:
    """What is billed where a provider caches nothing, or nothing is known of how it does."""

    def send(self, request: CacheRequest) -> Usage:
        """The whole prompt, at the full price."""
        return Usage(fresh=request.chain.tokens())

    def peek(self, request: CacheRequest) -> Usage:
        """The same."""
        return self.send(request)

    def reach(self, request: CacheRequest) -> int:
        """No block is ever read."""
        return 0

    def warm(self, chain: Chain, position: int, settings: Settings, until: float | None = None, scope: str = "") -> None:
        """Nothing can be kept warm."""

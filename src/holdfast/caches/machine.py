"""What every cache machine takes and gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from holdfast.blocks import Mark, Settings
from holdfast.prefix import Chain
from holdfast.usage import Usage


@dataclass(frozen=True, slots=True)
class CacheRequest:
    """One request as a cache sees it.

    ``chain`` is the prompt as a hash chain. ``at`` is the start of the request and ``responded`` the moment its response
    began (``None``: taken to be the machine's default later), both POSIX seconds. ``scope`` is whatever isolates caches:
    organisation, workspace, endpoint class.
    """

    chain: Chain
    settings: Settings
    marks: tuple[Mark, ...]
    at: float
    responded: float | None = None
    scope: str = ""
    writes: bool = True


class Cache(Protocol):
    """A provider's cache. It holds its entries; time comes only from the requests, which arrive in order."""

    def send(self, request: CacheRequest) -> Usage:
        """The input side of the usage this request is billed (``output`` is 0); entries are written and refreshed."""

    def peek(self, request: CacheRequest) -> Usage:
        """The same, without changing anything."""



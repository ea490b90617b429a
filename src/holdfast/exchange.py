"""Exchanges: one request as it went over the wire, and what came back. What request logs and recorded HTTP cassettes hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its response, as JSON.

    ``body`` is the request's JSON (empty: only the bill was logged), ``response`` the response's, a streamed one put together
    (empty: none was logged). ``at`` is the start of the request and ``ended`` the end of the response, in POSIX seconds. ``provider`` is a
    key of ``caches.cache_for`` (``""``: not known), ``endpoint`` the path that was called. ``account`` is
    whatever the log says of account, organisation, workspace, key or route. ``session`` names the conversation where the log
    does. ``status`` is the HTTP status, ``line`` where the exchange stands in its file. ``headers`` are the request's, names in
    lower case, secrets left out.
    """

    body: Mapping[str, Any]
    response: Mapping[str, Any] = field(default_factory=dict)
    at: float | None = None
    ended: float | None = None
    provider: str = ""
    endpoint: str = ""
    account: str = ""
    session: str = ""
    status: int | None = None
    line: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def model(self) -> str:
        """The model that was asked, else the one that answered, ``""`` where neither is named."""
        return str(self.body.get("model") or self.response.get("model") or "")

    @property
    def failed(self) -> bool:
        """Whether the provider refused or lost it: no answer was billed."""
        return bool(self.response.get("error")) or (self.status is not None and self.status >= 400)

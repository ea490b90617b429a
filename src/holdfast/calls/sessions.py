"""The sessions behind a client: one for each model, opened when a request first needs it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from cachetools import LRUCache

from holdfast.blocks import Block
from holdfast.calls.call_settings import CallSettings
from holdfast.calls.compacting import ByProvider, offers
from holdfast.calls.current import Current, Pin
from holdfast.calls.values import Request
from holdfast.families import takes_system_messages
from holdfast.live import options_for
from holdfast.policy import Wish
from holdfast.pricing import Price, Prices
from holdfast.routing import marks_of
from holdfast.schedule import schedule_for
from holdfast.session import Session
from holdfast.store import Store
from holdfast.strategies import named

MODELS = 64
PLATFORMS = ("bedrock", "vertex", "foundry")
"""Where Claude is served by others: what is beta at Anthropic is not taken there."""


class Sessions:
    """Sessions by what they depend on. All share one store, so that a conversation keeps its ledger when its model changes."""

    def __init__(self, settings: CallSettings, store: Store) -> None:
        self._settings, self._store = settings, store
        self._open: LRUCache[tuple[str, str, str], Session] = LRUCache(MODELS)

    def get(self, request: Request) -> Session:
        """The session for a request. Raises ``UnknownModel`` where no price is known, ``UnknownStrategy``, ``InputError``."""
        model = str(request.body.get("model") or "")
        key = (model, request.dialect, request.provider)
        session = self._open.get(key)
        if session is None:
            session = self._open[key] = self._opened(request, Prices.load().find(model))
        return session

    def _opened(self, request: Request, price: Price) -> Session:
        told = self._settings
        chosen = told.strategy
        means = marks_of(request.provider or price.provider, price.model, request.dialect)
        own = request.provider == "anthropic"
        options = replace(
            options_for(price, told.ttl),
            schedule=schedule_for(price.context_window or 200_000, told.trigger, told.target),
            keep_tail_tokens=told.keep_tail_tokens,
            marking=means in ("cache_control", "breakpoints", "cache_point") and told.marks != "off",
            keep_caller=told.marks != "holdfast",
            drop_block=own and price.binds_thinking == "prefix",
            system_messages=own and takes_system_messages(price.model),
            pins=told.pins,
            on_error=told.on_error,
            lineages=told.lineages,
            fallback=named("truncate"),
            watched=True,
            remind=told.remind,
            volatile=tuple(re.compile(pattern) for pattern in told.volatile),
            counter=told.counter,
        )
        strategy = named(chosen) if isinstance(chosen, str) else chosen
        if told.summaries == "provider" and told.mode == "compact" and offers(request.dialect, request.provider):
            strategy = ByProvider(strategy, request.dialect)
        return Session(strategy, options, request.dialect, self._store)


def wish_of(current: Current, forced: str | None, forbidden: str, settings: CallSettings) -> Wish:
    """What is wished for one call. ``forced``: a plan is, with this focus; ``forbidden``: why the model cannot be asked."""
    asks = settings.summaries != "off" or settings.mode == "observe"
    why = "switched off for this call: nothing new is planned" if not current.enabled else ""
    if forbidden and not why:
        why = f"the plan needs the model, which cannot be asked here ({forbidden}): it waits"
    return Wish(
        force=forced is not None,
        focus=forced or "",
        pins=pinned(current.pins) if current.pins else None,
        may_plan=current.enabled,
        bare=not current.enabled,
        strategy=named(current.strategy) if isinstance(current.strategy, str) else current.strategy,
        may_ask=asks and not forbidden,
        why=why,
    )


def pinned(pins: Sequence[Pin]) -> Callable[[Block], bool]:
    """Whether a block is pinned: it holds one of the texts, or one of the functions says so."""
    return lambda block: any(pin in block.text if isinstance(pin, str) else pin(block) for pin in pins)

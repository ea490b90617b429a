"""The sessions behind a client: one for each model and strategy, opened when a request first needs it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from cachetools import LRUCache

from holdfast.blocks import Block
from holdfast.calls.call_settings import CallSettings
from holdfast.calls.current import Current, Pin
from holdfast.calls.values import Request
from holdfast.families import takes_system_messages
from holdfast.live import options_for
from holdfast.pipeline import Wish
from holdfast.pricing import Price, Prices
from holdfast.routing import marks_of
from holdfast.schedule import schedule_for
from holdfast.session import Session
from holdfast.store import Store
from holdfast.strategies import named
from holdfast.strategy import Strategy

MODELS = 64
PLATFORMS = ("bedrock", "vertex", "foundry")
"""Where Claude is served by others: what is beta at Anthropic is not taken there."""


class Sessions:
    """Sessions by what they depend on. All share one store, so that a conversation keeps its ledger when its model changes."""

    def __init__(self, settings: CallSettings, store: Store) -> None:
        self._settings, self._store = settings, store
        self._open: LRUCache[tuple[str, str, str, str | int], Session] = LRUCache(MODELS)
        self._kept: dict[int, Strategy] = {}

    def get(self, request: Request, strategy: str | Strategy | None) -> Session:
        """The session for a request. Raises ``UnknownModel`` where no price is known, ``UnknownStrategy``, ``InputError``."""
        chosen = self._settings.strategy if strategy is None else strategy
        model = str(request.body.get("model") or "")
        if not isinstance(chosen, str):
            self._kept[id(chosen)] = chosen  # its id is its key, so it must stay
        key = (model, request.dialect, request.provider, chosen if isinstance(chosen, str) else id(chosen))
        session = self._open.get(key)
        if session is None:
            session = self._open[key] = self._opened(request, Prices.load().find(model), chosen)
        return session

    def _opened(self, request: Request, price: Price, chosen: str | Strategy) -> Session:
        told = self._settings
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
        return Session(strategy, options, request.dialect, self._store)


def wish_of(current: Current, forced: str | None, forbidden: str, settings: CallSettings) -> Wish:
    """What is wished for one call. ``forced``: a plan is, with this focus; ``forbidden``: why the model cannot be asked."""
    asks = settings.summaries == "model" or settings.mode == "observe"
    why = "" if current.enabled else "switched off for this call: nothing new is planned"
    if not why and forbidden:
        why = f"the plan needs the model, which cannot be asked here ({forbidden}): it waits"
    return Wish(
        force=forced is not None,
        focus=forced or "",
        pins=pinned(current.pins) if current.pins else None,
        may_plan=current.enabled,
        may_ask=asks and not forbidden,
        why=why,
    )


def pinned(pins: Sequence[Pin]) -> Callable[[Block], bool]:
    """Whether a block is pinned: it holds one of the texts, or one of the functions says so."""
    return lambda block: any(pin in block.text if isinstance(pin, str) else pin(block) for pin in pins)

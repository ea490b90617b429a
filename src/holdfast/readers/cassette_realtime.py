"""Recorded websocket sessions of OpenAI's Realtime API (and Azure's): the requests that its responses answered.

The server holds the conversation, so a request has no body of its own: it is what stood in the session when the response was created, put
together from the server's events (OpenAI API reference, Realtime server events, 2026-10).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from holdfast.exchange import Exchange

_NOT_PROMPT = ("id", "status", "object")
_ADDED = ("conversation.item.added", "conversation.item.created", "conversation.item.done", "conversation.item.retrieved")


def is_message(raw: Any) -> bool:
    """Whether an interaction is one message of a websocket."""
    return isinstance(raw, Mapping) and isinstance(raw.get("data"), Mapping) and "direction" in raw


def exchanges(interactions: Iterable[Any]) -> list[Exchange]:
    """One exchange for each finished response, without times: the messages have none. ``line`` is the place of its last message, from 1."""
    session: Mapping[str, Any] = {}
    items: dict[str, Mapping[str, Any]] = {}
    asked: dict[str, list[Mapping[str, Any]]] = {}
    found: list[Exchange] = []
    for index, raw in enumerate(interactions):
        if not is_message(raw) or raw["direction"] == "sent":
            continue
        event, kind = raw["data"], raw["data"].get("type")
        response = event.get("response") if isinstance(event.get("response"), Mapping) else {}
        if kind in ("session.created", "session.updated"):
            session = event["session"] if isinstance(event.get("session"), Mapping) else {}
        elif kind in _ADDED and isinstance(event.get("item"), Mapping):
            items[str(event["item"].get("id"))] = event["item"]
        elif kind == "conversation.item.deleted":
            items.pop(str(event.get("item_id")), None)
        elif kind == "response.created":
            asked[str(response.get("id"))] = [*items.values()]
        elif kind == "response.done":
            found.append(_exchange(session, asked.get(str(response.get("id")), []), response, index))
    return found


def _exchange(session: Mapping[str, Any], items: Iterable[Mapping[str, Any]], response: Mapping[str, Any], index: int) -> Exchange:
    usage = response.get("usage")
    usage = usage if isinstance(usage, Mapping) else {}
    body = {
        "model": session.get("model"),
        "instructions": session.get("instructions"),
        "tools": session.get("tools"),
        "input": [{key: value for key, value in item.items() if key not in _NOT_PROMPT} for item in items],
    }
    return Exchange(
        body={key: value for key, value in body.items() if value},
        response={**response, "usage": {**usage, "input_tokens_details": usage.get("input_token_details") or {}}},
        provider="openai",
        endpoint="realtime",
        line=index + 1,
    )

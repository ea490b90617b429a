"""Results as JSON: the schemas ``holdfast/compare/1`` and one line a turn for a replay.

A field that cannot be known is ``null``, never left out; fields may be added, never renamed. Money is a decimal string in
USD, tokens are integers, shares are 0 to 1, times ISO-8601 in UTC.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from holdfast.report.figures import iso
from holdfast.simulator.results import Agreement, Commit, Comparison, Recorded, ReplayedTurn, Result, SessionResult

SETTINGS = ("model", "schedule", "ttl", "keep_tail_tokens", "prices_as_of", "any")


def money(amount: Decimal) -> str:
    """A decimal string without an exponent."""
    text = format(amount, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def share(part: int, whole: int) -> float | None:
    """A share from 0 to 1, ``None`` of nothing."""
    return round(part / whole, 6) if whole else None


def result(value: Result) -> dict[str, Any]:
    """R of the schema."""
    kept, after, interval = value.kept, value.kept_after, value.estimate.interval
    return {
        "strategy": value.strategy,
        "usd": money(value.usd),
        "usd_low": None if interval is None else money(interval.low),
        "usd_high": None if interval is None else money(interval.high),
        "usage": value.usage.as_dict(),
        "hit_rate": share(value.usage.read, value.usage.prompt),
        "peak_prompt_tokens": value.peak_prompt_tokens,
        "commits": value.commits,
        "planned_breaks": value.planned_breaks,
        "unplanned_breaks": value.unplanned_breaks,
        "model_calls": value.model_calls,
        "model_calls_usd": money(value.model_calls_usd),
        "needed": kept.needed,
        "kept": share(kept.kept, kept.needed),
        "kept_in_context": share(kept.in_context, kept.needed),
        "recoverable": share(kept.recoverable, kept.needed),
        "needed_after_cut": after.needed,
        "kept_after_cut": share(after.kept, after.needed),
        "kept_in_context_after_cut": share(after.in_context, after.needed),
        "x_optimum": None,
        "x_best": None,
        "turns": value.turns,
        "unreachable_turns": value.unreachable_turns,
        "illegal_plans": value.illegal_plans,
        "unpaid_commits": value.unpaid_commits,
        "waiting_turns": value.waiting_turns,
    }


def recorded(value: Recorded | None) -> dict[str, Any] | None:
    """What was really billed, ``None`` where no usage was recorded."""
    if value is None:
        return None
    return {"usage": value.usage.as_dict(), "usd": money(value.usd), "outputs_estimated": value.outputs_estimated}


def agreement(value: Agreement | None) -> dict[str, Any] | None:
    """How many recorded reads the cache model reproduces, ``None`` where no bill was recorded."""
    if value is None:
        return None
    part = share(value.agree, value.checked)
    return {"checked": value.checked, "agree": value.agree, "share": part, "trusted": value.trusted}


def session(value: SessionResult) -> dict[str, Any]:
    """One session under every strategy."""
    return {
        "path": value.path,
        "format": value.format or None,
        "model": value.model or None,
        "turns": value.turns,
        "skipped": value.skipped,
        "recorded": recorded(value.recorded),
        "results": [result(each) for each in value.results],
        "notes": list(value.notes),
        "counting": value.counting or None,
        "exceeds_trigger": value.exceeds_trigger,
        "unlogged_calls": value.unlogged_calls,
        "unlogged_usd": money(value.unlogged_usd),
        "provider": value.provider or None,
        "agreement": agreement(value.agreement),
    }


def comparison(value: Comparison) -> Iterator[str]:
    """The whole comparison as pieces of one JSON document, a session at a time, so that no large text is ever built."""
    settings = dict.fromkeys(SETTINGS) | value.settings
    yield f'{{"schema": "holdfast/compare/1",\n "settings": {_text(settings)},\n "sessions": ['
    for number, each in enumerate(value.sessions):
        yield f"{',' if number else ''}\n  {_text(session(each))}"
    lines = [{"path": each.path, "line": each.line, "why": each.why} for each in value.skipped]
    total = ",".join(f"\n  {_text(result(each))}" for each in value.total)
    yield f'],\n "total": [{total}],\n "ranked_sessions": {len(value.ranked)},\n'
    yield f' "skipped": {_text(lines)},\n "interrupted": {_text(value.interrupted)}}}\n'


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace").decode()


def commit(value: Commit | None) -> dict[str, Any] | None:
    """What a turn committed, ``None`` where nothing."""
    if value is None:
        return None
    return {
        "strategy": value.strategy,
        "first_edit": value.first_edit,
        "tokens_removed": value.tokens_removed,
        "break_even_turn": value.break_even_turn,
        "why": value.why,
        "edits": value.edits,
        "measured_break_even_turn": value.measured_break_even_turn,
    }


def turn(value: ReplayedTurn) -> str:
    """One turn of a replay as one line of JSON, without its line end."""
    return _text(
        {
            "turn": value.turn,
            "at": iso(value.at),
            "prompt_tokens": value.prompt_tokens,
            "usage": value.usage.as_dict(),
            "usd": money(value.usd),
            "stable_prefix_tokens": value.stable_prefix_tokens,
            "commit": commit(value.commit),
            "lineage": value.lineage,
            "recorded": None if value.recorded is None else value.recorded.as_dict(),
            "note": value.note or None,
        }
    )

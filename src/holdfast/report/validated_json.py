"""A validation as JSON: the schema ``holdfast/validate/1``. The rules are those of ``report.machine``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from holdfast.report.figures import iso
from holdfast.report.machine import money
from holdfast.validation.block_hits import BlockHits, BlockReport
from holdfast.validation.results import Disagreement, SetFigures, Tally, ValidatedSession, Validation, quantile

PLACES = 6


def _share(value: float | None) -> float | None:
    return None if value is None else round(value, PLACES)


def _disagreement(value: Disagreement) -> dict[str, Any]:
    return {
        "turn": value.turn,
        "at": iso(value.at),
        "prompt_tokens": value.prompt_tokens,
        "read_recorded": value.read_recorded,
        "read_predicted": value.read_predicted,
        "reason": str(value.explanation.reason),
        "evidence": value.explanation.evidence or None,
        "lineage": value.lineage or None,
        "basis": value.basis,
    }


def _tally(value: Tally) -> dict[str, Any]:
    return {
        "requests": value.requests,
        "checked": value.checked,
        "agree": value.agree,
        "agree_share": _share(value.agreement),
        "exact": value.exact,
        "within_2048": value.near,
        "cached_share_bias": _share(value.bias),
    }


def _session(value: ValidatedSession) -> dict[str, Any]:
    bill = value.money
    return {
        "path": value.path,
        "format": value.format or None,
        "provider": value.provider or None,
        "model": value.model or None,
        "skipped": value.skipped,
        **_tally(value.tally),
        "requests": value.tally.requests if value.skipped is None else None,
        "trusted": value.trusted,
        "usd_recorded": None if bill is None else money(bill.recorded),
        "usd_predicted": None if bill is None else money(bill.predicted),
        "usd_settled": None if bill is None else money(bill.settled),
        "usd_error": None if bill is None else _share(bill.error),
        "charged": value.charges.charged,
        "charged_equal": value.charges.equal,
        "disagreements": [_disagreement(each) for each in value.disagreements],
        "notes": list(value.notes),
    }


def _set(value: SetFigures) -> dict[str, Any]:
    known = bool(value.money.recorded)
    return {
        "format": value.format,
        "provider": value.provider or None,
        "sessions": value.sessions,
        **_tally(value.tally),
        "usd_recorded": money(value.money.recorded) if known else None,
        "usd_predicted": money(value.money.predicted) if known else None,
        "usd_error": _share(value.money.error),
        "usd_error_median": _share(value.error_median),
        "usd_error_p95": _share(value.error_p95),
        "usd_settled_error_p95": _share(quantile(value.settled_errors, 0.95)),
        "usd_settled_within_0.001": sum(abs(error) <= 0.001 for error in value.settled_errors),
        "charged": value.charges.charged,
        "charged_equal": value.charges.equal,
        "reasons": dict(sorted(value.reasons.items())),
        "rules": dict(sorted((rule or "as documented", count) for rule, count in value.rules.items())) or None,
        "calibration": None
        if value.calibration is None
        else {
            "error": _share(value.calibration.error),
            "bins": [
                {"low": each.low, "requests": each.requests, "predicted": _share(each.predicted), "recorded": _share(each.recorded)}
                for each in value.calibration.bins
            ],
        },
    }


def _blocks(value: BlockReport | None) -> dict[str, Any] | None:
    if value is None:
        return None
    spread = value.spread
    return {
        "traces": [_trace(each) for each in value.traces],
        "total": [_trace(each) for each in value.totals],
        "conversations": None
        if spread is None
        else {
            "count": spread.count,
            "mean": _share(spread.mean),
            "median": _share(spread.median),
            "p25": _share(spread.p25),
            "p75": _share(spread.p75),
            "min": _share(spread.least),
            "max": _share(spread.greatest),
        },
    }


def _trace(value: BlockHits) -> dict[str, Any]:
    return {
        "path": value.path or None,
        "format": str(value.format),
        "block_tokens": value.block_tokens,
        "requests": value.requests,
        "tokens": value.endless.tokens,
        "hit_share_blocks": _share(value.endless.block_share),
        "hit_share_tokens": _share(value.endless.token_share),
        "curve": [
            {"capacity": point.capacity, "policy": str(point.policy), "blocks": _share(point.share), "tokens": _share(point.token_share)}
            for point in value.curve
        ],
        "skipped": len(value.skipped),
    }


def validation(value: Validation) -> Iterator[str]:
    """The whole validation as pieces of one JSON document, a session at a time."""
    yield '{"schema": "holdfast/validate/1",\n "sessions": ['
    for number, each in enumerate(value.sessions):
        yield f"{',' if number else ''}\n  {_text(_session(each))}"
    errors = [error for row in value.sets for error in row.errors]
    total = {**_tally(value.tally), "usd_error_median": _share(quantile(errors, 0.5)), "usd_error_p95": _share(quantile(errors, 0.95))}
    yield f'],\n "sets": {_text([_set(each) for each in value.sets])},\n "blocks": {_text(_blocks(value.blocks))},\n'
    lines = [{"path": each.path, "line": each.line, "why": each.why} for each in value.skipped]
    yield f' "total": {_text(total)},\n "skipped": {_text(lines)},\n "interrupted": {_text(value.interrupted)}}}\n'


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace").decode()

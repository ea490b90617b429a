"""What the doctor found as JSON: the schema ``holdfast/doctor/1``. The rules are those of ``report.machine``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from holdfast.doctor.findings import Finding
from holdfast.doctor.lint_advice import Advice
from holdfast.doctor.run import Examination, Examined
from holdfast.report.figures import iso
from holdfast.report.machine import money


def _finding(value: Finding) -> dict[str, Any]:
    return {
        "turn": value.turn,
        "at": iso(value.at),
        "cause": str(value.cause),
        "detail": value.detail,
        "verdict": str(value.verdict),
        "where": value.where or None,
        "tokens_rewritten": value.tokens_rewritten,
        "usd": None if value.usd is None else money(value.usd),
        "fix": value.fix,
        "diff": None if value.diff is None else {"before": value.diff.before, "after": value.diff.after, "start": value.diff.start},
        "excluded": list(value.excluded),
        "provider_reason": value.provider_reason or None,
        "provider_agrees": value.agrees,
        "lineage": value.lineage or None,
    }


def _session(value: Examined) -> dict[str, Any]:
    found = value.diagnosis
    rate = found.hit_rate if found is not None else None
    return {
        "path": value.path,
        "format": value.format or None,
        "skipped": value.skipped,
        "requests": found.requests if found is not None else None,
        "checked": found.checked if found is not None else None,
        "hit_rate": None if rate is None else round(rate, 6),
        "breaks": [_finding(each) for each in found.findings] if found is not None else [],
        "notes": list(found.notes) if found is not None else [],
    }


def examination(value: Examination) -> Iterator[str]:
    """Everything as pieces of one JSON document, a session at a time."""
    yield '{"schema": "holdfast/doctor/1",\n "sessions": ['
    for number, each in enumerate(value.sessions):
        yield f"{',' if number else ''}\n  {_text(_session(each))}"
    total = [
        {
            "cause": str(each.cause),
            "count": each.count,
            "tokens_rewritten": each.tokens_rewritten,
            "usd": money(each.usd) if each.unpriced < each.count else None,
            "unpriced": each.unpriced,
        }
        for each in value.total
    ]
    rate = value.hit_rate
    same, compared = (sum(each.agreement[place] for each in value.diagnoses) for place in (0, 1))
    yield f'],\n "total": {_text(total)},\n "hit_rate": {_text(None if rate is None else round(rate, 6))},\n'
    lines = [{"path": each.path, "line": each.line, "why": each.why} for each in value.skipped]
    yield f' "provider_reasons": {_text({"compared": compared, "same": same})},\n "skipped": {_text(lines)},\n'
    yield f' "interrupted": {_text(value.interrupted)}}}\n'


def linted(bodies: Sequence[tuple[str, Sequence[Advice]]], refused: Sequence[str] = ()) -> Iterator[str]:
    """What lint says of each body, and why what else was given is none: the schema ``holdfast/lint/1``."""
    found = [
        {
            "path": name,
            "advice": [
                {
                    "code": each.code,
                    "severity": str(each.severity),
                    "where": each.where or None,
                    "what": each.what,
                    "fix": each.fix,
                    "tokens": each.tokens or None,
                    "source": each.source,
                }
                for each in advice
            ],
        }
        for name, advice in bodies
    ]
    yield f'{{"schema": "holdfast/lint/1", "bodies": {_text(found)}, "refused": {_text(list(refused))}}}\n'


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace").decode()

"""Holds what a doctor says of a trial against what it must and may say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal

from holdfast.doctor.diagnose import diagnose
from holdfast.doctor.findings import Finding
from holdfast.pricing import Prices
from tests.incidents.logs import Loss, Trial

NOISE = 300, 0.03
"""Tokens, and share of the prompt, whose loss elsewhere in a log is within what providers round."""

DEAREST = Decimal("0.0001")
"""USD a token, more than any provider charges for a write."""


def findings_of(trial: Trial) -> Sequence[Finding]:
    """What the doctor says of a trial's log."""
    return diagnose(trial.exchanges, Prices.load()).findings


def complaints(trial: Trial) -> list[str]:
    """What is wrong with the doctor's findings on a trial, one sentence each; none where it is right."""
    findings = findings_of(trial)
    wrong = [f"{trial.name}: {words}" for loss in trial.losses for words in _judged(loss, findings)]
    wanted = {loss.turn for loss in trial.losses}
    for finding in findings:
        fine = finding.cause in trial.may.get(finding.turn, ()) or finding.tokens_rewritten <= _noise(trial, finding.turn)
        if finding.turn not in wanted and not fine:
            wrong.append(f"{trial.name}: request {finding.turn} is no such loss, but it says {told(finding)}")
    return wrong


def _noise(trial: Trial, turn: int) -> float:
    usage: dict[str, int] = trial.exchanges[turn].response.get("usage") or {}
    read = usage.get("cache_read_input_tokens", 0) + usage.get("cache_creation_input_tokens", 0)
    return max(NOISE[0], NOISE[1] * (usage.get("prompt_tokens") or usage.get("input_tokens", 0) + read))


def _judged(loss: Loss, findings: Sequence[Finding]) -> Iterator[str]:
    found = [finding for finding in findings if finding.turn == loss.turn]
    if not found:
        yield f"request {loss.turn} lost {loss.detail or _names(loss)}, but nothing is said of it"
        return
    reasons = [list(_faults(loss, finding)) for finding in found]
    if all(reasons):
        best = min(range(len(found)), key=lambda place: len(reasons[place]))
        yield f"request {loss.turn}: {'; '.join(reasons[best])}. It says {told(found[best])}"


def _names(loss: Loss) -> str:
    return " or ".join(sorted(loss.causes))


def _faults(loss: Loss, finding: Finding) -> Iterator[str]:
    if finding.cause not in loss.causes:
        yield f"the cause is {_names(loss)}"
    if loss.detail and finding.detail != loss.detail:
        yield f"more exactly {loss.detail}"
    if loss.places and not any(finding.where.startswith(place) for place in loss.places):
        yield f"the place is {' or '.join(loss.places)}"
    if loss.tokens and not loss.tokens[0] <= finding.tokens_rewritten <= loss.tokens[1]:
        yield f"{loss.tokens[0]:,.0f} to {loss.tokens[1]:,.0f} tokens were lost"
    if loss.verdicts and finding.verdict not in loss.verdicts:
        yield f"the verdict is {' or '.join(sorted(loss.verdicts))}"
    if not finding.fix:
        yield "it must say what to do"
    if finding.usd is not None and not 0 <= finding.usd <= finding.tokens_rewritten * DEAREST:
        yield f"{finding.usd} USD cannot be what so many tokens cost"
    if loss.argued and not finding.excluded:
        yield "it must say what is excluded"


def told(finding: Finding) -> str:
    """A finding in one line."""
    return f"[{finding.verdict}] {finding.detail} ({finding.cause}) at {finding.where or '-'}, {finding.tokens_rewritten:,} tokens"


def assert_right(trials: Iterable[Trial]) -> None:
    """Fails with every complaint about any of the trials."""
    wrong = [words for trial in trials for words in complaints(trial)]
    assert not wrong, "\n" + "\n".join(wrong)

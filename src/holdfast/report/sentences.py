"""What stands above the table, what it comes to, and below it: what was read, how it was counted, what is assumed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal

from holdfast.report.figures import change, known, percent, plural, tenths, tokens
from holdfast.report.tables import CONTROL, DISTRUST, by_cost, cost, recorded_total
from holdfast.schedule import TARGET_SHARE, TRIGGER_SHARE, TRIGGER_TOKENS
from holdfast.simulator.results import Comparison, Result, SessionResult
from holdfast.transcript import Skipped
from holdfast.validation.results import TRUSTED
from holdfast.validation.uncertainty import COVERED, Errors

_NUMBER = re.compile(r"(?<![\w.])\d[\d,]*\b(?!\.\d)")
_ONE = re.compile(r"(?<![\d.,])1 turns\b")

NOTABLE = 0.01
"""The share by which a strategy must keep more than the cheapest to be named beside it."""

LEAST = f"{100 * TRUSTED:.0f} %"
"""What must be reproduced of a session's recorded reads for it to be ranked."""

NAMED = 3
"""How many places are named for each reason something was skipped; ``--json`` has them all."""


def verdict(comparison: Comparison) -> Iterator[str]:
    """What the table comes to, in a sentence or two; nothing where there is nothing to compare with."""
    ranked = by_cost(comparison.total)
    base = next((each for each in ranked if each.strategy == CONTROL), None)
    if base is None or len(ranked) < 2 or not base.usd:
        return
    best = ranked[0]
    if best is base or best.usd == base.usd:
        yield f"Nothing beats leaving the history alone here: {cost(base)}."
        return
    yield (
        f"Cheapest: {best.strategy}, {cost(best)} instead of {cost(base)} with the history left alone ({change(best.usd, base.usd)})"
        f"{f'; of what turns after the first cut needed, {_still(best)} was still in the prompt' if best.kept_after.needed else ''}."
    )
    better = [each for each in ranked[1:] if each.usd < base.usd and _share(each) >= _share(best) + NOTABLE]
    if better:
        most = max(better, key=lambda each: (_share(each), -each.usd))
        saving = change(most.usd, base.usd)
        yield f"Keeps most among the cheaper ones: {most.strategy}, {cost(most)} ({saving}); {_still(most)} was still there."


def _share(each: Result) -> float:
    return each.kept_after.kept / each.kept_after.needed if each.kept_after.needed else 0.0


def _still(each: Result) -> str:
    return percent(each.kept_after.kept, each.kept_after.needed)


def what_was_read(comparison: Comparison) -> Iterator[str]:
    """How many sessions of which formats were used, and what was left out, by reason and by name."""
    used = [each for each in comparison.sessions if each.skipped is None]
    formats = ", ".join(f"{name} {count}" for name, count in Counter(each.format for each in used).most_common())
    files = len({each.path for each in used})
    turns = sum(each.turns for each in used)
    yield f"Read {plural(files, 'file')}: {plural(len(used), 'session')}, {plural(turns, 'turn')}{f' ({formats})' if formats else ''}."
    over = sum(each.exceeds_trigger for each in used)
    rest = "" if over == len(used) else "; in the others no strategy has anything to do"
    yield f"Sessions that grew beyond the trigger: {over:,} of {len(used):,}{rest}."
    yield from left_out(comparison)


def left_out(comparison: Comparison) -> Iterator[str]:
    """What of the input was not used, by reason and by name."""
    skipped = [each for each in comparison.sessions if each.skipped]
    yield from _grouped("Left out", "session", (_short(each) for each in skipped if each.format))
    files = [_short(each) for each in skipped if not each.format]
    yield from _grouped("Left out", "file", [*files, *(each for each in comparison.skipped if not each.line)])
    yield from _grouped("Skipped", "line", (each for each in comparison.skipped if each.line))


def in_full(comparison: Comparison) -> Iterator[str]:
    """Why each session or file that was not used gave nothing, one by one, with what was looked at."""
    for each in comparison.sessions:
        if each.skipped:
            yield each.skipped if each.skipped.startswith(each.path) else f"{each.path}: {each.skipped}"


def _short(session: SessionResult) -> Skipped:
    """Why a session was skipped, without what only one file can say: its path and its first bytes."""
    why = (session.skipped or "").removeprefix(f"{session.path}: ")
    return Skipped(session.path, 0, why.split(" (")[0].rstrip("."))


def _grouped(verb: str, noun: str, skipped: Iterable[Skipped]) -> Iterator[str]:
    reasons: dict[str, list[Skipped]] = {}
    for each in skipped:
        reasons.setdefault(each.why, []).append(each)
    for why, places in sorted(reasons.items(), key=lambda item: (-len(item[1]), item[0])):
        named = ", ".join(f"{each.path}:{each.line}" if each.line else each.path for each in places[:NAMED])
        more = f" and {len(places) - NAMED:,} more" if len(places) > NAMED else ""
        yield f"{verb} {plural(len(places), noun)}: {why} ({named}{more})."


def how_it_was_computed(comparison: Comparison) -> Iterator[str]:
    """How tokens were counted, what was estimated and assumed, and of which date the prices are."""
    used = [each for each in comparison.sessions if each.skipped is None]
    for counting, count in Counter(each.counting for each in used if each.counting).most_common():
        scope = "" if count == len(used) else f" ({plural(count, 'session')})"
        yield f"Tokens: {counting.rstrip('.')}{scope}."
    yield "Outputs stay as recorded: a counterfactual changes only prompts."
    yield from _estimates(comparison)
    settings = comparison.settings
    yield from _schedule(settings)
    yield (
        "Caches with marks lose no entry early; those without read as much less than their ideal as was measured on average. "
        "None is shared with other sessions but for what the record shows of the head."
    )
    yield from _notes([each.notes for each in used])
    yield from _range(comparison)
    if settings.get("prices_as_of"):
        yield f"Prices as of {settings['prices_as_of']}, in USD."


def _notes(notes: Sequence[Iterable[str]]) -> Iterator[str]:
    """What readers and counting had to say, most frequent first: notes that differ only in their numbers are one, with the sums."""
    sums: dict[tuple[str, ...], list[int]] = {}
    sessions: Counter[tuple[str, ...]] = Counter()
    for note in (note for each in notes for note in each):
        form = tuple(_NUMBER.split(note))
        numbers = [int(number.replace(",", "")) for number in _NUMBER.findall(note)]
        sums[form] = [one + other for one, other in zip(sums.get(form, [0] * len(numbers)), numbers, strict=True)]
        sessions[form] += 1
    for form, count in sessions.most_common():
        said = form[0] + "".join(f"{number:,}{text}" for number, text in zip(sums[form], form[1:], strict=True))
        scope = f" ({plural(count, 'session')})" if len(notes) > 1 else ""
        told = _ONE.sub("1 turn", said)
        yield f"{told[:1].upper()}{told[1:].rstrip('.')}{scope}."


def _schedule(settings: Mapping[str, str | int | float | None]) -> Iterator[str]:
    trigger, target, tail = (settings.get(name) for name in ("trigger", "target", "keep_tail_tokens"))
    starts = _size(trigger) or f"{tokens(TRIGGER_TOKENS)} or {TRIGGER_SHARE:.0%} of the window, whichever is less"
    ends = _size(target) or f"{TARGET_SHARE:.0%} of that"
    yield f"A prompt is shortened when it exceeds {starts}, down to {ends}; the newest part stays verbatim ({_size(tail) or 'no tokens'})."


def _size(value: str | int | float | None) -> str:
    if not isinstance(value, int | float):
        return ""
    return f"{value:.0%} of the window" if value < 1 else f"{tokens(int(value))} tokens"


def _estimates(comparison: Comparison) -> Iterator[str]:
    used = [each for each in comparison.sessions if each.skipped is None]
    bill = recorded_total(used)
    if bill is not None:
        yield "Recorded: as charged where the record holds money, else at list prices; the strategies are billed at list prices."
    if bill is not None and bill[0].outputs_estimated:
        turns = plural(bill[0].outputs_estimated, "turn")
        yield f"The record holds no final output count for {turns}; those outputs are estimated from their text."
    unlogged = sum(each.unlogged_calls for each in used)
    if unlogged:
        guessed = sum((each.unlogged_usd for each in used), Decimal(0))
        yield (
            f"Estimated and left out of every sum: {plural(unlogged, 'call')} that the recorded client must have made but did not log "
            f"(its summaries), about {known(guessed, guessed / 4)}."
        )
    if any(each.model_calls for each in comparison.total):
        answer = comparison.settings.get("answer_tokens")
        length = f"an answer of at least {tokens(int(answer))} tokens" if answer else "an assumed answer"
        yield (
            f"A strategy's own model calls read what is warm of the prompt they extend and are billed with {length}; "
            "that is part of its cost. No model is asked here: the built-in digest stands in for its summary when what was kept is judged."
        )
    yield from _by_strategy(comparison.total)


TOLD = {
    "waiting_turns": "Turns that stayed above the trigger because nothing could be cut just then",
    "unpaid_commits": "Commits that had not paid for themselves when the session ended",
    "unreachable_turns": "Turns that stayed above the limit, the window less room for an answer, because nothing more may be cut",
    "illegal_plans": "Plans refused as illegal",
}
"""Counts that are told by strategy, where there are any."""


def _by_strategy(results: Sequence[Result]) -> Iterator[str]:
    if any(each.kept_after.needed for each in results):
        yield "Once cut: counted at the turns after a strategy's own first cut in a session, so not at the same turns for each."
    for name, said in TOLD.items():
        counts = [(each, getattr(each, name)) for each in by_cost(results)]
        of = {each.strategy: f" of {each.commits:,}" if name == "unpaid_commits" else "" for each in results}
        named = ", ".join(f"{each.strategy} {count:,}{of[each.strategy]}" for each, count in counts if count)
        if named:
            yield f"{said}: {named}."


def agreement(comparison: Comparison) -> Iterator[str]:
    """How well the cache model reproduces the recorded bills of these very sessions, and where it does not."""
    used, bad = comparison.compared, comparison.untrusted
    checked, agree = (sum(getattr(each.agreement, name) for each in used if each.agreement) for name in ("checked", "agree"))
    if checked:
        whose = " of the recorded models" if comparison.settings.get("model") else ""
        yield f"Recorded reads that the cache model{whose} reproduces: {agree:,} of {checked:,} ({tenths(agree, checked)})."
    if bad:
        be, their = ("is", "its") if len(bad) == 1 else ("are", "their")
        why = f"the cache model reproduces less than {LEAST} of {their} recorded reads"
        yield f"{plural(len(bad), 'session')} of {len(used):,} {be} not trustworthy ({DISTRUST}): {why}."
    unbilled = sum(each.agreement is None for each in used)
    if unbilled:
        yield f"{plural(unbilled, 'session')} {'carries' if unbilled == 1 else 'carry'} no bill: nothing there could be checked."
    single = sum(each.agreement is not None and not each.agreement.checked for each in used)
    if single:
        be = "is" if single == 1 else "are"
        yield f"{plural(single, 'session')} {be} billed for first requests only, which nothing foretells: nothing there could be checked."


def left_unranked(comparison: Comparison) -> Iterator[str]:
    """What the ranking leaves out and how to have it, or that it has what is not trustworthy."""
    bad = comparison.untrusted
    if not bad:
        return
    if comparison.settings.get("any"):
        yield f"Not trustworthy and ranked all the same (--any): {len(bad):,} of {plural(len(comparison.compared), 'session')}."
    elif comparison.ranked:
        yield f"Left out of this table as not trustworthy: {plural(len(bad), 'session')}; --any ranks all."
    else:
        yield (
            f"Nothing is ranked: the cache model reproduces less than {LEAST} of the recorded reads of "
            f"{'the session' if len(bad) == 1 else f'each of the {len(bad):,} sessions'}; --any ranks all the same."
        )


def _range(comparison: Comparison) -> Iterator[str]:
    """What the intervals rest on, and what is not in them."""
    parts = comparison.total[0].estimate.parts if comparison.total else ()
    if not parts:
        return
    known_sets = [part.errors for part in parts if part.errors.measured]
    if known_sets:
        said = "; ".join(f"{_bounds(each)} ({_set(each)}: {plural(each.sessions, 'session')})" for each in known_sets)
        yield f"{COVERED * 100:.0f} % range: so far lay the recorded bill of a session from the cost computed for it untouched: {said}."
    for each in (part.errors for part in parts if not part.errors.measured):
        yield f"Not measured for {_set(each)}: taken is the widest range measured elsewhere, {_bounds(each)}; it does not average out."
    if known_sets and len(comparison.ranked) > 1:
        yield "The errors of different sessions are taken to be independent, which makes the range of several narrower."
    yield "Two strategies on the same sessions err alike: their difference is known better than either cost."
    other = "another model would count and what " if comparison.settings.get("model") else ""
    yield f"Not in the range: the error of what {other}shortened prompts weigh, an estimate that no bill has checked."


def _set(errors: Errors) -> str:
    return f"{errors.format}, {errors.provider}"


def _bounds(errors: Errors) -> str:
    return f"{change(1 + errors.low, Decimal(1))} to {change(1 + errors.high, Decimal(1))}"


def interruption(comparison: Comparison) -> Iterator[str]:
    """That the run was stopped half-way, where it was."""
    if comparison.interrupted:
        yield f"Interrupted: the figures are those of the {plural(len(comparison.sessions), 'session')} done so far."

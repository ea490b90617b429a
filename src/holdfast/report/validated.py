"""A validation as rich tables and sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from rich.table import Table
from rich.text import Text

from holdfast.report import omitted
from holdfast.report.figures import UNKNOWN, percent, plural, usd
from holdfast.report.fitted import Columns, Row, fits, fitted
from holdfast.report.tables import WIDE, short_path
from holdfast.validation.block_hits import BlockReport
from holdfast.validation.reasons import Reason
from holdfast.validation.results import TRUSTED, Charges, Money, SetFigures, ValidatedSession, Validation

SETS = Columns(
    (
        "data",
        "sessions",
        "checked",
        "agree",
        "exact",
        "within\n2,048",
        "bias,\npoints",
        "error\nmedian",
        "error\np95",
        "error\nof all",
        "recorded",
        "charged\nas computed",
    ),
    left=frozenset({"data"}),
    spare=("sessions", "within\n2,048", "exact", "charged\nas computed", "bias,\npoints", "recorded", "error\np95", "error\nmedian"),
)
SESSIONS = Columns(
    ("session", "data", "checked", "agree", "recorded", "predicted", "error", "unexplained"),
    left=frozenset({"session", "data"}),
    spare=("data", "unexplained", "recorded", "predicted", "checked"),
)
BLOCKS = Columns(
    ("blocks", "requests", "capacity", "policy", "of blocks", "of tokens", "of what\ncan be read"),
    left=frozenset({"blocks", "policy"}),
    spare=("of what\ncan be read", "of blocks", "requests"),
)
SETTLED = 0.001
"""Within this share of its bill a session counts as reproduced once what nobody could know is set to its record."""
NAMED = 12
"""How many disagreements a session shows without being asked for all."""
HUNDREDS = 200
"""From this many requests on, a share is known to a tenth of a percent."""


def sets_table(found: Validation, width: int = WIDE) -> Table:
    """One row for each format and provider, and one for all."""
    rows = [Row(_set_cells(row)) for row in found.sets]
    if len(found.sets) > 1:
        rows.append(Row(_set_cells(_all(found)), style="dim", apart=True))
    return fitted(SETS, rows, width)


def _all(found: Validation) -> SetFigures:
    """All sets as one."""
    money, charges = Money(), Charges()
    for row in found.sets:
        money = replace(money, recorded=money.recorded + row.money.recorded, predicted=money.predicted + row.money.predicted)
        charges += row.charges
    errors = tuple(error for row in found.sets for error in row.errors)
    first = replace(found.sets[0], format="all", provider="", sessions=sum(row.sessions for row in found.sets), tally=found.tally)
    return replace(first, money=money, charges=charges, errors=errors)


def name_of(row: SetFigures) -> str:
    """How a set is called."""
    return f"{row.format} ({row.provider})" if row.provider else row.format


def heading_of(row: SetFigures) -> str:
    """The same above a narrow column."""
    return name_of(row).replace(" (", "\n(").replace("mini-swe-agent", "mini-swe")


def _set_cells(row: SetFigures) -> list[Text | str]:
    tally, money = row.tally, row.money
    errors = [row.error_median, row.error_p95] if money.recorded else [None, None]
    return [
        Text(name_of(row), no_wrap=True),
        f"{row.sessions:,}",
        f"{tally.checked:,}",
        share(tally.agree, tally.checked),
        share(tally.exact, tally.checked),
        share(tally.near, tally.checked),
        UNKNOWN if tally.bias is None else signed(tally.bias),
        *(UNKNOWN if error is None else f"{100 * error:.1f} %" for error in errors),
        UNKNOWN if money.error is None else f"{signed(money.error)} %",
        usd(money.recorded) if money.recorded else UNKNOWN,
        f"{row.charges.equal:,}/{row.charges.charged:,}" if row.charges.charged else UNKNOWN,
    ]


def share(part: int, whole: int) -> str:
    """A share in percent, with the one decimal that hundreds of requests can tell; only all of it is 100, and only nothing 0."""
    if whole < HUNDREDS:
        return percent(part, whole)
    shown = round(100 * part / whole, 1)
    if part < whole and shown == 100:
        return "99.9 %"
    return "0.1 %" if part and not shown else f"{shown} %"


def signed(value: float) -> str:
    """A share in percent or percentage points with its sign and one decimal, the unit left to the reader; about nothing has no sign."""
    text = f"{100 * value:+.1f}".replace("-", "\N{MINUS SIGN}")
    return "0.0" if text[1:] == "0.0" else text


def reasons_table(found: Validation, width: int = WIDE) -> Table:
    """Why predictions and records disagree: how many requests, for every reason and set."""
    shown = [row for row in found.sets if row.tally.checked]
    table = fitted(
        Columns(("reason", *map(heading_of, shown)), frozenset({"reason"})),
        [
            *(Row([reason, *(f"{row.reasons[reason]:,}" if row.reasons[reason] else "" for row in shown)]) for reason in _reasons(shown)),
            Row(["all", *(f"{row.reasons.total():,}" for row in shown)], style="dim", apart=True),
        ],
        width,
    )
    return table if fits(table, width) else _reasons_down(shown, width)


def _reasons_down(shown: Sequence[SetFigures], width: int) -> Table:
    """The same for a narrow terminal: the sets stand in a sentence."""
    rows = []
    for reason in _reasons(shown):
        of = ", ".join(f"{name_of(row)} {row.reasons[reason]:,}" for row in shown if row.reasons[reason])
        rows.append(Row([reason, f"{sum(row.reasons[reason] for row in shown):,}", of]))
    rows.append(Row(["all", f"{sum(row.reasons.total() for row in shown):,}", ""], style="dim", apart=True))
    return fitted(Columns(("reason", "requests", "of"), frozenset({"reason", "of"})), rows, width)


def _reasons(shown: Sequence[SetFigures]) -> list[str]:
    """The reasons that occur, in their documented order."""
    return [str(reason) for reason in Reason if any(row.reasons[str(reason)] for row in shown)]


def sessions_table(sessions: Sequence[ValidatedSession], width: int = WIDE) -> Table:
    """One row a session, the largest error first; dim where too little agrees to rank it."""
    ordered = sorted(sessions, key=lambda each: -abs(each.money.error or 0.0) if each.money else 0.0)
    rows = [Row(_session_cells(each), "dim" if each.trusted is False else "") for each in ordered if each.skipped is None]
    return fitted(SESSIONS, rows, width)


def _session_cells(each: ValidatedSession) -> list[Text | str]:
    unexplained = sum(one.explanation.reason is Reason.UNEXPLAINED for one in each.disagreements)
    error = each.money.error if each.money is not None else None
    return [
        Text(short_path(each.path), no_wrap=True),
        Text(f"{each.format} ({each.provider})" if each.provider else each.format, no_wrap=True),
        f"{each.tally.checked:,}",
        share(each.tally.agree, each.tally.checked),
        usd(each.money.recorded) if each.money is not None else UNKNOWN,
        usd(each.money.predicted) if each.money is not None else UNKNOWN,
        UNKNOWN if error is None else f"{signed(error)} %",
        f"{unexplained:,}" if unexplained else "",
    ]


def blocks_table(report: BlockReport, width: int = WIDE) -> Table:
    """What block caches would have read of traces: without end, and by capacity where many conversations share one."""
    rows = []
    for row in report.totals:
        name, requests = f"{row.format} ({row.block_tokens} tokens)", f"{row.requests:,}"
        endless = (_tenth(row.endless.block_share), _tenth(row.endless.token_share), "100.0 %")
        rows.append(Row([name, requests, "without end", "", *endless]))
        for point in row.curve:
            shares = (_tenth(point.share), _tenth(point.token_share), _tenth(row.share_of_most(point)))
            rows.append(Row(["", "", f"{point.capacity:,}", str(point.policy), *shares]))
    return fitted(BLOCKS, rows, width)


def _tenth(part: float | None) -> str:
    return UNKNOWN if part is None else f"{100 * part:.1f} %"


def what_was_read(found: Validation) -> Iterator[str]:
    """How much was checked, what the words of the table mean, and what was left out."""
    used = [each for each in found.sessions if each.skipped is None]
    if used:
        yield (
            f"Checked {plural(found.tally.checked, 'request')} of {plural(len(used), 'session')} with a recorded bill: "
            "each predicted from its own prompt and earlier records only."
        )
        yield from _words()
    elif found.blocks is not None:
        yield f"No session with a recorded bill; {plural(len(found.blocks.traces), 'trace')} of block hashes."
    yield from _unpriced(used)
    yield from omitted.notes([(short_path(each.path), each.notes) for each in used])
    yield from omitted.left_out(found.sessions, found.skipped)


def _words() -> Iterator[str]:
    yield "agree: the predicted cache read is within 50 tokens or 1 % of the prompt of the recorded one; exact: to the token."
    yield "The first request of a lineage has nothing before it: it is not checked, and counts as billed in the money."
    yield "bias: the mean predicted less the mean recorded cached share. error: predicted over recorded cost, less 1."


def _unpriced(used: Sequence[ValidatedSession]) -> Iterator[str]:
    """Which sessions have no money, for want of a price."""
    without = [each for each in used if each.money is None]
    names = sorted({each.model for each in without if each.model})
    if without:
        some = ", ".join(names[: omitted.NAMED]) + (f" and {len(names) - omitted.NAMED} more" if len(names) > omitted.NAMED else "")
        models = f" ({some})" if names else ""
        yield f"Without money: {plural(len(without), 'session')} of models that have no price{models}; --prices FILE gives one."


def left_out(found: Validation) -> Iterator[str]:
    """Why each session or file that was not used gave nothing, one by one, with what else there is to say of it."""
    told = [
        replace(each, skipped=f"{each.skipped.rstrip('.')} ({'; '.join(note.rstrip('.') for note in each.notes)})")
        if each.skipped and each.notes
        else each
        for each in found.sessions
    ]
    yield from omitted.in_full(told)


def interruption(found: Validation) -> Iterator[str]:
    """That the run was stopped half-way, where it was."""
    if found.interrupted:
        yield f"Interrupted: the figures are those of the {plural(len(found.sessions), 'session')} done so far."


def verdict(found: Validation) -> Iterator[str]:
    """What it comes to: how many sessions agree, and for each set what is chance, what a rule and what is reproduced."""
    used = [each for each in found.sessions if each.skipped is None]
    yield from _trusted([each for each in used if each.trusted is not None], len(used))
    for row in found.sets:
        if row.calibration is not None and row.tally.checked:
            yield (
                f"{name_of(row)}: single reads are chance there. On average the predicted cached share is off by "
                f"{signed(row.tally.bias or 0.0)} points; "
                f"by bins of what was predicted, by {100 * row.calibration.error:.1f} points ({bins(row)})."
            )
        elif row.rules:
            yield _ruled(row)
        elif row.settled_errors:
            near = sum(abs(error) <= SETTLED for error in row.settled_errors)
            yield (
                f"{name_of(row)}: with the requests set to their record whose reason is the provider's or an unlogged call's, "
                f"the predicted cost is within 0.1 % in {near:,} of {len(row.settled_errors):,} sessions."
            )
    if found.blocks is not None and found.blocks.spread is not None:
        spread = found.blocks.spread
        yield (
            f"Block hashes of {plural(spread.count, 'conversation')}: hit rate by tokens, mean {_tenth(spread.mean)}, "
            f"median {_tenth(spread.median)}, quartiles {_tenth(spread.p25)} and {_tenth(spread.p75)}, least {_tenth(spread.least)}."
        )


def _trusted(known: Sequence[ValidatedSession], used: int) -> Iterator[str]:
    """How many sessions agree well enough for a ranking."""
    least = f"{TRUSTED * 100:.0f} %"
    trusted = sum(bool(each.trusted) for each in known)
    if len(known) == 1:
        agree, checked = known[0].tally.agree, known[0].tally.checked
        yield f"{agree:,} of {checked:,} checked requests agree ({share(agree, checked)}); ranking needs {least}."
    elif known:
        yield f"{trusted:,} of {len(known):,} sessions agree in at least {least} of their checked requests, which is what ranking needs."
    if len(known) < used:
        yield f"Nothing could be checked in {plural(used - len(known), 'session')}: only first requests of their lineages."


def _ruled(row: SetFigures) -> str:
    """How far calls with whole requests keep to the documented rules."""
    calls, kept = row.rules.total(), row.rules[""]
    said = f"{name_of(row)}: {kept:,} of {calls:,} whole requests read as documented, to the boundary"
    if kept == calls:
        return f"{said}."
    named = ", ".join(f"{rule.replace('_', ' ')} {count:,}" for rule, count in row.rules.most_common() if rule)
    return f"{said}; the others by the rule that was not kept, or what the recording leaves out: {named}."


def bins(row: SetFigures) -> str:
    """Predicted against recorded share, for each bin with a tenth of the requests."""
    if row.calibration is None:
        return ""
    large = [each for each in row.calibration.bins if each.requests * 10 >= row.calibration.requests]
    return ", ".join(f"{100 * each.predicted:.0f} % predicted {100 * each.recorded:.0f} % read" for each in large)


def disagreements(session: ValidatedSession, most: int = NAMED) -> Iterator[str]:
    """Each disagreement of a session in a line."""
    for each in session.disagreements[:most]:
        reason = each.explanation
        why = f": {reason.evidence}" if reason.evidence else ""
        lineage = f" of {each.lineage}" if each.lineage else ""
        read = f"read {each.read_recorded:,}, predicted {each.read_predicted:,} of {each.prompt_tokens:,}"
        yield f"  request {each.turn}{lineage}: {read}; {reason.reason}{why}"
    if len(session.disagreements) > most:
        yield f"  and {len(session.disagreements) - most:,} more; --json has them all."

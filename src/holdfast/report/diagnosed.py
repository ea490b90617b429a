"""What the doctor found as rich tables and sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from rich.table import Table
from rich.text import Text

from holdfast.doctor.findings import Finding, Verdict
from holdfast.doctor.lint_advice import Advice
from holdfast.doctor.run import Examination, Examined
from holdfast.report import omitted
from holdfast.report.figures import UNKNOWN, clock, percent, plural, tokens, usd
from holdfast.report.fitted import Columns, Row, fitted
from holdfast.report.tables import WIDE, short_path

TOP = 10
"""How many findings are shown in full unless another number is asked for."""
SHOWN = 90
"""Characters of a difference that a line has room for."""
CAUSES = Columns(
    ("cause", "verdict", "findings", "sessions", "tokens not read", "cost"),
    left=frozenset({"cause", "verdict"}),
    spare=("sessions", "findings", "tokens not read", "verdict"),
)


@dataclass(slots=True)
class _Sum:
    findings: int = 0
    unpriced: int = 0
    tokens: int = 0
    usd: Decimal = Decimal(0)

    def add(self, finding: Finding) -> None:
        self.findings += 1
        self.unpriced += finding.usd is None
        self.tokens += finding.tokens_rewritten
        self.usd += finding.usd or Decimal(0)

    @property
    def cost(self) -> str:
        """The money, unknown where no finding has a price."""
        return usd(self.usd) if self.unpriced < self.findings else UNKNOWN


def ranked(found: Examination) -> list[tuple[Examined, Finding]]:
    """All findings with their session, the dearest first; of equals and of those without a price the one that lost more tokens."""
    pairs = [(each, finding) for each in found.sessions if each.diagnosis is not None for finding in each.diagnosis.findings]
    return sorted(pairs, key=lambda pair: (-(pair[1].usd or Decimal(0)), -pair[1].tokens_rewritten, pair[0].path, pair[1].turn))


def causes_table(found: Examination, width: int = WIDE) -> Table:
    """What each cause came to, in its particulars, the dearest first, and all of them together."""
    sums: dict[tuple[str, str], _Sum] = {}
    sessions: dict[tuple[str, str], set[str]] = {}
    whole = _Sum()
    for session, finding in ranked(found):
        key = finding.detail, str(finding.verdict)
        sums.setdefault(key, _Sum()).add(finding)
        sessions.setdefault(key, set()).add(session.path)
        whole.add(finding)
    rows = [
        Row(_cause_cells(*key, each, len(sessions[key])))
        for key, each in sorted(sums.items(), key=lambda item: (-item[1].usd, -item[1].tokens, item[0]))
    ]
    if len(rows) > 1:
        rows.append(Row(_cause_cells("all", "", whole, len(set().union(*sessions.values()))), style="dim", apart=True))
    return fitted(CAUSES, rows, width)


def _cause_cells(cause: str, verdict: str, each: _Sum, sessions: int) -> list[Text | str]:
    return [Text(cause, no_wrap=True), verdict, f"{each.findings:,}", f"{sessions:,}", tokens(each.tokens), each.cost]


def findings(found: Examination, top: int = TOP) -> Iterator[str]:
    """The dearest findings one by one: what it cost, where, what changed, what else it could have been, and what to do."""
    pairs = ranked(found)
    for rank, (session, finding) in enumerate(pairs[:top], 1):
        yield from _finding(rank, session, finding)
    if len(pairs) > top:
        yield f"{f'And {len(pairs) - top:,} more' if top else plural(len(pairs), 'finding')}; --top shows more, --json has them all."


def _finding(rank: int, session: Examined, finding: Finding) -> Iterator[str]:
    cost = usd(finding.usd) if finding.usd is not None else "no price"
    place = f" at {finding.where}" if finding.where else ""
    yield f"{rank}. {cost}: {finding.detail}{place}, {tokens(finding.tokens_rewritten)} tokens not read (verdict: {finding.verdict})"
    lineage = f" of {finding.lineage}" if finding.lineage else ""
    at = f", {clock(finding.at)} UTC" if finding.at is not None else ""
    yield f"   {short_path(session.path, 60)}, request {finding.turn}{lineage}{at}"
    if finding.diff is not None:
        yield f"   {_short(finding.diff.before)} became {_short(finding.diff.after)}"
    if finding.provider_reason:
        agreed = {True: "the same", False: "it says otherwise", None: "not one that can be compared"}[finding.agrees]
        yield f"   the provider's own reason: {finding.provider_reason} ({agreed})"
    if finding.excluded:
        yield "   looked at beside it:"
    for other in finding.excluded:
        yield f"   - {other}"
    yield f"   {finding.fix}"


def _short(text: str) -> str:
    shown = text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
    return repr(shown) if shown else "nothing"


def what_was_read(found: Examination) -> Iterator[str]:
    """How much was examined, what there is to say of it, and what was left out."""
    used = [(each.path, each.diagnosis) for each in found.sessions if each.diagnosis is not None]
    requests, checked = (sum(getattr(each, name) for _, each in used) for name in ("requests", "checked"))
    yield f"Examined {plural(requests, 'request')} of {plural(len(used), 'session')}; {checked:,} had a bill and a request before them."
    yield from omitted.notes([(short_path(path), each.notes) for path, each in used])
    yield from omitted.left_out(found.sessions, found.skipped)


def left_out(found: Examination) -> Iterator[str]:
    """Why each session or file that was not examined gave nothing, one by one."""
    yield from omitted.in_full(found.sessions)


def interruption(found: Examination) -> Iterator[str]:
    """That the run was stopped half-way, where it was."""
    if found.interrupted:
        yield f"Interrupted: the findings are those of the {plural(len(found.sessions), 'session')} done so far."


def verdict(found: Examination) -> Iterator[str]:
    """The hit rate, what was lost in all, and whether the providers' own reasons say the same."""
    prompt = sum(each.prompt_tokens for each in found.diagnoses)
    read = sum(each.read_tokens for each in found.diagnoses)
    if prompt:
        yield f"Cache hit rate: {percent(read, prompt)} of {tokens(prompt)} prompt tokens were read."
    else:
        yield "Cache hit rate: not known, for no usage was recorded."
    every = [finding for each in found.diagnoses for finding in each.findings]
    if every:
        yield from _lost(every)
    elif prompt:
        yield "No request read less than it could have."
    same, compared = (sum(each.agreement[place] for each in found.diagnoses) for place in (0, 1))
    if compared == 1:
        yield f"The provider's own reason says {'the same' if same else 'otherwise'} in the one finding that has one to compare."
    elif compared:
        yield f"The provider's own reason says the same in {same:,} of the {compared:,} findings that have one to compare."


def _lost(every: Sequence[Finding]) -> Iterator[str]:
    """What the findings cost together, and how much of it is the user's doing."""
    whole, yours = _Sum(), _Sum()
    for finding in every:
        whole.add(finding)
        if finding.verdict == Verdict.YOURS:
            yours.add(finding)
    short = sum(finding.tokens_rewritten > 0 for finding in every)
    if short < len(every):
        yield f"{plural(len(every) - short, 'finding')} lost no tokens: the bill is wrong, or the request was refused."
    if not short:
        return
    said = f"{plural(short, 'request')} read less than {'it' if short == 1 else 'they'} could have"
    if whole.unpriced == len(every):
        yield f"{said}: {tokens(whole.tokens)} tokens, whose price is not known; --prices FILE gives one."
        return
    rest = f" ({whole.unpriced:,} without a price not counted)" if whole.unpriced else ""
    yield f"{said}: {usd(whole.usd)} more than reading would have cost{rest}, {usd(yours.usd)} of it yours."


def linted(name: str, advice: Sequence[Advice]) -> Iterator[str]:
    """What lint says of one body, the surest first."""
    if not advice:
        yield f"{name}: nothing in it keeps a cache from being read, as far as one body can tell."
        return
    yield f"{name}: {plural(len(advice), 'thing')} to look at."
    for each in advice:
        stake = f", {each.at_stake} tokens of each request" if each.tokens else ""
        yield f"  {each.severity}: {each.code}{f' at {each.where}' if each.where else ''}{stake}: {each.what}"
        yield f"    {each.fix}"

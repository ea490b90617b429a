"""A replay as aligned lines of text, one a turn, readable at 120 columns."""

from __future__ import annotations

from decimal import Decimal

from holdfast.report.figures import clock, percent, plural, tokens, usd
from holdfast.simulator.results import Commit, ReplayedTurn

HEADING = " turn  time (UTC)      prompt    read    hit  written   fresh      cost  what was done, and why"


def line(turn: ReplayedTurn, begins: bool = False) -> str:
    """One turn: its prompt and how the cache served it, what it cost, and what was committed.

    ``begins``: it is the first that is shown of its lineage, which is then named.
    """
    usage = turn.usage
    cells = (
        f"{turn.turn:>5}",
        f"{clock(turn.at):<14}",
        f"{tokens(turn.prompt_tokens):>6}",
        f"{tokens(usage.read):>6}",
        f"{percent(usage.read, usage.prompt):>5}",
        f"{tokens(usage.written):>7}",
        f"{tokens(usage.fresh):>6}",
        f"{usd(turn.usd):>8}",
        "; ".join(part for part in (f"lineage {turn.lineage}" if begins else "", committed(turn.commit), turn.note) if part),
    )
    return "  ".join(cells).rstrip()


def committed(commit: Commit | None) -> str:
    """What a commit took away, from which block on, when that was to pay for itself and when it did, and why it was done."""
    if commit is None:
        return ""
    removed = f"{commit.strategy} \N{MINUS SIGN}{tokens(commit.tokens_removed)} from block {commit.first_edit}"
    return f"{removed}, {pays(commit.break_even_turn)}, {paid(commit.measured_break_even_turn)}: {commit.why}"


def pays(after: int | None) -> str:
    """After how many turns, counted from the one after its own, a commit is predicted to have paid for itself."""
    if after is None:
        return "predicted never to pay"
    return f"predicted to pay after {plural(after, 'turn')}" if after else "predicted to pay at once"


def paid(after: int | None) -> str:
    """After how many turns a commit had paid for itself, as measured."""
    if after is None:
        return "not paid when the session ended"
    return f"paid after {plural(after, 'turn')}" if after else "paid at once"


def closing(turns: list[ReplayedTurn]) -> str:
    """The sum under the lines."""
    spent = sum((turn.usd for turn in turns), Decimal(0))
    commits = [turn.commit for turn in turns if turn.commit is not None]
    unpaid = sum(commit.measured_break_even_turn is None for commit in commits)
    read, prompt = sum(turn.usage.read for turn in turns), sum(turn.usage.prompt for turn in turns)
    return (
        f"{plural(len(turns), 'turn')}, {usd(spent)}, {percent(read, prompt)} of the prompt tokens read from the cache, "
        f"{plural(len(commits), 'commit')}{f', {unpaid:,} of them not paid when the session ended' if unpaid else ''}."
    )

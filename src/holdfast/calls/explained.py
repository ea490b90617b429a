"""One request in a few readable lines: what was sent, read, written and cut, why, what that costs, and what failed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal

from holdfast.edits import Clear, Drop, Edit, Fold, Insert
from holdfast.pricing import Price, cost
from holdfast.report.figures import percent, plural, tokens, usd
from holdfast.trace import CommitTrace, Trace
from holdfast.usage import Usage

MOST = 5
"""Errors that are told one by one."""

_THINKING = {"stripped": "left out", "dropped": "the API was asked to drop it"}


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a trace does not know of its request.

    ``usage`` is what it was billed, ``None`` until then. ``price`` is the model's, ``None`` where none is known; ``at`` picks dated prices
    (POSIX seconds). ``write`` is the class of ``Usage`` that its writes are billed in. ``stood_down`` says why Holdfast kept out of it,
    ``retried`` why it went out a second time without its newest plan. ``observed``: it went out as it came, and the trace says what
    Holdfast would have sent. ``asked`` is the other model that answers questions, and its price; ``None`` where there is none.
    """

    usage: Usage | None = None
    price: Price | None = None
    at: float | None = None
    write: str = "write_5m"
    stood_down: str = ""
    retried: str = ""
    observed: bool = False
    asked: tuple[str, Price | None] | None = None


def explain(trace: Trace | None, circumstances: Circumstances | None = None) -> str:
    """The story of a request, a line for each thing there is to say. ``None``: no request was made yet."""
    known = circumstances or Circumstances()
    if trace is None:
        return f"stood down: {known.stood_down}" if known.stood_down else "no request yet"
    return "\n".join(_lines(trace, known))


def _lines(trace: Trace, known: Circumstances) -> Iterator[str]:
    yield _sent(trace, known)
    if known.retried or trace.withdrawn is not None:
        yield _retried(trace, known)
    if trace.commit is not None and not known.stood_down:
        yield from _commit(trace.commit, known)
    if trace.thinking:
        yield f"  thinking bound to the prefix before the edit: {_THINKING[trace.thinking]}"
    if trace.marks and not known.stood_down:
        yield f"  {'would-be marks' if known.observed else 'marks'}: {plural(len(trace.marks), 'cache mark')} at {_places(trace)}"
    if trace.repaired:
        yield f"  repaired: {plural(trace.repaired, 'old message')} came as other bytes than before; the first form was sent"
    if known.usage is not None:
        yield _billed(known.usage, known)
    if trace.asked:
        yield _asked(trace, known)
    for number, turns in trace.settled:
        yield f"  commit {number} has now paid for itself, after {plural(turns, 'turn')}"
    if trace.unreachable is not None:
        yield f"  still too long: {trace.unreachable}"
    yield from _errors(trace)


def _sent(trace: Trace, known: Circumstances) -> str:
    """The first line: what went out, and why."""
    if known.stood_down:
        return f"sent as it came: Holdfast stood down ({known.stood_down})"
    if not trace.given_tokens:
        return f"sent as it came: {trace.reason}"
    given, sent = trace.given_tokens, trace.sent_tokens
    turn = f"turn {trace.turn + 1}"
    if known.observed:
        would = "nothing would have been cut" if sent == given else f"{tokens(sent)} would have been sent"
        return f"{turn}: only observed, {tokens(given)} tokens went out as they came; {would} ({trace.reason})"
    size = f"{tokens(sent)} tokens sent" if sent == given else f"{tokens(sent)} of {tokens(given)} tokens sent"
    stable = f"the first {tokens(trace.stable_tokens)} as in the last request" if trace.stable_tokens else "nothing as in a request before"
    return f"{turn}: {size}, {stable}; {trace.reason}"


def _retried(trace: Trace, known: Circumstances) -> str:
    """That it went out a second time, without what."""
    gone = trace.withdrawn
    plan = "the newest plan" if gone is None else f"the plan of {gone.strategy} ({tokens(gone.tokens_removed)} tokens), which is withdrawn"
    return f"  retried without {plan}: {known.retried or 'the provider refused the request'}"


def _commit(commit: CommitTrace, known: Circumstances) -> Iterator[str]:
    verb = "would cut" if known.observed else "cut"
    yield f"  {verb}: {tokens(commit.tokens_removed)} of {tokens(commit.tokens_before)} tokens by {commit.strategy}, {_kinds(commit.edits)}"
    costs = "would cost" if known.observed else "cost"
    if not commit.warm_tokens:
        yield f"  {costs}: none, the cache was cold anyway"
    else:
        price = _rewriting(commit, known)
        said = f" ({usd(price)} more than reading it)" if price is not None else ""
        yield f"  {costs}: {tokens(commit.rewritten_tokens)} tokens behind block {commit.first_block} written to the cache again{said}"
    if commit.break_even_turn is None:
        yield "  breaks even: never at these prices; it was needed to fit"
    elif commit.break_even_turn == 0:
        yield "  breaks even: at once"
    else:
        yield f"  breaks even: {plural(commit.break_even_turn, 'turn')} after this one, as predicted"


def _rewriting(commit: CommitTrace, known: Circumstances) -> Decimal | None:
    if known.price is None:
        return None
    rates = known.price.rates(commit.tokens_before - commit.tokens_removed, known.at)
    return commit.rewritten_tokens * (rates.of(known.write) - rates.of("read")) / 1_000_000


def _kinds(edits: Iterable[Edit]) -> str:
    """``3 blocks cleared, 1 span folded``."""
    cleared, folded, dropped, inserted = 0, 0, 0, 0
    for edit in edits:
        cleared += (edit.stop - edit.start) * isinstance(edit, Clear)
        folded += isinstance(edit, Fold)
        dropped += (edit.stop - edit.start) * isinstance(edit, Drop)
        inserted += isinstance(edit, Insert)
    parts = ((cleared, "block", "cleared"), (folded, "span", "folded"), (dropped, "block", "dropped"), (inserted, "message", "inserted"))
    return ", ".join(f"{plural(count, noun)} {done}" for count, noun, done in parts if count) or "no edits"


def _places(trace: Trace) -> str:
    names = {3600: " (1h)", 43_200: " (12h)"}
    return ", ".join(f"block {mark.position}{names.get(mark.ttl, '')}" for mark in trace.marks)


def _billed(usage: Usage, known: Circumstances) -> str:
    parts = [f"{tokens(usage.read)} read ({percent(usage.read, usage.prompt)})"]
    parts += [f"{tokens(usage.written)} written"] * bool(usage.written)
    parts += [f"{tokens(usage.fresh)} fresh"] * bool(usage.fresh)
    parts.append(f"{tokens(usage.output)} out")
    return f"  billed: {', '.join(parts)}{_money((usage,), known)}"


def _asked(trace: Trace, known: Circumstances) -> str:
    total = sum(trace.asked, Usage())
    outcome = "" if trace.commit is not None else "; no plan came of it"
    size = f"{tokens(total.prompt)} in ({tokens(total.read)} read), {tokens(total.output)} out"
    name, price = known.asked or ("", known.price)
    by = f" of {name}" * bool(name)
    return f"  asked: {plural(len(trace.asked), 'model call')}{by}, {size}{_money(trace.asked, replace(known, price=price))}{outcome}"


def _money(usages: Iterable[Usage], known: Circumstances) -> str:
    if known.price is None:
        return ", no price known"
    return f", {usd(sum((cost(usage, known.price, known.at) for usage in usages), Decimal(0)))}"


def _errors(trace: Trace) -> Iterator[str]:
    for error in trace.errors[:MOST]:
        yield f"  failed: {type(error).__name__}: {error}"
    if len(trace.errors) > MOST:
        yield f"  and {plural(len(trace.errors) - MOST, 'failure')} more"

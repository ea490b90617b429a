"""Recipes for losses that leave the content as it was: marks, look-back, minimum, lifetime, races, the provider."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from holdfast.caches import OpenAIMarksCache, cache_for
from holdfast.doctor.findings import Cause, Verdict
from holdfast.pricing import Prices
from holdfast.usage import Usage
from tests.incidents.bodies import Place, Talk, assistant, call, prose, result, user
from tests.incidents.cases import Case, size_of
from tests.incidents.logs import Log, Loss, Trial
from tests.incidents.registry import recipe
from tests.incidents.sessions import FRESH, NOT_THEIRS, TAIL, Session, agent, fallen, lost, near, split, stated

HEAD = 9_000
HISTORY = 30_000
SYSTEM = Place("system", -1)


@recipe("breakpoint_misplaced")
def stable_part_behind_the_mark(case: Case) -> Sequence[Trial]:
    """A stable part shares its last mark with a part that changes: one row is the loss, one with a larger read the healthy plan."""
    if case.api == "openai":
        return no_marks_at_all(case)
    rows = sorted((row for row in case.rows if row.get("cached") and "written" in row), key=lambda row: -row["written"])
    bad: Any = rows[0] if rows and rows[0]["written"] > 1_000 else {"cached": 5_000, "written": 3_000}
    total = bad["cached"] + bad["written"]
    good = next(
        (
            row
            for row in rows
            if bad is rows[0] and row["cached"] > bad["cached"] and abs(row["cached"] + row["written"] - total) < total // 20
        ),
        None,
    )
    if good is not None and good.get("written"):
        return [_plans(case, bad, good, marked=False), _plans(case, bad, good, marked=True)]
    return [_arms(case, bad, good)]


def _plans(case: Case, bad: Any, good: Any, marked: bool) -> Trial:
    """The same prompt twice but for its last words, with or without a mark behind the part that is the same."""
    total, memory = bad["cached"] + bad["written"], good["cached"] - bad["cached"]
    system = (prose("static part", bad["cached"]), f"Memory:\n{prose('memory', memory)}")
    marks = [Place("system", 0), *([Place("system", 1)] if marked else []), TAIL]
    log = Log(case.api)
    talk = Talk(case.model, (), system, (user("Where did we stop?"),))
    log.send(talk.marked(*marks), Usage(0, 0, total), after=5.0)
    row = good if marked else bad
    again = replace(talk, messages=(user("What is next on the list?"),)).marked(*marks)
    place = log.send(again, Usage(0, row["cached"], row["written"]), after=5.0)
    name = "a mark behind the stable part" if marked else "no mark behind the stable part"
    return log.trial(name, [] if marked else [lost(case, place, memory, ["system[1]", "messages[0]"])])


def _arms(case: Case, bad: Any, good: Any) -> Trial:
    """Siblings whose prompts differ in the last words of a block that is otherwise the same."""
    rest = bad["written"]
    log = Log(case.api)
    shared = prose("instructions for all siblings", rest - 40)
    talk = Talk(case.model, (), (prose("head", bad["cached"]),), (user(f"{shared}\nReview file alpha."),)).marked(SYSTEM, TAIL)
    first = good["cached"] if good else bad["cached"] + rest
    log.send(talk, Usage(0, 0, first), after=10.0)
    if good:
        log.send(talk, Usage(0, good["cached"]), after=10.0)
    other = replace(talk, messages=(user(f"{shared}\nReview file beta."),)).marked(SYSTEM, TAIL)
    place = log.send(other, Usage(0, bad["cached"], rest), after=10.0)
    return log.trial("siblings", [lost(case, place, rest, ["messages[0]", "system[0]"])])


@recipe("breakpoint_on_volatile_block")
def mark_on_a_passing_message(case: Case) -> Sequence[Trial]:
    """The last mark stands on a trailing system message that is not there any more in the next request."""
    history = case.first("cache_missed_input_tokens", 12_000)
    base = agent(case, HEAD, 0, 0)
    log, losses = Log(case.api), []
    kept: tuple[Any, ...] = (user(f"Let us talk about this text. {prose('text', history - 300)}"),)
    for turn in range(4):
        passing = {"role": "system", "content": [{"type": "text", "text": f"<context>{prose(f'context {turn}', 40)}</context>"}]}
        talk = replace(base, messages=(*kept, passing)).marked(SYSTEM, TAIL)
        read, size = (HEAD if turn else 0), HEAD + history + 60 * turn
        extra = {"diagnostics": {"cache_miss_reason": {"type": "messages_changed", "cache_missed_input_tokens": history}}} if turn else {}
        place = log.send(talk, Usage(FRESH, read, size - read - FRESH), after=40.0, extra=extra)
        if turn:
            losses.append(lost(case, place, history, ["messages["], wide=0.3))
        kept = (*kept, assistant(prose(f"answer {turn}", 25)), user(prose(f"question {turn}", 25)))
    return [log.trial("a mark on a passing message", losses)]


@recipe("no_breakpoint_on_stable_prefix")
def no_marks_at_all(case: Case) -> Sequence[Trial]:
    """A conversation that only grows, on a model that reads at marks only, and none was sent: the read stays at the system prompt."""
    if case.api == "openai" and not isinstance(cache_for(case.api, case.model), OpenAIMarksCache):
        case = replace(case, named_model="gpt-5.6-sol")
    read, turns = case.fall(0, 0).read or 10_000, case.published.get("turns", 12)
    share = case.published.get("hit_pct", 20) / 100
    mean = int(read / share)
    first = read + 4_000
    step = 2 * (mean - first) // (turns - 1)
    talk = agent(case, read, 4_000, 2)
    session = Session(case, talk.marked(SYSTEM) if case.api == "anthropic" else talk, first)
    log, losses, before = session.log, [], 0
    for turn in range(turns):
        usage = split(case, session.total, read if turn else 0, fresh=session.total - read)
        place = log.send(session.talk, usage)
        if turn:
            losses.append(lost(case, place, before - read, wide=0.2))
        before = session.total
        session.grow(step)
    return [log.trial("no marks", losses)]


def _parallel(number: int, calls: int, tokens: int, talking: bool = False) -> tuple[Any, Any]:
    """One round of ``calls`` parallel tool calls and their results. ``talking``: a word before each, so that they are no run."""
    each = max(8, tokens // calls - 40)
    numbers = range(number, number + calls)
    said = (part for one in numbers for part in ((f"Now file {one}.", call(one)) if talking else (call(one),)))
    made = assistant("Reading them all.", *said)
    return made, user(*(result(one, prose(f"file {one}", each)) for one in numbers))


@recipe("breakpoint_lookback_exceeded")
def far_behind_the_last_write(case: Case) -> Sequence[Trial]:
    """One turn of many parallel calls moves the only mark of the history out of reach of the last one."""
    fall = case.fall(54_000, 0)
    read = fall.read
    blocks = [step["blocks"] for step in (case.replay or {}).get("steps", ()) if "blocks" in step]
    total = fall.after if fall.after > fall.whole else blocks[-1]["total"] if blocks else fall.whole + 6_000
    before = blocks[0]["total"] if blocks else min(fall.whole, total * 9 // 10)
    calls = (blocks[1]["n"] - blocks[0]["n"]) // 2 if len(blocks) > 1 else 20
    head = read or 6_000
    talk = agent(case, head, before - head, 8)
    provider = "bedrock" if "bedrock" in case.provider else case.api
    session = Session(case, talk.marked(TAIL) if not read else talk, before, provider=provider)
    session.send()
    session.talk = session.talk.plus(*_parallel(3_000, calls, total - before, talking=provider == "anthropic"))
    session.talk = session.talk.marked(TAIL) if not read else session.talk.marked_tail()
    session.total = total + FRESH
    place = session.send(read=read)
    return [session.log.trial("too many blocks at once", [lost(case, place, before - read)])]


@recipe("breakpoint_limit")
def a_fifth_mark(case: Case) -> Sequence[Trial]:
    """Five marks in one request: the API refuses it."""
    return [_refused(case, "", "A maximum of 4 blocks with cache_control may be provided. Found 5.", 5)]


@recipe("breakpoint_ttl_order")
def an_hour_behind_five_minutes(case: Case) -> Sequence[Trial]:
    """A mark of an hour behind one of five minutes: the API refuses it."""
    words = "a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block"
    return [_refused(case, "1h", words, 2)]


def _refused(case: Case, ttl: str, words: str, marks: int) -> Trial:
    session = Session(case, agent(case, HEAD, HISTORY, 8), HEAD + HISTORY)
    session.warm_up()
    session.grow(300)
    places = [SYSTEM, *(Place("messages", 2 * number) for number in range(marks - 2)), TAIL]
    body = session.talk.marked(*places).body("anthropic")
    if ttl:
        body["messages"][-1]["content"][-1]["cache_control"] = {"type": "ephemeral", "ttl": ttl}
    place = session.log.send(session.talk, None, extra={"error": {"type": "invalid_request_error", "message": words}})
    session.log.exchanges[place] = replace(session.log.exchanges[place], body=body, status=400)
    wanted = Loss(place, frozenset({Cause(case.cause)}), case.code, tokens=None)
    return session.log.trial("refused", [wanted])


@recipe("below_minimum")
def too_short(case: Case) -> Sequence[Trial]:
    """A marked prompt below the model's minimum is neither written nor read; on a model with a lower one it is."""
    least = (case.price.min_cacheable_tokens if case.price else None) or 1_024
    prompt = case.first("prompt_tokens", least * 3 // 4)
    if case.api != "anthropic":
        return [_too_short(case, case.model, prompt, caches=False)]
    assert prompt < least, f"{case.id}: {prompt} tokens are not below the minimum of {case.model}"
    fitting = [case.model, *(name for name in Prices.load().models() if _caches(name, prompt))]
    return [_too_short(case, model, prompt, caches=model != case.model) for model in (fitting[0], fitting[-1])]


def _too_short(case: Case, model: str, prompt: int, caches: bool) -> Trial:
    log = Log(case.api)
    talk = Talk(model, (), (prose("short system", prompt - 120),), (user(f"Hello there. {prose('hello', 60)}"),))
    log.send(talk.marked_tail() if case.api == "anthropic" else talk, Usage(FRESH, 0, prompt - FRESH) if caches else Usage(prompt))
    talk = talk.plus(assistant("Hi."), user("How are you?"))
    usage = Usage(FRESH, prompt - FRESH, 20) if caches else Usage(prompt + 20)
    place = log.send(talk.marked_tail() if case.api == "anthropic" else talk, usage)
    wanted = Loss(place, frozenset({Cause(case.cause)}), case.code, tokens=(0, prompt * 1.1), verdicts=frozenset({Verdict.YOURS}))
    return log.trial(f"on {model}", [] if caches else [wanted], {} if caches else {0: {Cause.BELOW_MINIMUM}})


def _caches(name: str, prompt: int) -> bool:
    price = Prices.load().find(name)
    return price.provider == "anthropic" and price.min_cacheable_tokens is not None and price.min_cacheable_tokens <= prompt


@recipe("ttl_expired")
def idle_too_long(case: Case) -> Sequence[Trial]:
    """A pause longer than the lifetime of the entries; the one before it was within. What a case still reads, other sessions kept warm."""
    talk, fall = fallen(case, HEAD + HISTORY, 0)
    hour = re.search(r"\b(1 ?h|one hour|an hour|3,?600)\b", f"{case.how} {case.named_model}") is not None
    session = Session(case, replace(talk, ttl="1h" if hour else ""), fall.whole)
    session.warm_up()
    session.grow(400)
    place = session.send(read=fall.read, after=420.0 if case.api == "anthropic" and not hour else 7_200.0)
    return [session.log.trial("idle too long", [lost(case, place, fall.whole - fall.read)])]


@recipe("parallel_race", "write_not_yet_visible")
def too_soon(case: Case) -> Sequence[Trial]:
    """The same bytes again before the first answer can be read; or a conversation whose newest turn has not landed yet."""
    if len(case.rows) > 1 and all("prompt_tokens" in row and "cached" in row for row in case.rows):
        return [_not_landed(case)]
    wrote = max([size for size in map(size_of, case.rows) if size > 1_024] or [1_215])
    trials = []
    for row in [row for row in case.rows if not (row.get("cached") == 0 and row is case.rows[0])] or [{"cached": 0}]:
        session = Session(case, agent(case, wrote, 60, 0, tool_share=0).marked(SYSTEM), wrote + FRESH)
        session.send(took=1.2)
        hit = row.get("cached", 0) > wrote // 2
        place = session.send(read=None if hit else 0, after=0.1, took=1.2)
        losses = [] if hit else [lost(case, place, wrote, verdicts=NOT_THEIRS)]
        trials.append(session.log.trial("hit" if hit else "miss", losses))
    return trials


def _not_landed(case: Case) -> Trial:
    """Rows of a growing conversation. Where one reads more than the last was long, a call that nobody logged stands between."""
    rows = case.rows
    session = Session(case, agent(case, rows[0]["prompt_tokens"] // 2, rows[0]["prompt_tokens"] // 2, 4), rows[0]["prompt_tokens"])
    losses, read = [], -1
    for number, row in enumerate(rows):
        if row["cached"] > session.total:
            session.grow(row["cached"] + 200 - session.total, 8)
            session.send(after=20.0)
        if number:
            session.grow(row["prompt_tokens"] - session.total, 1 if row["prompt_tokens"] - session.total < 2_000 else 4)
        before = session.cached
        place = session.send(read=row["cached"], after=1.5 if row["cached"] <= read else 20.0)
        if row["cached"] <= read:
            losses.append(lost(case, place, before - row["cached"], verdicts=NOT_THEIRS))
        read = row["cached"]
    return session.log.trial("not landed yet", losses)


@recipe("server_side_unexplained", "head_only_collapse")
def fell_to_the_head(case: Case) -> Sequence[Trial]:
    """One request reads only the head although the content was only appended to, soon after the one before."""
    pairs = list(zip(case.rows[::2], case.rows[1::2], strict=False))
    if pairs and all({"cached", "written"} <= row.keys() for pair in pairs for row in pair):
        return [_bills(case, number, before, after) for number, (before, after) in enumerate(pairs)]
    return (
        [_collapse(case, calls=2), _collapse(case, calls=30)]
        if case.numbers("written") and case.api == "anthropic"
        else [_collapse(case, calls=2)]
    )


def _bills(case: Case, number: int, before: Any, after: Any) -> Trial:
    """No bodies: what was cached a few seconds ago is not read, and why nobody can know. A request has as many rows as were counted."""
    log, name = Log(case.api), f"s{number}"
    log.send(None, stated(case, before), after=3.0, model=case.model, session=name)
    place = log.send(None, stated(case, after), after=12.0 + 6 * number, model=case.model, session=name)
    case = case if after["cached"] else replace(case, code="")
    copies = max(1, round(case.published.get("rows", 1) / case.published.get("distinct", 1)))
    log.exchanges = [exchange for exchange in log.exchanges for _ in range(copies)]
    could = min(before["cached"] + before["written"], after["cached"] + after["written"]) - after["cached"]
    return log.trial(f"bills of session {number}", [lost(case, copies * (place + 1) - 1, could, verdicts=NOT_THEIRS)])


def _collapse(case: Case, calls: int) -> Trial:
    """``calls`` parallel calls in the turn before: within the look-back it is nobody's fault that shows, beyond it is the look-back's."""
    fall = case.fall(400_000, 18_000)
    head, whole = fall.read, fall.whole - 2_000
    talk = agent(case, head or min(18_000, whole // 3), whole - (head or min(18_000, whole // 3)), 30)
    session = Session(case, replace(talk, ttl="1h"), whole)
    session.warm_up()
    if calls <= 20:
        session.grow(300)
        session.send(after=1_600.0)
    case = case if case.api == "anthropic" and head else replace(case, code="")
    before = session.total
    session.append(_parallel(5_000, calls, 1_700, talking=calls > 20), 1_700)
    extra = {"diagnostics": {"cache_miss_reason": {"type": "previous_message_not_found"}}} if case.published.get("reasons") else {}
    place = session.send(read=head, after=30.0, extra=extra)
    if calls <= 20:
        return session.log.trial("append-only", [lost(case, place, before - head, verdicts=NOT_THEIRS, argued=True)])
    many = Loss(place, frozenset({Cause.BREAKPOINT_LOOKBACK_EXCEEDED}), "", (), near(before - head))
    return session.log.trial("beyond the look-back", [many])

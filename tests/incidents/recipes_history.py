"""Recipes for losses within the history: messages rewritten, moved, inserted, an image replaced, a compaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from holdfast.caches import cache_for
from holdfast.doctor.findings import Cause, Verdict
from tests.incidents.bodies import IMAGE, Json, Place, Talk, assistant, prose, result, rounds, text, tools, user
from tests.incidents.cases import Case, Fall, size_of
from tests.incidents.logs import Log, Loss, Trial, billed, dialect_of
from tests.incidents.registry import recipe
from tests.incidents.sessions import FRESH, Session, agent, fallen, lost, same_start, split, start_of, stated

HEAD = 9_000
HISTORY = 40_000
COMPACTED = frozenset({Cause.COMPACTION})
NOT_CLIENT = frozenset({Cause.SERVER_SIDE_UNEXPLAINED, Cause.PARALLEL_RACE})
STUB = "[Old tool result content cleared]"


def results_of(talk: Talk) -> list[int]:
    """The messages of a talk that are one tool result, in order."""
    return [index for index, message in enumerate(talk.messages) if message["content"][0]["type"] == "tool_result"]


def cleared(talk: Talk, index: int) -> Talk:
    """A talk whose tool result in message ``index`` is blanked."""
    return talk.put(index, user(result(int(talk.messages[index]["content"][0]["tool_use_id"].split("_")[1]), STUB)))


@recipe("messages_rewritten")
def old_message_edited(case: Case) -> Sequence[Trial]:
    """One old message is another at the third request."""
    talk, fall = fallen(case, HEAD + HISTORY, HEAD)
    session = Session(case, talk, fall.whole)
    session.warm_up()
    old, index = session.talk, _place(case, session.talk, fall)
    session.change(old.put(index, user(result(index // 2, prose("another reading", 3_000)))), fall.whole)
    session.grow(400)
    read = _found(case, old, session, fall)
    place = session.send(read=read)
    wanted = lost(case, place, fall.whole - read, [session.path("messages", index)], wide=0.25)
    return [session.log.trial("an old message edited", [wanted])]


def _place(case: Case, talk: Talk, fall: Fall) -> int:
    """The tool result that is edited: the one nearest to what was still read, where that shows the place; else one far up."""
    places = results_of(talk)
    if case.api == "anthropic" or not fall.stated:
        return places[2]
    return min(places, key=lambda index: abs(start_of(talk, index, fall.whole) - fall.read))


def _found(case: Case, before: Talk, session: Session, fall: Fall) -> int:
    """What is still read behind an edit: the head where marks decide, all before the edit where every prefix counts."""
    if fall.stated or case.api == "anthropic":
        return fall.read
    return same_start(before, session.talk, session.total) // 128 * 128


@recipe("messages_rewritten:own_pruning")
def pruned_in_place(case: Case) -> Sequence[Trial]:
    """Old tool results shrink in place: at the transitions that were counted where they were, else at every turn over a threshold."""
    if {"transitions", "breaks", "miss", "miss_on_breaks", "input"} <= case.published.keys():
        return [_breaks(case)]
    return [_rolling(case)]


def _breaks(case: Case) -> Trial:
    """As many transitions as published, so many of which shrink an old result; misses as published, spread evenly."""
    numbers = case.published
    calls, breaks = numbers["transitions"] + 1, numbers["breaks"]
    on_break = numbers["miss_on_breaks"] // breaks
    otherwise = (numbers["miss"] - numbers["miss_on_breaks"]) // (calls - breaks)
    mean = numbers["input"] // calls
    first, each = mean * 2 // 5, mean * 6 // 5 // calls
    session = Session(case, agent(case, first // 4, first - first // 4, 24), first)
    session.send(read=0)
    losses, may, left = [], {}, breaks
    edited: set[int] = set()
    for turn in range(1, calls):
        before = session.total
        session.grow(each)
        if (calls - turn) <= 2 * left and (calls - turn) % 2 == 0:
            left -= 1
            index = _near(session, before - on_break, edited)
            edited.add(index)
            session.change(cleared(session.talk, index), session.total)
            place = session.send(read=(session.total - on_break) // 1024 * 1024)
            losses.append(lost(case, place, before - (session.total - on_break), [session.path("messages", index)], wide=0.3))
        else:
            place = session.send(read=max(0, session.total - otherwise) // 1024 * 1024)
            may[place] = NOT_CLIENT
    return session.log.trial("as many transitions as were counted", losses, may)


def _near(session: Session, tokens: int, edited: set[int]) -> int:
    """The tool result that begins nearest to a place in tokens and was not cleared before."""
    places = [index for index in results_of(session.talk) if index not in edited]
    share = tokens / session.total
    return min(places, key=lambda index: abs(index / len(session.talk.messages) - share))


def pruning(case: Case, turns: int, keep: int, to: int) -> list[tuple[Talk, int | None]]:
    """A session of uniform tool results. Above ``keep`` full ones the oldest are blanked until ``to`` are left.

    Each request with the message that was the first to be blanked at it, ``None`` where none was.
    """
    talk = agent(case, HEAD, 600, 0)
    made, done = [], 0
    for turn in range(turns):
        talk = talk.plus(*rounds("uniform", 2_000, 1, turn))
        places = results_of(talk)
        first = None
        if len(places) - done > keep:
            first = places[done]
            for index in places[done : len(places) - to]:
                talk = cleared(talk, index)
            done = len(places) - to
        made.append((talk.marked_tail() if case.api == "anthropic" else talk, first))
    return made


def _rolling(case: Case) -> Trial:
    """Trigger equals target: from the threshold on every request blanks one more result. Billed by the provider's machine."""
    known = case.api if case.api in ("anthropic", "openai", "deepseek", "google", "xai") else "openai"
    log, cache, losses = Log(case.api), cache_for(known, case.model), []
    before = 0
    for talk, first in pruning(case, 30, 12, 12):
        usage = billed(cache, talk, case.api, log.now + 20.0, responded=log.now + 22.0)
        place = log.send(talk, usage)
        if first is not None:
            losses.append(lost(case, place, before - usage.read, [talk.path(Place("messages", first), dialect_of(case.api))], wide=0.25))
        before = usage.prompt
    return log.trial("one result blanked at every turn", losses)


@recipe("messages_rewritten:thinking_pruned")
def thinking_message_removed(case: Case) -> Sequence[Trial]:
    """A message of expired thinking goes as a whole, so that its two neighbours merge. Steps as the rows state them."""
    rows: list[Any] = [row for row in case.rows if {"cached", "written"} <= row.keys()]
    falls = [place + 1 for place, pair in enumerate(pairwise(rows)) if pair[1]["cached"] < pair[0]["cached"]]
    rows = rows[: falls[0] + 1] if falls else [{"cached": 13_000, "written": 2_000}, {"cached": 12_000, "written": 3_500}]
    head = rows[-1]["cached"]
    log = Log(case.api)
    thought = {"type": "thinking", "thinking": prose("expired thinking", 150), "signature": "EqMBCkYIBxgCKkC" + "Ab9" * 20}
    first = rows[0]["cached"] - head
    begin = (user(f"Refactor the parser. {prose('task', max(8, first - 200))}"), assistant(thought), user(f"Go on. {prose('go on', 30)}"))
    talk = Talk(case.model, tools(head // 2, 12), (prose("system", head - head // 2),), begin)
    log.send(_tail(case, talk), split(case, rows[0]["cached"] + FRESH, 0), after=10.0)
    losses, before = [], rows[0]["cached"]
    for number, row in enumerate(rows):
        talk = talk.plus(*rounds("step", row["written"] if row["cached"] > head else 500, 1, number))
        if row["cached"] == head:
            merged = user(*talk.messages[0]["content"], *talk.messages[2]["content"])
            talk = replace(talk, messages=(merged, *talk.messages[3:]))
        place = log.send(_tail(case, talk), stated(case, row), after=10.0)
        if row["cached"] == head:
            places = [talk.path(Place("messages", index), dialect_of(case.api)) for index in (0, 1)]
            losses.append(lost(case, place, before - head, places, wide=0.25))
        before = row["cached"] + row["written"]
    return [log.trial("thinking pruned", losses)]


def _tail(case: Case, talk: Talk) -> Talk:
    return talk.marked_tail() if case.api == "anthropic" else talk


@recipe("messages_rewritten:sliding_window")
def moving_edit(case: Case) -> Sequence[Trial]:
    """A flat prompt whose read creeps on at a fixed share: from the bills alone, and with bodies in which the oldest rounds fall out."""
    told = len(case.rows) > 3 and all({"prompt_tokens", "cached"} <= row.keys() for row in case.rows)
    return [*([_creeping(case)] if told else []), _window(case)]


def _creeping(case: Case) -> Trial:
    log, losses = Log(case.api), []
    for row in case.rows:
        place = log.send(None, split(case, row["prompt_tokens"], row["cached"]), after=12.0, model=case.model)
        if row["cached"] < 0.5 * row["prompt_tokens"]:
            losses.append(lost(case, place, row["prompt_tokens"] - row["cached"], verdicts=frozenset({Verdict.YOURS, Verdict.UNKNOWN})))
    return log.trial("bills only", losses)


def _window(case: Case) -> Trial:
    """The host keeps the last rounds only: at every request the oldest one falls out behind the task."""
    session = Session(case, agent(case, HEAD, HISTORY, 12), HEAD + HISTORY)
    session.warm_up()
    losses = []
    for _ in range(4):
        before, old = session.total, session.talk
        session.change(replace(old, messages=(old.messages[0], *old.messages[3:])), before)
        session.grow(HISTORY // 12)
        session.total = before
        read = HEAD if case.api == "anthropic" else same_start(old, session.talk, before) // 128 * 128
        place = session.send(read=read)
        losses.append(lost(case, place, before - read, [session.path("messages", 1)], wide=0.25))
    return session.log.trial("the oldest round falls out", losses)


@recipe("messages_rewritten:shape_only")
def other_shape(case: Case) -> Sequence[Trial]:
    """A message that was sent as a list with one marked text block comes back as a bare string of the same text."""
    words = (prose("pasted file", case.published.get("chars", 20_000) // 4) * 2)[: case.published.get("chars", 20_000)]
    messages = (user("Hello."), {"role": "assistant", "content": [text(words)], "listed": True}, user("Go on."))
    talk = Talk(case.model, tools(HEAD, 12), ("You are a coding agent.",), messages)
    size = HEAD + len(words) // 5
    marks = (Place("system", 0), Place("messages", 1), Place("messages", 2))
    session = Session(case, talk.marked(*marks) if case.api == "anthropic" else talk, size)
    session.send()
    bare = talk.put(1, {"role": "assistant", "content": words}).plus(assistant("Done."), user("Thanks, and now?"))
    session.talk, session.total = _tail(case, bare), size + 30
    place = session.send(read=HEAD)
    wanted = lost(case, place, size - HEAD, [session.path("messages", 1)], verdicts=frozenset({Verdict.YOURS}))
    return [session.log.trial("an array replayed as a string", [wanted])]


@recipe("messages_rewritten:tools_arrived_late")
def references_scrubbed(case: Case) -> Sequence[Trial]:
    """Tool references in an old message become a placeholder while the tools are away, and come back at the next request."""
    index, count = case.published.get("message", 6), case.published.get("messages", 85)
    behind = sum(case.published.get("blast_pct", (60, 90))) / 200
    history = int(HEAD * behind / (1 - behind))
    found = [{"type": "tool_reference", "tool_name": f"mcp__tracker__{name}"} for name in ("search", "comment", "close")]
    talk = agent(case, HEAD, history, count // 2)
    talk = talk.put(index, user(result(_call_before(talk, index), found)))
    session = Session(case, talk, HEAD + history)
    session.warm_up()
    whole, original = session.total, session.talk
    absent = user(result(_call_before(talk, index), [text("[Tool references removed: tools not available]")]))
    session.change(original.put(index, absent), whole)
    session.grow(300)
    place = session.send(read=HEAD, after=45.0)
    session.talk, session.total, session.cached = original, whole, whole - FRESH
    session.grow(600)
    session.send(after=30.0)
    wanted = lost(case, place, whole - HEAD, [session.path("messages", index)], wide=0.25)
    return [session.log.trial("scrubbed, then restored", [wanted])]


def _call_before(talk: Talk, index: int) -> int:
    """The number of the call that message ``index`` answers."""
    calls = [part["id"] for part in talk.messages[index - 1]["content"] if part["type"] == "tool_use"]
    return int(calls[0].split("_")[1])


@recipe("messages_rewritten:ephemeral_injection")
def reminders_not_kept(case: Case) -> Sequence[Trial]:
    """The newest user message carries reminders that are gone when it is sent again as history."""
    fall = case.fall(24_000, 13_000)
    head, history = fall.read or 13_000, max(2_000, (fall.after or fall.whole) - fall.read)
    base = Talk(case.model, tools(head // 2, 12), (prose("system", head - head // 2),))
    reminders = [text(f"<system-reminder>{prose(f'reminder {number}', 60)}</system-reminder>") for number in range(2)]
    asked = user(f"Explain this log. {prose('log', history - 400)}")
    log, losses = Log(case.api), []
    kept: tuple[Json, ...] = (asked,)
    for turn in range(4 if case.api == "anthropic" else 2):
        sent = {**kept[-1], "content": [*reminders, *kept[-1]["content"]]}
        talk = _tail(case, replace(base, messages=(*kept[:-1], sent)))
        read, size = (head if turn else 0), head + history + 60 * turn
        place = log.send(talk, split(case, size, read), after=30.0)
        if turn:
            where = talk.path(Place("messages", len(kept) - 3), dialect_of(case.api))
            losses.append(lost(case, place, history, [where], wide=0.5))
        kept = (*kept, assistant(f"It is the disk. {prose(f'answer {turn}', 20)}"), user(f"And then? {prose(f'asked {turn}', 20)}"))
    return [log.trial("reminders sent once", losses)]


@recipe("message_inserted_before_tail")
def inserted_before_the_tail(case: Case) -> Sequence[Trial]:
    """A status message stands in front of the last rounds at the third request, or where the case reads up to."""
    talk, fall = fallen(case, HEAD + HISTORY, HEAD)
    session = Session(case, talk, fall.whole)
    session.warm_up()
    old = session.talk
    index = _place(case, old, fall) + 1 if case.api != "anthropic" and fall.stated else len(old.messages) - 6
    note = user(f"Status: {prose('status', 80)}")
    messages = (*old.messages[:index], note, assistant("Noted."), *old.messages[index:])
    session.change(replace(old, messages=messages), fall.whole + 100)
    session.grow(300)
    read = _found(case, old, session, fall)
    place = session.send(read=read)
    return [session.log.trial("inserted", [lost(case, place, fall.whole - read, [session.path("messages", index)], wide=0.3)])]


@recipe("message_inserted_before_tail:hoisted_system")
def steered(case: Case) -> Sequence[Trial]:
    """A steering text at the end, as a system message in the one log and as the user's in the other: only its role differs."""
    told = case.numbers("hit_pct")
    shares = told if len(told) > 2 else [99, 0, 97]
    trials = []
    for role, share in (("system", shares[1]), ("user", shares[-1])):
        session = Session(case, agent(case, HEAD, HISTORY, 10), HEAD + HISTORY)
        session.warm_up()
        whole = session.total
        session.append((assistant("Working on it."), {"role": role, "content": f"Stop and summarise first. {prose('steer', 40)}"}), 120)
        place = session.send(read=int(session.total * share / 100) // 64 * 64)
        index = len(session.talk.messages) - 1
        losses = [lost(case, place, whole, [session.path("messages", index)])] if role == "system" else []
        trials.append(session.log.trial(f"role {role}", losses))
    return trials


@recipe("image_changed", "image_replaced")
def image_swapped(case: Case) -> Sequence[Trial]:
    """An image in an old message becomes a pointer to a file one request later; all behind it is written again."""
    fall = case.fall(HEAD + HISTORY, HEAD + HISTORY // 3)
    before, read = fall.whole, fall.read if fall.read > 2_000 else fall.whole // 3
    session = Session(case, replace(agent(case, min(HEAD, read // 2), read - min(HEAD, read // 2), 12), ttl="1h"), read)
    session.send()
    where = len(session.talk.messages)
    session.append((assistant("Show me."), user(IMAGE, "This is what I see.")), 1_500)
    session.send()
    session.append(rounds("behind", before - read - 1_500, 4, 100), before - read - 1_500)
    session.send()
    session.change(session.talk.put(where + 1, user("[Image: /tmp/paste-1.png]", "This is what I see.")), before - 1_500)
    session.grow(max(200, fall.after - session.total))
    place = session.send(read=read)
    wanted = lost(case, place, before - read, [session.path("messages", where + 1)], wide=0.15 if before > 20_000 else 0.4)
    return [session.log.trial("an image becomes a pointer", [wanted])]


@recipe("compaction")
def compacted(case: Case) -> Sequence[Trial]:
    """The history gives way to a summary, once; the head is still read."""
    talk, fall = fallen(case, HEAD + HISTORY, HEAD)
    session = Session(case, talk, fall.whole)
    session.warm_up()
    summary = user(f"This session is continued from an earlier one. Summary: {prose('summary', 1_500)}")
    session.change(replace(session.talk, messages=(summary, *session.talk.messages[-2:])), fall.read + fall.whole // 6)
    place = session.send(read=fall.read)
    wanted = Loss(place, COMPACTED, places=(session.path("messages", 0),), tokens=(0, fall.whole))
    return [session.log.trial("compacted", [wanted])]


@recipe("compaction_request_prefix")
def summariser(case: Case) -> Sequence[Trial]:
    """The request for a summary goes out under another system prompt. Rows: the turn before it, it, and the turns after."""
    rows = [row for row in case.rows if "cached" in row]
    if len(rows) > 1 and rows[0]["cached"] > rows[1]["cached"]:
        return [_episode(case, 0, rows[0]["cached"], rows[0].get("prompt_tokens"), rows[1], rows[2:])]
    alone = [row for row in rows if 2 * row["cached"] < size_of(row) or not row["cached"]] or [{}]
    return [_episode(case, number, max(40_000, 2 * (size_of(row) if row else 0)), None, row, ()) for number, row in enumerate(alone)]


def _episode(case: Case, number: int, warm: int, prompt: int | None, row: Any, after: Sequence[Any]) -> Trial:
    """One compaction: a warm turn, the request for a summary as its row has it, the turns that follow."""
    shared = row.get("cached") or 0
    prompt = prompt or warm + 400
    after = [follow for follow in after if follow["cached"] < warm // 2]
    head = 60 if shared else after[0]["cached"] if after else min(12_000, warm // 3)
    common = prose(f"common head {number}", shared)
    talk = agent(case, head, prompt - head - shared, 16)
    if shared:
        talk = replace(talk, tools=(), system=(f"{common}\n{talk.system[0]}",))
    session = Session(case, talk, prompt)
    session.warm_up()
    size = row.get("prompt_tokens") or (row["written"] + (row.get("uncached") or 0) + shared if row.get("written") else prompt - head)
    other = _tail(case, _asking(case, session.talk, common if shared else "", size))
    usage = split(case, size, shared, fresh=row.get("uncached") or FRESH)
    place = session.log.send(other, usage, answer=assistant(prose("summary", 200)))
    could = (min(size, warm) - shared) * 0.8, (max(size, prompt) - shared) * 1.1
    losses, may = [Loss(place, frozenset({Cause(case.cause)}), case.code, tokens=could, verdicts=frozenset({Verdict.YOURS}))], {}
    session.talk = replace(session.talk, messages=(user(f"Summary of the conversation so far: {prose('summary', 200)}"),))
    session.total = shared + head + 220
    for step, follow in enumerate(after):
        nearby = [later["cached"] + 90 for later in after[step + 1 : step + 2]]
        size = follow.get("prompt_tokens") or (nearby or [follow["cached"] + 2_500])[0]
        session.append(rounds(f"after {step}", size - session.total, 1, 500 + step), size - session.total)
        may[session.send(read=follow["cached"])] = COMPACTED if step == 0 else frozenset[Cause]()
    return session.log.trial(f"compaction {number}", losses, may)


def _asking(case: Case, talk: Talk, common: str, size: int) -> Talk:
    """The request for a summary: under another system prompt, the history as it is where a head is shared, else in words of one message."""
    ask = f"Write a summary of the conversation for its continuation. {prose('headings', 60)}"
    role = "You are a summariser of conversations."
    if common:
        return replace(talk, system=(f"{common}\n{role}",), messages=(*talk.messages, assistant("I see."), user(ask)))
    return Talk(case.model, (), (role,), (user(f"{_serialised(talk, size - 120)}\n\n{ask}"),))


def _serialised(talk: Talk, tokens: int) -> str:
    """A conversation as the text of one message of about so many tokens: long messages are cut."""
    said = [(message["role"], " ".join(_words(part) for part in message["content"])) for message in talk.messages]
    wanted = tokens * sum(len(words) for _, words in said) // sum(len(words.split()) for _, words in said)
    each = 64
    while each < 1_000_000 and sum(min(each, len(words)) for _, words in said) < wanted:
        each += each // 8
    return "\n".join(f"[{role}]: {words[:each]}" for role, words in said)


def _words(part: Json) -> str:
    return str(part.get("text") or part.get("content") or part.get("input") or "")

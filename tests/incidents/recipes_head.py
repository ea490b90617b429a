"""Recipes for losses at the head of a request: the system prompt, the tools, the settings, the account."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from holdfast.doctor.findings import Cause
from tests.incidents.bodies import Json, Place, Talk, assistant, prose, tool, tools, user
from tests.incidents.cases import Case, Fall
from tests.incidents.logs import Log, Loss, Trial, dialect_of
from tests.incidents.registry import recipe
from tests.incidents.sessions import FRESH, Session, agent, fallen, length, lost, split

HISTORY = 24_000
HEAD = 9_000
SYSTEM = Place("system", 0)


def _mended(talk: Talk, index: int, words: str) -> Talk:
    system = list(talk.system)
    system[index] = words
    return replace(talk, system=tuple(system))


def _headed(case: Case) -> tuple[Talk, Fall]:
    """A conversation of which just the tools are read where a case states a read; then Anthropic's carries a mark on the last of them."""
    fall = case.fall(HEAD + HISTORY, 0)
    head = max(min(HEAD, fall.whole // 2), fall.read + fall.read // 4)
    talk = agent(case, head, max(1_000, fall.whole - head), 8, tool_share=fall.read / head if fall.read > 500 else 0.5)
    if case.api == "anthropic" and fall.read > 500:
        talk = talk.marked(Place("tools", -1), *talk.marks)
    return talk, fall


@recipe("system_changed")
def system_edited(case: Case) -> Sequence[Trial]:
    """One sentence in the middle of the system prompt is another at the third request."""
    talk, fall = _headed(case)
    session = Session(case, talk, fall.whole)
    session.warm_up()
    words = session.talk.system[0]
    half = words.index(" ", len(words) // 2)
    session.change(_mended(session.talk, 0, f"{words[:half]} Today the branch is release. {words[half:]}"), fall.whole)
    session.grow(400)
    read = fall.read if fall.stated or case.api == "anthropic" else _tools_end(session)
    place = session.send(read=read)
    return [session.log.trial("one sentence edited", [lost(case, place, fall.whole - read, [session.path("system", 0)])])]


def _tools_end(session: Session) -> int:
    """What a cache of whole prefixes still reads of a request whose system prompt is another: the tools."""
    return round(session.total * length(replace(session.talk, system=(), messages=())) / length(session.talk)) // 128 * 128


@recipe("system_changed:timestamp")
def clock_in_the_system_prompt(case: Case) -> Sequence[Trial]:
    """The system prompt tells the time; each row is one request. A row noted as the first after the clock was moved is not judged."""
    log, losses, may, prior = Log(case.api), [], {}, 0
    pairs: list[Json] = []
    first = case.api == "anthropic"
    rows: Sequence[Mapping[str, Any]] = case.rows if len(case.rows) > 1 else ({}, {}, {})
    for index, row in enumerate(rows):
        read = row.get("cached", 0)
        usual = case.first("prompt_tokens", HEAD) + 80 * index
        prompt = row.get("prompt_tokens") or (read + row["written"] + FRESH if row.get("written") else usual)
        if read > 0.7 * prompt:
            continue
        moved = re.search(r"\bmov(ed|ing)\b", row.get("note") or "") is not None
        clock = "" if moved else f"The current time is {datetime.fromtimestamp(log.now + 14 * index, UTC):%H:%M:%S}."
        size = (prompt if first else case.first("prompt_tokens", HEAD)) - 20 * (index + 1 if first else 1)
        before = 0 if first else max(size // 8, *(cached for cached in (0, *case.numbers("cached")) if cached < size // 2))
        stable = prose("assistant rules", size - before)
        words = f"{clock} {stable}".strip() if first else f"{stable}\n{clock}".strip()
        made = () if first else tools(before, 8)
        pairs = [*pairs, user(f"Question {index}: is the light on?" + (f" It is {index} o'clock." if moved else ""))]
        talk = Talk(case.model, made, (words,), tuple(pairs))
        talk = talk.marked_tail() if case.api == "anthropic" else talk
        usage = split(case, prompt, read, fresh=prompt - read - row.get("written", prompt - read - FRESH))
        place = log.send(talk, usage, after=10.0)
        if moved:
            may[place] = {Cause.SYSTEM_CHANGED}
        elif place:
            losses.append(lost(case, place, min(prompt, prior) - read, [talk.path(SYSTEM, dialect_of(case.api))], wide=0.3))
        prior = prompt
        pairs.append(assistant("It is."))
    return [log.trial("the clock", losses, may)]


@recipe("system_changed:client_version")
def two_clients(case: Case) -> Sequence[Trial]:
    """A live session of one client, in which an older one takes a turn whenever a row says so: each such turn writes everything."""
    rows = [row for row in case.rows if row.get("written", 0) > max(5_000, row.get("cached", 0))] or [{"cached": HEAD, "written": 200_000}]
    whole = rows[0].get("cached", 0) + rows[0]["written"]
    head, size = rows[0].get("cached", 0) or whole // 5, whole * 99 // 100
    session = Session(case, agent(case, head, size - head, 40), size, headers={"user-agent": "claude-cli/2.1.210"})
    live = session.talk.system[0].replace("You are", "Client version 2.1.210. You are", 1)
    session.change(_mended(session.talk, 0, live), size)
    session.warm_up()
    losses = []
    for number, row in enumerate(rows):
        build = f"2.0.{14 + number}"
        older, before = live.replace("2.1.210", build, 1), session.total
        session.grow(max(300, row.get("cached", 0) + row["written"] - session.total))
        mine = session.talk
        session.talk = _mended(mine, 0, older)
        place = session.send(read=row.get("cached", 0), after=12.0, extra=_official(row), headers={"user-agent": f"claude-cli/{build}"})
        least = min(row.get("cache_missed_input_tokens") or row["written"], before - row.get("cached", 0))
        losses.append(
            Loss(
                place,
                frozenset({Cause.SYSTEM_CHANGED}),
                case.code,
                (session.path("system", 0),),
                (least * 0.9, max(least, row["written"]) * 1.1),
            )
        )
        session.talk, session.cached = mine, before
        session.grow(300)
        session.send(after=150.0)
    return [session.log.trial("two client versions", losses)]


def _official(row: Any) -> dict[str, Any]:
    if not row.get("official"):
        return {}
    reason = {"type": row["official"]}
    if row.get("cache_missed_input_tokens"):
        reason["cache_missed_input_tokens"] = row["cache_missed_input_tokens"]
    return {"diagnostics": {"cache_miss_reason": reason}}


@recipe("system_changed:dropped")
def system_left_out(case: Case) -> Sequence[Trial]:
    """The second turn runs without the caller's system prompt in the one log, and with it in the other."""
    wrote = sorted(case.numbers("written"), reverse=True)
    whole, again = (wrote[0], wrote[-1]) if len(wrote) > 1 else (HEAD, 120)
    trials = []
    for name, drops in (("left out", True), ("sent again", False)):
        prompt = whole - again
        own = f"You are the house style checker. {prose('own instructions', prompt - 200)}"
        talk = Talk(case.model, (), (own,), (user(f"Check this paragraph. {prose('paragraph', 120)}"),)).marked_tail()
        session = Session(case, talk, prompt + FRESH)
        session.send()
        session.append((assistant("No faults found."), user("And this one? " + prose("next", again - 30))), again)
        if drops:
            default = f"You are an interactive agent that helps with software tasks. {prose('default prompt', prompt - 200)}"
            session.change(replace(session.talk, system=(default,)), whole + FRESH)
        place = session.send(read=0 if drops else None)
        losses = [lost(case, place, prompt, [session.path("system")])] if drops else []
        trials.append(session.log.trial(name, losses))
    return trials


@recipe("tools_changed")
def tools_modified(case: Case) -> Sequence[Trial]:
    """One tool's description is another at the second request; the system text behind it is the same."""
    if case.numbers("cached") and max(case.numbers("cached")) > 0:
        return [_one_tool(case)]
    wrote = case.numbers("written") or [HEAD, HEAD + 60]
    wrote = wrote if len(wrote) > 1 and max(wrote) < 2 * min(wrote) else [max(wrote), max(wrote) + 60]
    system = f"You are a helper. {prose('system', wrote[0] // 8)}"
    log, pairs, losses, prior = Log(case.api), [user("What is due today?")], [], 0
    made = list(tools(wrote[0] - wrote[0] // 8, 6))
    for index, size in enumerate(wrote):
        if index:
            longer = f"{made[2]['description']} Since the last release it also {prose(f'reads {index}', max(4, size - prior))}."
            made[2] = {**made[2], "description": longer}
            pairs += [assistant("Two things."), user("And tomorrow?")]
        talk = Talk(case.model, tuple(made), (system,), tuple(pairs))
        talk = talk.marked(SYSTEM) if case.api == "anthropic" else talk
        place = log.send(talk, split(case, size + 12 * len(pairs), 0, fresh=12 * len(pairs)))
        if index:
            losses.append(lost(case, place, prior, ["tools[2]"]))
        prior = size
    return [log.trial("one tool modified", losses)]


def _one_tool(case: Case) -> Trial:
    """A warm conversation one of whose tools changes: the one behind what was still read."""
    fall = case.fall(HEAD + HISTORY, 0)
    many, each = 12, max(400, fall.read // 4)
    index = min(many - 1, round(fall.read / each))
    head = many * each * 9 // 8
    talk = agent(case, head, max(1_000, fall.whole - head), 8, tool_share=0).marked_tail()
    talk = replace(talk, tools=tools(many * each, many), marks=talk.marks if case.api == "anthropic" else ())
    if case.api == "anthropic" and index:
        talk = talk.marked(Place("tools", index - 1), *talk.marks)
    session = Session(case, talk, max(fall.whole, head + 1_000))
    session.warm_up()
    whole, made = session.total, session.talk.tools
    other = {**made[index], "description": f"{made[index]['description']} In a sandbox only."}
    session.change(replace(session.talk, tools=(*made[:index], other, *made[index + 1 :])), whole)
    session.grow(400)
    place = session.send(read=fall.read)
    return session.log.trial("one tool modified", [lost(case, place, whole - fall.read, [f"tools[{index}]"])])


@recipe("tools_changed:appended_or_edited")
def tools_drift(case: Case) -> Sequence[Trial]:
    """A tool appended loses next to nothing, a description edited all that stands behind it: as recorded, and on a larger request."""
    told = " ".join(row.get("note", "") for row in case.rows)
    recorded = "append" in told and "edit" in told and all("prompt_tokens" in row and "cached" in row for row in case.rows)
    return [*([_drift_as_recorded(case)] if recorded else []), _drift(case, edited=True), _drift(case, edited=False)]


def _drift_as_recorded(case: Case) -> Trial:
    log, small = Log(case.api), tools(case.first("prompt_tokens", 750) - 100, 8)
    asked = (user("Say ok."),)
    plain, more = Talk(case.model, small, ("Answer briefly.",), asked), (*small, tool("zip_files", 60))
    last = {**small[-1], "description": "Writes a file, but only inside the project."}
    drift = {"appended": replace(plain, tools=more), "edited": replace(plain, tools=(*small[:-1], last))}
    talk, may = plain, {}
    for row in case.rows:
        words = row.get("note") or ""
        talk = next((changed for word, changed in drift.items() if word in words), talk if "same" in words else plain)
        place = log.send(talk, split(case, row["prompt_tokens"], row["cached"]), after=8.0)
        if "edited" in words:
            may[place] = {Cause.TOOLS_CHANGED}
    return log.trial("as recorded: no append is a full miss", may=may)


def _drift(case: Case, edited: bool) -> Trial:
    head = 20_000
    session = Session(case, agent(case, head, 3_000, 2, tool_share=0.9), head + 3_000)
    session.warm_up()
    made = session.talk.tools
    changed = (made[0], {**made[1], "description": "Another wording. " + made[1]["description"]}, *made[2:])
    session.talk = replace(session.talk, tools=changed if edited else (*made, tool("zip_files", 120)))
    before, kept = session.total, int(head * 0.9)
    read = int(kept / len(made)) // 128 * 128 if edited else kept // 128 * 128
    place = session.send(read=read)
    if edited:
        return session.log.trial("a description edited", [lost(case, place, before - read, ["tools[1]"])])
    return session.log.trial("a tool appended", [lost(case, place, before - read, [f"tools[{len(made)}]"])])


@recipe("tools_reordered")
def tools_in_another_order(case: Case) -> Sequence[Trial]:
    """The same tools in reverse order; then a request whose ``tool_choice`` keeps the tools from being rendered at all."""
    prompt = case.first("prompt_tokens", 8_000)
    made, asked = tools(prompt - 60, 30), (user("Say ok."),)
    talk, log = Talk(case.model, made, ("Answer briefly.",), asked), Log(case.api)
    talk = talk.marked_tail() if case.api == "anthropic" else talk
    log.send(talk, split(case, prompt, 0))
    log.send(talk, split(case, prompt, prompt // 64 * 64 if case.api != "anthropic" else prompt - FRESH))
    place = log.send(replace(talk, tools=tuple(reversed(made))), split(case, prompt, 0))
    losses, may = [lost(case, place, prompt, ["tools"])], {}
    small = min(case.numbers("prompt_tokens") or [prompt])
    if small < prompt:
        bare = log.send(talk.set(tool_choice="none"), split(case, small, 0))
        may[bare] = {Cause.TOOL_CHOICE_CHANGED, Cause.BELOW_MINIMUM}
    return [log.trial("reversed", losses, may)]


@recipe("serialization_order")
def keys_in_another_order(case: Case) -> Sequence[Trial]:
    """A gateway writes the keys of each tool in an order of its own at every request; sent directly, the same body always hits."""
    (direct_hits, direct_all), (hits, requests) = case.published.get("direct", (5, 5)), case.published.get("via", (1, 5))
    prompt, made = HEAD, tools(HEAD - 400, 8)
    base = Talk(case.model, made, (f"Answer briefly. {prose('system', 300)}",), (user("Say ok."),)).marked_tail()
    direct, via = Log(case.api), Log(case.api)
    for number in range(direct_all + 1):
        direct.send(base, split(case, prompt, prompt - FRESH if number else 0), after=6.0)
    shuffled, losses = random.Random(7), []
    via.send(base, split(case, prompt, 0))
    for number in range(requests):
        hit = number >= requests - hits
        talk = base if hit else replace(base, tools=tuple(_shuffled(item, shuffled, number) for item in made))
        place = via.send(talk, split(case, prompt, prompt - FRESH if hit else 0), after=6.0)
        if not hit:
            losses.append(lost(case, place, prompt, ["tools["]))
    assert direct_hits == direct_all
    return [direct.trial("sent directly"), via.trial("through the gateway", losses)]


def _shuffled(value: Json, chance: random.Random, turn: int) -> Json:
    """The same JSON with its keys in another order: never that in which they came."""
    if not isinstance(value, dict):
        return value
    keys = list(value)
    while len(keys) > 1 and keys == list(value):
        chance.shuffle(keys)
    return {key: _shuffled(value[key], chance, turn) for key in keys}


def _setting(case: Case, part: str, before: dict[str, Json], after: dict[str, Json], head_lives: bool) -> Sequence[Trial]:
    talk, fall = fallen(case, HEAD + HISTORY, HEAD if head_lives else 0)
    session = Session(case, talk.set(**before), fall.whole)
    session.warm_up()
    session.change(session.talk.set(**after), fall.whole)
    session.grow(400)
    place = session.send(read=fall.read)
    return [session.log.trial(f"another {part}", [lost(case, place, fall.whole - fall.read, wide=0.2)])]


@recipe("model_changed")
def other_model(case: Case) -> Sequence[Trial]:
    """Another model answers from the third request on."""
    other = "claude-sonnet-4-6" if case.api == "anthropic" else "gpt-5" if case.api == "openai" else f"{case.model}-2"
    return _setting(case, "model", {}, {"model": other}, head_lives=False)


@recipe("tool_choice_changed")
def other_tool_choice(case: Case) -> Sequence[Trial]:
    """The tool choice changes at the third request; at Anthropic tools and system are still read."""
    pair = ({"type": "auto"}, {"type": "any"}) if case.api == "anthropic" else ("auto", "required")
    return _setting(case, "tool choice", {"tool_choice": pair[0]}, {"tool_choice": pair[1]}, head_lives=case.api == "anthropic")


@recipe("thinking_changed")
def other_thinking(case: Case) -> Sequence[Trial]:
    """Thinking is switched on at the third request; at Anthropic tools and system are still read."""
    if case.api == "anthropic":
        return _setting(case, "thinking", {"thinking": {"type": "disabled"}}, {"thinking": {"type": "adaptive"}}, head_lives=True)
    return _setting(case, "thinking", {"thinking": {"type": "disabled"}}, {"thinking": {"type": "enabled"}}, head_lives=False)


@recipe("effort_changed")
def other_effort(case: Case) -> Sequence[Trial]:
    """The effort changes at the third request; at Anthropic tools and system are still read."""
    if case.api == "anthropic":
        low, high = ({"output_config": {"effort": effort}} for effort in ("low", "high"))
        return _setting(case, "effort", low, high, head_lives=True)
    return _setting(case, "effort", {"reasoning_effort": "low"}, {"reasoning_effort": "high"}, head_lives=False)


@recipe("account_or_scope_changed")
def other_account(case: Case) -> Sequence[Trial]:
    """The same bytes under another account, then under the first again; or at another endpoint, where one row is all there is."""
    wrote = case.first("written", case.published.get("prefix", HEAD))
    session = Session(case, agent(case, wrote, 300, 1), wrote + FRESH)
    if len(case.rows) < 2:
        session.send()
        place = session.send(read=0, after=1.0, took=60.0, endpoint="/v1/messages/batches")
        return [session.log.trial("a batch", [lost(case, place, wrote)])]
    session.send(account="org-x")
    place = session.send(read=0, after=30.0, account="org-y")
    session.send(after=30.0, account="org-x")
    return [session.log.trial("another account", [lost(case, place, wrote)])]


@recipe("settings_changed")
def other_setting(case: Case) -> Sequence[Trial]:
    """A setting that belongs to the key and has no cause of its own: fast mode, or the form of the answer."""
    form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": {"type": "object"}}}
    after: dict[str, Json] = {"speed": "fast"} if case.api == "anthropic" else {"response_format": form}
    return _setting(case, "setting", {}, after, head_lives=False)

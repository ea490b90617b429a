"""The parts of a digest that tell the story: the goal, what was asked and reported, what was decided, where things stand."""

from __future__ import annotations

import re
from collections.abc import Set

from holdfast_strategies.digest.fit import Item, Section
from holdfast_strategies.digest.session import Request, Session
from holdfast_strategies.words import clipped, is_chatter, sentences, shortened

_RULES_STAND = 4_000
"""Characters of a message in which a standing instruction is looked for: what is longer is material."""

_RULE = re.compile(
    r"\b(?:always|never|don't|do not|must|only|should|instead|make sure|remember|please|no need|avoid|keep|without|prefer)\b", re.IGNORECASE
)
_WEIGHTY = re.compile(
    r"\b(?:root cause|the (?:issue|problem|bug|cause|reason|fix|key|culprit)|found (?:it|the|that|a)|turns out|decided"
    r"|instead of|rather than|because|confirmed|caused by|fails? (?:because|when)|doesn't|does not|never|cannot|can't|must"
    r"|need(?:s|ed)? to|works? (?:because|by)|approach|trade-?off|option \w+|design|conclusion|therefore|means that|so that"
    r"|actually|already|important|unfortunately|however)\b",
    re.IGNORECASE,
)
_BRIEF = 100  # characters; longer words said again and again are told once, where they were said last
_HEADING = re.compile(r"^#+ +|\n(?=\n)", re.MULTILINE)
_FENCED = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)


def goal(session: Session, pinned: Set[int]) -> Section:
    """What it is all about, where that does not stand in the prompt anyway, and what an earlier compaction left."""
    items = [Item(-1, 2, shortened(text, 6_000), shortened(text, 2_000)) for index, text in session.summaries[-1:] if index not in pinned]
    if session.heard and session.heard[0][0] not in pinned:
        words = session.heard[0][1]
        items.append(Item(0, 3, quoted(shortened(words, 3_000)), quoted(shortened(words, 800))))
    return Section("Goal", items, 0.15)


def story(session: Session, pinned: Set[int]) -> Section:
    """What the user said, verbatim and in order, and how the assistant reported on it."""
    items: list[Item] = []
    requests = session.requests
    newest = {request.words: place for place, request in enumerate(requests)}
    for place, request in enumerate(requests):
        age = len(requests) - place
        if request.index not in pinned and place:
            if len(request.words) <= _BRIEF or newest[request.words] == place:
                items.append(_instruction(request, place, age))
        elif request.report:
            items.append(Item(0, 0, "1. (the user's first message)"))
        if request.report and place < len(requests) - 1:
            items.append(_report(request, place, age))
    return Section("What the user asked, verbatim, and what came of it", items, 0.34)


def _instruction(request: Request, place: int, age: int) -> Item:
    value = 100 - age + 20 * bool(_RULE.search(request.words[:_RULES_STAND])) - 10 * (len(request.words) > 1_500)
    to = ""
    if len(request.words) <= 40:
        question = next((one for one in reversed(sentences(request.asked)) if one.endswith("?")), "")
        to = f" (answering “{clipped(question, 160)}”)" if question else ""
    head = f"{place + 1}. User: "
    return Item(2 * place, value, head + quoted(shortened(request.words, 1_500)) + to, head + quoted(shortened(request.words, 240)))


def unsaid(session: Session, pinned: Set[int], summary: str) -> Section:
    """What the user said and a summary does not hold word for word."""
    said = [(place, request) for place, request in enumerate(session.requests) if request.index not in pinned]
    flat = " ".join(summary.split())
    missing = [(place, request) for place, request in said if " ".join(shortened(request.words, 1_500).split()) not in flat]
    items = [_instruction(request, place, len(said) - place) for place, request in missing]
    return Section("What else the user said, verbatim", items, 1.0)


def _report(request: Request, place: int, age: int) -> Item:
    text = _FENCED.sub("[…code…]", request.report)
    full = shortened(_HEADING.sub("", text), 700 if age <= 4 else 400)
    return Item(2 * place + 1, 60 - age, f"   → {quoted(full)}", f"   → {quoted(clipped(text, 160))}")


def decisions(session: Session) -> Section:
    """What the assistant found out and decided, in its own words, other than in its reports."""
    reports = {request.report_index for request in session.requests}
    last = session.said[-1][0] if session.said else -1
    items: list[Item] = []
    seen: set[str] = set()
    for index, text in session.said:
        if index in reports or index == last:
            continue
        for sentence in sentences(_FENCED.sub("", text).replace("THOUGHT:", "")):
            weight = len(_WEIGHTY.findall(sentence)) - 2 * is_chatter(sentence)
            if weight > 0 and 30 <= len(sentence) <= 400 and sentence not in seen:
                seen.add(sentence)
                items.append(Item(index, weight + 3 * index / session.stop, f"- {clipped(sentence, 300)}"))
    return Section("Findings and decisions, in the assistant's words", items, 0.12)


def standing(session: Session) -> Section:
    """Where things stand: the last steps, and the newest words of the assistant."""
    items = []
    for order, act in enumerate(session.acts[-6:]):
        outcome = session.outcome(act)
        how = "" if act.verb not in ("run", "edit", "write") else f" → {outcome.phrase}" if act.result is not None else " → no result yet"
        items.append(Item(order, order, f"- {session.brief(act.named(160))}{how}"))
    if session.requests and not session.requests[-1].done:
        number, request = len(session.requests), session.requests[-1]
        words = "the user's first message" if number == 1 else f"{number}, {quoted(clipped(request.words, 120))}"
        items.append(Item(-1, 9, f"Still being worked on: {words}"))
    if session.said:
        text = _FENCED.sub("[…code…]", session.said[-1][1])
        newest = "The assistant's newest words before this point: "
        items.append(Item(10, 10, newest + quoted(shortened(text, 2_500)), newest + quoted(shortened(text, 600))))
    return Section("Where things stand", items, 0.14)


def quoted(text: str) -> str:
    """A text in quotation marks that will not be mistaken for its own."""
    return f"“{text}”"

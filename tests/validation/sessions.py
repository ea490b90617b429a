"""Recorded sessions made step by step, and what is said of each of their requests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import strategies as st

from holdfast.blocks import Block, Kind, Message, Prompt, Role, Settings, Window, make_block
from holdfast.pricing import Prices
from holdfast.transcript import Transcript, Turn
from holdfast.usage import Usage
from holdfast.validation.check import MARKED, STEPS, predictor_of
from holdfast.validation.reasons import Explainer, Explanation
from holdfast.validation.sight import Prediction, Predictor, sights
from holdfast.wire import of

OPUS = "claude-opus-4-5-20251101"
SONNET = "claude-sonnet-4-5-20250929"
HAIKU = "claude-haiku-4-5-20251001"
MARKED_MODELS = (OPUS, SONNET, HAIKU)
AUTOMATIC_MODELS = ("gpt-5.4", "deepseek-chat", "gemini-3-pro-preview")
START = 1_770_000_000.0
FRESH = 3


@dataclass(frozen=True)
class Step:
    """One request. ``grow`` is how many tokens its prompt has more than the one before on its line, ``total`` its prompt where that says
    something else; ``read`` what was read (``None``: all that the request before left). ``user`` says that a user's words came, and no
    results of tools.

    A new ``line`` begins with the first ``kept`` messages of the line ``fork`` and a message of its own.
    """

    user: bool = False
    grow: int = 1_000
    pause: float = 20.0
    read: int | None = None
    total: int = 0
    line: str = "main"
    fork: str = ""
    kept: int = 0
    model: str = OPUS
    hour: bool = False
    signs: tuple[str, ...] = ("client 2.1.30", "thinking off")
    effort: str | None = None
    loads: bool = False
    tools: tuple[str, ...] = ()
    lasts: float = 1.0
    output: int = 100


@dataclass
class Line:
    """A line of requests while it is being made: its messages, and the tokens of its last prompt and of what that left."""

    log: list[Message] = field(default_factory=list)
    total: int = 0
    held: int = 0


def said(number: int) -> dict[str, Any]:
    """A user's words."""
    return {"role": "user", "content": [{"type": "text", "text": f"words {number}"}]}


def results(number: int, loads: bool = False) -> dict[str, Any]:
    """A tool's result; one that ``loads`` refers to a deferred tool."""
    content: Any = [{"type": "tool_reference", "tool_name": f"Tool{number}"}] if loads else f"result {number}"
    return {"role": "user", "content": [{"type": "tool_result", "tool_use_id": f"call-{number}", "content": content}]}


def answered(number: int, calls: bool) -> dict[str, Any]:
    """What the model said before request ``number``."""
    block = (
        {"type": "tool_use", "id": f"call-{number}", "name": "Look", "input": {}} if calls else {"type": "text", "text": f"answer {number}"}
    )
    return {"role": "assistant", "content": [block]}


def recorded(steps: Sequence[Step], form: str = "claude-code") -> Transcript:
    """The transcript of these requests. A step says nothing of those that follow it, so the first steps make the first turns."""
    read, lines, now = of("anthropic").read_message, dict[str, Line](), START
    turns: list[Turn] = []
    for number, step in enumerate(steps):
        now += step.pause
        line = lines.get(step.line)
        opening = line is None
        if line is None:
            source = lines.get(step.fork)
            line = lines[step.line] = Line(list(source.log[: step.kept]) if source else [], source.total if source else 0)
        else:
            line.log.append(read(answered(number, not step.user)))
        loop = not (opening or step.user)
        line.log.append(read(results(number, step.loads) if loop else said(number)))
        line.total = step.total or max(1, line.total + step.grow)
        usage = billed(line, step)
        line.held = usage.read + usage.written
        head = tuple(tool(name) for name in step.tools)
        prompt = Prompt(Settings(model=step.model, effort=step.effort), head, Window(line.log, len(line.log)))
        turns.append(Turn(step.line, prompt, now, now + step.lasts, None, usage, request=f"msg_{number}", signs=step.signs))
    return Transcript("made.jsonl", form, "anthropic", tuple(turns))


def billed(line: Line, step: Step) -> Usage:
    """What such a request is recorded to have cost: what was not read was written, but for a few tokens."""
    read = min(line.held if step.read is None else step.read, line.total)
    fresh = min(FRESH, line.total - read)
    rest = line.total - read - fresh
    return Usage(fresh, read, 0 if step.hour else rest, rest if step.hour else 0, output=step.output)


def tool(name: str) -> Block:
    """A tool's definition."""
    return make_block(Kind.TOOL, Role.TOOLS, {"name": name, "input_schema": {}}, name)


def judged(transcript: Transcript) -> Iterator[tuple[Turn, Prediction, Explanation]]:
    """Each billed request, with what was predicted before it was told, and why the record differs (asked of those that agree as well)."""
    prices = Prices.load()
    lanes: dict[str, tuple[Predictor, Explainer]] = {}
    for sight, turn in sights(transcript):
        if turn.usage is None or not turn.usage.prompt:
            continue
        price = prices.find(turn.model)
        if price.provider not in lanes:
            explainer = Explainer(STEPS.get(price.provider, 1), best_effort=price.provider not in MARKED)
            lanes[price.provider] = predictor_of(price.provider, price.model), explainer
        predictor, explainer = lanes[price.provider]
        prediction = predictor.predict(sight)
        yield turn, prediction, explainer.explain(sight, turn, prediction)
        predictor.learn(sight, turn)
        explainer.learn(sight, turn)


def last(steps: Sequence[Step]) -> tuple[Turn, Prediction, Explanation]:
    """What is said of the last request."""
    return list(judged(recorded(steps)))[-1]


@st.composite
def sessions(draw: st.DrawFn, models: Sequence[str] = MARKED_MODELS, least: int = 2) -> list[Step]:
    """Requests of a session: pauses, compactions, forks, agents, switches of model, thinking and lifetime, reads of any size."""
    steps: list[Step] = []
    current, count, compactions = "main", {"main": 0}, 0
    for _ in range(draw(st.integers(least, 12))):
        what = draw(st.sampled_from(["on", "on", "on", "user", "compact", "fork", "agent", "back"]))
        step = Step(user=what == "user")
        if what == "compact" and steps:
            compactions += 1
            current = f"main/{compactions + 1}"
            step = Step(total=draw(st.integers(5_000, 40_000)), signs=("client 2.1.30", "thinking off", "compacted"))
        elif what == "fork" and steps:
            compactions += 1
            kept = draw(st.integers(0, count[current]))
            step, current = Step(fork=current, kept=kept), f"main/{compactions + 1}"
        elif what == "agent" and steps:
            current = f"agent:{draw(st.sampled_from('ab'))}"
        elif what == "back" and steps:
            current = draw(st.sampled_from(sorted(count)))
        grow = draw(st.integers(-3_000, 9_000)) if count.get(current) else draw(st.integers(500, 60_000))
        count[current] = count.get(current, 0) + 2
        steps.append(
            replace(
                step,
                line=current,
                grow=grow,
                pause=draw(st.sampled_from([0.0, 2.0, 40.0, 200.0, 400.0, 3_000.0, 4_000.0, 90_000.0])),
                read=draw(st.none() | st.integers(0, 80_000)),
                model=draw(st.sampled_from(models)) if draw(st.integers(0, 9)) == 0 else models[0],
                hour=draw(st.booleans()),
                loads=draw(st.booleans()),
                signs=(*step.signs, *draw(st.sampled_from([(), ("interrupted",), ("thinking on",)]))),
            )
        )
    return steps

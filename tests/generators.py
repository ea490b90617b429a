"""Conversations as callers have them: growing request bodies in each dialect, and what callers do to them.

``scripts()`` draws whole conversations with forks, retries, edits in place and idle gaps; ``tall_conversation()``
builds one of a given size without drawing anything.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from hypothesis import strategies as st

from holdfast.checker import Dialect, Split

Habit = Literal["none", "tail", "automatic"]
Event = Literal["grow", "retry", "fork", "edited", "reordered", "swapped"]
Body = dict[str, Any]

EVENTS: tuple[Event, ...] = ("retry", "fork", "edited", "reordered", "swapped")
BINDING_MODEL = "claude-opus-5-5"
FREE_MODEL = "claude-sonnet-4-5"
OPENAI_MODEL = "gpt-5.6"
HISTORY: Mapping[Dialect, str] = {"anthropic": "messages", "openai-chat": "messages", "openai-responses": "input"}
MARK = {"type": "ephemeral"}
HOUR = {"type": "ephemeral", "ttl": "1h"}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
WORDS = (
    "kelp", "rock", "tide", "wave", "anchor", "current", "shell", "reef", "sand", "foam",
    "drift", "storm", "harbour", "lantern", "rope", "mast", "gull", "otter", "urchin", "limpet",
)  # fmt: skip


def words(seed: int, count: int) -> str:
    """``count`` words, about one token each; other seeds begin with other words."""
    start = seed % len(WORDS)
    line = " ".join((*WORDS[start:], *WORDS[:start]))
    return f"#{seed} " + " ".join([line] * (count // len(WORDS)) + [*WORDS[: count % len(WORDS)]])


@dataclass(frozen=True)
class Reply:
    """What one answer of the model and the user's content after it are made of. Sizes are in words."""

    size: int = 12
    result_size: int = 12
    calls: int = 0
    speaks: bool = True
    thinking: Literal["", "signed", "redacted", "twice"] = ""
    server: bool = False
    unknown: bool = False
    image: bool = False
    listed: bool = True
    adds_text: bool = False


@dataclass(frozen=True, repr=False)
class Step:
    """One request a caller makes: the whole body, when (POSIX seconds), what happened since the last, on which branch."""

    body: Body
    now: float
    event: Event = "grow"
    branch: int = 0

    def __repr__(self) -> str:
        """Short: a failing script of whole bodies would fill the screen."""
        return f"Step({self.event}, branch {self.branch}, at {self.now:.0f}, {len(dumps(self.body))} bytes)"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self))


@dataclass(frozen=True)
class Script:
    """Requests in order. ``binds`` says whether the model signs thinking over the prefix before it."""

    dialect: Dialect
    steps: tuple[Step, ...]
    binds: Literal["prefix"] | None = None

    def in_place(self) -> Iterator[Step]:
        """The same steps, as from a caller that changes one list for ever: an earlier body is worthless after the next step."""
        live: Body = {}
        key = HISTORY[self.dialect]
        for step in self.steps:
            fresh = copy.deepcopy(step.body)
            history = live.setdefault(key, [])
            history[:] = fresh[key]
            live.update({name: value for name, value in fresh.items() if name != key})
            yield replace(step, body=live)


@dataclass
class Conversation:
    """A caller's own history in one dialect. ``body()`` is what it would send now."""

    dialect: Dialect = "anthropic"
    settings: Body = field(default_factory=dict)
    marks: Habit = "none"
    messages: list[Any] = field(default_factory=list)
    count: int = 0

    def serial(self) -> int:
        """A number that was not used before in this conversation."""
        self.count += 1
        return self.count

    def body(self) -> Body:
        """The request, as a copy, with the caller's marks where this caller puts them."""
        out = copy.deepcopy({**self.settings, HISTORY[self.dialect]: self.messages})
        if self.dialect == "anthropic" and self.marks == "automatic":
            out["cache_control"] = dict(MARK)
        if self.dialect == "anthropic" and self.marks == "tail":
            if isinstance(out.get("system"), list):
                out["system"][-1]["cache_control"] = dict(HOUR)
            content = out["messages"][-1]["content"]
            if isinstance(content, list):
                content[-1]["cache_control"] = dict(MARK)
        return out

    def say(self, text: str, listed: bool = True, image: bool = False) -> None:
        """The user speaks."""
        self.messages.append({"role": "user", "content": self._user_content(text, listed, image)})

    def _user_content(self, text: str, listed: bool, image: bool) -> Any:
        if not listed and not image:
            return text
        if self.dialect == "anthropic":
            source = {"type": "base64", "media_type": "image/png", "data": PIXEL}
            return [{"type": "text", "text": text}] + ([{"type": "image", "source": source}] if image else [])
        url = f"data:image/png;base64,{PIXEL}"
        if self.dialect == "openai-chat":
            return [{"type": "text", "text": text}] + ([{"type": "image_url", "image_url": {"url": url}}] if image else [])
        return [{"type": "input_text", "text": text}] + ([{"type": "input_image", "image_url": url}] if image else [])

    def reply(self, reply: Reply) -> None:
        """The model answers, and the user's side answers its calls or goes on talking."""
        if not (reply.calls or reply.server or reply.unknown):
            reply = replace(reply, speaks=True)
        build = {"anthropic": self._anthropic, "openai-chat": self._chat, "openai-responses": self._responses}
        build[self.dialect](reply)

    # -- Anthropic

    def _anthropic(self, reply: Reply) -> None:
        content = self._thoughts(reply)
        if reply.speaks:
            content.append({"type": "text", "text": words(self.serial(), reply.size)})
        if reply.server:
            call = f"srvtoolu_{self.serial():04}"
            content.append({"type": "server_tool_use", "id": call, "name": "web_search", "input": {"query": "kelp"}})
            found = {"type": "web_search_result", "url": "https://example.org/", "title": "Kelp", "encrypted_content": "a" * reply.size}
            content.append({"type": "web_search_tool_result", "tool_use_id": call, "content": [found]})
        if reply.unknown:
            content.append({"type": "hologram", "payload": {"b": 1, "a": [True, None, 1.5]}})
        ids = [f"toolu_{self.serial():04}" for _ in range(reply.calls)]
        content += [{"type": "tool_use", "id": call, "name": "Read", "input": {"path": f"src/{call}.py", "limit": 1}} for call in ids]
        only = content[0]["text"] if len(content) == 1 and content[0]["type"] == "text" and not reply.listed else content
        self.messages.append({"role": "assistant", "content": only})
        if not ids:
            self.say(words(self.serial(), reply.size), reply.listed, reply.image)
            return
        answer = [self._result(call, reply, first=call == ids[0]) for call in ids]
        if reply.adds_text:
            answer.append({"type": "text", "text": words(self.serial(), reply.size)})
        self.messages.append({"role": "user", "content": answer})

    def _thoughts(self, reply: Reply) -> list[Body]:
        if not reply.thinking:
            return []
        if reply.thinking == "redacted":
            return [{"type": "redacted_thinking", "data": hashlib.sha256(str(self.serial()).encode()).hexdigest()}]
        thoughts = []
        for _ in range(2 if reply.thinking == "twice" else 1):
            text = words(self.serial(), reply.size)
            signature = hashlib.sha256(text.encode()).hexdigest()
            thoughts.append({"type": "thinking", "thinking": text, "signature": signature})
        return thoughts

    def _result(self, call: str, reply: Reply, first: bool) -> Body:
        text = words(self.serial(), reply.result_size)
        content: Any = [{"type": "text", "text": text}] if reply.listed else text
        out = {"type": "tool_result", "tool_use_id": call, "content": content}
        return out if first else {**out, "is_error": True}

    # -- OpenAI

    def _chat(self, reply: Reply) -> None:
        message: Body = {"role": "assistant", "content": words(self.serial(), reply.size) if reply.speaks or not reply.calls else None}
        if reply.thinking:
            message["reasoning_content"] = words(self.serial(), reply.size)
        ids = [f"call_{self.serial():04}" for _ in range(reply.calls)]
        if ids:
            message["tool_calls"] = [
                {"id": call, "type": "function", "function": {"name": "Read", "arguments": json.dumps({"path": call, "limit": 1})}}
                for call in ids
            ]
        self.messages.append(message)
        for call in ids:
            self.messages.append({"role": "tool", "tool_call_id": call, "content": words(self.serial(), reply.result_size)})
        if not ids or reply.adds_text:
            self.say(words(self.serial(), reply.size), reply.listed, reply.image)

    def _responses(self, reply: Reply) -> None:
        if reply.thinking:
            seal = hashlib.sha256(str(self.serial()).encode()).hexdigest()
            self.messages.append({"type": "reasoning", "id": f"rs_{self.serial():04}", "summary": [], "encrypted_content": seal})
        if reply.server:
            search = {"type": "search", "query": "kelp"}
            self.messages.append({"type": "web_search_call", "id": f"ws_{self.serial():04}", "status": "completed", "action": search})
        if reply.speaks or not reply.calls:
            part = {"type": "output_text", "text": words(self.serial(), reply.size), "annotations": []}
            self.messages.append({"type": "message", "role": "assistant", "content": [part]})
        ids = [f"call_{self.serial():04}" for _ in range(reply.calls)]
        for call in ids:
            arguments = json.dumps({"path": call, "limit": 1})
            self.messages.append({"type": "function_call", "call_id": call, "name": "Read", "arguments": arguments})
        for call in ids:
            self.messages.append({"type": "function_call_output", "call_id": call, "output": words(self.serial(), reply.result_size)})
        if not ids or reply.adds_text:
            self.say(words(self.serial(), reply.size), reply.listed, reply.image)


def opening(dialect: Dialect, listed: bool = False, binds: bool = False) -> Body:
    """Everything of a body but its history: model, tools, system. ``listed``: the system as a list of texts."""
    schema = {"type": "object", "properties": {"path": {"type": "string"}, "limit": {"type": "integer"}}, "required": ["path"]}
    text = "You are a careful diver. " + words(0, 60)
    if dialect == "anthropic":
        model = BINDING_MODEL if binds else FREE_MODEL
        tool: Body = {"name": "Read", "description": "Reads a file.", "input_schema": schema}
        head: Body = {"model": model, "max_tokens": 1024, "tools": [tool]}
        return {**head, "system": [{"type": "text", "text": "Be kind."}, {"type": "text", "text": text}] if listed else text}
    if dialect == "openai-chat":
        return {"model": OPENAI_MODEL, "tools": [{"type": "function", "function": {"name": "Read", "parameters": schema}}]}
    tool = {"type": "function", "name": "Read", "parameters": schema}
    return {"model": OPENAI_MODEL, "store": False, "instructions": text, "tools": [tool]}


def start(dialect: Dialect = "anthropic", listed: bool = False, binds: bool = False, marks: Habit = "none") -> Conversation:
    """A conversation with the user's first message."""
    conversation = Conversation(dialect, opening(dialect, listed, binds), marks)
    if dialect == "openai-chat":
        conversation.messages.append({"role": "system", "content": words(0, 60)})
    conversation.say("Find out why the kelp lets go. " + words(1, 12), listed)
    return conversation


def tall_conversation(turns: int, tool_tokens: int = 400, dialect: Dialect = "anthropic", thinking: bool = False) -> Conversation:
    """``turns`` answers, each with one call whose result is about ``tool_tokens`` tokens; the user speaks at every tenth."""
    conversation = start(dialect)
    for turn in range(turns):
        conversation.reply(Reply(40, tool_tokens, calls=1, thinking="signed" if thinking else "", listed=False, adds_text=turn % 10 == 9))
    return conversation


def grow(body: Body, dialect: Dialect = "anthropic", reply: Reply | None = None) -> Body:
    """The request that follows ``body``: one answer and the user's side of it longer. ``body`` itself stays as it is."""
    history = copy.deepcopy(body[HISTORY[dialect]])
    settings = {name: value for name, value in body.items() if name != HISTORY[dialect]}
    conversation = Conversation(dialect, settings, messages=history, count=100_000 + 100 * len(history))
    conversation.reply(reply or Reply(calls=1))
    return conversation.body()


def split(body: Body, dialect: Dialect = "anthropic") -> Split:
    """A body serialised message by message."""
    head = {name: value for name, value in body.items() if name != HISTORY[dialect]}
    return Split(dumps(head), tuple(map(dumps, body[HISTORY[dialect]])))


def dumps(value: Any) -> bytes:
    """JSON as a client sends it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


# -- what callers do to a history in place


def reorder(history: list[Any], at: int) -> None:
    """The keys of one message come in another order; it stays equal."""
    history[at] = dict(reversed(history[at].items())) if isinstance(history[at], dict) else history[at]


def swap(history: Sequence[Any], at: int) -> bool:
    """``1`` becomes ``True`` in a message; it stays equal. Whether there was a ``1``."""
    return _swap(history[at])


def _swap(value: Any) -> bool:
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in list(pairs):
        if item == 1 and type(item) is int:
            value[key] = True
            return True
        if _swap(item):
            return True
    return False


def rewrite(history: list[Any], at: int) -> None:
    """The user's message at ``at`` says something else."""
    history[at] = {"role": "user", "content": "On second thoughts: look at the rock instead."}


# -- drawing

sizes = st.sampled_from((1, 3, 12, 12, 40, 40, 400, 3000))


@st.composite
def replies(draw: st.DrawFn, plain: bool = False) -> Reply:
    """One answer and what follows it; mostly tool calls, as agents have them."""
    flags = draw(st.integers(0, 63))
    return Reply(
        size=draw(st.sampled_from((1, 3, 12, 40))),
        result_size=draw(sizes),
        calls=draw(st.sampled_from((0, 1, 1, 1, 2, 3))),
        speaks=bool(flags & 1),
        thinking="" if plain else draw(st.sampled_from(("", "", "signed", "signed", "redacted", "twice"))),
        server=not plain and flags & 6 == 6,
        unknown=not plain and flags & 24 == 24,
        image=flags & 12 == 12,
        listed=bool(flags & 32),
        adds_text=flags & 3 == 3,
    )


@st.composite
def starts(draw: st.DrawFn, dialect: Dialect = "anthropic") -> Conversation:
    """A conversation of one message, with a caller's habits."""
    habits: tuple[Habit, ...] = ("none", "none", "tail", "automatic")
    marks = draw(st.sampled_from(habits))
    return start(dialect, draw(st.booleans()), draw(st.booleans()), marks)


def is_binding(body: Body) -> bool:
    """Whether the body's model signs thinking over the prefix before it."""
    return body.get("model") == BINDING_MODEL


@st.composite
def conversations(draw: st.DrawFn, dialect: Dialect = "anthropic", max_turns: int = 8) -> list[Body]:
    """The bodies of a conversation that only grows."""
    conversation = draw(starts(dialect))
    bodies = [conversation.body()]
    for reply in draw(st.lists(replies(), min_size=1, max_size=max_turns)):
        conversation.reply(reply)
        bodies.append(conversation.body())
    return bodies


@st.composite
def scripts(draw: st.DrawFn, dialect: Dialect = "anthropic", max_turns: int = 8, events: Sequence[Event] = EVENTS) -> Script:
    """A conversation with what happens in between: retries, forks, changes in place by the caller, idle gaps.

    An edited history is a new branch from then on; a fork is a side branch of a few steps, after which the first goes on.
    """
    conversation = draw(starts(dialect))
    now, branch = 1_760_000_000.0, 0
    steps = [Step(conversation.body(), now)]
    for reply in draw(st.lists(replies(), min_size=1, max_size=max_turns)):
        now += draw(st.sampled_from((2, 20, 20, 250, 400, 4000)))
        event = draw(st.sampled_from(("grow", "grow", "grow", *events)))
        if event == "retry":
            steps.append(Step(conversation.body(), now, "retry", branch))
        elif event == "fork":
            steps += _side_branch(draw, conversation, now, 1 + max(step.branch for step in steps))
        elif event != "grow" and _mutate(draw, conversation, event) and event == "edited":
            branch = 1 + max(step.branch for step in steps)
        conversation.reply(reply)
        now += 5
        steps.append(Step(conversation.body(), now, event if event in ("edited", "reordered", "swapped") else "grow", branch))
    return Script(dialect, tuple(steps), "prefix" if is_binding(steps[0].body) else None)


def _user_turns(conversation: Conversation) -> list[int]:
    """Where the user, and nobody else, speaks."""
    plain = []
    for at, message in enumerate(conversation.messages):
        content = message.get("content") if message.get("role") == "user" else None
        if isinstance(content, str) or (isinstance(content, list) and all(part.get("type") != "tool_result" for part in content)):
            plain.append(at)
    return plain


def _mutate(draw: st.DrawFn, conversation: Conversation, event: Event) -> bool:
    if event == "edited":
        places = _user_turns(conversation)
        rewrite(conversation.messages, places[draw(st.integers(0, len(places) - 1))])
        return True
    at = draw(st.integers(0, len(conversation.messages) - 1))
    if event == "reordered":
        reorder(conversation.messages, at)
        return True
    return swap(conversation.messages, at)


def _side_branch(draw: st.DrawFn, conversation: Conversation, now: float, branch: int) -> list[Step]:
    places = _user_turns(conversation)
    at = places[draw(st.integers(0, len(places) - 1))]
    side = replace(conversation, messages=copy.deepcopy(conversation.messages[:at]), count=conversation.count + 1000 * branch)
    side.say(words(side.serial(), 12))
    steps = [Step(side.body(), now + 1, "fork", branch)]
    for reply in draw(st.lists(replies(), max_size=2)):
        side.reply(reply)
        steps.append(Step(side.body(), now + 2, "grow", branch))
    return steps

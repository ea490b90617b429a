"""One conversation of the soak, as its caller keeps it, and what is noted of all of them."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeAlias

import anthropic
import httpx2
import openai

Body: TypeAlias = dict[str, Any]
Key: TypeAlias = tuple[str, bool, bool]
"""The SDK, whether its calls are awaited, and whether what leaves a prompt is kept in a file."""

STRATEGIES = ("ladder", "micro", "collapse", "memory", "full", "truncate", "none")
DIALECTS = ("messages", "chat", "responses")
MARK = re.compile(rb"conversation-(\d+-\d+)\b")

INJECTED = (429, 500, 529)
EXPECTED: tuple[type[BaseException], ...] = (
    anthropic.APIConnectionError,
    openai.APIConnectionError,
    httpx2.TransportError,
    asyncio.TimeoutError,
)
"""What a caller may see beside the status codes that were injected; timeouts of the SDKs are connection errors."""

@dataclass
class Found:
    """What went wrong (kind, then an example), and what happened how often."""

    failures: list[str] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def wrong(self, what: str) -> None:
        """Something happened that must not; the first hundred are kept."""
        with self.lock:
            self.seen["failures"] += 1
            if len(self.failures) < 100:
                self.failures.append(what)

    def note(self, what: str) -> None:
        """Something happened."""
        with self.lock:
            self.seen[what] += 1


TOOL = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}
SYSTEM = "You look after a kelp forest. " * 20


class Talk:
    """One conversation as its caller keeps it: a history that only grows."""

    def __init__(self, number: int, seed: int, found: Found) -> None:
        self.number, self.found = number, found
        self.dialect = DIALECTS[number % 3]
        self.awaited = bool(number // 3 % 2)
        self.strategy = STRATEGIES[number // 6 % len(STRATEGIES)]
        self.sdk = "anthropic" if self.dialect == "messages" else "openai"
        self.random = Random(seed * 1_000 + number)
        self.epoch, self.turns = 0, 0
        self.items: list[Any] = []
        self.anew()

    @property
    def key(self) -> Key:
        """Which client it goes through."""
        return self.sdk, self.awaited, bool(self.number // 6 % 2)

    @property
    def mark(self) -> str:
        """What stands in every text of it."""
        return f"conversation-{self.number}-{self.epoch}"

    def anew(self) -> None:
        """The caller begins another conversation."""
        self.epoch, self.turns = self.epoch + 1, 0
        self.items = [{"role": "user", "content": f"This is {self.mark}. Why does the kelp let go?"}]

    def arguments(self) -> Body:
        """What ``create`` is called with."""
        if self.dialect == "messages":
            thinking = {"thinking": {"type": "enabled", "budget_tokens": 1024}} if self.number % 4 == 0 else {}
            tool = {"name": "read", "description": "Reads a file.", "input_schema": TOOL}
            head = {"model": "claude-sonnet-4-6", "max_tokens": 2000, "system": SYSTEM, **thinking}
            return {**head, "tools": [tool], "messages": self.items}
        function = {"name": "read", "description": "Reads a file.", "parameters": TOOL}
        if self.dialect == "chat":
            messages = [{"role": "system", "content": SYSTEM}, *self.items]
            return {"model": "gpt-5.4", "messages": messages, "tools": [{"type": "function", "function": function}]}
        tools = [{"type": "function", **function}]
        return {"model": "gpt-5.4", "input": self.items, "instructions": SYSTEM, "tools": tools, "store": False}

    def create(self, client: Any) -> Any:
        """The method that makes the call."""
        return {"messages": lambda: client.messages, "chat": lambda: client.chat.completions, "responses": lambda: client.responses}[
            self.dialect
        ]().create

    def took(self, answer: Any) -> None:
        """A whole answer has come: it goes into the history, and what it calls is done."""
        {"messages": self._took_message, "chat": self._took_completion, "responses": self._took_response}[self.dialect](answer)
        self.turns += 1

    def _result(self, what: object) -> str:
        return f"{what} of {self.mark}: " + " ".join(f"line {n} of rock" for n in range(self.random.randrange(20, 60)))

    def _word(self) -> str:
        return f"Go on with {self.mark}, word {self.turns}."

    def _took_message(self, answer: Any) -> None:
        self.items.append({"role": "assistant", "content": answer.content})
        calls = [block for block in answer.content if block.type == "tool_use"]
        results = [{"type": "tool_result", "tool_use_id": call.id, "content": self._result(call.input)} for call in calls]
        self.items.append({"role": "user", "content": results or self._word()})

    def _took_completion(self, answer: Any) -> None:
        message = answer.choices[0].message
        self.items.append(message.model_dump(exclude_none=True))
        for call in message.tool_calls or ():
            self.items.append({"role": "tool", "tool_call_id": call.id, "content": self._result(call.function.arguments)})
        if not message.tool_calls:
            self.items.append({"role": "user", "content": self._word()})

    def _took_response(self, answer: Any) -> None:
        self.items += [item.model_dump(exclude_none=True, exclude={"status", "parsed_arguments"}) for item in answer.output]
        calls = [item for item in answer.output if item.type == "function_call"]
        for call in calls:
            self.items.append({"type": "function_call_output", "call_id": call.call_id, "output": self._result(call.arguments)})
        if not calls:
            self.items.append({"role": "user", "content": self._word()})

    def failed(self, error: BaseException) -> None:
        """The caller got an error; next time it tries the same again."""
        status = getattr(error, "status_code", None)
        if status in INJECTED or (status is None and isinstance(error, EXPECTED)):
            self.found.note(f"caller saw {status or type(error).__name__}")
            return
        if _in_stream(error):
            self.found.note("caller saw a stream break")
            return
        self.found.wrong(f"{self.dialect} {self.strategy} awaited={self.awaited}: {type(error).__name__}: {error}"[:1000])


def _in_stream(error: BaseException) -> bool:
    """Whether the SDK says so of an error event, or of a stream that broke off, without a status of its own."""
    return type(error) in (anthropic.APIError, openai.APIError)


def message_of(events: list[Any]) -> Any:
    """The message that its events make."""
    blocks: dict[int, Body] = {}
    for event in events:
        if event.type == "content_block_start":
            blocks[event.index] = event.content_block.model_dump(exclude_none=True)
        elif event.type == "content_block_delta":
            _grown(blocks[event.index], event.delta)
    message = events[0].message.model_dump()
    message["content"] = [_closed(block) for _, block in sorted(blocks.items())]
    return anthropic.types.Message.model_validate(message)


def _closed(block: Body) -> Body:
    arguments = block.pop("json", "")
    return {**block, "input": json.loads(arguments or "{}")} if block["type"] == "tool_use" else block


def _grown(block: Body, delta: Any) -> None:
    for name, key in (("text", "text"), ("thinking", "thinking"), ("signature", "signature"), ("partial_json", "json")):
        piece = getattr(delta, name, None)
        if piece is not None:
            block[key] = block.get(key, "") + piece


def completion_of(chunks: list[Any]) -> Any:
    """The completion that its chunks make."""
    text, calls = "", dict[int, Body]()
    for chunk in chunks:
        for choice in chunk.choices:
            text += choice.delta.content or ""
            for call in choice.delta.tool_calls or ():
                known = calls.setdefault(call.index, {"id": call.id, "type": "function", "function": {"name": "", "arguments": ""}})
                known["function"]["name"] += call.function.name or ""
                known["function"]["arguments"] += call.function.arguments or ""
    message = {"role": "assistant", "content": text or None, "tool_calls": [calls[index] for index in sorted(calls)] or None}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    base = {"id": chunks[0].id, "object": "chat.completion", "created": 1, "model": chunks[0].model}
    return openai.types.chat.ChatCompletion.model_validate({**base, "choices": [choice]})

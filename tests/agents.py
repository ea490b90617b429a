"""Small agents on the real SDKs, for tests against the fake provider: they keep their own history and append to it, as users do."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from holdfast.testing import Asked, Reply, ToolCall

Body = dict[str, Any]
READ_TOOL: Body = {
    "name": "read",
    "description": "Reads a file.",
    "input_schema": {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
}
PIXEL = base64.b64encode(
    bytes.fromhex(
        "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c4944415408d763f8cfc000000301010018dd8db00000000049454e44ae426082"
    )
).decode()
SYSTEM = "You look after a kelp forest. " * 60
SUMMARY = "The user wants to know why the kelp lets go. Files /a/1.py to /a/9.py were read; nothing was decided. " * 12


def asks_for_summary(body: Mapping[str, Any]) -> bool:
    """Whether this request is a strategy's question."""
    newest = json.dumps((body.get("messages") or body["input"])[-1])
    return "Do not call any tool; do not go on with the task." in newest


def says(calls: int = 2, every: int = 4, thinking: str = "", summary: str = SUMMARY) -> Callable[[Asked], Reply]:
    """A model that reads files, ``calls`` at a time, and every so many replies ends its turn with words."""

    def reply(asked: Asked) -> Reply:
        if asks_for_summary(asked.body):
            return Reply(summary)
        turn = sum(message.get("role") == "assistant" for message in asked.body.get("messages") or asked.body["input"])
        if turn % every == every - 1:
            return Reply(f"That was step {turn}.", thinking)
        return Reply(f"Reading for step {turn}.", thinking, [ToolCall("read", {"path": f"/a/{turn}-{n}.py"}) for n in range(calls)])

    return reply


@dataclass
class AnthropicAgent:
    """Keeps one conversation. ``step`` appends what came back and what follows from it."""

    model: str = "claude-sonnet-4-6"
    result: int = 1500
    images: bool = False
    extra: Body = field(default_factory=dict)
    messages: list[Any] = field(default_factory=lambda: [{"role": "user", "content": "Why does the kelp let go?"}])
    turns: int = 0

    def arguments(self) -> Body:
        """What ``create`` is called with."""
        return {
            "model": self.model,
            "max_tokens": 2000,
            "system": SYSTEM,
            "tools": [READ_TOOL],
            "messages": self.messages,
            **self.extra,
        }

    def took(self, message: Any) -> None:
        """A reply has come: it goes into the history as the SDK gives it, and its calls are answered."""
        self.messages.append({"role": "assistant", "content": message.content})
        self.turns += 1
        results: list[Body] = [
            {"type": "tool_result", "tool_use_id": block.id, "content": self._content(block.input)}
            for block in message.content
            if block.type == "tool_use"
        ]
        self.messages.append({"role": "user", "content": results or f"Go on, this is word {self.turns} from me."})

    def _content(self, given: Any) -> Any:
        text = f"{given}: " + " ".join(f"line {n} of rock and weed" for n in range(self.result // 24))
        if self.images and self.turns % 5 == 2:
            source = {"type": "base64", "media_type": "image/png", "data": PIXEL}
            return [{"type": "text", "text": text}, {"type": "image", "source": source}]
        return text

    def run(self, client: Any, turns: int) -> list[Any]:
        """So many requests, one after the other; the replies."""
        replies = []
        for _ in range(turns):
            message = client.messages.create(**self.arguments())
            self.took(message)
            replies.append(message)
        return replies

    def stream(self, client: Any, turns: int) -> list[Any]:
        """The same, streamed."""
        replies = []
        for _ in range(turns):
            with client.messages.stream(**self.arguments()) as stream:
                message = stream.get_final_message()
            self.took(message)
            replies.append(message)
        return replies

    async def arun(self, client: Any, turns: int) -> list[Any]:
        """The same, awaited."""
        replies = []
        for _ in range(turns):
            message = await client.messages.create(**self.arguments())
            self.took(message)
            replies.append(message)
        return replies


@dataclass
class ChatAgent:
    """The same on Chat Completions."""

    model: str = "gpt-5.4"
    result: int = 1500
    extra: Body = field(default_factory=dict)
    messages: list[Any] = field(
        default_factory=lambda: [{"role": "system", "content": SYSTEM}, {"role": "user", "content": "Why does the kelp let go?"}]
    )
    turns: int = 0

    def arguments(self) -> Body:
        """What ``create`` is called with."""
        function = {"name": "read", "description": READ_TOOL["description"], "parameters": READ_TOOL["input_schema"]}
        return {"model": self.model, "messages": self.messages, "tools": [{"type": "function", "function": function}], **self.extra}

    def took(self, completion: Any) -> None:
        """A reply has come."""
        message = completion.choices[0].message
        self.messages.append(message.model_dump(exclude_none=True))
        self.turns += 1
        for call in message.tool_calls or ():
            text = f"{call.function.arguments}: " + " ".join(f"line {n} of rock and weed" for n in range(self.result // 24))
            self.messages.append({"role": "tool", "tool_call_id": call.id, "content": text})
        if not message.tool_calls:
            self.messages.append({"role": "user", "content": f"Go on, this is word {self.turns} from me."})

    def run(self, client: Any, turns: int) -> list[Any]:
        """So many requests, one after the other."""
        replies = []
        for _ in range(turns):
            completion = client.chat.completions.create(**self.arguments())
            self.took(completion)
            replies.append(completion)
        return replies


@dataclass
class ResponsesAgent:
    """The same on Responses, the history sent whole each time."""

    model: str = "gpt-5.4"
    result: int = 1500
    extra: Body = field(default_factory=dict)
    items: list[Any] = field(default_factory=lambda: [{"role": "user", "content": "Why does the kelp let go?"}])
    turns: int = 0

    def arguments(self) -> Body:
        """What ``create`` is called with."""
        function = {"type": "function", "name": "read", "description": READ_TOOL["description"], "parameters": READ_TOOL["input_schema"]}
        return {"model": self.model, "input": self.items, "instructions": SYSTEM, "tools": [function], "store": False, **self.extra}

    def took(self, response: Any) -> None:
        """A reply has come."""
        self.turns += 1
        called = False
        for item in response.output:
            self.items.append(item.model_dump(exclude_none=True, exclude={"status", "parsed_arguments"}))
            if item.type == "function_call":
                called = True
                text = f"{item.arguments}: " + " ".join(f"line {n} of rock and weed" for n in range(self.result // 24))
                self.items.append({"type": "function_call_output", "call_id": item.call_id, "output": text})
        if not called:
            self.items.append({"role": "user", "content": f"Go on, this is word {self.turns} from me."})

    def run(self, client: Any, turns: int) -> list[Any]:
        """So many requests, one after the other."""
        replies = []
        for _ in range(turns):
            response = client.responses.create(**self.arguments())
            self.took(response)
            replies.append(response)
        return replies

"""Request logs made by recipe: bodies that a client would send, and the bills that a provider's cache would make of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from holdfast.blocks import Block, Role
from holdfast.caches import AnthropicCache, AnthropicRules, Cache, CacheRequest, cache_for
from holdfast.doctor.observation import observed
from holdfast.exchange import Exchange
from holdfast.prefix import Chain
from holdfast.usage import Usage

MODEL = "claude-sonnet-4-5"
MARK = {"type": "ephemeral"}
Body = dict[str, Any]


def words(name: str, tokens: int) -> str:
    """A text of about so many tokens that no other name has."""
    return " ".join(f"{name}{index}" for index in range(tokens // 3))


def text(value: str, mark: bool | str = False) -> Body:
    """A text block."""
    return {"type": "text", "text": value} | ({"cache_control": control(mark)} if mark else {})


def control(mark: bool | str) -> Body:
    """A cache mark for five minutes, or for the lifetime given."""
    return {"type": "ephemeral", "ttl": mark} if isinstance(mark, str) else dict(MARK)


def user(*blocks: Body | str) -> Body:
    """A user's message."""
    return {"role": "user", "content": [text(block) if isinstance(block, str) else block for block in blocks]}


def assistant(*blocks: Body | str) -> Body:
    """An answer."""
    return {"role": "assistant", "content": [text(block) if isinstance(block, str) else block for block in blocks]}


def call(name: str) -> Body:
    """A tool call."""
    return {"type": "tool_use", "id": name, "name": "run", "input": {"command": f"do {name}"}}


def result(name: str, content: Any) -> Body:
    """Its result."""
    return {"type": "tool_result", "tool_use_id": name, "content": content}


def tool(name: str, description: str = "Runs a thing.") -> Body:
    """A tool definition."""
    return {"name": name, "description": description, "input_schema": {"type": "object", "properties": {"a": {"type": "string"}}}}


def body(system: str | list[Body], messages: Sequence[Body], tools: Sequence[Body] = (), **more: Any) -> Body:
    """A request body with a mark at the end of the system prompt and on the last block of the last message."""
    blocks = [text(system, True)] if isinstance(system, str) else system
    made: Body = {"model": MODEL, "max_tokens": 100, "system": blocks, "messages": marked(messages)}
    return made | ({"tools": list(tools)} if tools else {}) | more


def marked(messages: Sequence[Body], *, last: int = 1) -> list[Body]:
    """The messages with a mark on the last block of each of the ``last`` newest users' ones."""
    places = [index for index, message in enumerate(messages) if message["role"] == "user"][-last:]
    out = []
    for index, message in enumerate(messages):
        if index in places:
            blocks = list(message["content"])
            message = {**message, "content": [*blocks[:-1], {**blocks[-1], "cache_control": dict(MARK)}]}
        out.append(message)
    return out


def conversation(turns: int, tokens: int = 600, name: str = "t") -> list[Body]:
    """A conversation in which the user has the last word; its prefixes are those of a longer one."""
    messages: list[Body] = []
    for turn in range(turns):
        messages.append(user(words(f"{name}q{turn}", tokens)))
        if turn < turns - 1:
            messages.append(assistant(words(f"{name}a{turn}", tokens)))
    return messages


def weight(block: Block) -> int:
    """Tokens of a block as our provider counts them: by its words, a little unlike the doctor's own count."""
    content = block.text or str(block.wire)
    return 3 + int(2.9 * len(content.split())) + len(content) // 50


class Provider:
    """A provider with a cache that works by the rules: bodies in, exchanges with bills out."""

    def __init__(self, name: str = "anthropic", model: str = MODEL, cache: Cache | None = None) -> None:
        self.name, self.model = name, model
        self.cache = cache or (AnthropicCache(AnthropicRules(minimum=1024)) if name == "anthropic" else cache_for(name, model))
        self.log: list[Exchange] = []
        self.clock = 1_000_000.0

    def send(self, sent: Mapping[str, Any], after: float = 30.0, account: str = "", **how: Any) -> Exchange:
        """One request ``after`` seconds, billed as the cache says or as ``usage`` says."""
        self.clock += after
        fields = {"provider": self.name, "account": account, "at": self.clock, "ended": self.clock + how.get("took", 2.0)}
        usage = how.get("usage") or self._bill(Exchange(sent, {}, **fields))
        response = {"id": f"msg_{len(self.log)}", "usage": written(self.name, usage), **how.get("response", {})}
        exchange = Exchange(sent, response, **fields, **how.get("more", {}))
        self.log.append(exchange)
        return exchange

    def _bill(self, exchange: Exchange) -> Usage:
        seen = observed(exchange)
        assert seen.prompt is not None
        chain = Chain()
        for block in seen.prompt.head:
            chain.append(block.weighed(weight(block)))
            chain.tools += block.role is Role.TOOLS
            chain.head += 1
        for message in seen.prompt.messages:
            chain.extend([block.weighed(weight(block)) for block in message.blocks])
        request = CacheRequest(chain, seen.prompt.settings, seen.prompt.marks, exchange.at or 0.0, (exchange.at or 0.0) + 1.0, seen.scope)
        return self.cache.send(request).answered(50)


def written(provider: str, usage: Usage) -> Body:
    """A usage as a provider writes it."""
    if provider in ("anthropic", "bedrock"):
        return {
            "input_tokens": usage.fresh,
            "cache_read_input_tokens": usage.read,
            "cache_creation_input_tokens": usage.written,
            "cache_creation": {"ephemeral_5m_input_tokens": usage.write_5m, "ephemeral_1h_input_tokens": usage.write_1h},
            "output_tokens": usage.output,
        }
    if provider == "deepseek":
        hit = {"prompt_cache_hit_tokens": usage.read, "prompt_cache_miss_tokens": usage.fresh}
        return {"prompt_tokens": usage.prompt, "completion_tokens": usage.output, **hit}
    details = {"cached_tokens": usage.read, "cache_write_tokens": usage.written}
    return {"prompt_tokens": usage.prompt, "completion_tokens": usage.output, "prompt_tokens_details": details}


def chat(system: str, messages: Sequence[Body], model: str) -> Body:
    """A Chat Completions body of the same conversation."""
    turns = [{"role": message["role"], "content": "\n".join(block["text"] for block in message["content"])} for message in messages]
    return {"model": model, "messages": [{"role": "system", "content": system}, *turns]}

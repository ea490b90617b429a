"""What Anthropic's Messages API does not take, in its own words.

Sources: the API's error texts as public issue threads quote them (anthropics/claude-code 1831 and 13460, headroomlabs-ai/headroom 2939,
experientiallabs/experiential 799, NousResearch/hermes-agent 1216, langchain-ai/deepagents 1585), and platform.claude.com, *Errors*, *Tool
use*, *Prompt caching* and *Extended thinking* (2026-08 to 2026-11). Its wording can change: match on types and statuses.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile

from holdfast.errors import UnknownModel
from holdfast.families import takes_system_messages, thinks_manually
from holdfast.frozen import Json
from holdfast.pricing import Prices
from holdfast.testing.fake import anthropic_fields as fields

MOST_MARKS = 4
LEAST_BUDGET = 1024
_THINKING = ("thinking", "redacted_thinking")


def complaints(body: Mapping[str, Json], headers: Mapping[str, str], counting: bool) -> Iterator[str]:
    """Everything that is wrong with a request, in the order in which the API looks; it answers with the first."""
    yield from fields.top_level(body, headers, counting)
    yield from _required(body, counting)
    yield from _tools(body)
    yield from _system(body)
    messages = body["messages"]
    if not isinstance(messages, list):
        yield "messages: Input should be a valid list"
        return
    if not messages:
        yield "messages: at least one message is required"
        return
    for index, message in enumerate(messages):
        yield from _message(message, index, len(messages), str(body["model"]))
    yield from _order(messages)
    yield from _pairs(messages)
    yield from _marks(body)
    yield from _choices(body, headers)
    if not counting:
        yield from _output(body)
        yield from _last(body, messages)


def _required(body: Mapping[str, Json], counting: bool) -> Iterator[str]:
    for key in ("model", "messages") if counting else ("model", "max_tokens", "messages"):
        if key not in body:
            yield f"{key}: Field required"
    if not isinstance(body.get("model"), str):
        yield "model: Input should be a valid string"


def _tools(body: Mapping[str, Json]) -> Iterator[str]:
    tools = body.get("tools")
    if tools is None:
        return
    if not isinstance(tools, list):
        yield "tools: Input should be a valid list"
        return
    names: set[str] = set()
    for index, tool in enumerate(tools):
        where = f"tools.{index}"
        if not isinstance(tool, dict):
            yield f"{where}: Input should be a valid dictionary"
        elif tool.get("type") in (None, "custom"):
            yield from fields.extra(tool, fields.TOOL, f"{where}.custom.")
            yield from (f"{where}.custom.{key}: Field required" for key in ("name", "input_schema") if key not in tool)
            name = str(tool.get("name"))
            if name in names:
                yield "tools: Tool names must be unique."
            names.add(name)
            if tool.get("cache_control") and tool.get("defer_loading"):
                yield f"{where}.custom: Tools with defer_loading cannot use prompt caching"


def _system(body: Mapping[str, Json]) -> Iterator[str]:
    system = body.get("system")
    if system is None or isinstance(system, str):
        return
    if not isinstance(system, list):
        yield "system: Input should be a valid list"
        return
    for index, block in enumerate(system):
        if not isinstance(block, dict) or block.get("type") != "text":
            yield f"system.{index}.type: Input should be 'text'"
        else:
            yield from fields.extra(block, fields.BLOCKS["text"], f"system.{index}.")
            if not block.get("text"):
                yield from _empty(block, f"system.{index}", "system")


def _empty(block: Mapping[str, Json], where: str, top: str) -> Iterator[str]:
    if block.get("cache_control"):
        yield f"{where}.text: cache_control cannot be set for empty text blocks"
    yield f"{top}: text content blocks must be non-empty"


def _message(message: Json, index: int, count: int, model: str) -> Iterator[str]:
    where = f"messages.{index}"
    if not isinstance(message, dict):
        yield f"{where}: Input should be a valid dictionary"
        return
    role = message.get("role")
    if role == "system" and not takes_system_messages(model):
        yield (
            'messages: Unexpected role "system". The Messages API accepts a top-level `system` parameter, not "system" as an input'
            " message role."
        )
    elif role not in ("user", "assistant", "system"):
        yield f"{where}.role: Input should be 'user' or 'assistant'"
    yield from fields.extra(message, fields.SYSTEM_MESSAGE if role == "system" else fields.MESSAGE, f"{where}.")
    if "content" not in message:
        yield f"{where}.content: Field required"
    else:
        yield from _content(message["content"], where, str(role), last=index == count - 1 and role == "assistant")


def _content(content: Json, where: str, role: str, *, last: bool) -> Iterator[str]:
    if not isinstance(content, str | list):
        yield f"{where}.content: Input should be a valid list"
    elif not content and not last:
        yield f"{where}: all messages must have non-empty content except for the optional final assistant message"
    elif isinstance(content, str):
        if content and not content.strip():
            yield "messages: text content blocks must contain non-whitespace text"
    else:
        for place, block in enumerate(content):
            if not (last and block == {"type": "text", "text": ""}):  # the same as an empty string
                yield from _block(block, f"{where}.content.{place}", role)


def _block(block: Json, where: str, role: str) -> Iterator[str]:
    if not isinstance(block, dict):
        yield f"{where}: Input should be a valid dictionary"
        return
    kind = block.get("type")
    if kind is None:
        yield f"{where}.type: Field required"
        return
    known = fields.BLOCKS.get(kind)
    if known is None:
        if kind not in fields.OTHER_BLOCKS:
            tags = ", ".join(f"'{name}'" for name in sorted({*fields.BLOCKS, *fields.OTHER_BLOCKS}))
            yield f"{where}: Input tag '{kind}' found using 'type' does not match any of the expected tags: {tags}"
        return
    if not known.issuperset(block):
        yield from fields.extra(block, known, f"{where}.{kind}.")
    yield from (f"{where}.{kind}.{key}: Field required" for key in fields.REQUIRED.get(kind, ()) if key not in block)
    if kind == "text":
        yield from _text(block, where)
    elif kind == "tool_use" and not isinstance(block.get("input"), dict):
        yield f"{where}.tool_use.input: Input should be a valid dictionary"
    elif kind == "tool_result":
        yield from _result(block, where)
    yield from _side(kind, where, role)


def _text(block: Mapping[str, Json], where: str) -> Iterator[str]:
    if not block.get("text"):
        yield from _empty(block, where, "messages")
    elif not str(block["text"]).strip():
        yield "messages: text content blocks must contain non-whitespace text"


def _side(kind: str, where: str, role: str) -> Iterator[str]:
    """Whether this side of the conversation has such blocks."""
    if kind in ("tool_use", *_THINKING) and role == "user":
        yield f"{where}: `{kind}` blocks can only be in `assistant` messages"
    elif kind == "tool_result" and role == "assistant":
        yield f"{where}: `tool_result` blocks can only be in `user` messages"


def _result(block: Mapping[str, Json], where: str) -> Iterator[str]:
    content = block.get("content")
    if not isinstance(content, list):
        return
    for place, part in enumerate(content):
        if isinstance(part, dict) and part.get("type") == "text" and not part.get("text"):
            yield from _empty(part, f"{where}.tool_result.content.{place}", "messages")


def _blocks(message: Mapping[str, Json]) -> Sequence[Json]:
    content = message.get("content")
    return content if isinstance(content, list) else ()


def _of(message: Mapping[str, Json], kind: str) -> list[Mapping[str, Json]]:
    return [block for block in _blocks(message) if block.get("type") == kind]


def _order(messages: Sequence[Mapping[str, Json]]) -> Iterator[str]:
    first = messages[0]
    if first["role"] != "user" and not _of(first, "compaction"):
        yield 'messages: first message must use the "user" role'
    for index, message in enumerate(messages):
        if message["role"] == "system" and (not index or (messages[index - 1]["role"] == "assistant" and not _served(messages[index - 1]))):
            yield f"messages.{index}: a `system` message must directly follow a `user` message or a server tool result"


def _served(message: Mapping[str, Json]) -> bool:
    blocks = _blocks(message)
    return bool(blocks) and str(blocks[-1].get("type")).endswith("_tool_result")


def _pairs(messages: Sequence[Mapping[str, Json]]) -> Iterator[str]:
    """Each call is answered in the turn that directly follows it, and nothing else is.

    Consecutive messages of one role are one turn. Results come before everything else in theirs (*Handle tool calls*, 2026-08).
    """
    seen: set[str] = set()
    turns = list(_turns(messages))
    for number, (role, first, blocks) in enumerate(turns):
        calls = [str(block["id"]) for _, _, block in blocks if block.get("type") == "tool_use"]
        for call in calls:
            if call in seen:
                yield f"messages.{first}: `tool_use` ids must be unique"
            seen.add(call)
        answers: list[tuple[int, int, str]] = [
            (index, place, str(block["tool_use_id"])) for index, place, block in blocks if block.get("type") == "tool_result"
        ]
        before = turns[number - 1][2] if number else []
        open_calls = [str(block["id"]) for _, _, block in before if block.get("type") == "tool_use"]
        yield from _answers(answers, open_calls)
        if role == "assistant" and calls:
            after = turns[number + 1][2] if number + 1 < len(turns) else []
            first_ones = takewhile(lambda block: block.get("type") == "tool_result", (block for _, _, block in after))
            answered = {str(block["tool_use_id"]) for block in first_ones}
            missing = [call for call in calls if call not in answered]
            if missing:
                at = next(index for index, _, block in reversed(blocks) if block.get("type") == "tool_use")
                yield (
                    f"messages.{at}: `tool_use` ids were found without `tool_result` blocks immediately after: {', '.join(missing)}. Each"
                    " `tool_use` block must have a corresponding `tool_result` block in the next message."
                )


def _answers(answers: Sequence[tuple[int, int, str]], calls: Sequence[str]) -> Iterator[str]:
    met: set[str] = set()
    for index, place, call in answers:
        if call not in calls:
            yield (
                f"messages.{index}.content.{place}: unexpected `tool_use_id` found in `tool_result` blocks: {call}. Each `tool_result`"
                " block must have a corresponding `tool_use` block in the previous message."
            )
        elif call in met:
            rule = "each tool_use must have a single result. Found multiple `tool_result` blocks with id"
            yield f"messages.{index}.content.{place}: {rule}: {call}"
        met.add(call)


def _turns(messages: Sequence[Mapping[str, Json]]) -> Iterator[tuple[str, int, list[tuple[int, int, Mapping[str, Json]]]]]:
    """Runs of messages of one role: the role, the first message, and every block with its place. System messages stand in no turn."""
    turn: tuple[str, int, list[tuple[int, int, Mapping[str, Json]]]] | None = None
    for index, message in enumerate(messages):
        role = str(message["role"])
        if role == "system":
            continue
        if turn is None or turn[0] != role:
            if turn is not None:
                yield turn
            turn = (role, index, [])
        content = message["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        turn[2].extend((index, place, block) for place, block in enumerate(blocks))
    if turn is not None:
        yield turn


def _marks(body: Mapping[str, Json]) -> Iterator[str]:
    """The caller's marks in the order in which they count: tools, system, messages."""
    found: list[tuple[str, Json]] = []
    for where, block in _markable(body):
        control = block.get("cache_control")
        if control is None:
            continue
        if block.get("type") in _THINKING:
            yield f"{where}.{block['type']}.cache_control: Extra inputs are not permitted"
        found.append((where, control))
    for where, control in [*found, *([("", body["cache_control"])] if body.get("cache_control") else [])]:
        path = f"{where}.cache_control" if where else "cache_control"
        if not isinstance(control, dict) or control.get("type") != "ephemeral":
            yield f"{path}.type: Input should be 'ephemeral'"
        elif control.get("ttl") not in (None, "5m", "1h"):
            yield f"{path}.ttl: Input should be '5m' or '1h'"
    count = len(found) + (1 if body.get("cache_control") and not _standing(body) else 0)
    if count > MOST_MARKS:
        yield f"A maximum of {MOST_MARKS} blocks with cache_control may be provided. Found {count}."
    yield from _lifetimes(found, body.get("cache_control"), _standing(body))


def _lifetimes(found: Sequence[tuple[str, Json]], automatic: Json, standing: Json) -> Iterator[str]:
    rule = "a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block. Note that blocks are processed in the"
    rule += " following order: `tools`, `system`, `messages`."
    short = False
    for where, control in [*found, *([("", automatic)] if automatic and not standing else [])]:
        if _ttl(control) == "5m":
            short = True
        elif short:
            yield f"{where}.cache_control.ttl: {rule}" if where else f"cache_control.ttl: {rule}"
    if automatic and standing and _ttl(automatic) != _ttl(standing):
        yield "cache_control.ttl: the last block already carries a cache_control with a different ttl"


def _ttl(control: Json) -> str:
    return str(control.get("ttl") or "5m") if isinstance(control, dict) else "5m"


def _standing(body: Mapping[str, Json]) -> Json:
    """The mark that stands on the very last block, where an automatic one would."""
    blocks = _blocks(body["messages"][-1])
    return blocks[-1].get("cache_control") if blocks else None


def _markable(body: Mapping[str, Json]) -> Iterator[tuple[str, Mapping[str, Json]]]:
    for name in ("tools", "system"):
        items = body.get(name)
        yield from ((f"{name}.{index}", item) for index, item in enumerate(items if isinstance(items, list) else ()))
    for index, message in enumerate(body["messages"]):
        for place, block in enumerate(_blocks(message)):
            where = f"messages.{index}.content.{place}"
            yield where, block
            inner = block.get("content") if block.get("type") == "tool_result" else None
            if isinstance(inner, list):
                parts = enumerate(inner)
                yield from ((f"{where}.tool_result.content.{n}", part) for n, part in parts if isinstance(part, dict))


def _choices(body: Mapping[str, Json], headers: Mapping[str, str]) -> Iterator[str]:
    """Thinking and tool choice."""
    thinking, choice = body.get("thinking"), body.get("tool_choice")
    kind = thinking.get("type") if isinstance(thinking, dict) else None
    if thinking is not None:
        known = fields.THINKING.get(str(kind))
        if known is None:
            yield "thinking: Input should be a valid thinking configuration of type 'enabled', 'disabled' or 'adaptive'"
            return
        binding = {"block_binding"} if fields.BINDING_BETA in fields.betas(headers) and kind in ("enabled", "adaptive") else set()
        yield from fields.extra(thinking, known | binding, f"thinking.{kind}.")
        behaviour = (thinking.get("block_binding") or {}).get("prefix_mismatch_behavior")
        if behaviour not in (None, "error", "drop_block"):
            yield f"thinking.{kind}.block_binding.prefix_mismatch_behavior: Input should be 'error' or 'drop_block'"
    always = thinks_always(str(body["model"]))
    if kind == "disabled" and always:
        yield f"thinking.type: `disabled` is not supported on {body['model']}"
    if choice is None:
        return
    forced = str(choice.get("type")) if isinstance(choice, dict) else ""
    if forced not in fields.CHOICES:
        yield "tool_choice: Input tag should be one of 'auto', 'any', 'tool', 'none'"
        return
    yield from fields.extra(choice, fields.CHOICES[forced], f"tool_choice.{forced}.")
    if forced in ("any", "tool") and (kind == "enabled" or always):
        yield "Thinking may not be enabled when tool_choice forces tool use."
    names = [tool.get("name") for tool in body.get("tools") or ()]
    if forced in ("any", "tool") and not names:
        yield "tool_choice may only be specified while providing tools."
    elif forced == "tool" and choice.get("name") not in names:
        yield f"Tool '{choice.get('name')}' not found in provided tools"


def thinks_always(model: str) -> bool:
    """Whether thinking cannot be turned off: Fable and Mythos from 5.1, Opus 5.5 (platform.claude.com, preserved thinking, 2026-09)."""
    return any(name in model for name in ("fable-5-1", "fable-5-2", "mythos-5-1", "mythos-5-2", "opus-5-5"))


def _output(body: Mapping[str, Json]) -> Iterator[str]:
    """What is asked of the answer: its length, its thinking, warming only."""
    most = body["max_tokens"]
    if not isinstance(most, int) or isinstance(most, bool):
        yield "max_tokens: Input should be a valid integer"
        return
    if most < 0:
        yield "max_tokens: Input should be greater than or equal to 0"
    limit = _most_output(str(body["model"]))
    if limit is not None and most > limit:
        yield f"max_tokens: {most} > {limit}, which is the maximum allowed number of output tokens for {body['model']}"
    thinking = body.get("thinking") or {}
    config = body.get("output_config") or {}
    if most == 0:
        forced = (body.get("tool_choice") or {}).get("type") in ("any", "tool")
        for wrong, what in (
            (body.get("stream"), "stream"),
            (thinking.get("type") == "enabled", "thinking"),
            (config.get("format"), "output_config.format"),
            (forced, "tool_choice"),
        ):
            if wrong:
                yield f"max_tokens: 0 is not supported with {what}"
    elif thinking.get("type") == "enabled":
        budget = thinking.get("budget_tokens")
        if not isinstance(budget, int) or budget < LEAST_BUDGET:
            yield f"thinking.enabled.budget_tokens: Input should be greater than or equal to {LEAST_BUDGET}"
        elif budget >= most:
            yield "`max_tokens` must be greater than `thinking.budget_tokens`."


def _most_output(model: str) -> int | None:
    try:
        return Prices.load().find(model).max_output_tokens
    except UnknownModel:
        return None


def _last(body: Mapping[str, Json], messages: Sequence[Mapping[str, Json]]) -> Iterator[str]:
    """How the history ends, and what thinking asks of its last turn."""
    model, last = str(body["model"]), messages[-1]
    manual = thinks_manually(model)
    thinking = (body.get("thinking") or {}).get("type") == "enabled"
    if last["role"] == "assistant" and not body.get("compaction"):
        blocks = _blocks(last)
        paused = bool(blocks) and (str(blocks[-1].get("type")) in fields.OTHER_BLOCKS or blocks[-1].get("type") == "compaction")
        if "claude" in model and not paused and (thinking or not manual):
            yield "This model does not support assistant message prefill. The conversation must end with a user message."
        text = last["content"] if isinstance(last["content"], str) else blocks[-1].get("text") if blocks else None
        if isinstance(text, str) and text != text.rstrip():
            yield "messages: final assistant content cannot end with trailing whitespace"
    if thinking and manual:
        yield from _thinking_first(messages)


def _thinking_first(messages: Sequence[Mapping[str, Json]]) -> Iterator[str]:
    """In an open tool loop the assistant's turn must begin with thinking, where thinking has a budget."""
    turn: int | None = None
    for index in range(len(messages) - 1, -1, -1):
        message = messages[index]
        if message["role"] == "user" and not _of(message, "tool_result"):
            break
        turn = index if message["role"] == "assistant" else turn
    if turn is None or not (found := _blocks(messages[turn])) or not _of(messages[turn], "tool_use"):
        return
    kind = found[0].get("type")
    if kind not in _THINKING:
        yield (
            f"messages.{turn}.content.0.type: Expected `thinking` or `redacted_thinking`, but found `{kind}`. When `thinking` is enabled, a"
            " final `assistant` message must start with a thinking block (preceeding the lastmost set of `tool_use` and `tool_result`"
            " blocks). To avoid this requirement, disable `thinking`."
        )

"""Request bodies as callers write them, in each dialect, with and without marks. Keys that nobody knows stand among the known ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from holdfast.transcript import Dialect

Json = Any

WORDS = st.text(min_size=1, max_size=12)
NAMES = st.sampled_from(["bash", "read", "läs", "日本"])
IDS = st.integers(0, 99).map(lambda number: f"id_{number}")
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=4,
)
EXTRA = st.dictionaries(st.sampled_from(["reasoning_content", "x_vendor", "annotations"]), VALUES, max_size=2)
ANTHROPIC_MARKS = st.sampled_from([{"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h"}])
OPENAI_MARKS = st.sampled_from([{"mode": "explicit"}, {"mode": "explicit", "ttl": "12h"}])
KEYS: Mapping[Dialect, str] = {
    "anthropic": "cache_control",
    "openai-chat": "prompt_cache_breakpoint",
    "openai-responses": "prompt_cache_breakpoint",
    "bedrock-converse": "cachePoint",
}
TTLS: Mapping[Dialect, list[int]] = {
    "anthropic": [300, 3600],
    "openai-chat": [1800, 43_200],
    "openai-responses": [1800, 43_200],
    "bedrock-converse": [300, 3600],
}


@st.composite
def maybe_marked(draw: st.DrawFn, items: st.SearchStrategy[Json], key: str, marks: st.SearchStrategy[Json]) -> Json:
    """An item that carries a mark in one of three cases, as its last key."""
    item = draw(items)
    return {**item, key: draw(marks)} if draw(st.integers(0, 2)) == 0 else item


def shapes(*parts: tuple[dict[str, Json], dict[str, st.SearchStrategy[Json]]]) -> st.SearchStrategy[Json]:
    """One of several objects, each with fixed fields, then drawn ones, then extras."""
    return st.one_of(
        *(
            st.builds(lambda drawn, extra, fixed=fixed: {**fixed, **drawn, **extra}, st.fixed_dictionaries(fields), EXTRA)
            for fixed, fields in parts
        )
    )


UNKNOWN = shapes(({"type": "from_tomorrow"}, {"payload": VALUES}))

# --- Anthropic ----------------------------------------------------------------------------------------------------------

TEXTS = shapes(({"type": "text"}, {"text": WORDS}))
ANTHROPIC_USER = shapes(
    ({"type": "text"}, {"text": WORDS}),
    ({"type": "tool_result"}, {"tool_use_id": IDS, "content": WORDS | st.lists(TEXTS, max_size=2)}),
    ({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}, {}),
    ({"type": "from_tomorrow"}, {"payload": VALUES}),
)
ANTHROPIC_SAID = shapes(
    ({"type": "text"}, {"text": WORDS}),
    ({"type": "thinking"}, {"thinking": WORDS, "signature": WORDS}),
    ({"type": "tool_use"}, {"id": IDS, "name": NAMES, "input": st.dictionaries(WORDS, VALUES, max_size=2)}),
    ({"type": "server_tool_use"}, {"id": IDS, "name": NAMES, "input": VALUES}),
)


def _marked(items: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    return maybe_marked(items, "cache_control", ANTHROPIC_MARKS)


def _message(role: str, content: st.SearchStrategy[Json], extra: st.SearchStrategy[Json] = EXTRA) -> st.SearchStrategy[Json]:
    return st.builds(lambda said, more: {"role": role, "content": said, **more}, content, extra)


ANTHROPIC = st.fixed_dictionaries(
    {
        "model": st.just("claude-sonnet-4-5"),
        "messages": st.lists(
            _message("user", WORDS | st.lists(_marked(ANTHROPIC_USER), max_size=3))
            | _message("assistant", WORDS | st.lists(_marked(ANTHROPIC_SAID), max_size=3)),
            max_size=6,
        ),
    },
    optional={
        "system": WORDS | st.lists(_marked(TEXTS), max_size=3),
        "tools": st.lists(_marked(st.fixed_dictionaries({"name": NAMES, "description": WORDS, "input_schema": VALUES})), max_size=3),
        "max_tokens": st.integers(1, 9),
    },
)

# --- OpenAI Chat Completions --------------------------------------------------------------------------------------------

CHAT_PARTS = shapes(
    ({"type": "text"}, {"text": WORDS}), ({"type": "image_url"}, {"image_url": st.fixed_dictionaries({"url": WORDS})}), ({"type": "x"}, {})
)
CHAT_CALLS = st.lists(
    shapes(
        ({"type": "function"}, {"id": IDS, "function": st.fixed_dictionaries({"name": NAMES, "arguments": WORDS})}),
        ({"type": "custom"}, {"id": IDS, "custom": st.fixed_dictionaries({"name": NAMES, "input": WORDS})}),
    ),
    min_size=1,
    max_size=3,
)


def _openai(items: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    return maybe_marked(items, "prompt_cache_breakpoint", OPENAI_MARKS)


@st.composite
def chat_answers(draw: st.DrawFn) -> Json:
    """What the assistant said and called; its content may be null, its output carries no mark."""
    message: dict[str, Json] = {"role": "assistant", "content": draw(st.none() | st.just("") | WORDS | st.lists(CHAT_PARTS, max_size=2))}
    if draw(st.booleans()):
        message["tool_calls"] = draw(CHAT_CALLS)
    return {**message, **draw(EXTRA)}


CHAT_RESULTS = st.builds(
    lambda call, said, more: {"role": "tool", "tool_call_id": call, "content": said, **more},
    IDS,
    WORDS | st.lists(_openai(TEXTS), min_size=1, max_size=2),
    EXTRA,
)
CHAT_SYSTEM = st.sampled_from(["system", "developer"]).flatmap(lambda role: _message(role, WORDS | st.lists(_openai(TEXTS), max_size=2)))
FUNCTIONS = st.lists(st.builds(lambda name: {"type": "function", "function": {"name": name, "parameters": {}}}, NAMES), max_size=3)
CHAT = st.builds(
    lambda leading, messages, rest: {"model": "gpt-5.6", "messages": leading + messages, **rest},
    st.lists(CHAT_SYSTEM, max_size=2),
    st.lists(_message("user", WORDS | st.lists(_openai(CHAT_PARTS), max_size=3)) | chat_answers() | CHAT_RESULTS | CHAT_SYSTEM, max_size=6),
    st.fixed_dictionaries({}, optional={"tools": FUNCTIONS, "tool_choice": st.sampled_from(["auto", "none"]), "seed": st.integers()}),
)

# --- OpenAI Responses ---------------------------------------------------------------------------------------------------

INPUT_PARTS = shapes(({"type": "input_text"}, {"text": WORDS}), ({"type": "input_image"}, {"image_url": WORDS}))
ITEMS = (
    st.builds(
        lambda role, said, more: {"type": "message", "role": role, "content": said, **more},
        st.sampled_from(["user", "developer"]),
        WORDS | st.lists(_openai(INPUT_PARTS), max_size=3),
        EXTRA,
    )
    | _message("user", WORDS)
    | _message("assistant", WORDS | st.lists(shapes(({"type": "output_text"}, {"text": WORDS}), ({"type": "refusal"}, {})), max_size=2))
    | shapes(
        ({"type": "function_call"}, {"call_id": IDS, "name": NAMES, "arguments": WORDS}),
        ({"type": "custom_tool_call"}, {"call_id": IDS, "name": NAMES, "input": WORDS}),
        ({"type": "local_shell_call"}, {"call_id": IDS, "action": st.fixed_dictionaries({"command": st.lists(WORDS, max_size=2)})}),
        (
            {"type": "function_call_output"},
            {"call_id": IDS, "output": WORDS | st.lists(_openai(shapes(({"type": "input_text"}, {"text": WORDS}))), max_size=2)},
        ),
        ({"type": "custom_tool_call_output"}, {"call_id": IDS, "output": WORDS}),
        ({"type": "reasoning"}, {"summary": st.lists(TEXTS, max_size=1), "encrypted_content": WORDS}),
        ({"type": "web_search_call"}, {"id": IDS, "action": VALUES}),
        ({"type": "compaction"}, {"encrypted_content": WORDS}),
    )
)
RESPONSES = st.builds(
    lambda given, rest: {"model": "gpt-5.6", "input": given, **rest},
    WORDS | st.lists(ITEMS, max_size=7),
    st.fixed_dictionaries(
        {}, optional={"instructions": WORDS, "tools": st.lists(st.builds(lambda n: {"type": "function", "name": n}, NAMES))}
    ),
)

# --- Bedrock Converse ---------------------------------------------------------------------------------------------------

POINTS = st.sampled_from([{"cachePoint": {"type": "default"}}, {"cachePoint": {"type": "default", "ttl": "1h"}}])
CONVERSE_TEXTS = shapes(({}, {"text": WORDS}))
CONVERSE_USER = shapes(
    ({}, {"text": WORDS}),
    (
        {},
        {
            "toolResult": st.fixed_dictionaries(
                {"toolUseId": IDS, "content": st.lists(CONVERSE_TEXTS | shapes(({}, {"json": VALUES})), max_size=2)},
                optional={"status": st.sampled_from(["success", "error"])},
            )
        },
    ),
    ({"image": {"format": "png", "source": {"bytes": "aGk="}}}, {}),
    ({}, {"document": st.builds(lambda form: {"format": form, "name": "d", "source": {"bytes": "aGk="}}, st.sampled_from(["pdf", "md"]))}),
    ({"video": {"format": "mp4", "source": {"bytes": "aGk="}}}, {}),
)
CONVERSE_SAID = shapes(
    ({}, {"text": WORDS}),
    ({}, {"reasoningContent": st.fixed_dictionaries({"reasoningText": st.fixed_dictionaries({"text": WORDS, "signature": WORDS})})}),
    ({}, {"toolUse": st.fixed_dictionaries({"toolUseId": IDS, "name": NAMES, "input": st.dictionaries(WORDS, VALUES, max_size=2)})}),
)
CONVERSE_TOOLS = shapes(({}, {"toolSpec": st.fixed_dictionaries({"name": NAMES, "inputSchema": st.just({"json": {}})})}))


def _pointed(items: st.SearchStrategy[Json], least: int = 0) -> st.SearchStrategy[list[Json]]:
    """Up to three blocks, some with a cache point behind them."""
    return st.lists(st.tuples(items, st.none() | st.none() | POINTS), min_size=least, max_size=3).map(
        lambda pairs: [each for pair in pairs for each in pair if each is not None]
    )


CONVERSE = st.fixed_dictionaries(
    {
        "modelId": st.just("anthropic.claude-sonnet-4-5-20250929-v1:0"),
        "messages": st.lists(_message("user", _pointed(CONVERSE_USER)) | _message("assistant", _pointed(CONVERSE_SAID)), max_size=6),
    },
    optional={
        "system": _pointed(CONVERSE_TEXTS),
        "toolConfig": st.builds(lambda tools, more: {"tools": tools, **more}, _pointed(CONVERSE_TOOLS, 1), EXTRA),
        "inferenceConfig": st.just({"maxTokens": 9}),
    },
)

BODIES: Mapping[Dialect, st.SearchStrategy[dict[str, Json]]] = {
    "anthropic": ANTHROPIC,
    "openai-chat": CHAT,
    "openai-responses": RESPONSES,
    "bedrock-converse": CONVERSE,
}


def any_body() -> st.SearchStrategy[tuple[Dialect, dict[str, Json]]]:
    """A dialect and a body in it."""
    return st.sampled_from(sorted(BODIES)).flatmap(lambda dialect: BODIES[dialect].map(lambda body: (dialect, body)))

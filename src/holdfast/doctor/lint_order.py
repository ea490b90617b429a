"""Order that may not be the same next time: of tools in their list, of keys in their objects."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from itertools import pairwise

from holdfast.blocks import Kind
from holdfast.doctor.lint_advice import Advice, Severity
from holdfast.doctor.lint_forms import Item
from holdfast.doctor.lint_sheet import Sheet
from holdfast.frozen import Json

_ENOUGH_TOOLS = 8
"""A list of fewer is mostly written by hand, in an order of its own that holds."""

_ENOUGH_PAIRS = 8
_DEPTH = 40


def _inner(raw: Json) -> Mapping[str, Json]:
    """A tool definition without OpenAI's or Converse's wrapping."""
    for key in ("function", "custom", "toolSpec"):
        if isinstance(raw, dict) and isinstance(raw.get(key), dict):
            inner: Mapping[str, Json] = raw[key]
            return inner
    return raw if isinstance(raw, dict) else {}


def _named(sheet: Sheet) -> list[tuple[Item, str]]:
    tools = ((item, _inner(item.raw).get("name")) for item in sheet.items if item.block.kind is Kind.TOOL)
    return [(item, name) for item, name in tools if isinstance(name, str)]


def duplicate_tools(sheet: Sheet) -> Iterator[Advice]:
    """Two tools of one name: Anthropic refuses that, and elsewhere one of them is paid for nothing."""
    first: dict[str, str] = {}
    for item, name in _named(sheet):
        if name in first:
            yield Advice(
                "duplicate_tool",
                item.path,
                f"the tool {name!r} is defined twice, here and at {first[name]}.",
                "Register each tool once; a list that is added to on every request also grows the prefix.",
                Severity.CERTAIN if sheet.form == "anthropic" else Severity.LIKELY,
                item.block.tokens,
            )
        first.setdefault(name, item.path)


def unsorted_tools(sheet: Sheet) -> Iterator[Advice]:
    """Many tools in no order, or those of several servers mixed: as they come from a map, or from servers that connect as they can."""
    names = [name for _, name in _named(sheet)]
    if len(names) < _ENOUGH_TOOLS or names == sorted(names) or names == sorted(names, key=str.lower):
        return
    mixed = _is_mixed([_server(name) for name in names])
    if not mixed and not _is_shuffled(names):
        return
    what = "tools of several servers stand mixed together" if mixed else f"{len(names)} tools stand in no order by name or group"
    yield Advice(
        "unsorted_tools",
        "tools" if sheet.form != "converse" else "toolConfig.tools",
        f"{what}; if their order comes from a map or from which server answers first, it changes and everything is written again.",
        "Sort the tools by name once, when the session begins, and add later ones at the end.",
        Severity.POSSIBLE,
        max(sheet.reusable, sheet.upto(sheet.head)),
    )


def _server(name: str) -> str:
    """``mcp__server__tool`` and ``server__tool`` name their server."""
    return name.rpartition("__")[0]


def _is_mixed(servers: list[str]) -> bool:
    runs = [server for index, server in enumerate(servers) if server and (index == 0 or servers[index - 1] != server)]
    return len(runs) > len(set(runs)) and len(set(runs)) > 1


def _is_shuffled(names: list[str]) -> bool:
    """Tools that programs gather bear their server's name; only of those is an order by name to be expected."""
    served = [name for name in names if _server(name)]
    runs = [[name for name in served if _server(name) == server] for server in dict.fromkeys(map(_server, served))]
    return any(len(run) >= _ENOUGH_TOOLS and _falls(run) * 3 > len(run) for run in runs)


def _falls(names: list[str]) -> int:
    """How often a name stands before one that sorts earlier."""
    return sum(one > other for one, other in pairwise(names))


def key_order(sheet: Sheet) -> Iterator[Advice]:
    """Objects of one kind and with the same keys, written with their keys in different orders: as maps without an order are written.

    Only what the caller's program writes counts: tool definitions, messages and their blocks. The input of a tool call is in
    the order in which the model wrote it, and the order of a schema's ``properties`` and ``required`` is its author's. Schemas are
    compared within one tool: those of several servers are written by several libraries, each with an order of its own.
    """
    tools = [item for item in sheet.items if item.block.kind is Kind.TOOL]
    yield from _mixed_orders("the tool definitions", [(item.path, item.raw) for item in tools], sheet.tokens)
    schemas = (_mixed_orders("the schemas of the tools", list(_schema_nodes(_schema(item.raw), item.path)), sheet.tokens) for item in tools)
    yield from sorted((advice for found in schemas for advice in found), key=lambda advice: advice.severity.rank)[:1]
    yield from _mixed_orders("the messages", list(_messages(sheet)), max(0, sheet.tokens - sheet.upto(sheet.head)))


def _schema(raw: Json) -> Json:
    inner = _inner(raw)
    found = next((inner[key] for key in ("input_schema", "parameters", "inputSchema") if key in inner), None)
    return found.get("json", found) if isinstance(found, dict) else None


def _schema_nodes(node: Json, path: str, depth: int = 0) -> Iterator[tuple[str, Json]]:
    """The schema nodes inside a schema: an object under ``properties`` is no node itself, its values are."""
    if not isinstance(node, dict) or depth > _DEPTH:
        return
    yield path, node
    for key in ("properties", "$defs", "definitions"):
        held = node.get(key)
        for name, inner in held.items() if isinstance(held, dict) else ():
            yield from _schema_nodes(inner, f"{path}.{key}.{name}", depth + 1)
    yield from _schema_nodes(node.get("items"), f"{path}.items", depth + 1)
    for key in ("anyOf", "oneOf", "allOf"):
        held = node.get(key)
        for index, inner in enumerate(held if isinstance(held, list) else ()):
            yield from _schema_nodes(inner, f"{path}.{key}[{index}]", depth + 1)


def _messages(sheet: Sheet) -> Iterator[tuple[str, Json]]:
    """Messages and the blocks in them, but the answers of the model, which a program may send back as they came."""
    key = "input" if sheet.form == "openai-responses" else "messages"
    held = sheet.body.get(key)
    for index, raw in enumerate(held if isinstance(held, list) else ()):
        if isinstance(raw, dict) and raw.get("role") in ("user", "tool", "system", "developer"):
            yield f"{key}[{index}]", raw
            content = raw.get("content")
            yield from ((f"{key}[{index}].content[{at}]", part) for at, part in enumerate(content if isinstance(content, list) else ()))


def _mixed_orders(noun: str, objects: list[tuple[str, Json]], tokens: int) -> Iterator[Advice]:
    """At most one advice: for the keys that are most often out of the common order."""
    orders: dict[tuple[str, ...], Counter[tuple[str, ...]]] = defaultdict(Counter)
    first: dict[tuple[str, ...], str] = {}
    for path, value in objects:
        keys = tuple(value) if isinstance(value, dict) else ()
        if len(keys) > 1:
            orders[tuple(sorted((*keys, str(value.get("role")), str(value.get("type"))[:40])))][keys] += 1
            first.setdefault(keys, path)
    worst = max(orders.values(), key=lambda counts: counts.total() - max(counts.values()), default=None)
    severity = _judged(worst) if worst else None
    if worst and severity:
        (usual, _), (other, count) = worst.most_common(2)
        yield Advice(
            "key_order",
            first[other],
            f"{noun} write the same keys in {len(worst)} orders ({_listed(usual)} and {count} times {_listed(other)}): "
            "if a map without an order writes them, the bytes change from one request to the next.",
            "Write JSON from ordered maps or with sorted keys, and send again the bytes that were sent first.",
            severity,
            tokens,
        )


def _judged(orders: Counter[tuple[str, ...]]) -> Severity | None:
    """Three orders of the same keys are chance. Two are two places in a program, unless there are but two keys and it goes to and fro."""
    total, usual = orders.total(), max(orders.values())
    if (total - usual) * 4 < total:
        return None
    if len(orders) >= 3:
        return Severity.LIKELY
    return Severity.POSSIBLE if len(orders) == 2 and total >= _ENOUGH_PAIRS and len(next(iter(orders))) == 2 else None


def _listed(keys: tuple[str, ...]) -> str:
    shown = ", ".join(key[:24] for key in keys[:4])
    return f"{shown}, …" if len(keys) > 4 else shown

"""Evaluates the ``checks`` of an incident: small Python expressions over the published numbers, walked and never handed to ``eval``.

Known are literals, the names ``r`` (the requests) and ``a`` (what else was published), arithmetic, comparisons, ``and`` / ``or`` /
``not``, ``if`` expressions, subscripts, comprehensions, and calls of ``FUNCTIONS`` and of a dictionary's reading methods.
Everything else raises ``Refused``: another name, an attribute, a lambda, a power.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any

FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    **{function.__name__: function for function in (all, any, sum, abs, len, min, max, zip, range, round, sorted, set, list, enumerate)},
}
_METHODS = frozenset({"get", "keys", "values", "items"})
_BINARY: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_UNARY: Mapping[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: operator.not_,
}
_COMPARE: Mapping[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda one, other: one in other,
    ast.NotIn: lambda one, other: one not in other,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
}


class Refused(ValueError):
    """The expression holds something that a check may not hold."""


def holds(expression: str, **names: Any) -> bool:
    """Whether a check is true. Raises ``Refused`` for what is no check, ``SyntaxError`` for what is no expression."""
    return bool(_value(ast.parse(expression.strip(), mode="eval").body, names))


def _value(node: ast.AST, names: Mapping[str, Any]) -> Any:
    walk = _NODES.get(type(node))
    if walk is None:
        raise Refused(f"a check may not hold a {type(node).__name__}: {ast.unparse(node)}")
    return walk(node, names)


def _name(node: ast.Name, names: Mapping[str, Any]) -> Any:
    if node.id not in names:
        raise Refused(f"a check knows no {node.id!r}")
    return names[node.id]


def _known(table: Mapping[Any, Any], node: ast.AST) -> Any:
    if type(node) not in table:
        raise Refused(f"a check may not hold {type(node).__name__}")
    return table[type(node)]


def _bool(node: ast.BoolOp, names: Mapping[str, Any]) -> Any:
    value: Any = None
    for part in node.values:
        value = _value(part, names)
        if bool(value) is isinstance(node.op, ast.Or):
            break
    return value


def _compare(node: ast.Compare, names: Mapping[str, Any]) -> bool:
    left = _value(node.left, names)
    for sign, part in zip(node.ops, node.comparators, strict=True):
        right = _value(part, names)
        if not _known(_COMPARE, sign)(left, right):
            return False
        left = right
    return True


def _call(node: ast.Call, names: Mapping[str, Any]) -> Any:
    given = [_value(argument, names) for argument in node.args]
    named = {keyword.arg: _value(keyword.value, names) for keyword in node.keywords if keyword.arg}
    if isinstance(node.func, ast.Name) and node.func.id in FUNCTIONS:
        return FUNCTIONS[node.func.id](*given, **named)
    if isinstance(node.func, ast.Attribute) and node.func.attr in _METHODS:
        owner = _value(node.func.value, names)
        if isinstance(owner, dict):
            return getattr(owner, node.func.attr)(*given, **named)
    raise Refused(f"a check may not call {ast.unparse(node.func)}")


def _subscript(node: ast.Subscript, names: Mapping[str, Any]) -> Any:
    return _value(node.value, names)[_value(node.slice, names)]


def _slice(node: ast.Slice, names: Mapping[str, Any]) -> slice:
    return slice(*(None if part is None else _value(part, names) for part in (node.lower, node.upper, node.step)))


def _bound(target: ast.AST, value: Any) -> dict[str, Any]:
    if isinstance(target, ast.Name):
        return {target.id: value}
    if isinstance(target, ast.Tuple):
        pairs = zip(target.elts, value, strict=True)
        return {name: item for part, found in pairs for name, item in _bound(part, found).items()}
    raise Refused(f"a check may not bind {ast.unparse(target)}")


def _rows(generators: list[ast.comprehension], names: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    if not generators:
        yield names
        return
    first, *others = generators
    for item in _value(first.iter, names):
        inner = {**names, **_bound(first.target, item)}
        if all(_value(test, inner) for test in first.ifs):
            yield from _rows(others, inner)


def _items(node: ast.ListComp | ast.SetComp | ast.GeneratorExp, names: Mapping[str, Any]) -> Iterator[Any]:
    return (_value(node.elt, inner) for inner in _rows(node.generators, names))


_NODES: Mapping[type[ast.AST], Callable[[Any, Mapping[str, Any]], Any]] = {
    ast.Constant: lambda node, names: node.value,
    ast.Name: _name,
    ast.Tuple: lambda node, names: tuple(_value(part, names) for part in node.elts),
    ast.List: lambda node, names: [_value(part, names) for part in node.elts],
    ast.Set: lambda node, names: {_value(part, names) for part in node.elts},
    ast.Dict: lambda node, names: {_value(k, names): _value(v, names) for k, v in zip(node.keys, node.values, strict=True)},
    ast.BinOp: lambda node, names: _known(_BINARY, node.op)(_value(node.left, names), _value(node.right, names)),
    ast.UnaryOp: lambda node, names: _known(_UNARY, node.op)(_value(node.operand, names)),
    ast.BoolOp: _bool,
    ast.Compare: _compare,
    ast.IfExp: lambda node, names: _value(node.body if _value(node.test, names) else node.orelse, names),
    ast.Call: _call,
    ast.Subscript: _subscript,
    ast.Slice: _slice,
    ast.GeneratorExp: _items,
    ast.ListComp: lambda node, names: list(_items(node, names)),
    ast.SetComp: lambda node, names: set(_items(node, names)),
}

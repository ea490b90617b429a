"""``holdfast strategies``: what can be asked for by name."""

from __future__ import annotations

import inspect
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any

from holdfast.cli import options, output


def strategies(json: options.Json = None) -> None:
    """What each strategy does, and its options.

    Lists everything registered under the entry-point group holdfast.strategies.
    """
    from holdfast.report.catalogue import Described, as_json, catalogue
    from holdfast.strategies import ALIASES, registered

    rows = [
        Described(
            name=name,
            aliases=tuple(alias for alias, meant in ALIASES.items() if meant == name),
            summary=summary(found),
            options=tuple(option(field) for field in settable(found)),
            asks=asks(found()),
        )
        for name, found in registered().items()
    ]
    if json is not None:
        output.write_json(json, [as_json(rows)])
    if json != output.STDIO:
        output.console().print(catalogue(rows))


def summary(strategy: type) -> str:
    """The first paragraph of a class's docstring, on one line."""
    text = inspect.getdoc(strategy) or ""
    return " ".join(text.split("\n\n")[0].split())


def settable(strategy: type) -> list[Field[Any]]:
    """What may be set when the strategy is made; its name is not an option."""
    return [field for field in fields(strategy) if field.init and field.name != "name"] if is_dataclass(strategy) else []


def option(field: Field[Any]) -> str:
    """An option and its default, as it would be written."""
    value = field.default if field.default is not MISSING else field.default_factory() if callable(field.default_factory) else None
    if isinstance(value, frozenset | set | tuple | list):
        names = [str(getattr(each, "name", each)) for each in value]
        return f"{field.name} ({', '.join(names if isinstance(value, tuple | list) else sorted(names)) or 'empty'})"
    return f"{field.name}={value!r}"


def asks(strategy: Any) -> str:
    """Whether a strategy asks a model: by its option ``ask_model``, or by what it is composed of."""
    if hasattr(strategy, "ask_model"):
        return "yes" if strategy.ask_model else "if told to"
    return "yes" if "yes" in map(asks, getattr(strategy, "steps", ())) else "no"

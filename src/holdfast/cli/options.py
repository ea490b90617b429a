"""The options that commands share, and how what was typed becomes a value; a wrong one is answered with what would be right."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, cast, get_args

import typer

from holdfast.errors import InputError
from holdfast.schedule import TRIGGER_TOKENS
from holdfast.simulator.requests import Ttl

_UNITS = {"k": 1_000.0, "m": 1_000_000.0, "%": 0.01}

Json = Annotated[str | None, typer.Option("--json", metavar="FILE", help="Write every figure as JSON; - for standard output.")]
Model = Annotated[str | None, typer.Option("--model", metavar="NAME", help="Bill as if this model had been asked.")]
Trigger = Annotated[
    str | None,
    typer.Option("--trigger", metavar="SIZE", help="Shorten when a prompt exceeds this: tokens (150k) or a share of the window (75%)."),
]
Target = Annotated[str | None, typer.Option("--target", metavar="SIZE", help="Shorten down to this: tokens or a share of the window.")]
Lifetime = Annotated[str | None, typer.Option("--ttl", metavar="5m|1h", help="Lifetime of cache entries [default: as recorded].")]
Keep = Annotated[str | None, typer.Option("--keep", metavar="TOKENS", help="Tokens at the end that no strategy touches [default: 10k].")]
PricesFile = Annotated[Path | None, typer.Option("--prices", metavar="FILE", help="JSON or TOML with prices laid over the built-in ones.")]
Strict = Annotated[bool, typer.Option("--strict", help="Stop at the first line that cannot be used instead of skipping it.")]


def size(option: str, text: str | None) -> float | None:
    """``150000``, ``150k``, ``0.75`` or ``75%``. Raises ``InputError``."""
    if text is None:
        return None
    plain = text.strip().lower().replace(",", "").replace("_", "")
    unit = _UNITS.get(plain[-1:])
    try:
        value = float(plain) if unit is None else float(plain[:-1]) * unit
    except ValueError:
        value = 0.0
    if not 0 < value < 1e9:
        raise InputError(f"{option} {text}: not a size; say tokens (150000, 150k) or a share of the window (0.75, 75%)")
    return value


def thresholds(trigger: str | None, target: str | None) -> tuple[float | None, float | None]:
    """Where shortening starts and where it aims. Raises ``InputError`` where the second is not below the first."""
    start, aim = size("--trigger", trigger), size("--target", target)
    known = TRIGGER_TOKENS if start is None else start
    if aim is not None and aim >= known and (aim < 1) == (known < 1):
        raise InputError(f"--target {target}: must be below the trigger, which is {trigger or f'{TRIGGER_TOKENS:,}'}; say --trigger too")
    return start, aim


def tokens(option: str, text: str | None, default: int) -> int:
    """A number of tokens. Raises ``InputError``."""
    if text == "0":
        return 0
    value = size(option, text)
    if value is None:
        return default
    if value < 1:
        raise InputError(f"{option} {text}: a number of tokens is needed (20000, 20k)")
    return round(value)


def lifetime(text: str | None) -> Ttl | None:
    """A cache lifetime. Raises ``InputError``."""
    known = get_args(Ttl)
    if text is not None and text not in known:
        raise InputError(f"--ttl {text}: no such lifetime; say {' or '.join(known)}")
    return cast(Ttl | None, text)


def near(name: str, known: Iterable[str]) -> str:
    """The part of a sentence that says what was perhaps meant, else what there is."""
    names: Sequence[str] = list(known)
    close = difflib.get_close_matches(name.lower(), names, n=3, cutoff=0.6)
    return f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(names)}"


def known_model(model: str | None, prices: Path | None) -> str | None:
    """The model as given, once its price is known. Raises ``UnknownModel`` with near names."""
    if model is not None:
        from holdfast.pricing import Prices

        Prices.load(prices).find(model)
    return model

"""The options that commands share, and how what was typed becomes a value; a wrong one is answered with what would be right."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast, get_args

import typer

from holdfast.errors import BadPrices, InputError
from holdfast.schedule import TRIGGER_TOKENS
from holdfast.simulator.requests import Ttl

if TYPE_CHECKING:
    from holdfast.pricing import Prices

_TABLE = re.compile(r"a valid dictionary or instance of \w+")
_MUST = re.compile(r"\binput should be\b")
_UNITS = {"k": 1_000.0, "m": 1_000_000.0, "%": 0.01}
MOST = 1e9
"""Tokens beyond which a size is a slip of the finger."""

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
    """``150000``, ``150k``, ``0.75`` or ``75%``; the whole window and more is no share. Raises ``InputError``."""
    if text is None:
        return None
    value = _number(text)
    if text.strip().endswith("%") and value >= 1:
        raise InputError(f"{option} {text}: a share of the window must be below 100%; say tokens (150000, 150k) or a share (0.75, 75%)")
    if not 0 < value < MOST:
        raise InputError(f"{option} {text}: not a size; say tokens (150000, 150k) or a share of the window (0.75, 75%)")
    return value


def _number(text: str) -> float:
    """The number that a size is, 0 where it is none."""
    plain = text.strip().lower().replace(",", "").replace("_", "")
    unit = _UNITS.get(plain[-1:])
    try:
        return float(plain) if unit is None else float(plain[:-1]) * unit
    except ValueError:
        return 0.0


def thresholds(trigger: str | None, target: str | None) -> tuple[float | None, float | None]:
    """Where shortening starts and where it aims. Raises ``InputError`` where the second is not below the first."""
    start, aim = size("--trigger", trigger), size("--target", target)
    known = TRIGGER_TOKENS if start is None else start
    if aim is not None and aim >= known and (aim < 1) == (known < 1):
        raise InputError(f"--target {target}: must be below the trigger, which is {trigger or f'{TRIGGER_TOKENS:,}'}; say --trigger too")
    return start, aim


def tokens(option: str, text: str | None, default: int) -> int:
    """A number of tokens. Raises ``InputError``."""
    if text is None:
        return default
    if text.strip() == "0":
        return 0
    value = _number(text)
    if not 1 <= value < MOST or text.strip().endswith("%"):
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
        own_prices(prices).find(model)
    return model


def own_prices(file: Path | None) -> Prices:
    """The built-in prices with a file's laid over them. Raises ``InputError`` that says in plain words what is wrong with the file."""
    from holdfast.pricing import Prices

    if file is None:
        return Prices.load()
    try:
        file.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror or error})") from None
    except UnicodeDecodeError:
        raise InputError(f"{file}: cannot be read (it is not UTF-8 text)") from None
    try:
        return Prices.load(file)
    except BadPrices as error:
        raise BadPrices(_MUST.sub("must be", _TABLE.sub("an object with names and values", str(error)))) from None

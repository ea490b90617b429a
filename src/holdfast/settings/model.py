"""What can be set from outside the program, with its type, its unit and its default."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

_UNITS = {"k": 1_000.0, "m": 1_000_000.0, "%": 0.01}


def _size(value: object) -> object:
    """``150k`` and ``75%`` as numbers; anything else is left to the type."""
    if not isinstance(value, str):
        return value
    plain = value.strip().lower().replace("_", "").replace(",", "")
    unit = _UNITS.get(plain[-1:])
    try:
        number = float(plain if unit is None else plain[:-1]) * (unit or 1)
    except ValueError:
        raise ValueError("must be a number, as 150000 or '150k'") from None
    if plain.endswith("%") and number >= 1:
        raise ValueError("a share of the window must be below 100%")
    return int(number) if number >= 1 and number.is_integer() else number


def _none(value: object) -> object:
    """``false`` takes back what somebody else has set: TOML knows no null."""
    return None if value is False or (isinstance(value, str) and value.strip().lower() in ("false", "none", "off")) else value


def _patterns(value: object) -> object:
    """Of the environment: one pattern, or a JSON list of them. Each must be a regular expression."""
    if isinstance(value, str):
        value = json.loads(value) if value.lstrip().startswith("[") else [value]
    if isinstance(value, list | tuple):
        for pattern in value:
            try:
                re.compile(pattern)
            except (re.error, TypeError) as error:
                raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
    return value


def _strategy(value: object) -> object:
    from holdfast.errors import UnknownStrategy
    from holdfast.strategies import named

    if isinstance(value, str):
        try:
            named(value)
        except UnknownStrategy as error:
            raise ValueError(str(error)) from None
    return value


Size = Annotated[
    int | Annotated[float, Field(gt=0, lt=1e9, allow_inf_nan=False)],
    BeforeValidator(_size, json_schema_input_type=int | float | str),
    Field(gt=0, lt=1e9),
]
"""Tokens (150000, "150k") or, below 1, a share of the window (0.75, "75%")."""


class Settings(BaseSettings):
    """All settings. The docstring under each is what ``holdfast settings`` and ``docs/settings.md`` say of it."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, env_prefix="HOLDFAST_")

    strategy: Annotated[str, BeforeValidator(_strategy)] = "ladder"
    """How history is shortened: a name of `holdfast strategies`."""
    trigger: Annotated[Size | None, BeforeValidator(_none)] = None
    """Shorten when a prompt exceeds this: tokens, or a share of the window below 1. By default as the model's window asks."""
    target: Annotated[Size | None, BeforeValidator(_none)] = None
    """Shorten down to this: tokens, or a share of the window below 1."""
    mode: Literal["compact", "observe"] = "compact"
    """`observe` sends every request as it came and tells what would have been."""
    on_error: Literal["pass", "raise"] = "pass"
    """`raise` lets a failure of Holdfast reach the caller."""
    ttl: Literal["5m", "1h"] = "5m"
    """Lifetime of cache entries that marks ask for."""
    keep_tail_tokens: Annotated[int, BeforeValidator(_size), Field(ge=0, lt=10**9)] = 10_000
    """Tokens at the end of the prompt that no strategy touches."""
    marks: Literal["caller", "holdfast", "off"] = "caller"
    """Whose cache marks are sent: the caller's own, Holdfast's in their place, or (`off`) Holdfast sets none."""
    store: Annotated[Path | None, BeforeValidator(_none)] = None
    """File for what left the prompt. By default it is kept in memory. `false` takes it back."""
    record: Annotated[Path | None, BeforeValidator(_none)] = None
    """Request log to append every call to. `false` takes it back."""
    record_max_bytes: Annotated[int, BeforeValidator(_size), Field(gt=0, lt=10**12)] = 64 << 20
    """Bytes at which the request log is rotated."""
    record_keep: Annotated[int, Field(ge=0, lt=10_000)] = 5
    """Rotated request logs that are kept."""
    summaries: Literal["model", "provider", "off"] = "model"
    """Who writes summaries: the model of the conversation, the provider's own compaction, or nobody."""
    summary_model: Annotated[str | None, BeforeValidator(_none)] = None
    """Another model for summaries; it reads the whole prompt uncached."""
    ask_timeout: Annotated[float, Field(gt=0, lt=1e6, allow_inf_nan=False)] = 60.0
    """Seconds that a question to a model may take; the caller's own timeout where that is smaller."""
    background: bool = False
    """Write a summary ahead, beside the conversation, and put it in its place when that is cheap."""
    threads: Literal["stand_down", "unthread"] = "stand_down"
    """What becomes of a message thread that the server keeps: left alone, or sent whole."""
    remind: Annotated[str | None, BeforeValidator(_none)] = None
    """Text that is said again with each message of the user's."""
    volatile: Annotated[tuple[str, ...], BeforeValidator(_patterns)] = ()
    """Regular expressions for what is moved out of the system prompt to the newest message."""
    lineages: Annotated[int, Field(ge=1, lt=10**6)] = 256
    """Conversations that are remembered."""
    cache_keys: bool = True
    """Set `prompt_cache_key` where the caller does not."""
    stream_usage: bool | None = None
    """Ask OpenAI for the usage of a stream, which the caller does not see. By default where it is known to be supported."""
    counter: Literal["sampled", "full"] = "sampled"
    """How tokens are counted: every one, or long texts by samples."""
    telemetry: bool = True
    """Write OpenTelemetry spans where its API is installed."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what is handed over: files and environment are read by ``resolve``, which knows who said what."""
        return (init_settings,)


NAMES = tuple(Settings.model_fields)


def about(name: str) -> str:
    """What a setting does."""
    return Settings.model_fields[name].description or ""


def plain(value: Any) -> Any:
    """A setting's value as JSON."""
    return str(value) if isinstance(value, Path) else list(value) if isinstance(value, tuple) else value

"""The many names of one model: date suffixes, provider prefixes, cloud spellings, window suffixes."""

from __future__ import annotations

import re
from collections.abc import Iterator

_WRAPPING = re.compile(r"^(?:(?:us|eu|apac|jp|au|ca|global|us-gov)\.)?(?:anthropic|deepseek|openai)\.")
_BEHIND = re.compile(r"(?:\[[^\]]*\]|:(?:beta|thinking|nitro|exacto))$")
_VERSION = re.compile(r"-v\d+(?::\d+)?$")
_DATE = re.compile(r"[-@](?:20\d{6}|20\d{2}-\d{2}-\d{2}|latest|default)$")
_TURNED = re.compile(r"^claude-(\d(?:-\d)?)-(opus|sonnet|haiku|fable|mythos)\b")


def spellings(name: str) -> Iterator[str]:
    """What a model may be listed as, the nearest to how it was written first.

    ``us.anthropic.claude-opus-4-5-20251101-v1:0``, ``anthropic/claude-opus-4.5``, ``claude-opus-4-5@20251101`` and
    ``claude-opus-4-5[1m]`` all come to ``claude-opus-4-5``. A date is dropped, never guessed.
    """
    form = name.strip().lower()
    yield form
    form = form.rsplit("/", 1)[-1].lstrip("@")
    yield form
    form = _BEHIND.sub("", _WRAPPING.sub("", form))
    yield form
    form = _VERSION.sub("", form)
    yield form
    form = _DATE.sub("", form)
    yield form
    if form.startswith("claude-"):
        form = form.replace(".", "-")
        yield form
        yield _TURNED.sub(r"claude-\2-\1", form)

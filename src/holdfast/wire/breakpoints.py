"""``prompt_cache_breakpoint``: the cache marks of both OpenAI dialects (GPT-5.6 and later).

They stand on the content parts of user, system, developer and tool messages, never on an assistant's output, a tool
definition or ``instructions``. A mark without a ``ttl`` has the one of ``prompt_cache_options``, 30 minutes if
there is none (OpenAI prompt caching guide, 2026-10; openai 3.54.0 types, 2026-11-17).
"""

from __future__ import annotations

from collections.abc import Mapping

from holdfast.frozen import Json

KEY = "prompt_cache_breakpoint"
DEFAULT = 1800
SECONDS = {"30m": DEFAULT, "12h": 43_200}
_TEXTS = ("text", "input_text")
_CARRIERS = (*_TEXTS, "image_url", "input_image", "file", "input_file", "input_audio")
_NAMES = {seconds: name for name, seconds in SECONDS.items()}


def inherited(body: Mapping[str, Json]) -> int:
    """The lifetime, in seconds, of a mark that names none."""
    options = body.get("prompt_cache_options")
    return SECONDS.get(options.get("ttl") or "", DEFAULT) if isinstance(options, dict) else DEFAULT


def implicit(body: Mapping[str, Json]) -> bool:
    """Whether OpenAI marks the newest message by itself, as it does unless it is told not to."""
    options = body.get("prompt_cache_options")
    return not (isinstance(options, dict) and options.get("mode") == "explicit")


def ttl(part: Json, default: int) -> int | None:
    """The lifetime, in seconds, of the mark on a content part; ``None`` where there is no mark."""
    mark = part.get(KEY) if isinstance(part, dict) else None
    return None if not mark else SECONDS.get(mark.get("ttl") or "", default) if isinstance(mark, dict) else default


def without(part: Json) -> Json:
    """The content part without its mark; the same object where it has none."""
    return {key: value for key, value in part.items() if key != KEY} if isinstance(part, dict) and KEY in part else part


def stripped(raw: Mapping[str, Json], key: str, first: int = 0) -> Mapping[str, Json]:
    """A message without the marks on the parts of its content from ``first`` on; the same object where there are none."""
    content = raw.get(key)
    if not isinstance(content, list) or not any(isinstance(part, dict) and KEY in part for part in content[first:]):
        return raw
    return {**raw, key: content[:first] + [without(part) for part in content[first:]]}


def marked(part: Json, seconds: int, text_type: str) -> Json:
    """The content part with a mark; a bare string becomes a part of ``text_type``."""
    raw = {"type": text_type, "text": part} if isinstance(part, str) else part
    name = _NAMES.get(seconds, "30m")
    return {**raw, KEY: {"mode": "explicit"} if name == "30m" else {"mode": "explicit", "ttl": name}}


def marked_content(content: Json, places: Mapping[int, int], text_type: str) -> Json:
    """A message's content with marks on the parts with these ordinals; a string becomes a list of one part."""
    if not places:
        return content
    parts = [content] if isinstance(content, str) else content
    return [marked(part, places[index], text_type) if index in places else part for index, part in enumerate(parts)]


def listed(raw: Json, key: str, text_type: str) -> Json:
    """A message whose bare string under ``key`` is a list of one part, as it is where a mark stands on it."""
    content = raw.get(key)
    return {**raw, key: [{"type": text_type, "text": content}]} if content and isinstance(content, str) else raw


def takes(part: Json) -> bool:
    """Whether a mark may stand on a content part: on text that is not empty, an image, a file, a sound (openai 3.54.0 types)."""
    if isinstance(part, str):
        return bool(part.strip())
    kind = part.get("type") if isinstance(part, dict) else None
    return kind in _CARRIERS and (kind not in _TEXTS or bool(str(part.get("text") or "").strip()))

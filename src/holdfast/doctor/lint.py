"""Lint: what one request body says, before it is sent, of the cache reads that will be lost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from holdfast.doctor import lint_limits, lint_marks, lint_order
from holdfast.doctor.lint_advice import Advice, Severity, about
from holdfast.doctor.lint_forms import NotABody
from holdfast.doctor.lint_sheet import Sheet, sheet_of
from holdfast.doctor.lint_volatile import volatile
from holdfast.pricing import Prices

__all__ = ["CHECKS", "Advice", "Check", "NotABody", "Severity", "about", "lint"]

_CACHING = "platform.claude.com/docs/en/build-with-claude/prompt-caching"
_OPENAI = "developers.openai.com/api/docs/guides/prompt-caching"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that is looked for, and the page and date of the rule it goes by."""

    run: Callable[[Sheet], Iterable[Advice]]
    source: str


CHECKS = (
    Check(
        volatile,
        f"{_CACHING} (2026-08-21): the prefix must be identical; public reports of clocks, ids and counters in it (2025-08 to 2026-09)",
    ),
    Check(lint_limits.task_budget, f"{_CACHING}, what invalidates the cache (2026-08-21)"),
    Check(lint_order.duplicate_tools, "platform.claude.com/docs/en/api/messages (2026-08-21): tool names are unique"),
    Check(lint_order.unsorted_tools, "github.com/openai/codex/pull/2611 (2025-08), github.com/QwenLM/qwen-code/pull/4518 (2026-05)"),
    Check(lint_order.key_order, f"{_CACHING} (2026-08-21): maps that shuffle keys; github.com/maximhq/bifrost/issues/6591 (2026-08)"),
    Check(lint_marks.refused_places, f"{_CACHING}, what cannot be cached (2026-08-21)"),
    Check(lint_marks.mark_form, f"{_CACHING} (2026-08-21)"),
    Check(lint_marks.too_many_marks, f"{_CACHING} (2026-08-21)"),
    Check(lint_marks.ttl_order, f"{_CACHING}, mixing different TTLs, automatic caching (2026-08-21)"),
    Check(lint_marks.no_marks, f"{_CACHING} (2026-08-21)"),
    Check(lint_marks.mark_on_volatile, f"{_CACHING} (2026-08-21); github.com/goruck/home-generative-agent/issues/617 (2026-09)"),
    Check(lint_marks.newest_only, "github.com/anthropics/claude-code/issues/82739 (2026-07)"),
    Check(lint_marks.tail_unmarked, f"{_CACHING} (2026-08-21); github.com/langchain-ai/deepagents/pull/2713 (2026-04)"),
    Check(lint_marks.look_back, f"{_CACHING} (2026-08-21; runs of tool blocks 2026-09-23)"),
    Check(lint_marks.mark_below_minimum, f"{_CACHING}, minimum by model (2026-08-21)"),
    Check(lint_limits.below_minimum, f"{_CACHING} (2026-08-21), {_OPENAI} (2026-10): minimum by model"),
    Check(lint_limits.explicit_without_marks, f"{_OPENAI} (2026-10)"),
    Check(lint_limits.too_many_writes, f"{_OPENAI} (2026-10)"),
    Check(lint_limits.refused_by_openai, f"{_OPENAI} (2026-10)"),
    Check(lint_limits.no_cache_key, f"{_OPENAI} (2026-10)"),
    Check(lint_limits.unknown_model, "the price table"),
)


def lint(body: Mapping[str, Any], prices: Prices, provider: str = "") -> list[Advice]:
    """What of this request body will keep a prompt cache from being read, the surest and largest first.

    ``body`` is what would be sent to Anthropic's Messages, OpenAI's Chat Completions or Responses, or Bedrock's Converse API.
    ``provider`` (a key of ``caches.cache_for``, or ``"openrouter"``) tells apart what the body alone does not. One body cannot
    show what the next one will be: what is only a sign of change has the severity ``likely`` or ``possible``. Where the model is
    not known, checks of its minimum are left out, and one advice says so. Raises ``NotABody`` for anything else.
    """
    sheet = sheet_of(body, prices, provider)
    found = [replace(advice, source=check.source) for check in CHECKS for advice in check.run(sheet)]
    return sorted(found, key=lambda advice: (advice.severity.rank, -advice.tokens))

"""What a model will not cache at all, and what OpenAI's cache wants to be told.

Rules: OpenAI's prompt caching guide (2026-10), openai 3.54.0 types (2026-11-17); minima by model from the price table.
"""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.blocks import Kind, Role
from holdfast.doctor.lint_advice import Advice, Severity, about
from holdfast.doctor.lint_sheet import Sheet
from holdfast.frozen import Json

_MARGIN = 0.85
_MOST_WRITES = 4


def unknown_model(sheet: Sheet) -> Iterator[Advice]:
    """A model that the price table does not know, so that nothing can be said of its minimum."""
    if sheet.price is None:
        name = repr(sheet.model) if sheet.model else "not named in the body"
        fix = "Name the model, or give its minimum in a file of prices (--prices FILE)."
        what = (
            f"the model is {name}{' and not known' if sheet.model else ''}: whether the prompt is long enough to be cached was not checked."
        )
        yield Advice("unknown_model", "model", what, fix, Severity.POSSIBLE)


def below_minimum(sheet: Sheet) -> Iterator[Advice]:
    """A prompt shorter than the shortest prefix that its model caches. Nothing is said of it by the provider: both counters are 0."""
    least = sheet.price.min_cacheable_tokens if sheet.price else None
    marked = bool(sheet.marked) or sheet.automatic is not None
    if least is None or sheet.tokens * _MARGIN >= least or not (sheet.items and sheet.whole):
        return
    near = sheet.tokens >= least * _MARGIN
    how, then = ("is about", "nothing is cached if it is less") if near else ("is under", "nothing is cached yet")
    yield Advice(
        "below_minimum",
        "",
        f"the prompt of {about(sheet.tokens)} tokens {how} the {least:,} that {sheet.model} caches at the least: {then}.",
        "Nothing to do while it is short; if it is sent often, stable text moved before it (tools, examples) makes it long enough.",
        Severity.LIKELY if marked and not near else Severity.POSSIBLE,
        sheet.tokens,
    )


def task_budget(sheet: Sheet) -> Iterator[Advice]:
    """What is left of a task budget is rendered into the prompt: a miss for the messages whenever it is counted down."""
    config = sheet.body.get("output_config")
    budget = config.get("task_budget") if isinstance(config, dict) else None
    if isinstance(budget, dict) and isinstance(budget.get("remaining"), int | float) and not isinstance(budget["remaining"], bool):
        yield Advice(
            "task_budget_remaining",
            "output_config.task_budget.remaining",
            "what is left of the task budget is rendered into the prompt: each time it is counted down, no message is read from the cache.",
            "Set the total once and leave `remaining` out, or change it at a compaction only.",
            Severity.LIKELY,
            max(0, sheet.reusable - sheet.upto(sheet.head)),
        )


def _options(sheet: Sheet) -> dict[str, Json]:
    options = sheet.body.get("prompt_cache_options")
    return options if isinstance(options, dict) else {}


def explicit_without_marks(sheet: Sheet) -> Iterator[Advice]:
    """OpenAI's explicit mode caches at marks only."""
    if sheet.rules == "openai-marks" and _options(sheet).get("mode") == "explicit" and not sheet.marked:
        yield Advice(
            "explicit_without_marks",
            "prompt_cache_options.mode",
            "the mode is explicit and no part carries a prompt_cache_breakpoint: nothing is cached.",
            "Put a prompt_cache_breakpoint on the last stable part, or leave the mode implicit.",
            Severity.CERTAIN,
            sheet.tokens,
        )


def too_many_writes(sheet: Sheet) -> Iterator[Advice]:
    """More marks than one request writes, the implicit one among them."""
    implicit = _options(sheet).get("mode") != "explicit"
    count = len(sheet.marked) + implicit
    if sheet.rules == "openai-marks" and count > _MOST_WRITES:
        last = sheet.items[sheet.marked[-1]].mark_path
        yield Advice(
            "too_many_writes",
            last,
            f"{count} marks{' with the implicit one' if implicit else ''}, of which a request writes at most {_MOST_WRITES}: "
            "some prefixes get no entry.",
            "Keep the marks at which requests part: the end of the instructions, the end of the shared context.",
            Severity.POSSIBLE,
            sheet.tokens,
        )


def refused_by_openai(sheet: Sheet) -> Iterator[Advice]:
    """Marks where OpenAI takes none, and marks for a model that has none."""
    if not sheet.form.startswith("openai") or sheet.rules == "marks":
        return
    for item in (sheet.items[index] for index in sheet.marked):
        if not item.mark_path.endswith("prompt_cache_breakpoint"):
            continue
        wrong = item.block.role in (Role.ASSISTANT, Role.TOOLS) or item.path.startswith("instructions") or item.block.kind is Kind.THINKING
        if sheet.rules == "openai-marks" and wrong:
            what = "a mark stands where OpenAI takes none: on instructions, a tool, or what the assistant said."
            fix = "Move it to a content part of a user, developer or tool message; instructions can go into a developer message."
            yield Advice("mark_refused", item.mark_path, what, fix, Severity.LIKELY, item.block.tokens)
        elif sheet.price and sheet.rules == "automatic":
            what = f"{sheet.model} has no cache marks: they begin with GPT-5.6."
            yield Advice("mark_unsupported", item.mark_path, what, "Leave the mark out; this model caches by itself.", Severity.LIKELY)
            return


def no_cache_key(sheet: Sheet) -> Iterator[Advice]:
    """OpenAI up to GPT-5.5 routes by the first tokens and ``prompt_cache_key``; without one, requests may part."""
    if sheet.rules != "automatic" or not sheet.price or sheet.price.provider != "openai" or sheet.body.get("prompt_cache_key"):
        return
    if sheet.provider in ("", "openai", "azure") and sheet.tokens * _MARGIN >= (sheet.price.min_cacheable_tokens or 1024):
        yield Advice(
            "no_cache_key",
            "prompt_cache_key",
            "no prompt_cache_key: above about 15 requests a minute with one beginning, some go to a machine that does not hold it.",
            "Set prompt_cache_key to one value for each conversation or each group of requests with the same beginning.",
            Severity.POSSIBLE,
            max(sheet.reusable, sheet.upto(sheet.head)),
        )

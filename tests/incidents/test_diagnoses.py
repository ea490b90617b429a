"""The doctor names cause, place, size and verdict of every incident, told by a log that a recipe builds from the case's own numbers."""

from __future__ import annotations

import pytest

from holdfast.caches import AnthropicCache, AnthropicRules, CacheRequest
from holdfast.doctor.findings import Cause
from holdfast.usage import Usage, from_anthropic
from tests.incidents import recipes_head, recipes_history, recipes_marks, recipes_timing
from tests.incidents.cases import Case, case_of
from tests.incidents.judge import assert_right, findings_of
from tests.incidents.logs import Log, Trial, chain_and_marks
from tests.incidents.registry import recipe
from tests.incidents.sessions import NOT_THEIRS

KNOWN = (recipes_head, recipes_history, recipes_marks, recipes_timing)
"""The modules that register what they know."""

NOT_BY_BYTES = frozenset(
    {"server_side_unexplained", "parallel_race", "account_or_scope_changed", "breakpoint_limit", "breakpoint_ttl_order", "accounting_error"}
)
"""Causes for which the machine reads more than the log says: that is the point of them."""


NOT_AT_OPENAI = frozenset({Cause.BELOW_MINIMUM, Cause.THINKING_CHANGED, Cause.TOOL_CHOICE_CHANGED})
"""Neither is part of a prefix there (prompt caching guide, 2026-10): a loss beside such a change has another cause."""


def test_diagnoses(diagnosed: Case) -> None:
    """Every trial of the case's recipe is diagnosed as it should be: cause, code, place, tokens, verdict, and nothing beside."""
    assert_right(recipe.run(diagnosed))


def test_undecided(undecided: Case) -> None:
    """Where the numbers allow more than one cause, and a best-effort cache may just not hit, nobody is blamed."""
    log = Log(undecided.api)
    for row in undecided.rows:
        prompt = row.get("prompt_tokens") or row.get("cached", 0) + 4_000
        cached = row["cached"] if "cached" in row else int(prompt * row.get("hit_pct", 0) / 100)
        log.send(None, Usage(fresh=prompt - cached, read=cached), model=undecided.model)
    verdicts = {finding.verdict for finding in findings_of(log.trial("bills"))}
    assert verdicts <= NOT_THEIRS


def test_recipes_are_truthful(diagnosed: Case) -> None:
    """Anthropic's rules, run over the bodies that a recipe wrote, read what the recipe says was read."""
    if diagnosed.api != "anthropic" or diagnosed.cause in NOT_BY_BYTES:
        pytest.skip("no machine reads what this provider read")
    for trial in recipe.run(diagnosed):
        _compare(trial)


def _compare(trial: Trial) -> None:
    cache = AnthropicCache(AnthropicRules(tool_runs_count_once=False))
    for place, exchange in enumerate(trial.exchanges):
        if not exchange.body or "usage" not in exchange.response:
            continue
        told = from_anthropic(exchange.response["usage"])
        chain, marks, settings = chain_and_marks(exchange.body, "anthropic")
        scale = chain.tokens() / told.prompt
        assert 0.8 < scale < 1.25, f"{trial.name}: request {place} is {chain.tokens():,} tokens long, billed {told.prompt:,}"
        usage = cache.send(CacheRequest(chain, settings, marks, exchange.at or 0.0, exchange.ended))
        if told.written or told.read:
            read = usage.read / scale
            assert abs(read - told.read) < 0.1 * told.prompt + 300, f"{trial.name}: request {place} reads {read:,.0f}, told {told.read:,}"


@pytest.mark.parametrize("cause", sorted(Cause))
@pytest.mark.parametrize("provider", ["anthropic", "openai"])
def test_every_cause_has_a_recipe(cause: Cause, provider: str) -> None:
    """A case that states nothing but a cause of the doctor's own is diagnosed as that."""
    marked = cause in (
        Cause.ACCOUNTING_ERROR,
        Cause.WRONG_COMPACTION_TIMING,
        Cause.BREAKPOINT_MISPLACED,
        Cause.BREAKPOINT_LOOKBACK_EXCEEDED,
        Cause.BREAKPOINT_LIMIT,
        Cause.BREAKPOINT_TTL_ORDER,
    )
    if provider == "openai" and (marked or cause in NOT_AT_OPENAI):
        pytest.skip("no cause of a loss at OpenAI")
    raw = {"id": cause, "provider": provider, "cause": cause, "diagnosis_code": f"{cause}:of_another_file", "requests": []}
    assert_right(recipe.run(case_of(raw)))

"""The pytest plug-in: a fake provider, and an audit of what an agent's requests did to the cache.

    def test_the_agent_keeps_its_cache(fake_provider, cache_audit):
        run_my_agent(base_url=fake_provider.url)
        assert_hit_rate(cache_audit, at_least=0.9)

It is found by its entry point (``pytest11``); nothing but pytest is imported until a test asks for a fixture.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from holdfast.testing.audit import Audit
    from holdfast.testing.fake.provider import FakeProvider


@pytest.fixture
def fake_provider() -> Iterator[FakeProvider]:
    """A started ``FakeProvider`` on a free port of loopback, stopped after the test. Its caches are empty."""
    from holdfast.testing.fake.provider import FakeProvider

    with FakeProvider() as fake:
        yield fake


@pytest.fixture
def cache_audit(request: pytest.FixtureRequest, fake_provider: FakeProvider) -> Iterator[Audit]:
    """The requests of ``fake_provider`` by conversation: ``hit_rate``, ``breaks``, ``report()``. A failed test shows the report."""
    from holdfast.testing.audit import Audit

    audit = Audit(fake_provider)
    yield audit
    if fake_provider.requests:
        request.node.add_report_section("teardown", "cache audit", audit.report())

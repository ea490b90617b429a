"""What a client does that loses the cached messages is lost under every strategy."""

from __future__ import annotations

import pytest

from holdfast.calibrate import weigh
from holdfast.pricing import Prices
from holdfast.simulator.replay import Conditions, Replay
from holdfast.strategies import named
from holdfast.tokens import Counter
from tests.validation.sessions import Step, recorded

BEGUN = [Step(user=True, grow=20_000), Step(grow=20_000), Step(grow=20_000)]


def reads(signs: tuple[str, ...]) -> list[int]:
    """What each request of a replayed session reads whose fourth request has these signs."""
    transcript = weigh(recorded([*BEGUN, Step(user=True, signs=signs), Step()]), Counter()).transcript
    return [step.usage.read for step in Replay(transcript, named("none"), Conditions(Prices.load())).steps()]


@pytest.mark.parametrize("more", [("resumed",), ("thinking on",)])
def test_a_restart_or_switched_thinking_loses_the_messages_once(more: tuple[str, ...]) -> None:
    """The request at which it happens reads next to nothing of the history, the one after it all of it again."""
    usual = reads(("client 2.1.30", "thinking off"))
    lost = reads(("client 2.1.30", "thinking off", *more) if more == ("resumed",) else ("client 2.1.30", *more))
    assert lost[:3] == usual[:3]
    assert lost[3] < usual[3] // 2
    assert more != ("resumed",) or lost[4] == usual[4]

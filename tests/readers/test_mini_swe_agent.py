"""mini-swe-agent trajectories of both versions: bills, charges, times."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from holdfast.errors import Unreadable
from holdfast.readers import lines, mini_swe_agent
from holdfast.readers.sample import take
from holdfast.transcript import Transcript
from holdfast.usage import Usage
from holdfast.wire.openai_chat import WIRE
from tests.readers.legality import every_fault

PRICES = (Decimal("2.00"), Decimal("0.20"), Decimal("12.00"))


def tokens(found: list[Transcript]) -> Usage:
    """All that was billed."""
    return sum((turn.usage for transcript in found for turn in transcript.turns if turn.usage), Usage())


@pytest.fixture(scope="module")
def gemini(corpus: Path) -> list[Transcript]:
    """The runs of version 1, most of them through OpenRouter."""
    return [t for path in sorted(corpus.glob("mini-swe-agent/gemini-3-pro-openrouter/*.gz")) for t in mini_swe_agent.read(path)]


@pytest.fixture(scope="module")
def deepseek(corpus: Path) -> list[Transcript]:
    """The runs of version 2."""
    return [t for path in sorted(corpus.glob("mini-swe-agent/deepseek/*/*.gz")) for t in mini_swe_agent.read(path)]


def test_version_1_has_the_bills_its_source_states(gemini: list[Transcript]) -> None:
    """5,348 calls in 134 runs; what OpenRouter charged is exact, and the 146 calls made directly to Google carry no charge."""
    assert (len(gemini), sum(len(transcript.turns) for transcript in gemini)) == (134, 5348)
    assert tokens(gemini) == Usage(fresh=13_733_273, read=72_244_400, output=1_369_284)
    charged = [turn.charged for transcript in gemini for turn in transcript.turns if turn.charged is not None]
    assert (len(charged), sum(charged)) == (5202, Decimal("56.9599038"))
    assert all(transcript.head_recorded for transcript in gemini)


def test_each_charge_is_its_usage_at_the_list_price(gemini: list[Transcript]) -> None:
    """$2, $0.20 and $12 a million, to the last digit: usage, charge and turn belong together."""
    for transcript in gemini:
        for turn in transcript.turns:
            if turn.charged is not None and turn.usage is not None:
                counts = (turn.usage.fresh, turn.usage.read, turn.usage.output)
                expected = sum((count * price for count, price in zip(counts, PRICES, strict=True)), Decimal()) / 1_000_000
                assert abs(turn.charged - expected) < Decimal("1e-12")


def test_version_2_has_the_bills_its_source_states(deepseek: list[Transcript]) -> None:
    """4,719 calls in 64 runs; its costs are a price table's and no charge; the tool's definition is missing."""
    assert (len(deepseek), sum(len(transcript.turns) for transcript in deepseek)) == (64, 4719)
    assert tokens(deepseek) == Usage(fresh=2_035_906, read=93_595_904, output=1_041_351)
    assert not any(turn.charged for transcript in deepseek for turn in transcript.turns)
    assert not any(transcript.head_recorded for transcript in deepseek)
    assert {turn.model for transcript in deepseek for turn in transcript.turns} == {"deepseek-chat", "deepseek-reasoner"}


def test_every_recorded_prompt_is_legal_and_timed(gemini: list[Transcript], deepseek: list[Transcript]) -> None:
    """Lineages grow, calls have their results, time goes forward; only version 2 knows when a response was there."""
    for transcript in [*gemini, *deepseek]:
        assert every_fault(transcript) == []
        assert all(turn.at and turn.request for turn in transcript.turns)
        assert transcript.session in transcript.path
    assert all(turn.ended for transcript in deepseek for turn in transcript.turns)


def test_a_prompt_is_the_request_as_it_was_sent(corpus: Path) -> None:
    """The messages of a turn have the bytes of the recorded ones, less what the client kept beside them."""
    for folder in ("gemini-3-pro-openrouter", "deepseek/deepseek_reasoner_dev"):
        path = sorted(corpus.glob(f"mini-swe-agent/{folder}/*.gz"))[0]
        recorded = [{k: v for k, v in raw.items() if k != "extra"} for raw in lines.document(path)["messages"]]
        (transcript,) = mini_swe_agent.read(path)
        turn = transcript.turns[-1]
        sent = recorded[: len(turn.prompt.messages) + 1]
        assert json.dumps(WIRE.write({"messages": sent}, turn.prompt)) == json.dumps({"messages": sent})


def document(*messages: Any, **more: Any) -> str:
    """A trajectory."""
    return json.dumps({"trajectory_format": "mini-swe-agent-1.1", "instance_id": "kelp-1", "messages": messages, **more})


def test_a_response_without_its_model_has_the_runs(tmp_path: Path) -> None:
    """The run's configuration names the model where a response does not; a call without usage is a turn without."""
    path = tmp_path / "run"
    info = {"config": {"model": {"model_name": "deepseek/deepseek-chat"}}}
    path.write_text(document({"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho", "extra": {}}, info=info))
    (transcript,) = mini_swe_agent.read(path)
    (turn,) = transcript.turns
    assert (turn.model, turn.usage, turn.at, turn.charged) == ("deepseek/deepseek-chat", None, None, None)


def test_calls_start_when_their_tool_results_were_ready(tmp_path: Path) -> None:
    """The provider's clock has whole seconds, the client's is finer where both say the same; no call ends before it starts."""
    path = tmp_path / "run"
    tool = {"role": "user", "content": "Hi", "extra": {"timestamp": 1000.6}}
    said = {"role": "assistant", "content": "Ho", "extra": {"response": {"created": 1000}, "timestamp": 1000.2}}
    path.write_text(document(tool, said))
    (turn,) = mini_swe_agent.read(path)[0].turns
    assert (turn.at, turn.ended) == (1000.6, 1000.6)


def test_messages_of_no_known_role_are_counted(tmp_path: Path) -> None:
    """They are left out and named, or an error in strict mode; ``exit`` is only how a run ended."""
    path = tmp_path / "run"
    path.write_text(document({"role": "user", "content": "Hi"}, {"role": "narrator"}, 7, {"role": "exit", "content": ""}))
    (transcript,) = mini_swe_agent.read(path)
    assert [skip.line for skip in transcript.skipped] == [2, 3]
    with pytest.raises(Unreadable):
        mini_swe_agent.read(path, strict=True)


def test_a_document_that_is_no_trajectory_is_an_error(tmp_path: Path) -> None:
    """Not a crash."""
    path = tmp_path / "run"
    path.write_text("[]")
    with pytest.raises(Unreadable, match="no list of messages"):
        mini_swe_agent.read(path)


def test_it_knows_its_own(corpus: Path, tmp_path: Path) -> None:
    """By the format the document names, whatever the file is called."""
    path = tmp_path / "run.jsonl"
    path.write_text(document())
    assert mini_swe_agent.sniff(take(path))
    assert mini_swe_agent.sniff(take(sorted(corpus.glob("mini-swe-agent/gemini-3-pro-openrouter/*.gz"))[0]))
    path.write_text('{"messages": []}')
    assert not mini_swe_agent.sniff(take(path))

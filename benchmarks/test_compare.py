"""What ``holdfast compare`` costs over real transcripts, beside tokenising the same texts once, on two cores."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.measuring import Spent, Timer, compare
from holdfast.blocks import Block
from holdfast.readers import Failure, discover, group, read_group
from holdfast.strategies import registered
from holdfast.tokens import Counter


def blocks_of(folder: Path) -> list[Block]:
    """Every block of the transcripts in a folder, each once a file."""
    found: list[Block] = []
    for files in group(discover([str(folder)])):
        for transcript in read_group(files):
            if not isinstance(transcript, Failure):
                logs = {id(message): message for turn in transcript.turns for message in (*turn.prompt.messages, turn.answer) if message}
                found += {block.fingerprint: block for message in logs.values() for block in message.blocks}.values()
    return found


def test_tokenise(benchmark: Timer, corpus: Path) -> None:
    """Every text is tokenised once, by one process."""
    blocks = blocks_of(corpus / "claude-code")
    Counter().count("the ranks are read before the clock starts")
    tokens = benchmark.pedantic(lambda: sum(map(Counter().raw, blocks)), rounds=2)
    benchmark.extra_info.update(blocks=len(blocks), tokens=tokens)


@pytest.mark.parametrize("strategies", ["none", "all"])
def test_compare(benchmark: Timer, corpus: Path, strategies: str) -> None:
    """Transcripts are read, weighed, replayed under one or under all strategies, billed and judged, by two processes."""
    chosen = ["none"] if strategies == "none" else sorted(registered())
    spent: Spent = benchmark.pedantic(compare, (corpus / "claude-code", *chosen), rounds=1)
    benchmark.extra_info.update(strategies=len(chosen), cpu_seconds=spent.cpu_seconds, peak_bytes=spent.peak_bytes)


def test_memory(benchmark: Timer, corpus: Path) -> None:
    """All formats, all strategies."""
    spent: Spent = benchmark.pedantic(compare, (corpus,), rounds=1)
    benchmark.extra_info.update(cpu_seconds=spent.cpu_seconds, peak_bytes=spent.peak_bytes)

"""Every Claude Code session of the corpus: bills, legality, lineages."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest

from holdfast.readers import claude_code, discover, group, read_group
from holdfast.transcript import Transcript
from holdfast.usage import Usage
from tests.readers.legality import by_lineage, every_fault

pytestmark = pytest.mark.xdist_group("test_claude_code_corpus")  # what all of these tests need is read once

FACTS = re.compile(r"([\d,]+) calls \(([\d,]+) by subagents\): input ([\d,]+), cache read ([\d,]+), cache write ([\d,]+), output ([\d,]+)")


@dataclass
class Facts:
    """What was found in one folder of the corpus, file by file."""

    calls: int = 0
    by_agents: int = 0
    usage: Usage = field(default_factory=Usage)
    faults: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)
    compactions: int = 0
    lineages: Counter[str] = field(default_factory=Counter)
    follow_ups: int = 0
    exact: int = 0
    final: dict[str, Counter[bool]] = field(default_factory=lambda: defaultdict(Counter))

    def take(self, transcript: Transcript) -> None:
        self.calls += len(transcript.turns)
        self.by_agents += sum(turn.lineage.startswith("agent:") for turn in transcript.turns)
        self.usage = sum((turn.usage for turn in transcript.turns if turn.usage is not None), self.usage)
        self.faults += [f"{transcript.path} {fault}" for fault in every_fault(transcript)]
        self.skipped += [f"{Path(skip.path).name}:{skip.line}" for skip in transcript.skipped]
        self.compactions += len(transcript.unlogged)
        self.lineages.update(name.split(":")[0].split("/")[0] for name in by_lineage(transcript))
        for note in transcript.notes:
            self.notes[re.sub(r"\d+", "N", note)] += 1
        for turns in by_lineage(transcript).values():
            for before, after in pairwise(turns):
                if before.ended is not None and after.at is not None and after.at - before.ended < 60:
                    self.follow_ups += 1
                    self.exact += (
                        after.usage is not None
                        and before.usage is not None
                        and after.usage.read == before.usage.read + before.usage.written
                    )
        for turn in transcript.turns:
            self.final[transcript.session][turn.output_final] += 1


@pytest.fixture(scope="module")
def facts(corpus: Path) -> dict[str, Facts]:
    """Every session file of the corpus, read once."""
    found: dict[str, Facts] = defaultdict(Facts)
    for path in discover([str(corpus / "claude-code")]):
        if ".jsonl" in path.name and path.parent.name != "subagents":
            (transcript,) = claude_code.read(path)
            found[path.relative_to(corpus / "claude-code").parts[0]].take(transcript)
    return found


@pytest.mark.parametrize("source", ["entireio-cli", "entireio-git-sync", "moredip-session-share", "packmind-context-evaluator"])
def test_calls_and_usage_are_those_that_each_source_states(source: str, facts: dict[str, Facts], corpus: Path) -> None:
    """Calls, calls by sub-agents, and the sums of input, read, write and output equal the source's own count to the token."""
    match = FACTS.search((corpus / "claude-code" / source / "SOURCE.md").read_text())
    assert match is not None
    usage = facts[source].usage
    found = (facts[source].calls, facts[source].by_agents, usage.fresh, usage.read, usage.written, usage.output)
    assert found == tuple(int(number.replace(",", "")) for number in match.groups())


def test_every_prompt_of_the_corpus_is_legal_and_extends_the_one_before(facts: dict[str, Facts]) -> None:
    """No file of the corpus gives an illegal prompt, a lineage that is not one growing log, or time that runs backwards."""
    assert [fault for found in facts.values() for fault in found.faults] == []


def test_the_chains_are_those_that_the_cache_saw(facts: dict[str, Facts]) -> None:
    """Within a minute of the answer before, at least 97 % of calls read from the cache exactly what their lineage had left there."""
    follow_ups, exact = sum(found.follow_ups for found in facts.values()), sum(found.exact for found in facts.values())
    assert follow_ups > 7000
    assert exact / follow_ups > 0.97


def test_only_the_two_cut_off_lines_of_the_corpus_are_skipped(facts: dict[str, Facts]) -> None:
    """Two files end inside a line; nothing else is unreadable or unknown."""
    assert sorted(skip for found in facts.values() for skip in found.skipped) == [
        "2026-01-15-b00b80af-879f-4265-b95b-48db0938673c.jsonl.gz:300",
        "2026-01-26-4fec7ea0-3335-43ec-a178-d4ab47d5aef3.jsonl.gz:196",
    ]


def test_compactions_and_sub_agents_of_the_corpus_are_lineages(facts: dict[str, Facts]) -> None:
    """All 20 compactions have an unlogged call; sub-agents run on lineages of their own."""
    assert sum(found.compactions for found in facts.values()) == 20
    assert facts["entireio-cli"].lineages["agent"] > 20
    assert facts["moredip-session-share"].lineages["agent"] == 4


def test_final_outputs_are_recognised_by_era(facts: dict[str, Facts]) -> None:
    """From 2.1.91 on nearly all outputs are final; of the sessions of January and February 2026 only a minority, but some."""
    recent = sum((found for found in facts["entireio-git-sync"].final.values()), Counter[bool]())
    early = sum((found for found in facts["entireio-cli"].final.values()), Counter[bool]())
    assert recent[True] / recent.total() > 0.99
    assert 0.1 < early[True] / early.total() < 0.35


def test_a_resumed_session_of_the_corpus_bills_its_calls_once(corpus: Path) -> None:
    """The file that was resumed and the one that copies it are one group; the 143 copied calls count only in the first."""
    paths = sorted((corpus / "claude-code" / "entireio-cli").glob("*44df7d08*"))
    (family,) = group(paths)
    first, second = (item for item in read_group(family) if isinstance(item, Transcript))
    assert (len(first.turns), len(second.turns)) == (143, 107)
    assert not {turn.request for turn in first.turns} & {turn.request for turn in second.turns}
    assert [len(item.unlogged) for item in (first, second)] == [1, 1]
    assert first.turns[-1].prompt.messages[0] == second.turns[0].prompt.messages[0]
    assert len(group(discover([str(corpus / "claude-code" / "*" / "*.jsonl*")]))) == 82


def test_little_of_the_corpus_had_to_be_mended(facts: dict[str, Facts]) -> None:
    """Placeholders, orphans and backward clocks are noted in fewer than ten files of 83."""
    assert sum(count for found in facts.values() for note, count in found.notes.items() if note.endswith(": N.")) < 10

"""The doctor over many files: order, processes, interruption, and what cannot be examined."""

from __future__ import annotations

import gzip
import json
import shutil
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast.doctor.findings import Finding
from holdfast.doctor.run import DoctorRequest, Examination, examine
from holdfast.errors import InputError

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "transcripts"
FILES = sorted(EXAMPLES.glob("*.jsonl.gz"))


def examined(*paths: Path, jobs: int = 1, limit: int | None = None) -> Examination:
    """What is found in these files."""
    return examine(DoctorRequest(tuple(map(str, paths)), jobs=jobs, limit=limit))


def found(examination: Examination) -> list[Finding]:
    """Its findings, whatever session they are of."""
    return sorted((f for each in examination.diagnoses for f in each.findings), key=lambda f: (f.at or 0, f.turn, f.detail))


@pytest.fixture(scope="module")
def examples() -> Examination:
    """The sessions that come with the project."""
    return examined(*FILES)


@given(st.permutations(FILES), st.permutations(range(len(FILES))))
@settings(max_examples=2, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_neither_order_nor_names_of_files_matter(
    tmp_path_factory: pytest.TempPathFactory, examples: Examination, files: list[Path], names: list[int]
) -> None:
    """The same files in another order, and under names that sort in another order, show the same."""
    assert examined(*files).sessions == examples.sessions
    folder = tmp_path_factory.mktemp("renamed")
    for path, name in zip(files, names, strict=True):
        shutil.copy(path, folder / f"{name}.jsonl.gz")
    renamed = examined(folder)
    assert found(renamed) == found(examples)
    assert renamed.total == examples.total


def test_processes_do_not_matter(examples: Examination) -> None:
    """Two processes find what one does, in the same order."""
    assert examined(*FILES, jobs=2) == examples


def test_totals_are_sums_by_money(examples: Examination) -> None:
    """Every finding is in one cause's total, and the dearest cause stands first."""
    findings = found(examples)
    assert findings
    assert sum(each.count for each in examples.total) == len(findings)
    assert sum(each.tokens_rewritten for each in examples.total) == sum(f.tokens_rewritten for f in findings)
    assert sum((each.usd for each in examples.total), Decimal(0)) == sum((f.usd or Decimal(0) for f in findings), Decimal(0))
    assert [each.usd for each in examples.total] == sorted((each.usd for each in examples.total), reverse=True)


def test_the_hit_rate_is_of_all_tokens(examples: Examination) -> None:
    """Long sessions count more than short ones; without a bill there is none."""
    read = sum(each.read_tokens for each in examples.diagnoses)
    assert examples.hit_rate == read / sum(each.prompt_tokens for each in examples.diagnoses)
    assert Examination(()).hit_rate is None


def test_a_copy_of_a_session_is_not_charged_twice(tmp_path: Path, examples: Examination) -> None:
    """A resumed session repeats earlier responses in a new file: each is examined once."""
    source = EXAMPLES / "claude-code-go-rewrite.jsonl.gz"
    lines = gzip.decompress(source.read_bytes()).splitlines(keepends=True)
    (tmp_path / "a.jsonl").write_bytes(b"".join(lines))
    (tmp_path / "b.jsonl").write_bytes(b"".join(lines[: len(lines) // 2]))
    alone, both = examined(source), examined(tmp_path)
    assert sum(each.prompt_tokens for each in both.diagnoses) == sum(each.prompt_tokens for each in alone.diagnoses)
    assert both.total == alone.total


def test_a_session_without_usage_is_left_out_with_the_reason(tmp_path: Path) -> None:
    """What was not recorded is not zero: such a session has no hit rate and no finding."""
    rows = []
    for line in gzip.decompress((EXAMPLES / "claude-code-typescript.jsonl.gz").read_bytes()).splitlines():
        row = json.loads(line)
        if isinstance(row.get("message"), dict):
            row["message"].pop("usage", None)
        rows.append(json.dumps(row))
    (tmp_path / "silent.jsonl").write_text("\n".join(rows), encoding="utf-8")
    examination = examined(tmp_path)
    assert examination.sessions
    assert {each.skipped for each in examination.sessions} == {"no usage was recorded"}
    assert (examination.total, examination.hit_rate) == ([], None)


def test_a_file_of_no_known_format_is_named_and_the_rest_is_examined(tmp_path: Path) -> None:
    """One strange file does not hide the others."""
    (tmp_path / "notes.jsonl").write_text('{"neither": "this"}\n{"nor": "that"}\n', encoding="utf-8")
    shutil.copy(FILES[0], tmp_path)
    examination = examined(tmp_path)
    assert [each.skipped is None for each in sorted(examination.sessions, key=lambda each: each.path)] == [True, False]


def test_a_limit_ends_after_so_many_sessions() -> None:
    """The first sessions that can be examined are enough."""
    assert len(examined(*FILES, limit=1, jobs=2).diagnoses) == 1


def test_what_is_done_before_an_interruption_is_kept(examples: Examination) -> None:
    """Whoever stops it half-way sees what was found so far, marked as such."""

    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    examination = examine(DoctorRequest(tuple(map(str, FILES)), jobs=1), stop)
    assert examination.interrupted
    assert examination.sessions == examples.sessions[:2]


def test_prices_that_cannot_be_read_are_refused_before_any_work(tmp_path: Path) -> None:
    """A price file that is none is the user's mistake, said at once."""
    bad = tmp_path / "prices.json"
    bad.write_text("no", encoding="utf-8")
    seen: list[int] = []
    with pytest.raises(InputError):
        examine(DoctorRequest((str(EXAMPLES),), prices=bad), lambda done, total: seen.append(done))
    assert not seen


def test_a_whole_corpus_folder_of_pi_and_logs_goes_together(corpus: Path) -> None:
    """Transcripts and recorded HTTP in one run are each examined in their own way."""
    examination = examined(corpus / "pi", corpus / "api-cassettes")
    formats = {each.format for each in examination.sessions if each.diagnosis is not None}
    assert {"pi", "cassette"} <= formats
    assert examination.hit_rate is not None
    assert all(f.tokens_rewritten >= 0 for f in found(examination))

"""Runs the benchmarks, relates what belongs together, and keeps the numbers: ``make bench``."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
README = ROOT / "benchmarks" / "README.md"
BEGIN, END = "<!-- table: make bench -->\n", "<!-- end of table -->"
SUITES = ("import", "pipeline", "compare", "wrap")


@dataclass(frozen=True, slots=True)
class Figure:
    """One number that has a limit. ``limit`` is ``None`` where it is only told."""

    what: str
    value: float
    unit: str
    limit: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """As it is kept."""
        return {"what": self.what, "value": round(self.value, 3), "unit": self.unit, "limit": self.limit}

    def row(self) -> str:
        """As a line of the table."""
        limit = "" if self.limit is None else f"≤ {self.limit:g} {self.unit}".rstrip()
        met = "" if self.limit is None else "yes" if self.value <= self.limit else "**no**"
        return f"| {self.what} | {self.value:.2f} {self.unit} | {limit} | {met} |"


class Run:
    """What one run of a suite measured, by the name of the benchmark."""

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self._by_name = {each["name"]: each for each in raw["benchmarks"]}

    def seconds(self, name: str) -> float:
        """The median."""
        return float(self._by_name[name]["stats"]["median"])

    def extra(self, name: str, key: str) -> float:
        """What a benchmark noted beside its time."""
        return float(self._by_name[name]["extra_info"][key])

    def __contains__(self, name: str) -> bool:
        return name in self._by_name

    def kept(self) -> dict[str, Any]:
        """Every benchmark's times in seconds, and what it noted."""
        wanted = ("min", "median", "max", "rounds")
        return {name: {key: each["stats"][key] for key in wanted} | each["extra_info"] for name, each in self._by_name.items()}


def measured(suite: str) -> Run:
    """Run one suite in a process of its own. Raises ``CalledProcessError`` where a benchmark fails."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.json"
        file = str(ROOT / "benchmarks" / f"test_{suite}.py")
        options = ["-o", "addopts=", "-q", "-p", "no:randomly", "-p", "no:xdist", "--benchmark-columns=min,median,max"]
        subprocess.run([sys.executable, "-m", "pytest", file, *options, f"--benchmark-json={path}"], cwd=ROOT, check=True)
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        return Run(json.loads(text) if text else {"benchmarks": []})


def of_import(run: Run) -> Iterator[Figure]:
    """``import holdfast`` beside ``import pydantic``."""
    bare, theirs, ours = (run.seconds(f"test_import[{name}]") for name in ("pass", "import pydantic", "import holdfast"))
    yield Figure("`import holdfast`, times `import pydantic`, interpreter included", ours / theirs, "x", 2)
    yield Figure("the same over a bare interpreter", (ours - bare) / (theirs - bare), "x")


def of_pipeline(run: Run) -> Iterator[Figure]:
    """A turn of a conversation of a million tokens, and of one of fifty thousand."""
    compared = {size: run.seconds(f"test_compare[{size}]") for size in ("50k", "1M")}
    for size in ("1M", "50k"):
        limit = 0.5 if size == "1M" else None
        yield Figure(f"a turn at {size} tokens, all of it", 1e3 * run.seconds(f"test_turn[{size}]"), "ms", limit)
    yield Figure("a turn at 1M tokens, most of it shortened away", 1e3 * run.seconds("test_shortened_turn"), "ms")
    yield Figure("tokenising two messages of 1,250 tokens", 1e3 * run.seconds("test_tokenise"), "ms")
    yield Figure("comparing 800 messages with `==`", 1e3 * compared["1M"], "ms")
    rest = {size: run.seconds(f"test_turn[{size}]") - compared[size] for size in compared}
    yield Figure("a turn at 1M tokens, times one at 50k, without the comparison", rest["1M"] / rest["50k"], "x")


def of_compare(run: Run) -> Iterator[Figure]:
    """Comparing beside tokenising; nothing where the transcripts are not at hand."""
    if "test_tokenise" not in run:
        return
    once, none, every = run.seconds("test_tokenise"), run.seconds("test_compare[none]"), run.seconds("test_compare[all]")
    count = run.extra("test_compare[all]", "strategies")
    yield Figure("tokenising Claude Code's transcripts once, one core", once, "s")
    yield Figure("`compare` of them under all strategies, two cores, in that time", every / once, "x", 6)
    yield Figure("each further strategy", (every - none) / (count - 1) / once, "x", 0.5)
    cpu = {name: run.extra(f"test_compare[{name}]", "cpu_seconds") for name in ("none", "all")}
    yield Figure("CPU time of `compare` under all strategies, in that time", cpu["all"] / once, "x")
    yield Figure("CPU time of each further strategy", (cpu["all"] - cpu["none"]) / (count - 1) / once, "x")
    yield Figure("peak memory of the largest process over all transcripts", run.extra("test_memory", "peak_bytes") / 1e6, "MB", 500)


def of_wrap(run: Run) -> Iterator[Figure]:
    """Wrapped clients beside bare ones."""
    for sdk, name, limit in (("anthropic", "messages.create", 1.1), ("openai", "chat.completions.create", 1.2)):
        whole, short = f"test_call[whole-{sdk}]", f"test_call[compacted-{sdk}]"
        yield Figure(f"wrapped `{name}` at 1M tokens, times the bare client", run.extra(whole, "ratio"), "x", limit)
        yield Figure("the same in the process's own time", run.extra(whole, "cpu_ratio"), "x")
        yield Figure("its first call, which reads everything", run.extra(whole, "first_wrapped_seconds"), "s")
        yield Figure("the same once most has been shortened away", run.extra(short, "ratio"), "x", 1)
    for sdk in ("anthropic", "openai"):
        added = 1e3 * run.extra(f"test_first_byte[{sdk}]", "added_seconds")
        yield Figure(f"what is added to the first byte of a stream at 200k tokens, {sdk}", added, "ms", 1)
    one, many = (run.seconds(f"test_conversations[{known}]") for known in (1, 1000))
    yield Figure("a call beside 1,000 conversations, times one beside none", many / one, "x", 1.1)


FIGURES = {"import": of_import, "pipeline": of_pipeline, "compare": of_compare, "wrap": of_wrap}


def machine() -> dict[str, Any]:
    """In general words."""
    return {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.system(), "processor": platform.machine()}


def commit() -> str:
    """The commit that was measured, marked where the checkout differs from it; ``"unknown"`` without git."""
    try:
        command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
        said = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return said.stdout.strip()


def table(results: Mapping[str, Mapping[str, Any]]) -> str:
    """All kept figures as Markdown."""
    lines = ["| what | measured | limit | met |", "|---|---|---|---|"]
    lines += [Figure(**figure).row() for suite in SUITES if suite in results for figure in results[suite]["figures"]]
    where = next(iter(results.values()))
    about = where["machine"]
    told = f"Commit {where['commit']}; {about['cores']} cores ({about['processor']}), {about['system']}, Python {about['python']}."
    return "\n".join([told, "", *lines]) + "\n"


def filled(readme: str, results: Mapping[str, Mapping[str, Any]]) -> str:
    """The README with the table between its two marks."""
    before, rest = readme.split(BEGIN)
    return before + BEGIN + table(results) + END + rest.split(END, 1)[1]


def main(suites: list[str]) -> None:
    """Measure, relate, keep, fill."""
    RESULTS.mkdir(exist_ok=True)
    for suite in suites or SUITES:
        run = measured(suite)
        figures = [figure.as_dict() for figure in FIGURES[suite](run)]
        if figures:
            kept = {"commit": commit(), "machine": machine(), "figures": figures, "benchmarks": run.kept()}
            text = json.dumps(kept, indent=1, ensure_ascii=False) + "\n"
            (RESULTS / f"{suite}.json").write_text(text, encoding="utf-8")
    files = {suite: RESULTS / f"{suite}.json" for suite in SUITES}
    results = {suite: json.loads(file.read_text(encoding="utf-8")) for suite, file in files.items() if file.exists()}
    README.write_text(filled(README.read_text(encoding="utf-8"), results), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])

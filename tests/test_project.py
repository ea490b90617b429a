"""What holds for the project as a whole: limits, arrows, a pure import, nothing personal in the examples."""

from __future__ import annotations

import ast
import gzip
import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from benchmarks import agreement
from benchmarks.readme_table import README, RESULTS, filled
from examples.scrub import leftovers, read, strings

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "holdfast"
STRATEGIES = ROOT / "strategies" / "holdfast_strategies"
SOURCES = sorted([*PACKAGE.rglob("*.py"), *STRATEGIES.rglob("*.py")])
EXAMPLES = sorted((ROOT / "examples" / "transcripts").glob("*.gz"))

BODY_LINES = 60
MODULE_LINES = 500
PARAMETERS = 6
BROAD_EXCEPT = {"pipeline.py"}
"""The one place that may catch anything: around a third party's strategy."""

LAYERS = (
    ("errors", "frozen", "forks"),
    ("blocks", "images"),
    ("prefix", "usage", "tokens", "transcript", "exchange", "pricing", "families"),
    ("scale", "settle", "rebuilt", "weighing", "calibrate", "tail", "wire", "caches", "readers", "checker", "heads"),
    ("edits",),
    ("strategy",),
    ("rules", "ledger", "marks", "schedule", "drive", "routing"),
    ("saved", "store", "trace"),
    ("line", "asking", "volatile", "policy"),
    ("pipeline",),
    ("options", "lineages", "writing", "refusals", "arriving", "keeping", "ahead", "recall"),
    ("strategies", "session"),
    ("parallel",),
    ("validation", "doctor"),
    ("simulator", "live", "testing"),
    ("report",),
    ("calls", "settings"),
    ("providers", "wrap"),
    ("cli",),
)
"""Who may import whom: a module only what stands in its own row or above."""

READERS_KNOW = ("readers", "blocks", "transcript", "exchange", "usage", "errors", "frozen", "wire")
LAYER_OF = {name: number for number, names in enumerate(LAYERS) for name in names}


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """All functions of a module, however deep."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """The lines of a function's body, its docstring not counted."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def imported(path: Path) -> Iterator[str]:
    """The modules of this project that a module imports, as ``holdfast.x.y``."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module] if node.module != "holdfast" else [f"holdfast.{alias.name}" for alias in node.names]
        yield from (name for name in names if name.split(".")[0] in ("holdfast", "holdfast_strategies"))


def top(path: Path) -> str:
    """The part of the package that a module belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def test_functions_and_modules_stay_within_the_limits() -> None:
    """No function body is over 60 lines, no module over 500, no function takes over six parameters but the commands."""
    over = []
    for path in SOURCES:
        name = path.relative_to(ROOT)
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > MODULE_LINES:
            over.append(f"{name}: {lines} lines")
        for function in functions(path):
            taken = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
            count = sum(argument.arg not in ("self", "cls") for argument in taken)
            if body_lines(function) > BODY_LINES:
                over.append(f"{name}: {function.name} has {body_lines(function)} lines")
            if count > PARAMETERS and path.parent.name != "cli":
                over.append(f"{name}: {function.name} takes {count} parameters")
    assert over == []


def test_nothing_catches_everything_but_around_a_third_partys_strategy() -> None:
    """``except Exception`` and a bare ``except`` stand nowhere else."""
    found = {
        path.name
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or (isinstance(node.type, ast.Name) and node.type.id in ("Exception", "BaseException")))
    }
    assert found <= BROAD_EXCEPT


def test_imports_point_one_way() -> None:
    """A module imports only what stands in its own layer or below; readers know values only; the core knows no strategy."""
    wrong = []
    for path in sorted(PACKAGE.rglob("*.py")):
        own = top(path)
        if own in ("__init__", "__main__"):
            continue
        assert own in LAYER_OF, f"{own} has no layer: add it to LAYERS"
        for name in imported(path):
            other = name.split(".")[1] if name.startswith("holdfast.") else name
            if name.split(".")[0] == "holdfast_strategies":
                if own != "strategies":
                    wrong.append(f"{path.relative_to(ROOT)} imports {name}")
            elif LAYER_OF.get(other, -1) > LAYER_OF[own] or (own == "readers" and other not in READERS_KNOW):
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert wrong == []


def test_imports_go_round_in_no_circle() -> None:
    """No part of the package imports, by however many steps, what imports it."""
    graph: dict[str, set[str]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        others = {name.split(".")[1] for name in imported(path) if name.startswith("holdfast.")}
        graph.setdefault(top(path), set()).update(others - {top(path)})
    order = list(TopologicalSorter(graph).static_order())
    assert order.index("blocks") < order.index("pipeline") < order.index("cli")


def test_strategies_know_public_modules_of_the_core_only() -> None:
    """A built-in strategy imports nothing that another author's could not: no pipeline, no readers, no private name."""
    allowed = {"blocks", "edits", "strategy", "errors", "usage", "frozen", "rules", "tokens"}
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sorted(STRATEGIES.rglob("*.py"))
        for name in imported(path)
        if name.startswith("holdfast.") and name.split(".")[1] not in allowed
    ]
    assert wrong == []


def test_the_checker_knows_nothing_of_what_it_checks() -> None:
    """The independent checker imports neither pipeline nor ledger nor rules."""
    known = {name for path in (PACKAGE / "checker").rglob("*.py") for name in imported(path) if not name.startswith("holdfast.checker")}
    assert not {name.split(".")[1] for name in known} & {"pipeline", "ledger", "rules", "edits", "line", "marks", "schedule", "drive"}


PURE = """
import builtins, os, socket, sys
def refuse(*args, **kwargs):
    raise AssertionError("a socket was opened")
socket.socket.connect = refuse
before = set(sys.modules)
import holdfast
loaded = {name.split(".")[0] for name in set(sys.modules) - before}
print(sorted(loaded & {"tiktoken", "anthropic", "openai", "typer", "requests", "httpx"}), end="")
"""


def test_importing_the_package_does_nothing_else() -> None:
    """In a bare interpreter without HOME, the import prints nothing, opens no socket and loads no tokenizer and no SDK."""
    done = subprocess.run([sys.executable, "-c", PURE], env={}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]", "")


def test_constraints_pin_every_dependency() -> None:
    """Each dependency of the project stands in ``constraints.txt`` with one exact version, and nothing else does."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").split()
    pinned = dict(line.split("==") for line in lines)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    assert not {name.split(">")[0].split("[")[0].strip() for name in wanted} - pinned.keys()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_hold_nothing_personal(path: Path) -> None:
    """No e-mail address, access token, home folder or per-user temporary folder is left in any string of an example."""
    found = {left for line in read(path).splitlines() for text in strings(json.loads(line)) for left in leftovers(text)}
    assert found == set()


def test_what_is_personal_would_be_found() -> None:
    """The search of the test above finds an address, a token and a home folder where there is one."""
    token = "gh" + "p_" + "a1" * 18
    assert set(leftovers(f"ask jo@firm.org, {token}, cd /Users/jo/x")) == {"jo@firm.org", token, "/Users/jo"}


def test_examples_are_small_and_named_in_the_notice() -> None:
    """There are several, each under 400 KB, and the notice names every one."""
    notice = (ROOT / "examples" / "transcripts" / "NOTICE.md").read_text(encoding="utf-8")
    assert len(EXAMPLES) >= 4
    for path in EXAMPLES:
        assert path.stat().st_size < 400_000
        assert f"`{path.name}`" in notice
        assert gzip.decompress(path.read_bytes()).count(b"\n") > 50


def test_the_tables_of_agreement_show_what_was_measured() -> None:
    """The tables on validation, in the README and in the benchmarks, are what the committed results make."""
    found = json.loads(agreement.RESULTS.read_text(encoding="utf-8"))
    for page, made in ((agreement.README, agreement.table(found)), (agreement.BENCHMARKS, agreement.bars_table(found))):
        text = page.read_text(encoding="utf-8")
        assert agreement.filled(text, made) == text


def test_the_readme_shows_what_was_measured() -> None:
    """The table in the README is the one made from the committed results."""
    readme = README.read_text(encoding="utf-8")
    assert filled(readme, json.loads(RESULTS.read_text(encoding="utf-8"))) == readme

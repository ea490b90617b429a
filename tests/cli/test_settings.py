"""``holdfast settings`` shows each value and who says so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from holdfast.settings.model import NAMES
from tests.cli.runner import run


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with settings, and a user without any."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "none"))
    (tmp_path / "holdfast.toml").write_text('mode = "observe"\ntrigger = 0.75\nremind = "password = \'hunter2\'"\n', encoding="utf-8")
    (tmp_path / "holdfast.local.toml").write_text('mode = "compact"\n', encoding="utf-8")
    return tmp_path


def test_each_value_is_shown_with_its_origin(project: Path) -> None:
    """A row a setting: the value, who said it, where, and what it overrides; secrets are replaced."""
    code, out, _ = run("settings", "--dir", str(project), "--strategy", "micro", "--set", "keep-tail-tokens=20k")
    text = "".join(out.split())
    assert code == 0
    assert "modecompactlocalholdfast.local.toml:1observe(holdfast.toml:1)" in text
    assert "trigger0.75projectholdfast.toml:2" in text
    assert "strategymicroflags--strategy" in text
    assert "keep_tail_tokens20000flags--keep-tail-tokens" in text
    assert "storenonedefault" in text
    assert "hunter2" not in text


def test_the_same_as_json(project: Path) -> None:
    """Every setting with value, layer, place, what it overrides and what it does."""
    code, out, _ = run("settings", "--dir", str(project), "--json", "-")
    found = json.loads(out)
    assert (code, found["schema"]) == (0, "holdfast/settings/1")
    assert [each["name"] for each in found["settings"]] == list(NAMES)
    (mode,) = (each for each in found["settings"] if each["name"] == "mode")
    assert (mode["value"], mode["layer"], mode["where"]) == ("compact", "local", f"{project}/holdfast.local.toml:1")
    assert mode["overrides"] == [{"value": "observe", "layer": "project", "where": f"{project}/holdfast.toml:1"}]
    assert "hunter2" not in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--mode", "watch"], "--mode: mode = 'watch': must be one of compact, observe"),
        (["--set", "lineage=3"], "--lineage: no setting is called 'lineage'; did you mean 'lineages'?"),
        (["--set", "lineages"], "say --set NAME=VALUE"),
        (["--trigger", "lots"], "--trigger"),
        (["--dir", "no/such/folder"], "no such folder"),
    ],
)
def test_a_mistake_is_answered_with_what_would_be_right(project: Path, arguments: list[str], said: str) -> None:
    """Options, other settings and the folder; the exit code is that of a wrong input."""
    code, _, complaint = run("settings", "--dir", str(project), *arguments)
    assert (code, said in complaint) == (2, True), complaint

"""Who speaks first, what is said of a mistake, and where settings are looked for."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pytest
import tomlkit
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from holdfast.calls.call_settings import CallSettings
from holdfast.errors import BadSettings
from holdfast.settings import Origin, Resolved, Settings, Surroundings, resolve
from holdfast.settings.model import NAMES, about, plain
from holdfast.settings.places import line_of

DOCS = Path(__file__).resolve().parents[2] / "docs" / "settings.md"
LAYERS = ("policy", "flags", "environment", "local", "project", "user")


@dataclass
class World:
    """A machine: an administrator's folder, a home, a repository with a folder in it, an environment."""

    root: Path
    env: dict[str, str]

    @property
    def start(self) -> Path:
        """Where a program runs, two folders down the repository."""
        return self.root / "home" / "repo" / "src" / "app"

    @property
    def around(self) -> Surroundings:
        """What settings are looked for in."""
        return Surroundings(self.start, {"HOME": str(self.root / "home"), **self.env}, self.root / "etc" / "policy.toml")

    def write(self, path: str, text: str) -> Path:
        """A file below the root."""
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text, encoding="utf-8")
        return self.root / path

    def say(self, layer: str, name: str, value: Any) -> dict[str, Any]:
        """Let a layer say something; what has to be handed over as an argument is returned."""
        files = {
            "policy": "etc/policy.toml",
            "local": "home/repo/holdfast.local.toml",
            "project": "home/repo/holdfast.toml",
            "user": "home/.config/holdfast/config.toml",
        }
        if layer in files:
            self.write(files[layer], tomlkit.dumps({name: value}))
        elif layer == "environment":
            self.env[f"HOLDFAST_{name.upper()}"] = str(value)
        return {name: value} if layer == "flags" else {}

    def resolve(self, **flags: Any) -> Resolved:
        """What holds in it."""
        return resolve(flags, self.around)

    def refused(self, **flags: Any) -> str:
        """What is said of what cannot be, the root left out."""
        with pytest.raises(BadSettings) as caught:
            self.resolve(**flags)
        return str(caught.value).replace(f"{self.root}{os.sep}", "")


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A machine on which nobody has said anything."""
    made = World(tmp_path, {})
    made.start.mkdir(parents=True)
    (tmp_path / "home" / "repo" / ".git").mkdir()
    return made


@hypothesis_settings(max_examples=25)
@given(st.sets(st.sampled_from(LAYERS)))
def test_the_first_that_speaks_wins(tmp_path_factory: pytest.TempPathFactory, speakers: set[str]) -> None:
    """Whoever speaks, the first in the order holds, the others are named as overridden in order, and the default comes last."""
    world = World(tmp_path_factory.mktemp("world"), {})
    world.start.mkdir(parents=True)
    (world.root / "home" / "repo" / ".git").mkdir()
    order = [layer for layer in LAYERS if layer in speakers]
    flags: dict[str, Any] = {}
    for layer in order:
        flags |= world.say(layer, "keep_tail_tokens", 1_000 + LAYERS.index(layer))
    found = world.resolve(**flags)
    assert [each.origin.layer for each in found.said["keep_tail_tokens"]] == [*order, "default"]
    assert found.values.keep_tail_tokens == (1_000 + LAYERS.index(order[0]) if order else 10_000)
    assert [each.value for each in found.overridden["keep_tail_tokens"]] == [1_000 + LAYERS.index(layer) for layer in order[1:]]
    assert found.pinned("keep_tail_tokens") == ("policy" in speakers)
    assert found.origins["strategy"] == Origin("default")


def test_each_setting_says_where_it_stands(world: World) -> None:
    """Files are named with the line, variables and arguments by their names."""
    world.write("etc/policy.toml", '# pinned\n\non_error = "pass"\n')
    world.write("home/repo/pyproject.toml", '[project]\nname = "x"\n\n[tool.holdfast]\nmode = "observe"\ntrigger = 0.75\n')
    world.env["HOLDFAST_LINEAGES"] = "9"
    found = world.resolve(ttl="1h")
    places = {name: origin.where.replace(f"{world.root}{os.sep}", "") for name, origin in found.origins.items() if origin.where}
    assert places == {
        "on_error": "etc/policy.toml:3",
        "mode": "home/repo/pyproject.toml:5",
        "trigger": "home/repo/pyproject.toml:6",
        "lineages": "HOLDFAST_LINEAGES",
        "ttl": "ttl=",
    }
    assert resolve({"keep_tail_tokens": 5}, world.around, option=True).origins["keep_tail_tokens"].where == "--keep-tail-tokens"


KEYS = st.sampled_from(["mode", "ttl", "remind", "strategy", "trigger"])
TEXTS = st.text('abc=\n"#[]mode ', max_size=20)


@hypothesis_settings(max_examples=40)
@given(
    st.lists(st.tuples(KEYS, TEXTS | st.lists(TEXTS, max_size=3) | st.integers()), unique_by=lambda pair: pair[0], min_size=1),
    st.sampled_from([(), ("tool", "holdfast")]),
    st.data(),
)
def test_the_line_of_a_key_is_found(pairs: list[tuple[str, Any]], header: tuple[str, ...], data: st.DataObject) -> None:
    """Among comments, other tables and texts over several lines that look like keys, the line is the one on which the key is set."""
    lines = ["# mode = 1", "[tool]"] if header else ["# mode = 1"]
    where = {}
    if header:
        lines += ["mode = 0", "[tool.holdfast]"]
    for key, value in pairs:
        if data.draw(st.booleans()):
            lines.append(f"# {key} = 3")
        where[key] = len(lines) + 1
        text = tomlkit.item(value)
        if isinstance(value, str) and data.draw(st.booleans()) and '"' not in value and not value.startswith("\n"):
            text = tomlkit.string(f"\n{value}", multiline=True)
        lines += f"{key} = {text.as_string()}".splitlines()
    lines += ["[other]", "mode = 5", "ttl = 6"]
    for key, line in where.items():
        assert line_of("\n".join(lines), (*header, key)) == line


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\nstratgy = 'micro'\n", "home/repo/holdfast.toml:2: no setting is called 'stratgy'; did you mean 'strategy'?"),
        ("on-error = 'pass'\n", "home/repo/holdfast.toml:1: no setting is called 'on-error'; did you mean 'on_error'?"),
        ("mode = 'observer'\n", "home/repo/holdfast.toml:1: mode = 'observer': must be one of compact, observe; did you mean 'observe'?"),
        ("lineages = 'many'\n", "home/repo/holdfast.toml:1: lineages = 'many': must be a valid integer"),
        ("lineages = 0\n", "home/repo/holdfast.toml:1: lineages = 0: must be greater than or equal to 1"),
        ("trigger = 0\n", "home/repo/holdfast.toml:1: trigger = 0: must be greater than 0"),
        ("trigger = '120%'\n", "home/repo/holdfast.toml:1: trigger = '120%': a share of the window must be below 100%"),
        ("volatile = ['(']\n", "home/repo/holdfast.toml:1: volatile = ['(']: '(' is no regular expression: "),
        ("# x\nstrategy = 'mirco'\n", "home/repo/holdfast.toml:2: strategy = 'mirco': no strategy 'mirco'; "),
        ("mode = \n", "home/repo/holdfast.toml:1: not TOML: "),
        ("[micro]\nkeep = 3\n", "home/repo/holdfast.toml:1: no setting is called 'micro'; "),
    ],
)
def test_a_mistake_is_named_with_its_place_and_the_nearest_right_one(world: World, text: str, said: str) -> None:
    """A wrong key, a wrong value and a file that is no TOML say where they stand and what would be right."""
    world.write("home/repo/holdfast.toml", text)
    assert world.refused().startswith(said)


def test_all_mistakes_of_a_file_are_named_at_once(world: World) -> None:
    """Each has a line of its own."""
    world.write("home/repo/holdfast.toml", "mod = 1\nttl = '5min'\n\nlineages = -1\n")
    assert sorted(line.split(": ")[0] for line in world.refused().splitlines()) == [f"home/repo/holdfast.toml:{line}" for line in (1, 2, 4)]


def test_a_mistake_is_an_error_even_where_it_is_overridden(world: World) -> None:
    """What nobody would notice today would surprise when the line above it goes; an argument that is wrong is named as one."""
    world.write("home/repo/holdfast.toml", "ttl = '5min'\n")
    assert world.refused(ttl="1h").startswith("home/repo/holdfast.toml:1: ttl")
    world.write("home/repo/holdfast.toml", "")
    assert world.refused(stratgy="micro") == "stratgy=: no setting is called 'stratgy'; did you mean 'strategy'?"
    world.env["HOLDFAST_TTL"] = "5min"
    assert world.refused().startswith("HOLDFAST_TTL: ttl = '5min': must be one of 5m, 1h")


def test_what_is_wrong_between_two_is_said_of_both(world: World) -> None:
    """A target that is not below the trigger names both places; two kinds of size are not compared."""
    world.write("home/repo/holdfast.toml", "trigger = '100k'\n")
    assert world.refused(target=150_000) == (
        "target=150000: must be below the trigger, which is 100000 (home/repo/holdfast.toml:1)"
    )
    assert world.resolve(target=0.5).values.target == 0.5


@pytest.mark.parametrize(
    ("text", "value"), [("150000", 150_000), ("150k", 150_000), ("75%", 0.75), ("0.75", 0.75), ("1.5m", 1_500_000), ("off", None)]
)
def test_sizes_may_be_written_as_people_write_them(world: World, text: str, value: float | None) -> None:
    """The environment and files take thousands and shares, and take a value back."""
    world.env["HOLDFAST_TRIGGER"] = text
    assert world.resolve().values.trigger == value
    world.env.clear()
    world.write("home/repo/holdfast.toml", f"trigger = {text!r}\n")
    assert world.resolve().values.trigger == value


def test_no_variable_moves_the_administrators_file(world: World) -> None:
    """A policy named by HOLDFAST_POLICY adds to the administrator's and changes nothing of it; one that is missing is an error."""
    world.write("etc/policy.toml", "record = false\n")
    world.write("home/own.toml", "record = 'all.jsonl'\nmode = 'observe'\n")
    world.env["HOLDFAST_POLICY"] = str(world.root / "home" / "own.toml")
    found = world.resolve(record="mine.jsonl", mode="compact")
    assert (found.values.record, found.values.mode) == (None, "observe")
    assert [each.origin.layer for each in found.said["record"]] == ["policy", "policy", "flags", "default"]
    world.env["HOLDFAST_POLICY"] = "gone.toml"
    assert "there is no file" in world.refused()


def test_a_policy_that_cannot_be_read_is_an_error(world: World) -> None:
    """Nobody gets rid of a policy by spoiling it."""
    world.write("etc/policy.toml", "").write_bytes(b"mode = '\xff'\n")
    assert "etc/policy.toml: cannot be read (it is not UTF-8 text)" in world.refused()
    (world.root / "etc" / "policy.toml").unlink()
    (world.root / "etc" / "policy.toml").mkdir()
    assert "etc/policy.toml: cannot be read" in world.refused()


def test_the_search_for_a_project_ends_at_its_repository(world: World) -> None:
    """Above the root of the repository nothing is read; without a repository only the working folder is."""
    world.write("home/holdfast.toml", "lineages = 3\n")
    assert world.resolve().values.lineages == 256
    world.write("home/repo/src/holdfast.toml", "lineages = 4\n")
    assert world.resolve().values.lineages == 4
    (world.root / "home" / "repo" / ".git").rmdir()
    assert world.resolve().values.lineages == 256
    world.write("home/repo/src/app/holdfast.toml", "lineages = 5\n")
    assert world.resolve().values.lineages == 5


def test_a_pyproject_without_our_table_is_passed_by(world: World) -> None:
    """The next folder above is asked, and holdfast.toml goes before pyproject.toml in one folder."""
    world.write("home/repo/src/pyproject.toml", "[tool.ruff]\nline-length = 9\n")
    world.write("home/repo/pyproject.toml", "[tool.holdfast]\nlineages = 7\n")
    assert world.resolve().values.lineages == 7
    world.write("home/repo/holdfast.toml", "lineages = 8\n")
    assert world.resolve().values.lineages == 8
    world.write("home/repo/src/pyproject.toml", "[tool]\nholdfast = 1\n")
    assert world.refused() == "home/repo/src/pyproject.toml:2: [tool.holdfast] must be a table of settings"


def test_paths_begin_where_they_are_said(world: World) -> None:
    """A relative path belongs to its file's folder, or for arguments and variables to the working folder; ~ is the home."""
    world.write("home/repo/holdfast.toml", "record = 'logs/calls.jsonl'\n")
    assert world.resolve().values.record == world.root / "home/repo/logs/calls.jsonl"
    assert world.resolve(record="x.jsonl").values.record == world.start / "x.jsonl"
    world.env["HOLDFAST_STORE"] = "~/kept.sqlite"
    assert world.resolve().values.store == world.root / "home/kept.sqlite"
    assert world.resolve(record=False).values.record is None


@pytest.mark.parametrize("name", ["holdfast.toml", "holdfast.local.toml"])
@pytest.mark.parametrize("path", ["../../elsewhere.jsonl", "~/.bashrc", "/tmp/x.jsonl", "link/x.jsonl"])
def test_a_projects_file_sends_no_conversation_out_of_it(world: World, name: str, path: str) -> None:
    """Code that was cloned cannot have prompts written anywhere else, nor through a link; the user's own file may say anything."""
    (world.root / "home/repo/link").symlink_to(world.root)
    place = world.write(f"home/repo/{name}", f"mode = 'compact'\nrecord = '{path}'\n")
    assert world.refused().startswith(f"home/repo/{name}:2: record = ")
    place.unlink()
    world.write("home/.config/holdfast/config.toml", f"record = '{path}'\n")
    assert world.resolve().values.record is not None


def test_the_users_file_is_where_xdg_says(world: World) -> None:
    """XDG_CONFIG_HOME counts where it is absolute; without a home there is no such file."""
    world.write("config/holdfast/config.toml", "lineages = 2\n")
    world.write("home/.config/holdfast/config.toml", "lineages = 3\n")
    world.env["XDG_CONFIG_HOME"] = "config"
    assert world.resolve().values.lineages == 3
    world.env["XDG_CONFIG_HOME"] = str(world.root / "config")
    assert world.resolve().values.lineages == 2
    assert resolve({}, Surroundings(world.start, {}, world.root / "none")).values.lineages == 256


def test_misspelled_variables_are_noted_and_others_left_alone(world: World) -> None:
    """An empty variable says nothing; one that is almost a setting is named; one of somebody else's is not."""
    world.env |= {"HOLDFAST_MODE": "", "HOLDFAST_STRATEGI": "micro", "HOLDFAST_ZZZ": "1"}
    found = world.resolve()
    assert found.values.mode == "compact"
    assert found.notes == ("HOLDFAST_STRATEGI is no setting and was ignored; did you mean HOLDFAST_STRATEGY?",)


def test_the_defaults_are_those_of_calls() -> None:
    """Every setting that calls know has the same default there, and nothing that could be set there is missing here."""
    defaults, by_name = Settings(), {field.name: field for field in fields(CallSettings)}
    shared = [name for name in NAMES if name in by_name]
    assert {name: getattr(defaults, name) for name in shared} == {name: getattr(CallSettings(), name) for name in shared}
    assert set(by_name) - set(NAMES) == {"pins", "hooks", "clock"}
    assert set(NAMES) - set(by_name) == {"store", "record", "record_max_bytes", "record_keep"}


def row(name: str) -> str:
    """A setting as the page shows it."""
    default = plain(getattr(Settings(), name))
    shown = {None: "", "[]": ""}.get(str(default) if isinstance(default, list) else default, f"`{default}`")
    return f"| `{name}` | {shown.lower() if isinstance(default, bool) else shown} | {about(name)} |"


def test_every_setting_is_documented() -> None:
    """The page has a row for each, with its default and what it does, and no other."""
    found = [line for line in DOCS.read_text(encoding="utf-8").splitlines() if line.startswith("| `") and line.split("`")[1] in NAMES]
    assert found == [row(name) for name in NAMES]


def test_importing_the_package_loads_no_settings() -> None:
    """``import holdfast`` does without pydantic-settings."""
    code = "import sys, holdfast; sys.exit('pydantic_settings' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0

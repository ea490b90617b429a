"""Running a command in this process."""

from __future__ import annotations

from typer.main import get_command
from typer.testing import CliRunner

from holdfast.cli import app

COMMANDS = sorted(get_command(app).commands)  # type: ignore[attr-defined]  # the app is a group


def run(*arguments: str, given: bytes = b"") -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command; what it did not expect to raise is raised."""
    result = CliRunner(env={"COLUMNS": "120"}).invoke(app, list(arguments), input=given)  # workers of a parallel run set their own
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr

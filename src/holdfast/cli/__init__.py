"""The command line, one file per command. The engine is imported when a command runs, so that ``--help`` is quick."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from holdfast.cli import compare, doctor, fake, prices, replay, settings, strategies, validate
from holdfast.cli.output import complain, hush, open_streams
from holdfast.errors import HoldfastError, InputError

INTERRUPTED = 130
"""The exit code after Ctrl-C: 128 and the number of the signal, as shells count."""


class Commands(TyperGroup):
    """Turns what a command raises into one sentence and an exit code: 2 for a wrong input, 1 for a failure, 130 for Ctrl-C.

    A reader that has had enough (``| head``) is no failure: 0.
    """

    def make_context(self, *given: Any, **settings: Any) -> Any:
        """Read the command line; ``--help`` and ``--version`` already write here."""
        try:
            return super().make_context(*given, **settings)
        except BrokenPipeError:
            raise typer.Exit(0) from None

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise typer.Exit(0) from None
        except KeyboardInterrupt:
            complain("interrupted; nothing was finished.")
            raise typer.Exit(INTERRUPTED) from None
        except InputError as error:
            complain(str(error))
            raise typer.Exit(2) from None
        except HoldfastError as error:
            complain(str(error))
            raise typer.Exit(1) from None


app = typer.Typer(
    name="holdfast",
    cls=Commands,
    help="What would each way of shortening your LLM conversations have cost, and what would it have lost?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("compare")(compare.compare)
app.command("replay")(replay.replay)
app.command("validate")(validate.validate)
app.command("doctor")(doctor.doctor)
app.command("strategies")(strategies.strategies)
app.command("prices")(prices.prices)
app.command("settings")(settings.settings)
app.command("fake")(fake.fake)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(version("holdfast"))
        raise typer.Exit


Version = Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")]


@app.callback()
def _options(version: Version = False) -> None:
    pass


def main() -> None:
    """The console script. What was printed is written before Python ends: only here can a full disk still be told in a sentence."""
    open_streams()
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        hush()
        sys.exit(0)
    except OSError as error:
        hush()
        complain(f"{error.filename or 'standard output'}: {error.strerror or error}.")
        sys.exit(1)

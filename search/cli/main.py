"""Entry point: parse, call the verb, turn an error into one sentence and an exit code."""

from __future__ import annotations

import signal
import sys
from types import FrameType

import click
import typer

from fleetfit import FleetfitError
from search.cli import fit, measure, model
from search.cli.console import say

__all__ = ["app", "main"]

app = typer.Typer(
    name="fleetfit",
    help="Fit one pretrained BERT supernet to a device: measure, learn, search, verify, export.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(measure.describe)
app.command()(model.convert)
app.command()(model.pretrain)
app.command()(model.finetune)
app.command()(model.evaluate)
app.command()(measure.profile)
app.command()(measure.learn)
app.command()(fit.search)
app.command()(fit.verify)
app.command()(fit.export)
app.command()(fit.run)


def main(argv: list[str] | None = None) -> int:
    """Run one verb; returns the exit code (design section 8)."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        result = app(argv, standalone_mode=False)
    except FleetfitError as exc:
        say(f"[bold red]error:[/] {_escaped(exc)}")
        return exc.exit_code
    except click.exceptions.Exit as exc:
        return exc.exit_code
    except click.ClickException as exc:
        say(f"[bold red]error:[/] {_escaped(exc.format_message())} See fleetfit --help.")
        return 2
    except (KeyboardInterrupt, click.Abort):
        say("interrupted; what was measured and saved is kept: run the same command to go on.")
        return 130
    return result if isinstance(result, int) else 0


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _escaped(what: object) -> str:
    return str(what).replace("[", "\\[")


if __name__ == "__main__":
    sys.exit(main())

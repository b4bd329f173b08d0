"""Entry point: parse, call the verb, turn an error into one sentence and an exit code."""

from __future__ import annotations

import os
import signal
import sys
from importlib.metadata import version
from types import FrameType
from typing import Annotated, Final

import typer
from rich.markup import escape

from fleetfit import INTERRUPTED, FleetfitError, InputError, RuntimeMissing, SurroundingsError
from search.cli import store
from search.cli.console import say
from search.cli.convert import convert
from search.cli.evaluate import evaluate
from search.cli.export import export
from search.cli.finetune import finetune
from search.cli.measure import describe, learn
from search.cli.pretrain import pretrain
from search.cli.profile import profile
from search.cli.run import run
from search.cli.search import search
from search.cli.verify import verify

__all__ = ["app", "main"]

app = typer.Typer(
    name="fleetfit",
    help="Fit one pretrained BERT supernet to a device: measure, learn, search, verify, export.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for verb in (
    describe,
    convert,
    pretrain,
    finetune,
    evaluate,
    profile,
    learn,
    search,
    verify,
    export,
    run,
):
    app.command()(verb)
app.add_typer(store.app, name="store")


def _tell_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"fleetfit {version('fleetfit')}\n")
        raise typer.Exit


@app.callback()
def _common(
    show: Annotated[
        bool,
        typer.Option(
            "--version", callback=_tell_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Options of no verb."""


_EXTRAS: Final = dict.fromkeys(("torch", "sklearn", "tensorboard"), "train,search") | dict.fromkeys(
    ("scipy", "pymoo", "xgboost"), "search"
)
"""A library that some verbs need to the extras that bring what these verbs need."""
# Typer carries a click of its own since 0.27 and names only one of its errors: the root of all
# misuse (an unknown verb or option, a missing or bad value) is two steps above that one.
_Misuse: type[Exception] = typer.BadParameter.__bases__[0].__bases__[0]


def main(argv: list[str] | None = None) -> int:
    """Run one verb; returns the exit code (design section 8)."""
    words = sys.argv[1:] if argv is None else argv
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        given = words or ["--help"]
        code = app(given, prog_name="fleetfit", standalone_mode=False, obj=words)
    except FleetfitError as exc:
        return _failed(str(exc), exc.exit_code)
    except _Misuse as exc:
        said = exc.format_message().rstrip(".")  # type: ignore[attr-defined]
        return _failed(f"{said}; see fleetfit {_verb(words)}--help.", InputError.exit_code)
    except OSError as exc:
        said = f"{exc.filename or 'The disk'} must be usable, but the system says: {exc.strerror}"
        return _failed(f"{said}; free space or choose another place.", SurroundingsError.exit_code)
    except ModuleNotFoundError as exc:
        extra = _EXTRAS.get((exc.name or "").partition(".")[0])
        if extra is None:
            raise
        said = f"{exc.name} must be installed for this verb, but it is not"
        return _failed(f"{said}: pip install 'fleetfit[{extra}]'.", RuntimeMissing.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    finally:
        signal.signal(signal.SIGTERM, before)
    if code == INTERRUPTED and "RANK" not in os.environ:  # of several processes their parent says
        say(
            "interrupted; profile and evaluate go on from here, pretrain from its last state "
            "(saved every minute), the others begin again."
        )
    return code if isinstance(code, int) else 0


def _failed(sentence: str, code: int) -> int:
    rank = os.environ.get("RANK", "0")  # of a training run with several processes
    who = "" if rank == "0" else f"rank {rank}: "
    say(f"[bold red]error:[/] {escape(who + sentence)}")
    return code


def _verb(words: list[str]) -> str:
    known = {command.callback.__name__ for command in app.registered_commands if command.callback}
    known |= {str(group.name) for group in app.registered_groups}
    return f"{words[0]} " if words and words[0] in known else ""


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt

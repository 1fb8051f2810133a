"""The command line. Heavy imports happen inside the commands, so that ``--help`` answers at once."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer
from typer.exceptions import TyperException

from .. import __version__
from ..errors import InputError

app = typer.Typer(
    name="shiftlearn",
    help="Train spiking neural networks with shifting learning.",
    epilog="Example: shiftlearn train mnist --seed 0 --out runs/first",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it.")] = False,
) -> None:
    pass


@app.command()
def train(
    recipe: Annotated[str | None, typer.Argument(help="A recipe of the package, or a path to a .toml file.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a setting; can be repeated."),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Short for --set epochs=…")] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Initial weights and order of the data follow from it; default: 0.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, …")] = "cpu",
    threads: Annotated[
        int | None, typer.Option(min=1, max=1024, help="CPU threads; default: what torch chooses.")
    ] = None,
    data_dir: Annotated[str | None, typer.Option(help="Folder that holds mnist/, fashion-mnist/.")] = None,
    out: Annotated[str | None, typer.Option(help="Run folder; default: a new one in runs/.")] = None,
    resume: Annotated[str | None, typer.Option(metavar="RUN", help="Go on with this run folder.")] = None,
) -> None:
    """Train by a recipe, for example: shiftlearn train mnist --epochs 5 --set beta=2"""
    from .train import train as run

    run(recipe, set_ or [], epochs, seed, device, threads, data_dir, out, resume)


@app.command()
def evaluate(
    run: Annotated[str, typer.Argument(help="A run folder.")],
    data_dir: Annotated[str | None, typer.Option(help="Folder that holds mnist/, fashion-mnist/.")] = None,
) -> None:
    """Read the test set with a trained model, for example: shiftlearn evaluate runs/first"""
    from .train import evaluate as show

    show(run, data_dir)


@app.command()
def data(data_dir: Annotated[str | None, typer.Option(help="Look in this folder alone.")] = None) -> None:
    """List the datasets and where each was found."""
    from ..data import DATASETS, find

    for name, dataset in DATASETS.items():
        folder = find(name, data_dir)
        place = str(folder) if folder else "not found: downloaded when first used" if data_dir is None else "not there"
        typer.echo(f"{name:14} {place}\n{'':14} {dataset.origin}")


def main() -> None:
    """Entry point: mistakes of the user become one line and exit code 2."""
    try:
        code = app(standalone_mode=False)
    except (InputError, TyperException) as error:
        message = error.format_message() if isinstance(error, TyperException) else str(error)
        _fail(message)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except OSError as error:
        _fail(f"{error.filename or 'file system'}: {error.strerror or error}")
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(130)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str) -> None:
    if message:  # empty where the help was shown instead
        typer.echo(f"shiftlearn: {' '.join(message.split())}", err=True)
    sys.exit(2)

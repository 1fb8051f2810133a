"""The commands ``shiftlearn data …``."""

from __future__ import annotations

from typing import Annotated

import typer

from ..registry import PREPROCESSING
from . import completion
from .options import DataDir, Json, examples, help_alone, path_option
from .printing import Voice

data_app = typer.Typer(invoke_without_command=True)


@data_app.callback()
def data(
    context: typer.Context,
    data_dir: Annotated[str | None, path_option(help="Look in this folder alone.")] = None,
    json: Json = False,
) -> None:
    """List the datasets and where each was found, draw one, or make one."""
    context.obj = data_dir
    if context.invoked_subcommand is None:
        from .data import listing

        listing(data_dir, Voice(json=json))


@data_app.command("show", epilog=examples("data show fashion-mnist --out grid.png --count 100"))
def data_show(
    context: typer.Context,
    dataset: Annotated[
        str,
        typer.Argument(
            help="A dataset: mnist, fashion-mnist.", autocompletion=completion.one_of("mnist", "fashion-mnist")
        ),
    ],
    out: Annotated[str, path_option(metavar="FILE.png", help="The picture; one that is there is replaced.")],
    split: Annotated[
        str, typer.Option(help="train or test.", autocompletion=completion.one_of("train", "test"))
    ] = "train",
    count: Annotated[int, typer.Option(help="Samples to draw, 1 to 1000.")] = 25,
    seed: Annotated[int, typer.Option(help="Which samples are drawn follows from it.")] = 0,
    coding: Annotated[
        str,
        typer.Option(
            help="From pixels to spike times: latency, binarised.",
            autocompletion=completion.one_of("latency", "binarised"),
        ),
    ] = "latency",
    preprocess: Annotated[
        str, typer.Option(help="none, or edges.", autocompletion=completion.one_of(*PREPROCESSING))
    ] = "none",
    data_dir: DataDir = None,
) -> None:
    """Draw samples and their spike times."""
    from .data import show

    show(dataset, split, count, seed, coding, preprocess, data_dir or context.obj, out)


make_app = typer.Typer(invoke_without_command=True)
data_app.add_typer(make_app, name="make")


@make_app.callback()
def data_make(context: typer.Context) -> None:
    """Generate data."""
    help_alone(context)


@make_app.command("tca", epilog=examples("data make tca --trials 200 --out trials.mat"))
def data_make_tca(
    out: Annotated[str, path_option(metavar="FILE.mat", help="The file; one that is there is replaced.")],
    trials: Annotated[int, typer.Option(help="Number of trials.")] = 200,
    seed: Annotated[int, typer.Option(help="The trials follow from it, and new features too.")] = 0,
    templates: Annotated[
        str | None, path_option(metavar="FILE.mat", help="Take the features of this file, not new ones.")
    ] = None,
) -> None:
    """Spike trains for temporal credit assignment: features with rewards, in background noise."""
    from .data import make_tca

    make_tca(trials, seed, templates, out)

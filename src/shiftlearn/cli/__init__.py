"""The command line. Heavy imports happen inside the commands, so that ``--help`` answers at once."""

from __future__ import annotations

import os
import signal
import sys
from typing import Annotated

import typer
from typer.exceptions import TyperException

from .. import __version__
from ..errors import InputError, PeerError

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
    recipe: Annotated[
        str | None, typer.Argument(help="A recipe of the package, a .toml file, or a CSV file to classify.")
    ] = None,
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
    target: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Of a CSV file: the column of the classes; default: the last.")
    ] = None,
    folds: Annotated[int | None, typer.Option(help="Tables: cross-validate with so many folds.")] = None,
    repeats: Annotated[int | None, typer.Option(help="Tables: so many random partitions into folds.")] = None,
    compare: Annotated[
        bool, typer.Option(help="With --folds: scikit-learn's classifiers on the same folds.", show_default=False)
    ] = True,
    repeat: Annotated[
        int | None, typer.Option(help="XOR: train so many networks, and count those that solve it.")
    ] = None,
) -> None:
    """Train by a recipe, for example: shiftlearn train mnist --epochs 5 --set beta=2"""
    from .train import Plan
    from .train import train as run

    plan = Plan(folds=folds, repeats=repeats, compare=compare, repeat=repeat)
    run(recipe, set_ or [], epochs, seed, device, threads, data_dir, out, resume, target, plan)


@app.command()
def evaluate(
    run: Annotated[str, typer.Argument(help="A run folder.")],
    data_dir: Annotated[str | None, typer.Option(help="Folder that holds mnist/, fashion-mnist/.")] = None,
) -> None:
    """Read the test set with a trained model, for example: shiftlearn evaluate runs/first"""
    from .train import evaluate as show

    show(run, data_dir)


@app.command()
def inspect(
    run: Annotated[str, typer.Argument(help="A run folder.")],
    samples: Annotated[int, typer.Option(help="So many training samples.")] = 1000,
    data_dir: Annotated[str | None, typer.Option(help="Folder that holds mnist/, fashion-mnist/.")] = None,
    out: Annotated[str | None, typer.Option(metavar="FILE", help="Write it as .csv, or draw it as .png.")] = None,
) -> None:
    """Spike times and silence, layer by layer, for example: shiftlearn inspect runs/first --out layers.csv"""
    from .inspect import inspect as show

    show(run, samples, data_dir, out)


@app.command()
def plot(
    run: Annotated[str, typer.Argument(help="A run folder.")],
    kind: Annotated[str, typer.Argument(help="curves, raster, potential, weights, confusion, roc, fields or time.")],
    out: Annotated[
        str | None, typer.Option(metavar="FILE", help="A .png, .svg or .pdf; default: RUN-KIND.png in this folder.")
    ] = None,
    sample: Annotated[
        int | None, typer.Option(metavar="N", help="raster, potential: this one of the test data, from 0.")
    ] = None,
    file: Annotated[
        str | None, typer.Option("--input", metavar="FILE", help="raster, potential: of the samples in this file.")
    ] = None,
    layer: Annotated[
        int | None, typer.Option(metavar="N", help="potential: of this layer, from 1; default: the last.")
    ] = None,
    neurons: Annotated[
        str | None, typer.Option(metavar="LIST", help="potential, fields: of these, such as 0,3,8-11.")
    ] = None,
    dark: Annotated[bool, typer.Option("--dark", help="For dark backgrounds.")] = False,
    data_dir: Annotated[str | None, typer.Option(help="Folder that holds mnist/, fashion-mnist/.")] = None,
) -> None:
    """Draw what a network learned and does, for example: shiftlearn plot runs/first raster --sample 7"""
    from .plot import plot as draw

    draw(run, kind, out, sample, file, layer, neurons, dark, data_dir)


@app.command()
def compare(
    recipe: Annotated[str, typer.Argument(help="A recipe of the package, or a .toml file.")],
    rules: Annotated[str, typer.Option(help="Local rules.")] = "shifting,normalized,exact",
    feedback: Annotated[str, typer.Option(help="Feedback pathways.")] = "symmetric,random,direct",
    modulators: Annotated[str, typer.Option(help="Modulators: error, reward.")] = "error",
    seeds: Annotated[int, typer.Option(help="Of each combination so many runs.")] = 3,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a setting; can be repeated."),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Short for --set epochs=…")] = None,
    jobs: Annotated[int, typer.Option(help="Runs at a time, each on one thread.")] = os.cpu_count() or 1,
    data_dir: Annotated[str | None, typer.Option(help="Folder that holds mnist/, fashion-mnist/.")] = None,
    out: Annotated[
        str | None, typer.Option(help="Folder; default: runs/compare-RECIPE. It goes on where it is.")
    ] = None,
) -> None:
    """Train a grid of rules and pathways, for example: shiftlearn compare mnist --rules normalized --seeds 3"""
    from .compare import compare as run

    run(recipe, set_ or [], rules, feedback, modulators, seeds, epochs, jobs, data_dir, out)


@app.command()
def reproduce(
    recipes: Annotated[list[str] | None, typer.Argument(help="Recipes; default: all with a test set.")] = None,
    seeds: Annotated[int, typer.Option(help="Of each recipe so many runs.")] = 3,
    jobs: Annotated[int, typer.Option(help="Runs at a time, each on one thread.")] = os.cpu_count() or 1,
    data_dir: Annotated[str | None, typer.Option(help="Folder that holds mnist/, fashion-mnist/.")] = None,
    out: Annotated[str, typer.Option(help="Folder; it goes on where it is.")] = "runs/reproduce",
    into: Annotated[
        str | None, typer.Option(metavar="FILE.md", help="Replace the table in this file, too, between its markers.")
    ] = None,
) -> None:
    """Train recipes with several seeds and write the table of results: shiftlearn reproduce mnist fashion-mnist"""
    from .reproduce import reproduce as run

    run(recipes or [], seeds, jobs, data_dir, out, into)


@app.command()
def predict(
    run: Annotated[str, typer.Argument(help="A run folder.")],
    files: Annotated[list[str], typer.Argument(help="PNG, IDX or .npy images, or CSV rows.")],
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Classify samples with a trained model, for example: shiftlearn predict runs/first digit.png"""
    from .predict import predict as show

    show(run, files, json)


@app.command()
def playground(
    run: Annotated[str, typer.Argument(help="A run folder.")],
    out: Annotated[str, typer.Option(metavar="FILE.html", help="The page; one that is there is replaced.")],
    data_dir: Annotated[str | None, typer.Option(help="Folder that holds mnist/, fashion-mnist/.")] = None,
) -> None:
    """Write a page to draw on and watch, for example: shiftlearn playground runs/first --out race.html"""
    from .playground import playground as make

    make(run, data_dir, out)


@app.command()
def export(
    run: Annotated[str, typer.Argument(help="A run folder.")],
    out: Annotated[str, typer.Option(metavar="FILE", help="The file; one that is there is replaced.")],
    format: Annotated[str, typer.Option(help="nir: a graph of the neuromorphic intermediate representation.")] = "nir",
    tau: Annotated[
        float | None,
        typer.Option(
            help="Synaptic time constant in s; default: that of the spike trains, or 5e-3.", show_default=False
        ),
    ] = None,
) -> None:
    """Write a trained network for other programs, for example: shiftlearn export runs/first --out first.nir"""
    from .export import write

    write(run, format, out, tau)


data_app = typer.Typer(invoke_without_command=True)
app.add_typer(data_app, name="data")


@data_app.callback()
def data(
    context: typer.Context,
    data_dir: Annotated[str | None, typer.Option(help="Look in this folder alone.")] = None,
) -> None:
    """List the datasets and where each was found, or draw one: shiftlearn data show mnist --out grid.png"""
    context.obj = data_dir
    if context.invoked_subcommand is None:
        from .data import listing

        listing(data_dir)


@data_app.command("show")
def data_show(
    context: typer.Context,
    dataset: Annotated[str, typer.Argument(help="A dataset: mnist, fashion-mnist.")],
    out: Annotated[str, typer.Option(metavar="FILE.png", help="The picture; one that is there is replaced.")],
    split: Annotated[str, typer.Option(help="train or test.")] = "train",
    count: Annotated[int, typer.Option(help="Samples to draw, 1 to 1000.")] = 25,
    seed: Annotated[int, typer.Option(help="Which samples are drawn follows from it.")] = 0,
    coding: Annotated[str, typer.Option(help="From pixels to spike times: latency, binarised.")] = "latency",
    preprocess: Annotated[str, typer.Option(help="none, or edges.")] = "none",
    data_dir: Annotated[str | None, typer.Option(help="Folder that holds mnist/, fashion-mnist/.")] = None,
) -> None:
    """Draw samples and their spike times, for example: shiftlearn data show fashion-mnist --out grid.png"""
    from .data import show

    show(dataset, split, count, seed, coding, preprocess, data_dir or context.obj, out)


make_app = typer.Typer(no_args_is_help=True, help="Generate data.")
data_app.add_typer(make_app, name="make")


@make_app.callback()
def data_make() -> None:
    """Generate data, for example: shiftlearn data make tca --trials 200 --out trials.mat"""


@make_app.command("tca")
def data_make_tca(
    out: Annotated[str, typer.Option(metavar="FILE.mat", help="The file; one that is there is replaced.")],
    trials: Annotated[int, typer.Option(help="Number of trials.")] = 200,
    seed: Annotated[int, typer.Option(help="The trials follow from it, and new features too.")] = 0,
    templates: Annotated[
        str | None, typer.Option(metavar="FILE.mat", help="Take the features of this file, not new ones.")
    ] = None,
) -> None:
    """Spike trains for temporal credit assignment: features with rewards, in background noise."""
    from .data import make_tca

    make_tca(trials, seed, templates, out)


_TERMINATED = 128 + signal.SIGTERM


def main() -> None:
    """Entry point: mistakes of the user become one line and exit code 2."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(_TERMINATED))
    try:
        code = app(standalone_mode=False)
    except (InputError, TyperException) as error:
        message = error.format_message() if isinstance(error, TyperException) else str(error)
        _fail(message)
    except PeerError:  # whose message that other process prints
        sys.exit(2)
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

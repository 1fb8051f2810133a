"""The command line. Heavy imports happen inside the commands, so that ``--help`` answers at once.

May import: anything; nothing imports it.
"""

from __future__ import annotations

import os
import shutil
from typing import Annotated

import typer

from .. import __version__
from ..registry import PLOTS
from . import completion
from .data_commands import data_app
from .entry import EXIT_CODES, run_app
from .options import (
    NAME,
    DataDir,
    Decimal,
    Encoding,
    Epochs,
    Header,
    Json,
    Quiet,
    Recipe,
    RunFolder,
    Separator,
    Settings,
    TimeUnit,
    at_home,
    examples,
    help_alone,
    path_option,
    reading,
    run_folder,
)
from .printing import Voice

app = typer.Typer(
    name=NAME,
    help="Train spiking neural networks with shifting learning.",
    epilog=examples("train mnist --seed 0 --out runs/first", "evaluate runs/first", "runs") + "\n\n" + EXIT_CODES,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"terminal_width": max(30, min(shutil.get_terminal_size().columns, 100) - 2)},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it.")] = False,
) -> None:
    help_alone(context)


@app.command(
    epilog=examples(
        "train mnist",
        "train mnist --epochs 5 --set beta=2 --seed 1 --out runs/first",
        "train my.csv --target species --folds 5 --repeats 10",
        "train --resume runs/first",
        "train mnist --log tensorboard",
    )
)
def train(
    recipe: Annotated[
        str | None,
        typer.Argument(
            callback=at_home,
            help="A recipe of the package, a .toml file, or a CSV file to classify.",
            autocompletion=completion.recipe_names,
        ),
    ] = None,
    set_: Settings = None,
    epochs: Epochs = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Initial weights and order of the data follow from it; default: 0.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, ...")] = "cpu",
    threads: Annotated[
        int | None, typer.Option(min=1, max=1024, help="CPU threads; default: what torch chooses.")
    ] = None,
    data_dir: DataDir = None,
    out: Annotated[str | None, path_option(help="Run folder; default: a new one in runs/.")] = None,
    resume: Annotated[
        str | None,
        typer.Option(
            metavar="RUN",
            callback=run_folder,
            help="Go on with this run folder, or the one of this name in runs/.",
            autocompletion=completion.run_folders,
        ),
    ] = None,
    target: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="CSV: the column of the classes; default: the last.")
    ] = None,
    header: Header = None,
    separator: Separator = None,
    encoding: Encoding = None,
    decimal: Decimal = None,
    missing: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CELL",
            help="CSV: stands for a missing value, as an empty cell does; can be repeated; "
            "default: ? - NA N/A NaN None null.",
        ),
    ] = None,
    drop: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN", help="CSV: leave this column out; can be repeated.")
    ] = None,
    time_unit: TimeUnit = None,
    folds: Annotated[int | None, typer.Option(help="Tables: number of folds of a cross-validation.")] = None,
    repeats: Annotated[int | None, typer.Option(help="Tables: number of random partitions into folds.")] = None,
    compare: Annotated[
        bool, typer.Option(help="With --folds: scikit-learn's classifiers on the same folds.", show_default=False)
    ] = True,
    networks: Annotated[
        int | None,
        typer.Option(help="XOR: number of networks to train, with seeds from --seed on; counts those that solve it."),
    ] = None,
    log: Annotated[
        str | None,
        typer.Option(
            metavar="KIND",
            help="tensorboard: event files in tensorboard/ beside the run folder; name it again to --resume.",
            autocompletion=completion.one_of("tensorboard"),
        ),
    ] = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Train by a recipe."""
    from .train import Plan
    from .train import train as run

    plan = Plan(folds=folds, repeats=repeats, compare=compare, networks=networks)
    voice = Voice(quiet, json)
    settings = [*(set_ or []), *([] if time_unit is None else [f"time_unit={time_unit}"])]
    table = reading(target=target, header=header, separator=separator, encoding=encoding, decimal=decimal)
    table |= reading(missing=missing or None, drop=drop or None)
    run(recipe, settings, epochs, seed, device, threads, data_dir, out, resume, table, plan, log, voice)


@app.command(epilog=examples("evaluate runs/first", "evaluate runs/first --json"))
def evaluate(run: RunFolder, data_dir: DataDir = None, quiet: Quiet = False, json: Json = False) -> None:
    """Read the test set with a trained model, and compare with what the run has stored."""
    from .train import evaluate as show

    show(run, data_dir, Voice(quiet, json))


@app.command(epilog=examples("runs", "runs runs/compare-mnist --sort accuracy", "runs --json"))
def runs(
    folder: Annotated[
        str, typer.Argument(callback=at_home, help="A folder that holds run folders, at any depth.")
    ] = "runs",
    sort: Annotated[
        str,
        typer.Option(
            help="name, date, accuracy (the best first) or time.",
            autocompletion=completion.one_of("name", "date", "accuracy", "time"),
        ),
    ] = "date",
    json: Json = False,
) -> None:
    """List and compare run folders, the latest first."""
    from .runs import runs as show

    show(folder, sort, Voice(json=json))


@app.command(epilog=examples("inspect runs/first", "inspect runs/first --out layers.csv"))
def inspect(
    run: RunFolder,
    samples: Annotated[int, typer.Option(help="So many training samples.")] = 1000,
    data_dir: DataDir = None,
    out: Annotated[str | None, path_option(metavar="FILE", help="Write it as .csv, or draw it as .png.")] = None,
) -> None:
    """Show spike times and silence, layer by layer."""
    from .inspect import inspect as show

    show(run, samples, data_dir, out)


@app.command(epilog=examples("plot runs/first curves", "plot runs/first raster --sample 7 --dark --out raster.svg"))
def plot(
    run: RunFolder,
    kind: Annotated[str, typer.Argument(help=f"{', '.join(PLOTS)}.", autocompletion=completion.one_of(*PLOTS))],
    out: Annotated[
        str | None, path_option(metavar="FILE", help="A .png, .svg or .pdf; default: RUN-KIND.png in this folder.")
    ] = None,
    sample: Annotated[
        int | None, typer.Option(metavar="N", help="raster, potential: this one of the test data, from 0.")
    ] = None,
    file: Annotated[
        str | None, path_option("--input", metavar="FILE", help="raster, potential: of the samples in this file.")
    ] = None,
    layer: Annotated[
        int | None, typer.Option(metavar="N", help="potential: of this layer, from 1; default: the last.")
    ] = None,
    neurons: Annotated[
        str | None, typer.Option(metavar="LIST", help="potential, fields: of these, such as 0,3,8-11.")
    ] = None,
    dark: Annotated[bool, typer.Option("--dark", help="For dark backgrounds.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Draw what a network learned and does."""
    from .plot import plot as draw

    draw(run, kind, out, sample, file, layer, neurons, dark, data_dir)


@app.command(
    epilog=examples(
        "compare mnist --rules normalized --seeds 3",
        "compare iris --rules shifting,exact --feedback symmetric,random --modulators error,reward",
    )
)
def compare(
    recipe: Recipe,
    rules: Annotated[
        str, typer.Option(help="Local rules.", autocompletion=completion.listed(completion.rules))
    ] = "shifting,normalized,exact",
    feedback: Annotated[
        str, typer.Option(help="Feedback pathways.", autocompletion=completion.listed(completion.pathways))
    ] = "symmetric,random,direct",
    modulators: Annotated[
        str, typer.Option(help="Modulators: error, reward.", autocompletion=completion.listed(completion.modulators))
    ] = "error",
    seeds: Annotated[int, typer.Option(help="Of each combination so many runs.")] = 3,
    set_: Settings = None,
    epochs: Epochs = None,
    jobs: Annotated[int, typer.Option(help="Runs at a time, each on one thread.")] = os.cpu_count() or 1,
    data_dir: DataDir = None,
    out: Annotated[
        str | None, path_option(help="Folder; default: runs/compare-RECIPE. It goes on where it is.")
    ] = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Train a grid of rules, pathways, modulators and seeds."""
    from .compare import compare as run

    voice = Voice(quiet, json)
    run(recipe, set_ or [], rules, feedback, modulators, seeds, epochs, jobs, data_dir, out, voice)


@app.command(epilog=examples("reproduce mnist fashion-mnist", "reproduce --jobs 1 --into docs/results.md"))
def reproduce(
    recipes: Annotated[
        list[str] | None,
        typer.Argument(help="Recipes; default: all with a test set.", autocompletion=completion.recipe_names),
    ] = None,
    seeds: Annotated[int, typer.Option(help="Of each recipe so many runs.")] = 3,
    jobs: Annotated[int, typer.Option(help="Runs at a time, each on one thread.")] = os.cpu_count() or 1,
    data_dir: DataDir = None,
    out: Annotated[str, path_option(help="Folder; it goes on where it is.")] = "runs/reproduce",
    into: Annotated[
        str | None,
        path_option(metavar="FILE.md", help="Put the rows into the table in this file, between its markers."),
    ] = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Train recipes with several seeds and write the table of results."""
    from .reproduce import reproduce as run

    run(recipes or [], seeds, jobs, data_dir, out, into, Voice(quiet, json))


@app.command(epilog=examples("robustness runs/first", "robustness runs/first --kinds jitter,bits --out bits.png"))
def robustness(
    run: RunFolder,
    kinds: Annotated[
        str,
        typer.Option(help="What is done to the network.", autocompletion=completion.listed(completion.disturbances)),
    ] = "jitter,deletion,dead,bits,clock",
    seed: Annotated[int, typer.Option(min=0, help="What is random follows from it.")] = 0,
    data_dir: DataDir = None,
    out: Annotated[
        str | None, path_option(metavar="FILE", help="Write it as .csv, or draw it (.png, .svg, .pdf).")
    ] = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Accuracy under jitter, lost spikes, dead neurons, few bits and a clock."""
    from .robustness import show

    show(run, kinds, seed, data_dir, out, Voice(quiet, json))


@app.command(epilog=examples("predict runs/first digit.png", "predict runs/my-seed0 new.csv --json"))
def predict(
    run: RunFolder,
    files: Annotated[
        list[str], typer.Argument(callback=at_home, help="PNG, IDX or .npy images, CSV rows, or trials (.npz, .mat).")
    ],
    time_unit: TimeUnit = None,
    header: Header = None,
    separator: Separator = None,
    encoding: Encoding = None,
    decimal: Decimal = None,
    json: Json = False,
) -> None:
    """Classify samples with a trained model."""
    from .predict import predict as show

    table = reading(header=header, separator=separator, encoding=encoding, decimal=decimal)
    show(run, files, json, time_unit, table)


@app.command(epilog=examples("playground runs/first --out race.html"))
def playground(
    run: RunFolder,
    out: Annotated[str, path_option(metavar="FILE.html", help="The page; one that is there is replaced.")],
    data_dir: DataDir = None,
) -> None:
    """Write a page to draw on, where the network's spikes race to an answer."""
    from .playground import playground as make

    make(run, data_dir, out)


@app.command(epilog=examples("export runs/first --out first.nir", "export runs/first --out first.nir --tau 0.01"))
def export(
    run: RunFolder,
    out: Annotated[str, path_option(metavar="FILE", help="The file; one that is there is replaced.")],
    format: Annotated[
        str,
        typer.Option(
            help="nir: a graph of the neuromorphic intermediate representation.",
            autocompletion=completion.one_of("nir"),
        ),
    ] = "nir",
    tau: Annotated[
        float | None,
        typer.Option(
            help="Synaptic time constant in s; default: that of the spike trains, or 5e-3.", show_default=False
        ),
    ] = None,
) -> None:
    """Write a trained network for other programs."""
    from .export import write

    write(run, format, out, tau)


@app.command(epilog=examples("doctor", "doctor --json"))
def doctor(json: Json = False) -> None:
    """Show what is installed: versions, kernels, threads, GPU, extras, data."""
    from .doctor import doctor as show

    show(Voice(json=json))


app.add_typer(
    data_app, name="data", epilog=examples("data", "data show mnist --out grid.png", "data make tca --out trials.mat")
)


def main() -> None:
    """Entry point of the program."""
    run_app(app)

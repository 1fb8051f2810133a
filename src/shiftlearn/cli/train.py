"""``shiftlearn train`` and ``shiftlearn evaluate``."""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from .. import checkpoint, recipes, records, training
from ..cross_validation import cross_validate
from ..distributed import World, join
from ..errors import InputError
from ..evaluation import evaluate as measure
from ..health import explained_memory
from ..repeats import repeat
from .printing import print_table
from .progress import reporter
from .summary import print_summary


@dataclass(frozen=True)
class Plan:
    """Whether one network is trained, or many."""

    folds: int | None = None
    repeats: int | None = None
    compare: bool = True
    repeat: int | None = None

    def check(self, device: str, processes: int) -> None:
        """InputError where this cannot be."""
        if self.repeats is not None and self.folds is None:
            raise InputError("--repeats needs --folds: it counts the partitions of a cross-validation")
        if self.repeat is not None and self.folds is not None:
            raise InputError("--repeat (of XOR) and --folds (of a table) exclude each other")
        if (self.folds or self.repeat) is None:
            return
        if device != "cpu":
            raise InputError(f"--folds and --repeat run on the CPU, got --device {device}")
        if processes > 1:
            raise InputError(f"--folds and --repeat run in one process, got {processes}")


@dataclass(frozen=True)
class _Job:
    """What the options say."""

    recipe: recipes.Recipe
    seed: int
    folder: Path
    plan: Plan
    changed: tuple[str, ...] = ()
    metrics: dict[str, Any] | None = None  # of a run that is finished


def train(
    name: str | None,
    settings: list[str],
    epochs: int | None,
    seed: int | None,
    device: str,
    threads: int | None,
    data_dir: str | None,
    out: str | None,
    resume: str | None,
    target: str | None,
    plan: Plan,
) -> None:
    if threads:
        import torch

        torch.set_num_threads(threads)
    with join(device) as (world, own):
        job = world.first(lambda: _job(name, settings, epochs, seed, out, resume, target, plan))
        world.first(lambda: job.plan.check(device, world.size))
        _run(job, world, own, data_dir, resume is not None)
    if world.size > 1:
        # Threads of the process group may still want the interpreter while it shuts down, and then abort the process.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def _job(
    name: str | None,
    settings: list[str],
    epochs: int | None,
    seed: int | None,
    out: str | None,
    resume: str | None,
    target: str | None,
    plan: Plan,
) -> _Job:
    if (name is None) == (resume is None):
        raise InputError(f"name a recipe ({', '.join(recipes.names())}) or a CSV file, or --resume a run folder")
    if resume is not None and (settings or plan != Plan(compare=plan.compare) or {epochs, seed, out, target} != {None}):
        raise InputError(
            "--resume goes by the settings of the run: leave out --set, --epochs, --seed, --out, --target, --folds, "
            "--repeats and --repeat"
        )
    if resume is not None:
        folder = Path(resume)
        config, metrics = checkpoint.read_config(folder), checkpoint.read_metrics(folder)
        if config.folds:
            plan = Plan(config.folds, config.repeats, config.compare)
        elif config.repeats:
            plan = Plan(repeat=config.repeats)
        return _Job(config.recipe, config.seed, folder, plan, metrics=metrics)
    assert name is not None
    seed = seed or 0
    changed = read_settings(settings, epochs)
    recipe = recipes.override(_recipe(name, target), changed)
    folder = Path(out) if out else _new_folder(Path("runs"), f"{Path(name).stem}-seed{seed}")
    checkpoint.require_new(folder)
    return _Job(recipe, seed, folder, plan, tuple(changed))


def _run(job: _Job, world: World, device: str, data_dir: str | None, resume: bool) -> None:
    recipe, seed, folder, plan, metrics = job.recipe, job.seed, job.folder, job.plan, job.metrics
    if world.is_writer:
        typer.echo(recipe.description)
        if job.changed:
            typer.echo("changed: " + ", ".join(f"{key} = {recipe.as_dict()[key]}" for key in job.changed))
        typer.echo(f"run folder: {folder}")
        if world.size > 1:
            typer.echo(f"processes: {world.size}")
    if metrics is not None:
        if world.is_writer:
            typer.echo("this run is finished; nothing is left to do")
            print_summary(folder, metrics)
        return
    try:
        watching = reporter(recipe.epochs) if world.is_writer else nullcontext(training.Silent())
        with explained_memory(recipe), watching as watch:
            if plan.folds is not None:
                repeats = 1 if plan.repeats is None else plan.repeats
                metrics = cross_validate(recipe, folder, seed, plan.folds, repeats, watch, plan.compare)
            elif plan.repeat is not None:
                metrics = repeat(recipe, folder, seed, plan.repeat, watch)
            elif resume:
                metrics = training.resume(folder, watch, device, data_dir, world)
            else:
                metrics = training.start(recipe, folder, seed, watch, device, data_dir, world)
    except (KeyboardInterrupt, SystemExit) as stop:  # Ctrl-C; SIGTERM
        if world.is_writer:
            typer.echo(f"\ninterrupted{_how_to_go_on(folder)}", err=True)
        sys.exit(stop.code if isinstance(stop, SystemExit) else 130)
    except BrokenPipeError:
        raise
    except OSError as error:
        where = error.filename or folder
        raise InputError(f"{where}: {error.strerror or error}; the run has stopped{_how_to_go_on(folder)}") from error
    if not world.is_writer:
        return
    assert metrics is not None
    features = checkpoint.read_config(folder).features
    if features and features.dropped:
        typer.echo(f"left out, since they do not vary: {', '.join(features.dropped)}")
    print_summary(folder, metrics)


def _how_to_go_on(folder: Path) -> str:
    begun = (folder / checkpoint.CONFIG).is_file()
    return f"; go on with: shiftlearn train --resume {folder}" if begun else ""


def _recipe(name: str, target: str | None) -> recipes.Recipe:
    """A recipe by name or file; for a CSV file, the recipe "table"."""
    path = Path(name)
    if name in recipes.names() or path.suffix == ".toml" or not (path.suffix or path.exists()):
        if target is not None:
            raise InputError(f"--target names a column of a CSV file, but {name} is a recipe")
        return recipes.read(name)
    return recipes.override(recipes.read("table"), {"dataset": str(path.absolute()), "target": target or ""})


def evaluate(run: str, data_dir: str | None) -> None:
    folder = Path(run)
    config, metrics = checkpoint.read_config(folder), checkpoint.read_metrics(folder)
    if config.folds or config.repeats:
        if metrics is None:
            raise InputError(f"{run!r} is not finished; go on with `shiftlearn train --resume {run}`")
        print_summary(folder, metrics)
        return
    model = checkpoint.load(folder)
    result = measure(model, "test", data_dir)
    print_table(records.table(result.per_class(model.classes)))
    typer.echo(f"test accuracy {result.accuracy:.4%} ({len(result.labels)} samples of {model.recipe.dataset})")
    if model.recipe.spike_trains:
        typer.echo(f"mean absolute error {result.mean_absolute_error:.3f}")
    typer.echo(f"silent samples {result.silent}, tied samples {result.ties}")
    if metrics is not None:
        stored = metrics["test_accuracy"]
        same = "the same as" if stored == result.accuracy else "NOT the same as"
        typer.echo(f"{same} the accuracy stored by the run, {stored:.4%}")
        if stored != result.accuracy:
            sys.exit(1)


def read_settings(pairs: list[str], epochs: int | None) -> dict[str, Any]:
    """What --set and --epochs say."""
    settings: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise InputError(f"--set takes KEY=VALUE, got {pair!r}")
        settings[key.strip()] = value.strip()
    if epochs is not None:
        settings["epochs"] = epochs
    return settings


def _new_folder(parent: Path, stem: str) -> Path:
    names = [stem, *(f"{stem}-{k}" for k in range(2, 10_000))]
    return next(parent / name for name in names if not (parent / name).exists())

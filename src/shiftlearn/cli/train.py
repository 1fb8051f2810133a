"""``shiftlearn train`` and ``shiftlearn evaluate``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import typer

from .. import checkpoint, recipes, training
from ..errors import InputError
from ..evaluation import evaluate as measure
from .progress import reporter


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
) -> None:
    if (name is None) == (resume is None):
        raise InputError(f"name a recipe ({', '.join(recipes.names())}), or --resume a run folder")
    if resume is not None and (settings or epochs is not None or seed is not None or out is not None):
        raise InputError("--resume goes by the settings of the run: leave out --set, --epochs, --seed and --out")
    if threads:
        import torch

        torch.set_num_threads(threads)
    changed: dict[str, Any] = {}
    if resume is not None:
        folder = Path(resume)
        recipe, _ = checkpoint.read_config(folder)
    else:
        assert name is not None
        seed = seed or 0
        changed = _settings(settings, epochs)
        recipe = recipes.override(recipes.read(name), changed)
        folder = Path(out) if out else _new_folder(Path("runs"), f"{Path(name).stem}-seed{seed}")
    typer.echo(recipe.description)
    if changed:
        typer.echo("changed: " + ", ".join(f"{key} = {recipe.as_dict()[key]}" for key in changed))
    typer.echo(f"run folder: {folder}")
    try:
        with reporter(recipe.epochs) as watch:
            metrics = (
                training.resume(folder, watch, device, data_dir)
                if resume is not None
                else training.start(recipe, folder, seed or 0, watch, device, data_dir)
            )
    except KeyboardInterrupt:
        begun = (folder / checkpoint.CONFIG).is_file()
        typer.echo(
            f"\ninterrupted; go on with: shiftlearn train --resume {folder}" if begun else "\ninterrupted", err=True
        )
        sys.exit(130)
    if metrics is None:
        typer.echo("this run is finished; nothing is left to do")
        metrics = checkpoint.read_metrics(folder)
    assert metrics is not None
    _summary(folder, metrics)


def evaluate(run: str, data_dir: str | None) -> None:
    folder = Path(run)
    model = checkpoint.load(folder)
    result = measure(model, "test", data_dir)
    typer.echo(f"test accuracy {result.accuracy:.4%} ({len(result.labels)} samples of {model.recipe.dataset})")
    typer.echo(f"silent samples {result.silent}, tied samples {result.ties}")
    metrics = checkpoint.read_metrics(folder)
    if metrics is not None:
        stored = metrics["test_accuracy"]
        same = "the same as" if stored == result.accuracy else "NOT the same as"
        typer.echo(f"{same} the accuracy stored by the run, {stored:.4%}")
        if stored != result.accuracy:
            sys.exit(1)


def _settings(pairs: list[str], epochs: int | None) -> dict[str, Any]:
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


def _summary(folder: Path, metrics: dict[str, Any]) -> None:
    typer.echo(
        f"test accuracy {metrics['test_accuracy']:.2%} on {metrics['test_samples']} samples "
        f"({metrics['silent_samples']} silent, {metrics['tied_samples']} tied), "
        f"{metrics['epochs']} epochs in {metrics['train_seconds']:.0f} s, seed {metrics['seed']}"
    )
    typer.echo(f"check it with: shiftlearn evaluate {folder}")

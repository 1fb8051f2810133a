"""K-fold cross-validation of a recipe on a table; all folds train side by side."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from . import checkpoint, data, tasks
from .data.features import Features
from .ensemble import Ensemble
from .errors import InputError
from .evaluation import judge, write_records
from .model import Model, build
from .recipes import Recipe
from .training import Reporter

__all__ = ["cross_validate"]

_VALUES = 30_000_000  # spike times held at once, at most: folds beyond wait their turn
_REPORT_EVERY = 10  # epochs
_SEEDS = 1_000_003  # from one repeat's seeds to the next's

Index = npt.NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class _Fold:
    repeat: int
    number: int
    seed: int
    train: Index
    test: Index


def cross_validate(
    recipe: Recipe, folder: Path, seed: int, folds: int, repeats: int, reporter: Reporter, compare: bool = True
) -> dict[str, Any]:
    """Train and test on ``repeats`` random partitions of a table into ``folds`` stratified parts.

    Scaling is fitted to the training rows of each fold. Partition r follows from seed + r. The folder also gets the
    weights of one more network that has learned from all rows, for ``shiftlearn predict``; it takes no part in the
    figures. ``folder`` is new, or that of an unfinished run. With ``compare``, scikit-learn's classifiers are trained
    and tested on the same folds.

    Raises:
        InputError: the dataset is no table, or has a class with fewer rows than there are folds.
    """
    if recipe.dataset in (*data.DATASETS, "xor"):
        raise InputError(f"--folds is for tables, got {recipe.dataset}")
    task = tasks.read(recipe, seed, None, [])
    parts = list(_partitions(recipe, task, seed, folds, repeats))
    everything = np.arange(len(task.labels))
    features = task.scale(recipe, everything)
    assert features is not None
    whole = tasks.fitted(recipe, task, features)
    stored = {"classes": task.classes, "features": features.as_dict(), "folds": folds, "repeats": repeats}
    checkpoint.write_config(folder, whole, seed, **stored)
    began = time.perf_counter()
    times = np.full((len(parts), len(task.labels), len(task.classes)), np.nan, dtype=np.float32)
    for first in range(0, len(parts), size := _at_once(recipe, task, features)):
        several = parts[first : first + size]
        times[first : first + size] = _train(recipe, task, several, _progress(reporter, first, several, len(parts)))
    seconds = time.perf_counter() - began
    model = _final(whole, task, features, seed)
    checkpoint.save_weights(model, folder)
    return _write(folder, model, task, parts, times, seconds, compare)


def _partitions(recipe: Recipe, task: tasks.Task, seed: int, folds: int, repeats: int) -> Iterator[_Fold]:
    from sklearn.model_selection import StratifiedKFold

    counts = np.bincount(task.labels, minlength=len(task.classes))
    if not folds >= 2:
        raise InputError(f"--folds must be 2 or more, got {folds}")
    if not repeats >= 1:
        raise InputError(f"--repeats must be 1 or more, got {repeats}")
    if counts.min() < folds:
        name = task.classes[int(counts.argmin())]
        raise InputError(
            f"--folds must be at most the number of rows of every class; class {name!r} of {recipe.dataset} has "
            f"{counts.min()}, got {folds} folds"
        )
    for repeat in range(repeats):
        splitter = StratifiedKFold(folds, shuffle=True, random_state=(seed + repeat) % 2**32)
        for number, (train, test) in enumerate(splitter.split(task.labels, task.labels)):
            yield _Fold(repeat, number, (seed + repeat) * _SEEDS + number, train, test)


def _at_once(recipe: Recipe, task: tasks.Task, features: Features) -> int:
    width = tasks.fitted(recipe, task, features).layers[0]
    return max(1, _VALUES // (len(task.labels) * width))


def _train(recipe: Recipe, task: tasks.Task, folds: Sequence[_Fold], report: Callable[[int], None]) -> Tensor:
    """(folds, rows, classes) spike times of every fold's network for its test rows, NaN for the others."""
    coded = []
    for fold in folds:
        features = task.scale(recipe, fold.train)
        assert features is not None
        model = Model(tasks.fitted(recipe, task, features), torch.nn.Sequential(), 0, task.classes, features)
        z = model.encode(model.values(task.samples))
        assert isinstance(z, Tensor)
        coded.append(z)
    # Folds may differ in width: a category that training rows lack has no input. Inputs without spikes fill up.
    width = max(z.shape[1] for z in coded)
    z = torch.stack([torch.nn.functional.pad(z, (0, width - z.shape[1]), value=torch.inf) for z in coded])
    sizes = width, *recipe.layers[1:-1], len(task.classes)
    ensemble = Ensemble(dataclasses.replace(recipe, layers=sizes), [fold.seed for fold in folds])
    labels = torch.from_numpy(task.labels)
    rows = [torch.from_numpy(fold.train) for fold in folds]
    for epoch in range(1, recipe.epochs + 1):
        ensemble.epoch(epoch, z, labels, rows)
        report(epoch)
    times = torch.full((len(folds), len(labels), len(task.classes)), torch.nan)
    for member, fold in enumerate(folds):
        times[member, fold.test] = ensemble.fire(member, z[member, fold.test])
    return times


def _final(recipe: Recipe, task: tasks.Task, features: Features, seed: int) -> Model:
    """A network that has learned from all rows."""
    model = Model(recipe, build(recipe), seed, task.classes, features)
    z = model.encode(model.values(task.samples))
    assert isinstance(z, Tensor)
    alone = Ensemble(recipe, [seed])
    for epoch in range(1, recipe.epochs + 1):
        alone.epoch(epoch, z[None], torch.from_numpy(task.labels), [torch.arange(len(task.labels))])
    model.network.load_state_dict({name: tensor[0] for name, tensor in alone.network.state_dict().items()})
    return model


def _progress(reporter: Reporter, first: int, folds: Sequence[_Fold], count: int) -> Callable[[int], None]:
    began = time.perf_counter()
    rows = sum(len(fold.train) for fold in folds)

    def report(epoch: int) -> None:
        if epoch % _REPORT_EVERY == 0:
            speed = epoch * rows / (time.perf_counter() - began)
            reporter.batch(epoch, 1.0, float("nan"), float("nan"), speed)

    return report


def _write(
    folder: Path,
    model: Model,
    task: tasks.Task,
    folds: Sequence[_Fold],
    times: npt.NDArray[np.float32],
    seconds: float,
    compare: bool,
) -> dict[str, Any]:
    from .baselines import accuracies

    index = np.concatenate([fold.test for fold in folds])
    fired = np.concatenate([times[k, fold.test] for k, fold in enumerate(folds)])
    pooled = judge(fired, task.labels[index], model.recipe.beta)
    which = [(int(i), fold.repeat, fold.number) for fold in folds for i in fold.test]
    write_records(folder, pooled, task.classes, ("row", "repeat", "fold"), which)
    right = np.split(pooled.predicted == pooled.labels, np.cumsum([len(fold.test) for fold in folds])[:-1])
    own = [float(part.mean()) for part in right]
    others = {}
    if compare:
        splits = [(fold.train, fold.test) for fold in folds]
        others = accuracies(splits, task.labels, lambda rows: task.scale(model.recipe, rows), task.samples)
    metrics = {
        **_summary(own),
        "accuracies": own,
        "folds": max(fold.number for fold in folds) + 1,
        "repeats": folds[-1].repeat + 1,
        "compared": {name: _summary(values) for name, values in others.items()},
        "train_seconds": seconds,
        "epochs": model.recipe.epochs,
        "seed": model.seed,
        "silent_samples": pooled.silent,
        "tied_samples": pooled.ties,
        "test_samples": len(index),
        "dataset": model.recipe.dataset,
        "rule": model.recipe.rule,
        "feedback": model.recipe.feedback,
        "loss": model.recipe.loss,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    checkpoint.write_json(folder / checkpoint.METRICS, metrics)
    return metrics


def _summary(accuracies: Sequence[float]) -> dict[str, float]:
    """Mean and standard deviation over all folds of all repeats."""
    return {"accuracy_mean": float(np.mean(accuracies)), "accuracy_sd": float(np.std(accuracies))}

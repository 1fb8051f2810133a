"""K-fold cross-validation of a recipe on a table; all folds train side by side."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .. import data
from ..data import tasks
from ..data.tables.features import Features
from ..errors import InputError
from ..files import write_json
from ..models.build import build
from ..models.evaluation import judge
from ..models.model import Model
from ..models.stored import CONFIG, read_config
from ..recipes import Recipe
from ..registry import coded_width
from ..runs.folder import Claim, hold
from ..runs.results import METRICS, about, write_records
from .callbacks import Ready, Reporter
from .ensemble import Ensemble, require_ensemble
from .step import random_state

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
    features: Features


def cross_validate(
    recipe: Recipe,
    folder: Path | Claim,
    seed: int,
    folds: int,
    repeats: int,
    reporter: Reporter,
    compare: bool = True,
    ready: Ready = lambda *_: None,
) -> dict[str, Any]:
    """Train and test on ``repeats`` random partitions of a table into ``folds`` stratified parts.

    Scaling is fitted to the training rows of each fold. Partition r follows from seed + r. The folder also gets the
    weights of one more network that has learned from all rows, for ``shiftlearn predict``; it takes no part in the
    figures. ``folder`` is new, or that of an unfinished run; it is locked until the end. With ``compare``,
    scikit-learn's classifiers are trained and tested on the same folds. ``ready`` is called once
    the data were found.

    Raises:
        InputError: the folder is in use, the dataset is no table, or has a class with fewer rows than there are folds.
    """
    if recipe.dataset in (*data.DATASETS, "xor") or data.own(recipe.dataset) or recipe.spike_trains:
        raise InputError(f"--folds is for tables, got {recipe.dataset}")
    if recipe.validation:
        raise InputError(f"validation is not held out from cross-validation, got {recipe.validation}")
    require_ensemble(recipe)
    with hold(folder) as claim:
        task = tasks.read(recipe, seed, None, [])
        if (claim.folder / CONFIG).is_file():
            task = tasks.require_same(task, recipe, read_config(claim.folder).digest)
        tasks.warn_of(task)
        features = task.scale(recipe, np.arange(len(task.labels)))
        assert features is not None
        whole = tasks.fitted(recipe, task, features)
        parts = _partitions(recipe, task, seed, folds, repeats)
        model = Model(whole, build(whole, random_state(seed, 0)), seed, task.classes, features, task.digest)
        model.save_settings(claim.folder, folds=folds, repeats=repeats, compare=compare, **task.about)
        ready(whole, task.account)
        began = time.perf_counter()
        times = _train(whole, task, parts, reporter)
        seconds = time.perf_counter() - began
        _learn_all(model, task)
        model.save_weights(claim.folder)
        return _write(claim.folder, model, task, parts, times, seconds, compare)


def _partitions(recipe: Recipe, task: tasks.Task, seed: int, folds: int, repeats: int) -> list[_Fold]:
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
    parts = []
    for repeat in range(repeats):
        splitter = StratifiedKFold(folds, shuffle=True, random_state=(seed + repeat) % 2**32)
        for number, (train, test) in enumerate(splitter.split(task.labels, task.labels)):
            features = task.scale(recipe, train)
            assert features is not None
            parts.append(_Fold(repeat, number, (seed + repeat) * _SEEDS + number, train, test, features))
    return parts


def _train(recipe: Recipe, task: tasks.Task, folds: Sequence[_Fold], reporter: Reporter) -> npt.NDArray[np.float32]:
    """(folds, rows, classes) spike times of every fold's network for its test rows, NaN for the others.

    Folds may differ in their inputs (a category that training rows lack has none), and only equal ones train together.
    """
    began, done, total = time.perf_counter(), 0, len(folds) * recipe.epochs
    times = np.full((len(folds), len(task.labels), len(task.classes)), np.nan, dtype=np.float32)
    steps = -(-max(len(fold.train) for fold in folds) // recipe.batch)
    for several in _groups(recipe, task, folds):
        own = dataclasses.replace(recipe, layers=(0, *recipe.layers[1:]))
        own = tasks.fitted(own, task, folds[several[0]].features)
        z = torch.stack([_coded(own, task, folds[k].features) for k in several])
        ensemble = Ensemble(own, [folds[k].seed for k in several])
        rows = [torch.from_numpy(folds[k].train) for k in several]
        loop = ensemble.loop(z, torch.from_numpy(task.labels), rows, steps)
        for epoch in range(1, recipe.epochs + 1):
            loop.epoch(epoch)
            done += len(several)
            if epoch % _REPORT_EVERY == 0:
                speed = done * len(rows[0]) / (time.perf_counter() - began)
                reporter.batch(1 + done * recipe.epochs // (total + 1), 0.0, math.nan, math.nan, speed)
        for member, k in enumerate(several):
            times[k, folds[k].test] = ensemble.fire(member, z[member, folds[k].test]).numpy()
    return times


def _groups(recipe: Recipe, task: tasks.Task, folds: Sequence[_Fold]) -> Iterator[list[int]]:
    """Numbers of the folds that train together: of the same width, and no more than memory holds."""
    widths = [fold.features.width for fold in folds]
    for width in sorted(set(widths)):
        same = [k for k, own in enumerate(widths) if own == width]
        inputs = coded_width(recipe.coding, width, recipe.coding_cells)
        most = max(1, _VALUES // (len(task.labels) * inputs))
        yield from (same[first : first + most] for first in range(0, len(same), most))


def _coded(recipe: Recipe, task: tasks.Task, features: Features) -> Tensor:
    """(rows, inputs) spike times of all rows."""
    model = Model(recipe, torch.nn.Sequential(), 0, task.classes, features)
    z = model.encode(model.values(task.samples))
    assert isinstance(z, Tensor)
    return z


def _learn_all(model: Model, task: tasks.Task) -> None:
    """Let the model learn from all rows."""
    z = model.encode(model.values(task.samples))
    assert isinstance(z, Tensor)
    rows, alone = torch.arange(len(task.labels)), Ensemble(model.recipe, [model.seed])
    loop = alone.loop(z[None], torch.from_numpy(task.labels), [rows], -(-len(rows) // model.recipe.batch))
    for epoch in range(1, model.recipe.epochs + 1):
        loop.epoch(epoch)
    model.network.load_state_dict({name: tensor[0] for name, tensor in alone.network.state_dict().items()})


def _write(
    folder: Path,
    model: Model,
    task: tasks.Task,
    folds: Sequence[_Fold],
    times: npt.NDArray[np.float32],
    seconds: float,
    compare: bool,
) -> dict[str, Any]:
    from ..analysis.baselines import accuracies

    index = np.concatenate([fold.test for fold in folds])
    fired = np.concatenate([times[k, fold.test] for k, fold in enumerate(folds)])
    pooled = judge(fired, task.labels[index], model.recipe)
    which = [(int(i), fold.repeat, fold.number) for fold in folds for i in fold.test]
    write_records(folder, pooled, task.classes, ("row", "repeat", "fold"), which)
    right = np.split(pooled.predicted == pooled.labels, np.cumsum([len(fold.test) for fold in folds])[:-1])
    own = [float(part.mean()) for part in right]
    others = {}
    if compare:
        assert isinstance(task.samples, tuple)
        splits = [(fold.train, fold.test) for fold in folds]
        others = accuracies(splits, task.labels, [fold.features.transform(task.samples) for fold in folds])
    metrics = {
        **_summary(own),
        "accuracies": own,
        "folds": max(fold.number for fold in folds) + 1,
        "repeats": folds[-1].repeat + 1,
        "compared": {name: _summary(values) for name, values in others.items()},
        "silent_samples": pooled.silent,
        "tied_samples": pooled.ties,
        "test_samples": len(index),
        **about(model.recipe, model.seed, seconds),
    }
    write_json(folder / METRICS, metrics)
    return metrics


def _summary(accuracies: Sequence[float]) -> dict[str, float]:
    """Mean and standard deviation over all folds of all repeats."""
    return {"accuracy_mean": float(np.mean(accuracies)), "accuracy_sd": float(np.std(accuracies))}

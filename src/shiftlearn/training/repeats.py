"""One small task learned again and again from other initial weights: how often is it solved, and how soon?"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..data import tasks
from ..errors import InputError
from ..files import as_csv, write, write_json
from ..models.stored import write_config
from ..nn import first_to_fire
from ..recipes import Recipe
from ..runs.folder import Claim, hold
from ..runs.results import METRICS, about
from .callbacks import Ready, Reporter
from .ensemble import Ensemble, require_ensemble

__all__ = ["histogram", "repeat"]

_MEMBERS = 10_000  # at most; beyond, memory grows for no gain
_REPORT_EVERY = 20  # epochs
_BINS = 12


def repeat(
    recipe: Recipe,
    folder: Path | Claim,
    seed: int,
    repeats: int,
    reporter: Reporter,
    ready: Ready = lambda *_: None,
) -> dict[str, Any]:
    """Train ``repeats`` networks, with seeds from ``seed`` on, as one ensemble; write and return metrics.json.

    A run is solved once it answers all samples right; whether it still does after the last epoch is noted too. One
    whose delay falls to 0 or below is frozen there: what it has solved until then counts, but it ends unsolved.
    ``folder`` is new, or that of an unfinished run; it is locked until the end. ``ready`` is called before
    the first epoch.

    Raises:
        InputError: the folder is in use, the recipe is not one of XOR, or ``repeats`` is not from 1 to 10,000.
    """
    if recipe.dataset != "xor":
        raise InputError(f"--networks is for xor, got {recipe.dataset}; for a table use --folds and --repeats")
    if recipe.validation:
        raise InputError(f"validation is not held out from repeated runs, got {recipe.validation}")
    if not 1 <= repeats <= _MEMBERS:
        raise InputError(f"--networks must be from 1 to {_MEMBERS}, got {repeats}")
    require_ensemble(recipe)
    task = tasks.read(recipe, seed, None, ["train"])
    recipe = tasks.fitted(recipe, task, None)
    if recipe.batch < len(task.labels):
        raise InputError(f"batch must be {len(task.labels)} or more: repeated runs see all samples, got {recipe.batch}")
    with hold(folder) as claim:
        write_config(claim.folder, recipe, seed, classes=task.classes, repeats=repeats)
        ready(recipe, ())
        began = time.perf_counter()
        runs = _Runs(recipe, range(seed, seed + repeats), task)
        for epoch in range(1, recipe.epochs + 1):
            runs.epoch(epoch)
            if epoch % _REPORT_EVERY == 0:
                speed = epoch * repeats * len(task.labels) / (time.perf_counter() - began)
                reporter.batch(epoch, 1.0, float("nan"), runs.right.double().mean().item(), speed)
        runs.look(recipe.epochs)
        return _write(claim.folder, runs, seed, time.perf_counter() - began)


class _Runs:
    """An ensemble, with what is known of each member."""

    def __init__(self, recipe: Recipe, seeds: range, task: tasks.Task) -> None:
        from ..models.build import of_recipe

        self.ensemble = Ensemble(recipe, seeds)
        self.recipe, self.labels = recipe, torch.from_numpy(task.labels)
        values = torch.from_numpy(np.asarray(task.samples))
        z = of_recipe(recipe)(values)
        assert isinstance(z, torch.Tensor)
        self.z = z.expand(len(seeds), *z.shape)
        self.loop = self.ensemble.loop(self.z, self.labels, [torch.arange(len(self.labels))] * len(seeds), steps=1)
        self.right = torch.zeros(len(seeds), dtype=torch.bool)
        self.first = torch.full((len(seeds),), -1)  # epochs after which all was right for the first time
        self.frozen = torch.full((len(seeds),), -1)  # epoch in which a delay fell to 0

    def epoch(self, epoch: int) -> None:
        """Learn once; the answers on the way are those after epoch − 1."""
        frozen = self.ensemble.learner.frozen
        self._note(self.loop.epoch(epoch).z, epoch - 1, frozen)
        self.frozen[self.ensemble.learner.frozen & (self.frozen < 0)] = epoch

    def look(self, epoch: int) -> None:
        """Answer without learning."""
        with torch.no_grad():
            self._note(self.ensemble.network(self.z), epoch, self.ensemble.learner.frozen)

    def _note(self, answers: torch.Tensor, epoch: int, frozen: torch.Tensor) -> None:
        self.right = (first_to_fire(answers) == self.labels).all(-1) & ~frozen
        self.first[self.right & (self.first < 0)] = epoch


def _write(folder: Path, runs: _Runs, seed: int, seconds: float) -> dict[str, Any]:
    from scipy.stats import binomtest

    right, first, frozen = runs.right.tolist(), runs.first.tolist(), runs.frozen.tolist()
    rows = [
        {
            "seed": seed + k,
            "epochs_to_solution": None if first[k] < 0 else first[k],
            "frozen_in_epoch": None if frozen[k] < 0 else frozen[k],
            "solved_at_the_end": int(right[k]),
        }
        for k in range(len(right))
    ]
    write(folder / "repeats.csv", as_csv(rows))
    soon = [epoch for epoch in first if epoch >= 0]
    solved, repeats = len(soon), len(right)
    interval = binomtest(solved, repeats).proportion_ci(method="wilson")
    metrics = {
        "success_rate": solved / repeats,
        "success_interval_95": [float(interval.low), float(interval.high)],
        "repeats": repeats,
        "solved": solved,
        "solved_at_the_end": sum(right),
        "frozen": sum(x >= 0 for x in frozen),
        "frozen_unsolved": sum(x >= 0 > y for x, y in zip(frozen, first, strict=True)),
        "median_epochs_to_solution": float(np.median(soon)) if soon else None,
        "histogram": histogram(soon, runs.recipe.epochs),
        **about(runs.recipe, seed, seconds),
    }
    write_json(folder / METRICS, metrics)
    return metrics


def histogram(epochs: list[int], last: int) -> list[list[int]]:
    """[from, up to but not including, runs] for about twelve ranges of epochs that cover those that occur."""
    highest = max(epochs, default=last)
    width = max(1, -(-(highest + 1) // _BINS))
    counts, edges = np.histogram(epochs, bins=np.arange(0, highest + width + 1, width))
    return [[int(a), int(b), int(n)] for a, b, n in zip(edges[:-1], edges[1:], counts, strict=True)]

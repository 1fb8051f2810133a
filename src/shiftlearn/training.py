"""The training loop: epochs, schedule, homeostasis, evaluation, checkpoints."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from . import checkpoint, data
from .coding import encoder
from .errors import InputError
from .evaluation import evaluate, write_results
from .learner import Learner, random_state
from .model import Model, build
from .nn import first_to_fire
from .recipes import Recipe

__all__ = ["Reporter", "resume", "start"]

_REPORT_EVERY = 20  # batches


class Reporter(Protocol):
    """Who watches a run."""

    def batch(self, epoch: int, share: float, loss: float, accuracy: float, samples_per_second: float) -> None:
        """Some batches are done; ``share`` of the epoch, means since its start."""

    def epoch(self, record: dict[str, Any]) -> None:
        """An epoch is done; ``record`` is its line of metrics.jsonl."""


def start(
    recipe: Recipe,
    folder: Path,
    seed: int,
    reporter: Reporter,
    device: str = "cpu",
    data_dir: str | None = None,
) -> dict[str, Any]:
    """Train by a recipe into a new folder and return the content of its metrics.json.

    Raises:
        InputError: the folder exists and is not empty, or a setting, the device or the data do not serve.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{str(folder)!r} exists and is not an empty folder; name another one, or resume it")
    run = _Run(recipe, seed, device, data_dir)
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint.write_config(folder, recipe, seed)
    return run.finish(folder, reporter)


def resume(folder: Path, reporter: Reporter, device: str = "cpu", data_dir: str | None = None) -> dict[str, Any] | None:
    """Go on with a run from its last whole epoch, or from the start if there is none. None: it is finished."""
    recipe, seed = checkpoint.read_config(folder)
    if checkpoint.read_metrics(folder) is not None:
        return None
    return _Run(recipe, seed, device, data_dir).finish(folder, reporter)


class _Run:
    """One training run: everything that follows from (recipe, seed)."""

    def __init__(self, recipe: Recipe, seed: int, device: str, data_dir: str | None) -> None:
        if seed < 0:
            raise InputError(f"seed must be 0 or more, got {seed}")
        self.recipe, self.seed, self.data_dir = recipe, seed, data_dir
        self.device = _device(device)
        self.network = build(recipe, random_state(seed, 0)).to(self.device)
        images, labels = data.load(recipe.dataset, "train", data_dir)
        features, classes = images[0].size, len(data.DATASETS[recipe.dataset].classes)
        if recipe.layers[0] != features or recipe.layers[-1] != classes:
            raise InputError(
                f"layers must begin with {features} and end with {classes} for {recipe.dataset}, "
                f"got {list(recipe.layers)}"
            )
        if recipe.validation >= len(images):
            raise InputError(
                f"validation must be less than the {len(images)} training samples, got {recipe.validation}"
            )
        x = torch.from_numpy(images.reshape(len(images), features)).to(self.device)
        y = torch.from_numpy(labels.astype(np.int64)).to(self.device)
        train = len(x) - recipe.validation
        self.x, self.y, self.held_out = x[:train], y[:train], (x[train:], y[train:])
        self.encode = encoder(recipe.coding, recipe.coding_exponent)
        self.learner = Learner(self.network, recipe)
        self.batches = -(-train // recipe.batch)

    def finish(self, folder: Path, reporter: Reporter) -> dict[str, Any]:
        """Train the epochs that are left, then read the test set and write the results."""
        progress = checkpoint.load_state(folder, self.network, self.learner.optimizer) or {"epoch": 0, "seconds": 0.0}
        log = _read_log(folder)[: progress["epoch"]]
        checkpoint.write(folder / checkpoint.LOG, "".join(json.dumps(line) + "\n" for line in log).encode())
        for epoch in range(progress["epoch"] + 1, self.recipe.epochs + 1):
            record = self._epoch(epoch, reporter)
            progress = {"epoch": epoch, "seconds": progress["seconds"] + record["seconds"]}
            with open(folder / checkpoint.LOG, "a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
            checkpoint.save_state(folder, self.network, self.learner.optimizer, progress)
            reporter.epoch(record)
        model = Model(self.recipe, self.network.eval(), self.seed)
        model.save(folder)
        return write_results(folder, model, evaluate(model, "test", self.data_dir), progress["seconds"])

    def _epoch(self, epoch: int, reporter: Reporter) -> dict[str, Any]:
        began = time.perf_counter()
        order = torch.randperm(len(self.x), generator=random_state(self.seed, epoch)).to(self.device)
        loss_sum, right, done = torch.zeros((), device=self.device), torch.zeros((), device=self.device), 0
        for number, chosen in enumerate(torch.split(order, self.recipe.batch), start=1):
            self.learner.set_rates((epoch - 1 + (number - 1) / self.batches) / self.recipe.epochs)
            loss, z = self.learner.step(self.encode(self.x[chosen]), self.y[chosen])
            loss_sum += loss * len(chosen)
            right += (first_to_fire(z) == self.y[chosen]).sum()
            done += len(chosen)
            if number % _REPORT_EVERY == 0 or number == self.batches:
                speed = done / (time.perf_counter() - began)
                reporter.batch(epoch, number / self.batches, loss_sum.item() / done, right.item() / done, speed)
        record = {
            "epoch": epoch,
            "loss": loss_sum.item() / done,
            "train_accuracy": right.item() / done,
            "samples_per_second": done / (time.perf_counter() - began),
        }
        if self.recipe.validation:
            model = Model(self.recipe, self.network, self.seed)
            x, y = self.held_out
            record["validation_accuracy"] = float(np.mean(model.predict(x) == y.cpu().numpy()))
        record["seconds"] = time.perf_counter() - began
        return record


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError, ImportError) as error:
        raise InputError(f"device {name!r} cannot be used here: {str(error).splitlines()[0]}") from None
    return device


def _read_log(folder: Path) -> list[dict[str, Any]]:
    path = folder / checkpoint.LOG
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    records = []
    for line in lines:
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:  # cut off by a crash: that epoch has no checkpoint either
            break
    return records

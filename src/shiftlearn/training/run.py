"""One training run: from a recipe to a run folder, with checkpoints to resume from."""

from __future__ import annotations

import copy
import json
import time
import warnings
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from ..analysis.baselines import of_trials
from ..data import tasks
from ..data.spike_trains.trials import Trials
from ..errors import InputError, RunWarning, counted
from ..files import write
from ..models.build import build
from ..models.evaluation import evaluate, task_of
from ..models.model import Model
from ..models.stored import Config, read_config
from ..nn import first_to_fire, initialise, translate
from ..ops import rules
from ..ops.events import SpikeEvents
from ..recipes import Recipe
from ..runs.checkpoint import PREVIOUS, load_state, save_state, unfinished
from ..runs.folder import Claim, hold
from ..runs.results import LOG, read_log, read_metrics, write_results
from .callbacks import Ready, Reporter, Silent
from .distributed import ALONE, World
from .health import Health, require_room, warn_if_squeezed
from .loop import Batch, Loop, Tally
from .step import Learner, random_state

__all__ = ["resume", "start", "take_up"]

_REPORT_EVERY = 20  # batches
_LOOKED_AT = 128  # training samples, for a look at the layers after the first epoch
_INITIALISING = 256  # training samples to which the weights are fitted with init = "data"


def start(
    recipe: Recipe,
    folder: Path | Claim,
    seed: int = 0,
    reporter: Reporter | None = None,
    device: str = "cpu",
    data_dir: str | None = None,
    world: World = ALONE,
    ready: Ready = lambda *_: None,
) -> dict[str, Any]:
    """Train by a recipe into a new folder and return the content of its metrics.json.

    The folder is claimed before the data are read, and locked until the run ends. Processes that share the work
    (:func:`shiftlearn.training.distributed.join`) all call it with their ``world``; each reads the data, and the first
    writes the folder. ``ready`` is called once data and device were found.

    Raises:
        InputError: the folder exists and is not empty, or is in use; a setting, the device or the data do not serve.
        PeerError: that happened in another process.
    """
    with ExitStack() as held:
        claim = world.first(lambda: held.enter_context(hold(folder, new=True)))
        run = world.agreed(lambda: _Run(recipe, seed, device, data_dir, world=world))
        world.first(lambda: run.model.save_settings(claim.folder, **run.about))
        ready(run.recipe, run.account)
        return run.finish(claim.folder, reporter or Silent())


def resume(
    folder: Path | Claim,
    reporter: Reporter,
    device: str = "cpu",
    data_dir: str | None = None,
    world: World = ALONE,
    ready: Ready = lambda *_: None,
) -> dict[str, Any] | None:
    """Go on with a run from its last whole epoch, or from the start if there is none. None: it is finished.

    The first process of a ``world`` reads the folder for all; their number need not be that of the start. ``ready`` as
    for :func:`start`.

    Raises:
        InputError: there is no run, a running process uses its folder, or a file is damaged.
        PeerError: that happened in another process.
    """
    with ExitStack() as held:
        claim, config, metrics = world.first(lambda: take_up(folder, held))
        if metrics is not None:
            return None
        run = world.agreed(lambda: _Run(config.recipe, config.seed, device, data_dir, config.digest, world))
        ready(run.recipe, run.account)
        assert claim is not None
        return run.finish(claim.folder, reporter)


def take_up(folder: Path | Claim, held: ExitStack) -> tuple[Claim | None, Config, dict[str, Any] | None]:
    """Claim the folder of an unfinished run until ``held`` is closed; its settings, and its summary if it is finished.

    Raises:
        InputError: there is no run, a running process uses its folder, or a file is damaged.
    """
    path = folder.folder if isinstance(folder, Claim) else folder
    config, metrics = read_config(path), read_metrics(path)
    if metrics is not None:
        return None, config, metrics
    claim = held.enter_context(hold(folder))
    return claim, read_config(path), read_metrics(path)  # it may just have ended


class _Run:
    """One training run: everything that follows from (recipe, seed)."""

    def __init__(
        self,
        recipe: Recipe,
        seed: int,
        device: str,
        data_dir: str | None,
        digest: str | None = None,
        world: World = ALONE,
    ) -> None:
        if world.size > recipe.batch:
            raise InputError(f"batch must be at least the number of processes, {world.size}, got {recipe.batch}")
        self.device, self.world = _device(device), world
        rules.require(recipe.rule)  # before the data are read
        task = tasks.require_same(tasks.read(recipe, seed, data_dir, ["train"]), recipe, digest)
        if world.is_writer:
            tasks.warn_of(task)
            if isinstance(task.samples, Trials):
                warn_if_squeezed(task.samples, recipe)
        self.account, self.about = task.account, task.about
        features = task.scale(recipe, task.train)
        self.recipe, self.data_dir = tasks.fitted(recipe, task, features), data_dir
        train = len(task.train) - recipe.validation
        if train < 1:
            raise InputError(
                f"validation must be less than the {counted(len(task.train), 'training sample')}, "
                f"got {recipe.validation}"
            )
        require_room(self.recipe)
        network = build(self.recipe, random_state(seed, 0)).to(self.device)
        self.model = Model(self.recipe, network, seed, task.classes, features, task.digest)
        x = self.model.values(task.take(task.train)).to(self.device)
        y = torch.from_numpy(task.labels[task.train]).to(self.device)
        self.x, self.y, self.held_out = x[:train], y[:train], (x[train:], y[train:])
        if self.recipe.init == "data":
            generator = random_state(seed, 0)
            batch = torch.randperm(train, generator=generator)[:_INITIALISING].to(self.device)
            inputs = self.model.encode(self.x[batch])
            initialise(network, inputs, self.recipe.init_share, self.recipe.init_spread, generator)
        self.health = Health(self.recipe, network, self.y)
        self.learner = Learner(network, self.recipe)
        self.loop = Loop(self.learner, self._inputs, self.y, seed, world=world)
        self.trained = self.model  # what is evaluated and stored
        if self.learner.average:
            self.trained = copy.copy(self.model)
            self.trained.network = cast(nn.Sequential, self.learner.average.module)
        self.tested = task if len(task.test) else None

    def finish(self, folder: Path, reporter: Reporter) -> dict[str, Any]:
        """Train the epochs that are left, then read the test set and write the results."""
        progress = self.world.first(lambda: self._begin(folder))
        self.learner.join(self.world)
        for epoch in range(progress["epoch"] + 1, self.recipe.epochs + 1):
            if progress.get("frozen"):
                break
            record = self._epoch(epoch, reporter)
            seconds = progress["seconds"] + record["seconds"]
            progress = {"epoch": epoch, "seconds": seconds, "frozen": bool(self.learner.frozen)}
            self.world.first(partial(self._save, folder, record, progress))
            reporter.epoch(record)
        return self.world.first(lambda: self._end(folder, progress))

    def _begin(self, folder: Path) -> dict[str, Any]:
        """Restore the last whole epoch, and leave no lines of later ones."""
        for path in unfinished(folder):
            path.unlink()
        stored = load_state(folder, self.learner.state, self.learner.optimizer)
        progress = stored or {"epoch": 0, "seconds": 0.0}
        log = [record for record in read_log(folder) if record["epoch"] <= progress["epoch"]]
        if missing := progress["epoch"] - len(log):
            path = folder / LOG
            warnings.warn(f"{path} lacks {missing} of {counted(progress['epoch'], 'epoch')}", RunWarning, stacklevel=2)
        write(folder / LOG, "".join(json.dumps(line) + "\n" for line in log).encode())
        return progress

    def _save(self, folder: Path, record: dict[str, Any], progress: dict[str, Any]) -> None:
        if record["epoch"] == 1:
            self.health.layers(self.model.encode(self.x[:_LOOKED_AT]))
        self.health.epoch(record["epoch"], record["loss"], record["train_accuracy"])
        with open(folder / LOG, "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        save_state(folder, self.learner.state, self.learner.optimizer, progress)

    def _end(self, folder: Path, progress: dict[str, Any]) -> dict[str, Any]:
        self.trained.network.eval()
        self.trained.save_weights(folder)
        more: dict[str, Any] = {"frozen_in_epoch": progress["epoch"]} if progress.get("frozen") else {}
        if self.world.size > 1:
            more["processes"] = self.world.size
        task = self.tested or task_of(self.model, self.data_dir, ["test"])
        if self.recipe.spike_trains:
            more |= self._beside(task)
        metrics = write_results(folder, self.trained, evaluate(self.trained, task), progress["seconds"], more)
        (folder / PREVIOUS).unlink(missing_ok=True)
        return metrics

    def _beside(self, task: tasks.Task) -> dict[str, Any]:
        """Of spike trains: the accuracy in training, which is what was published, and what simpler means reach."""
        test = self.model.values(task.take(task.test))
        assert isinstance(self.x, SpikeEvents)
        assert isinstance(test, SpikeEvents)
        target = self.y.cpu()
        right = first_to_fire(self.trained.fire(self.x)) == target
        return {
            "train_accuracy": float(right.double().mean()),
            "compared": of_trials(self.x, target.numpy(), test, task.labels[task.test]),
        }

    def _inputs(self, batch: Batch) -> Tensor | SpikeEvents:
        """The coded samples of a batch."""
        # x[rows] of a tensor would take several times as long.
        x = self.x.index_select(0, batch.rows) if isinstance(self.x, Tensor) else self.x[batch.rows]
        if self.recipe.translate and isinstance(x, Tensor):
            most = self.recipe.translate
            offsets = torch.randint(-most, most + 1, (batch.shard.total, 2), generator=batch.generator)
            x = translate(x, offsets[batch.shard.rows].to(self.device))
        return self.model.encode(x)

    def _epoch(self, epoch: int, reporter: Reporter) -> dict[str, Any]:
        tally = self.loop.epoch(epoch, partial(self._report, reporter))
        mean, accuracy = tally.means()
        record = {
            "epoch": epoch,
            "loss": mean,
            "train_accuracy": accuracy,
            "samples_per_second": tally.samples_per_second,
        }
        if self.recipe.validation:
            x, y = self.held_out
            rows = self.world.shard(len(y)).rows
            self.trained.network.eval()
            answers = (first_to_fire(self.trained.fire(x[rows])) == y[rows].cpu()).sum()
            self.trained.network.train()
            record["validation_accuracy"] = self.world.sum(answers).item() / len(y)
        record["seconds"] = time.perf_counter() - tally.began
        return record

    def _report(self, reporter: Reporter, tally: Tally) -> None:
        """Tell now and then how far the epoch is."""
        if self.learner.frozen or (tally.done % _REPORT_EVERY and tally.done < tally.batches):
            return
        mean, accuracy = tally.means()
        if self.world.is_writer:
            self.health.batch(tally.epoch, mean, tally.z)
        reporter.batch(tally.epoch, tally.done / tally.batches, mean, accuracy, tally.samples_per_second)


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError, ImportError) as error:
        raise InputError(f"device {name!r} cannot be used here: {str(error).splitlines()[0]}") from None
    return device

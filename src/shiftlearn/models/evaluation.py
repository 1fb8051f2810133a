"""How well a model does: accuracy, silence and ties."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from ..data import tasks
from ..nn import first_to_fire, spike_time_scores
from ..recipes import Recipe
from . import class_figures
from .model import Model

__all__ = ["Evaluation", "evaluate", "judge", "task_of"]


@dataclass(frozen=True)
class Evaluation:
    """What a model does on labelled samples; scores and spike times are (n, classes)."""

    labels: npt.NDArray[np.int64]
    predicted: npt.NDArray[np.int64]
    times: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        return float(np.mean(self.predicted == self.labels))

    @property
    def mean_absolute_error(self) -> float:
        """Of the answers, where classes are numbers."""
        return float(np.mean(np.abs(self.predicted - self.labels)))

    @property
    def silent(self) -> int:
        """Samples for which no output neuron fires."""
        return int(np.isinf(self.times).all(1).sum())

    @property
    def ties(self) -> int:
        """Samples with more than one earliest output spike."""
        first = self.times.min(1, keepdims=True)
        return int((((self.times == first) & np.isfinite(first)).sum(1) > 1).sum())

    def confusion(self) -> npt.NDArray[np.int64]:
        """Counts (classes, classes): rows are true classes, columns predictions."""
        matrix = np.zeros((self.times.shape[1],) * 2, dtype=np.int64)
        np.add.at(matrix, (self.labels, self.predicted), 1)
        return matrix

    def per_class(self, classes: Sequence[str]) -> list[class_figures.Row]:
        """Precision, recall, F1 and AUC of every class, and their means."""
        return class_figures.per_class(self.labels, self.predicted, self.scores, classes)


def evaluate(model: Model, task: tasks.Task, split: Literal["train", "test"] = "test") -> Evaluation:
    """Run a model on a split of its dataset, as :func:`task_of` reads it."""
    chosen = task.train if split == "train" else task.test
    return judge(model.z_out(task.take(chosen)), task.labels[chosen], model.recipe)


def judge(times: npt.NDArray[np.float32], labels: npt.NDArray[np.int64], recipe: Recipe) -> Evaluation:
    """What (n, classes) spike times say of samples with known labels."""
    heard = torch.from_numpy(times)
    scores = spike_time_scores(heard, recipe.beta, recipe.readout)
    return Evaluation(labels, first_to_fire(heard).numpy(), times, scores.numpy())


def task_of(model: Model, data_dir: str | None, parts: Sequence[Literal["train", "test"]]) -> tasks.Task:
    """The dataset that a model was trained on, as :func:`shiftlearn.data.tasks.read` gives it.

    Raises:
        InputError: as :func:`shiftlearn.data.tasks.read`, or the data are not those of its training.
    """
    return tasks.require_same(tasks.read(model.recipe, model.seed, data_dir, parts), model.recipe, model.digest)

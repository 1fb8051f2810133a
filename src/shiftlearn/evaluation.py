"""How well a model does: accuracy, silence and ties, and the files that record them."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from . import checkpoint, data
from .model import Model
from .nn import first_to_fire, spike_time_scores

__all__ = ["Evaluation", "evaluate", "write_results"]


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


def evaluate(model: Model, split: data.Split = "test", data_dir: str | None = None) -> Evaluation:
    """Run a model on a split of its dataset."""
    images, labels = data.load(model.recipe.dataset, split, data_dir)
    times = model.spike_times(images)
    heard = torch.from_numpy(times)
    scores = spike_time_scores(heard, model.recipe.beta).numpy()
    return Evaluation(labels.astype(np.int64), first_to_fire(heard).numpy(), times, scores)


def write_results(folder: Path, model: Model, test: Evaluation, seconds: float) -> dict[str, Any]:
    """Write predictions, confusion matrix and, last, metrics.json, whose content is returned."""
    classes = data.DATASETS[model.recipe.dataset].classes
    rows = io.StringIO()
    writer = csv.writer(rows)
    numbers = range(len(classes))
    writer.writerow(["index", "label", "predicted", *(f"score_{k}" for k in numbers), *(f"z_{k}" for k in numbers)])
    for index in range(len(test.labels)):
        row = [index, test.labels[index], test.predicted[index], *test.scores[index], *test.times[index]]
        writer.writerow(row)
    checkpoint.write(folder / "test_predictions.csv", rows.getvalue().encode())
    matrix = io.StringIO()
    csv.writer(matrix).writerow(["true \\ predicted", *classes])
    csv.writer(matrix).writerows([name, *counts] for name, counts in zip(classes, test.confusion(), strict=True))
    checkpoint.write(folder / "confusion_matrix.csv", matrix.getvalue().encode())
    metrics = {
        "test_accuracy": test.accuracy,
        "train_seconds": seconds,
        "epochs": model.recipe.epochs,
        "seed": model.seed,
        "silent_samples": test.silent,
        "tied_samples": test.ties,
        "test_samples": len(test.labels),
        "dataset": model.recipe.dataset,
        "rule": model.recipe.rule,
        "feedback": model.recipe.feedback,
        "loss": model.recipe.loss,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    checkpoint.write_json(folder / checkpoint.METRICS, metrics)
    return metrics

"""How well a model does: accuracy, silence and ties, and the files that record them."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from . import checkpoint, records, tasks
from .errors import InputError
from .model import Model
from .nn import first_to_fire, spike_time_scores
from .recipes import Recipe

__all__ = ["Evaluation", "about", "evaluate", "judge", "read_predictions", "write_records", "write_results"]

PREDICTIONS = "test_predictions.csv"


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

    def per_class(self, classes: Sequence[str]) -> list[records.Row]:
        """Precision, recall, F1 and AUC of every class, and their means."""
        return records.per_class(self.labels, self.predicted, self.scores, classes)


def evaluate(model: Model, split: Literal["train", "test"] = "test", data_dir: str | None = None) -> Evaluation:
    """Run a model on a split of its dataset.

    Raises:
        InputError: the dataset is not there, is damaged, or is a table that has changed.
    """
    task = tasks.of_model(model, data_dir, [split])
    chosen = task.train if split == "train" else task.test
    return judge(model.spike_times(task.take(chosen)), task.labels[chosen], model.recipe)


def judge(times: npt.NDArray[np.float32], labels: npt.NDArray[np.int64], recipe: Recipe) -> Evaluation:
    """What (n, classes) spike times say of samples with known labels."""
    heard = torch.from_numpy(times)
    scores = spike_time_scores(heard, recipe.beta, recipe.readout)
    return Evaluation(labels, first_to_fire(heard).numpy(), times, scores.numpy())


def write_records(
    folder: Path, found: Evaluation, classes: Sequence[str], names: Sequence[str], keys: Sequence[Sequence[int]]
) -> None:
    """Write predictions, confusion matrix, figures per class and ROC data.

    ``keys`` says for each sample where it comes from, under the headings ``names``.
    """
    numbers = range(len(classes))
    rows = [[*names, "label", "predicted", *(f"score_{k}" for k in numbers), *(f"z_{k}" for k in numbers)]]
    for key, *row in zip(keys, found.labels, found.predicted, found.scores, found.times, strict=True):
        rows.append([*map(str, key), *map(str, row[:2]), *map(str, row[2]), *map(str, row[3])])
    _write_csv(folder / PREDICTIONS, rows)
    matrix = [[name, *map(str, counts)] for name, counts in zip(classes, found.confusion(), strict=True)]
    _write_csv(folder / "confusion_matrix.csv", [["true \\ predicted", *classes], *matrix])
    arguments = found.labels, found.scores, classes
    checkpoint.write(folder / "roc.csv", records.as_csv(records.roc(*arguments)))
    checkpoint.write(folder / "classes.csv", records.as_csv(found.per_class(classes)))


def read_predictions(folder: Path) -> Evaluation:
    """What :func:`write_records` wrote of the samples of a run.

    Raises:
        InputError: the file is not there, or is damaged.
    """
    path = folder / PREDICTIONS
    if not path.is_file():
        raise InputError(f"{str(folder)!r} holds no {PREDICTIONS}, which a run writes at its end")
    try:
        with open(path, encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file)
        begin = header.index("label")
        cells = np.array([row[begin:] for row in rows], dtype=np.float64)
        scores, times = np.split(cells[:, 2:].astype(np.float32), 2, axis=1)
        if (scores.shape[1], len(header)) != (times.shape[1], begin + cells.shape[1]):
            raise ValueError("scores and spike times differ in number")
        labels, predicted = cells[:, :2].T.astype(np.int64)
        if not 0 <= min(labels.min(), predicted.min()) <= max(labels.max(), predicted.max()) < scores.shape[1]:
            raise ValueError("a class that is none")
    except (ValueError, IndexError) as error:
        raise InputError(f"{path} is damaged: {type(error).__name__}: {error}") from None
    return Evaluation(labels, predicted, times, scores)


def _write_csv(path: Path, rows: Sequence[Sequence[str]]) -> None:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    checkpoint.write(path, text.getvalue().encode())


def about(recipe: Recipe, seed: int, seconds: float) -> dict[str, Any]:
    """What every metrics.json says of its run."""
    return {
        "train_seconds": seconds,
        "epochs": recipe.epochs,
        "seed": seed,
        "dataset": recipe.dataset,
        "rule": recipe.rule,
        "feedback": recipe.feedback,
        "modulator": recipe.modulator,
        "loss": recipe.loss,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def write_results(
    folder: Path, model: Model, test: Evaluation, seconds: float, more: Mapping[str, Any]
) -> dict[str, Any]:
    """Write the records and, last, metrics.json (with ``more`` in it), whose content is returned."""
    write_records(folder, test, model.classes, ["index"], [[k] for k in range(len(test.labels))])
    metrics = {
        "test_accuracy": test.accuracy,
        "silent_samples": test.silent,
        "tied_samples": test.ties,
        "test_samples": len(test.labels),
        **({"mean_absolute_error": test.mean_absolute_error} if model.recipe.spike_trains else {}),
        **about(model.recipe, model.seed, seconds),
        **more,
    }
    checkpoint.write_json(folder / checkpoint.METRICS, metrics)
    return metrics

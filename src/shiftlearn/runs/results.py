"""What a run found: its summary, its log, and the files that record the test set."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import InputError
from ..files import as_csv, csv_lines, write, write_json
from ..models import class_figures
from ..models.evaluation import Evaluation
from ..models.model import Model
from ..recipes import Recipe

METRICS, LOG = "metrics.json", "metrics.jsonl"
PREDICTIONS = "test_predictions.csv"
RESULTS = (PREDICTIONS, "confusion_matrix.csv", "classes.csv", "roc.csv", "repeats.csv")
# What the summary of each kind of run is about, and the numbers that go with it.
FIGURES = {
    "test_accuracy": ("test_samples", "silent_samples", "tied_samples"),
    "accuracy_mean": ("accuracy_sd", "folds", "repeats", "test_samples", "silent_samples", "tied_samples"),
    "success_rate": ("repeats", "solved", "solved_at_the_end", "frozen", "frozen_unsolved"),
}
_OTHERS = {
    "test_accuracy": (),
    "accuracy_mean": ("compared",),
    "success_rate": ("success_interval_95", "histogram", "median_epochs_to_solution"),
}


def read_metrics(folder: Path) -> dict[str, Any] | None:
    """The summary of a finished run; None if the run is not finished.

    Raises:
        InputError: the file is damaged.
    """
    path = folder / METRICS
    if not path.is_file():
        return None
    try:
        metrics = json.loads(path.read_text(encoding="utf-8"))
        kind = next(key for key in FIGURES if key in metrics)
        for key in (kind, *FIGURES[kind], "train_seconds", "epochs", "seed"):
            metrics[key] + 0
        for key in _OTHERS[kind]:
            metrics[key]
    except (ValueError, KeyError, TypeError, RecursionError, StopIteration) as error:
        raise InputError(f"{path} is damaged: {type(error).__name__}: {error}") from None
    return dict(metrics)


def read_log(folder: Path) -> list[dict[str, Any]]:
    """The records of ``metrics.jsonl``, up to where a crash cut it off; [] if there are none yet."""
    path = folder / LOG
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    records: list[dict[str, Any]] = []
    for line in lines:
        try:
            record = json.loads(line)
            if type(record["epoch"]) is not int or (records and record["epoch"] <= records[-1]["epoch"]):
                break
        except (ValueError, KeyError, TypeError, RecursionError):
            break
        records.append(record)
    return records


def write_records(
    folder: Path, found: Evaluation, classes: Sequence[str], names: Sequence[str], keys: Sequence[Sequence[int]]
) -> None:
    """Write predictions, confusion matrix, figures per class and ROC data.

    ``keys`` says for each sample where it comes from, under the headings ``names``.
    """
    numbers = range(len(classes))
    head = [*names, "label", "predicted", *(f"score_{k}" for k in numbers), *(f"z_{k}" for k in numbers)]
    samples = zip(keys, found.labels, found.predicted, found.scores, found.times, strict=True)
    rows = ([*key, label, chosen, *scores, *z] for key, label, chosen, scores, z in samples)
    write(folder / PREDICTIONS, csv_lines([head, *rows]))
    matrix = ([name, *counts] for name, counts in zip(classes, found.confusion(), strict=True))
    write(folder / "confusion_matrix.csv", csv_lines([["true \\ predicted", *classes], *matrix]))
    arguments = found.labels, found.scores, classes
    write(folder / "roc.csv", as_csv(class_figures.roc(*arguments)))
    write(folder / "classes.csv", as_csv(found.per_class(classes)))


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
    write_json(folder / METRICS, metrics)
    return metrics

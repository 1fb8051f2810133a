"""``shiftlearn predict``: classify samples that a user brings."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from .. import checkpoint, data
from ..data.images import SIDE
from ..data.spike_files import read_trials
from ..data.spike_trains import Trials
from ..data.tables import Column, read_rows
from ..errors import InputError
from ..model import Model
from ..nn import first_to_fire, spike_time_scores
from ..samples import read_samples
from .printing import Voice, printable

__all__ = ["predict", "rows", "show"]

Row = dict[str, Any]


def predict(run: str, files: list[str], as_json: bool) -> None:
    """Print what the model of a run folder makes of the samples in some files, once all of them are read.

    Raises:
        InputError: no model there, no files, or a file that does not hold what the model takes.
    """
    model = checkpoint.load(run)
    if not files:
        raise InputError("name one file of samples or more")
    if model.recipe.spike_trains:
        found = _of_trials(model, files)
    else:
        found = _of_table(model, files) if model.features else _of_images(model, files)
    show(found, Voice(json=as_json))


def _of_images(model: Model, files: list[str]) -> list[Row]:
    if model.recipe.dataset not in data.DATASETS:
        raise InputError(
            f"predict takes models of images, tables or spike trains, this one is of {model.recipe.dataset}"
        )
    samples = list(read_samples(files, SIDE * SIDE, (SIDE, SIDE)))
    found: list[Row] = []
    for _, group in groupby(samples, key=lambda sample: sample[1].dtype):  # one array holds values of one kind
        names, values = zip(*group, strict=True)
        found += rows(names, model, np.stack(values))
    return found


def _of_table(model: Model, files: list[str]) -> list[Row]:
    assert model.features is not None
    read = [(Path(file), read_rows(file, model.features.names, model.features.numeric)) for file in files]
    found: list[Row] = []
    for path, columns in read:
        found += rows([f"{path.name}[{k}]" for k in range(1, len(columns[0]) + 1)], model, columns)
    return found


def _of_trials(model: Model, files: list[str]) -> list[Row]:
    read = [(Path(file), read_trials(file)) for file in files]
    found: list[Row] = []
    for path, trials in read:
        found += rows([f"{path.name}[{k}]" for k in range(len(trials))], model, trials)
    return found


def rows(names: Sequence[str], model: Model, values: npt.NDArray[np.generic] | Sequence[Column] | Trials) -> list[Row]:
    """Classify samples.

    Args:
        names: (n,) what each sample is called.
        model: a trained model.
        values: (n, features), the columns of a table, or trials, as :meth:`shiftlearn.Model.predict` takes them.

    Returns:
        Rows of sample, class, label, score, z and t = ln z: of the neuron that fires first, None where none fires
        (the answer is then the class 0).

    Raises:
        InputError: values that the model does not take.
    """
    times = torch.from_numpy(model.spike_times(values))
    labels = first_to_fire(times)
    scores = spike_time_scores(times, model.recipe.beta, model.recipe.readout)
    result: list[Row] = []
    for name, label, score, time in zip(names, labels.tolist(), scores.tolist(), times.tolist(), strict=True):
        z = time[label] if math.isfinite(time[label]) else None
        t = None if z is None else math.log(z)
        answer = {"class": model.classes[label], "label": label, "score": score[label]}
        result.append({"sample": name, **answer, "z": z, "t": t})
    return result


def show(rows: Iterable[Row], voice: Voice) -> None:
    """Print rows of :func:`rows` as a table, or as one JSON list with a line for each."""
    if voice.json:
        voice.result(rows)
        return
    from rich.table import Table
    from rich.text import Text

    table = Table()
    table.add_column("sample", overflow="fold")
    table.add_column("class", overflow="fold")
    table.add_column("score", justify="right", no_wrap=True)
    table.add_column("spike time (tau)", justify="right", no_wrap=True)
    for row in rows:
        time = "silent" if row["t"] is None else f"{row['t']:.4f}"
        table.add_row(Text(printable(row["sample"])), Text(printable(row["class"])), f"{row['score']:.4f}", time)
    voice.table(table)

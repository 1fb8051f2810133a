"""``shiftlearn predict``: classify samples that a user brings."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from .. import data
from ..data.images.files import SIDE
from ..data.samples import read_samples
from ..data.spike_trains.files import read_trials
from ..data.spike_trains.time_units import require_range
from ..data.spike_trains.trials import Trials
from ..data.tables.features import Features
from ..data.tables.table import Column, read_rows
from ..errors import InputError
from ..models.model import Model, load
from ..nn import first_to_fire, spike_time_scores
from ..recipes import Recipe
from .printing import Voice, printable
from .progress import run_warnings

__all__ = ["predict", "read", "rows", "show"]

Row = dict[str, Any]
Values = npt.NDArray[np.generic] | Sequence[Column] | Trials
Samples = tuple[list[str], Values]


def predict(
    run: str,
    files: list[str],
    as_json: bool,
    time_unit: str | None = None,
    reading: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Print what the model of a run folder makes of the samples in some files, once all of them are read.

    ``time_unit`` and ``reading`` are as for :func:`read`.

    Raises:
        InputError: no model there, no files, or a file that does not hold what the model takes.
    """
    model = load(run)
    if not files:
        raise InputError("name one file of samples or more")
    with run_warnings():
        samples = read(model, files, time_unit, reading)
    found = [row for names, values in samples for row in rows(names, model, values)]
    show(found, Voice(json=as_json))


def read(
    model: Model,
    files: list[str],
    time_unit: str | None = None,
    reading: Mapping[str, str] = MappingProxyType({}),
) -> list[Samples]:
    """The samples in some files, with their names: as many at a time as one array or table holds.

    ``time_unit`` is that of spike trains; None: the one the model was trained with. ``reading`` are settings of a
    recipe on how CSV files are read, where they are not read as that of training.

    Raises:
        InputError: a file does not hold what the model takes.
    """
    if reading and model.features is None:
        raise InputError(f"--{next(iter(reading))} is for CSV files, this model is of {model.recipe.dataset}")
    if model.recipe.spike_trains:
        several = [_trials(model.recipe, file, time_unit) for file in files]
        return [_named(file, trials, len(trials)) for file, trials in zip(files, several, strict=True)]
    if time_unit is not None:
        raise InputError(f"--time-unit is for models of spike trains, this one is of {model.recipe.dataset}")
    if model.features is not None:
        tables = [_rows(model.features, model.recipe, file, reading) for file in files]
        return [_named(file, table, len(table[0]), start=1) for file, table in zip(files, tables, strict=True)]
    if model.recipe.dataset not in data.DATASETS:
        raise InputError(
            f"files of samples are for models of images, tables or spike trains, this one is of {model.recipe.dataset}"
        )
    samples = list(read_samples(files, SIDE * SIDE, (SIDE, SIDE)))
    found: list[Samples] = []
    for _, group in groupby(samples, key=lambda sample: sample[1].dtype):  # one array holds values of one kind
        image_names, values = zip(*group, strict=True)
        found.append((list(image_names), np.stack(values)))
    return found


def _trials(recipe: Recipe, file: str, time_unit: str | None) -> Trials:
    """The trials of a file; synapses of the model that the file lacks are silent."""
    synapses = recipe.layers[0] - (recipe.cue > 0)
    trials = read_trials(file, recipe.time_unit if time_unit is None else time_unit)
    if trials.num_synapses > synapses:
        raise InputError(f"{file}: num_synapses must be at most {synapses} for this model, got {trials.num_synapses}")
    require_range(trials, recipe.tau, recipe.cue > 0, source=file)
    return replace(trials, num_synapses=synapses)


def _rows(features: Features, recipe: Recipe, file: str, reading: Mapping[str, str]) -> tuple[Column, ...]:
    known = {"yes": True, "no": False}
    return read_rows(
        file,
        features.names,
        features.numeric,
        reading.get("separator", recipe.separator) or None,
        known.get(reading.get("header", "auto")),
        encoding=reading.get("encoding", recipe.encoding),
        missing=recipe.missing,
        decimal=reading.get("decimal", "auto"),
        notations=features.notations,
        left_out=features.left_out,
        named=features.header,
    )


def _named(file: str, values: Values, count: int, start: int = 0) -> Samples:
    return [f"{Path(file).name}[{k}]" for k in range(start, start + count)], values


def rows(names: Sequence[str], model: Model, values: Values) -> list[Row]:
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
    times = torch.from_numpy(model.z_out(values))
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

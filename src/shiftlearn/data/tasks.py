"""What a recipe trains on: images, tables, spike trains, XOR; their splits, and the sizes of the network they need."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from .. import data
from ..errors import InputError, RunWarning, unknown_name
from ..recipes import Recipe
from ..recipes.paths import require_files
from ..registry import coded_width
from .spike_trains.sets import read_spikes
from .spike_trains.trials import Trials
from .tables.classes import old_names
from .tables.features import Features
from .tables.numbers import Notation
from .tables.table import TABLES, Column, Table, load_table, read_csv

__all__ = ["Task", "fitted", "read", "require_same", "warn_of"]

Samples = npt.NDArray[np.generic] | tuple[Column, ...] | Trials
_XOR = np.array([[0.01, 0.01], [0.01, 0.99], [0.99, 0.01], [0.99, 0.99]], dtype=np.float32)  # as published


@dataclasses.dataclass(frozen=True)
class Task:
    """Labelled samples of a recipe's dataset.

    Attributes:
        samples: (n, …) uint8 images or floats from 0 to 1, the columns of a table, or spike trains.
        labels: (n,) int64.
        classes: their names.
        train, test: numbers of the samples to train on and to test with.
        names: of the columns, for tables.
        file_digest: of files with spike trains.
        notations, header, left_out, account, notes: of a table, as :class:`shiftlearn.data.tables.Table` has them.
    """

    samples: Samples
    labels: npt.NDArray[np.int64]
    classes: tuple[str, ...]
    train: npt.NDArray[np.int64]
    test: npt.NDArray[np.int64]
    names: tuple[str, ...] | None = None
    file_digest: str | None = None
    notations: tuple[Notation | None, ...] = ()
    header: bool | None = None
    left_out: tuple[str, ...] = ()
    account: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def take(self, index: npt.NDArray[np.int64]) -> Samples:
        """Some of the samples, in that order. Neighbours in an array are not copied: it may be larger than memory."""
        if isinstance(self.samples, tuple):
            return tuple(column[index] for column in self.samples)
        if isinstance(self.samples, np.ndarray) and len(index) and (np.diff(index) == 1).all():
            return self.samples[index[0] : index[-1] + 1]
        return self.samples[index]

    @functools.cached_property
    def digest(self) -> str | None:
        """Of a table, and of spike trains from a file: what changes when their content does."""
        if isinstance(self.samples, tuple):
            content = (self.names, self.classes, self.labels.tolist(), [column.tolist() for column in self.samples])
            return hashlib.sha256(repr(content).encode()).hexdigest()
        return self.file_digest

    @property
    def about(self) -> dict[str, Any]:
        """What config.json holds on the reading of a table's file."""
        return {"read": {"account": list(self.account), "warnings": list(self.notes)}} if self.account else {}

    def scale(self, recipe: Recipe, index: npt.NDArray[np.int64]) -> Features | None:
        """The scaling of a table's columns, fitted on some of its rows; None for what needs none."""
        if self.names is None or not isinstance(self.samples, tuple):
            return None
        columns = [column[index] for column in self.samples]
        features = Features.fit(self.names, columns, recipe.scaling, notations=self.notations)
        return dataclasses.replace(features, header=self.header, left_out=self.left_out)


def read(recipe: Recipe, seed: int, data_dir: str | None, parts: Sequence[Literal["train", "test"]]) -> Task:
    """The dataset of a recipe; of images only the ``parts`` asked for are read.

    A table is split at random (stratified; the split follows from ``seed``), ``recipe.test_share`` of it to test;
    without ``parts`` it is left whole. XOR is trained on and tested with its four samples. For spike trains see
    :func:`shiftlearn.data.spike_trains.sets.read_spikes`.

    Raises:
        InputError: an unknown dataset, or data that do not serve.
    """
    if seed < 0:
        raise InputError(f"seed must be 0 or more, got {seed}")
    name = recipe.dataset
    arrays = data.DATASETS.get(name) or data.own(name)
    if recipe.preprocess != "none" and not arrays:
        raise InputError(f"preprocess is for images, got {recipe.preprocess!r} for {name}")
    if recipe.translate and not arrays:
        raise InputError(f"translate is for images, got {recipe.translate} for {name}")
    if arrays:
        loaded = {part: data.load(name, part, data_dir) for part in parts}
        images = np.concatenate([x for x, _ in loaded.values()]) if len(loaded) > 1 else next(iter(loaded.values()))[0]
        labels = np.concatenate([y for _, y in loaded.values()]).astype(np.int64)
        train = np.arange(len(loaded["train"][1]) if "train" in loaded else 0)
        return Task(images, labels, arrays.classes, train, np.arange(len(train), len(labels)))
    if name == "xor":
        four = np.arange(4)
        return Task(_XOR, np.array([0, 1, 1, 0]), ("0", "1"), four, four)
    require_files(recipe)
    if recipe.spike_trains:
        spikes = read_spikes(recipe, seed, parts)
        return Task(spikes.trials, spikes.trials.target, spikes.classes, spikes.train, spikes.test, None, spikes.digest)
    table = _table(recipe)
    none = np.arange(0)
    train, test = _split(table, recipe.test_share, seed) if parts else (none, none)
    more = {key: getattr(table, key) for key in ("notations", "header", "left_out", "account", "notes")}
    return Task(table.columns, table.labels, table.classes, train, test, table.names, **more)


def fitted(recipe: Recipe, task: Task, features: Features | None) -> Recipe:
    """The recipe with the sizes of the first and last layer, where they are 0, taken from the data.

    Raises:
        InputError: ``layers`` does not fit the data.
    """
    if isinstance(task.samples, Trials):
        inputs = task.samples.num_synapses + (recipe.cue > 0)
    else:
        width = features.width if features else int(np.prod(np.shape(task.samples)[1:]))
        inputs = coded_width(recipe.coding, width, recipe.coding_cells)
    classes = len(task.classes)
    first, *hidden, last = recipe.layers
    if first not in (0, inputs) or last not in (0, classes):
        raise InputError(
            f"layers must begin with {inputs} and end with {classes} for {recipe.dataset} (or with 0, which stands for "
            f"them), got {list(recipe.layers)}"
        )
    return dataclasses.replace(recipe, layers=(inputs, *hidden, classes))


def require_same(task: Task, recipe: Recipe, digest: str | None) -> Task:
    """The task, with the names of the classes that a run began with, whose data had this ``digest`` (None: unknown).

    Raises:
        InputError: the data are others.
    """
    # Runs of version 0.1 called classes that are numbers by the number.
    for same in (task, dataclasses.replace(task, classes=old_names(task.classes))):
        if digest in (None, same.digest):
            return same
    read = ", or was read differently by an older version" if isinstance(task.samples, tuple) else ""
    raise InputError(f"{recipe.dataset} has changed since this run began{read}")


def warn_of(task: Task) -> None:
    """Warn (RunWarning) of what may be wrong with the reading of a table's file."""
    for note in task.notes:
        warnings.warn(note, RunWarning, stacklevel=3)


def _table(recipe: Recipe) -> Table:
    if recipe.dataset in TABLES:
        return load_table(recipe.dataset)
    path = Path(recipe.dataset)
    if not path.suffix and not path.exists():
        raise unknown_name("dataset", recipe.dataset, data.DATASET_NAMES)
    return read_csv(
        path,
        recipe.target or None,
        recipe.separator or None,
        {"yes": True, "no": False}.get(recipe.header),
        encoding=recipe.encoding,
        missing=recipe.missing,
        decimal=recipe.decimal,
        drop=recipe.drop,
        row_numbers=recipe.row_numbers,
    )


def _split(table: Table, share: float, seed: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Training and test rows, stratified, in random order."""
    from sklearn.model_selection import train_test_split

    counts = np.bincount(table.labels, minlength=len(table.classes))
    rare = int(counts.argmin())
    try:
        train, test = train_test_split(
            np.arange(len(table.labels)), test_size=share, stratify=table.labels, random_state=seed % 2**32
        )
        if not all(np.bincount(table.labels[part], minlength=len(counts)).all() for part in (train, test)):
            raise ValueError("a class is missing in one of them")
    except ValueError:
        raise InputError(
            f"{table.name} cannot be split into training and test rows with every class in both: class "
            f"{table.classes[rare]!r} has {counts[rare]} of {len(table.labels)} rows, and test_share is {share}"
        ) from None
    return train, test

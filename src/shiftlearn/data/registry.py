"""Datasets by name, one's own among them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..errors import InputError
from ..registry import DATASET_NAMES
from .images import files

__all__ = ["OwnDataset", "load", "own", "register"]

Samples = npt.NDArray[np.uint8] | npt.NDArray[np.floating[Any]]
Loader = Callable[[files.Split], tuple[Samples, npt.NDArray[np.integer[Any]]]]


class OwnDataset(NamedTuple):
    """A registered dataset: what reads its "train" or "test" part, and the names of its classes."""

    loader: Loader
    classes: tuple[str, ...]


def register(name: str, loader: Loader, classes: Sequence[str], *, replace: bool = False) -> None:
    """Add a dataset under ``name``, which the setting ``dataset`` of a recipe may then say.

    ``loader("train")`` and ``loader("test")`` return samples (n, …), uint8 from 0 to 255 or floats from 0 to 1, and
    labels (n,), integers that index ``classes``; the same ones whenever they are called. (A table is simpler as a CSV
    file, whose name is a dataset; spike trains are an .npz file.) With ``replace`` it takes the place of another
    loader of that name.

    Raises:
        InputError: ``name`` is taken or no identifier, ``loader`` is not callable, or there are less than two classes.
    """
    if isinstance(classes, str) or len(classes) < 2:
        raise InputError(f"classes must be two names or more, got {classes!r}")
    DATASET_NAMES.register(name, loader, OwnDataset(loader, tuple(map(str, classes))), replace)


def own(name: str) -> OwnDataset | None:
    """The dataset registered under ``name``; None if there is none."""
    return DATASET_NAMES.get(name) if name in DATASET_NAMES else None


def load(
    name: str, split: files.Split, data_dir: files.StrPath | None = None, progress: bool = True
) -> tuple[Samples, npt.NDArray[np.integer[Any]]]:
    """Samples and labels of images or of a registered dataset; of images as :func:`shiftlearn.data.images.load`.

    Raises:
        InputError: an unknown name, or what a registered loader returns is not what :func:`register` says.
    """
    dataset = own(name)
    if dataset is None:
        return files.load(name, split, data_dir, progress)
    x, y = dataset.loader(split)
    if not isinstance(x, np.ndarray) or x.ndim < 2 or not isinstance(y, np.ndarray) or y.shape != x.shape[:1]:
        raise InputError(
            f"{name}: samples must be an array (n, …) and labels one (n,), got {_about(x)} and {_about(y)}"
        )
    if not np.issubdtype(y.dtype, np.integer) or (y.size and not 0 <= y.min() <= y.max() < len(dataset.classes)):
        raise InputError(f"{name}: labels must be integers from 0 to {len(dataset.classes) - 1}, got {_about(y)}")
    return x, y


def _about(array: object) -> str:
    if not isinstance(array, np.ndarray):
        return type(array).__name__
    span = f" from {array.min()} to {array.max()}" if array.size and array.dtype != object else ""
    return f"{array.shape} of {array.dtype}{span}"

"""Spike trains that a user brings: the published ``.mat`` format, or NumPy arrays in an ``.npz`` file."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..names import SPIKE_FILES
from .delimited import StrPath
from .spike_trains import Trials, from_arrays
from .tca_read import read_mat

__all__ = ["read_trials"]

_NEEDED, _OPTIONAL = ("times", "synapses", "trial", "target"), ("length", "num_synapses", "dt")
_LARGEST = 1 << 33  # bytes of all arrays together


def read_trials(path: StrPath) -> Trials:
    """Labelled spike trains from a file.

    Args:
        path: ``.mat`` in the published format (:func:`shiftlearn.data.tca_read.read_mat`), or ``.npz``, as
            ``numpy.savez(path, times=…, synapses=…, trial=…, target=…)`` writes it, with the arrays that
            :func:`shiftlearn.data.spike_trains.from_arrays` takes (``length``, ``num_synapses``, ``dt`` optional).

    Raises:
        InputError: the file cannot be read, is damaged or of another kind, or its arrays are not as described.
    """
    path = Path(path)
    if path.suffix.lower() not in SPIKE_FILES:
        raise InputError(f"{path}: is of an unknown kind, expected {' or '.join(SPIKE_FILES)}")
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if path.suffix.lower() == ".mat":
        return read_mat(path)
    arrays = _arrays(path)
    if missing := [name for name in _NEEDED if name not in arrays]:
        raise InputError(f"{path}: lacks {', '.join(missing)}; expected {', '.join(_NEEDED)}")
    if unknown := sorted(arrays.keys() - {*_NEEDED, *_OPTIONAL}):
        raise InputError(f"{path}: holds {unknown[0]!r}; expected {', '.join(_NEEDED)}, or {', '.join(_OPTIONAL)}")
    for name in ("num_synapses", "dt"):
        if name in arrays:
            if arrays[name].size != 1 or arrays[name].dtype.kind not in "iuf":
                raise InputError(f"{path}: {name} must be one number, got {arrays[name]!r}")
            arrays[name] = arrays[name].item()
    try:
        return from_arrays(**arrays)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _arrays(path: Path) -> dict[str, Any]:
    try:
        with zipfile.ZipFile(path) as archive:  # before memory is asked for
            size = sum(entry.file_size for entry in archive.infolist())
        if size > _LARGEST:
            raise InputError(f"{path}: holds {size} bytes of arrays, more than {_LARGEST}")
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except InputError:
        raise
    except (zipfile.BadZipFile, zlib.error, OSError, ValueError, EOFError, KeyError, NotImplementedError) as error:
        raise InputError(
            f"{path}: cannot be read as an .npz file ({str(error)[:200] or type(error).__name__})"
        ) from None
